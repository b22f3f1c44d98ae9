package bearer_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/bearer"
	"github.com/candignode/candignode/trust/passport/passporttest"
)

// tells lets introspection answer everybody with these members.
func (w *world) tells(o object) {
	w.introspect = func(context.Context, string, string) (bearer.Document, error) { return answer(o) }
}

// active is a good answer, changed member by member; nil takes one out.
func active(change object) object {
	o := object{
		"active": true, "iss": introURL, "sub": "researcher", "aud": "this-node", "exp": now.Add(10 * time.Minute).Unix(), "iat": now.Unix(),
		"scope": "openid ga4gh_passport_v1", "token_type": "Bearer", "client_id": "this-command-line", "jti": "token-1",
	}
	for name, value := range change {
		o[name] = value
		if value == nil {
			delete(o, name)
		}
	}
	return o
}

// Row 69: an active token is taken until the end that introspection tells, with the
// visas that UserInfo gives, if it gives any.
func TestIntrospection(t *testing.T) {
	w := newWorld(t)
	w.tells(active(nil))
	c := w.want(w.token(introURL))
	if !onlyLogin(c) || c.Identity != (trust.Identity{Issuer: introURL, Subject: "researcher"}) || !c.Until.Equal(now.Add(10*time.Minute)) {
		t.Errorf("%+v", c)
	}
	w.says(object{"sub": "researcher", "ga4gh_passport_v1": []string{"v1"}})
	if c = w.want(w.token(introURL)); !slices.Equal(visasOf(c, trust.KindPassport), []string{"v1"}) || !c.Until.Equal(now.Add(10*time.Minute)) {
		t.Errorf("%+v", c)
	}
	// All but active and sub is optional, and sub is for a JWT.
	w.tells(object{"active": true})
	w.want(w.token(introURL))
	w.tells(active(object{"aud": []string{"other", node}, "token_type": "dpop", "unknown": 1}))
	w.want(w.token(introURL))
	// UserInfo about somebody else, or refusing, is no answer.
	w.says(object{"sub": "another", "ga4gh_passport_v1": []string{"v1"}})
	w.wantRefusal(trust.ReasonProvider, w.token(introURL))
	w.userInfo = func(context.Context, string, string) (bearer.Document, error) {
		return bearer.Document{}, bearer.ErrRefused
	}
	w.wantRefusal(trust.ReasonRevoked, w.token(introURL))
}

// Row 69: only the boolean true is active.
func TestInactive(t *testing.T) {
	w := newWorld(t)
	w.says(object{"sub": "researcher", "ga4gh_passport_v1": []string{"v1"}})
	for _, value := range []any{false, "true", 1, nil, []bool{true}, object{"active": true}, "yes"} {
		w.tells(active(object{"active": value}))
		w.wantRefusal(trust.ReasonRevoked, w.token(introURL))
	}
	w.introspect = func(context.Context, string, string) (bearer.Document, error) {
		return answer(object{"active": nil, "sub": "researcher"})
	}
	w.wantRefusal(trust.ReasonRevoked, w.token(introURL))
	// A refusal of the node's own authentication (401) makes nothing active either.
	w.introspect = func(context.Context, string, string) (bearer.Document, error) {
		return bearer.Document{}, fmt.Errorf("invalid_client: %w", bearer.ErrRefused)
	}
	w.wantRefusal(trust.ReasonRevoked, w.token(introURL))
	w.introspect = nil
	w.wantRefusal(trust.ReasonUnsupportedToken, w.token(introURL))
	if w.count("userinfo") != 0 {
		t.Error("UserInfo was asked for a token that is not active")
	}
}

