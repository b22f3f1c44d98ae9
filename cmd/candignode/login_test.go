package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/candignode/candignode/api"
	"github.com/candignode/candignode/simulate/idp"
	"github.com/candignode/candignode/trust"
)

// door is a node's door as the command line sees it: it takes the access tokens of
// a pretend provider, and sessions.
type door struct {
	*httptest.Server
	issuers *idp.Server

	mu       sync.Mutex
	resource api.ProtectedResource
	sessions map[string]string // token to subject
}

const provider = "broker"

func newDoor(t testing.TB) *door {
	t.Helper()
	issuers, closer, err := idp.Serve(t.Context(), t.TempDir(), provider)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closer.Close() })
	err = errors.Join(
		issuers.Register(provider, idp.Researcher{Subject: "rosalind"}, idp.Researcher{Subject: "maurice"}),
		issuers.AddClients(provider, idp.Client{ID: "command-line", RedirectURIs: []string{"http://127.0.0.1/callback"}}),
	)
	if err != nil {
		t.Fatal(err)
	}
	d := &door{issuers: issuers, sessions: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/oauth-protected-resource", func(w http.ResponseWriter, _ *http.Request) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.resource.Resource == "" {
			http.NotFound(w, nil)
			return
		}
		json.NewEncoder(w).Encode(d.resource)
	})
	mux.HandleFunc("POST /v1/whoami", d.whoami)
	mux.HandleFunc("POST /network/beacon/g_variants", d.query)
	mux.HandleFunc("POST /v1/sessions", d.begin)
	mux.HandleFunc("DELETE /v1/sessions/{id}", d.end)
	d.Server = httptest.NewServer(mux)
	t.Cleanup(d.Close)
	d.resource = api.ProtectedResource{
		Resource: d.URL, AuthorizationServers: []string{issuers.Name(provider)},
		SignIn: []api.SignIn{{Issuer: issuers.Name(provider), ClientID: "command-line"}},
	}
	return d
}

// subject is whom a request's token is of, or "".
func (d *door) subject(r *http.Request) string {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	d.mu.Lock()
	who := d.sessions[token]
	d.mu.Unlock()
	if who != "" || token == "" {
		return who
	}
	ask, _ := http.NewRequestWithContext(r.Context(), "GET", d.issuers.Name(provider)+"/userinfo", nil)
	ask.Header.Set("Authorization", "Bearer "+token)
	answer, err := d.issuers.HTTPClient().Do(ask)
	if err != nil {
		return ""
	}
	defer answer.Body.Close()
	var claims struct {
		Subject string `json:"sub"`
	}
	json.NewDecoder(answer.Body).Decode(&claims)
	return claims.Subject
}

func refuse(w http.ResponseWriter) {
	w.WriteHeader(http.StatusUnauthorized)
	io.WriteString(w, `{"title":"Unauthorized","status":401,"detail":"show who you are","reason":"expired"}`)
}

func (d *door) whoami(w http.ResponseWriter, r *http.Request) {
	who := d.subject(r)
	if who == "" {
		refuse(w)
		return
	}
	later := time.Date(2099, 1, 2, 3, 4, 0, 0, time.UTC)
	json.NewEncoder(w).Encode(api.Whoami{
		Caller: api.Caller{Issuer: d.issuers.Name(provider), Subject: who, Linked: []api.Identity{{Issuer: "https://other.example.org", Subject: "r2", Until: &later}}},
		Visas: []api.Visa{
			{Issuer: "https://dac.example.org", Subject: who, Type: "ControlledAccessGrants", Value: "https://dac.example.org/d1", Source: "https://dac.example.org", Accepted: true, Until: &later},
			{Issuer: "https://dac.example.org", Subject: who, Type: "ControlledAccessGrants", Value: "evil\x1b[2J", Source: "https://x.example.org", Reason: "untrusted_source", Detail: "this site does not trust that source"},
		},
	})
}

