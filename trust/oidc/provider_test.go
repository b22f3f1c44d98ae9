package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// secret is in every token, code and secret of these tests: it must turn up in no
// error, log line or URL.
const secret = "s3cr3t"

var token = trust.NewAccessToken("at." + secret)

// request is what a provider saw.
type request struct {
	method, path, query   string
	authorization, accept string
	contentType           string
	form                  url.Values
}

// idp is an OpenID provider on loopback whose every answer a test may bend.
type idp struct {
	*httptest.Server
	mu       sync.Mutex
	answers  map[string]http.HandlerFunc
	requests []request
}

func newIDP(t *testing.T, plain ...bool) *idp {
	t.Helper()
	p := &idp{answers: map[string]http.HandlerFunc{}}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		form, _ := url.ParseQuery(string(body))
		h := r.Header
		p.mu.Lock()
		p.requests = append(p.requests, request{r.Method, r.URL.Path, r.URL.RawQuery, h.Get("Authorization"), h.Get("Accept"), h.Get("Content-Type"), form})
		answer := p.answers[r.URL.Path]
		p.mu.Unlock()
		if strings.Contains(r.URL.String(), secret) {
			t.Errorf("a secret stands in the URL %s", r.URL)
		}
		if answer == nil {
			http.NotFound(w, r)
			return
		}
		answer(w, r)
	}))
	p.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	if len(plain) > 0 {
		p.Start()
	} else {
		p.StartTLS()
	}
	t.Cleanup(p.Close)
	return p
}

func (p *idp) on(path string, h http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answers[path] = h
}

func (p *idp) seen() []request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]request(nil), p.requests...)
}

func (p *idp) last(t *testing.T) request {
	t.Helper()
	seen := p.seen()
	if len(seen) == 0 {
		t.Fatal("the provider was not asked")
	}
	return seen[len(seen)-1]
}

func (p *idp) endpoints() trust.Endpoints {
	return trust.Endpoints{
		Authorization: p.URL + "/authorize", Token: p.URL + "/token?tenant=1", UserInfo: p.URL + "/userinfo",
		Introspection: p.URL + "/introspect", DeviceAuthorization: p.URL + "/device",
	}
}

// policy is of an issuer at which this node has a secret.
func (p *idp) policy() trust.IssuerPolicy {
	return trust.IssuerPolicy{
		Issuer: p.URL, Kinds: []trust.Kind{trust.KindLogin, trust.KindPassport}, Endpoints: p.endpoints(), Scopes: []string{"openid", "ga4gh_passport_v1"},
		Client: trust.Client{ID: "node:1", Secret: trust.NewAccessToken("client " + secret)},
		Claims: trust.ClaimSource{Endpoints: []string{p.URL + "/claims"}},
	}
}

func says(media, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", media)
		io.WriteString(w, body)
	}
}

func status(code int, header, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if name, value, ok := strings.Cut(header, ": "); ok {
			w.Header().Set(name, value)
		}
		w.WriteHeader(code)
		io.WriteString(w, body)
	}
}

// clientOf trusts the provider's certificate, and keeps no connections for goleak.
func (p *idp) clientOf(trust.IssuerPolicy) (*http.Client, error) {
	c := p.Client()
	c.Transport.(*http.Transport).DisableKeepAlives = true
	return c, nil
}

func (p *idp) provider(t *testing.T) *Provider {
	t.Helper()
	got, err := New(Options{
		Client: p.clientOf,
		Endpoints: func(_ context.Context, issuer trust.IssuerPolicy) (trust.Endpoints, error) {
			return issuer.Endpoints, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func newKey(t *testing.T) (*ecdsa.PrivateKey, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id, err := jose.Thumbprint(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return key, id
}

// jwt is a compact JWS of payload.
func jwt(t *testing.T, payload string) string {
	t.Helper()
	key, id := newKey(t)
	signed, err := jose.Sign(jose.Header{Type: "JWT", KeyID: id}, []byte(payload), key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// operation is one of the node's requests, so that one test can misbehave to all.
type operation struct {
	path, media string
	good        string
	do          func(*Provider, context.Context, trust.IssuerPolicy) error
}

func operations() map[string]operation {
	verifier := strings.Repeat("v", 43)
	tokens := `{"access_token":"a","token_type":"Bearer","id_token":"i"}`
	return map[string]operation{
		"UserInfo": {"/userinfo", mediaJSON, `{"sub":"x"}`, func(p *Provider, ctx context.Context, i trust.IssuerPolicy) error {
			_, err := p.UserInfo(ctx, i, token)
			return err
		}},
		"Introspect": {"/introspect", mediaJSON, `{"active":true}`, func(p *Provider, ctx context.Context, i trust.IssuerPolicy) error {
			_, err := p.Introspect(ctx, i, token)
			return err
		}},
		"Exchange": {"/token", mediaJSON, exchanged, func(p *Provider, ctx context.Context, i trust.IssuerPolicy) error {
			_, err := p.Exchange(ctx, i, token, "")
			return err
		}},
		"Claims": {"/claims", mediaJWT, "a.b.c", func(p *Provider, ctx context.Context, i trust.IssuerPolicy) error {
			_, err := p.Claims(ctx, i, i.Claims.Endpoints[0], token)
			return err
		}},
		"Redeem": {"/token", mediaJSON, tokens, func(p *Provider, ctx context.Context, i trust.IssuerPolicy) error {
			_, err := p.Redeem(ctx, i, "code"+secret, "https://node.example.org/cb", verifier)
			return err
		}},
		"Refresh": {"/token", mediaJSON, tokens, func(p *Provider, ctx context.Context, i trust.IssuerPolicy) error {
			_, err := p.Refresh(ctx, i, token)
			return err
		}},
	}
}

const exchanged = `{"access_token":"h.p.s","issued_token_type":"urn:ga4gh:params:oauth:token-type:passport","token_type":"Bearer","expires_in":60}`

// silent fails for an error that shows a secret or an address's query.
func silent(t *testing.T, err error) {
	t.Helper()
	if err != nil && (strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "tenant=")) {
		t.Errorf("the error shows too much: %v", err)
	}
}

var fixed = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
