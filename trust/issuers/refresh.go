package issuers

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/candignode/candignode/trust"
)

// Refresh asks for fresh keys of a configured issuer, for the sake of a kid that
// no believed key has. However many ask, the issuer is fetched at most once in
// refreshEvery, and the policy's witnesses are asked to do the same, so that mode
// direct+quorum picks a rotated key up within one query. It waits at most
// refreshWait, or until ctx ends, and tells whether the View may have changed
// since the last that the caller can have seen.
func (d *Desk) Refresh(ctx context.Context, issuer string) bool {
	// Nothing but a configured issuer is ever fetched, whatever a token names: else anybody
	// who can send a token could aim this node at any address.
	s := d.state.Load()
	p, ok := s.policies[issuer]
	if !ok || p.Mode == trust.ModeManual {
		return false
	}
	d.stats.refreshes.Add(1)
	fl, hint, since := d.ask(p, p.Mode == trust.ModeDirectQuorum || fromElsewhere(p))
	if fl == nil && !hint {
		d.stats.refreshesSpared.Add(1)
		return d.View().Revision > since
	}
	ctx, cancel := context.WithTimeout(ctx, refreshWait)
	defer cancel()
	hints := make(chan struct{})
	if hint {
		d.hintWitnesses(s, p, hints)
	} else {
		close(hints)
	}
	var fetched <-chan struct{}
	if fl != nil {
		fetched = fl.done
	}
	// A View that changed is not enough to stop waiting for: this node's own fetch
	// withdraws an old key before the witnesses confirm the new one.
	for fetched != nil || hints != nil {
		now := d.state.Load()
		// Where others ask for this node, their first word changes nothing yet: it waits for enough of them.
		if fetched == nil && now.allBelieved(issuer) && (!fromElsewhere(p) || now.revision > since) {
			break
		}
		select {
		case <-fetched:
			fetched = nil
		case <-hints:
			hints = nil
		case <-now.replaced:
		case <-ctx.Done():
			return d.View().Revision > since
		}
	}
	return d.View().Revision > since
}

// ask decides what one refresh may cause: a fetch of this node's own (or joining
// one under way), and hints to witnesses. since is the revision at which the
// newest refresh began.
func (d *Desk) ask(p trust.IssuerPolicy, others bool) (fl *flight, hint bool, since uint64) {
	issuer, now, revision := p.Issuer, d.now(), d.View().Revision
	f := &d.flights
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.asked == nil {
		f.asked, f.hinted = map[string]asked{}, map[string]time.Time{}
	}
	if last, ok := f.asked[issuer]; ok && within(last.at, now, refreshEvery) {
		fl, since = f.flying[issuer], last.revision
	} else {
		f.asked[issuer] = asked{now, revision}
		since = revision
		if fetches(p) {
			fl = d.fly(issuer)
		}
	}
	// Hints have their own limit: a fetch that a peer asked for must not keep this node
	// from asking its witnesses.
	if last, ok := f.hinted[issuer]; others && !(ok && within(last, now, refreshEvery)) {
		f.hinted[issuer] = now
		hint = true
	}
	return fl, hint, since
}

// hintWitnesses asks every connected witness, and the home where that decides, to fetch the issuer, and takes in
// what they answer; done is closed when all have.
func (d *Desk) hintWitnesses(s *state, p trust.IssuerPolicy, done chan struct{}) {
	connected := d.mesh.Connected()
	var nodes []trust.NodeID
	others := p.Witnesses
	if p.Mode == trust.ModeHome {
		others = []trust.SiteName{p.Home}
	}
	for _, site := range others {
		if node, ok := s.peers[site]; ok && slices.Contains(connected, node) {
			nodes = append(nodes, node)
		}
	}
	var left atomic.Int64
	// One more than there are nodes: this function holds it until all are started, so
	// that done cannot be closed half way, and is closed when there are none.
	left.Store(int64(len(nodes)) + 1)
	leave := func() {
		if left.Add(-1) == 0 {
			close(done)
		}
	}
	for _, node := range nodes {
		// Not the caller's context: what the witnesses answer is worth having for the next
		// caller, when this one has gone.
		started := d.background(func(ctx context.Context) {
			defer leave()
			ctx, cancel := context.WithTimeout(ctx, refreshWait+time.Second)
			defer cancel()
			if _, err := d.exchange(ctx, node, syncRequest{Have: s.have().whole(), Refresh: p.Issuer}); err != nil {
				d.log.Debug("a witness did not refresh", "node", node.Short(), "error", err)
			} else if err := d.askForBlobs(ctx, node); err != nil {
				d.log.Debug("a witness gave no keys", "node", node.Short(), "error", err)
			}
		})
		if !started {
			leave()
		}
	}
	leave()
}

// refreshFor serves a witness' share of somebody else's refresh: the same limit,
// configured issuers only, and a head about the result before it answers.
func (d *Desk) refreshFor(site trust.SiteName, issuer string) {
	p, ok := d.state.Load().policies[issuer]
	if !ok || !fetches(p) {
		return
	}
	fl, _, _ := d.ask(p, false)
	if fl == nil {
		return
	}
	timer := time.NewTimer(refreshWait)
	defer timer.Stop()
	select {
	case <-fl.done:
		if err := d.sayNow(d.life, false); err != nil {
			d.log.Debug("refreshed for a peer, but signed no head", "site", site, "error", err)
		}
	// The peer waits no longer than a caller would; what the fetch brings rides the
	// next head.
	case <-timer.C:
	case <-d.life.Done():
	}
}

// allBelieved tells whether every key that this node fetched is believed: there
// is nothing left to wait for.
func (s *state) allBelieved(issuer string) bool {
	return len(s.beliefs[issuer].Keys) > 0 && !slices.ContainsFunc(s.beliefs[issuer].Keys, func(k KeyBelief) bool {
		return !k.Believed && k.Public != nil
	})
}

// within tells whether now is less than d after last. A clock that was set back
// does not lengthen the wait.
func within(last, now time.Time, d time.Duration) bool {
	return !now.Before(last) && now.Sub(last) < d
}
