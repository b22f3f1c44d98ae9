package web_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/candignode/candignode/api"
	"github.com/candignode/candignode/node/web"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/bearer"
	"github.com/candignode/candignode/trust/passport"
	"github.com/candignode/candignode/trust/proof"
)

var errDown = fmt.Errorf("oidc: dial tcp 192.0.2.1:443: %w", bearer.ErrUnavailable)

// withDoors is a world with every door.
func withDoors(t *testing.T, change ...func(*web.Options)) (*world, *signIn, *proofs) {
	t.Helper()
	var door *signIn
	var checker *proofs
	kept := newSessions()
	w := newWorld(t, append([]func(*web.Options){func(o *web.Options) { door, checker = whole(o, kept) }}, change...)...)
	w.sessions = kept
	return w, door, checker
}

// The ways to be known, each alone: a token, a session in the header, a session of
// this site's own pages, passports.
func TestEveryWayToShowWhoOneIs(t *testing.T) {
	for name, c := range map[string]struct {
		method, body string
		headers      []string
		want         func(web.Shown) bool
	}{
		"a token":              {http.MethodGet, "", []string{"Authorization", "Bearer " + alicesToken}, func(s web.Shown) bool { return s.Token.Reveal() == alicesToken }},
		"a token, oddly cased": {http.MethodGet, "", []string{"Authorization", "bEARER  " + alicesToken}, func(s web.Shown) bool { return s.Token.Reveal() == alicesToken }},
		"a token with a POST":  {http.MethodPost, question(), []string{"Authorization", "Bearer " + alicesToken}, func(s web.Shown) bool { return s.Token.Reveal() == alicesToken }},
		"a proven token":       {http.MethodGet, "", []string{"Authorization", "DPoP " + boundToken, "DPoP", "good-1"}, func(s web.Shown) bool { return s.Token.Reveal() == boundToken && s.Proven.JKT == alicesKey }},
		"a session":            {http.MethodGet, "", []string{"Authorization", "Bearer " + tokenOf("a")}, func(s web.Shown) bool { return s.Session.Reveal() == tokenOf("a") }},
		"a proven session":     {http.MethodGet, "", []string{"Authorization", "DPoP " + tokenOf("d"), "DPoP", "good-1"}, func(s web.Shown) bool { return s.Session.Reveal() == tokenOf("d") && s.Proven.JKT == alicesKey }},
		"a cookie":             {http.MethodGet, "", []string{"Cookie", "__Host-candignode=" + tokenOf("a"), "Sec-Fetch-Site", "same-origin"}, func(s web.Shown) bool { return s.Session.Reveal() == tokenOf("a") }},
		"a cookie with a POST": {http.MethodPost, question(), []string{"Cookie", "other=1; __Host-candignode=" + tokenOf("a"), "Origin", ownAddress}, func(s web.Shown) bool { return s.Session.Reveal() == tokenOf("a") }},
		"passports":            {http.MethodPost, question(alicesPassport), nil, func(s web.Shown) bool { return len(s.Passports) == 1 }},
	} {
		w, _, _ := withDoors(t)
		target := "/beacon/g_variants"
		if c.method == http.MethodGet {
			target += "?" + snv
		}
		a := w.send(c.method, target, c.body, c.headers...)
		if a.Code != http.StatusOK || len(w.shown) != 1 || !c.want(w.shown[0]) || len(w.callers) != 1 || w.callers[0].Subject != "alice" {
			t.Errorf("%s: %d %s, shown %v, callers %v", name, a.Code, a.Body, w.shown, w.callers)
		}
		quiet(t, w, a)
	}
	// A probe looks at the caller, too.
	w, _, _ := withDoors(t)
	if a := w.send(http.MethodGet, "/beacon/g_variants", "", "Authorization", "Bearer gone"); a.Code != http.StatusUnauthorized {
		t.Errorf("a probe with a bad token: %d", a.Code)
	}
	if a := w.send(http.MethodGet, "/beacon/g_variants", "", "Authorization", "Bearer "+alicesToken); a.Code != http.StatusOK {
		t.Errorf("a probe with a good token: %d", a.Code)
	}
}

