package claims_test

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/claims"
)

// Rows 80, 81 and 86: an aggregated claim is taken from the JWT of a source that this
// site trusts for it, with the end of that JWT.
func TestAggregatedClaim(t *testing.T) {
	w := newWorld(t)
	jwt := signed(w.dac, object{"grants": []string{"v1", "v2"}})
	found, absent := w.resolve(pointing(object{"grants": "s"}, object{"s": object{"JWT": jwt, "note": "read over", "n": 1}}))
	if len(found) != 1 || len(absent) != 0 {
		t.Fatalf("%+v %+v", found, absent)
	}
	if f := found[0]; f.Source != dacURL || f.Name != "grants" || string(f.Value) != `["v1","v2"]` || !f.Until.Equal(now.Add(time.Hour)) {
		t.Errorf("%+v %s", f, f.Value)
	}
	if len(w.asked) != 0 {
		t.Error("an aggregated claim was fetched")
	}
}

// Row 80: pointers of the wrong form make the claim absent, and nothing fails.
func TestMalformedPointers(t *testing.T) {
	w := newWorld(t)
	good := object{"JWT": signed(w.dac, object{"grants": 1})}
	for name, c := range map[string]struct {
		names, sources any
		absent         string
	}{
		"dangling":                 {object{"grants": "gone"}, object{"s": good}, "grants"},
		"reference is a number":    {object{"grants": 5}, object{"s": good}, "grants"},
		"reference is null":        {object{"grants": nil}, object{"s": good}, "grants"},
		"reference is an object":   {object{"grants": object{"s": "s"}}, object{"s": good}, "grants"},
		"reference is an array":    {object{"grants": []string{"s"}}, object{"s": good}, "grants"}, // row 89: off by default
		"sources are an array":     {object{"grants": "s"}, []any{good}, "grants"},
		"sources are null":         {object{"grants": "s"}, nil, "grants"},
		"names are an array":       {[]string{"grants"}, object{"s": good}, "_claim_names"},
		"names are null":           {nil, object{"s": good}, "_claim_names"},
		"names are a string":       {"grants", object{"s": good}, "_claim_names"},
		"source is a string":       {object{"grants": "s"}, object{"s": "x"}, "grants"},
		"source is an array":       {object{"grants": "s"}, object{"s": []any{good}}, "grants"},
		"source is empty":          {object{"grants": "s"}, object{"s": object{}}, "grants"},
		"JWT is a number":          {object{"grants": "s"}, object{"s": object{"JWT": 3}}, "grants"},
		"JWT is empty":             {object{"grants": "s"}, object{"s": object{"JWT": ""}}, "grants"},
		"both kinds at once":       {object{"grants": "s"}, object{"s": object{"JWT": good["JWT"], "endpoint": endpoint}}, "grants"},
		"token is a number":        {object{"grants": "s"}, object{"s": object{"endpoint": endpoint, "access_token": 1}}, "grants"},
		"token ends its header":    {object{"grants": "s"}, object{"s": object{"endpoint": endpoint, "access_token": "a\r\nHost: x"}}, "grants"},
		"token is empty":           {object{"grants": "s"}, object{"s": object{"endpoint": endpoint, "access_token": ""}}, "grants"},
		"token is longer than can": {object{"grants": "s"}, object{"s": object{"endpoint": endpoint, "access_token": strings.Repeat("a", 9000)}}, "grants"},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			if a := w.wantAbsent(pointing(c.names, c.sources), c.absent); a.Conflict {
				t.Errorf("%+v", a)
			}
		})
	}
	if len(w.asked) != 0 {
		t.Errorf("malformed pointers led to %v", w.asked)
	}
	// The same source, pointed to well: the cases above fail for their own reasons.
	w.t = t
	w.want(pointing(object{"grants": "s"}, object{"s": good}), "grants")
	w.want([]byte(`{"sub":"researcher"}`))
	w.want([]byte(`{"sub":"researcher","_claim_sources":{"s":{"JWT":"x"}}}`))
	w.wantAbsent([]byte(`no JSON`), "_claim_names")
	w.wantAbsent([]byte(`{"_claim_names":{"grants":"s","grants":"t"}}`), "_claim_names")
}

