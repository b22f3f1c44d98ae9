package passport

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/passport/passporttest"
)

// fuzzToken signs whatever typ and payload come up with a key that is trusted, so that
// only the rules of the kind are left to refuse. What passes is held against them again,
// read by the standard library.
func fuzzToken(f *testing.F, kind TokenKind, check func(t *testing.T, typ string, payload map[string]any, claims TokenClaims)) {
	issuer, err := passporttest.FromKey(idpURL, "rsa1", newEC()) // RSA is too slow under the fuzzer
	if err != nil {
		f.Fatal(err)
	}
	view := &trust.View{Revision: 1, Issuers: map[string]trust.IssuerView{
		idpURL: issuer.View(trust.IssuerPolicy{Kinds: []trust.Kind{trust.KindLogin, trust.KindPassport, trust.KindClaims}}, now.Add(24*time.Hour)),
	}}
	verifier := New(Options{View: func() *trust.View { return view }})
	const times = `"iat":1799999990,"exp":1800000060`
	for _, payload := range []string{
		`{"iss":"` + idpURL + `","sub":"s","scope":"openid ga4gh_passport_v1",` + times + `}`,
		`{"iss":"` + idpURL + `","sub":"s","scope":["openid"],"aud":["a","uhn-node"],"azp":"uhn-node","cnf":{"jkt":"k"},` + times + `}`,
		`{"iss":"` + idpURL + `","sub":"s","aud":"uhn-node","nonce":"n-1","at_hash":"x",` + times + `}`,
		`{"iss":"` + idpURL + `","sub":"s","ga4gh_passport_v1":["a.b.c"]}`,
		`{"iss":"` + idpURL + `","aud":"uhn-node","iat":1799999990,"token_introspection":{"active":true}}`,
		`{"iss":"` + idpURL + `","iss":"x","exp":1e9}`,
	} {
		for _, typ := range []string{"JWT", "at+jwt", "token-introspection+jwt"} {
			f.Add(typ, payload, "a.b.c")
		}
	}
	f.Fuzz(func(t *testing.T, typ, payload, unsigned string) {
		signed := issuer.Sign(jose.Header{Type: typ}, []byte(payload))
		for _, token := range []string{signed, unsigned} {
			req := TokenRequest{Kind: kind, Compact: token, Issuer: idpURL, Audience: []string{clientID}, Now: now}
			switch kind {
			case IDToken:
				req.Nonce = "n-1"
			case AccessTokenJWT:
				req.Scopes = []string{"openid", "ga4gh_passport_v1"}
			}
			claims, err := verifier.Token(context.Background(), req)
			if err != nil {
				reasonOf(t, err)
				continue
			}
			var seen map[string]any
			if err := json.Unmarshal([]byte(payload), &seen); err != nil || token != signed || string(claims.Payload) != payload {
				t.Fatalf("%q passed: %v", payload, err)
			}
			if claims.Issuer != idpURL || seen["iss"] != idpURL || !claims.Expires.After(now) || claims.Expires.After(now.Add(24*time.Hour)) || !claims.Confirmation.IsZero() {
				t.Errorf("%q gave %+v", payload, claims)
			}
			if sub, _ := seen["sub"].(string); sub != claims.Subject {
				t.Errorf("%q gave %+v", payload, claims)
			}
			for _, name := range []string{"ga4gh_visa_v1", "htm", "htu", "jwks", "trust_mark_type", "events"} {
				if _, there := seen[name]; there {
					t.Errorf("%q passed with %s", payload, name)
				}
			}
			check(t, strings.TrimPrefix(strings.ToLower(typ), "application/"), seen, claims)
		}
	})
}

func FuzzAccessToken(f *testing.F) {
	fuzzToken(f, AccessTokenJWT, func(t *testing.T, typ string, payload map[string]any, claims TokenClaims) {
		_, passport := payload["ga4gh_passport_v1"]
		_, nonce := payload["nonce"]
		if typ != "jwt" && typ != "at+jwt" || passport || nonce || claims.Subject == "" || claims.IssuedAt.IsZero() ||
			!slices.Contains(claims.Scope, "openid") || !slices.Contains(claims.Scope, "ga4gh_passport_v1") {
			t.Errorf("%v passed as %q: %+v", payload, typ, claims)
		}
	})
}

func FuzzIDToken(f *testing.F) {
	fuzzToken(f, IDToken, func(t *testing.T, typ string, payload map[string]any, claims TokenClaims) {
		_, scope := payload["scope"]
		if typ != "jwt" && typ != "" || scope || claims.Subject == "" || payload["nonce"] != "n-1" || !slices.Contains(claims.Audience, clientID) || now.Sub(claims.IssuedAt) > 10*time.Minute {
			t.Errorf("%v passed as %q: %+v", payload, typ, claims)
		}
	})
}

func FuzzUserInfoJWT(f *testing.F) {
	fuzzToken(f, UserInfoJWT, func(t *testing.T, typ string, payload map[string]any, claims TokenClaims) {
		if typ != "jwt" && typ != "" || claims.Subject == "" || len(claims.Audience) > 0 && !slices.Contains(claims.Audience, clientID) {
			t.Errorf("%v passed as %q: %+v", payload, typ, claims)
		}
	})
}

func FuzzClaimsJWT(f *testing.F) {
	fuzzToken(f, ClaimsJWT, func(t *testing.T, typ string, payload map[string]any, claims TokenClaims) {
		if typ != "jwt" && typ != "" || payload["iat"] == nil && payload["exp"] == nil {
			t.Errorf("%v passed as %q: %+v", payload, typ, claims)
		}
	})
}

func FuzzIntrospectionJWT(f *testing.F) {
	fuzzToken(f, IntrospectionJWT, func(t *testing.T, typ string, payload map[string]any, claims TokenClaims) {
		if _, answer := payload["token_introspection"]; typ != "token-introspection+jwt" || !answer || !slices.Contains(claims.Audience, clientID) {
			t.Errorf("%v passed as %q: %+v", payload, typ, claims)
		}
	})
}
