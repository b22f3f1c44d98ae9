package issuers

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/candignode/candignode/trust"
)

// errand is something to pull: from one peer all that it has, or from anybody
// what an author signed.
type errand struct {
	node   trust.NodeID
	author trust.SiteName
	wanted Head // of author; zero: anything
}

func (e errand) key() string { return string(e.node) + "/" + string(e.author) }

// errands are waiting errands, one for each peer or author: however much news of
// one author arrives, one pull at a time brings all of it.
type errands struct {
	mu      sync.Mutex
	waiting []errand
	running map[string]bool
	slowed  map[string]time.Time
	wake    chan struct{}
}

// add replaces an errand that waits for the same, if this one wants more, so the queue is
// never longer than there are peers and authors.
func (q *errands) add(e errand) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.IndexFunc(q.waiting, func(o errand) bool { return o.key() == e.key() }); i >= 0 {
		if e.wanted.compare(q.waiting[i].wanted) > 0 {
			q.waiting[i] = e
		}
		return
	}
	q.waiting = append(q.waiting, e)
	q.poke()
}

// addSlowly adds an errand that an unverified word asks for, at most one of its
// like in errandGap: two sites that cannot agree, or a peer that says so, must not
// keep each other busy. What is dropped here the next comparison finds.
func (q *errands) addSlowly(e errand, now time.Time) {
	q.mu.Lock()
	if q.slowed == nil {
		q.slowed = map[string]time.Time{}
	}
	last, seen := q.slowed[e.key()]
	tooSoon := seen && within(last, now, errandGap)
	if !tooSoon {
		q.slowed[e.key()] = now
	}
	q.mu.Unlock()
	if !tooSoon {
		q.add(e)
	}
}

// take gives the next errand whose like is not running.
func (q *errands) take() (errand, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.IndexFunc(q.waiting, func(e errand) bool { return !q.running[e.key()] })
	if i < 0 {
		return errand{}, false
	}
	e := q.waiting[i]
	q.waiting = slices.Delete(q.waiting, i, i+1)
	if q.running == nil {
		q.running = map[string]bool{}
	}
	q.running[e.key()] = true
	return e, true
}

// done lets the next errand of the kind go. What came in meanwhile wakes a puller: the
// wake that was meant for it found its like still running.
func (q *errands) done(e errand) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.running, e.key())
	if len(q.waiting) > 0 {
		q.poke()
	}
}

// poke never blocks: wake holds one signal for each puller, and more would wake nobody.
func (q *errands) poke() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// pull runs errands until ctx ends.
func (d *Desk) pull(ctx context.Context) {
	for {
		if e, ok := d.errands.take(); ok {
			d.run(ctx, e)
			d.errands.done(e)
			continue
		}
		select {
		case <-d.errands.wake:
		case <-ctx.Done():
			return
		}
	}
}

// run goes to the peer, or to the author and else to at most two others, until
// what is wanted is held. Comparing with a random peer repairs what fails here.
func (d *Desk) run(ctx context.Context, e errand) {
	candidates := []trust.NodeID{e.node}
	// The author itself is asked first, as its newest head is at home there; two others
	// as well, because it may sit behind a firewall that this node cannot reach.
	if e.author != "" {
		s := d.state.Load()
		candidates = d.connectedPeers(s)
		rand.Shuffle(len(candidates), func(i, j int) { candidates[i], candidates[j] = candidates[j], candidates[i] })
		home := s.peers[e.author]
		slices.SortStableFunc(candidates, func(a, b trust.NodeID) int {
			switch {
			case a == b:
				return 0
			case a == home:
				return -1
			case b == home:
				return 1
			}
			return 0
		})
		candidates = candidates[:min(len(candidates), 3)]
	}
	for _, node := range candidates {
		if err := d.syncWith(ctx, node); err != nil {
			d.log.Debug("sync failed", "node", node.Short(), "error", err)
			continue
		}
		// A peer that answers need not have what is wanted, or may keep it back: then
		// the next one is asked.
		if e.author != "" {
			held := d.state.Load().author(e.author).place()
			want := place{Epoch: e.wanted.Epoch, Update: e.wanted.Update, Version: e.wanted.Version, Hash: held.Hash}
			if held.lacks(want) {
				continue
			}
		}
		return
	}
}

// connectedPeers gives the connected nodes that are peers.
func (d *Desk) connectedPeers(s *state) []trust.NodeID {
	return slices.DeleteFunc(slices.Clone(d.mesh.Connected()), func(n trust.NodeID) bool {
		_, ok := s.sites[n]
		return !ok
	})
}

// limits bounds the heads that are taken from each author.
type limits struct {
	mu   sync.Mutex
	rate map[limit]*rate.Limiter
}

// limit names one bound. Heads below the newest have their own: anybody can relay
// those again, and must not use up what the author's next head needs.
type limit struct {
	author trust.SiteName
	older  bool
}

func (l *limits) of(which limit) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rate == nil {
		l.rate = map[limit]*rate.Limiter{}
	}
	if l.rate[which] == nil {
		l.rate[which] = rate.NewLimiter(rate.Every(headEvery), headBurst)
	}
	return l.rate[which]
}

// allow spends one head of an author; mayTake only looks whether a new one may come.
func (d *Desk) allow(site trust.SiteName, older bool) bool {
	return d.limits.of(limit{site, older}).AllowN(d.now(), 1)
}

func (d *Desk) mayTake(site trust.SiteName) bool {
	return d.limits.of(limit{author: site}).TokensAt(d.now()) >= 1
}
