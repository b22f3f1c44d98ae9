package protocol

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/candignode/candignode/trust"
)

// slack is how long a site may take to notice that time has passed.
const slack = 3 * time.Minute

// check holds every running site against the invariants of trust-protocol.md, section 13.
// What a site holds is read from its disk by the forms of byzantine_test.go; what it
// believes, from its View.
func (w *world) check() {
	for _, s := range w.running() {
		if w.crashed(s) {
			continue
		}
		stored := s.disk.authors()
		for _, name := range slices.Sorted(maps.Keys(stored)) {
			if h := stored[name]; h.Bundle != nil {
				w.checkAuthor(s, name, h)
			}
		}
		w.checkBeliefs(s, stored)
		w.checkTombstones(s, stored)
	}
}

func (w *world) checkAuthor(s *site, name string, h held) {
	var at head
	if !payload(h.Bundle.Head, &at) {
		w.fail("%s holds a head of %s that cannot be read", s.name, name)
		return
	}
	node := string(newIdentity(name).node)
	if signerOf(h.Bundle.Head) != node || signerOf(h.Bundle.Site) != node {
		w.fail("Authorship (6): %s holds a head of %s that %s signed", s.name, name, signerOf(h.Bundle.Head))
	}
	if at.Root != rootOf(append([]string{h.Bundle.Site}, h.Bundle.Records...)...) || at.Count != len(h.Bundle.Records)+1 {
		w.fail("Atomicity (12): %s holds records of %s that do not make its head's root", s.name, name)
	}
	if at.Issued > s.clock().Add(2*time.Minute).Unix() || at.Expires-at.Issued > 7200 {
		w.fail("TimeBounds (14): %s holds a head of %s that was signed %ds from now and lives %ds", s.name, name, at.Issued-s.clock().Unix(), at.Expires-at.Issued)
	}
	if len(h.Bundle.Records) > 256 {
		w.fail("BoundedState (18): %s holds %d records of %s", s.name, len(h.Bundle.Records), name)
	}
	seen := map[string]bool{}
	for _, r := range h.Bundle.Records {
		var o observation
		if typeOf(r) == "candig-obs+jwt" && payload(r, &o) {
			if seen[o.Issuer] {
				w.fail("Section 7: %s holds two observations of %s by %s in one head", s.name, o.Issuer, name)
			}
			seen[o.Issuer] = true
		}
	}
	before := w.place(s, name)
	if at.Epoch < before.Epoch || at.Epoch == before.Epoch && (at.Update < before.Update || at.Update == before.Update && at.Version < before.Version) {
		w.fail("MonotoneHeads (4): %s held (%d,%d,%d) of %s, and now (%d,%d,%d)", s.name, before.Epoch, before.Update, before.Version, name, at.Epoch, at.Update, at.Version)
	}
	w.places[string(s.name)][name] = at
}

func (w *world) place(s *site, of string) head {
	if w.places[string(s.name)] == nil {
		w.places[string(s.name)] = map[string]head{}
	}
	return w.places[string(s.name)][of]
}

// checkBeliefs counts the votes for every believed key once more.
func (w *world) checkBeliefs(s *site, stored map[string]held) {
	view, now := s.View(), s.clock()
	if _, ok := view.Lookup(issuerB); ok && s.name == "d" {
		w.fail("LocalSovereignty (3): d has no policy for %s and believes something", issuerB)
	}
	for _, p := range policies(string(s.name)) {
		iv, _ := view.Lookup(p.Issuer)
		for _, k := range iv.Keys {
			print := k.Thumbprint
			// Where an issuer itself copies another's key, it is held back as long as it is the
			// other's: a key that its owner has given up is anybody's to publish.
			if p.Issuer == issuerB && w.ever[issuerA][print] {
				if a, _ := view.Lookup(issuerA); slices.ContainsFunc(a.Keys, func(o trust.BelievedKey) bool { return o.Thumbprint == print }) {
					w.fail("IssuerIsolation (2): %s believes %s of two issuers", s.name, k.KeyID)
				}
				continue
			}
			if !w.ever[p.Issuer][print] {
				w.fail("NoInjection (1), IssuerIsolation (2): %s believes %s of %s, which was never its key", s.name, k.KeyID, p.Issuer)
			}
			votes := []string{}
			for _, witness := range p.Witnesses {
				if h := stored[string(witness)]; h.Bundle != nil && len(h.Fork) == 0 && saw(h.Bundle, p.Issuer, print, now.Add(-24*time.Hour-slack)) {
					votes = append(votes, string(witness))
				}
			}
			if len(votes) < p.K {
				w.fail("Fresh (7), SybilNeutral (11): %s believes %s of %s by the votes of %v", s.name, k.KeyID, p.Issuer, votes)
			}
			if k.Until.Before(now.Add(-slack)) {
				w.fail("Fresh (7): %s believes %s until %s, and it is %s", s.name, k.KeyID, k.Until, now)
			}
		}
	}
}

