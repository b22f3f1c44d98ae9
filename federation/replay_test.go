package federation

import (
	"encoding/binary"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func numbered(n int) (id jti) {
	binary.BigEndian.PutUint64(id[:], uint64(n))
	return id
}

// inTime is what assertion.checkTime allows at most.
func inTime(iat int64, now time.Time) bool {
	return iat <= now.Unix()+int64(maxSkew/time.Second) && now.Unix() < iat+int64(maxLife/time.Second)
}

// However the clock runs, jumps or is set back, no assertion is fresh twice. And
// as long as it runs forward, none that is in time and new is refused.
func TestAnAssertionIsFreshOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r replays
		now := time.Unix(1_700_000_000, 0)
		type made struct {
			id  jti
			iat int64
		}
		var all []made
		usedUp := map[jti]bool{}
		straight := rapid.Bool().Draw(t, "the clock runs forward")
		for i := range rapid.IntRange(1, 120).Draw(t, "steps") {
			lowest := -200
			if straight {
				lowest = 0
			}
			now = now.Add(time.Duration(rapid.IntRange(lowest, 200).Draw(t, "step")) * time.Second / 4)
			m := made{numbered(i), now.Unix() + int64(rapid.IntRange(-59, 30).Draw(t, "skew"))}
			if len(all) > 0 && rapid.Bool().Draw(t, "an old one") {
				m = rapid.SampledFrom(all).Draw(t, "which")
			} else {
				all = append(all, m)
			}
			if !inTime(m.iat, now) {
				continue
			}
			got := r.use("peer", m.id, m.iat, now)
			if got == fresh && usedUp[m.id] {
				t.Fatalf("assertion %x, made at %d, is fresh again at %d", m.id, m.iat, now.Unix())
			}
			if got != fresh && !usedUp[m.id] && straight {
				t.Fatalf("new assertion, made at %d, is refused at %d", m.iat, now.Unix())
			}
			usedUp[m.id] = usedUp[m.id] || got == fresh
		}
	})
}

// A full memory refuses: forgetting early would let a replay pass. It is one
// peer's own memory, and time empties it.
func TestFullReplayMemoryRefuses(t *testing.T) {
	var r replays
	now := time.Unix(1_700_000_000, 0)
	for i := range maxRemembered {
		if got := r.use("flood", numbered(i), now.Unix(), now); got != fresh {
			t.Fatalf("number %d: %v", i, got)
		}
	}
	if got := r.use("flood", numbered(maxRemembered), now.Unix(), now); got != full {
		t.Errorf("got %v, want full", got)
	}
	if got := r.use("flood", numbered(7), now.Unix(), now); got != used {
		t.Errorf("got %v, want used", got)
	}
	if got := r.use("other", numbered(7), now.Unix(), now); got != fresh {
		t.Errorf("another peer: %v", got)
	}
	now = now.Add(replaySlices * replaySlice)
	if got := r.use("flood", numbered(maxRemembered), now.Unix(), now); got != fresh {
		t.Errorf("after all expired: %v", got)
	}
	if s := r.peers["flood"]; s.number != 1 {
		t.Errorf("%d are remembered", s.number)
	}
}

// A clock that was an hour ahead for a moment does not shut the peers out for
// an hour.
func TestAClockThatJumpedAheadRecovers(t *testing.T) {
	var r replays
	now := time.Unix(1_700_000_000, 0)
	r.use("peer", numbered(1), now.Unix(), now)
	r.use("peer", numbered(2), now.Unix()+3600, now.Add(time.Hour))
	now = now.Add(10 * time.Second)
	if got := r.use("peer", numbered(1), now.Unix()-10, now); got != used {
		t.Errorf("replay after the jump: %v", got)
	}
	if got := r.use("peer", numbered(3), now.Unix(), now); got != fresh {
		t.Errorf("honest question after the jump: %v", got)
	}
}

func TestGateNotesABusyPeerOnceAMinute(t *testing.T) {
	var g gate
	now := time.Unix(1_700_000_000, 0)
	for range maxServing {
		if ok, _ := g.enter("peer", now); !ok {
			t.Fatal("within the bound")
		}
	}
	for after, want := range []bool{true, false} {
		if ok, note := g.enter("peer", now.Add(time.Duration(after)*time.Second)); ok || note != want {
			t.Errorf("%d s: ok %t, note %t", after, ok, note)
		}
	}
	if ok, note := g.enter("peer", now.Add(busyNote)); ok || !note {
		t.Error("not noted again after a minute")
	}
	g.leave("peer")
	if ok, _ := g.enter("peer", now); !ok {
		t.Error("the place was not given back")
	}
}
