// Package web is the researchers' door: it decodes a request, lets one desk
// answer, and encodes what came back. It decides nothing about trust or data.
//
// A caller shows passports as a member of a POST body, an access token or a session
// token in the Authorization header, or a session as a cookie of this site's own
// pages: one of them, and nowhere else. A request that shows two, or one in a form
// that is not taken, is refused and not served as if the caller were anonymous, and so
// is one with a bad passport among good ones. Every refused credential is recorded
// before the refusal leaves; if it cannot be, the answer is 503.
//
// Nothing of a body, of a URL's parameters or of a credential is logged.
package web

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/query/beacon"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/passport"
)

// Network asks every site. AskEach calls each with one part at a time, on the
// calling goroutine, and not after it returned.
type Network interface {
	query.Asker
	AskEach(ctx context.Context, caller trust.Caller, request query.Request, each func(query.Part)) (query.Answer, error)
}

// Options is what the handler needs. Local to About are required.
type Options struct {
	Local   query.Asker // this site
	Network Network     // every site
	// Verify judges what was shown; a *passport.Refusal refuses the request. A
	// question needs the caller only, not the verdict on each visa.
	Verify func(ctx context.Context, shown Shown, callerOnly bool) (passport.Verdict, error)
	// Refused records that a caller's credentials were refused. They are named by
	// digest. The refusal is answered only once Refused returned nil.
	Refused func(ctx context.Context, transaction string, reason trust.Reason, credentials []trust.Digest) error
	About   func() beacon.About // what the site says of itself now

	// ExternalURL is this node as callers see it, "https://node.example.org": what
	// proofs are made for, and whose pages may use a cookie. "": neither is taken.
	ExternalURL string
	Issuers     func() []trust.IssuerPolicy // those that are configured now; nil: none
	Proofs      Proofs                      // nil: no DPoP proof is taken
	// Certificates tells clients that they are asked for a certificate, so that tokens
	// which are bound to one can be used here (RFC 8705, section 3).
	Certificates bool

	// What a node need not be: without one, its paths are not there.
	Sessions Sessions
	SignIn   SignIn
	// SiteID is what the issuer that this node is (Broker) names as its home.
	SiteID   trust.SiteID
	KeySet   func() ([]byte, error) // the public JSON Web Key Set of all that the node signs
	Broker   Broker
	Provider Provider // needs Sessions and SignIn
	Claims   Claims

	Ready          func() error  // nil: always ready
	RequestTimeout time.Duration // of one question; 0: 10 s
	MaxConcurrent  int           // questions answered at once; 0: 64
	Log            *slog.Logger  // nil: nothing is logged
	Now            func() time.Time
	Random         io.Reader // of transaction ids; nil: crypto/rand
}

type handler struct {
	o         Options
	endpoints map[string]endpoint
	slots     chan struct{}
	pages     *template.Template
	origin    string // of this site's own pages, as browsers write it
}

// New makes the handler of the public routes. It is safe for concurrent use and
// starts nothing.
func New(o Options) (http.Handler, error) {
	if o.Local == nil || o.Network == nil || o.Verify == nil || o.Refused == nil || o.About == nil {
		return nil, errors.New("web: Local, Network, Verify, Refused and About are required")
	}
	if o.Ready == nil {
		o.Ready = func() error { return nil }
	}
	if o.RequestTimeout <= 0 {
		o.RequestTimeout = defaultTimeout
	}
	if o.MaxConcurrent <= 0 {
		o.MaxConcurrent = defaultConcurrent
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
	if o.Issuers == nil {
		o.Issuers = func() []trust.IssuerPolicy { return nil }
	}
	if o.Provider != nil && (o.Sessions == nil || o.SignIn == nil) {
		return nil, errors.New("web: a Provider needs Sessions and SignIn: somebody must be signed in")
	}
	o.ExternalURL = strings.TrimSuffix(o.ExternalURL, "/")
	pages, err := template.New("").Parse(pageTexts)
	if err != nil {
		return nil, err
	}
	return &handler{
		o: o, endpoints: o.endpoints(), slots: make(chan struct{}, o.MaxConcurrent), pages: pages, origin: originOf(o.ExternalURL),
	}, nil
}

// transaction makes an id that nobody can guess: it joins the records of all
// sites that one question reaches.
func (h *handler) transaction() (string, error) {
	var id [16]byte
	if _, err := io.ReadFull(h.o.Random, id[:]); err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(id[:]), nil
}

// enter takes one of the places for questions, or fails at once: a queue would
// only answer later what nobody waits for any more.
func (h *handler) enter() (leave func(), err error) {
	select {
	case h.slots <- struct{}{}:
		return func() { <-h.slots }, nil
	default:
		return nil, errBusy
	}
}
