package providers

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/candignode/candignode/api"
	"github.com/candignode/candignode/trust"
)

// A whole node with a real provider: a browser signs in, visas count, the count is
// right, and what goes wrong at the provider makes no wrong answer.
func TestANodeWithLemonLDAP(t *testing.T) {
	needLemon(t)
	w := newWorld(t)
	s := w.newSite()
	front := w.newFront()
	l := w.newLemonAt(front, []string{s.callback(front.URL + "/"), nowhere}, conferred{"dwho": w.grants("dwho")}, nil)
	s.start(l)

	t.Run("sign-in", func(t *testing.T) { s.in(t).signsIn(l) })
	t.Run("access tokens", func(t *testing.T) { s.in(t).takesTokens(l) })
	t.Run("a session outlives its access token, and ends with its issuer", func(t *testing.T) { s.in(t).renewal(l) })
	t.Run("the provider stops in the middle of a query", func(t *testing.T) { s.in(t).outage(l) })
	t.Run("the provider's key is replaced", func(t *testing.T) { s.in(t).rotation(l) })

	// Row 64: after all of this no token is to be read from the disk.
	for _, name := range []string{"state.db", "candignode.yaml"} {
		kept, err := os.ReadFile(s.path(name))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(kept, []byte("eyJ")) || name == "state.db" && bytes.Contains(kept, []byte("cgs_")) {
			t.Errorf("a token is in %s", name)
		}
	}
	if log := s.log.String(); strings.Contains(log, "eyJ") || strings.Contains(log, "cgs_") || strings.Contains(log, clientSecret) {
		t.Error("a token or a secret is in the node's log")
	}
}

func (s *site) in(t *testing.T) *site {
	same := *s
	same.w = s.w.in(t)
	return &same
}

// signsIn: row 112, and whoami for a person with visas and for one without.
func (s *site) signsIn(l *lemon) {
	t := s.w.t
	doctor := s.w.newBrowser("dwho", "dwho")
	token := s.signIn(doctor, l.Issuer)
	status, who := s.whoamiAsPage(doctor, s.URL)
	if status != http.StatusOK || (trust.Identity{Issuer: who.Caller.Issuer, Subject: who.Caller.Subject}) != issuerOf(l, "dwho") {
		t.Fatalf("whoami: %d, %+v", status, who.Caller)
	}
	accepted := 0
	for _, visa := range who.Visas {
		if visa.Accepted {
			accepted++
		} else {
			t.Errorf("visa for %s: %s (%s)", visa.Value, visa.Reason, visa.Detail)
		}
	}
	if accepted != 2 || who.Session == nil {
		t.Errorf("%d visas accepted, session %v", accepted, who.Session)
	}
	if status, _ := s.whoamiAsPage(doctor, "https://elsewhere.example.org"); status != http.StatusForbidden {
		t.Errorf("another site's page used the cookie: %d", status)
	}
	if count, status, err := s.counted(t, token); err != nil || status != "ok" || count != s.carrier {
		t.Errorf("the count is %d (%s, %v), the file has %d", count, status, err, s.carrier)
	}

	rose := s.w.newBrowser("rtyler", "rtyler")
	token = s.signIn(rose, l.Issuer)
	if status, who := s.whoamiAsPage(rose, s.URL); status != http.StatusOK || who.Caller.Subject != "rtyler" || len(who.Visas) != 0 {
		t.Errorf("whoami of a person without visas: %d, %+v", status, who)
	}
	if count, status, err := s.counted(t, token); err != nil || status != "denied" || count != 0 {
		t.Errorf("a person without visas got %d (%s, %v)", count, status, err)
	}

	// A wrong password, and a code that came in somebody else's browser.
	stranger := s.w.newBrowser("dwho", "not-the-password")
	stranger.walk(s.URL + "/login/start?issuer=" + l.Issuer)
	if s.cookieOf(stranger) != "" {
		t.Error("a wrong password signed somebody in")
	}
	victim := s.w.newBrowser("rtyler", "rtyler")
	doctor.end = s.URL + "/login/callback/"
	back := doctor.visit(s.URL + "/login/start?issuer=" + l.Issuer)
	if p := victim.get(back.next.String()); p.status != http.StatusBadRequest || s.cookieOf(victim) != "" {
		t.Errorf("a sign-in that another browser began was finished: %d", p.status)
	}
	for _, secret := range []string{token, clientSecret, back.next.Query().Get("code"), "not-the-password"} {
		if strings.Contains(s.log.String(), secret) {
			t.Error("a secret is in the node's log")
		}
	}
}

