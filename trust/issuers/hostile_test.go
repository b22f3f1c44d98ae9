package issuers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
)

// lone is a desk that does not run, with one pinned peer p.
func lone(t *testing.T, policies ...trust.IssuerPolicy) (*Desk, signer, *memory) {
	t.Helper()
	self, peer, store := newSigner("a"), newSigner("p"), newMemory()
	d, err := New(Options{Site: "a", Node: self.node, Key: self.private, Network: testNetwork, Policies: policies,
		Peers: map[trust.SiteName]trust.NodeID{"p": peer.node, "q": newSigner("q").node}, Store: store, Fetcher: slowFetcher{}, Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	return d, peer, store
}

// MonotoneHeads, V056: a relay that replays an older bundle brings back nothing.
func TestRollback(t *testing.T) {
	d, p, _ := lone(t)
	old := p.bundle(1, 0, 1, trust.Digest{}, nil, p.obs(testIssuer, noon, "withdrawn"))
	first, _, err := old.verify(p.pin, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []wireBundle{old, p.bundle(1, 0, 2, first.head.hash, nil, p.obs(testIssuer, noon, "k")), old} {
		if _, err := d.accept(t.Context(), w); err != nil {
			t.Fatal(err)
		}
	}
	if got := d.state.Load().author("p"); got.place().Version != 2 || !slices.Equal(got.witness().Observations[0].Thumbprints, []string{print("k")}) {
		t.Errorf("held %+v", got.witness())
	}
}

// Section 9: more than six heads at once of one author are not taken; ten seconds
// later one more is.
func TestHeadRate(t *testing.T) {
	now := noon
	d, p, store := lone(t)
	d.now = func() time.Time { return now }
	var prev trust.Digest
	taken := 0
	send := func(ver int64) {
		w := p.bundle(1, 0, ver, prev, nil)
		prev = trust.DigestOf([]byte(w.Head))
		if changed, _ := d.accept(t.Context(), w); changed {
			taken++
		}
	}
	for ver := int64(1); ver <= 20; ver++ {
		send(ver)
	}
	if writes := store.writes; taken != headBurst || writes > headBurst+1 {
		t.Errorf("%d heads taken, %d writes", taken, writes)
	}
	now = now.Add(headEvery)
	send(21)
	send(22)
	if taken != headBurst+1 {
		t.Errorf("%d heads taken after a pause", taken)
	}
}

// BoundedState: what cannot be verified is neither kept nor passed on.
func TestHearRefuses(t *testing.T) {
	d, p, store := lone(t)
	if _, err := d.accept(t.Context(), p.bundle(1, 0, 1, trust.Digest{}, nil)); err != nil {
		t.Fatal(err)
	}
	writes := store.writes
	stranger := newSigner("stranger")
	good := p.head(1, 0, 2, trust.Digest{}, "")
	future := good.Head
	future.Issued, future.Expires = noon.Add(time.Hour).Unix(), noon.Add(2*time.Hour).Unix()
	flipped := bytes.Clone(good.envelope)
	flipped[len(flipped)-20] ^= 1
	for name, message := range map[string][]byte{
		"nothing":           {},
		"noise":             []byte("hello"),
		"too long":          bytes.Repeat([]byte("x"), MaxHeadBytes+1),
		"a stranger's":      stranger.head(1, 0, 1, trust.Digest{}, "").envelope,
		"forged":            flipped,
		"from the future":   []byte(p.seal(typHead, future)),
		"not a head":        []byte(p.seal(typObs, map[string]string{})),
		"a head of nothing": []byte(p.seal(typHead, map[string]string{})),
	} {
		if err := d.hear(t.Context(), message); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if store.writes != writes {
		t.Error("something of it was written")
	}
	if !slices.ContainsFunc(d.Alarms(), func(a Alarm) bool { return a.Code == AlarmClock && a.Site == "p" }) {
		t.Errorf("alarms %+v", d.Alarms())
	}
	// A peer whose key is not known yet: an errand, not belief.
	if err := d.hear(t.Context(), newSigner("q").head(1, 0, 1, trust.Digest{}, "").envelope); err != nil || len(d.errands.waiting) != 1 {
		t.Errorf("%v, errands %+v", err, d.errands.waiting)
	}
	if held := d.state.Load().author("q"); held != nil {
		t.Error("an unverified head is held")
	}
}

// TimeBounds: a peer's clock moves this node's evaluation time by skew at most,
// and nothing moves it back.
func TestFloor(t *testing.T) {
	d, p, _ := lone(t)
	ahead := func(by time.Duration) func(*Head) {
		return func(h *Head) { h.Issued, h.Expires = noon.Add(by).Unix(), noon.Add(by+maxLife).Unix() }
	}
	if _, err := d.accept(t.Context(), p.bundle(1, 0, 1, trust.Digest{}, ahead(skew+time.Second))); err == nil {
		t.Error("a head from the future was taken")
	}
	if _, err := d.accept(t.Context(), p.bundle(1, 0, 2, trust.Digest{}, ahead(skew))); err != nil {
		t.Fatal(err)
	}
	if got := d.state.Load().evaluation(noon.Add(-time.Hour)); !got.Equal(noon.Add(skew)) {
		t.Errorf("evaluation time %v", got)
	}
	// Heads of a fork proof are not checked for time, and must not move it.
	far := Head{Net: p.net(), Epoch: 3, Version: 1, Count: 1, Issued: noon.Add(1e6 * time.Second).Unix()}
	far.Expires = far.Issued + 60
	other := far
	other.Root = trust.DigestOf(nil)
	if changed, err := d.acceptFork(t.Context(), wireFork{"p", encodeKey(p.public()), []string{p.seal(typHead, far), p.seal(typHead, other)}}); err != nil || !changed {
		t.Errorf("%v, %v", changed, err)
	}
	if got := d.state.Load().floor; got.After(noon.Add(skew)) {
		t.Errorf("floor %v", got)
	}
}

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
	if err := json.Unmarshal(d.ServeSync(p.node, []byte(`{"have":{}}`)), &answer); err != nil || len(answer.Bundles) != 1 || answer.Bundles[0].Name != "p" {
		t.Errorf("%+v, %v", answer, err)
	}
	have := encode(syncRequest{Have: d.state.Load().have("a")})
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
		s.authors[p.site] = &author{pin: p.pin, key: p.public(), bundle: &bundle{head: h,
			records: wireBundle{p.site, strings.Repeat("s", MaxSiteRecordBytes), string(h.envelope), records}}}
	}
	a := s.answer("a", nil)
	if b := encode(a); len(b) > MaxSyncBytes || !a.More || len(a.Bundles) == 0 {
		t.Errorf("%d bytes, %d bundles, more %v", len(b), len(a.Bundles), a.More)
	}
}

// Binding ladder, L2: a client id binds to the one site that claims it.
func TestClientIDs(t *testing.T) {
	d, p, _ := lone(t, trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeDirect, ClientIDs: []string{"mine", "contested"}})
	q := newSigner("q")
	announce := func(s signer, ver int64, ids ...string) {
		t.Helper()
		r := s.siteRecord(1, ver, map[string][]string{testIssuer: ids, "https://unconfigured": {"x"}})
		if _, err := d.accept(t.Context(), s.bundleWith(r, ver, d.state.Load().author(s.site).last(), nil)); err != nil {
			t.Fatal(err)
		}
	}
	check := func(site trust.SiteName, want ...string) {
		t.Helper()
		if got := d.ClientIDs(testIssuer, site); !slices.Equal(got, want) {
			t.Errorf("%q has %q, not %q", site, got, want)
		}
	}
	announce(p, 1, "p1", "p2", "contested")
	check("", "mine", "contested")
	check("a", "mine", "contested")
	check("p", "p1", "p2")
	check("q")
	check("nobody")
	announce(q, 1, "q1", "p2", "mine")
	check("p", "p1")
	check("q", "q1")
	check("", "mine", "contested")
	if !slices.ContainsFunc(d.Alarms(), func(a Alarm) bool { return a.Code == AlarmClientID && strings.Contains(a.Message, `"p2"`) }) {
		t.Errorf("alarms %+v", d.Alarms())
	}
	if got := d.ClientIDs("https://unconfigured", "p"); got != nil {
		t.Errorf("an issuer that is not configured binds %q", got)
	}
	announce(q, 2, "q1")
	check("p", "p1", "p2")
	// Stale, forked or removed: nothing binds, and nothing is contested.
	fork := p.bundleWith(p.siteRecord(1, 1, nil), 1, trust.Digest{}, nil)
	if _, err := d.accept(t.Context(), fork); err != nil {
		t.Fatal(err)
	}
	check("p")
	d.now = func() time.Time { return noon.Add(MaxStale) }
	check("q")
	check("", "mine", "contested")
	if err := d.Reconfigure(nil, nil); err != nil {
		t.Fatal(err)
	}
	check("")
}

// last gives the digest of the newest head held.
func (a *author) last() trust.Digest {
	if a == nil || a.bundle == nil {
		return trust.Digest{}
	}
	return a.bundle.head.hash
}

func TestExplainIsStable(t *testing.T) {
	d, p, _ := lone(t, quorumPolicy(2, "p", "q"))
	if _, err := d.accept(t.Context(), p.bundle(1, 0, 1, trust.Digest{}, nil, p.obs(testIssuer, noon, "k"))); err != nil {
		t.Fatal(err)
	}
	e, err := d.Explain(testIssuer)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"issuer":"https://idp.example.org","mode":"direct+quorum","kinds":null,"witnesses_needed":2,"max_stale":"24h0m0s","trust_revision":1,` +
		`"keys":[{"thumbprint":"` + print("k") + `","believed":false,"why":"not in this node's own fetch of the issuer","seen_by":[{"site":"p","at":"2026-03-01T12:00:00Z"}]}],` +
		`"own_fetch":{"ok":false,"rejected":[]},` +
		`"witnesses":[{"site":"p","named":true,"known":true,"fresh":true,"forked":false,"e":1,"ver":1,"observed_at":"2026-03-01T12:00:00Z","agrees":false},` +
		`{"site":"q","named":true,"known":false,"fresh":false,"forked":false,"agrees":false}],"alarms":[]}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	l := d.List()
	if len(l) != 1 || l[0].KeysSeen != 1 || l[0].KeysBelieved != 0 || l[0].WitnessesFresh != 1 || l[0].Needed != 2 {
		t.Errorf("list %+v", l)
	}
}

