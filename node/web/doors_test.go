package web_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/candignode/candignode/node/session"
	"github.com/candignode/candignode/node/web"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/broker"
	"github.com/candignode/candignode/trust/passport"
	"github.com/candignode/candignode/trust/proof"
)

const (
	ownAddress   = "https://node.uhn.example.org"
	alicesIssuer = "https://idp.uhn.example.org/"
)

var (
	alice = trust.Identity{Issuer: alicesIssuer, Subject: "alice"}
	bob   = trust.Identity{Issuer: alicesIssuer, Subject: "bob"}
)

// tokenOf is a session token that the world knows, "a" to "z" for the sessions.
func tokenOf(id string) string { return "cgs_" + strings.Repeat(id, 43) }

// sessions keeps sessions of alice (a, b, and d bound to a key) and of bob (z).
type sessions struct {
	mu    sync.Mutex
	all   map[string]access.Session
	begun []session.Material
	err   error
}

func newSessions() *sessions {
	at := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	s := &sessions{all: map[string]access.Session{}}
	for id, owner := range map[string]trust.Identity{"a": alice, "b": alice, "d": alice, "z": bob} {
		s.all[id] = access.Session{ID: id, Identity: owner, Created: at, Used: at, Until: at.Add(12 * time.Hour), Label: session.FromBrowser}
	}
	return s
}

func (s *sessions) Begin(_ context.Context, m session.Material, label, _ string) (trust.AccessToken, access.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun = append(s.begun, m)
	at := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	n := access.Session{ID: "n", Identity: m.Identity, Created: at, Used: at, Until: at.Add(time.Hour), Label: label}
	if s.err == nil {
		s.all["n"] = n
	}
	return trust.NewAccessToken(tokenOf("n")), n, s.err
}

func (s *sessions) Identify(_ context.Context, token trust.AccessToken, proven trust.Proven) (access.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, one := range s.all {
		if token.Reveal() != tokenOf(id) {
			continue
		}
		if id == "d" && proven.JKT != alicesKey {
			return access.Session{}, &passport.Refusal{Reason: trust.ReasonNotProven, Detail: "prove it", Index: -1}
		}
		return one, nil
	}
	return access.Session{}, &passport.Refusal{Reason: trust.ReasonSession, Detail: "no such session", Index: -1}
}

func (s *sessions) Of(owner trust.Identity) []access.Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	var own []access.Session
	for _, one := range s.all {
		if one.Identity == owner {
			own = append(own, one)
		}
	}
	return own
}

func (s *sessions) End(_ context.Context, owner trust.Identity, id, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	if s.all[id].Identity != owner {
		return session.ErrNoSession
	}
	delete(s.all, id)
	return nil
}

func (s *sessions) has(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.all[id]
	return ok
}

// proofs takes "good-N", once each, for the address of the request.
type proofs struct {
	mu   sync.Mutex
	used map[string]bool
	seen []proof.Proof
	last string // examined; the tests ask one after the other
}

func (p *proofs) Examine(shown proof.Proof) (proof.Held, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = append(p.seen, shown)
	switch {
	case len(shown.Headers) != 1:
		return proof.Held{}, &proof.Error{Reason: trust.ReasonProof, Detail: "exactly one"}
	case shown.Headers[0] == "stale":
		return proof.Held{}, &proof.Error{Reason: trust.ReasonProof, Detail: "too old", UseNonce: true}
	case !strings.HasPrefix(shown.Headers[0], "good-"):
		return proof.Held{}, &proof.Error{Reason: trust.ReasonProof, Detail: "bad"}
	}
	p.last = shown.Headers[0]
	return proof.Held{JKT: alicesKey}, nil
}

func (p *proofs) Use(proof.Held, time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.used[p.last] {
		return &proof.Error{Reason: trust.ReasonProof, Detail: "used before"}
	}
	p.used[p.last] = true
	return nil
}

func (p *proofs) Nonce(time.Time) string { return "a-nonce" }

// signIn signs alice in with code "alices-code".
type signIn struct{ callbacks []session.Callback }

