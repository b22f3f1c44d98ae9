package broker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/broker"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/mint"
	"github.com/candignode/candignode/trust/passport"
	"github.com/candignode/candignode/trust/passport/passporttest"
)

type info struct {
	Subject string                       `json:"sub"`
	Visas   []string                     `json:"ga4gh_passport_v1"`
	Names   map[string]any               `json:"_claim_names"`
	Sources map[string]map[string]string `json:"_claim_sources"`
}

func (o *office) request(sources ...broker.Source) broker.UserInfoRequest {
	return broker.UserInfoRequest{Caller: o.caller, Visas: o.held, Sources: sources, Until: o.until, Client: "portal", Transaction: "tx"}
}

func (o *office) info(r broker.UserInfoRequest) (info, map[string]any, error) {
	o.t.Helper()
	document, err := o.broker.UserInfo(context.Background(), r)
	if err != nil {
		return info{}, nil, err
	}
	if document.MediaType != broker.MediaJSON {
		o.t.Error(document.MediaType)
	}
	var known info
	var all map[string]any
	if err := errors.Join(json.Unmarshal(document.Body, &known), json.Unmarshal(document.Body, &all)); err != nil {
		o.t.Fatal(err)
	}
	return known, all, nil
}

// committees are n sources with a claim JWT each, under the names that name gives.
func committees(t testing.TB, n int, name func(int) string) []broker.Source {
	t.Helper()
	var sources []broker.Source
	for i := range n {
		c, err := passporttest.NewIssuer(fmt.Sprintf("https://dac%d.example", i), jose.ES256, "k")
		if err != nil {
			t.Fatal(err)
		}
		payload, err := json.Marshal(map[string]any{"iss": c.URL, "iat": start.Unix(), "exp": start.Add(time.Minute).Unix(), name(i): []string{}})
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, broker.Source{Claim: name(i), JWT: trust.NewPassport(c.Sign(jose.Header{Type: "JWT"}, payload))})
	}
	return sources
}

func own(i int) string  { return fmt.Sprint("ga4gh_passport_v1_dac", i) }
func shared(int) string { return mint.ClaimPassport }
func aggregated(on bool) func(*broker.Options) {
	return func(o *broker.Options) { o.Aggregated = on }
}

// Row 68, as the one who is asked: sub is the name in this node's passports, and visas of several
// committees are merged, each once.
func TestUserInfo(t *testing.T) {
	o := open(t)
	one, two := o.visa("one"), o.visa("two")
	o.held = []trust.Passport{one, two, one}
	got, all, err := o.info(o.request())
	if err != nil {
		t.Fatal(err)
	}
	_, c := o.read(o.forward(siteB).Compact())
	if got.Subject != c.Subject || len(got.Visas) != 3 || got.Visas[1] != one.Compact() || got.Visas[2] != two.Compact() || len(all) != 2 {
		t.Errorf("%+v", all)
	}
	o.held = nil
	if got, _, err := o.info(o.request()); err != nil || len(got.Visas) != 1 {
		t.Error("nobody's visas leave the link alone", err, len(got.Visas))
	}
	r := o.request()
	r.Caller = trust.Caller{}
	if _, _, err := o.info(r); !errors.Is(err, broker.ErrNobody) {
		t.Error(err)
	}
	for _, until := range []time.Time{{}, start} {
		r := o.request()
		r.Until = until
		if _, _, err := o.info(r); !errors.Is(err, broker.ErrExpired) {
			t.Error(err)
		}
	}
}

