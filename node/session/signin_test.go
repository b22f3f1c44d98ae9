package session_test

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/candignode/candignode/node/session"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/bearer"
)

// Row 112: code flow with PKCE S256, the exact redirect address of that issuer, and
// a session at the end.
func TestASignIn(t *testing.T) {
	s := newSite(t)
	callback := s.start(t, "/beacon/info")
	if want := own + "/login/callback/" + session.KeyOf(issuer); s.asked.RedirectURI != want || s.RedirectURI(issuer) != want || s.RedirectURI(other) == want {
		t.Errorf("redirect address %s", s.asked.RedirectURI)
	}
	if len(s.asked.State) != 43 || len(s.asked.Nonce) != 43 || len(s.asked.Verifier) != 43 || s.asked.State == s.asked.Nonce || strings.Join(s.asked.Scopes, " ") != "openid ga4gh_passport_v1" {
		t.Errorf("asked %+v", s.asked)
	}
	finished, err := s.Finish(t.Context(), callback, "tx")
	if err != nil {
		t.Fatal(err)
	}
	if finished.Back != "/beacon/info" || finished.Session.Identity != alice || !strings.HasPrefix(finished.Token.Reveal(), "cgs_") || len(finished.Token.Reveal()) != 47 {
		t.Errorf("%+v", finished)
	}
	if fmt.Sprint(s.redeemed) != "["+issuer+" "+s.RedirectURI(issuer)+" true]" {
		t.Errorf("redeemed %v", s.redeemed)
	}
	r := s.requests[0]
	if r.Issuer != issuer || r.Nonce != s.asked.Nonce || fmt.Sprint(r.Audience) != "[uhn-node]" || r.Access.Reveal() != "eyJ.first-access.x" {
		t.Errorf("the ID Token was verified as %+v", r)
	}
	if len(s.records) != 1 || s.records[0].Caller != alice || s.records[0].Transaction != "tx" || s.records[0].Outcome != "begun" {
		t.Errorf("recorded %+v", s.records)
	}
	if opened, err := s.Open(t.Context(), finished.Token, trust.Proven{}); err != nil || opened.Material.Access.Reveal() != "eyJ.first-access.x" || opened.Material.Refresh.Reveal() != "first-refresh" {
		t.Errorf("opened %+v: %v", opened, err)
	}
	if all := s.Issuers(); len(all) != 2 || all[0].Issuer != other || all[1].Key != session.KeyOf(issuer) {
		t.Errorf("issuers %v", all)
	}
}

