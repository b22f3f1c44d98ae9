package web_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/node/session"
	"github.com/candignode/candignode/node/web"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/broker"
)

// waiting is what a request that waits is named by.
const waiting = "waiting_waiting_waiting-waiting_waiting_wait"

// provider sends the signed in back to the portal, and others to sign in.
type provider struct {
	asked  []url.Values
	people []broker.Person
}

func (p *provider) Authorize(values url.Values) (broker.Authorization, error) {
	p.asked = append(p.asked, values)
	refusal := &broker.AuthorizeError{Code: "invalid_request", Description: "so it is"}
	switch values.Get("client_id") {
	case "portal":
		return broker.Authorization{}, nil
	case "wrong":
		refusal.Redirect = "https://portal.example/back?error=invalid_request"
	}
	return broker.Authorization{}, refusal
}

func (p *provider) Answer(_ broker.Authorization, who broker.Person) (broker.Step, error) {
	p.people = append(p.people, who)
	if who.IsZero() {
		return broker.Step{Wait: waiting}, nil
	}
	return broker.Step{Redirect: "https://portal.example/back?code=c"}, nil
}

func (p *provider) Resume(id string) (broker.Authorization, error) {
	if id != waiting {
		return broker.Authorization{}, broker.ErrWaited
	}
	return broker.Authorization{}, nil
}

func withProvider(t *testing.T) (*world, *provider) {
	t.Helper()
	p := &provider{}
	w, _, _ := withDoors(t, func(o *web.Options) { o.Provider = p })
	w.sessions.mu.Lock()
	defer w.sessions.mu.Unlock()
	at := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	w.sessions.all["s"] = access.Session{ID: "s", Identity: alice, Created: at, Until: at.Add(12 * time.Hour), Label: session.FromToken}
	return w, p
}

const ask = "/oauth/authorize?client_id=portal"

// Row 112: who is signed in goes back to the client, and who is not signs in first,
// and comes back to what waits. The client's page is another site's, and the visit the
// browser's own.
func TestAClientSendsABrowser(t *testing.T) {
	visit := []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}
	for name, c := range map[string]struct {
		path, cookie string
		headers      []string
		to           string
		cleared      bool
	}{
		"signed in":             {ask, tokenOf("a"), visit, "https://portal.example/back?code=c", false},
		"in an old browser":     {ask, tokenOf("a"), nil, "https://portal.example/back?code=c", false},
		"nobody":                {ask, "", visit, "/login?return=%2Foauth%2Fauthorize%2F" + waiting, false},
		"a session that ended":  {ask, tokenOf("x"), visit, "/login?return=%2Foauth%2Fauthorize%2F" + waiting, true},
		"no session's form":     {ask, "nonsense", visit, "/login?return=%2Foauth%2Fauthorize%2F" + waiting, true},
		"a script's session":    {ask, tokenOf("s"), visit, "/login?return=%2Foauth%2Fauthorize%2F" + waiting, false},
		"after signing in":      {"/oauth/authorize/" + waiting, tokenOf("a"), nil, "https://portal.example/back?code=c", false},
		"after not signing in":  {"/oauth/authorize/" + waiting, "", nil, "/login?return=%2Foauth%2Fauthorize%2F" + waiting, false},
		"a mistake":             {"/oauth/authorize?client_id=wrong", tokenOf("a"), visit, "https://portal.example/back?error=invalid_request", false},
		"a state that is a JWT": {ask + "&state=eyJhbGciOiJSUzI1NiJ9.e30.c2ln", tokenOf("a"), visit, "https://portal.example/back?code=c", false},
	} {
		w, p := withProvider(t)
		headers := c.headers
		if c.cookie != "" {
			headers = append([]string{"Cookie", "__Host-candignode=" + c.cookie}, headers...)
		}
		a := w.send(http.MethodGet, c.path, "", headers...)
		h := a.Header()
		if a.Code != http.StatusSeeOther || h.Get("Location") != c.to || a.Body.Len() != 0 {
			t.Errorf("%s: %d %q %s", name, a.Code, h.Get("Location"), a.Body)
		}
		// Row 71, and what keeps the address with the code to whom it is for.
		if !strings.Contains(h.Get("Cache-Control"), "no-store") || h.Get("Pragma") != "no-cache" || h.Get("Referrer-Policy") != "no-referrer" || !strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Errorf("%s: %v", name, h)
		}
		if cleared := strings.Contains(h.Get("Set-Cookie"), "__Host-candignode=;"); cleared != c.cleared || c.cleared != (len(w.refusals) == 1) {
			t.Errorf("%s: %q, recorded %v", name, h.Get("Set-Cookie"), w.refusals)
		}
		if len(p.people) > 0 && strings.HasPrefix(c.to, "https:") {
			who := p.people[0]
			if who.Identity != alice || who.Session.Reveal() != tokenOf("a") || !who.Since.Equal(time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)) {
				t.Errorf("%s: %+v", name, who.Identity)
			}
		}
		quiet(t, w, a)
	}
}

