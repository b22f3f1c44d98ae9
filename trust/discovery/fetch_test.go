package discovery

import (
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/issuers"
	"github.com/candignode/candignode/trust/jose"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// provider is an issuer on loopback whose every answer a test may bend.
type provider struct {
	*httptest.Server
	mu       sync.Mutex
	answers  map[string]http.HandlerFunc
	requests []string
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{answers: map[string]http.HandlerFunc{}}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.requests = append(p.requests, r.URL.Path)
		answer := p.answers[r.URL.Path]
		p.mu.Unlock()
		if answer == nil {
			http.NotFound(w, r)
			return
		}
		answer(w, r)
	}))
	p.Server.Config.ErrorLog = nil
	p.StartTLS()
	t.Cleanup(p.Close)
	return p
}

func (p *provider) on(path string, h http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answers[path] = h
}

func (p *provider) seen() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.requests...)
}

// document serves JSON with an ETag, and honours If-None-Match.
func document(etag, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if etag != "" && r.Header.Get("If-None-Match") == etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		if etag != "" {
			w.Header().Set("ETag", etag)
		}
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, body)
	}
}

func keySet(t *testing.T, kids ...string) string {
	t.Helper()
	var keys []trust.Key
	for _, kid := range kids {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, trust.Key{KeyID: kid, Public: &k.PublicKey})
	}
	set, err := jose.MarshalKeySet(keys)
	if err != nil {
		t.Fatal(err)
	}
	return string(set)
}