// Rows 109 and 110, V098: what is bound needs its key. Every refusal is on record by
// digest before it leaves, and nothing of it is logged.
func TestBoundTokens(t *testing.T) {
	for name, c := range map[string]struct {
		headers []string
		reason  trust.Reason
	}{
		"as Bearer":                 {[]string{"Authorization", "Bearer " + boundToken}, trust.ReasonNotProven},
		"as Bearer with a proof":    {[]string{"Authorization", "Bearer " + boundToken, "DPoP", "good-1"}, trust.ReasonProof},
		"without a proof":           {[]string{"Authorization", "DPoP " + boundToken}, trust.ReasonProof},
		"with a bad proof":          {[]string{"Authorization", "DPoP " + boundToken, "DPoP", "bad-1"}, trust.ReasonProof},
		"a proof and nothing else":  {[]string{"DPoP", "good-1"}, trust.ReasonProof},
		"a bound session as Bearer": {[]string{"Authorization", "Bearer " + tokenOf("d")}, trust.ReasonNotProven},
		"a cookie with a proof":     {[]string{"Cookie", "__Host-candignode=" + tokenOf("a"), "Sec-Fetch-Site", "same-origin", "DPoP", "good-1"}, trust.ReasonSession},
	} {
		w, _, _ := withDoors(t)
		a := w.send(http.MethodGet, "/beacon/g_variants?"+snv, "", c.headers...)
		if a.Code != http.StatusUnauthorized || len(w.asked) != 0 || errorOf(t, a).Info.Reason != string(c.reason) {
			t.Errorf("%s: %d %s", name, a.Code, a.Body)
		}
		if len(w.refusals) != 1 || w.refusals[0].reason != c.reason || len(w.refusals[0].credentials) == 0 {
			t.Errorf("%s: recorded %v", name, w.refusals)
		}
		quiet(t, w, a)
	}
	w, _, checker := withDoors(t)
	ask := func() *httptest.ResponseRecorder {
		return w.send(http.MethodGet, "/beacon/g_variants/?"+snv, "", "Authorization", "DPoP "+boundToken, "DPoP", "good-1")
	}
	if a := ask(); a.Code != http.StatusOK {
		t.Errorf("bound and proven: %d %s", a.Code, a.Body)
	}
	seen := checker.seen[0] // the address that callers know, whatever Host says, without parameters
	if seen.URL != ownAddress+"/beacon/g_variants/" || seen.Method != http.MethodGet || seen.Token.Reveal() != boundToken || seen.Now.IsZero() {
		t.Errorf("examined %+v", seen)
	}
	if a := ask(); a.Code != http.StatusUnauthorized || len(w.asked) != 1 {
		t.Errorf("a proof that was used: %d", a.Code)
	}
	if a := w.send(http.MethodGet, "/beacon/g_variants?"+snv, "", "Authorization", "DPoP gone", "DPoP", "good-9"); a.Code != http.StatusUnauthorized || checker.used["good-9"] {
		t.Errorf("a proof of nothing takes room: %d", a.Code)
	}
	for i, want := range []int{http.StatusOK, http.StatusUnauthorized} { // a session, too
		if a := w.send(http.MethodGet, "/v1/sessions", "", "Authorization", "DPoP "+tokenOf("d"), "DPoP", "good-5"); a.Code != want {
			t.Errorf("use %d of a proof: %d", i+1, a.Code)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/beacon/g_variants?"+snv, nil) // two headers
	r.RemoteAddr = "127.0.0.1:1"
	r.Header["Dpop"], r.Header["Authorization"] = []string{"good-3", "good-4"}, []string{"DPoP " + boundToken}
	a := httptest.NewRecorder()
	if w.ServeHTTP(a, r); a.Code != http.StatusUnauthorized {
		t.Errorf("two proofs: %d", a.Code)
	}
	// A node that does not know its own address cannot say what a proof is for.
	w, _, _ = withDoors(t, func(o *web.Options) { o.ExternalURL = "" })
	if a := ask(); a.Code != http.StatusUnauthorized || len(w.asked) != 0 {
		t.Errorf("without an address: %d", a.Code)
	}
}

// Row 109: a client whose clock is wrong gets a nonce, and is told so.
func TestANonceIsGiven(t *testing.T) {
	w, _, _ := withDoors(t)
	a := w.send(http.MethodGet, "/beacon/g_variants?"+snv, "", "Authorization", "DPoP "+boundToken, "DPoP", "stale")
	challenges := strings.Join(a.Header().Values("WWW-Authenticate"), "\n")
	if a.Code != http.StatusUnauthorized || a.Header().Get("DPoP-Nonce") != "a-nonce" || !strings.Contains(challenges, `DPoP algs="ES256 RS256", error="use_dpop_nonce"`) {
		t.Errorf("%d %v", a.Code, a.Header())
	}
	a = w.send(http.MethodGet, "/beacon/g_variants?"+snv, "", "Authorization", "DPoP "+boundToken, "DPoP", "bad")
	challenges = strings.Join(a.Header().Values("WWW-Authenticate"), "\n")
	if a.Header().Get("DPoP-Nonce") != "" || !strings.Contains(challenges, `error="invalid_dpop_proof"`) {
		t.Errorf("%d %v", a.Code, a.Header())
	}
}

// Row 110: the certificate that counts is the connection's own.
func TestClientCertificates(t *testing.T) {
	w, _, _ := withDoors(t)
	certificate := &x509.Certificate{Raw: []byte("der")}
	ask := func(state *tls.ConnectionState, headers ...string) int {
		r := httptest.NewRequest(http.MethodGet, "/beacon/g_variants?"+snv, nil)
		r.TLS = state
		r.Header.Set("Authorization", "Bearer "+boundToken)
		for i := 0; i+1 < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		a := httptest.NewRecorder()
		w.ServeHTTP(a, r)
		return a.Code
	}
	if got := ask(&tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate, {Raw: []byte("ca")}}}); got != http.StatusOK {
		t.Errorf("with the certificate: %d", got)
	}
	if got := w.shown[0].Proven.X5T; got != proof.CertificateThumbprint([]byte("der")) {
		t.Errorf("proven %q", got)
	}
	if got := ask(&tls.ConnectionState{}); got != http.StatusUnauthorized {
		t.Errorf("without: %d", got)
	}
	if got := ask(&tls.ConnectionState{}, "X-Client-Cert", "der", "X-Forwarded-Client-Cert", "der"); got != http.StatusUnauthorized {
		t.Errorf("in a header: %d", got)
	}
}

