package bearer_test

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/bearer"
	"github.com/candignode/candignode/trust/passport"
	"github.com/candignode/candignode/trust/passport/passporttest"
)

// Row 65: a token that says nothing goes to the one issuer that is configured for such
// tokens; without one, or with two, it is refused, and nobody is asked.
func TestOpaqueToken(t *testing.T) {
	w := newWorld(t)
	w.says(object{"sub": "researcher", "ga4gh_passport_v1": []string{"v1"}})
	c := w.want("an-opaque.token~/+1==")
	if c.Identity != (trust.Identity{Issuer: opaqueURL, Subject: "researcher"}) || c.Issuer != opaqueURL || len(visasOf(c, trust.KindPassport)) != 1 {
		t.Errorf("%+v", c)
	}
	if len(w.asked) != 1 || w.asked[0].issuer != opaqueURL {
		t.Errorf("asked %v", w.asked)
	}
	// Whose UserInfo says nothing, nobody's it is.
	for _, o := range []object{{}, {"sub": ""}, {"sub": 5}, {"sub": nil}, {"sub": strings.Repeat("x", 256)}, {"sub": "a\u202eb"}} {
		w = newWorld(t)
		w.says(o)
		w.wantRefusal(trust.ReasonProvider, "opaque")
	}

	w = newWorld(t)
	w.policy(opaqueURL, func(p *trust.IssuerPolicy) { p.OpaqueTokens = false })
	w.wantRefusal(trust.ReasonUnsupportedToken, "opaque")
	w.policy(opaqueURL, func(p *trust.IssuerPolicy) { p.OpaqueTokens = true })
	w.policy(brokerURL, func(p *trust.IssuerPolicy) { p.OpaqueTokens = true })
	w.wantRefusal(trust.ReasonUnsupportedToken, "opaque")
	if len(w.asked) != 0 {
		t.Errorf("guessed: %v", w.asked)
	}
}

// Row 65: what is no token at all goes nowhere, not even to the issuer of opaque ones.
func TestNoToken(t *testing.T) {
	w := newWorld(t)
	w.says(object{"sub": "researcher"})
	for text, want := range map[string]trust.Reason{
		"":                         trust.ReasonMissingClaim,
		strings.Repeat("a", 1<<16): trust.ReasonTooLarge,
		"two words":                trust.ReasonMalformed,
		"line\r\nHost: x":          trust.ReasonMalformed,
		"=":                        trust.ReasonMalformed,
		"a=b":                      trust.ReasonMalformed,
		"t\u00e9":                  trust.ReasonMalformed,
		`{"payload":"x"}`:          trust.ReasonMalformed,
		"cgs_a-session-of-ours":    trust.ReasonSession,
	} {
		w.wantRefusal(want, text)
	}
	if len(w.asked) != 0 {
		t.Errorf("asked %v", w.asked)
	}
}

