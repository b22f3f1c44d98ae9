package oidc_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/candignode/candignode/simulate/idp"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/bearer"
	"github.com/candignode/candignode/trust/discovery"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/oidc"
	"github.com/candignode/candignode/trust/polling"
)

const (
	target   = "urn:candignode:node:bcgsc"
	callback = "https://uhn.example.org/login/callback"
)

// world is a broker and a committee that behave, a node that is registered at the
// broker, and the real discovery between them.
type world struct {
	*idp.Server
	policy trust.IssuerPolicy
	node   *oidc.Provider
	visa   string // in the form of an access token
}

func newWorld(t *testing.T) world {
	t.Helper()
	server, closer, err := idp.Serve(t.Context(), t.TempDir(), "broker", "dac")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closer.Close() })
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id, err := jose.Thumbprint(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	grant := idp.Grant{Value: "https://dac.example.org/d1", Source: "https://dac.example.org"}
	ok := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	ok(server.Register("broker", idp.Researcher{Subject: "rosalind", Visas: []idp.Grant{grant}}))
	ok(server.Register("dac", idp.Researcher{Subject: "rosalind", Visas: []idp.Grant{grant}}))
	ok(server.AddClients("broker",
		idp.Client{ID: "cli", RedirectURIs: []string{"http://127.0.0.1/callback"}},
		idp.Client{ID: "uhn", Key: key.Public(), RedirectURIs: []string{callback}, Exchange: true, Resources: map[string]string{target: "bcgsc-node"}},
	))
	grant.AccessToken = true
	grant.Issuer = "dac"
	visa, err := server.Visa(grant, "rosalind", time.Now())
	ok(err)
	fetcher := discovery.New()
	node, err := oidc.New(oidc.Options{Client: fetcher.Client, Endpoints: fetcher.Endpoints})
	ok(err)
	return world{server, trust.IssuerPolicy{
		Issuer: server.Name("broker"), Kinds: []trust.Kind{trust.KindLogin, trust.KindPassport}, CAPEM: server.CAPEM(), AllowPrivateAddress: true,
		Scopes: []string{"openid", "ga4gh_passport_v1"}, Client: trust.Client{ID: "uhn", Key: key, KeyID: id},
	}, node, visa}
}

func (w world) client() *http.Client {
	c := w.HTTPClient()
	c.Transport.(*http.Transport).DisableKeepAlives = true
	return c
}

