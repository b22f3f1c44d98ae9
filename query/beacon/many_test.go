package beacon

import (
	"strings"
	"testing"
)

// Row 106: of a list without end only the first few are read; whoever looks at them
// refuses them for their number. A list that is not too long is read as it is.
func TestAListOfPassportsIsReadSoFar(t *testing.T) {
	list := func(n int) []byte {
		return []byte(`{"passports":["a.b.c"` + strings.Repeat(`,"a.b.c"`, n-1) + `]}`)
	}
	for n, want := range map[int]int{1: 1, 10: 10, maxListed: maxListed, maxListed + 1: maxListed, 100_000: maxListed} {
		passports, err := DecodePassports(list(n))
		if err != nil || len(passports) != want {
			t.Errorf("%d shown: %d read, %v", n, len(passports), err)
		}
	}
	for name, bad := range map[string]string{
		"a number at the end": `{"passports":[` + strings.Repeat(`"a",`, 5) + `1]}`,
		"null":                `{"passports":["a",null]}`,
		"no list":             `{"passports":"a"}`,
	} {
		if passports, err := DecodePassports([]byte(bad)); err == nil {
			t.Errorf("%s: %v", name, passports)
		}
	}
}
