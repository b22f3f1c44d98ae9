package broker

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/mint"
)

// Authorization is what a client asks of a person's browser (OpenID Connect Core 1.0,
// section 3.1.2.1). It comes from Authorize only, which has compared the client and its
// address.
type Authorization struct {
	client, redirectURI  string
	state, nonce         string
	challenge            string // PKCE, S256
	passport             bool   // scope has ga4gh_passport_v1
	promptNone, signAnew bool
	maxAge               time.Duration // of the sign-in; negative: any
	asked                time.Time
}

// Person is who sits at the browser; zero is nobody who is signed in.
type Person struct {
	trust.Identity
	// Session is the token of the person's session at this node.
	Session trust.AccessToken
	Since   time.Time // when the person signed in
}

// Step is where a browser goes on: to Redirect, which is the client's own address with
// a code or an error, or, if the person has to sign in first, to this node's sign-in
// and then back to Wait, which names the request.
type Step struct {
	Redirect string
	Wait     string
}

// AuthorizeError is a refusal of the authorization endpoint (RFC 6749, section 4.1.2.1).
type AuthorizeError struct {
	Code        string
	Description string // holds nothing that came from outside
	// Redirect is where the client is told of it. "" if there is no address that is
	// known to be the client's: then only the person is told, for an error page that
	// sends people to any address helps whoever wants to lead them there.
	Redirect string
}

// Error gives "code: description".
func (e *AuthorizeError) Error() string { return e.Code + ": " + e.Description }

// Further codes (RFC 6749, section 4.1.2.1; OpenID Connect Core 1.0, section 3.1.2.6).
const (
	CodeInvalidGrant    = "invalid_grant"
	CodeResponseType    = "unsupported_response_type"
	CodeLoginRequired   = "login_required"
	CodeConsentRequired = "consent_required"
	CodeNoRequest       = "request_not_supported"
	CodeNoRequestURI    = "request_uri_not_supported"
	CodeNoRegistration  = "registration_not_supported"
)

// ErrWaited says that a request for sign-in is not known, or no longer.
var ErrWaited = errors.New("the request of the site that you came from is not known here, or took too long: go back to it, and begin again")

// SignsIn tells whether a client may have people sign in here.
func (b *Broker) SignsIn() bool {
	for _, client := range b.clients {
		if len(client.RedirectURIs) > 0 {
			return true
		}
	}
	return false
}

// challengeS256 is a base64url SHA-256 (RFC 7636, section 4.2).
var challengeS256 = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

// Authorize reads a request at the authorization endpoint. The error is an
// *AuthorizeError.
func (b *Broker) Authorize(values url.Values) (Authorization, error) {
	a := Authorization{maxAge: -1, asked: b.o.Now()}
	client, known := b.clients[only(values, "client_id")]
	switch redirect := only(values, "redirect_uri"); {
	case !known || len(client.RedirectURIs) == 0:
		return a, &AuthorizeError{Code: CodeInvalidRequest, Description: "the site that you came from is not registered here (client_id)"}
	case redirect == "" || !slices.Contains(client.RedirectURIs, redirect):
		return a, &AuthorizeError{Code: CodeInvalidRequest, Description: "the address to come back to is not one that the site has registered, to the letter (redirect_uri)"}
	default:
		a.client, a.redirectURI = client.ID, redirect
	}
	if state := only(values, "state"); len(state) <= maxState {
		a.state = state
	}
	if code, why := a.read(values); code != "" {
		return a, &AuthorizeError{Code: code, Description: why, Redirect: b.answer(a, url.Values{"error": {code}, "error_description": {why}})}
	}
	return a, nil
}

// only gives a parameter that stands there once.
func only(values url.Values, name string) string {
	if all := values[name]; len(all) == 1 {
		return all[0]
	}
	return ""
}

