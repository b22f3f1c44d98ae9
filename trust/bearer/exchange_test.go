package bearer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/bearer"
	"github.com/candignode/candignode/trust/passport"
	"github.com/candignode/candignode/trust/passport/passporttest"
)

func (w *world) passportFor(token, resource string, at time.Time) (string, error) {
	return w.desk.PassportFor(context.Background(), trust.NewAccessToken(token), resource, at)
}

// Row 76: the exchange gives a passport for this node, handed on as it came, and the
// verifier takes it like any other.
func TestExchange(t *testing.T) {
	for _, tokenType := range []string{"Bearer", "bearer", "N_A", "n_a"} {
		w := newWorld(t)
		w.gives(func(e *bearer.Exchanged) { e.TokenType = tokenType })
		c := w.want(w.token(brokerURL))
		if len(c.Passports) != 1 || len(c.Sets) != 0 || c.Subject != "researcher" || !c.Until.Equal(now.Add(30*time.Minute)) {
			t.Fatalf("%+v", c)
		}
		if w.asked[0].target != "" || w.asked[0].issuer != brokerURL {
			t.Errorf("%v", w.asked)
		}
		verifier := passport.New(passport.Options{View: w.currentView, OwnNames: []string{node}})
		verdict, err := verifier.Verify(context.Background(), passport.Request{Passports: c.Passports, Sets: c.Sets, Now: now})
		if err != nil || verdict.Caller.Identity != c.Identity {
			t.Errorf("%+v %v", verdict.Caller, err)
		}
	}
}

// Row 76: a reply that is no passport is refused, for this node and for a peer.
func TestExchangeGivesSomethingElse(t *testing.T) {
	for name, change := range map[string]func(*bearer.Exchanged){
		"an access token":     func(e *bearer.Exchanged) { e.IssuedTokenType = "urn:ietf:params:oauth:token-type:access_token" },
		"nothing said":        func(e *bearer.Exchanged) { e.IssuedTokenType = "" },
		"another case":        func(e *bearer.Exchanged) { e.IssuedTokenType = strings.ToUpper(passportURN) },
		"of type DPoP":        func(e *bearer.Exchanged) { e.TokenType = "DPoP" },
		"of no type":          func(e *bearer.Exchanged) { e.TokenType = "" },
		"an empty passport":   func(e *bearer.Exchanged) { e.Passport = "" },
		"a passport too long": func(e *bearer.Exchanged) { e.Passport = strings.Repeat("a", 1<<20+1) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.gives(change)
			w.wantRefusal(trust.ReasonProvider, w.token(brokerURL))
			if compact, err := w.passportFor(w.token(brokerURL), peer, now); err == nil || compact != "" {
				t.Errorf("gave %q", compact)
			}
		})
	}
}

// An opaque token may be exchanged too; then only the passport says whose it is.
func TestExchangeOfAnOpaqueToken(t *testing.T) {
	w := newWorld(t)
	w.gives()
	w.policy(opaqueURL, func(p *trust.IssuerPolicy) { p.Tokens = trust.WayExchange })
	c := w.want("opaque")
	if len(c.Passports) != 1 || !c.IsZero() || c.Issuer != opaqueURL || len(c.Sets) != 0 {
		t.Errorf("%+v", c)
	}
	if compact, err := w.passportFor("opaque", peer, now); err != nil || compact == "" {
		t.Error(err)
	}
}

// Row 70: each peer gets a passport of its own, made for it; nobody but the token's
// issuer ever sees the token.
func TestPassportForEachTarget(t *testing.T) {
	w := newWorld(t)
	w.gives()
	token := w.token(brokerURL)
	w.want(token)
	got := map[string]string{}
	for range 3 {
		for _, resource := range []string{peer, "urn:candignode:node:third"} {
			compact, err := w.passportFor(token, resource, now)
			if err != nil || compact == token {
				t.Fatal(err)
			}
			if before, ok := got[resource]; ok && before != compact {
				t.Error("a passport was not remembered")
			}
			got[resource] = compact
			verifier := passport.New(passport.Options{View: w.currentView, OwnNames: []string{resource}})
			if _, err := verifier.Verify(context.Background(), passport.Request{Passports: []string{compact}, Now: now}); err != nil {
				t.Error(err)
			}
		}
	}
	if n := w.count("exchange"); n != 3 {
		t.Errorf("exchanged %d times, want once for this node and once for each peer", n)
	}
	for _, issuers := range w.tokensSeen() {
		if len(issuers) != 1 || issuers[0] != brokerURL {
			t.Errorf("the token was seen by %v", issuers)
		}
	}
	// Another person's token is another question.
	other := w.token(brokerURL, func(c *passporttest.AccessTokenClaims) { c.Subject = "another" })
	if _, err := w.passportFor(other, peer, now); err != nil || w.count("exchange") != 4 {
		t.Errorf("%v, %d", err, w.count("exchange"))
	}
}

