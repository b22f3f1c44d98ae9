package discovery

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
)

// full is a discovery document with every endpoint.
func full(issuer, base string) string {
	return `{"issuer":"` + issuer + `","jwks_uri":"` + base + `/jwks","authorization_endpoint":"` + base + `/authorize","token_endpoint":"` + base +
		`/token","userinfo_endpoint":"` + base + `/userinfo","introspection_endpoint":"` + base + `/introspect","device_authorization_endpoint":"` +
		base + `/device","authorization_response_iss_parameter_supported":true}`
}

const discoveryPath = "/.well-known/openid-configuration"

// clock is a hand-wound clock for a Fetcher.
type clock struct{ now atomic.Int64 }

func (c *clock) forward(d time.Duration) { c.now.Add(int64(d)) }

func fetcherAt(c *clock) *Fetcher {
	f := New()
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	f.now = func() time.Time { return start.Add(time.Duration(c.now.Load())) }
	return f
}

// Rows 91 to 93: endpoints are out of the document at the one right address, and
// only if that document is exactly this issuer's.
func TestEndpoints(t *testing.T) {
	for _, suffix := range []string{"", "/", "/realms/one", "/realms/one/"} {
		t.Run("issuer"+suffix, func(t *testing.T) {
			p := newProvider(t)
			issuer := p.URL + suffix
			p.on(strings.TrimSuffix(suffix, "/")+discoveryPath, document("", full(issuer, p.URL)))
			got, err := New().Endpoints(t.Context(), p.policy(issuer))
			want := trust.Endpoints{
				Authorization: p.URL + "/authorize", Token: p.URL + "/token", UserInfo: p.URL + "/userinfo", Introspection: p.URL + "/introspect",
				DeviceAuthorization: p.URL + "/device", ResponseIss: true,
			}
			if err != nil || got != want {
				t.Errorf("%+v, %v", got, err)
			}
			if seen := p.seen(); len(seen) != 1 {
				t.Errorf("requests %v: the discovery document alone is needed", seen)
			}
		})
	}
	p := newProvider(t)
	host := strings.TrimPrefix(p.URL, "https://")
	for name, says := range map[string]string{"slash": p.URL + "/", "http": "http://" + host, "upper case": strings.ToUpper(p.URL), "other": "https://other.example.org", "none": ""} {
		p.on(discoveryPath, document("", full(says, p.URL)))
		if got, err := New().Endpoints(t.Context(), p.policy(p.URL)); !errors.Is(err, ErrIssuer) || got != (trust.Endpoints{}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	// Row 92: the well-known part put before the path, as RFC 8414 does, finds nothing.
	p.on(discoveryPath+"/realms/one", document("", full(p.URL+"/realms/one", p.URL)))
	if _, err := New().Endpoints(t.Context(), p.policy(p.URL+"/realms/one")); err == nil {
		t.Error("a document at the wrong address was found")
	}
}

// The operator's word stands member by member, and is held to the same form.
func TestOperatorsEndpoints(t *testing.T) {
	p := newProvider(t)
	p.on(discoveryPath, document("", full(p.URL, p.URL)))
	policy := p.policy(p.URL)
	policy.Endpoints.UserInfo = "https://other.example.org/me"
	got, err := New().Endpoints(t.Context(), policy)
	if err != nil || got.UserInfo != "https://other.example.org/me" || got.Token != p.URL+"/token" || !got.ResponseIss {
		t.Errorf("%+v, %v", got, err)
	}
	// What the document says about a member that the operator wrote does not matter.
	p.on(discoveryPath, document("", strings.Replace(full(p.URL, p.URL), p.URL+"/userinfo", "http://plain.example.org/me", 1)))
	if got, err := New().Endpoints(t.Context(), policy); err != nil || got.UserInfo != "https://other.example.org/me" {
		t.Errorf("%+v, %v", got, err)
	}
	// The operator's own word holds without the document, but nobody is signed in: only
	// the document tells whether responses carry iss (row 112).
	p.on(discoveryPath, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	policy.Endpoints.Authorization = "https://other.example.org/authorize"
	if got, err := New().Endpoints(t.Context(), policy); err != nil || got != (trust.Endpoints{UserInfo: "https://other.example.org/me"}) {
		t.Errorf("without the document: %+v, %v", got, err)
	}
	alone := policy
	alone.Endpoints.UserInfo = ""
	if got, err := New().Endpoints(t.Context(), alone); err == nil {
		t.Errorf("without the document or another word: %+v", got)
	}
	policy.Endpoints.UserInfo = "http://other.example.org/me"
	if _, err := New().Endpoints(t.Context(), policy); err == nil || !strings.Contains(err.Error(), "userinfo_endpoint") {
		t.Errorf("plain http was taken: %v", err)
	}
	// An issuer that is no OpenID provider has the operator's alone, and is not asked.
	for _, issuer := range []trust.IssuerPolicy{
		{Issuer: "urn:example:dac", Kinds: []trust.Kind{trust.KindVisa}, JKU: []string{"https://a.example/jwks"}, Endpoints: trust.Endpoints{UserInfo: "https://a.example/me"}},
		{Issuer: "https://claims.example.org", Kinds: []trust.Kind{trust.KindClaims}, Endpoints: trust.Endpoints{UserInfo: "https://a.example/me"}},
	} {
		if got, err := New().Endpoints(t.Context(), issuer); err != nil || got != issuer.Endpoints {
			t.Errorf("%s: %+v, %v", issuer.Issuer, got, err)
		}
	}
}

// Rows 71 and 94: no endpoint but plain https, and a document that is not what it
// should be gives none at all.
func TestBadEndpoints(t *testing.T) {
	p := newProvider(t)
	good := full(p.URL, p.URL)
	for name, body := range map[string]string{
		"http":            strings.Replace(good, p.URL+"/token", "http://a.example/token", 1),
		"user":            strings.Replace(good, p.URL+"/token", "https://me:secret@a.example/token", 1),
		"fragment":        strings.Replace(good, p.URL+"/device", p.URL+"/device#x", 1),
		"no host":         strings.Replace(good, p.URL+"/authorize", "https:///authorize", 1),
		"number":          strings.Replace(good, `"`+p.URL+`/token"`, "7", 1),
		"twice":           strings.Replace(good, "{", `{"token_endpoint":"https://evil.example.org",`, 1),
		"text for a bool": strings.Replace(good, "true", `"true"`, 1),
		"web page":        "<html>Please log in</html>",
		"array":           "[]", "null": "null", "empty": "", "trailing": good + "{}",
		"too long": strings.Repeat(" ", maxBody) + good,
	} {
		p.on(discoveryPath, document("", body))
		got, err := New().Endpoints(t.Context(), p.policy(p.URL))
		if err == nil || got != (trust.Endpoints{}) {
			t.Errorf("%s: gave %+v", name, got)
		} else if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "Please log in") {
			t.Errorf("%s: the error shows too much: %v", name, err)
		}
	}
	p.on(discoveryPath, document("", strings.Replace(good, `"`+p.URL+`/device"`, "null", 1)))
	if got, err := New().Endpoints(t.Context(), p.policy(p.URL)); err != nil || got.DeviceAuthorization != "" {
		t.Errorf("null is not absent: %+v, %v", got, err)
	}
}

// A document is fetched once for 10 minutes; then a failing refresh keeps the last
// good one for an hour and no longer (row 93), and is tried every 30 s at most.
func TestEndpointsAreKept(t *testing.T) {
	p := newProvider(t)
	p.on(discoveryPath, document("", full(p.URL, p.URL)))
	var c clock
	f := fetcherAt(&c)
	ask := func(works bool, requests int) {
		t.Helper()
		got, err := f.Endpoints(t.Context(), p.policy(p.URL))
		if (err == nil) != works || works && got.Token != p.URL+"/token" {
			t.Errorf("%+v, %v", got, err)
		}
		if n := len(p.seen()); n != requests {
			t.Errorf("%d requests, want %d", n, requests)
		}
	}
	ask(true, 1)
	c.forward(freshEndpoints - 1)
	ask(true, 1)
	c.forward(1)
	ask(true, 2)

	p.on(discoveryPath, document("", full(p.URL+"/", p.URL))) // another issuer's now
	c.forward(freshEndpoints)
	ask(true, 3)
	c.forward(retryEndpoints - 1)
	ask(true, 3)
	c.forward(1)
	ask(true, 4)
	c.forward(staleEndpoints - retryEndpoints - 1)
	ask(true, 5)
	c.forward(1)
	ask(false, 5)
	c.forward(retryEndpoints)
	ask(false, 6)
	ask(false, 6)

	p.on(discoveryPath, document("", full(p.URL, p.URL)))
	c.forward(retryEndpoints)
	ask(true, 7)
	ask(true, 7)
}

// What was learned under one policy is no answer under a stricter one.
func TestEndpointsOfAnotherPolicy(t *testing.T) {
	p := newProvider(t)
	p.on(discoveryPath, document("", full(p.URL, p.URL)))
	f := New()
	policy := p.policy(p.URL)
	if _, err := f.Endpoints(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	policy.AllowPrivateAddress = false
	if _, err := f.Endpoints(t.Context(), policy); !errors.Is(err, ErrAddress) {
		t.Errorf("error %v, not ErrAddress", err)
	}
	policy.AllowPrivateAddress, policy.CAPEM = true, nil
	if _, err := f.Endpoints(t.Context(), policy); err == nil {
		t.Error("an unknown CA was taken")
	}
}

// All who wait share one fetch, and one who leaves takes nobody along.
func TestEndpointsSingleFlight(t *testing.T) {
	p := newProvider(t)
	started, release := make(chan struct{}, 100), make(chan struct{})
	p.on(discoveryPath, func(w http.ResponseWriter, r *http.Request) {
		started <- struct{}{}
		<-release
		document("", full(p.URL, p.URL))(w, r)
	})
	f := New()
	ctx, leave := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := f.Endpoints(ctx, p.policy(p.URL))
		first <- err
	}()
	<-started
	var waiting sync.WaitGroup
	var good atomic.Int64
	for range 20 {
		waiting.Go(func() {
			if _, err := f.Endpoints(t.Context(), p.policy(p.URL)); err == nil {
				good.Add(1)
			}
		})
	}
	leave()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("who left got %v", err)
	}
	close(release)
	waiting.Wait()
	if good.Load() != 20 || len(p.seen()) != 1 {
		t.Errorf("%d of 20 were answered, by %d requests", good.Load(), len(p.seen()))
	}
}

func TestEndpointsKeptAreBounded(t *testing.T) {
	var c clock
	f := fetcherAt(&c)
	for i := range maxEndpoints + 10 {
		c.forward(time.Second)
		f.remember(endpointsKey{issuer: strings.Repeat("x", i)}, trust.Endpoints{}, nil)
	}
	if _, ok, _ := f.remembered(endpointsKey{issuer: strings.Repeat("x", maxEndpoints+9)}); len(f.endpoints) != maxEndpoints || !ok {
		t.Errorf("%d kept", len(f.endpoints))
	}
	if _, ok, _ := f.remembered(endpointsKey{}); ok {
		t.Error("the oldest was kept")
	}
}

// Row 87, V094: the client for tokens dials nothing that is private, by number or by
// name, and follows no redirect, within the origin or away from it.
func TestClientForTokens(t *testing.T) {
	p := newProvider(t)
	policy := p.policy(p.URL)
	policy.AllowPrivateAddress = false
	strict, err := New().Client(policy)
	if err != nil {
		t.Fatal(err)
	}
	port := strings.TrimPrefix(p.URL, "https://127.0.0.1")
	for _, address := range []string{p.URL, "https://localhost" + port, "https://[::1]" + port, "https://169.254.169.254/latest/meta-data", "https://[::ffff:127.0.0.1]" + port, "https://0.0.0.0" + port} {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		r.Header.Set("Authorization", "Bearer secret")
		if _, err := strict.Do(r); !errors.Is(err, ErrAddress) {
			t.Errorf("%s: %v, not ErrAddress", address, err)
		}
	}
	if seen := p.seen(); len(seen) != 0 {
		t.Errorf("the server was asked: %v", seen)
	}

	other := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer other.Close()
	p.on("/moved", func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") })
	for _, to := range []string{other.URL, "/moved", "https://169.254.169.254/"} {
		p.on("/userinfo", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusTemporaryRedirect) })
		lax, err := New().Client(p.policy(p.URL))
		if err != nil {
			t.Fatal(err)
		}
		response, err := lax.Get(p.URL + "/userinfo")
		if !errors.Is(err, errRedirect) {
			t.Errorf("%s: %v", to, err)
		}
		if response != nil {
			response.Body.Close()
		}
	}
	if _, err := New().Client(trust.IssuerPolicy{Issuer: "https://a.example", CAPEM: []byte("no certificate")}); err == nil || !strings.Contains(err.Error(), "https://a.example") {
		t.Errorf("a CA file without a certificate: %v", err)
	}
	c, err := New().Client(p.policy(p.URL))
	if err != nil || c.Timeout != maxRequest || c.Jar != nil || c.Transport.(*http.Transport).Proxy != nil {
		t.Errorf("the client has no bound on time, or cookies, or a proxy: %v", err)
	}
}

