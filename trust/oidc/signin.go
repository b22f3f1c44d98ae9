package oidc

import (
	"context"
	"net/url"
	"regexp"
	"slices"

	"golang.org/x/oauth2"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/bearer"
)

// codeVerifier is RFC 7636, section 4.1.
var codeVerifier = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`)

// Authorize gives the address that a browser is sent to for signing in at the issuer:
// code flow, PKCE with S256, state and nonce, and exactly this redirect URI (OpenID
// Connect Core 1.0, section 3.1.2.1; RFC 9700, section 2.1.1; passports.md, row 112).
// Without scopes in the request those of the policy are asked for; openid always is.
func (p *Provider) Authorize(ctx context.Context, issuer trust.IssuerPolicy, r bearer.AuthRequest) (string, error) {
	e, err := p.to(ctx, issuer, "sign-in", func(all trust.Endpoints) string { return all.Authorization })
	if err != nil {
		return "", err
	}
	switch {
	case issuer.Client.ID == "":
		return "", e.noWay("this node has no client id there; set client.id")
	case checkAddress(r.RedirectURI, true) != "":
		return "", e.noWay("the redirect URI is not https, or has a user or a fragment; set api.external_url")
	case r.State == "" || r.Nonce == "" || !codeVerifier.MatchString(r.Verifier):
		return "", e.noWay("state, nonce and a PKCE verifier of 43 to 128 characters are needed")
	}
	scopes := slices.Clone(r.Scopes)
	if len(scopes) == 0 {
		scopes = slices.Clone(issuer.Scopes)
	}
	config := oauth2.Config{
		ClientID: issuer.Client.ID, RedirectURL: r.RedirectURI, Scopes: withOpenID(scopes),
		Endpoint: oauth2.Endpoint{AuthURL: e.address},
	}
	return config.AuthCodeURL(r.State, oauth2.S256ChallengeOption(r.Verifier), oauth2.SetAuthURLParam("nonce", r.Nonce)), nil
}

func withOpenID(scopes []string) []string {
	if slices.Contains(scopes, "openid") {
		return scopes
	}
	return append([]string{"openid"}, scopes...)
}

// Redeem gives the tokens for an authorization code (RFC 6749, section 4.1.3; RFC
// 7636, section 4.5). redirectURI and verifier are those of the request. There is
// always an ID Token among them; its signature and nonce are the caller's to check.
func (p *Provider) Redeem(ctx context.Context, issuer trust.IssuerPolicy, code, redirectURI, verifier string) (bearer.Tokens, error) {
	e, err := p.to(ctx, issuer, "redeeming of a code", tokenEndpoint)
	if err != nil {
		return bearer.Tokens{}, err
	}
	if code == "" || len(code) > maxCode || redirectURI == "" || !codeVerifier.MatchString(verifier) {
		return bearer.Tokens{}, &Error{Op: e.op, Issuer: issuer.Issuer, Kind: bearer.ErrRefused, Detail: "there is no code, or not what it was asked for with"}
	}
	t, err := p.tokens(ctx, e, url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirectURI}, "code_verifier": {verifier},
	})
	if err == nil && t.ID.IsZero() {
		return bearer.Tokens{}, e.nonsense("its answer has no id_token (OpenID Connect Core 1.0, section 3.1.3.3)")
	}
	return t, err
}

// Refresh gives new tokens for a refresh token (RFC 6749, section 6). If the issuer
// gives no new refresh token, the old one stays.
func (p *Provider) Refresh(ctx context.Context, issuer trust.IssuerPolicy, refresh trust.AccessToken) (bearer.Tokens, error) {
	e, err := p.to(ctx, issuer, "refresh", tokenEndpoint)
	if err != nil {
		return bearer.Tokens{}, err
	}
	if refresh.IsZero() {
		return bearer.Tokens{}, &Error{Op: e.op, Issuer: issuer.Issuer, Kind: bearer.ErrRefused, Detail: "there is no refresh token"}
	}
	t, err := p.tokens(ctx, e, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh.Reveal()}})
	if err == nil && t.Refresh.IsZero() {
		t.Refresh = refresh
	}
	return t, err
}

func (p *Provider) tokens(ctx context.Context, e endpoint, form url.Values) (bearer.Tokens, error) {
	doc, err := p.post(ctx, e, form, want{[]string{mediaJSON}, maxTokens})
	if err != nil {
		return bearer.Tokens{}, err
	}
	t, wrong := readTokens(doc.Body, p.o.Now())
	if wrong != "" {
		return bearer.Tokens{}, e.nonsense(wrong)
	}
	return t, nil
}