// A passport for a peer is handed out again until shortly before its end, the token's,
// or an hour, whichever comes first.
func TestPassportForEnds(t *testing.T) {
	for name, c := range map[string]struct {
		passport, token, before, after time.Duration
		unsaid                         bool
	}{
		"the passport's end":          {10 * time.Minute, time.Hour, 8 * time.Minute, 9 * time.Minute, false},
		"said by the passport alone":  {10 * time.Minute, time.Hour, 8 * time.Minute, 9 * time.Minute, true},
		"the token's end":             {10 * time.Hour, 20 * time.Minute, 18 * time.Minute, 19 * time.Minute, false},
		"an hour":                     {10 * time.Hour, 10 * time.Hour, 59 * time.Minute, 60 * time.Minute, false},
		"too short to be handed over": {30 * time.Second, time.Hour, -1, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.exchange = func(_ context.Context, _, _, resource string) (bearer.Exchanged, error) {
				e := bearer.Exchanged{IssuedTokenType: passportURN, TokenType: "N_A", ExpiresIn: c.passport}
				e.Passport = w.issuers[brokerURL].Passport(passporttest.PassportClaims{Subject: "researcher", IssuedAt: now, Expires: now.Add(c.passport)})
				if c.unsaid {
					e.ExpiresIn = 0
				}
				return e, nil
			}
			token := w.token(brokerURL, func(a *passporttest.AccessTokenClaims) { a.Expires = now.Add(c.token) })
			times := 0
			for _, at := range []time.Duration{0, c.before} {
				if at < 0 {
					continue
				}
				if _, err := w.passportFor(token, peer, now.Add(at)); err != nil {
					t.Fatal(err)
				}
				times = w.count("exchange")
			}
			if times != 1 {
				t.Errorf("exchanged %d times before the end", times)
			}
			if _, err := w.passportFor(token, peer, now.Add(c.after)); err != nil || w.count("exchange") != 2 {
				t.Errorf("%v, exchanged %d times", err, w.count("exchange"))
			}
		})
	}
}

// Where there is no exchange there is no passport for a peer, and the token stays here:
// row 70.
func TestNoPassportForAPeer(t *testing.T) {
	w := newWorld(t)
	w.says(object{"sub": "researcher"})
	for _, token := range []string{w.token(providerURL), w.token(universityURL, func(c *passporttest.AccessTokenClaims) { c.Scope = "openid ga4gh_passport_v1" }), "opaque"} {
		if compact, err := w.passportFor(token, peer, now); !errors.Is(err, bearer.ErrNoWay) || compact != "" {
			t.Errorf("%q %v", compact, err)
		}
	}
	if _, err := w.passportFor(w.token(brokerURL), "", now); !errors.Is(err, bearer.ErrNoWay) {
		t.Errorf("a passport for nobody: %v", err)
	}
	for _, token := range []string{"", "two words", w.token(strangerURL), w.token(brokerURL, func(c *passporttest.AccessTokenClaims) { c.Expires = now })} {
		if compact, err := w.passportFor(token, peer, now); err == nil || compact != "" {
			t.Errorf("%q %v", compact, err)
		}
	}
	if w.count("exchange") != 0 {
		t.Errorf("asked %v", w.asked)
	}
	// A peer that the issuer does not know has none; asked once.
	w.exchange = func(context.Context, string, string, string) (bearer.Exchanged, error) {
		return bearer.Exchanged{}, fmt.Errorf("invalid_target: %w", bearer.ErrRefused)
	}
	for range 5 {
		_, err := w.passportFor(w.token(brokerURL), peer, now)
		if refusal, ok := errors.AsType[*passport.Refusal](err); !ok || !strings.Contains(refusal.Detail, "does not know the site") {
			t.Error(err)
		}
	}
	// Each time the token is another one, for ES256 never signs twice alike.
	if n := w.count("exchange"); n != 5 {
		t.Errorf("asked %d times", n)
	}
}

// A caller whose token is bound to a key was accepted with a proof; while that is
// remembered, passports for peers need none.
func TestPassportForABoundToken(t *testing.T) {
	w := newWorld(t)
	w.gives()
	token := w.token(brokerURL, func(c *passporttest.AccessTokenClaims) { c.Confirmation = trust.Confirmation{JKT: "key"} })
	if _, err := w.passportFor(token, peer, now); err == nil {
		t.Error("a bound token was exchanged without any proof")
	}
	if _, err := w.at(now, bearer.Presented{Token: trust.NewAccessToken(token), Proven: trust.Proven{JKT: "key"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.passportFor(token, peer, now); err != nil {
		t.Error(err)
	}
}
