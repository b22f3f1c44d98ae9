package simulate_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/candignode/candignode/api"
	"github.com/candignode/candignode/node/admin"
	"github.com/candignode/candignode/node/config"
	"github.com/candignode/candignode/simulate/idp"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/audit"
)

// records gives the records of one event in the institute's audit log.
func (i *institute) records(event audit.Event) []audit.Record {
	i.c.t.Helper()
	var found []audit.Record
	err := i.admin.Audit(i.c.t.Context(), url.Values{"from": {"1"}}, func(line admin.AuditLine) error {
		var r audit.Record
		if err := json.Unmarshal(line.Record, &r); err != nil {
			return err
		}
		if r.Event == event {
			found = append(found, r)
		}
		return nil
	})
	if err != nil {
		i.c.t.Fatal(err)
	}
	return found
}

// refusedWith tells whether err is the node's 401 for this reason.
func refusedWith(err error, reason trust.Reason) bool {
	var problem *api.Problem
	return errors.As(err, &problem) && problem.Status == http.StatusUnauthorized && problem.Reason == string(reason)
}

// exchanging opens two institutes with data and one provider, which exchanges the
// access tokens of a's people for passports; both take its passports.
func exchanging(t *testing.T) *country {
	if testing.Short() {
		t.Skip("two nodes and a provider are started: not with -short")
	}
	c := newCountry(t, "a", "b")
	a, b := c.by["a"], c.by["b"]
	rest := func(more string) string {
		return fmt.Sprintf(`issuers:
  - {issuer: %[1]q, kinds: [login, passport], mode: direct, require_aud: true, ca_file: ca.pem, allow_private_addresses: true%[2]s}
  - {issuer: %[3]q, kinds: [visa], mode: direct, jku: [%[4]q], visa_types: [ControlledAccessGrants], sources: [%[5]q],
     ca_file: ca.pem, allow_private_addresses: true}
datasets:
  - {id: patients, access: controlled, value: %[6]q}
`, c.idp.Name("op"), more, c.idp.Name("dac"), c.idp.Name("dac")+"/jwks", committee, rarivitis)
	}
	a.open(rest(`, tokens: exchange, client_ids: [a-cli], client: {id: a-node, key: client.key}`), map[string]uint64{"patients": 1})
	b.open(rest(``), map[string]uint64{"patients": 2})
	key, err := config.LoadSigningKey(a.path("client.key"))
	if err != nil {
		t.Fatal(err)
	}
	forB := "urn:candignode:node:" + string(b.node)
	if err := c.idp.AddClients("op",
		idp.Client{ID: "a-node", Key: key.Public(), Exchange: true, Audience: []string{a.url}, Resources: map[string]string{forB: forB}},
		idp.Client{ID: "a-cli", RedirectURIs: []string{"http://127.0.0.1/done"}},
	); err != nil {
		t.Fatal(err)
	}
	if err := c.idp.Register("op", ada()); err != nil {
		t.Fatal(err)
	}
	return c
}

// exchanges notes the passports that the provider gives, by their aud; change, if
// it is not nil, may put another in a passport's place.
type exchanges struct {
	mu     sync.Mutex
	given  map[string]string
	change func(aud, passport string) string
}

func (e *exchanges) hook(t *testing.T) func(map[string]any) {
	return func(reply map[string]any) {
		e.mu.Lock()
		defer e.mu.Unlock()
		passport := reply["access_token"].(string)
		var claims struct {
			Audience []string `json:"aud"`
		}
		if err := json.Unmarshal([]byte(payloadOf(t, passport)), &claims); err != nil {
			t.Error(err)
			return
		}
		aud := strings.Join(claims.Audience, " ")
		if e.change != nil {
			passport = e.change(aud, passport)
		}
		e.given[aud], reply["access_token"] = passport, passport
	}
}

func (e *exchanges) of(aud string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.given[aud]
}

