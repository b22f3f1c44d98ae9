package passporttest_test

import (
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/passport/passporttest"
)

// What the pretend issuer puts into its tokens is what stands in them.
func TestPretendIssuerSignsTokensOfOAuth(t *testing.T) {
	issuer, err := passporttest.NewIssuer("https://idp.example", jose.ES256, "one")
	if err != nil {
		t.Fatal(err)
	}
	minute := now.Add(time.Minute)
	for typ, each := range map[string]struct{ token, want string }{
		"at+jwt": {issuer.AccessToken(passporttest.AccessTokenClaims{Subject: "s", IssuedAt: now, Expires: minute, ClientID: "c", Confirmation: trust.Confirmation{JKT: "k"}}),
			`{"client_id":"c","cnf":{"jkt":"k"},"exp":1800000060,"iat":1800000000,"iss":"https://idp.example","scope":"openid ga4gh_passport_v1","sub":"s"}`},
		"JWT": {issuer.AccessToken(passporttest.AccessTokenClaims{Subject: "s", Scope: "-", Type: "JWT", ID: "j", More: passporttest.Claims{"sub": nil}}),
			`{"iss":"https://idp.example","jti":"j"}`},
		"jwt": {issuer.IDToken(passporttest.IDTokenClaims{Subject: "s", Audience: []string{"c"}, AuthorizedParty: "c", Nonce: "n", IssuedAt: now, Expires: minute}),
			`{"aud":["c"],"azp":"c","exp":1800000060,"iat":1800000000,"iss":"https://idp.example","nonce":"n","sub":"s"}`},
		"Jwt": {issuer.UserInfo(passporttest.DocumentClaims{Subject: "s", Visas: []string{"v"}}),
			`{"ga4gh_passport_v1":["v"],"iss":"https://idp.example","sub":"s"}`},
		"jWt": {issuer.ClaimsJWT(passporttest.DocumentClaims{IssuedAt: now, More: passporttest.Claims{"grants": []string{"v"}}}),
			`{"grants":["v"],"iat":1800000000,"iss":"https://idp.example"}`},
		"token-introspection+jwt": {issuer.Introspection([]string{"c"}, now, passporttest.Claims{"active": true}),
			`{"aud":["c"],"iat":1800000000,"iss":"https://idp.example","token_introspection":{"active":true}}`},
	} {
		token, err := jose.Parse(each.token, 4096)
		if err != nil {
			t.Fatal(typ, err)
		}
		payload, err := token.Verify(issuer.Keys()[0], jose.ES256)
		if err != nil || string(payload) != each.want || !token.Header().IsType(typ) || token.Header().KeyID != "one" {
			t.Errorf("%s: %v %+v\n%s\n%s", typ, err, token.Header(), payload, each.want)
		}
	}
}

func TestPretendClientProvesItsKey(t *testing.T) {
	for _, algorithm := range []string{jose.RS256, jose.ES256} {
		prover, err := passporttest.NewProver(algorithm)
		if err != nil {
			t.Fatal(err)
		}
		proof := prover.Proof(passporttest.ProofClaims{
			ID: "1", Method: "GET", URL: "https://uhn.example/v1/whoami", IssuedAt: now, Token: "t", Nonce: "n", More: passporttest.Claims{"exp": 1, "htm": nil},
		})
		opened, err := jose.OpenEmbedded(proof, "dpop+jwt", 4096)
		const want = `{"ath":"47mKTaMaEn1L3m5DAz9muidMqw636xxw7EFAK_YnPdg","exp":1,"htu":"https://uhn.example/v1/whoami","iat":1800000000,"jti":"1","nonce":"n"}`
		if err != nil || opened.Key.Thumbprint != prover.JKT() || opened.Header.Algorithm != algorithm || string(opened.Payload) != want {
			t.Errorf("%v %+v\n%s", err, opened, opened.Payload)
		}
	}
	if _, err := passporttest.NewProver("EdDSA"); err == nil {
		t.Error("a client signs EdDSA")
	}
}