// Row 112: whatever does not fit aborts the sign-in, and its state is used up.
func TestSignInsThatDoNotFit(t *testing.T) {
	for name, change := range map[string]func(*site, *session.Callback){
		"another issuer's answer (mix-up)": func(_ *site, c *session.Callback) { c.Issuer = other },
		"an issuer with another slash":     func(_ *site, c *session.Callback) { c.Issuer = strings.TrimSuffix(issuer, "/") },
		"another issuer's address":         func(_ *site, c *session.Callback) { c.Key = session.KeyOf(other) },
		"no address":                       func(_ *site, c *session.Callback) { c.Key = "" },
		"another browser (login CSRF)":     func(_ *site, c *session.Callback) { c.Browser = trust.NewAccessToken("another") },
		"no cookie":                        func(_ *site, c *session.Callback) { c.Browser = trust.AccessToken{} },
		"another state":                    func(_ *site, c *session.Callback) { c.State = strings.Repeat("A", 43) },
		"no state":                         func(_ *site, c *session.Callback) { c.State = "" },
		"too late":                         func(s *site, _ *session.Callback) { s.pass(10 * time.Minute) },
		"no code":                          func(_ *site, c *session.Callback) { c.Code = "" },
		"a code of a megabyte":             func(_ *site, c *session.Callback) { c.Code = strings.Repeat("c", 1<<20) },
		"a code that is not the issuer's":  func(_ *site, c *session.Callback) { c.Code = "stolen" },
		"an error":                         func(_ *site, c *session.Callback) { c.Error = "access_denied" },
		"an error with markup":             func(_ *site, c *session.Callback) { c.Error = "<b>evil" },
		"no iss where it is announced":     func(s *site, c *session.Callback) { c.Issuer = "" },
		"no ID Token":                      func(s *site, _ *session.Callback) { s.codes["good"] = bearer.Tokens{Access: trust.NewAccessToken("a")} },
		"no access token": func(s *site, _ *session.Callback) {
			s.codes["good"] = bearer.Tokens{ID: trust.NewAccessToken("alices-id")}
		},
		"another issuer's ID Token": func(s *site, _ *session.Callback) {
			s.people["alices-id"] = trust.Identity{Issuer: other, Subject: "alice"}
		},
	} {
		s := newSite(t)
		s.announced = true
		callback := s.start(t, "")
		good := callback
		change(s, &callback)
		finished, err := s.Finish(t.Context(), callback, "tx")
		if !errors.Is(err, session.ErrSignIn) || !finished.Token.IsZero() || len(s.kept) != 0 || strings.Contains(err.Error(), "evil") || strings.Contains(err.Error(), "stolen") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := s.Finish(t.Context(), good, "tx"); callback.State == good.State && err == nil {
			t.Errorf("%s: its state was good again", name)
		}
	}
	s := newSite(t) // iss is not announced, and the address alone tells the issuer
	callback := s.start(t, "")
	callback.Issuer = ""
	if _, err := s.Finish(t.Context(), callback, "tx"); err != nil {
		t.Errorf("without iss: %v", err)
	}
	if _, err := s.Finish(t.Context(), callback, "tx"); !errors.Is(err, session.ErrSignIn) {
		t.Errorf("a state twice: %v", err)
	}
	callback = s.start(t, "") // the nonce of another sign-in
	s.codes["good"] = bearer.Tokens{Access: trust.NewAccessToken("a"), ID: trust.NewAccessToken("alices-id")}
	s.asked.Nonce = "another"
	if _, err := s.Finish(t.Context(), callback, "tx"); reasonOf(err) != trust.ReasonSignature || len(s.kept) != 1 {
		t.Errorf("another nonce: %v", err)
	}
	callback = s.start(t, "")
	callback.Code = "down"
	if _, err := s.Finish(t.Context(), callback, "tx"); !errors.Is(err, bearer.ErrUnavailable) {
		t.Errorf("an issuer that is down: %v", err)
	}
	callback = s.start(t, "")
	s.codes["good"] = bearer.Tokens{Access: trust.NewAccessToken("a"), ID: trust.NewAccessToken("alices-id")}
	s.written = errors.New("no space left on device")
	if _, err := s.Finish(t.Context(), callback, "tx"); !errors.Is(err, s.written) {
		t.Errorf("not written: %v", err)
	}
}