// Rows 65, 68, 69, 73 to 77 and 112: the node signs a person in, and gets all that it
// can get for the token, from a provider that is as strict as it should be.
func TestNodeAtAProvider(t *testing.T) {
	w := newWorld(t)
	verifier := oauth2.GenerateVerifier()
	address, err := w.node.Authorize(t.Context(), w.policy, bearer.AuthRequest{RedirectURI: callback, State: "st", Nonce: "no", Verifier: verifier})
	if err != nil {
		t.Fatal(err)
	}
	browser := w.client()
	browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := browser.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	back, err := response.Location()
	if err != nil || !strings.HasPrefix(back.String(), callback) || back.Query().Get("state") != "st" || back.Query().Get("iss") != w.policy.Issuer {
		t.Fatalf("%d, %v, %v", response.StatusCode, back, err)
	}
	code := back.Query().Get("code")
	if _, err := w.node.Redeem(t.Context(), w.policy, code, callback, oauth2.GenerateVerifier()); !errors.Is(err, bearer.ErrRefused) || !strings.Contains(err.Error(), "invalid_grant") {
		t.Errorf("with another verifier: %v", err)
	}
	// That code is spent now.
	if response, err = browser.Get(address); err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	back, _ = response.Location()
	tokens, err := w.node.Redeem(t.Context(), w.policy, back.Query().Get("code"), callback, verifier)
	if err != nil || tokens.Access.IsZero() || tokens.ID.IsZero() || tokens.Expires.Before(time.Now()) {
		t.Fatalf("%+v, %v", tokens, err)
	}
	info, err := w.node.UserInfo(t.Context(), w.policy, tokens.Access)
	var claims struct {
		Sub   string
		Visas []string `json:"ga4gh_passport_v1"`
	}
	if err != nil || json.Unmarshal(info.Body, &claims) != nil || claims.Sub != "rosalind" || len(claims.Visas) != 1 {
		t.Errorf("UserInfo %s, %v", info.Body, err)
	}
	said, err := w.node.Introspect(t.Context(), w.policy, tokens.Access)
	if err != nil || !strings.Contains(string(said.Body), `"active":true`) {
		t.Errorf("introspection %s, %v", said.Body, err)
	}
	for _, resource := range []string{"", target} {
		if passport, err := w.node.Exchange(t.Context(), w.policy, tokens.Access, resource); err != nil || passport.Passport == "" {
			t.Errorf("a passport for %q: %v", resource, err)
		}
	}
	if _, err := w.node.Exchange(t.Context(), w.policy, tokens.Access, "urn:candignode:node:nobody"); !errors.Is(err, bearer.ErrNoWay) || !strings.Contains(err.Error(), "invalid_target") {
		t.Errorf("a passport for nobody: %v", err)
	}
	if !tokens.Refresh.IsZero() {
		if again, err := w.node.Refresh(t.Context(), w.policy, tokens.Refresh); err != nil || again.Access.IsZero() {
			t.Errorf("refresh: %v", err)
		}
	}
	stranger := w.policy
	stranger.Client.ID = "nobody"
	if _, err := w.node.Exchange(t.Context(), stranger, tokens.Access, target); !errors.Is(err, bearer.ErrUnavailable) || !strings.Contains(err.Error(), "invalid_client") {
		t.Errorf("by a stranger: %v", err)
	}
	if err := w.Revoke("broker", tokens.Access.Reveal()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.node.UserInfo(t.Context(), w.policy, tokens.Access); !errors.Is(err, bearer.ErrRefused) || !strings.Contains(err.Error(), "invalid_token") {
		t.Errorf("after it was revoked: %v", err)
	}
	if err := w.Behave("broker", func(b *idp.Behaviour) { b.Outage = true }); err != nil {
		t.Fatal(err)
	}
	if _, err := w.node.Exchange(t.Context(), w.policy, tokens.Access, target); !errors.Is(err, bearer.ErrUnavailable) {
		t.Errorf("in an outage: %v", err)
	}
}

// Rows 57 and 59: a visa in the form of an access token, until its issuer takes it
// back.
func TestPollingAtAProvider(t *testing.T) {
	w := newWorld(t)
	policy := trust.IssuerPolicy{Issuer: w.Name("dac"), Kinds: []trust.Kind{trust.KindVisa}, CAPEM: w.CAPEM(), AllowPrivateAddress: true}
	visas, err := w.node.Poll(t.Context(), policy, trust.NewPassport(w.visa))
	if err != nil && !errors.Is(err, polling.ErrUnchanged) {
		t.Errorf("%d visas, %v", len(visas), err)
	}
	if err := w.Revoke("dac", w.visa); err != nil {
		t.Fatal(err)
	}
	if _, err := w.node.Poll(t.Context(), policy, trust.NewPassport(w.visa)); !errors.Is(err, polling.ErrRefused) {
		t.Errorf("after it was taken back: %v", err)
	}
}

// Row 112: the command line at the same provider, both ways, and refreshed.
func TestCommandLineAtAProvider(t *testing.T) {
	w := newWorld(t)
	public := oidc.Public{Client: w.client(), Issuer: w.Name("broker"), ClientID: "cli", Scopes: []string{"openid", "ga4gh_passport_v1", "offline_access"}}
	tokens, err := public.Device(t.Context(), func(c oidc.DeviceCode) {
		if err := w.Approve("broker", c.UserCode, "rosalind"); err != nil {
			t.Error(err)
		}
	})
	if err != nil || tokens.Access.IsZero() {
		t.Fatal(err)
	}
	if _, err := w.node.UserInfo(t.Context(), w.policy, tokens.Access); err != nil {
		t.Error(err)
	}
	if _, err := public.Device(t.Context(), func(c oidc.DeviceCode) {
		if err := w.Deny("broker", c.UserCode); err != nil {
			t.Error(err)
		}
	}); !errors.Is(err, oidc.ErrDenied) {
		t.Errorf("denied: %v", err)
	}
	done := make(chan struct{})
	tokens, err = public.Loopback(t.Context(), func(address string) {
		go func() {
			defer close(done)
			browser := w.client()
			browser.CheckRedirect = nil
			if response, err := browser.Get(address); err != nil || response.StatusCode != http.StatusOK {
				t.Errorf("the browser: %v", err)
			} else {
				response.Body.Close()
			}
		}()
	})
	<-done
	if err != nil || tokens.Access.IsZero() || tokens.Refresh.IsZero() {
		t.Fatalf("%+v, %v", tokens, err)
	}
	again, err := public.Refresh(t.Context(), tokens.Refresh)
	if err != nil || again.Access.IsZero() {
		t.Errorf("refresh: %v", err)
	}
	mixed := "https://evil.example.org"
	if err := w.Behave("broker", func(b *idp.Behaviour) { b.ResponseIss, b.NoDevice = &mixed, true }); err != nil {
		t.Fatal(err)
	}
	if _, err := public.Device(t.Context(), func(oidc.DeviceCode) {}); !errors.Is(err, oidc.ErrNoDeviceFlow) {
		t.Errorf("without devices: %v", err)
	}
	if _, err := public.Loopback(t.Context(), func(address string) {
		go func() {
			browser := w.client()
			browser.CheckRedirect = nil
			if response, err := browser.Get(address); err == nil {
				response.Body.Close()
			}
		}()
	}); !errors.Is(err, bearer.ErrRefused) || !strings.Contains(err.Error(), "another issuer") {
		t.Errorf("mixed up: %v", err)
	}
}
