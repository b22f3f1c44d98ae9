package dac

import (
	"context"
	"fmt"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/mint"
)

// Claims gives what this desk says as a source of claims about a person: a JWT with iss,
// iat, a near exp and ga4gh_passport_v1, the person's visas (OpenID Connect Core 1.0,
// section 5.6.2). It has no sub: the names that two issuers have for a person are not to
// be taken for one another (passports.md, row 85), so whoever fetched it knows whom it is
// about. It is a secret, like the visas in it. A person without visas has an empty list.
func (d *Desk) Claims(ctx context.Context, of trust.Identity, transaction string) (trust.Passport, time.Time, error) {
	visas, until, err := d.visas(ctx, of, transaction)
	if err != nil {
		return trust.Passport{}, time.Time{}, err
	}
	now := d.o.Now()
	expires := now.Add(claimsTTL)
	if len(visas) > 0 {
		expires = earlier(expires, until)
	}
	if expires.Unix() <= now.Unix() { // the last second of a grant: nothing that anybody could still use
		visas, expires = nil, now.Add(claimsTTL)
	}
	texts := make([]string, len(visas))
	for i, visa := range visas {
		texts[i] = visa.Compact()
	}
	claims := map[string]any{
		"iss": d.o.Issuer, "iat": now.Unix(), "exp": expires.Unix(), "jti": mint.NewID(),
		mint.ClaimPassport: texts,
	}
	if d.o.ClaimName != "" {
		claims[d.o.ClaimName] = texts
	}
	compact, err := d.signer.Sign(jose.Header{Type: mint.TypeJWT}, claims)
	if err != nil {
		return trust.Passport{}, time.Time{}, fmt.Errorf("claims: %w", err)
	}
	return trust.NewPassport(compact), time.Unix(expires.Unix(), 0).UTC(), nil
}