// tape is a mesh that notes what is broadcast.
type tape struct {
	alone
	sent [][]byte
}

func (m *tape) Broadcast(message []byte) { m.sent = append(m.sent, message) }

// What is new is passed on, verbatim, once; what is not is not.
func TestPassOnOnlyWhatIsNew(t *testing.T) {
	d, p, _ := lone(t)
	m := &tape{}
	d.mesh = m
	first := p.bundle(1, 0, 1, trust.Digest{}, nil)
	twin := p.bundle(1, 0, 1, trust.Digest{}, nil, p.obs(testIssuer, noon, "k"))
	var want []string
	for i, w := range []wireBundle{first, first, twin, twin, first} {
		if _, err := d.accept(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		if i == 0 || i == 2 { // the second is news because it proves a fork
			want = append(want, w.Head)
		}
	}
	var got []string
	for _, b := range m.sent {
		got = append(got, string(b))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d messages passed on, not %d", len(got), len(want))
	}
	// Whoever missed the gossip learns of the fork by comparing, and believes the
	// proof, not the peer.
	other, _, _ := lone(t)
	var answer syncAnswer
	if err := json.Unmarshal(d.ServeSync(p.node, []byte(`{"have":{"p":{"e":1,"u":0,"ver":1}}}`)), &answer); err != nil || len(answer.Forks) != 1 || len(answer.Bundles) != 0 {
		t.Fatalf("%+v, %v", answer, err)
	}
	if changed, err := other.acceptFork(t.Context(), answer.Forks[0]); err != nil || !changed || !other.state.Load().author("p").forked() {
		t.Errorf("%v, %v", changed, err)
	}
	if changed, _ := other.acceptFork(t.Context(), answer.Forks[0]); changed {
		t.Error("a proof is news twice")
	}
	if got := d.ServeSync(p.node, encode(syncRequest{Have: other.state.Load().have("a")})); string(got) != "{}" {
		t.Errorf("somebody who knows of the fork got %s", got)
	}
}
