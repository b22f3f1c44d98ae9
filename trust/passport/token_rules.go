package passport

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// rulesOfToken are what one kind of token must be, besides what all must.
type rulesOfToken struct {
	name     string   // in sentences
	types    []string // header types; "" stands for none
	issuers  []trust.Kind
	maxBytes int
	foreign  []string // claims that tokens of other kinds have, and this kind has not
	needs    []string // claims that it must have
	fresh    bool     // good only for maxFreshAge after iat
	unnamed  bool     // may lack iss: it is of whoever was asked for it, by its key
	holder   bool     // a caller brings it, and may have to prove that it is his
	check    func(*tokenClaims, *shownAs) *jose.Error
}

// shownAs is what the rules of a kind look at besides the claims.
type shownAs struct {
	req    TokenRequest
	policy trust.IssuerPolicy
	header jose.Header
	now    time.Time
}

// Every kind of token that takes the plain typ JWT, or none, is kept from being any
// other by claims. strangers stand in visas, DPoP proofs, entity statements and trust
// marks (OpenID Federation 1.0, sections 3 and 7), logout tokens and security events;
// signedIn in ID tokens.
var (
	strangers = []string{"ga4gh_visa_v1", "htm", "htu", "jwks", "trust_mark_type", "events"}
	signedIn  = []string{"nonce", "at_hash", "c_hash", "s_hash"}
)

var tokenRules = map[TokenKind]*rulesOfToken{
	AccessTokenJWT: {
		name:     "access token",
		types:    []string{plainType, accessType},
		issuers:  []trust.Kind{trust.KindLogin, trust.KindPassport},
		maxBytes: maxTokenBytes,
		// What stands for visas must not bring any: row 67.
		foreign: slices.Concat(strangers, signedIn, []string{"ga4gh_passport_v1", "token_introspection"}),
		needs:   []string{"sub", "iat", "exp"},
		holder:  true,
		check:   (*tokenClaims).access,
	},
	IDToken: {
		name:     "ID token",
		types:    []string{plainType, ""},
		issuers:  []trust.Kind{trust.KindLogin},
		maxBytes: maxTokenBytes,
		foreign:  slices.Concat(strangers, []string{"scope", "token_introspection"}),
		needs:    []string{"sub", "aud", "iat", "exp"},
		fresh:    true,
		check:    (*tokenClaims).signIn,
	},
	UserInfoJWT: {
		name:     "UserInfo response",
		types:    []string{plainType, ""},
		issuers:  []trust.Kind{trust.KindLogin, trust.KindPassport},
		maxBytes: maxPassportBytes,
		foreign:  slices.Concat(strangers, signedIn, []string{"scope", "token_introspection"}),
		needs:    []string{"sub"},
		// OpenID Connect Core 1.0, section 5.3.2, only recommends iss, and real providers
		// sign without it what they answer over their own TLS connection.
		unnamed: true,
		check:   (*tokenClaims).document,
	},
	ClaimsJWT: {
		name:     "answer of a source of claims",
		types:    []string{plainType, ""},
		issuers:  []trust.Kind{trust.KindClaims},
		maxBytes: maxPassportBytes,
		foreign:  slices.Concat(strangers, signedIn, []string{"scope", "token_introspection"}),
		check:    (*tokenClaims).sourced,
	},
	IntrospectionJWT: {
		name:     "introspection response",
		types:    []string{"token-introspection+jwt"},
		issuers:  []trust.Kind{trust.KindLogin, trust.KindPassport},
		maxBytes: maxPassportBytes,
		foreign:  slices.Concat(strangers, signedIn, []string{"scope"}),
		needs:    []string{"aud", "iat", "token_introspection"},
		fresh:    true,
		check:    (*tokenClaims).document,
	},
}

// access is what must hold of an access token (passports.md, row 66; RFC 9068, section
// 4). Without aud, the client that it was made for takes its place.
func (c *tokenClaims) access(j *shownAs) *jose.Error {
	switch {
	case !c.Scope.present && !j.header.IsType(accessType):
		// With the plain typ, scope is what only an access token has.
		return refuse(trust.ReasonMissingClaim, "scope is missing: the token is not an access token")
	case c.Scope.array && !j.policy.ScopeArray:
		return refuse(trust.ReasonScope, "scope is an array, and the standard wants one string: its issuer must correct it, or this site's operator allow it")
	}
	for _, wanted := range j.req.Scopes {
		if !slices.Contains(c.Scope.words, wanted) {
			return refuse(trust.ReasonScope, "the access token has not the scope %s: ask for one with it, or sign in again", quoted(wanted))
		}
	}
	switch {
	case c.Audience.present && !meet(c.Audience.names, j.req.Audience):
		return refuse(trust.ReasonAudience, "the access token was made for somebody else (aud): ask for one for this site")
	case c.Audience.present:
		return nil
	case !c.Client.Present && !c.Party.Present && j.policy.RequireAud:
		return refuse(trust.ReasonUnbound, "the access token names no audience (aud), and this site wants one: ask for one for this site")
	case c.Client.Present && !meet([]string{c.Client.Value}, j.req.Audience), c.Party.Present && !meet([]string{c.Party.Value}, j.req.Audience):
		return refuse(trust.ReasonAudience, "the access token was made for another client (client_id, azp): ask for one for this site")
	}
	return nil
}

// signIn is what must hold of an ID token (OpenID Connect Core 1.0, section 3.1.3.7,
// numbers 3 to 5 and 11, and section 3.1.3.8).
func (c *tokenClaims) signIn(j *shownAs) *jose.Error {
	switch {
	case !meet(c.Audience.names, j.req.Audience):
		return refuse(trust.ReasonAudience, "the ID token was made for another client (aud)")
	case len(c.Audience.names) > 1 && !c.Party.Present:
		return refuse(trust.ReasonAudience, "the ID token is for several (aud) and does not say who asked for it (azp)")
	case c.Party.Present && !meet([]string{c.Party.Value}, j.req.Audience):
		return refuse(trust.ReasonAudience, "another client asked for the ID token (azp)")
	case c.Nonce.Value != j.req.Nonce || c.Nonce.Present != (j.req.Nonce != ""):
		return refuse(trust.ReasonBadClaim, "the ID token is of another sign-in (nonce): sign in again")
	case c.AccessHash.Present && !j.req.Access.IsZero() && c.AccessHash.Value != halfHash(j.req.Access.Reveal()):
		return refuse(trust.ReasonBadClaim, "the ID token is of another access token (at_hash): sign in again")
	}
	return nil
}

// halfHash is the left half of the SHA-256, for RS256 and ES256 alike.
func halfHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}

// document is what must hold of an answer that this node asked for: if it says for
// whom it is, it is for this node (RFC 7519, section 4.1.3).
func (c *tokenClaims) document(j *shownAs) *jose.Error {
	if c.Audience.present && !meet(c.Audience.names, j.req.Audience) {
		return refuse(trust.ReasonAudience, "the answer was made for another client (aud)")
	}
	return nil
}

// sourced is what must hold of claims that a source signed. They come by way of a
// broker as well, who may have kept them for any time: so they must say when they were
// made or when they end. Their sub is the source's own, and need not be there
// (passports.md, row 85).
func (c *tokenClaims) sourced(j *shownAs) *jose.Error {
	if c.IssuedAt.IsZero() && c.Expires.IsZero() {
		return refuse(trust.ReasonMissingClaim, "the claims say neither when they were made (iat) nor when they end (exp)")
	}
	return c.document(j)
}

// meet tells whether one of the names is one of ours; an empty name names nobody.
func meet(names, ours []string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return name != "" && slices.Contains(ours, name) })
}
