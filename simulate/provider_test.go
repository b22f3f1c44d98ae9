package simulate_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/api"
	"github.com/candignode/candignode/node/config"
	"github.com/candignode/candignode/node/session"
	"github.com/candignode/candignode/simulate/idp"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

const (
	portalHome  = "https://portal.example.org/back"
	ownDAC      = "https://dac.a.example.org"
	ownSet      = ownDAC + "/datasets/cohort"
	pretendDAC  = "https://registry.example.org"
	pretendSet  = pretendDAC + "/datasets/registry"
	claimOfD    = "rarivitis_visas"
	portalProof = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
)

// portal is a client of A's that knows OpenID Connect and nothing else: not who the
// committees are, nor that there are several.
type portal struct {
	c        *country
	id       string
	key      *ecdsa.PrivateKey
	issuer   string
	metadata struct {
		Issuer        string   `json:"issuer"`
		Authorization string   `json:"authorization_endpoint"`
		Token         string   `json:"token_endpoint"`
		UserInfo      string   `json:"userinfo_endpoint"`
		JWKS          string   `json:"jwks_uri"`
		ResponseTypes []string `json:"response_types_supported"`
		Grants        []string `json:"grant_types_supported"`
		Challenges    []string `json:"code_challenge_methods_supported"`
		Scopes        []string `json:"scopes_supported"`
		ResponseIss   bool     `json:"authorization_response_iss_parameter_supported"`
	}
}

// enrol makes a client's keys, and what A's operator writes about it.
func (c *country) enrol(id, home string, at *institute, targets ...string) (*portal, string) {
	c.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		c.t.Fatal(err)
	}
	set, err := jose.MarshalKeySet([]trust.Key{{KeyID: id + "-1", Public: key.Public()}})
	if err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(at.path(id+".jwks"), set, 0o600); err != nil {
		c.t.Fatal(err)
	}
	p := &portal{c: c, id: id, key: key, issuer: at.url}
	return p, fmt.Sprintf("    - {id: %s, jwks_file: %s.jwks, redirect_uris: [%q], targets: [%s]}\n", id, id, home, strings.Join(targets, ", "))
}

// twoPortals opens A, which signs people in with its provider, is a committee itself,
// and is the broker of two clients; B, which has data; and D, another committee. A third
// committee's visa comes with the provider's own UserInfo.
func twoPortals(t *testing.T) (c *country, one, two *portal, visa string) {
	t.Helper()
	if testing.Short() {
		t.Skip("three nodes are started: not with -short")
	}
	c = newCountry(t, "a", "b", "d")
	op, registry := c.idp.Name("op"), c.idp.Name("dac")
	a, b, d := c.by["a"], c.by["b"], c.by["d"]
	one, first := c.enrol("portal", portalHome, a, "urn:candignode:node:"+string(b.node))
	two, second := c.enrol("other", "https://other.example.org/back", a, "urn:candignode:node:"+string(b.node))
	a.open(fmt.Sprintf(`issuers:
  - {issuer: %[1]q, kinds: [login, passport], mode: direct, tokens: userinfo, client_ids: [a-cli], ca_file: ca.pem, allow_private_addresses: true,
     sign_in: true, client: {id: a-node, key: client.key, command_line_id: a-cli}}
  - {issuer: %[2]q, kinds: [visa, claims], mode: direct, jku: [%[3]q], visa_types: [ControlledAccessGrants, LinkedIdentities],
     sources: [%[4]q], links_for: [%[1]q], claims: {endpoints: [%[5]q], names: [%[6]s]}, ca_file: ca.pem, allow_private_addresses: true}
  - {issuer: %[7]q, kinds: [visa], mode: direct, jku: [%[8]q], visa_types: [ControlledAccessGrants], sources: [%[9]q],
     ca_file: ca.pem, allow_private_addresses: true}
dac: {source: %[10]q}
datasets:
  - {id: cohort, access: controlled, value: %[11]q}
broker:
  enabled: true
  clients:
`, op, d.url, d.url+"/jwks", committee, d.url+"/v1/claims", claimOfD, registry, registry+"/jwks", pretendDAC, ownDAC, ownSet)+first+second, nil)
	d.open(fmt.Sprintf(`issuers:
  - {issuer: %[1]q, kinds: [login], mode: direct, tokens: userinfo, client_ids: [d-cli], ca_file: ca.pem, allow_private_addresses: true}
dac: {source: %[2]q, claim_name: %[3]s}
datasets:
  - {id: rarivitis, access: controlled, value: %[4]q}
`, op, committee, claimOfD, rarivitis), nil)
	b.open(fmt.Sprintf(`issuers:
  - {issuer: %[1]q, kinds: [passport, visa], mode: direct, jku: [%[2]q], visa_types: [LinkedIdentities, ControlledAccessGrants],
     sources: [%[1]q, %[3]q], links_for: [%[4]q], ca_file: ca.pem, allow_private_addresses: true}
  - {issuer: %[5]q, kinds: [visa], mode: direct, jku: [%[6]q], visa_types: [ControlledAccessGrants, LinkedIdentities], sources: [%[7]q],
     links_for: [%[4]q], ca_file: ca.pem, allow_private_addresses: true}
  - {issuer: %[8]q, kinds: [visa], mode: direct, jku: [%[9]q], visa_types: [ControlledAccessGrants], sources: [%[10]q],
     ca_file: ca.pem, allow_private_addresses: true}
`, a.url, a.url+"/jwks", ownDAC, op, d.url, d.url+"/jwks", committee, registry, registry+"/jwks", pretendDAC), nil)
	return c, one, two, c.people()
}

