package session

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/bearer"
	"github.com/candignode/candignode/trust/passport"
)

// Started is a sign-in that was begun.
type Started struct {
	URL string // where the browser goes
	// Browser is the secret that the browser keeps in a cookie: only the browser that
	// began a sign-in can end it, so nobody is signed in as somebody else unawares.
	Browser trust.AccessToken
}

// Start begins a sign-in with issuer. back is the local path to come back to; "" is
// none. Errors wrap ErrSignIn or one of package bearer's, or are ctx's.
func (d *Desk) Start(ctx context.Context, issuer, back string) (Started, error) {
	policy, ok := d.policy(issuer)
	if !ok {
		return Started{}, fmt.Errorf("%w: this site does not sign people in with that issuer; /login lists those that it does", ErrSignIn)
	}
	if back != "" && !LocalPath(back) {
		return Started{}, fmt.Errorf("%w: return must be a path of this site", ErrSignIn)
	}
	needsIss := false
	if d.o.Endpoints != nil {
		endpoints, err := d.o.Endpoints(ctx, policy)
		if err != nil {
			return Started{}, err
		}
		needsIss = endpoints.ResponseIss
	}
	var secrets [4]string
	for i := range secrets {
		var err error
		if secrets[i], err = d.secret(); err != nil {
			return Started{}, err
		}
	}
	state, nonce, verifier, browser := secrets[0], secrets[1], secrets[2], secrets[3]
	request := bearer.AuthRequest{
		RedirectURI: d.RedirectURI(issuer), State: state, Nonce: nonce, Verifier: verifier, Scopes: scopesOf(policy),
	}
	address, err := d.o.Provider.Authorize(ctx, policy, request)
	if err != nil {
		return Started{}, err
	}
	if !asks(address, request) {
		return Started{}, fmt.Errorf("%w: the issuer would not be asked for a code with PKCE over TLS", ErrSignIn)
	}
	now := d.o.Now()
	d.pending.put(pending{
		state: trust.DigestOfString(state), browser: trust.DigestOfString(browser), issuer: issuer, needsIss: needsIss,
		nonce: nonce, verifier: verifier, back: back, until: now.Add(pendingLife),
	}, now)
	return Started{URL: address, Browser: trust.NewAccessToken(browser)}, nil
}

// scopesOf gives what is asked for. Without openid there would be no ID Token.
func scopesOf(p trust.IssuerPolicy) []string {
	scopes := slices.Clone(p.Scopes)
	if len(scopes) == 0 {
		scopes = []string{"ga4gh_passport_v1"}
	}
	if !slices.Contains(scopes, "openid") {
		scopes = slices.Insert(scopes, 0, "openid")
	}
	return scopes
}

// asks tells whether the address asks for a code, with PKCE S256 and exactly what
// was to be asked (passports.md, row 112). A flow without PKCE is never begun, by
// whatever fault.
func asks(address string, r bearer.AuthRequest) bool {
	at, err := url.Parse(address)
	if err != nil || at.Scheme != "https" || at.Host == "" {
		return false
	}
	challenge := sha256.Sum256([]byte(r.Verifier))
	given := at.Query()
	for name, want := range map[string]string{
		"response_type": "code", "redirect_uri": r.RedirectURI, "state": r.State, "nonce": r.Nonce,
		"code_challenge_method": "S256", "code_challenge": base64.RawURLEncoding.EncodeToString(challenge[:]),
	} {
		if len(given[name]) != 1 || given[name][0] != want {
			return false
		}
	}
	return true
}

// localPath has no query, for that could hold a token, and nothing that a browser
// reads as another host: no backslash, and no control character, which it drops.
var localPath = regexp.MustCompile(`^/[A-Za-z0-9._~/-]*$`)

// LocalPath tells whether p is a path of this site, so that nobody is sent
// elsewhere by it (RFC 9700, section 4.11).
func LocalPath(p string) bool {
	return len(p) <= maxReturn && localPath.MatchString(p) && !strings.HasPrefix(p, "//") &&
		(path.Clean(p) == p || path.Clean(p)+"/" == p)
}

