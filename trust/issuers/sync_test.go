package issuers

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
)

// A sync request is answered for peers only, within bounds, and never panics.
func TestServeSync(t *testing.T) {
	d, p, _ := lone(t)
	if _, err := d.accept(t.Context(), p.bundle(1, 0, 1, trust.Digest{}, nil)); err != nil {
		t.Fatal(err)
	}
	if got := d.ServeSync(newSigner("stranger").node, []byte(`{"have":{}}`)); got != nil {
		t.Errorf("a stranger was answered %s", got)
	}
	for _, request := range []string{"", "null", "[]", `{"have":7}`, `{"have":{"p":{"e":"x"}}}`, `{"have":{},"have":{}}`, strings.Repeat(" ", MaxSyncRequestBytes+1)} {
		if got := d.ServeSync(p.node, []byte(request)); got != nil && request != "null" {
			t.Errorf("%.40q was answered %s", request, got)
		}
	}
	var answer syncAnswer
	if err := json.Unmarshal(d.ServeSync(p.node, []byte(`{"have":{}}`)), &answer); err != nil || len(answer.Bundles) != 1 || answer.Bundles[0].Of != p.node {
		t.Errorf("%+v, %v", answer, err)
	}
	have := encode(syncRequest{Have: d.state.Load().have()})
	if got := d.ServeSync(p.node, have); string(got) != "{}" {
		t.Errorf("somebody who lacks nothing got %s", got)
	}
}

// A full answer stays within its bound and says that there is more.
func TestAnswerIsBounded(t *testing.T) {
	s := &state{peers: map[trust.SiteName]trust.NodeID{}, authors: map[trust.SiteName]*author{}}
	for i := range 8 {
		p := newSigner(trust.SiteName(fmt.Sprint("p", i)))
		records := make([]string, MaxRecords)
		for j := range records {
			records[j] = strings.Repeat("r", 1500)
		}
		h := p.head(1, 0, 1, trust.Digest{}, "")
		s.peers[p.site] = p.node
		s.authors[p.site] = &author{pin: p.pin, key: p.public(), bundle: &bundle{head: h, site: p.siteRecord(1, 0, nil),
			records: wireBundle{p.node, strings.Repeat("s", MaxSiteRecordBytes), string(h.envelope), records}}}
	}
	a := s.answer("p0", syncRequest{}, noon)
	if b := encode(a); len(b) > MaxSyncBytes || !a.More || len(a.Bundles) == 0 {
		t.Errorf("%d bytes, %d bundles, more %v", len(b), len(a.Bundles), a.More)
	}
}

// heavy is a state that holds bundles of the given sizes, each of a peer of its own,
// signed at the given time.
func heavy(s *state, at time.Time, size int, names ...trust.SiteName) {
	for _, name := range names {
		p := newSigner(name)
		h := p.head(1, 0, 1, trust.Digest{}, "")
		h.Issued = at.Unix()
		s.peers[name] = p.node
		s.authors[name] = &author{pin: p.pin, key: p.public(), bundle: &bundle{head: h, site: p.siteRecord(1, 0, nil),
			records: wireBundle{p.node, "", string(h.envelope), []string{strings.Repeat("r", size)}}}}
	}
}

