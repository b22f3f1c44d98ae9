// Package session signs people in, and keeps them signed in.
//
// Sign-in is the authorization code flow of OpenID Connect Core 1.0 with PKCE S256
// (RFC 7636), and no other: state and nonce are made anew each time, are bound to
// the browser by a cookie and are good once; each issuer has a redirect address of
// its own, and where it announces iss in its responses they must carry it (RFC 9207;
// RFC 9700, section 4.4).
//
// A session is an opaque token of 256 bits. Only its SHA-256 is kept. What the
// session rests on (access and refresh token, passports) is sealed under a key that
// is derived from the token itself, so the state file opens nothing for its thief
// (passports.md, row 64), and a session that ends is unreadable for ever.
package session

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/audit"
	"github.com/candignode/candignode/trust/bearer"
	"github.com/candignode/candignode/trust/passport"
)

// Errors of this package, besides *passport.Refusal for a session that is no good.
var (
	// ErrSignIn says that a sign-in was aborted. Its text may be shown.
	ErrSignIn = errors.New("the sign-in was not completed")
	// ErrNoSession says that a person has no session of that id.
	ErrNoSession = errors.New("you have no such session")
	// ErrTooLarge says that a session would have to keep too much.
	ErrTooLarge = errors.New("these tokens are too large to keep in a session; show passports with fewer visas")
)

// Prefix is how session tokens begin: no JWT does, and whoever finds one in the
// wrong place sees what it is.
const Prefix = "cgs_"

// Provider speaks with the issuers that sign people in. Errors wrap
// bearer.ErrRefused, bearer.ErrUnavailable or bearer.ErrNoWay, or are ctx's.
type Provider interface {
	// Authorize gives the address that a browser is sent to.
	Authorize(ctx context.Context, issuer trust.IssuerPolicy, request bearer.AuthRequest) (string, error)
	// Redeem gives the tokens for a code (OpenID Connect Core 1.0, section 3.1.3).
	Redeem(ctx context.Context, issuer trust.IssuerPolicy, code, redirectURI, verifier string) (bearer.Tokens, error)
	// Refresh gives new tokens for a refresh token (RFC 6749, section 6).
	Refresh(ctx context.Context, issuer trust.IssuerPolicy, refresh trust.AccessToken) (bearer.Tokens, error)
}

// Store keeps sessions. A fact and its audit record are one transaction.
type Store interface {
	AddSession(context.Context, access.Session, audit.Record) error
	EndSession(ctx context.Context, id string, record audit.Record) error
	SessionByToken(trust.Digest) (access.Session, bool)
	SessionsOf(trust.Identity) []access.Session
	// TouchSession notes that the session was used at that time.
	TouchSession(ctx context.Context, id string, used time.Time) error
	// ReplaceSealed replaces what the session keeps, and its end.
	ReplaceSealed(ctx context.Context, id string, sealed []byte, until time.Time) error
}

// Options is what a Desk works with. ExternalURL to Store are required.
type Options struct {
	// ExternalURL is this node as browsers see it, "https://node.example.org": the
	// redirect addresses, which are compared exactly, begin with it.
	ExternalURL string
	View        func() *trust.View // whose policies say which issuers sign people in
	Provider    Provider
	// Tokens verifies ID Tokens.
	Tokens func(context.Context, passport.TokenRequest) (passport.TokenClaims, error)
	Store  Store
	// Endpoints tells whether an issuer's responses carry iss; nil: what they carry is
	// checked, and nothing is demanded.
	Endpoints func(context.Context, trust.IssuerPolicy) (trust.Endpoints, error)
	// Revoked ends the sessions of whoever is revoked; nil: nobody is.
	Revoked func() *trust.Revocations

	Life         time.Duration // 0: 12 h
	Idle         time.Duration // 0: 4 h
	MaxPerPerson int           // 0: 20
	Log          *slog.Logger  // nil: nothing is logged
	Now          func() time.Time
	Random       io.Reader // nil: crypto/rand
}

// Desk signs people in and keeps their sessions. It is safe for concurrent use and
// keeps no goroutine.
type Desk struct {
	o        Options
	pending  pendings
	renewals singleflight.Group // by session, for an issuer replaces a refresh token once
}

// New makes a Desk.
func New(o Options) (*Desk, error) {
	if o.View == nil || o.Provider == nil || o.Tokens == nil || o.Store == nil {
		return nil, errors.New("session: View, Provider, Tokens and Store are required")
	}
	at, err := url.Parse(o.ExternalURL)
	if err != nil || at.Scheme != "https" && at.Scheme != "http" || at.Host == "" || at.User != nil || strings.Trim(at.Path, "/") != "" || at.RawQuery != "" || at.Fragment != "" {
		return nil, errors.New("session: ExternalURL must be this node's own address, https://node.example.org, without a path")
	}
	o.ExternalURL = at.Scheme + "://" + at.Host
	if o.Revoked == nil {
		o.Revoked = func() *trust.Revocations { return nil }
	}
	if o.Life <= 0 {
		o.Life = defaultLife
	}
	if o.Idle <= 0 {
		o.Idle = defaultIdle
	}
	if o.MaxPerPerson <= 0 {
		o.MaxPerPerson = defaultPerPerson
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	return &Desk{o: o, pending: newPendings(maxPending)}, nil
}

// Issuer is one that signs people in here.
type Issuer struct {
	Issuer string
	// Key stands for the issuer in the path of its redirect address.
	Key string
}

// Issuers gives those that sign people in, sorted.
func (d *Desk) Issuers() []Issuer {
	view := d.o.View()
	if view == nil {
		return nil
	}
	var all []Issuer
	for _, i := range view.Issuers {
		if signsIn(i.Policy) {
			all = append(all, Issuer{Issuer: i.Policy.Issuer, Key: KeyOf(i.Policy.Issuer)})
		}
	}
	slices.SortFunc(all, func(a, b Issuer) int { return strings.Compare(a.Issuer, b.Issuer) })
	return all
}

// KeyOf gives what stands for an issuer in paths: 22 characters of its digest, for
// an issuer's own name is a URL.
func KeyOf(issuer string) string {
	digest := trust.DigestOfString(issuer)
	return base64.RawURLEncoding.EncodeToString(digest[:16])
}

// RedirectURI is where issuer sends browsers back to. It is what the operator
// registers there.
func (d *Desk) RedirectURI(issuer string) string {
	return d.o.ExternalURL + "/login/callback/" + KeyOf(issuer)
}

func signsIn(p trust.IssuerPolicy) bool { return p.SignIn && p.Client.ID != "" }

// policy gives the policy of an issuer that signs people in.
func (d *Desk) policy(issuer string) (trust.IssuerPolicy, bool) {
	found, ok := d.o.View().Lookup(issuer)
	return found.Policy, ok && signsIn(found.Policy)
}

// secret makes 256 bits that nobody can guess, as text.
func (d *Desk) secret() (string, error) {
	var b [32]byte
	if _, err := io.ReadFull(d.o.Random, b[:]); err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(b[:]), nil
}