// Callback is what an issuer's redirect brought, with nothing about it believed.
type Callback struct {
	Key     string // of the redirect address that it came to
	State   string
	Code    string
	Issuer  string // iss (RFC 9207); "" if absent
	Error   string
	Browser trust.AccessToken // of the cookie
}

// Finished is a sign-in that was completed.
type Finished struct {
	Token   trust.AccessToken // of the session
	Session access.Session
	Back    string // the local path to come back to; "" for none
}

// Finish ends a sign-in: either with a session or, whatever does not fit, without
// one. A state is good once, also if the rest does not fit. Errors wrap ErrSignIn or
// one of package bearer's, or are a *passport.Refusal, the Store's or ctx's.
func (d *Desk) Finish(ctx context.Context, c Callback, transaction string) (Finished, error) {
	begun, err := d.match(c)
	if err != nil {
		return Finished{}, err
	}
	policy, ok := d.policy(begun.issuer)
	if !ok {
		return Finished{}, abort("this site no longer signs people in with that issuer")
	}
	tokens, err := d.o.Provider.Redeem(ctx, policy, c.Code, d.RedirectURI(begun.issuer), begun.verifier)
	if errors.Is(err, bearer.ErrRefused) {
		return Finished{}, fmt.Errorf("%w: the issuer did not take its code back; sign in again", ErrSignIn)
	}
	if err != nil {
		return Finished{}, err
	}
	if tokens.ID.IsZero() || tokens.Access.IsZero() {
		return Finished{}, abort("the issuer did not give an ID Token and an access token; is the client registered for OpenID Connect?")
	}
	now := d.o.Now()
	claims, err := d.o.Tokens(ctx, passport.TokenRequest{
		Kind: passport.IDToken, Compact: tokens.ID.Reveal(), Issuer: begun.issuer,
		Audience: []string{policy.Client.ID}, Nonce: begun.nonce, Access: tokens.Access, Now: now,
	})
	if err != nil {
		return Finished{}, err
	}
	if claims.Issuer != begun.issuer || claims.Subject == "" {
		return Finished{}, abort("the ID Token is another issuer's")
	}
	if tokens.Expires.IsZero() {
		tokens.Expires = now.Add(assumedLife)
	}
	token, kept, err := d.Begin(ctx, Material{
		Identity: claims.Identity, Access: tokens.Access, AccessExpires: tokens.Expires, Refresh: tokens.Refresh, Nonce: begun.nonce,
	}, FromBrowser, transaction)
	if err != nil {
		return Finished{}, err
	}
	return Finished{Token: token, Session: kept, Back: begun.back}, nil
}

// match finds the sign-in that a redirect belongs to.
func (d *Desk) match(c Callback) (pending, error) {
	begun, ok := d.pending.take(trust.DigestOfString(c.State), d.o.Now())
	browser := c.Browser.Digest()
	switch {
	case c.State == "" || !ok:
		return pending{}, abort("it was not begun here, has been used, or took too long; begin again")
	case c.Browser.IsZero() || subtle.ConstantTimeCompare(browser[:], begun.browser[:]) != 1:
		return pending{}, abort("it was begun in another browser; begin again in this one, with cookies allowed")
	case c.Key != KeyOf(begun.issuer):
		return pending{}, abort("the answer came to another issuer's address")
	case len(c.Issuer) > maxIssuer || c.Issuer != "" && c.Issuer != begun.issuer:
		return pending{}, abort("the answer came from another issuer than the one that was asked")
	case c.Issuer == "" && begun.needsIss:
		return pending{}, abort("the issuer's answer does not say whose it is, as the issuer announces")
	case c.Error == "access_denied":
		return pending{}, abort("the issuer says that access was denied")
	case c.Error != "":
		return pending{}, abort("the issuer answered with an error")
	case c.Code == "" || len(c.Code) > maxCode:
		return pending{}, abort("the issuer's answer holds no usable code")
	}
	return begun, nil
}

func abort(why string) error { return fmt.Errorf("%w: %s", ErrSignIn, why) }
