package idp_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/simulate/idp"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

func TestSignInByDevice(t *testing.T) {
	w := newWorld(t)
	now := time.Now()
	w.Now = func() time.Time { return now }
	start := func() (string, string) {
		status, reply := w.post("device_authorization", "", "client_id", "cli", "scope", "openid")
		if status != 200 || reply["interval"] != 1.0 || reply["verification_uri"] != w.at("device") {
			t.Fatal(status, reply)
		}
		return reply["device_code"].(string), reply["user_code"].(string)
	}
	poll := func(code string) any {
		now = now.Add(time.Second)
		_, reply := w.post("token", "", "grant_type", "urn:ietf:params:oauth:grant-type:device_code", "client_id", "cli", "device_code", code)
		if reply["access_token"] != nil {
			return "ok"
		}
		return reply["error"]
	}
	code, user := start()
	if got := poll(code); got != "authorization_pending" {
		t.Error(got)
	}
	now = now.Add(-time.Second)
	if got := poll(code); got != "slow_down" {
		t.Error(got)
	}
	w.ok(w.Approve(broker, strings.ToLower(user), "franklin"))
	if got := poll(code); got != "ok" {
		t.Error(got)
	}
	if got := poll(code); got != "invalid_grant" {
		t.Error("a device code twice:", got)
	}

	code, user = start()
	w.ok(w.Deny(broker, user))
	if got := poll(code); got != "access_denied" {
		t.Error(got)
	}
	code, user = start()
	if status, _, body := w.get(w.at("device?login_hint=mallory&user_code="+user), ""); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	if got := poll(code); got != "ok" {
		t.Error(got)
	}
	code, user = start()
	now = now.Add(time.Hour)
	if got := poll(code); got != "expired_token" {
		t.Error(got)
	}
	if w.Approve(broker, user, "") == nil || w.Approve(broker, "AAAA-AAAA", "") == nil || w.Approve("nobody", user, "") == nil || w.Approve(broker, user, "nobody") == nil {
		t.Error("approved what nobody waits for")
	}
}

const (
	passportURN = "urn:ga4gh:params:oauth:token-type:passport"
	accessURN   = "urn:ietf:params:oauth:token-type:access_token"
)

func TestTokenExchange(t *testing.T) {
	w := newWorld(t)
	w.ok(w.Behave(broker, func(b *idp.Behaviour) { b.TokenLife = time.Minute }))
	w.ok(w.AddClients(broker, idp.Client{ID: "uhn", Secret: "a secret", Exchange: true,
		Resources: map[string]string{"urn:candignode:node:bcgsc": "bcgsc-node", "urn:candignode:node:bcgsc#a": "x", "bcgsc": "x"}}))
	token, err := w.AccessToken(broker, "rosalind", "cli")
	w.ok(err)
	bare, err := w.AccessToken(broker, "rosalind", "cli", "openid")
	w.ok(err)
	exchange := func(secret string, change ...string) (int, map[string]any) {
		form := []string{"grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"}
		for _, member := range [][2]string{{"requested_token_type", passportURN}, {"subject_token_type", accessURN}, {"subject_token", token}} {
			replaced := false
			for i := 0; i < len(change); i += 2 {
				replaced = replaced || change[i] == member[0]
			}
			if !replaced {
				form = append(form, member[0], member[1])
			}
		}
		return w.post("token", secret, append(form, change...)...)
	}
	status, reply := exchange("a secret", "resource", "urn:candignode:node:bcgsc")
	if status != 200 || reply["issued_token_type"] != passportURN || reply["expires_in"].(float64) > 60 {
		t.Fatal(status, reply)
	}
	header, passport := w.claims(reply["access_token"].(string))
	if header.Type != "vnd.ga4gh.passport+jwt" || passport["aud"].([]any)[0] != "bcgsc-node" || len(passport["ga4gh_passport_v1"].([]any)) != 1 {
		t.Errorf("%+v %v", header, passport)
	}
	_, reply = exchange("a secret")
	if _, passport := w.claims(reply["access_token"].(string)); passport["aud"].([]any)[0] != "uhn" {
		t.Error("without a target it is the client's own:", passport["aud"])
	}
	for name, c := range map[string]struct {
		secret, code string
		change       []string
	}{
		"no client":         {"", "invalid_client", nil},
		"wrong secret":      {"another", "invalid_client", nil},
		"public client":     {"", "invalid_client", []string{"client_id", "cli"}},
		"no type asked":     {"a secret", "invalid_request", []string{"requested_token_type", ""}},
		"subject type":      {"a secret", "invalid_request", []string{"subject_token_type", "urn:ietf:params:oauth:token-type:jwt"}},
		"passport as token": {"a secret", "invalid_request", []string{"subject_token", reply["access_token"].(string)}},
		"scope":             {"a secret", "invalid_request", []string{"subject_token", bare}},
		"half an actor":     {"a secret", "invalid_request", []string{"actor_token", token}},
		"unknown target":    {"a secret", "invalid_target", []string{"resource", "urn:candignode:node:chus"}},
		"one of two":        {"a secret", "invalid_target", []string{"resource", "urn:candignode:node:bcgsc", "resource", "urn:candignode:node:chus"}},
		"relative target":   {"a secret", "invalid_target", []string{"resource", "bcgsc"}},
		"fragment":          {"a secret", "invalid_target", []string{"resource", "urn:candignode:node:bcgsc#a"}},
	} {
		status, reply := exchange(c.secret, c.change...)
		if want := map[bool]int{true: 401, false: 400}[c.code == "invalid_client"]; status != want || reply["error"] != c.code {
			t.Errorf("%s: %d %v", name, status, reply)
		}
	}
}

