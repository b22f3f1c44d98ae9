package oidc

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/bearer"
	"github.com/candignode/candignode/trust/jose"
)

// Row 69: introspection is an authenticated POST with the token in its body.
func TestIntrospect(t *testing.T) {
	p := newIDP(t)
	for media, body := range map[string]string{"application/json": `{"active":true}`, "application/json;charset=UTF-8": `{"active":false}`, "application/token-introspection+jwt": "a.b.c"} {
		p.on("/introspect", says(media, body))
		got, err := p.provider(t).Introspect(t.Context(), p.policy(), token)
		if err != nil || got.MediaType != media || string(got.Body) != body {
			t.Errorf("%s: %+v, %v", media, got, err)
		}
	}
	r := p.last(t)
	if r.method != http.MethodPost || r.contentType != mediaForm || r.query != "" || r.form.Get("token") != token.Reveal() || r.form.Get("token_type_hint") != "access_token" || !strings.HasPrefix(r.authorization, "Basic ") {
		t.Errorf("asked with %+v", r)
	}
}

// Rows 69 and 73: a node that cannot authenticate asks neither for introspection nor
// for an exchange, and without a token nobody does.
func TestAuthenticationIsNeeded(t *testing.T) {
	p := newIDP(t)
	for name, client := range map[string]trust.Client{"nobody": {}, "public": {ID: "node"}, "secret of nobody": {Secret: trust.NewAccessToken("x")}} {
		policy := p.policy()
		policy.Client = client
		if _, err := p.provider(t).Introspect(t.Context(), policy, token); !errors.Is(err, bearer.ErrNoWay) {
			t.Errorf("%s: introspection: %v", name, err)
		}
		if _, err := p.provider(t).Exchange(t.Context(), policy, token, ""); !errors.Is(err, bearer.ErrNoWay) {
			t.Errorf("%s: exchange: %v", name, err)
		}
	}
	if _, err := p.provider(t).Introspect(t.Context(), p.policy(), trust.AccessToken{}); !errors.Is(err, bearer.ErrRefused) {
		t.Errorf("introspection of nothing: %v", err)
	}
	if _, err := p.provider(t).Exchange(t.Context(), p.policy(), trust.AccessToken{}, ""); !errors.Is(err, bearer.ErrRefused) {
		t.Errorf("exchange of nothing: %v", err)
	}
	if _, err := p.provider(t).Refresh(t.Context(), p.policy(), trust.AccessToken{}); !errors.Is(err, bearer.ErrRefused) {
		t.Errorf("refresh with nothing: %v", err)
	}
	if seen := p.seen(); len(seen) != 0 {
		t.Errorf("asked: %+v", seen)
	}
}

