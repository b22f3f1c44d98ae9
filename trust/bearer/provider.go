// Package bearer is the desk where an access token becomes credentials: it finds
// out whose token it is, asks the issuer that made it for passports or visas in the
// way that the operator configured, and remembers the answer for a short while
// (GA4GH AAI 1.2, as a Passport Clearinghouse; passports.md, sections H, I and J).
//
// It opens no sockets: a Provider speaks with the issuers. Every token goes to the
// issuer that made it and to nobody else (passports.md, row 70).
package bearer

import (
	"context"
	"errors"
	"time"

	"github.com/candignode/candignode/trust"
)

// Errors of a Provider. Whoever implements one wraps one of them.
var (
	// ErrRefused says that the issuer does not take the token (400, 401, 403):
	// asking again is of no use.
	ErrRefused = errors.New("the issuer refuses the token")
	// ErrUnavailable says that the issuer could not be asked, or gave nothing usable:
	// the network, 429, 5xx, or a body that is not what the standard says.
	ErrUnavailable = errors.New("the issuer cannot be asked now")
	// ErrNoWay says that the issuer has no such endpoint, or that this site is not
	// configured for it.
	ErrNoWay = errors.New("the issuer has no way to do that for this site")
)

// Provider speaks with OpenID providers on behalf of this node. Every error wraps
// ErrRefused, ErrUnavailable or ErrNoWay, or is ctx's, and holds no token. An
// implementation bounds size and time, follows no redirect with a token, and sends a
// token to the issuer that it is handed with and nowhere else.
type Provider interface {
	// UserInfo gives the UserInfo response for the token (OpenID Connect Core 1.0,
	// section 5.3), unread.
	UserInfo(ctx context.Context, issuer trust.IssuerPolicy, token trust.AccessToken) (Document, error)
	// Introspect gives the introspection response for the token (RFC 7662), unread.
	Introspect(ctx context.Context, issuer trust.IssuerPolicy, token trust.AccessToken) (Document, error)
	// Exchange exchanges the token for a passport that is made for resource, "" for
	// this node (RFC 8693; GA4GH AAI 1.2, "Passport Issuers"). The reply is unread.
	Exchange(ctx context.Context, issuer trust.IssuerPolicy, token trust.AccessToken, resource string) (Exchanged, error)
	// Claims fetches a distributed claim from an endpoint of source: the body of an
	// application/jwt response (OpenID Connect Core 1.0, section 5.6.2). The zero token
	// sends none.
	Claims(ctx context.Context, source trust.IssuerPolicy, endpoint string, token trust.AccessToken) ([]byte, error)
}

// Document is a response as it came, with nothing about it believed.
type Document struct {
	MediaType string // Content-Type, parameters and all
	Body      []byte
}

// Exchanged is the reply of a token exchange (RFC 8693, section 2.2.1), with nothing
// about it believed but that it came from the token endpoint.
type Exchanged struct {
	Passport        string // the member access_token; a secret
	IssuedTokenType string
	TokenType       string
	ExpiresIn       time.Duration // 0 if the reply does not say
}

// AuthRequest is what this node sends a browser to an issuer with (OpenID Connect
// Core 1.0, section 3.1.2.1, with PKCE S256).
type AuthRequest struct {
	RedirectURI string
	State       string
	Nonce       string
	Verifier    string // PKCE code_verifier; only its SHA-256 is sent
	Scopes      []string
}

// Tokens is what a token endpoint gave at sign-in or refresh. A token that is not
// there is zero.
type Tokens struct {
	Access  trust.AccessToken
	ID      trust.AccessToken // ID Token, compact
	Refresh trust.AccessToken
	Expires time.Time // of Access; zero if the issuer did not say
}
