package broker_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/broker"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/passport"
)

// sessions makes clients' tokens, and ends them.
type sessions struct {
	o     *office
	mu    sync.Mutex
	given map[string]broker.GiveRequest
	err   error
	// during runs while a token is being made.
	during func()
}

func (s *sessions) Give(_ context.Context, client string, r broker.GiveRequest) (broker.Given, error) {
	if s.during != nil {
		s.during()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return broker.Given{}, s.err
	}
	id := fmt.Sprint(client, " ", len(s.given))
	s.given[id] = r
	return broker.Given{Token: trust.NewAccessToken("cgs_" + id), ID: id, Until: s.o.clock().Add(r.Life)}, nil
}

func (s *sessions) Take(_ context.Context, owner trust.Identity, id, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if owner != alice {
		return errors.New("somebody else's")
	}
	delete(s.given, id)
	return s.err
}

func (s *sessions) held() int { s.mu.Lock(); defer s.mu.Unlock(); return len(s.given) }

// signingIn makes portal and other clients that have people sign in.
func signingIn(o *broker.Options, kept *sessions) {
	o.Clients[0].RedirectURIs = []string{home, homeToo}
	other := o.Clients[0]
	other.ID, other.RedirectURIs = "other", []string{"https://other.example/back"}
	o.Clients = append(o.Clients, other)
	o.Endpoints.Authorization, o.Tokens = issuer+"/oauth/authorize", kept
}

type providing struct {
	*office
	sessions *sessions
}

func provider(t testing.TB) providing {
	t.Helper()
	kept := &sessions{given: map[string]broker.GiveRequest{}}
	kept.o = open(t, func(o *broker.Options) { signingIn(o, kept) })
	return providing{kept.o, kept}
}

func tryProvider(t testing.TB, change func(*broker.Options)) (b *broker.Broker, err error) {
	t.Helper()
	open(t, func(o *broker.Options) {
		tried := *o
		signingIn(&tried, &sessions{})
		change(&tried)
		b, err = broker.New(tried)
		o.Clients[0].RedirectURIs = nil
	})
	return b, err
}

// by makes the form of a client that redeems a code, with changes.
func (p providing) by(client, code string, changes ...string) url.Values {
	form := url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {home}, "code_verifier": {verifier},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {p.assertion(with("iss", client), with("sub", client))},
	}
	for i := 0; i < len(changes); i += 2 {
		form.Del(changes[i])
		if changes[i+1] != "" {
			form.Set(changes[i], changes[i+1])
		}
	}
	return form
}

func (p providing) token(form url.Values) ([]byte, error) {
	return p.broker.Token(context.Background(), broker.Request{Form: form, Transaction: "tx"})
}

// denied expects a refusal with this code.
func (p providing) denied(name string, form url.Values, code string) {
	p.t.Helper()
	body, err := p.token(form)
	if refusal, ok := errors.AsType[*broker.OAuthError](err); !ok || refusal.Code != code || body != nil {
		p.t.Errorf("%s: %s %v, want %s", name, body, err, code)
	}
}

type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"`
	Scope       string `json:"scope"`
	IDToken     string `json:"id_token"`
}

func (p providing) redeemed(form url.Values) tokenAnswer {
	p.t.Helper()
	body, err := p.token(form)
	if err != nil {
		p.t.Fatal(err)
	}
	var answer tokenAnswer
	if err := json.Unmarshal(body, &answer); err != nil {
		p.t.Fatal(err)
	}
	return answer
}

// Row 112: a code gives an access token and an ID Token, by which a client that knows
// OpenID Connect, and nothing else, knows who signed in; row 72.
func TestACodeGivesTokens(t *testing.T) {
	p := provider(t)
	code := p.code()
	p.pass(5 * time.Second)
	got := p.redeemed(p.by("portal", code))
	if got.AccessToken != "cgs_portal 0" || got.TokenType != "Bearer" || got.ExpiresIn != 3600 || got.Scope != "openid ga4gh_passport_v1" {
		t.Errorf("%+v", got)
	}
	if r := p.sessions.given["portal 0"]; r.Session.Reveal() != "cgs_alice" || !r.Passport || r.Life != time.Hour || r.Transaction != "tx" {
		t.Errorf("%+v", r)
	}
	// It is an ID Token for whoever reads it as the standard says.
	view := &trust.View{Revision: 1, Issuers: map[string]trust.IssuerView{issuer: {
		Policy: trust.IssuerPolicy{Issuer: issuer, Kinds: []trust.Kind{trust.KindLogin}},
		Keys:   []trust.BelievedKey{{Key: p.broker.Keys()[0], Until: start.Add(time.Hour)}},
	}}}
	v := passport.New(passport.Options{View: func() *trust.View { return view }})
	read := func(nonce, audience string) (passport.TokenClaims, error) {
		return v.Token(context.Background(), passport.TokenRequest{
			Kind: passport.IDToken, Compact: got.IDToken, Issuer: issuer, Audience: []string{audience}, Nonce: nonce,
			Access: trust.NewAccessToken(got.AccessToken), Now: p.clock(),
		})
	}
	claims, err := read("n-1", "portal")
	if err != nil {
		t.Fatal(err)
	}
	var told map[string]any
	if err := json.Unmarshal(claims.Payload, &told); err != nil {
		t.Fatal(err)
	}
	if told["auth_time"] != float64(start.Unix()) || told["iat"] != float64(start.Add(5*time.Second).Unix()) || told["sub"] == alice.Subject {
		t.Errorf("%v", told)
	}
	for name, c := range map[string][2]string{"another nonce": {"n-2", "portal"}, "another client": {"n-1", "other"}} {
		if _, err := read(c[0], c[1]); err == nil {
			t.Errorf("%s: it is read", name)
		}
	}
	// And it is nothing else: no passport, no visa, no client's assertion (row 108).
	if _, err := p.verify(got.IDToken, "portal"); err == nil {
		t.Error("it is read as a passport")
	}
	p.denied("as an assertion", p.by("portal", p.code(), "client_assertion", got.IDToken), broker.CodeInvalidClient)
	// Its name for alice is that of UserInfo and of passports.
	document, err := p.broker.UserInfo(context.Background(), broker.UserInfoRequest{Caller: p.caller, Visas: p.held, Until: p.until})
	if err != nil || !strings.Contains(string(document.Body), fmt.Sprintf("%q", told["sub"])) {
		t.Errorf("%s, %v", document.Body, err)
	}
}

