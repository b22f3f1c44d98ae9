// Package broker is the passport issuer's desk (GA4GH AAI 1.2, "Passport Issuers"): it
// signs passports for this node's own forwarding, exchanges access tokens for passports
// (RFC 8693), answers UserInfo, and signs people in for registered clients that know
// OpenID Connect and nothing of committees.
//
// The invariant: a passport names somebody whom the node knows, at least one audience
// that its requester may reach, and an end that is not after that of the token it was
// got with; its visas are byte-identical to what their issuers signed, and it is on
// record before it leaves (passports.md, rows 21, 77 and 79).
package broker

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/audit"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/mint"
)

// The errors. Those of the token endpoint are *OAuthError.
var (
	ErrOptions     = errors.New("the passport issuer cannot work like that")
	ErrNotRecorded = errors.New("the passport could not be recorded, so it was not given")
	ErrNobody      = errors.New("passports are for people who showed who they are")
	ErrTarget      = errors.New("no site of that name is known")
	ErrExpired     = errors.New("what the passport would rest on has ended")
	ErrTooMany     = errors.New("more visas than a passport can carry")
	ErrClaims      = errors.New("the claim cannot be told like that")
)

// Recorder makes records durable before it returns.
type Recorder interface {
	Record(ctx context.Context, records ...audit.Record) error
}

// Links signs the visa that says who a person is elsewhere, under a key of its own;
// *dac.Desk does.
type Links interface {
	Link(ctx context.Context, subject string, of trust.Identity, transaction string) (visa trust.Passport, until time.Time, err error)
	Keys() []trust.Key
}

// Client may exchange its people's access tokens for passports.
type Client struct {
	ID string
	// Keys verify its assertions (private_key_jwt). Certificates are those it may show
	// instead, base64url SHA-256 (RFC 8705, section 2.2). Both empty: it can do nothing.
	Keys         []trust.Key
	Certificates []string
	// Targets are the resources that it may ask passports for, exactly. It always may
	// ask for one whose audience is itself.
	Targets []string
	// Actor stands in act when the client acts for a person: the NodeID of a client
	// that is a node. "": ID.
	Actor string
	// RedirectURIs are where it has browsers sent back to after a sign-in, compared
	// exactly. Empty: nobody signs in for it.
	RedirectURIs []string
}

// Options is what a Broker works with.
type Options struct {
	// Issuer is this node's external URL: the iss of its passports, exactly.
	Issuer string
	// Key signs passports and UserInfo, and nothing else. Others are the public keys
	// that sign other things here, by the names that an operator knows them by; those
	// of Links and Published count among them.
	Key    crypto.Signer
	Others map[string]crypto.PublicKey
	// JWKSURI is where KeySet stands. Published are further keys in it: the
	// committee's.
	JWKSURI   string
	Published []trust.Key
	// Endpoints are this node's own: Token and UserInfo are needed, and Authorization
	// where a client has RedirectURIs.
	Endpoints trust.Endpoints
	// PassportTTL is how long a passport lasts at most; 0: ten minutes. At most an hour.
	PassportTTL time.Duration
	// BearerTokenType answers an exchange with token_type Bearer, as GA4GH shows it, and
	// not with N_A, which is RFC 8693's word for what is no access token.
	BearerTokenType bool
	// Aggregated and Distributed offer claims of other sources in UserInfo. ArrayClaims
	// lets several sources have one claim name, which OpenID Connect Core does not know
	// (passports.md, row 89).
	Aggregated, Distributed, ArrayClaims bool

	Clients []Client
	// Targets are the names that the sites of this federation have: NodeIDs, URNs,
	// URLs. No passport is made for anything else.
	Targets func() []string
	// Authenticate says who came with an access token with the scopes openid and
	// ga4gh_passport_v1, which visas the person has, and when the least of it ends. A
	// *passport.Refusal says that the token is no good, or not in that client's hands.
	Authenticate func(ctx context.Context, token trust.AccessToken, client string) (trust.Caller, []trust.Passport, time.Time, error)
	// Tokens makes what clients are given for a code. It is needed where a client has
	// RedirectURIs.
	Tokens Tokens
	// Subject names a person in passports; mint.Subjects.Of.
	Subject func(trust.Identity) string
	Links   Links
	// MayLink tells whether a target that this node sends a question to has a use for
	// knowing who the person is at an issuer. Without one the passport names nobody
	// known elsewhere. nil: it always has.
	MayLink  func(audience, issuer string) bool
	Recorder Recorder
	Now      func() time.Time
	Log      *slog.Logger
}

// Broker signs passports. It is safe for concurrent use and starts no goroutine.
type Broker struct {
	o       Options
	signer  *mint.Signer
	clients map[string]Client
	started time.Time
	waiting *table[Authorization]
	codes   codes

	mu     sync.Mutex
	memory map[trust.Digest]kept
	replay replays
}

