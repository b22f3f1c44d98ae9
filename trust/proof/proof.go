// Package proof checks what a caller proves about itself besides its tokens: that
// it holds the key that a token is bound to, by a DPoP proof (RFC 9449) or by the
// certificate of its TLS connection (RFC 8705).
//
// It says which key was proven and nothing about tokens; whoever opens the token
// compares the two (trust.Confirmation). A proof is good once, for one method, one
// address and one token, and for a short time.
package proof

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// ErrUseNonce tells that the proof may be good, and that its time cannot be
// relied on: the caller is to make another one with the nonce that Checker.Nonce
// gives (HTTP 401 with error use_dpop_nonce and the header DPoP-Nonce; RFC 9449,
// section 9). A client whose clock is wrong gets in by it, and everybody does after
// a restart.
var ErrUseNonce = errors.New("make a new proof with the nonce of this answer (DPoP-Nonce)")

// Error says why a proof does not hold. Its text is safe to show and to log: it
// never has bytes of the proof, and what it quotes is short and escaped.
type Error struct {
	Reason trust.Reason
	Detail string
	// UseNonce tells that a new proof with a nonce of this node is wanted.
	UseNonce bool
}

// Error gives "reason: detail".
func (e *Error) Error() string { return string(e.Reason) + ": " + e.Detail }

// Unwrap gives ErrUseNonce for a proof that wants a nonce.
func (e *Error) Unwrap() error {
	if e.UseNonce {
		return ErrUseNonce
	}
	return nil
}

// refuse makes an Error; untrusted text goes in as %.80q only.
func refuse(format string, args ...any) *Error {
	return &Error{Reason: trust.ReasonProof, Detail: fmt.Sprintf(format, args...)}
}

// Options is what a Checker works with.
type Options struct {
	// Boot is when the node started: which proofs were used before, nobody knows
	// any more. Zero: when the Checker is first asked anything.
	Boot time.Time
}

// Checker checks DPoP proofs and remembers those that were used. It is safe for
// concurrent use and starts no goroutine.
type Checker struct {
	nonces nonces
	memory memory
}

// New makes a Checker with an empty memory and a nonce key of its own.
func New(o Options) *Checker {
	c := &Checker{memory: memory{boot: o.Boot}}
	rand.Read(c.nonces.key[:]) // never fails
	return c
}

// Proof is a proof as it came with a request.
type Proof struct {
	// Headers are all values of the request's header DPoP.
	Headers []string
	// Method and URL are those of the request, the URL as callers know this node
	// and not as a proxy in between wrote it.
	Method, URL string
	// Token is the access token that came with the proof; zero at a token
	// endpoint, where there is none yet.
	Token trust.AccessToken
	Now   time.Time
}

// Held is what a good proof shows. Use remembers it; until then it is worth
// nothing against whoever sends the same proof again.
type Held struct {
	// JKT is the RFC 7638 thumbprint of the key that made the proof.
	JKT string

	id       trust.Digest
	issuedAt time.Time     // zero if a nonce stands for it
	age      time.Duration // of the process when it was examined
}

// Check is Examine and Use at once: it gives the thumbprint of the key that the
// caller proved to hold, by a proof that was not used before. The error is an
// *Error (HTTP 401 invalid_dpop_proof, or use_dpop_nonce for ErrUseNonce).
func (c *Checker) Check(p Proof) (jkt string, err error) {
	held, err := c.Examine(p)
	if err != nil {
		return "", err
	}
	if err := c.Use(held, p.Now); err != nil {
		return "", err
	}
	return held.JKT, nil
}

// Examine checks a proof (RFC 9449, section 4.3; passports.md, row 109) and
// remembers nothing. Whoever opens a token afterwards calls Use once the token has
// turned out to be good and bound to JKT, and before anything is answered: then
// strangers, who can make any number of proofs of nothing, take no room in the
// memory. The error is an *Error.
func (c *Checker) Examine(p Proof) (Held, error) {
	switch {
	case len(p.Headers) == 0:
		return Held{}, refuse("there is no proof: send one in the header DPoP")
	case len(p.Headers) > 1:
		return Held{}, refuse("%d headers DPoP: send exactly one", len(p.Headers))
	}
	opened, err := jose.OpenEmbedded(p.Headers[0], proofType, maxProofBytes)
	if err != nil {
		return Held{}, refuse("%s", detailOf(err))
	}
	var claims proofClaims
	if err := jose.Unmarshal(opened.Payload, &claims); err != nil {
		return Held{}, refuse("%s", detailOf(err))
	}
	if err := claims.whole(); err != nil {
		return Held{}, err
	}
	if claims.Method.Value != p.Method {
		return Held{}, refuse("the proof is for another method (htm)")
	}
	if err := sameAddress(claims.URL.Value, p.URL); err != nil {
		return Held{}, err
	}
	if err := claims.forToken(p.Token); err != nil {
		return Held{}, err
	}
	boot, age := c.memory.age(p.Now)
	held := Held{JKT: opened.Key.Thumbprint, id: trust.DigestOfString(claims.ID.Value), age: age}
	byNonce := claims.Nonce.Present && c.nonces.good(claims.Nonce.Value, age)
	if err := claims.inTime(byNonce, boot, p.Now); err != nil {
		return Held{}, err
	}
	if !byNonce {
		held.issuedAt = claims.IssuedAt.Time
	}
	return held, nil
}

