package issuers

import (
	"maps"
	"slices"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/audit"
	"github.com/candignode/candignode/trust/jose"
)

// state is one consistent picture of all evidence and what it comes to. It is
// never changed once it is shown: a step makes a draft, and the draft becomes the
// next state. Whatever its maps point to is replaced, not changed, as well.
type state struct {
	policies map[string]trust.IssuerPolicy
	pinned   map[string][]trust.Key // mode manual, parsed once
	peers    map[trust.SiteName]trust.NodeID
	sites    map[trust.NodeID]trust.SiteName
	// recorded are the client ids that peers' root-signed records say; a peer whose record is
	// not known has no entry.
	recorded map[trust.SiteName]map[string][]string

	// authors outlive their peer: one that is pinned again later cannot be made to
	// start from an older head. Those who are not pinned weigh nothing.
	authors  map[trust.SiteName]*author
	self     pin // this node, in its network
	own      ownHistory
	fetches  map[string]fetchState
	blobs    map[trust.Digest][]byte
	bodies   map[bodyKey][]trust.Key // of blobs, read as policies read them; derived
	former   map[string][]trust.Key  // by issuer: believed before, until the key set that names them now was had
	tombs    []ownTomb
	accepted map[string]accepted         // by issuer
	homeOf   []string                    // issuers whose home this site is, by its own record
	homes    map[trust.SiteName][]string // and the peers'
	ids      map[trust.SiteName]trust.SiteID

	floor    time.Time // of evaluation time, from heads that were verified
	revision uint64
	ceiling  uint64 // persisted; never below revision
	// withheld are keys whose withdrawal could not be written: they stay
	// unbelieved until a fetch of the issuer is recorded.
	withheld map[string]map[string]bool
	// lostEvidence tells what was unreadable when the store was loaded.
	lostEvidence []string
	// said are the keys that the audit log last heard to be believed.
	said map[string][]string

	beliefs  map[string]Belief
	view     *trust.View
	bindings map[string]map[trust.SiteName][]string // issuer, site: client ids that bind
	alarms   []Alarm

	replaced chan struct{} // closed when a newer state is shown
}

// fetchState is what is held of this node's own fetches of one issuer.
type fetchState struct {
	Fetched
	at    time.Time            // of the last success; zero: never
	since map[string]time.Time // when each key was first seen here
	tried time.Time
	err   string // of the last attempt; "" if it succeeded
}

// draft is a state that is being made. save and records are what must be
// committed before it may be shown.
type draft struct {
	*state
	save    map[string][]byte // nil deletes
	records []audit.Record
	now     time.Time
}

// draft copies the state so far that a step can change the copy.
func (s *state) draft(now time.Time) *draft {
	next := *s
	next.authors = maps.Clone(s.authors)
	next.fetches = maps.Clone(s.fetches)
	next.withheld = maps.Clone(s.withheld)
	next.accepted = maps.Clone(s.accepted)
	next.blobs = maps.Clone(s.blobs)
	next.replaced = make(chan struct{})
	return &draft{state: &next, save: map[string][]byte{}, now: now}
}

// evaluation gives the time that decisions are made at: it never falls.
func (s *state) evaluation(now time.Time) time.Time {
	if now.Before(s.floor) {
		return s.floor
	}
	return now
}

// pinOf gives whom to listen to for a site, and false for a site that is not a
// peer.
func (s *state) pinOf(network string, site trust.SiteName) (pin, bool) {
	node, ok := s.peers[site]
	return pin{network, site, node}, ok
}

// author gives what is held of a peer: nil for a site that is no peer, or whose
// evidence was signed by a node that is not pinned any more.
func (s *state) author(site trust.SiteName) *author {
	a := s.authors[site]
	if node, ok := s.peers[site]; !ok || a == nil || a.node != node {
		return nil
	}
	return a
}

