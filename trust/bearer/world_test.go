package bearer_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/bearer"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/passport"
	"github.com/candignode/candignode/trust/passport/passporttest"
)

// The cast: a broker gives passports by token exchange; a provider gives visas in its
// UserInfo; one is asked by introspection; the university only signs people in; the
// opaque one hands out tokens that say nothing. A committee is a source of claims. The
// stranger signs as well as they do, and is trusted by nobody.
const (
	brokerURL     = "https://broker.example"
	providerURL   = "https://provider.example"
	introURL      = "https://introspection.example"
	universityURL = "https://university.example"
	opaqueURL     = "https://opaque.example"
	dacURL        = "https://dac.example"
	strangerURL   = "https://stranger.example"

	node = "urn:candignode:node:this"
	peer = "urn:candignode:node:peer"

	passportURN = "urn:ga4gh:params:oauth:token-type:passport"
)

var now = time.Unix(1_800_000_000, 0).UTC()

type issuers map[string]*passporttest.Issuer

// cast makes the keys once: they are slow.
var cast = sync.OnceValues(func() (issuers, error) {
	all := issuers{}
	for _, url := range []string{brokerURL, providerURL, introURL, universityURL, opaqueURL, dacURL, strangerURL} {
		issuer, err := passporttest.NewIssuer(url, jose.ES256, "k")
		if err != nil {
			return nil, err
		}
		all[url] = issuer
	}
	return all, nil
})

// asked is one question to an issuer, with the token in full.
type asked struct {
	what, issuer, token, target string
}

// world is a desk with its provider, which answers as the tests say.
type world struct {
	t        testing.TB
	issuers  issuers
	verifier *passport.Verifier
	desk     *bearer.Desk
	log      strings.Builder

	mu      sync.Mutex
	view    *trust.View
	revoked *trust.Revocations
	asked   []asked

	userInfo   func(ctx context.Context, issuer, token string) (bearer.Document, error)
	introspect func(ctx context.Context, issuer, token string) (bearer.Document, error)
	exchange   func(ctx context.Context, issuer, token, resource string) (bearer.Exchanged, error)
	claims     func(ctx context.Context, endpoint, token string) ([]byte, error)
}

func newWorld(t testing.TB, change ...func(*bearer.Options)) *world {
	t.Helper()
	all, err := cast()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, issuers: all}
	until := now.Add(48 * time.Hour)
	both := []trust.Kind{trust.KindLogin, trust.KindPassport}
	client := trust.Client{ID: "this-node", CommandLineID: "this-command-line"}
	view := map[string]trust.IssuerView{
		brokerURL:     all[brokerURL].View(trust.IssuerPolicy{Kinds: both, Tokens: trust.WayExchange, Client: client}, until),
		providerURL:   all[providerURL].View(trust.IssuerPolicy{Kinds: both, Tokens: trust.WayUserInfo, Client: client}, until),
		introURL:      all[introURL].View(trust.IssuerPolicy{Kinds: both, Tokens: trust.WayIntrospection, Client: client}, until),
		universityURL: all[universityURL].View(trust.IssuerPolicy{Kinds: []trust.Kind{trust.KindLogin}, Tokens: trust.WayUserInfo}, until),
		opaqueURL:     all[opaqueURL].View(trust.IssuerPolicy{Kinds: both, Tokens: trust.WayUserInfo, OpaqueTokens: true}, until),
		dacURL: all[dacURL].View(trust.IssuerPolicy{
			Kinds:  []trust.Kind{trust.KindClaims},
			Claims: trust.ClaimSource{Endpoints: []string{dacURL + "/claims"}, Names: []string{"grants", "ga4gh_passport_v1"}},
		}, until),
	}
	w.view = &trust.View{Revision: 1, Issuers: view}
	w.verifier = passport.New(passport.Options{View: w.currentView, Revoked: w.currentRevoked})
	o := bearer.Options{
		View: w.currentView, Revoked: w.currentRevoked, Provider: w, Tokens: w.verifier.Token, Names: []string{node},
		Log: slog.New(slog.NewTextHandler(&w.log, nil)),
	}
	for _, f := range change {
		f(&o)
	}
	w.desk = bearer.New(o)
	return w
}

func (w *world) currentView() *trust.View {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.view
}

func (w *world) currentRevoked() *trust.Revocations {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.revoked
}

// policy changes what the site trusts an issuer for, as a new View.
func (w *world) policy(issuer string, change func(*trust.IssuerPolicy)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	next := &trust.View{Revision: w.view.Revision + 1, Issuers: maps.Clone(w.view.Issuers)}
	iv := next.Issuers[issuer]
	change(&iv.Policy)
	next.Issuers[issuer] = iv
	w.view = next
}

func (w *world) revoke(list ...trust.Revocation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.revoked = trust.NewRevocations(w.revoked.Revision()+1, list)
}

func (w *world) note(a asked) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, a)
}

// count tells how often a question was asked.
func (w *world) count(what string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, a := range w.asked {
		if a.what == what {
			n++
		}
	}
	return n
}

func (w *world) UserInfo(ctx context.Context, issuer trust.IssuerPolicy, token trust.AccessToken) (bearer.Document, error) {
	w.note(asked{"userinfo", issuer.Issuer, token.Reveal(), ""})
	if w.userInfo == nil {
		return bearer.Document{}, bearer.ErrNoWay
	}
	return w.userInfo(ctx, issuer.Issuer, token.Reveal())
}

