package idp_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/candignode/candignode/simulate/idp"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

const (
	broker   = "broker"
	dac      = "dac"
	callback = "http://127.0.0.1/callback"
	verifier = "a-verifier-of-at-least-forty-three-characters-0"
)

// keysOnce makes the issuers' keys once: RSA keys take a while.
var keysOnce = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "idp-keys-")
	if err != nil {
		return "", err
	}
	_, err = idp.Open(dir, "https://127.0.0.1:1", broker, dac)
	return dir, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := keysOnce(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// world is a broker and a committee with one researcher, a public client, and a
// confidential one that may exchange tokens.
type world struct {
	*idp.Server
	t    *testing.T
	http *http.Client
}

func newWorld(t *testing.T) world {
	t.Helper()
	keys, err := keysOnce()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(keys)); err != nil {
		t.Fatal(err)
	}
	server, closer, err := idp.Serve(t.Context(), dir, broker, dac)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closer.Close() })
	w := world{server, t, server.HTTPClient()}
	w.ok(server.Register(broker, idp.Researcher{
		Subject: "rosalind", Name: "franklin", Claims: map[string]any{"name": "Rosalind Franklin"},
		Visas: []idp.Grant{{Value: "https://dac.example.org/d1", Source: "https://dac.example.org"}},
	}, idp.Researcher{Subject: "mallory"}))
	w.ok(server.Register(dac, idp.Researcher{Subject: "rosalind-at-dac", Visas: []idp.Grant{{Value: "https://dac.example.org/d2", Source: "https://dac.example.org"}}}))
	w.ok(server.AddClients(broker,
		idp.Client{ID: "cli", RedirectURIs: []string{callback}},
		idp.Client{ID: "uhn", Secret: "a secret", RedirectURIs: []string{"https://uhn.example.org/login/callback"}, Exchange: true,
			Resources: map[string]string{"urn:candignode:node:bcgsc": "bcgsc-node"}},
	))
	return w
}

func (w world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w world) at(path string) string { return w.Name(broker) + "/" + path }

// do sends a request and gives status, content type and body.
func (w world) do(r *http.Request) (int, string, []byte) {
	w.t.Helper()
	response, err := w.http.Do(r)
	w.ok(err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	w.ok(err)
	return response.StatusCode, response.Header.Get("Content-Type"), body
}

// post sends a form as the confidential client with secret, or as nobody.
func (w world) post(path, secret string, form ...string) (int, map[string]any) {
	w.t.Helper()
	values := url.Values{}
	for i := 0; i < len(form); i += 2 {
		values.Add(form[i], form[i+1])
	}
	r, err := http.NewRequestWithContext(w.t.Context(), "POST", w.at(path), strings.NewReader(values.Encode()))
	w.ok(err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if secret != "" {
		r.SetBasicAuth("uhn", url.QueryEscape(secret))
	}
	status, _, body := w.do(r)
	var reply map[string]any
	if err := json.Unmarshal(body, &reply); err != nil {
		w.t.Fatalf("%d %s", status, body)
	}
	return status, reply
}

func (w world) get(address, token string) (int, string, []byte) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), "GET", address, nil)
	w.ok(err)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return w.do(r)
}

// authorize gives the query that the browser is sent back with.
func (w world) authorize(change func(url.Values)) (int, url.Values, string) {
	w.t.Helper()
	sum := sha256.Sum256([]byte(verifier))
	q := url.Values{
		"response_type": {"code"}, "client_id": {"cli"}, "redirect_uri": {"http://127.0.0.1:4711/callback"}, "state": {"s"}, "nonce": {"n"},
		"scope": {"openid ga4gh_passport_v1"}, "code_challenge_method": {"S256"}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])},
	}
	if change != nil {
		change(q)
	}
	r, err := http.NewRequestWithContext(w.t.Context(), "GET", w.at("authorize?"+q.Encode()), nil)
	w.ok(err)
	response, err := w.http.Do(r)
	w.ok(err)
	response.Body.Close()
	target, err := url.Parse(response.Header.Get("Location"))
	w.ok(err)
	return response.StatusCode, target.Query(), target.Host
}

// signIn gives the tokens of a good code flow.
func (w world) signIn() map[string]any {
	w.t.Helper()
	_, query, _ := w.authorize(nil)
	status, reply := w.redeem(query.Get("code"))
	if status != 200 {
		w.t.Fatal(status, reply)
	}
	return reply
}

func (w world) redeem(code string) (int, map[string]any) {
	return w.post("token", "", "grant_type", "authorization_code", "client_id", "cli", "code", code,
		"redirect_uri", "http://127.0.0.1:4711/callback", "code_verifier", verifier)
}

// claims opens a token that an issuer signed, with the issuer's published keys.
func (w world) claims(compact string) (jose.Header, map[string]any) {
	w.t.Helper()
	parsed, err := jose.Parse(compact, 1<<20)
	w.ok(err)
	issuer, err := parsed.UnverifiedIssuer()
	w.ok(err)
	_, _, jwks := w.get(issuer+"/jwks", "")
	keys, _, err := jose.ParseKeySet(jwks, false)
	w.ok(err)
	at := slices.IndexFunc(keys, func(k trust.Key) bool { return k.KeyID == parsed.Header().KeyID })
	if at < 0 {
		w.t.Fatal("no key ", parsed.Header().KeyID)
	}
	payload, err := parsed.Verify(keys[at], jose.RS256, jose.ES256)
	w.ok(err)
	var claims map[string]any
	w.ok(jose.Unmarshal(payload, &claims))
	return parsed.Header(), claims
}

