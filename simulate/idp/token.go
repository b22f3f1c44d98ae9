package idp

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// The grants of the token endpoint.
const (
	grantCode     = "authorization_code"
	grantRefresh  = "refresh_token"
	grantDevice   = "urn:ietf:params:oauth:grant-type:device_code"
	grantExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
)

type tokenKind int

const (
	accessToken tokenKind = iota
	refreshToken
	visaToken // a visa that is an access token too
)

// token is what the issuer remembers of one that it gave out.
type token struct {
	kind     tokenKind
	client   string
	subject  string
	scope    []string
	audience []string
	resource string
	jkt      string // the DPoP key that it is bound to
	issued   time.Time
	expires  time.Time
	family   string // one sign-in; all of it ends together
	used     bool   // a refresh token that was rotated
}

// call is one request to the token endpoint, after client authentication.
type call struct {
	client Client
	form   url.Values
	jkt    string // of a good DPoP proof
}

// signIn is what tokens are issued for.
type signIn struct {
	subject, nonce, resource, family string
	scope                            []string
}

func (p *provider) token(w http.ResponseWriter, r *http.Request) {
	reply, err := p.tokenReply(r)
	if err != nil {
		writeRefusal(w, err)
		return
	}
	writeJSON(w, http.StatusOK, reply)
}

func (p *provider) tokenReply(r *http.Request) (map[string]any, error) {
	if err := r.ParseForm(); err != nil {
		return nil, refuse("invalid_request", "the form cannot be read")
	}
	for name, values := range r.PostForm {
		if len(values) > 1 && name != "resource" && name != "audience" {
			return nil, refuse("invalid_request", "%.40s comes twice", name)
		}
	}
	client, err := p.authenticate(r)
	if err != nil {
		return nil, err
	}
	c := call{client: client, form: r.PostForm}
	if c.jkt, err = p.proof(r, ""); err != nil {
		return nil, err
	}
	switch grant := c.form.Get("grant_type"); grant {
	case grantCode:
		return p.redeemCode(c)
	case grantRefresh:
		return p.refresh(c)
	case grantDevice:
		return p.redeemDevice(c)
	case grantExchange:
		return p.exchange(c)
	default:
		return nil, refuse("unsupported_grant_type", "%.60q is not served", grant)
	}
}

// issue gives an access token, an ID token and a refresh token.
func (p *provider) issue(c call, s signIn) (map[string]any, error) {
	b, now, life := p.is(), p.now(), p.life()
	if resource := c.form.Get("resource"); resource != "" {
		s.resource = resource
	}
	t := &token{
		client: c.client.ID, subject: s.subject, scope: s.scope, resource: s.resource, jkt: c.jkt,
		issued: now, expires: now.Add(life), family: s.family,
	}
	var err error
	if t.audience, err = c.client.audience(s.resource); err != nil {
		return nil, err
	}
	access, err := p.mint(t)
	if err != nil {
		return nil, err
	}
	reply := map[string]any{
		"access_token": access, "token_type": "Bearer", "expires_in": int(life / time.Second), "scope": strings.Join(s.scope, " "),
	}
	if t.jkt != "" {
		reply["token_type"] = "DPoP"
	}
	if reply["id_token"], err = p.idToken(t, s.nonce); err != nil {
		return nil, err
	}
	if !b.NoRefresh {
		refresh := random()
		again := *t
		again.kind, again.expires = refreshToken, now.Add(refreshLife)
		p.remember(refresh, &again)
		reply["refresh_token"] = refresh
	}
	return reply, nil
}

// life is how long access tokens live.
func (p *provider) life() time.Duration {
	if life := p.is().TokenLife; life != 0 {
		return life
	}
	return Life
}

// audience is the aud of an access token for resource.
func (c Client) audience(resource string) ([]string, error) {
	switch aud, ok := c.Resources[resource]; {
	case resource != "" && !ok:
		return nil, refuse("invalid_target", "the client has no such resource")
	case ok && aud != "":
		return []string{aud}, nil
	case ok:
		return []string{resource}, nil
	case len(c.Audience) > 0:
		return c.Audience, nil
	}
	return []string{c.ID}, nil
}

