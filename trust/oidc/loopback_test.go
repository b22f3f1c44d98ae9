package oidc

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/bearer"
)

// loopbackIDP is a provider on this machine that signs everybody in.
func loopbackIDP(t *testing.T) (*idp, Public) {
	t.Helper()
	p := newIDP(t, true)
	p.on("/.well-known/openid-configuration", says(mediaJSON, strings.Replace(metadataFor(p.URL, p.URL), "{", `{"authorization_response_iss_parameter_supported":true,`, 1)))
	p.on("/token", says(mediaJSON, tokenBody))
	client, _ := p.clientOf(trust.IssuerPolicy{})
	return p, Public{Client: client, Issuer: p.URL, ClientID: "cli", Scopes: []string{"offline_access"}}
}

// browse opens an address as a browser would, and gives the status.
func browse(t *testing.T, address string) int {
	t.Helper()
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := c.Get(address)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer r.Body.Close()
	body, _ := io.ReadAll(r.Body)
	if r.Header.Get("Cache-Control") != "no-store" || strings.Contains(string(body), "<") {
		t.Errorf("the page is kept, or echoes: %s", body)
	}
	return r.StatusCode
}

// Row 112: sign-in with the browser of this machine, start to end.
func TestLoopback(t *testing.T) {
	p, public := loopbackIDP(t)
	done := make(chan struct{})
	var challenge, redirect string
	got, err := public.Loopback(t.Context(), func(address string) {
		u, err := url.Parse(address)
		if err != nil || !strings.HasPrefix(address, p.URL+"/authorize?") {
			t.Errorf("%s, %v", address, err)
		}
		q := u.Query()
		challenge, redirect = q.Get("code_challenge"), q.Get("redirect_uri")
		if q.Get("response_type") != "code" || q.Get("client_id") != "cli" || q.Get("code_challenge_method") != "S256" || q.Get("scope") != "openid offline_access" || len(q.Get("state")) < 22 {
			t.Errorf("asked with %s", u.RawQuery)
		}
		if !strings.HasPrefix(redirect, "http://127.0.0.1:") || !strings.HasSuffix(redirect, callbackPath) {
			t.Errorf("the browser is sent to %s", redirect)
		}
		go func() {
			defer close(done)
			// Others find the port first.
			for _, stray := range []string{"?code=evil&state=guess", "?code=evil", "?code=evil&state=", "?code=evil&state=" + q.Get("state") + "&state=" + q.Get("state"), "/../?code=evil&state=" + q.Get("state")} {
				if code := browse(t, redirect+stray); code != http.StatusNotFound {
					t.Errorf("%s: %d", stray, code)
				}
			}
			back := url.Values{"code": {"good"}, "state": {q.Get("state")}, "iss": {p.URL}}
			if code := browse(t, redirect+"?"+back.Encode()); code != http.StatusOK {
				t.Errorf("the good answer: %d", code)
			}
		}()
	})
	<-done
	if err != nil || got.Access.Reveal() != "at" || got.Refresh.Reveal() != "rt" {
		t.Fatalf("%+v, %v", got, err)
	}
	r := p.last(t)
	if r.form.Get("grant_type") != "authorization_code" || r.form.Get("code") != "good" || r.form.Get("redirect_uri") != redirect || r.form.Get("client_id") != "cli" {
		t.Errorf("redeemed with %+v", r)
	}
	if oauth2.S256ChallengeFromVerifier(r.form.Get("code_verifier")) != challenge {
		t.Error("the verifier is not of this challenge")
	}
	// The port is open for this sign-in alone.
	u, _ := url.Parse(redirect)
	if c, err := net.Dial("tcp", u.Host); err == nil {
		c.Close()
		t.Error("the port is still open")
	}
}

// Row 112: an answer of another issuer, one that does not say whose it is, and a
// refusal end the sign-in before any code is redeemed.
func TestLoopbackRefusals(t *testing.T) {
	p, public := loopbackIDP(t)
	for name, test := range map[string]struct {
		back url.Values
		want error
	}{
		"other issuer": {url.Values{"code": {"c"}, "iss": {"https://evil.example.org"}}, bearer.ErrRefused},
		"with a slash": {url.Values{"code": {"c"}, "iss": {p.URL + "/"}}, bearer.ErrRefused},
		"no issuer":    {url.Values{"code": {"c"}}, bearer.ErrRefused},
		"two issuers":  {url.Values{"code": {"c"}, "iss": {p.URL, p.URL}}, bearer.ErrRefused},
		"two codes":    {url.Values{"code": {"c", "d"}, "iss": {p.URL}}, bearer.ErrRefused},
		"no code":      {url.Values{"iss": {p.URL}}, bearer.ErrRefused},
		"endless code": {url.Values{"code": {strings.Repeat("c", maxCode+1)}, "iss": {p.URL}}, bearer.ErrRefused},
		"denied":       {url.Values{"error": {"access_denied"}, "error_description": {secret}, "iss": {p.URL}}, ErrDenied},
		"broken":       {url.Values{"error": {secret}, "code": {"c"}, "iss": {p.URL}}, bearer.ErrRefused},
	} {
		t.Run(name, func(t *testing.T) {
			done := make(chan struct{})
			_, err := public.Loopback(t.Context(), func(address string) {
				u, _ := url.Parse(address)
				test.back.Set("state", u.Query().Get("state"))
				go func() {
					defer close(done)
					if code := browse(t, u.Query().Get("redirect_uri")+"?"+test.back.Encode()); code != http.StatusBadRequest {
						t.Errorf("the page says %d", code)
					}
				}()
			})
			<-done
			if !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
			silent(t, err)
		})
	}
	for _, r := range p.seen() {
		if r.path == "/token" {
			t.Errorf("a code was redeemed: %+v", r)
		}
	}
}

