package members

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/candignode/candignode/trust"
)

// Run compares with peers and tells them what is new, until ctx ends. It may run once in the
// life of a desk.
func (d *Desk) Run(ctx context.Context) error {
	if d.running.Swap(true) {
		return errors.New("members: Run was called twice")
	}
	var calls sync.WaitGroup
	defer calls.Wait()
	tick := time.NewTicker(connectedEvery)
	defer tick.Stop()
	known := map[trust.NodeID]bool{}
	next, last := d.o.Now().Add(jitter(compareEvery)), d.state.Load()
	for {
		peers := d.o.Mesh.Connected()
		still := make(map[trust.NodeID]bool, len(peers))
		for _, node := range peers {
			still[node] = true
			// Who comes back may have missed everything, and so may this node.
			if !known[node] {
				calls.Go(func() { d.meet(ctx, node) })
			}
		}
		known = still
		if now := d.o.Now(); !now.Before(next) {
			next = now.Add(jitter(compareEvery))
			if len(peers) > 0 {
				node := peers[rand.IntN(len(peers))]
				calls.Go(func() { d.meet(ctx, node) })
			}
			// Time alone ends invites and records.
			if err := d.step(ctx, func(*draft) error { return nil }); err != nil && ctx.Err() == nil {
				d.o.Log.Warn("the roster could not be brought up to date", "error", err)
			}
		}
		select {
		case <-tick.C:
		case <-d.news:
			s := d.state.Load()
			if n, _ := s.lacks(last.have()); len(n.Chains)+len(n.Words) > 0 {
				calls.Go(func() { d.push(ctx, peers, n) })
			}
			last = s
		case <-ctx.Done():
			return nil
		}
	}
}

// meet compares with a connected peer, or shows the inviter who this site is.
func (d *Desk) meet(ctx context.Context, node trust.NodeID) {
	if i, ok := d.state.Load().inviter(); ok && i.Node == node {
		if err := d.comeIn(ctx); err != nil {
			d.o.Log.Info("the invite could not be taken up yet", "error", err)
			return
		}
	}
	if err := d.syncWith(ctx, node); err != nil {
		d.o.Log.Debug("sites were not compared", "node", node.Short(), "error", err)
	}
}

// push tells some peers what is new; comparing brings it to the others.
func (d *Desk) push(ctx context.Context, peers []trust.NodeID, n news) {
	if len(encode(request{News: n})) > MaxSyncRequestBytes {
		return // much is new, as after a join: whoever lacks it asks for it
	}
	peers = slices.Clone(peers)
	rand.Shuffle(len(peers), func(i, j int) { peers[i], peers[j] = peers[j], peers[i] })
	var calls sync.WaitGroup
	for _, node := range peers[:min(len(peers), pushTo)] {
		calls.Go(func() {
			if _, err := d.call(ctx, node, request{News: n}); err != nil {
				d.o.Log.Debug("a peer was not told of a site's news", "node", node.Short(), "error", err)
			}
		})
	}
	calls.Wait()
}

// jitter gives up to a tenth less than t, so that sites do not move in step.
func jitter(t time.Duration) time.Duration {
	return t - time.Duration(rand.Int64N(int64(t)/10+1))
}
