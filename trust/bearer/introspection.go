package bearer

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/passport"
)

// introspection are the members of an introspection response that are read (RFC 7662,
// section 2.2).
type introspection struct {
	Active       exactlyTrue      `json:"active"`
	Issuer       jose.Text        `json:"iss"`
	Subject      jose.Text        `json:"sub"`
	Audience     jose.Texts       `json:"aud"`
	Scope        jose.Texts       `json:"scope"`
	ClientID     jose.Text        `json:"client_id"`
	TokenType    jose.Text        `json:"token_type"`
	ID           jose.Text        `json:"jti"`
	Expires      jose.NumericDate `json:"exp"`
	IssuedAt     jose.NumericDate `json:"iat"`
	NotBefore    jose.NumericDate `json:"nbf"`
	Confirmation confirmation     `json:"cnf"`
}

// leeway is how far iat and nbf may lie in the future, for clocks that differ.
const leeway = 30 * time.Second

// exactlyTrue is the boolean true, and no text or number that stands for it
// (passports.md, row 69).
type exactlyTrue bool

// UnmarshalJSON implements json.Unmarshaler.
func (t *exactlyTrue) UnmarshalJSON(data []byte) error {
	*t = string(data) == "true"
	return nil
}

// confirmation is cnf. A member that is not known would have to be proven in a way
// that this node does not know, so it makes the token unusable (RFC 7800, section 3.1).
type confirmation struct {
	trust.Confirmation
	unknown bool
}

// UnmarshalJSON implements json.Unmarshaler.
func (c *confirmation) UnmarshalJSON(data []byte) error {
	var members map[string]json.RawMessage
	var known struct {
		JKT jose.Text `json:"jkt"`
		X5T jose.Text `json:"x5t#S256"`
	}
	if data[0] != '{' {
		return &jose.Error{Reason: trust.ReasonBadClaim, Detail: "cnf is not an object"}
	}
	if err := jose.Unmarshal(data, &members); err != nil {
		return err
	}
	if err := jose.Unmarshal(data, &known); err != nil {
		return err
	}
	c.JKT, c.X5T = known.JKT.Value, known.X5T.Value
	count := 0
	for _, text := range []jose.Text{known.JKT, known.X5T} {
		if text.Present {
			count++
		}
		if text.Present && text.Value == "" {
			c.unknown = true
		}
	}
	c.unknown = c.unknown || count == 0 || count != len(members)
	return nil
}

// introspected asks the issuer whether the token is good and whose it is (RFC 7662;
// passports.md, row 69).
func (d *Desk) introspected(ctx context.Context, m moment, w whose, token trust.AccessToken, r *record) *failure {
	const what = "introspection"
	leave, err := d.gates.enter(ctx, w.policy.Issuer)
	if err != nil {
		return d.failed(ctx, what, w.policy.Issuer, err)
	}
	document, err := d.options.Provider.Introspect(ctx, w.policy, token)
	leave()
	if err != nil {
		return d.failed(ctx, what, w.policy.Issuer, err)
	}
	payload, until, failure := d.read(ctx, m, w.policy, document, passport.IntrospectionJWT)
	if failure != nil {
		return failure
	}
	if !until.IsZero() { // it was signed
		var outer struct {
			Answer json.RawMessage `json:"token_introspection"`
		}
		if err := jose.Unmarshal(payload, &outer); err != nil {
			return unreadable(what, err)
		}
		payload = outer.Answer
	}
	var answer introspection
	if err := jose.Unmarshal(payload, &answer); err != nil {
		return unreadable(what, err)
	}
	if failure := d.judge(answer, m, w); failure != nil {
		return failure
	}
	if answer.Subject.Present {
		r.identity = trust.Identity{Issuer: w.policy.Issuer, Subject: answer.Subject.Value}
	}
	r.until = earliest(r.until, answer.Expires.Time)
	r.add(answer.ID.Value, answer.Confirmation.Confirmation)
	return nil
}

// judge holds the reply against this site, the token itself, and the time.
func (d *Desk) judge(a introspection, m moment, w whose) *failure {
	begins := a.IssuedAt.Time
	if a.NotBefore.After(begins) {
		begins = a.NotBefore.Time
	}
	switch {
	case !bool(a.Active):
		return refuse(trust.ReasonRevoked, "its issuer says that the access token is not active: it has expired or was withdrawn; sign in again")
	case a.Issuer.Present && a.Issuer.Value != w.policy.Issuer:
		return refuse(trust.ReasonProvider, "introspection says that the access token is of another issuer (iss)")
	case a.Subject.Present && !identifier(a.Subject.Value), !a.Subject.Present && w.opaque:
		return refuse(trust.ReasonProvider, "introspection does not say whose the access token is (sub)")
	case !w.opaque && a.Subject.Present && a.Subject.Value != w.claims.Subject:
		return refuse(trust.ReasonProvider, "introspection and the access token name different people (sub)")
	case w.claims.ClientID != "" && a.ClientID.Present && a.ClientID.Value != w.claims.ClientID:
		return refuse(trust.ReasonProvider, "introspection and the access token name different clients (client_id)")
	case a.Audience.Present && !slices.ContainsFunc(d.audience(w.policy), func(name string) bool { return slices.Contains(a.Audience.Values, name) }):
		return refuse(trust.ReasonAudience, "the access token was made for somebody else (aud): ask for one for this site")
	case !a.Expires.IsZero() && !m.now.Before(a.Expires.Time):
		return refuse(trust.ReasonExpired, "the access token has expired: ask its issuer for a new one")
	case begins.After(m.now.Add(leeway)):
		return refuse(trust.ReasonNotYetValid, "the access token is not valid yet: is a clock wrong?")
	case a.Confirmation.unknown:
		return refuse(trust.ReasonUnsupportedToken, "the access token is bound to a key (cnf) in a way that cannot be shown here")
	case a.TokenType.Present && !strings.EqualFold(a.TokenType.Value, "Bearer") && !strings.EqualFold(a.TokenType.Value, "DPoP"):
		return refuse(trust.ReasonUnsupportedToken, "the token is no access token (token_type %.80q)", a.TokenType.Value)
	}
	return a.scoped(w.policy)
}

// scoped wants the scopes if the reply tells any: it need not (RFC 7662, section 2.2),
// and then UserInfo shows what the token gives.
func (a introspection) scoped(policy trust.IssuerPolicy) *failure {
	if !a.Scope.Present {
		return nil
	}
	words := a.Scope.Values
	if a.Scope.Array && !policy.ScopeArray {
		return refuse(trust.ReasonProvider, "introspection gives scope as an array, which this site does not take of this issuer")
	}
	if !a.Scope.Array {
		words = strings.Split(words[0], " ")
	}
	if !slices.Contains(words, scopeOpenID) || policy.Is(trust.KindPassport) && !slices.Contains(words, scopePassport) {
		return refuse(trust.ReasonScope, "the access token lacks the scopes that are needed here (openid, and ga4gh_passport_v1 for passports): sign in again and ask for them")
	}
	return nil
}