// Rows 68 and 72: a signed response is for one client, and ends with the token.
func TestSignedUserInfo(t *testing.T) {
	o := open(t)
	r := o.request()
	r.Signed = true
	document, err := o.broker.UserInfo(context.Background(), r)
	if err != nil || document.MediaType != broker.MediaJWT {
		t.Fatal(document.MediaType, err)
	}
	token, err := jose.Parse(string(document.Body), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := token.Verify(o.broker.Keys()[0], jose.ES256)
	var claims struct {
		Issuer   string   `json:"iss"`
		Audience string   `json:"aud"`
		Subject  string   `json:"sub"`
		Expires  int64    `json:"exp"`
		Visas    []string `json:"ga4gh_passport_v1"`
	}
	if err := errors.Join(err, jose.Unmarshal(payload, &claims)); err != nil {
		t.Fatal(err)
	}
	if claims.Issuer != issuer || claims.Audience != "portal" || claims.Expires != start.Add(5*time.Minute).Unix() || len(claims.Visas) != 2 {
		t.Errorf("%+v", claims)
	}
	// V062: it is no passport.
	if _, err := o.verify(string(document.Body), siteB); err == nil {
		t.Error("a UserInfo response passes for a passport")
	}
	r.Until = start.Add(time.Minute)
	document, err = o.broker.UserInfo(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	if _, c := readClaims(t, o, string(document.Body)); c["exp"] != float64(r.Until.Unix()) {
		t.Error(c)
	}
	r.Client = ""
	if _, err := o.broker.UserInfo(context.Background(), r); !errors.Is(err, broker.ErrClaims) {
		t.Error(err)
	}
}

func readClaims(t *testing.T, o *office, compact string) (jose.Header, map[string]any) {
	t.Helper()
	token, err := jose.Parse(compact, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := token.Verify(o.broker.Keys()[0], jose.ES256)
	var claims map[string]any
	if err := errors.Join(err, jose.Unmarshal(payload, &claims)); err != nil {
		t.Fatal(err)
	}
	return token.Header(), claims
}

// Row 89: three committees are three claim names, each with one source, as Core has it.
// Row 81: each JWT holds the claim that it is there for.
func TestCommitteesHaveNamesOfTheirOwn(t *testing.T) {
	o := open(t, aggregated(true))
	sources := committees(t, 3, own)
	got, _, err := o.info(o.request(sources...))
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Names) != 3 || len(got.Sources) != 3 || len(got.Visas) != 2 {
		t.Errorf("%+v", got)
	}
	for i, source := range sources {
		id, isText := got.Names[own(i)].(string)
		if !isText || got.Sources[id]["JWT"] != source.JWT.Compact() || len(got.Sources[id]) != 1 {
			t.Errorf("%d: %v %v", i, got.Names, got.Sources[id])
		}
	}
	// One committee may have the standard name, if nothing else stands there.
	o.held = nil
	got, all, err := o.info(o.request(committees(t, 1, shared)...))
	if _, normal := all[mint.ClaimPassport]; err != nil || normal || got.Names[mint.ClaimPassport] != "src1" {
		t.Error(all, err)
	}
}

// Row 89: one name with several sources goes to nobody unless it is switched on.
func TestArraysAreOffByDefault(t *testing.T) {
	o := open(t, aggregated(true))
	o.held = nil
	if _, _, err := o.info(o.request(committees(t, 3, shared)...)); !errors.Is(err, broker.ErrClaims) || !strings.Contains(err.Error(), "array_claims") {
		t.Error(err)
	}
	o = open(t, func(o *broker.Options) { o.Aggregated, o.ArrayClaims = true, true })
	o.held = nil
	got, _, err := o.info(o.request(committees(t, 3, shared)...))
	if err != nil {
		t.Fatal(err)
	}
	if ids, ok := got.Names[mint.ClaimPassport].([]any); !ok || !slices.Equal(ids, []any{"src1", "src2", "src3"}) {
		t.Errorf("%v", got.Names)
	}
}

// Rows 80, 81, 87 and 88: nothing leaves that a reader would have to take for a conflict, or as
// absent.
func TestSourcesThatAreNotTold(t *testing.T) {
	o := open(t, func(o *broker.Options) { o.Aggregated, o.Distributed = true, true })
	good := committees(t, 1, own)[0]
	for name, source := range map[string]broker.Source{
		"a normal claim too":  committees(t, 1, shared)[0],
		"sub":                 committees(t, 1, func(int) string { return "sub" })[0],
		"exp":                 committees(t, 1, func(int) string { return "exp" })[0],
		"no name":             {JWT: good.JWT},
		"long name":           {Claim: strings.Repeat("x", 300), JWT: good.JWT},
		"another claim":       {Claim: "x", JWT: good.JWT},
		"no token":            {Claim: "x", JWT: trust.NewPassport("a.b")},
		"neither":             {Claim: "x"},
		"both":                {Claim: good.Claim, JWT: good.JWT, Endpoint: "https://dac.example/claims"},
		"plain endpoint":      {Claim: "x", Endpoint: "http://dac.example/claims"},
		"endpoint with query": {Claim: "x", Endpoint: "https://dac.example/claims?token=1"},
	} {
		if _, _, err := o.info(o.request(source)); !errors.Is(err, broker.ErrClaims) || strings.Contains(err.Error(), "eyJ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := o.info(o.request(committees(t, 33, own)...)); !errors.Is(err, broker.ErrClaims) {
		t.Error("too many sources", err)
	}
	got, _, err := o.info(o.request(broker.Source{Claim: "x", Endpoint: "https://dac.example/claims"}))
	if err != nil || got.Sources["src1"]["endpoint"] != "https://dac.example/claims" || len(got.Sources["src1"]) != 1 {
		t.Error(got, err)
	}
	// Row 90: what is off is not told.
	off := open(t)
	for _, source := range []broker.Source{good, {Claim: "x", Endpoint: "https://dac.example/claims"}} {
		if _, _, err := off.info(off.request(source)); !errors.Is(err, broker.ErrClaims) {
			t.Error(err)
		}
	}
}

func (o *office) discovery() map[string]any {
	o.t.Helper()
	text, err := o.broker.Discovery()
	if err != nil {
		o.t.Fatal(err)
	}
	var d map[string]any
	if err := jose.Unmarshal(text, &d); err != nil {
		o.t.Fatal(err)
	}
	return d
}

// Rows 72 and 90: the discovery document has all that a passport issuer must name, and leaves
// out what is off.
func TestDiscovery(t *testing.T) {
	d := open(t).discovery()
	for name, want := range map[string]any{
		"issuer": issuer, "token_endpoint": tokens, "userinfo_endpoint": "https://a.example/oauth/userinfo", "jwks_uri": jwks,
		"request_uri_parameter_supported": false,
	} {
		if d[name] != want {
			t.Errorf("%s: %v", name, d[name])
		}
	}
	for name, want := range map[string]string{
		"subject_types_supported": "public", "id_token_signing_alg_values_supported": "ES256", "grant_types_supported": broker.GrantTokenExchange,
		"scopes_supported": mint.ClaimPassport, "token_endpoint_auth_methods_supported": "private_key_jwt", "claims_supported": mint.ClaimPassport,
		"token_endpoint_auth_signing_alg_values_supported": "RS256", "userinfo_signing_alg_values_supported": "ES256",
	} {
		if list, ok := d[name].([]any); !ok || !slices.Contains(list, any(want)) {
			t.Errorf("%s: %v", name, d[name])
		}
	}
	for _, off := range []string{"authorization_endpoint", "claim_types_supported", "code_challenge_methods_supported"} {
		if _, there := d[off]; there {
			t.Error(off, "is off, and named")
		}
	}
	if list, ok := d["response_types_supported"].([]any); !ok || len(list) != 0 {
		t.Error(d["response_types_supported"])
	}
	on := open(t, func(o *broker.Options) { o.Aggregated, o.Distributed, o.Clients = true, true, o.Clients[:2] }).discovery()
	if list, ok := on["claim_types_supported"].([]any); !ok || !slices.Equal(list, []any{"normal", "aggregated", "distributed"}) {
		t.Error(on["claim_types_supported"])
	}
	if list, _ := on["token_endpoint_auth_methods_supported"].([]any); len(list) != 1 {
		t.Error("nobody may show a certificate", list)
	}
}

// Row 68: a clearinghouse reads the signed response as UserInfo, for the client that it is for.
func TestSignedUserInfoIsReadElsewhere(t *testing.T) {
	o := open(t)
	r := o.request()
	r.Signed = true
	document, err := o.broker.UserInfo(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	view := &trust.View{Revision: 1, Issuers: map[string]trust.IssuerView{issuer: {
		Policy: trust.IssuerPolicy{Issuer: issuer, Kinds: []trust.Kind{trust.KindPassport}},
		Keys:   []trust.BelievedKey{{Key: o.broker.Keys()[0], Until: start.Add(time.Hour)}},
	}}}
	verifier := passport.New(passport.Options{View: func() *trust.View { return view }})
	for client, good := range map[string]bool{"portal": true, "narrow": false} {
		read, err := verifier.Token(context.Background(), passport.TokenRequest{
			Kind: passport.UserInfoJWT, Compact: string(document.Body), Issuer: issuer, Audience: []string{client}, Now: start,
		})
		if (err == nil) != good || good && read.Subject == "" {
			t.Error(client, err)
		}
	}
}
