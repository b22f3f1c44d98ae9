// Package mint writes the tokens that this node signs for people: visas, passports
// and links between identities (GA4GH AAI 1.2; GA4GH Passport 1.2). It is pure: who
// may have a token, for how long, and that it is on record before it leaves, is for
// the desks that hold the keys (trust/dac, trust/broker).
//
// The invariant: what is written here is what trust/passport reads as a document
// token or a passport, and no token says more than its fields.
package mint

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// The header types (GA4GH AAI 1.2, "Passport Format"; GA4GH Passport 1.2, "typ").
const (
	TypePassport = "vnd.ga4gh.passport+jwt"
	TypeVisa     = "vnd.ga4gh.visa+jwt"
	TypeJWT      = "JWT"
)

// ClaimPassport is the claim that visas stand in (GA4GH AAI 1.2).
const ClaimPassport = "ga4gh_passport_v1"

// ByDAC is the by of what a data access committee decided, BySystem of what software
// found out by itself (GA4GH Passport 1.2, "by").
const (
	ByDAC    = "dac"
	BySystem = "system"
)

// visaScope is what a visa is good for at the endpoint of an access token: nothing.
// It must not hold openid, which would make the visa an access token (passports.md,
// row 14).
const visaScope = "ga4gh_visa_v1"

// ErrKey is wrapped by what is returned for a key that cannot sign here.
var ErrKey = errors.New("not a key for passports and visas: use P-256, or RSA of 2048 bits or more")

// ErrKeyReused is wrapped by what is returned for a key that has another use already
// (passports.md, row 117).
var ErrKeyReused = errors.New("the key has another use already: make one of its own")

// ErrTimes is wrapped by what is returned for a token that would end before it begins.
var ErrTimes = errors.New("the token would end before it begins")

// Signer signs with one key. It is immutable and safe for concurrent use.
type Signer struct {
	key    crypto.Signer
	public trust.Key
}

