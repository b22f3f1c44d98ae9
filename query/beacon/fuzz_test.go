package beacon_test

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/query/beacon"
)

// holds checks what is true of every request: it is refused with a named reason
// that repeats no token, or it is a question that may be asked and written back.
func holds(t *testing.T, d beacon.Decoded, err error) {
	t.Helper()
	if err != nil {
		if !errors.Is(err, query.ErrRequest) {
			t.Fatalf("an error that is not about the request: %v", err)
		}
		if beacon.HoldsToken(err.Error()) || len(err.Error()) > 700 {
			t.Fatalf("the error repeats too much: %v", err)
		}
		return
	}
	if !d.NothingAsked {
		d.Request.Transaction = "tx"
		if err := d.Request.Validate(); err != nil {
			t.Fatalf("decoded, but not a question: %v", err)
		}
	}
	for _, document := range []beacon.Document{
		beacon.Results(uhn(), d, query.Answer{}), beacon.NothingAsked(uhn(), d, "tx"),
	} {
		encoded, err := json.Marshal(document)
		if err != nil {
			t.Fatal(err)
		}
		if beacon.HoldsToken(string(encoded)) {
			t.Fatalf("the summary repeats a token: %s", encoded)
		}
	}
	if d.Request.TestMode && !d.NothingAsked {
		beacon.Synthetic(uhn(), d.Request)
	}
}

func FuzzDecodePost(f *testing.F) {
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := beacon.DecodePost(query.GVariants, body)
		holds(t, d, err)
		if _, err := beacon.DecodePassports(body); err != nil && (!errors.Is(err, query.ErrRequest) || beacon.HoldsToken(err.Error())) {
			t.Fatal(err)
		}
	})
}

func FuzzDecodeGet(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		values, err := url.ParseQuery(text)
		if err != nil {
			return
		}
		d, err := beacon.DecodeGet(query.GVariants, values)
		holds(t, d, err)
		if err == nil && !d.NothingAsked && strings.Contains(strings.ToLower(text), "token=") {
			t.Fatalf("a token in a URL was accepted: %q", text)
		}
		if err := beacon.CheckInfo(values); err != nil && beacon.HoldsToken(err.Error()) {
			t.Fatal(err)
		}
	})
}
