package bearer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/passport"
)

// PassportFor exchanges the token of a caller that was accepted for a passport that is
// made for resource, a peer (RFC 8693; RFC 8707): the token itself never travels
// (passports.md, row 70). Passports are handed out again until shortly before they
// expire. The reply is for the caller to verify.
//
// The error is a *passport.Refusal, wraps ErrUnavailable if the issuer cannot be asked
// now or ErrNoWay if it makes no passports for tokens, or is ctx's. A token that is
// bound to a key is accepted only while Credentials remembers it, because no proof is
// at hand here.
func (d *Desk) PassportFor(ctx context.Context, token trust.AccessToken, resource string, now time.Time) (string, error) {
	if resource == "" {
		return "", fmt.Errorf("a passport for nobody in particular is not asked for: %w", ErrNoWay)
	}
	m := d.moment(now)
	if failure := m.readable(token); failure != nil {
		return "", failure.err()
	}
	record, policy, err := d.accepted(ctx, m, token)
	if err != nil {
		return "", err
	}
	if failure := d.holds(record, token.Digest(), m.now); failure != nil {
		return "", failure.err()
	}
	if policy.Tokens != trust.WayExchange {
		return "", fmt.Errorf("%s makes no passports for access tokens: %w", policy.Issuer, ErrNoWay)
	}
	q := m.question(token, false, resource)
	if compact, ok := d.targets.get(q, m.now); ok {
		return compact, nil
	}
	if failure, ok := d.refused.get(q, m.now); ok {
		return "", failure.err()
	}
	compact, err := fly(ctx, d, q, func(ctx context.Context) (string, *failure) {
		compact, until, failure := d.exchange(ctx, m, policy, token, resource)
		if failure != nil {
			if failure.reason == trust.ReasonRevoked {
				failure.detail = "its issuer makes no passport for that site out of this access token: the token has ended, or the issuer does not know the site"
			}
			return "", failure
		}
		until = earliest(until, record.until)
		until = earliest(until.Add(-targetMargin), m.now.Add(maxTargetLife))
		if until.After(m.now) {
			d.targets.put(q, until, compact, recordBytes+len(compact)+len(resource))
		}
		return compact, nil
	})
	if err != nil {
		return "", err
	}
	if failure := d.holds(record, token.Digest(), m.now); failure != nil {
		return "", failure.err()
	}
	return compact, nil
}

// accepted gives what is known of the token: what Credentials remembers, or what the
// token says itself.
func (d *Desk) accepted(ctx context.Context, m moment, token trust.AccessToken) (*record, trust.IssuerPolicy, error) {
	for _, login := range []bool{false, true} {
		if record, ok := d.known.get(m.question(token, login, ""), m.now); ok {
			if iv, ok := m.view.Lookup(record.issuer); ok {
				return record, iv.Policy, nil
			}
		}
	}
	w, err := d.whose(ctx, m, Presented{Token: token})
	if err != nil {
		return nil, trust.IssuerPolicy{}, err
	}
	r := &record{issuer: w.policy.Issuer, way: w.policy.Tokens, identity: w.claims.Identity, key: w.claims.Key, until: w.claims.Expires}
	r.add(w.claims.ID, w.claims.Confirmation)
	if r.until.IsZero() {
		r.until = m.now.Add(maxLife)
	}
	return r, w.policy, nil
}

// verifyClaims and fetchClaims are what the resolver of claims works with.
func (d *Desk) verifyClaims(ctx context.Context, compact, issuer string, now time.Time) ([]byte, time.Time, error) {
	iv, _ := d.options.View().Lookup(issuer)
	token, err := d.options.Tokens(ctx, passport.TokenRequest{
		Kind: passport.ClaimsJWT, Compact: compact, Issuer: issuer, Audience: d.audience(iv.Policy), Now: now,
	})
	if refusal, ok := errors.AsType[*passport.Refusal](err); ok {
		err = &jose.Error{Reason: refusal.Reason, Detail: refusal.Detail}
	}
	return token.Payload, token.Expires, err
}

func (d *Desk) fetchClaims(ctx context.Context, source trust.IssuerPolicy, endpoint string, token trust.AccessToken) ([]byte, error) {
	leave, err := d.gates.enter(ctx, source.Issuer)
	if err != nil {
		return nil, err
	}
	defer leave()
	body, err := d.options.Provider.Claims(ctx, source, endpoint, token)
	if err != nil {
		d.options.Log.WarnContext(ctx, "a source of claims did not answer as asked", "issuer", source.Issuer, "error", err)
	}
	return body, err
}