// Rows 81 and 86, V095: what is not signed by a trusted source is absent.
func TestUntrustedSource(t *testing.T) {
	w := newWorld(t)
	good := signed(w.dac, object{"grants": 1})
	signsIn := issuer(t, op) // whose keys are believed, but not for claims
	w.view.Issuers[op] = signsIn.View(trust.IssuerPolicy{Kinds: []trust.Kind{trust.KindLogin}, Claims: trust.ClaimSource{Names: []string{"grants"}}}, now.Add(time.Hour))
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + strings.Split(good, ".")[1] + "."
	forged := strings.TrimSuffix(good, good[len(good)-8:]) + "AAAAAAAA"
	for name, jwt := range map[string]string{
		"alg none":             none,
		"not a JWT":            "nothing",
		"broken signature":     forged,
		"no iss":               signed(w.dac, object{"iss": nil, "grants": 1}),
		"iss of nobody known":  signed(w.stranger, object{"grants": 1}),
		"iss of another kind":  signed(signsIn, object{"grants": 1}),
		"iss of somebody else": signed(w.stranger, object{"iss": dacURL, "grants": 1}),
		"iss is a number":      signed(w.dac, object{"iss": 3, "grants": 1}),
		"expired":              signed(w.dac, object{"exp": now.Unix(), "grants": 1}),
		"lacks the claim":      signed(w.dac, object{"terms": 1}),
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			a := w.wantAbsent(pointing(object{"grants": "s"}, object{"s": object{"JWT": jwt}}), "grants")
			if strings.Contains(a.Why, "eyJ") {
				t.Errorf("%q gives a token away", a.Why)
			}
		})
	}
	w.t = t
	w.want(pointing(object{"grants": "s"}, object{"s": object{"JWT": good}}), "grants")
}

// Row 85, V095: a sub is the source's own id. Without one the claim is the session's;
// with one it is attributed only to the same (iss, sub) or one that is linked to it.
func TestSubjectOfAnotherUser(t *testing.T) {
	linked := func(o *claims.Options) {
		o.Linked = func(a, b trust.Identity) (time.Time, bool) {
			return now.Add(time.Minute), a == trust.Identity{Issuer: op, Subject: "researcher"} && b == trust.Identity{Issuer: dacURL, Subject: "researcher@dac"}
		}
	}
	ask := func(w *world, sub any) []byte {
		return pointing(object{"grants": "s"}, object{"s": object{"JWT": signed(w.dac, object{"sub": sub, "grants": 1})}})
	}
	w := newWorld(t)
	w.want(ask(w, nil), "grants")
	w.wantAbsent(ask(w, "researcher"), "grants") // the same text at another issuer is another person (row 42)
	w.wantAbsent(ask(w, "researcher@dac"), "grants")
	w.wantAbsent(ask(w, ""), "grants")
	w.wantAbsent(ask(w, 5), "grants")

	w = newWorld(t, linked)
	w.want(ask(w, "researcher@dac"), "grants")
	// It ends with the link that makes it his (row 55); without one, with what was signed.
	if found, _ := w.resolve(ask(w, "researcher@dac")); len(found) != 1 || !found[0].Until.Equal(now.Add(time.Minute)) {
		t.Errorf("%+v", found)
	}
	if found, _ := w.resolve(ask(w, nil)); len(found) != 1 || found[0].Until.Equal(now.Add(time.Minute)) {
		t.Errorf("%+v", found)
	}
	w.wantAbsent(ask(w, "somebody@dac"), "grants")
	w.wantAbsent(ask(w, "researcher"), "grants")
	w.want(ask(w, nil), "grants")

	// A provider that is a source itself speaks of the same person by the same sub.
	own := issuer(t, op)
	w.view.Issuers[op] = own.View(trust.IssuerPolicy{Kinds: []trust.Kind{trust.KindLogin, trust.KindClaims}, Claims: trust.ClaimSource{Names: []string{"grants"}}}, now.Add(time.Hour))
	at := func(sub string) []byte {
		return pointing(object{"grants": "s"}, object{"s": object{"JWT": signed(own, object{"sub": sub, "grants": 1})}})
	}
	w.want(at("researcher"), "grants")
	w.wantAbsent(at("another"), "grants")
	// A response that does not say whom it is about is about nobody.
	nobody := object{"_claim_names": object{"grants": "s"}, "_claim_sources": object{"s": object{"JWT": signed(own, object{"sub": "", "grants": 1})}}}
	w.wantAbsent(nobody.text(), "grants")
}

