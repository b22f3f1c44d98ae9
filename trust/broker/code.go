package broker

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"regexp"
	"sync"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/mint"
	"github.com/candignode/candignode/trust/passport"
)

// GrantCode is the grant type of the authorization code flow (RFC 6749, section 4.1.3).
const GrantCode = "authorization_code"

// Given is an access token that a client was given.
type Given struct {
	Token trust.AccessToken
	ID    string // names it, and opens nothing
	Until time.Time
}

// Tokens makes the access tokens of clients. Each rests on a person's session, ends
// with it, and opens UserInfo and token exchange only.
type Tokens interface {
	// Give makes one for client that lasts life at most. A *passport.Refusal says that
	// the session has ended meanwhile.
	Give(ctx context.Context, client string, r GiveRequest) (Given, error)
	// Take ends one of owner's. One that has ended already is no error.
	Take(ctx context.Context, owner trust.Identity, id, transaction string) error
}

// GiveRequest says what a client's token rests on, and how far it goes.
type GiveRequest struct {
	Session     trust.AccessToken
	Passport    bool // UserInfo gives visas, and passports are to be had by exchange
	Life        time.Duration
	Transaction string
}

// granted is what a code stands for.
type granted struct {
	request Authorization
	person  Person
}

// redeemed is a code that was used, as long as what it gave lasts.
type redeemed struct {
	owner trust.Identity

	mu    sync.Mutex
	id    string // of the token; "" while it is being made
	again bool   // the code came once more
}

// codes are those that were given, and those that were used.
type codes struct {
	*table[granted]
	used *table[*redeemed]
}

// use takes a code. Of one that was used already it gives what came of that.
func (c codes) use(code string, now time.Time) (granted, *redeemed, bool) {
	c.used.mu.Lock() // over both steps: a second use meanwhile must find one or the other
	defer c.used.mu.Unlock()
	g, ok := c.take(code, now)
	if ok {
		r := &redeemed{owner: g.person.Identity}
		c.used.keep(entry[*redeemed]{trust.DigestOfString(code), now.Add(accessLife), r}, now)
		return g, r, true
	}
	if element, used := c.used.by[trust.DigestOfString(code)]; used {
		return granted{}, element.Value.(entry[*redeemed]).value, false
	}
	return granted{}, nil, false
}