// takesTokens: rows 65, 66 and 69, with the provider's own access tokens.
func (s *site) takesTokens(l *lemon) {
	t := s.w.t
	for _, client := range []string{nodeClient, scriptClient} {
		policy := s.w.policy(l, client, trust.WayUserInfo)
		p := newParts(t, policy)
		tokens := p.signIn(s.w.newBrowser("dwho", "dwho"), policy)
		who, err := s.client(tokens.Access.Reveal()).Whoami(t.Context(), nil)
		if err != nil || who.Caller.Subject != "dwho" || len(who.Visas) != 2 || !who.Visas[0].Accepted || !who.Visas[1].Accepted {
			t.Errorf("%s: %+v, %v", client, who, err)
		}
		if count, status, err := s.counted(t, tokens.Access.Reveal()); err != nil || status != "ok" || count != s.carrier {
			t.Errorf("%s: the count is %d (%s, %v), the file has %d", client, count, status, err, s.carrier)
		}
		// Nobody can ask with what is not an access token.
		for name, wrong := range map[string]trust.AccessToken{"ID token": tokens.ID, "refresh token": tokens.Refresh} {
			if wrong.IsZero() {
				continue
			}
			_, err := s.client(wrong.Reveal()).Whoami(t.Context(), nil)
			if problem, ok := errors.AsType[*api.Problem](err); !ok || problem.Status != http.StatusUnauthorized {
				t.Errorf("%s: an %s as access token: %v", client, name, err)
			}
		}
		if strings.Contains(s.log.String(), tokens.Access.Reveal()) {
			t.Errorf("%s: the access token is in the node's log", client)
		}
	}
}

