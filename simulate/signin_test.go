package simulate_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/api"
	"github.com/candignode/candignode/node/config"
	"github.com/candignode/candignode/node/session"
	"github.com/candignode/candignode/simulate/idp"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/passport/passporttest"
)

// oneInstitute opens one node with a dataset, at which people sign in; rest are
// further lines of the provider's entry.
func oneInstitute(t *testing.T, tokens string, researchers ...idp.Researcher) (*country, *institute) {
	t.Helper()
	if testing.Short() {
		t.Skip("a node and a provider are started: not with -short")
	}
	c := newCountry(t, "uhn")
	i := c.by["uhn"]
	callback := i.url + "/login/callback/"
	i.open(fmt.Sprintf(`issuers:
  - {issuer: %[1]q, kinds: [login, passport], mode: direct, tokens: %[3]s, client_ids: [uhn-cli], sign_in: true,
     client: {id: uhn-node, key: client.key, command_line_id: uhn-cli}, ca_file: ca.pem, allow_private_addresses: true}
  - {issuer: %[2]q, kinds: [visa], mode: direct, jku: [%[4]q], visa_types: [ControlledAccessGrants], sources: [%[5]q],
     ca_file: ca.pem, allow_private_addresses: true}
datasets:
  - {id: patients, access: controlled, value: %[6]q}
`, c.idp.Name("op"), c.idp.Name("dac"), tokens, c.idp.Name("dac")+"/jwks", committee, rarivitis), map[string]uint64{"patients": 1})
	key, err := config.LoadSigningKey(i.path("client.key"))
	if err != nil {
		t.Fatal(err)
	}
	// The node's own client: it signs in browsers, and exchanges tokens for passports.
	if err := c.idp.AddClients("op",
		idp.Client{ID: "uhn-node", Key: key.Public(), RedirectURIs: []string{callback + session.KeyOf(c.idp.Name("op"))}, Exchange: true, Audience: []string{i.url},
			Resources: map[string]string{i.url: i.url, "urn:candignode:node:" + string(i.node): string(i.node)}},
		idp.Client{ID: "uhn-cli", RedirectURIs: []string{"http://127.0.0.1/done"}, Audience: []string{"uhn-cli", "uhn-node"}},
	); err != nil {
		t.Fatal(err)
	}
	if err := c.idp.Register("op", researchers...); err != nil {
		t.Fatal(err)
	}
	return c, i
}

func ada() idp.Researcher {
	return idp.Researcher{Subject: "ada", Visas: []idp.Grant{{Value: rarivitis, Source: committee}}}
}

// browser follows redirects itself, keeps cookies, and sends what browsers send.
type browser struct {
	t    *testing.T
	http *http.Client
}

func (i *institute) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		i.c.t.Fatal(err)
	}
	client := *i.c.http
	client.Jar = jar
	return &browser{i.c.t, &client}
}

// visit follows up to ten redirects and gives the last answer.
func (b *browser) visit(address string) *http.Response {
	b.t.Helper()
	for range 10 {
		response, err := b.http.Get(address)
		if err != nil {
			b.t.Fatal(err)
		}
		response.Body.Close()
		to, err := response.Location()
		if err != nil {
			return response
		}
		address = to.String()
	}
	b.t.Fatalf("too many redirects, the last to %s", address)
	return nil
}

// ask posts as a page of origin would.
func (b *browser) ask(address, origin, body string) (int, string) {
	b.t.Helper()
	request, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if origin != "" {
		request.Header.Set("Origin", origin)
	}
	response, err := b.http.Do(request)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	var text json.RawMessage
	_ = json.NewDecoder(response.Body).Decode(&text)
	return response.StatusCode, string(text)
}

// A person signs in with a browser (row 112): code flow with PKCE and a redirect
// address of the issuer's own. The session cookie then is who they are, for pages of
// this site and for no others, until they log out.
func TestSigningInWithABrowser(t *testing.T) {
	c, i := oneInstitute(t, "userinfo", ada())
	b := i.browser()
	c.eventually("the provider's keys are believed, and a browser is signed in", func() (string, bool) {
		response := b.visit(i.url + "/login/start?issuer=" + url.QueryEscape(c.idp.Name("op")))
		status, body := b.ask(i.url+"/v1/whoami", i.url, "{}")
		return fmt.Sprint(response.StatusCode, status, body), status == http.StatusOK
	})
	status, body := b.ask(i.url+"/v1/whoami", i.url, "{}")
	var who api.Whoami
	if err := json.Unmarshal([]byte(body), &who); err != nil || status != http.StatusOK {
		t.Fatal(status, body, err)
	}
	if who.Caller.Subject != "ada" || who.Caller.Issuer != c.idp.Name("op") || len(who.Visas) != 1 || !who.Visas[0].Accepted {
		t.Errorf("%s", body)
	}
	for name, origin := range map[string]string{"another site's page": "https://evil.example.org", "no page that says so": ""} {
		if status, body := b.ask(i.url+"/v1/whoami", origin, "{}"); status != http.StatusForbidden {
			t.Errorf("%s is answered %d %s", name, status, body)
		}
	}
	for _, cookie := range b.http.Jar.Cookies(must(t, i.url)) {
		if state, err := os.ReadFile(i.path("state.db")); err != nil || strings.Contains(string(state), cookie.Value) || strings.Contains(string(state), "eyJ") {
			t.Errorf("the state file holds a token (row 64), %v", err)
		}
	}
	if status, body := b.ask(i.url+"/logout", i.url, ""); status >= 400 {
		t.Errorf("logging out: %d %s", status, body)
	}
	if status, _ := b.ask(i.url+"/v1/whoami", i.url, "{}"); status == http.StatusOK {
		t.Error("signed in after logging out")
	}
}