// Use remembers the proof, and refuses one that was used before or that cannot
// be remembered. The error is an *Error.
func (c *Checker) Use(h Held, now time.Time) error {
	if h.JKT == "" {
		return refuse("there is no proof")
	}
	switch c.memory.use(h, now) {
	case fresh:
		return nil
	case used:
		return refuse("the proof was used before (jti): make a new one for each request")
	case forgotten:
		return wantNonce("the proof is from a time about which nothing is remembered any more")
	}
	return refuse("more proofs than are remembered: ask again in a few minutes")
}

// proofClaims are the claims of a proof (RFC 9449, section 4.2).
type proofClaims struct {
	ID        jose.Text        `json:"jti"`
	Method    jose.Text        `json:"htm"`
	URL       jose.Text        `json:"htu"`
	IssuedAt  jose.NumericDate `json:"iat"`
	TokenHash jose.Text        `json:"ath"`
	Nonce     jose.Text        `json:"nonce"`
	// A proof need not have these. One that has is held to them (RFC 7519, section
	// 4.1).
	Expires   jose.NumericDate `json:"exp"`
	NotBefore jose.NumericDate `json:"nbf"`
}

// whole tells whether everything is there that every proof has.
func (c *proofClaims) whole() error {
	switch {
	case !c.ID.Present || !c.Method.Present || !c.URL.Present || c.IssuedAt.IsZero():
		return refuse("the proof lacks jti, htm, htu or iat")
	case c.ID.Value == "" || len(c.ID.Value) > maxIDBytes:
		return refuse("jti is empty or longer than %d bytes", maxIDBytes)
	case c.Nonce.Present && c.Nonce.Value == "":
		return refuse("nonce is empty")
	}
	return nil
}

// forToken compares ath with the token that came along. A proof made for a token
// is good for that token alone; one made for none is good for none.
func (c *proofClaims) forToken(token trust.AccessToken) error {
	switch {
	case token.IsZero() && c.TokenHash.Present:
		return refuse("the proof is for an access token (ath), and none came with it")
	case token.IsZero():
		return nil
	case !c.TokenHash.Present:
		return refuse("the proof does not say for which access token it is (ath)")
	case subtle.ConstantTimeCompare([]byte(c.TokenHash.Value), []byte(thumbprint([]byte(token.Reveal())))) != 1:
		return refuse("the proof is for another access token (ath)")
	}
	return nil
}

// inTime tells whether the proof was made just now: by a nonce of this node if it
// has one, for then its own clock does not matter (RFC 9449, section 4.3, number
// 11), and by iat otherwise.
func (c *proofClaims) inTime(byNonce bool, boot, now time.Time) error {
	switch {
	case !c.Expires.IsZero() && !now.Before(c.Expires.Time):
		return refuse("the proof has expired (exp)")
	case c.NotBefore.After(now.Add(maxAhead)):
		return refuse("the proof is not valid yet (nbf)")
	case byNonce:
		return nil
	case c.Nonce.Present:
		return wantNonce("the nonce is not, or no longer, one of this node")
	case c.IssuedAt.Before(now.Add(-maxAge)):
		return wantNonce("the proof is more than a minute old (iat): is a clock wrong?")
	case c.IssuedAt.After(now.Add(maxAhead)):
		return wantNonce("the proof was made in the future (iat): is a clock wrong?")
	case c.IssuedAt.Before(boot.Add(maxAhead)):
		// A client whose clock is ahead may have dated so a proof that was used
		// before the node started.
		return wantNonce("this node has just started, and does not know which proofs were used before")
	}
	return nil
}

func wantNonce(detail string) *Error {
	return &Error{Reason: trust.ReasonProof, Detail: detail + "; make a new proof with the nonce of this answer", UseNonce: true}
}

// detailOf gives the sentence of an error of package jose without its reason.
func detailOf(err error) string {
	if own, ok := errors.AsType[*jose.Error](err); ok {
		return "the proof does not hold: " + own.Detail
	}
	return "the proof cannot be read"
}

// CertificateThumbprint is what a token's cnf names a client certificate by
// (x5t#S256; RFC 8705, section 3.1): SHA-256 of its DER bytes in unpadded base64url.
// It is "" for no certificate.
func CertificateThumbprint(der []byte) string {
	if len(der) == 0 {
		return ""
	}
	return thumbprint(der)
}

func thumbprint(b []byte) string {
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