// Row 137: one kind of credential in a request, and one of it.
func TestTwoWaysAtOnceAreRefused(t *testing.T) {
	cookie := "__Host-candignode=" + tokenOf("a")
	for name, c := range map[string]struct {
		header http.Header
		body   string
		n      int
	}{
		"token and cookie":      {http.Header{"Authorization": {"Bearer " + alicesToken}, "Cookie": {cookie}, "Origin": {ownAddress}}, question(), 2},
		"token and passports":   {http.Header{"Authorization": {"Bearer " + alicesToken}}, question(alicesPassport), 2},
		"session and passports": {http.Header{"Authorization": {"Bearer " + tokenOf("a")}}, question(alicesPassport), 2},
		"cookie and passports":  {http.Header{"Cookie": {cookie}, "Origin": {ownAddress}}, question(alicesPassport), 2},
		"two headers":           {http.Header{"Authorization": {"Bearer " + alicesToken, "Bearer " + alicesToken}}, question(), 2},
		"two schemes":           {http.Header{"Authorization": {"Bearer " + alicesToken, "DPoP " + alicesToken}}, question(), 2},
		"two cookies":           {http.Header{"Cookie": {cookie + "; " + cookie}, "Origin": {ownAddress}}, question(), 2},
	} {
		for _, path := range []string{"/beacon/g_variants", "/network/beacon/g_variants"} {
			w, _, _ := withDoors(t)
			r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(c.body))
			r.RemoteAddr, r.Header = "127.0.0.1:1", c.header.Clone()
			a := httptest.NewRecorder()
			w.ServeHTTP(a, r)
			if a.Code != http.StatusUnauthorized || errorOf(t, a).Info.Reason != "unsupported_token" || len(w.asked)+len(w.shown) != 0 {
				t.Errorf("%s: %d %s", name, a.Code, a.Body)
			}
			if len(w.refusals) != 1 || len(w.refusals[0].credentials) != c.n {
				t.Errorf("%s: recorded %v", name, w.refusals)
			}
			quiet(t, w, a)
		}
	}
}