// people registers ada with the provider, and gives the one visa that comes with the
// provider's own words about her. D has granted her a dataset, and A another.
func (c *country) people() (visa string) {
	c.t.Helper()
	must := func(err error) {
		c.t.Helper()
		if err != nil {
			c.t.Fatal(err)
		}
	}
	a, d := c.by["a"], c.by["d"]
	key, err := config.LoadSigningKey(a.path("client.key"))
	must(err)
	must(c.idp.AddClients("op",
		idp.Client{ID: "a-node", Key: key.Public(), RedirectURIs: []string{a.url + "/login/callback/" + session.KeyOf(c.idp.Name("op"))}},
		idp.Client{ID: "a-cli", RedirectURIs: []string{"http://127.0.0.1/done"}}, idp.Client{ID: "d-cli", RedirectURIs: []string{"http://127.0.0.1/done"}},
	))
	must(c.idp.Register("op", idp.Researcher{Subject: "ada"}))
	visa, err = c.idp.Visa(idp.Grant{Issuer: "dac", Value: pretendSet, Source: pretendDAC}, "ada", time.Now())
	must(err)
	must(c.idp.Register("op", idp.Researcher{Subject: "ada", Visas: []idp.Grant{{Raw: visa}}, Sources: []idp.Source{{
		Claim: claimOfD, Issuer: "dac", Subject: "ada", Endpoint: d.url + "/v1/claims", Token: c.tokenOf("op", "d-cli", "ada"),
	}}}))
	d.grant("ada", "rarivitis")
	a.grant("ada", "cohort")
	return visa
}

// discover reads the issuer's metadata, and compares what it must (OpenID Connect
// Discovery 1.0, section 4.3).
func (p *portal) discover() {
	p.c.t.Helper()
	response, err := p.c.http.Get(p.issuer + "/.well-known/openid-configuration")
	if err != nil {
		p.c.t.Fatal(err)
	}
	defer response.Body.Close()
	decodeJSON(p.c.t, response.Body, &p.metadata)
	if p.metadata.Issuer != p.issuer || !slices.Contains(p.metadata.ResponseTypes, "code") || !slices.Contains(p.metadata.Challenges, "S256") ||
		!slices.Contains(p.metadata.Grants, "authorization_code") || !slices.Contains(p.metadata.Scopes, "ga4gh_passport_v1") || !p.metadata.ResponseIss {
		p.c.t.Fatalf("%+v", p.metadata)
	}
}

const portalVerifier = "portal-portal-portal-portal-portal-portal-portal"

