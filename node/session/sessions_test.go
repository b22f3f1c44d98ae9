package session_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/candignode/candignode/node/session"
	"github.com/candignode/candignode/store"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/audit"
	"github.com/candignode/candignode/trust/bearer"
)

// Rows 54 and 56: a session ends at the least of its life and what it rests on; the
// end itself is over.
func TestWhenASessionEnds(t *testing.T) {
	at := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		material session.Material
		life     time.Duration
	}{
		"passports for an hour":       {session.Material{Passports: []trust.Passport{trust.NewPassport("p")}, Until: at.Add(time.Hour)}, time.Hour},
		"passports for a week":        {session.Material{Passports: []trust.Passport{trust.NewPassport("p")}, Until: at.Add(7 * 24 * time.Hour)}, 12 * time.Hour},
		"a token that nothing renews": {session.Material{Access: trust.NewAccessToken("a"), AccessExpires: at.Add(2 * time.Hour)}, 2 * time.Hour},
		"a token of unknown life":     {session.Material{Access: trust.NewAccessToken("a")}, 12 * time.Hour},
	} {
		s := newSite(t, func(o *session.Options) { o.Idle = 100 * time.Hour })
		c.material.Identity = alice
		token, kept, err := s.Begin(t.Context(), c.material, session.FromPassports, "tx")
		if err != nil || !kept.Until.Equal(at.Add(c.life)) {
			t.Fatalf("%s: %v, until %v", name, err, kept.Until)
		}
		s.pass(c.life - time.Nanosecond)
		if _, err := s.Open(t.Context(), token, trust.Proven{}); err != nil {
			t.Errorf("%s: just before: %v", name, err)
		}
		s.pass(time.Nanosecond)
		if _, err := s.Open(t.Context(), token, trust.Proven{}); reasonOf(err) != trust.ReasonSession {
			t.Errorf("%s: at the end: %v", name, err)
		}
		if len(s.Of(alice)) != 0 {
			t.Errorf("%s: still listed", name)
		}
	}
	s := newSite(t)
	if _, _, err := s.Begin(t.Context(), session.Material{Identity: alice, Until: at}, "x", "tx"); reasonOf(err) != trust.ReasonExpired || len(s.kept) != 0 {
		t.Errorf("what has ended already: %v", err)
	}
	if _, _, err := s.Begin(t.Context(), session.Material{}, "x", "tx"); err == nil {
		t.Error("a session of nobody")
	}
	if _, _, err := s.Begin(t.Context(), session.Material{Identity: alice, Passports: []trust.Passport{trust.NewPassport(strings.Repeat("p", 1<<20))}}, "x", "tx"); !errors.Is(err, session.ErrTooLarge) {
		t.Errorf("a megabyte: %v", err)
	}
	s.written = errors.New("disk full")
	if token, _, err := s.Begin(t.Context(), session.Material{Identity: alice}, "x", "tx"); err == nil || !token.IsZero() {
		t.Errorf("not written: %v", err)
	}
}

// A session that is left alone ends; using it keeps it, at the cost of a write now
// and then.
func TestIdleness(t *testing.T) {
	s := newSite(t)
	token := s.signedIn(t).Token
	s.refresh = func(string) (bearer.Tokens, error) {
		return bearer.Tokens{Access: trust.NewAccessToken("b"), Expires: s.now().Add(100 * time.Hour)}, nil
	}
	for range 2 {
		s.pass(4*time.Hour - time.Second)
		if _, err := s.Open(t.Context(), token, trust.Proven{}); err != nil {
			t.Fatal(err)
		}
	}
	s.pass(4 * time.Hour)
	if _, err := s.Identify(t.Context(), token, trust.Proven{}); reasonOf(err) != trust.ReasonSession {
		t.Errorf("after four hours: %v", err)
	}
}

