package mint

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrLint is wrapped by what is returned for a value or source that must not stand in
// a visa.
var ErrLint = errors.New("must not stand in a visa")

// email is deliberately wide: whatever has the look of somebody's address.
var email = regexp.MustCompile(`[^\s/@;,]+@[^\s/@;,]+\.[^\s/@;,]+`)

// noOrganization is the source of what nobody asserts (GA4GH Passport 1.2, "source").
const noOrganization = "https://no.organization"

// LintValue refuses what looks like a person's address or name in the value of a
// visa: a visa travels widely, and holds no more about a person than the decision
// needs (passports.md, row 116; GA4GH Passport 1.2, "URL Claims", for the length).
func LintValue(value string) error {
	decoded, err := url.PathUnescape(value)
	if err != nil {
		decoded = value
	}
	switch {
	case value == "":
		return fmt.Errorf("an empty value %w", ErrLint)
	case utf8.RuneCountInString(value) > maxURLClaim:
		return fmt.Errorf("%.80q... %w: it has more than %d characters", value, ErrLint, maxURLClaim)
	case !utf8.ValidString(value) || strings.ContainsFunc(decoded, func(r rune) bool { return !unicode.IsPrint(r) && r != ' ' }):
		return fmt.Errorf("a value with characters that do not print %w", ErrLint)
	case strings.ContainsFunc(decoded, unicode.IsSpace):
		return fmt.Errorf("a value with spaces %w: it may name a person", ErrLint)
	case email.MatchString(decoded) || strings.HasPrefix(strings.ToLower(decoded), "mailto:"):
		return fmt.Errorf("a value with an e-mail address %w: name the dataset, and no person", ErrLint)
	}
	return nil
}

// LintSource checks the source of visas. It must be an absolute https URL that names
// an organization. A warning is for the operator: a query string in it is seldom
// stable, and sites that list sources compare them character by character
// (passports.md, row 114).
func LintSource(source string) (warning string, err error) {
	if err := LintValue(source); err != nil {
		return "", fmt.Errorf("source: %w", err)
	}
	parsed, err := url.Parse(source)
	switch {
	case err != nil || parsed.Scheme != "https" || parsed.Host == "":
		return "", fmt.Errorf("source %.80q %w: it must be an https URL of the body that decides", source, ErrLint)
	case parsed.User != nil || parsed.Fragment != "":
		return "", fmt.Errorf("source: a URL with a user or a fragment %w", ErrLint)
	case strings.TrimRight(source, "/") == noOrganization:
		return "", fmt.Errorf("source %q %w: it says that no organization stands behind the visa", source, ErrLint)
	case strings.Contains(source, "?"):
		return "the source has a query string: sources are compared character by character, so use a URL that stays the same", nil
	}
	return "", nil
}