// Row 88, V095: only what is pointed to is taken, and only what this site takes from
// that source.
func TestExtraClaimsAreDropped(t *testing.T) {
	w := newWorld(t)
	jwt := signed(w.dac, object{"grants": 1, "terms": 2, "ga4gh_passport_v1": []string{"v"}, "admin": true})
	sources := object{"s": object{"JWT": jwt}}
	w.want(pointing(object{"grants": "s"}, sources), "grants")
	w.want(pointing(object{"grants": "s", "terms": "s"}, sources), "grants", "terms")
	absent := w.want(pointing(object{"grants": "s", "admin": "s", "ga4gh_passport_v1": "s"}, sources), "grants")
	if len(absent) != 2 || absent[0].Name != "admin" || absent[1].Name != "ga4gh_passport_v1" || absent[0].Source != dacURL {
		t.Errorf("%+v", absent)
	}
	// Another source's claim is not this one's to give.
	w.wantAbsent(pointing(object{"other_grants": "s"}, object{"s": object{"JWT": signed(w.dac, object{"other_grants": 1})}}), "other_grants")
	// What a token is, no source says, whatever the operator lists.
	iv := w.view.Issuers[dacURL]
	iv.Policy.Claims.Names = []string{"exp", "iss", "grants"}
	w.view.Issuers[dacURL] = iv
	absent = w.want(pointing(object{"exp": "s", "iss": "s", "grants": "s"}, sources), "grants")
	if len(absent) != 2 {
		t.Errorf("%+v", absent)
	}
}

// Row 88: a name that is there itself and pointed to as well is a conflict; neither is
// used, and whoever reads the response is told.
func TestConflict(t *testing.T) {
	w := newWorld(t)
	response := object{
		"sub": "researcher", "grants": "mine", "_claim_names": object{"grants": "s", "terms": "s", "sub": "s"},
		"_claim_sources": object{"s": object{"JWT": signed(w.dac, object{"grants": 1, "terms": 2})}},
	}
	absent := w.want(response.text(), "terms")
	if len(absent) != 2 || absent[0].Name != "grants" || !absent[0].Conflict || absent[1].Name != "sub" || !absent[1].Conflict {
		t.Errorf("%+v", absent)
	}
	// However many names are pointed to, and whatever they point to.
	names := object{"grants": 7}
	for i := range 100 {
		names["n"+strings.Repeat("x", i)] = "s"
	}
	response["_claim_names"] = names
	absent = w.want(response.text())
	if !slices.ContainsFunc(absent, func(a claims.Absent) bool { return a.Name == "grants" && a.Conflict }) {
		t.Errorf("%+v", absent)
	}
	delete(response, "grants")
	delete(names, "nx")
	if absent = w.want(response.text()); len(absent) != 1 || absent[0].Conflict {
		t.Errorf("%+v", absent)
	}
}