// The same answer for a token that never was, one that ended, one of another kind,
// and one whose place in the file holds something else.
func TestTokensThatOpenNothing(t *testing.T) {
	s := newSite(t)
	finished := s.signedIn(t)
	want := ""
	for _, token := range []string{"", "cgs_", "cgs_" + strings.Repeat("A", 43), finished.Session.ID, finished.Token.Digest().String(), "eyJ.first-access.x", finished.Token.Reveal() + "A", strings.ToUpper(finished.Token.Reveal())} {
		_, err := s.Open(t.Context(), trust.NewAccessToken(token), trust.Proven{})
		if want == "" && err != nil {
			want = err.Error()
		}
		if reasonOf(err) != trust.ReasonSession || err.Error() != want {
			t.Errorf("%q: %v", token, err)
		}
	}
	one := s.kept[finished.Session.ID]
	for name, change := range map[string]func(*access.Session){
		"another's material":      func(v *access.Session) { v.ID = "another" },
		"a bit turned":            func(v *access.Session) { v.Sealed = append([]byte{v.Sealed[0] ^ 1}, v.Sealed[1:]...) },
		"cut short":               func(v *access.Session) { v.Sealed = v.Sealed[:5] },
		"nothing":                 func(v *access.Session) { v.Sealed = nil },
		"another person's":        func(v *access.Session) { v.Identity.Subject = "bob" },
		"a life that was put off": func(v *access.Session) { v.Until, v.Created = v.Until.Add(time.Hour), v.Created.Add(-13*time.Hour) },
	} {
		changed := one
		change(&changed)
		s.kept[finished.Session.ID] = changed
		if _, err := s.Open(t.Context(), finished.Token, trust.Proven{}); reasonOf(err) != trust.ReasonSession {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Row 62: whoever is shut out has no session from that moment, and gets none.
func TestRevokedPeopleHaveNoSession(t *testing.T) {
	for name, revocation := range map[string]func(trust.AccessToken) trust.Revocation{
		"person": func(trust.AccessToken) trust.Revocation {
			return trust.Revocation{Kind: trust.RevokeIdentity, Issuer: issuer, Subject: "alice"}
		},
		"issuer": func(trust.AccessToken) trust.Revocation {
			return trust.Revocation{Kind: trust.RevokeIssuer, Issuer: issuer}
		},
		"token": func(t trust.AccessToken) trust.Revocation {
			return trust.Revocation{Kind: trust.RevokeToken, Token: t.Digest()}
		},
	} {
		s := newSite(t)
		token := s.signedIn(t).Token
		s.revoked = []trust.Revocation{{Kind: trust.RevokeIdentity, Issuer: issuer, Subject: "bob"}}
		if _, err := s.Open(t.Context(), token, trust.Proven{}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		s.revoked = append(s.revoked, revocation(token))
		if _, err := s.Open(t.Context(), token, trust.Proven{}); reasonOf(err) != trust.ReasonRevoked {
			t.Errorf("%s: %v", name, err)
		}
		if _, _, err := s.Begin(t.Context(), session.Material{Identity: alice}, "x", "tx"); name != "token" && reasonOf(err) != trust.ReasonRevoked {
			t.Errorf("%s: a new one: %v", name, err)
		}
	}
}

// Row 110: a session that was begun with a proof needs the same key at every use.
func TestBoundSessions(t *testing.T) {
	s := newSite(t)
	token, _, err := s.Begin(t.Context(), session.Material{Identity: alice, Access: trust.NewAccessToken("a"), Bound: trust.Confirmation{JKT: "key", X5T: "cert"}}, "x", "tx")
	if err != nil {
		t.Fatal(err)
	}
	for _, proven := range []trust.Proven{{}, {JKT: "key"}, {X5T: "cert"}, {JKT: "other", X5T: "cert"}} {
		if _, err := s.Open(t.Context(), token, proven); reasonOf(err) != trust.ReasonNotProven {
			t.Errorf("%+v: %v", proven, err)
		}
		if _, err := s.Identify(t.Context(), token, proven); reasonOf(err) != trust.ReasonNotProven {
			t.Errorf("%+v: %v", proven, err)
		}
	}
	if _, err := s.Open(t.Context(), token, trust.Proven{JKT: "key", X5T: "cert"}); err != nil {
		t.Error(err)
	}
}

// A person's sessions are the person's: listed, ended, and no more than so many.
func TestSessionsOfAPerson(t *testing.T) {
	s := newSite(t, func(o *session.Options) { o.MaxPerPerson = 3 })
	bob := trust.Identity{Issuer: issuer, Subject: "bob"}
	var tokens []trust.AccessToken
	begin := func(who trust.Identity) access.Session {
		s.pass(time.Minute)
		token, one, err := s.Begin(t.Context(), session.Material{Identity: who, Access: trust.NewAccessToken("a")}, "x", "tx")
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, token)
		return one
	}
	bobs := begin(bob)
	for range 3 {
		begin(alice)
	}
	s.pass(10 * time.Minute)
	if _, err := s.Open(t.Context(), tokens[1], trust.Proven{}); err != nil { // alice's first, used just now
		t.Fatal(err)
	}
	begin(alice)
	if _, err := s.Open(t.Context(), tokens[1], trust.Proven{}); err != nil {
		t.Errorf("one in use was pushed out: %v", err)
	}
	if _, err := s.Open(t.Context(), tokens[2], trust.Proven{}); reasonOf(err) != trust.ReasonSession {
		t.Errorf("the one used longest ago: %v", err)
	}
	all := s.Of(alice)
	if len(all) != 3 || !all[0].Created.After(all[1].Created) || all[0].Sealed != nil || len(s.Of(bob)) != 1 {
		t.Errorf("%d sessions: %+v", len(all), all)
	}
	if err := s.End(t.Context(), alice, bobs.ID, "tx"); !errors.Is(err, session.ErrNoSession) || len(s.Of(bob)) != 1 {
		t.Errorf("somebody else's: %v", err)
	}
	if err := s.End(t.Context(), alice, "no-such", "tx"); !errors.Is(err, session.ErrNoSession) {
		t.Errorf("none: %v", err)
	}
	if err := s.End(t.Context(), alice, all[0].ID, "tx"); err != nil || len(s.Of(alice)) != 2 {
		t.Errorf("her own: %v", err)
	}
	if _, err := s.Open(t.Context(), tokens[len(tokens)-1], trust.Proven{}); reasonOf(err) != trust.ReasonSession {
		t.Errorf("the token of a session that was ended: %v", err)
	}
	s.pass(24 * time.Hour)
	var everybody []access.Session
	for _, one := range s.kept {
		everybody = append(everybody, one)
	}
	if err := s.Sweep(t.Context(), everybody); err != nil || len(s.kept) != 0 {
		t.Errorf("%d left: %v", len(s.kept), err)
	}
	outcomes := map[string]int{}
	for _, r := range s.records {
		outcomes[r.Outcome]++
		if r.Event != audit.EventSession {
			t.Errorf("recorded %+v", r)
		}
	}
	if fmt.Sprint(outcomes) != "map[begun:5 displaced:1 ended:1 expired:3]" {
		t.Errorf("recorded %v", outcomes)
	}
}

// When the access token runs out, it is renewed: once, however many questions come,
// for an issuer takes the second use of a refresh token for theft.
func TestRenewalOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		token := s.signedIn(t).Token
		s.refresh = func(refresh string) (bearer.Tokens, error) {
			time.Sleep(time.Second)
			if refresh != "first-refresh" {
				return bearer.Tokens{}, bearer.ErrRefused
			}
			return bearer.Tokens{Access: trust.NewAccessToken("second"), Refresh: trust.NewAccessToken("second-refresh"), ID: trust.NewAccessToken("renewed-id"), Expires: s.now().Add(time.Hour)}, nil
		}
		if opened, err := s.Open(t.Context(), token, trust.Proven{}); err != nil || opened.Material.Access.Reveal() != "eyJ.first-access.x" || s.refreshes != 0 {
			t.Fatalf("while it lasts: %v", err)
		}
		s.pass(time.Hour - 29*time.Second)
		results := make(chan string, 21)
		for i := range 21 {
			go func() {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if i == 0 {
					time.AfterFunc(time.Millisecond, cancel) // hangs up, and breaks nothing for the others
				}
				time.Sleep(time.Duration(i) * 100 * time.Millisecond) // some come when it is done
				opened, err := s.Open(ctx, token, trust.Proven{})
				results <- fmt.Sprint(opened.Material.Access.Reveal(), " ", errors.Is(err, context.Canceled))
			}()
		}
		got := map[string]int{}
		for range 21 {
			got[<-results]++
		}
		if s.refreshes != 1 || got["second false"] != 20 || got[" true"] != 1 {
			t.Errorf("%d renewals: %v", s.refreshes, got)
		}
		if opened, err := s.Open(t.Context(), token, trust.Proven{}); err != nil || opened.Material.Refresh.Reveal() != "second-refresh" {
			t.Errorf("afterwards: %v", err)
		}
	})
}

