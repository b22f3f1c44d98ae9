package web_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/candignode/candignode/api"
	"github.com/candignode/candignode/node/web"
)

func withRoles(t *testing.T) (*world, *roles) {
	t.Helper()
	r := &roles{}
	w, _, _ := withDoors(t, func(o *web.Options) {
		o.Broker, o.Claims = r, r
		o.KeySet = func() ([]byte, error) { return []byte(`{"keys":[]}`), nil }
	})
	return w, r
}

// Row 111: a client finds whose tokens are taken, and the address to compare.
func TestProtectedResourceMetadata(t *testing.T) {
	w, _ := withRoles(t)
	a := w.send(http.MethodGet, "/.well-known/oauth-protected-resource", "")
	want := `{"resource":"https://node.uhn.example.org","authorization_servers":["https://idp.uhn.example.org/"],"scopes_supported":["openid","ga4gh_passport_v1"],` +
		`"jwks_uri":"https://node.uhn.example.org/jwks","bearer_methods_supported":["header"],"dpop_signing_alg_values_supported":["ES256","RS256"],` +
		`"candignode_sign_in":[{"issuer":"https://idp.uhn.example.org/","client_id":"uhn-cli"}]}` + "\n"
	if a.Code != http.StatusOK || a.Body.String() != want {
		t.Errorf("%d %s", a.Code, a.Body)
	}
	// Tokens that are bound to a certificate are announced where certificates are asked for
	// (row 110): elsewhere every one of them is refused.
	certified, _, _ := withDoors(t, func(o *web.Options) { o.Certificates = true })
	if a := certified.send(http.MethodGet, "/.well-known/oauth-protected-resource", ""); !strings.Contains(a.Body.String(), `"tls_client_certificate_bound_access_tokens":true`) {
		t.Errorf("with certificates: %s", a.Body)
	}
	if a := w.send(http.MethodGet, "/.well-known/oauth-protected-resource/x", ""); a.Code != http.StatusNotFound {
		t.Errorf("another resource's: %d", a.Code)
	}
	// A client compares resource; without an address there is nothing to compare.
	if a := newWorld(t).send(http.MethodGet, "/.well-known/oauth-protected-resource", ""); a.Code != http.StatusNotFound {
		t.Errorf("without an address: %d", a.Code)
	}
}

// Row 139: OPTIONS says how to show who one is, before anybody sends a passport. Row
// 140: service-info does not name anybody trusted.
func TestOptionsListWhoseCredentialsAreTaken(t *testing.T) {
	w, _, _ := withDoors(t)
	for path, types := range map[string]string{
		"/beacon/g_variants": "None BearerAuth PassportAuth", "/network/beacon/g_variants": "None BearerAuth PassportAuth", "/v1/whoami": "BearerAuth PassportAuth",
	} {
		a := w.send(http.MethodOptions, path, "")
		var got api.Authorizations
		if err := json.Unmarshal(a.Body.Bytes(), &got); err != nil || a.Code != http.StatusOK || a.Header().Get("Allow") == "" {
			t.Fatalf("%s: %d %s", path, a.Code, a.Body)
		}
		if strings.Join(got.SupportedTypes, " ") != types || strings.Join(got.PassportAuthIssuers, " ") != "https://broker.example.org https://idp.uhn.example.org/" ||
			strings.Join(got.BearerAuthIssuers, " ") != "https://idp.uhn.example.org/" {
			t.Errorf("%s: %s", path, a.Body)
		}
	}
	if a := w.send(http.MethodOptions, "/beacon/g_variants?access_token=opaque-secret", ""); a.Code != http.StatusBadRequest {
		t.Errorf("with a token: %d", a.Code)
	}
	if a := w.send(http.MethodGet, "/service-info", ""); strings.Contains(a.Body.String(), "idp.uhn") {
		t.Errorf("service-info: %s", a.Body)
	}
}

