package session_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/node/session"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/bearer"
	"github.com/candignode/candignode/trust/passport"
)

var portal = session.Grant{Client: "portal", Passport: true}

// atBrowser is alice's session of a browser.
func (s *site) atBrowser(t *testing.T) trust.AccessToken {
	t.Helper()
	token, _, err := s.Begin(context.Background(), session.Material{
		Identity: alice, Access: trust.NewAccessToken("first-access"), AccessExpires: s.now().Add(10 * time.Minute),
		Refresh: trust.NewAccessToken("first-refresh"),
	}, session.FromBrowser, "tx")
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (s *site) give(t *testing.T, of trust.AccessToken, g session.Grant) (trust.AccessToken, access.Session) {
	t.Helper()
	token, kept, err := s.Give(context.Background(), of, g, time.Hour, "tx")
	if err != nil {
		t.Fatal(err)
	}
	return token, kept
}

func refusedFor(err error, reason trust.Reason) bool {
	refusal, ok := errors.AsType[*passport.Refusal](err)
	return ok && refusal.Reason == reason
}

// A client's token opens what the person's session rests on, for the doors that take
// it, and nothing else: no question, no list of sessions, and no other client's token.
func TestAClientsTokenOpensTwoDoors(t *testing.T) {
	s := newSite(t)
	own := s.atBrowser(t)
	token, kept := s.give(t, own, portal)
	if token == own || kept.Identity != alice || !kept.Until.Equal(s.now().Add(time.Hour)) || !strings.Contains(kept.Label, "portal") {
		t.Errorf("%+v", kept)
	}
	opened, err := s.OpenAny(context.Background(), token, trust.Proven{})
	if err != nil || opened.Identity != alice || opened.Material.Access.Reveal() != "first-access" || !opened.Until.Equal(kept.Until) {
		t.Errorf("%+v, %v", opened.Session, err)
	}
	if g, err := s.GrantOf(token, trust.Proven{}); err != nil || g != portal {
		t.Errorf("%+v, %v", g, err)
	}
	if g, err := s.GrantOf(own, trust.Proven{}); err != nil || g != (session.Grant{}) {
		t.Errorf("the person's own: %+v, %v", g, err)
	}
	if mine, err := s.OpenAny(context.Background(), own, trust.Proven{}); err != nil || mine.Identity != alice {
		t.Errorf("the person's own: %v", err)
	}
	_, err = s.Open(context.Background(), token, trust.Proven{})
	_, again := s.Identify(context.Background(), token, trust.Proven{})
	_, _, more := s.Give(context.Background(), token, portal, time.Hour, "tx")
	for name, err := range map[string]error{"a question": err, "the list of sessions": again, "another client": more} {
		if !refusedFor(err, trust.ReasonScope) || strings.Contains(err.Error(), token.Reveal()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Its owner sees it, and can end it.
	if all := s.Of(alice); len(all) != 2 {
		t.Errorf("%+v", all)
	}
	if err := s.End(context.Background(), alice, kept.ID, "tx"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.OpenAny(context.Background(), token, trust.Proven{}); !refusedFor(err, trust.ReasonSession) {
		t.Errorf("after its end: %v", err)
	}
	if _, err := s.Open(context.Background(), own, trust.Proven{}); err != nil {
		t.Errorf("the person's own: %v", err)
	}
}

// It ends with the person's session, whatever ends that one, and after its own life.
func TestAClientsTokenEndsWithTheSession(t *testing.T) {
	for name, end := range map[string]func(s *site, own trust.AccessToken, kept access.Session){
		"signed out": func(s *site, own trust.AccessToken, _ access.Session) {
			mine, _ := s.Identify(context.Background(), own, trust.Proven{})
			_ = s.End(context.Background(), alice, mine.ID, "tx")
		},
		"an hour": func(s *site, _ trust.AccessToken, _ access.Session) { s.pass(time.Hour) },
		"shut out": func(s *site, _ trust.AccessToken, _ access.Session) {
			s.revoked = []trust.Revocation{{Kind: trust.RevokeIdentity, Issuer: alice.Issuer, Subject: alice.Subject}}
		},
		"taken back": func(s *site, _ trust.AccessToken, kept access.Session) {
			_ = s.End(context.Background(), alice, kept.ID, "tx")
		},
	} {
		s := newSite(t)
		s.refresh = func(string) (bearer.Tokens, error) { return bearer.Tokens{}, bearer.ErrUnavailable }
		own := s.atBrowser(t)
		token, kept := s.give(t, own, portal)
		end(s, own, kept)
		var refusal *passport.Refusal
		if _, err := s.OpenAny(context.Background(), token, trust.Proven{}); !errors.As(err, &refusal) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A session that ends sooner is its end.
	s := newSite(t)
	own, _, err := s.Begin(context.Background(), session.Material{Identity: alice, Until: s.now().Add(time.Minute)}, session.FromBrowser, "tx")
	if err != nil {
		t.Fatal(err)
	}
	if _, kept := s.give(t, own, portal); !kept.Until.Equal(s.now().Add(time.Minute)) {
		t.Errorf("%v", kept.Until)
	}
}

// What the session rests on is renewed where it is, once, also for a client.
func TestAClientsTokenLivesOnTheRenewedSession(t *testing.T) {
	s := newSite(t)
	s.refresh = func(refresh string) (bearer.Tokens, error) {
		if refresh != "first-refresh" {
			return bearer.Tokens{}, bearer.ErrRefused
		}
		return bearer.Tokens{Access: trust.NewAccessToken("second-access"), Refresh: trust.NewAccessToken("second-refresh"), Expires: s.now().Add(time.Hour)}, nil
	}
	own := s.atBrowser(t)
	token, _ := s.give(t, own, portal)
	s.pass(20 * time.Minute)
	for name, open := range map[string]func() (session.Opened, error){
		"the client": func() (session.Opened, error) { return s.OpenAny(context.Background(), token, trust.Proven{}) },
		"the person": func() (session.Opened, error) { return s.Open(context.Background(), own, trust.Proven{}) },
	} {
		if opened, err := open(); err != nil || opened.Material.Access.Reveal() != "second-access" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s.refreshes != 1 {
		t.Errorf("%d renewals", s.refreshes)
	}
}

// A client that goes on asking does not keep an abandoned browser's session alive.
func TestAClientDoesNotKeepASessionAlive(t *testing.T) {
	s := newSite(t, func(o *session.Options) { o.Idle = 30 * time.Minute })
	s.refresh = func(string) (bearer.Tokens, error) {
		return bearer.Tokens{Access: trust.NewAccessToken("a"), Expires: s.now().Add(time.Hour)}, nil
	}
	own := s.atBrowser(t)
	token, _ := s.give(t, own, portal)
	for range 2 {
		s.pass(14 * time.Minute)
		if _, err := s.OpenAny(context.Background(), token, trust.Proven{}); err != nil {
			t.Fatal(err)
		}
	}
	s.pass(14 * time.Minute)
	if _, err := s.OpenAny(context.Background(), token, trust.Proven{}); !refusedFor(err, trust.ReasonSession) {
		t.Errorf("%v", err)
	}
}

// Only somebody who signed in with a browser lets a client in.
func TestWhatCannotLetAClientIn(t *testing.T) {
	s := newSite(t)
	own := s.atBrowser(t)
	script, _, err := s.Begin(context.Background(), session.Material{Identity: alice, Access: trust.NewAccessToken("x")}, session.FromToken, "tx")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		token trust.AccessToken
		grant session.Grant
	}{
		"a script": {script, portal}, "nobody": {trust.AccessToken{}, portal}, "made up": {trust.NewAccessToken(session.Prefix + "x"), portal}, "no client": {own, session.Grant{}},
	} {
		if _, _, err := s.Give(context.Background(), c.token, c.grant, time.Hour, "tx"); err == nil {
			t.Errorf("%s let a client in", name)
		}
	}
	s.written = errors.New("the disk is full")
	if _, _, err := s.Give(context.Background(), own, portal, time.Hour, "tx"); err == nil || refusedFor(err, trust.ReasonSession) {
		t.Errorf("not written: %v", err)
	}
}

// A client's sign-ins push out its own tokens, and nobody else's.
func TestAClientsTokensAreFew(t *testing.T) {
	s := newSite(t)
	own := s.atBrowser(t)
	first, _ := s.give(t, own, portal)
	other, _ := s.give(t, own, session.Grant{Client: "other"})
	var last trust.AccessToken
	for range 40 {
		s.pass(time.Second)
		last, _ = s.give(t, own, portal)
	}
	if n := len(s.Of(alice)); n != 5 {
		t.Errorf("%d sessions", n)
	}
	if _, err := s.GrantOf(first, trust.Proven{}); err == nil {
		t.Error("the oldest is left")
	}
	for name, token := range map[string]trust.AccessToken{"the newest": last, "another client's": other, "the person's own": own} {
		if _, err := s.GrantOf(token, trust.Proven{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Row 64: the state file opens nothing; what a client's token is for lies sealed, too.
func TestAClientsTokenIsSealed(t *testing.T) {
	s := newSite(t)
	own := s.atBrowser(t)
	token, kept := s.give(t, own, portal)
	if held := string(s.kept[kept.ID].Sealed); strings.Contains(held, own.Reveal()) || strings.Contains(held, "portal") || strings.Contains(s.log.String(), own.Reveal()) {
		t.Error("it can be read")
	}
	// A thief of the file who puts one session's content in another's place gets
	// neither.
	s.mu.Lock()
	for id, one := range s.kept {
		if id != kept.ID {
			one.Sealed = s.kept[kept.ID].Sealed
			s.kept[id] = one
		}
	}
	s.mu.Unlock()
	if _, err := s.OpenAny(context.Background(), token, trust.Proven{}); !refusedFor(err, trust.ReasonSession) {
		t.Errorf("%v", err)
	}
}