func (w *world) Introspect(ctx context.Context, issuer trust.IssuerPolicy, token trust.AccessToken) (bearer.Document, error) {
	w.note(asked{"introspect", issuer.Issuer, token.Reveal(), ""})
	if w.introspect == nil {
		return bearer.Document{}, bearer.ErrNoWay
	}
	return w.introspect(ctx, issuer.Issuer, token.Reveal())
}

func (w *world) Exchange(ctx context.Context, issuer trust.IssuerPolicy, token trust.AccessToken, resource string) (bearer.Exchanged, error) {
	w.note(asked{"exchange", issuer.Issuer, token.Reveal(), resource})
	if w.exchange == nil {
		return bearer.Exchanged{}, bearer.ErrNoWay
	}
	return w.exchange(ctx, issuer.Issuer, token.Reveal(), resource)
}

func (w *world) Claims(ctx context.Context, source trust.IssuerPolicy, endpoint string, token trust.AccessToken) ([]byte, error) {
	w.note(asked{"claims", source.Issuer, token.Reveal(), endpoint})
	if w.claims == nil {
		return nil, bearer.ErrUnavailable
	}
	return w.claims(ctx, endpoint, token.Reveal())
}

// token is a good access token of an issuer for the researcher.
func (w *world) token(issuer string, change ...func(*passporttest.AccessTokenClaims)) string {
	c := passporttest.AccessTokenClaims{Subject: "researcher", ID: "token-1", IssuedAt: now.Add(-time.Minute), Expires: now.Add(time.Hour)}
	for _, f := range change {
		f(&c)
	}
	return w.issuers[issuer].AccessToken(c)
}

func (w *world) show(token string) (bearer.Credentials, error) {
	return w.at(now, bearer.Presented{Token: trust.NewAccessToken(token)})
}

func (w *world) at(at time.Time, p bearer.Presented) (bearer.Credentials, error) {
	return w.desk.Credentials(context.Background(), p, at)
}

// want shows a token and wants it to be taken.
func (w *world) want(token string) bearer.Credentials {
	w.t.Helper()
	c, err := w.show(token)
	if err != nil {
		w.t.Errorf("refused: %v", err)
	}
	return c
}

// wantRefusal shows a token and wants it to be refused for this reason, without
// anything else.
func (w *world) wantRefusal(reason trust.Reason, token string) {
	w.t.Helper()
	c, err := w.show(token)
	w.refused(c, err, reason, token)
}

func (w *world) refused(c bearer.Credentials, err error, reason trust.Reason, token string) {
	w.t.Helper()
	refusal, ok := errors.AsType[*passport.Refusal](err)
	if !ok || refusal.Reason != reason {
		w.t.Errorf("got %v, want %s", err, reason)
		return
	}
	if refusal.Detail == "" || len(token) > 8 && strings.Contains(refusal.Error(), token) {
		w.t.Errorf("the refusal says %q", refusal.Error())
	}
	if c.Issuer != "" || c.Identity != (trust.Identity{}) || c.Passports != nil || c.Sets != nil {
		w.t.Errorf("a refusal came with %+v", c)
	}
}

type object map[string]any

func (o object) text() []byte {
	text, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	return text
}

// answer is a JSON document with these members.
func answer(o object) (bearer.Document, error) {
	return bearer.Document{MediaType: "application/json; charset=utf-8", Body: o.text()}, nil
}

// says lets UserInfo answer everybody with these members.
func (w *world) says(o object) {
	w.userInfo = func(context.Context, string, string) (bearer.Document, error) { return answer(o) }
}

// gives lets the exchange answer with a passport for whatever target is asked for.
func (w *world) gives(change ...func(*bearer.Exchanged)) {
	w.exchange = func(_ context.Context, issuer, token, resource string) (bearer.Exchanged, error) {
		if resource == "" {
			resource = node
		}
		e := bearer.Exchanged{
			Passport: w.issuers[issuer].Passport(passporttest.PassportClaims{
				Subject: "researcher", Audience: []string{resource}, IssuedAt: now, Expires: now.Add(30 * time.Minute),
			}),
			IssuedTokenType: passportURN, TokenType: "Bearer", ExpiresIn: 30 * time.Minute,
		}
		for _, f := range change {
			f(&e)
		}
		return e, nil
	}
}

// visasOf are the compact visas of all sets of a kind, in order.
func visasOf(c bearer.Credentials, via trust.Kind) []string {
	var visas []string
	for _, set := range c.Sets {
		if set.Via != via {
			continue
		}
		for _, visa := range set.Visas {
			visas = append(visas, visa.Compact())
		}
	}
	return visas
}

// onlyLogin tells whether the caller is known and nothing more.
func onlyLogin(c bearer.Credentials) bool {
	return len(c.Passports) == 0 && len(c.Sets) == 1 && c.Sets[0].Via == trust.KindLogin && len(c.Sets[0].Visas) == 0 &&
		c.Sets[0].Identity == c.Identity
}

// tokensSeen lists who saw which token.
func (w *world) tokensSeen() map[string][]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := map[string][]string{}
	for _, a := range w.asked {
		if !slices.Contains(seen[a.token], a.issuer) {
			seen[a.token] = append(seen[a.token], a.issuer)
		}
	}
	return seen
}