// query answers nobody with a denial, as a node with no public dataset does, and a
// token that is no good with 401.
func (d *door) query(w http.ResponseWriter, r *http.Request) {
	status, code := "ok", r.Header.Get("Authorization")
	if d.subject(r) == "" {
		if code != "" {
			refuse(w)
			return
		}
		status = "denied"
	}
	w.Header().Set("Content-Type", api.MediaTypeLines)
	json.NewEncoder(w).Encode(api.Line{Answer: &api.Answer{Transaction: "tx", Complete: true, Sites: []api.Site{{Site: "uhn", Status: status}}}})
}

func (d *door) begin(w http.ResponseWriter, r *http.Request) {
	who := d.subject(r)
	if who == "" {
		refuse(w)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sessions["cgs_secret"] = who
	w.WriteHeader(http.StatusCreated)
	json.NewEncoder(w).Encode(api.Session{ID: "session-1", Token: "cgs_secret", Until: time.Date(2099, 1, 2, 3, 4, 0, 0, time.UTC)})
}

func (d *door) end(w http.ResponseWriter, r *http.Request) {
	if d.subject(r) == "" || r.PathValue("id") != "session-1" {
		refuse(w)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.sessions)
	w.WriteHeader(http.StatusNoContent)
}

// The scripts of signing in run against a door each, with a provider that asks
// nobody; the command "behave" changes both. A node that gives itself out as another
// one is refused (row 111).
func TestSignInScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/signin", RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			d := newDoor(env.T().(testing.TB))
			env.Values["door"] = d
			env.Setenv("NODE", d.URL)
			env.Setenv("ISSUER", d.issuers.Name(provider))
			env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "config"))
			return errors.Join(clean(env), os.WriteFile(filepath.Join(env.WorkDir, "ca.pem"), d.issuers.CAPEM(), 0o600),
				d.issuers.Behave(provider, func(b *idp.Behaviour) { b.ApproveDevices = true }))
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"behave": func(ts *testscript.TestScript, _ bool, args []string) {
				d := ts.Value("door").(*door)
				ts.Check(d.behave(args[0]))
			},
		},
	})
}

// behave makes the world as a script needs it.
func (d *door) behave(how string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch how {
	case "silent":
		d.resource = api.ProtectedResource{}
	case "elsewhere":
		d.resource.Resource = "https://other.example.org"
	case "several":
		d.resource.SignIn = append(d.resource.SignIn, api.SignIn{Issuer: "https://second.example.org", ClientID: "c"})
	case "nobody":
		d.resource.SignIn = nil
	case "sessions-end":
		clear(d.sessions)
	case "short":
		return d.issuers.Behave(provider, func(b *idp.Behaviour) { b.TokenLife = 30 * time.Second })
	case "over":
		return d.issuers.Behave(provider, func(b *idp.Behaviour) { b.TokenLife, b.NoRefresh = time.Second, true })
	case "outage":
		return d.issuers.Behave(provider, func(b *idp.Behaviour) { b.Outage = true })
	case "refuses":
		return d.issuers.Behave(provider, func(b *idp.Behaviour) {
			b.Before = func(endpoint string, w http.ResponseWriter, _ *http.Request) bool {
				if endpoint == "token" {
					w.WriteHeader(http.StatusBadRequest)
					io.WriteString(w, `{"error":"invalid_grant"}`)
				}
				return endpoint == "token"
			}
		})
	case "good":
		return d.issuers.Behave(provider, func(b *idp.Behaviour) { *b = idp.Behaviour{ApproveDevices: true} })
	default:
		return errors.New("no such behaviour: " + how)
	}
	return nil
}

// person reads what the command prints, as it prints it, and acts.
type person struct {
	bytes.Buffer
	act func(text string) bool // true: it has done what it was waiting for
	did bool
}

func (p *person) Write(b []byte) (int, error) {
	n, err := p.Buffer.Write(b)
	p.did = p.did || p.act(p.String())
	return n, err
}