func TestSignInByCode(t *testing.T) {
	w := newWorld(t)
	status, query, host := w.authorize(nil)
	if status != 302 || host != "127.0.0.1:4711" || query.Get("state") != "s" || query.Get("iss") != w.Name(broker) || query.Get("code") == "" {
		t.Fatal(status, query, host)
	}
	status, reply := w.redeem(query.Get("code"))
	if status != 200 || reply["token_type"] != "Bearer" || reply["refresh_token"] == nil {
		t.Fatal(status, reply)
	}
	header, access := w.claims(reply["access_token"].(string))
	if header.Type != "at+jwt" || access["sub"] != "rosalind" || access["client_id"] != "cli" || access["aud"] != "cli" || access["scope"] != "openid ga4gh_passport_v1" {
		t.Errorf("access token %+v %v", header, access)
	}
	if _, id := w.claims(reply["id_token"].(string)); id["nonce"] != "n" || id["aud"] != "cli" || id["name"] != "Rosalind Franklin" {
		t.Errorf("ID token %v", id)
	}
	// Once is enough, and a second time ends what came of the first.
	if status, reply := w.redeem(query.Get("code")); status != 400 || reply["error"] != "invalid_grant" {
		t.Error(status, reply)
	}
	if status, _, _ := w.get(w.at("userinfo"), reply["access_token"].(string)); status != 401 {
		t.Error("the access token outlived the theft of its code:", status)
	}
}

func TestAuthorizeRefuses(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		status int
		code   string
		change func(url.Values)
	}{
		"unknown client": {400, "", func(q url.Values) { q.Set("client_id", "nobody") }},
		"other path":     {400, "", func(q url.Values) { q.Set("redirect_uri", "http://127.0.0.1:4711/other") }},
		"other host":     {400, "", func(q url.Values) { q.Set("redirect_uri", "http://evil.example/callback") }},
		"port of a real host": {400, "", func(q url.Values) {
			q.Set("client_id", "uhn")
			q.Set("redirect_uri", "https://uhn.example.org:8443/login/callback")
		}},
		"no PKCE":             {302, "invalid_request", func(q url.Values) { q.Del("code_challenge") }},
		"plain PKCE":          {302, "invalid_request", func(q url.Values) { q.Set("code_challenge_method", "plain") }},
		"implicit":            {302, "unsupported_response_type", func(q url.Values) { q.Set("response_type", "token") }},
		"no openid":           {302, "invalid_scope", func(q url.Values) { q.Set("scope", "email") }},
		"nobody of that name": {302, "access_denied", func(q url.Values) { q.Set("login_hint", "nobody") }},
	} {
		if status, query, _ := w.authorize(c.change); status != c.status || query.Get("error") != c.code || query.Has("code") {
			t.Errorf("%s: %d %v", name, status, query)
		}
	}
	if _, query, _ := w.authorize(func(q url.Values) { q.Set("login_hint", "mallory") }); !query.Has("code") {
		t.Error("login_hint by subject:", query)
	}
}

func TestRefreshRotates(t *testing.T) {
	w := newWorld(t)
	first := w.signIn()
	refresh := func(token any) (int, map[string]any) {
		return w.post("token", "", "grant_type", "refresh_token", "client_id", "cli", "refresh_token", token.(string))
	}
	status, second := refresh(first["refresh_token"])
	if status != 200 || second["refresh_token"] == first["refresh_token"] || second["access_token"] == first["access_token"] {
		t.Fatal(status, second)
	}
	if status, reply := refresh(first["refresh_token"]); status != 400 || reply["error"] != "invalid_grant" {
		t.Error("an old refresh token:", status, reply)
	}
	if status, _ := refresh(second["refresh_token"]); status != 400 {
		t.Error("the stolen sign-in goes on:", status)
	}
}

func TestUserInfo(t *testing.T) {
	w := newWorld(t)
	token := w.signIn()["access_token"].(string)
	status, kind, body := w.get(w.at("userinfo"), token)
	var claims struct {
		Subject string   `json:"sub"`
		Name    string   `json:"name"`
		Visas   []string `json:"ga4gh_passport_v1"`
	}
	if err := json.Unmarshal(body, &claims); err != nil || status != 200 || kind != "application/json" || claims.Subject != "rosalind" || claims.Name == "" || len(claims.Visas) != 1 {
		t.Fatal(status, kind, string(body))
	}
	if header, visa := w.claims(claims.Visas[0]); header.Type != "vnd.ga4gh.visa+jwt" || header.JKU != w.Name(dac)+"/jwks" || visa["iss"] != w.Name(dac) {
		t.Errorf("visa %+v %v", header, visa)
	}
	plain, err := w.AccessToken(broker, "rosalind", "cli", "openid")
	w.ok(err)
	if _, _, body := w.get(w.at("userinfo"), plain); strings.Contains(string(body), "ga4gh_passport_v1") {
		t.Errorf("visas without the scope: %s", body)
	}
	for _, token := range []string{"", "nonsense", w.signIn()["refresh_token"].(string)} {
		if status, _, _ := w.get(w.at("userinfo"), token); status != 401 {
			t.Error(status)
		}
	}
}
