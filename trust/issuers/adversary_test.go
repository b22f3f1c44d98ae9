package issuers

import (
	"slices"
	"strings"
	"time"

	"github.com/candignode/candignode/trust"
)

// otherIssuer publishes a key that is no key of testIssuer.
const otherIssuer = "https://other.example.org"

// liar is a site with a real key that says whatever it likes.
type liar struct {
	signer
	epoch, ver int64
	prev       trust.Digest
}

// say signs the liar's next bundle.
func (l *liar) say(bend func(*Head), records ...string) wireBundle {
	l.ver++
	w := l.again(bend, records...)
	l.prev = trust.DigestOf([]byte(w.Head))
	return w
}

// again signs a bundle for the place that the liar is at.
func (l *liar) again(bend func(*Head), records ...string) wireBundle {
	now := time.Now()
	site := l.siteRecord(l.epoch, 0, nil)
	site.Issued, site.Expires = now.Unix(), now.Add(siteLife).Unix()
	return l.bundleWith(site, l.ver, l.prev, func(h *Head) {
		h.Issued, h.Expires = now.Unix(), now.Add(maxLife).Unix()
		if bend != nil {
			bend(h)
		}
	}, records...)
}

func (l *liar) rise() { l.epoch, l.prev = l.epoch+1, trust.Digest{} }

func (l *liar) tomb(print string) string {
	now := time.Now()
	return l.seal(typTomb, tombRecord{l.net(), testIssuer, print, "a lie", now.Unix(), now.Add(24 * time.Hour).Unix()})
}

// bring hands a bundle to every site that can be reached, as a peer would that has pulled it.
func (s *simulation) bring(w wireBundle, to ...trust.SiteName) {
	for _, name := range to {
		if at := s.sites[name]; at.stop != nil && !s.mesh.cut[name] {
			_, _ = at.accept(s.t.Context(), w) // what is refused is refused: the invariants tell
		}
	}
}

// keep notes what a site holds: a relay has all of it.
func (s *simulation) keep(state *state) {
	for _, held := range state.authors {
		if b := held.bundle; b != nil && !s.kept[b.head.hash] {
			s.kept[b.head.hash] = true
			s.archive = append(s.archive, b.records)
		}
	}
}

// move is one thing that an adversary does.
func (s *simulation) move() {
	any := func() trust.SiteName { return s.names[s.random.IntN(len(s.names))] }
	now := time.Now()
	switch s.random.IntN(11) {
	case 0, 1: // both liars vote for a forged key, and for another issuer's; one site is shown it, too
		s.world.show("d", testIssuer, []string{"forged", "other-key"}[s.random.IntN(2)])
		s.bring(s.witness.say(nil, s.witness.obs(testIssuer, now, "forged", "other-key")), s.names...)
		s.bring(s.member.say(nil, s.member.obs(testIssuer, now, "forged", "other-key")), s.names...)
	case 2: // one witness votes twice
		s.bring(s.witness.say(nil, s.witness.obs(testIssuer, now, "forged"), s.witness.obs(testIssuer, now.Add(-time.Second), "forged")), s.names...)
	case 3: // somebody who is not its home buries the issuer's keys
		s.bring(s.witness.say(nil, s.witness.tomb(EveryKey), s.witness.tomb(thumbprints(s.current[0])[0])), s.names...)
	case 4:
		s.fork(any())
	case 5: // a head from the future
		s.bring(s.witness.say(func(h *Head) {
			h.Issued, h.Expires = now.Add(time.Hour).Unix(), now.Add(2*time.Hour).Unix()
		}, s.witness.obs(testIssuer, now, "forged")), s.names...)
		s.witness.rise()
	case 6: // a relay plays back what was true once
		if len(s.archive) > 0 {
			s.bring(s.archive[s.random.IntN(len(s.archive))], s.names...)
		}
	case 7: // a relay keeps records back
		if len(s.archive) > 0 {
			w := s.archive[len(s.archive)-1]
			w.Records = nil
			s.bring(w, s.names...)
		}
	case 8: // a member speaks for another site
		s.impersonate(any())
	case 9: // home and operator distrust a key
		name := []trust.SiteName{"a", "b"}[s.random.IntN(2)]
		if s.sites[name].stop != nil {
			t := Tombstone{Issuer: testIssuer, Thumbprint: thumbprints(s.current[0])[0], Reason: "stolen", Until: now.Add(48 * time.Hour)}
			_ = s.sites[name].Distrust(s.t.Context(), t) // with a full disk it is refused
		}
	case 10:
		s.witness.rise()
	}
}