// asks is where the portal sends a browser, with changes: name, value; "" takes out.
func (p *portal) asks(changes ...string) string {
	home := map[string]string{"portal": portalHome, "other": "https://other.example.org/back"}[p.id]
	values := url.Values{
		"response_type": {"code"}, "client_id": {p.id}, "redirect_uri": {home}, "scope": {"openid ga4gh_passport_v1"}, "state": {"its-state"},
		"nonce": {"its-nonce"}, "code_challenge": {challengeOf(portalVerifier)}, "code_challenge_method": {"S256"},
	}
	for i := 0; i < len(changes); i += 2 {
		values.Del(changes[i])
		if changes[i+1] != "" {
			values.Set(changes[i], changes[i+1])
		}
	}
	return p.metadata.Authorization + "?" + values.Encode()
}

var link = regexp.MustCompile(`href="(/[^"]*)"`)

// leadTo goes where a person with a browser goes, by redirects and the one link of a
// page, until the browser leaves for somewhere that is not part of this world.
func (b *browser) leadTo(address string) (*url.URL, string) {
	b.t.Helper()
	for range 12 {
		response, err := b.http.Get(address)
		if err != nil {
			b.t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			b.t.Fatal(err)
		}
		to, err := response.Location()
		if err == nil && strings.HasSuffix(to.Hostname(), ".example.org") {
			return to, ""
		}
		if err == nil {
			address = to.String()
			continue
		}
		links := link.FindAllStringSubmatch(string(text), -1)
		if response.StatusCode != http.StatusOK || len(links) != 1 {
			return nil, fmt.Sprint(response.StatusCode, " ", string(text))
		}
		next, err := response.Request.URL.Parse(html.UnescapeString(links[0][1]))
		if err != nil {
			b.t.Fatal(err)
		}
		address = next.String()
	}
	b.t.Fatal("the browser goes round in circles")
	return nil, ""
}

// errMixUp says that an answer is another issuer's (RFC 9207, section 2.4).
var errMixUp = errors.New("the answer is another issuer's, or another request's")

// codeIn reads what came back to the portal.
func (p *portal) codeIn(back *url.URL) (string, error) {
	values := back.Query()
	if values.Get("iss") != p.metadata.Issuer || values.Get("state") != "its-state" {
		return "", errMixUp
	}
	if values.Get("error") != "" {
		return "", errors.New(values.Get("error"))
	}
	return values.Get("code"), nil
}

type portalTokens struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"`
	IDToken     string `json:"id_token"`
	Error       string `json:"error"`
}

// post sends a form to the token endpoint as the portal, with its assertion.
func (p *portal) post(form url.Values) (tokens portalTokens) {
	p.c.t.Helper()
	claims, err := json.Marshal(map[string]any{
		"iss": p.id, "sub": p.id, "aud": p.issuer, "jti": rand.Text(), "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
	})
	if err != nil {
		p.c.t.Fatal(err)
	}
	assertion, err := jose.Sign(jose.Header{Type: "JWT", KeyID: p.id + "-1"}, claims, p.key)
	if err != nil {
		p.c.t.Fatal(err)
	}
	form.Set("client_assertion_type", portalProof)
	form.Set("client_assertion", assertion)
	response, err := p.c.http.PostForm(p.metadata.Token, form)
	if err != nil {
		p.c.t.Fatal(err)
	}
	defer response.Body.Close()
	decodeJSON(p.c.t, response.Body, &tokens)
	if h := response.Header; !strings.Contains(h.Get("Cache-Control"), "no-store") || !strings.Contains(h.Get("Cache-Control"), "no-cache") || h.Get("Pragma") != "no-cache" {
		p.c.t.Errorf("an answer with tokens may be kept: %v", h) // row 71
	}
	return tokens
}

func (p *portal) redeem(code string, changes ...string) portalTokens {
	p.c.t.Helper()
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {portalHome}, "code_verifier": {portalVerifier}}
	for i := 0; i < len(changes); i += 2 {
		form.Set(changes[i], changes[i+1])
	}
	return p.post(form)
}

