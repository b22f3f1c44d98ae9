package broker_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
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

// Rows 73 to 79: a client that proves itself gets a passport for one target, which that
// target accepts, and nobody else.
func TestExchange(t *testing.T) {
	o := open(t)
	issued, err := o.exchange(o.form())
	if err != nil {
		t.Fatal(err)
	}
	header, c := o.read(issued.Passport.Compact())
	if !header.IsType("vnd.ga4gh.passport+jwt") || c.Issuer != issuer || c.Subject == alice.Subject || c.ID == "" || c.Actor != nil {
		t.Errorf("%+v %+v", header, c)
	}
	if !slices.Equal(c.Audience, []string{siteB}) || c.Expires != start.Add(10*time.Minute).Unix() || issued.ExpiresIn != 10*time.Minute {
		t.Errorf("%+v", c)
	}
	verdict, err := o.verify(issued.Passport.Compact(), siteB)
	if err != nil || len(verdict.Visas) != 2 || !verdict.Visas[1].Accepted {
		t.Error(err, verdict.Visas)
	}
	if _, err := o.verify(issued.Passport.Compact(), siteC); err == nil {
		t.Error("another site takes it")
	}
	// Row 76: the passport stands in access_token.
	var body map[string]any
	text, err := issued.Body()
	if err := errors.Join(err, json.Unmarshal(text, &body)); err != nil {
		t.Fatal(err)
	}
	if body["access_token"] != issued.Passport.Compact() || body["issued_token_type"] != broker.TokenTypePassport || body["token_type"] != "N_A" || body["expires_in"] != 600.0 {
		t.Error(body)
	}
	// Row 116: it is on record, by digest.
	last := o.records[len(o.records)-1]
	if last.Passports[0] != issued.Passport.Digest() || last.Caller != alice || last.Transaction != "tx" || !strings.Contains(last.Detail, "portal") || !strings.Contains(last.Detail, siteB) {
		t.Errorf("%+v", last)
	}
	bearer := open(t, func(o *broker.Options) { o.BearerTokenType = true })
	if issued, err := bearer.exchange(bearer.form()); err != nil || issued.TokenType != "Bearer" {
		t.Error(issued.TokenType, err)
	}
}

