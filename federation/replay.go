package federation

import (
	"sync"
	"time"

	"github.com/candignode/candignode/trust"
)

// replays remembers which assertions were used. The invariant: an assertion
// that was fresh once is never fresh again, whatever the clock does. So when the
// memory is full, nothing more is fresh; and nothing that is as old as something
// forgotten is fresh either.
//
// It lives in memory only. What was used before a restart is kept out by
// assertion.checkTime and by the exporter value.
type replays struct {
	mu    sync.Mutex
	peers map[trust.NodeID]*seen
}

// seen are one peer's assertions, in slices of replaySlice, newest first. Whole
// slices are forgotten, so nothing is ever searched or sorted.
type seen struct {
	slices [replaySlices]slice
	since  time.Time // when slices[0] was begun
	number int
	// horizon is the greatest iat of all that was forgotten. By then it lies
	// before anything in time, so it refuses nothing, unless the clock was set
	// back: then it keeps out what was used and forgotten, and a clock that only
	// jumped ahead for a while costs no more than that while.
	horizon int64
}

type slice struct {
	used   map[jti]struct{}
	newest int64 // the greatest iat
}

// verdict is what replays says about an assertion.
type verdict int

const (
	fresh verdict = iota // and remembered from now on
	used                 // or it may have been
	full                 // it could not be remembered, so it must not be used
)

// use remembers an assertion that was made at iat, and tells whether it may be
// used at now.
func (r *replays) use(peer trust.NodeID, id jti, iat int64, now time.Time) verdict {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.peers == nil {
		r.peers = make(map[trust.NodeID]*seen)
	}
	s := r.peers[peer]
	if s == nil {
		s = &seen{since: now}
		r.peers[peer] = s
	}
	s.forget(now)
	if iat <= s.horizon {
		return used
	}
	for i := range s.slices {
		if _, was := s.slices[i].used[id]; was {
			return used
		}
	}
	if s.number >= maxRemembered {
		return full
	}
	newest := &s.slices[0]
	if newest.used == nil {
		newest.used = make(map[jti]struct{})
	}
	newest.used[id] = struct{}{}
	newest.newest = max(newest.newest, iat)
	s.number++
	return fresh
}

// forget begins new slices as time passes and drops the oldest.
func (s *seen) forget(now time.Time) {
	for range replaySlices {
		if now.Sub(s.since) < replaySlice {
			return
		}
		oldest := s.slices[replaySlices-1]
		s.number -= len(oldest.used)
		s.horizon = max(s.horizon, oldest.newest)
		copy(s.slices[1:], s.slices[:replaySlices-1])
		s.slices[0] = slice{}
		s.since = s.since.Add(replaySlice)
	}
	s.since = now // everything is forgotten: begin where the clock is
}

// gate bounds how many questions of one peer are served at once.
type gate struct {
	mu    sync.Mutex
	peers map[trust.NodeID]*serving
}

type serving struct {
	number int
	noted  time.Time // when the peer was last recorded as busy
}

// enter takes a place. Without one, note tells whether it is time to record
// that the peer is over its bound.
func (g *gate) enter(peer trust.NodeID, now time.Time) (ok, note bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.peers == nil {
		g.peers = make(map[trust.NodeID]*serving)
	}
	s := g.peers[peer]
	if s == nil {
		s = &serving{}
		g.peers[peer] = s
	}
	if s.number >= maxServing {
		if note = s.noted.IsZero() || now.Sub(s.noted) >= busyNote; note {
			s.noted = now
		}
		return false, note
	}
	s.number++
	return true, false
}

// leave gives the place back.
func (g *gate) leave(peer trust.NodeID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.peers[peer].number--
}