// userInfo gives sub and visas.
func (p *portal) userInfo(token string) (status int, sub string, visas []string) {
	p.c.t.Helper()
	status, body := p.c.by["a"].do(http.MethodGet, strings.TrimPrefix(p.metadata.UserInfo, p.issuer), "", "", map[string]string{"Authorization": "Bearer " + token})
	var members struct {
		Sub   string   `json:"sub"`
		Visas []string `json:"ga4gh_passport_v1"`
	}
	if status == http.StatusOK {
		decodeJSON(p.c.t, strings.NewReader(body), &members)
	}
	return status, members.Sub, members.Visas
}

// signIn has ada sign in for the portal, in a browser, and gives the code.
func (p *portal) signIn(b *browser, changes ...string) string {
	p.c.t.Helper()
	back, page := b.leadTo(p.asks(changes...))
	if back == nil {
		p.c.t.Fatal(page)
	}
	code, err := p.codeIn(back)
	if err != nil {
		p.c.t.Fatal(err, back)
	}
	return code
}

// ready waits until A believes the keys of all, and B those of A.
func (c *country) ready() {
	c.eventually("the keys are believed", func() (string, bool) {
		for _, i := range c.by {
			var issuers []struct {
				Issuer       string `json:"issuer"`
				KeysBelieved int    `json:"keys_believed"`
			}
			if err := i.admin.Get(c.t.Context(), "/v1/issuers", nil, &issuers); err != nil {
				return err.Error(), false
			}
			for _, one := range issuers {
				if one.KeysBelieved == 0 {
					return string(i.name) + " waits for " + one.Issuer, false
				}
			}
		}
		return "", true
	})
}

// A client that knows only OpenID Connect has ada sign in (rows 72 and 112), and finds
// in UserInfo what three committees say of her, in one claim (row 89): the bytes that
// each of them signed (row 21). What it gets by token exchange holds at B (row 77).
func TestAClientThatKnowsOnlyOpenIDConnect(t *testing.T) {
	c, client, _, registrysVisa := twoPortals(t)
	client.discover()
	c.ready()
	ada := c.by["a"].browser()
	tokens := client.redeem(client.signIn(ada))
	if tokens.AccessToken == "" || tokens.TokenType != "Bearer" || tokens.ExpiresIn < 1 || tokens.ExpiresIn > 3600 {
		t.Fatalf("%+v", tokens)
	}
	sub := client.idToken(tokens.IDToken)
	status, named, visas := client.userInfo(tokens.AccessToken)
	if status != http.StatusOK || named != sub {
		t.Fatalf("%d, %q for %q", status, named, sub)
	}
	_, words := c.by["d"].do(http.MethodGet, "/v1/claims", "", "", map[string]string{"Authorization": "Bearer " + c.tokenOf("op", "d-cli", "ada")})
	var fromD struct {
		Visas []string `json:"rarivitis_visas"`
	}
	decodeJSON(t, strings.NewReader(payloadOf(t, words)), &fromD)
	if len(fromD.Visas) == 0 {
		t.Errorf("D says nothing: %s", words)
	}
	for _, visa := range append(fromD.Visas, registrysVisa) {
		if !slices.Contains(visas, visa) {
			t.Errorf("not there byte for byte: %s", payloadOf(t, visa))
		}
	}
	var said []string
	for _, visa := range visas {
		said = append(said, payloadOf(t, visa))
	}
	for _, value := range []string{rarivitis, pretendSet, ownSet} {
		if n := strings.Count(strings.Join(said, "\n"), `"value":"`+value+`"`); n != 1 {
			t.Errorf("%s: %d times in %s", value, n, said)
		}
	}

	exchanged := client.post(url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "requested_token_type": {"urn:ga4gh:params:oauth:token-type:passport"},
		"subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"}, "subject_token": {tokens.AccessToken},
		"resource": {"urn:candignode:node:" + string(c.by["b"].node)},
	})
	if exchanged.AccessToken == "" {
		t.Fatalf("%+v", exchanged)
	}
	who, err := c.by["b"].client("").Whoami(t.Context(), []string{exchanged.AccessToken})
	if err != nil {
		t.Fatal(err)
	}
	accepted := map[string]bool{}
	for _, visa := range who.Visas {
		accepted[visa.Value] = visa.Accepted
		if !visa.Accepted {
			t.Errorf("B does not take %+v", visa)
		}
	}
	if who.Caller.Issuer != c.by["a"].url || who.Caller.Subject != sub || !accepted[rarivitis] || !accepted[pretendSet] || !accepted[ownSet] {
		t.Errorf("B takes ada for %+v with %v", who.Caller, accepted)
	}

	// A second visit asks nothing, as she is signed in; and after signing out everything
	// that rested on it has ended.
	if back, page := ada.leadTo(client.asks("prompt", "none")); back == nil || back.Query().Get("code") == "" {
		t.Error(back, page)
	}
	if status, body := ada.ask(c.by["a"].url+"/logout", c.by["a"].url, ""); status >= 400 {
		t.Fatal(status, body)
	}
	if status, _, _ := client.userInfo(tokens.AccessToken); status != http.StatusUnauthorized {
		t.Errorf("after she signed out: %d", status)
	}
	back, page := ada.leadTo(client.asks("prompt", "none"))
	if back == nil {
		t.Fatal(page)
	}
	if _, err := client.codeIn(back); err == nil || err.Error() != "login_required" {
		t.Errorf("signed out, and no question: %v", err)
	}
}