func names(s *state, a syncAnswer) string {
	var names []string
	for _, b := range a.Bundles {
		for site, node := range s.peers {
			if node == b.Of {
				names = append(names, string(site))
			}
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// Records that nobody takes any more are not sent, save to their own author, who may
// have forgotten what it once signed.
func TestOldRecordsAreForTheirAuthorOnly(t *testing.T) {
	s := &state{peers: map[trust.SiteName]trust.NodeID{}, authors: map[trust.SiteName]*author{}}
	heavy(s, noon.Add(-MaxStale-time.Second), 1000, "gone", "long gone")
	heavy(s, noon.Add(-MaxStale), 1000, "late")
	heavy(s, noon, 1000, "here")
	for asker, want := range map[trust.SiteName]string{"here": "here late", "new": "here late", "gone": "gone here late"} {
		if a := s.answer(asker, syncRequest{}, noon); names(s, a) != want || a.More {
			t.Errorf("%s is sent %s, more %v", asker, names(s, a), a.More)
		}
	}
}

// Two peers with records that fill a whole answer, and that the asker refuses for
// whatever reason, do not keep a third's from it for ever.
func TestRefusedRecordsDoNotKeepOthersOut(t *testing.T) {
	s := &state{peers: map[trust.SiteName]trust.NodeID{}, authors: map[trust.SiteName]*author{}}
	heavy(s, noon, (MaxSyncBytes-1024)/2-1000, "aaa", "aab")
	heavy(s, noon, 3000, "honest")
	sent := 0
	for range 60 {
		a := s.answer("b", syncRequest{}, noon)
		if strings.Contains(names(s, a), "honest") {
			sent++
		}
		if len(encode(a)) > MaxSyncBytes || !a.More {
			t.Fatalf("%d bytes, more %v", len(encode(a)), a.More)
		}
	}
	if sent < 10 {
		t.Errorf("of 60 answers %d held the honest site's records", sent)
	}
}

// A peer's word that it knows more is worth one look in errandGap, whatever it claims.
func TestClaimsOfPeersAreWorthOneSlowLook(t *testing.T) {
	now := noon
	d, p, _ := lone(t)
	d.now = func() time.Time { return now }
	claim := encode(syncRequest{Have: map[trust.NodeID]place{p.node: {Epoch: 1 << 60}, newSigner("q").node: {Epoch: 7, Forked: true}, d.node: {Version: 9}, "nobody": {Epoch: 3}}})
	looks := func() (n int) {
		for range 20 {
			d.ServeSync(p.node, claim)
			for e, ok := d.errands.take(); ok; e, ok = d.errands.take() {
				if e.node != p.node || e.author != "" {
					t.Errorf("errand %+v", e)
				}
				d.errands.done(e)
				n++
			}
		}
		return n
	}
	if got := looks(); got != 1 {
		t.Errorf("%d looks at once", got)
	}
	now = now.Add(errandGap)
	if got := looks(); got != 1 {
		t.Errorf("%d looks after a while", got)
	}
	if got := d.ServeSync(p.node, encode(syncRequest{Have: map[trust.NodeID]place{"nobody": {Epoch: 3}}})); got == nil || len(d.errands.waiting) != 0 {
		t.Error("a site that is no peer is worth an errand")
	}
}

// Heads that a peer offers wait in a bounded line; whoever brings more is not waited
// for.
func TestOfferedHeadsAreBounded(t *testing.T) {
	d, p, _ := lone(t)
	if got := d.ServeSync(p.node, encode(syncRequest{Heads: slices.Repeat([]string{"x"}, 1000)})); string(got) != "{}" || len(d.offered) != cap(d.offered) {
		t.Errorf("answer %s, %d wait", got, len(d.offered))
	}
}

// Section 7, unknown kid: peers may ask for a fetch once a minute all together, of
// issuers that this site configured, and wait no longer than a caller would.
func TestHintsOfPeersAreLimited(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t, "a", "b", "c")
		n.world.publish(testIssuer, "k")
		a := n.start("a", newMemory(), n.witnessed("a", 2), trust.IssuerPolicy{Issuer: "https://pinned.example.org", Mode: trust.ModeManual, ManualJWKS: first(jwks("p"))})
		time.Sleep(90 * time.Second)
		before, head := n.world.count("a"), a.state.Load().own.place()
		n.world.publish(testIssuer, "l")
		hint := encode(syncRequest{Have: map[trust.NodeID]place{n.peers["a"]: {}}, Refresh: testIssuer})
		start := time.Now()
		var answer syncAnswer
		if err := json.Unmarshal(a.ServeSync(n.peers["b"], hint), &answer); err != nil || len(answer.Bundles) != 1 {
			t.Fatalf("%+v, %v", answer, err)
		}
		// The answer holds what the fetch brought, signed already.
		if b, _, err := answer.Bundles[0].verify(newSigner("a").pin, nil); err != nil || !slices.Equal(b.observations[0].Thumbprints, thumbprints("l")) || b.head.Version <= head.Version {
			t.Errorf("%+v, %v", b, err)
		}
		for range 50 {
			for _, from := range []trust.SiteName{"b", "c"} {
				a.ServeSync(n.peers[from], hint)
			}
		}
		a.ServeSync(newSigner("stranger").node, hint)
		a.ServeSync(n.peers["b"], encode(syncRequest{Refresh: "https://pinned.example.org"}))
		if got, took := n.world.count("a")-before, time.Since(start); got != 1 || took > time.Second {
			t.Errorf("%d fetches in %s", got, took)
		}
		time.Sleep(refreshEvery)
		a.ServeSync(n.peers["c"], hint)
		if got := n.world.count("a") - before; got != 2 {
			t.Errorf("%d fetches a minute later", got)
		}
	})
}

// An issuer that hangs holds a peer's hint no longer than refreshWait.
func TestHintDoesNotHang(t *testing.T) {
	simulate(t, func(t *testing.T) {
		d, p, _ := lone(t, trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeDirect})
		start := time.Now()
		if got := d.ServeSync(p.node, encode(syncRequest{Refresh: testIssuer})); string(got) != "{}" || time.Since(start) != refreshWait {
			t.Errorf("answer %s after %s", got, time.Since(start))
		}
		d.end()
		d.flying.Wait()
	})
}

// script is a mesh whose peers answer from a list.
type script struct {
	alone
	answers [][]byte
	calls   int
	err     error
}