// atHome gives the test a home of its own, and the CA in a file.
func atHome(t *testing.T, d *door) (ca string) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", dir)
	t.Setenv("CANDIGNODE_URL", "")
	t.Setenv("CANDIGNODE_PASSPORT_FILE", "")
	ca = filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, d.issuers.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return ca
}

// A person types the code on another device, and is signed in; or says no.
func TestSignInOnAnotherDevice(t *testing.T) {
	d := newDoor(t)
	ca := atHome(t, d)
	code := regexp.MustCompile(`and type  (\S+)\n`)
	for name, c := range map[string]struct {
		act  func(userCode string) error
		want int
	}{
		"yes": {func(c string) error { return d.issuers.Approve(provider, c, "maurice") }, exitDone},
		"no":  {func(c string) error { return d.issuers.Deny(provider, c) }, exitDenied},
	} {
		var out bytes.Buffer
		notes := &person{}
		notes.act = func(text string) bool {
			m := code.FindStringSubmatch(text)
			if m == nil || notes.did {
				return false
			}
			if err := c.act(m[1]); err != nil {
				t.Error(err)
			}
			return true
		}
		if got := run([]string{"login", "--node", d.URL, "--ca", ca, "--json"}, &out, notes); got != c.want {
			t.Fatalf("%s: exit %d\n%s%s", name, got, &out, notes)
		}
		if c.want != exitDone {
			continue
		}
		var done loggedIn
		if err := json.Unmarshal(out.Bytes(), &done); err != nil || done.Issuer != d.issuers.Name(provider) || !done.Renews || done.Session {
			t.Errorf("%s: %s", name, &out)
		}
		out.Reset()
		if got := run([]string{"whoami", "--node", d.URL + "/"}, &out, io.Discard); got != exitDone || !strings.Contains(out.String(), "You are maurice at ") {
			t.Errorf("whoami: exit %d, %s", got, &out)
		}
	}
}

// Where the provider has no device flow, the browser of this machine is used.
func TestSignInWithABrowser(t *testing.T) {
	d := newDoor(t)
	ca := atHome(t, d)
	if err := d.issuers.Behave(provider, func(b *idp.Behaviour) { b.NoDevice = true }); err != nil {
		t.Fatal(err)
	}
	address := regexp.MustCompile(`\n  (https://\S+)\n`)
	browser := d.issuers.HTTPClient()
	browser.CheckRedirect = nil
	for name, c := range map[string]struct {
		hint string
		want int
	}{"signs in": {"rosalind", exitDone}, "is not known": {"nobody", exitDenied}} {
		notes := &person{}
		var opened sync.WaitGroup
		notes.act = func(text string) bool {
			m := address.FindStringSubmatch(text)
			if m == nil || notes.did {
				return false
			}
			opened.Go(func() {
				response, err := browser.Get(m[1] + "&login_hint=" + url.QueryEscape(c.hint))
				if err != nil {
					t.Error(err)
					return
				}
				response.Body.Close()
			})
			return true
		}
		var out bytes.Buffer
		got := run([]string{"login", "--node", d.URL, "--ca", ca}, &out, notes)
		opened.Wait()
		if got != c.want {
			t.Errorf("%s: exit %d\n%s%s", name, got, &out, notes)
		}
		if strings.Contains(out.String()+notes.String(), "eyJ") {
			t.Error("a token was printed")
		}
	}
}

// A refresh token is good once: of many commands at the same time one uses it, and all
// go on with what it gave.
func TestTokensAreRenewedOnce(t *testing.T) {
	d := newDoor(t)
	ca := atHome(t, d)
	if err := errors.Join(d.behave("good"), d.behave("short")); err != nil {
		t.Fatal(err)
	}
	if got := run([]string{"login", "--node", d.URL, "--ca", ca}, io.Discard, io.Discard); got != exitDone {
		t.Fatal("login: exit", got)
	}
	if err := d.behave("good"); err != nil {
		t.Fatal(err)
	}
	before := d.issuers.Requests(provider, "token")
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			var out, notes bytes.Buffer
			if got := run([]string{"whoami", "--node", d.URL}, &out, &notes); got != exitDone {
				t.Errorf("exit %d: %s", got, &notes)
			}
		})
	}
	all.Wait()
	if n := d.issuers.Requests(provider, "token") - before; n != 1 {
		t.Errorf("%d commands used a refresh token, want one", n)
	}
}