// The documents of a node that signs.
func TestRoleDocuments(t *testing.T) {
	w, _ := withRoles(t)
	if a := w.send(http.MethodGet, "/.well-known/candignode-site", ""); a.Code != http.StatusOK || !strings.HasPrefix(a.Body.String(), `{"site":"`) {
		t.Errorf("the issuer does not say which site is its home: %d %s", a.Code, a.Body)
	}
	if a := w.send(http.MethodGet, "/.well-known/openid-configuration", ""); a.Code != http.StatusOK || a.Body.String() != `{"issuer":"`+ownAddress+`"}` {
		t.Errorf("%d %s", a.Code, a.Body)
	}
	if a := w.send(http.MethodGet, "/jwks", ""); a.Code != http.StatusOK || a.Header().Get("Content-Type") != "application/jwk-set+json" {
		t.Errorf("%d %v", a.Code, a.Header())
	}
	w, _, _ = withDoors(t, func(o *web.Options) { o.KeySet = func() ([]byte, error) { return nil, errors.New("no key") } })
	if a := w.send(http.MethodGet, "/jwks", ""); a.Code != http.StatusInternalServerError {
		t.Errorf("%d", a.Code)
	}
}

// The token endpoint reads a form strictly, bounded and each parameter once; rows
// 73 and 71.
func TestTheTokenEndpoint(t *testing.T) {
	good := form("grant_type", "x", "client_assertion", "opaque-secret", "scope", "")
	for name, c := range map[string]struct {
		target, body string
		headers      []string
		want         int
		says         string
	}{
		"good":                {"", good, nil, 200, "the-passport"},
		"charset":             {"", good, []string{"Content-Type", "application/x-www-form-urlencoded; charset=UTF-8"}, 200, "the-passport"},
		"no grant type":       {"", "a=b", nil, 400, "unsupported_grant_type"},
		"no client":           {"", "grant_type=x", nil, 401, "invalid_client"},
		"a parameter twice":   {"", good + "&grant_type=x", nil, 400, "invalid_request"},
		"twice, once empty":   {"", good + "&scope=x", nil, 400, "invalid_request"},
		"JSON":                {"", `{}`, []string{"Content-Type", "application/json"}, 400, "invalid_request"},
		"no media type":       {"", good, []string{"Content-Type", ""}, 400, "invalid_request"},
		"in the URL":          {"?grant_type=x", good, nil, 400, "invalid_request"},
		"a secret in the URL": {"?client_secret=opaque-secret", good, nil, 400, "unsupported_token"},
		"bad escapes":         {"", "a=%zz", nil, 400, "invalid_request"},
		"semicolons":          {"", "grant_type=x;client_assertion=y", nil, 400, "invalid_request"},
		"too large":           {"", "a=" + strings.Repeat("b", 64<<10), nil, 413, "invalid_request"},
	} {
		w, broker := withRoles(t)
		headers := append([]string{"Content-Type", "application/x-www-form-urlencoded"}, c.headers...)
		a := w.send(http.MethodPost, "/oauth/token"+c.target, c.body, headers...)
		if a.Code != c.want || !strings.Contains(a.Body.String(), c.says) || !strings.Contains(a.Header().Get("Cache-Control"), "no-store") || a.Header().Get("Pragma") != "no-cache" {
			t.Errorf("%s: %d %s %v", name, a.Code, a.Body, a.Header())
		}
		if c.want == http.StatusOK && (len(broker.calls) != 1 || len(broker.calls[0].Form) != 2 || broker.calls[0].Transaction == "") {
			t.Errorf("%s: calls %v", name, len(broker.calls))
		}
		if c.want == http.StatusUnauthorized && a.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %v", name, a.Header())
		}
		quiet(t, w, a)
	}
	w, broker := withRoles(t)
	r := httptest.NewRequest(http.MethodPost, "/oauth/token", strings.NewReader(good))
	r.RemoteAddr = "192.0.2.7:5"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	a := httptest.NewRecorder()
	if w.ServeHTTP(a, r); a.Code != http.StatusBadRequest || len(broker.calls) != 0 {
		t.Errorf("without TLS: %d", a.Code)
	}
	if a := w.send(http.MethodGet, "/oauth/token", ""); a.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", a.Code)
	}
}