// A question that looked before a renewal, and asks for one after it, gets what was
// renewed.
func TestALateQuestionDoesNotRenewAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		token := s.signedIn(t).Token
		s.refresh = func(string) (bearer.Tokens, error) {
			return bearer.Tokens{Access: trust.NewAccessToken("second"), Expires: s.now().Add(time.Hour)}, nil
		}
		s.pass(time.Hour)
		s.lag = time.Second
		late := make(chan string)
		go func() {
			opened, err := s.Open(t.Context(), token, trust.Proven{})
			late <- fmt.Sprint(opened.Material.Access.Reveal(), err)
		}()
		synctest.Wait()
		if _, err := s.Open(t.Context(), token, trust.Proven{}); err != nil {
			t.Fatal(err)
		}
		if got := <-late; got != "second<nil>" || s.refreshes != 1 {
			t.Errorf("%s after %d renewals", got, s.refreshes)
		}
	})
}

// A renewal that fails: ended by the issuer, it ends here; for the rest it waits.
func TestRenewalsThatFail(t *testing.T) {
	renewed := func(id string) (bearer.Tokens, error) {
		return bearer.Tokens{Access: trust.NewAccessToken("second"), ID: trust.NewAccessToken(id)}, nil
	}
	for name, c := range map[string]struct {
		answer func() (bearer.Tokens, error)
		want   trust.Reason
		ended  bool
	}{
		"taken back":          {func() (bearer.Tokens, error) { return bearer.Tokens{}, fmt.Errorf("x: %w", bearer.ErrRefused) }, trust.ReasonSession, true},
		"somebody else's":     {func() (bearer.Tokens, error) { return renewed("bobs-id") }, trust.ReasonSession, true},
		"a bad ID Token":      {func() (bearer.Tokens, error) { return renewed("bad-id") }, trust.ReasonSession, true},
		"nothing in it":       {func() (bearer.Tokens, error) { return bearer.Tokens{}, nil }, trust.ReasonProvider, false},
		"down":                {func() (bearer.Tokens, error) { return bearer.Tokens{}, bearer.ErrUnavailable }, trust.ReasonProvider, false},
		"the sign-in's nonce": {func() (bearer.Tokens, error) { return renewed("alices-id") }, "", false},
	} {
		s := newSite(t)
		token := s.signedIn(t).Token
		s.refresh = func(string) (bearer.Tokens, error) { return c.answer() }
		s.pass(time.Hour - 10*time.Second) // the old one still lasts
		_, err := s.Open(t.Context(), token, trust.Proven{})
		if c.ended != (err != nil) {
			t.Errorf("%s: while the old one lasts: %v", name, err)
		}
		s.pass(time.Minute)
		if _, err := s.Open(t.Context(), token, trust.Proven{}); reasonOf(err) != c.want || (len(s.kept) == 0) != c.ended {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := s.Identify(t.Context(), token, trust.Proven{}); (err != nil) != c.ended { // signing out works all the same
			t.Errorf("%s: %v", name, err)
		}
	}
	s := newSite(t) // what cannot be kept is not used: the old refresh token may be used up
	token := s.signedIn(t).Token
	s.refresh = func(string) (bearer.Tokens, error) { return renewed("renewed-id") }
	s.pass(2 * time.Hour)
	s.written = errors.New("disk full")
	if _, err := s.Open(t.Context(), token, trust.Proven{}); !errors.Is(err, s.written) {
		t.Errorf("not written: %v", err)
	}
}

// Row 64: the state file and the log hold no token in any form that opens anything.
func TestNoTokenAtRest(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "state.db")
	state := openStore(t, file)
	s := newSite(t, func(o *session.Options) { o.Store = state })
	finished := s.signedIn(t)
	jwt := "eyJhbGciOiJSUzI1NiJ9.YWxpY2U.c2ln"
	token, _, err := s.Begin(t.Context(), session.Material{Identity: alice, Passports: []trust.Passport{trust.NewPassport(jwt)}, Until: s.now().Add(time.Hour)}, session.FromPassports, "tx")
	if err != nil {
		t.Fatal(err)
	}
	s.pass(10 * time.Minute)
	if opened, err := s.Open(t.Context(), token, trust.Proven{}); err != nil || opened.Material.Passports[0].Compact() != jwt {
		t.Errorf("opened: %v", err)
	}
	if len(s.Of(alice)) != 2 {
		t.Errorf("listed %v", s.Of(alice))
	}
	if err := s.End(t.Context(), alice, finished.Session.ID, "tx"); err != nil {
		t.Error(err)
	}
	if _, err := s.Open(t.Context(), finished.Token, trust.Proven{}); reasonOf(err) != trust.ReasonSession {
		t.Errorf("ended: %v", err)
	}
	if err := state.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"eyJ", "cgs_", "first-refresh", "YWxpY2U", finished.Token.Reveal()[4:], token.Reveal()[4:]} {
		if strings.Contains(string(raw), secret) || strings.Contains(s.log.String(), secret) || strings.Contains(fmt.Sprintf("%+v %#v", finished, finished), secret) {
			t.Errorf("%s was kept or shown", secret)
		}
	}
	if !strings.Contains(string(raw), "alice") { // or the test looks at the wrong file
		t.Error("the state file does not hold the session")
	}
}

func TestNewNeedsItsParts(t *testing.T) {
	if _, err := session.New(session.Options{ExternalURL: own}); err == nil {
		t.Error("a desk of nothing")
	}
	for _, address := range []string{"", "node.example.org", "https://node.example.org/x", "https://me@node.example.org", "ftp://node.example.org", "https://node.example.org?x"} {
		s := newSite(t)
		if _, err := session.New(session.Options{ExternalURL: address, View: func() *trust.View { return nil }, Provider: s, Tokens: s.token, Store: s}); err == nil {
			t.Errorf("%q was taken", address)
		}
	}
	s := newSite(t, func(o *session.Options) { o.View = func() *trust.View { return nil } })
	if _, err := s.Start(t.Context(), issuer, ""); !errors.Is(err, session.ErrSignIn) || s.Issuers() != nil {
		t.Errorf("without belief in anybody: %v", err)
	}
}

func openStore(t *testing.T, file string) *store.Store {
	t.Helper()
	s, err := store.Open(file, store.Options{Now: func() time.Time { return time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC) }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