func metadataOf(issuer, jwks string) string {
	return fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q,"token_endpoint":"%s/token","id_token_signing_alg_values_supported":["RS256","ES256"]}`, issuer, jwks, issuer)
}

// policy trusts the provider as its own CA says, on loopback.
func (p *provider) policy(issuer string) trust.IssuerPolicy {
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate().Raw})
	return trust.IssuerPolicy{Issuer: issuer, Kinds: []trust.Kind{trust.KindLogin}, Mode: trust.ModeDirect, CAPEM: ca, AllowPrivateAddress: true}
}

// good makes the provider a well-behaved issuer at its own root.
func (p *provider) good(t *testing.T) trust.IssuerPolicy {
	t.Helper()
	p.on("/.well-known/openid-configuration", document(`"d1"`, metadataOf(p.URL, p.URL+"/jwks")))
	p.on("/jwks", document(`"k1"`, keySet(t, "a", "b")))
	return p.policy(p.URL)
}

// Row 92: the discovery address is composed as OpenID Connect does, with and
// without a slash and with a path.
func TestDiscoveryAddress(t *testing.T) {
	for _, suffix := range []string{"", "/", "/realms/one", "/realms/one/"} {
		t.Run("issuer"+suffix, func(t *testing.T) {
			p := newProvider(t)
			issuer := p.URL + suffix
			path := strings.TrimSuffix(suffix, "/") + "/.well-known/openid-configuration"
			p.on(path, document("", metadataOf(issuer, p.URL+"/jwks")))
			p.on("/jwks", document("", keySet(t, "a")))
			got, err := New().Fetch(t.Context(), p.policy(issuer), issuers.Validators{})
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Keys) != 1 || got.Keys[0].KeyID != "a" || got.JWKSURI != p.URL+"/jwks" || got.Metadata.IsZero() || got.NotModified {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// Row 93, V053, V051: a document of any other issuer is not used, however alike.
func TestIssuerMustBeIdentical(t *testing.T) {
	p := newProvider(t)
	host := strings.TrimPrefix(p.URL, "https://")
	for name, says := range map[string]string{
		"slash":     p.URL + "/",
		"upperCase": "https://" + strings.ToUpper(strings.Replace(host, "127.0.0.1", "localhost", 1)),
		"http":      "http://" + host,
		"path":      p.URL + "/realms/one",
		"other":     "https://issuer.example.org",
		"empty":     "",
		"punycode":  "https://xn--issuer-9za.example.org",
	} {
		t.Run(name, func(t *testing.T) {
			p.on("/.well-known/openid-configuration", document("", metadataOf(says, p.URL+"/jwks")))
			p.on("/jwks", document("", keySet(t, "a")))
			if _, err := New().Fetch(t.Context(), p.policy(p.URL), issuers.Validators{}); !errors.Is(err, ErrIssuer) {
				t.Errorf("error %v, not ErrIssuer", err)
			}
		})
	}
	for name, body := range map[string]string{"number": `{"issuer":7}`, "twice": `{"issuer":"` + p.URL + `","issuer":"` + p.URL + `"}`, "null": `null`, "array": `[]`} {
		p.on("/.well-known/openid-configuration", document("", body))
		if _, err := New().Fetch(t.Context(), p.policy(p.URL), issuers.Validators{}); err == nil {
			t.Errorf("%s: a document %s was used", name, body)
		}
	}
}

// Documents that the issuer confirms unchanged are taken from what is held.
func TestNotModified(t *testing.T) {
	p := newProvider(t)
	policy := p.good(t)
	f := New()
	first, err := f.Fetch(t.Context(), policy, issuers.Validators{})
	if err != nil {
		t.Fatal(err)
	}
	second, err := f.Fetch(t.Context(), policy, first.Validators())
	if err != nil {
		t.Fatal(err)
	}
	if !second.NotModified || len(second.Keys) != 2 || second.Metadata != first.Metadata || second.JWKSURI != first.JWKSURI {
		t.Errorf("unchanged documents gave %+v", second)
	}
	p.on("/jwks", document(`"k2"`, keySet(t, "c")))
	third, err := f.Fetch(t.Context(), policy, second.Validators())
	if err != nil {
		t.Fatal(err)
	}
	if third.NotModified || len(third.Keys) != 1 || third.Keys[0].KeyID != "c" {
		t.Errorf("a rotated key gave %+v", third.Keys)
	}
	// A server that says "unchanged" to somebody who holds nothing is not believed.
	p.on("/jwks", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) })
	if _, err := f.Fetch(t.Context(), policy, issuers.Validators{}); err == nil {
		t.Error("304 without anything held was taken")
	}
}

// GA4GH visa issuers need not be OpenID providers: with key sets listed, nothing
// else is fetched.
func TestVisaIssuer(t *testing.T) {
	p := newProvider(t)
	p.on("/one", document("", keySet(t, "a")))
	p.on("/two", document("", keySet(t, "b", "c")))
	policy := p.policy("urn:example:dac")
	policy.Kinds = []trust.Kind{trust.KindVisa}
	policy.JKU = []string{p.URL + "/one", p.URL + "/two", p.URL + "/one"}
	got, err := New().Fetch(t.Context(), policy, issuers.Validators{})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Keys) != 3 || len(got.Sets) != 2 || got.JWKSURI != "" || !got.Metadata.IsZero() {
		t.Errorf("got %+v", got)
	}
	if seen := p.seen(); len(seen) != 2 {
		t.Errorf("requests %v", seen)
	}
	// One of several sets failing fails the fetch: half a union looks like a
	// withdrawal.
	p.on("/two", nil)
	if _, err := New().Fetch(t.Context(), policy, issuers.Validators{}); err == nil {
		t.Error("a failing set was passed over")
	}
}

// An issuer of several kinds with listed sets has both: discovery and the list.
func TestFurtherSets(t *testing.T) {
	p := newProvider(t)
	policy := p.good(t)
	p.on("/visas", document("", keySet(t, "v")))
	policy.Kinds = []trust.Kind{trust.KindPassport, trust.KindVisa}
	policy.JKU = []string{p.URL + "/visas"}
	got, err := New().Fetch(t.Context(), policy, issuers.Validators{})
	if err != nil || len(got.Keys) != 3 {
		t.Errorf("%d keys, %v", len(got.Keys), err)
	}
}

// Rows 94 and 97, V054: whatever is wrong with an answer refuses the fetch.
func TestBadAnswers(t *testing.T) {
	elsewhere := newProvider(t)
	elsewhere.on("/jwks", document("", keySet(t, "evil")))
	var sent atomic.Int64
	tenThousand := `{"keys":[` + strings.TrimSuffix(strings.Repeat(`{"kty":"x"},`, 10_000), ",") + `]}`
	for name, test := range map[string]struct {
		jwks http.HandlerFunc
		want string
	}{
		"redirect to http": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://"+r.Host+"/jwks", http.StatusFound)
		}, "another origin"},
		"redirect to another origin": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+"/jwks", http.StatusFound)
		}, "another origin"},
		"redirect for ever": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/jwks", http.StatusFound)
		}, "more than 3"},
		"50 MB": {func(w http.ResponseWriter, _ *http.Request) {
			block := []byte(strings.Repeat(" ", 1<<20))
			for range 50 {
				n, err := w.Write(block)
				sent.Add(int64(n))
				if err != nil {
					return
				}
			}
		}, "longer than"},
		"10,000 keys": {document("", tenThousand), ""},
		"web page": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			io.WriteString(w, "<html>Please log in</html>")
		}, "web page"},
		"web page that says nothing": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, "<html>Please log in</html>")
		}, ""},
		"no keys":        {document("", `{"keys":[]}`), "no usable key"},
		"no member keys": {document("", `{}`), ""},
		"only unusable":  {document("", `{"keys":[{"kty":"oct","k":"AAAA"}]}`), "no usable key"},
		"500":            {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, "answered 500"},
		"204":            {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, "answered 204"},
		"gzip": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			io.WriteString(z, keySet(t, "a"))
			z.Close()
		}, "encoded"},
		"long header": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Long", strings.Repeat("x", maxHeader))
			io.WriteString(w, keySet(t, "a"))
		}, ""},
		"cut off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, `{"keys":`)
		}, "reading the answer"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			policy := p.good(t)
			p.on("/jwks", test.jwks)
			_, err := New().Fetch(t.Context(), policy, issuers.Validators{})
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), policy.Issuer) {
				t.Errorf("error %v; want one that says %q and names the issuer", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "Please log in") {
				t.Errorf("the error quotes the answer: %v", err)
			}
		})
	}
	if n := sent.Load(); n > 16<<20 {
		t.Errorf("the server could send %d bytes of 50 MB", n)
	}
	if seen := elsewhere.seen(); len(seen) != 0 {
		t.Errorf("the other origin was asked: %v", seen)
	}
}

func TestRedirectWithinOrigin(t *testing.T) {
	p := newProvider(t)
	policy := p.good(t)
	p.on("/new", document("", keySet(t, "moved")))
	p.on("/jwks", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/new", http.StatusFound) })
	got, err := New().Fetch(t.Context(), policy, issuers.Validators{})
	if err != nil || got.Keys[0].KeyID != "moved" {
		t.Errorf("%v, %v", got.Keys, err)
	}
}

// Row 94: a server that trickles does not hold the fetch longer than the caller
// allows, and never longer than maxTime.
func TestSlowBody(t *testing.T) {
	p := newProvider(t)
	policy := p.good(t)
	p.on("/jwks", func(w http.ResponseWriter, r *http.Request) {
		for {
			if _, err := io.WriteString(w, " "); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	// The body has no end: only the caller's patience ends the fetch.
	if _, err := New().Fetch(ctx, policy, issuers.Validators{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

func TestUntrustedCertificate(t *testing.T) {
	p := newProvider(t)
	policy := p.good(t)
	policy.CAPEM = nil
	if _, err := New().Fetch(t.Context(), policy, issuers.Validators{}); err == nil {
		t.Error("a certificate of an unknown CA was taken")
	}
	policy.CAPEM = []byte("not a certificate")
	if _, err := New().Fetch(t.Context(), policy, issuers.Validators{}); err == nil || !strings.Contains(err.Error(), "PEM") {
		t.Errorf("error %v", err)
	}
}

// Section 9: without the operator's leave nothing on a private address is asked,
// by number or by name.
func TestPrivateAddressRefused(t *testing.T) {
	p := newProvider(t)
	policy := p.good(t)
	policy.AllowPrivateAddress = false
	for _, issuer := range []string{p.URL, strings.Replace(p.URL, "127.0.0.1", "localhost", 1)} {
		policy.Issuer = issuer
		if _, err := New().Fetch(t.Context(), policy, issuers.Validators{}); !errors.Is(err, ErrAddress) {
			t.Errorf("%s: error %v, not ErrAddress", issuer, err)
		}
	}
	if seen := p.seen(); len(seen) != 0 {
		t.Errorf("the server was asked: %v", seen)
	}
}

// The environment's proxy is not asked: it would see, and could answer for, every
// issuer.
func TestNoProxy(t *testing.T) {
	p := newProvider(t)
	policy := p.good(t)
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	t.Setenv("https_proxy", "http://127.0.0.1:1")
	f := New()
	if _, err := f.Fetch(t.Context(), policy, issuers.Validators{}); err != nil {
		t.Error(err)
	}
	c, err := f.client(policy)
	if err != nil || c.Transport.(*http.Transport).Proxy != nil {
		t.Error("the client has a proxy")
	}
}

func TestClientsAreReused(t *testing.T) {
	f := New()
	p := newProvider(t)
	one, err := f.client(p.policy("https://one.example.org"))
	if err != nil {
		t.Fatal(err)
	}
	two, _ := f.client(p.policy("https://two.example.org"))
	public, _ := f.client(trust.IssuerPolicy{CAPEM: p.policy("").CAPEM})
	if one != two || one == public {
		t.Error("a client belongs to one CA and one setting of private addresses")
	}
}

// Row 94: addresses from documents and configuration are https and plain.
func TestAddressForms(t *testing.T) {
	for _, address := range []string{
		"", "http://a.example/jwks", "HTTP://a.example", "ftp://a.example", "file:///etc/passwd", "https://", "https:///jwks",
		"https:a.example", "//a.example/jwks", "https://user:pw@a.example/jwks", "https://a.example/jwks#x", "https://a.example/#",
		"https://a.example/" + strings.Repeat("x", maxAddress), "https://[::1", "https://a.example/\x7f",
	} {
		if err := checkURL(address); err == nil {
			t.Errorf("%q was taken", address)
		} else if strings.Contains(err.Error(), "pw@") {
			t.Errorf("the error shows a password: %v", err)
		}
	}
	for _, address := range []string{"https://a.example", "https://a.example:8443/x?y=z", "https://[2001:db8::1]/jwks"} {
		if err := checkURL(address); err != nil {
			t.Error(err)
		}
	}
}