// saw tells whether a head not older than since stands for an observation of a key.
func saw(b *wire, issuer, print string, since time.Time) bool {
	var h head
	if !payload(b.Head, &h) || h.Issued < since.Unix() {
		return false
	}
	for _, r := range b.Records {
		var o observation
		if typeOf(r) == "candig-obs+jwt" && payload(r, &o) && o.Issuer == issuer && o.At >= since.Unix() && slices.Contains(o.Keys, print) {
			return true
		}
	}
	return false
}

// checkTombstones holds what is buried against who may bury: a home by all three words, or
// the site's own operator.
func (w *world) checkTombstones(s *site, stored map[string]held) {
	me := string(s.name)
	if w.deaths[me] == nil {
		w.deaths[me] = map[string]int64{}
	}
	for issuer, home := range map[string]string{issuerA: "a", issuerH: "x"} {
		h := stored[home]
		var at head
		if len(h.Fork) > 0 || h.Bundle == nil || !payload(h.Bundle.Head, &at) {
			maps.DeleteFunc(w.deaths[me], func(k string, _ int64) bool { return strings.HasPrefix(k, home+" ") })
			continue
		}
		for _, r := range h.Bundle.Records {
			var t tombstone
			if typeOf(r) == "candig-tomb+jwt" && payload(r, &t) && t.Issuer == issuer {
				w.deaths[me][home+" "+issuer+" "+t.Key] = t.Until
			}
		}
	}
	for _, a := range s.Acknowledgements() {
		w.deaths[me]["operator "+a.Issuer+" "+a.Thumbprint] = a.Until.Unix()
	}
	now := s.clock().Unix()
	for _, p := range policies(me) {
		e, err := s.Explain(p.Issuer)
		if err != nil {
			w.fail("%s cannot explain %s: %v", me, p.Issuer, err)
			continue
		}
		for _, k := range e.Keys {
			buried, recently := false, false
			for key, until := range w.deaths[me] {
				if strings.HasSuffix(key, " "+p.Issuer+" "+k.Thumbprint) {
					buried = buried || now < until-int64(slack.Seconds())
					recently = recently || now < until+int64(slack.Seconds())
				}
			}
			if buried && k.Believed {
				w.fail("TombstoneDominates (8): %s believes %s of %s, which is buried", me, k.KeyID, p.Issuer)
			}
			if k.Distrusted && !recently {
				w.fail("TombstoneAuthority (9): %s buried %s of %s by the word of nobody who may: %s", me, k.KeyID, p.Issuer, k.Why)
			}
		}
	}
}

// settled holds what must be true after quiet: convergence, forks known everywhere, nobody
// honest forked, genuine keys believed.
func (w *world) settled() {
	for _, s := range w.running() {
		stored := s.disk.authors()
		for _, n := range honestNames {
			if n != string(s.name) && (stored[n].Bundle == nil || len(stored[n].Fork) > 0) {
				w.fail("SingleFaultLiveness (17): %s holds nothing of the honest %s, or a fork of it", s.name, n)
			}
		}
		for n, l := range w.liars {
			h := stored[n]
			switch {
			case len(l.now) == 0:
			case l.other["fork"].Head != "":
				if len(h.Fork) == 0 {
					w.fail("ForkDetected (5): %s does not know that %s forked", s.name, n)
				}
			case w.raised[n]:
				var at head
				if h.Bundle == nil || !payload(h.Bundle.Head, &at) || at.Epoch != l.epoch {
					w.fail("FastForwardRecovers (13): %s did not follow %s to its epoch %d", s.name, n, l.epoch)
				}
			}
		}
		for _, issuer := range []string{issuerA, issuerB} {
			if issuer == issuerB && s.name == "d" {
				continue
			}
			iv, _ := s.View().Lookup(issuer)
			for _, kid := range w.published[issuer] {
				if !slices.ContainsFunc(iv.Keys, func(k trust.BelievedKey) bool { return k.KeyID == kid }) && !w.dead(issuer, printOf(kid)) {
					e, _ := s.Explain(issuer)
					w.fail("Convergence (22), SingleFaultLiveness (17): %s does not believe the genuine %s: %+v", s.name, kid, e.Keys)
				}
			}
		}
	}
}

// dead tells whether anybody who may has buried a key.
func (w *world) dead(issuer, print string) bool {
	for _, of := range w.deaths {
		for key := range of {
			if strings.HasSuffix(key, " "+issuer+" "+print) {
				return true
			}
		}
	}
	return false
}
