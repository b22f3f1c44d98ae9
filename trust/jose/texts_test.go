package jose

import (
	"slices"
	"testing"
)

func TestTexts(t *testing.T) {
	for text, want := range map[string]Texts{
		`{}`:                {},
		`{"aud":"a"}`:       {Values: []string{"a"}, Present: true},
		`{"aud":["a","b"]}`: {Values: []string{"a", "b"}, Present: true, Array: true},
		`{"aud":[]}`:        {Present: true, Array: true},
	} {
		var got struct {
			Audience Texts `json:"aud"`
		}
		err := Unmarshal([]byte(text), &got)
		if a := got.Audience; err != nil || a.Present != want.Present || a.Array != want.Array || !slices.Equal(a.Values, want.Values) {
			t.Errorf("%s: %+v, %v", text, a, err)
		}
	}
	for _, bad := range []string{`{"aud":null}`, `{"aud":1}`, `{"aud":[1]}`, `{"aud":["a",null]}`, `{"aud":[["a"]]}`, `{"aud":{"a":"b"}}`} {
		var got struct {
			Audience Texts `json:"aud"`
		}
		if err := Unmarshal([]byte(bad), &got); err == nil {
			t.Errorf("%s: %+v", bad, got.Audience)
		}
	}
}
