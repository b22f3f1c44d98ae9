package bearer_test

import (
	"context"
	"encoding/json"
	"testing"
	"unicode"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/bearer"
)

// checkYield wants a refusal with a text that is safe, or credentials of the researcher.
func checkYield(t *testing.T, c bearer.Credentials, err error) {
	if err != nil {
		if c.Issuer != "" || c.Sets != nil || len(err.Error()) > 600 {
			t.Errorf("%v came with %+v", err, c)
		}
		for _, r := range err.Error() {
			if !unicode.IsPrint(r) {
				t.Errorf("%q is not safe to show", err)
			}
		}
		return
	}
	if c.Subject == "" || c.Issuer == "" || !c.Until.After(now) || len(c.Sets) == 0 {
		t.Errorf("%+v", c)
	}
	for _, set := range c.Sets {
		if set.Identity != c.Identity || !set.Until.After(now) || (set.Via == trust.KindLogin) != (len(set.Visas) == 0) || len(set.Visas) > 200 {
			t.Errorf("%+v", set)
		}
	}
}

// FuzzUserInfo reads whatever response comes up. What passes is held against the rules
// again, read by the standard library.
func FuzzUserInfo(f *testing.F) {
	w := newWorld(f)
	jwt := w.grants(map[string]any{"grants": []string{"g"}})
	for _, body := range []string{
		`{"sub":"researcher","ga4gh_passport_v1":["v1","v2"],"exp":1900000000}`, `{"sub":"another"}`, `{"sub":"researcher","ga4gh_passport_v1":null}`,
		`{"sub":"researcher","_claim_names":{"grants":"s"},"_claim_sources":{"s":{"JWT":"` + jwt + `"}}}`,
		`{"sub":"researcher","_claim_names":{"grants":["s"]},"_claim_sources":[]}`, `[]`, `null`, `{"sub":"researcher","sub":"x"}`, `{"iss":5}`,
	} {
		f.Add("application/json", []byte(body))
		f.Add("application/jwt", []byte(body))
	}
	f.Add("application/jwt", []byte(jwt))
	f.Add("text/html; charset=utf-8", []byte("<html>"))
	token := w.token(providerURL)
	f.Fuzz(func(t *testing.T, mediaType string, body []byte) {
		w := newWorld(t)
		w.userInfo = func(context.Context, string, string) (bearer.Document, error) {
			return bearer.Document{MediaType: mediaType, Body: body}, nil
		}
		c, err := w.show(token)
		checkYield(t, c, err)
		if err != nil {
			return
		}
		var claims struct {
			Sub  string   `json:"sub"`
			List []string `json:"ga4gh_passport_v1"`
		}
		if json.Unmarshal(body, &claims) != nil || claims.Sub != "researcher" || c.Subject != "researcher" || len(visasOf(c, trust.KindPassport)) > len(claims.List) {
			t.Errorf("%q gave %+v", body, c)
		}
	})
}

// FuzzIntrospection reads whatever response comes up about an opaque token.
func FuzzIntrospection(f *testing.F) {
	for _, body := range []string{
		string(active(object{"iss": opaqueURL, "aud": nil}).text()), `{"active":true,"sub":"researcher"}`, `{"active":"true","sub":"x"}`, `{"active":1}`,
		`{"active":true,"sub":"x","cnf":{"jkt":"key"}}`, `{"active":true,"sub":"x","cnf":{"kid":1}}`, `{"active":true,"sub":"x","aud":["this-node"],"exp":1}`,
		`{"active":true,"sub":"x","scope":["openid"]}`, `{"active":true,"sub":"x","scope":""}`, `{"token_introspection":{"active":true}}`, `[true]`, `{"active":true,"active":false}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		w := newWorld(t)
		w.policy(opaqueURL, func(p *trust.IssuerPolicy) { p.Tokens = trust.WayIntrospection })
		w.introspect = func(context.Context, string, string) (bearer.Document, error) {
			return bearer.Document{MediaType: "application/json", Body: body}, nil
		}
		c, err := w.show("opaque")
		checkYield(t, c, err)
		if err != nil {
			return
		}
		var members map[string]any
		if json.Unmarshal(body, &members) != nil || members["active"] != true || members["sub"] != c.Subject || members["cnf"] != nil {
			t.Errorf("%q gave %+v", body, c)
		}
		if exp, ok := members["exp"].(float64); ok && exp <= float64(now.Unix()) {
			t.Errorf("%q gave %+v", body, c)
		}
	})
}

// FuzzToken shows whatever text comes up as an access token.
func FuzzToken(f *testing.F) {
	w := newWorld(f)
	w.says(object{"sub": "researcher"})
	w.gives()
	good := map[string]bool{}
	for _, token := range []string{w.token(brokerURL), w.token(providerURL), w.token(strangerURL)} {
		good[token] = true
		f.Add(token)
	}
	for _, token := range []string{"opaque", "eyJhbGciOiJub25lIn0.e30.", "cgs_x", "a.b.c", "eyJ.a.b.c.d", "=", "two words", "e30.e30.e30"} {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		c, err := w.show(token)
		if err == nil && c.Issuer != opaqueURL && !good[token] {
			t.Errorf("%q gave %+v", token, c)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.asked = nil
	})
}