// What is no browser's own visit, and what names no address of a client, is a page for
// the person, and no code.
func TestWhatIsNoVisitOfABrowser(t *testing.T) {
	cookie := []string{"Cookie", "__Host-candignode=" + tokenOf("a")}
	for name, c := range map[string]struct {
		method, path string
		headers      []string
		want         int
		says         string
	}{
		"an unknown client":      {http.MethodGet, "/oauth/authorize?client_id=evil", cookie, 400, "so it is"},
		"a frame":                {http.MethodGet, ask, append([]string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}, cookie...), 403, "another page"},
		"a script":               {http.MethodGet, ask, append([]string{"Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"}, cookie...), 403, "another page"},
		"an image":               {http.MethodGet, ask, append([]string{"Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}, cookie...), 403, "another page"},
		"a cookie twice":         {http.MethodGet, ask, []string{"Cookie", "__Host-candignode=" + tokenOf("a") + "; __Host-candignode=" + tokenOf("z")}, 401, "only one"},
		"a token besides":        {http.MethodGet, ask, append([]string{"Authorization", "Bearer " + alicesToken}, cookie...), 401, "only one"},
		"a token alone":          {http.MethodGet, ask, []string{"Authorization", "Bearer " + alicesToken}, 401, "only one"},
		"HEAD":                   {http.MethodHead, ask, cookie, 405, ""},
		"POST":                   {http.MethodPost, ask, cookie, 405, "not served"},
		"an access token":        {http.MethodGet, ask + "&access_token=opaque-secret", cookie, 400, "never travel in a URL"},
		"what nobody waits for":  {http.MethodGet, "/oauth/authorize/" + waiting[1:] + "x", cookie, 400, "go back to it"},
		"a session in the path":  {http.MethodGet, "/oauth/authorize/" + tokenOf("a"), cookie, 400, "never travel in a URL"},
		"somebody who is bound":  {http.MethodGet, ask, []string{"Cookie", "__Host-candignode=" + tokenOf("d")}, 401, "prove it"},
		"a request within a one": {http.MethodGet, "/oauth/authorize/" + waiting + "/x", cookie, 404, ""},
	} {
		w, p := withProvider(t)
		a := w.send(c.method, c.path, "", c.headers...)
		if a.Code != c.want || !strings.Contains(a.Body.String(), c.says) || a.Header().Get("Location") != "" || len(p.people) != 0 {
			t.Errorf("%s: %d %s %v", name, a.Code, a.Body, a.Header())
		}
		quiet(t, w, a)
	}
	w, p := withProvider(t)
	r := httptest.NewRequest(http.MethodGet, ask, nil)
	r.RemoteAddr = "192.0.2.7:5"
	a := httptest.NewRecorder()
	if w.ServeHTTP(a, r); a.Code != http.StatusBadRequest || len(p.asked) != 0 {
		t.Errorf("without TLS: %d", a.Code)
	}
}

// Without clients that have people sign in there is no such door, and with them there
// must be a way to sign in.
func TestNoProviderWithoutSigningIn(t *testing.T) {
	w, _ := withRoles(t)
	if a := w.send(http.MethodGet, ask, ""); a.Code != http.StatusNotFound {
		t.Errorf("%d", a.Code)
	}
	if _, err := web.New(web.Options{
		Local: siteDesk{w}, Network: networkDesk{w}, Verify: w.verify, Refused: w.refused, About: w.aboutFunc, Provider: &provider{},
	}); err == nil {
		t.Error("people would have to sign in nowhere")
	}
}

// Clients' tokens count at UserInfo, and at no other door.
func TestWhereClientsTokensCount(t *testing.T) {
	w, _ := withRoles(t)
	for path, want := range map[string]bool{"/oauth/userinfo": true, "/v1/claims": false, "/v1/whoami": false, "/beacon/g_variants": false} {
		w.shown = nil
		method, body := http.MethodGet, ""
		switch path {
		case "/v1/whoami":
			method = http.MethodPost
		case "/beacon/g_variants":
			method, body = http.MethodPost, question()
		}
		a := w.send(method, path, body, "Authorization", "Bearer "+tokenOf("a"))
		if a.Code != http.StatusOK || len(w.shown) != 1 || w.shown[0].Granted != want || w.shown[0].Session.Reveal() != tokenOf("a") {
			t.Errorf("%s: %d %s", path, a.Code, a.Body)
		}
	}
}
