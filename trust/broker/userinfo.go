package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/mint"
)

// The media types of UserInfo (OpenID Connect Core 1.0, section 5.3.2).
const (
	MediaJSON = "application/json"
	MediaJWT  = "application/jwt"
)

// Source is another issuer of claims that UserInfo points to: an aggregated one has JWT,
// a distributed one Endpoint, and each exactly one of them (OpenID Connect Core 1.0,
// section 5.6.2).
type Source struct {
	Claim    string         // its name in _claim_names
	JWT      trust.Passport // a secret: it holds visas
	Endpoint string
}

// UserInfoRequest says about whom UserInfo speaks.
type UserInfoRequest struct {
	Caller trust.Caller
	// Visas of all committees, merged under ga4gh_passport_v1, each once.
	Visas   []trust.Passport
	Sources []Source
	// SubjectOnly leaves everything but sub out: the token has not the scope
	// ga4gh_passport_v1.
	SubjectOnly bool
	// Until is the end of the access token; a signed response ends no later.
	Until time.Time
	// Signed asks for a JWT, for Client.
	Signed      bool
	Client      string
	Transaction string
}

// Document is a UserInfo response. Its Body is a secret.
type Document struct {
	MediaType string
	Body      []byte
}

// UserInfo answers for the bearer of a passport-scoped access token: sub, which is the
// name in this node's passports, and ga4gh_passport_v1 (GA4GH AAI 1.2, "UserInfo").
// Several committees are merged into that one claim; a committee that speaks for itself
// has a claim name of its own, unless ArrayClaims is on (passports.md, row 89). The
// response must not be cached (passports.md, row 71).
func (b *Broker) UserInfo(ctx context.Context, r UserInfoRequest) (Document, error) {
	now := b.o.Now()
	switch {
	case r.Caller.Anonymous():
		return Document{}, ErrNobody
	case r.Until.IsZero() || r.Until.Unix() <= now.Unix():
		return Document{}, ErrExpired
	}
	if r.SubjectOnly {
		body, err := json.Marshal(map[string]string{"sub": b.subjectOf(r.Caller.Identity)})
		return Document{MediaJSON, body}, err
	}
	visas, err := carried(r.Visas)
	if err != nil {
		return Document{}, err
	}
	identity, link, err := b.name(ctx, r.Caller.Identity, r.Transaction)
	if err != nil {
		return Document{}, err
	}
	members := map[string]any{"sub": identity.Subject}
	if len(visas) > 0 || !slices.ContainsFunc(r.Sources, func(s Source) bool { return s.Claim == mint.ClaimPassport }) {
		members[mint.ClaimPassport] = compacts(append(link, visas...))
	}
	if err := b.point(members, r.Sources); err != nil {
		return Document{}, err
	}
	if !r.Signed {
		body, err := json.Marshal(members)
		return Document{MediaJSON, body}, err
	}
	if r.Client == "" {
		return Document{}, fmt.Errorf("%w: a signed response is for one client, and none is named", ErrClaims)
	}
	expires := now.Add(userInfoTTL)
	if r.Until.Before(expires) {
		expires = r.Until
	}
	members["iss"], members["aud"] = b.o.Issuer, r.Client
	members["iat"], members["exp"] = now.Unix(), expires.Unix()
	compact, err := b.signer.Sign(jose.Header{Type: mint.TypeJWT}, members)
	return Document{MediaJWT, []byte(compact)}, err
}

func compacts(visas []trust.Passport) []string {
	texts := make([]string, len(visas))
	for i, visa := range visas {
		texts[i] = visa.Compact()
	}
	return texts
}

// reserved are claims that no source is asked for: they say who and when.
var reserved = []string{"iss", "sub", "aud", "iat", "nbf", "exp", "jti", "_claim_names", "_claim_sources"}

// point adds _claim_names and _claim_sources. A name that is there as a normal claim
// too would be a conflict for whoever reads it (passports.md, row 88).
func (b *Broker) point(members map[string]any, sources []Source) error {
	if len(sources) == 0 {
		return nil
	}
	if len(sources) > maxSources {
		return fmt.Errorf("%w: more than %d sources", ErrClaims, maxSources)
	}
	names, described := map[string]any{}, map[string]any{}
	for i, source := range sources {
		if _, normal := members[source.Claim]; normal || slices.Contains(reserved, source.Claim) || source.Claim == "" || len(source.Claim) > maxClaimName {
			return fmt.Errorf("%w: %.80q cannot be a source's: it has another meaning here", ErrClaims, source.Claim)
		}
		id := "src" + strconv.Itoa(i+1)
		description, err := b.describe(source)
		if err != nil {
			return err
		}
		described[id] = description
		switch earlier := names[source.Claim].(type) {
		case nil:
			names[source.Claim] = id
		case string:
			if !b.o.ArrayClaims {
				return fmt.Errorf("%w: %.80q has two sources; give each committee a claim name of its own, or switch array_claims on", ErrClaims, source.Claim)
			}
			names[source.Claim] = []string{earlier, id}
		case []string:
			names[source.Claim] = append(earlier, id)
		}
	}
	members["_claim_names"], members["_claim_sources"] = names, described
	return nil
}

// describe gives a source's entry. An aggregated JWT must hold the claim that it is there
// for (passports.md, row 81); who reads it verifies it.
func (b *Broker) describe(source Source) (map[string]string, error) {
	aggregated := source.JWT.Compact() != ""
	switch {
	case aggregated == (source.Endpoint != ""):
		return nil, fmt.Errorf("%w: a source of %.80q has a JWT or an endpoint, and one of them only", ErrClaims, source.Claim)
	case !aggregated && (!b.o.Distributed || !secure(source.Endpoint)):
		return nil, fmt.Errorf("%w: distributed claims are off, or the endpoint of %.80q is not https", ErrClaims, source.Claim)
	case !aggregated:
		return map[string]string{"endpoint": source.Endpoint}, nil
	case !b.o.Aggregated:
		return nil, fmt.Errorf("%w: aggregated claims are off", ErrClaims)
	}
	token, err := jose.Parse(source.JWT.Compact(), maxPassportBytes)
	if err != nil {
		return nil, fmt.Errorf("%w: the JWT for %.80q: %w", ErrClaims, source.Claim, err)
	}
	var claims map[string]any
	if err := token.UnverifiedClaims(&claims); err != nil {
		return nil, fmt.Errorf("%w: the JWT for %.80q: %w", ErrClaims, source.Claim, err)
	}
	if _, there := claims[source.Claim]; !there {
		return nil, fmt.Errorf("%w: the JWT for %.80q does not hold that claim", ErrClaims, source.Claim)
	}
	return map[string]string{"JWT": source.JWT.Compact()}, nil
}