// fork has e sign two histories and shows both to one site.
func (s *simulation) fork(to trust.SiteName) {
	one := s.witness.say(nil, s.witness.obs(testIssuer, time.Now(), "forged"))
	s.witness.prev = trust.DigestOf([]byte("another past"))
	two := s.witness.again(nil, s.witness.obs(testIssuer, time.Now(), s.current[0]))
	s.bring(one, to)
	s.bring(two, to)
	at := s.sites[to]
	at.store.mu.Lock()
	broken := at.store.fail != nil
	at.store.mu.Unlock()
	held := at.state.Load().author("e")
	if !broken && held != nil && held.bundle != nil && held.epoch() == s.witness.epoch && held.bundle.head.Version == s.witness.ver && !held.forked() {
		s.t.Errorf("ForkDetected: %s saw both heads (%d,0,%d) of e and listens to it", to, s.witness.epoch, s.witness.ver)
	}
	s.witness.rise()
}

// impersonate has e sign, with its own key and under its own id, what says it is another site's.
func (s *simulation) impersonate(victim trust.SiteName) {
	v := newSigner(victim)
	mask := &liar{signer: signer{v.pin, s.witness.private}, epoch: 1_000, ver: 1_000}
	s.bring(mask.say(nil, mask.obs(testIssuer, time.Now(), "forged")), slices.DeleteFunc(slices.Clone(s.names), func(n trust.SiteName) bool { return n == victim })...)
}

// invariants are those of section 13 that adversaries attack, at one site.
func (s *simulation) invariants(name trust.SiteName) {
	s.t.Helper()
	at := s.sites[name]
	state := at.state.Load()
	now := time.Now()
	for issuer := range state.view.Issuers {
		if _, ok := state.policies[issuer]; !ok {
			s.t.Errorf("LocalSovereignty: %s has a view of %s without a policy", name, issuer)
		}
	}
	for of, held := range state.authors {
		b := held.bundle
		if b == nil {
			continue
		}
		if signer, err := claimedSigner(b.head.envelope); err != nil || signer != s.peers[of] {
			s.t.Errorf("Authorship: %s holds a head of %s that was signed by %s, %v", name, of, signer.Short(), err)
		}
		hashes := []trust.Digest{trust.DigestOf([]byte(b.records.Site))}
		for _, r := range b.records.Records {
			hashes = append(hashes, trust.DigestOf([]byte(r)))
		}
		if rootOf(hashes) != b.head.Root {
			s.t.Errorf("Atomicity: %s uses records of %s that do not make its head's root", name, of)
		}
		if b.head.issued().After(now.Add(skew)) {
			s.t.Errorf("TimeBounds: %s holds a head of %s from the future", name, of)
		}
	}
	s.tombstones(name, state, now)
}

// tombstones checks invariants 8 and 9: what the bound home or the operator buried is not believed,
// and nothing else is buried.
func (s *simulation) tombstones(name trust.SiteName, state *state, now time.Time) {
	s.t.Helper()
	buried := func(print string) bool {
		over := func(t Tombstone) bool { return t.buries(testIssuer, print, now) }
		if slices.ContainsFunc(state.tombs, func(t ownTomb) bool { return over(t.Tombstone) }) {
			return true
		}
		home := state.authors[state.home(testIssuer)]
		return home != nil && home.bundle != nil && !home.forked() && slices.ContainsFunc(home.bundle.tombs, over)
	}
	for _, k := range state.beliefs[testIssuer].Keys {
		switch {
		case k.Believed && buried(k.Thumbprint):
			s.t.Errorf("TombstoneDominates: %s believes %s", name, k.KeyID)
		case k.Buried && !buried(k.Thumbprint):
			s.t.Errorf("TombstoneAuthority: %s holds %s buried on the word of somebody who may not: %s", name, k.KeyID, k.Why)
		}
	}
}

// expected gives what a site must believe when all is well: what the issuer publishes, without what
// those buried who may.
func (s *simulation) expected(name trust.SiteName) string {
	state := s.sites[name].state.Load()
	var want []string
	for _, kid := range s.current {
		print := thumbprints(kid)[0]
		over := func(t Tombstone) bool { return t.buries(testIssuer, print, time.Now()) }
		gone := slices.ContainsFunc(state.tombs, func(t ownTomb) bool { return over(t.Tombstone) })
		if b := s.sites["a"].state.Load().own.bundle; b != nil && slices.ContainsFunc(b.tombs, over) {
			gone = true
		}
		if !gone {
			want = append(want, kid)
		}
	}
	slices.Sort(want)
	return strings.Join(want, " ")
}