// UserInfo and claims are for whoever shows a token in the header (row 83), and for no page.
func TestUserInfoAndClaims(t *testing.T) {
	for path, want := range map[string]string{"/oauth/userinfo": `{"sub":"alice"}`, "/v1/claims": "jwt.of.alice"} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			w, _ := withRoles(t)
			a := w.send(method, path, "", "Authorization", "Bearer "+alicesToken)
			if a.Code != http.StatusOK || a.Body.String() != want || !strings.Contains(a.Header().Get("Cache-Control"), "no-store") {
				t.Errorf("%s %s: %d %s", method, path, a.Code, a.Body)
			}
			if path == "/v1/claims" && a.Header().Get("Content-Type") != "application/jwt" { // row 82
				t.Errorf("%v", a.Header())
			}
			if a := w.send(method, path, ""); a.Code != http.StatusUnauthorized || len(a.Header().Values("WWW-Authenticate")) == 0 {
				t.Errorf("by nobody: %d", a.Code)
			}
			if a := w.send(method, path, "", "Authorization", "Bearer old"); a.Code != http.StatusUnauthorized {
				t.Errorf("by an old token: %d", a.Code)
			}
			if a := w.send(method, path, "", "Cookie", "__Host-candignode="+tokenOf("a"), "Origin", ownAddress); a.Code != http.StatusForbidden {
				t.Errorf("by a page: %d", a.Code)
			}
			if a := w.send(method, path+"?access_token=opaque-secret", ""); a.Code != http.StatusBadRequest {
				t.Errorf("in the URL: %d", a.Code)
			}
		}
	}
}

// A form means one thing to everybody, or nothing.
func FuzzForm(f *testing.F) {
	for _, seed := range []string{"grant_type=x&client_assertion=y", "a=b&a=c", "a=%zz", "a;b=c", "=&=", "a=&b=1", "%61=1&a=2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		r := &roles{}
		w, _, _ := withDoors(t, func(o *web.Options) { o.Broker = r })
		a := w.send(http.MethodPost, "/oauth/token", body, "Content-Type", "application/x-www-form-urlencoded")
		if a.Code >= 500 || !json.Valid(a.Body.Bytes()) {
			t.Fatalf("%q: %d %s", body, a.Code, a.Body)
		}
		for _, call := range r.calls {
			parsed, err := url.ParseQuery(body)
			for name, values := range call.Form {
				if err != nil || len(values) != 1 || values[0] == "" || len(parsed[name]) != 1 || parsed[name][0] != values[0] {
					t.Fatalf("%q became %q", body, call.Form)
				}
			}
		}
	})
}

// However a request shows something, it is served as that or not at all, and never
// as nobody; and nothing of it is logged.
func FuzzCredentials(f *testing.F) {
	f.Add("Bearer "+alicesToken, "", "", "")
	f.Add("DPoP "+boundToken, "good-1", "", "")
	f.Add("bearer  x", "", "__Host-candignode="+tokenOf("a"), ownAddress)
	f.Add("", "", "__Host-candignode="+tokenOf("a")+"; __Host-candignode=x", ownAddress)
	f.Add("", "x", `__Host-candignode="`+tokenOf("a")+`"`, "null")
	f.Fuzz(func(t *testing.T, authorization, proof, cookie, origin string) {
		w, _, _ := withDoors(t)
		r := httptest.NewRequest(http.MethodGet, "/beacon/g_variants?"+snv, nil)
		r.RemoteAddr = "127.0.0.1:1"
		for name, value := range map[string]string{"Authorization": authorization, "Dpop": proof, "Cookie": cookie, "Origin": origin} {
			if value != "" {
				r.Header[name] = []string{value}
			}
		}
		a := httptest.NewRecorder()
		w.ServeHTTP(a, r)
		if a.Code == http.StatusOK && w.callers[0].Anonymous() && (authorization != "" || proof != "" || len(r.CookiesNamed("__Host-candignode")) > 0) {
			t.Fatalf("served as nobody: %q %q %q", authorization, proof, cookie)
		}
		if a.Code == http.StatusOK && len(w.shown) == 1 && !w.shown[0].Session.IsZero() && authorization == "" && origin != ownAddress {
			t.Fatalf("a cookie counted for %q", origin)
		}
		if a.Code >= 500 || a.Code != http.StatusOK && len(w.refusals) != 1 {
			t.Fatalf("%d %s, recorded %v", a.Code, a.Body, w.refusals)
		}
		if strings.Contains(w.logged(), tokenOf("a")) || strings.Contains(w.logged(), "opaque-secret") {
			t.Fatalf("logged: %s", w.logged())
		}
	})
}
