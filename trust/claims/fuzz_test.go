package claims_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
	"unicode"
	"unicode/utf8"
)

// FuzzResolve reads whatever response comes up. What is found was asked for by name,
// signed by its source, and not in the response itself; nothing unlisted is asked.
func FuzzResolve(f *testing.F) {
	w := newWorld(f)
	jwt := signed(w.dac, object{"grants": []string{"v"}, "terms": 1, "admin": true})
	for _, seed := range []string{
		`{"sub":"r","_claim_names":{"grants":"s"},"_claim_sources":{"s":{"JWT":"@"}}}`,
		`{"sub":"r","_claim_names":{"grants":"s","terms":"d"},"_claim_sources":{"s":{"JWT":"@"},"d":{"endpoint":"https://dac.example/claims","access_token":"t"}}}`,
		`{"sub":"r","grants":[],"_claim_names":{"grants":["s","t"]},"_claim_sources":{"s":{"JWT":"@","endpoint":"https://x.example"}}}`,
		`{"_claim_names":[],"_claim_sources":null}`,
		`{"_claim_names":{"sub":"s","admin":"s"},"_claim_sources":{"s":{"JWT":"@"}}}`,
		`[]`, ``, `{"_claim_names":{"a":{}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, response []byte) {
		response = bytes.ReplaceAll(response, []byte("@"), []byte(jwt))
		found, absent := w.resolver.Resolve(t.Context(), op, response, now)
		var top struct {
			Names map[string]any `json:"_claim_names"`
		}
		var members map[string]json.RawMessage
		if len(found) > 0 {
			if json.Unmarshal(response, &top) != nil || json.Unmarshal(response, &members) != nil {
				t.Errorf("found %v in what is no response", found)
			}
		}
		for _, one := range found {
			_, pointed := top.Names[one.Name]
			_, plain := members[one.Name]
			if !pointed || plain || one.Source != dacURL || !slices.Contains([]string{"grants", "terms"}, one.Name) || !json.Valid(one.Value) {
				t.Errorf("found %+v", one)
			}
		}
		for _, one := range absent {
			for _, r := range one.Name + one.Why {
				if !unicode.IsPrint(r) {
					t.Errorf("%q is not safe to show", one.Name+one.Why)
				}
			}
			if !utf8.ValidString(one.Name) {
				t.Errorf("%q", one.Name)
			}
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, a := range w.asked {
			if a.endpoint != endpoint && a.endpoint != otherURL+"/claims" {
				t.Errorf("asked %v", a)
			}
		}
		w.asked = nil
	})
}
