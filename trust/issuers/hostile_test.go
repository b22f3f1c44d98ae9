package issuers

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
)

// lone is a desk that does not run, with one pinned peer p.
func lone(t *testing.T, policies ...trust.IssuerPolicy) (*Desk, signer, *memory) {
	t.Helper()
	self, peer, store := newSigner("a"), newSigner("p"), newMemory()
	d, err := New(Options{Site: "a", Node: self.node, Key: self.private, Network: testNetwork, Policies: policies,
		Peers: pinned(map[trust.SiteName]trust.NodeID{"p": peer.node, "q": newSigner("q").node}), Store: store, Fetcher: slowFetcher{}, Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	return d, peer, store
}

// MonotoneHeads, V056, row 99: a relay that replays an older bundle brings back nothing.
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
	if got := d.ServeSync(p.node, encode(syncRequest{Have: other.state.Load().have()})); string(got) != "{}" {
		t.Errorf("somebody who knows of the fork got %s", got)
	}
}
