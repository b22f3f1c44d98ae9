package issuers

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// What is believed without this node having fetched it: modes quorum and home (trust-protocol.md, section 7). A site
// whose firewall lets nothing out to an issuer lives by these.

// called is a key with the kids that a witness' key set gives it. A thumbprint covers the key and no kid, so what a key
// is called is voted on apart: a witness that lies about it can at most keep a key from being found.
type called struct{ print, kids string }

// believeQuorum believes the keys that enough witnesses saw, under the names that most of them give it.
func believeQuorum(p trust.IssuerPolicy, ev Evidence, needed int, now time.Time) (keys []KeyBelief, jwksURI string) {
	stale := staleAfter(p)
	bodies := map[called][]trust.Key{}
	names := ballot(p, ev, stale, now, func(o Observation) []called {
		var all []called
		for c, keys := range namesIn(ev.Bodies[o.KeySet]) {
			if slices.Contains(o.Thumbprints, c.print) {
				bodies[c] = keys
				all = append(all, c)
			}
		}
		return all
	})
	for print, votes := range countVotes(p, ev, stale, now) {
		found, why := nameOf(print, names, ev.Former)
		for _, k := range append(slices.Clone(bodies[found]), namesIn(ev.Former)[found]...) {
			if slices.ContainsFunc(keys, func(o KeyBelief) bool { return o.Thumbprint == print && o.KeyID == k.KeyID }) {
				continue
			}
			kb := KeyBelief{Key: k, SeenBy: sightings(votes)}
			if len(votes) < needed {
				kb.Why = fmt.Sprintf("seen by %d of the %d witnesses needed", len(votes), needed)
			} else {
				kb.Believed, kb.Until = true, votes[needed-1].until
				kb.Why = fmt.Sprintf("seen by %d witnesses of %d needed: %s", len(votes), needed, siteList(votes))
			}
			keys = append(keys, kb)
		}
		if why != "" {
			keys = append(keys, KeyBelief{Key: trust.Key{Thumbprint: print}, SeenBy: sightings(votes), Why: fmt.Sprintf("seen by %d witnesses, %s", len(votes), why)})
		}
	}
	sortBeliefs(keys)
	oneKeyPerName(keys)
	for address, votes := range ballot(p, ev, stale, now, func(o Observation) []string { return []string{o.JWKSURI} }) {
		// At most one address has a majority; with a smaller k the first of the tie, so that all sites name the same.
		if len(votes) >= needed && (jwksURI == "" || address < jwksURI) {
			jwksURI = address
		}
	}
	return keys, jwksURI
}

// namesIn gives the keys of one key set by what they are called there.
func namesIn(keys []trust.Key) map[called][]trust.Key {
	byPrint := map[string][]trust.Key{}
	for _, k := range keys {
		byPrint[k.Thumbprint] = append(byPrint[k.Thumbprint], k)
	}
	names := make(map[called][]trust.Key, len(byPrint))
	for print, keys := range byPrint {
		kids := make([]string, len(keys))
		for i, k := range keys {
			kids[i] = k.KeyID
		}
		slices.Sort(kids)
		names[called{print, fmt.Sprintf("%q", kids)}] = keys
	}
	return names
}

// nameOf gives what most vantages call a key, or why it has no name: none has given the key yet, or they are divided. What
// it was called before serves until the key sets of now were had.
func nameOf(print string, names map[called][]vote, former []trust.Key) (called, string) {
	var best called
	most, divided := 0, false
	for c, votes := range names {
		if c.print == print && len(votes) >= most {
			divided = len(votes) == most
			best, most = c, len(votes)
		}
	}
	if most == 0 {
		for c := range namesIn(former) {
			if c.print == print {
				return c, ""
			}
		}
		return called{}, "of whom none has given the key itself yet"
	}
	if divided {
		return called{}, "who are divided about its kid"
	}
	return best, ""
}