// A cookie counts for this site's own pages only: browsers add it to what other
// sites' pages make them send.
func TestCookiesOfOtherPagesAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		method  string
		headers []string
		own     bool
	}{
		"a link on another site":        {http.MethodGet, []string{"Sec-Fetch-Site", "cross-site"}, false},
		"another host of the domain":    {http.MethodGet, []string{"Sec-Fetch-Site", "same-site"}, false},
		"an old browser that says none": {http.MethodGet, nil, false},
		"a script elsewhere":            {http.MethodGet, []string{"Origin", "https://evil.example.org"}, false},
		"own page":                      {http.MethodGet, []string{"Sec-Fetch-Site", "same-origin"}, true},
		"own script":                    {http.MethodGet, []string{"Origin", ownAddress}, true},
		"two opinions":                  {http.MethodGet, []string{"Origin", ownAddress, "Sec-Fetch-Site", "cross-site"}, false},
		"a form elsewhere":              {http.MethodPost, []string{"Origin", "https://evil.example.org", "Sec-Fetch-Site", "cross-site"}, false},
		"a form in a sandbox":           {http.MethodPost, []string{"Origin", "null"}, false},
		"a POST without Origin":         {http.MethodPost, []string{"Sec-Fetch-Site", "same-origin"}, false},
		"a name that only begins so":    {http.MethodPost, []string{"Origin", ownAddress + ".evil.example.org"}, false},
		"another port":                  {http.MethodPost, []string{"Origin", ownAddress + ":8443"}, false},
		"without TLS":                   {http.MethodPost, []string{"Origin", "http://node.uhn.example.org"}, false},
		"own form":                      {http.MethodPost, []string{"Origin", ownAddress, "Sec-Fetch-Site", "same-origin"}, true},
	} {
		w, _, _ := withDoors(t)
		target, body := "/network/beacon/g_variants?"+snv, ""
		if c.method == http.MethodPost {
			target, body = "/network/beacon/g_variants", question()
		}
		a := w.send(c.method, target, body, append(c.headers, "Cookie", "__Host-candignode="+tokenOf("a"))...)
		want := http.StatusForbidden
		if c.own {
			want = http.StatusOK
		}
		if a.Code != want || (len(w.asked) == 1) != c.own || (len(w.refusals) == 0) != c.own {
			t.Errorf("%s: %d %s", name, a.Code, a.Body)
		}
		if a.Header().Get("Set-Cookie") != "" { // nobody else signs a person out
			t.Errorf("%s: %v", name, a.Header())
		}
		quiet(t, w, a)
	}
	w, _, _ := withDoors(t, func(o *web.Options) { o.ExternalURL = "" })
	if a := w.send(http.MethodGet, "/beacon/g_variants?"+snv, "", "Cookie", "__Host-candignode="+tokenOf("a"), "Origin", ""); a.Code != http.StatusForbidden {
		t.Errorf("a node without an address: %d", a.Code)
	}
	// However the operator writes the address, browsers write it in one way.
	for address, want := range map[string]int{
		"https://Node.UHN.example.org:443/": 200, ownAddress + "/": 200, ownAddress + ":8443": 403, "http://node.uhn.example.org": 403, "://": 403,
	} {
		w, _, _ := withDoors(t, func(o *web.Options) { o.ExternalURL = address })
		if a := w.send(http.MethodPost, "/beacon/g_variants", question(), "Cookie", "__Host-candignode="+tokenOf("a"), "Origin", ownAddress); a.Code != want {
			t.Errorf("%s: %d", address, a.Code)
		}
	}
	// A cookie that is over is taken away from the browser that shows it.
	w, _, _ = withDoors(t)
	for _, value := range []string{tokenOf("x"), "nonsense"} {
		a := w.send(http.MethodGet, "/beacon/g_variants?"+snv, "", "Cookie", "__Host-candignode="+value, "Sec-Fetch-Site", "same-origin")
		if a.Code != http.StatusUnauthorized || value == tokenOf("x") && !strings.Contains(a.Header().Get("Set-Cookie"), "Max-Age=0") {
			t.Errorf("%s: %d %v", value, a.Code, a.Header())
		}
	}
}

