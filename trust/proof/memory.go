package proof

import (
	"sync"
	"time"

	"github.com/candignode/candignode/trust"
)

// memory remembers which proofs were used. The invariant: a proof that was used
// is never fresh again, whatever the clock does. So nothing is forgotten to make
// room: when there is none, nothing more is fresh, and a key that fills its own part
// of the memory closes it for itself alone.
//
// Its time is the greatest age of the process that it was ever shown, so it never goes
// back. The clock of a proof without a nonce may, and then horizon keeps out what was
// used and forgotten. The memory ends with the process: proofClaims.inTime keeps out
// what was used before.
type memory struct {
	mu     sync.Mutex
	boot   time.Time
	latest time.Duration
	keys   map[string]*seen
	total  int
	swept  time.Duration // when every key was last looked at
	// horizon is the greatest iat of all proofs without a nonce that were
	// forgotten: what is as old may have been used.
	horizon time.Time
}

// seen are the proofs of one key, in slices of memorySlice, newest first.
type seen struct {
	slices [memorySlices]slice
	since  time.Duration // when slices[0] was begun
	number int
}

type slice struct {
	used   map[trust.Digest]struct{}
	newest time.Time // the greatest iat
}

// outcome is what the memory says about a proof.
type outcome int

const (
	fresh     outcome = iota // and remembered from now on
	used                     // or it may have been
	forgotten                // it may have been used so long ago that nobody knows
	full                     // it could not be remembered, so it must not be used
)

// age gives the start and the time since then. Times of one process are compared by
// its monotonic clock if they have it, so setting the clock changes nothing; without
// it, age stands still until the clock has caught up.
func (m *memory) age(now time.Time) (boot time.Time, age time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advance(now)
	return m.boot, m.latest
}

func (m *memory) advance(now time.Time) {
	if m.boot.IsZero() {
		m.boot = now
	}
	m.latest = max(m.latest, now.Sub(m.boot))
}

// use remembers a proof and tells whether it may be used at now.
func (m *memory) use(h Held, now time.Time) outcome {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advance(now)
	if m.keys == nil {
		m.keys = make(map[string]*seen)
	}
	m.sweep()
	s := m.keys[h.JKT]
	if s != nil {
		m.forget(s)
		for i := range s.slices {
			if _, was := s.slices[i].used[h.id]; was {
				return used
			}
		}
	}
	switch {
	case !h.issuedAt.IsZero() && !h.issuedAt.After(m.horizon), m.latest-h.age > memorySlice:
		return forgotten
	case m.total >= maxEntries || s != nil && s.number >= maxRemembered:
		return full
	case s == nil:
		s = &seen{since: m.latest}
		m.keys[h.JKT] = s
	}
	newest := &s.slices[0]
	if newest.used == nil {
		newest.used = make(map[trust.Digest]struct{})
	}
	newest.used[h.id] = struct{}{}
	if h.issuedAt.After(newest.newest) {
		newest.newest = h.issuedAt
	}
	s.number++
	m.total++
	return fresh
}

// forget begins new slices as time passes and drops the oldest.
func (m *memory) forget(s *seen) {
	for range memorySlices {
		if m.latest-s.since < memorySlice {
			return
		}
		oldest := s.slices[memorySlices-1]
		s.number -= len(oldest.used)
		m.total -= len(oldest.used)
		if oldest.newest.After(m.horizon) {
			m.horizon = oldest.newest
		}
		copy(s.slices[1:], s.slices[:memorySlices-1])
		s.slices[0] = slice{}
		s.since += memorySlice
	}
	s.since = m.latest // everything is forgotten: begin where the clock is
}

// sweep drops the keys of which nothing is remembered, once in a slice: keys are
// made by callers, in any number.
func (m *memory) sweep() {
	if m.latest-m.swept < memorySlice {
		return
	}
	m.swept = m.latest
	for key, s := range m.keys {
		if m.forget(s); s.number == 0 {
			delete(m.keys, key)
		}
	}
}
