package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/api"
	"github.com/candignode/candignode/node/session"
	"github.com/candignode/candignode/node/web"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/passport"
)

// A session is made of a token or of passports, and of nothing else. Rows 54 and 56:
// one of passports is told when they end.
func TestBeginningASession(t *testing.T) {
	w, _, _ := withDoors(t)
	begin := func(body string, headers ...string) (api.Session, *httptest.ResponseRecorder) {
		a := w.send(http.MethodPost, "/v1/sessions", body, headers...)
		var s api.Session
		json.Unmarshal(a.Body.Bytes(), &s)
		return s, a
	}
	if s, a := begin("", "Authorization", "Bearer "+alicesToken); a.Code != http.StatusOK || s.Token != tokenOf("n") || s.ID != "n" || s.Label != session.FromToken || s.Until.IsZero() {
		t.Errorf("of a token: %d %s", a.Code, a.Body)
	}
	if s, a := begin(`{"passports":["` + alicesPassport + `"]}`); a.Code != http.StatusOK || s.Label != session.FromPassports {
		t.Errorf("of passports: %d %s", a.Code, a.Body)
	}
	_, a := begin("{}", "Authorization", "DPoP "+boundToken, "DPoP", "good-1")
	if a.Code != http.StatusOK || !strings.Contains(a.Header().Get("Cache-Control"), "no-store") { // row 71
		t.Errorf("of a bound token: %d %v", a.Code, a.Header())
	}
	if begun := w.sessions.begun; len(begun) != 3 || begun[0].Access.Reveal() != alicesToken || !begun[0].Until.IsZero() || !begun[0].Bound.IsZero() ||
		len(begun[1].Passports) != 1 || !begun[1].Until.Equal(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)) || !begun[1].Access.IsZero() ||
		begun[2].Bound.JKT != alicesKey { // row 110: no way around the binding
		t.Errorf("begun %v", begun)
	}
	for name, c := range map[string]struct {
		body    string
		headers []string
		want    int
	}{
		"nothing":                {"{}", nil, 401},
		"no body":                {"", nil, 400},
		"a bad token":            {"", []string{"Authorization", "Bearer old"}, 401},
		"a bad passport":         {`{"passports":["` + expiredPassport + `"]}`, nil, 401},
		"a session":              {"", []string{"Authorization", "Bearer " + tokenOf("a")}, 403},
		"a cookie":               {"", []string{"Cookie", "__Host-candignode=" + tokenOf("a"), "Origin", ownAddress}, 403},
		"two ways":               {`{"passports":["` + alicesPassport + `"]}`, []string{"Authorization", "Bearer " + alicesToken}, 401},
		"something more":         {`{"passports":[],"life":"1y"}`, []string{"Authorization", "Bearer " + alicesToken}, 400},
		"an issuer that is down": {"", []string{"Authorization", "Bearer " + downToken}, 503},
	} {
		before := len(w.sessions.begun)
		if s, a := begin(c.body, c.headers...); a.Code != c.want || s.Token != "" || len(w.sessions.begun) != before {
			t.Errorf("%s: %d %s", name, a.Code, a.Body)
		}
	}
	for fail, want := range map[error]int{errors.New("no space left on device"): 503, session.ErrTooLarge: 413, &passport.Refusal{Reason: trust.ReasonRevoked, Index: -1}: 401} {
		w.sessions.err = fail
		if s, a := begin("", "Authorization", "Bearer "+alicesToken); a.Code != want || s.Token != "" || strings.Contains(a.Body.String(), "device") {
			t.Errorf("%v: %d %s", fail, a.Code, a.Body)
		}
	}
	if strings.Contains(w.logged(), "cgs_") || strings.Contains(w.logged(), "opaque-secret") {
		t.Errorf("logged: %s", w.logged())
	}
}

// A person lists and ends the person's own sessions, also those of other computers,
// and nobody else's.
func TestOwnSessionsOnly(t *testing.T) {
	w, _, _ := withDoors(t)
	list := func(headers ...string) (map[string]api.Session, int) {
		a := w.send(http.MethodGet, "/v1/sessions", "", headers...)
		var all api.Sessions
		json.Unmarshal(a.Body.Bytes(), &all)
		by := map[string]api.Session{}
		for _, s := range all.Sessions {
			by[s.ID] = s
		}
		if strings.Contains(a.Body.String(), "cgs_") {
			t.Errorf("tokens were listed: %s", a.Body)
		}
		return by, a.Code
	}
	if all, code := list("Authorization", "Bearer "+tokenOf("a")); code != http.StatusOK || len(all) != 3 || !all["a"].Current || all["b"].Current || all["a"].Subject != "alice" {
		t.Errorf("%d %v", code, all)
	}
	if all, code := list("Authorization", "Bearer "+alicesToken); code != http.StatusOK || len(all) != 3 || all["a"].Current {
		t.Errorf("by a token: %d %v", code, all)
	}
	if _, code := list(); code != http.StatusUnauthorized {
		t.Errorf("by nobody: %d", code)
	}
	if _, code := list("Authorization", "Bearer "+tokenOf("d")); code != http.StatusUnauthorized {
		t.Errorf("by a bound session without its key: %d", code)
	}
	end := func(id string, headers ...string) *httptest.ResponseRecorder {
		return w.send(http.MethodDelete, "/v1/sessions/"+id, "", headers...)
	}
	for _, id := range []string{"z", "no-such"} { // somebody else's looks like none
		if a := end(id, "Authorization", "Bearer "+tokenOf("a")); a.Code != http.StatusNotFound || !w.sessions.has("z") {
			t.Errorf("%s: %d %s", id, a.Code, a.Body)
		}
	}
	if a := end("b", "Cookie", "__Host-candignode="+tokenOf("a"), "Sec-Fetch-Site", "same-origin"); a.Code != http.StatusForbidden || !w.sessions.has("b") {
		t.Errorf("by a cookie without Origin: %d", a.Code)
	}
	if a := end("b", "Authorization", "Bearer "+tokenOf("a")); a.Code != http.StatusNoContent || w.sessions.has("b") {
		t.Errorf("from another session: %d %s", a.Code, a.Body)
	}
	w.sessions.err = errors.New("no space left on device")
	if a := end("a", "Authorization", "Bearer "+tokenOf("a")); a.Code != http.StatusServiceUnavailable || !w.sessions.has("a") {
		t.Errorf("not recorded: %d", a.Code)
	}
	w.sessions.err = nil
	a := end("a", "Cookie", "__Host-candignode="+tokenOf("a"), "Origin", ownAddress)
	if a.Code != http.StatusNoContent || w.sessions.has("a") || !strings.Contains(a.Header().Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("its own: %d %v", a.Code, a.Header())
	}
	if a := w.send(http.MethodPut, "/v1/sessions/a", ""); a.Code != http.StatusMethodNotAllowed || a.Header().Get("Allow") != "DELETE, OPTIONS" {
		t.Errorf("PUT: %d %v", a.Code, a.Header())
	}
	for _, path := range []string{"/v1/sessions/a/b", "/v1/sessions/{}", "/v1/sessions/a.b", "/v1/sessions/" + strings.Repeat("a", 65)} {
		if a := w.send(http.MethodDelete, path, "", "Authorization", "Bearer "+alicesToken); a.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, a.Code)
		}
	}
}