// believeHome believes the keys in the issuer record of the bound home, and nobody else's.
func believeHome(p trust.IssuerPolicy, ev Evidence, now time.Time) (keys []KeyBelief, jwksURI, problem string) {
	if ev.Home == "" {
		return nil, "", fmt.Sprintf("the issuer's home %.70q is not bound: its site record must claim the issuer, and the issuer's own origin must name the site (this node's own fetch says so, or enough witnesses)", string(p.Home))
	}
	stale := staleAfter(p)
	for _, w := range ev.Sites {
		if w.Site != ev.Home || w.Forked {
			continue
		}
		for _, word := range w.Words {
			if word.Issuer != p.Issuer {
				continue
			}
			until := earlier(w.Issued, word.At).Add(stale)
			have := map[string]bool{}
			body, had := ev.Bodies[word.KeySet]
			if !had {
				body = ev.Former // until the new key set was had
			}
			for _, k := range body {
				if !slices.Contains(word.Thumbprints, k.Thumbprint) {
					continue
				}
				have[k.Thumbprint] = true
				kb := KeyBelief{Key: k, SeenBy: []Sighting{{w.Site, word.At}}}
				if fresh(w.Issued, stale, now) && fresh(word.At, stale, now) {
					kb.Believed, kb.Until, kb.Why = true, until, fmt.Sprintf("named by the issuer's home %s", w.Site)
				} else {
					kb.Why = fmt.Sprintf("the newest word of the issuer's home %s is older than %s", w.Site, stale)
				}
				keys = append(keys, kb)
			}
			for _, print := range word.Thumbprints {
				if !have[print] {
					keys = append(keys, KeyBelief{Key: trust.Key{Thumbprint: print}, SeenBy: []Sighting{{w.Site, word.At}},
						Why: fmt.Sprintf("named by the issuer's home %s; the key itself was not had yet", w.Site)})
				}
			}
			jwksURI = word.JWKSURI
		}
	}
	sortBeliefs(keys)
	oneKeyPerName(keys)
	return keys, jwksURI, ""
}

// oneKeyPerName takes belief from keys that share a kid: which of them a token means is not for the token to
// say. The sets of one issuer never have that; what comes from several witnesses may.
func oneKeyPerName(keys []KeyBelief) {
	for i, k := range keys {
		if k.KeyID == "" || !k.Believed {
			continue
		}
		for j, o := range keys {
			if i != j && o.KeyID == k.KeyID && o.Thumbprint != k.Thumbprint && (o.Believed || strings.HasPrefix(o.Why, twoKeys)) {
				keys[i].Believed, keys[i].Until = false, time.Time{}
				keys[i].Why = fmt.Sprintf("%s %s", twoKeys, o.Thumbprint)
			}
		}
	}
}

const twoKeys = "held back: the witnesses give its kid to another key as well,"

// onlyAlgorithms takes belief from keys whose algorithm the operator does not want of the issuer.
func onlyAlgorithms(p trust.IssuerPolicy, keys []KeyBelief) {
	if len(p.Algorithms) == 0 {
		return
	}
	for i, k := range keys {
		if alg := jose.AlgorithmOf(k.Public); k.Believed && !slices.Contains(p.Algorithms, alg) {
			keys[i].Believed, keys[i].Until = false, time.Time{}
			keys[i].Why = fmt.Sprintf("it is a key for %s, and this site takes %s of the issuer", alg, strings.Join(p.Algorithms, ", "))
		}
	}
}

func sightings(votes []vote) []Sighting {
	var all []Sighting
	for _, v := range votes {
		all = append(all, v.Sighting)
	}
	return all
}

func sortBeliefs(keys []KeyBelief) {
	slices.SortFunc(keys, func(a, b KeyBelief) int {
		return cmp.Or(strings.Compare(a.Thumbprint, b.Thumbprint), strings.Compare(a.KeyID, b.KeyID), strings.Compare(a.Algorithm, b.Algorithm))
	})
}