// read reads what is left once it is known whose request it is. It gives the code
// and text of an error, or "".
func (a *Authorization) read(values url.Values) (code, why string) {
	for _, all := range values {
		if len(all) > 1 {
			return CodeInvalidRequest, "a parameter is there more than once"
		}
	}
	get := func(name string) string { return only(values, name) }
	scopes := strings.Fields(get("scope"))
	a.nonce, a.challenge, a.passport = get("nonce"), get("code_challenge"), slices.Contains(scopes, mint.ClaimPassport)
	switch {
	case len(get("state")) > maxState || len(a.nonce) > maxNonce:
		return CodeInvalidRequest, fmt.Sprintf("state has more than %d bytes, or nonce more than %d", maxState, maxNonce)
	case get("request") != "":
		return CodeNoRequest, "request objects are not read"
	case get("request_uri") != "":
		return CodeNoRequestURI, "request objects are not fetched"
	case get("registration") != "":
		return CodeNoRegistration, "clients are registered by this site's operator"
	case get("response_type") == "":
		return CodeInvalidRequest, "response_type is missing"
	case get("response_type") != "code":
		return CodeResponseType, "response_type must be code"
	case get("response_mode") != "" && get("response_mode") != "query":
		return CodeInvalidRequest, "response_mode must be query"
	case a.challenge == "" || get("code_challenge_method") != "S256":
		return CodeInvalidRequest, "PKCE is required: send code_challenge, with code_challenge_method S256"
	case !challengeS256.MatchString(a.challenge):
		return CodeInvalidRequest, "code_challenge must be the base64url SHA-256 of code_verifier"
	case !slices.Contains(scopes, "openid"):
		return CodeInvalidScope, "scope must have openid, and ga4gh_passport_v1 for passports"
	}
	return a.when(get("prompt"), get("max_age"))
}

// when reads what the client demands of the sign-in.
func (a *Authorization) when(prompt, maxAge string) (code, why string) {
	for _, word := range strings.Fields(prompt) {
		switch word {
		case "none":
			a.promptNone = true
		case "login", "select_account": // signing in begins with the choice of an account
			a.signAnew = true
		case "consent":
			return CodeConsentRequired, "nobody is asked for consent here: the site's operator decided which clients there are"
		default:
			return CodeInvalidRequest, "prompt must be none, login or select_account"
		}
	}
	if a.promptNone && a.signAnew {
		return CodeInvalidRequest, "prompt none goes with no other"
	}
	if maxAge == "" {
		return "", ""
	}
	seconds, err := strconv.ParseUint(maxAge, 10, 31)
	if err != nil {
		return CodeInvalidRequest, "max_age must be a number of seconds"
	}
	a.maxAge = time.Duration(seconds) * time.Second
	return "", ""
}

// answer is the client's address with parameters, and with the issuer's name, so that
// a client of several issuers knows whose answer it is (RFC 9207, section 2).
func (b *Broker) answer(a Authorization, parameters url.Values) string {
	if a.state != "" {
		parameters.Set("state", a.state)
	}
	parameters.Set("iss", b.o.Issuer)
	separator := "?"
	if strings.Contains(a.redirectURI, "?") {
		separator = "&"
	}
	return a.redirectURI + separator + parameters.Encode()
}

// Answer goes on with a request at whose browser p sits: with a code for the client
// if p has signed in as the client wants, otherwise with signing in. Errors are those of
// the random source.
func (b *Broker) Answer(a Authorization, p Person) (Step, error) {
	now := b.o.Now()
	signedIn := !p.IsZero() && !p.Session.IsZero() &&
		(!p.Since.Before(a.asked) || !a.signAnew && (a.maxAge < 0 || !now.After(p.Since.Add(a.maxAge))))
	switch {
	case !signedIn && a.promptNone:
		return Step{Redirect: b.answer(a, url.Values{
			"error": {CodeLoginRequired}, "error_description": {"nobody is signed in here, or not as recently as you want"},
		})}, nil
	case !signedIn:
		return Step{Wait: b.waiting.put(a, now.Add(waitLife), now)}, nil
	}
	code := b.codes.put(granted{request: a, person: p}, now.Add(codeLife), now)
	return Step{Redirect: b.answer(a, url.Values{"code": {code}})}, nil
}

// Resume gives a request that waited for somebody to sign in. It can be resumed once;
// Answer makes it wait again if need be. The error is ErrWaited.
func (b *Broker) Resume(id string) (Authorization, error) {
	a, ok := b.waiting.take(id, b.o.Now())
	if !ok {
		return Authorization{}, ErrWaited
	}
	return a, nil
}
