package session_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/candignode/candignode/node/session"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/audit"
	"github.com/candignode/candignode/trust/bearer"
	"github.com/candignode/candignode/trust/passport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	own        = "https://node.uhn.example.org"
	issuer     = "https://idp.uhn.example.org/"
	other      = "https://idp.other.example.org/"
	notForThis = "https://visas.example.org"
)

var alice = trust.Identity{Issuer: issuer, Subject: "alice"}

// site is a desk with issuers and a store that do what a test wants them to.
type site struct {
	*session.Desk
	mu      sync.Mutex
	clock   time.Time
	kept    map[string]access.Session
	records []audit.Record
	written error         // what the store gives
	lag     time.Duration // of the store's next answer to SessionByToken

	asked     bearer.AuthRequest // by the last sign-in
	address   func(bearer.AuthRequest) string
	codes     map[string]bearer.Tokens // at the issuer
	redeemed  []string
	refreshes int
	refresh   func(refresh string) (bearer.Tokens, error)
	people    map[string]trust.Identity // by ID Token
	requests  []passport.TokenRequest
	revoked   []trust.Revocation
	announced bool // the issuers announce iss
	down      error
	log       bytes.Buffer
}

func newSite(t *testing.T, change ...func(*session.Options)) *site {
	t.Helper()
	s := &site{
		clock: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC), kept: map[string]access.Session{},
		codes: map[string]bearer.Tokens{}, people: map[string]trust.Identity{"alices-id": alice, "renewed-id": alice, "bobs-id": {Issuer: issuer, Subject: "bob"}},
	}
	s.codes["good"] = bearer.Tokens{
		Access: trust.NewAccessToken("eyJ.first-access.x"), ID: trust.NewAccessToken("alices-id"),
		Refresh: trust.NewAccessToken("first-refresh"), Expires: s.clock.Add(time.Hour),
	}
	policy := func(name string) trust.IssuerView {
		return trust.IssuerView{Policy: trust.IssuerPolicy{Issuer: name, SignIn: name != notForThis, Client: trust.Client{ID: "uhn-node"}}}
	}
	view := &trust.View{Revision: 1, Issuers: map[string]trust.IssuerView{issuer: policy(issuer), other: policy(other), notForThis: policy(notForThis)}}
	o := session.Options{
		ExternalURL: own, View: func() *trust.View { return view }, Provider: s, Tokens: s.token, Store: s,
		Endpoints: func(context.Context, trust.IssuerPolicy) (trust.Endpoints, error) {
			return trust.Endpoints{ResponseIss: s.announced}, s.down
		},
		Revoked: func() *trust.Revocations { return trust.NewRevocations(1, s.revoked) },
		Now:     s.now, Log: slog.New(slog.NewTextHandler(&s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(&o)
	}
	desk, err := session.New(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Desk = desk
	return s
}

func (s *site) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clock
}

func (s *site) pass(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock = s.clock.Add(d)
}

// The issuer.

func (s *site) Authorize(_ context.Context, p trust.IssuerPolicy, r bearer.AuthRequest) (string, error) {
	s.asked = r
	if s.address != nil {
		return s.address(r), nil
	}
	challenge := sha256.Sum256([]byte(r.Verifier))
	v := url.Values{
		"response_type": {"code"}, "client_id": {p.Client.ID}, "redirect_uri": {r.RedirectURI}, "state": {r.State}, "nonce": {r.Nonce},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}
	return p.Issuer + "authorize?" + v.Encode(), nil
}

func (s *site) Redeem(_ context.Context, p trust.IssuerPolicy, code, redirectURI, verifier string) (bearer.Tokens, error) {
	s.redeemed = append(s.redeemed, fmt.Sprint(p.Issuer, " ", redirectURI, " ", verifier == s.asked.Verifier))
	if code == "down" {
		return bearer.Tokens{}, bearer.ErrUnavailable
	}
	tokens, ok := s.codes[code]
	if !ok {
		return bearer.Tokens{}, fmt.Errorf("invalid_grant: %w", bearer.ErrRefused)
	}
	delete(s.codes, code)
	return tokens, nil
}

func (s *site) Refresh(ctx context.Context, _ trust.IssuerPolicy, refresh trust.AccessToken) (bearer.Tokens, error) {
	s.mu.Lock()
	s.refreshes++
	s.mu.Unlock()
	tokens, err := s.refresh(refresh.Reveal())
	return tokens, errors.Join(err, ctx.Err())
}

func (s *site) token(_ context.Context, r passport.TokenRequest) (passport.TokenClaims, error) {
	s.requests = append(s.requests, r)
	who, ok := s.people[r.Compact]
	if !ok || r.Kind != passport.IDToken || r.Compact != "renewed-id" && r.Nonce != s.asked.Nonce {
		return passport.TokenClaims{}, &passport.Refusal{Reason: trust.ReasonSignature, Detail: "no", Index: -1}
	}
	return passport.TokenClaims{Identity: who}, nil
}

// The store.

func (s *site) AddSession(_ context.Context, one access.Session, r audit.Record) error {
	return s.write(r, func() { s.kept[one.ID] = one })
}

func (s *site) EndSession(_ context.Context, id string, r audit.Record) error {
	return s.write(r, func() { delete(s.kept, id) })
}

func (s *site) write(r audit.Record, change func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.written != nil {
		return s.written
	}
	s.records = append(s.records, r)
	change()
	return nil
}

func (s *site) SessionByToken(d trust.Digest) (access.Session, bool) {
	s.mu.Lock()
	var found access.Session
	for _, one := range s.kept {
		if one.TokenDigest == d {
			found = one
		}
	}
	lag := s.lag
	s.lag = 0
	s.mu.Unlock()
	time.Sleep(lag) // zero, but in the time of a bubble
	return found, found.ID != ""
}

func (s *site) SessionsOf(owner trust.Identity) []access.Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []access.Session
	for _, one := range s.kept {
		if one.Identity == owner {
			all = append(all, one)
		}
	}
	return all
}

func (s *site) TouchSession(_ context.Context, id string, used time.Time) error {
	return s.change(id, func(one *access.Session) { one.Used = used })
}

func (s *site) ReplaceSealed(_ context.Context, id string, sealed []byte, until time.Time) error {
	return s.change(id, func(one *access.Session) { one.Sealed, one.Until = sealed, until })
}

func (s *site) change(id string, change func(*access.Session)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.kept[id]
	if s.written != nil || !ok {
		return errors.Join(s.written, errors.New("not written"))
	}
	change(&one)
	s.kept[id] = one
	return nil
}

// start begins a sign-in, and gives the redirect that a good issuer answers with.
func (s *site) start(t *testing.T, back string) session.Callback {
	t.Helper()
	started, err := s.Start(t.Context(), issuer, back)
	if err != nil {
		t.Fatal(err)
	}
	return session.Callback{Key: session.KeyOf(issuer), State: s.asked.State, Code: "good", Issuer: issuer, Browser: started.Browser}
}

// signedIn is a session of alice's.
func (s *site) signedIn(t *testing.T) session.Finished {
	t.Helper()
	finished, err := s.Finish(t.Context(), s.start(t, ""), "tx")
	if err != nil {
		t.Fatal(err)
	}
	return finished
}

func reasonOf(err error) trust.Reason {
	var refusal *passport.Refusal
	if errors.As(err, &refusal) {
		return refusal.Reason
	}
	return ""
}