// evidence gathers what Believe is handed for one issuer.
func (s *state) evidence(self trust.SiteName, issuer string) Evidence {
	f := s.fetches[issuer]
	ev := Evidence{Self: self, Pinned: s.pinned[issuer], Own: Fetch{f.at, f.Keys}, Floor: s.floor, Home: s.home(issuer)}
	for _, t := range s.tombs {
		ev.Buried = append(ev.Buried, t.Tombstone)
	}
	p := s.policies[issuer]
	if fromElsewhere(p) {
		ev.Former = s.former[issuer]
		ev.Bodies = map[trust.Digest][]trust.Key{}
	}
	for _, site := range slices.Sorted(maps.Keys(s.peers)) {
		if a := s.author(site); a != nil {
			ev.Sites = append(ev.Sites, a.witness())
			if ev.Bodies != nil {
				for _, blob := range s.naming(site, p) {
					if keys, held := s.bodies[bodyKey{blob, p.WaiveKeyUse}]; held {
						ev.Bodies[blob] = keys
					}
				}
			}
		}
	}
	return ev
}

// home gives the bound home of an issuer, or "". All three must say so: the operator, in the
// issuer's policy; the site, in its root-signed record; and the issuer's own origin, by its
// well-known statement (trust-protocol.md, section 7, Home authority).
func (s *state) home(issuer string) trust.SiteName {
	site := s.policies[issuer].Home
	if site == "" || s.ids[site] == "" || !slices.Contains(s.homes[site], issuer) || s.originNames(issuer) != s.ids[site] {
		return ""
	}
	return site
}

// originNames gives the site that the issuer's own origin names as its home: as this node fetched it, or, where it never
// could, as enough witnesses did. The site itself is not asked about itself.
func (s *state) originNames(issuer string) trust.SiteID {
	if f := s.fetches[issuer]; !f.at.IsZero() {
		return f.HomeSite
	}
	p := s.policies[issuer]
	if len(p.Witnesses) == 0 {
		return ""
	}
	ev := Evidence{Self: s.self.site}
	for site := range s.peers {
		if a := s.author(site); a != nil && site != p.Home {
			ev.Sites = append(ev.Sites, a.witness())
		}
	}
	// Old sightings count as well: a home is not unbound by an outage, and its tombstones must not end with one.
	for id, votes := range ballot(p, ev, MaxStale, s.floor, func(o Observation) []trust.SiteID { return []trust.SiteID{o.HomeSite} }) {
		if id != "" && len(votes) >= needed(p, s.self.site) {
			return id
		}
	}
	return ""
}

// settle recomputes everything that follows from the evidence and the policies,
// and notes what the audit log must hear. It does no I/O and looks at no clock
// but the draft's.
func (d *draft) settle(self trust.SiteName) {
	old := d.view
	d.bury()
	d.keepBlobs()
	// All issuers each time: that is a few hundred small sums, and a rule about which of
	// them a change concerns would be one more thing to get wrong.
	d.beliefs = make(map[string]Belief, len(d.policies))
	for issuer, p := range d.policies {
		b := d.continues(issuer, Believe(p, d.evidence(self, issuer), d.now))
		for i, k := range b.Keys {
			if k.Believed && d.withheld[issuer][k.Thumbprint] {
				b.Keys[i].Believed, b.Keys[i].Until = false, time.Time{}
				b.Keys[i].Why = "withdrawn; the withdrawal could not be recorded yet"
			}
		}
		d.beliefs[issuer] = b
	}
	// Across issuers only one thing is ever compared, and only to take belief away.
	shared := quarantineShared(d.beliefs, func(issuer, print string) time.Time {
		switch p := d.policies[issuer]; {
		case p.Mode == trust.ModeManual:
			return time.Time{}
		case fromElsewhere(p):
			return pinnedUntil // whoever fetched the key itself knew it before
		}
		return d.fetches[issuer].since[print]
	})
	d.remember()
	d.view = &trust.View{Issuers: make(map[string]trust.IssuerView, len(d.policies))}
	for issuer, p := range d.policies {
		d.view.Issuers[issuer] = trust.IssuerView{
			Policy: p, Keys: d.beliefs[issuer].Believed(), JWKSURI: d.jwksURI(d.beliefs[issuer]),
		}
	}
	var contested []Alarm
	d.bindings, contested = bind(d.state, self)
	d.alarms = since(d.state.alarms, append(d.findAlarms(self, shared), contested...), d.now)
	// A verdict that was cached under a revision must be right under every View of
	// that revision, so anything that could make it wrong raises the revision.
	d.report()
	if old == nil || differs(old, d.view) {
		d.revision++
	}
	// The bound is written ahead of the revisions, so that one that was used can never
	// come again after a crash.
	if d.revision+revisionStep/2 > d.ceiling {
		d.ceiling = d.revision + revisionStep
		d.save[keyRevision] = encodeNumber(d.ceiling)
	}
	d.view.Revision = d.revision
	for i := range d.records {
		d.records[i].TrustRevision = d.revision
	}
}

