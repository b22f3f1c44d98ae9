package broker_test

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/broker"
)

const (
	home     = "https://portal.example/back"
	homeToo  = "https://portal.example/back?tenant=1"
	verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636, appendix B
	s256     = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

// person is alice at her browser, signed in just now.
func (o *office) person() broker.Person {
	return broker.Person{Identity: alice, Session: trust.NewAccessToken("cgs_alice"), Since: o.clock()}
}

// asks is a good request of the portal, with changes: name, value. "" takes one out.
func asks(changes ...string) url.Values {
	values := url.Values{
		"response_type": {"code"}, "client_id": {"portal"}, "redirect_uri": {home}, "scope": {"openid ga4gh_passport_v1"},
		"state": {"s-1"}, "nonce": {"n-1"}, "code_challenge": {s256}, "code_challenge_method": {"S256"},
	}
	for i := 0; i < len(changes); i += 2 {
		values.Del(changes[i])
		if changes[i+1] != "" {
			values.Set(changes[i], changes[i+1])
		}
	}
	return values
}

// goesTo reads an address that the browser is sent to; it must be the portal's own.
func goesTo(t testing.TB, address, base string) url.Values {
	t.Helper()
	if !strings.HasPrefix(address, base) {
		t.Fatalf("the browser is sent to %q", address)
	}
	at, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return at.Query()
}

// code lets alice sign in for the portal.
func (o *office) code(changes ...string) string {
	o.t.Helper()
	a, err := o.broker.Authorize(asks(changes...))
	if err != nil {
		o.t.Fatal(err)
	}
	step, err := o.broker.Answer(a, o.person())
	if err != nil || step.Wait != "" {
		o.t.Fatal(step, err)
	}
	return goesTo(o.t, step.Redirect, "https://portal.example/back").Get("code")
}

// Row 112: the code flow, with PKCE S256, an exact redirect address, the state and the
// issuer's name in the answer.
func TestAPersonSignsInForAClient(t *testing.T) {
	o := provider(t)
	a, err := o.broker.Authorize(asks())
	if err != nil {
		t.Fatal(err)
	}
	step, err := o.broker.Answer(a, o.person())
	if err != nil {
		t.Fatal(err)
	}
	got := goesTo(t, step.Redirect, home+"?")
	if len(got) != 3 || got.Get("state") != "s-1" || got.Get("iss") != issuer || len(got.Get("code")) != 43 {
		t.Errorf("%v", got)
	}
	if other := o.code(); other == got.Get("code") {
		t.Error("the same code twice")
	}
	// An address with a query keeps it, and a request without a state gets none.
	a, err = o.broker.Authorize(asks("redirect_uri", homeToo, "state", "", "nonce", "", "prompt", "none", "display", "page", "scope", "profile openid"))
	if err != nil {
		t.Fatal(err)
	}
	if step, err = o.broker.Answer(a, o.person()); err != nil {
		t.Fatal(err)
	}
	if got = goesTo(t, step.Redirect, homeToo+"&"); got.Get("tenant") != "1" || got.Has("state") || got.Get("code") == "" {
		t.Errorf("%v", got)
	}
}

// Row 112: what is not this flow goes back to the client as an error, without a code.
func TestRequestsThatAreNotTheCodeFlow(t *testing.T) {
	o := provider(t)
	for name, c := range map[string]struct {
		changes []string
		code    string
	}{
		"no response_type":      {[]string{"response_type", ""}, "invalid_request"},
		"the implicit flow":     {[]string{"response_type", "token"}, "unsupported_response_type"},
		"the hybrid flow":       {[]string{"response_type", "code id_token"}, "unsupported_response_type"},
		"a fragment":            {[]string{"response_mode", "fragment"}, "invalid_request"},
		"no PKCE":               {[]string{"code_challenge", "", "code_challenge_method", ""}, "invalid_request"},
		"PKCE without a method": {[]string{"code_challenge_method", ""}, "invalid_request"},
		"plain PKCE":            {[]string{"code_challenge_method", "plain", "code_challenge", verifier}, "invalid_request"},
		"a short challenge":     {[]string{"code_challenge", s256[1:]}, "invalid_request"},
		"a padded challenge":    {[]string{"code_challenge", s256[1:] + "="}, "invalid_request"},
		"no scope":              {[]string{"scope", ""}, "invalid_scope"},
		"no openid":             {[]string{"scope", "ga4gh_passport_v1"}, "invalid_scope"},
		"openid within a word":  {[]string{"scope", "openidx ga4gh_passport_v1"}, "invalid_scope"},
		"a request object":      {[]string{"request", "x"}, "request_not_supported"},
		"its address":           {[]string{"request_uri", "https://portal.example/r"}, "request_uri_not_supported"},
		"a registration":        {[]string{"registration", "{}"}, "registration_not_supported"},
		"consent":               {[]string{"prompt", "consent"}, "consent_required"},
		"none and login":        {[]string{"prompt", "none login"}, "invalid_request"},
		"an unknown prompt":     {[]string{"prompt", "NONE"}, "invalid_request"},
		"a bad max_age":         {[]string{"max_age", "-1"}, "invalid_request"},
		"a long nonce":          {[]string{"nonce", strings.Repeat("n", 513)}, "invalid_request"},
	} {
		_, err := o.broker.Authorize(asks(c.changes...))
		refusal, ok := errors.AsType[*broker.AuthorizeError](err)
		if !ok || refusal.Code != c.code {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := goesTo(t, refusal.Redirect, home+"?")
		if got.Get("error") != c.code || got.Get("error_description") == "" || got.Get("state") != "s-1" || got.Get("iss") != issuer || got.Has("code") {
			t.Errorf("%s: %v", name, got)
		}
	}
	twice := asks()
	twice.Add("scope", "openid")
	if _, err := o.broker.Authorize(twice); err == nil || !strings.Contains(err.Error(), "more than once") {
		t.Errorf("a scope twice: %v", err)
	}
	_, err := o.broker.Authorize(asks("state", strings.Repeat("s", 2049)))
	if refusal, ok := errors.AsType[*broker.AuthorizeError](err); !ok || strings.Contains(refusal.Redirect, "sss") || refusal.Redirect == "" {
		t.Errorf("a long state: %v", err)
	}
}

// Row 112: no open redirect. Nobody is sent to an address that is not registered, to
// the letter, for that client; and clients that have none have nobody sign in.
func TestNobodyIsSentToAnAddressThatIsNotRegistered(t *testing.T) {
	o := provider(t)
	for name, values := range map[string]url.Values{
		"an unknown client":            asks("client_id", "nobody"),
		"no client":                    asks("client_id", ""),
		"a client that only exchanges": asks("client_id", "narrow"),
		"no address":                   asks("redirect_uri", ""),
		"another's address":            asks("redirect_uri", "https://other.example/back"),
		"an attacker's":                asks("redirect_uri", "https://evil.example/"),
		"a longer path":                asks("redirect_uri", home+"/x"),
		"a slash more":                 asks("redirect_uri", home+"/"),
		"a query more":                 asks("redirect_uri", home+"?x=1"),
		"another case":                 asks("redirect_uri", "https://PORTAL.example/back"),
		"the port":                     asks("redirect_uri", "https://portal.example:443/back"),
		"a dot segment":                asks("redirect_uri", "https://portal.example/x/../back"),
		"a fragment":                   asks("redirect_uri", home+"#x"),
		"plain":                        asks("redirect_uri", "http://portal.example/back"),
		"two clients":                  {"client_id": {"portal", "other"}, "redirect_uri": {home}},
		"two addresses":                {"client_id": {"portal"}, "redirect_uri": {home, "https://evil.example/"}},
	} {
		_, err := o.broker.Authorize(values)
		refusal, ok := errors.AsType[*broker.AuthorizeError](err)
		if !ok || refusal.Redirect != "" || strings.Contains(refusal.Error(), "evil") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// OpenID Connect Core 1.0, section 3.1.2.1: prompt and max_age. Nobody who is signed in
// is asked again without need, and nobody who is not gets a code.
func TestWhoIsSignedInNowAndSince(t *testing.T) {
	for name, c := range map[string]struct {
		changes []string
		since   time.Duration // of the sign-in, from the request on
		nobody  bool
		want    string // code, wait or an error
	}{
		"signed in":                     {nil, -time.Hour, false, "code"},
		"nobody":                        {nil, 0, true, "wait"},
		"nobody, and no question":       {[]string{"prompt", "none"}, 0, true, "login_required"},
		"no question":                   {[]string{"prompt", "none"}, -time.Hour, false, "code"},
		"anew, and not yet":             {[]string{"prompt", "login"}, -time.Second, false, "wait"},
		"anew":                          {[]string{"prompt", "login"}, time.Second, false, "code"},
		"another account":               {[]string{"prompt", "select_account"}, -time.Second, false, "wait"},
		"young enough":                  {[]string{"max_age", "60"}, -time.Minute, false, "code"},
		"too old":                       {[]string{"max_age", "60"}, -time.Minute - time.Second, false, "wait"},
		"too old, and no question":      {[]string{"max_age", "60", "prompt", "none"}, -time.Hour, false, "login_required"},
		"never old enough, but signed":  {[]string{"max_age", "0"}, time.Second, false, "code"},
		"never old enough":              {[]string{"max_age", "0"}, -time.Second, false, "wait"},
		"old enough, but wanted anew":   {[]string{"max_age", "60", "prompt", "login"}, -time.Second, false, "wait"},
		"an identity without a session": {nil, -time.Hour, true, "wait"},
	} {
		o := provider(t)
		a, err := o.broker.Authorize(asks(c.changes...))
		if err != nil {
			t.Fatal(name, err)
		}
		p := o.person()
		p.Since = p.Since.Add(c.since)
		if c.nobody {
			p.Session = trust.AccessToken{}
		}
		if c.since > 0 {
			o.pass(c.since + time.Second)
		}
		step, err := o.broker.Answer(a, p)
		if err != nil {
			t.Fatal(name, err)
		}
		got := "wait"
		if step.Redirect != "" {
			values := goesTo(t, step.Redirect, home+"?")
			got = values.Get("error")
			if values.Has("code") && step.Wait == "" {
				got += "code"
			}
		}
		if got != c.want || (step.Wait != "") != (c.want == "wait") {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// A request waits while the person signs in, once and not for ever; its name says
// nothing of it.
func TestARequestWaitsForTheSignIn(t *testing.T) {
	o := provider(t)
	wait := func() string {
		t.Helper()
		a, err := o.broker.Authorize(asks())
		if err != nil {
			t.Fatal(err)
		}
		step, err := o.broker.Answer(a, broker.Person{})
		if err != nil || len(step.Wait) != 43 || step.Redirect != "" {
			t.Fatal(step, err)
		}
		return step.Wait
	}
	id := wait()
	a, err := o.broker.Resume(id)
	if err != nil {
		t.Fatal(err)
	}
	step, err := o.broker.Answer(a, o.person())
	if err != nil || goesTo(t, step.Redirect, home+"?").Get("state") != "s-1" {
		t.Error(step, err)
	}
	late := wait()
	o.pass(10 * time.Minute)
	for name, id := range map[string]string{"used": id, "late": late, "made up": strings.Repeat("A", 43), "none": ""} {
		if _, err := o.broker.Resume(id); !errors.Is(err, broker.ErrWaited) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Strangers who begin and never end push out the oldest, and nothing grows.
	first := wait()
	for range broker.MaxWaiting {
		wait()
	}
	if n := o.broker.Waiting(); n != broker.MaxWaiting {
		t.Errorf("%d requests wait", n)
	}
	if _, err := o.broker.Resume(first); !errors.Is(err, broker.ErrWaited) {
		t.Errorf("the oldest: %v", err)
	}
	if _, err := o.broker.Resume(wait()); err != nil {
		t.Errorf("the newest: %v", err)
	}
}

// Row 72: the discovery document has an authorization endpoint, and all that goes with
// it, if and only if a client has people sign in here; row 112 in what it announces.
func TestDiscoveryOfSigningIn(t *testing.T) {
	d := provider(t).discovery()
	for name, want := range map[string]string{
		"authorization_endpoint": issuer + "/oauth/authorize", "response_types_supported": "[code]", "response_modes_supported": "[query]",
		"code_challenge_methods_supported": "[S256]", "authorization_response_iss_parameter_supported": "true",
		"grant_types_supported": "[authorization_code " + broker.GrantTokenExchange + "]", "scopes_supported": "[openid ga4gh_passport_v1]",
		"id_token_signing_alg_values_supported": "[ES256]", "token_endpoint_auth_methods_supported": "[private_key_jwt self_signed_tls_client_auth]",
		"request_parameter_supported": "false", "request_uri_parameter_supported": "false",
	} {
		if got := fmt.Sprint(d[name]); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	without := open(t).discovery()
	for _, name := range []string{"authorization_endpoint", "response_modes_supported", "code_challenge_methods_supported", "authorization_response_iss_parameter_supported", "prompt_values_supported"} {
		if _, there := without[name]; there {
			t.Errorf("nobody signs in, and there is %s", name)
		}
	}
	if fmt.Sprint(without["grant_types_supported"]) != "["+broker.GrantTokenExchange+"]" || fmt.Sprint(without["response_types_supported"]) != "[]" {
		t.Errorf("%v", without)
	}
}

// A client's addresses are https, and there must be somebody who makes its tokens.
func TestClientsThatCannotHavePeopleSignIn(t *testing.T) {
	for name, change := range map[string]func(*broker.Options){
		"a plain address":   func(o *broker.Options) { o.Clients[0].RedirectURIs = []string{"http://portal.example/back"} },
		"a fragment":        func(o *broker.Options) { o.Clients[0].RedirectURIs = []string{home + "#x"} },
		"an own scheme":     func(o *broker.Options) { o.Clients[0].RedirectURIs = []string{"org.example.app:/back"} },
		"an empty address":  func(o *broker.Options) { o.Clients[0].RedirectURIs = []string{""} },
		"nobody for tokens": func(o *broker.Options) { o.Tokens = nil },
		"no endpoint":       func(o *broker.Options) { o.Endpoints.Authorization = "" },
	} {
		if _, err := tryProvider(t, change); !errors.Is(err, broker.ErrOptions) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever a browser brings, it is sent to the portal's own address or nowhere, and
// gets no code unless PKCE S256 was asked for.
func TestPropertyNoOpenRedirect(t *testing.T) {
	o := provider(t)
	names := slices.Sorted(maps.Keys(asks("prompt", "login", "max_age", "1", "response_mode", "query", "request", "x")))
	rapid.Check(t, func(r *rapid.T) {
		values := asks()
		for range rapid.IntRange(0, 4).Draw(r, "changes") {
			name := rapid.SampledFrom(names).Draw(r, "name")
			value := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "portal", "other", home, homeToo, "https://other.example/back", "S256", "plain", "code", "openid", "none"})).Draw(r, "value")
			if rapid.Bool().Draw(r, "add") {
				values.Add(name, value)
			} else {
				values.Set(name, value)
			}
		}
		a, err := o.broker.Authorize(values)
		var to string
		if refusal, ok := errors.AsType[*broker.AuthorizeError](err); ok {
			to = refusal.Redirect
		} else if err != nil {
			r.Fatal(err)
		} else {
			step, err := o.broker.Answer(a, o.person())
			if err != nil {
				r.Fatal(err)
			}
			if to = step.Redirect; values.Get("code_challenge_method") != "S256" || len(values.Get("code_challenge")) != 43 {
				r.Fatalf("without PKCE: %v", values)
			}
		}
		own := map[string][]string{"portal": {home, homeToo}, "other": {"https://other.example/back"}}[values.Get("client_id")]
		base, _, _ := strings.Cut(to, "?")
		if to != "" && !slices.ContainsFunc(own, func(u string) bool { return strings.HasPrefix(to, u) && strings.HasPrefix(u, base) }) {
			r.Fatalf("%v leads to %q", values, to)
		}
	})
}

// FuzzAuthorize feeds the authorization endpoint with what a URL can hold.
func FuzzAuthorize(f *testing.F) {
	f.Add(asks().Encode())
	f.Add(asks("redirect_uri", homeToo, "state", "a b&c=d#e").Encode())
	f.Add(asks("client_id", "nobody").Encode())
	f.Add(asks().Encode() + "&state=2")
	o := provider(f)
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		a, err := o.broker.Authorize(values)
		if refusal, ok := errors.AsType[*broker.AuthorizeError](err); ok {
			if refusal.Redirect != "" && values.Get("redirect_uri") != "" && !strings.HasPrefix(refusal.Redirect, values.Get("redirect_uri")) {
				t.Fatalf("%q leads to %q", query, refusal.Redirect)
			}
			return
		}
		step, err := o.broker.Answer(a, o.person())
		if err != nil {
			t.Fatal(err)
		}
		if at, err := url.Parse(step.Redirect); step.Redirect != "" && (err != nil || at.Host != "portal.example" && at.Host != "other.example" || at.Query().Get("state") != values.Get("state")) {
			t.Fatalf("%q leads to %q", query, step.Redirect)
		}
	})
}
