// Package claims resolves aggregated and distributed claims (OpenID Connect Core
// 1.0, section 5.6.2; passports.md, section J): claims about a person that an OpenID
// provider only points to, made and signed by somebody else.
//
// It fetches and verifies nothing itself: both are handed in. A claim that cannot be
// had is absent, with a reason, and never fails anything else.
package claims

import "time"

// Found is a claim that its own source signed and that this site takes from it.
type Found struct {
	Source string // the configured issuer of kind claims
	Name   string
	Value  []byte    // raw JSON, out of verified bytes; the receiver's own copy
	Until  time.Time // the end of what the source signed, and of its key's evidence
}

// Absent is a claim that was pointed to and is treated as not held (passports.md,
// row 84). Its texts are safe to show and to log.
type Absent struct {
	Name   string `json:"name"`
	Source string `json:"source,omitempty"` // the configured issuer, "" if none was found
	Why    string `json:"why"`
}