// What others may read, or may have put there, is refused before it is used.
func TestTokenFileIsOnesOwn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "candignode")
	f := tokenFile{filepath.Join(dir, "tokens.json")}
	unlock, err := f.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	kept := &signIn{Issuer: "https://idp.example.org", Access: trust.NewAccessToken("secret"), Expires: time.Unix(4e9, 0)}
	if err := f.put("https://node.example.org", kept); err != nil {
		t.Fatal(err)
	}
	unlock()
	got, err := f.get("https://node.example.org")
	if err != nil || got.Access.Reveal() != "secret" || !got.Expires.Equal(kept.Expires) {
		t.Fatal(got, err)
	}
	if _, err := f.get("https://other.example.org"); !errors.Is(err, errNoSignIn) {
		t.Error("a token of one node for another:", err)
	}
	for path, mode := range map[string]os.FileMode{dir: 0o700, f.path: 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Error(path, info.Mode(), err)
		}
	}
	for _, mode := range []os.FileMode{0o604, 0o640, 0o620, 0o601} {
		os.Chmod(f.path, mode)
		if _, err := f.get("https://node.example.org"); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	os.Chmod(f.path, 0o600)
	os.Chmod(dir, 0o750)
	if _, err := f.lock(t.Context()); err == nil || !strings.Contains(err.Error(), "chmod 700") {
		t.Error(err)
	}
	os.Chmod(dir, 0o700)
	for name, text := range map[string]string{"no JSON": "{", "null": "null", "a name twice": `{"a":{},"a":{}}`, "too much": strings.Repeat(" ", maxTokenFile) + "{}"} {
		if err := os.WriteFile(f.path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := f.get("a"); err == nil || errors.Is(err, errNoSignIn) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	os.Remove(f.path)
	if err := os.Symlink(filepath.Join(t.TempDir(), "elsewhere"), f.path); err != nil {
		t.Fatal(err)
	}
	if _, err := f.get("a"); err == nil || errors.Is(err, errNoSignIn) {
		t.Error("a link was followed:", err)
	}
}

func TestNamesOfNodes(t *testing.T) {
	for address, want := range map[string]string{
		"https://Node.Example.org/": "https://node.example.org", "http://127.0.0.1:8443": "http://127.0.0.1:8443", "https://a.example.org/x/": "https://a.example.org/x",
		"node.example.org": "", "ftp://a": "", "https://u:p@a": "", "https://a?b": "", "https://a#b": "", "": "", "https://": "", "\x00": "",
	} {
		if got, err := nodeName(address); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", address, got, err)
		}
	}
}

// Signing in again mends a sign-in that has ended, and does nothing for somebody who is
// revoked: the node says whom to ask, and nothing is added (row 62).
func TestWhatIsSaidOfARefusedSignIn(t *testing.T) {
	for reason, again := range map[trust.Reason]bool{trust.ReasonSession: true, trust.ReasonExpired: true, trust.ReasonRevoked: false} {
		a := asker{Client: api.Client{BaseURL: "https://node.example.org", Bearer: func() string { return "token" }}}
		err := a.refused(&api.Problem{Status: http.StatusUnauthorized, Detail: "ask its operator", Reason: string(reason)})
		if code, ok := errors.AsType[coded](err); !ok || code.code != exitDenied || !strings.Contains(err.Error(), "ask its operator") || strings.Contains(err.Error(), "sign in again") != again {
			t.Errorf("%s: %v", reason, err)
		}
	}
}
