package access

import (
	"time"

	"github.com/candignode/candignode/trust"
)

// Session is a sign-in at this site that has not ended. Its JSON, for the person and
// the operator, leaves out what only the node itself needs.
type Session struct {
	ID string `json:"id"` // names the session; it opens nothing
	// TokenDigest is that of the session token, which is nowhere but with its bearer.
	TokenDigest    trust.Digest `json:"-"`
	trust.Identity              // who signed in
	Created        time.Time    `json:"created"`
	Used           time.Time    `json:"used"` // the last use, within minutes
	Until          time.Time    `json:"until"`
	Label          string       `json:"label,omitempty"` // where it was made, for people; printable
	// Sealed is what the session was made from, encrypted with a key that the
	// session token gives and that is not kept.
	Sealed []byte `json:"-"`
}

// Poll is what is remembered about asking an issuer whether one access token visa
// still holds (GA4GH AAI 1.2, Passport Clearinghouses, 6). It is kept by the visa's
// digest and holds no token.
type Poll struct {
	trust.Identity           // who the visa is about, at the issuer that is asked
	Expires        time.Time `json:"expires"` // the visa's own exp
	// Until is how long the newest confirmation lasts; zero if there is none.
	Until time.Time `json:"until,omitzero"`
	// Next is the earliest time at which the issuer may be asked again.
	Next     time.Time `json:"next"`
	Failures int       `json:"failures,omitempty"` // polls in a row without an answer
	// Refused says that the issuer took the visa back: nobody asks again.
	Refused bool `json:"refused,omitempty"`
	// Replaced says that the newest answer had other visas in its place.
	Replaced bool   `json:"replaced,omitempty"`
	Detail   string `json:"detail,omitempty"` // for people; printable
}