// mint makes the access token that t describes, and remembers it.
func (p *provider) mint(t *token) (string, error) {
	b := p.is()
	if b.OpaqueTokens {
		text := random()
		p.remember(text, t)
		return text, nil
	}
	claims := map[string]any{
		"sub": t.subject, "aud": audienceClaim(t.audience), "client_id": t.client, "scope": strings.Join(t.scope, " "),
		"iat": t.issued.Unix(), "exp": t.expires.Unix(),
	}
	if t.jkt != "" {
		claims["cnf"] = map[string]any{"jkt": t.jkt}
	}
	if b.TokenClaims != nil {
		b.TokenClaims(claims)
	}
	text, err := p.server.sign(p.name, typeAccess, t.issued, claims)
	if err == nil {
		p.remember(text, t)
	}
	return text, err
}

// audienceClaim writes one audience as a string, as most providers do.
func audienceClaim(audience []string) any {
	if len(audience) == 1 {
		return audience[0]
	}
	return audience
}

func (p *provider) idToken(t *token, nonce string) (string, error) {
	claims := map[string]any{}
	if r, ok := p.researcher(t.subject); ok {
		maps.Copy(claims, r.Claims)
	}
	claims["sub"], claims["aud"], claims["auth_time"] = t.subject, t.client, t.issued.Unix()
	if nonce != "" {
		claims["nonce"] = nonce
	}
	if b := p.is(); b.IDTokenClaims != nil {
		b.IDTokenClaims(claims)
	}
	return p.server.sign(p.name, typeJWT, t.issued, claims)
}

// refresh answers grant_type=refresh_token. Each one is good once: another use
// means that it was stolen, and ends the sign-in (RFC 9700, section 4.14.2).
func (p *provider) refresh(c call) (map[string]any, error) {
	p.mu.Lock()
	t, ok := p.tokens[c.form.Get("refresh_token")]
	ok = ok && t.kind == refreshToken && t.client == c.client.ID && p.now().Before(t.expires)
	again := ok && t.used
	if ok && (t.jkt == "" || t.jkt == c.jkt) {
		t.used = true
	} else {
		ok = false
	}
	p.mu.Unlock()
	if again {
		p.endFamily(t.family)
	}
	if !ok || again {
		return nil, refuse("invalid_grant", "the refresh token is unknown, used or too old")
	}
	scope := t.scope
	if asked := words(c.form.Get("scope")); len(asked) > 0 {
		if slices.ContainsFunc(asked, func(word string) bool { return !slices.Contains(t.scope, word) }) {
			return nil, refuse("invalid_scope", "more was asked for than was given")
		}
		scope = asked
	}
	return p.issue(c, signIn{subject: t.subject, scope: scope, resource: t.resource, family: t.family})
}

// remember keeps a token, and forgets those that have run out.
func (p *provider) remember(text string, t *token) {
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.tokens, func(_ string, old *token) bool { return now.After(old.expires.Add(Life)) })
	p.tokens[text] = t
}

func (p *provider) endFamily(family string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.tokens, func(_ string, t *token) bool { return t.family == family && family != "" })
}

// good finds a token that is good now.
func (p *provider) good(text string, kinds ...tokenKind) (*token, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, ok := p.tokens[text]
	if !ok || !slices.Contains(kinds, t.kind) || !p.now().Before(t.expires) || t.used {
		return nil, false
	}
	return t, true
}

// AccessToken gives an access token of a researcher without any flow, for client
// and with these scopes; none: openid and ga4gh_passport_v1.
func (s *Server) AccessToken(issuer, subject, client string, scopes ...string) (string, error) {
	p, err := s.provider(issuer)
	if err != nil {
		return "", err
	}
	if len(scopes) == 0 {
		scopes = []string{scopeOpenID, claimPassport}
	}
	c, ok := p.client(client)
	if !ok {
		c = Client{ID: client}
	}
	now := p.now()
	t := &token{client: client, subject: subject, scope: scopes, issued: now, expires: now.Add(p.life()), family: random()}
	if t.audience, err = c.audience(""); err != nil {
		return "", err
	}
	return p.mint(t)
}

// Revoke makes an issuer forget a token: an access token, a refresh token or a visa
// in the form of an access token.
func (s *Server) Revoke(issuer, text string) error {
	p, err := s.provider(issuer)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.tokens, text)
	return nil
}
