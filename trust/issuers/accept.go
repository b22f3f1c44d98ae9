package issuers

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// accept takes in one bundle that a peer brought, whoever the peer is: verify,
// write, show, pass on. It tells whether anything was new. A bundle of a site that is
// not a peer is passed over.
func (d *Desk) accept(ctx context.Context, w wireBundle) (bool, error) {
	s := d.state.Load()
	// This site's own word comes back from peers: that is how a node that was restored
	// from an old backup hears what it has forgotten.
	if w.Of == d.node {
		if s.own.bundle != nil && string(s.own.bundle.head.envelope) == w.Head {
			return false, nil
		}
		b, _, err := w.verify(pin{d.network, d.site, d.node}, nil)
		if err != nil {
			return false, err
		}
		// Its tombstones first: a head of a new epoch that lacks one would be taken by nobody.
		if err := d.recall(ctx, b.relics()); err != nil {
			return false, err
		}
		return false, d.recover(ctx, b.head, false)
	}
	site, ok := s.sites[w.Of]
	if !ok {
		return false, nil
	}
	p, _ := s.pinOf(d.network, site)
	// The commonest case, an answer that brings what is held already, must cost no
	// signature check.
	held := s.author(site)
	if held != nil && held.bundle != nil && string(held.bundle.head.envelope) == w.Head {
		return false, nil
	}
	b, key, err := w.verify(p, held.held())
	if err != nil {
		return false, err
	}
	// Times are checked against this node's clock and not against the evaluation floor:
	// the floor is made of other sites' clocks, and must not decide whose clock is right.
	if err := b.timely(d.now()); err != nil {
		d.clock.suspect(site, b.head.issued(), d.now())
		return false, err
	}
	// Unexpired tombstones may not vanish between heads (section 6). A new epoch is no way around it: who
	// was restored gets its own word back from whoever holds it.
	if held != nil && held.news(b.head) == newer {
		if t, gone := vanished(held.keeps(), b, d.now()); gone {
			return false, refuse("%s dropped its tombstone for %s of %.200q, which has not ended", site, t.Thumbprint, t.Issuer)
		}
	}
	return d.merge(ctx, p, key, b.head, func(a *author) *author { return a.withBundle(p, key, b) })
}

// acceptFork takes in a proof that a peer brought. Both heads are verified by the key
// that comes with them: jose.Open checks that it hashes to the pinned NodeID, so a proof
// needs no site record to be believed.
func (d *Desk) acceptFork(ctx context.Context, w wireFork) (bool, error) {
	s := d.state.Load()
	key, err := base64.RawURLEncoding.Strict().DecodeString(w.Key)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return false, refuse("a fork proof of %.60q brings no key", w.Of)
	}
	if w.Of == d.node {
		self := pin{d.network, d.site, d.node}
		f, err := openFork(w.Heads, self, key)
		if err != nil {
			return false, err
		}
		relics, err := openRelics(w.Tombs, self, key)
		if err != nil {
			return false, err
		}
		if err := d.recall(ctx, relics); err != nil {
			return false, err
		}
		// The higher of the two says how far versions went that peers may have seen.
		h := f.a
		if h.Version < f.b.Version {
			h = f.b
		}
		return false, d.recover(ctx, h, true)
	}
	site, ok := s.sites[w.Of]
	if !ok {
		return false, nil
	}
	p, _ := s.pinOf(d.network, site)
	f, err := openFork(w.Heads, p, key)
	if err != nil {
		return false, err
	}
	relics, err := openRelics(w.Tombs, p, key)
	if err != nil {
		return false, err
	}
	return d.merge(ctx, p, key, f.b, func(a *author) *author { return a.withFork(p, key, f, relics...) })
}