// A's people come with access tokens. What B gets is a passport that was exchanged
// for B alone: its only aud is B's name, B takes it, A does not (binding ladder, L3).
// The access token goes nowhere but to its issuer: B's log names the passport and
// never the token, and B does not know the token (row 70, and rows 75 to 77).
func TestPeersGetAnExchangedPassportAndNoToken(t *testing.T) {
	c := exchanging(t)
	a, b := c.by["a"], c.by["b"]
	forB := "urn:candignode:node:" + string(b.node)
	seen := &exchanges{given: map[string]string{}}
	if err := c.idp.Behave("op", func(behaviour *idp.Behaviour) { behaviour.Exchange = seen.hook(t) }); err != nil {
		t.Fatal(err)
	}
	token := c.tokenOf("op", "a-cli", "ada")
	c.eventually("both count", func() (string, bool) {
		said, err := a.answers(token)
		return fmt.Sprint(said, err), err == nil && said["a"] == "counted exact" && said["b"] == "counted exact"
	})

	passport := seen.of(forB)
	if passport == "" {
		t.Fatalf("no passport was exchanged for B alone, but for %v", slices.Collect(maps.Keys(seen.given)))
	}
	decisions := b.records(audit.EventDecision)
	if len(decisions) == 0 {
		t.Fatal("B has no record of a decision")
	}
	tokenDigest, passportDigest := trust.DigestOfString(token), trust.DigestOfString(passport)
	counted := false
	for _, r := range append(decisions, b.records(audit.EventRefused)...) {
		if slices.Contains(r.Passports, tokenDigest) {
			t.Errorf("B was shown the access token: %+v", r)
		}
		counted = counted || r.Outcome == "allow" && r.Origin == "a" && slices.Equal(r.Passports, []trust.Digest{passportDigest})
	}
	if !counted {
		t.Errorf("B's log does not name the exchanged passport %s: %+v", passportDigest, decisions)
	}
	if who, err := b.client("").Whoami(t.Context(), []string{passport}); err != nil || who.Caller.Subject != "ada" || len(who.Visas) != 1 || !who.Visas[0].Accepted {
		t.Errorf("B takes its own passport for %+v, %v", who, err)
	}
	if _, err := a.client("").Whoami(t.Context(), []string{passport}); !refusedWith(err, trust.ReasonAudience) {
		t.Errorf("B's passport at A: %v", err)
	}
	if _, err := b.client(token).Whoami(t.Context(), nil); !refusedWith(err, trust.ReasonUnsupportedToken) {
		t.Errorf("A's access token at B: %v", err)
	}
}

// A provider that gives a passport for B and for somebody else besides has given one
// that B could show again: it does not travel, and B hears of nothing (row 77).
func TestAPassportForMoreThanThePeerDoesNotTravel(t *testing.T) {
	c := exchanging(t)
	a, b := c.by["a"], c.by["b"]
	forB := "urn:candignode:node:" + string(b.node)
	first := c.tokenOf("op", "a-cli", "ada")
	c.eventually("both count", func() (string, bool) {
		said, err := a.answers(first)
		return fmt.Sprint(said, err), err == nil && said["b"] == "counted exact"
	})
	before := len(b.records(audit.EventDecision)) + len(b.records(audit.EventRefused))
	wide := &exchanges{given: map[string]string{}, change: func(aud, passport string) string {
		if aud != forB {
			return passport
		}
		r := ada()
		r.Audience = []string{forB, a.url}
		passport, err := c.idp.Passport(r, time.Now())
		if err != nil {
			t.Error(err)
		}
		return passport
	}}
	if err := c.idp.Behave("op", func(behaviour *idp.Behaviour) { behaviour.Exchange = wide.hook(t) }); err != nil {
		t.Fatal(err)
	}
	// Another token: what the first one gave is remembered.
	said, err := a.answers(c.tokenOf("op", "a-cli", "ada"))
	if err != nil || said["a"] != "counted exact" || said["b"] != "error" {
		t.Errorf("%v, %v", said, err)
	}
	if wide.of(forB) == "" {
		t.Error("nothing was exchanged for B")
	}
	if after := len(b.records(audit.EventDecision)) + len(b.records(audit.EventRefused)); after != before {
		t.Errorf("B has %d records, and had %d: the passport travelled", after, before)
	}
}

// certified gives a client of the node that shows a certificate of its own, and the
// name that tokens bind to it by (RFC 8705, section 3.1), reckoned here by hand.
func (i *institute) certified(token string) (api.Client, string) {
	t := i.c.t
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	client := i.c.idp.HTTPClient()
	client.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
	sum := sha256.Sum256(der)
	return api.Client{BaseURL: i.url, HTTP: client, Bearer: func() string { return token }}, base64.RawURLEncoding.EncodeToString(sum[:])
}

