package broker

import (
	"net/url"
	"slices"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// assertionType is client_assertion_type (RFC 7523, section 2.2).
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// typeClientAuthentication is the typ that newer clients give their assertions
// (draft-ietf-oauth-rfc7523bis).
const typeClientAuthentication = "client-authentication+jwt"

// assertionClaims are the claims of a client assertion (RFC 7523, section 3).
type assertionClaims struct {
	Issuer    jose.Text        `json:"iss"`
	Subject   jose.Text        `json:"sub"`
	Audience  jose.Texts       `json:"aud"`
	Expires   jose.NumericDate `json:"exp"`
	IssuedAt  jose.NumericDate `json:"iat"`
	NotBefore jose.NumericDate `json:"nbf"`
	ID        jose.Text        `json:"jti"`
}

// client says who asks (passports.md, row 73): by private_key_jwt or by a certificate that
// the operator wrote down. Secrets are not taken.
func (b *Broker) client(form parameters, r Request, now time.Time) (Client, *OAuthError) {
	assertion, named := form.get("client_assertion"), form.get("client_id")
	switch {
	case r.Authorization != "" || form.get("client_secret") != "":
		return Client{}, oauth(CodeInvalidClient, "clients authenticate by private_key_jwt, or by their certificate; secrets are not taken")
	case assertion != "" || form.get("client_assertion_type") != "":
		if form.get("client_assertion_type") != assertionType {
			return Client{}, oauth(CodeInvalidClient, "client_assertion_type must be %s", assertionType)
		}
		client, refusal := b.asserted(assertion, now)
		if refusal != nil {
			return Client{}, refusal
		}
		if named != "" && named != client.ID {
			return Client{}, oauth(CodeInvalidClient, "client_id is not the client of client_assertion")
		}
		return client, nil
	}
	client, known := b.clients[named]
	if !known || r.Proven.X5T == "" || !slices.Contains(client.Certificates, r.Proven.X5T) {
		return Client{}, oauth(CodeInvalidClient, "no client authenticated: send client_assertion (private_key_jwt)")
	}
	return client, nil
}

// asserted verifies a client assertion: the signature under a key of the very client
// that it names, then who, for whom and when, then that it is used once.
func (b *Broker) asserted(compact string, now time.Time) (Client, *OAuthError) {
	bad := func(why string) (Client, *OAuthError) {
		return Client{}, oauth(CodeInvalidClient, "the assertion is not good: %s", why)
	}
	token, err := jose.Parse(compact, maxAssertion)
	if err != nil {
		return bad("it cannot be read")
	}
	header := token.Header()
	if header.Type != "" && !header.IsType("JWT") && !header.IsType(typeClientAuthentication) {
		return bad("it is another kind of token (typ)")
	}
	issuer, err := token.UnverifiedIssuer()
	if err != nil {
		return bad("it has no iss")
	}
	client, known := b.clients[issuer]
	if !known {
		return bad("no such client, or not its key")
	}
	key, found := keyOf(client, header.KeyID)
	if !found {
		return bad("no such client, or not its key")
	}
	payload, err := token.Verify(key, jose.RS256, jose.ES256)
	if err != nil {
		return bad("no such client, or not its key")
	}
	var claims assertionClaims
	if err := jose.Unmarshal(payload, &claims); err != nil {
		return bad("a claim has the wrong form")
	}
	if why := b.judge(claims, client, now); why != "" {
		return bad(why)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch b.replay.use(client.ID, claims.ID.Value, claims.Expires.Time, now) {
	case replayed:
		return bad("its jti was used before, or the clock was set back")
	case replayFull:
		return Client{}, oauth(CodeUnavailable, "too many assertions of this client within minutes")
	}
	return client, nil
}

// keyOf gives the one key of the client that an assertion may be signed with.
func keyOf(client Client, kid string) (trust.Key, bool) {
	var fitting []trust.Key
	for _, key := range client.Keys {
		switch kid {
		case "", key.KeyID:
			fitting = append(fitting, key)
		case key.Thumbprint:
			if key.KeyID == "" {
				key.KeyID = kid
				fitting = append(fitting, key)
			}
		}
	}
	if len(fitting) != 1 {
		return trust.Key{}, false
	}
	return fitting[0], true
}

// judge says what is wrong with the claims, or "". aud must be this issuer alone: an
// assertion that is good elsewhere could be replayed from there.
func (b *Broker) judge(c assertionClaims, client Client, now time.Time) string {
	issued := c.IssuedAt.Time
	if issued.IsZero() && !c.Expires.IsZero() {
		issued = c.Expires.Add(-maxAssertionLife) // it may be as old as that
	}
	switch {
	case c.Issuer.Value != client.ID || c.Subject.Value != client.ID:
		return "iss and sub must both be the client's id"
	case len(c.Audience.Values) != 1 || c.Audience.Values[0] != b.o.Issuer && c.Audience.Values[0] != b.o.Endpoints.Token:
		return "aud must be this issuer, and nobody besides"
	case c.Expires.IsZero():
		return "exp is missing"
	case !now.Before(c.Expires.Time):
		return "it has expired"
	case c.Expires.After(now.Add(maxAssertionLife + leeway)):
		return "exp is more than five minutes away"
	case c.IssuedAt.After(now.Add(leeway)) || c.NotBefore.After(now.Add(leeway)):
		return "iat or nbf lies in the future: is a clock wrong?"
	case issued.Unix() < b.started.Unix():
		// What was used before the start is not remembered.
		return "it was made before this node started: make a new one"
	case c.ID.Value == "" || len(c.ID.Value) > maxJTI:
		return "jti is missing or too long"
	}
	return ""
}

// replays remembers, per client, the jti of each assertion until it would expire.
type replays map[string]*clientReplays

type clientReplays struct {
	used   map[trust.Digest]time.Time
	latest time.Time // the latest moment that an assertion was judged at
}

type replayVerdict int

const (
	fresh replayVerdict = iota
	replayed
	replayFull
)

// use notes a jti, and tells whether it was noted before. A clock that was set back
// refuses: what was forgotten then would be good again.
func (r replays) use(client, jti string, expires, now time.Time) replayVerdict {
	mine := r[client]
	if mine == nil {
		mine = &clientReplays{used: map[trust.Digest]time.Time{}}
		r[client] = mine
	}
	if now.Before(mine.latest) {
		if !expires.After(mine.latest) {
			return replayed
		}
		now = mine.latest
	}
	mine.latest = now
	if len(mine.used) >= maxReplays {
		for digest, until := range mine.used {
			if !now.Before(until) {
				delete(mine.used, digest)
			}
		}
	}
	digest := trust.DigestOfString(jti)
	if _, seen := mine.used[digest]; seen {
		return replayed
	}
	if len(mine.used) >= maxReplays {
		return replayFull
	}
	mine.used[digest] = expires
	return fresh
}

// parameters are those of a form, each with its values.
type parameters url.Values

// get gives a parameter that stands there once; without a value it is as good as
// absent (RFC 6749, section 3.2).
func (p parameters) get(name string) string {
	if values := p[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}