// Signing out ends the session at the node, and does not depend on an issuer.
func TestSigningOut(t *testing.T) {
	w, _, _ := withDoors(t, func(o *web.Options) {
		o.Verify = func(context.Context, web.Shown, bool) (passport.Verdict, error) {
			return passport.Verdict{}, errDown
		}
	})
	out := func(headers ...string) *httptest.ResponseRecorder {
		return w.send(http.MethodPost, "/logout", "", append(headers, "Content-Type", "application/x-www-form-urlencoded")...)
	}
	for name, headers := range map[string][]string{
		"another site's form": {"Origin", "https://evil.example.org"}, "no Origin": {}, "a sandbox": {"Origin", "null"},
	} {
		if a := out(append(headers, "Cookie", "__Host-candignode="+tokenOf("a"))...); a.Code != http.StatusForbidden || !w.sessions.has("a") {
			t.Errorf("%s: %d", name, a.Code)
		}
		// The browser keeps the cookie to itself then, and must not be told to drop it.
		if a := out(headers...); a.Code != http.StatusForbidden || a.Header().Get("Set-Cookie") != "" {
			t.Errorf("%s, without the cookie: %d %v", name, a.Code, a.Header())
		}
	}
	if a := out("Origin", ownAddress); a.Code != http.StatusSeeOther || !strings.Contains(a.Header().Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("signed out already: %d %v", a.Code, a.Header())
	}
	a := out("Cookie", "__Host-candignode="+tokenOf("a"), "Origin", ownAddress)
	if a.Code != http.StatusSeeOther || a.Header().Get("Location") != "/login" || w.sessions.has("a") || !strings.Contains(a.Header().Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("%d %v", a.Code, a.Header())
	}
	if a := out("Cookie", "__Host-candignode="+tokenOf("a"), "Origin", ownAddress); a.Code != http.StatusSeeOther {
		t.Errorf("again: %d %s", a.Code, a.Body)
	}
	if a := out("Authorization", "Bearer "+tokenOf("b")); a.Code != http.StatusNoContent || w.sessions.has("b") {
		t.Errorf("by header: %d", a.Code)
	}
	if a := w.send(http.MethodGet, "/logout", ""); a.Code != http.StatusMethodNotAllowed {
		t.Errorf("by a link: %d", a.Code)
	}
	w.sessions.err = errors.New("disk full")
	if a := out("Authorization", "Bearer "+tokenOf("z")); a.Code != http.StatusServiceUnavailable {
		t.Errorf("not recorded: %d", a.Code)
	}
}

// whoami by token and by session: who, with what other names, why, and from where.
func TestWhoamiByTokenAndSession(t *testing.T) {
	w, _, _ := withDoors(t, func(o *web.Options) {
		own := o.Verify
		o.Verify = func(ctx context.Context, shown web.Shown, only bool) (passport.Verdict, error) {
			v, err := own(ctx, shown, only)
			v.Caller.Linked = []trust.LinkedIdentity{{Identity: trust.Identity{Issuer: "https://other.example.org", Subject: "al"}, Until: v.Until}}
			if len(v.Visas) > 0 {
				v.Visas[0].Trace = []string{"clause 1 is met"}
			}
			return v, err
		}
	})
	for _, token := range []string{alicesToken, tokenOf("a")} {
		for _, body := range []string{"", "{}", `{"passports":[]}`} {
			a := w.send(http.MethodPost, "/v1/whoami", body, "Authorization", "Bearer "+token)
			var who api.Whoami
			if err := json.Unmarshal(a.Body.Bytes(), &who); err != nil || a.Code != http.StatusOK {
				t.Fatalf("%s: %d %s", body, a.Code, a.Body)
			}
			if len(who.Caller.Linked) != 1 || who.Caller.Linked[0].Subject != "al" || who.Caller.Linked[0].Until == nil || who.Visas[0].Trace[0] != "clause 1 is met" {
				t.Errorf("%+v", who)
			}
			if bySession := token != alicesToken; (who.Session != nil) != bySession || bySession && (who.Session.ID != "a" || who.Session.Label != session.FromBrowser || who.Session.Token != "") {
				t.Errorf("%s: session %+v", body, who.Session)
			}
		}
	}
}
