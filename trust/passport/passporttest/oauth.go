package passporttest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// PassportScope is the scope of an access token that gives passports and visas
// (GA4GH AAI 1.2, "Passport-Scoped Access Token").
const PassportScope = "openid ga4gh_passport_v1"

// Claims are members of a payload. They are written as they are, over the
// claims that a kind of token has by itself; a nil value takes a claim out.
type Claims map[string]any

// AccessTokenClaims are the claims of an access token that is a JWT. Zero ones are
// left out of the token.
type AccessTokenClaims struct {
	Subject      string
	Audience     []string
	ID           string // jti
	IssuedAt     time.Time
	NotBefore    time.Time
	Expires      time.Time
	Scope        string // "": PassportScope; "-": none
	ClientID     string
	Confirmation trust.Confirmation
	Type         string // header typ; "": at+jwt
	More         Claims
}

// AccessToken signs an access token.
func (i *Issuer) AccessToken(c AccessTokenClaims) string {
	claims := registered{
		Issuer: i.URL, Subject: c.Subject, Audience: c.Audience, ID: c.ID, Scope: c.Scope,
		IssuedAt: seconds(c.IssuedAt), NotBefore: seconds(c.NotBefore), Expires: seconds(c.Expires),
	}
	switch c.Scope {
	case "":
		claims.Scope = PassportScope
	case "-":
		claims.Scope = ""
	}
	more := Claims{}
	if c.ClientID != "" {
		more["client_id"] = c.ClientID
	}
	if !c.Confirmation.IsZero() {
		more["cnf"] = c.Confirmation
	}
	maps.Copy(more, c.More)
	typ := c.Type
	if typ == "" {
		typ = "at+jwt"
	}
	return i.with(jose.Header{Type: typ}, claims, more)
}

// IDTokenClaims are the claims of an ID token. Zero ones are left out of the token.
type IDTokenClaims struct {
	Subject         string
	Audience        []string
	AuthorizedParty string // azp
	Nonce           string
	IssuedAt        time.Time
	Expires         time.Time
	More            Claims
}

// IDToken signs an ID token (OpenID Connect Core 1.0, section 2).
func (i *Issuer) IDToken(c IDTokenClaims) string {
	claims := registered{
		Issuer: i.URL, Subject: c.Subject, Audience: c.Audience,
		IssuedAt: seconds(c.IssuedAt), Expires: seconds(c.Expires),
	}
	more := Claims{}
	if c.Nonce != "" {
		more["nonce"] = c.Nonce
	}
	if c.AuthorizedParty != "" {
		more["azp"] = c.AuthorizedParty
	}
	maps.Copy(more, c.More)
	return i.with(jose.Header{Type: "JWT"}, claims, more)
}

// DocumentClaims are the claims of a signed answer: of UserInfo, of a source of
// claims, or of introspection. Zero ones are left out of the token.
type DocumentClaims struct {
	Subject  string
	Audience []string
	IssuedAt time.Time
	Expires  time.Time
	Visas    []string // ga4gh_passport_v1; nil: none
	More     Claims
}

// UserInfo signs a UserInfo response (OpenID Connect Core 1.0, section 5.3.2).
func (i *Issuer) UserInfo(c DocumentClaims) string { return i.document("JWT", c) }

// ClaimsJWT signs what a source of aggregated or distributed claims gives (OpenID
// Connect Core 1.0, section 5.6.2).
func (i *Issuer) ClaimsJWT(c DocumentClaims) string { return i.document("JWT", c) }

// Introspection signs an introspection response (RFC 9701, section 5): answer is
// the member token_introspection.
func (i *Issuer) Introspection(audience []string, at time.Time, answer Claims) string {
	return i.document("token-introspection+jwt", DocumentClaims{
		Audience: audience, IssuedAt: at, More: Claims{"token_introspection": answer},
	})
}

func (i *Issuer) document(typ string, c DocumentClaims) string {
	more := Claims{}
	if c.Visas != nil {
		more["ga4gh_passport_v1"] = c.Visas
	}
	maps.Copy(more, c.More)
	return i.with(jose.Header{Type: typ}, registered{
		Issuer: i.URL, Subject: c.Subject, Audience: c.Audience, IssuedAt: seconds(c.IssuedAt), Expires: seconds(c.Expires),
	}, more)
}

// with signs the claims with more of them laid over.
func (i *Issuer) with(h jose.Header, claims registered, more Claims) string {
	text, err := json.Marshal(claims)
	if err != nil {
		return "" // strings and numbers always encode
	}
	all := Claims{}
	if err := json.Unmarshal(text, &all); err != nil {
		return ""
	}
	for name, value := range map[string]int64{"iat": claims.IssuedAt, "nbf": claims.NotBefore, "exp": claims.Expires} {
		if value != 0 {
			all[name] = value // not as a float
		}
	}
	for name, value := range more {
		if value == nil {
			delete(all, name)
			continue
		}
		all[name] = value
	}
	return i.token(h, all)
}

// Prover is a pretend client that proves with each request that it holds a key
// (DPoP, RFC 9449).
type Prover struct {
	key crypto.Signer
	jkt string
}

// NewProver makes a client with a fresh key for RS256 (2048 bits) or ES256.
func NewProver(algorithm string) (*Prover, error) {
	var key crypto.Signer
	var err error
	switch algorithm {
	case jose.RS256:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case jose.ES256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		err = ErrAlgorithm
	}
	if err != nil {
		return nil, fmt.Errorf("key of a client, %.80q: %w", algorithm, err)
	}
	jkt, err := jose.Thumbprint(key.Public())
	if err != nil {
		return nil, fmt.Errorf("key of a client: %w", err)
	}
	return &Prover{key, jkt}, nil
}

// JKT is the thumbprint of the key, as a token's cnf names it.
func (p *Prover) JKT() string { return p.jkt }

// ProofClaims are the claims of a DPoP proof. Zero ones are left out of the proof.
type ProofClaims struct {
	ID       string // jti; "": a fresh one
	Method   string // htm
	URL      string // htu
	IssuedAt time.Time
	Token    string // the access token, for ath
	Nonce    string
	More     Claims
}

// Proof signs a DPoP proof.
func (p *Prover) Proof(c ProofClaims) string {
	claims := Claims{"jti": c.ID}
	if c.ID == "" {
		claims["jti"] = rand.Text()
	}
	for name, value := range map[string]string{"htm": c.Method, "htu": c.URL, "nonce": c.Nonce} {
		if value != "" {
			claims[name] = value
		}
	}
	if !c.IssuedAt.IsZero() {
		claims["iat"] = c.IssuedAt.Unix()
	}
	if c.Token != "" {
		sum := sha256.Sum256([]byte(c.Token))
		claims["ath"] = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	for name, value := range c.More {
		if value == nil {
			delete(claims, name)
			continue
		}
		claims[name] = value
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "" // only a test's own claims may fail to encode
	}
	proof, err := jose.SignEmbedded("dpop+jwt", payload, p.key)
	if err != nil {
		return "" // NewProver made a key that signs
	}
	return proof
}
