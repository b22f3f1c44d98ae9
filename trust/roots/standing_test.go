package roots

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/candignode/candignode/trust"
)

func TestForkOfASiteCountsUntilItRotates(t *testing.T) {
	c := site(t)
	one, two := update(t, c, rootKey, renamed("one")), update(t, c, rootKey, renamed("two"))
	seen := Stand(one).Join(Stand(two))
	if !seen.Forked() {
		t.Fatal("two records for one place are no fork")
	}
	if a, b := seen.Proof(); a == nil || b == nil || conflict(a, b) != 1 {
		t.Error("the proof proves nothing")
	}
	longer := update(t, update(t, one, rootKey, renamed("three")), rootKey, renamed("four"))
	if seen = seen.Join(Stand(longer)); !seen.Forked() {
		t.Error("an update healed a fork")
	}
	if seen = seen.Join(Stand(rotate(t, one, nextKey, afterKey, trust.Digest{}))); seen.Forked() {
		t.Error("a rotation did not heal it")
	}
	if Stand(c).Join(Stand(one)).Forked() || Stand(one).Join(Stand(c)).Forked() {
		t.Error("an older chain is taken for a fork")
	}
	other, err := Incept(content(), signers(thiefKey), publics(nextKey), now)
	if err != nil {
		t.Fatal(err)
	}
	if got := Stand(c).Join(Stand(other)); got.Chain() != c || got.Forked() {
		t.Error("another site's chain changed this one's standing")
	}
}

// Invariant 10 (MergeIsJoin): any order and any repetition of the same chains gives the
// same standing.
func TestStandingIsAJoin(t *testing.T) {
	c := site(t)
	pool := []*Chain{c}
	for i := range 4 {
		a := update(t, pool[i], rootKey, renamed(string(rune('a'+i))))
		pool = append(pool, a)
		if i%2 == 1 {
			pool = append(pool, update(t, pool[i-1], rootKey, renamed("branch")), rotate(t, a, nextKey, afterKey, trust.Digest{}))
		}
	}
	pool = append(pool, rotate(t, pool[1], nextKey, afterKey, c.Digest()))
	rotated := pool[len(pool)-1]
	pool = append(pool, update(t, rotated, nextKey, renamed("z")), update(t, rotated, nextKey, renamed("y")))
	rapid.Check(t, func(t *rapid.T) {
		some := rapid.SliceOfN(rapid.SampledFrom(pool), 1, 8).Draw(t, "chains")
		order := rapid.Permutation(append(some, rapid.SliceOfN(rapid.SampledFrom(some), 0, 3).Draw(t, "again")...)).Draw(t, "order")
		var left, right Standing
		for _, x := range some {
			left = left.Join(Stand(x))
		}
		// Another order, and joined in two halves.
		half := len(order) / 2
		var a, b Standing
		for _, x := range order[:half] {
			a = a.Join(Stand(x))
		}
		for _, x := range order[half:] {
			b = Stand(x).Join(b)
		}
		right = a.Join(b)
		if left.Chain().Digest() != right.Chain().Digest() || left.Forked() != right.Forked() {
			t.Fatalf("(%d,%d) forked %t, and (%d,%d) forked %t", left.Chain().Record().Epoch, left.Chain().Record().Update, left.Forked(),
				right.Chain().Record().Epoch, right.Chain().Record().Update, right.Forked())
		}
	})
}