func TestIntrospectionIsForKnownClients(t *testing.T) {
	w := newWorld(t)
	token, err := w.AccessToken(broker, "rosalind", "cli")
	w.ok(err)
	status, reply := w.post("introspect", "a secret", "token", token)
	if status != 200 || reply["active"] != true || reply["sub"] != "rosalind" || reply["iss"] != w.Name(broker) {
		t.Error(status, reply)
	}
	for _, secret := range []string{"", "wrong"} {
		if status, reply := w.post("introspect", secret, "token", token); status != 401 || reply["active"] != nil {
			t.Error(status, reply)
		}
	}
	w.ok(w.Behave(broker, func(b *idp.Behaviour) { b.Introspection = func(reply map[string]any) { reply["active"] = "true" } }))
	if _, reply := w.post("introspect", "a secret", "token", token); reply["active"] != "true" {
		t.Error(reply)
	}
	w.ok(w.Revoke(broker, token))
	if _, reply := w.post("introspect", "a secret", "token", token); reply["active"] != false || reply["sub"] != nil {
		t.Error(reply)
	}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestClientsProveWhoTheyAreByKey(t *testing.T) {
	w := newWorld(t)
	key, other := newKey(t), newKey(t)
	w.ok(w.AddClients(broker, idp.Client{ID: "keyed", Key: key.Public()}))
	thumbprint, err := jose.Thumbprint(key.Public())
	w.ok(err)
	assert := func(with *ecdsa.PrivateKey, claims map[string]any) (int, map[string]any) {
		all := map[string]any{"iss": "keyed", "sub": "keyed", "aud": w.at("token"), "exp": time.Now().Add(time.Minute).Unix(), "jti": rand.Text()}
		for name, value := range claims {
			all[name] = value
		}
		text, err := json.Marshal(all)
		w.ok(err)
		assertion, err := jose.Sign(jose.Header{KeyID: thumbprint}, text, with)
		w.ok(err)
		return w.post("token", "", "grant_type", "none", "client_assertion", assertion,
			"client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	}
	if _, reply := assert(key, map[string]any{"jti": "one"}); reply["error"] != "unsupported_grant_type" {
		t.Error("a good assertion:", reply)
	}
	for name, claims := range map[string]map[string]any{
		"jti again": {"jti": "one"}, "no jti": {"jti": ""}, "subject": {"sub": "uhn"}, "audience": {"aud": "https://other.example.org/token"},
		"expired": {"exp": time.Now().Add(-time.Minute).Unix()}, "too long": {"exp": time.Now().Add(time.Hour).Unix()}, "issuer": {"iss": "cli"},
	} {
		if status, reply := assert(key, claims); status != 401 || reply["error"] != "invalid_client" {
			t.Errorf("%s: %d %v", name, status, reply)
		}
	}
	if status, _ := assert(other, nil); status != 401 {
		t.Error("another key:", status)
	}
}

// proof makes a DPoP proof as RFC 9449, section 4.2, shows it.
func (w world) proof(key *ecdsa.PrivateKey, method, address, access string) string {
	return w.proofAt(key, method, address, access, time.Now())
}

func (w world) proofAt(key *ecdsa.PrivateKey, method, address, access string, at time.Time) string {
	w.t.Helper()
	set, err := jose.MarshalKeySet([]trust.Key{{Public: key.Public()}})
	w.ok(err)
	jwk := strings.TrimSuffix(strings.TrimPrefix(string(set), `{"keys":[`), `]}`)
	sum := sha256.Sum256([]byte(access))
	head := base64.RawURLEncoding.EncodeToString([]byte(`{"typ":"dpop+jwt","alg":"ES256","jwk":` + jwk + `}`))
	claims, err := json.Marshal(map[string]any{"jti": rand.Text(), "htm": method, "htu": address, "iat": at.Unix(), "ath": base64.RawURLEncoding.EncodeToString(sum[:])})
	w.ok(err)
	input := head + "." + base64.RawURLEncoding.EncodeToString(claims)
	digest := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	w.ok(err)
	return input + "." + base64.RawURLEncoding.EncodeToString(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}

func TestTokensAreBoundToTheKeyOfAProof(t *testing.T) {
	w := newWorld(t)
	key, other := newKey(t), newKey(t)
	_, query, _ := w.authorize(nil)
	form := url.Values{"grant_type": {"authorization_code"}, "client_id": {"cli"}, "code": {query.Get("code")},
		"redirect_uri": {"http://127.0.0.1:4711/callback"}, "code_verifier": {verifier}}
	r, err := http.NewRequestWithContext(t.Context(), "POST", w.at("token"), strings.NewReader(form.Encode()))
	w.ok(err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("DPoP", w.proof(key, "POST", w.at("token"), ""))
	_, _, body := w.do(r)
	var reply map[string]string
	json.Unmarshal(body, &reply)
	if reply["token_type"] != "DPoP" {
		t.Fatalf("%s", body)
	}
	token := reply["access_token"]
	thumbprint, _ := jose.Thumbprint(key.Public())
	if _, claims := w.claims(token); claims["cnf"].(map[string]any)["jkt"] != thumbprint {
		t.Error(claims)
	}
	if status, _, _ := w.get(w.at("userinfo"), token); status != 401 {
		t.Error("a bound token as Bearer:", status)
	}
	once := w.proof(key, "GET", w.at("userinfo"), token)
	for name, c := range map[string]struct {
		proof string
		want  int
	}{
		"its key": {once, 200}, "another key": {w.proof(other, "GET", w.at("userinfo"), token), 401}, "another token": {w.proof(key, "GET", w.at("userinfo"), "x"), 401},
		"another method": {w.proof(key, "POST", w.at("userinfo"), token), 401}, "another address": {w.proof(key, "GET", w.at("token"), token), 401}, "none": {"", 401}, "nonsense": {"a.b.c", 401},
		"old": {w.proofAt(key, "GET", w.at("userinfo"), token, time.Now().Add(-time.Hour)), 401},
	} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", w.at("userinfo"), nil)
		w.ok(err)
		r.Header.Set("Authorization", "DPoP "+token)
		if c.proof != "" {
			r.Header.Set("DPoP", c.proof)
		}
		if status, _, body := w.do(r); status != c.want {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	r, err = http.NewRequestWithContext(t.Context(), "GET", w.at("userinfo"), nil)
	w.ok(err)
	r.Header.Set("Authorization", "DPoP "+token)
	r.Header.Set("DPoP", once)
	if status, _, _ := w.do(r); status != 401 {
		t.Error("a proof twice:", status)
	}
	// The refresh token of a public client is bound to the key as well.
	if _, reply := w.post("token", "", "grant_type", "refresh_token", "client_id", "cli", "refresh_token", reply["refresh_token"]); reply["error"] != "invalid_grant" {
		t.Error("refreshed without the key:", reply)
	}
}

func TestUserInfoNamesSources(t *testing.T) {
	w := newWorld(t)
	w.ok(w.Register(broker, idp.Researcher{Subject: "rosalind", Sources: []idp.Source{
		{Issuer: dac, Subject: "rosalind-at-dac"}, {Claim: "dac_visas", Issuer: dac, Subject: "rosalind-at-dac", Aggregated: true},
	}}))
	token, err := w.AccessToken(broker, "rosalind", "cli")
	w.ok(err)
	_, _, body := w.get(w.at("userinfo"), token)
	var claims struct {
		Passport any                          `json:"ga4gh_passport_v1"`
		Names    map[string]string            `json:"_claim_names"`
		Sources  map[string]map[string]string `json:"_claim_sources"`
	}
	w.ok(json.Unmarshal(body, &claims))
	distributed, aggregated := claims.Sources[claims.Names["ga4gh_passport_v1"]], claims.Sources[claims.Names["dac_visas"]]
	if claims.Passport != nil || distributed["endpoint"] != w.Name(dac)+"/claims" {
		t.Fatalf("%s", body)
	}
	if _, source := w.claims(aggregated["JWT"]); source["iss"] != w.Name(dac) || len(source["dac_visas"].([]any)) != 1 {
		t.Error(source)
	}
	status, kind, jwt := w.get(distributed["endpoint"], distributed["access_token"])
	if status != 200 || kind != "application/jwt" {
		t.Fatal(status, kind)
	}
	if _, source := w.claims(string(jwt)); source["sub"] != "rosalind-at-dac" || len(source["ga4gh_passport_v1"].([]any)) != 1 {
		t.Error(source)
	}
	if status, _, _ := w.get(distributed["endpoint"], token); status != 401 {
		t.Error("the broker's token at the source:", status)
	}
}

func TestVisasOfAnyKind(t *testing.T) {
	w := newWorld(t)
	conditions := []any{[]any{map[string]any{"type": "AffiliationAndRole", "value": "const:faculty@example.org"}}}
	other := trust.Identity{Issuer: w.Name(dac), Subject: "a b,c;d"}
	passport, err := w.Passport(idp.Researcher{Subject: "rosalind", Visas: []idp.Grant{
		{Value: "v", Source: "s", Conditions: conditions},
		idp.LinkedIdentities(broker, "rosalind", w.Name(broker), other, other),
		{Value: "v", Source: "s", Issuer: broker, AccessToken: true},
		{Raw: "not.a.visa"},
		{Value: "v", Source: "s", Object: map[string]any{"asserted": nil}, Claims: map[string]any{"jti": "fixed", "scope": nil}},
	}}, time.Now())
	w.ok(err)
	_, claims := w.claims(passport)
	visas := claims["ga4gh_passport_v1"].([]any)
	object := func(i int) (jose.Header, map[string]any, map[string]any) {
		header, visa := w.claims(visas[i].(string))
		return header, visa, visa["ga4gh_visa_v1"].(map[string]any)
	}
	if _, _, v := object(0); v["conditions"] == nil || v["type"] != "ControlledAccessGrants" {
		t.Error(v)
	}
	if _, _, v := object(1); v["value"] != strings.Repeat(";a%20b%2Cc%3Bd,"+url.QueryEscape(w.Name(dac)), 2)[1:] || v["type"] != "LinkedIdentities" {
		t.Error(v)
	}
	if header, visa, _ := object(2); header.JKU != "" || visa["scope"] != "openid ga4gh" {
		t.Error(header, visa)
	}
	if status, _, _ := w.get(w.at("userinfo"), visas[2].(string)); status != 200 {
		t.Error("an access token visa at its issuer:", status)
	}
	w.ok(w.Behave(broker, func(b *idp.Behaviour) { b.PolledVisas = []idp.Grant{} }))
	if _, _, body := w.get(w.at("userinfo"), visas[2].(string)); !bytes.Contains(body, []byte(`"ga4gh_passport_v1":[]`)) {
		t.Errorf("%s", body)
	}
	w.ok(w.Revoke(broker, visas[2].(string)))
	if status, _, _ := w.get(w.at("userinfo"), visas[2].(string)); status != 401 {
		t.Error("a revoked visa:", status)
	}
	if visas[3] != "not.a.visa" {
		t.Error(visas[3])
	}
	if _, visa, v := object(4); v["asserted"] != nil || visa["scope"] != nil || visa["jti"] != "fixed" {
		t.Error(visa)
	}
}

func TestIssuersCanMisbehave(t *testing.T) {
	w := newWorld(t)
	token, err := w.AccessToken(broker, "rosalind", "cli")
	w.ok(err)
	userInfo := func(change func(*idp.Behaviour)) (int, string, []byte) {
		w.ok(w.Behave(broker, func(b *idp.Behaviour) { *b = idp.Behaviour{}; change(b) }))
		return w.get(w.at("userinfo"), token)
	}
	if status, _, _ := userInfo(func(b *idp.Behaviour) { b.Outage = true }); status != 503 {
		t.Error(status)
	}
	if _, kind, body := userInfo(func(b *idp.Behaviour) { b.SignedUserInfo = true }); kind != "application/jwt" {
		t.Error(kind)
	} else if _, claims := w.claims(string(body)); claims["sub"] != "rosalind" || claims["aud"] != "cli" {
		t.Error(claims)
	}
	if _, kind, _ := userInfo(func(b *idp.Behaviour) { b.UserInfoType = "text/html" }); kind != "text/html" {
		t.Error(kind)
	}
	if _, _, body := userInfo(func(b *idp.Behaviour) { b.UserInfoClaims = func(c map[string]any) { c["sub"] = "mallory" } }); !bytes.Contains(body, []byte(`"sub":"mallory"`)) {
		t.Errorf("%s", body)
	}
	if status, _, _ := userInfo(func(b *idp.Behaviour) {
		b.Before = func(endpoint string, w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusTeapot)
			return endpoint == "userinfo"
		}
	}); status != http.StatusTeapot {
		t.Error(status)
	}
	userInfo(func(b *idp.Behaviour) { b.OpaqueTokens = true })
	if token, err := w.AccessToken(broker, "rosalind", "cli"); err != nil || strings.Contains(token, ".") {
		t.Error(token, err)
	}
	other := "https://other.example.org"
	userInfo(func(b *idp.Behaviour) { b.ResponseIss = &other })
	if _, query, _ := w.authorize(nil); query.Get("iss") != other {
		t.Error(query)
	}
	if n := w.Requests(broker, "userinfo"); n != 7 {
		t.Error(n, "requests counted")
	}
	if w.Requests("nobody", "userinfo") != 0 || w.Behave("nobody", nil) == nil || w.Register("nobody") == nil || w.AddClients("nobody") == nil || w.Revoke("nobody", "") == nil {
		t.Error("there is no such issuer")
	}
}

// A key that is withdrawn is gone from the key set, and goes on signing.
func TestKeysRotate(t *testing.T) {
	w := newWorld(t)
	before, err := w.AccessToken(broker, "rosalind", "cli")
	w.ok(err)
	w.ok(w.Rotate(broker))
	after, err := w.AccessToken(broker, "rosalind", "cli")
	w.ok(err)
	first, _ := w.claims(before)
	if second, _ := w.claims(after); first.KeyID == second.KeyID || second.Algorithm != "ES256" {
		t.Error(first, second)
	}
	w.ok(w.Withdraw(broker))
	_, _, jwks := w.get(w.at("jwks"), "")
	if keys, _, err := jose.ParseKeySet(jwks, false); err != nil || len(keys) != 1 || keys[0].KeyID != first.KeyID {
		t.Error(keys, err)
	}
}

func TestDiscovery(t *testing.T) {
	w := newWorld(t)
	document := func() map[string]any {
		_, _, body := w.get(w.at(".well-known/openid-configuration"), "")
		var document map[string]any
		w.ok(json.Unmarshal(body, &document))
		return document
	}
	good := document()
	for _, name := range []string{"authorization_endpoint", "token_endpoint", "userinfo_endpoint", "introspection_endpoint", "device_authorization_endpoint", "jwks_uri"} {
		if text, _ := good[name].(string); !strings.HasPrefix(text, w.Name(broker)+"/") {
			t.Errorf("%s: %v", name, good[name])
		}
	}
	if good["issuer"] != w.Name(broker) || good["authorization_response_iss_parameter_supported"] != true || len(good["claim_types_supported"].([]any)) != 3 {
		t.Error(good)
	}
	w.ok(w.Behave(broker, func(b *idp.Behaviour) {
		b.NoDevice = true
		b.Discovery = func(d map[string]any) { delete(d, "userinfo_endpoint") }
	}))
	if bad := document(); bad["device_authorization_endpoint"] != nil || bad["userinfo_endpoint"] != nil {
		t.Error(bad)
	}
}
