package issuers

import (
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/candignode/candignode/trust"
)

// naive says of one key, in the plainest words, whether it is believed at a moment
// and until when; seen is what counts as seen now. It shares nothing with Believe.
type naive struct {
	policy trust.IssuerPolicy
	ev     Evidence
	now    time.Time
}

func (n naive) moment() time.Time {
	if n.ev.Floor.After(n.now) {
		return n.ev.Floor
	}
	return n.now
}

func (n naive) stale() time.Duration {
	switch {
	case n.policy.MaxStale <= 0:
		return 24 * time.Hour
	case n.policy.MaxStale > 72*time.Hour:
		return 72 * time.Hour
	}
	return n.policy.MaxStale
}

// counts tells whether evidence of a time counts at t. What lies in the future now does
// not begin to count by itself.
func (n naive) counts(at, t time.Time) bool {
	return t.Sub(at) < n.stale() && at.Sub(n.moment()) <= 120*time.Second
}

func (n naive) votesNeeded() int {
	if n.policy.Mode == trust.ModeDirect {
		return 0
	}
	if n.policy.K > 0 {
		return n.policy.K
	}
	others := map[trust.SiteName]int{}
	for _, w := range n.policy.Witnesses {
		others[w]++
	}
	delete(others, n.ev.Self)
	for k := 2; ; k++ {
		if 2*k > len(others) {
			return k
		}
	}
}

// holds tells whether a key is believed at t, were nothing more to arrive.
func (n naive) holds(print string, t time.Time) bool {
	fetched := false
	for _, k := range n.ev.Own.Keys {
		fetched = fetched || k.Thumbprint == print
	}
	voters := map[trust.SiteName]bool{}
	for _, name := range n.policy.Witnesses {
		for _, w := range n.ev.Sites {
			for _, o := range w.Observations {
				for _, seen := range o.Thumbprints {
					if w.Site == name && name != n.ev.Self && !w.Forked && o.Issuer == n.policy.Issuer && seen == print &&
						n.counts(w.Issued, t) && n.counts(o.At, t) {
						voters[name] = true
					}
				}
			}
		}
	}
	return fetched && n.counts(n.ev.Own.At, t) && len(voters) >= n.votesNeeded()
}

// until gives the first moment at which a key that is believed now is not.
func (n naive) until(print string) time.Time {
	ends := []time.Time{n.ev.Own.At.Add(n.stale())}
	for _, w := range n.ev.Sites {
		ends = append(ends, w.Issued.Add(n.stale()))
		for _, o := range w.Observations {
			ends = append(ends, o.At.Add(n.stale()))
		}
	}
	slices.SortFunc(ends, time.Time.Compare)
	for _, end := range ends {
		if end.After(n.moment()) && !n.holds(print, end) {
			return end
		}
	}
	return time.Time{}
}

func (n naive) verdict() map[string]time.Time {
	verdict := map[string]time.Time{}
	switch n.policy.Mode {
	case trust.ModeManual:
		for _, k := range n.ev.Pinned {
			verdict[k.Thumbprint] = pinnedUntil
		}
	case trust.ModeDirect, trust.ModeDirectQuorum:
		for _, k := range n.ev.Own.Keys {
			if n.policy.Issuer != "" && n.holds(k.Thumbprint, n.moment()) {
				verdict[k.Thumbprint] = n.until(k.Thumbprint)
			}
		}
	}
	return verdict
}

var (
	modelSites = []trust.SiteName{"me", "a", "b", "c", "d", "stranger"}
	modelKeys  = []string{"k", "l", "m"}
)

func drawTime(rt *rapid.T, label string) time.Time {
	// Around every limit: max_stale of the policies, the cap, the default and skew.
	hours := rapid.SampledFrom([]int{-1, 0, 0, 1, 2, 5, 6, 23, 24, 25, 71, 72, 73}).Draw(rt, label+" hours ago")
	seconds := rapid.SampledFrom([]int{-121, -120, -1, 0, 1, 119, 120, 121}).Draw(rt, label+" seconds")
	return noon.Add(-time.Duration(hours)*time.Hour - time.Duration(seconds)*time.Second)
}

func drawKeys(rt *rapid.T, label string) []string {
	return rapid.SliceOfDistinct(rapid.SampledFrom(modelKeys), rapid.ID).Draw(rt, label)
}

func drawPolicy(rt *rapid.T) trust.IssuerPolicy {
	return trust.IssuerPolicy{
		Issuer: testIssuer,
		Mode: rapid.SampledFrom([]trust.Mode{trust.ModeDirectQuorum, trust.ModeDirectQuorum, trust.ModeDirectQuorum, trust.ModeDirect,
			trust.ModeManual, trust.ModeQuorum, trust.ModeHome, ""}).Draw(rt, "mode"),
		Witnesses: rapid.SliceOfN(rapid.SampledFrom(modelSites[:5]), 0, 7).Draw(rt, "witnesses"),
		K:         rapid.IntRange(0, 4).Draw(rt, "k"),
		MaxStale:  rapid.SampledFrom([]time.Duration{0, 0, time.Hour, 6 * time.Hour, 71 * time.Hour, 1000 * time.Hour}).Draw(rt, "max_stale"),
	}
}