// Row 89: three committees have a name each; one name with several sources is read
// only behind a switch.
func TestSeveralCommittees(t *testing.T) {
	sources := func(w *world) object {
		return object{
			"a": object{"JWT": signed(w.dac, object{"grants": []string{"v1"}, "terms": 1})},
			"b": object{"JWT": signed(w.other, object{"grants": []string{"v2"}, "other_grants": 2})},
		}
	}
	w := newWorld(t)
	w.want(pointing(object{"grants": "a", "other_grants": "b", "terms": "a"}, sources(w)), "grants", "other_grants", "terms")
	w.wantAbsent(pointing(object{"grants": []string{"a", "b"}}, sources(w)), "grants")

	w = newWorld(t, func(o *claims.Options) { o.Arrays = true })
	found, absent := w.resolve(pointing(object{"grants": []string{"b", "a", "b"}}, sources(w)))
	if len(found) != 2 || len(absent) != 0 || found[0].Source != dacURL || found[1].Source != otherURL || string(found[1].Value) != `["v2"]` {
		t.Errorf("%+v %+v", found, absent)
	}
	if absent := w.want(pointing(object{"grants": []string{"a", "gone"}}, sources(w)), "grants"); len(absent) != 1 {
		t.Errorf("%+v", absent)
	}
	for _, bad := range []any{[]any{"a", 1}, []any{}, []any{"a", nil}, []any{[]any{"a"}}} {
		w.wantAbsent(pointing(object{"grants": bad}, sources(w)), "grants")
	}
}

// The bounds hold: many sources cost at most so many questions.
func TestBounds(t *testing.T) {
	w := newWorld(t)
	iv := w.view.Issuers[dacURL]
	names, sources := object{}, object{}
	iv.Policy.Claims.Names = nil
	for i := range 40 {
		n := string(rune('a'+i/26)) + string(rune('a'+i%26))
		names[n] = "s" + n
		sources["s"+n] = object{"endpoint": endpoint, "access_token": "t" + n}
		iv.Policy.Claims.Names = append(iv.Policy.Claims.Names, n)
	}
	w.view.Issuers[dacURL] = iv
	if absent := w.want(pointing(names, sources)); len(absent) != 40 || len(w.asked) != 16 {
		t.Errorf("%d absent, %d asked", len(absent), len(w.asked))
	}
	for _, hostile := range []string{"a\u202eb", strings.Repeat("é", 100), "line\nbreak"} {
		absent := w.want(pointing(object{hostile: "s"}, object{}))
		if len(absent) != 1 || len(absent[0].Name) > 300 || strings.ContainsAny(absent[0].Name, "\u202e\n") {
			t.Errorf("%+v", absent)
		}
	}
}

// Without sources, keys or a way to ask, every pointer leads nowhere and nothing breaks.
func TestNothingConfigured(t *testing.T) {
	jwt := signed(issuer(t, dacURL), object{"grants": 1})
	w := &world{t: t, resolver: claims.New(claims.Options{})}
	w.wantAbsent(pointing(object{"grants": "s"}, object{"s": object{"JWT": jwt}}), "grants")
	w.wantAbsent(pointing(object{"grants": "s"}, object{"s": object{"endpoint": endpoint}}), "grants")
	w = newWorld(t, func(o *claims.Options) { o.Verify, o.Fetch = nil, nil })
	w.wantAbsent(pointing(object{"grants": "s"}, object{"s": object{"JWT": jwt}}), "grants")
	w.wantAbsent(pointing(object{"grants": "s"}, object{"s": object{"endpoint": endpoint}}), "grants")
	w = newWorld(t)
	w.revoked = trust.NewRevocations(1, []trust.Revocation{{Kind: trust.RevokeIssuer, Issuer: dacURL}})
	w.wantAbsent(pointing(object{"grants": "s"}, object{"s": object{"JWT": signed(w.dac, object{"grants": 1})}}), "grants")
	w.wantAbsent(pointing(object{"grants": "s"}, object{"s": object{"endpoint": endpoint}}), "grants")
	if len(w.asked) != 0 {
		t.Error("a revoked source was asked")
	}
}