// Rows 74, 75 and 77: the request for a passport says what it wants, of what, for
// whom, and nothing of an actor (row 78).
func TestExchange(t *testing.T) {
	p := newIDP(t)
	p.on("/token", says(mediaJSON, exchanged))
	got, err := p.provider(t).Exchange(t.Context(), p.policy(), token, "urn:candignode:node:abc")
	if err != nil || got != (bearer.Exchanged{Passport: "h.p.s", IssuedTokenType: typePassport, TokenType: "Bearer", ExpiresIn: time.Minute}) {
		t.Errorf("%+v, %v", got, err)
	}
	want := url.Values{
		"grant_type":           {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"requested_token_type": {"urn:ga4gh:params:oauth:token-type:passport"},
		"subject_token":        {token.Reveal()},
		"subject_token_type":   {"urn:ietf:params:oauth:token-type:access_token"},
		"resource":             {"urn:candignode:node:abc"},
	}
	r := p.last(t)
	if r.form.Encode() != want.Encode() || r.query != "tenant=1" || r.method != http.MethodPost {
		t.Errorf("asked with %+v", r)
	}
	if _, err := p.provider(t).Exchange(t.Context(), p.policy(), token, ""); err != nil || p.last(t).form.Has("resource") {
		t.Errorf("for nobody in particular: %v, %v", p.last(t).form, err)
	}
	asked := len(p.seen())
	for _, bad := range []string{"node", "/node", "https://a.example/#x", "https://a.example/#", ":", "https://a.example/%zz"} {
		if _, err := p.provider(t).Exchange(t.Context(), p.policy(), token, bad); !errors.Is(err, bearer.ErrNoWay) {
			t.Errorf("resource %q: %v", bad, err)
		}
	}
	if len(p.seen()) != asked {
		t.Error("asked for a resource that is none")
	}
}

// Row 76, V097: a reply that is not said to be a passport is none.
func TestExchangeReplies(t *testing.T) {
	p := newIDP(t)
	for body, takes := range map[string]bool{
		exchanged: true,
		strings.Replace(exchanged, "Bearer", "N_A", 1):                             true,
		strings.Replace(exchanged, "Bearer", "bearer", 1):                          true,
		strings.Replace(exchanged, "Bearer", "n_a", 1):                             true,
		strings.Replace(exchanged, `,"expires_in":60`, "", 1):                      true,
		strings.Replace(exchanged, typePassport, typeAccessToken, 1):               false,
		strings.Replace(exchanged, typePassport, strings.ToUpper(typePassport), 1): false,
		strings.Replace(exchanged, typePassport, typePassport+" ", 1):              false,
		strings.Replace(exchanged, "issued_token_type", "Issued_Token_Type", 1):    false,
		strings.Replace(exchanged, "issued_token_type", "x", 1):                    false,
		strings.Replace(exchanged, "Bearer", "DPoP", 1):                            false,
		strings.Replace(exchanged, `"Bearer"`, "null", 1):                          false,
		strings.Replace(exchanged, "h.p.s", "", 1):                                 false,
		strings.Replace(exchanged, `"h.p.s"`, "7", 1):                              false,
		strings.Replace(exchanged, "60", "0", 1):                                   false,
		strings.Replace(exchanged, "60", "-60", 1):                                 false,
		strings.Replace(exchanged, "60", "1e300", 1):                               false,
		strings.Replace(exchanged, "60", `"60"`, 1):                                false,
		strings.Replace(exchanged, "{", `{"access_token":"evil",`, 1):              false,
		exchanged + "{}":                   false,
		"[" + exchanged + "]":              false,
		"":                                 false,
		"null":                             false,
		`{"error":"invalid_grant"}`:        false,
		"access_token=x&token_type=Bearer": false,
	} {
		p.on("/token", says(mediaJSON, body))
		got, err := p.provider(t).Exchange(t.Context(), p.policy(), token, "")
		if (err == nil) != takes || takes != (got.Passport == "h.p.s") {
			t.Errorf("%s: %+v, %v", body, got, err)
		}
		if err != nil && (!errors.Is(err, bearer.ErrUnavailable) || strings.Contains(err.Error(), "evil")) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// Row 73: who the node is, by its key, by its secret, or as a public client.
func TestClientAuthentication(t *testing.T) {
	p := newIDP(t)
	p.on("/token", says(mediaJSON, `{"access_token":"a","token_type":"Bearer"}`))
	provider := p.provider(t)
	provider.o.Now = func() time.Time { return fixed }
	policy := p.policy()
	if _, err := provider.Refresh(t.Context(), policy, token); err != nil {
		t.Fatal(err)
	}
	// RFC 6749, section 2.3.1: both parts are form-encoded before they are joined.
	r := p.last(t)
	if want := "Basic " + base64.StdEncoding.EncodeToString([]byte("node%3A1:client+"+secret)); r.authorization != want || r.form.Has("client_id") || r.form.Has("client_secret") {
		t.Errorf("by secret: %+v", r)
	}

	key, id := newKey(t)
	policy.Client.Key, policy.Client.KeyID = key, id // preferred, though there is a secret
	var ids []string
	for range 2 {
		if _, err := provider.Refresh(t.Context(), policy, token); err != nil {
			t.Fatal(err)
		}
		r = p.last(t)
		if r.authorization != "" || r.form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" || r.form.Has("client_secret") {
			t.Errorf("by key: %+v", r)
		}
		assertion, err := jose.Parse(r.form.Get("client_assertion"), 4096)
		if err != nil {
			t.Fatal(err)
		}
		payload, err := assertion.Verify(trust.Key{KeyID: id, Algorithm: jose.ES256, Public: key.Public()}, jose.ES256)
		if err != nil || assertion.Header().KeyID != id {
			t.Fatalf("%+v, %v", assertion.Header(), err)
		}
		var claims struct {
			Iss, Sub, Aud, JTI string
			Iat, Exp           int64
		}
		if err := json.Unmarshal(payload, &claims); err != nil {
			t.Fatal(err)
		}
		if claims.Iss != "node:1" || claims.Sub != "node:1" || claims.Aud != p.URL || claims.Iat != fixed.Unix() || claims.Exp != fixed.Unix()+60 || len(claims.JTI) < 22 {
			t.Errorf("claims %+v", claims)
		}
		ids = append(ids, claims.JTI)
	}
	if ids[0] == ids[1] {
		t.Error("a jti was used twice")
	}

	policy.Client = trust.Client{ID: "node:1"}
	if _, err := provider.Refresh(t.Context(), policy, token); err != nil {
		t.Fatal(err)
	}
	if r = p.last(t); r.authorization != "" || r.form.Get("client_id") != "node:1" || r.form.Has("client_assertion") {
		t.Errorf("as a public client: %+v", r)
	}
	asked := len(p.seen())
	policy.Client = trust.Client{}
	if _, err := provider.Refresh(t.Context(), policy, token); !errors.Is(err, bearer.ErrNoWay) {
		t.Errorf("as nobody: %v", err)
	}
	policy.Client = trust.Client{ID: "node:1", Key: key}
	provider.o.Random = iotest.ErrReader(errors.New("dry"))
	if _, err := provider.Refresh(t.Context(), policy, token); !errors.Is(err, bearer.ErrNoWay) {
		t.Errorf("without randomness: %v", err)
	}
	if len(p.seen()) != asked {
		t.Error("asked all the same")
	}
}

// Row 112: code flow with PKCE S256, state, nonce, and exactly the redirect URI.
func TestAuthorize(t *testing.T) {
	p := newIDP(t)
	good := bearer.AuthRequest{RedirectURI: "https://node.example.org/login/callback/x", State: "st", Nonce: "no", Verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"}
	address, err := p.provider(t).Authorize(t.Context(), p.policy(), good)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(address)
	if err != nil || !strings.HasPrefix(address, p.URL+"/authorize?") {
		t.Fatalf("%s, %v", address, err)
	}
	want := url.Values{
		"response_type": {"code"}, "client_id": {"node:1"}, "redirect_uri": {good.RedirectURI}, "scope": {"openid ga4gh_passport_v1"},
		"state": {"st"}, "nonce": {"no"},
		// RFC 7636, appendix B.
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"},
	}
	if u.Query().Encode() != want.Encode() {
		t.Errorf("%s", u.Query().Encode())
	}
	if strings.Contains(address, good.Verifier) {
		t.Error("the verifier stands in the URL")
	}
	other := good
	other.Scopes = []string{"profile"}
	if address, err := p.provider(t).Authorize(t.Context(), p.policy(), other); err != nil || !strings.Contains(address, "scope=openid+profile&") {
		t.Errorf("%s, %v", address, err)
	}
	for name, bend := range map[string]func(*bearer.AuthRequest, *trust.IssuerPolicy){
		"no state":        func(r *bearer.AuthRequest, _ *trust.IssuerPolicy) { r.State = "" },
		"no nonce":        func(r *bearer.AuthRequest, _ *trust.IssuerPolicy) { r.Nonce = "" },
		"no PKCE":         func(r *bearer.AuthRequest, _ *trust.IssuerPolicy) { r.Verifier = "" },
		"short verifier":  func(r *bearer.AuthRequest, _ *trust.IssuerPolicy) { r.Verifier = r.Verifier[1:] },
		"odd verifier":    func(r *bearer.AuthRequest, _ *trust.IssuerPolicy) { r.Verifier += " " },
		"plain redirect":  func(r *bearer.AuthRequest, _ *trust.IssuerPolicy) { r.RedirectURI = "http://node.example.org/cb" },
		"relative":        func(r *bearer.AuthRequest, _ *trust.IssuerPolicy) { r.RedirectURI = "/cb" },
		"fragment":        func(r *bearer.AuthRequest, _ *trust.IssuerPolicy) { r.RedirectURI += "#x" },
		"no client id":    func(_ *bearer.AuthRequest, i *trust.IssuerPolicy) { i.Client.ID = "" },
		"no endpoint":     func(_ *bearer.AuthRequest, i *trust.IssuerPolicy) { i.Endpoints.Authorization = "" },
		"plain endpoint":  func(_ *bearer.AuthRequest, i *trust.IssuerPolicy) { i.Endpoints.Authorization = "http://a.example" },
		"script endpoint": func(_ *bearer.AuthRequest, i *trust.IssuerPolicy) { i.Endpoints.Authorization = "javascript:alert(1)" },
	} {
		r, policy := good, p.policy()
		bend(&r, &policy)
		if address, err := p.provider(t).Authorize(t.Context(), policy, r); !errors.Is(err, bearer.ErrNoWay) || address != "" {
			t.Errorf("%s: %s, %v", name, address, err)
		}
	}
}

// Row 112: a code is redeemed with the verifier and redirect URI that it was asked
// for with, and gives an ID Token or nothing.
func TestRedeem(t *testing.T) {
	p := newIDP(t)
	p.on("/token", says(mediaJSON, `{"access_token":"at","token_type":"bearer","id_token":"id","refresh_token":"rt","expires_in":300,"scope":"openid"}`))
	provider := p.provider(t)
	provider.o.Now = func() time.Time { return fixed }
	verifier, back := strings.Repeat("v", 43), "https://node.example.org/cb"
	got, err := provider.Redeem(t.Context(), p.policy(), "co de", back, verifier)
	if err != nil || got.Access.Reveal() != "at" || got.ID.Reveal() != "id" || got.Refresh.Reveal() != "rt" || !got.Expires.Equal(fixed.Add(5*time.Minute)) {
		t.Errorf("%+v, %v", got, err)
	}
	want := url.Values{"grant_type": {"authorization_code"}, "code": {"co de"}, "redirect_uri": {back}, "code_verifier": {verifier}}
	if r := p.last(t); r.form.Encode() != want.Encode() || r.authorization == "" {
		t.Errorf("asked with %+v", r)
	}
	asked := len(p.seen())
	for name, args := range map[string][3]string{"no code": {"", back, verifier}, "no redirect": {"c", "", verifier}, "no verifier": {"c", back, ""}, "long code": {strings.Repeat("c", maxCode+1), back, verifier}} {
		if _, err := provider.Redeem(t.Context(), p.policy(), args[0], args[1], args[2]); !errors.Is(err, bearer.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(p.seen()) != asked {
		t.Error("asked all the same")
	}
	for name, body := range map[string]string{
		"no ID Token":  `{"access_token":"at","token_type":"Bearer"}`,
		"MAC":          `{"access_token":"at","token_type":"mac","id_token":"id"}`,
		"no type":      `{"access_token":"at","id_token":"id"}`,
		"no access":    `{"token_type":"Bearer","id_token":"id"}`,
		"twice":        `{"access_token":"at","access_token":"b","token_type":"Bearer","id_token":"id"}`,
		"other case":   `{"Access_Token":"at","token_type":"Bearer","id_token":"id"}`,
		"error in 200": `{"error":"invalid_grant"}`,
	} {
		p.on("/token", says(mediaJSON, body))
		if got, err := provider.Redeem(t.Context(), p.policy(), "c", back, verifier); !errors.Is(err, bearer.ErrUnavailable) || !got.Access.IsZero() {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRefresh(t *testing.T) {
	p := newIDP(t)
	for body, want := range map[string]string{
		`{"access_token":"at","token_type":"Bearer"}`:                         token.Reveal(),
		`{"access_token":"at","token_type":"Bearer","refresh_token":null}`:    token.Reveal(),
		`{"access_token":"at","token_type":"Bearer","refresh_token":"newer"}`: "newer",
	} {
		p.on("/token", says(mediaJSON, body))
		got, err := p.provider(t).Refresh(t.Context(), p.policy(), token)
		if err != nil || got.Refresh.Reveal() != want || !got.Expires.IsZero() {
			t.Errorf("%s: %+v, %v", body, got, err)
		}
	}
	if r := p.last(t); r.form.Get("grant_type") != "refresh_token" || r.form.Get("refresh_token") != token.Reveal() {
		t.Errorf("asked with %+v", r)
	}
}

// Only the fixed list is ever quoted, whatever a provider calls its errors.
func TestOnlyKnownCodesAreQuoted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		code := rapid.OneOf(rapid.String(), rapid.SampledFrom(codes), rapid.StringMatching(`[a-z_]{1,40}`)).Draw(t, "code")
		body, _ := json.Marshal(map[string]string{"error": code})
		for _, got := range []string{codeOf(nil, body), codeOf(http.Header{"Www-Authenticate": {`Bearer error="` + code + `"`}}, nil)} {
			if got != "" && (got != code || !slices.Contains(codes, got)) {
				t.Fatalf("%q gave %q", code, got)
			}
		}
	})
	if codeOf(nil, []byte(`{"error":"invalid_grant"}`)) != "invalid_grant" || codeOf(http.Header{"Www-Authenticate": {`DPoP algs="ES256", error="invalid_token"`}}, nil) != "invalid_token" {
		t.Error("a known code was lost")
	}
}

func FuzzExchange(f *testing.F) {
	f.Add([]byte(exchanged))
	f.Add([]byte(`{"access_token":"a","token_type":"N_A","issued_token_type":"urn:ietf:params:oauth:token-type:access_token"}`))
	f.Add([]byte(`{"access_token":"a","token_type":"Bearer","expires_in":1e999}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, wrong := readExchange(body)
		if wrong == "" && (got.Passport == "" || got.IssuedTokenType != typePassport || got.ExpiresIn < 0) || wrong != "" && got != (bearer.Exchanged{}) {
			t.Errorf("%+v, %s", got, wrong)
		}
	})
}

func FuzzTokens(f *testing.F) {
	f.Add([]byte(`{"access_token":"at","token_type":"bearer","id_token":"id","refresh_token":"rt","expires_in":300}`))
	f.Add([]byte(`{"access_token":"at","token_type":"mac"}`))
	f.Add([]byte(`{"access_token":null,"token_type":"Bearer","expires_in":"300"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, wrong := readTokens(body, fixed)
		if (wrong == "") == got.Access.IsZero() || !got.Expires.IsZero() && !got.Expires.After(fixed) {
			t.Errorf("%+v, %s", got, wrong)
		}
	})
}

func FuzzErrorCode(f *testing.F) {
	f.Add([]byte(`{"error":"invalid_grant"}`), `Bearer error="invalid_token"`)
	f.Add([]byte(`{"error":["invalid_grant"]}`), `Bearer realm="error=\"x\""`)
	f.Fuzz(func(t *testing.T, body []byte, challenge string) {
		if code := codeOf(http.Header{"Www-Authenticate": {challenge}}, body); code != "" && !slices.Contains(codes, code) {
			t.Errorf("%q was quoted", code)
		}
	})
}
