package passport

import (
	"context"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/passport/passporttest"
	"github.com/candignode/candignode/trust/proof"
)

// slots are the doors at which tokens are shown or fetched, and what each says to
// a token.
func (o *office) slots(t *testing.T) map[string]func(token string) trust.Reason {
	t.Helper()
	reason := func(err error) trust.Reason { return reasonOf(t, err) }
	fetched := func(kind TokenKind) func(string) trust.Reason {
		return func(token string) trust.Reason {
			_, err := o.token(kind, token, func(r *TokenRequest) {
				if kind != AccessTokenJWT {
					r.Issuer = idpURL
				}
			})
			return reason(err)
		}
	}
	return map[string]func(string) trust.Reason{
		"passport": func(token string) trust.Reason {
			_, err := o.verifier.Verify(context.Background(), Request{Passports: []string{token}, Now: now})
			return reason(err)
		},
		"visa": func(token string) trust.Reason {
			whole := o.idp.Passport(passporttest.PassportClaims{Subject: "researcher", IssuedAt: now, Expires: now.Add(time.Hour), Visas: []string{token}})
			verdict, err := o.verifier.Verify(context.Background(), Request{Passports: []string{whole}, Now: now})
			if err != nil || len(verdict.Visas) != 1 || verdict.Visas[0].Accepted != (len(verdict.Caller.Visas) == 1) {
				t.Fatal(err, verdict)
			}
			return verdict.Visas[0].Reason
		},
		"access token":  fetched(AccessTokenJWT),
		"ID token":      fetched(IDToken),
		"UserInfo":      fetched(UserInfoJWT),
		"claims":        fetched(ClaimsJWT),
		"introspection": fetched(IntrospectionJWT),
		"DPoP proof": func(token string) trust.Reason {
			_, err := proof.New(proof.Options{Boot: now.Add(-time.Hour)}).Check(proof.Proof{Headers: []string{token}, Method: "GET", URL: nodeURL + "/v1/whoami", Now: now})
			if err != nil {
				return trust.ReasonProof
			}
			return ""
		},
	}
}

// Row 108: a token of one kind opens no door but its own. All are good, and all but
// the proof are signed by one issuer, who is trusted for everything, with one key: so
// only the rules of the kinds tell them apart. Entity statements and trust marks have
// no door of their own here.
func TestNoTokenPassesForAnother(t *testing.T) {
	o := newOffice(t)
	o.trust(func(p *trust.IssuerPolicy) {
		p.Kinds = []trust.Kind{trust.KindLogin, trust.KindPassport, trust.KindVisa, trust.KindClaims}
		p.AccessTokenVisas = true
	})
	prover, err := passporttest.NewProver(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	common := func(more ...passporttest.Claims) string {
		c := claims{"iss": idpURL, "sub": "researcher", "iat": now.Unix() - 60, "exp": now.Unix() + 3600}
		for name, value := range all(more) {
			c[name] = value
		}
		return c.text()
	}
	visa := set("ga4gh_visa_v1", passporttest.Claims{"type": trust.VisaControlledAccessGrants, "value": dataset, "source": dacURL, "by": "dac", "asserted": now.Unix() - 60})
	tokens := []struct {
		kind, typ, jku string
		payload        string
	}{
		{"passport", passportType, "", common(set("ga4gh_passport_v1", []string{}))},
		{"visa", visaType, o.idp.JKU, common(visa)},
		{"visa", visaType, "", common(visa, set("scope", "openid"))},
		{"access token", "at+jwt", "", common(set("scope", passporttest.PassportScope), set("aud", nodeURL))},
		{"ID token", "JWT", "", common(set("nonce", "n-1"), set("aud", clientID))},
		{"UserInfo", "JWT", "", `{"iss":"` + idpURL + `","sub":"researcher","ga4gh_passport_v1":[]}`},
		{"introspection", "token-introspection+jwt", "", `{"iss":"` + idpURL + `","aud":"` + clientID + `","iat":1799999999,"token_introspection":{"active":true}}`},
		{"entity statement", "entity-statement+jwt", "", common(set("jwks", passporttest.Claims{"keys": []string{}}), set("metadata", passporttest.Claims{}))},
		{"trust mark", "trust-mark+jwt", "", common(set("trust_mark_type", "https://refeds.org/sirtfi"))},
	}
	signed := make(map[string]string)
	for _, each := range tokens {
		name := each.kind
		if signed[name] != "" {
			name += " (access token)"
		}
		signed[name] = o.idp.Sign(jose.Header{Type: each.typ, JKU: each.jku}, []byte(each.payload))
	}
	signed["DPoP proof"] = prover.Proof(passporttest.ProofClaims{Method: "GET", URL: nodeURL + "/v1/whoami", IssuedAt: now})
	signed["claims"] = o.idp.ClaimsJWT(passporttest.DocumentClaims{IssuedAt: now, Visas: []string{}})
	for slot, open := range o.slots(t) {
		for name, token := range signed {
			// A UserInfo response without times does not pass for claims, and claims
			// without sub do not for UserInfo; see TokenKind about the rest.
			passes := name == slot || slot == "visa" && name == "visa (access token)"
			if got := open(token); (got == "") != passes {
				t.Errorf("%s in the place of %s: %q", name, slot, got)
			}
		}
	}
}

// Row 108, for issuers that give every token the plain typ JWT: then the claims alone
// must tell them apart.
func TestNoTokenPassesForAnotherByItsClaims(t *testing.T) {
	o := newOffice(t)
	o.trust(func(p *trust.IssuerPolicy) {
		p.Kinds = []trust.Kind{trust.KindLogin, trust.KindPassport, trust.KindVisa, trust.KindClaims}
	})
	everything := passporttest.Claims{
		"iss": idpURL, "sub": "researcher", "iat": now.Unix() - 60, "exp": now.Unix() + 3600, "aud": clientID, "jti": "1",
	}
	marks := map[string]passporttest.Claims{
		"passport":         set("ga4gh_passport_v1", []string{}),
		"visa":             set("ga4gh_visa_v1", passporttest.Claims{"type": trust.VisaControlledAccessGrants, "value": dataset, "source": dacURL, "by": "dac", "asserted": now.Unix() - 60}),
		"access token":     set("scope", passporttest.PassportScope),
		"ID token":         set("nonce", "n-1"),
		"introspection":    set("token_introspection", passporttest.Claims{"active": true, "scope": passporttest.PassportScope}),
		"DPoP proof":       {"htm": "GET", "htu": nodeURL + "/v1/whoami"},
		"entity statement": set("jwks", passporttest.Claims{"keys": []string{}}),
		"trust mark":       set("trust_mark_type", "https://refeds.org/sirtfi"),
		"logout token":     set("events", passporttest.Claims{"http://schemas.openid.net/event/backchannel-logout": passporttest.Claims{}}),
	}
	slots := o.slots(t)
	for name, mark := range marks {
		token := o.idp.Sign(jose.Header{Type: "JWT"}, []byte(claims(all([]passporttest.Claims{everything, mark})).text()))
		for slot, open := range slots {
			// Whoever signs people in may lay visas down in UserInfo and in claims: that
			// is how they come without a passport.
			passes := name == slot && (name == "access token" || name == "ID token") || name == "passport" && (slot == "UserInfo" || slot == "claims")
			if got := open(token); (got == "") != passes {
				t.Errorf("a %s of typ JWT in the place of %s: %q", name, slot, got)
			}
		}
	}
}
