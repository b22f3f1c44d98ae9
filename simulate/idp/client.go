package idp

import (
	"crypto/subtle"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// noClient is the answer to a client that did not say who it is (RFC 6749,
// section 5.2).
func noClient(about string) *refusal {
	return &refusal{http.StatusUnauthorized, "invalid_client", about}
}

// authenticate tells which client asks. A public client names itself; any other
// proves it, in the one way that it is registered for.
func (p *provider) authenticate(r *http.Request) (Client, error) {
	id, secret, basic := r.BasicAuth()
	assertion := r.PostForm.Get("client_assertion")
	switch {
	case basic && assertion != "":
		return Client{}, refuse("invalid_request", "one way of client authentication at a time")
	case assertion != "":
		return p.assertedClient(r)
	case basic:
		id, secret = unescape(id), unescape(secret) // RFC 6749, section 2.3.1
	default:
		id = r.PostForm.Get("client_id")
	}
	client, known := p.client(id)
	switch {
	case !known:
		return Client{}, noClient("no such client")
	case basic && client.Secret != "" && subtle.ConstantTimeCompare([]byte(secret), []byte(client.Secret)) == 1:
		return client, nil
	case !basic && client.public():
		return client, nil
	}
	return Client{}, noClient("the client did not prove who it is")
}

func (p *provider) client(id string) (Client, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, ok := p.clients[id]
	return c, ok
}

func unescape(text string) string {
	if plain, err := url.QueryUnescape(text); err == nil {
		return plain
	}
	return text
}

// assertedClient checks private_key_jwt (OpenID Connect Core 1.0, section 9; RFC
// 7523, section 3).
func (p *provider) assertedClient(r *http.Request) (Client, error) {
	if r.PostForm.Get("client_assertion_type") != assertionType {
		return Client{}, noClient("client_assertion_type is not that of a JWT")
	}
	parsed, err := jose.Parse(r.PostForm.Get("client_assertion"), maxRequestBytes)
	if err != nil {
		return Client{}, noClient("the assertion cannot be read")
	}
	id, err := parsed.UnverifiedIssuer()
	if err != nil {
		return Client{}, noClient("the assertion has no iss")
	}
	client, known := p.client(id)
	if !known || client.Key == nil {
		return Client{}, noClient("no client with a key of that name")
	}
	if named := r.PostForm.Get("client_id"); named != "" && named != id {
		return Client{}, noClient("client_id names another client than the assertion")
	}
	thumbprint, err := jose.Thumbprint(client.Key)
	if err != nil {
		return Client{}, noClient("the client's key is of no use")
	}
	payload, err := parsed.Verify(trust.Key{KeyID: thumbprint, Public: client.Key}, jose.RS256, jose.ES256)
	if err != nil {
		return Client{}, noClient("the assertion does not verify under the client's key: " + err.Error())
	}
	var claims struct {
		Subject  jose.Text        `json:"sub"`
		Audience any              `json:"aud"`
		Expires  jose.NumericDate `json:"exp"`
		ID       jose.Text        `json:"jti"`
	}
	if err := jose.Unmarshal(payload, &claims); err != nil {
		return Client{}, noClient("the assertion's claims cannot be read")
	}
	now := p.now()
	switch {
	case claims.Subject.Value != id:
		return Client{}, noClient("sub is not the client")
	case !p.namedIn(claims.Audience):
		return Client{}, noClient("aud is neither this issuer nor its token endpoint")
	case claims.Expires.IsZero() || !now.Before(claims.Expires.Time) || claims.Expires.After(now.Add(assertionLife)):
		return Client{}, noClient("exp is missing, past or too far away")
	case claims.ID.Value == "" || !p.once("assertion "+id+" "+claims.ID.Value, claims.Expires.Time):
		return Client{}, noClient("jti is missing or was used before")
	}
	return client, nil
}

// namedIn tells whether aud names this issuer.
func (p *provider) namedIn(aud any) bool {
	names := []string{p.issuer(), p.issuer() + "/token", p.issuer() + "/introspect"}
	switch aud := aud.(type) {
	case string:
		return slices.Contains(names, aud)
	case []any:
		return slices.ContainsFunc(aud, func(one any) bool {
			text, ok := one.(string)
			return ok && slices.Contains(names, text)
		})
	}
	return false
}

// once tells whether id was not used before, and remembers it until.
func (p *provider) once(id string, until time.Time) bool {
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for old, end := range p.assertions {
		if now.After(end) {
			delete(p.assertions, old)
		}
	}
	if _, used := p.assertions[id]; used {
		return false
	}
	p.assertions[id] = until
	return true
}