// Row 21: visas come out as they went in, each once, after the link. Row 70: those that
// are access tokens stay.
func TestVisasTravelUnchanged(t *testing.T) {
	o := open(t)
	one, two := o.visa("one"), o.visa("two")
	polling := trust.NewPassport(o.visas.Visa(passporttest.VisaClaims{
		Subject: "p", IssuedAt: start, Expires: start.Add(time.Hour), Asserted: start, Scope: "openid", JKU: "-",
		Type: trust.VisaControlledAccessGrants, Value: "https://dac.example/p", Source: source, By: "dac",
	}))
	o.held = []trust.Passport{one, polling, two, one, trust.NewPassport("no visa at all")}
	c := o.given("visas", o.form())
	if len(c.Visas) != 3 || c.Visas[1] != one.Compact() || c.Visas[2] != two.Compact() {
		t.Error(len(c.Visas))
	}
	first, err := jose.Parse(c.Visas[0], 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := first.Verify(o.links.Keys()[0], jose.ES256)
	if err != nil || !strings.Contains(string(payload), mint.LinkValue(alice)) || !strings.Contains(string(payload), `"sub":"`+c.Subject+`"`) {
		t.Error("the first visa does not link the passport's own name with the caller", err)
	}
	// Row 117: the link has a key of its own.
	if o.links.Keys()[0].Thumbprint == o.broker.Keys()[0].Thumbprint {
		t.Error("one key for passports and visas")
	}
}

// Row 73: whoever does not prove to be a client gets 401 invalid_client, and nobody's
// token is looked at.
func TestClientAuthentication(t *testing.T) {
	o := open(t)
	mallory := key(t)
	assertion := func(change ...func(map[string]any)) url.Values {
		return o.form("client_assertion", o.assertion(change...))
	}
	by := func(h jose.Header, change ...func(map[string]any)) url.Values {
		return o.form("client_assertion", o.assertionBy(o.client, h, change...))
	}
	for name, form := range map[string]url.Values{
		"none":                  o.form("client_assertion", "", "client_assertion_type", ""),
		"id alone":              o.form("client_assertion", "", "client_assertion_type", "", "client_id", "portal"),
		"secret":                o.form("client_assertion", "", "client_assertion_type", "", "client_id", "portal", "client_secret", "s"),
		"assertion and secret":  o.form("client_secret", "s"),
		"no assertion type":     o.form("client_assertion_type", ""),
		"other assertion type":  o.form("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"),
		"type alone":            o.form("client_assertion", ""),
		"other client_id":       o.form("client_id", "narrow"),
		"not a token":           o.form("client_assertion", "x.y.z"),
		"huge":                  o.form("client_assertion", strings.Repeat("x", 9<<10)),
		"other key":             o.form("client_assertion", o.assertionBy(mallory, jose.Header{KeyID: "c1"})),
		"unknown kid":           by(jose.Header{KeyID: "c2"}),
		"passport typ":          by(jose.Header{KeyID: "c1", Type: mint.TypePassport}),
		"dpop typ":              by(jose.Header{KeyID: "c1", Type: "dpop+jwt"}),
		"unknown client":        assertion(with("iss", "x"), with("sub", "x")),
		"no iss":                assertion(with("iss", nil)),
		"sub of another":        assertion(with("sub", "narrow")),
		"no aud":                assertion(with("aud", nil)),
		"aud of another":        assertion(with("aud", "https://b.example")),
		"aud with a slash":      assertion(with("aud", issuer+"/")),
		"aud of two":            assertion(with("aud", []string{issuer, "https://b.example"})),
		"aud empty":             assertion(with("aud", []string{})),
		"aud a number":          assertion(with("aud", 1)),
		"no exp":                assertion(with("exp", nil)),
		"exp now":               assertion(with("exp", start.Unix())),
		"exp as text":           assertion(with("exp", "1800000060")),
		"exp in an hour":        assertion(with("exp", start.Add(time.Hour).Unix())),
		"iat ahead":             assertion(with("iat", start.Add(time.Minute).Unix())),
		"nbf ahead":             assertion(with("nbf", start.Add(time.Minute).Unix())),
		"made before the start": assertion(with("iat", start.Add(-time.Second).Unix())),
		"no iat, just started":  assertion(with("iat", nil)),
		"no jti":                assertion(with("jti", nil)),
		"empty jti":             assertion(with("jti", "")),
		"long jti":              assertion(with("jti", strings.Repeat("j", 256))),
	} {
		o.refused(name, form, broker.CodeInvalidClient)
	}
	if _, err := o.broker.Exchange(context.Background(), broker.Request{Form: o.form(), Authorization: "Basic cG9ydGFsOnM="}); err == nil || !strings.HasPrefix(err.Error(), broker.CodeInvalidClient) {
		t.Error(err)
	}
	if o.asked != 0 {
		t.Error("a stranger's subject_token was judged")
	}
	for name, form := range map[string]url.Values{
		"typ JWT": o.form(), "no typ": by(jose.Header{KeyID: "c1"}), "no kid, one key": by(jose.Header{}),
		"newer typ": by(jose.Header{KeyID: "c1", Type: "client-authentication+jwt"}),
		"aud token": assertion(with("aud", tokens)), "aud array": assertion(with("aud", []string{issuer})),
		"client_id too": o.form("client_id", "portal"),
	} {
		if _, err := o.exchange(form); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	o.pass(10 * time.Minute)
	if _, err := o.exchange(assertion(with("iat", nil))); err != nil {
		t.Error("iat is not required once nothing from before the start can be good", err)
	}
}

// Row 73: a certificate that the operator wrote down does as well, and only for its client.
func TestClientByCertificate(t *testing.T) {
	o := open(t)
	form := func(id string) url.Values {
		return o.form("client_assertion", "", "client_assertion_type", "", "client_id", id)
	}
	for name, c := range map[string]struct {
		id, x5t string
		good    bool
	}{
		"its own": {"certified", "x5t", true}, "another": {"certified", "y", false}, "none": {"certified", "", false},
		"another's": {"portal", "x5t", false}, "nobody": {"", "x5t", false},
	} {
		_, err := o.broker.Exchange(context.Background(), broker.Request{Form: form(c.id), Proven: trust.Proven{X5T: c.x5t}})
		if (err == nil) != c.good || err != nil && !strings.HasPrefix(err.Error(), "invalid_client") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Row 73: an assertion is good once; a full memory refuses rather than forgets, and one
// client's memory is not another's.
func TestAssertionsAreUsedOnce(t *testing.T) {
	o := open(t)
	once := o.form()
	if _, err := o.exchange(once); err != nil {
		t.Fatal(err)
	}
	o.refused("replayed", once, broker.CodeInvalidClient)
	o.refused("same jti", o.form("client_assertion", o.assertion(with("jti", "j"), with("iss", "portal")), "resource", unknown), broker.CodeInvalidTarget)
	o.refused("same jti again", o.form("client_assertion", o.assertion(with("jti", "j"))), broker.CodeInvalidClient)
	other := o.form("client_assertion", o.assertion(with("jti", "j"), with("iss", "narrow"), with("sub", "narrow")))
	if _, err := o.exchange(other); err != nil {
		t.Error("another client's jti", err)
	}
	o.pass(2 * time.Minute)
	o.refused("replayed when expired", once, broker.CodeInvalidClient)
	o.pass(-2 * time.Minute)
	o.refused("V044: replayed after the clock was set back", once, broker.CodeInvalidClient)
}

func TestReplayMemoryIsBounded(t *testing.T) {
	verdicts := map[string]int{}
	r := broker.NewReplays()
	for i := range 5000 {
		verdicts[r.Use("portal", names(i + 1)[i], start.Add(time.Minute), start)]++
		if i == 0 && r.Use("portal", names(1)[0], start.Add(time.Minute), start) != "replayed" {
			t.Error("a replay was taken")
		}
		if i > 4097 {
			break
		}
	}
	if verdicts["fresh"] != 4096 || verdicts["full"] == 0 {
		t.Error(verdicts)
	}
	if got := r.Use("narrow", "a", start.Add(time.Minute), start); got != "fresh" {
		t.Error("one client filled another's memory:", got)
	}
	if got := r.Use("portal", "new", start.Add(3*time.Minute), start.Add(time.Minute)); got != "fresh" || r.Len("portal") != 1 {
		t.Error("what has expired was not forgotten", got, r.Len("portal"))
	}
	if got := r.Use("portal", names(1)[0], start.Add(time.Minute), start); got != "replayed" {
		t.Error("forgotten, the clock was set back, and good again:", got)
	}
}

// Rows 74, 75 and 78, V097: what is asked for in the wrong words is refused as such.
func TestFormIsStrict(t *testing.T) {
	o := open(t)
	passportToken := o.visas.Passport(passporttest.PassportClaims{Subject: "s", IssuedAt: start, Expires: start.Add(time.Hour)})
	untyped := o.visas.Sign(jose.Header{Type: "JWT"}, []byte(`{"iss":"https://x","ga4gh_passport_v1":[]}`))
	for name, form := range map[string]url.Values{
		"no requested_token_type":     o.form("requested_token_type", ""),
		"asks for an access token":    o.form("requested_token_type", broker.TokenTypeAccess),
		"case of the type":            o.form("requested_token_type", strings.ToUpper(broker.TokenTypePassport)),
		"no subject_token":            o.form("subject_token", ""),
		"no subject_token_type":       o.form("subject_token_type", ""),
		"subject is a jwt":            o.form("subject_token_type", broker.TokenTypeJWT),
		"subject is a passport type":  o.form("subject_token_type", broker.TokenTypePassport),
		"V097: subject is a passport": o.form("subject_token", passportToken),
		"subject is a visa":           o.form("subject_token", o.visa("x").Compact()),
		"subject is passport-like":    o.form("subject_token", untyped),
		"subject is huge":             o.form("subject_token", strings.Repeat("x", 65<<10)),
		"V097: scope missing":         o.form("subject_token", "at-without-scope"),
		"V097: actor without type":    o.form("actor_token", o.assertion()),
		"actor type without token":    o.form("actor_token_type", broker.TokenTypeJWT),
		"actor of another type":       o.form("actor_token", "x", "actor_token_type", broker.TokenTypeAccess),
		"actor is no assertion":       o.form("actor_token", "x", "actor_token_type", broker.TokenTypeJWT),
		"actor is another client":     o.form("actor_token", o.assertion(with("iss", "narrow"), with("sub", "narrow")), "actor_token_type", broker.TokenTypeJWT),
		"expires_in of words":         o.form("expires_in", "soon"),
		"expires_in of nothing":       o.form("expires_in", "0"),
		"expires_in below nothing":    o.form("expires_in", "-1"),
		"expires_in beyond all":       o.form("expires_in", "99999999999"),
		"no grant_type":               o.form("grant_type", ""),
	} {
		o.refused(name, form, broker.CodeInvalidRequest)
	}
	before := o.asked
	for _, token := range []string{passportToken, untyped, o.visa("x").Compact()} {
		o.refused("a passport or visa", o.form("subject_token", token), broker.CodeInvalidRequest)
	}
	if o.asked != before {
		t.Error("a passport was judged as an access token")
	}
	o.refused("another grant", o.form("grant_type", "authorization_code"), broker.CodeGrantType)
	o.refused("more scope than a passport has", o.form("scope", "openid offline_access"), broker.CodeInvalidScope)
	if _, err := o.exchange(o.form("scope", "openid ga4gh_passport_v1", "unknown", "is read over")); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"grant_type", "subject_token", "client_assertion", "requested_token_type", "x"} {
		form := o.form("x", "1")
		form[name] = append(form[name], form.Get(name))
		o.refused("twice "+name, form, broker.CodeInvalidRequest)
	}
	many := o.form()
	for _, name := range names(70) {
		many.Set(name, "1")
	}
	o.refused("very many parameters", many, broker.CodeInvalidRequest)
	same := o.form()
	same.Set("actor_token", same.Get("client_assertion"))
	same.Set("actor_token_type", broker.TokenTypeJWT)
	o.refused("one assertion for both", same, broker.CodeInvalidRequest)
}

// Row 78: a node that acts for a person is named in act; without an actor there is no act.
func TestActorIsNamed(t *testing.T) {
	o := open(t)
	c := o.given("actor", o.form("actor_token", o.assertion(), "actor_token_type", broker.TokenTypeJWT))
	if c.Actor == nil || c.Actor.Subject != "NODEB" {
		t.Errorf("%+v", c.Actor)
	}
	narrow := func() string { return o.assertion(with("iss", "narrow"), with("sub", "narrow")) }
	c = o.given("no Actor configured", o.form("client_assertion", narrow(), "actor_token", narrow(), "actor_token_type", broker.TokenTypeJWT))
	if c.Actor == nil || c.Actor.Subject != "narrow" {
		t.Errorf("%+v", c.Actor)
	}
}

// Row 77: the passport is for the targets that were asked for, and never for everybody.
func TestTargets(t *testing.T) {
	o := open(t)
	both := o.form("audience", siteC)
	if c := o.given("both", both); !slices.Equal(c.Audience, []string{siteB, siteC}) {
		t.Error(c.Audience)
	}
	two := o.form()
	two["resource"] = []string{siteC, siteB, siteC}
	if c := o.given("two resources", two); !slices.Equal(c.Audience, []string{siteC, siteB}) {
		t.Error(c.Audience)
	}
	if c := o.given("none: the client itself", o.form("resource", "")); !slices.Equal(c.Audience, []string{"portal"}) {
		t.Error(c.Audience)
	}
	half := o.form()
	half["resource"] = []string{siteB, unknown}
	crowd := o.form()
	crowd["resource"] = names(17)
	for name, form := range map[string]url.Values{
		"V097: unknown":    o.form("resource", unknown),
		"a site that left": o.form("resource", gone),
		"known fragment":   o.form("resource", cut),
		"one unknown":      half,
		"unknown name":     o.form("audience", "x"),
		"a crowd":          crowd,
		"fragment":         o.form("resource", siteC+"#x"),
		"empty fragment":   o.form("resource", siteC+"#"),
		"relative":         o.form("resource", "/c"),
		"bare word":        o.form("resource", "c"),
		"case":             o.form("resource", "HTTPS://c.example"),
		"slash":            o.form("resource", siteC+"/"),
		"known, not its":   o.form("client_assertion", o.assertion(with("iss", "narrow"), with("sub", "narrow")), "resource", siteC),
		"everybody":        o.form("audience", "*"),
		"long":             o.form("resource", "https://"+strings.Repeat("x", 1100)),
		"no host at all":   o.form("resource", "https://"),
		"the issuer here":  o.form("resource", issuer),
	} {
		o.refused(name, form, broker.CodeInvalidTarget)
	}
	// A client whose id is a site's name gets nothing for that site by leaving it out.
	clash := open(t, func(b *broker.Options) { b.Targets = func() []string { return []string{"portal", siteB} } })
	clash.refused("an id that is a site's", clash.form("resource", ""), broker.CodeInvalidTarget)
}

// Row 79: the passport ends with the subject token at the latest; asking for longer is cut,
// asking for shorter is heard.
func TestPassportEndsWithItsSubject(t *testing.T) {
	for name, c := range map[string]struct {
		until, caller, asked, want time.Duration
	}{
		"the TTL":          {time.Hour, time.Hour, 0, 10 * time.Minute},
		"the token":        {3 * time.Minute, time.Hour, 0, 3 * time.Minute},
		"the caller":       {time.Hour, 2 * time.Minute, 0, 2 * time.Minute},
		"asked for longer": {3 * time.Minute, time.Hour, 24 * time.Hour, 3 * time.Minute},
		"asked, TTL":       {time.Hour, time.Hour, 24 * time.Hour, 10 * time.Minute},
		"asked for less":   {time.Hour, time.Hour, time.Minute, time.Minute},
		"a fraction":       {1500 * time.Millisecond, time.Hour, 0, time.Second},
		"over":             {0, time.Hour, 0, 0}, "within the second": {900 * time.Millisecond, time.Hour, 0, 0}, "caller over": {time.Hour, 0, 0, 0},
	} {
		o := open(t)
		o.until, o.caller.Until = start.Add(c.until), start.Add(c.caller)
		asked := ""
		if c.asked > 0 {
			asked = strconv.Itoa(int(c.asked / time.Second))
		}
		if c.want == 0 {
			o.refused(name, o.form("expires_in", asked), broker.CodeInvalidRequest)
			continue
		}
		issued, err := o.exchange(o.form("expires_in", asked))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, got := o.read(issued.Passport.Compact()); got.Expires != start.Add(c.want).Unix() || issued.ExpiresIn != c.want {
			t.Errorf("%s: %d", name, got.Expires-start.Unix())
		}
	}
	o := open(t)
	o.until = time.Time{}
	o.refused("a token without an end", o.form(), broker.CodeInvalidRequest)
	o.until, o.caller.Identity = start.Add(time.Hour), trust.Identity{}
	o.refused("a token of nobody", o.form(), broker.CodeInvalidRequest)
}

// Whose fault it is decides what the client hears: a bad token is invalid_request, an issuer
// that cannot be asked, or a record that cannot be written, is for later. None of it tells
// what the token was.
func TestFaultsAreToldApart(t *testing.T) {
	o := open(t)
	o.refuse = &passport.Refusal{Reason: trust.ReasonExpired, Detail: "secret-detail"}
	o.refused("expired", o.form(), broker.CodeInvalidRequest)
	o.refuse = &passport.Refusal{Reason: trust.ReasonProvider}
	o.refused("issuer down", o.form(), broker.CodeUnavailable)
	o.refuse = errors.New("secret-detail")
	o.refused("anything else", o.form(), broker.CodeUnavailable)
	if _, err := o.exchange(o.form()); strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
	o.refuse = nil
	for range 200 {
		o.held = append(o.held, o.visa(mint.NewID()))
	}
	o.refused("too many visas", o.form(), broker.CodeInvalidRequest)
	o.held = nil
	o.broken = errors.New("the disk is full")
	o.refused("no record, no passport", o.form(), broker.CodeUnavailable)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	o.refuse = context.Canceled
	if _, err := o.broker.Exchange(ctx, broker.Request{Form: o.form()}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Every exchange is one passport and one record; nothing is remembered between clients.
func TestExchangeRemembersNothing(t *testing.T) {
	o := open(t)
	if a, b := o.given("first", o.form()), o.given("second", o.form()); a.ID == b.ID {
		t.Error("one passport for two exchanges")
	}
}

// Secrets do not print.
func TestIssuedDoesNotPrint(t *testing.T) {
	o := open(t)
	issued, err := o.exchange(o.form())
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "issued", issued)
	text, err := json.Marshal(issued)
	if err != nil || strings.Contains(log.String()+string(text), "eyJ") {
		t.Error(log.String(), string(text), err)
	}
}

// FuzzExchange: no form makes the endpoint give a passport that outlives or out-scopes its
// subject, or fail otherwise than by an OAuth error.
func FuzzExchange(f *testing.F) {
	o := open(f)
	f.Add(o.form().Encode())
	f.Add(o.form("resource", unknown).Encode())
	f.Add("grant_type=a&grant_type=b&%zz")
	f.Add(o.form("actor_token", "x", "actor_token_type", broker.TokenTypeJWT, "expires_in", "-1").Encode())
	f.Fuzz(func(t *testing.T, body string) {
		o.t = t
		form, err := url.ParseQuery(body)
		if err != nil {
			return
		}
		if form.Get("client_assertion") == "good" {
			form.Set("client_assertion", o.assertion())
		}
		issued, err := o.exchange(form)
		if err != nil {
			if _, ok := errors.AsType[*broker.OAuthError](err); !ok {
				t.Error(err)
			}
			return
		}
		_, c := o.read(issued.Passport.Compact())
		allowed := []string{siteB, siteC, "portal", "narrow"}
		if len(c.Audience) == 0 || slices.ContainsFunc(c.Audience, func(a string) bool { return !slices.Contains(allowed, a) }) || c.Expires > o.until.Unix() {
			t.Errorf("%+v", c)
		}
	})
}

// FuzzAssertion: only a token that the client signed opens the door.
func FuzzAssertion(f *testing.F) {
	o := open(f)
	good := o.assertion()
	f.Add(good)
	f.Add(strings.Replace(good, ".", "..", 1))
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add(o.assertionBy(key(f), jose.Header{KeyID: "c1"}))
	f.Fuzz(func(t *testing.T, assertion string) {
		o.t = t
		_, err := o.exchange(o.form("client_assertion", assertion))
		if err == nil && assertion != good {
			token, parseErr := jose.Parse(assertion, 8<<10)
			if parseErr != nil {
				t.Fatal(parseErr)
			}
			if _, verifyErr := token.Verify(trust.Key{KeyID: token.Header().KeyID, Public: o.client.Public()}, jose.ES256); verifyErr != nil {
				t.Error("a stranger's assertion was taken")
			}
		}
	})
}
