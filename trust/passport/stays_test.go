package passport

import (
	"slices"
	"testing"

	"github.com/candignode/candignode/trust"
)

// Row 70; invariant 20: a passport with something in it that opens something at its issuer is
// good here and is marked to stay, whether this site takes that issuer's visas or not, and when
// it is remembered as well.
func TestAPassportWithAnAccessTokenStays(t *testing.T) {
	foreign := visaClaimsOf().with("iss", "https://nobody-knows.example.org/").with("scope", "openid")
	for name, one := range map[string]struct {
		visa string
		want bool
	}{
		"a document token":                  {newWorld(t).grant(), false},
		"an access token":                   {accessVisa(0), true},
		"typed as one, without its scope":   {raw(dacKey(), `{"alg":"RS256","kid":"rsa1","typ":"at+jwt"}`, visaClaimsOf().without("scope").text()), true},
		"a stranger's, with openid":         {rawVisa(foreign), true},
		"a stranger's document token":       {rawVisa(foreign.without("scope")), false},
		"an opaque token that is no JWT":    {"opaque-access-token", true},
		"openid within a longer scope":      {rawVisa(visaClaimsOf().with("scope", "openidx")), false},
		"openid among others, and with jku": {rawVisa(visaClaimsOf().with("scope", "profile openid")), true},
	} {
		w := newWorld(t)
		p := w.passport(one.visa)
		for range 2 {
			verdict, err := w.verify(w.passport(w.grant()), p)
			if err != nil {
				t.Fatal(name, err)
			}
			if got := slices.Equal(verdict.Caller.Stays, []trust.Digest{trust.DigestOfString(p)}); got != one.want || !one.want && verdict.Caller.Stays != nil {
				t.Errorf("%s: %v stays, want %t", name, verdict.Caller.Stays, one.want)
			}
		}
	}
}
