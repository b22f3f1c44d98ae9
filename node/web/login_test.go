package web_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/candignode/candignode/node/session"
	"github.com/candignode/candignode/trust"
)

func page(t *testing.T, a *httptest.ResponseRecorder) string {
	t.Helper()
	h := a.Header()
	if h.Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") ||
		!strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'") || !strings.Contains(h.Get("Cache-Control"), "no-store") {
		t.Errorf("%d is not a safe page: %v", a.Code, h)
	}
	if strings.Contains(strings.ToLower(a.Body.String()), "<script") {
		t.Errorf("a page with a script: %s", a.Body)
	}
	return a.Body.String()
}

// The page lists who signs people in, in two languages, and what it repeats stays
// text.
func TestTheSignInPage(t *testing.T) {
	w, _, _ := withDoors(t)
	text := page(t, w.send(http.MethodGet, "/login?return=/beacon/info", ""))
	for _, want := range []string{alicesIssuer, "/login/start?issuer=https%3A%2F%2Fidp.uhn.example.org%2F&amp;return=%2Fbeacon%2Finfo", `lang="fr"`, "Connexion", "Sign in"} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing in %s", want, text)
		}
	}
	for _, back := range []string{"//evil.example.org", "https://evil.example.org", "/\\evil.example.org", "javascript:alert(1)"} {
		if text := page(t, w.send(http.MethodGet, "/login?return="+url.QueryEscape(back), "")); strings.Contains(text, "evil") || strings.Contains(text, "javascript") {
			t.Errorf("%s: %s", back, text)
		}
	}
}

// Row 112: the browser is sent to the issuer with a cookie that binds the sign-in to
// it, and comes back with that.
func TestSigningIn(t *testing.T) {
	w, door, _ := withDoors(t)
	a := w.send(http.MethodGet, "/login/start?return=/x&issuer="+url.QueryEscape(alicesIssuer), "")
	cookie := a.Header().Get("Set-Cookie")
	if a.Code != http.StatusSeeOther || !strings.HasPrefix(a.Header().Get("Location"), "https://idp.uhn.example.org/authorize?") {
		t.Fatalf("%d %v %s", a.Code, a.Header(), a.Body)
	}
	for _, want := range []string{"__Host-candignode-signin=browser-opaque-secret", "Path=/", "Secure", "HttpOnly", "SameSite=Lax", "Max-Age=600"} {
		if !strings.Contains(cookie, want) || strings.Contains(cookie, "Domain") {
			t.Errorf("%s is missing in %s", want, cookie)
		}
	}
	key := session.KeyOf(alicesIssuer)
	a = w.send(http.MethodGet, "/login/callback/"+key+"?code=alices-code&state=s&iss="+url.QueryEscape(alicesIssuer)+"&session_state=x", "",
		"Cookie", "__Host-candignode-signin=browser-opaque-secret", "Sec-Fetch-Site", "cross-site")
	text := page(t, a)
	if a.Code != http.StatusOK || !strings.Contains(text, `<a href="/beacon/info">`) || !strings.Contains(text, `action="/logout"`) || strings.Contains(text, "refresh") {
		t.Errorf("%d %s", a.Code, text)
	}
	// The form that signs out must have an Origin: browsers hide it from pages without
	// a referrer.
	if a.Header().Get("Referrer-Policy") != "same-origin" {
		t.Errorf("%v", a.Header())
	}
	cookies := strings.Join(a.Header().Values("Set-Cookie"), "\n")
	for _, want := range []string{"__Host-candignode=" + tokenOf("a") + "; Path=/; Max-Age=43200; HttpOnly; Secure; SameSite=Lax", "__Host-candignode-signin=; Path=/; Max-Age=0"} {
		if !strings.Contains(cookies, want) {
			t.Errorf("%s is missing in %s", want, cookies)
		}
	}
	got := door.callbacks[0]
	if got.Key != key || got.Code != "alices-code" || got.State != "s" || got.Issuer != alicesIssuer || got.Browser.Reveal() != "browser-opaque-secret" {
		t.Errorf("callback %+v", got)
	}
	if logged := w.logged(); strings.Contains(logged, "opaque-secret") || strings.Contains(logged, "alices-code") || strings.Contains(logged, "cgs_") || strings.Contains(logged, key) {
		t.Errorf("logged: %s", logged)
	}
}

// Row 112: what does not fit ends without a session, and on record.
func TestSignInsThatBreakOff(t *testing.T) {
	callback := "/login/callback/" + session.KeyOf(alicesIssuer)
	for name, c := range map[string]struct {
		target string
		want   int
		reason trust.Reason
	}{
		"an issuer that is not listed": {"/login/start?issuer=https://evil.example.org", 400, ""},
		"two issuers":                  {"/login/start?issuer=a&issuer=b", 400, ""},
		"an issuer that is down":       {"/login/start?issuer=https://down.example.org", 503, ""},
		"what does not fit":            {callback + "?code=c&state=s", 400, trust.ReasonSession},
		"two states":                   {callback + "?code=alices-code&state=s&state=t", 400, ""},
		"two codes":                    {callback + "?code=alices-code&code=c&state=s", 400, ""},
		"two issuers say so":           {callback + "?code=alices-code&state=s&iss=a&iss=b", 400, ""},
		"a bad ID Token":               {callback + "?code=badid&state=s", 401, trust.ReasonSignature},
		"not recorded":                 {callback + "?code=full&state=s", 503, ""},
		"the implicit flow":            {callback + "?access_token=opaque-secret&state=s", 400, trust.ReasonUnsupportedToken},
	} {
		w, _, _ := withDoors(t)
		a := w.send(http.MethodGet, c.target, "", "Cookie", "__Host-candignode-signin=b")
		text := page(t, a)
		if a.Code != c.want || strings.Contains(strings.Join(a.Header().Values("Set-Cookie"), ""), "cgs_") || a.Header().Get("Location") != "" {
			t.Errorf("%s: %d %v", name, a.Code, a.Header())
		}
		if (len(w.refusals) == 1) != (c.reason != "") || c.reason != "" && w.refusals[0].reason != c.reason {
			t.Errorf("%s: recorded %v", name, w.refusals)
		}
		if !strings.Contains(text, "Transaction") || strings.Contains(text, "space left") || strings.Contains(text, "opaque-secret") {
			t.Errorf("%s: %s", name, text)
		}
	}
	w, door, _ := withDoors(t)
	for _, target := range []string{"/login/start?issuer=" + alicesIssuer, callback + "?code=alices-code&state=s"} {
		if a := w.send(http.MethodHead, target, ""); a.Code != http.StatusMethodNotAllowed || len(door.callbacks) != 0 {
			t.Errorf("HEAD %s: %d", target, a.Code)
		}
		r := httptest.NewRequest(http.MethodGet, target, nil) // row 71
		r.RemoteAddr = "192.0.2.7:5"
		a := httptest.NewRecorder()
		if w.ServeHTTP(a, r); a.Code != http.StatusBadRequest || len(door.callbacks) != 0 {
			t.Errorf("without TLS %s: %d", target, a.Code)
		}
	}
	// Two cookies are none: nobody knows which is whose.
	w.send(http.MethodGet, callback+"?code=alices-code&state=s", "", "Cookie", "__Host-candignode-signin=a; __Host-candignode-signin=b")
	if !door.callbacks[0].Browser.IsZero() {
		t.Errorf("callback %+v", door.callbacks[0])
	}
}