// Without RFC 9207 a provider sends no iss; a wrong one is refused all the same.
func TestCallbackWithoutIss(t *testing.T) {
	e := endpoint{issuer: trust.IssuerPolicy{Issuer: "https://a.example"}}
	if got := e.readCallback(url.Values{"code": {"c"}}); got.err != nil || got.code != "c" {
		t.Errorf("%+v", got)
	}
	if got := e.readCallback(url.Values{"code": {"c"}, "iss": {"https://b.example"}}); got.err == nil {
		t.Error("an answer of another issuer was taken")
	}
}

// Pages whose name points at this machine, other methods, and second answers change
// nothing.
func TestCallbackHandler(t *testing.T) {
	e := endpoint{issuer: trust.IssuerPolicy{Issuer: "https://a.example"}}
	back := make(chan callback, 1)
	h := e.callbackHandler("127.0.0.1:7", "state", back)
	ask := func(method, host, target string) int {
		r := httptest.NewRequest(method, target, nil)
		r.Host = host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	for name, code := range map[string]int{
		"host":   ask("GET", "evil.example.org:7", "/callback?code=c&state=state"),
		"name":   ask("GET", "localhost:7", "/callback?code=c&state=state"),
		"method": ask("POST", "127.0.0.1:7", "/callback?code=c&state=state"),
		"path":   ask("GET", "127.0.0.1:7", "/?code=c&state=state"),
		"state":  ask("GET", "127.0.0.1:7", "/callback?code=c&state=State"),
		"query":  ask("GET", "127.0.0.1:7", "/callback?code=c;d&state=state"),
	} {
		if code != http.StatusNotFound {
			t.Errorf("%s: %d", name, code)
		}
	}
	if len(back) != 0 {
		t.Error("one of them counted")
	}
	ask("GET", "127.0.0.1:7", "/callback?code=first&state=state")
	ask("GET", "127.0.0.1:7", "/callback?code=second&state=state")
	if got := <-back; got.code != "first" {
		t.Errorf("%+v", got)
	}
}

// Nobody comes back: 15 minutes are the end, or the caller's own patience.
func TestLoopbackExpires(t *testing.T) {
	e := endpoint{op: "sign-in", issuer: trust.IssuerPolicy{Issuer: "https://a.example"}}
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		if _, err := e.await(t.Context(), nil); !errors.Is(err, ErrExpired) || time.Since(start) != maxDeviceWait {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := e.await(ctx, nil); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrExpired) {
			t.Error(err)
		}
	})
}

// A token endpoint that misbehaves at the end of a sign-in, or redirects the code.
func TestLoopbackTokenEndpoint(t *testing.T) {
	p, public := loopbackIDP(t)
	p.on("/elsewhere", func(http.ResponseWriter, *http.Request) { t.Error("the code was sent on") })
	for name, answer := range map[string]http.HandlerFunc{
		"redirect": status(307, "Location: /elsewhere", ""),
		"web page": says("text/html", "<html>"+secret),
		"form":     says(mediaForm, "access_token=x&token_type=Bearer"),
		"refused":  status(400, "", `{"error":"invalid_grant","error_description":"`+secret+`"}`),
		"too long": says(mediaJSON, strings.Repeat(" ", maxTokens)+tokenBody),
	} {
		p.on("/token", answer)
		done := make(chan struct{})
		_, err := public.Loopback(t.Context(), func(address string) {
			u, _ := url.Parse(address)
			q := u.Query()
			go func() {
				defer close(done)
				browse(t, q.Get("redirect_uri")+"?"+url.Values{"code": {"c" + secret}, "state": {q.Get("state")}, "iss": {p.URL}}.Encode())
			}()
		})
		<-done
		if err == nil {
			t.Errorf("%s: taken", name)
		}
		silent(t, err)
	}
	p.on("/.well-known/openid-configuration", says(mediaJSON, strings.Replace(metadataFor(p.URL, p.URL), "authorization_endpoint", "x", 1)))
	if _, err := public.Loopback(t.Context(), func(string) { t.Error("shown") }); !errors.Is(err, bearer.ErrNoWay) {
		t.Errorf("no authorization endpoint: %v", err)
	}
}

func FuzzCallback(f *testing.F) {
	f.Add("code=c&iss=https://a.example")
	f.Add("error=access_denied&iss=https://a.example")
	f.Add("code=c&code=d")
	f.Add("iss=https://a.example/&code=c")
	e := endpoint{issuer: trust.IssuerPolicy{Issuer: "https://a.example"}, all: trust.Endpoints{ResponseIss: true}}
	f.Fuzz(func(t *testing.T, query string) {
		q, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		got := e.readCallback(q)
		if got.err == nil && (got.code == "" || q.Get("iss") != "https://a.example" || q.Has("error") && q.Get("error") != "") || got.err != nil && got.code != "" {
			t.Errorf("%+v", got)
		}
	})
}
