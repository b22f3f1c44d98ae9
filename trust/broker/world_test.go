package broker_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/audit"
	"github.com/candignode/candignode/trust/broker"
	"github.com/candignode/candignode/trust/dac"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/mint"
	"github.com/candignode/candignode/trust/passport"
	"github.com/candignode/candignode/trust/passport/passporttest"
)

const (
	issuer  = "https://a.example"
	jwks    = "https://a.example/jwks"
	tokens  = "https://a.example/oauth/token"
	siteB   = "urn:candignode:node:b"
	siteC   = "https://c.example"
	unknown = "urn:candignode:node:x"
	gone    = "urn:candignode:node:gone" // a client may ask for it, and no site has that name
	cut     = "https://c.example/#x"     // known, and no resource by its form
	source  = "https://dac.example"
	link    = "https://a.example/broker"
)

var (
	start = time.Unix(1_800_000_000, 0).UTC()
	alice = trust.Identity{Issuer: "https://idp.a.example/", Subject: "alice"}
)

// office is a site that issues passports, with a client, a researcher and an audit log.
type office struct {
	t      testing.TB
	broker *broker.Broker
	links  *dac.Desk
	key    *ecdsa.PrivateKey // the broker's
	client *ecdsa.PrivateKey
	visas  *passporttest.Issuer // the committee's
	broken error                // of the recorder

	mu       sync.Mutex
	now      time.Time
	records  []audit.Record
	asked    int    // how often a subject token was judged
	askedFor string // the client that showed it last

	// The researcher's token, and what is known of its bearer.
	caller trust.Caller
	held   []trust.Passport
	until  time.Time
	refuse error
}

func key(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (o *office) Record(_ context.Context, records ...audit.Record) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.broken != nil {
		return o.broken
	}
	o.records = append(o.records, records...)
	return nil
}

func (o *office) clock() time.Time { o.mu.Lock(); defer o.mu.Unlock(); return o.now }

func (o *office) pass(d time.Duration) { o.mu.Lock(); defer o.mu.Unlock(); o.now = o.now.Add(d) }