// verifierForm is that of a code_verifier (RFC 7636, section 4.1).
var verifierForm = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`)

// signedIn is the answer to a code (OpenID Connect Core 1.0, section 3.1.3.3).
type signedIn struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int64  `json:"expires_in"`
	Scope       string `json:"scope"`
	IDToken     string `json:"id_token"`
}

// redeem gives the tokens for a code. Whoever shows a code uses it up, also where
// the rest does not fit: it was in the wrong hands. Shown again, it ends what it gave
// (RFC 6749, section 4.1.2).
func (b *Broker) redeem(ctx context.Context, form parameters, client Client, transaction string) ([]byte, error) {
	now := b.o.Now()
	code := form.get("code")
	if code == "" || form.get("redirect_uri") == "" || form.get("code_verifier") == "" {
		return nil, oauth(CodeInvalidRequest, "code, redirect_uri and code_verifier are needed")
	}
	g, used, ok := b.codes.use(code, now)
	switch {
	case !ok && used != nil:
		b.o.Log.WarnContext(ctx, "a code came twice; what it gave is taken back", "client", client.ID, "transaction", transaction)
		return nil, b.takeBack(ctx, used, transaction)
	case !ok:
		return nil, badCode()
	case g.request.client != client.ID || g.request.redirectURI != form.get("redirect_uri") || !verifies(form.get("code_verifier"), g.request.challenge):
		b.o.Log.WarnContext(ctx, "a code came with what does not fit", "client", client.ID, "transaction", transaction)
		return nil, badCode()
	}
	given, err := b.o.Tokens.Give(ctx, client.ID, GiveRequest{
		Session: g.person.Session, Passport: g.request.passport, Life: accessLife, Transaction: transaction,
	})
	if refusal, ok := errors.AsType[*passport.Refusal](err); ok {
		b.o.Log.InfoContext(ctx, "a code was of no use any more", "client", client.ID, "reason", refusal.Reason)
		return nil, oauth(CodeInvalidGrant, "the person has signed out meanwhile")
	}
	if err != nil {
		return nil, b.unavailable(ctx, err)
	}
	if used.made(given.ID) {
		return nil, b.takeBack(ctx, used, transaction)
	}
	idToken, err := b.idToken(g, given, now)
	if err != nil {
		return nil, b.unavailable(ctx, errors.Join(err, b.o.Tokens.Take(ctx, g.person.Identity, given.ID, transaction)))
	}
	answer := signedIn{given.Token.Reveal(), "Bearer", int64(given.Until.Sub(now) / time.Second), "openid", idToken}
	if g.request.passport {
		answer.Scope += " " + mint.ClaimPassport
	}
	return json.Marshal(answer)
}

// made notes the token, and tells whether the code came again while it was made.
func (r *redeemed) made(id string) (again bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.id = id
	return r.again
}

// cameAgain notes that, and gives the token to take back; "" if there is none yet.
func (r *redeemed) cameAgain() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.again = true
	return r.id
}

// takeBack ends what a code gave that came again.
func (b *Broker) takeBack(ctx context.Context, used *redeemed, transaction string) error {
	if id := used.cameAgain(); id != "" {
		// Begun once, it is done whether somebody waits for it or not.
		ctx, done := context.WithTimeout(context.WithoutCancel(ctx), recording)
		defer done()
		if err := b.o.Tokens.Take(ctx, used.owner, id, transaction); err != nil {
			return b.unavailable(ctx, err)
		}
	}
	return badCode()
}

// badCode tells a thief no more than that.
func badCode() *OAuthError {
	return oauth(CodeInvalidGrant, "the code is not good: it was used before, is older than %s, or was given to another client, for another redirect_uri or another code_verifier", codeLife)
}

func (b *Broker) unavailable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	b.o.Log.WarnContext(ctx, "a code could not be redeemed", "error", err)
	return oauth(CodeUnavailable, "no token can be given now: begin again a little later")
}

// verifies tells whether the verifier is what the challenge was made of (RFC 7636,
// section 4.6).
func verifies(verifier, challenge string) bool {
	sum := sha256.Sum256([]byte(verifier))
	made := base64.RawURLEncoding.EncodeToString(sum[:])
	return verifierForm.MatchString(verifier) && subtle.ConstantTimeCompare([]byte(made), []byte(challenge)) == 1
}

// idTokenClaims are those of an ID Token (OpenID Connect Core 1.0, sections 2 and
// 3.1.3.6).
type idTokenClaims struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	Audience string `json:"aud"`
	IssuedAt int64  `json:"iat"`
	Expires  int64  `json:"exp"`
	AuthTime int64  `json:"auth_time,omitempty"`
	Nonce    string `json:"nonce,omitempty"`
	Access   string `json:"at_hash"`
	ID       string `json:"jti"`
}

// idToken signs who signed in, by the name that the person has in UserInfo too.
func (b *Broker) idToken(g granted, given Given, now time.Time) (string, error) {
	expires := now.Add(idTokenTTL)
	if given.Until.Before(expires) {
		expires = given.Until
	}
	sum := sha256.Sum256([]byte(given.Token.Reveal())) // RS256 and ES256 both have this hash
	claims := idTokenClaims{
		Issuer: b.o.Issuer, Subject: b.subjectOf(g.person.Identity), Audience: g.request.client, IssuedAt: now.Unix(), Expires: expires.Unix(),
		Nonce: g.request.nonce, Access: base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2]), ID: mint.NewID(),
	}
	if !g.person.Since.IsZero() {
		claims.AuthTime = g.person.Since.Unix()
	}
	return b.signer.Sign(jose.Header{Type: mint.TypeJWT}, claims)
}