// A client that asked for openid alone gets no further than a name.
func TestAClientThatWantsNoPassports(t *testing.T) {
	p := provider(t)
	got := p.redeemed(p.by("portal", p.code("scope", "openid profile", "nonce", "")))
	if got.Scope != "openid" || p.sessions.given["portal 0"].Passport {
		t.Errorf("%+v", got)
	}
	token, err := jose.Parse(got.IDToken, 1<<16)
	if err != nil {
		t.Fatal(err)
	}
	var told map[string]any
	if err := token.UnverifiedClaims(&told); err != nil || told["sub"] == "" || told["nonce"] != nil || told["ga4gh_passport_v1"] != nil {
		t.Errorf("%v, %v", told, err)
	}
	records := len(p.records)
	document, err := p.broker.UserInfo(context.Background(), broker.UserInfoRequest{Caller: p.caller, Visas: p.held, SubjectOnly: true, Until: p.until})
	var members map[string]any
	if err != nil || json.Unmarshal(document.Body, &members) != nil || len(members) != 1 || members["sub"] == "" || len(p.records) != records {
		t.Errorf("%s, %v", document.Body, err)
	}
}

// Row 112: a code is good once, for a minute, for one client, one address and one
// verifier; whoever shows it in the wrong way uses it up.
func TestACodeIsBound(t *testing.T) {
	for name, c := range map[string]struct {
		form func(p providing, code string) url.Values
		pass time.Duration
		want string
		kept bool // the code is still good afterwards
	}{
		"a code of another client": {form: func(p providing, code string) url.Values { return p.by("other", code) }, want: "invalid_grant"},
		"another's code and address": {form: func(p providing, code string) url.Values {
			return p.by("other", code, "redirect_uri", "https://other.example/back")
		}, want: "invalid_grant"},
		"another address": {form: func(p providing, code string) url.Values { return p.by("portal", code, "redirect_uri", homeToo) }, want: "invalid_grant"},
		"another verifier": {form: func(p providing, code string) url.Values {
			return p.by("portal", code, "code_verifier", strings.Repeat("v", 43))
		}, want: "invalid_grant"},
		"the challenge as verifier":    {form: func(p providing, code string) url.Values { return p.by("portal", code, "code_verifier", s256) }, want: "invalid_grant"},
		"a verifier that is too short": {form: func(p providing, code string) url.Values { return p.by("portal", code, "code_verifier", "v") }, want: "invalid_grant"},
		"after a minute":               {form: func(p providing, code string) url.Values { return p.by("portal", code) }, pass: time.Minute, want: "invalid_grant"},
		"a code that nobody gave":      {form: func(p providing, _ string) url.Values { return p.by("portal", strings.Repeat("A", 43)) }, want: "invalid_grant", kept: true},
		"no verifier":                  {form: func(p providing, code string) url.Values { return p.by("portal", code, "code_verifier", "") }, want: "invalid_request", kept: true},
		"no address":                   {form: func(p providing, code string) url.Values { return p.by("portal", code, "redirect_uri", "") }, want: "invalid_request", kept: true},
		"no code":                      {form: func(p providing, _ string) url.Values { return p.by("portal", "") }, want: "invalid_request", kept: true},
		"a parameter twice": {form: func(p providing, code string) url.Values {
			form := p.by("portal", code)
			form.Add("code", code)
			return form
		}, want: "invalid_request", kept: true},
		"the password grant": {form: func(p providing, code string) url.Values { return p.by("portal", code, "grant_type", "password") }, want: "unsupported_grant_type", kept: true},
		"nobody": {form: func(p providing, code string) url.Values {
			return p.by("portal", code, "client_assertion", "", "client_assertion_type", "", "client_id", "portal")
		}, want: "invalid_client", kept: true},
		"a secret":          {form: func(p providing, code string) url.Values { return p.by("portal", code, "client_secret", "x") }, want: "invalid_client", kept: true},
		"an unknown client": {form: func(p providing, code string) url.Values { return p.by("nobody", code) }, want: "invalid_client", kept: true},
	} {
		t.Run(name, func(t *testing.T) {
			p := provider(t)
			code := p.code()
			p.pass(c.pass)
			p.denied(name, c.form(p, code), c.want)
			if p.sessions.held() != 0 {
				t.Error("there is a token")
			}
			body, err := p.token(p.by("portal", code))
			if (err == nil) != c.kept {
				t.Errorf("afterwards: %s %v", body, err)
			}
		})
	}
}

