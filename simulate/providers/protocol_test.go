package providers

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/simulate/idp"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/bearer"
	"github.com/candignode/candignode/trust/discovery"
	"github.com/candignode/candignode/trust/issuers"
	"github.com/candignode/candignode/trust/passport"
)

const (
	grantSource = "https://dac.example.org"
	grantValue  = grantSource + "/datasets/rarivitis/uhn"
)

// grants are visas of the committee for the dataset and one for something else.
func (w *world) grants(subject string) []string {
	w.t.Helper()
	visas, err := w.committee.Visas(idp.Researcher{Subject: subject, Visas: []idp.Grant{
		{Value: grantValue, Source: grantSource}, {Value: grantSource + "/datasets/other", Source: grantSource},
	}}, time.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	return visas
}

// What the node's parts make of a provider that others wrote. One portal serves all
// of these: Perl takes seconds to start.
func TestLemonLDAPAnswersTheNodesQuestions(t *testing.T) {
	needLemon(t)
	w := newWorld(t)
	l := w.newLemon(nowhere, conferred{"dwho": w.grants("dwho")}, nil)
	policy := w.policy(l, nodeClient, trust.WayUserInfo)
	p := newParts(t, policy, w.committeePolicy())

	t.Run("an issuer that ends in a slash is another one than without", func(t *testing.T) { slash(t, w.in(t), l, p.in(t)) })
	t.Run("a person signs in with code and PKCE", func(t *testing.T) { signedIn(t, w.in(t), p.in(t), policy) })
	t.Run("visas in UserInfo are accepted", func(t *testing.T) { informed(t, w.in(t), p.in(t), policy) })
	t.Run("introspection of opaque tokens", func(t *testing.T) { introspected(t, w.in(t), l) })
	t.Run("a wrong client secret opens nothing", func(t *testing.T) { wrongSecret(t, w.in(t), l) })
	t.Run("access tokens that are JWTs", func(t *testing.T) { selfContained(t, w.in(t), l) })
	t.Run("alg none and MACs are advertised, and never accepted", func(t *testing.T) { unsigned(t, w.in(t), l) })
	t.Run("signed UserInfo", func(t *testing.T) { signedUserInfo(t, w.in(t), l) })
	t.Run("a key without a name", func(t *testing.T) { nameless(t, w.in(t), l) }) // the last: it changes the key
}

// Rows 91 to 93: the discovery address loses one slash, the issuer keeps it.
func slash(t *testing.T, w *world, l *lemon, p *parts) {
	var document struct{ Issuer string }
	if err := json.NewDecoder(w.plainGet(l.URL + "/.well-known/openid-configuration").Body).Decode(&document); err != nil {
		t.Fatal(err)
	}
	if document.Issuer != l.URL+"/" {
		t.Fatalf("this provider's issuer is %q; the trap of the slash is gone", document.Issuer)
	}
	if l.asked("//.well-known/openid-configuration") != 0 || l.asked("/.well-known/openid-configuration") == 0 {
		t.Error("the discovery address was composed with the slash left in")
	}
	iv, _ := p.view.Lookup(l.Issuer)
	if len(iv.Keys) != 1 || iv.Keys[0].KeyID != "key-1" || iv.JWKSURI != l.URL+"/oauth2/jwks" {
		t.Errorf("keys %v at %q", iv.Keys, iv.JWKSURI)
	}
	without := iv.Policy
	without.Issuer = l.URL
	if _, err := p.fetcher.Fetch(t.Context(), without, issuers.Validators{}); !errors.Is(err, discovery.ErrIssuer) {
		t.Errorf("without the slash: %v, want ErrIssuer", err)
	}
	if _, err := p.fetcher.Endpoints(t.Context(), without); !errors.Is(err, discovery.ErrIssuer) {
		t.Errorf("endpoints without the slash: %v, want ErrIssuer", err)
	}
	twice := iv.Policy
	twice.Issuer = l.URL + "//"
	if _, err := p.fetcher.Fetch(t.Context(), twice, issuers.Validators{}); err == nil {
		t.Error("two slashes are one issuer with one")
	}
}

// Row 112: the code flow with PKCE, and refresh.
func signedIn(t *testing.T, w *world, p *parts, policy trust.IssuerPolicy) {
	person := w.newBrowser("dwho", "dwho")
	tokens := p.signIn(person, policy)
	if tokens.Refresh.IsZero() || strings.Contains(tokens.Access.Reveal(), ".") || tokens.Expires.Before(time.Now()) {
		t.Errorf("refresh token there: %v, opaque access token: %v, expires %v",
			!tokens.Refresh.IsZero(), !strings.Contains(tokens.Access.Reveal(), "."), tokens.Expires)
	}
	who, err := p.idToken(tokens, policy, nonce)
	if err != nil || who.Identity != (trust.Identity{Issuer: policy.Issuer, Subject: "dwho"}) {
		t.Fatalf("ID token: %v, %v", who.Identity, err)
	}
	if _, err := p.idToken(tokens, policy, "another"); err == nil {
		t.Error("an ID token with another sign-in's nonce was accepted")
	}
	other := tokens
	other.Access = trust.NewAccessToken("0123456789abcdef")
	if _, err := p.idToken(other, policy, nonce); err == nil {
		t.Error("an ID token counted for another access token than it came with (at_hash)")
	}

	renewed, err := p.provider.Refresh(t.Context(), policy, tokens.Refresh)
	if err != nil || renewed.Access.Reveal() == tokens.Access.Reveal() || renewed.Refresh.Reveal() != tokens.Refresh.Reveal() {
		t.Fatalf("refresh: %v; new access token: %v", err, renewed.Access.Reveal() != tokens.Access.Reveal())
	}
	if who, err := p.idToken(renewed, policy, ""); err != nil || who.Subject != "dwho" {
		t.Errorf("the ID token of the refresh: %v, %v", who.Identity, err)
	}
	if _, err := p.provider.Refresh(t.Context(), policy, tokens.Access); !errors.Is(err, bearer.ErrRefused) {
		t.Errorf("an access token as refresh token: %v", err)
	}

	// A code is good once, and with its own verifier and redirect address only.
	for name, redeem := range map[string]func(code string) error{
		"another verifier": func(code string) error {
			_, err := p.provider.Redeem(t.Context(), policy, code, nowhere, strings.Repeat("x", 43))
			return err
		},
		"another redirect address": func(code string) error {
			_, err := p.provider.Redeem(t.Context(), policy, code, nowhere+"/other", verifier)
			return err
		},
		"the second time": func(code string) error {
			if _, err := p.provider.Redeem(t.Context(), policy, code, nowhere, verifier); err != nil {
				t.Error(err)
			}
			_, err := p.provider.Redeem(t.Context(), policy, code, nowhere, verifier)
			return err
		},
	} {
		if err := redeem(p.code(person, policy)); !errors.Is(err, bearer.ErrRefused) || !strings.Contains(err.Error(), "invalid_grant") {
			t.Errorf("%s: %v, want a refusal with invalid_grant", name, err)
		}
	}
}

// Row 68: visas in UserInfo, as a JSON array, become visas that count.
func informed(t *testing.T, w *world, p *parts, policy trust.IssuerPolicy) {
	tokens := p.signIn(w.newBrowser("dwho", "dwho"), policy)
	now := time.Now()
	got, err := p.bearer.Credentials(t.Context(), bearer.Presented{Token: tokens.Access}, now)
	if err != nil || got.Subject != "dwho" || len(got.Sets) != 1 || len(got.Sets[0].Visas) != 2 {
		t.Fatalf("%v, %d sets, %v", got.Identity, len(got.Sets), err)
	}
	verdict, err := p.verifier.Verify(t.Context(), passport.Request{Sets: got.Sets, Token: tokens.Access, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	for _, visa := range verdict.Visas {
		if !visa.Accepted {
			t.Errorf("visa for %s: %s (%s)", visa.Value, visa.Reason, visa.Detail)
		}
	}
	// Who holds none is a person all the same.
	tokens = p.signIn(w.newBrowser("rtyler", "rtyler"), policy)
	got, err = p.bearer.Credentials(t.Context(), bearer.Presented{Token: tokens.Access}, now)
	if err != nil || got.Subject != "rtyler" || len(got.Sets) != 1 || len(got.Sets[0].Visas) != 0 || got.Sets[0].Via != trust.KindLogin {
		t.Errorf("a person without visas: %+v, %v", got, err)
	}
	// Who signs out at the provider ends the tokens: a desk that has not asked before
	// learns it.
	person := w.newBrowser("dwho", "dwho")
	ended := p.signIn(person, policy)
	person.end = ""
	person.get(policy.Issuer + "?logout=1")
	_, err = p.bearer.Credentials(t.Context(), bearer.Presented{Token: ended.Access}, now)
	if refusal, ok := errors.AsType[*passport.Refusal](err); !ok || refusal.Reason != trust.ReasonRevoked {
		t.Errorf("a token of somebody who signed out at the provider: %v", err)
	}
	// A token that nobody made.
	_, err = p.bearer.Credentials(t.Context(), bearer.Presented{Token: trust.NewAccessToken(strings.Repeat("0", 64))}, now)
	if refusal, ok := errors.AsType[*passport.Refusal](err); !ok || refusal.Reason != trust.ReasonRevoked {
		t.Errorf("a token that the provider does not know: %v", err)
	}
}

// Row 69: introspection with client_secret_basic.
func introspected(t *testing.T, w *world, l *lemon) {
	policy := w.policy(l, nodeClient, trust.WayIntrospection)
	p := newParts(t, policy, w.committeePolicy())
	tokens := p.signIn(w.newBrowser("dwho", "dwho"), policy)
	asked := l.asked("/oauth2/introspect")
	got, err := p.bearer.Credentials(t.Context(), bearer.Presented{Token: tokens.Access}, time.Now())
	if err != nil || got.Subject != "dwho" || len(got.Sets) != 1 || len(got.Sets[0].Visas) != 2 {
		t.Fatalf("%v, %d sets, %v", got.Identity, len(got.Sets), err)
	}
	if l.asked("/oauth2/introspect") != asked+1 {
		t.Error("the provider was not asked by introspection")
	}
	if got.Until.IsZero() || got.Until.After(time.Now().Add(time.Hour+time.Minute)) {
		t.Errorf("good until %v, want at most the token's hour", got.Until)
	}
	for name, token := range map[string]trust.AccessToken{
		"a token that nobody made":       trust.NewAccessToken(strings.Repeat("f", 64)),
		"a refresh token":                tokens.Refresh,
		"a token with one byte changed":  trust.NewAccessToken("0" + tokens.Access.Reveal()[1:]),
		"a token with a byte at the end": trust.NewAccessToken(tokens.Access.Reveal() + "0"),
	} {
		if token.Digest() == tokens.Access.Digest() {
			continue // it began with 0
		}
		_, err := p.bearer.Credentials(t.Context(), bearer.Presented{Token: token}, time.Now())
		if refusal, ok := errors.AsType[*passport.Refusal](err); !ok || refusal.Reason != trust.ReasonRevoked {
			t.Errorf("%s: %v, want it refused as not active", name, err)
		}
	}
}

// A wrong secret is told as what it is, and never told itself. It is the node that the
// provider does not take: no person's token is refused for it.
func wrongSecret(t *testing.T, w *world, l *lemon) {
	policy := w.policy(l, nodeClient, trust.WayIntrospection)
	p := newParts(t, policy)
	tokens := p.signIn(w.newBrowser("dwho", "dwho"), policy)
	wrong := policy
	wrong.Client.Secret = trust.NewAccessToken("anotherSecretAltogether")
	code := p.code(w.newBrowser("dwho", "dwho"), policy)
	for name, ask := range map[string]func() error{
		"code":          func() error { _, err := p.provider.Redeem(t.Context(), wrong, code, nowhere, verifier); return err },
		"refresh":       func() error { _, err := p.provider.Refresh(t.Context(), wrong, tokens.Refresh); return err },
		"introspection": func() error { _, err := p.provider.Introspect(t.Context(), wrong, tokens.Access); return err },
	} {
		err := ask()
		if !errors.Is(err, bearer.ErrUnavailable) || errors.Is(err, bearer.ErrRefused) || !strings.Contains(err.Error(), "invalid_client") {
			t.Errorf("%s: %v, want ErrUnavailable with invalid_client", name, err)
			continue
		}
		for _, secret := range []string{"anotherSecretAltogether", clientSecret, code, tokens.Refresh.Reveal(), tokens.Access.Reveal()} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error tells a secret", name)
			}
		}
	}
}

// Rows 66 and 100: access tokens that are JWTs are verified before anybody is asked.
func selfContained(t *testing.T, w *world, l *lemon) {
	policy := w.policy(l, scriptClient, trust.WayUserInfo)
	p := newParts(t, policy, w.committeePolicy())
	tokens := p.signIn(w.newBrowser("dwho", "dwho"), policy)
	got, err := p.bearer.Credentials(t.Context(), bearer.Presented{Token: tokens.Access}, time.Now())
	if err != nil || got.Subject != "dwho" || len(got.Sets) != 1 || len(got.Sets[0].Visas) != 2 {
		t.Fatalf("%v, %d sets, %v", got.Identity, len(got.Sets), err)
	}
	asked := l.asked("/oauth2/userinfo")
	text := tokens.Access.Reveal()
	signature := strings.LastIndexByte(text, '.') + 10
	changed := "A"
	if text[signature] == 'A' {
		changed = "B"
	}
	forged := trust.NewAccessToken(text[:signature] + changed + text[signature+1:])
	if _, err := p.bearer.Credentials(t.Context(), bearer.Presented{Token: forged}, time.Now()); err == nil {
		t.Error("a forged access token was accepted")
	}
	if l.asked("/oauth2/userinfo") != asked {
		t.Error("a token that does not verify was sent to the provider")
	}
	// It was made for the scripts' client, and is nobody's where that is not this site's.
	elsewhere := newParts(t, w.policy(l, nodeClient, trust.WayUserInfo))
	_, err = elsewhere.bearer.Credentials(t.Context(), bearer.Presented{Token: tokens.Access}, time.Now())
	if refusal, ok := errors.AsType[*passport.Refusal](err); !ok || refusal.Reason != trust.ReasonAudience {
		t.Errorf("a token for another client: %v", err)
	}
	// Row 108: an ID token is no access token.
	_, err = p.bearer.Credentials(t.Context(), bearer.Presented{Token: tokens.ID}, time.Now())
	if _, ok := errors.AsType[*passport.Refusal](err); !ok {
		t.Errorf("an ID token as access token: %v", err)
	}
}

// Row 101: the provider's document lists none and MACs, and it does make such
// tokens. They sign nobody in.
func unsigned(t *testing.T, w *world, l *lemon) {
	var document struct {
		Algorithms []string `json:"id_token_signing_alg_values_supported"`
	}
	if err := json.NewDecoder(w.plainGet(l.URL + "/.well-known/openid-configuration").Body).Decode(&document); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(document.Algorithms, "none") || !slices.Contains(document.Algorithms, "HS256") {
		t.Errorf("it advertises %v; the trap of alg none is gone", document.Algorithms)
	}
	for _, client := range []string{unsignedClient, macClient} {
		policy := w.policy(l, client, trust.WayUserInfo)
		p := newParts(t, policy)
		tokens := p.signIn(w.newBrowser("dwho", "dwho"), policy)
		who, err := p.idToken(tokens, policy, nonce)
		if refusal, ok := errors.AsType[*passport.Refusal](err); !ok || !who.Identity.IsZero() {
			t.Errorf("%s: %v, %v", client, who.Identity, err)
		} else if refusal.Reason != trust.ReasonMalformed && refusal.Reason != trust.ReasonAlgorithm {
			t.Errorf("%s: refused for %s (%s), which is not its signature", client, refusal.Reason, refusal.Detail)
		}
		// The very token with a signature of nothing, and of something.
		for _, end := range []string{".", ".AAAA"} {
			mangled := tokens
			mangled.ID = trust.NewAccessToken(strings.TrimSuffix(tokens.ID.Reveal(), ".") + end)
			if who, err := p.idToken(mangled, policy, nonce); err == nil {
				t.Errorf("%s with %q: signed in as %v", client, end, who.Identity)
			}
		}
	}
}

// Row 68: a UserInfo response that is a JWT. LemonLDAP::NG 2.16 signs what it has and
// nothing more, so there is no iss, which the standard only recommends (OpenID Connect
// Core 1.0, section 5.3.2). It is the provider's all the same: by its key, and by its
// connection.
func signedUserInfo(t *testing.T, w *world, l *lemon) {
	policy := w.policy(l, signedClient, trust.WayUserInfo)
	p := newParts(t, policy, w.committeePolicy())
	tokens := p.signIn(w.newBrowser("dwho", "dwho"), policy)
	got, err := p.bearer.Credentials(t.Context(), bearer.Presented{Token: tokens.Access}, time.Now())
	if err != nil || got.Subject != "dwho" || len(got.Sets) == 0 {
		t.Errorf("%v, %d sets, %v", got.Identity, len(got.Sets), err)
	}
}

// Row 97, and the waiver for it: a portal without a key id makes tokens without kid.
// They count where the operator allows that, and nowhere else.
func nameless(t *testing.T, w *world, l *lemon) {
	l.newKey("")
	l.restart()
	policy := w.policy(l, scriptClient, trust.WayUserInfo)
	strict := newParts(t, policy, w.committeePolicy())
	tokens := strict.signIn(w.newBrowser("dwho", "dwho"), policy)
	_, err := strict.idToken(tokens, policy, nonce)
	if refusal, ok := errors.AsType[*passport.Refusal](err); !ok || refusal.Reason != trust.ReasonHeader {
		t.Errorf("an ID token without kid: %v", err)
	}
	_, err = strict.bearer.Credentials(t.Context(), bearer.Presented{Token: tokens.Access}, time.Now())
	if refusal, ok := errors.AsType[*passport.Refusal](err); !ok || refusal.Reason != trust.ReasonHeader {
		t.Errorf("an access token without kid: %v", err)
	}
	policy.AllowMissingKeyID = true
	lenient := newParts(t, policy, w.committeePolicy())
	if who, err := lenient.idToken(tokens, policy, nonce); err != nil || who.Subject != "dwho" {
		t.Errorf("where that is allowed: %v, %v", who.Identity, err)
	}
	got, err := lenient.bearer.Credentials(t.Context(), bearer.Presented{Token: tokens.Access}, time.Now())
	if err != nil || got.Subject != "dwho" || len(got.Sets) != 1 || len(got.Sets[0].Visas) != 2 {
		t.Errorf("where that is allowed: %v, %d sets, %v", got.Identity, len(got.Sets), err)
	}
}
