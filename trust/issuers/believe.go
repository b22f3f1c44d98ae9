package issuers

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/candignode/candignode/trust"
)

// Believe decides which of an issuer's keys are believed (trust-protocol.md,
// section 7). It is pure, and the one place where evidence becomes trust.
//
// What it must never do: count evidence that names another issuer, count a site
// that the policy does not name, count one site twice, count this site as its own
// witness, or count a site that forked or whose head or observation is stale.
func Believe(p trust.IssuerPolicy, ev Evidence, now time.Time) Belief {
	if now.Before(ev.Floor) {
		now = ev.Floor
	}
	b := weigh(p, ev, now)
	onlyAlgorithms(p, b.Keys)
	bury(b, ev, now)
	return b
}

// weigh is Believe before what only takes belief away.
func weigh(p trust.IssuerPolicy, ev Evidence, now time.Time) Belief {
	b := Belief{Issuer: p.Issuer}
	if p.Issuer == "" {
		b.Problem = "no policy for this issuer"
		return b
	}
	switch p.Mode {
	case trust.ModeManual:
		b.Keys = believePinned(ev.Pinned)
		return b
	case trust.ModeQuorum:
		b.Needed = needed(p, ev.Self)
		b.Keys, b.JWKSURI = believeQuorum(p, ev, b.Needed, now)
		return b
	case trust.ModeHome:
		b.Keys, b.JWKSURI, b.Problem = believeHome(p, ev, now)
		return b
	case trust.ModeDirect:
	case trust.ModeDirectQuorum:
		b.Needed = needed(p, ev.Self)
	default:
		b.Problem = fmt.Sprintf("there is no mode %.40q: use manual, direct, quorum, direct+quorum or home", p.Mode)
		return b
	}
	c := court{ev.Self, ev.Own.At, b.Needed, staleAfter(p), now}
	votes := countVotes(p, ev, c.stale, now)
	own := map[string][]trust.Key{} // one key may be published under two kids
	for _, k := range ev.Own.Keys {
		own[k.Thumbprint] = append(own[k.Thumbprint], k)
	}
	// Keys that only witnesses know are judged as well, though never believed: people ask
	// why a key is not taken, and that it was seen elsewhere is half of the answer.
	prints := slices.AppendSeq(slices.Collect(maps.Keys(own)), maps.Keys(votes))
	slices.Sort(prints)
	for _, print := range slices.Compact(prints) {
		keys, fetched := own[print]
		if !fetched {
			keys = []trust.Key{{Thumbprint: print}}
		}
		for _, k := range keys {
			b.Keys = append(b.Keys, c.judge(k, fetched, votes[print]))
		}
	}
	return b
}

// bury takes belief from every key that a tombstone of somebody who may says so of: this site's
// operator, and the issuer's bound home, however old its newest head is. It comes last, so nothing
// outweighs it, whatever came first (invariants 8 and 9).
func bury(b Belief, ev Evidence, now time.Time) {
	bury := func(tombs []Tombstone, who string) {
		for i, k := range b.Keys {
			for _, t := range tombs {
				if t.buries(b.Issuer, k.Thumbprint, now) {
					b.Keys[i].Believed, b.Keys[i].Buried, b.Keys[i].Until = false, true, time.Time{}
					b.Keys[i].Why = fmt.Sprintf("distrusted by %s until %s: %.200s", who, t.Until.Format(time.RFC3339), t.Reason)
				}
			}
		}
	}
	for _, w := range ev.Sites {
		if ev.Home != "" && w.Site == ev.Home && !w.Forked {
			bury(w.Tombs, fmt.Sprintf("the issuer's home %s", w.Site))
		}
	}
	bury(ev.Buried, "this site's operator")
}

// vote is one witness' fresh sighting of a key.
type vote struct {
	Sighting
	until time.Time
}

// court is what all keys of one decision are judged by.
type court struct {
	self      trust.SiteName
	fetchedAt time.Time // when this node itself asked the issuer
	needed    int       // witnesses; 0 in mode direct
	stale     time.Duration
	now       time.Time
}

// judge decides one key in mode direct or direct+quorum. fetched tells whether this
// node's own fetch holds it: without that no number of witnesses is enough.
func (c court) judge(k trust.Key, fetched bool, votes []vote) KeyBelief {
	kb := KeyBelief{Key: k}
	ownUntil := c.fetchedAt.Add(c.stale)
	if fetched {
		kb.SeenBy = append(kb.SeenBy, Sighting{Site: c.self, At: c.fetchedAt})
	}
	for _, v := range votes {
		kb.SeenBy = append(kb.SeenBy, v.Sighting)
	}
	switch {
	// The order is that of how much an operator can do about it: a key that this node
	// was not shown first, then its own clock and fetch, then what others say.
	case !fetched:
		kb.Why = "not in this node's own fetch of the issuer"
	case c.fetchedAt.After(c.now.Add(skew)):
		kb.Why = "this node's own fetch lies in the future: its clock was changed"
	case !c.now.Before(ownUntil):
		kb.Why = fmt.Sprintf("this node's own fetch is older than %s", c.stale)
	case len(votes) < c.needed:
		kb.Why = fmt.Sprintf("fetched by this node, but seen by %d of the %d witnesses needed", len(votes), c.needed)
	default:
		kb.Believed, kb.Until = true, ownUntil
		kb.Why = "fetched by this node"
		if c.needed > 0 {
			// The key falls when the votes fall below needed: with the needed-th
			// longest lasting of them.
			if until := votes[c.needed-1].until; until.Before(kb.Until) {
				kb.Until = until
			}
			kb.Why = fmt.Sprintf("fetched by this node, and seen by %d witnesses of %d needed: %s", len(votes), c.needed, siteList(votes))
		}
	}
	return kb
}

