package passport

import (
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func match(pattern, text string) bool {
	steps := maxMatchSteps
	return matches(pattern, text, &steps)
}

// Row 36: anchored, case-sensitive, '?' one code point, '*' any run, no escape.
func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"faculty@*", "faculty@a.org", true},
		{"faculty@*", "faculty@", true},
		{"faculty@*", "Faculty@x", false},
		{"faculty@*", "my faculty@x", false},
		{"faculty@a", "faculty@a.org", false},
		{"*@a.org", "faculty@a.org", true},
		{"*@a.org", "faculty@a.org.evil", false},
		{"f?culty@*", "faculty@x", true},
		{"f?culty", "fculty", false},
		{"?", "é", true},
		{"??", "é", false},
		{"?", "研", true},
		{"a?c", "a𝛼c", true},
		{"*", "", true},
		{"", "", true},
		{"", "a", false},
		{"?", "", false},
		{"**", "abc", true},
		{"*a*b*", "xxaxxbxx", true},
		{"*a*b*", "xxbxxaxx", false},
		{"*ab", "aab", true},
		{"a*", "*", false},
		{`a\*`, "a*", false}, // no escape: the backslash is itself
		{`a\*`, `a\anything`, true},
		{"a*c", "a*c", true}, // a literal star is a character like others
		{"a.c", "abc", false},
		{"[ab]", "a", false},
	} {
		if got := match(c.pattern, c.text); got != c.want {
			t.Errorf("%q on %q: %v", c.pattern, c.text, got)
		}
	}
}

// Row 36, V086: a bomb of stars costs no more than pattern times text.
func TestPatternBombs(t *testing.T) {
	began := time.Now()
	for _, c := range []struct{ pattern, text string }{
		{strings.Repeat("*a", 10) + "*b", strings.Repeat("a", 30)},
		{strings.Repeat("*a", 4) + "*b", strings.Repeat("a", 255)},
		{strings.Repeat("*a", 120) + "*b", strings.Repeat("a", 255)},
		{strings.Repeat("*?", 120) + "*b", strings.Repeat("a", 255)},
		{"*" + strings.Repeat("a", 127) + "b", strings.Repeat("a", 255)},
	} {
		steps := maxMatchSteps
		if matches(c.pattern, c.text, &steps) {
			t.Errorf("%.20q matches", c.pattern)
		}
		if used := maxMatchSteps - steps; used > (len(c.pattern)+1)*(len(c.text)+1) {
			t.Errorf("%.20q took %d steps", c.pattern, used)
		}
	}
	if took := time.Since(began); took > 200*time.Millisecond {
		t.Errorf("took %v", took)
	}
	few := 10
	if matches(strings.Repeat("?", 11), strings.Repeat("a", 11), &few) {
		t.Error("matched though there were no steps left")
	}
}

// reference says the same with the regular expressions of the standard library.
func reference(pattern string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	for _, r := range pattern {
		switch r {
		case '*':
			b.WriteString(".*")
		case '?':
			b.WriteString(".")
		default:
			b.WriteString(regexp.QuoteMeta(string(r)))
		}
	}
	return regexp.MustCompile(b.String() + `\z`)
}

func TestPatternsAsRegularExpressions(t *testing.T) {
	letters := rapid.SampledFrom([]rune("aab*?é@"))
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringOfN(letters, 0, 12, -1).Draw(t, "pattern")
		text := rapid.StringOfN(letters, 0, 16, -1).Draw(t, "text")
		if got, want := match(pattern, text), reference(pattern).MatchString(text); got != want {
			t.Fatalf("%q on %q: %v", pattern, text, got)
		}
	})
}

func FuzzPattern(f *testing.F) {
	f.Add("faculty@*", "faculty@a.org")
	f.Add("*a*a*b", "aaaaaaaaaa")
	f.Add("é?*", "éaé")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern) > 300 || len(text) > 300 || !utf8.ValidString(pattern) || !utf8.ValidString(text) {
			return
		}
		if got, want := match(pattern, text), reference(pattern).MatchString(text); got != want {
			t.Errorf("%q on %q: %v", pattern, text, got)
		}
	})
}