// NewSigner takes an RSA or P-256 key. Its kid is its thumbprint, so that no two keys
// of one issuer can have the same. others are the public keys that sign other things,
// by the names that an operator knows them by; one that is the same key is refused.
func NewSigner(key crypto.Signer, others map[string]crypto.PublicKey) (*Signer, error) {
	if key == nil {
		return nil, fmt.Errorf("%w: there is none", ErrKey)
	}
	thumbprint, err := jose.Thumbprint(key.Public())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	s := &Signer{key: key, public: trust.Key{Thumbprint: thumbprint, KeyID: thumbprint, Public: key.Public()}}
	if _, err := jose.MarshalKeySet([]trust.Key{s.public}); err != nil { // Ed25519, a short RSA key
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	for name, other := range others {
		if same, err := jose.Thumbprint(other); err == nil && same == thumbprint {
			return nil, fmt.Errorf("%w: it is that of %.80q", ErrKeyReused, name)
		}
	}
	probe, err := s.Sign(jose.Header{Type: TypeJWT}, struct{}{})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	token, err := jose.Parse(probe, maxProbeBytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	s.public.Algorithm = token.Header().Algorithm
	if _, err := token.Verify(s.public, jose.RS256, jose.ES256); err != nil {
		return nil, fmt.Errorf("%w: what it signs does not verify", ErrKey)
	}
	return s, nil
}

// Public is the key to publish.
func (s *Signer) Public() trust.Key { return s.public }

// Sign gives the compact token of claims, which must encode as a JSON object. h.KeyID is filled in.
func (s *Signer) Sign(h jose.Header, claims any) (string, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // URLs stay as they are written elsewhere
	if err := encoder.Encode(claims); err != nil {
		return "", fmt.Errorf("claims: %w", err)
	}
	h.KeyID = s.public.KeyID
	return jose.Sign(h, bytes.TrimSpace(text.Bytes()), s.key)
}

// Visa is the content of a document token visa.
type Visa struct {
	trust.Identity // iss and sub
	Type           string
	Value          string
	Source         string
	By             string
	Asserted       time.Time // when the source decided
	IssuedAt       time.Time
	Expires        time.Time
	JKU            string // where the issuer's key set is
}

type visaClaims struct {
	registered
	Scope string     `json:"scope"`
	Visa  visaObject `json:"ga4gh_visa_v1"`
}

type visaObject struct {
	Type     string `json:"type"`
	Asserted int64  `json:"asserted"`
	Value    string `json:"value"`
	Source   string `json:"source"`
	By       string `json:"by,omitempty"`
}

type registered struct {
	Issuer   string   `json:"iss"`
	Subject  string   `json:"sub"`
	Audience []string `json:"aud,omitempty"`
	IssuedAt int64    `json:"iat"`
	Expires  int64    `json:"exp"`
	ID       string   `json:"jti"`
}

// Visa signs v under a new jti. Times are cut to whole seconds, downwards, so that no
// token lasts longer than was asked for.
func (s *Signer) Visa(v Visa) (trust.Passport, error) {
	if err := inOrder(v.IssuedAt, v.Expires); err != nil {
		return trust.Passport{}, err
	}
	if v.Asserted.Unix() > v.IssuedAt.Unix() {
		return trust.Passport{}, fmt.Errorf("%w: it was asserted only after that", ErrTimes)
	}
	compact, err := s.Sign(jose.Header{Type: TypeVisa, JKU: v.JKU}, visaClaims{
		registered: registered{
			Issuer: v.Issuer, Subject: v.Subject, ID: NewID(),
			IssuedAt: v.IssuedAt.Unix(), Expires: v.Expires.Unix(),
		},
		Scope: visaScope,
		Visa:  visaObject{Type: v.Type, Asserted: v.Asserted.Unix(), Value: v.Value, Source: v.Source, By: v.By},
	})
	return trust.NewPassport(compact), err
}

// Passport is the content of a passport.
type Passport struct {
	trust.Identity
	Audience []string
	IssuedAt time.Time
	Expires  time.Time
	// Actor is who acts for the person, recorded in act (RFC 8693, section 4.1); ""
	// if nobody does.
	Actor string
	Visas []trust.Passport
}

type passportClaims struct {
	registered
	Actor *actor   `json:"act,omitempty"`
	Visas []string `json:"ga4gh_passport_v1"`
}

type actor struct {
	Subject string `json:"sub"`
}

// ErrAudience is returned for a passport for nobody: it would hold everywhere.
var ErrAudience = errors.New("a passport needs an audience")

// Passport signs p under a new jti, with its visas byte-identical. It refuses one
// that names no audience (passports.md, row 77).
func (s *Signer) Passport(p Passport) (trust.Passport, error) {
	if err := inOrder(p.IssuedAt, p.Expires); err != nil {
		return trust.Passport{}, err
	}
	if len(p.Audience) == 0 || slices.Contains(p.Audience, "") {
		return trust.Passport{}, ErrAudience
	}
	claims := passportClaims{
		registered: registered{
			Issuer: p.Issuer, Subject: p.Subject, Audience: p.Audience, ID: NewID(),
			IssuedAt: p.IssuedAt.Unix(), Expires: p.Expires.Unix(),
		},
		Visas: make([]string, 0, len(p.Visas)),
	}
	if p.Actor != "" {
		claims.Actor = &actor{p.Actor}
	}
	for _, visa := range p.Visas {
		claims.Visas = append(claims.Visas, visa.Compact())
	}
	compact, err := s.Sign(jose.Header{Type: TypePassport}, claims)
	return trust.NewPassport(compact), err
}

func inOrder(begins, ends time.Time) error {
	if begins.Unix() < 1 || ends.Unix() <= begins.Unix() {
		return ErrTimes
	}
	return nil
}

// NewID gives a jti that nobody else has: 130 random bits.
func NewID() string { return rand.Text() }

// DocumentToken tells whether a visa has the form of a document token: a jku, and a
// scope without openid (passports.md, row 14). Nothing else of it is checked. It is for
// those that pass visas on: one that is an access token must stay where it is.
func DocumentToken(visa trust.Passport) bool {
	token, err := jose.Parse(visa.Compact(), maxVisaBytes)
	if err != nil {
		return false
	}
	header := token.Header()
	if header.JKU == "" || header.Type != "" && !header.IsType(TypeJWT) && !header.IsType(TypeVisa) {
		return false
	}
	var claims struct {
		Scope jose.Text `json:"scope"`
		Visa  *struct{} `json:"ga4gh_visa_v1"`
	}
	if token.UnverifiedClaims(&claims) != nil || claims.Visa == nil {
		return false
	}
	return !slices.Contains(strings.Fields(claims.Scope.Value), "openid")
}
