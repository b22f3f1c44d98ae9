package web_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/candignode/candignode/api"
	"github.com/candignode/candignode/node/session"
	"github.com/candignode/candignode/node/web"
	"github.com/candignode/candignode/store"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/bearer"
	"github.com/candignode/candignode/trust/oidc"
	"github.com/candignode/candignode/trust/passport"
	"github.com/candignode/candignode/trust/passport/passporttest"
	"github.com/candignode/candignode/trust/proof"
)

var (
	_ web.Sessions     = (*session.Desk)(nil)
	_ web.SignIn       = (*session.Desk)(nil)
	_ web.Proofs       = (*proof.Checker)(nil)
	_ session.Store    = (*store.Store)(nil)
	_ session.Provider = (*oidc.Provider)(nil)
)

// oneIssuer signs alice in.
type oneIssuer struct {
	*passporttest.Issuer
	asked bearer.AuthRequest
	now   time.Time
}

func (o *oneIssuer) Authorize(_ context.Context, p trust.IssuerPolicy, r bearer.AuthRequest) (string, error) {
	o.asked = r
	config := oauth2.Config{ClientID: p.Client.ID, RedirectURL: r.RedirectURI, Endpoint: oauth2.Endpoint{AuthURL: p.Issuer + "authorize"}}
	return config.AuthCodeURL(r.State, oauth2.S256ChallengeOption(r.Verifier), oauth2.SetAuthURLParam("nonce", r.Nonce)), nil
}

func (o *oneIssuer) Redeem(context.Context, trust.IssuerPolicy, string, string, string) (bearer.Tokens, error) {
	id := o.IDToken(passporttest.IDTokenClaims{Subject: "alice", Audience: []string{"uhn-node"}, Nonce: o.asked.Nonce, IssuedAt: o.now, Expires: o.now.Add(time.Hour)})
	return bearer.Tokens{Access: trust.NewAccessToken(alicesToken), ID: trust.NewAccessToken(id), Expires: o.now.Add(time.Hour)}, nil
}

func (o *oneIssuer) Refresh(context.Context, trust.IssuerPolicy, trust.AccessToken) (bearer.Tokens, error) {
	return bearer.Tokens{}, bearer.ErrRefused
}

