package members

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"slices"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/roots"
)

// Approval is the operator's yes to a site.
type Approval struct {
	Query bool // it may ask this site's questions
	// WitnessFor are issuers for which its observations count here; "all" is every one.
	WitnessFor []string
	// Name is what this site calls it from now on; "" leaves it.
	Name trust.SiteName
}

// find gives the id of a site that is named by its local name or its SiteID.
func (s *state) find(name string) (trust.SiteID, error) {
	if id, err := trust.ParseSiteID(name); err == nil && s.sites[id] != nil {
		return id, nil
	}
	for id, known := range s.sites {
		if id != s.own.ID() && string(known.name) == name {
			return id, nil
		}
	}
	return "", fmt.Errorf("%.80q: %w", name, ErrUnknownSite)
}

// Approve admits a site here, endorses it to the others, and grants what a says. name is
// its local name or its SiteID. It wraps ErrUnknownSite.
func (d *Desk) Approve(ctx context.Context, name string, a Approval) error {
	return d.step(ctx, func(next *draft) error {
		id, err := next.find(name)
		if err != nil {
			return err
		}
		if a.Name != "" {
			for other, known := range next.sites {
				if _, pinned := next.pins[a.Name]; other != id && known.name == a.Name || a.Name == d.o.Site || pinned && next.bound[a.Name] != id {
					return fmt.Errorf("%.70q is another site's name here", a.Name)
				}
			}
		}
		known := next.change(id)
		known.local = Local{Approved: true, Query: a.Query || known.local.Query && !known.local.Blocked}
		known.witness = slices.Compact(slices.Sorted(slices.Values(append(known.witness, a.WitnessFor...))))
		if a.Name != "" {
			known.name = a.Name
		}
		next.record("approved", known.name, fmt.Sprintf("site %s, may ask: %t, witness for %q", id, known.local.Query, known.witness))
		return nil
	})
}

// Block keeps a site out, at once and whatever others say. Its connections are ended by
// whoever follows the roster.
func (d *Desk) Block(ctx context.Context, name string) error {
	return d.step(ctx, func(next *draft) error {
		id, err := next.find(name)
		if err != nil {
			return err
		}
		known := next.change(id)
		known.local, known.witness = Local{Blocked: true}, nil
		delete(next.invites, id)
		next.save[keyOwn] = nil
		next.record("blocked", known.name, fmt.Sprintf("site %s", id))
		return nil
	})
}

// Unblock takes a block back. The site is as it was before anybody here decided about it.
func (d *Desk) Unblock(ctx context.Context, name string) error {
	return d.step(ctx, func(next *draft) error {
		id, err := next.find(name)
		if err != nil {
			return err
		}
		known := next.change(id)
		known.local = Local{}
		next.record("unblocked", known.name, fmt.Sprintf("site %s", id))
		return nil
	})
}

// VoteToExpel tells the others that this site's operator wants a site out. It blocks it here as
// well: who votes against a site does not go on speaking with it.
func (d *Desk) VoteToExpel(ctx context.Context, name string) error {
	return d.step(ctx, func(next *draft) error {
		id, err := next.find(name)
		if err != nil {
			return err
		}
		if err := d.say(next, id, Expels); err != nil {
			return err
		}
		known := next.change(id)
		known.local, known.witness = Local{Blocked: true}, nil
		next.record("expel vote", known.name, fmt.Sprintf("site %s", id))
		return nil
	})
}

// Found begins a network with this site as its founder. It wraps ErrNetwork if the site has
// anybody in a network already.
func (d *Desk) Found(ctx context.Context, name string) error {
	return d.step(ctx, func(next *draft) error {
		if next.settled() || next.joining != "" {
			return fmt.Errorf("%w: this site is in network %.64q already", ErrNetwork, next.genesis.Name)
		}
		g, err := NewGenesis(name, next.own.ID())
		if err != nil {
			return err
		}
		next.genesis = g
		next.save[keyOwn] = nil
		next.record("founded", "", fmt.Sprintf("network %s", name))
		return nil
	})
}

// TakeRecord takes the next record of this very site, which its owner signed offline. node is
// the key that this node will go on with: a record that does not name it would end the node.
func (d *Desk) TakeRecord(ctx context.Context, signed roots.Signed, node ed25519.PublicKey) error {
	return d.step(ctx, func(next *draft) error {
		c, err := next.own.Append(signed)
		if err != nil {
			return err
		}
		key, ok := roots.KeyOf(node)
		r := c.Record()
		if _, named := r.NodeKey(key.ID()); !ok || !named && !r.Left {
			return fmt.Errorf("%w: the record names %v, and the node is %s", ErrOtherNode, r.NodeIDs(), key.ID())
		}
		next.own = c
		next.save[keyOwn] = nil
		next.record("own record", "", fmt.Sprintf("this site's record is (%d,%d) now, nodes %v, left: %t", r.Epoch, r.Update, r.NodeIDs(), r.Left))
		return nil
	})
}
