package beacon

import (
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/candignode/candignode/query"
)

// jwtBegin finds the start of a JOSE header, `{"` in base64url. No chromosome,
// assembly or allele holds it, and a dataset id that did would be odd enough.
var jwtBegin = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{10,}`)

var plainName = regexp.MustCompile(`^[A-Za-z0-9_$.-]+$`)

// HoldsToken tells whether text holds what looks like a signed token, so that it
// is refused without being repeated.
func HoldsToken(text string) bool { return jwtBegin.MatchString(text) }

// namesToken tells whether a parameter of this name is meant to carry a
// credential, whatever its value looks like.
func namesToken(name string) bool {
	lower := strings.ToLower(name)
	for _, part := range []string{"token", "passport", "visa", "jwt", "bearer", "authorization", "secret", "password", "assertion"} {
		if strings.Contains(lower, part) {
			return true
		}
	}
	return false
}

// tokenMisplaced refuses a credential outside the one place for it. The value is
// never part of the text (passports.md, row 137).
func tokenMisplaced(name string) error {
	return query.Bad(safeName(name), "credentials are taken only as the POST body member passports, "+
		"never in a URL or under another name; treat this one as exposed")
}

// safeName gives a parameter's name for an error, or a stand-in if the name
// itself could be a secret or is not printable.
func safeName(name string) string {
	if name == "" || len(name) > maxName || !plainName.MatchString(name) || HoldsToken(name) {
		return "a parameter whose name is not repeated here"
	}
	return name
}

// clean makes text that another site sent fit to show: one line, bounded, no
// token.
func clean(text string) string {
	if HoldsToken(text) {
		return ""
	}
	runes := []rune(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text))
	return strings.TrimSpace(string(slices.Clip(runes[:min(len(runes), maxPeerText)])))
}

// NamesToken tells whether a parameter of this name is meant to carry a
// credential.
func NamesToken(name string) bool { return namesToken(name) }