func (s *signIn) Issuers() []session.Issuer {
	return []session.Issuer{{Issuer: alicesIssuer, Key: session.KeyOf(alicesIssuer)}, {Issuer: `https://idp.example.org/?a="><script>`, Key: "odd"}}
}

func (s *signIn) Start(_ context.Context, issuer, back string) (session.Started, error) {
	switch issuer {
	case alicesIssuer:
		return session.Started{URL: "https://idp.uhn.example.org/authorize?state=opaque-secret", Browser: trust.NewAccessToken("browser-opaque-secret")}, nil
	case "https://down.example.org":
		return session.Started{}, errDown
	}
	return session.Started{}, session.ErrSignIn
}

func (s *signIn) Finish(_ context.Context, c session.Callback, _ string) (session.Finished, error) {
	s.callbacks = append(s.callbacks, c)
	switch c.Code {
	case "alices-code":
	case "badid":
		return session.Finished{}, &passport.Refusal{Reason: trust.ReasonSignature, Detail: "not its key", Index: -1}
	case "full":
		return session.Finished{}, errors.New("no space left on device")
	default:
		return session.Finished{}, session.ErrSignIn
	}
	return session.Finished{
		Token: trust.NewAccessToken(tokenOf("a")), Back: "/beacon/info",
		Session: access.Session{ID: "a", Identity: alice, Until: time.Date(2026, 3, 1, 21, 0, 0, 0, time.UTC)},
	}, nil
}

// whole is a world with every door, at nine o'clock.
func whole(o *web.Options, kept *sessions) (*signIn, *proofs) {
	door, checker := &signIn{}, &proofs{used: map[string]bool{}}
	o.ExternalURL, o.Sessions, o.SignIn, o.Proofs = ownAddress, kept, door, checker
	o.Now = func() time.Time { return time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC) }
	o.Issuers = func() []trust.IssuerPolicy {
		return []trust.IssuerPolicy{
			{Issuer: "https://visas.example.org", Kinds: []trust.Kind{trust.KindVisa}},
			{Issuer: alicesIssuer, Kinds: []trust.Kind{trust.KindLogin, trust.KindPassport}, Tokens: trust.WayExchange, SignIn: true,
				Client: trust.Client{ID: "uhn-node", CommandLineID: "uhn-cli", Secret: trust.NewAccessToken("opaque-secret")}},
			{Issuer: "https://broker.example.org", Kinds: []trust.Kind{trust.KindPassport}},
		}
	}
	return door, checker
}

// roles answers at the role endpoints.
type roles struct{ calls []broker.Request }

func (b *roles) Discovery() ([]byte, error) { return []byte(`{"issuer":"` + ownAddress + `"}`), nil }

func (b *roles) Token(_ context.Context, call broker.Request) ([]byte, error) {
	b.calls = append(b.calls, call)
	switch {
	case call.Form.Get("grant_type") == "":
		return nil, &broker.OAuthError{Status: http.StatusBadRequest, Code: broker.CodeGrantType, Description: "none"}
	case call.Form.Get("client_assertion") == "":
		return nil, &broker.OAuthError{Status: http.StatusUnauthorized, Code: broker.CodeInvalidClient, Description: "who are you?"}
	}
	return broker.Issued{Passport: trust.NewPassport("the-passport"), ExpiresIn: time.Minute, TokenType: "N_A"}.Body()
}

func (b *roles) UserInfo(_ context.Context, caller trust.Caller, _ web.Shown, _ string) (broker.Document, error) {
	return broker.Document{MediaType: broker.MediaJSON, Body: []byte(`{"sub":"` + caller.Subject + `"}`)}, nil
}

func (b *roles) Claims(_ context.Context, caller trust.Caller, _ string) (trust.Passport, error) {
	return trust.NewPassport("jwt.of." + caller.Subject), nil
}

func form(values ...string) string {
	v := url.Values{}
	for i := 0; i+1 < len(values); i += 2 {
		v.Add(values[i], values[i+1])
	}
	return v.Encode()
}
