package providers

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/bearer"
	"github.com/candignode/candignode/trust/discovery"
	"github.com/candignode/candignode/trust/issuers"
	"github.com/candignode/candignode/trust/oidc"
	"github.com/candignode/candignode/trust/passport"
)

// parts are those of a node that speak with providers, without the node around them.
type parts struct {
	t        *testing.T
	fetcher  *discovery.Fetcher
	provider *oidc.Provider
	verifier *passport.Verifier
	bearer   *bearer.Desk
	view     *trust.View
}

func newParts(t *testing.T, policies ...trust.IssuerPolicy) *parts {
	t.Helper()
	p := &parts{t: t, fetcher: discovery.New(), view: &trust.View{Revision: 1, Issuers: map[string]trust.IssuerView{}}}
	for _, policy := range policies {
		got, err := p.fetcher.Fetch(t.Context(), policy, issuers.Validators{})
		if err != nil {
			t.Fatal(err)
		}
		believed := trust.IssuerView{Policy: policy, JWKSURI: got.JWKSURI}
		for _, key := range got.Keys {
			believed.Keys = append(believed.Keys, trust.BelievedKey{Key: key, Until: time.Now().Add(time.Hour)})
		}
		p.view.Issuers[policy.Issuer] = believed
	}
	var err error
	if p.provider, err = oidc.New(oidc.Options{Client: p.fetcher.Client, Endpoints: p.fetcher.Endpoints}); err != nil {
		t.Fatal(err)
	}
	view := func() *trust.View { return p.view }
	p.verifier = passport.New(passport.Options{View: view})
	p.bearer = bearer.New(bearer.Options{View: view, Provider: p.provider, Tokens: p.verifier.Token})
	return p
}

// in is the same parts for a part of the test.
func (p *parts) in(t *testing.T) *parts {
	same := *p
	same.t = t
	return &same
}

// policy trusts the portal for sign-in and passports, as a client of the given id.
func (w *world) policy(l *lemon, client string, way trust.TokenWay) trust.IssuerPolicy {
	return trust.IssuerPolicy{
		Issuer: l.Issuer, Kinds: []trust.Kind{trust.KindLogin, trust.KindPassport}, Mode: trust.ModeDirect,
		CAPEM: w.committee.CAPEM(), AllowPrivateAddress: true, MaxStale: time.Hour,
		Tokens: way, OpaqueTokens: true, SignIn: true, ClientIDs: []string{client},
		Client: trust.Client{ID: client, Secret: trust.NewAccessToken(clientSecret)},
	}
}

// committeePolicy trusts the committee for grants.
func (w *world) committeePolicy() trust.IssuerPolicy {
	name := w.committee.Name(committee)
	return trust.IssuerPolicy{
		Issuer: name, Kinds: []trust.Kind{trust.KindVisa}, Mode: trust.ModeDirect,
		CAPEM: w.committee.CAPEM(), AllowPrivateAddress: true, MaxStale: time.Hour,
		JKU: []string{name + "/jwks"}, VisaTypes: []string{trust.VisaControlledAccessGrants}, Sources: []string{grantSource},
	}
}

// The redirect address of the parts, which nobody serves: the browser stops there.
const nowhere = "https://127.0.0.1:9/callback"

const (
	verifier = "aVerifierOfPKCEIsOf43To128CharactersOfThisKind"
	nonce    = "a-nonce-of-this-sign-in"
)

// signIn gets a person's tokens for a client, by the code flow.
func (p *parts) signIn(b *browser, policy trust.IssuerPolicy) bearer.Tokens {
	p.t.Helper()
	code := p.code(b, policy)
	tokens, err := p.provider.Redeem(p.t.Context(), policy, code, nowhere, verifier)
	if err != nil {
		p.t.Fatal(err)
	}
	return tokens
}

func (p *parts) code(b *browser, policy trust.IssuerPolicy) string {
	p.t.Helper()
	address, err := p.provider.Authorize(p.t.Context(), policy, bearer.AuthRequest{
		RedirectURI: nowhere, State: "a-state", Nonce: nonce, Verifier: verifier, Scopes: []string{"openid", "ga4gh_passport_v1"},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	b.end = nowhere
	back := b.visit(address).next.Query()
	if back.Get("state") != "a-state" || back.Get("code") == "" {
		p.t.Fatalf("the provider sent the browser back with error %q, state %q", back.Get("error"), back.Get("state"))
	}
	return back.Get("code")
}

// idToken verifies one as the node does.
func (p *parts) idToken(tokens bearer.Tokens, policy trust.IssuerPolicy, nonce string) (passport.TokenClaims, error) {
	return p.verifier.Token(context.WithoutCancel(p.t.Context()), passport.TokenRequest{
		Kind: passport.IDToken, Compact: tokens.ID.Reveal(), Issuer: policy.Issuer, Audience: []string{policy.Client.ID},
		Nonce: nonce, Access: tokens.Access, Now: time.Now(),
	})
}

// plainGet fetches one of the provider's documents as anybody does.
func (w *world) plainGet(address string) *http.Response {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, address, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	response, err := (&http.Client{Transport: w.transport()}).Do(request)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { response.Body.Close() })
	return response
}
