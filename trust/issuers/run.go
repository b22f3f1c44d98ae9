package issuers

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/candignode/candignode/trust"
)

// Run polls the issuers, signs heads, listens to gossip and compares with peers
// until ctx ends; then it waits for what it started. It may run once in the life
// of a desk.
func (d *Desk) Run(ctx context.Context) error {
	if d.running.Swap(true) {
		return errors.New("issuers: Run was called twice")
	}
	loops := []func(context.Context){d.listen, d.compare, d.speak, d.pollIssuers, d.age}
	for range pullers {
		loops = append(loops, d.pull)
	}
	var running sync.WaitGroup
	for _, loop := range loops {
		running.Go(func() { loop(ctx) })
	}
	running.Wait()
	// In this order: nothing new may start, then all that began before is counted, and
	// then waited for.
	d.end()
	d.flights.barrier()
	d.flying.Wait()
	return nil
}

// listen takes in heads. It does no network I/O, so whoever sends is not kept
// waiting longer than one write takes.
func (d *Desk) listen(ctx context.Context) {
	heard := d.heard
	for {
		var message []byte
		var open bool
		select {
		// A closed channel is always ready: without nil this loop would spin.
		case message, open = <-heard:
			if !open {
				heard = nil
				continue
			}
		case message = <-d.offered:
		case <-ctx.Done():
			return
		}
		if err := d.hear(ctx, message); err != nil {
			d.refused("", err)
		}
	}
}

// compare asks every peer that newly connected, and one random peer now and then,
// for all that this node lacks. Whatever gossip lost is found so.
func (d *Desk) compare(ctx context.Context) {
	tick := time.NewTicker(connectedEvery)
	defer tick.Stop()
	known := map[trust.NodeID]bool{}
	next := d.now().Add(jitter(antiEntropy))
	warned := map[trust.NodeID]time.Time{}
	for {
		peers := d.connectedPeers(d.state.Load())
		still := make(map[trust.NodeID]bool, len(peers))
		for _, node := range peers {
			still[node] = true
			// A peer that comes back may have missed everything, and so may this node.
			if !known[node] {
				d.errands.add(errand{node: node})
			}
		}
		known = still
		for _, node := range d.state.Load().unacked(peers) {
			if last, ok := warned[node]; ok && within(last, d.now(), warnEvery) {
				continue
			}
			warned[node] = d.now()
			d.background(func(ctx context.Context) {
				if err := d.warn(ctx, node); err != nil && !errors.Is(err, errNothing) {
					d.log.Info("a peer has not acknowledged a tombstone yet", "node", node.Short(), "error", err)
				}
			})
		}
		if now := d.now(); !now.Before(next) {
			next = now.Add(jitter(antiEntropy))
			if len(peers) > 0 {
				d.errands.add(errand{node: peers[rand.IntN(len(peers))]})
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// speak signs this site's heads: one at the start, one on every change, one each
// heartbeat.
func (d *Desk) speak(ctx context.Context) {
	if !d.awaitPeers(ctx) {
		return
	}
	d.speaking.Store(true)
	beat := time.NewTimer(jitter(heartbeat))
	defer beat.Stop()
	force := true
	for {
		var retry <-chan time.Time
		if err := d.sayNow(ctx, force); err == nil {
			force = false
		} else if ctx.Err() == nil {
			d.log.Debug("no head was signed", "error", err)
			retry = time.After(headEvery)
		}
		select {
		case <-d.kicked:
		// nil, and so never ready, unless the newest head could not be signed.
		case <-retry:
		case <-beat.C:
			force = true
			beat.Reset(jitter(heartbeat))
		case <-ctx.Done():
			return
		}
	}
}

// awaitPeers gives peers the time to show heads that this node has forgotten. It
// tells false when ctx ended.
func (d *Desk) awaitPeers(ctx context.Context) bool {
	if len(d.state.Load().peers) == 0 {
		return ctx.Err() == nil
	}
	grace := time.NewTimer(firstHeadGrace)
	defer grace.Stop()
	select {
	case <-d.firstSync:
	case <-grace.C:
	case <-ctx.Done():
		return false
	}
	return true
}

var errTooFast = errors.New("this site signed too many heads lately")

// sayNow signs a head if there is something to say, within the rate that peers
// accept, and offers it to those connected: gossip alone would do, later.
func (d *Desk) sayNow(ctx context.Context, force bool) error {
	if !d.speaking.Load() {
		return nil
	}
	if d.ownRate.TokensAt(d.now()) < 1 {
		return errTooFast
	}
	// The rate is spent only when a head was really signed: to look and find nothing
	// new costs peers nothing.
	before := d.state.Load().own.bundle
	signed, err := d.publish(ctx, force)
	if err != nil || !signed {
		return err
	}
	d.ownRate.AllowN(d.now(), 1)
	own := d.state.Load().own.bundle
	if before != nil && force {
		return nil // a heartbeat is in no hurry
	}
	request := encode(syncRequest{Heads: []string{string(own.head.envelope)}})
	// In the background and without an answer: a peer that hangs holds up nobody, and one
	// that misses it compares within antiEntropy.
	for _, node := range d.connectedPeers(d.state.Load()) {
		d.background(func(ctx context.Context) {
			ctx, cancel := context.WithTimeout(ctx, callTime)
			defer cancel()
			if _, err := d.mesh.Call(ctx, node, request); err != nil {
				d.log.Debug("a peer was not offered the new head", "node", node.Short(), "error", err)
			}
		})
	}
	return nil
}

// age looks at the evidence again when the first of it grows stale: time alone ends
// belief, without any event.
func (d *Desk) age(ctx context.Context) {
	for {
		s := d.state.Load()
		wait := time.Hour // at most: the clock may be set
		for _, b := range s.beliefs {
			if next := b.Next(); !next.IsZero() {
				wait = min(wait, max(next.Sub(s.evaluation(d.now())), time.Second))
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
			if err := d.commit(ctx, func(*draft) error { return nil }); err != nil {
				d.log.Debug("aging evidence", "error", err)
			}
		case <-s.replaced:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// jitter gives up to a tenth less than t, so that sites do not move in step.
func jitter(t time.Duration) time.Duration {
	return t - time.Duration(rand.Int64N(int64(t)/10+1))
}

// newOwnRate is one head below what peers take, as clocks do not run alike.
func newOwnRate() *rate.Limiter { return rate.NewLimiter(rate.Every(headEvery), headBurst-1) }
