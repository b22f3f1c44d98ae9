package members

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/roots"
)

var noon = time.Date(2026, time.November, 27, 12, 0, 0, 0, time.UTC)

// sites makes n sites with their standings.
func sites(t testing.TB, n int) (ids []trust.SiteID, standings map[trust.SiteID]roots.Standing) {
	standings = map[trust.SiteID]roots.Standing{}
	for i := range n {
		c := chainOf(t, fmt.Sprintf("s%d", i), noon)
		ids, standings[c.ID()] = append(ids, c.ID()), roots.Stand(c)
	}
	return ids, standings
}

func admitted(roster map[trust.SiteID]Membership) []trust.SiteID {
	var in []trust.SiteID
	for id, m := range roster {
		if m.Admitted {
			in = append(in, id)
		}
	}
	slices.Sort(in)
	return in
}

// drawEvidence draws a network of up to eight sites as one of them sees it.
func drawEvidence(rt *rapid.T, ids []trust.SiteID, standings map[trust.SiteID]roots.Standing) Evidence {
	ev := Evidence{Genesis: Genesis{Name: "rare", Founders: slices.Sorted(slices.Values(ids[:rapid.IntRange(0, 2).Draw(rt, "founders")])), Rule: Endorsements},
		Self: ids[rapid.IntRange(0, len(ids)-1).Draw(rt, "self")], Local: map[trust.SiteID]Local{}, Standings: maps.Clone(standings)}
	some := rapid.SampledFrom(ids)
	for _, id := range rapid.SliceOfN(some, 0, 3).Draw(rt, "approved") {
		ev.Local[id] = Local{Approved: true}
	}
	for _, id := range rapid.SliceOfN(some, 0, 2).Draw(rt, "accepted") {
		ev.Local[id] = Local{Accepted: true}
	}
	for _, id := range rapid.SliceOfN(some, 0, 2).Draw(rt, "blocked") {
		ev.Local[id] = Local{Blocked: true}
	}
	for range rapid.IntRange(0, 20).Draw(rt, "words") {
		w := Spoken{By: some.Draw(rt, "by"), About: some.Draw(rt, "about"), At: noon.Add(time.Duration(rapid.IntRange(0, 5).Draw(rt, "at")) * time.Minute)}
		if rapid.Bool().Draw(rt, "vote") {
			ev.Expelled = append(ev.Expelled, w)
		} else {
			ev.Endorsed = append(ev.Endorsed, w)
		}
	}
	delete(ev.Standings, ev.Self)
	return ev
}

// Invariant 10 (MergeIsJoin) for the roster: it does not matter in which order words came, or
// how often.
func TestRosterDoesNotDependOnOrder(t *testing.T) {
	ids, standings := sites(t, 8)
	rapid.Check(t, func(rt *rapid.T) {
		ev := drawEvidence(rt, ids, standings)
		want := admitted(Roster(ev, noon))
		other := ev
		other.Endorsed = rapid.Permutation(append(slices.Clone(ev.Endorsed), ev.Endorsed...)).Draw(rt, "order")
		if got := admitted(Roster(other, noon)); !slices.Equal(got, want) {
			rt.Fatalf("%v, and in another order %v", want, got)
		}
	})
}

// A naive reading of section 4, against which Roster is held: blocked, left, forked and expired
// sites are out; the operator's and the founders are in; and nobody else is without as many
// endorsements by members as the rule asks for.
func TestRosterKeepsTheRules(t *testing.T) {
	ids, standings := sites(t, 8)
	rapid.Check(t, func(rt *rapid.T) {
		ev := drawEvidence(rt, ids, standings)
		roster := Roster(ev, noon)
		in := map[trust.SiteID]bool{}
		for _, id := range admitted(roster) {
			in[id] = true
		}
		if in[ev.Self] {
			rt.Fatal("a site is on its own roster")
		}
		for id, m := range roster {
			local := ev.Local[id]
			speak := map[trust.SiteID]bool{}
			for _, w := range ev.Endorsed {
				if w.About == id && w.By != id && in[w.By] {
					speak[w.By] = true
				}
			}
			switch {
			case local.Blocked:
				if m.Admitted {
					rt.Fatalf("LocalSovereignty: %s is blocked and admitted", id.Short())
				}
			case local.Approved || local.Accepted || slices.Contains(ev.Genesis.Founders, id):
				if !m.Admitted {
					rt.Fatalf("%s was named and is not admitted: %s", id.Short(), m.Why)
				}
			case m.Admitted && len(speak) < Endorsements:
				rt.Fatalf("SybilNeutral: %s is admitted and %d members speak for it", id.Short(), len(speak))
			case !m.Admitted && len(speak) >= Endorsements:
				rt.Fatalf("%s is not admitted and %d members speak for it", id.Short(), len(speak))
			}
		}
	})
}

// Sybil voters: sites that only each other speak for are nobody, however many they are, and
// change nothing for anybody else.
func TestSybilSitesAreNobody(t *testing.T) {
	ids, standings := sites(t, 12)
	ev := Evidence{Genesis: Genesis{Name: "rare", Founders: slices.Sorted(slices.Values(ids[1:3])), Rule: Endorsements}, Self: ids[0],
		Local: map[trust.SiteID]Local{}, Standings: standings, Endorsed: []Spoken{{ids[1], ids[3], noon}}}
	delete(ev.Standings, ev.Self)
	before := admitted(Roster(ev, noon))
	for _, by := range ids[4:] {
		for _, about := range ids[3:] {
			ev.Endorsed = append(ev.Endorsed, Spoken{by, about, noon.Add(-time.Hour)})
			ev.Expelled = append(ev.Expelled, Spoken{by, ids[1], noon})
		}
	}
	if after := admitted(Roster(ev, noon)); !slices.Equal(before, after) || len(after) != 2 {
		t.Errorf("%v, and with the Sybils %v", before, after)
	}
	if m := Roster(ev, noon)[ids[1]]; len(m.Expellers) != 0 {
		t.Error("votes of strangers are shown")
	}
}

func TestGenesis(t *testing.T) {
	ids, _ := sites(t, 3)
	g, err := NewGenesis("rare", ids[1], ids[0], ids[1])
	if err != nil || len(g.Founders) != 2 || len(g.Network()) != 43 {
		t.Fatal(g, err)
	}
	same, _ := NewGenesis("rare", ids[0], ids[1])
	if same.Network() != g.Network() {
		t.Error("the order of the founders makes another network")
	}
	for name, other := range map[string]Genesis{
		"another name": {"rarer", g.Founders, 2}, "fewer founders": {"rare", g.Founders[:1], 2},
	} {
		if other.Check() != nil || other.Network() == g.Network() {
			t.Errorf("%s: the same network", name)
		}
	}
	for name, bad := range map[string]Genesis{
		"no name": {"", nil, 2}, "spaces": {"a b", nil, 2}, "another rule": {"rare", nil, 1},
		"unsorted": {"rare", []trust.SiteID{"b", "a"}, 2}, "no SiteID": {"rare", []trust.SiteID{"x"}, 2},
		"twice": {"rare", []trust.SiteID{ids[0], ids[0]}, 2},
	} {
		if bad.Check() == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