// Row 112: no sign-in is begun with an issuer that is not listed, towards another
// site, or without PKCE.
func TestSignInsThatAreNotBegun(t *testing.T) {
	s := newSite(t)
	for _, name := range []string{"https://evil.example.org", notForThis, "", strings.TrimSuffix(issuer, "/")} {
		if _, err := s.Start(t.Context(), name, ""); !errors.Is(err, session.ErrSignIn) || s.asked.State != "" {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := s.Start(t.Context(), issuer, "https://evil.example.org"); !errors.Is(err, session.ErrSignIn) {
		t.Errorf("an open redirect: %v", err)
	}
	good := func(r bearer.AuthRequest) url.Values {
		at, _ := newSite(t).Authorize(t.Context(), trust.IssuerPolicy{}, r)
		v, _ := url.ParseQuery(strings.TrimPrefix(at, "authorize?"))
		return v
	}
	for name, change := range map[string]func(url.Values) string{
		"nothing":        func(url.Values) string { return "https" },
		"plain PKCE":     func(v url.Values) string { v.Set("code_challenge_method", "plain"); return "https" },
		"no PKCE":        func(v url.Values) string { v.Del("code_challenge"); return "https" },
		"implicit":       func(v url.Values) string { v.Set("response_type", "id_token token"); return "https" },
		"hybrid":         func(v url.Values) string { v.Add("response_type", "token"); return "https" },
		"other redirect": func(v url.Values) string { v.Set("redirect_uri", "https://evil.example.org"); return "https" },
		"no nonce":       func(v url.Values) string { v.Del("nonce"); return "https" },
		"other state":    func(v url.Values) string { v.Set("state", "x"); return "https" },
		"without TLS":    func(url.Values) string { return "http" },
	} {
		s.address = func(r bearer.AuthRequest) string {
			v := good(r)
			scheme := change(v)
			return scheme + "://idp.uhn.example.org/authorize?" + v.Encode()
		}
		if _, err := s.Start(t.Context(), issuer, ""); errors.Is(err, session.ErrSignIn) != (name != "nothing") {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.down = bearer.ErrUnavailable
	if _, err := s.Start(t.Context(), issuer, ""); !errors.Is(err, bearer.ErrUnavailable) {
		t.Errorf("an issuer that is down: %v", err)
	}
	s = newSite(t, func(o *session.Options) { o.Random = strings.NewReader("") })
	if _, err := s.Start(t.Context(), issuer, ""); err == nil {
		t.Error("a state that anybody can guess")
	}
}

// Strangers who begin sign-ins without end push out each other's, and take no more
// room; whoever begins one then can end it.
func TestSignInsThatNobodyEnds(t *testing.T) {
	s := newSite(t)
	first := s.start(t, "")
	for range 4096 {
		if _, err := s.Start(t.Context(), issuer, ""); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Finish(t.Context(), first, "tx"); !errors.Is(err, session.ErrSignIn) {
		t.Errorf("the oldest: %v", err)
	}
	if _, err := s.Finish(t.Context(), s.start(t, ""), "tx"); err != nil {
		t.Errorf("the newest: %v", err)
	}
}

// Row 112: a path to come back to is this site's own, in every reader's eyes.
func TestLocalPaths(t *testing.T) {
	for path, want := range map[string]bool{
		"/": true, "/beacon/info": true, "/console/": true, "/a-b_c.d~e": true,
		"": false, "beacon": false, "//evil.example.org": false, "/\\evil.example.org": false, "/\t/evil.example.org": false, "/..//evil.example.org": false,
		"https://evil.example.org": false, "/a//b": false, "/a/../b": false, "/%2f/evil": false, "/a?token=x": false, "/a#b": false, "/a\n": false, "/a@evil.example.org": false,
		"/" + strings.Repeat("a", 200): false,
	} {
		if session.LocalPath(path) != want {
			t.Errorf("%q: %v", path, !want)
		}
	}
	rapid.Check(t, func(t *rapid.T) { stays(t, rapid.String().Draw(t, "path")) })
}

func FuzzLocalPath(f *testing.F) {
	for _, seed := range []string{"/", "//x", "/\\x", "/a/b", "/.//x", "/\r/x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) { stays(t, path) })
}

// stays checks that a path that is taken leads to this site.
func stays(t interface{ Fatalf(string, ...any) }, path string) {
	if !session.LocalPath(path) {
		return
	}
	base, _ := url.Parse(own)
	if at, err := base.Parse(path); err != nil || at.Host != base.Host || at.Scheme != "https" || at.RawQuery != "" || at.Path != path {
		t.Fatalf("%q leads to %v: %v", path, at, err)
	}
}

// Nothing that comes back from a browser makes a session unless all of it fits.
func FuzzFinish(f *testing.F) {
	f.Add("", "", "", "", "", "")
	f.Add(session.KeyOf(issuer), "state", "good", issuer, "", "browser")
	f.Add(session.KeyOf(issuer), "state", "good", "", "access_denied", "browser")
	f.Fuzz(func(t *testing.T, key, state, code, iss, failure, browser string) {
		s := newSite(t)
		s.start(t, "")
		c := session.Callback{Key: key, State: state, Code: code, Issuer: iss, Error: failure, Browser: trust.NewAccessToken(browser)}
		if _, err := s.Finish(t.Context(), c, "tx"); !errors.Is(err, session.ErrSignIn) || len(s.redeemed) != 0 {
			t.Fatalf("%v", err)
		}
	})
}
