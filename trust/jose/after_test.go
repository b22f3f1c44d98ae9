package jose

import (
	"errors"
	"strings"
	"testing"

	"github.com/candignode/candignode/trust"
)

// Whatever was read before, a token says of itself what it says when it is read alone,
// and is refused for the same reason.
func TestTheTokenBeforeChangesNothing(t *testing.T) {
	tokens := []string{
		rawRS256(rsaKey(), goodHeader, goodPayload),
		rawRS256(rsaKey(), goodHeader, `{"iss":"https://other.example"}`),
		rawRS256(rsaKey(), `{"alg":"RS256","kid":"k2","typ":"JWT"}`, goodPayload),
		rawRS256(rsaKey(), goodHeader+" ", goodPayload),
		rawRS256(rsaKey(), `{"alg":"RS256","kid":"k1","typ":"JWT","crit":[]}`, goodPayload),
		rawRS256(rsaKey(), goodHeader, goodPayload) + "=",
		"",
		strings.Repeat("a", 1<<20) + ".a.a",
	}
	reason := func(err error) trust.Reason {
		if own, ok := errors.AsType[*Error](err); ok {
			return own.Reason
		}
		return ""
	}
	for i, first := range tokens {
		before, _ := Parse(first, 1<<20)
		for k, text := range tokens {
			alone, want := Parse(text, 1<<20)
			after, got := ParseAfter(before, text, 1<<20)
			if reason(got) != reason(want) || (got == nil) != (want == nil) {
				t.Errorf("%d after %d: %v, alone %v", k, i, got, want)
				continue
			}
			if want != nil {
				continue
			}
			if after.Header() != alone.Header() {
				t.Errorf("%d after %d: %+v, alone %+v", k, i, after.Header(), alone.Header())
			}
			_, want = alone.Verify(rsaPublic("k1"), RS256)
			if _, got = after.Verify(rsaPublic("k1"), RS256); reason(got) != reason(want) || (got == nil) != (want == nil) {
				t.Errorf("%d after %d: verified %v, alone %v", k, i, got, want)
			}
		}
	}
}

// V001: the library is given the payload apart from the token, and must still check the
// signature over both: no part of one good token goes with parts of another.
func TestPartsOfTwoTokensDoNotVerify(t *testing.T) {
	parts := func(header, payload string) []string {
		return strings.Split(rawRS256(rsaKey(), header, payload), ".")
	}
	one, two := parts(goodHeader, goodPayload), parts(`{"alg":"RS256","kid":"k1"}`, `{"iss":"https://i.example","sub":"somebody else"}`)
	for mixed := range 8 {
		var token []string
		for part := range 3 {
			token = append(token, [][]string{one, two}[mixed>>part&1][part])
		}
		err := verify(strings.Join(token, "."), rsaPublic("k1"))
		if own, ok := errors.AsType[*Error](err); mixed == 0 || mixed == 7 {
			if err != nil {
				t.Errorf("%d: a good token is refused: %v", mixed, err)
			}
		} else if !ok || own.Reason != trust.ReasonSignature {
			t.Errorf("%d: parts of two tokens: %v", mixed, err)
		}
	}
}
