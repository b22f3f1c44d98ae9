package federation

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"slices"
	"time"

	"github.com/candignode/candignode/trust"
)

// assertionType is the envelope's typ (trust-protocol.md, section 5).
const assertionType = "candig-fwd+jwt"

// assertion is what the origin's node signs, once for each target: "this person
// asked me this question, and I ask you, here, now". Everything that makes it
// useless to anybody else stands in it: one target, one connection, one minute,
// one use, one question, one hop (trust-protocol.md, section 11).
type assertion struct {
	Network     string         `json:"net,omitempty"`
	Issuer      trust.NodeID   `json:"iss"`
	Site        trust.SiteName `json:"site"`
	Audience    trust.NodeID   `json:"aud"`
	IssuedAt    int64          `json:"iat"` // seconds since 1970, rounded down
	Expires     int64          `json:"exp"` // likewise; at most maxLife after iat
	ID          string         `json:"jti"` // 16 random bytes in base64url
	Transaction string         `json:"txn"` // shared by all targets of the question
	// Exporter is the TLS exporter value of the connection that carries the
	// message. It is 32 bytes written like a digest, and no digest.
	Exporter trust.Digest `json:"exporter"`
	Question trust.Digest `json:"digest"`
	// Hops counts the sites that had forwarded the question before: always 0.
	// It is a pointer because leaving it out must not mean 0.
	Hops *int `json:"hops"`
	// Wait is how many milliseconds the origin will wait for the response.
	Wait int64 `json:"wait"`
	// Caller is absent when the caller is anonymous; then Passports is empty.
	Caller    *trust.Identity `json:"caller,omitempty"`
	Passports []trust.Digest  `json:"passports"`
}

// jti is an assertion's ID in the form that is remembered.
type jti [16]byte

func newID() string {
	var id jti
	rand.Read(id[:]) // never fails: it ends the program rather than give weak bytes
	return base64.RawURLEncoding.EncodeToString(id[:])
}

func parseID(s string) (id jti, ok bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(raw) != len(id) {
		return id, false
	}
	copy(id[:], raw)
	return id, true
}

// stamp sets the times of an assertion that is signed at now.
func (a *assertion) stamp(now time.Time) {
	a.IssuedAt = now.Unix()
	a.Expires = a.IssuedAt + int64(maxLife/time.Second)
}

// checkAddress tells whether the assertion is from this peer, to this node, for
// this connection.
func (a *assertion) checkAddress(o ReceiverOptions, in Incoming) *refusal {
	switch {
	case a.Network != o.Network:
		return refuse("network", "made for the network %.80q", a.Network)
	case a.Issuer != in.Node:
		return refuse("issuer", "issued by node %.80q, which is not the peer", a.Issuer)
	case a.Audience != o.Node:
		return refuse("audience", "made for node %.80q", a.Audience)
	case subtle.ConstantTimeCompare(a.Exporter[:], in.Exporter[:]) != 1:
		return refuse("exporter", "made for another connection")
	}
	return nil
}

// checkTime tells whether the assertion may be used at now by a node that
// started at boot.
//
// The memory of used assertions is lost when a node stops, so an assertion from
// before the start is refused: it may have been used. iat has whole seconds, so
// boot is rounded down too: else a question asked in the second in which the
// node started would be refused. What that admits, an assertion used earlier in
// the very same second by the same node before it restarted, fails on the
// exporter value, because no connection outlives the process. An origin whose
// clock is slow by s is refused for the first s after the start, and not later.
func (a *assertion) checkTime(now, boot time.Time) *refusal {
	switch {
	case a.IssuedAt < boot.Unix():
		return refuse("before_start", "made at %d, before this node started at %d", a.IssuedAt, boot.Unix())
	case a.IssuedAt > now.Unix()+int64(maxSkew/time.Second):
		return refuse("future", "made at %d, it is %d now: compare the clocks", a.IssuedAt, now.Unix())
	case a.Expires <= a.IssuedAt || a.Expires-a.IssuedAt > int64(maxLife/time.Second):
		return refuse("lifetime", "valid from %d to %d, at most %v is allowed", a.IssuedAt, a.Expires, maxLife)
	case a.Expires <= now.Unix():
		return refuse("expired", "expired at %d, it is %d now", a.Expires, now.Unix())
	}
	return nil
}

// checkContent tells whether the message carries exactly what was signed.
func (a *assertion) checkContent(question trust.Digest, passports []trust.Digest) *refusal {
	switch {
	case a.Question != question:
		return refuse("digest", "the question is not the one that was signed")
	case a.Hops == nil:
		return refuse("hops", "does not say how many hops it made")
	case *a.Hops != 0:
		return refuse("hops", "was forwarded before: hops is %d", *a.Hops)
	case !slices.Equal(a.Passports, passports):
		return refuse("passports", "the passports are not the %d that were signed", len(a.Passports))
	case a.Caller == nil && len(passports) > 0:
		return refuse("caller", "passports without a caller")
	case a.Caller != nil && len(passports) == 0:
		return refuse("caller", "a caller is named and no passport shows who it is")
	}
	return nil
}

// wait gives how long the origin waits, within bounds.
func (a *assertion) wait() time.Duration {
	if a.Wait <= 0 || a.Wait > maxWait.Milliseconds() {
		return maxWait
	}
	return time.Duration(a.Wait) * time.Millisecond
}

// refusal says why a forwarded question is not answered. The peer never sees it.
type refusal struct {
	rule   string // a stable word for the audit record
	detail string
}

func refuse(rule, format string, args ...any) *refusal {
	return &refusal{rule: rule, detail: fmt.Sprintf(format, args...)}
}
