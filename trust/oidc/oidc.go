// Package oidc speaks with OpenID providers: for the node as an OAuth client of its
// issuers (UserInfo, introspection, token exchange, distributed claims, sign-in), and
// for the command line as a public client that signs a person in.
//
// A token, a code or a secret goes in the body or the Authorization header of one
// request to one https endpoint of the issuer it belongs to: never in a URL, never
// after a redirect, never a second time by itself. What comes back is bounded in size
// and time, must say that it is what was asked for, and is read strictly; nothing of
// it but an error code from a fixed list is ever quoted. Nothing here decides whether
// a token is good.
//
// golang.org/x/oauth2 builds authorization requests and does the command line's
// flows. The node's own requests do not use it: it knows neither private_key_jwt nor
// introspection nor token exchange, and its errors quote bodies.
package oidc

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/bearer"
)

// Options of a Provider.
type Options struct {
	// Client gives the guarded HTTP client of an issuer, and Endpoints where its
	// endpoints are. Both are needed; trust/discovery has them.
	Client    func(trust.IssuerPolicy) (*http.Client, error)
	Endpoints func(context.Context, trust.IssuerPolicy) (trust.Endpoints, error)

	Random io.Reader        // of jti; nil: crypto/rand
	Now    func() time.Time // nil: time.Now
	Log    *slog.Logger     // nil: none
}

// Provider speaks with the configured issuers for this node. It keeps nothing
// between two calls, and may be used from many goroutines. Every error is an *Error,
// but for polling.ErrUnchanged, which is none.
type Provider struct{ o Options }

var _ bearer.Provider = (*Provider)(nil)

// New makes a Provider.
func New(o Options) (*Provider, error) {
	if o.Client == nil || o.Endpoints == nil {
		return nil, errors.New("oidc: Client and Endpoints are needed")
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Provider{o}, nil
}

// endpoint is one of an issuer's endpoints, ready to be asked.
type endpoint struct {
	op      string // for errors: "UserInfo"
	issuer  trust.IssuerPolicy
	address string
	client  *http.Client
	all     trust.Endpoints
}

// to finds an endpoint by what pick takes out of all.
func (p *Provider) to(ctx context.Context, issuer trust.IssuerPolicy, op string, pick func(trust.Endpoints) string) (endpoint, error) {
	all, err := p.o.Endpoints(ctx, issuer)
	if err != nil {
		out := failed(ctx, op, issuer.Issuer, err, "its endpoints cannot be found")
		if ctx.Err() == nil {
			// Nothing secret went out for these, so what went wrong may be told.
			out.cause, out.Detail = err, "its endpoints cannot be found: "+err.Error()
		}
		return endpoint{}, out
	}
	address := pick(all)
	if address == "" {
		return endpoint{}, &Error{Op: op, Issuer: issuer.Issuer, Kind: bearer.ErrNoWay, Detail: "it has no such endpoint; write it under endpoints if there is one"}
	}
	return p.at(issuer, op, address, all)
}

func (p *Provider) at(issuer trust.IssuerPolicy, op, address string, all trust.Endpoints) (endpoint, error) {
	if why := checkAddress(address, false); why != "" {
		return endpoint{}, &Error{Op: op, Issuer: issuer.Issuer, Kind: bearer.ErrNoWay, Detail: why}
	}
	client, err := p.o.Client(issuer)
	if err != nil {
		return endpoint{}, &Error{Op: op, Issuer: issuer.Issuer, Kind: bearer.ErrNoWay, Detail: "its CA file cannot be used"}
	}
	return endpoint{op, issuer, address, client, all}, nil
}

func tokenEndpoint(e trust.Endpoints) string { return e.Token }