// Row 111, RFC 6750, RFC 9449: whoever is turned away is told what would be taken
// and where to read whose.
func TestChallenges(t *testing.T) {
	const metadata = `resource_metadata="https://node.uhn.example.org/.well-known/oauth-protected-resource"`
	for name, c := range map[string]struct {
		headers []string
		bearer  string
	}{
		"nothing shown":  {nil, `Bearer ` + metadata},
		"an old token":   {[]string{"Authorization", "Bearer old"}, `Bearer error="invalid_token", ` + metadata},
		"another scheme": {[]string{"Authorization", "Basic eDp5"}, `Bearer error="invalid_request", ` + metadata},
		"no scope":       {[]string{"Authorization", "Bearer " + scopelessTok}, `Bearer error="insufficient_scope", scope="openid ga4gh_passport_v1", ` + metadata},
	} {
		w, _, _ := withDoors(t)
		a := w.send(http.MethodPost, "/v1/whoami", "{}", c.headers...)
		got := a.Header().Values("WWW-Authenticate")
		if a.Code != http.StatusUnauthorized || len(got) != 3 || got[0] != c.bearer || !strings.HasPrefix(got[1], `DPoP algs="ES256 RS256"`) || got[2] != "PassportAuth" {
			t.Errorf("%s: %d %q", name, a.Code, got)
		}
	}
	w := newWorld(t) // which knows no address and takes no proof
	if got := w.send(http.MethodPost, "/v1/whoami", "{}").Header().Values("WWW-Authenticate"); fmt.Sprint(got) != "[Bearer PassportAuth]" {
		t.Errorf("%q", got)
	}
}

// Row 84: an issuer that is down is not the caller's fault, and says when to ask again.
func TestAnIssuerThatIsDown(t *testing.T) {
	for name, fail := range map[string]error{"refusal": nil, "error": errDown, "no way": fmt.Errorf("x: %w", bearer.ErrNoWay)} {
		w, _, _ := withDoors(t, func(o *web.Options) {
			if fail != nil {
				o.Verify = func(ctx context.Context, shown web.Shown, only bool) (passport.Verdict, error) {
					return passport.Verdict{}, fail
				}
			}
		})
		a := w.send(http.MethodPost, "/v1/whoami", "", "Authorization", "Bearer "+downToken)
		var p api.Problem
		if err := json.Unmarshal(a.Body.Bytes(), &p); err != nil || a.Code != http.StatusServiceUnavailable || p.Reason != "provider" || a.Header().Get("Retry-After") == "" {
			t.Errorf("%s: %d %s %v", name, a.Code, a.Body, a.Header())
		}
		if strings.Contains(a.Body.String(), "192.0.2.1") {
			t.Errorf("%s: %s", name, a.Body)
		}
	}
	w, _, _ := withDoors(t, func(o *web.Options) {
		o.Verify = func(context.Context, web.Shown, bool) (passport.Verdict, error) {
			return passport.Verdict{}, errors.Join(bearer.ErrRefused)
		}
	})
	if a := w.send(http.MethodPost, "/v1/whoami", "", "Authorization", "Bearer x"); a.Code != http.StatusUnauthorized {
		t.Errorf("refused: %d", a.Code)
	}
}