func must(t *testing.T, address string) *url.URL {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// An access token opens the door in each of the three ways (rows 65 to 69, 75, 76),
// and stays at this site.
func TestEachWayFromATokenToVisas(t *testing.T) {
	for _, way := range []string{"userinfo", "exchange", "introspection"} {
		t.Run(way, func(t *testing.T) {
			c, i := oneInstitute(t, way, ada())
			token := c.tokenOf("op", "uhn-cli", "ada")
			c.eventually("ada is known with her visa", func() (string, bool) {
				who, err := i.client(token).Whoami(t.Context(), nil)
				return fmt.Sprintf("%+v %v", who, err), err == nil && who.Caller.Subject == "ada" && len(who.Visas) == 1 && who.Visas[0].Accepted
			})
			if said, err := i.answers(token); err != nil || said["uhn"] != "counted exact" {
				t.Errorf("%v, %v", said, err)
			}
		})
	}
}

// The provider goes down in the middle (V054): what was found out just now holds,
// what would have to be asked is an honest 503, and it comes back by itself.
func TestAnOutageOfTheProvider(t *testing.T) {
	c, i := oneInstitute(t, "userinfo", ada(), idp.Researcher{Subject: "grace"})
	token, other := c.tokenOf("op", "uhn-cli", "ada"), c.tokenOf("op", "uhn-cli", "grace")
	c.eventually("ada is known with her visa", func() (string, bool) {
		who, err := i.client(token).Whoami(t.Context(), nil)
		return fmt.Sprint(err), err == nil && len(who.Visas) == 1 && who.Visas[0].Accepted
	})
	// Once more, under what is believed by now.
	if _, err := i.client(token).Whoami(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := c.idp.Behave("op", func(b *idp.Behaviour) { b.Outage = true }); err != nil {
		t.Fatal(err)
	}
	if said, err := i.answers(token); err != nil || said["uhn"] != "counted exact" {
		t.Errorf("what was known just now: %v, %v", said, err)
	}
	_, err := i.client(other).Whoami(t.Context(), nil)
	var problem *api.Problem
	if !errors.As(err, &problem) || problem.Status != http.StatusServiceUnavailable || problem.Reason != string(trust.ReasonProvider) {
		t.Errorf("what would have to be asked: %v", err)
	}
	if err := c.idp.Behave("op", func(b *idp.Behaviour) { b.Outage = false }); err != nil {
		t.Fatal(err)
	}
	c.eventually("grace is known when the provider is back", func() (string, bool) {
		_, err := i.client(other).Whoami(t.Context(), nil)
		return fmt.Sprint(err), err == nil
	})
}

// A session is made of a token, is listed, is not a way to more sessions, and ends at
// its owner's word (row 62); a revoked person's session is of no use at once.
func TestSessionsOfATokenAndTheirEnd(t *testing.T) {
	c, i := oneInstitute(t, "userinfo", ada(), idp.Researcher{Subject: "grace"})
	token := c.tokenOf("op", "uhn-cli", "ada")
	var held api.Session
	c.eventually("a session is made", func() (string, bool) {
		var err error
		held, err = i.client(token).StartSession(t.Context(), api.SessionRequest{})
		return fmt.Sprint(err), err == nil
	})
	own := i.client(held.Token)
	if who, err := own.Whoami(t.Context(), nil); err != nil || who.Caller.Subject != "ada" || len(who.Visas) != 1 {
		t.Errorf("%+v, %v", who, err)
	}
	if _, err := own.StartSession(t.Context(), api.SessionRequest{}); err == nil {
		t.Error("a session made another")
	}
	stranger := i.client(c.tokenOf("op", "uhn-cli", "grace"))
	if err := stranger.EndSession(t.Context(), held.ID); err == nil {
		t.Error("somebody else ended it")
	}
	if err := own.EndSession(t.Context(), held.ID); err != nil {
		t.Error(err)
	}
	if _, err := own.Whoami(t.Context(), nil); err == nil {
		t.Error("it opens the door after it was ended")
	}
	second, err := i.client(token).StartSession(t.Context(), api.SessionRequest{})
	if err != nil {
		t.Fatal(err)
	}
	r := trust.Revocation{Kind: trust.RevokeIdentity, Issuer: c.idp.Name("op"), Subject: "ada"}
	if err := i.admin.Post(t.Context(), "/v1/revocations", r, &r); err != nil {
		t.Fatal(err)
	}
	for name, credential := range map[string]string{"the session": second.Token, "the token": token} {
		_, err := i.client(credential).Whoami(t.Context(), nil)
		var problem *api.Problem
		if !errors.As(err, &problem) || problem.Status != http.StatusUnauthorized {
			t.Errorf("%s of a revoked person: %v", name, err)
		}
	}
	if err := i.admin.Delete(t.Context(), "/v1/revocations/"+r.ID, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := i.client(token).Whoami(t.Context(), nil); err != nil {
		t.Errorf("after the revocation was taken back: %v", err)
	}
}

// A session is no more than what it was begun with (row 61): when the operator takes
// access tokens of the issuer no more, one that was begun with a token is of no use.
// One that was begun with a browser rests on the sign-in, and stays.
func TestASessionOfATokenGoesWithTheTakingOfTokens(t *testing.T) {
	c, i := oneInstitute(t, "userinfo", ada())
	token := c.tokenOf("op", "uhn-cli", "ada")
	var held api.Session
	c.eventually("a session is made", func() (string, bool) {
		var err error
		held, err = i.client(token).StartSession(t.Context(), api.SessionRequest{})
		return fmt.Sprint(err), err == nil
	})
	b := i.browser()
	b.visit(i.url + "/login/start?issuer=" + url.QueryEscape(c.idp.Name("op")))
	for _, taken := range []bool{true, false} {
		if !taken {
			text, err := os.ReadFile(i.path("candignode.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			without := strings.Replace(string(text), "tokens: userinfo, ", "", 1)
			if err := os.WriteFile(i.path("candignode.yaml"), []byte(without), 0o600); err != nil || without == string(text) {
				t.Fatal(err)
			}
			if err := i.admin.Post(t.Context(), "/v1/reload", nil, nil); err != nil {
				t.Fatal(err)
			}
		}
		who, err := i.client(held.Token).Whoami(t.Context(), nil)
		if good := err == nil && who.Caller.Subject == "ada" && len(who.Visas) == 1; good != taken || !taken && !refusedWith(err, trust.ReasonUnsupportedToken) {
			t.Errorf("tokens taken %t: the session of a token: %+v, %v", taken, who, err)
		}
		if status, body := b.ask(i.url+"/v1/whoami", i.url, "{}"); status != http.StatusOK || strings.Contains(body, rarivitis) != taken {
			t.Errorf("tokens taken %t: the session of a browser: %d %s", taken, status, body)
		}
	}
}

// A token that is bound to a key by DPoP opens the door with a proof of that key and
// with nothing else (rows 109 and 110, V098).
func TestABoundTokenNeedsItsProof(t *testing.T) {
	c, i := oneInstitute(t, "userinfo", ada())
	prover, err := passporttest.NewProver(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	thief, err := passporttest.NewProver(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.idp.Behave("op", func(b *idp.Behaviour) {
		b.TokenClaims = func(claims map[string]any) { claims["cnf"] = map[string]any{"jkt": prover.JKT()} }
	}); err != nil {
		t.Fatal(err)
	}
	token := c.tokenOf("op", "uhn-cli", "ada")
	whoami := func(header map[string]string) (int, string) {
		return i.do(http.MethodPost, "/v1/whoami", "application/json", "{}", header)
	}
	proof := func(p *passporttest.Prover, method, path, ofToken string) map[string]string {
		return map[string]string{"Authorization": "DPoP " + token, "DPoP": p.Proof(passporttest.ProofClaims{Method: method, URL: i.url + path, Token: ofToken, IssuedAt: time.Now()})}
	}
	// A node that has just started wants a nonce, or a little patience.
	c.eventually("with its proof", func() (string, bool) {
		status, body := whoami(proof(prover, http.MethodPost, "/v1/whoami", token))
		return fmt.Sprint(status, body), status == http.StatusOK
	})
	once := proof(prover, http.MethodPost, "/v1/whoami", token)
	if status, body := whoami(once); status != http.StatusOK {
		t.Fatal(status, body)
	}
	for name, header := range map[string]map[string]string{
		"the same proof again":   once,
		"another's key":          proof(thief, http.MethodPost, "/v1/whoami", token),
		"for another method":     proof(prover, http.MethodGet, "/v1/whoami", token),
		"for another address":    proof(prover, http.MethodPost, "/v1/sessions", token),
		"for another token":      proof(prover, http.MethodPost, "/v1/whoami", "another.token"),
		"as a bearer":            {"Authorization": "Bearer " + token},
		"as a bearer with proof": {"Authorization": "Bearer " + token, "DPoP": proof(prover, http.MethodPost, "/v1/whoami", token)["DPoP"]},
		"without a proof":        {"Authorization": "DPoP " + token},
	} {
		if status, body := whoami(header); status != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
}
