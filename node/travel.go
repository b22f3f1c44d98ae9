package node

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/candignode/candignode/federation"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/bearer"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/mint"
	"github.com/candignode/candignode/trust/passport"
)

// maxTravelling bounds a passport that was got for a peer, in bytes, as the
// verifier at its end does.
const maxTravelling = 1 << 20

// resourceOf names a node as the target of a token exchange: an absolute URI, as
// RFC 8693, section 2.1, wants, that nobody else can be meant by.
func resourceOf(id trust.NodeID) string { return "urn:candignode:node:" + string(id) }

// travel gets the passports for one peer of a caller who came with a token or a
// session: exchanged at the issuer that made the token, or signed by this node's own
// broker. Both name the peer as their only audience (binding ladder, L3), so that
// the peer can use them nowhere else.
func (n *Node) travel(ctx context.Context, caller trust.Caller, to federation.Peer, transaction string) (federation.Travel, error) {
	resource := resourceOf(to.Node)
	if !caller.Token.IsZero() {
		// Whether it can be exchanged is for its own issuer to say, who need not be the one
		// that the caller is known by.
		travel, err := n.exchanged(ctx, caller.Token, resource)
		if n.broker == nil || !errors.Is(err, federation.ErrNoPassport) {
			return travel, err
		}
	}
	if n.broker == nil {
		return federation.Travel{}, federation.ErrNoPassport
	}
	visas, err := n.visasFor(ctx, caller, transaction)
	if err != nil {
		return federation.Travel{}, fmt.Errorf("%w: %w", federation.ErrNoBroker, err)
	}
	visas = n.neededOf(visas, caller, to.Node)
	identity, made, err := n.broker.Passport(ctx, caller, visas, resource, caller.Until, transaction)
	if err != nil {
		return federation.Travel{}, fmt.Errorf("%w: %w", federation.ErrNoBroker, err)
	}
	return federation.Travel{Identity: identity, Passports: []trust.Passport{made}}, nil
}

// exchanged gets a passport by token exchange. It is the peer who verifies it; what
// is read here is only whom it names, and that it was made for the peer and for
// nobody else: one without aud, or with more, could be shown again by its receiver.
func (n *Node) exchanged(ctx context.Context, token trust.AccessToken, resource string) (federation.Travel, error) {
	compact, err := n.bearer.PassportFor(ctx, token, resource, n.now())
	var refusal *passport.Refusal
	switch {
	case errors.Is(err, bearer.ErrNoWay):
		return federation.Travel{}, fmt.Errorf("%w: %w", federation.ErrNoPassport, err)
	case errors.As(err, &refusal), errors.Is(err, bearer.ErrRefused), errors.Is(err, bearer.ErrUnavailable):
		return federation.Travel{}, fmt.Errorf("%w: %w", federation.ErrNoBroker, err)
	case err != nil:
		return federation.Travel{}, err
	}
	named, err := bearerOf(compact)
	if err != nil {
		return federation.Travel{}, fmt.Errorf("%w: the passport that it gave cannot be read: %w", federation.ErrNoBroker, err)
	}
	if !slices.Equal(named.Audience.Values, []string{resource}) {
		return federation.Travel{}, fmt.Errorf("%w: the passport that it gave is not for that site alone", federation.ErrNoBroker)
	}
	return federation.Travel{
		Identity:  trust.Identity{Issuer: named.Issuer.Value, Subject: named.Subject.Value},
		Passports: []trust.Passport{trust.NewPassport(compact)},
	}, nil
}

// bearerClaims are what a passport says of its bearer, unverified.
type bearerClaims struct {
	Issuer   jose.Text   `json:"iss"`
	Subject  jose.Text   `json:"sub"`
	Audience jose.Texts  `json:"aud"`
	Visas    []jose.Text `json:"ga4gh_passport_v1"`
}

func bearerOf(compact string) (claims bearerClaims, err error) {
	token, err := jose.Parse(compact, maxTravelling)
	if err != nil {
		return claims, err
	}
	err = token.UnverifiedClaims(&claims)
	return claims, err
}

// visasOf gives the bytes of the caller's accepted visas that may travel: document
// tokens, which anybody can verify and nobody can ask anything with. They were
// verified when the caller was; here they are found again by their digests.
func visasOf(caller trust.Caller) ([]trust.Passport, error) {
	accepted := make(map[trust.Digest]bool, len(caller.Visas))
	for _, v := range caller.Visas {
		accepted[v.Digest] = true
	}
	var visas []trust.Passport
	take := func(visa trust.Passport) {
		if accepted[visa.Digest()] && mint.DocumentToken(visa) {
			accepted[visa.Digest()] = false // each once
			visas = append(visas, visa)
		}
	}
	for _, set := range caller.Sets {
		for _, visa := range set.Visas {
			take(visa)
		}
	}
	for _, p := range caller.Passports {
		claims, err := bearerOf(p.Compact())
		if err != nil {
			return nil, err
		}
		for _, visa := range claims.Visas {
			take(trust.NewPassport(visa.Value))
		}
	}
	return visas, nil
}
