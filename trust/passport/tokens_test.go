package passport

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/passport/passporttest"
)

const (
	idpURL    = "https://idp.example"
	sourceURL = "https://source.example"
	nodeURL   = "https://uhn.example"
	clientID  = "uhn-node"
)

// office is a verifier of tokens and those who sign them: a provider signs people
// in and gives passports, a source gives claims, and nobody trusts the stranger.
type office struct {
	idp, source, stranger *passporttest.Issuer

	view     *trust.View
	revoked  *trust.Revocations
	asked    []string // issuers asked for fresh keys
	refresh  func() bool
	verifier *Verifier
}

func newOffice(t testing.TB) *office {
	t.Helper()
	issuer := func(url string, key *rsa.PrivateKey) *passporttest.Issuer {
		i, err := passporttest.FromKey(url, "rsa1", key)
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	o := &office{idp: issuer(idpURL, brokerKey()), source: issuer(sourceURL, dacKey()), stranger: issuer("https://stranger.example", strangerKey())}
	o.trust(func(p *trust.IssuerPolicy) {})
	o.verifier = New(Options{
		View:    func() *trust.View { return o.view },
		Revoked: func() *trust.Revocations { return o.revoked },
		UnknownKey: func(_ context.Context, issuer string) bool {
			o.asked = append(o.asked, issuer)
			return o.refresh != nil && o.refresh()
		},
	})
	return o
}

// trust makes a new View, with the provider's policy changed.
func (o *office) trust(change func(*trust.IssuerPolicy)) {
	until := now.Add(24 * time.Hour)
	policy := trust.IssuerPolicy{Kinds: []trust.Kind{trust.KindLogin, trust.KindPassport, trust.KindVisa}, VisaTypes: []string{trust.VisaControlledAccessGrants}, Sources: []string{dacURL}}
	change(&policy)
	next := &trust.View{Revision: 1, Issuers: map[string]trust.IssuerView{
		idpURL:    o.idp.View(policy, until),
		sourceURL: o.source.View(trust.IssuerPolicy{Kinds: []trust.Kind{trust.KindClaims}}, until),
	}}
	if o.view != nil {
		next.Revision = o.view.Revision + 1
	}
	o.view = next
}

func (o *office) token(kind TokenKind, compact string, change ...func(*TokenRequest)) (TokenClaims, error) {
	req := TokenRequest{Kind: kind, Compact: compact, Issuer: idpURL, Audience: []string{nodeURL, clientID}, Now: now}
	switch kind {
	case AccessTokenJWT:
		req.Issuer, req.Scopes = "", []string{"openid", "ga4gh_passport_v1"}
	case IDToken:
		req.Audience, req.Nonce = []string{clientID}, "n-1"
	case ClaimsJWT:
		req.Issuer = sourceURL
	}
	for _, f := range change {
		f(&req)
	}
	return o.verifier.Token(context.Background(), req)
}

func (o *office) want(t *testing.T, name string, want trust.Reason, kind TokenKind, compact string, change ...func(*TokenRequest)) {
	t.Helper()
	claims, err := o.token(kind, compact, change...)
	if got := reasonOf(t, err); got != want {
		t.Errorf("%s: got %q (%v), want %q", name, got, err, want)
	}
	if refusal, ok := errors.AsType[*Refusal](err); ok && (refusal.Index != tokenRefused || claims.Payload != nil || !claims.IsZero() || !strings.HasPrefix(err.Error(), "token: ")) {
		t.Errorf("%s: %+v came with %+v", name, claims, refusal)
	}
}

// The tokens as they should be; tests lay other claims over them.
func (o *office) access(more ...passporttest.Claims) string {
	return o.idp.AccessToken(passporttest.AccessTokenClaims{
		Subject: "researcher", Audience: []string{nodeURL}, ID: "at-1", IssuedAt: now.Add(-time.Minute), Expires: now.Add(time.Hour), ClientID: "portal", More: all(more),
	})
}

func (o *office) id(more ...passporttest.Claims) string {
	return o.idp.IDToken(passporttest.IDTokenClaims{
		Subject: "researcher", Audience: []string{clientID}, Nonce: "n-1", IssuedAt: now.Add(-time.Minute), Expires: now.Add(time.Hour), More: all(more),
	})
}

func (o *office) userInfo(more ...passporttest.Claims) string {
	return o.idp.UserInfo(passporttest.DocumentClaims{Subject: "researcher", Audience: []string{clientID}, Visas: []string{"a.b.c"}, More: all(more)})
}

func (o *office) claims(more ...passporttest.Claims) string {
	return o.source.ClaimsJWT(passporttest.DocumentClaims{Subject: "source-7", IssuedAt: now.Add(-time.Minute), Expires: now.Add(time.Hour), Visas: []string{"a.b.c"}, More: all(more)})
}

func (o *office) introspection(more ...passporttest.Claims) string {
	m := passporttest.Claims{"iss": idpURL, "aud": clientID, "iat": now.Unix() - 60, "token_introspection": passporttest.Claims{"active": true}}
	maps.Copy(m, all(more))
	return o.idp.Sign(jose.Header{Type: "token-introspection+jwt"}, []byte(claims(without(m)).text()))
}

func all(more []passporttest.Claims) passporttest.Claims {
	m := passporttest.Claims{}
	for _, each := range more {
		maps.Copy(m, each)
	}
	return m
}

func without(m passporttest.Claims) map[string]any {
	maps.DeleteFunc(m, func(_ string, value any) bool { return value == nil })
	return m
}

func set(name string, value any) passporttest.Claims { return passporttest.Claims{name: value} }

func (o *office) make(kind TokenKind, more ...passporttest.Claims) string {
	switch kind {
	case AccessTokenJWT:
		return o.access(more...)
	case IDToken:
		return o.id(more...)
	case UserInfoJWT:
		return o.userInfo(more...)
	case ClaimsJWT:
		return o.claims(more...)
	}
	return o.introspection(more...)
}

var tokenKinds = []TokenKind{AccessTokenJWT, IDToken, UserInfoJWT, ClaimsJWT, IntrospectionJWT}

// Row 66: what a good token of each kind gives.
func TestGoodTokens(t *testing.T) {
	o := newOffice(t)
	for kind, want := range map[TokenKind]TokenClaims{
		AccessTokenJWT: {Identity: trust.Identity{Issuer: idpURL, Subject: "researcher"}, IssuedAt: now.Add(-time.Minute), Expires: now.Add(time.Hour),
			ID: "at-1", Audience: []string{nodeURL}, Scope: []string{"openid", "ga4gh_passport_v1"}, ClientID: "portal"},
		IDToken:          {Identity: trust.Identity{Issuer: idpURL, Subject: "researcher"}, IssuedAt: now.Add(-time.Minute), Expires: now.Add(time.Hour), Audience: []string{clientID}},
		UserInfoJWT:      {Identity: trust.Identity{Issuer: idpURL, Subject: "researcher"}, Expires: now.Add(time.Hour), Audience: []string{clientID}},
		ClaimsJWT:        {Identity: trust.Identity{Issuer: sourceURL, Subject: "source-7"}, IssuedAt: now.Add(-time.Minute), Expires: now.Add(time.Hour)},
		IntrospectionJWT: {Identity: trust.Identity{Issuer: idpURL}, IssuedAt: now.Add(-time.Minute), Expires: now.Add(59 * time.Minute), Audience: []string{clientID}},
	} {
		compact := o.make(kind)
		got, err := o.token(kind, compact)
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		if got.Identity != want.Identity || !got.IssuedAt.Equal(want.IssuedAt) || !got.Expires.Equal(want.Expires) || got.ID != want.ID || got.ClientID != want.ClientID ||
			strings.Join(got.Audience, " ") != strings.Join(want.Audience, " ") || strings.Join(got.Scope, " ") != strings.Join(want.Scope, " ") || !got.Confirmation.IsZero() {
			t.Errorf("%s: %+v", kind, got)
		}
		payload, _ := base64.RawURLEncoding.DecodeString(strings.Split(compact, ".")[1])
		if string(got.Payload) != string(payload) || got.Digest != trust.DigestOfString(compact) || got.Key == "" {
			t.Errorf("%s: %+v", kind, got)
		}
	}
	if len(o.asked) != 0 {
		t.Errorf("%v were asked for keys", o.asked)
	}
}

// Rows 66, 67 and 105: each claim of an access token, missing and wrong.
func TestAccessTokens(t *testing.T) {
	o := newOffice(t)
	plain := func(c passporttest.AccessTokenClaims) string {
		c.Subject, c.IssuedAt, c.Expires = "researcher", now, now.Add(time.Hour)
		return o.idp.AccessToken(c)
	}
	for name, each := range map[string]struct {
		token string
		want  trust.Reason
	}{
		"at+jwt":                    {o.access(), ""},
		"typ JWT":                   {plain(passporttest.AccessTokenClaims{Type: "JWT"}), ""},
		"media type":                {plain(passporttest.AccessTokenClaims{Type: "application/AT+jwt"}), ""},
		"no typ":                    {o.idp.Sign(jose.Header{}, []byte(`{}`)), trust.ReasonWrongType},
		"no iss":                    {o.access(set("iss", nil)), trust.ReasonMissingClaim},
		"no sub":                    {o.access(set("sub", nil)), trust.ReasonMissingClaim},
		"no iat":                    {o.access(set("iat", nil)), trust.ReasonMissingClaim},
		"no exp":                    {o.access(set("exp", nil)), trust.ReasonMissingClaim},
		"no scope":                  {o.access(set("scope", nil)), trust.ReasonScope},
		"no scope, typ JWT":         {plain(passporttest.AccessTokenClaims{Type: "JWT", Scope: "-"}), trust.ReasonMissingClaim},
		"scope empty":               {o.access(set("scope", "")), trust.ReasonScope},
		"scope without openid":      {o.access(set("scope", "ga4gh_passport_v1")), trust.ReasonScope},
		"scope without passports":   {o.access(set("scope", "openid profile")), trust.ReasonScope},
		"scope not whole words":     {o.access(set("scope", "openid ga4gh_passport_v12")), trust.ReasonScope},
		"scope with tabs":           {o.access(set("scope", "openid\tga4gh_passport_v1")), trust.ReasonScope},
		"scope in another case":     {o.access(set("scope", "OpenID ga4gh_passport_v1")), trust.ReasonScope},
		"scope with more":           {o.access(set("scope", "email  ga4gh_passport_v1 openid ")), ""},
		"scope as an array":         {o.access(set("scope", []string{"openid", "ga4gh_passport_v1"})), trust.ReasonScope},
		"scope as a number":         {o.access(set("scope", 1)), trust.ReasonBadClaim},
		"sub empty":                 {o.access(set("sub", "")), trust.ReasonBadClaim},
		"sub is a number":           {o.access(set("sub", 7)), trust.ReasonBadClaim},
		"sub turns around":          {o.access(set("sub", "a\u202eb")), trust.ReasonBadClaim},
		"sub too long":              {o.access(set("sub", strings.Repeat("s", 256))), trust.ReasonBadClaim},
		"jti is a number":           {o.access(set("jti", 7)), trust.ReasonBadClaim},
		"jti empty":                 {o.access(set("jti", "")), trust.ReasonBadClaim},
		"exp is text":               {o.access(set("exp", "1900000000")), trust.ReasonBadTime},
		"exp is 0":                  {o.access(set("exp", 0)), trust.ReasonBadTime},
		"exp in milliseconds":       {o.access(set("exp", now.UnixMilli())), trust.ReasonBadTime},
		"exp now":                   {o.access(set("exp", now.Unix())), trust.ReasonExpired},
		"exp a second later":        {o.access(set("exp", now.Unix()+1)), ""},
		"iat a little ahead":        {o.access(set("iat", now.Unix()+30)), ""},
		"iat ahead":                 {o.access(set("iat", now.Unix()+31)), trust.ReasonNotYetValid},
		"nbf ahead":                 {o.access(set("nbf", now.Unix()+31)), trust.ReasonNotYetValid},
		"a passport inside, row 67": {o.access(set("ga4gh_passport_v1", []string{})), trust.ReasonWrongType},
		"a visa inside, row 67":     {o.access(set("ga4gh_visa_v1", passporttest.Claims{})), trust.ReasonWrongType},
		"nonce":                     {o.access(set("nonce", "n")), trust.ReasonWrongType},
		"aud of another":            {o.access(set("aud", "https://bcgsc.example")), trust.ReasonAudience},
		"aud empty":                 {o.access(set("aud", []string{})), trust.ReasonAudience},
		"aud empty text":            {o.access(set("aud", "")), trust.ReasonAudience},
		"aud null":                  {o.idp.Sign(jose.Header{Type: "at+jwt"}, []byte(`{"iss":"`+idpURL+`","sub":"s","iat":1800000000,"exp":1800000060,"scope":"openid ga4gh_passport_v1","aud":null}`)), trust.ReasonBadClaim},
		"aud as text":               {o.access(set("aud", clientID)), ""},
		"aud among others":          {o.access(set("aud", []string{"x", nodeURL})), ""},
		"aud decides over azp":      {o.access(set("azp", "portal")), ""},
		"our client":                {o.access(set("aud", nil), set("client_id", clientID)), ""},
		"our client as azp":         {o.access(set("aud", nil), set("client_id", nil), set("azp", clientID)), ""},
		"another client":            {o.access(set("aud", nil)), trust.ReasonAudience},
		"another client as azp":     {o.access(set("aud", nil), set("client_id", clientID), set("azp", "portal")), trust.ReasonAudience},
		"for nobody":                {o.access(set("aud", nil), set("client_id", nil)), ""},
		"cnf of an unknown kind":    {o.access(set("cnf", passporttest.Claims{"jwk": passporttest.Claims{}})), trust.ReasonUnsupportedToken},
		"cnf empty":                 {o.access(set("cnf", passporttest.Claims{})), trust.ReasonUnsupportedToken},
		"cnf is text":               {o.access(set("cnf", "jkt")), trust.ReasonUnsupportedToken},
		"of a stranger":             {o.stranger.AccessToken(passporttest.AccessTokenClaims{Subject: "s", IssuedAt: now, Expires: now.Add(time.Hour)}), trust.ReasonUntrustedIssuer},
		"of a source of claims":     {o.source.AccessToken(passporttest.AccessTokenClaims{Subject: "s", IssuedAt: now, Expires: now.Add(time.Hour)}), trust.ReasonUntrustedIssuer},
		"not a token":               {"opaque", trust.ReasonMalformed},
		"too large":                 {o.access(set("x", strings.Repeat("x", maxTokenBytes))), trust.ReasonTooLarge},
		"in the provider's name":    {o.stranger.AccessToken(passporttest.AccessTokenClaims{Subject: "s", IssuedAt: now, Expires: now.Add(time.Hour), More: set("iss", idpURL)}), trust.ReasonSignature},
		"with an empty payload":     {o.idp.Sign(jose.Header{Type: "at+jwt"}, []byte(`null`)), trust.ReasonMalformed},
	} {
		o.want(t, name, each.want, AccessTokenJWT, each.token)
	}
	scopes := func(words ...string) func(*TokenRequest) { return func(r *TokenRequest) { r.Scopes = words } }
	o.want(t, "who it is needs no scope", "", AccessTokenJWT, o.access(set("scope", nil)), scopes())
	o.want(t, "one scope", "", AccessTokenJWT, o.access(set("scope", "openid")), scopes("openid"))
	o.want(t, "a caller's token is looked up", trust.ReasonUntrustedIssuer, AccessTokenJWT, o.access(), func(r *TokenRequest) { r.Issuer = sourceURL })
	o.want(t, "no kind", trust.ReasonUnsupportedToken, "passport", o.access())

	o.trust(func(p *trust.IssuerPolicy) { p.ScopeArray = true })
	o.want(t, "scope as an array, allowed, row 66", "", AccessTokenJWT, o.access(set("scope", []string{"openid", "ga4gh_passport_v1"})))
	o.want(t, "one element is one word", trust.ReasonScope, AccessTokenJWT, o.access(set("scope", []string{"openid ga4gh_passport_v1"})))
	o.want(t, "an element is no word", trust.ReasonBadClaim, AccessTokenJWT, o.access(set("scope", []any{"openid", 1})))
	o.trust(func(p *trust.IssuerPolicy) { p.RequireAud = true })
	o.want(t, "for nobody, where aud is wanted", trust.ReasonUnbound, AccessTokenJWT, o.access(set("aud", nil), set("client_id", nil)))
	o.want(t, "for our client, where aud is wanted", "", AccessTokenJWT, o.access(set("aud", nil), set("client_id", clientID)))
	o.trust(func(p *trust.IssuerPolicy) { p.Kinds = []trust.Kind{trust.KindVisa} })
	o.want(t, "of an issuer of visas", trust.ReasonUntrustedIssuer, AccessTokenJWT, o.access())
}

// OpenID Connect Core 1.0, section 3.1.3.7: an ID token for this sign-in, new, and
// for this client.
func TestIDTokens(t *testing.T) {
	o := newOffice(t)
	sum := sha256.Sum256([]byte("access"))
	hash := base64.RawURLEncoding.EncodeToString(sum[:16])
	for name, each := range map[string]struct {
		token string
		want  trust.Reason
	}{
		"good":                        {o.id(), ""},
		"no typ":                      {o.idp.Sign(jose.Header{}, []byte(`{"iss":"`+idpURL+`","sub":"s","aud":"`+clientID+`","nonce":"n-1","iat":1800000000,"exp":1800000060}`)), ""},
		"another nonce":               {o.id(set("nonce", "n-2")), trust.ReasonBadClaim},
		"no nonce":                    {o.id(set("nonce", nil)), trust.ReasonBadClaim},
		"another client":              {o.id(set("aud", "portal")), trust.ReasonAudience},
		"the node and not the client": {o.id(set("aud", nodeURL)), trust.ReasonAudience},
		"no aud":                      {o.id(set("aud", nil)), trust.ReasonMissingClaim},
		"several, nobody asked":       {o.id(set("aud", []string{clientID, "x"})), trust.ReasonAudience},
		"several, we asked":           {o.id(set("aud", []string{clientID, "x"}), set("azp", clientID)), ""},
		"another asked":               {o.id(set("azp", "x")), trust.ReasonAudience},
		"no sub":                      {o.id(set("sub", nil)), trust.ReasonMissingClaim},
		"no iat":                      {o.id(set("iat", nil)), trust.ReasonMissingClaim},
		"no exp":                      {o.id(set("exp", nil)), trust.ReasonMissingClaim},
		"ten minutes old":             {o.id(set("iat", now.Unix()-600)), ""},
		"older":                       {o.id(set("iat", now.Unix()-601)), trust.ReasonExpired},
		"expired":                     {o.id(set("exp", now.Unix())), trust.ReasonExpired},
		"hash of the access token":    {o.id(set("at_hash", hash)), ""},
		"hash of another":             {o.id(set("at_hash", hash[:21]+"A")), trust.ReasonBadClaim},
		"a logout token":              {o.id(set("events", passporttest.Claims{})), trust.ReasonWrongType},
		"with a scope":                {o.id(set("scope", "openid")), trust.ReasonWrongType},
	} {
		o.want(t, name, each.want, IDToken, each.token, func(r *TokenRequest) { r.Access = trust.NewAccessToken("access") })
	}
	device := func(r *TokenRequest) { r.Nonce = "" }
	o.want(t, "of a device, without nonce", "", IDToken, o.id(set("nonce", nil)), device)
	o.want(t, "of a device, with the nonce of another sign-in", trust.ReasonBadClaim, IDToken, o.id(), device)
	o.want(t, "of a device, with an empty nonce", trust.ReasonBadClaim, IDToken, o.id(set("nonce", "")), device)
	o.want(t, "nobody asked", trust.ReasonUntrustedIssuer, IDToken, o.id(), func(r *TokenRequest) { r.Issuer = "" })
	o.want(t, "for no client", trust.ReasonAudience, IDToken, o.id(set("aud", "")), func(r *TokenRequest) { r.Audience = []string{""} })
	o.trust(func(p *trust.IssuerPolicy) { p.Kinds = []trust.Kind{trust.KindPassport} })
	o.want(t, "of an issuer that signs nobody in", trust.ReasonUntrustedIssuer, IDToken, o.id())
}

// Rows 68, 69, 85 and 86: the signed answers of providers and of sources of claims.
func TestSignedAnswers(t *testing.T) {
	o := newOffice(t)
	many := make([]string, maxVisas+1)
	for name, each := range map[string]struct {
		kind  TokenKind
		token string
		want  trust.Reason
	}{
		"UserInfo with times":           {UserInfoJWT, o.userInfo(set("exp", now.Unix()+1), set("iat", now.Unix())), ""},
		"UserInfo for anybody":          {UserInfoJWT, o.userInfo(set("aud", nil)), ""},
		"UserInfo of another client":    {UserInfoJWT, o.userInfo(set("aud", "portal")), trust.ReasonAudience},
		"UserInfo without sub":          {UserInfoJWT, o.userInfo(set("sub", nil)), trust.ReasonMissingClaim},
		"UserInfo without iss":          {UserInfoJWT, o.userInfo(set("iss", nil)), ""}, // it is of whom was asked, by the key
		"UserInfo with an empty iss":    {UserInfoJWT, o.userInfo(set("iss", "")), trust.ReasonBadClaim},
		"UserInfo of another":           {UserInfoJWT, o.userInfo(set("iss", sourceURL)), trust.ReasonUntrustedIssuer},
		"UserInfo, expired":             {UserInfoJWT, o.userInfo(set("exp", now.Unix())), trust.ReasonExpired},
		"UserInfo without exp, old":     {UserInfoJWT, o.userInfo(set("iat", now.Unix()-3600)), trust.ReasonExpired},
		"UserInfo without exp, not old": {UserInfoJWT, o.userInfo(set("iat", now.Unix()-3599)), ""},
		"UserInfo with too many visas":  {UserInfoJWT, o.userInfo(set("ga4gh_passport_v1", many)), trust.ReasonTooMany},
		"UserInfo unsigned":             {UserInfoJWT, "eyJhbGciOiJub25lIn0.e30.", trust.ReasonMalformed},
		"UserInfo alg none":             {UserInfoJWT, "eyJhbGciOiJub25lIn0.e30.AA", trust.ReasonAlgorithm},
		"UserInfo of a larger kind":     {UserInfoJWT, o.userInfo(set("x", strings.Repeat("x", 2*maxTokenBytes))), ""},

		"claims without sub, row 85": {ClaimsJWT, o.claims(set("sub", nil)), ""},
		"claims without iss, row 86": {ClaimsJWT, o.claims(set("iss", nil)), trust.ReasonMissingClaim},
		"claims of another, row 86":  {ClaimsJWT, o.claims(set("iss", idpURL)), trust.ReasonUntrustedIssuer},
		"claims without any time":    {ClaimsJWT, o.claims(set("iat", nil), set("exp", nil)), trust.ReasonMissingClaim},
		"claims with exp alone":      {ClaimsJWT, o.claims(set("iat", nil)), ""},
		"claims with iat alone":      {ClaimsJWT, o.claims(set("exp", nil)), ""},
		"claims with iat alone, old": {ClaimsJWT, o.claims(set("exp", nil), set("iat", now.Unix()-3600)), trust.ReasonExpired},
		"claims, expired":            {ClaimsJWT, o.claims(set("exp", now.Unix())), trust.ReasonExpired},
		"claims for another":         {ClaimsJWT, o.claims(set("aud", "portal")), trust.ReasonAudience},
		"claims for us":              {ClaimsJWT, o.claims(set("aud", clientID)), ""},

		"introspection without aud":    {IntrospectionJWT, o.introspection(set("aud", nil)), trust.ReasonMissingClaim},
		"introspection for another":    {IntrospectionJWT, o.introspection(set("aud", "portal")), trust.ReasonAudience},
		"introspection without iat":    {IntrospectionJWT, o.introspection(set("iat", nil)), trust.ReasonMissingClaim},
		"introspection, old":           {IntrospectionJWT, o.introspection(set("iat", now.Unix()-601)), trust.ReasonExpired},
		"introspection without answer": {IntrospectionJWT, o.introspection(set("token_introspection", nil)), trust.ReasonMissingClaim},
		"introspection of another":     {IntrospectionJWT, o.introspection(set("iss", sourceURL)), trust.ReasonUntrustedIssuer},
	} {
		o.want(t, name, each.want, each.kind, each.token)
	}
	for _, kind := range []TokenKind{UserInfoJWT, ClaimsJWT, IntrospectionJWT} {
		o.want(t, "nobody was asked", trust.ReasonUntrustedIssuer, kind, o.make(kind), func(r *TokenRequest) { r.Issuer = "" })
	}
	o.want(t, "a provider is no source", trust.ReasonUntrustedIssuer, ClaimsJWT, o.userInfo(), func(r *TokenRequest) { r.Issuer = idpURL })
}

// Rows 62 and 100 to 107, for every kind: whatever is wrong with passports is wrong
// with all other tokens, for the same reader opens them.
func TestEveryKindIsReadStrictly(t *testing.T) {
	for _, kind := range tokenKinds {
		o := newOffice(t)
		typ := map[TokenKind]string{AccessTokenJWT: "at+jwt", IntrospectionJWT: "token-introspection+jwt"}[kind]
		if typ == "" {
			typ = "JWT"
		}
		key, issuer, good := brokerKey(), idpURL, o.make(kind)
		if kind == ClaimsJWT {
			key, issuer = dacKey(), sourceURL
		}
		payload, _ := base64.RawURLEncoding.DecodeString(strings.Split(good, ".")[1])
		text := string(payload)
		unnamed := trust.ReasonMissingClaim
		if kind == UserInfoJWT {
			unnamed = "" // it may do without iss
		}
		header := func(more string) string { return `{"alg":"RS256","kid":"rsa1","typ":"` + typ + `"` + more + `}` }
		for name, each := range map[string]struct {
			token string
			want  trust.Reason
		}{
			"good":                   {raw(key, header(""), text), ""},
			"row 101 none":           {raw(key, `{"alg":"none","kid":"rsa1","typ":"`+typ+`"}`, text), trust.ReasonAlgorithm},
			"row 101 HS256":          {raw(key, `{"alg":"HS256","kid":"rsa1","typ":"`+typ+`"}`, text), trust.ReasonAlgorithm},
			"row 100 another alg":    {raw(key, `{"alg":"ES256","kid":"rsa1","typ":"`+typ+`"}`, text), trust.ReasonAlgorithm},
			"row 102 crit":           {raw(key, header(`,"crit":["exp"]`), text), trust.ReasonHeader},
			"row 103 iss twice":      {raw(key, header(""), `{"iss":"`+issuer+`",`+text[1:]), trust.ReasonMalformed},
			"row 104 its own key":    {raw(strangerKey(), header(`,"jwk":`+string(jwkOf(t, strangerKey()))), text), trust.ReasonSignature},
			"row 107 more behind":    {raw(key, header(""), text+"{}"), trust.ReasonMalformed},
			"row 107 padding":        {good + "=", trust.ReasonMalformed},
			"no kid":                 {raw(key, `{"alg":"RS256","typ":"`+typ+`"}`, text), trust.ReasonHeader},
			"another kid":            {raw(key, `{"alg":"RS256","kid":"rsa2","typ":"`+typ+`"}`, text), trust.ReasonUnknownKey},
			"another key":            {raw(strangerKey(), header(""), text), trust.ReasonSignature},
			"row 106 deep":           {raw(key, header(""), `{"x":`+strings.Repeat("[", 5000)+strings.Repeat("]", 5000)+","+text[1:]), trust.ReasonMalformed},
			"row 103 Iss is not iss": {raw(key, header(""), strings.Replace(text, `"iss"`, `"Iss"`, 1)), unnamed},
			"iss in another case":    {raw(key, header(""), strings.Replace(text, `"iss":"https`, `"iss":"HTTPS`, 1)), trust.ReasonUntrustedIssuer},
		} {
			o.want(t, string(kind)+", "+name, each.want, kind, each.token)
		}
		claims, err := o.token(kind, good)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range []trust.Revocation{
			{Kind: trust.RevokeToken, Token: claims.Digest}, {Kind: trust.RevokeKey, Key: claims.Key}, {Kind: trust.RevokeIssuer, Issuer: claims.Issuer},
			{Kind: trust.RevokeIdentity, Issuer: claims.Issuer, Subject: claims.Subject}, {Kind: trust.RevokeJTI, JTI: claims.ID},
		} {
			want := trust.ReasonRevoked
			if r.Kind == trust.RevokeJTI && claims.ID == "" {
				want = "" // no token without a jti is meant
			}
			o.revoked = trust.NewRevocations(1, []trust.Revocation{r})
			o.want(t, string(kind)+", revoked "+string(r.Kind), want, kind, good)
		}
		o.revoked = trust.NewRevocations(2, []trust.Revocation{{Kind: trust.RevokeIdentity, Issuer: claims.Issuer, Subject: "another"}, {Kind: trust.RevokeJTI, JTI: "another"}})
		o.want(t, string(kind)+", others are revoked", "", kind, good)
	}
}

func jwkOf(t *testing.T, key *rsa.PrivateKey) []byte {
	t.Helper()
	set, err := jose.MarshalKeySet([]trust.Key{{Public: key.Public()}})
	if err != nil {
		t.Fatal(err)
	}
	return []byte(strings.TrimSuffix(strings.TrimPrefix(string(set), `{"keys":[`), `]}`))
}

// A token that names a key that is not known makes the node ask once, and only an issuer
// that is trusted for its kind.
func TestUnknownKeyOfToken(t *testing.T) {
	for _, kind := range tokenKinds {
		o := newOffice(t)
		issuer := o.idp
		if kind == ClaimsJWT {
			issuer = o.source
		}
		if err := issuer.Rotate(jose.ES256, "two"); err != nil {
			t.Fatal(err)
		}
		token := o.make(kind)
		o.want(t, string(kind), trust.ReasonUnknownKey, kind, token)
		if len(o.asked) != 1 || o.asked[0] != issuer.URL {
			t.Errorf("%s: %v were asked", kind, o.asked)
		}
		o.refresh = func() bool { o.trust(func(*trust.IssuerPolicy) {}); return true }
		o.want(t, string(kind)+" after the refresh", "", kind, token)
		if len(o.asked) != 2 {
			t.Errorf("%s: %v were asked", kind, o.asked)
		}
		issuer.Withdraw("two")
		o.trust(func(*trust.IssuerPolicy) {})
		o.want(t, string(kind)+" withdrawn", trust.ReasonUnknownKey, kind, token)
		if len(o.asked) != 3 {
			t.Errorf("%s: asked %d times in one request", kind, len(o.asked)-2)
		}
	}
	o := newOffice(t)
	o.want(t, "a stranger", trust.ReasonUntrustedIssuer, AccessTokenJWT, o.stranger.AccessToken(passporttest.AccessTokenClaims{Subject: "s", IssuedAt: now, Expires: now.Add(time.Hour)}))
	o.verifier = New(Options{View: func() *trust.View { return o.view }})
	if err := o.idp.Rotate(jose.ES256, "three"); err != nil {
		t.Fatal(err)
	}
	o.want(t, "nobody to ask", trust.ReasonUnknownKey, AccessTokenJWT, o.access())
	if len(o.asked) != 0 {
		t.Errorf("%v were asked", o.asked)
	}
	// The key's evidence ends before the token does.
	o = newOffice(t)
	o.view.Issuers[idpURL].Keys[0].Until = now.Add(time.Minute)
	if claims, err := o.token(AccessTokenJWT, o.access()); err != nil || !claims.Expires.Equal(now.Add(time.Minute)) {
		t.Errorf("%v %v", claims.Expires, err)
	}
}

// Rows 109 and 110; V098: a token that is bound to a key is good only with that key.
func TestTokensBoundToKeys(t *testing.T) {
	o := newOffice(t)
	const jkt, x5t = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I", "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"
	byProof, byCertificate := set("cnf", trust.Confirmation{JKT: jkt}), set("cnf", trust.Confirmation{X5T: x5t})
	both := set("cnf", trust.Confirmation{JKT: jkt, X5T: x5t})
	for name, each := range map[string]struct {
		bound  passporttest.Claims
		proven trust.Proven
		want   trust.Reason
	}{
		"by proof":                           {byProof, trust.Proven{JKT: jkt}, ""},
		"V098 bound token as Bearer":         {byProof, trust.Proven{}, trust.ReasonNotProven},
		"proof of another key":               {byProof, trust.Proven{JKT: x5t}, trust.ReasonNotProven},
		"certificate instead of proof":       {byProof, trust.Proven{X5T: jkt}, trust.ReasonNotProven},
		"by certificate":                     {byCertificate, trust.Proven{X5T: x5t}, ""},
		"another certificate":                {byCertificate, trust.Proven{X5T: jkt}, trust.ReasonNotProven},
		"no certificate":                     {byCertificate, trust.Proven{}, trust.ReasonNotProven},
		"by both":                            {both, trust.Proven{JKT: jkt, X5T: x5t}, ""},
		"by one of both":                     {both, trust.Proven{JKT: jkt}, trust.ReasonNotProven},
		"bound to none":                      {nil, trust.Proven{}, ""},
		"bound to none, with a certificate":  {nil, trust.Proven{X5T: x5t}, ""},
		"bound to none, with a proof":        {nil, trust.Proven{JKT: jkt}, trust.ReasonNotProven},
		"bound to a certificate, with proof": {byCertificate, trust.Proven{JKT: jkt, X5T: x5t}, trust.ReasonNotProven},
	} {
		o.want(t, name, each.want, AccessTokenJWT, o.access(each.bound), func(r *TokenRequest) { r.Proven = each.proven })
	}
	claims, err := o.token(AccessTokenJWT, o.access(byProof), func(r *TokenRequest) { r.Proven.JKT = jkt })
	if err != nil || claims.Confirmation.JKT != jkt {
		t.Errorf("%+v %v", claims.Confirmation, err)
	}
	// The node's own fetches are proven by nobody's key, and must not be refused for it.
	for _, kind := range []TokenKind{IDToken, UserInfoJWT, ClaimsJWT, IntrospectionJWT} {
		o.want(t, string(kind), "", kind, o.make(kind), func(r *TokenRequest) { r.Proven.JKT = jkt })
	}
}