// Row 71: no credential of any kind travels in the open.
func TestNoCredentialWithoutTLS(t *testing.T) {
	for name, headers := range map[string][]string{
		"token": {"Authorization", "Bearer " + alicesToken}, "session": {"Authorization", "Bearer " + tokenOf("a")},
		"cookie": {"Cookie", "__Host-candignode=" + tokenOf("a"), "Sec-Fetch-Site", "same-origin"}, "proof": {"Authorization", "DPoP " + boundToken, "DPoP", "good-1"},
		"nothing": nil,
	} {
		w, _, _ := withDoors(t)
		for address, open := range map[string]bool{"192.0.2.7:5": true, "127.0.0.1:5": false} {
			r := httptest.NewRequest(http.MethodGet, "/beacon/g_variants?"+snv, nil)
			r.RemoteAddr = address
			for i := 0; i+1 < len(headers); i += 2 {
				r.Header.Set(headers[i], headers[i+1])
			}
			a := httptest.NewRecorder()
			w.ServeHTTP(a, r)
			want := http.StatusOK
			if open && headers != nil {
				want = http.StatusBadRequest
			}
			if a.Code != want {
				t.Errorf("%s from %s: %d %s", name, address, a.Code, a.Body)
			}
			r.URL.Path, r.URL.RawQuery = "/v1/sessions", ""
			a = httptest.NewRecorder()
			if w.ServeHTTP(a, r); open && headers != nil && (a.Code != http.StatusBadRequest || strings.Contains(a.Body.String(), "alice")) {
				t.Errorf("%s from %s: sessions: %d %s", name, address, a.Code, a.Body)
			}
		}
	}
}

// Row 137: a credential in a URL is refused at every path, and its digest is on
// record, for it is exposed.
func TestTokensInURLsAreOnRecord(t *testing.T) {
	for _, target := range []string{
		"/beacon/g_variants?" + snv + "&access_token=opaque-secret", "/v1/sessions?token=opaque-secret", "/healthz?passport=opaque-secret",
		"/login?id_token=opaque-secret", "/.well-known/oauth-protected-resource?passports=opaque-secret", "/beacon/info?x=" + alicesPassport,
		"/login/start?issuer=" + alicesPassport, "/login/callback/key?state=s&access_token=opaque-secret", "/login/callback/key?id_token=opaque-secret&code=c",
		"/beacon/info?" + alicesPassport + "=1", "/beacon/info?x=" + alicesPassport + "&%zz",
	} {
		w, _, _ := withDoors(t)
		a := w.send(http.MethodGet, target, "")
		if a.Code != http.StatusBadRequest || len(w.refusals) != 1 || len(w.refusals[0].credentials) != 1 {
			t.Errorf("%s: %d %s, recorded %v", target, a.Code, a.Body, w.refusals)
		}
		quiet(t, w, a)
	}
	w, _, _ := withDoors(t)
	a := w.send(http.MethodDelete, "/v1/sessions/"+tokenOf("a"), "", "Authorization", "Bearer "+tokenOf("a"))
	if a.Code != http.StatusBadRequest || len(w.refusals) != 1 || !w.sessions.has("a") || strings.Contains(w.logged(), "aaaa") {
		t.Errorf("a session token in a path: %d %s", a.Code, a.Body)
	}
	if a := w.send(http.MethodGet, "/beacon/info?limit=1", ""); a.Code != http.StatusOK {
		t.Errorf("none: %d", a.Code)
	}
}
