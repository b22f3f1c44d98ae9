package passport

import (
	"context"
	"slices"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// TokenKind says what a JWT was shown or fetched as. No token is of two kinds, and
// none of them is a passport or a visa (RFC 8725, section 3.12; passports.md, row 108):
// each has header types or claims that it must have and that the others must not.
// UserInfoJWT and ClaimsJWT alone are told apart by their issuer's kind only, because
// a source of claims may hand out its UserInfo response (OpenID Connect Core 1.0,
// section 5.6.2).
type TokenKind string

// The kinds.
const (
	AccessTokenJWT   TokenKind = "access_token"  // RFC 9068; GA4GH AAI 1.2, "Passport-Scoped Access Token"
	IDToken          TokenKind = "id_token"      // OpenID Connect Core 1.0, section 2
	UserInfoJWT      TokenKind = "userinfo"      // OpenID Connect Core 1.0, section 5.3.2
	ClaimsJWT        TokenKind = "claims"        // OpenID Connect Core 1.0, section 5.6.2
	IntrospectionJWT TokenKind = "introspection" // RFC 9701
)

// TokenRequest is a token and what it was shown or fetched as.
type TokenRequest struct {
	Kind    TokenKind
	Compact string
	// Issuer is who was asked for the token, and then nobody else's is taken. "":
	// the token's own, if it is configured; only for access tokens, which callers
	// bring.
	Issuer string
	// Audience are the names by which aud, azp and client_id may mean this node at
	// the issuer: for an ID token, a UserInfo response and an introspection response
	// the client id that asked. They are compared exactly.
	Audience []string
	// Nonce is what an ID token was asked for with; "" wants a token without one.
	Nonce string
	// Access is the access token that came with an ID token. If the ID token says
	// which one came with it (at_hash), it must be this one.
	Access trust.AccessToken
	// Scopes are those that an access token must have.
	Scopes []string
	// Proven names the keys whose possession the caller proved in this request.
	Proven trust.Proven
	Now    time.Time
}

// TokenClaims are the claims of a token that was verified.
type TokenClaims struct {
	trust.Identity // Subject is "" if a document names nobody
	IssuedAt       time.Time
	// Expires is the least of exp and the evidence for the key. Of a document
	// without exp it is an hour after iat, or after it was fetched.
	Expires      time.Time
	ID           string // jti
	Audience     []string
	Scope        []string
	ClientID     string // client_id, else azp
	Confirmation trust.Confirmation
	Key          string       // thumbprint of the verifying key
	Digest       trust.Digest // of the compact token
	Payload      []byte       // verified; GA4GH claims in an access or ID token must not be read from it
}

// tokenRefused is the Index of a Refusal that is not about a passport or set.
const tokenRefused = -1

// Token verifies a JWT that is neither passport nor visa, as the kind that it was
// shown or fetched as and as no other, under the believed keys of its issuer. It
// reads nothing but the token: whose visas an access token stands for is for others to
// ask its issuer. The error is a *Refusal with Index -1 (HTTP 401; 413 for
// trust.ReasonTooLarge and trust.ReasonTooMany).
func (v *Verifier) Token(ctx context.Context, req TokenRequest) (TokenClaims, error) {
	attempt := attempt{v: v, now: v.clock.at(req.Now), proven: req.Proven}
	var asked []string
	for {
		attempt.look()
		claims, refusal := attempt.token(req)
		if refusal == nil {
			return claims, nil
		}
		if v.options.UnknownKey == nil || !v.refresh(ctx, attempt.wanting, &asked) {
			return TokenClaims{}, &Refusal{Reason: refusal.Reason, Detail: refusal.Detail, Index: tokenRefused}
		}
	}
}

// token makes the checks that all kinds have in common, the cheap ones first.
func (a *attempt) token(req TokenRequest) (TokenClaims, *jose.Error) {
	rules, ok := tokenRules[req.Kind]
	if !ok {
		return TokenClaims{}, refuse(trust.ReasonUnsupportedToken, "%.80q is no kind of token", req.Kind)
	}
	if req.Issuer == "" && req.Kind != AccessTokenJWT {
		return TokenClaims{}, refuse(trust.ReasonUntrustedIssuer, "nobody was asked for this token, so nobody's is taken")
	}
	token, err := jose.Parse(req.Compact, rules.maxBytes)
	if err != nil {
		return TokenClaims{}, asRefusal(err)
	}
	header := token.Header()
	if !slices.ContainsFunc(rules.types, func(want string) bool { return header.Type == want || want != "" && header.IsType(want) }) {
		return TokenClaims{}, refuse(trust.ReasonWrongType, "a %.80q stands where the %s should", header.Type, rules.name)
	}
	trusted, key, refusal := a.tokenKey(token, req, rules)
	if refusal != nil {
		return TokenClaims{}, refusal
	}
	payload, err := token.Verify(key.Key, jose.RS256, jose.ES256)
	if err != nil {
		return TokenClaims{}, asRefusal(err)
	}
	claims, refusal := readToken(payload, rules)
	if refusal != nil {
		return TokenClaims{}, refusal
	}
	if claims.Issuer.Value != trusted.Policy.Issuer && (claims.Issuer.Present || !rules.unnamed) {
		return TokenClaims{}, refuse(trust.ReasonMalformed, "iss can be read in two ways")
	}
	end, refusal := a.tokenTimes(claims, rules)
	if refusal != nil {
		return TokenClaims{}, refusal
	}
	if refusal := rules.check(claims, &shownAs{req: req, policy: trusted.Policy, header: header, now: a.now}); refusal != nil {
		return TokenClaims{}, refusal
	}
	result := claims.result(trusted, key, req, payload)
	result.Expires = earliest(end, key.Until.UTC())
	return result, a.tokenHolder(token, claims, result, rules)
}

// tokenKey finds the key of the token's issuer, who must be the one that was asked
// and trusted for this kind of token.
func (a *attempt) tokenKey(token *jose.Token, req TokenRequest, rules *rulesOfToken) (trust.IssuerView, trust.BelievedKey, *jose.Error) {
	var none trust.BelievedKey
	header := token.Header()
	if refusal := allowed(header.Algorithm); refusal != nil {
		return trust.IssuerView{}, none, refusal
	}
	issuer, visas, err := token.Peek("ga4gh_passport_v1")
	if err != nil {
		refusal := asRefusal(err)
		if refusal.Reason != trust.ReasonMissingClaim || !rules.unnamed {
			return trust.IssuerView{}, none, refusal
		}
		issuer = req.Issuer
	}
	if req.Issuer != "" && issuer != req.Issuer {
		return trust.IssuerView{}, none, refuse(trust.ReasonUntrustedIssuer, "the %s was made by %s, and another was asked for it", rules.name, quoted(issuer))
	}
	trusted, ok := a.view.Lookup(issuer)
	if !ok || !slices.ContainsFunc(rules.issuers, trusted.Policy.Is) {
		return trusted, none, refuse(trust.ReasonUntrustedIssuer, "this site takes no %s of %s: its operator decides which issuers it trusts", rules.name, quoted(issuer))
	}
	if visas > maxVisas {
		return trusted, none, tooManyVisas()
	}
	key, refusal := chooseKey(trusted, header.KeyID, a.now)
	if refusal != nil && refusal.Reason == trust.ReasonUnknownKey {
		a.want(issuer)
	}
	return trusted, key, refusal
}

// tokenTimes checks iat, nbf and exp, and gives the end of what the token says. A
// document may come without exp (OpenID Connect Core 1.0, section 5.3.2; RFC 9701,
// section 5), and is then bounded here, for nothing that is signed holds for ever.
func (a *attempt) tokenTimes(c *tokenClaims, rules *rulesOfToken) (end time.Time, refusal *jose.Error) {
	exp := c.Expires
	if exp.IsZero() {
		exp.Time = a.now.Add(maxUndated)
		if !c.IssuedAt.IsZero() {
			exp.Time = c.IssuedAt.Add(maxUndated)
		}
	}
	if refusal, _ := inTime(a.now, c.IssuedAt, c.NotBefore, exp); refusal != nil {
		return time.Time{}, refusal
	}
	if rules.fresh && a.now.Sub(c.IssuedAt.Time) > maxFreshAge {
		return time.Time{}, refuse(trust.ReasonExpired, "the %s was made more than %v ago (iat), and is good only when it is new: sign in again", rules.name, maxFreshAge)
	}
	return exp.Time, nil
}

// tokenHolder tells whether the token is revoked, and whether whoever shows it
// holds the key that it is bound to (passports.md, rows 62 and 110). A proof that
// comes with a token that is bound to none proves nothing about it, and whoever sent
// it believed otherwise (RFC 9449, section 7.1).
func (a *attempt) tokenHolder(token *jose.Token, c *tokenClaims, result TokenClaims, rules *rulesOfToken) *jose.Error {
	if refusal := a.takenBack(signedFor{result.Identity, result.ID, result.Digest, result.Key, token}, rules.name); refusal != nil {
		return refusal
	}
	if refusal := c.Confirmation.binding(rules.name); refusal != nil {
		return refusal
	}
	if refusal := a.held(result.Confirmation, rules.name); refusal != nil {
		return refusal
	}
	if rules.holder && a.proven.JKT != "" && result.Confirmation.JKT == "" {
		return refuse(trust.ReasonNotProven, "a proof (DPoP) came with an %s that is not bound to its key: ask for one that is, or show it as Bearer", rules.name)
	}
	return nil
}
