package jose

import (
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
)

// Row 105, V036 to V038.
func TestNumericDate(t *testing.T) {
	good := map[string]time.Time{
		`1`: time.Unix(1, 0), `1700000000`: time.Unix(1700000000, 0), `1700000000.5`: time.Unix(1700000000, 500_000_000),
		`1.7e9`: time.Unix(1700000000, 0), `8589934591`: time.Unix(8589934591, 0), `1700000000.000`: time.Unix(1700000000, 0),
	}
	for text, want := range good {
		var claims struct {
			Exp NumericDate `json:"exp"`
		}
		if err := Unmarshal([]byte(`{"exp":`+text+`}`), &claims); err != nil || !claims.Exp.Equal(want) {
			t.Errorf("%s: %v %v", text, claims.Exp, err)
		}
	}
	for _, text := range []string{`0`, `"0"`, `0.5`, `-0`, `"1700000000"`, `"2030-01-01T00:00:00Z"`, `null`, `true`, `[1700000000]`, `{}`,
		`-1`, `1e30`, `1e400`, `9223372036854775808`, `8589934592`, `8589934591.9999999`, `1700000000000`, `1e-400`, `-1e400`} {
		var claims struct {
			Exp NumericDate `json:"exp"`
		}
		if err := Unmarshal([]byte(`{"exp":`+text+`}`), &claims); reasonOf(t, err) != trust.ReasonBadTime || !claims.Exp.IsZero() {
			t.Errorf("%s: %v %v", text, claims.Exp, err)
		}
	}
	for _, text := range []string{`1.`, `+1`, `NaN`, `Infinity`, `1_000`} {
		var d NumericDate
		if err := Unmarshal([]byte(text), &d); reasonOf(t, err) != trust.ReasonMalformed {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// Rows 103 and 107; V027, V029, V030.
func TestUnmarshalIsStrict(t *testing.T) {
	type claims struct {
		Sub  string `json:"sub"`
		Exp  int64  `json:"exp"`
		Deep struct {
			A int `json:"a"`
		} `json:"deep"`
		List []Text `json:"list"`
	}
	for text, want := range map[string]trust.Reason{
		`{"sub":"a","exp":1,"other":[{"b":1}]}`: "",
		`{"Exp":7,"SUB":"x"}`:                   "", // read over, see below
		`{"sub":"a","sub":"b"}`:                 trust.ReasonMalformed,
		`{"sub":"a","\u0073ub":"b"}`:            trust.ReasonMalformed,
		`{"exp":1,"exp":2}`:                     trust.ReasonMalformed,
		`{"deep":{"a":1,"a":2}}`:                trust.ReasonMalformed,
		`{"other":{"a":1,"a":2}}`:               trust.ReasonMalformed,
		`{"other":[[{"a":1,"a":2}]]}`:           trust.ReasonMalformed,
		`{}{}`:                                  trust.ReasonMalformed,
		`{} x`:                                  trust.ReasonMalformed,
		`{},`:                                   trust.ReasonMalformed,
		`{"sub":"a",}`:                          trust.ReasonMalformed,
		`{'sub':1}`:                             trust.ReasonMalformed,
		`{/**/}`:                                trust.ReasonMalformed,
		"\ufeff{}":                              trust.ReasonMalformed,
		``:                                      trust.ReasonMalformed,
		"{\"sub\":\"\xff\"}":                    trust.ReasonMalformed,
		"{\"other\":\"\xc0\xaf\"}":              trust.ReasonMalformed,
		`{"sub":"\ud800"}`:                      trust.ReasonMalformed,
		`{"other":"\udc00\ud800"}`:              trust.ReasonMalformed,
		"{\"sub\":\"a\x00\"}":                   trust.ReasonMalformed,
		`{"sub":7}`:                             trust.ReasonBadClaim,
		`{"exp":"1"}`:                           trust.ReasonBadClaim,
		`{"exp":1.5}`:                           trust.ReasonBadClaim,
		`{"list":["a",null]}`:                   trust.ReasonBadClaim,
		`{"list":["a",7]}`:                      trust.ReasonBadClaim,
		`{"list":{}}`:                           trust.ReasonBadClaim,
		`[]`:                                    trust.ReasonBadClaim,
		`"text"`:                                trust.ReasonBadClaim,
	} {
		var into claims
		if err := Unmarshal([]byte(text), &into); reasonOf(t, err) != want {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	var into claims
	if err := Unmarshal([]byte(`{"exp":1,"Exp":7}`), &into); err != nil || into.Exp != 1 {
		t.Errorf("Exp was taken for exp: %v %v", into.Exp, err)
	}
	long := `{"` + strings.Repeat("n", 5000) + `":1,"` + strings.Repeat("n", 5000) + `":1}`
	if err := Unmarshal([]byte(long), &into); err == nil || len(err.Error()) > 300 {
		t.Errorf("%v", err)
	}
}
