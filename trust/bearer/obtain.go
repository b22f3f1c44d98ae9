package bearer

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/claims"
	"github.com/candignode/candignode/trust/jose"
)

// obtain asks the token's issuer in the way that the operator configured.
func (d *Desk) obtain(ctx context.Context, m moment, w whose, p Presented) (*record, *failure) {
	r := &record{
		issuer: w.policy.Issuer, way: w.policy.Tokens, identity: w.claims.Identity, key: w.claims.Key, until: w.claims.Expires,
	}
	r.add(w.claims.ID, w.claims.Confirmation)
	var failure *failure
	switch {
	case w.policy.Tokens == trust.WayIntrospection:
		if failure = d.introspected(ctx, m, w, p.Token, r); failure == nil && !p.Login {
			failure = d.informed(ctx, m, w, p, r)
		}
	case p.Login && !w.opaque: // the token itself says who it is
	case w.policy.Tokens == trust.WayExchange:
		failure = d.exchanged(ctx, m, w, p.Token, r)
	case w.policy.Tokens == trust.WayUserInfo:
		failure = d.informed(ctx, m, w, p, r)
	default:
		failure = refuse(trust.ReasonUnsupportedToken, "this site has no way to use access tokens of this issuer")
	}
	if failure != nil {
		return nil, failure
	}
	again := m.now.Add(maxLife)
	if r.until.IsZero() {
		r.until = again
	}
	r.fresh = earliest(r.until, again)
	if slices.ContainsFunc(r.absent, func(a claims.Absent) bool { return a.Later }) {
		r.fresh = earliest(r.fresh, m.now.Add(outageLife))
	}
	if len(r.passports) == 0 && len(r.sets) == 0 {
		r.sets = []trust.VisaSet{{Identity: r.identity, Via: trust.KindLogin}}
	}
	for i := range r.sets {
		r.sets[i].Until = earliest(r.sets[i].Until, r.until)
		r.fresh = earliest(r.fresh, r.sets[i].Until)
	}
	return r, d.holds(r, p.Token.Digest(), m.now)
}

// add takes what a further document says about the token itself.
func (r *record) add(jti string, confirmation trust.Confirmation) {
	if jti != "" && !slices.Contains(r.jtis, jti) {
		r.jtis = append(r.jtis, jti)
	}
	if !confirmation.IsZero() {
		r.confirmations = append(r.confirmations, confirmation)
	}
}

// exchanged gets a passport that is made for this node (passports.md, row 76). Nothing
// in it is believed: the verifier sees it as if its bearer had shown it.
func (d *Desk) exchanged(ctx context.Context, m moment, w whose, token trust.AccessToken, r *record) *failure {
	compact, until, failure := d.exchange(ctx, m, w.policy, token, "")
	if failure != nil {
		return failure
	}
	r.passports, r.until = []string{compact}, earliest(r.until, until)
	return nil
}

// exchange asks for a passport for resource and checks the reply, as far as it is not
// the passport's. until is zero if the reply does not say.
func (d *Desk) exchange(ctx context.Context, m moment, policy trust.IssuerPolicy, token trust.AccessToken, resource string) (compact string, until time.Time, _ *failure) {
	leave, err := d.gates.enter(ctx, policy.Issuer)
	if err != nil {
		return "", time.Time{}, d.failed(ctx, "token exchange", policy.Issuer, err)
	}
	defer leave()
	reply, err := d.options.Provider.Exchange(ctx, policy, token, resource)
	switch {
	case err != nil:
		return "", time.Time{}, d.failed(ctx, "token exchange", policy.Issuer, err)
	case reply.IssuedTokenType != passportTokenType:
		return "", time.Time{}, refuse(trust.ReasonProvider, "the issuer gave something else than a passport for the access token (issued_token_type %.80q)", reply.IssuedTokenType)
	case !strings.EqualFold(reply.TokenType, "Bearer") && !strings.EqualFold(reply.TokenType, "N_A"):
		// GA4GH shows Bearer, RFC 8693, section 2.2.1, would say N_A.
		return "", time.Time{}, refuse(trust.ReasonProvider, "the issuer gave a passport of token_type %.80q, which cannot be used", reply.TokenType)
	case reply.Passport == "" || len(reply.Passport) > maxDocumentBytes:
		return "", time.Time{}, refuse(trust.ReasonProvider, "the issuer gave an empty passport, or one of more than %d bytes", maxDocumentBytes)
	}
	if reply.ExpiresIn > 0 {
		until = m.now.Add(reply.ExpiresIn)
	}
	return reply.Passport, earliest(until, endOf(reply.Passport)), nil
}

// endOf reads the exp of a passport that is not verified, only to forget it in time;
// zero if there is none.
func endOf(compact string) time.Time {
	token, err := jose.Parse(compact, maxDocumentBytes)
	if err != nil {
		return time.Time{}
	}
	var end struct {
		Expires jose.NumericDate `json:"exp"`
	}
	if token.UnverifiedClaims(&end) != nil {
		return time.Time{}
	}
	return end.Expires.Time
}

// earliest takes a zero time for one that is not told.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
