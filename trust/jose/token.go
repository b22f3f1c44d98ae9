// Package jose is the one place where signed tokens are taken apart, verified
// and made, and the one owner of the JOSE library.
//
// The library is kept to one call, jws.Verify with a key and algorithm chosen
// here: its JWT parser believes unsigned members, and its readers accept
// duplicate names, padding, unknown crit and more (passports.md, "One verifier,
// in this order"). Everything before and after the signature check is done here.
// Nothing in this package fetches, stores or decides whom to trust.
package jose

import "strings"

// Header is what a token's protected header says, as sent.
type Header struct {
	Algorithm string // alg
	Type      string // typ, "" if absent
	KeyID     string // kid, "" if absent
	JKU       string // jku, "" if absent: an address to compare, never to fetch
}

// IsType compares typ as a media type: without regard to case, the prefix
// application/ optional (RFC 7515, section 4.1.9). Parameters never match.
func (h Header) IsType(want string) bool {
	const prefix = "application/"
	bare := h.Type
	if len(bare) > len(prefix) && strings.EqualFold(bare[:len(prefix)], prefix) {
		bare = bare[len(prefix):]
	}
	return isASCII(bare) && strings.EqualFold(bare, want)
}

// isASCII keeps Unicode look-alikes that fold to ASCII letters (the Kelvin
// sign, the long s) from matching.
func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
