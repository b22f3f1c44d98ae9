package session

import (
	"context"
	"errors"
	"fmt"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/bearer"
	"github.com/candignode/candignode/trust/passport"
)

// renewed gives the session with an access token that has not run out. Questions
// that come at once share one renewal: an issuer that replaces refresh tokens takes
// a second use of one for theft (RFC 9700, section 4.14.2).
func (d *Desk) renewed(ctx context.Context, token trust.AccessToken, proven trust.Proven, opened Opened) (Opened, error) {
	if !d.runsOut(opened.Material) {
		return opened, nil
	}
	flight := d.renewals.DoChan(opened.ID, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), refreshTimeout)
		defer cancel()
		// Looked up again: a renewal may have ended since this question looked.
		opened, err := d.find(token, proven)
		if err != nil || !d.runsOut(opened.Material) {
			return opened, err
		}
		return d.renew(ctx, token, opened)
	})
	select {
	case <-ctx.Done():
		return Opened{}, ctx.Err()
	case result := <-flight:
		if result.Err != nil {
			return Opened{}, result.Err
		}
		return result.Val.(Opened), nil
	}
}

// runsOut tells whether the access token needs renewal, and can have it.
func (d *Desk) runsOut(m Material) bool {
	return !m.Refresh.IsZero() && !m.AccessExpires.IsZero() && !d.o.Now().Before(m.AccessExpires.Add(-refreshAhead))
}

// renew gets a new access token and seals it in place of the old one.
func (d *Desk) renew(ctx context.Context, token trust.AccessToken, opened Opened) (Opened, error) {
	m := opened.Material
	policy, ok := d.policy(m.Identity.Issuer)
	if !ok {
		return Opened{}, refuse(trust.ReasonUntrustedIssuer, "this site no longer signs people in with the session's issuer")
	}
	tokens, err := d.o.Provider.Refresh(ctx, policy, m.Refresh)
	if err == nil {
		err = d.same(ctx, policy, tokens, m)
	}
	if err != nil {
		return d.notRenewed(ctx, opened, err)
	}
	m.Access, m.AccessExpires = tokens.Access, tokens.Expires
	if m.AccessExpires.IsZero() {
		m.AccessExpires = d.o.Now().Add(assumedLife)
	}
	if !tokens.Refresh.IsZero() {
		m.Refresh = tokens.Refresh
	}
	sealed, err := d.seal(token, opened.ID, m)
	if err != nil {
		return Opened{}, err
	}
	if err := d.o.Store.ReplaceSealed(ctx, opened.ID, sealed, opened.Until); err != nil {
		return Opened{}, fmt.Errorf("session: %w", err)
	}
	opened.Sealed, opened.Material = sealed, m
	return opened, nil
}

// same checks that a renewal is still about the same person. An ID Token is
// optional there, and must agree if it comes; it has the nonce of the sign-in or none
// (OpenID Connect Core 1.0, section 12.2).
func (d *Desk) same(ctx context.Context, policy trust.IssuerPolicy, tokens bearer.Tokens, m Material) error {
	if tokens.Access.IsZero() {
		return fmt.Errorf("%w: no access token came", bearer.ErrUnavailable)
	}
	if tokens.ID.IsZero() {
		return nil
	}
	request := passport.TokenRequest{
		Kind: passport.IDToken, Compact: tokens.ID.Reveal(), Issuer: m.Identity.Issuer,
		Audience: []string{policy.Client.ID}, Access: tokens.Access, Now: d.o.Now(),
	}
	claims, err := d.o.Tokens(ctx, request)
	if err != nil && m.Nonce != "" {
		request.Nonce = m.Nonce
		claims, err = d.o.Tokens(ctx, request)
	}
	if err != nil {
		return fmt.Errorf("%w: the ID Token does not hold: %w", bearer.ErrRefused, err)
	}
	if claims.Identity != m.Identity {
		return fmt.Errorf("%w: the renewed tokens are somebody else's", bearer.ErrRefused)
	}
	return nil
}

// notRenewed ends the session if the issuer has ended it. While the issuer cannot be
// asked, the old token serves as long as it lasts.
func (d *Desk) notRenewed(ctx context.Context, opened Opened, err error) (Opened, error) {
	if errors.Is(err, bearer.ErrRefused) {
		if err := d.o.Store.EndSession(ctx, opened.ID, d.record(opened.Session, "not renewed", "")); err != nil {
			return Opened{}, fmt.Errorf("session: %w", err)
		}
		return Opened{}, refuse(trust.ReasonSession, "the issuer no longer renews the session; sign in again")
	}
	if d.o.Now().Before(opened.Material.AccessExpires) {
		return opened, nil
	}
	d.o.Log.Warn("a session could not be renewed", "session", opened.ID, "issuer", opened.Identity.Issuer, "error", err)
	return Opened{}, refuse(trust.ReasonProvider, "the issuer that signed you in cannot be asked now; ask again in a moment")
}