func (m *script) Call(context.Context, trust.NodeID, []byte) ([]byte, error) {
	m.calls++
	if m.err != nil {
		return nil, m.err
	}
	return m.answers[min(m.calls, len(m.answers))-1], nil
}

// A peer's answer is taken apart by part, within bounds, and never asked for twice
// without need.
func TestAnswersOfPeers(t *testing.T) {
	p, q := newSigner("p"), newSigner("q")
	forged := p.chain(1, 1)[0]
	forged.Site = q.seal(typSite, p.siteRecord(1, 0, nil))
	good := q.chain(1, 1)[0]
	var growing [][]byte
	for _, w := range p.chain(1, 30) {
		growing = append(growing, encode(syncAnswer{Bundles: []wireBundle{w}, More: true}))
	}
	for name, test := range map[string]struct {
		mesh         script
		failed       bool
		calls, taken int
		refused      uint64
	}{
		"unreachable":     {mesh: script{err: errDisk}, failed: true, calls: 1},
		"a refusal":       {mesh: script{answers: [][]byte{nil}}, failed: true, calls: 1},
		"noise":           {mesh: script{answers: [][]byte{[]byte("{")}}, failed: true, calls: 1},
		"too long":        {mesh: script{answers: [][]byte{[]byte(strings.Repeat(" ", MaxSyncBytes) + "{}")}}, failed: true, calls: 1},
		"nothing":         {mesh: script{answers: [][]byte{[]byte("{}")}}, calls: 1},
		"more of nothing": {mesh: script{answers: [][]byte{[]byte(`{"more":true}`)}}, calls: 1},
		"one bad part":    {mesh: script{answers: [][]byte{encode(syncAnswer{Bundles: []wireBundle{forged, good}})}}, calls: 1, taken: 1, refused: 1},
		"a bad proof": {mesh: script{answers: [][]byte{encode(syncAnswer{Bundles: []wireBundle{good}, Forks: []wireFork{
			{Of: "p", Key: encodeKey(p.public()), Heads: []string{"x", "y"}}, {Of: "p", Key: "not a key"}}})}}, calls: 1, taken: 1, refused: 1},
		"a stranger's":     {mesh: script{answers: [][]byte{encode(syncAnswer{Bundles: newSigner("stranger").chain(1, 1), Forks: []wireFork{newSigner("stranger").fork(1, 1)}})}}, calls: 1},
		"more and more":    {mesh: script{answers: growing}, calls: headBurst + 1, taken: headBurst, refused: 1},
		"the same and old": {mesh: script{answers: [][]byte{growing[0], growing[0]}}, calls: 2, taken: 1},
	} {
		t.Run(name, func(t *testing.T) {
			d, _, _ := lone(t)
			d.mesh = &test.mesh
			err := d.syncWith(t.Context(), p.node)
			if (err != nil) != test.failed || test.mesh.calls != test.calls {
				t.Errorf("error %v, %d calls", err, test.mesh.calls)
			}
			s := d.Stats()
			if int(s.HeadsAccepted) != test.taken || s.Refused != test.refused || (s.SyncsFailed == 1) != test.failed || (s.Syncs == 1) == test.failed {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

// A sync goes on while it brings something, and at most maxSyncRounds.
func TestSyncRoundsAreBounded(t *testing.T) {
	now := noon
	d, p, _ := lone(t)
	d.now = func() time.Time { now = now.Add(headEvery); return now } // as fast as is taken
	m := &script{}
	for _, w := range p.chain(1, 40) {
		m.answers = append(m.answers, encode(syncAnswer{Bundles: []wireBundle{w}, More: true}))
	}
	d.mesh = m
	if err := d.syncWith(t.Context(), p.node); err != nil || m.calls != maxSyncRounds {
		t.Errorf("%d calls, %v", m.calls, err)
	}
}

// place.lacks is what both sides of a comparison decide by: whoever lacks nothing of
// the other is at the same place or above.
func TestPlaces(t *testing.T) {
	order := []place{{}, {1, 0, 1, "h", false}, {1, 0, 2, "h", false}, {1, 1, 2, "h", false}, {1, 1, 7, "h", false},
		{Epoch: 1, Forked: true}, {2, 0, 1, "h", false}, {Epoch: 2, Forked: true}}
	for i, p := range order {
		for j, o := range order {
			if got := p.lacks(o); got != (i < j) {
				t.Errorf("%+v lacks of %+v: %v", p, o, got)
			}
		}
	}
	twin := place{1, 0, 2, "other", false}
	if !twin.lacks(order[2]) || !order[2].lacks(twin) {
		t.Error("two heads of one version are not compared, so that no fork is found")
	}
}

func first(b []byte, _ []trust.Key) []byte { return b }

func thumbprints(kids ...string) []string {
	var prints []string
	_, keys := jwks(kids...)
	for _, k := range keys {
		prints = append(prints, k.Thumbprint)
	}
	slices.Sort(prints)
	return prints
}