func drawEvidence(rt *rapid.T) Evidence {
	ev := Evidence{Self: "me", Own: ownFetch(drawTime(rt, "own"), drawKeys(rt, "own keys")...), Pinned: []trust.Key{aKey("pinned")}}
	if rapid.Bool().Draw(rt, "a floor") {
		ev.Floor = drawTime(rt, "floor")
	}
	for range rapid.IntRange(0, 9).Draw(rt, "words") {
		w := Witness{Site: rapid.SampledFrom(modelSites).Draw(rt, "site"), Issued: drawTime(rt, "issued"), Forked: rapid.IntRange(0, 5).Draw(rt, "forked") == 0}
		for range rapid.IntRange(0, 3).Draw(rt, "observations") {
			issuer := rapid.SampledFrom([]string{testIssuer, testIssuer, testIssuer, testIssuer + "/", "https://other"}).Draw(rt, "issuer")
			w.Observations = append(w.Observations, sees(w.Site, drawTime(rt, "seen"), issuer, drawKeys(rt, "keys")...).Observations...)
		}
		ev.Sites = append(ev.Sites, w)
	}
	return ev
}

// Section 7: Believe says the same as the naive reading of the protocol, for any
// policy and any evidence: which keys, and until when to the second.
func TestBelieveAgainstTheModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p, ev := drawPolicy(rt), drawEvidence(rt)
		b := Believe(p, ev, noon)
		got := map[string]time.Time{}
		for _, k := range b.Believed() {
			got[k.Thumbprint] = k.Until
		}
		if want := (naive{p, ev, noon}).verdict(); !maps.EqualFunc(got, want, time.Time.Equal) {
			rt.Fatalf("Believe: %v\nmodel:   %v\n%+v", got, want, b)
		}
		for _, k := range b.Keys {
			if k.Why == "" || k.Believed != !k.Until.IsZero() || k.Believed && k.Public == nil {
				rt.Fatalf("key %+v", k)
			}
		}
	})
}

// SybilNeutral and IssuerIsolation: words of sites that the policy does not name, and
// words about other issuers, change nothing at all, not even what is said about why.
func TestStrangersChangeNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p, ev := drawPolicy(rt), drawEvidence(rt)
		before := Believe(p, ev, noon)
		more := ev
		for _, w := range drawEvidence(rt).Sites {
			switch rapid.IntRange(0, 2).Draw(rt, "what does not count") {
			case 0:
				w.Site = "sybil"
			case 1:
				w.Forked = true
			default:
				for i := range w.Observations {
					w.Observations[i].Issuer = "https://another"
				}
			}
			at := rapid.IntRange(0, len(more.Sites)).Draw(rt, "where")
			more.Sites = slices.Insert(slices.Clone(more.Sites), at, w)
		}
		if after := Believe(p, more, noon); !reflect.DeepEqual(before, after) {
			rt.Fatalf("before %+v\nafter  %+v", before, after)
		}
	})
}

// Fresh, TimeBounds: with nothing new, time only ever takes belief away, and a key is
// believed at every moment before its Until and at none after.
func TestTimeOnlyTakes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p, ev := drawPolicy(rt), drawEvidence(rt)
		for _, k := range Believe(p, ev, noon).Believed() {
			for _, at := range []time.Time{noon, k.Until.Add(-1), k.Until, k.Until.Add(time.Hour)} {
				if at.Before(noon) || at.Before(ev.Floor) || k.Until.Equal(pinnedUntil) {
					continue
				}
				still := slices.ContainsFunc(Believe(p, past(ev, noon), at).Believed(), func(o trust.BelievedKey) bool { return o.Thumbprint == k.Thumbprint })
				if still != at.Before(k.Until) {
					rt.Fatalf("at %s it is believed: %v, though Until is %s", at, still, k.Until)
				}
			}
		}
	})
}

// past is the evidence without what lies in the future of a moment, or of the floor.
func past(ev Evidence, now time.Time) Evidence {
	limit := (naive{ev: ev, now: now}).moment().Add(skew)
	var sites []Witness
	for _, w := range ev.Sites {
		w.Observations = slices.DeleteFunc(slices.Clone(w.Observations), func(o Observation) bool { return o.At.After(limit) })
		if !w.Issued.After(limit) {
			sites = append(sites, w)
		}
	}
	ev.Sites = sites
	return ev
}

// A site that says one key several times has one vote, and its longest lasting one, in
// whatever order it says so.
func TestLongestWordOfASiteCounts(t *testing.T) {
	long, short := sees("a", noon.Add(-time.Hour), testIssuer, "k"), sees("a", noon.Add(-20*time.Hour), testIssuer, "k")
	for _, words := range [][]Witness{{long, short}, {short, long}} {
		b := Believe(quorumPolicy(1, "a"), Evidence{Self: "me", Own: ownFetch(noon, "k"), Sites: words}, noon)
		if got, want := b.Next(), noon.Add(DefaultStale-time.Hour); !got.Equal(want) || len(b.Keys[0].SeenBy) != 2 {
			t.Errorf("until %v, want %v; seen by %v", got, want, b.Keys[0].SeenBy)
		}
	}
}
