package passport

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// identifier tells whether s can name something without deceiving whoever reads
// it: 1 to most characters, and none that is invisible or turns the text around
// (V030). The strict reader has refused invalid UTF-8 before.
func identifier(s string, most int) bool {
	if s == "" || len(s) > most*utf8.UTFMax || utf8.RuneCountInString(s) > most {
		return false
	}
	for _, r := range s {
		if r < ' ' || r == 0x7f || r > 0x7f && deceives(r) {
			return false
		}
	}
	return true
}

// deceives tells control and format characters (bidi marks, zero-width
// characters, tags), line and paragraph separators, and what is no character.
func deceives(r rune) bool {
	return r == utf8.RuneError || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co, unicode.Noncharacter_Code_Point)
}

// shown makes a claim of a token that was not accepted fit to be told: short,
// and escaped if anything in it does not print.
func shown(s string) string {
	if len(s) > maxShown {
		s = strings.ToValidUTF8(s[:maxShown], "") + "..."
	}
	if s == "" || identifier(s, maxShown+3) {
		return strings.Clone(s)
	}
	return strconv.QuoteToASCII(s)
}

// internAmong gives the equal string of known, so that a cached claim keeps no
// copy of its own, or "".
func internAmong(s string, known []string) string {
	for _, k := range known {
		if k == s {
			return k
		}
	}
	return ""
}