func open(t testing.TB, change ...func(*broker.Options)) *office {
	t.Helper()
	o := &office{t: t, now: start, key: key(t), client: key(t), caller: trust.Caller{Identity: alice, Until: start.Add(time.Hour)}, until: start.Add(time.Hour)}
	var err error
	if o.visas, err = passporttest.NewIssuer(source, jose.ES256, "dac1"); err != nil {
		t.Fatal(err)
	}
	o.held = []trust.Passport{o.visa("one")}
	subjects, err := mint.NewSubjects([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	if o.links, err = dac.New(dac.Options{Issuer: issuer, Source: link, Key: key(t), JKU: jwks, Subject: subjects.Of, Recorder: o, Now: o.clock}); err != nil {
		t.Fatal(err)
	}
	options := broker.Options{
		Issuer: issuer, Key: o.key, Others: map[string]crypto.PublicKey{"node.key": key(t).Public()}, JWKSURI: jwks,
		Endpoints: trust.Endpoints{Token: tokens, UserInfo: "https://a.example/oauth/userinfo"},
		Clients: []broker.Client{
			{ID: "portal", Keys: []trust.Key{{KeyID: "c1", Public: o.client.Public()}}, Targets: []string{siteB, siteC, gone, cut}, Actor: "NODEB"},
			{ID: "narrow", Keys: []trust.Key{{KeyID: "c1", Public: o.client.Public()}}, Targets: []string{siteB}},
			{ID: "certified", Certificates: []string{"x5t"}, Targets: []string{siteB}},
		},
		Targets: func() []string { return []string{siteB, siteC, cut} },
		Subject: subjects.Of, Links: o.links, Recorder: o, Now: o.clock,
		Authenticate: func(_ context.Context, token trust.AccessToken, client string) (trust.Caller, []trust.Passport, time.Time, error) {
			o.asked, o.askedFor = o.asked+1, client
			if o.refuse != nil {
				return trust.Caller{}, nil, time.Time{}, o.refuse
			}
			if token.Reveal() != "at-alice" {
				return trust.Caller{}, nil, time.Time{}, &passport.Refusal{Reason: trust.ReasonScope}
			}
			return o.caller, o.held, o.until, nil
		},
	}
	for _, f := range change {
		f(&options)
	}
	if o.broker, err = broker.New(options); err != nil {
		t.Fatal(err)
	}
	return o
}

// visa is a document token of the committee about alice.
func (o *office) visa(id string) trust.Passport {
	return trust.NewPassport(o.visas.Visa(passporttest.VisaClaims{
		Subject: "v-" + id, ID: id, IssuedAt: start, Expires: start.Add(24 * time.Hour), Asserted: start,
		Type: trust.VisaControlledAccessGrants, Value: "https://dac.example/" + id, Source: source, By: "dac",
	}))
}

// verify reads a passport as site B does, which trusts A's broker and the committee.
func (o *office) verify(compact, self string) (passport.Verdict, error) {
	o.t.Helper()
	until := start.Add(1000 * time.Hour)
	own := trust.IssuerView{Policy: trust.IssuerPolicy{
		Issuer: issuer, Kinds: []trust.Kind{trust.KindPassport, trust.KindVisa}, RequireAud: true, JKU: []string{jwks},
		VisaTypes: []string{trust.VisaLinkedIdentities}, Sources: []string{link}, LinksFor: []string{alice.Issuer},
	}}
	set, err := o.broker.KeySet()
	if err != nil {
		o.t.Fatal(err)
	}
	keys, rejected, err := jose.ParseKeySet(set, false)
	if err != nil || len(rejected) > 0 {
		o.t.Fatal(err, rejected)
	}
	for _, k := range keys {
		own.Keys = append(own.Keys, trust.BelievedKey{Key: k, Until: until})
	}
	view := &trust.View{Revision: 1, Issuers: map[string]trust.IssuerView{
		issuer: own,
		source: o.visas.View(trust.IssuerPolicy{
			Kinds: []trust.Kind{trust.KindVisa}, VisaTypes: []string{trust.VisaControlledAccessGrants}, Sources: []string{source},
		}, until),
	}}
	v := passport.New(passport.Options{View: func() *trust.View { return view }, OwnNames: []string{self}})
	return v.Verify(context.Background(), passport.Request{Passports: []string{compact}, Now: o.clock()})
}

type contents struct {
	Issuer   string   `json:"iss"`
	Subject  string   `json:"sub"`
	Audience []string `json:"aud"`
	IssuedAt int64    `json:"iat"`
	Expires  int64    `json:"exp"`
	ID       string   `json:"jti"`
	Actor    *struct {
		Subject string `json:"sub"`
	} `json:"act"`
	Visas []string `json:"ga4gh_passport_v1"`
}

// read verifies a token under the broker's key and gives its claims.
func (o *office) read(compact string) (jose.Header, contents) {
	o.t.Helper()
	token, err := jose.Parse(compact, 2<<20)
	if err != nil {
		o.t.Fatal(err)
	}
	payload, err := token.Verify(o.broker.Keys()[0], jose.ES256)
	if err != nil {
		o.t.Fatal(err)
	}
	var c contents
	if err := jose.Unmarshal(payload, &c); err != nil {
		o.t.Fatal(err)
	}
	return token.Header(), c
}

// assertion signs what a client proves itself with.
func (o *office) assertion(change ...func(map[string]any)) string {
	return o.assertionBy(o.client, jose.Header{KeyID: "c1", Type: "JWT"}, change...)
}

func (o *office) assertionBy(key crypto.Signer, header jose.Header, change ...func(map[string]any)) string {
	o.t.Helper()
	claims := map[string]any{
		"iss": "portal", "sub": "portal", "aud": issuer, "jti": mint.NewID(),
		"iat": o.clock().Unix(), "exp": o.clock().Add(time.Minute).Unix(),
	}
	for _, f := range change {
		f(claims)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		o.t.Fatal(err)
	}
	token, err := jose.Sign(header, payload, key)
	if err != nil {
		o.t.Fatal(err)
	}
	return token
}

// with sets a claim; nil takes it out.
func with(name string, value any) func(map[string]any) {
	return func(c map[string]any) {
		if c[name] = value; value == nil {
			delete(c, name)
		}
	}
}

// form is a good exchange for site B, with changes: name, value, name, value. "" takes a
// parameter out.
func (o *office) form(changes ...string) url.Values {
	o.t.Helper()
	form := url.Values{
		"grant_type":            {broker.GrantTokenExchange},
		"requested_token_type":  {broker.TokenTypePassport},
		"subject_token":         {"at-alice"},
		"subject_token_type":    {broker.TokenTypeAccess},
		"resource":              {siteB},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {o.assertion()},
	}
	for i := 0; i < len(changes); i += 2 {
		form.Del(changes[i])
		if changes[i+1] != "" {
			form.Set(changes[i], changes[i+1])
		}
	}
	return form
}

func (o *office) exchange(form url.Values) (broker.Issued, error) {
	return o.broker.Exchange(context.Background(), broker.Request{Form: form, Transaction: "tx"})
}

// refused expects a refusal with this code, and nothing else.
func (o *office) refused(name string, form url.Values, code string) {
	o.t.Helper()
	before := len(o.records)
	issued, err := o.exchange(form)
	refusal, ok := errors.AsType[*broker.OAuthError](err)
	if !ok || refusal.Code != code || issued.Passport.Compact() != "" {
		o.t.Errorf("%s: %v, want %s", name, err, code)
		return
	}
	want := map[string]int{broker.CodeInvalidClient: 401, broker.CodeUnavailable: 503}[code]
	if want == 0 {
		want = 400
	}
	var body map[string]string
	if json.Unmarshal(refusal.Body(), &body) != nil || body["error"] != code || body["error_description"] == "" || refusal.Status != want {
		o.t.Errorf("%s: %d %s", name, refusal.Status, refusal.Body())
	}
	if slices.ContainsFunc(o.records[before:], func(r audit.Record) bool { return len(r.Passports) > 0 }) {
		o.t.Errorf("%s: a passport is on record", name)
	}
}

func (o *office) given(name string, form url.Values) contents {
	o.t.Helper()
	issued, err := o.exchange(form)
	if err != nil {
		o.t.Fatal(name, err)
	}
	_, c := o.read(issued.Passport.Compact())
	return c
}

func digests(visas []trust.Passport) []string {
	var all []string
	for _, v := range visas {
		all = append(all, v.Digest().String())
	}
	return all
}

func names(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprint("urn:candignode:node:", i)
	}
	return all
}
