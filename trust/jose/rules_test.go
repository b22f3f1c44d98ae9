package jose

import (
	"bytes"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/candignode/candignode/trust"
)

// rulesByTokens says what the envelope's rules say, token by token: slower than
// checkEnvelopeRules, and too plain to be wrong. ok is false for what is not
// strict JSON, about which the rules need not be right.
func rulesByTokens(data []byte) (want trust.Reason, ok bool) {
	if err := Unmarshal(data, new(jsontext.Value)); err != nil {
		return "", false
	}
	if trimmed := bytes.TrimLeft(data, " \t\r\n"); trimmed[0] != '{' {
		return trust.ReasonMalformed, true
	}
	dec := jsontext.NewDecoder(bytes.NewReader(data))
	for first := true; first || dec.StackDepth() > 0; first = false {
		token, err := dec.ReadToken()
		if err != nil {
			return "", false
		}
		if dec.StackDepth() > maxEnvelopeDepth {
			return trust.ReasonMalformed, true
		}
		switch token.Kind() {
		case '0':
			if want == "" && !isInteger(token.String()) {
				want = trust.ReasonMalformed
			}
		case '"':
			// At depth 1 an odd count of tokens read means a name was read last.
			if _, read := dec.StackIndex(1); want == "" && dec.StackDepth() == 1 && read%2 == 1 && token.String() == "crit" {
				want = trust.ReasonHeader
			}
		}
	}
	return want, true
}

func FuzzEnvelopeRules(f *testing.F) {
	for _, payload := range []string{
		`{}`, ` {"a" : [ -1 , {"b":true, "crit":null} ] , "c" : "\"crit\"" } `, `{"a":1,"crit":[]}`, `{"a":{},"\u0063rit":1}`,
		`{"a":[],"crit":2}`, `{"crit ":1}`, `{"a":"crit"}`, `{"a":["crit"]}`, `{"a":1.5}`, `{"a":[-0]}`, `{"a":1E2}`, `{"a":18446744073709551615}`,
		`[1]`, `"crit"`, `1`, `{"a":"1.5","b":"\\"}`, `{"a":[[[[[[[1]]]]]]]}`, `{"a":[[[[[[[[1]]]]]]]]}`, `{"1e5":0}`,
	} {
		f.Add([]byte(payload))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got := reasonOf(t, checkEnvelopeRules(data)) // about anything: no panic, and an *Error
		if want, ok := rulesByTokens(data); ok && got != want {
			t.Errorf("%q: %q, want %q", data, got, want)
		}
	})
}
