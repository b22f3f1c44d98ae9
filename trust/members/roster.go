package members

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/roots"
)

// Local is the operator's word about one site.
type Local struct {
	Pinned   bool `json:"pinned,omitempty"`   // named in the configuration
	Approved bool `json:"approved,omitempty"` // by 'sites approve', or by an invite
	Accepted bool `json:"accepted,omitempty"` // it was a member when this site joined
	Query    bool `json:"query,omitempty"`    // it may ask this site's questions
	Blocked  bool `json:"blocked,omitempty"`
}

// Spoken is one member's word about a site.
type Spoken struct {
	By, About trust.SiteID
	At        time.Time
}

// Evidence is all that the roster is made of. It names no time but those that were
// signed: when a record ends is asked with the time that is handed in.
type Evidence struct {
	Genesis   Genesis
	Self      trust.SiteID // never on its own roster
	Local     map[trust.SiteID]Local
	Standings map[trust.SiteID]roots.Standing
	Endorsed  []Spoken
	Expelled  []Spoken // votes
}

// Membership is one site on the roster.
type Membership struct {
	Admitted bool
	Why      string // for people
	// Endorsers are the admitted sites that speak for it, Needed how many must.
	Endorsers []trust.SiteID
	Needed    int
	// Expellers are the admitted sites that vote to expel it: advice.
	Expellers []trust.SiteID
}

// Roster decides which sites are members, as of now. Every site that anything is known of is
// in it, admitted or not.
//
// Those whom the operator named, the founders, and those that were members when this site
// joined come first; then all for whom enough of those that are in have spoken: as many as the
// genesis asks for, or all members while there are fewer. This site is a member, too, and
// speaks by its operator's word.
func Roster(ev Evidence, now time.Time) map[trust.SiteID]Membership {
	roster := map[trust.SiteID]Membership{}
	in := map[trust.SiteID]bool{ev.Self: true}
	var open []trust.SiteID // whom endorsements can admit
	for _, id := range ev.known() {
		m := ev.first(id, now)
		roster[id] = m
		switch {
		case m.Admitted:
			in[id] = true
		case m.Why == "":
			open = append(open, id)
		}
	}
	spoken := bySite(ev.Endorsed, ev.Self)
	// Whoever comes in may speak for the next, so it is gone through until nobody more comes:
	// the outcome depends on who has spoken, and not on the order.
	for again := true; again; {
		again = false
		for _, id := range open {
			if in[id] {
				continue
			}
			if by := speakers(spoken[id], in); len(by) >= min(ev.Genesis.Rule, len(in)) && len(by) > 0 {
				in[id], again = true, true
				roster[id] = Membership{Admitted: true, Why: "endorsed by " + list(by)}
			}
		}
	}
	votes := bySite(ev.Expelled, "")
	for id, m := range roster {
		m.Endorsers, m.Needed = speakers(spoken[id], in), min(ev.Genesis.Rule, len(in))
		m.Expellers = speakers(votes[id], in)
		if m.Why == "" {
			m.Why = fmt.Sprintf("endorsed by %d of the %d members needed", len(m.Endorsers), m.Needed)
		}
		roster[id] = m
	}
	return roster
}

// known are all sites that anything is known of, but this one.
func (ev Evidence) known() []trust.SiteID {
	all := map[trust.SiteID]bool{}
	for _, f := range ev.Genesis.Founders {
		all[f] = true
	}
	for id := range ev.Local {
		all[id] = true
	}
	for id := range ev.Standings {
		all[id] = true
	}
	delete(all, ev.Self)
	return slices.Sorted(maps.Keys(all))
}

// first decides what needs nobody else's word. A site of which it says nothing may be admitted by
// endorsements.
func (ev Evidence) first(id trust.SiteID, now time.Time) Membership {
	if why := ev.out(id, now); why != "" {
		return Membership{Why: why}
	}
	local := ev.Local[id]
	switch {
	case local.Pinned:
		return Membership{Admitted: true, Why: "named in this site's configuration"}
	case local.Approved:
		return Membership{Admitted: true, Why: "approved by this site's operator"}
	case slices.Contains(ev.Genesis.Founders, id):
		return Membership{Admitted: true, Why: "a founder of the network"}
	case local.Accepted:
		return Membership{Admitted: true, Why: "a member when this site joined"}
	}
	return Membership{}
}

// out says why a site is not admitted whoever speaks for it, or "".
func (ev Evidence) out(id trust.SiteID, now time.Time) string {
	standing := ev.Standings[id]
	switch {
	case ev.Local[id].Blocked:
		return "blocked by this site's operator"
	case standing.Chain() == nil:
		return "its site record is not known yet"
	case standing.Forked():
		return "it signed two site records for one place; it counts for nothing until it rotates its root keys"
	case standing.Chain().Record().Left:
		return "it has left the network"
	}
	if err := standing.Chain().Record().ValidAt(now); err != nil {
		return err.Error()
	}
	return ""
}

// bySite sorts words by whom they are about: one for each speaker, the oldest. Nobody speaks for
// itself, and not for whom this site is.
func bySite(words []Spoken, self trust.SiteID) map[trust.SiteID][]Spoken {
	first := map[[2]trust.SiteID]Spoken{}
	for _, w := range words {
		if w.By == w.About || w.By == self || w.About == self && self != "" {
			continue
		}
		key := [2]trust.SiteID{w.By, w.About}
		if old, ok := first[key]; !ok || w.At.Before(old.At) {
			first[key] = w
		}
	}
	by := map[trust.SiteID][]Spoken{}
	for _, w := range first {
		by[w.About] = append(by[w.About], w)
	}
	return by
}

func speakers(words []Spoken, in map[trust.SiteID]bool) []trust.SiteID {
	ids := []trust.SiteID{}
	for _, w := range words {
		if in[w.By] {
			ids = append(ids, w.By)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func list(ids []trust.SiteID) string {
	short := make([]string, len(ids))
	for i, id := range ids {
		short[i] = id.Short()
	}
	return strings.Join(short, " and ")
}