// Row 69: iss, aud, exp, and what else the answer says of the token, must fit.
func TestIntrospectionThatDoesNotFit(t *testing.T) {
	for name, c := range map[string]struct {
		change object
		want   trust.Reason
	}{
		"another issuer":       {object{"iss": brokerURL}, trust.ReasonProvider},
		"another person":       {object{"sub": "another"}, trust.ReasonProvider},
		"nobody":               {object{"sub": ""}, trust.ReasonProvider},
		"for another":          {object{"aud": "portal"}, trust.ReasonAudience},
		"for several others":   {object{"aud": []string{"portal", peer}}, trust.ReasonAudience},
		"for nobody":           {object{"aud": []string{}}, trust.ReasonAudience},
		"aud is a number":      {object{"aud": 5}, trust.ReasonProvider},
		"of another client":    {object{"client_id": "portal"}, trust.ReasonProvider},
		"expired":              {object{"exp": now.Unix()}, trust.ReasonExpired},
		"exp is text":          {object{"exp": "2099-01-01"}, trust.ReasonProvider},
		"exp is zero":          {object{"exp": 0}, trust.ReasonProvider},
		"not yet":              {object{"nbf": now.Add(time.Minute).Unix()}, trust.ReasonNotYetValid},
		"made in the future":   {object{"iat": now.Add(time.Minute).Unix()}, trust.ReasonNotYetValid},
		"a refresh token":      {object{"token_type": "refresh_token"}, trust.ReasonUnsupportedToken},
		"no passport scope":    {object{"scope": "openid profile"}, trust.ReasonScope},
		"no openid scope":      {object{"scope": "ga4gh_passport_v1"}, trust.ReasonScope},
		"a scope like it":      {object{"scope": "openid ga4gh_passport_v1x"}, trust.ReasonScope},
		"scope is an array":    {object{"scope": []string{"openid", "ga4gh_passport_v1"}}, trust.ReasonProvider},
		"scope is a number":    {object{"scope": 7}, trust.ReasonProvider},
		"cnf of another kind":  {object{"cnf": object{"kid": "x"}}, trust.ReasonUnsupportedToken},
		"cnf with more":        {object{"cnf": object{"jkt": "x", "kid": "x"}}, trust.ReasonUnsupportedToken},
		"cnf with nothing":     {object{"cnf": object{}}, trust.ReasonUnsupportedToken},
		"cnf with empty text":  {object{"cnf": object{"jkt": ""}}, trust.ReasonUnsupportedToken},
		"cnf is text":          {object{"cnf": "x"}, trust.ReasonProvider},
		"cnf's jkt a number":   {object{"cnf": object{"jkt": 5}}, trust.ReasonProvider},
		"bound, and no proof":  {object{"cnf": object{"jkt": "key"}}, trust.ReasonNotProven},
		"bound to another key": {object{"cnf": object{"x5t#S256": "cert"}}, trust.ReasonNotProven},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.tells(active(c.change))
			token := w.token(introURL, func(a *passporttest.AccessTokenClaims) { a.ClientID = "this-command-line" })
			w.wantRefusal(c.want, token)
		})
	}
	w := newWorld(t)
	w.policy(introURL, func(p *trust.IssuerPolicy) { p.ScopeArray = true })
	w.tells(active(object{"scope": []string{"openid", "ga4gh_passport_v1"}}))
	w.want(w.token(introURL))
}

// A token that introspection says is bound to a key needs the proof each time, whoever
// showed it before; rows 69 and 110.
func TestIntrospectionTellsTheKey(t *testing.T) {
	w := newWorld(t)
	w.policy(opaqueURL, func(p *trust.IssuerPolicy) { p.Tokens = trust.WayIntrospection })
	w.tells(active(object{"iss": opaqueURL, "aud": nil, "cnf": object{"jkt": "key", "x5t#S256": "cert"}}))
	good := trust.Proven{JKT: "key", X5T: "cert"}
	for range 2 {
		for _, bad := range []trust.Proven{{}, {JKT: "key"}, {X5T: "cert"}, {JKT: "other", X5T: "cert"}} {
			c, err := w.at(now, bearer.Presented{Token: trust.NewAccessToken("opaque"), Proven: bad})
			w.refused(c, err, trust.ReasonNotProven, "opaque")
		}
		if c, err := w.at(now, bearer.Presented{Token: trust.NewAccessToken("opaque"), Proven: good}); err != nil || c.Subject != "researcher" {
			t.Errorf("%+v %v", c, err)
		}
	}
	if w.count("introspect") != 1 {
		t.Errorf("asked %v", w.asked)
	}
	// Of an opaque token it must say whose it is.
	w.tells(active(object{"iss": opaqueURL, "aud": nil, "sub": nil}))
	w.wantRefusal(trust.ReasonProvider, "another-opaque")
}

// Row 69: a signed answer (RFC 9701) is verified, and nothing in it outside of
// token_introspection counts.
func TestSignedIntrospection(t *testing.T) {
	w := newWorld(t)
	reply := func(mediaType, body string) {
		w.introspect = func(context.Context, string, string) (bearer.Document, error) {
			return bearer.Document{MediaType: mediaType, Body: []byte(body)}, nil
		}
	}
	const signed = "application/token-introspection+jwt"
	sign := func(issuer string, o object) string {
		return w.issuers[issuer].Introspection([]string{"this-node"}, now, passporttest.Claims(o))
	}
	reply(signed, sign(introURL, active(nil)))
	w.want(w.token(introURL))
	reply(signed, sign(introURL, active(object{"active": false})))
	w.wantRefusal(trust.ReasonRevoked, w.token(introURL))
	reply(signed, sign(strangerURL, active(nil)))
	w.wantRefusal(trust.ReasonProvider, w.token(introURL))
	reply(signed, sign(brokerURL, active(nil)))
	w.wantRefusal(trust.ReasonProvider, w.token(introURL))
	reply("application/jwt", sign(introURL, active(nil)))
	w.wantRefusal(trust.ReasonProvider, w.token(introURL))
	reply("application/json", sign(introURL, active(nil)))
	w.wantRefusal(trust.ReasonProvider, w.token(introURL))
	reply(signed, string(active(nil).text()))
	w.wantRefusal(trust.ReasonProvider, w.token(introURL))
	reply("text/plain", string(active(nil).text()))
	w.wantRefusal(trust.ReasonProvider, w.token(introURL))
	// The claims of the envelope are not those of the token.
	reply("application/json", string(object{"token_introspection": active(nil)}.text()))
	w.wantRefusal(trust.ReasonRevoked, w.token(introURL))
}