// idToken verifies an ID Token as any client does, and gives sub.
func (p *portal) idToken(compact string) string {
	p.c.t.Helper()
	token, err := jose.Parse(compact, 1<<14)
	if err != nil {
		p.c.t.Fatal(err)
	}
	response, err := p.c.http.Get(p.metadata.JWKS)
	if err != nil {
		p.c.t.Fatal(err)
	}
	defer response.Body.Close()
	set, err := io.ReadAll(response.Body)
	if err != nil {
		p.c.t.Fatal(err)
	}
	keys, _, err := jose.ParseKeySet(set, false)
	if err != nil {
		p.c.t.Fatal(err)
	}
	at := slices.IndexFunc(keys, func(k trust.Key) bool { return k.KeyID == token.Header().KeyID })
	if at < 0 {
		p.c.t.Fatalf("no key %q in %s", token.Header().KeyID, set)
	}
	payload, err := token.Verify(keys[at], jose.RS256, jose.ES256)
	if err != nil {
		p.c.t.Fatal(err)
	}
	var claims struct {
		Issuer   string `json:"iss"`
		Subject  string `json:"sub"`
		Audience string `json:"aud"`
		Nonce    string `json:"nonce"`
		AuthTime int64  `json:"auth_time"`
		Expires  int64  `json:"exp"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		p.c.t.Fatal(err)
	}
	if claims.Issuer != p.issuer || claims.Audience != p.id || claims.Nonce != "its-nonce" || claims.Subject == "" || claims.Subject == "ada" ||
		claims.AuthTime < time.Now().Add(-time.Minute).Unix() || claims.Expires < time.Now().Unix() {
		p.c.t.Errorf("%s", payload)
	}
	return claims.Subject
}

// Row 112: whatever is not the code flow with PKCE S256 for a registered address is
// aborted, and so are stolen and repeated codes; a client's token opens nothing but
// UserInfo and its own exchange.
func TestWhatIsAbortedWhenPeopleSignInForAClient(t *testing.T) {
	c, client, other, _ := twoPortals(t)
	client.discover()
	other.discover()
	c.ready()
	ada := c.by["a"].browser()
	tokens := client.redeem(client.signIn(ada))

	for name, changes := range map[string][]string{
		"an open redirect": {"redirect_uri", "https://evil.example.org/"}, "another client's address": {"redirect_uri", "https://other.example.org/back"},
		"an unknown client": {"client_id", "nobody"}, "no address": {"redirect_uri", ""},
	} {
		if back, page := ada.leadTo(client.asks(changes...)); back != nil || !strings.HasPrefix(page, "400") || strings.Contains(page, "evil") {
			t.Errorf("%s: %v %s", name, back, page)
		}
	}
	for name, c := range map[string]struct {
		changes []string
		want    string
	}{
		"no PKCE":           {[]string{"code_challenge", "", "code_challenge_method", ""}, "invalid_request"},
		"plain PKCE":        {[]string{"code_challenge_method", "plain"}, "invalid_request"},
		"the implicit flow": {[]string{"response_type", "id_token token"}, "unsupported_response_type"},
		"no openid":         {[]string{"scope", "ga4gh_passport_v1"}, "invalid_scope"},
	} {
		back, page := ada.leadTo(client.asks(c.changes...))
		if back == nil {
			t.Errorf("%s: %s", name, page)
			continue
		}
		if _, err := client.codeIn(back); err == nil || err.Error() != c.want || back.Query().Has("code") {
			t.Errorf("%s: %v", name, back)
		}
	}
	// Mix-up (RFC 9207): the client takes no answer that names another issuer.
	back, _ := ada.leadTo(client.asks())
	forged := *back
	values := forged.Query()
	values.Set("iss", c.idp.Name("op"))
	forged.RawQuery = values.Encode()
	if _, err := client.codeIn(&forged); !errors.Is(err, errMixUp) {
		t.Errorf("another issuer's answer: %v", err)
	}

	for name, redeem := range map[string]func(code string) portalTokens{
		"another client": func(code string) portalTokens { return other.redeem(code) },
		"another address": func(code string) portalTokens {
			return client.redeem(code, "redirect_uri", "https://other.example.org/back")
		},
		"wrong verifier": func(code string) portalTokens { return client.redeem(code, "code_verifier", strings.Repeat("x", 43)) },
	} {
		code := client.signIn(ada)
		if got := redeem(code); got.Error != "invalid_grant" || got.AccessToken != "" {
			t.Errorf("%s: %+v", name, got)
		}
		if got := client.redeem(code); got.Error != "invalid_grant" {
			t.Errorf("%s, and then the right one: %+v", name, got)
		}
	}
	code := client.signIn(ada)
	twice := client.redeem(code)
	if status, _, _ := client.userInfo(twice.AccessToken); status != http.StatusOK {
		t.Fatal(status)
	}
	if again := client.redeem(code); again.Error != "invalid_grant" {
		t.Errorf("a code twice: %+v", again)
	}
	if status, _, _ := client.userInfo(twice.AccessToken); status != http.StatusUnauthorized {
		t.Errorf("what a code gave that came twice: %d", status)
	}
	client.opensNothingElse(other, tokens.AccessToken)
}

// opensNothingElse tries a client's token at the other doors.
func (p *portal) opensNothingElse(other *portal, token string) {
	t, a := p.c.t, p.c.by["a"]
	t.Helper()
	if status, _, visas := p.userInfo(token); status != http.StatusOK || len(visas) == 0 {
		t.Fatalf("the token is no good at all: %d", status)
	}
	for name, ask := range map[string]func() error{
		"a question": func() error { _, err := a.answers(token); return err },
		"whoami":     func() error { _, err := a.client(token).Whoami(t.Context(), nil); return err },
		"a session":  func() error { _, err := a.client(token).StartSession(t.Context(), api.SessionRequest{}); return err },
	} {
		var problem *api.Problem
		if err := ask(); !errors.As(err, &problem) || problem.Status < 401 || problem.Status > 403 {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, path := range []string{"/v1/claims", "/v1/sessions"} {
		if status, body := a.do(http.MethodGet, path, "", "", map[string]string{"Authorization": "Bearer " + token}); status != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if got := other.post(url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "requested_token_type": {"urn:ga4gh:params:oauth:token-type:passport"},
		"subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"}, "subject_token": {token},
	}); got.Error != "invalid_request" || got.AccessToken != "" {
		t.Errorf("in another client's hands: %+v", got)
	}
}

// A client that asks for openid alone learns a name, and no visa.
func TestAClientThatAsksForANameOnly(t *testing.T) {
	c, client, _, _ := twoPortals(t)
	client.discover()
	c.ready()
	tokens := client.redeem(client.signIn(c.by["a"].browser(), "scope", "openid"))
	if status, sub, visas := client.userInfo(tokens.AccessToken); status != http.StatusOK || sub == "" || len(visas) != 0 {
		t.Errorf("%d %q %d", status, sub, len(visas))
	}
	if got := client.post(url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "requested_token_type": {"urn:ga4gh:params:oauth:token-type:passport"},
		"subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"}, "subject_token": {tokens.AccessToken},
	}); got.Error != "invalid_request" {
		t.Errorf("%+v", got)
	}
}
