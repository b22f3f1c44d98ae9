package proof

import (
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/passport/passporttest"
)

func heldBy(m *memory, jkt, jti string, issuedAt, at time.Time) Held {
	_, age := m.age(at)
	return Held{JKT: jkt, id: trust.DigestOfString(jti), issuedAt: issuedAt, age: age}
}

// Row 109; V098: the same proof twice, and the same jti of two keys.
func TestProofIsGoodOnce(t *testing.T) {
	checker := New(Options{Boot: boot})
	id := func(c *passporttest.ProofClaims) { c.ID = "one" }
	proof := shown(researcher().Proof(good(id)))
	_, err := checker.Check(proof)
	want(t, "first", err, "")
	_, err = checker.Check(proof)
	want(t, "V098 reused jti", err, "proof")
	_, err = checker.Check(shown(researcher().Proof(good(id))))
	want(t, "reused jti, signed anew", err, "proof")
	_, err = checker.Check(shown(thief().Proof(good(id))))
	want(t, "the jti of another key", err, "")
	_, err = checker.Check(shown(researcher().Proof(good())))
	want(t, "another jti", err, "")
}

// Row 109: many copies of one proof at the same moment: one gets in.
func TestProofIsGoodOnceAmongMany(t *testing.T) {
	checker := New(Options{Boot: boot})
	proof := shown(researcher().Proof(good()))
	var passed atomic.Int32
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			if _, err := checker.Check(proof); err == nil {
				passed.Add(1)
			}
		})
	}
	group.Wait()
	if passed.Load() != 1 {
		t.Errorf("%d of the copies passed", passed.Load())
	}
}

// Row 109: the memory is bounded, and when it is full nothing is forgotten for it. A
// key that fills its own part closes it for itself alone.
func TestFullMemoryRefuses(t *testing.T) {
	m := &memory{boot: boot}
	for i := range maxRemembered {
		if got := m.use(heldBy(m, "greedy", strconv.Itoa(i), now, now), now); got != fresh {
			t.Fatal(i, got)
		}
	}
	if got := m.use(heldBy(m, "greedy", "more", now, now), now); got != full {
		t.Errorf("one more of the greedy key: %d", got)
	}
	if got := m.use(heldBy(m, "greedy", "0", now, now), now); got != used {
		t.Errorf("the greedy key's first proof again: %d", got)
	}
	if got := m.use(heldBy(m, "modest", "0", now, now), now); got != fresh {
		t.Errorf("another key: %d", got)
	}
	for i := 0; m.total < maxEntries; i++ {
		m.use(heldBy(m, strconv.Itoa(i), "0", now, now), now)
	}
	if got := m.use(heldBy(m, "late", "0", now, now), now); got != full {
		t.Errorf("a new key in a full memory: %d", got)
	}
	if got := m.use(heldBy(m, "modest", "0", now, now), now); got != used {
		t.Errorf("a full memory forgot: %d", got)
	}
	later := now.Add((memorySlices + 1) * memorySlice)
	if got := m.use(heldBy(m, "late", "0", later, later), later); got != fresh || m.total != 1 || len(m.keys) != 1 {
		t.Errorf("after a while: %d, %d of %d keys", got, m.total, len(m.keys))
	}
}

func TestFullMemoryIsTold(t *testing.T) {
	checker := New(Options{Boot: boot})
	proof := shown(researcher().Proof(good()))
	checker.memory.total = maxEntries
	_, err := checker.Check(proof)
	want(t, "full", err, "proof")
}

// Row 109: setting the clock back does not make used proofs good again. Without
// a nonce they are asked for one; a nonce from before the jump goes on to its end.
func TestClockSetBack(t *testing.T) {
	m := &memory{boot: boot}
	if m.use(heldBy(m, "k", "one", now, now), now) != fresh {
		t.Fatal("not fresh")
	}
	later := now.Add(time.Hour)
	if got := m.use(heldBy(m, "k", "two", later, later), later); got != fresh {
		t.Fatal(got)
	}
	if got := m.use(heldBy(m, "k", "one", now, now), now); got != forgotten {
		t.Errorf("what was used and forgotten, with the clock set back: %d", got)
	}
	if got := m.use(heldBy(m, "k", "three", time.Time{}, now), now); got != fresh {
		t.Errorf("with a nonce: %d", got)
	}
}

// Row 109, as a property: whatever keys, names, nonces and clocks, no proof is good
// twice, and what is remembered stays within its bounds.
func TestNoProofIsGoodTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		checker := New(Options{Boot: boot})
		m := &checker.memory
		type proof struct {
			jkt, jti string
			nonce    uint64 // slot and one more; 0: none
			iat      int64
		}
		passed := map[proof]bool{}
		made := []proof{}
		at := now
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			at = at.Add(time.Duration(rapid.IntRange(-400, 500).Draw(t, "seconds")) * time.Second)
			_, age := m.age(at)
			p := proof{jkt: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "key"), jti: fmt.Sprint(len(made)), iat: at.Unix()}
			if rapid.Bool().Draw(t, "nonce") {
				p.nonce = slotOf(age) + 1
			}
			if len(made) > 0 && rapid.Bool().Draw(t, "again") {
				p = made[rapid.IntRange(0, len(made)-1).Draw(t, "which")]
			}
			made = append(made, p)
			held := Held{JKT: p.jkt, id: trust.DigestOfString(p.jti), age: age}
			claims := proofClaims{}
			claims.IssuedAt.Time = time.Unix(p.iat, 0).UTC()
			byNonce := p.nonce > 0 && checker.nonces.good(checker.nonces.of(time.Duration(p.nonce-1)*nonceSlot), age)
			claims.Nonce.Present = p.nonce > 0
			if !byNonce {
				held.issuedAt = claims.IssuedAt.Time
			}
			if claims.inTime(byNonce, boot, at) != nil || checker.Use(held, at) != nil {
				continue
			}
			if passed[p] {
				t.Fatalf("%+v was good twice", p)
			}
			passed[p] = true
		}
		count := 0
		for _, s := range m.keys {
			count += s.number
		}
		if count != m.total || m.total > len(made) {
			t.Fatalf("%d counted, %d known", count, m.total)
		}
	})
}

// In the time of a process, with its monotonic clock: nonces change by themselves,
// and a proof is remembered at least as long as its nonce is good.
func TestNoncesInTheTimeOfTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		checker := New(Options{Boot: time.Now()})
		nonce := checker.Nonce(time.Now())
		proof := shown(researcher().Proof(good(func(c *passporttest.ProofClaims) { c.Nonce = nonce })))
		proof.Now = time.Now()
		_, err := checker.Check(proof)
		want(t, "first", err, "")
		expected := "proof" // used
		for passed := time.Duration(0); passed < 3*nonceSlot; passed += 10 * time.Second {
			if passed >= 2*nonceSlot {
				expected = "nonce" // the nonce is over
			}
			proof.Now = time.Now()
			_, err := checker.Check(proof)
			want(t, passed.String(), err, expected)
			time.Sleep(10 * time.Second)
		}
		if checker.Nonce(time.Now()) == nonce {
			t.Error("the nonce never changes")
		}
	})
}
