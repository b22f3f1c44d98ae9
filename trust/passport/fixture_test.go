package passport

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/passport/passporttest"
)

// The cast: a broker signs passports, a data access committee signs grants, an
// institute signs affiliations; a stranger is trusted by nobody.
const (
	brokerURL    = "https://broker.example"
	dacURL       = "https://dac.example"
	instituteURL = "https://institute.example"
	dataset      = "https://dac.example/datasets/rarivitis"
)

var now = time.Unix(1_800_000_000, 0).UTC()

var (
	brokerKey    = sync.OnceValue(newRSA)
	dacKey       = sync.OnceValue(newRSA)
	strangerKey  = sync.OnceValue(newRSA)
	instituteKey = sync.OnceValue(newEC)
)

func newRSA() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

func newEC() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

// world is a verifier and the issuers that it is told about.
type world struct {
	broker, dac, institute, stranger *passporttest.Issuer

	view      *trust.View
	audiences map[trust.SiteName][]string
	refreshed []string // issuers asked for fresh keys, in order
	refresh   func(issuer string) bool
	verifier  *Verifier
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return newWorldOf(t, brokerKey(), dacKey(), instituteKey(), strangerKey())
}

func newWorldOf(t testing.TB, broker, dac, institute, stranger crypto.Signer) *world {
	t.Helper()
	issuer := func(url string, key crypto.Signer) *passporttest.Issuer {
		i, err := passporttest.FromKey(url, "rsa1", key) // the same kid everywhere, as in the field
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	w := &world{
		broker: issuer(brokerURL, broker), dac: issuer(dacURL, dac),
		institute: issuer(instituteURL, institute), stranger: issuer("https://stranger.example", stranger),
		audiences: map[trust.SiteName][]string{"": {"uhn-node"}, "bcgsc": {"bcgsc-node"}, "chus": {"chus-node"}},
	}
	until := now.Add(24 * time.Hour)
	w.view = &trust.View{Revision: 1, Issuers: map[string]trust.IssuerView{
		brokerURL: w.broker.View(trust.IssuerPolicy{Kinds: []trust.Kind{trust.KindPassport}, Mode: trust.ModeDirect}, until),
		dacURL: w.dac.View(trust.IssuerPolicy{
			Kinds: []trust.Kind{trust.KindVisa}, Mode: trust.ModeDirect, JKU: []string{dacURL + "/other-jwks"},
			VisaTypes: []string{trust.VisaControlledAccessGrants, trust.VisaLinkedIdentities, trust.VisaAcceptedTermsAndPolicies},
			Sources:   []string{dacURL, noOrganization}, ValuePrefixes: nil,
		}, until),
		instituteURL: w.institute.View(trust.IssuerPolicy{
			Kinds: []trust.Kind{trust.KindVisa}, Mode: trust.ModeDirect,
			VisaTypes: []string{trust.VisaAffiliationAndRole, trust.VisaResearcherStatus, "https://ras.nih.gov/visas/v1.1"},
			Sources:   []string{instituteURL},
		}, until),
	}}
	w.verifier = New(Options{
		View:      func() *trust.View { return w.view },
		Audiences: func(issuer string, site trust.SiteName) []string { return w.audiences[site] },
		OwnNames:  []string{"https://uhn.example", "", "nodeid-of-uhn"},
		UnknownKey: func(_ context.Context, issuer string) bool {
			w.refreshed = append(w.refreshed, issuer)
			return w.refresh != nil && w.refresh(issuer)
		},
	})
	return w
}

// policy changes what the site trusts an issuer for, as a new View.
func (w *world) policy(issuer string, change func(*trust.IssuerPolicy)) {
	w.change(issuer, func(iv *trust.IssuerView) { change(&iv.Policy) })
}

func (w *world) change(issuer string, change func(*trust.IssuerView)) {
	next := &trust.View{Revision: w.view.Revision + 1, Issuers: maps.Clone(w.view.Issuers)}
	iv := next.Issuers[issuer]
	iv.Keys = slices.Clone(iv.Keys)
	change(&iv)
	next.Issuers[issuer] = iv
	w.view = next
}

func (w *world) grant(change ...func(*passporttest.VisaClaims)) string {
	c := passporttest.VisaClaims{
		Subject: "researcher@dac", IssuedAt: now.Add(-time.Hour), Expires: now.Add(time.Hour), Asserted: now.Add(-24 * time.Hour),
		Type: trust.VisaControlledAccessGrants, Value: dataset, Source: dacURL, By: "dac",
	}
	for _, f := range change {
		f(&c)
	}
	return w.dac.Visa(c)
}

func (w *world) passport(visas ...string) string {
	return w.passportWith(func(c *passporttest.PassportClaims) { c.Visas = visas })
}

func (w *world) passportWith(change func(*passporttest.PassportClaims)) string {
	c := passporttest.PassportClaims{Subject: "researcher", IssuedAt: now.Add(-time.Minute), Expires: now.Add(2 * time.Hour)}
	change(&c)
	return w.broker.Passport(c)
}

func (w *world) verify(passports ...string) (Verdict, error) {
	return w.verifier.Verify(context.Background(), Request{Passports: passports, Now: now})
}

// one gives the verdict on one visa in a good passport.
func (w *world) one(t testing.TB, visa string) VisaVerdict {
	t.Helper()
	verdict, err := w.verify(w.passport(visa))
	if err != nil {
		t.Fatalf("a bad visa refused the passport: %v", err)
	}
	if len(verdict.Visas) != 1 {
		t.Fatalf("%d verdicts on one visa", len(verdict.Visas))
	}
	got := verdict.Visas[0]
	if got.Accepted != (len(verdict.Caller.Visas) == 1) || got.Accepted != (got.Reason == "") {
		t.Errorf("verdict and caller disagree: %+v, %d visas", got, len(verdict.Caller.Visas))
	}
	if !got.Accepted && got.Detail == "" {
		t.Errorf("%s without a sentence", got.Reason)
	}
	return got
}

func (w *world) wantVisa(t *testing.T, visa string, want trust.Reason) {
	t.Helper()
	if got := w.one(t, visa); got.Reason != want {
		t.Errorf("visa: got %q (%s), want %q", got.Reason, got.Detail, want)
	}
}

func (w *world) wantPassport(t *testing.T, want trust.Reason, passports ...string) {
	t.Helper()
	verdict, err := w.verify(passports...)
	if got := reasonOf(t, err); got != want {
		t.Errorf("passport: got %q (%v), want %q", got, err, want)
	}
	if err != nil && (!verdict.Caller.Anonymous() || verdict.Visas != nil) {
		t.Errorf("a refusal came with %+v", verdict)
	}
}

func reasonOf(t testing.TB, err error) trust.Reason {
	t.Helper()
	if err == nil {
		return ""
	}
	refusal, ok := errors.AsType[*Refusal](err)
	if !ok {
		t.Fatalf("%v is a %T", err, err)
	}
	if refusal.Detail == "" || len(refusal.Error()) > 600 {
		t.Errorf("refusal text %q", refusal.Error())
	}
	return refusal.Reason
}

// claims is a payload that tests change member by member.
type claims map[string]any

func (c claims) with(name string, value any) claims {
	c = maps.Clone(c)
	c[name] = value
	return c
}

func (c claims) without(name string) claims {
	c = maps.Clone(c)
	delete(c, name)
	return c
}

func (c claims) text() string {
	text, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func passportClaimsOf(visas ...string) claims {
	if visas == nil {
		visas = []string{}
	}
	return claims{"iss": brokerURL, "sub": "researcher", "iat": now.Unix() - 60, "exp": now.Unix() + 7200, "ga4gh_passport_v1": visas}
}

func visaObjectOf() claims {
	return claims{"type": trust.VisaControlledAccessGrants, "value": dataset, "source": dacURL, "by": "dac", "asserted": now.Unix() - 86400}
}

func visaClaimsOf() claims {
	return claims{"iss": dacURL, "sub": "researcher@dac", "iat": now.Unix() - 60, "exp": now.Unix() + 3600, "ga4gh_visa_v1": visaObjectOf()}
}

const (
	passportHeader = `{"alg":"RS256","kid":"rsa1","typ":"vnd.ga4gh.passport+jwt"}`
	visaHeader     = `{"alg":"RS256","kid":"rsa1","typ":"vnd.ga4gh.visa+jwt","jku":"https://dac.example/jwks"}`
)

// raw signs exactly this header and payload with RS256.
func raw(key *rsa.PrivateKey, header, payload string) string {
	b64 := base64.RawURLEncoding.EncodeToString
	input := b64([]byte(header)) + "." + b64([]byte(payload))
	sum := sha256.Sum256([]byte(input))
	signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
	if err != nil {
		panic(err)
	}
	return input + "." + b64(signature)
}

func rawPassport(c claims) string { return raw(brokerKey(), passportHeader, c.text()) }
func rawVisa(c claims) string     { return raw(dacKey(), visaHeader, c.text()) }
func rawObject(c claims) string   { return rawVisa(visaClaimsOf().with("ga4gh_visa_v1", c)) }
