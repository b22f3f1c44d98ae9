package dac

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/mint"
	"github.com/candignode/candignode/trust/passport"
)

// ErrSelfCheck is wrapped by what SelfCheck returns.
var ErrSelfCheck = errors.New("others would not accept this node's visas")

// sampleBroker vouches for the sample; it exists within SelfCheck only.
const sampleBroker = "https://self-check.invalid"

// SelfCheck signs a sample visa and reads it as another site's clearinghouse would, with
// published: the bytes that were fetched from JKU (passports.md, row 113). nil checks
// against the keys that the desk would publish. The sample is about nobody and never
// leaves, so no grant and no record stand behind it.
func (d *Desk) SelfCheck(ctx context.Context, published []byte) error {
	keys := d.Keys()
	if published != nil {
		var err error
		if keys, _, err = jose.ParseKeySet(published, false); err != nil {
			return fmt.Errorf("%w: the key set at %.200q cannot be read: %w", ErrSelfCheck, d.o.JKU, err)
		}
	}
	now := d.o.Now()
	visa, err := d.signer.Visa(mint.Visa{
		Identity: trust.Identity{Issuer: d.o.Issuer, Subject: "self-check"},
		Type:     trust.VisaControlledAccessGrants, Value: sampleBroker, Source: d.o.Source, By: mint.ByDAC,
		Asserted: now, IssuedAt: now, Expires: now.Add(d.o.VisaTTL), JKU: d.o.JKU,
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSelfCheck, err)
	}
	sample, brokerKey, err := samplePassport(visa, now)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSelfCheck, err)
	}
	own := trust.IssuerView{Policy: trust.IssuerPolicy{
		Issuer: d.o.Issuer, Kinds: []trust.Kind{trust.KindVisa}, JKU: []string{d.o.JKU},
		VisaTypes: []string{trust.VisaControlledAccessGrants}, Sources: []string{d.o.Source},
	}}
	for _, key := range keys {
		own.Keys = append(own.Keys, trust.BelievedKey{Key: key, Until: now.Add(time.Hour)})
	}
	view := &trust.View{Revision: 1, Issuers: map[string]trust.IssuerView{
		d.o.Issuer: own,
		sampleBroker: {
			Policy: trust.IssuerPolicy{Issuer: sampleBroker, Kinds: []trust.Kind{trust.KindPassport}},
			Keys:   []trust.BelievedKey{{Key: brokerKey, Until: now.Add(time.Hour)}},
		},
	}}
	verifier := passport.New(passport.Options{
		View:     func() *trust.View { return view },
		OwnNames: []string{sampleBroker},
	})
	verdict, err := verifier.Verify(ctx, passport.Request{Passports: []string{sample.Compact()}, Now: now})
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrSelfCheck, err)
	case len(verdict.Visas) != 1:
		return fmt.Errorf("%w: the sample was lost", ErrSelfCheck)
	case !verdict.Visas[0].Accepted:
		return fmt.Errorf("%w: %s: %s", ErrSelfCheck, verdict.Visas[0].Reason, verdict.Visas[0].Detail)
	}
	return nil
}

// samplePassport wraps the sample under a key that is thrown away.
func samplePassport(visa trust.Passport, now time.Time) (trust.Passport, trust.Key, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return trust.Passport{}, trust.Key{}, err
	}
	signer, err := mint.NewSigner(key, nil)
	if err != nil {
		return trust.Passport{}, trust.Key{}, err
	}
	sample, err := signer.Passport(mint.Passport{
		Identity: trust.Identity{Issuer: sampleBroker, Subject: "self-check"},
		Audience: []string{sampleBroker}, IssuedAt: now, Expires: now.Add(time.Minute),
		Visas: []trust.Passport{visa},
	})
	return sample, signer.Public(), err
}
