package issuers

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
)

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
		`{"site":"q","named":true,"known":false,"fresh":false,"forked":false,"agrees":false}],"tombstones":[],"alarms":[]}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	l := d.List()
	if len(l) != 1 || l[0].KeysSeen != 1 || l[0].KeysBelieved != 0 || l[0].WitnessesFresh != 1 || l[0].Needed != 2 {
		t.Errorf("list %+v", l)
	}
}

// An operator finds in Explain everything that the decision hangs on: each key with why,
// each witness with what it is worth, the own fetch, and the alarms that concern the
// issuer and no others.
func TestExplainSaysWhy(t *testing.T) {
	simulate(t, func(t *testing.T) {
		w := newWorld()
		w.publish(testIssuer, "k", "new")
		policy := quorumPolicy(1, "p", "q", "unknown")
		d, p := open(t, w, policy, trust.IssuerPolicy{Issuer: "https://other", Mode: trust.ModeDirect})
		if err := d.fetch(t.Context(), testIssuer); err != nil {
			t.Fatal(err)
		}
		_ = d.fetch(t.Context(), "https://other") // it fails
		tell(t, d, p, 1, p.sees("k", "old"))
		if _, err := d.acceptFork(t.Context(), newSigner("q").fork(1, 1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(90 * time.Second)
		e, err := d.Explain(testIssuer)
		if err != nil {
			t.Fatal(err)
		}
		why := map[string]string{}
		for _, k := range e.Keys {
			why[k.KeyID] = fmt.Sprint(k.Believed, " ", len(k.SeenBy), " ", k.Why)
		}
		if len(why) != 3 || !strings.HasPrefix(why["k"], "true 2 fetched by this node, and seen by 1 witnesses of 1 needed: p") ||
			!strings.HasPrefix(why["new"], "false 1 fetched by this node, but seen by 0") || !strings.HasPrefix(why[""], "false 1 not in this node's own fetch") {
			t.Errorf("keys %q", why)
		}
		for i, want := range []ExplainedWitness{
			{Site: "p", Named: true, Known: true, Fresh: true, HeadAge: 90, Epoch: 1, Version: 1},
			{Site: "q", Named: true, Known: true, Forked: true, Epoch: 1},
			{Site: "unknown", Named: true},
		} {
			got := e.Witnesses[i]
			got.ObservedAt = time.Time{}
			if got != want {
				t.Errorf("witness %+v, want %+v", got, want)
			}
		}
		codes := map[string]int{}
		for _, a := range e.Alarms {
			codes[a.Code]++
		}
		if want := map[string]int{AlarmQuorum: 1, AlarmFork: 1}; !maps.Equal(codes, want) {
			t.Errorf("alarms %v", codes)
		}
		if e.OwnFetch == nil || !e.OwnFetch.OK || e.OwnFetch.Error != "" || e.JWKSURI == "" || e.TrustRevision != d.View().Revision {
			t.Errorf("%+v", e)
		}
		if o, err := d.Explain("https://other"); err != nil || o.OwnFetch.OK || o.OwnFetch.Error == "" || o.OwnFetch.Tried.IsZero() || !o.OwnFetch.At.IsZero() {
			t.Errorf("%+v, %v", o.OwnFetch, err)
		}
	})
}

// A peer that observes the issuer and is not named is shown, and shown not to count.
func TestExplainShowsWhoDoesNotCount(t *testing.T) {
	d, p, _ := lone(t, quorumPolicy(1, "q", "a"))
	if _, err := d.accept(t.Context(), p.bundle(1, 0, 1, trust.Digest{}, nil, p.obs(testIssuer, noon, "k"))); err != nil {
		t.Fatal(err)
	}
	e, err := d.Explain(testIssuer)
	if err != nil || len(e.Witnesses) != 2 || e.Witnesses[0].Site != "p" || e.Witnesses[0].Named || e.Witnesses[1].Site != "q" || !e.Witnesses[1].Named {
		t.Errorf("%+v, %v", e.Witnesses, err)
	}
	if len(e.Keys) != 0 || d.List()[0].WitnessesFresh != 0 {
		t.Errorf("its word counts: %+v", e.Keys)
	}
}

// List has one line for each issuer, by name, with the first end of belief.
func TestList(t *testing.T) {
	simulate(t, func(t *testing.T) {
		w := newWorld()
		w.publish("https://b", "k", "l")
		d, _ := open(t, w, trust.IssuerPolicy{Issuer: "https://c", Mode: trust.ModeManual, ManualJWKS: first(jwks("p"))},
			trust.IssuerPolicy{Issuer: "https://b", Mode: trust.ModeDirect, Kinds: []trust.Kind{trust.KindVisa}},
			trust.IssuerPolicy{Issuer: "https://a", Mode: trust.ModeDirect})
		_ = d.fetch(t.Context(), "https://a")
		if err := d.fetch(t.Context(), "https://b"); err != nil {
			t.Fatal(err)
		}
		list := d.List()
		var lines []string
		for _, l := range list {
			lines = append(lines, fmt.Sprint(l.Issuer, " ", l.Mode, " ", l.KeysBelieved, "/", l.KeysSeen, " ", l.FetchError != "", " ", l.Alarms, " ", l.Until.IsZero()))
		}
		if want := []string{"https://a direct 0/0 true 1 true", "https://b direct 2/2 false 0 false", "https://c manual 1/1 false 0 true"}; !slices.Equal(lines, want) {
			t.Errorf("list %q", lines)
		}
		if b := list[1]; !b.Until.Equal(b.FetchedAt.Add(DefaultStale)) || !slices.Equal(b.Kinds, []trust.Kind{trust.KindVisa}) {
			t.Errorf("%+v", b)
		}
		if got, err := json.Marshal(list[0]); err != nil || !strings.Contains(string(got), `"keys_believed":0`) || strings.Contains(string(got), "until") {
			t.Errorf("%s, %v", got, err)
		}
	})
}
