package oidc

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/bearer"
	"github.com/candignode/candignode/trust/jose"
)

// The names of RFC 8693, section 3, and GA4GH AAI 1.2, "Passport Issuers".
const (
	grantExchange   = "urn:ietf:params:oauth:grant-type:token-exchange"
	typeAccessToken = "urn:ietf:params:oauth:token-type:access_token"
	typePassport    = "urn:ga4gh:params:oauth:token-type:passport"
)

// Introspect gives the introspection answer for the token (RFC 7662, section 2.1):
// JSON, or a JWT of RFC 9701. The node must have a key or a secret, for an issuer that
// tells anybody about tokens tells thieves. Nothing of the answer is read here
// (passports.md, row 69).
func (p *Provider) Introspect(ctx context.Context, issuer trust.IssuerPolicy, token trust.AccessToken) (bearer.Document, error) {
	e, err := p.to(ctx, issuer, "introspection", func(all trust.Endpoints) string { return all.Introspection })
	if err != nil {
		return bearer.Document{}, err
	}
	if err := e.needs(token); err != nil {
		return bearer.Document{}, err
	}
	form := url.Values{"token": {token.Reveal()}, "token_type_hint": {"access_token"}}
	return p.post(ctx, e, form, want{[]string{mediaJSON, mediaIntrospection}, maxDocument})
}

// needs makes sure that there is a token, and a node that can authenticate.
func (e endpoint) needs(token trust.AccessToken) error {
	if !canAuthenticate(e.issuer.Client) {
		return e.noWay("this node has neither a key nor a secret there; set client.id with client.key or client.secret_file")
	}
	if token.IsZero() {
		return &Error{Op: e.op, Issuer: e.issuer.Issuer, Kind: bearer.ErrRefused, Detail: "there is no token"}
	}
	return nil
}

// Exchange gives the passport for the token, made for resource, or for whom the
// issuer makes it if resource is "" (RFC 8693, section 2; GA4GH AAI 1.2, "Passport
// Issuers"). The answer must say that it is a passport (passports.md, row 76); the
// passport itself is unread.
func (p *Provider) Exchange(ctx context.Context, issuer trust.IssuerPolicy, token trust.AccessToken, resource string) (bearer.Exchanged, error) {
	e, err := p.to(ctx, issuer, "token exchange", tokenEndpoint)
	if err != nil {
		return bearer.Exchanged{}, err
	}
	if err := e.needs(token); err != nil {
		return bearer.Exchanged{}, err
	}
	form := url.Values{
		"grant_type": {grantExchange}, "requested_token_type": {typePassport},
		"subject_token": {token.Reveal()}, "subject_token_type": {typeAccessToken},
	}
	if resource != "" {
		if u, err := url.Parse(resource); err != nil || !u.IsAbs() || strings.Contains(resource, "#") {
			return bearer.Exchanged{}, e.noWay("a resource must be an absolute URI without fragment (RFC 8707, section 2)")
		}
		form.Set("resource", resource)
	}
	doc, err := p.post(ctx, e, form, want{[]string{mediaJSON}, maxDocument})
	if err != nil {
		return bearer.Exchanged{}, err
	}
	got, wrong := readExchange(doc.Body)
	if wrong != "" {
		return bearer.Exchanged{}, e.nonsense(wrong)
	}
	return got, nil
}

// reply is what token endpoints answer (RFC 6749, section 5.1; RFC 8693, section
// 2.2.1; OpenID Connect Core 1.0, section 3.1.3.3).
type reply struct {
	Access    string   `json:"access_token"`
	Issued    string   `json:"issued_token_type"`
	Type      string   `json:"token_type"`
	ID        string   `json:"id_token"`
	Refresh   string   `json:"refresh_token"`
	ExpiresIn *float64 `json:"expires_in"`
}

// read decodes a reply and checks what all kinds have in common. wrong says what is
// wrong with it, and quotes nothing.
func (r *reply) read(body []byte) (life time.Duration, wrong string) {
	if jose.Unmarshal(body, r) != nil {
		return 0, "its answer is not the JSON of a token endpoint"
	}
	if r.Access == "" {
		return 0, "its answer has no access_token"
	}
	if r.ExpiresIn != nil {
		// Zero is no "for ever" and no mistake to pass over.
		if !(*r.ExpiresIn > 0 && *r.ExpiresIn <= maxExpiresIn) {
			return 0, "its answer has an expires_in that is no number of seconds"
		}
		life = time.Duration(*r.ExpiresIn * float64(time.Second))
	}
	return life, ""
}

// readExchange takes the passport out of a reply. GA4GH shows token_type Bearer where
// RFC 8693 says N_A: both are taken.
func readExchange(body []byte) (bearer.Exchanged, string) {
	var r reply
	life, wrong := r.read(body)
	switch {
	case wrong != "":
		return bearer.Exchanged{}, wrong
	case r.Issued != typePassport:
		return bearer.Exchanged{}, "its answer has an issued_token_type that is not a passport's"
	case !strings.EqualFold(r.Type, "Bearer") && !strings.EqualFold(r.Type, "N_A"):
		return bearer.Exchanged{}, "its answer has a token_type that is neither Bearer nor N_A"
	}
	return bearer.Exchanged{Passport: r.Access, IssuedTokenType: r.Issued, TokenType: r.Type, ExpiresIn: life}, ""
}

// readTokens takes the tokens out of a reply at sign-in or refresh.
func readTokens(body []byte, now time.Time) (bearer.Tokens, string) {
	var r reply
	life, wrong := r.read(body)
	switch {
	case wrong != "":
		return bearer.Tokens{}, wrong
	case !strings.EqualFold(r.Type, "Bearer"):
		return bearer.Tokens{}, "its answer has a token_type that is not Bearer"
	}
	t := bearer.Tokens{Access: trust.NewAccessToken(r.Access), ID: trust.NewAccessToken(r.ID), Refresh: trust.NewAccessToken(r.Refresh)}
	if life > 0 {
		t.Expires = now.Add(life)
	}
	return t, ""
}