// countVotes gives, for each thumbprint, the fresh sightings by the policy's
// witnesses, the longest lasting first.
func countVotes(p trust.IssuerPolicy, ev Evidence, stale time.Duration, now time.Time) map[string][]vote {
	return ballot(p, ev, stale, now, func(o Observation) []string { return o.Thumbprints })
}

// ballot gives, for each thing that fresh witnesses of the policy saw, one vote for each vantage, the longest lasting
// first. A site has one vote for a thing, however often it says so, and sites of one vantage have one together: they see the
// world through one window.
func ballot[T comparable](p trust.IssuerPolicy, ev Evidence, stale time.Duration, now time.Time, saw func(Observation) []T) map[T][]vote {
	best := map[T]map[trust.SiteName]vote{}
	for _, w := range ev.Sites {
		if w.Site == ev.Self || !slices.Contains(p.Witnesses, w.Site) || w.Forked || !fresh(w.Issued, stale, now) {
			continue
		}
		for _, o := range w.Observations {
			if o.Issuer != p.Issuer || !fresh(o.At, stale, now) {
				continue
			}
			v := vote{Sighting{w.Site, o.At}, earlier(w.Issued, o.At).Add(stale)}
			for _, thing := range saw(o) {
				if best[thing] == nil {
					best[thing] = map[trust.SiteName]vote{}
				}
				group := groupOf(p, w.Site)
				if old, ok := best[thing][group]; !ok || v.until.After(old.until) {
					best[thing][group] = v
				}
			}
		}
	}
	votes := make(map[T][]vote, len(best))
	for thing, bySite := range best {
		votes[thing] = slices.SortedFunc(maps.Values(bySite), func(a, b vote) int {
			return cmp.Or(b.until.Compare(a.until), strings.Compare(string(a.Site), string(b.Site)))
		})
	}
	return votes
}

// groupOf gives the vantage of a witness. A group cannot have the name of a witness outside
// of it: its name is marked.
func groupOf(p trust.IssuerPolicy, site trust.SiteName) trust.SiteName {
	if g, ok := p.Groups[site]; ok {
		return trust.SiteName("group " + g)
	}
	return site
}

// fresh tells whether evidence of time at counts: not yet stale, and not from a
// future that only a wrong clock has seen.
func fresh(at time.Time, stale time.Duration, now time.Time) bool {
	return now.Before(at.Add(stale)) && !at.After(now.Add(skew))
}

// needed gives how many witnesses must agree: the policy's K, else a majority of
// the distinct witnesses other than this site, and at least 2.
func needed(p trust.IssuerPolicy, self trust.SiteName) int {
	if p.K > 0 {
		return p.K
	}
	distinct := map[trust.SiteName]bool{}
	for _, w := range p.Witnesses {
		if w != self {
			distinct[groupOf(p, w)] = true
		}
	}
	return max(len(distinct)/2+1, 2)
}

// staleAfter gives how long evidence for the issuer counts.
func staleAfter(p trust.IssuerPolicy) time.Duration {
	if p.MaxStale <= 0 {
		return DefaultStale
	}
	return min(p.MaxStale, MaxStale)
}

// pinnedUntil is the end of evidence that does not age: the operator's word
// counts until the operator takes it back.
var pinnedUntil = time.Date(9999, time.December, 31, 0, 0, 0, 0, time.UTC) // a limit, never assigned

// believePinned takes the operator's keys as they are: no quorum is asked for a word that
// did not come from outside.
func believePinned(pinned []trust.Key) []KeyBelief {
	keys := make([]KeyBelief, 0, len(pinned))
	for _, k := range pinned {
		keys = append(keys, KeyBelief{Key: k, Believed: true, Until: pinnedUntil, Why: "pinned in this site's configuration"})
	}
	slices.SortFunc(keys, func(a, b KeyBelief) int { return strings.Compare(a.Thumbprint, b.Thumbprint) })
	return keys
}

// quarantineShared takes belief from a key that two issuers show, at the issuer
// that showed it later: a key has one owner, and whoever copies it may be
// preparing to be mistaken for the other (section 7). since tells when an issuer
// was first seen with a key; a pinned key has no such time and is never touched. It
// gives, for each key concerned, the issuers that show it.
func quarantineShared(beliefs map[string]Belief, since func(issuer, thumbprint string) time.Time) map[string][]string {
	holders := map[string][]string{}
	for _, issuer := range slices.Sorted(maps.Keys(beliefs)) {
		for _, k := range beliefs[issuer].Keys {
			if k.Believed && !slices.Contains(holders[k.Thumbprint], issuer) {
				holders[k.Thumbprint] = append(holders[k.Thumbprint], issuer)
			}
		}
	}
	for print, issuers := range holders {
		if len(issuers) < 2 {
			delete(holders, print)
			continue
		}
		first := slices.MinFunc(issuers, func(a, b string) int {
			if c := since(a, print).Compare(since(b, print)); c != 0 {
				return c
			}
			return strings.Compare(a, b)
		})
		for _, issuer := range issuers {
			if issuer == first || since(issuer, print).IsZero() {
				continue
			}
			b := beliefs[issuer]
			b.Keys = slices.Clone(b.Keys)
			for i := range b.Keys {
				if b.Keys[i].Thumbprint == print {
					b.Keys[i].Believed, b.Keys[i].Until = false, time.Time{}
					b.Keys[i].Why = fmt.Sprintf("held back: issuer %.200q showed the same key before", first)
				}
			}
			beliefs[issuer] = b
		}
	}
	return holders
}

// siteList names witnesses in one order, so that a reason that did not change reads the
// same.
func siteList(votes []vote) string {
	names := make([]string, len(votes))
	for i, v := range votes {
		names[i] = string(v.Site)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
