package bearer

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/passport"
)

// whose is what is known of a token before its issuer is asked.
type whose struct {
	policy trust.IssuerPolicy
	opaque bool
	claims passport.TokenClaims // zero for an opaque token
}

// readable refuses what no issuer made, or what is revoked, before anything else.
func (m moment) readable(token trust.AccessToken) *failure {
	text := token.Reveal()
	switch {
	case text == "":
		return refuse(trust.ReasonMissingClaim, "no access token was shown")
	case len(text) > maxTokenBytes:
		return refuse(trust.ReasonTooLarge, "the access token has more than %d bytes", maxTokenBytes)
	case !isBearerToken(text):
		return refuse(trust.ReasonMalformed, "the access token has characters that no access token has (RFC 6750, section 2.1)")
	case strings.HasPrefix(text, sessionPrefix):
		return refuse(trust.ReasonSession, "this is a session token of this node, and not an access token of an issuer")
	case m.revoked.Token(token.Digest()), twinIn(m.revoked, text):
		return refuse(trust.ReasonRevoked, "this site has revoked the access token: ask its operator")
	}
	return nil
}

// twinIn tells whether the same token is revoked under its other signature, which
// whoever holds it can write without the key.
func twinIn(revoked *trust.Revocations, text string) bool {
	if !revoked.AnyToken() {
		return false
	}
	twin, ok := jose.Twin(text)
	return ok && revoked.Token(twin)
}

// bearerCharacters are those of a b64token, as a table: every token is gone through
// each time that it is shown.
var bearerCharacters = func() (is [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/") {
		is[c] = true
	}
	return is
}()

// isBearerToken tells whether text is a b64token (RFC 6750, section 2.1).
func isBearerToken(text string) bool {
	bare := strings.TrimRight(text, "=")
	for i := range len(bare) {
		if !bearerCharacters[bare[i]] {
			return false
		}
	}
	return bare != ""
}

// isJWT tells whether text has a JOSE header and as many parts as a signed token.
// Such a token is never taken for an opaque one, however broken it is: it says who
// made it, and nobody else may see it.
func isJWT(text string) bool {
	header, rest, found := strings.Cut(text, ".")
	if !found || strings.Count(rest, ".") == 3 { // an encrypted one tells nothing: it is opaque
		return false
	}
	decoded, err := base64.RawURLEncoding.DecodeString(header)
	return err == nil && strings.HasPrefix(strings.TrimLeft(string(decoded), " \t\r\n"), "{")
}

// whose finds the issuer that made the token among the configured ones, without
// guessing (passports.md, row 65), and verifies the token if it is a JWT. The error is
// a *passport.Refusal or ctx's.
func (d *Desk) whose(ctx context.Context, m moment, p Presented) (whose, error) {
	w := whose{opaque: !isJWT(p.Token.Reveal())}
	failure := m.find(&w, p.Token.Reveal())
	if failure == nil {
		failure = m.taken(w.policy)
	}
	if failure != nil {
		return whose{}, failure.err()
	}
	if w.opaque {
		return w, nil
	}
	scopes := []string{scopeOpenID}
	if w.policy.Is(trust.KindPassport) && !p.Login {
		scopes = append(scopes, scopePassport)
	}
	token, err := d.options.Tokens(ctx, passport.TokenRequest{
		Kind: passport.AccessTokenJWT, Compact: p.Token.Reveal(), Issuer: w.policy.Issuer, Audience: d.audience(w.policy),
		Scopes: scopes, Proven: p.Proven, Now: m.now,
	})
	if err != nil {
		return whose{}, refusalOf(ctx, err)
	}
	if token.Issuer != w.policy.Issuer {
		return whose{}, refuse(trust.ReasonUntrustedIssuer, "the access token can be read in two ways").err()
	}
	w.claims = token
	return w, nil
}

// find chooses the policy: by iss for a JWT, and the one issuer of opaque tokens
// otherwise.
func (m moment) find(w *whose, text string) *failure {
	if w.opaque {
		found := 0
		if m.view != nil {
			for _, iv := range m.view.Issuers {
				if iv.Policy.OpaqueTokens {
					found++
					w.policy = iv.Policy
				}
			}
		}
		if found != 1 {
			return refuse(trust.ReasonUnsupportedToken, "the access token does not say who made it, and this site takes such tokens of no single issuer: use one that is a JWT")
		}
		return nil
	}
	token, err := jose.Parse(text, maxTokenBytes)
	if err == nil {
		var issuer string
		if issuer, err = token.UnverifiedIssuer(); err == nil {
			iv, ok := m.view.Lookup(issuer)
			if !ok || iv.Policy.Issuer != issuer {
				return refuse(trust.ReasonUntrustedIssuer, "this site does not take access tokens of %.80q: its operator decides which issuers it trusts", issuer)
			}
			w.policy = iv.Policy
			return nil
		}
	}
	if own, ok := errors.AsType[*jose.Error](err); ok {
		return refuse(own.Reason, "%s", own.Detail)
	}
	return refuse(trust.ReasonMalformed, "the access token cannot be read")
}

// taken tells whether this site takes access tokens of the issuer at all.
func (m moment) taken(policy trust.IssuerPolicy) *failure {
	switch {
	case !policy.Is(trust.KindPassport) && !policy.Is(trust.KindLogin):
		return refuse(trust.ReasonUntrustedIssuer, "this site does not take access tokens of %.80q: its operator decides which issuers it trusts", policy.Issuer)
	case m.revoked.Issuer(policy.Issuer):
		return refuse(trust.ReasonRevoked, "this site has revoked everything of %.80q: ask its operator", policy.Issuer)
	case policy.Tokens == trust.WayNone, policy.Tokens == trust.WayExchange && !policy.Is(trust.KindPassport):
		return refuse(trust.ReasonUnsupportedToken, "this site takes passports of %.80q, and no access tokens", policy.Issuer)
	}
	return nil
}

// audience is whom a token of this issuer may be for: this node by its own names, or
// by what it is to the issuer.
func (d *Desk) audience(policy trust.IssuerPolicy) []string {
	names := slices.Concat(d.options.Names, policy.ClientIDs, []string{policy.Client.ID, policy.Client.CommandLineID})
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}

// refusalOf keeps refusals of the verifier, and tells nothing of other errors.
func refusalOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if own, ok := errors.AsType[*passport.Refusal](err); ok {
		again := *own
		return &again
	}
	return refuse(trust.ReasonMalformed, "the access token cannot be verified").err()
}
