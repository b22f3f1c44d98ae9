package members

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/roots"
)

// joinRequest is all that a newcomer brings.
type joinRequest struct {
	Invite string         `json:"invite"`
	Chain  []roots.Signed `json:"chain"`
}

// Invite makes an invite for a site: this operator's approval of it, and where to come to.
// It wraps ErrInvite if this site has no address that others can reach.
func (d *Desk) Invite(ctx context.Context, id trust.SiteID) (string, error) {
	var text string
	err := d.step(ctx, func(next *draft) error {
		r := next.own.Record()
		i := slices.IndexFunc(r.Nodes, func(n roots.Node) bool { return n.ID == d.node })
		if i < 0 {
			return ErrOtherNode
		}
		if len(next.invites) >= maxInvites {
			return fmt.Errorf("%w: %d invites are open already; each ends after %s", ErrInvite, maxInvites, InviteLife)
		}
		if id == next.own.ID() {
			return fmt.Errorf("%w: %s is this site itself", ErrInvite, id)
		}
		var err error
		text, err = Invite{Genesis: next.genesis, For: id, By: next.own.ID(), Name: r.Name, Addrs: r.Nodes[i].Addrs}.Seal(d.o.Key, next.now)
		if err != nil {
			return err
		}
		next.invites[id] = next.now.Add(InviteLife).Unix()
		next.save[keyOwn] = nil
		known := next.change(id)
		known.local.Approved, known.local.Blocked = true, false
		next.record("invited", known.name, fmt.Sprintf("site %s", id))
		return nil
	})
	return text, err
}

// Expects tells whether any invite is open: only then is a node that nobody knows let in
// as far as to say who it is.
func (d *Desk) Expects() bool {
	now := d.o.Now().Unix()
	for _, until := range d.state.Load().invites {
		if now < until {
			return true
		}
	}
	return false
}

// Join takes an invite: the network's beginning, and the inviter as the first site that is
// approved here. query lets the inviter's researchers ask this site. The rest follows when
// the inviter is reached.
func (d *Desk) Join(ctx context.Context, text string, query bool) error {
	return d.step(ctx, func(next *draft) error {
		i, err := OpenInvite(text, next.own.ID(), next.now)
		if err != nil {
			return err
		}
		if i.Genesis.Network() != next.genesis.Network() && next.settled() {
			return fmt.Errorf("%w: this site is in network %.64q already, and the invite is to %.64q: a site is in one network",
				ErrNetwork, next.genesis.Name, i.Genesis.Name)
		}
		next.genesis, next.joining = i.Genesis, text
		next.save[keyOwn] = nil
		known := next.change(i.By)
		known.local = Local{Approved: true, Query: query}
		if known.name == "" {
			known.name = i.Name
		}
		next.record("joining", known.name, fmt.Sprintf("network %s, by an invite of site %s, node %s", i.Genesis.Name, i.By, i.Node))
		return nil
	})
}

// settled tells whether this site has anybody in its network: then it cannot change it.
func (s *state) settled() bool {
	return len(s.pins) > 0 || slices.ContainsFunc(s.view.Sites, func(m Site) bool { return m.Admitted })
}

// inviter gives where to find the site whose invite waits to be taken up.
func (s *state) inviter() (Invite, bool) {
	if s.joining == "" {
		return Invite{}, false
	}
	i, err := claimOfInvite(s.joining)
	return i, err == nil
}

// claimOfInvite reads an invite that was verified when it was taken.
func claimOfInvite(text string) (Invite, error) {
	var i Invite
	payload, ok := payloadOf(text, MaxInviteBytes)
	if !ok {
		return i, ErrInvite
	}
	return i, jose.Unmarshal(payload, &i)
}

// Inviter is the node to dial while an invite waits to be taken up; false if none does.
func (d *Desk) Inviter() (Site, bool) {
	s := d.state.Load()
	i, ok := s.inviter()
	if !ok {
		return Site{}, false
	}
	name := i.Name
	if known := s.sites[i.By]; known != nil && known.name != "" {
		name = known.name
	}
	return Site{ID: i.By, Name: name, Node: i.Node, Addrs: i.Addrs}, true
}