// merge replaces an author by join(author): the one place where evidence of other
// sites enters the state. head is what is passed on if it was new.
func (d *Desk) merge(ctx context.Context, p pin, key ed25519.PublicKey, head signedHead, join func(*author) *author) (bool, error) {
	// The rate is judged before the turn to write is taken: an author that floods must
	// not make others wait.
	before := d.state.Load().author(p.site)
	if after := join(before); after != before && !after.silences(before) && !d.allow(p.site, before.news(head) == older) {
		return false, refuse("%s signs heads faster than one in %s", p.site, headEvery)
	}
	forked := false
	err := d.commit(ctx, func(next *draft) error {
		if next.peers[p.site] != p.node {
			return errNothing // the peer was removed meanwhile
		}
		// Between the look above and this turn others may have written; the join makes
		// that harmless.
		old := next.author(p.site)
		merged := join(old)
		if merged == nil || merged == old {
			return errNothing
		}
		forked = merged.forked() && (old == nil || !old.forked())
		if forked {
			next.record(outcomeForked, p.site, fmt.Sprintf("site %s signed two histories in epoch %d; its word counts for nothing until its epoch rises", p.site, merged.epoch()))
		}
		next.authors[p.site] = merged
		next.saveAuthor(merged)
		next.raiseFloor(head.issued())
		return nil
	})
	if errors.Is(err, errNothing) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	d.stats.headsAccepted.Add(1)
	if forked {
		d.stats.forks.Add(1)
		d.log.Warn("a site signed two histories; its word counts for nothing", "site", p.site, "epoch", head.Epoch)
	}
	// Passing on only what was new keeps gossip finite; memberlist's own
	// broadcasts travel one hop.
	d.mesh.Broadcast(head.envelope)
	return true, nil
}

// hear takes in one head that gossip brought. It never waits for the network: what
// must be pulled becomes an errand.
func (d *Desk) hear(ctx context.Context, envelope []byte) error {
	d.stats.headsHeard.Add(1)
	s := d.state.Load()
	node, err := claimedSigner(envelope)
	if err != nil {
		return err
	}
	if node == d.node {
		public, _ := d.key.Public().(ed25519.PublicKey)
		h, err := openHead(envelope, pin{d.network, d.site, d.node}, public)
		if err != nil {
			return err
		}
		return d.recover(ctx, seal(h, envelope), false)
	}
	site, ok := s.sites[node]
	if !ok {
		return refuse("a head by node %s, which is no peer", node.Short())
	}
	p, _ := s.pinOf(d.network, site)
	held := s.author(site)
	if held == nil {
		// Its key comes with its site record; until then nothing can be verified, so
		// nothing is believed or passed on, and the asking is slowed.
		d.errands.addSlowly(errand{author: site}, d.now())
		return nil
	}
	h, err := openHead(envelope, p, held.key)
	if err != nil {
		return err
	}
	if err := h.timely(d.now(), site); err != nil {
		d.clock.suspect(site, h.issued(), d.now())
		return err
	}
	head := seal(h, envelope)
	switch held.news(head) {
	case newer:
		// The rate is only looked at: it is spent when the records are taken, else an
		// author that nobody can reach would use it up by being heard of.
		if d.mayTake(site) {
			d.errands.add(errand{author: site, wanted: h})
		}
	// Only the head is needed here, and it is verified: nothing has to be pulled.
	case older, forking:
		_, err = d.merge(ctx, p, held.key, head, func(a *author) *author {
			if a == nil {
				return nil
			}
			return a.withHead(head)
		})
	}
	return err
}

// claimedSigner reads the kid of an envelope, unverified: only to choose the key
// to verify with.
func claimedSigner(envelope []byte) (trust.NodeID, error) {
	if len(envelope) > MaxHeadBytes {
		return "", refuse("a message of %d bytes; at most %d are taken", len(envelope), MaxHeadBytes)
	}
	first, _, _ := strings.Cut(string(envelope), ".")
	raw, err := base64.RawURLEncoding.Strict().DecodeString(first)
	if err != nil {
		return "", refuse("a message that is no envelope")
	}
	var header struct {
		KeyID string `json:"kid"`
	}
	if err := jose.Unmarshal(raw, &header); err != nil {
		return "", refuse("a message that is no envelope: %w", err)
	}
	node, err := trust.ParseNodeID(header.KeyID)
	if err != nil {
		return "", refuse("a message that is no envelope: %w", err)
	}
	return node, nil
}

// refused counts and logs something that a peer sent and that was not taken.
func (d *Desk) refused(from trust.SiteName, err error) {
	d.stats.refused.Add(1)
	d.log.Debug("refused evidence", "from", from, "error", err)
}

func encodeKey(key ed25519.PublicKey) string { return base64.RawURLEncoding.EncodeToString(key) }
