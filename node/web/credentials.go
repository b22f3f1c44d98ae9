package web

import (
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/candignode/candignode/node/session"
	"github.com/candignode/candignode/query/beacon"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/proof"
)

// Shown is what a caller shows: passports, or a token of an issuer, or a session of
// this node, and never two of them. Nothing of it has been verified but the keys in
// Proven.
type Shown struct {
	Passports beacon.Passports
	Token     trust.AccessToken // of an issuer
	Session   trust.AccessToken // of this node
	// Granted tells that Session may be one that a client was given: the door is one
	// of the few that those open.
	Granted bool
	// Proven are the keys whose possession was proven: by a DPoP proof for just this
	// token, and by the certificate of the TLS connection.
	Proven trust.Proven
}

// Nobody tells whether nothing is shown: the caller is anonymous.
func (s Shown) Nobody() bool {
	return len(s.Passports) == 0 && s.Token.IsZero() && s.Session.IsZero()
}

// Proofs checks DPoP proofs; *proof.Checker is one. What Examine gives is used up
// once the token that came along turned out to be good.
type Proofs interface {
	Examine(proof.Proof) (proof.Held, error)
	Use(proof.Held, time.Time) error
	Nonce(time.Time) string
}

// credential is what one request shows, as it came.
type credential struct {
	shown  Shown
	cookie bool     // the session came as a cookie
	dpop   []string // the proofs, if the scheme is DPoP
}

// The names of the cookies. The prefix makes browsers keep them for this very host,
// over TLS only (RFC 6265bis, section 4.1.3.2).
const (
	sessionCookie = "__Host-candignode"
	signInCookie  = "__Host-candignode-signin"
)

// authorization is the header of RFC 6750, section 2.1, and RFC 9449, section 7.1.
var authorization = regexp.MustCompile(`^([A-Za-z]{1,20}) +([A-Za-z0-9._~+/-]+=*)$`)

// sessionToken is the form of a token that package session makes.
var sessionToken = regexp.MustCompile(`^` + session.Prefix + `[A-Za-z0-9_-]{43}$`)

// credentials reads what the header of the request shows: whoever sends anything at
// all means to be known, and must not be served as nobody. What cannot be read, and
// what comes in two ways, is refused and recorded.
func (e *exchange) credentials() (credential, error) {
	var c credential
	headers := e.r.Header.Values("Authorization")
	cookies := e.r.CookiesNamed(sessionCookie)
	var all []string // the bare credentials, for their digests
	for _, h := range headers {
		all = append(all, bare(h))
	}
	for _, cookie := range cookies {
		all = append(all, cookie.Value)
	}
	proofs := e.r.Header.Values("DPoP")
	switch {
	case len(all) == 0 && len(proofs) == 0:
		c.shown.Proven.X5T = e.certificate()
		return c, nil
	case !e.private():
		return c, e.turnAway(trust.ReasonUnsupportedToken, all, errPlain)
	case len(headers)+len(cookies) > 1:
		return c, e.turnAway(trust.ReasonUnsupportedToken, all, errTwoWays)
	case len(cookies) == 1:
		if err := e.ownPage(); err != nil {
			return c, e.turnAway(trust.ReasonSession, all, err)
		}
		if len(proofs) > 0 || !sessionToken.MatchString(cookies[0].Value) {
			return c, e.turnAway(trust.ReasonSession, all, errCookie)
		}
		c.cookie, c.shown.Session = true, trust.NewAccessToken(cookies[0].Value)
	default:
		if err := c.header(headers, proofs); err != nil {
			reason := trust.ReasonUnsupportedToken
			if errors.Is(err, errStrayProof) {
				reason, all = trust.ReasonProof, append(all, proofs...)
			}
			return c, e.turnAway(reason, all, err)
		}
	}
	c.shown.Proven.X5T = e.certificate()
	return c, nil
}

// header reads the Authorization header.
func (c *credential) header(headers, proofs []string) error {
	if len(headers) != 1 {
		return errStrayProof
	}
	parts := authorization.FindStringSubmatch(headers[0])
	if parts == nil {
		return errAuthorization
	}
	token := trust.NewAccessToken(parts[2])
	switch {
	case strings.EqualFold(parts[1], "DPoP"):
		c.dpop = proofs
		if c.dpop == nil {
			c.dpop = []string{} // none, where there must be one
		}
	case !strings.EqualFold(parts[1], "Bearer"):
		return errAuthorization
	case len(proofs) > 0:
		// A bound token that comes as Bearer is never proven (RFC 9449, section 7.2).
		return errStrayProof
	}
	if !strings.HasPrefix(parts[2], session.Prefix) {
		c.shown.Token = token
		return nil
	}
	if !sessionToken.MatchString(parts[2]) {
		return errAuthorization
	}
	c.shown.Session = token
	return nil
}

// with adds the passports of the body.
func (e *exchange) with(c credential, passports beacon.Passports) (credential, error) {
	if len(passports) == 0 {
		return c, nil
	}
	if !c.shown.Nobody() {
		return c, e.refuse(trust.ReasonUnsupportedToken, append(c.secrets(), passports...), errTwoWays)
	}
	c.shown.Passports = passports
	return c, nil
}

// secrets are the credentials themselves, for their digests.
func (c credential) secrets() []string {
	all := append([]string{}, c.shown.Passports...)
	for _, token := range []trust.AccessToken{c.shown.Token, c.shown.Session} {
		if !token.IsZero() {
			all = append(all, token.Reveal())
		}
	}
	return all
}

// bare cuts the scheme off an Authorization header.
func bare(header string) string {
	_, token, found := strings.Cut(header, " ")
	if !found {
		token = header
	}
	return strings.TrimSpace(token)
}

// certificate is the thumbprint of the client's certificate. TLS has shown that the
// client holds its key; nobody's word for a name in it is needed (RFC 8705, section
// 3).
func (e *exchange) certificate() string {
	if e.r.TLS == nil || len(e.r.TLS.PeerCertificates) == 0 {
		return ""
	}
	leaf := e.r.TLS.PeerCertificates[0]
	return proof.CertificateThumbprint(leaf.Raw)
}

// ownPage tells whether a page of this very site made the request. A cookie counts
// for no other: browsers add it to whatever a stranger's page makes them send. A
// request that changes something must say so by Origin, which browsers always send
// with one; for the others Sec-Fetch-Site does, which no page can set.
func (e *exchange) ownPage() error {
	origins, sites := e.r.Header.Values("Origin"), e.r.Header.Values("Sec-Fetch-Site")
	safe := e.r.Method == http.MethodGet || e.r.Method == http.MethodHead
	switch {
	case len(origins) > 1 || len(sites) > 1,
		len(origins) == 1 && (e.origin == "" || origins[0] != e.origin),
		len(sites) == 1 && sites[0] != "same-origin",
		len(origins) == 0 && !safe,
		len(origins) == 0 && len(sites) == 0:
		return errOtherPage
	}
	return nil
}

// originOf gives the origin of an address as browsers write it: in lower case, and
// without the port that goes without saying (RFC 6454, section 6.2). "" is none.
func originOf(address string) string {
	at, err := url.Parse(address)
	if err != nil || at.Host == "" {
		return ""
	}
	usual := map[string]string{"https": ":443", "http": ":80"}[at.Scheme]
	return at.Scheme + "://" + strings.TrimSuffix(strings.ToLower(at.Host), usual)
}
