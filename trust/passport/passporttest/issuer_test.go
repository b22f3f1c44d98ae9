package passporttest_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/passport"
	"github.com/candignode/candignode/trust/passport/passporttest"
)

var now = time.Unix(1_800_000_000, 0)

// What the pretend issuer makes is what a node takes, before and after a
// rotation, and no longer once the key is withdrawn.
func TestPretendIssuerIsBelieved(t *testing.T) {
	for _, algorithm := range []string{jose.RS256, jose.ES256} {
		issuer, err := passporttest.NewIssuer("https://idp.example/", algorithm, "one")
		if err != nil || issuer.JKU != "https://idp.example/jwks" {
			t.Fatal(issuer, err)
		}
		verify := func(token string) (passport.Verdict, error) {
			view := &trust.View{Revision: 1, Issuers: map[string]trust.IssuerView{issuer.URL: issuer.View(trust.IssuerPolicy{
				Kinds:     []trust.Kind{trust.KindPassport, trust.KindVisa},
				VisaTypes: []string{trust.VisaControlledAccessGrants}, Sources: []string{"https://dac.example"},
			}, now.Add(time.Hour))}}
			verifier := passport.New(passport.Options{View: func() *trust.View { return view }})
			return verifier.Verify(context.Background(), passport.Request{Passports: []string{token}, Now: now})
		}
		token := func() string {
			return issuer.Passport(passporttest.PassportClaims{
				Subject: "s", IssuedAt: now, Expires: now.Add(time.Minute),
				Visas: []string{issuer.Visa(passporttest.VisaClaims{
					Subject: "s", IssuedAt: now, Expires: now.Add(time.Minute), Asserted: now,
					Type: trust.VisaControlledAccessGrants, Value: "v", Source: "https://dac.example", By: "dac",
				})},
			})
		}
		before := token()
		if err := issuer.Rotate(jose.ES256, "two"); err != nil {
			t.Fatal(err)
		}
		for _, each := range []string{before, token()} {
			if verdict, err := verify(each); err != nil || len(verdict.Caller.Visas) != 1 {
				t.Errorf("%s: %v %+v", algorithm, err, verdict.Visas)
			}
		}
		issuer.Withdraw("one")
		if _, err := verify(before); err == nil {
			t.Error("a withdrawn key is believed")
		}
		if keys, rejected, err := jose.ParseKeySet(issuer.KeySet(), false); err != nil || len(keys) != 1 || len(rejected) != 0 || keys[0].KeyID != "two" {
			t.Errorf("%v %v %v", keys, rejected, err)
		}
	}
}

func TestPretendIssuerRefusesKeysThatNoNodeTakes(t *testing.T) {
	if _, err := passporttest.NewIssuer("https://idp.example", "EdDSA", "k"); !errors.Is(err, passporttest.ErrAlgorithm) {
		t.Error(err)
	}
	if _, err := passporttest.FromKey("https://idp.example", "k", ed25519.NewKeyFromSeed(make([]byte, 32))); err == nil {
		t.Error("an Ed25519 key was taken")
	}
	if _, err := passporttest.FromKey("https://idp.example", "k", nil); err == nil {
		t.Error("no key was taken")
	}
}