// renewal: tokens that last for less than a session are renewed with the refresh
// token, once however many ask, until the person has signed out at the provider.
func (s *site) renewal(l *lemon) {
	t := s.w.t
	life := l.client(nodeClient)
	life["oidcRPMetaDataOptionsAccessTokenExpiration"] = 20 // seconds; the node renews 30 s ahead
	l.restart()
	defer func() {
		delete(life, "oidcRPMetaDataOptionsAccessTokenExpiration")
		l.restart()
	}()
	doctor := s.w.newBrowser("dwho", "dwho")
	token := s.signIn(doctor, l.Issuer)
	redeemed := l.asked("/oauth2/token")
	if count, status, err := s.counted(t, token); err != nil || status != "ok" || count != s.carrier {
		t.Fatalf("the count is %d (%s, %v)", count, status, err)
	}
	if n := l.asked("/oauth2/token") - redeemed; n != 1 {
		t.Errorf("one question renewed the access token %d times, want once", n)
	}
	var group errgroup.Group
	for range 6 {
		group.Go(func() error {
			answer, err := s.client(token).Query(t.Context(), s.carried, nil)
			if err == nil && (answer.Count == nil || *answer.Count != s.carrier) {
				err = fmt.Errorf("counted %v", answer.Count)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Errorf("questions at once: %v", err)
	}

	// The provider's administrator changes the secret, and takes that back: nobody loses
	// a session for it.
	life["oidcRPMetaDataOptionsClientSecret"] = "anotherSecretAltogether"
	l.restart()
	count, status, err := s.counted(t, token)
	if problem, ok := errors.AsType[*api.Problem](err); !(err == nil && status == "ok" && count == s.carrier) &&
		!(ok && problem.Status == http.StatusServiceUnavailable && problem.Reason == string(trust.ReasonProvider)) {
		t.Errorf("while the provider does not take the node: %d, %s, %v", count, status, err)
	}
	life["oidcRPMetaDataOptionsClientSecret"] = clientSecret
	l.restart()
	until(t, "the session going on", 30*time.Second, func() bool {
		count, _, err := s.counted(t, token)
		if problem, ok := errors.AsType[*api.Problem](err); ok && problem.Status != http.StatusServiceUnavailable {
			t.Fatalf("the session was lost: %v", err)
		}
		return err == nil && count == s.carrier
	})

	doctor.get(l.URL + "/?logout=1")
	_, err = s.client(token).Whoami(t.Context(), nil)
	if problem, ok := errors.AsType[*api.Problem](err); !ok || problem.Status != http.StatusUnauthorized || problem.Reason != string(trust.ReasonSession) {
		t.Errorf("after signing out at the provider: %v, want 401 session", err)
	}
}

// outage: the provider dies after a question has come and before it is answered.
// The answer is the right one or an honest 503, and it is right again afterwards.
func (s *site) outage(l *lemon) {
	t := s.w.t
	policy := s.w.policy(l, nodeClient, trust.WayUserInfo)
	p := newParts(t, policy)
	known := p.signIn(s.w.newBrowser("dwho", "dwho"), policy).Access.Reveal()
	fresh := p.signIn(s.w.newBrowser("dwho", "dwho"), policy).Access.Reveal()
	if count, _, err := s.counted(t, known); err != nil || count != s.carrier {
		t.Fatal(count, err)
	}

	late := s.w.newBrowser("dwho", "dwho") // is about to come back with a code
	late.end = s.URL + "/login/callback/"
	back := late.visit(s.URL + "/login/start?issuer=" + l.Issuer)

	killed := make(chan struct{})
	l.before("/oauth2/userinfo", func() {
		l.before("/oauth2/userinfo", nil)
		l.run.stop() // between introspection and UserInfo
		close(killed)
	})
	count, status, err := s.counted(t, fresh)
	if problem, ok := errors.AsType[*api.Problem](err); !ok || problem.Status != http.StatusServiceUnavailable || problem.Reason != string(trust.ReasonProvider) {
		t.Errorf("the provider died while it was asked: %d, %s, %v; want 503 provider", count, status, err)
	}
	select {
	case <-killed:
	default:
		t.Fatal("the provider was not asked")
	}
	honest := func(name, token string, mayKnow bool) {
		t.Helper()
		count, status, err := s.counted(t, token)
		problem, refused := errors.AsType[*api.Problem](err)
		switch {
		case mayKnow && err == nil && status == "ok" && count == s.carrier:
		case refused && problem.Status == http.StatusServiceUnavailable && problem.Reason == string(trust.ReasonProvider):
		default:
			t.Errorf("%s while the provider is down: %d, %s, %v", name, count, status, err)
		}
	}
	honest("a token that was verified before", known, true)
	honest("a token that never was", fresh, false)
	if p := late.get(back.next.String()); p.status != http.StatusServiceUnavailable || s.cookieOf(late) != "" {
		t.Errorf("the code could not be redeemed: %d, session %v; want 503 and none", p.status, s.cookieOf(late) != "")
	}

	l.run.start()
	if p := late.get(back.next.String()); p.status != http.StatusBadRequest || s.cookieOf(late) != "" {
		t.Errorf("the same answer of the provider a second time: %d, session %v", p.status, s.cookieOf(late) != "")
	}
	until(t, "the answer being right again", 40*time.Second, func() bool {
		count, status, err := s.counted(t, fresh)
		if err == nil && (status != "ok" || count != s.carrier) {
			t.Fatalf("a wrong answer after the outage: %d, %s", count, status)
		}
		return err == nil
	})
}

// rotation: rows 96 and 99. This provider shows one key at a time.
func (s *site) rotation(l *lemon) {
	t := s.w.t
	policy := s.w.policy(l, scriptClient, trust.WayUserInfo)
	old := newParts(t, policy).signIn(s.w.newBrowser("dwho", "dwho"), policy).Access.Reveal()
	if count, _, err := s.counted(t, old); err != nil || count != s.carrier {
		t.Fatal(count, err)
	}
	l.newCertifiedKey("key-2")
	l.restart()
	asked := l.asked("/oauth2/jwks")
	renewed := newParts(t, policy).signIn(s.w.newBrowser("dwho", "dwho"), policy).Access.Reveal()
	// The parts have asked for the keys once, themselves.
	if count, status, err := s.counted(t, renewed); err != nil || status != "ok" || count != s.carrier {
		t.Errorf("a token of the new key in the first question: %d, %s, %v", count, status, err)
	}
	if n := l.asked("/oauth2/jwks") - asked; n > 3 {
		t.Errorf("the keys were fetched %d times for one new kid", n)
	}
	refused := func() bool {
		_, err := s.client(old).Whoami(t.Context(), nil)
		problem, ok := errors.AsType[*api.Problem](err)
		return ok && problem.Status == http.StatusUnauthorized && problem.Reason == string(trust.ReasonUnknownKey)
	}
	until(t, "the withdrawn key stopping", 10*time.Second, refused)
	if count, status, err := s.counted(t, old); err == nil {
		t.Errorf("the withdrawn key's token counts: %d, %s", count, status)
	}
	if count, _, err := s.counted(t, renewed); err != nil || count != s.carrier {
		t.Errorf("the new key's token stopped too: %d, %v", count, err)
	}
	// People who signed in before go on: what their session rests on is no JWT.
	token := s.signIn(s.w.newBrowser("dwho", "dwho"), l.Issuer)
	if count, _, err := s.counted(t, token); err != nil || count != s.carrier {
		t.Errorf("sign-in under the new key: %d, %v", count, err)
	}
}
