package oidc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/bearer"
	"github.com/candignode/candignode/trust/jose"
)

// Errors of signing in at the command line.
var (
	// ErrNoDeviceFlow says that the provider cannot sign a person in on another device.
	ErrNoDeviceFlow = errors.New("the provider has no device flow")
	// ErrDenied says that the person, or the provider, said no.
	ErrDenied = errors.New("the sign-in was denied")
	// ErrExpired says that nobody signed in within the time that the provider, or 15
	// minutes, allow.
	ErrExpired = errors.New("nobody signed in in time")
)

// Public is the command line as a public OAuth client: it has no secret, and runs on
// the person's own machine, so it talks to whatever provider the person names. Only
// https will do, or http on loopback for a provider on the same machine.
type Public struct {
	Client   *http.Client // plain; its redirects and cookies are not used
	Issuer   string       // compared exactly with the discovery document
	ClientID string
	Scopes   []string // openid is always asked for
}

// flow is one sign-in: a Public that has found its provider.
type flow struct {
	Public
	provider *Provider // for requests and their errors
	all      trust.Endpoints
}

// start fetches the discovery document (OpenID Connect Discovery 1.0, section 4;
// passports.md, rows 92 and 93).
func (s Public) start(ctx context.Context) (*flow, error) {
	f := &flow{Public: s, provider: &Provider{Options{Now: time.Now, Log: slog.New(slog.DiscardHandler)}}}
	e := f.endpoint("discovery", strings.TrimSuffix(s.Issuer, "/")+"/.well-known/openid-configuration")
	switch {
	case s.Client == nil:
		return nil, e.noWay("there is no HTTP client")
	case s.ClientID == "":
		return nil, e.noWay("there is no client id to sign in with")
	case checkAddress(s.Issuer, true) != "" || checkAddress(e.address, true) != "":
		return nil, e.noWay("an issuer is an https URL, or http on this machine, without user or fragment")
	}
	doc, err := f.provider.get(ctx, e, trust.AccessToken{}, want{[]string{mediaJSON}, maxMetadata})
	if err != nil {
		return nil, err
	}
	all, wrong := readMetadata(doc.Body, s.Issuer)
	if wrong != "" {
		return nil, e.nonsense(wrong)
	}
	f.all = all
	return f, nil
}

func (f *flow) endpoint(op, address string) endpoint {
	client := f.Client
	if client != nil {
		client = withoutRedirects(client)
	}
	return endpoint{op: op, issuer: trust.IssuerPolicy{Issuer: f.Issuer}, address: address, client: client, all: f.all}
}

// readMetadata takes the endpoints out of a discovery document of this issuer, or
// says what is wrong with it.
func readMetadata(body []byte, issuer string) (trust.Endpoints, string) {
	var all struct {
		Issuer        string `json:"issuer"`
		Authorization string `json:"authorization_endpoint"`
		Token         string `json:"token_endpoint"`
		Device        string `json:"device_authorization_endpoint"`
		ResponseIss   bool   `json:"authorization_response_iss_parameter_supported"`
	}
	if jose.Unmarshal(body, &all) != nil {
		return trust.Endpoints{}, "its discovery document is not the JSON that it should be"
	}
	if all.Issuer != issuer {
		return trust.Endpoints{}, "its discovery document is of another issuer; write the issuer letter by letter as the provider does, slash included"
	}
	e := trust.Endpoints{ResponseIss: all.ResponseIss}
	// A provider on the network has nothing on this machine.
	loopback := strings.HasPrefix(issuer, "http:")
	for _, one := range []struct {
		from string
		to   *string
		name string
	}{
		{all.Authorization, &e.Authorization, "authorization_endpoint"},
		{all.Token, &e.Token, "token_endpoint"},
		{all.Device, &e.DeviceAuthorization, "device_authorization_endpoint"},
	} {
		if one.from == "" {
			continue
		}
		wrong := checkAddress(one.from, loopback)
		if wrong == "" && !printable(one.from) { // a person reads it on a terminal
			wrong = "its address has characters that no address has"
		}
		if wrong != "" {
			return trust.Endpoints{}, fmt.Sprintf("its %s: %s", one.name, wrong)
		}
		*one.to = one.from
	}
	if e.Token == "" {
		return trust.Endpoints{}, "its discovery document names no token_endpoint"
	}
	return e, ""
}

func (f *flow) config(redirectURI string) *oauth2.Config {
	return &oauth2.Config{
		ClientID: f.ClientID, RedirectURL: redirectURI, Scopes: withOpenID(f.Scopes),
		Endpoint: oauth2.Endpoint{
			AuthURL: f.all.Authorization, TokenURL: f.all.Token, DeviceAuthURL: f.all.DeviceAuthorization,
			AuthStyle: oauth2.AuthStyleInParams, // or x/oauth2 sends everything twice to find out
		},
	}
}

// Refresh gives new tokens for a refresh token (RFC 6749, section 6). If the provider
// gives no new refresh token, the old one stays.
func (s Public) Refresh(ctx context.Context, refresh trust.AccessToken) (bearer.Tokens, error) {
	f, err := s.start(ctx)
	if err != nil {
		return bearer.Tokens{}, err
	}
	e := f.endpoint("refresh", f.all.Token)
	if refresh.IsZero() {
		return bearer.Tokens{}, &Error{Op: e.op, Issuer: s.Issuer, Kind: bearer.ErrRefused, Detail: "there is no refresh token; sign in"}
	}
	old := &oauth2.Token{RefreshToken: refresh.Reveal()}
	got, err := f.config("").TokenSource(e.strict(ctx, checkTokens), old).Token()
	return e.outcome(ctx, got, err)
}

// outcome translates what x/oauth2 gives; its own errors quote bodies.
func (e endpoint) outcome(ctx context.Context, t *oauth2.Token, err error) (bearer.Tokens, error) {
	if err != nil {
		own := failed(ctx, e.op, e.issuer.Issuer, err, "its answer cannot be used")
		switch own.Code {
		case "access_denied":
			own.Kind = ErrDenied
		case "expired_token":
			own.Kind = ErrExpired
		}
		return bearer.Tokens{}, own
	}
	id, _ := t.Extra("id_token").(string)
	return bearer.Tokens{
		Access: trust.NewAccessToken(t.AccessToken), ID: trust.NewAccessToken(id),
		Refresh: trust.NewAccessToken(t.RefreshToken), Expires: t.Expiry,
	}, nil
}
