package oidc

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/url"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// canAuthenticate tells whether the node can prove to the issuer who it is.
func canAuthenticate(c trust.Client) bool {
	return c.ID != "" && (c.Key != nil || !c.Secret.IsZero())
}

// authenticate says who the node is, in the form or in the header that it gives: by
// private_key_jwt if it has a key, else by client_secret_basic, else by its bare client
// id as a public client (OpenID Connect Core 1.0, section 9; RFC 6749, section 2.3.1).
func (p *Provider) authenticate(e endpoint, form url.Values) (header string, err error) {
	c := e.issuer.Client
	switch {
	case c.ID == "":
		return "", e.noWay("this node has no client id there; set client.id")
	case c.Key != nil:
		assertion, err := p.assertion(e)
		if err != nil {
			return "", e.noWay("the client key does not sign")
		}
		form.Set("client_assertion_type", assertionType)
		form.Set("client_assertion", assertion)
		return "", nil
	case !c.Secret.IsZero():
		both := url.QueryEscape(c.ID) + ":" + url.QueryEscape(c.Secret.Reveal())
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(both)), nil
	}
	form.Set("client_id", c.ID)
	return "", nil
}

// assertion is the JWT of RFC 7523, section 3. Its aud is the issuer and nothing
// else: the token endpoint is what a document says it is, and one that names another
// provider's would get an assertion that is good there.
func (p *Provider) assertion(e endpoint) (string, error) {
	id, err := randomText(p.o.Random)
	if err != nil {
		return "", err
	}
	now := p.o.Now()
	c := e.issuer.Client
	payload, err := json.Marshal(map[string]any{
		"iss": c.ID, "sub": c.ID, "aud": e.issuer.Issuer, "jti": id,
		"iat": now.Unix(), "exp": now.Add(assertionLife).Unix(),
	})
	if err != nil {
		return "", err
	}
	return jose.Sign(jose.Header{Type: "JWT", KeyID: c.KeyID}, payload, c.Key)
}

func randomText(from io.Reader) (string, error) {
	b := make([]byte, randomBytes)
	if _, err := io.ReadFull(from, b); err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(b), nil
}
