package members

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/roots"
)

// alone is a mesh that reaches nobody: fuzzed desks are only spoken to.
type alone struct{ Mesh }

// fuzzed is a site that knows one peer and has invited one newcomer.
type fuzzed struct {
	store          *memory
	peer, newcomer *roots.Chain
	invite         string
	words          []string
}

func newFuzzed(f *testing.F) fuzzed {
	f.Helper()
	own := chainOf(f, "host", noon)
	genesis, err := NewGenesis("rare", own.ID())
	if err != nil {
		f.Fatal(err)
	}
	key, value, err := FirstState(own, genesis)
	if err != nil {
		f.Fatal(err)
	}
	z := fuzzed{store: &memory{entries: map[string][]byte{key: value}}, peer: chainOf(f, "peer", noon), newcomer: chainOf(f, "newcomer", noon)}
	d := z.open(f, z.store)
	if _, err := d.take(f.Context(), news{Chains: [][]roots.Signed{z.peer.Records()}}); err != nil {
		f.Fatal(err)
	}
	issued, err := d.Invite(f.Context(), z.newcomer.ID())
	if err != nil {
		f.Fatal(err)
	}
	// The same in each process of the engine, so its id is not random.
	invite, err := OpenInvite(issued, z.newcomer.ID(), noon)
	if err != nil {
		f.Fatal(err)
	}
	invite.ID = "fuzzed"
	sealed, err := jose.Seal(TypeInvite, private("host"), invite)
	if err != nil {
		f.Fatal(err)
	}
	z.invite = string(sealed)
	for _, stance := range []Stance{Endorses, Expels, TakesBack} {
		w, err := sealWord(wordBody{genesis.Network(), z.peer.ID(), z.newcomer.ID(), stance, noon.Unix()}, private("peer"))
		if err != nil {
			f.Fatal(err)
		}
		z.words = append(z.words, w)
	}
	return z
}

func (z fuzzed) open(t testing.TB, store *memory) *Desk {
	t.Helper()
	d, err := New(Options{Site: "host", Key: private("host"), Network: "rare", Store: store, Mesh: alone{}, Now: func() time.Time { return noon },
		Pins: []Pin{{Name: "peer", Node: nodeOf("peer", "").ID}}})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// sound checks what holds whatever was said to d: nothing is known but the peer and the newcomer, the
// newcomer only from its own hand, and the store gives the same desk again.
func (z fuzzed) sound(t *testing.T, d *Desk, store *memory) {
	t.Helper()
	for _, s := range d.View().Sites {
		if s.ID != z.peer.ID() && s.ID != z.newcomer.ID() {
			t.Errorf("a site out of nothing: %+v", s)
		}
	}
	if own := d.Own().Digest(); own != z.open(t, z.store.copy()).Own().Digest() {
		t.Error("somebody else changed this site's own record")
	}
	held := sum(d.state.Load().have())
	if again := sum(z.open(t, store.copy()).state.Load().have()); again != held {
		t.Error("the store does not hold what the desk believes")
	}
}

func asJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // values of this file
	}
	return b
}

// Whatever a peer sends about sites, as a request or as an answer.
func FuzzServe(f *testing.F) {
	z := newFuzzed(f)
	have := map[trust.SiteID]place{z.peer.ID(): {}}
	f.Add(asJSON(request{Have: have}))
	f.Add(asJSON(request{News: news{Chains: [][]roots.Signed{z.newcomer.Records(), z.peer.Records()}, Words: z.words}}))
	f.Add(asJSON(answer{Same: true, News: news{Words: z.words[:1]}, More: true, Members: []trust.SiteID{z.newcomer.ID()}}))
	f.Add([]byte(`{"news":{"chains":[[]],"words":[""]}}`))
	f.Add([]byte(`{"have":{"":{"c":"x"}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		store := z.store.copy()
		d := z.open(t, store)
		if got := d.Serve(t.Context(), nodeOf("newcomer", "").ID, b); got != nil {
			t.Error("a node that is not admitted is answered")
		}
		if got := d.Serve(t.Context(), nodeOf("peer", "").ID, b); got != nil {
			if _, err := decodeAnswer(got); err != nil {
				t.Errorf("a peer cannot read the answer: %v", err)
			}
		}
		if a, err := decodeAnswer(b); err == nil {
			_, _ = d.take(t.Context(), a.News) // an error is what a lie gets
		}
		z.sound(t, d, store)
	})
}

// Whatever a node that nobody knows brings to a site that expects a newcomer.
func FuzzServeJoin(f *testing.F) {
	z := newFuzzed(f)
	good := asJSON(joinRequest{z.invite, z.newcomer.Records()})
	f.Add(good)
	f.Add(asJSON(joinRequest{z.invite, z.peer.Records()}))
	f.Add(asJSON(joinRequest{Invite: "a.b.c", Chain: nil}))
	f.Add([]byte(`{"invite":1}`))
	key := private("newcomer").Public().(ed25519.PublicKey)
	stranger := private("stranger").Public().(ed25519.PublicKey)
	f.Fuzz(func(t *testing.T, b []byte) {
		store := z.store.copy()
		d := z.open(t, store)
		if d.ServeJoin(t.Context(), stranger, b) != nil {
			t.Error("a stranger came in on somebody else's invite")
		}
		let := d.ServeJoin(t.Context(), key, b) != nil
		var r joinRequest
		if let && (json.Unmarshal(b, &r) != nil || strings.TrimSpace(r.Invite) != z.invite) {
			t.Error("somebody came in without the invite")
		}
		z.sound(t, d, store)
	})
}

// Whatever an operator pastes as an invite.
func FuzzOpenInvite(f *testing.F) {
	z := newFuzzed(f)
	f.Add(z.invite)
	f.Add(z.words[0])
	f.Add("a.b.c")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		i, err := OpenInvite(text, z.newcomer.ID(), noon)
		switch {
		case err != nil && !errors.Is(err, ErrInvite):
			t.Errorf("%v is no ErrInvite", err)
		case err == nil && (i.For != z.newcomer.ID() || i.Key.ID() != i.Node || i.Genesis.Check() != nil):
			t.Errorf("a bad invite is taken: %+v", i)
		}
	})
}