// Row 87, V094: a name that resolves to a public address first and to a private one
// when it is dialled gains nothing, because the dialled address is what is judged.
func TestRebinding(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			t.Error("a connection arrived")
			c.Close()
		}
	}()
	f := New()
	c, err := f.Client(trust.IssuerPolicy{Issuer: "https://rebinding.example.org"})
	if err != nil {
		t.Fatal(err)
	}
	// The system's own name for itself stands for a name that somebody pointed here.
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://localhost:"+port+"/token", strings.NewReader("subject_token=secret"))
	response, err := c.Do(r)
	if response != nil {
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
	if !errors.Is(err, ErrAddress) {
		t.Errorf("%v, not ErrAddress", err)
	}
}

func FuzzEndpoints(f *testing.F) {
	f.Add([]byte(full("https://a.example", "https://a.example")))
	f.Add([]byte(`{"issuer":"https://a.example","token_endpoint":"http://a.example"}`))
	f.Add([]byte(`{"issuer":"https://a.example","token_endpoint":null,"authorization_response_iss_parameter_supported":"true"}`))
	f.Add([]byte(`{"issuer":"https://a.example/"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := readEndpoints(body, "https://a.example")
		if err != nil && e != (trust.Endpoints{}) {
			t.Errorf("an error and endpoints: %+v", e)
		}
		if checkEndpoints(e) != nil {
			return
		}
		for _, address := range []string{e.Authorization, e.Token, e.UserInfo, e.Introspection, e.DeviceAuthorization} {
			if address != "" && !strings.HasPrefix(strings.ToLower(address), "https://") {
				t.Errorf("%q was taken", address)
			}
		}
	})
}