// New makes a Broker. Its errors wrap ErrOptions, mint.ErrKey or mint.ErrKeyReused.
func New(o Options) (*Broker, error) {
	if err := complete(&o); err != nil {
		return nil, err
	}
	others := map[string]crypto.PublicKey{}
	for name, key := range o.Others {
		others[name] = key
	}
	for _, key := range append(o.Links.Keys(), o.Published...) {
		others["visas, key "+key.KeyID] = key.Public
	}
	signer, err := mint.NewSigner(o.Key, others)
	if err != nil {
		return nil, fmt.Errorf("the key for passports: %w", err)
	}
	b := &Broker{
		o: o, signer: signer, clients: map[string]Client{}, started: o.Now(), memory: map[trust.Digest]kept{}, replay: replays{},
		waiting: newTable[Authorization](maxWaiting), codes: codes{newTable[granted](maxCodes), newTable[*redeemed](maxCodes)},
	}
	for _, client := range o.Clients {
		if err := usable(client); err != nil {
			return nil, err
		}
		if _, twice := b.clients[client.ID]; twice {
			return nil, fmt.Errorf("%w: client %.80q stands there twice", ErrOptions, client.ID)
		}
		if client.Actor == "" {
			client.Actor = client.ID
		}
		b.clients[client.ID] = client
	}
	if b.SignsIn() && (o.Tokens == nil || !secure(o.Endpoints.Authorization)) {
		return nil, fmt.Errorf("%w: clients with redirect_uris need an authorization endpoint with https, and somebody who makes their tokens", ErrOptions)
	}
	if _, err := b.KeySet(); err != nil {
		return nil, fmt.Errorf("%w: the key set cannot be written: %w", ErrOptions, err)
	}
	return b, nil
}

// complete fills in the defaults.
func complete(o *Options) error {
	switch {
	case o.Authenticate == nil || o.Subject == nil || o.Links == nil || o.Recorder == nil || o.Now == nil:
		return fmt.Errorf("%w: it needs to know callers, names, links, a recorder and a clock", ErrOptions)
	case o.PassportTTL < 0 || o.PassportTTL > maxPassportTTL:
		return fmt.Errorf("%w: passports last at most %s", ErrOptions, maxPassportTTL)
	}
	if o.PassportTTL == 0 {
		o.PassportTTL = defaultPassportTTL
	}
	if o.PassportTTL < minPassportTTL {
		return fmt.Errorf("%w: passports last %s or more", ErrOptions, minPassportTTL)
	}
	for name, address := range map[string]string{
		"the issuer": o.Issuer, "the key set's address": o.JWKSURI,
		"the token endpoint": o.Endpoints.Token, "the UserInfo endpoint": o.Endpoints.UserInfo,
	} {
		if !secure(address) {
			return fmt.Errorf("%w: %s, %.200q, must be an https URL", ErrOptions, name, address)
		}
	}
	if o.Targets == nil {
		o.Targets = func() []string { return nil }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

// secure tells whether address is an absolute https URL without fragment or query, or
// a plain one on this very machine, for trying things out.
func secure(address string) bool {
	parsed, err := url.Parse(address)
	if err != nil || parsed.Host == "" || parsed.User != nil || parsed.Fragment != "" || parsed.RawQuery != "" {
		return false
	}
	local := slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, parsed.Hostname())
	return parsed.Scheme == "https" || parsed.Scheme == "http" && local
}

// usable checks a client as the operator wrote it down.
func usable(c Client) error {
	switch {
	case c.ID == "" || len(c.ID) > maxClientID:
		return fmt.Errorf("%w: a client has no id, or one of more than %d bytes", ErrOptions, maxClientID)
	case slices.Contains(c.Targets, ""):
		return fmt.Errorf("%w: client %.80q has an empty target", ErrOptions, c.ID)
	case slices.Contains(c.Certificates, ""):
		return fmt.Errorf("%w: client %.80q has an empty certificate", ErrOptions, c.ID)
	}
	for _, address := range c.RedirectURIs {
		if base, _, _ := strings.Cut(address, "?"); len(address) > maxTarget || strings.Contains(address, "#") || !secure(base) {
			return fmt.Errorf("%w: client %.80q has a redirect_uri, %.200q, that is no https URL without a fragment", ErrOptions, c.ID, address)
		}
	}
	if _, err := jose.MarshalKeySet(c.Keys); err != nil {
		return fmt.Errorf("%w: client %.80q: %w", ErrOptions, c.ID, err)
	}
	return nil
}

// Keys are all public keys to publish at JWKSURI: that for passports first.
func (b *Broker) Keys() []trust.Key {
	keys := []trust.Key{b.signer.Public()}
	for _, key := range slices.Concat(b.o.Links.Keys(), b.o.Published) {
		if !slices.ContainsFunc(keys, func(k trust.Key) bool { return k.Thumbprint == key.Thumbprint }) {
			keys = append(keys, key)
		}
	}
	return keys
}

// KeySet is the document at JWKSURI, a JWKS.
func (b *Broker) KeySet() ([]byte, error) { return jose.MarshalKeySet(b.Keys()) }