// jwksURI gives where an issuer's keys come from: as this node fetched it, or as it was said to be.
func (d *draft) jwksURI(b Belief) string {
	if fromElsewhere(d.policies[b.Issuer]) {
		return b.JWKSURI
	}
	return d.fetches[b.Issuer].JWKSURI
}

// differs tells whether verdicts that were reached under a may no longer be
// right under b. A key whose evidence merely lasts longer changes no verdict: the
// cached ones end earlier than they must, which is safe.
func differs(a, b *trust.View) bool {
	if len(a.Issuers) != len(b.Issuers) {
		return true
	}
	for issuer, av := range a.Issuers {
		bv, ok := b.Issuers[issuer]
		if !ok || av.JWKSURI != bv.JWKSURI || len(av.Keys) != len(bv.Keys) || !samePolicy(av.Policy, bv.Policy) {
			return true
		}
		for i, ak := range av.Keys {
			bk := bv.Keys[i]
			if ak.Thumbprint != bk.Thumbprint || ak.KeyID != bk.KeyID || ak.Algorithm != bk.Algorithm || bk.Until.Before(ak.Until) {
				return true
			}
		}
	}
	return false
}

// lost gives the keys that a believes and b does not. That evidence ends earlier in b
// withdraws nothing now.
func lost(a, b map[string]Belief) map[string]map[string]bool {
	gone := map[string]map[string]bool{}
	for issuer, belief := range a {
		left := map[string]bool{}
		for _, k := range b[issuer].Keys {
			if k.Believed {
				left[k.Thumbprint] = true
			}
		}
		for _, k := range belief.Keys {
			if k.Believed && !left[k.Thumbprint] {
				if gone[issuer] == nil {
					gone[issuer] = map[string]bool{}
				}
				gone[issuer][k.Thumbprint] = true
			}
		}
	}
	return gone
}

// rekey derives the keys of an issuer from the documents held, under the policy
// of now: a set whose address the operator no longer lists counts no more.
func (f *fetchState) rekey(p trust.IssuerPolicy) error {
	if !UsesDiscovery(p) {
		f.JWKSURI, f.Metadata, f.Discovery = "", trust.Digest{}, Document{}
	}
	f.Sets = slices.DeleteFunc(slices.Clone(f.Sets), func(d Document) bool {
		return d.Address != f.JWKSURI && !slices.Contains(p.JKU, d.Address)
	})
	var err error
	var rejected []jose.RejectedKey
	f.Keys, rejected, err = KeysOf(p, f.Sets)
	f.Rejected = rejected
	// A key that only the new policy lets in was first seen when its set was fetched.
	// Without a time it would pass for a pinned one, which is never held back.
	since := make(map[string]time.Time, len(f.since))
	for _, k := range f.Keys {
		since[k.Thumbprint] = f.at
	}
	maps.Copy(since, f.since)
	f.since = since
	return err
}
