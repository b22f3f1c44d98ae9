package passport

import "unicode/utf8"

// matches tells whether pattern describes the whole of text: '?' is one character
// (a code point), '*' any run of them and none at all, everything else itself, and
// there is no escape (GA4GH Passport 1.2, "Pattern Matching"; passports.md, row 36).
//
// It keeps only the last '*' to come back to, for an earlier one can do nothing that
// the last cannot. So it takes at most len(pattern)*len(text) steps and no memory,
// whatever it is given (V086). Each step is taken from steps; once there are none
// left, nothing matches any more.
func matches(pattern, text string, steps *int) bool {
	p, t := 0, 0
	star, resume := -1, 0 // after the last '*', and where the run it stands for ends
	for t < len(text) {
		if *steps--; *steps < 0 {
			return false
		}
		if p < len(pattern) {
			want, width := utf8.DecodeRuneInString(pattern[p:])
			if want == '*' {
				p++
				star, resume = p, t
				continue
			}
			got, length := utf8.DecodeRuneInString(text[t:])
			if want == '?' || want == got {
				p, t = p+width, t+length
				continue
			}
		}
		if star < 0 {
			return false
		}
		_, length := utf8.DecodeRuneInString(text[resume:])
		resume += length
		p, t = star, resume
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