// comeIn shows the inviter who this site is, and takes in what it answers.
func (d *Desk) comeIn(ctx context.Context) error {
	s := d.state.Load()
	i, ok := s.inviter()
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	b, err := d.o.Mesh.Join(ctx, i.Node, encode(joinRequest{s.joining, s.own.Records()}))
	if err != nil {
		return err
	}
	a, err := decodeAnswer(b)
	if err != nil {
		return err
	}
	if _, err := d.take(ctx, a.News); err != nil {
		d.o.Log.Debug("refused what the inviter said about sites", "error", err)
	}
	if len(a.Members) > maxSites {
		return fmt.Errorf("%w: the inviter names %d members, at most %d are taken", ErrInvite, len(a.Members), maxSites)
	}
	return d.step(ctx, func(next *draft) error {
		if next.chainOf(i.By) == nil {
			return fmt.Errorf("%w: the inviter did not show its own record", ErrInvite)
		}
		for _, id := range a.Members {
			// For gossip, and until its operator says otherwise: what the inviter says about
			// others is not endorsed any further.
			if _, err := trust.ParseSiteID(string(id)); err == nil && id != next.own.ID() && (next.sites[id] != nil || len(next.sites) < maxSites) {
				next.change(id).local.Accepted = true
			}
		}
		next.joining = ""
		next.save[keyOwn] = nil
		next.record("joined", next.sites[i.By].name, fmt.Sprintf("network %s", next.genesis.Name))
		return nil
	})
}

// ServeJoin answers a newcomer. key is the one that the connection proved. Nil is a refusal:
// a stranger learns nothing from it.
func (d *Desk) ServeJoin(ctx context.Context, key ed25519.PublicKey, b []byte) []byte {
	a, err := d.welcome(ctx, key, b)
	if err != nil {
		d.o.Log.Warn("a newcomer was not let in", "error", err)
		return nil
	}
	return encode(a)
}

func (d *Desk) welcome(ctx context.Context, key ed25519.PublicKey, b []byte) (answer, error) {
	var r joinRequest
	if len(b) > MaxJoinBytes {
		return answer{}, fmt.Errorf("%w: %d bytes, at most %d are read", ErrInvite, len(b), MaxJoinBytes)
	}
	if err := jose.Unmarshal(b, &r); err != nil {
		return answer{}, err
	}
	// The invite first: it is one signature, and without it nothing else is looked at.
	s := d.state.Load()
	now := d.o.Now()
	claim, err := claimOfInvite(r.Invite)
	if err != nil {
		return answer{}, err
	}
	if _, err := OpenInvite(r.Invite, claim.For, now); err != nil {
		return answer{}, err
	}
	until, open := s.invites[claim.For]
	if claim.Node != d.node || claim.By != s.own.ID() || !open || now.Unix() >= until {
		return answer{}, fmt.Errorf("%w: it was not made here, or is not open any more", ErrInvite)
	}
	c, err := roots.Open(r.Chain)
	if err != nil {
		return answer{}, err
	}
	shown, ok := roots.KeyOf(key)
	if _, names := c.Record().NodeKey(shown.ID()); !ok || !names || c.ID() != claim.For {
		return answer{}, errors.New("the chain is another site's than the invite's, or names another node than the one that brings it")
	}
	if err := d.step(ctx, func(next *draft) error {
		if !next.takeChain(d.o.Site, c) {
			return errNothing
		}
		return nil
	}); err != nil {
		return answer{}, err
	}
	s = d.state.Load()
	n, more := s.lacks(map[trust.SiteID]place{c.ID(): s.placeOf(c.ID())})
	welcome := answer{News: n, More: more}
	for _, m := range s.view.Sites {
		if m.Admitted && m.ID != "" && m.ID != c.ID() {
			welcome.Members = append(welcome.Members, m.ID)
		}
	}
	return welcome, nil
}
