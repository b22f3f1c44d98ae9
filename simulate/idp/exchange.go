package idp

import (
	"net/url"
	"time"
)

const (
	typeURNPassport = "urn:ga4gh:params:oauth:token-type:passport"
	typeURNAccess   = "urn:ietf:params:oauth:token-type:access_token"
)

// exchange gives a passport for a passport-scoped access token, for one of the
// targets that the client may ask for (GA4GH AAI 1.2, "Passport Issuers"; RFC 8693).
func (p *provider) exchange(c call) (map[string]any, error) {
	f := c.form
	switch {
	case c.client.public():
		return nil, noClient("client authentication is required")
	case !c.client.Exchange:
		return nil, refuse("unauthorized_client", "the client may not exchange tokens")
	case f.Get("requested_token_type") != typeURNPassport:
		return nil, refuse("invalid_request", "requested_token_type is not that of a passport")
	case f.Get("subject_token_type") != typeURNAccess:
		return nil, refuse("invalid_request", "subject_token_type is not that of an access token")
	case f.Has("actor_token") != f.Has("actor_token_type"):
		return nil, refuse("invalid_request", "actor_token and actor_token_type come together")
	}
	t, ok := p.good(f.Get("subject_token"), accessToken)
	if !ok || !passportScoped(t.scope) {
		return nil, refuse("invalid_request", "subject_token is not a good passport-scoped access token")
	}
	audience, err := p.targets(c.client, append(f["resource"], f["audience"]...))
	if err != nil {
		return nil, err
	}
	who, ok := p.researcher(t.subject)
	if !ok {
		return nil, refuse("invalid_request", "nobody is registered as the token's subject")
	}
	now := p.now()
	expires := now.Add(Life)
	if t.expires.Before(expires) {
		expires = t.expires
	}
	who.Audience = audience
	passport, err := p.server.PassportOf(p.name, who, expires, now)
	if err != nil {
		return nil, err
	}
	reply := map[string]any{
		"access_token": passport, "issued_token_type": typeURNPassport, "token_type": "Bearer", "expires_in": int(expires.Sub(now) / time.Second),
	}
	if b := p.is(); b.Exchange != nil {
		b.Exchange(reply)
	}
	return reply, nil
}

// targets gives the aud of a passport. Without any it is for the client itself,
// and never for everybody.
func (p *provider) targets(client Client, resources []string) ([]string, error) {
	if len(resources) == 0 {
		return client.audience("")
	}
	var audience []string
	for _, resource := range resources {
		u, err := url.Parse(resource)
		if err != nil || !u.IsAbs() || u.Fragment != "" {
			return nil, refuse("invalid_target", "a resource is an absolute URI without fragment")
		}
		aud, err := client.audience(resource)
		if err != nil {
			return nil, err
		}
		audience = append(audience, aud...)
	}
	return audience, nil
}