// A token that is bound to a client certificate opens the door to whoever connects
// with that certificate, and to nobody else: with another, or with none, it is worth
// nothing, also while the node remembers what it gave its holder (row 110).
func TestATokenBoundToACertificateNeedsIt(t *testing.T) {
	c, i := oneInstitute(t, "userinfo", ada())
	token := ""
	holder, thumbprint := i.certified("")
	thief, _ := i.certified("")
	if err := c.idp.Behave("op", func(b *idp.Behaviour) {
		b.TokenClaims = func(claims map[string]any) { claims["cnf"] = map[string]any{"x5t#S256": thumbprint} }
	}); err != nil {
		t.Fatal(err)
	}
	token = c.tokenOf("op", "uhn-cli", "ada")
	bearer := func() string { return token }
	holder.Bearer, thief.Bearer = bearer, bearer

	var who api.Whoami
	c.eventually("with its certificate", func() (string, bool) {
		var err error
		who, err = holder.Whoami(t.Context(), nil)
		return fmt.Sprint(err), err == nil
	})
	if who.Caller.Subject != "ada" || len(who.Visas) != 1 || !who.Visas[0].Accepted {
		t.Errorf("%+v", who)
	}
	for name, other := range map[string]api.Client{"another certificate": thief, "no certificate": i.client(token)} {
		if _, err := other.Whoami(t.Context(), nil); !refusedWith(err, trust.ReasonNotProven) {
			t.Errorf("%s: %v", name, err)
		}
		if session, err := other.StartSession(t.Context(), api.SessionRequest{}); err == nil {
			t.Errorf("%s: it became the session %s", name, session.ID)
		}
	}
	// A session that was made of it is bound to the same certificate.
	session, err := holder.StartSession(t.Context(), api.SessionRequest{})
	if err != nil {
		t.Fatal(err)
	}
	token = session.Token
	if _, err := holder.Whoami(t.Context(), nil); err != nil {
		t.Errorf("the session with the certificate: %v", err)
	}
	if _, err := thief.Whoami(t.Context(), nil); !refusedWith(err, trust.ReasonNotProven) {
		t.Errorf("the session with another certificate: %v", err)
	}
}

// A running node says whose tokens it takes, and everybody whom it does not know is
// pointed there (row 111). What it says of its own name does not depend on the name
// that it was asked under, so a client that compares the two, as RFC 9728, section
// 3.3, wants, finds out whoever stands in between.
func TestANodePointsToItsMetadata(t *testing.T) {
	c, i := oneInstitute(t, "userinfo", ada())
	resource, err := i.client("").Resource(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	op := c.idp.Name("op")
	if resource.Resource != i.url || !slices.Equal(resource.AuthorizationServers, []string{op}) || !resource.CertificateBound ||
		!slices.Contains(resource.ProofAlgorithms, "ES256") || !slices.Equal(resource.BearerMethodsSupported, []string{"header"}) {
		t.Errorf("%+v", resource)
	}
	if !slices.Equal(resource.SignIn, []api.SignIn{{Issuer: op, ClientID: "uhn-cli"}}) {
		t.Errorf("signing in from the command line: %+v", resource.SignIn)
	}
	if resource.JWKSURI != "" {
		t.Errorf("a node that signs nothing names the keys at %s", resource.JWKSURI)
	}

	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, i.url+"/v1/whoami", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer nonsense")
	request.Host = "node.evil.example.org"
	response, err := c.http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusUnauthorized {
		t.Fatalf("nonsense is answered %d", response.StatusCode)
	}
	pointer := fmt.Sprintf("resource_metadata=%q", i.url+"/.well-known/oauth-protected-resource")
	for _, scheme := range []string{"Bearer", "DPoP"} {
		if !slices.ContainsFunc(response.Header.Values("WWW-Authenticate"), func(challenge string) bool {
			return strings.HasPrefix(challenge, scheme+" ") && strings.Contains(challenge, pointer)
		}) {
			t.Errorf("no %s challenge with %s: %q", scheme, pointer, response.Header.Values("WWW-Authenticate"))
		}
	}
	if all := strings.Join(response.Header.Values("WWW-Authenticate"), " "); strings.Contains(all, "evil") || strings.Contains(all, "nonsense") {
		t.Errorf("what the caller wrote comes back: %q", all)
	}

	// Somebody in between who passes the node's answers on has another address than
	// the one that they name: a client that compares them sends no token.
	between := api.Client{BaseURL: "https://localhost", HTTP: &http.Client{Transport: elsewhere{i.url, c.http.Transport}}}
	passedOn, err := between.Resource(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if passedOn.Resource == between.BaseURL || passedOn.Resource != i.url {
		t.Errorf("asked at %s, the node calls itself %s", between.BaseURL, passedOn.Resource)
	}
}

// elsewhere sends every request to the node at url, under the name that the client
// used.
type elsewhere struct {
	url  string
	next http.RoundTripper
}

func (e elsewhere) RoundTrip(r *http.Request) (*http.Response, error) {
	to, err := url.Parse(e.url)
	if err != nil {
		return nil, err
	}
	sent := r.Clone(r.Context())
	sent.Host, sent.URL.Host = r.URL.Host, to.Host
	return e.next.RoundTrip(sent)
}