// Rows 65 and 66: a JWT is verified, and one that does not hold is refused: it is never
// sent anywhere as if it were opaque.
func TestTokenThatIsAJWT(t *testing.T) {
	w := newWorld(t)
	w.gives()
	w.says(object{"sub": "researcher"})
	b64 := base64.RawURLEncoding.EncodeToString
	good := w.token(brokerURL)
	parts := strings.Split(good, ".")
	for name, c := range map[string]struct {
		token string
		want  trust.Reason
	}{
		"no passport scope": {w.token(brokerURL, func(c *passporttest.AccessTokenClaims) { c.Scope = "openid" }), trust.ReasonScope},
		"no openid scope":   {w.token(brokerURL, func(c *passporttest.AccessTokenClaims) { c.Scope = "ga4gh_passport_v1" }), trust.ReasonScope},
		"scope as an array": {w.token(brokerURL, func(c *passporttest.AccessTokenClaims) {
			c.More = passporttest.Claims{"scope": []string{"openid", "ga4gh_passport_v1"}}
		}), trust.ReasonScope},
		"no sub":            {w.token(brokerURL, func(c *passporttest.AccessTokenClaims) { c.Subject = "" }), trust.ReasonMissingClaim},
		"no exp":            {w.token(brokerURL, func(c *passporttest.AccessTokenClaims) { c.Expires = time.Time{} }), trust.ReasonMissingClaim},
		"expired":           {w.token(brokerURL, func(c *passporttest.AccessTokenClaims) { c.Expires = now }), trust.ReasonExpired},
		"a passport":        {w.issuers[brokerURL].Passport(passporttest.PassportClaims{Subject: "researcher", IssuedAt: now, Expires: now.Add(time.Hour)}), trust.ReasonWrongType},
		"of a stranger":     {w.token(strangerURL), trust.ReasonUntrustedIssuer},
		"of a committee":    {w.token(dacURL), trust.ReasonUntrustedIssuer},
		"for somebody else": {w.token(brokerURL, func(c *passporttest.AccessTokenClaims) { c.Audience = []string{peer} }), trust.ReasonAudience},
		"of another client": {w.token(brokerURL, func(c *passporttest.AccessTokenClaims) { c.ClientID = "a-portal" }), trust.ReasonAudience},
		"with visas in it": {w.token(brokerURL, func(c *passporttest.AccessTokenClaims) {
			c.More = passporttest.Claims{"ga4gh_passport_v1": []string{"v"}}
		}), trust.ReasonWrongType},
		"broken signature":    {parts[0] + "." + parts[1] + "." + b64(make([]byte, 64)), trust.ReasonSignature},
		"alg none":            {b64([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".", trust.ReasonMalformed},
		"no payload":          {parts[0] + "..", trust.ReasonMalformed},
		"two parts":           {parts[0] + "." + parts[1], trust.ReasonMalformed},
		"four parts":          {good + "." + parts[1], trust.ReasonMalformed},
		"a header with space": {b64([]byte(` {"alg":"ES256"}`)) + "." + b64([]byte(`{}`)) + ".AAAA", trust.ReasonMissingClaim},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			_, err := w.show(c.token)
			if refusal, ok := errors.AsType[*passport.Refusal](err); !ok || refusal.Reason != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
	if len(w.asked) != 0 {
		t.Errorf("asked %v", w.asked)
	}
	w.t = t
	w.want(good)
	w.want(w.token(brokerURL, func(c *passporttest.AccessTokenClaims) { c.Audience = []string{peer, node}; c.Type = "JWT" }))
	w.want(w.token(brokerURL, func(c *passporttest.AccessTokenClaims) { c.ClientID = "this-command-line" }))
	w.policy(brokerURL, func(p *trust.IssuerPolicy) { p.ScopeArray = true })
	w.want(w.token(brokerURL, func(c *passporttest.AccessTokenClaims) {
		c.More = passporttest.Claims{"scope": []string{"openid", "ga4gh_passport_v1"}}
	}))
}

// An encrypted token tells this node nothing: it is opaque.
func TestEncryptedTokenIsOpaque(t *testing.T) {
	w := newWorld(t)
	w.says(object{"sub": "researcher"})
	c := w.want(base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RSA-OAEP","enc":"A256GCM"}`)) + ".a.b.c.d")
	if c.Issuer != opaqueURL {
		t.Errorf("%+v", c)
	}
}

// An issuer whose tokens are not taken has none taken, whatever they say.
func TestTokensThatAreNotTaken(t *testing.T) {
	w := newWorld(t)
	w.gives()
	w.policy(brokerURL, func(p *trust.IssuerPolicy) { p.Tokens = trust.WayNone })
	w.wantRefusal(trust.ReasonUnsupportedToken, w.token(brokerURL))
	w.policy(brokerURL, func(p *trust.IssuerPolicy) { p.Tokens = "guess" })
	w.wantRefusal(trust.ReasonUnsupportedToken, w.token(brokerURL))
	w.policy(brokerURL, func(p *trust.IssuerPolicy) { p.Tokens, p.Kinds = trust.WayExchange, []trust.Kind{trust.KindLogin} })
	w.wantRefusal(trust.ReasonUnsupportedToken, w.token(brokerURL))
	if len(w.asked) != 0 {
		t.Errorf("asked %v", w.asked)
	}
	desk := bearer.New(bearer.Options{})
	if _, err := desk.Credentials(context.Background(), bearer.Presented{Token: trust.NewAccessToken("t")}, now); err == nil {
		t.Error("a desk without a configuration took a token")
	}
	desk = bearer.New(bearer.Options{View: w.currentView, Tokens: w.verifier.Token})
	w.policy(brokerURL, func(p *trust.IssuerPolicy) { p.Kinds = []trust.Kind{trust.KindPassport} })
	if _, err := desk.Credentials(context.Background(), bearer.Presented{Token: trust.NewAccessToken(w.token(brokerURL))}, now); err == nil {
		t.Error("a desk without a provider took a token")
	}
	if _, err := desk.PassportFor(context.Background(), trust.NewAccessToken(w.token(brokerURL)), peer, now); err == nil {
		t.Error("a desk without a provider gave a passport")
	}
}

// To know only who it is, a JWT needs no passport scope and no question to its issuer.
func TestLoginOnly(t *testing.T) {
	w := newWorld(t)
	login := func(token string) (bearer.Credentials, error) {
		return w.at(now, bearer.Presented{Token: trust.NewAccessToken(token), Login: true})
	}
	for _, issuer := range []string{brokerURL, providerURL, universityURL} {
		c, err := login(w.token(issuer, func(c *passporttest.AccessTokenClaims) { c.Scope = "openid" }))
		if err != nil || !onlyLogin(c) || c.Identity != (trust.Identity{Issuer: issuer, Subject: "researcher"}) || !c.Until.Equal(now.Add(time.Hour)) {
			t.Errorf("%+v %v", c, err)
		}
	}
	if len(w.asked) != 0 {
		t.Errorf("asked %v", w.asked)
	}
	// What was found out for a login does not stand for the whole.
	w.says(object{"sub": "researcher", "ga4gh_passport_v1": []string{"v1"}})
	token := w.token(providerURL)
	if c, err := login(token); err != nil || !onlyLogin(c) {
		t.Errorf("%+v %v", c, err)
	}
	if c := w.want(token); len(visasOf(c, trust.KindPassport)) != 1 {
		t.Errorf("%+v", c)
	}
	// An opaque token has to be asked about, and even so gives no visas.
	if c, err := login("opaque"); err != nil || !onlyLogin(c) || c.Subject != "researcher" {
		t.Errorf("%+v %v", c, err)
	}
	if _, err := login(w.token(brokerURL, func(c *passporttest.AccessTokenClaims) { c.Scope = "email" })); err == nil {
		t.Error("a token without openid signs somebody in")
	}
}

// Row 110: a token that is bound to a key is good only with a proof for that key, also
// when the answer is remembered; a proof for a token that is bound to none is an error.
func TestBoundToken(t *testing.T) {
	w := newWorld(t)
	w.gives()
	token := w.token(brokerURL, func(c *passporttest.AccessTokenClaims) { c.Confirmation = trust.Confirmation{JKT: "key"} })
	plain := w.token(brokerURL)
	show := func(token string, proven trust.Proven) error {
		_, err := w.at(now, bearer.Presented{Token: trust.NewAccessToken(token), Proven: proven})
		return err
	}
	for range 2 { // fresh, then remembered
		for _, bad := range []trust.Proven{{}, {JKT: "other"}, {X5T: "key"}} {
			err := show(token, bad)
			if refusal, ok := errors.AsType[*passport.Refusal](err); !ok || refusal.Reason != trust.ReasonNotProven {
				t.Errorf("with %+v: %v", bad, err)
			}
		}
		if err := show(plain, trust.Proven{JKT: "key"}); err == nil {
			t.Error("a proof for a token that is bound to none was taken")
		}
		if err := show(token, trust.Proven{JKT: "key", X5T: "any"}); err != nil {
			t.Error(err)
		}
		if err := show(plain, trust.Proven{X5T: "any"}); err != nil {
			t.Error(err)
		}
	}
	if n := w.count("exchange"); n != 2 {
		t.Errorf("asked %d times", n)
	}
}