// RFC 6749, section 4.1.2: a code that comes twice takes back what it gave, also when
// it comes while that is being made, and also from another client.
func TestACodeThatComesTwice(t *testing.T) {
	for _, second := range []string{"portal", "other"} {
		p := provider(t)
		code := p.code()
		p.redeemed(p.by("portal", code))
		p.redeemed(p.by("portal", p.code())) // of another sign-in: it stays
		p.pass(30 * time.Minute)             // a thief may be slow
		if p.sessions.held() != 2 {
			t.Fatal(p.sessions.held())
		}
		p.denied("again", p.by(second, code), "invalid_grant")
		if _, there := p.sessions.given["portal 0"]; there || p.sessions.held() != 1 {
			t.Errorf("by %s: %v", second, p.sessions.given)
		}
		p.denied("a third time", p.by(second, code), "invalid_grant")
	}
	p := provider(t)
	code := p.code()
	again := p.by("portal", code)
	p.sessions.during = func() { p.sessions.during = nil; p.denied("meanwhile", again, "invalid_grant") }
	p.denied("the first", p.by("portal", code), "invalid_grant")
	if p.sessions.held() != 0 {
		t.Error("a token is left")
	}
}

// Of all who show a code at once, one at most has a token in the end.
func TestACodeThatManyShowAtOnce(t *testing.T) {
	p := provider(t)
	code := p.code()
	var forms []url.Values
	for range 8 {
		forms = append(forms, p.by("portal", code))
	}
	var wait sync.WaitGroup
	for _, form := range forms {
		wait.Go(func() { _, _ = p.token(form) })
	}
	wait.Wait()
	if p.sessions.held() != 0 {
		t.Errorf("%d tokens are left", p.sessions.held())
	}
}

// What the desk behind it cannot do is no token, and said so.
func TestNoTokenWithoutItsSession(t *testing.T) {
	p := provider(t)
	p.sessions.err = &passport.Refusal{Reason: trust.ReasonSession}
	p.denied("signed out", p.by("portal", p.code()), broker.CodeInvalidGrant)
	p.sessions.err = errors.New("the disk is full")
	p.denied("not written", p.by("portal", p.code()), broker.CodeUnavailable)
	ctx, hangUp := context.WithCancel(context.Background())
	hangUp()
	if _, err := p.broker.Token(ctx, broker.Request{Form: p.by("portal", p.code())}); !errors.Is(err, context.Canceled) {
		t.Errorf("hung up: %v", err)
	}
}

// Codes that nobody redeems do not pile up.
func TestCodesAreBounded(t *testing.T) {
	p := provider(t)
	for range broker.MaxCodes + 10 {
		p.code()
	}
	if n := p.broker.Codes(); n != broker.MaxCodes {
		t.Errorf("%d codes", n)
	}
}

// A node whose clients only exchange has no code flow, whatever is posted.
func TestNoCodeFlowWithoutClientsForIt(t *testing.T) {
	o := open(t)
	p := providing{o, nil}
	p.denied("a code", p.by("portal", "x"), broker.CodeGrantType)
	if _, err := o.broker.Authorize(asks()); err == nil {
		t.Error("somebody may sign in")
	}
}

// Exchange says to the node which client shows the token.
func TestExchangeNamesTheClient(t *testing.T) {
	p := provider(t)
	if body, err := p.token(p.form("resource", siteB)); err != nil || !strings.Contains(string(body), broker.TokenTypePassport) || p.askedFor != "portal" {
		t.Errorf("%s %v, asked for %q", body, err, p.askedFor)
	}
}

// With an RSA key, RS256 is what is signed with and announced: every client of OpenID
// Connect knows it (OpenID Connect Core 1.0, section 15.1).
func TestAnRSAKeySignsRS256(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	kept := &sessions{given: map[string]broker.GiveRequest{}}
	kept.o = open(t, func(o *broker.Options) { signingIn(o, kept); o.Key = key })
	p := providing{kept.o, kept}
	if got := fmt.Sprint(p.discovery()["id_token_signing_alg_values_supported"]); got != "[RS256]" {
		t.Error(got)
	}
	token, err := jose.Parse(p.redeemed(p.by("portal", p.code())).IDToken, 1<<16)
	if err != nil || token.Header().Algorithm != jose.RS256 {
		t.Fatal(token.Header(), err)
	}
	if _, err := token.Verify(p.broker.Keys()[0], jose.RS256); err != nil {
		t.Error(err)
	}
}