// realDoor has the real desks of sessions and proofs, the real verifier and the real
// state file behind it.
func realDoor(t *testing.T) (*world, *oneIssuer, time.Time) {
	t.Helper()
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	made, err := passporttest.NewIssuer(alicesIssuer, "ES256", "key-1")
	if err != nil {
		t.Fatal(err)
	}
	idp := &oneIssuer{Issuer: made, now: now}
	policy := trust.IssuerPolicy{
		Issuer: alicesIssuer, Kinds: []trust.Kind{trust.KindLogin, trust.KindPassport}, Mode: trust.ModeDirect, SignIn: true,
		Client: trust.Client{ID: "uhn-node"}, Tokens: trust.WayUserInfo,
	}
	view := &trust.View{Revision: 1, Issuers: map[string]trust.IssuerView{alicesIssuer: made.View(policy, now.Add(24*time.Hour))}}
	clock := func() time.Time { return now }
	state, err := store.Open(filepath.Join(t.TempDir(), "state.db"), store.Options{Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { state.Close() })
	verifier := passport.New(passport.Options{View: func() *trust.View { return view }})
	desk, err := session.New(session.Options{
		ExternalURL: ownAddress, View: func() *trust.View { return view }, Provider: idp, Tokens: verifier.Token, Store: state, Now: clock,
	})
	if err != nil {
		t.Fatal(err)
	}
	var w *world
	w = newWorld(t, func(o *web.Options) {
		o.ExternalURL, o.Sessions, o.SignIn, o.Now = ownAddress, desk, desk, clock
		o.Proofs = proof.New(proof.Options{Boot: now.Add(-time.Hour)})
		o.Verify = func(ctx context.Context, shown web.Shown, only bool) (passport.Verdict, error) {
			if !shown.Session.IsZero() {
				opened, err := desk.Open(ctx, shown.Session, shown.Proven)
				if err != nil {
					return passport.Verdict{}, err
				}
				shown.Token = opened.Material.Access
			}
			return w.verify(ctx, shown, only)
		}
	})
	return w, idp, now
}

// A person signs in in a browser, asks from this site's own page, and signs out.
func TestAPersonSignsInAsksAndSignsOut(t *testing.T) {
	w, idp, _ := realDoor(t)
	a := w.send(http.MethodGet, "/login/start?issuer="+url.QueryEscape(alicesIssuer), "")
	if a.Code != http.StatusSeeOther {
		t.Fatalf("%d %s", a.Code, a.Body)
	}
	browser := a.Result().Cookies()[0]
	at, _ := url.Parse(a.Header().Get("Location"))
	back, _ := url.Parse(at.Query().Get("redirect_uri"))
	target := back.Path + "?" + url.Values{"code": {"c"}, "state": {at.Query().Get("state")}, "iss": {alicesIssuer}}.Encode()
	if back.Host != "node.uhn.example.org" || at.Query().Get("code_challenge_method") != "S256" || idp.asked.Nonce == "" {
		t.Errorf("sent to %s", at)
	}
	a = w.send(http.MethodGet, target, "", "Cookie", browser.Name+"="+browser.Value)
	var cookie string
	for _, c := range a.Result().Cookies() {
		if c.Name == "__Host-candignode" {
			cookie = c.Name + "=" + c.Value
		}
	}
	if a.Code != http.StatusOK || cookie == "" {
		t.Fatalf("%d %s", a.Code, a.Body)
	}
	a = w.send(http.MethodPost, "/v1/whoami", "{}", "Cookie", cookie, "Origin", ownAddress)
	var who api.Whoami
	if err := json.Unmarshal(a.Body.Bytes(), &who); err != nil || a.Code != http.StatusOK || who.Caller.Subject != "alice" || who.Session == nil || !who.Session.Current {
		t.Errorf("%d %s", a.Code, a.Body)
	}
	if a := w.send(http.MethodGet, "/network/beacon/g_variants?"+snv, "", "Cookie", cookie, "Sec-Fetch-Site", "same-origin"); a.Code != http.StatusOK || w.callers[len(w.callers)-1].Subject != "alice" {
		t.Errorf("%d %s", a.Code, a.Body)
	}
	if a := w.send(http.MethodPost, "/logout", "", "Cookie", cookie, "Origin", ownAddress); a.Code != http.StatusSeeOther {
		t.Errorf("%d %s", a.Code, a.Body)
	}
	if a := w.send(http.MethodPost, "/v1/whoami", "{}", "Cookie", cookie, "Origin", ownAddress); a.Code != http.StatusUnauthorized || !strings.Contains(a.Body.String(), `"session"`) {
		t.Errorf("after signing out: %d %s", a.Code, a.Body)
	}
	if a := w.send(http.MethodGet, target, "", "Cookie", browser.Name+"="+browser.Value); a.Code != http.StatusBadRequest {
		t.Errorf("the redirect again: %d", a.Code)
	}
	if logged := w.logged(); strings.Contains(logged, "cgs_") || strings.Contains(logged, "eyJ") || strings.Contains(logged, idp.asked.State) {
		t.Errorf("logged: %s", logged)
	}
}

// V098, row 109 at the door: a real proof counts for its request, once. A session
// made with one needs one, for the session's own token.
func TestRealProofs(t *testing.T) {
	w, _, now := realDoor(t)
	client, err := passporttest.NewProver("ES256")
	if err != nil {
		t.Fatal(err)
	}
	of := func(method, path, token string) string {
		return client.Proof(passporttest.ProofClaims{Method: method, URL: ownAddress + path, IssuedAt: now, Token: token})
	}
	good := of(http.MethodPost, "/v1/sessions", alicesToken)
	a := w.send(http.MethodPost, "/v1/sessions", "", "Authorization", "DPoP "+alicesToken, "DPoP", good)
	var s api.Session
	if err := json.Unmarshal(a.Body.Bytes(), &s); err != nil || a.Code != http.StatusOK || !strings.HasPrefix(s.Token, "cgs_") {
		t.Fatalf("%d %s", a.Code, a.Body)
	}
	list := "/v1/sessions"
	for name, c := range map[string]struct {
		headers []string
		want    int
	}{
		"used":                     {[]string{"Authorization", "DPoP " + alicesToken, "DPoP", good}, 401},
		"another method":           {[]string{"Authorization", "DPoP " + s.Token, "DPoP", of(http.MethodPost, list, s.Token)}, 401},
		"another path":             {[]string{"Authorization", "DPoP " + s.Token, "DPoP", of(http.MethodGet, "/v1/whoami", s.Token)}, 401},
		"another token":            {[]string{"Authorization", "DPoP " + s.Token, "DPoP", of(http.MethodGet, list, alicesToken)}, 401},
		"the session, stolen":      {[]string{"Authorization", "Bearer " + s.Token}, 401},
		"the session, as a cookie": {[]string{"Cookie", "__Host-candignode=" + s.Token, "Sec-Fetch-Site", "same-origin"}, 401},
		"the session":              {[]string{"Authorization", "DPoP " + s.Token, "DPoP", of(http.MethodGet, list, s.Token)}, 200},
	} {
		if a := w.send(http.MethodGet, list, "", c.headers...); a.Code != c.want {
			t.Errorf("%s: %d %s", name, a.Code, a.Body)
		}
	}
}
