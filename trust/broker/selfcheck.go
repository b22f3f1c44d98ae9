package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/mint"
	"github.com/candignode/candignode/trust/passport"
)

// ErrSelfCheck is wrapped by what SelfCheck returns.
var ErrSelfCheck = errors.New("others would not accept this node's passports")

// sample is somebody who does not exist, and whom the sample is for.
const sample = "https://self-check.invalid"

// SelfCheck signs a sample passport with its link and reads it as another site's
// clearinghouse would, with published: the bytes that were fetched from JWKSURI
// (passports.md, rows 72 and 113). nil checks against the keys that the desk would
// publish. The sample is about nobody and never leaves.
func (b *Broker) SelfCheck(ctx context.Context, published []byte) error {
	keys := b.Keys()
	if published != nil {
		var err error
		if keys, _, err = jose.ParseKeySet(published, false); err != nil {
			return fmt.Errorf("%w: the key set at %.200q cannot be read: %w", ErrSelfCheck, b.o.JWKSURI, err)
		}
	}
	now := b.o.Now()
	nobody := trust.Identity{Issuer: sample, Subject: "self-check"}
	identity, links, err := b.name(ctx, nobody, "self-check")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSelfCheck, err)
	}
	compact, err := b.signer.Passport(mint.Passport{
		Identity: identity, Audience: []string{sample}, IssuedAt: now, Expires: now.Add(b.o.PassportTTL), Visas: links,
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSelfCheck, err)
	}
	source, err := b.sourceOf(links[0])
	if err != nil {
		return err
	}
	view := &trust.View{Revision: 1, Issuers: map[string]trust.IssuerView{b.o.Issuer: {
		Policy: trust.IssuerPolicy{
			Issuer: b.o.Issuer, Kinds: []trust.Kind{trust.KindPassport, trust.KindVisa}, RequireAud: true,
			VisaTypes: []string{trust.VisaLinkedIdentities}, Sources: []string{source}, LinksFor: []string{sample},
		},
		JWKSURI: b.o.JWKSURI,
	}}}
	own := view.Issuers[b.o.Issuer]
	for _, key := range keys {
		own.Keys = append(own.Keys, trust.BelievedKey{Key: key, Until: now.Add(time.Hour)})
	}
	view.Issuers[b.o.Issuer] = own
	verifier := passport.New(passport.Options{View: func() *trust.View { return view }, OwnNames: []string{sample}})
	verdict, err := verifier.Verify(ctx, passport.Request{Passports: []string{compact.Compact()}, Now: now})
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrSelfCheck, err)
	case len(verdict.Visas) != 1:
		return fmt.Errorf("%w: the link was lost", ErrSelfCheck)
	case !verdict.Visas[0].Accepted:
		return fmt.Errorf("%w: %s: %s", ErrSelfCheck, verdict.Visas[0].Reason, verdict.Visas[0].Detail)
	}
	return nil
}

// sourceOf reads the link's source, which other sites must list, and makes sure that
// the link names this node's key set.
func (b *Broker) sourceOf(link trust.Passport) (string, error) {
	token, err := jose.Parse(link.Compact(), maxPassportBytes)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrSelfCheck, err)
	}
	var claims struct {
		Visa struct {
			Source jose.Text `json:"source"`
		} `json:"ga4gh_visa_v1"`
	}
	if err := token.UnverifiedClaims(&claims); err != nil {
		return "", fmt.Errorf("%w: %w", ErrSelfCheck, err)
	}
	if jku := token.Header().JKU; jku != b.o.JWKSURI {
		return "", fmt.Errorf("%w: links name another key set, %.200q", ErrSelfCheck, jku)
	}
	return claims.Visa.Source.Value, nil
}
