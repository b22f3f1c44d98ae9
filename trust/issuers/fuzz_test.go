package issuers

import (
	"encoding/json"
	"testing"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// signed gives the envelope of any payload that a hostile author could sign, or
// "" if Seal itself refuses to write it.
func signed(s signer, typ string, payload []byte) string {
	envelope, err := jose.Seal(typ, s.private, json.RawMessage(payload))
	if err != nil {
		return ""
	}
	return string(envelope)
}

func payloadOf(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func FuzzHead(f *testing.F) {
	s := newSigner("a")
	f.Add(payloadOf(s.head(1, 0, 1, trust.Digest{}, "").Head))
	f.Add([]byte(`{"net":"x","e":-1}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		if _, err := openHead(payload, s.pin, s.public()); err == nil {
			t.Error("an unsigned head was taken")
		}
		h, err := openHead([]byte(signed(s, typHead, payload)), s.pin, s.public())
		if err != nil {
			return
		}
		if h.Net != s.net() || h.Epoch < 1 || h.Version < 1 || h.Update < 0 || h.Version > maxCounter || h.Count < 1 || h.Count > MaxRecords+1 || h.Expires <= h.Issued {
			t.Errorf("taken: %+v", h)
		}
	})
}

func FuzzSite(f *testing.F) {
	s := newSigner("a")
	f.Add(payloadOf(s.siteRecord(1, 0, map[string][]string{testIssuer: {"id"}})))
	f.Add([]byte(`{"key":"AAAA"}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		r, key, err := openSite([]byte(signed(s, typSite, payload)), s.pin)
		if err == nil && (r.Site != s.site || r.Node != s.node || !key.Equal(s.public()) || r.Net != s.net()) {
			t.Errorf("taken: %+v", r)
		}
		if _, _, err := openSite(payload, s.pin); err == nil {
			t.Error("an unsigned record was taken")
		}
	})
}

func FuzzObservation(f *testing.F) {
	s := newSigner("a")
	f.Add(payloadOf(obsRecord{s.net(), testIssuer, testIssuer + "/jwks", trust.Digest{}, []string{print("k")}, noon.Unix(), trust.Digest{}, ""}))
	f.Add([]byte(`{"keys":["x","x"]}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		o, err := openObs([]byte(signed(s, typObs, payload)), s.pin, s.public())
		if err != nil {
			return
		}
		if o.Issuer == "" || len(o.Thumbprints) == 0 || len(o.Thumbprints) > maxKeys || o.At.Unix() < 1 {
			t.Errorf("taken: %+v", o)
		}
		for i := 1; i < len(o.Thumbprints); i++ {
			if o.Thumbprints[i] <= o.Thumbprints[i-1] {
				t.Errorf("not sorted: %q", o.Thumbprints)
			}
		}
	})
}

func FuzzIssuerRecord(f *testing.F) {
	s := newSigner("a")
	f.Add(payloadOf(wordRecord{s.net(), testIssuer, testIssuer + "/jwks", trust.Digest{}, trust.DigestOf([]byte("x")), []string{print("k")}, []string{"ES256"}, []trust.Kind{trust.KindPassport}, noon.Unix(), 300}))
	f.Add([]byte(`{"keys":["x"],"algs":["","","","","","","","",""]}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		w, err := openWord([]byte(signed(s, typWord, payload)), s.pin, s.public())
		if err == nil && (w.Issuer == "" || w.KeySet.IsZero() || len(w.Thumbprints) == 0 || len(w.Thumbprints) > maxKeys || len(w.Kinds) > maxKinds) {
			t.Errorf("taken: %+v", w)
		}
		if _, err := openWord(payload, s.pin, s.public()); err == nil {
			t.Error("an unsigned record was taken")
		}
	})
}

func FuzzSync(f *testing.F) {
	p := newSigner("p")
	bundle := p.bundle(1, 0, 1, trust.Digest{}, nil, p.obs(testIssuer, noon, "k"))
	f.Add(encode(syncRequest{Have: map[trust.NodeID]place{newSigner("p").node: {Epoch: 1, Version: 1}}, Heads: []string{bundle.Head}}))
	f.Add(encode(syncAnswer{Bundles: []wireBundle{bundle}}))
	f.Add(encode(syncRequest{Buckets: vector{p.node: {Epoch: 1, Version: 1}}.digests()}))
	f.Add(encode(syncRequest{Have: vector{p.node: {Epoch: 1, Version: 1}}, Only: true}))
	f.Add(encode(syncAnswer{Compared: true, Differ: []int{0, buckets}}))
	f.Add([]byte(`{"forks":[{"of":"a","key":"","heads":["",""]}],"bundles":[{"of":"p"}]}`))
	f.Fuzz(func(t *testing.T, message []byte) {
		d, p, store := lone(t)
		if reply := d.ServeSync(p.node, message); len(reply) > MaxSyncBytes {
			t.Errorf("a reply of %d bytes", len(reply))
		}
		answer, err := decodeAnswer(message)
		if err != nil {
			return
		}
		for _, w := range answer.Bundles {
			changed, err := d.accept(t.Context(), w)
			if held := d.state.Load().author(d.state.Load().sites[w.Of]); changed && (err != nil || held == nil || string(held.bundle.head.envelope) != w.Head) {
				t.Errorf("%+v, %v", held, err)
			}
		}
		for _, w := range answer.Forks {
			_, _ = d.acceptFork(t.Context(), w)
		}
		for key := range store.entries {
			if key != keyRevision && key != keyFloor && key != keyOwn && key != keyAuthor+"p" && key != keyAuthor+"q" {
				t.Errorf("written: %q", key)
			}
		}
	})
}

// FuzzStored: the state file may be damaged; reading it must not panic.
func FuzzStored(f *testing.F) {
	f.Add("author/p", []byte(`{"node":"x","key":"AA","history":[]}`))
	f.Add("own", []byte(`{"bundle":{"of":"a"}}`))
	f.Add("blob/"+trust.DigestOf([]byte("{}")).String(), []byte("{}"))
	f.Add("fetch/x", []byte(`{"at":1,"since":{"k":1}}`))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		self := newSigner("a")
		d := (&state{}).draft(noon)
		d.authors, d.fetches = map[trust.SiteName]*author{}, map[string]fetchState{}
		d.accepted, d.blobs = map[string]accepted{}, map[trust.Digest][]byte{}
		if err := d.load(key, value, self.pin); err == nil {
			for site, a := range d.authors {
				if a.place() == (place{}) {
					t.Errorf("%s is held at nothing", site)
				}
			}
		}
	})
}
