package jose

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	stdjson "encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/candignode/candignode/trust"
)

func rawES256(key *ecdsa.PrivateKey, header, payload string) string {
	input := b64(header) + "." + b64(payload)
	sum := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		panic(err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return input + "." + b64(string(signature))
}

// FuzzParse: no text makes the reader panic, and what it takes has one spelling.
func FuzzParse(f *testing.F) {
	f.Fuzz(func(t *testing.T, token string) {
		parsed, err := Parse(token, 1<<16)
		if err != nil {
			reasonOf(t, err)
			return
		}
		again := b64(string(parsed.parts.header)) + "." + b64(string(parsed.parts.payload)) + "." + b64(string(parsed.parts.signature))
		if again != token {
			t.Errorf("%q is also written %q", token, again)
		}
		_, _, err = parsed.Peek("ga4gh_passport_v1")
		reasonOf(t, err)
	})
}

// FuzzVerify signs whatever header and payload come up: only a plain ES256
// header may pass, and the bytes that come back are the ones signed.
func FuzzVerify(f *testing.F) {
	f.Fuzz(func(t *testing.T, header, payload string) {
		parsed, err := Parse(rawES256(ecKey(), header, payload), 1<<16)
		if err != nil {
			reasonOf(t, err)
			return
		}
		got, err := parsed.Verify(trust.Key{KeyID: parsed.Header().KeyID, Public: ecKey().Public()}, RS256, ES256)
		if err != nil {
			reasonOf(t, err)
			return
		}
		if string(got) != payload {
			t.Errorf("signed %q, got %q", payload, got)
		}
		var seen map[string]any
		if err := stdjson.Unmarshal([]byte(header), &seen); err != nil {
			t.Fatalf("%q passed: %v", header, err)
		}
		for _, name := range []string{"crit", "b64", "zip", "enc"} {
			if _, there := seen[name]; there {
				t.Errorf("%q passed with %s", header, name)
			}
		}
		if seen["alg"] != "ES256" {
			t.Errorf("%q passed with alg %v", header, seen["alg"])
		}
	})
}

// FuzzKeySet: whatever a set says, every key that comes out is fit to use.
func FuzzKeySet(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte, waive bool) {
		keys, rejected, err := ParseKeySet(text, waive)
		if err != nil {
			reasonOf(t, err)
			return
		}
		if len(keys)+len(rejected) > maxKeySetKeys {
			t.Errorf("%d keys", len(keys)+len(rejected))
		}
		kids := map[string]bool{}
		for _, key := range keys {
			if kids[key.KeyID] && key.KeyID != "" {
				t.Errorf("two keys under kid %q", key.KeyID)
			}
			kids[key.KeyID] = true
			if public, ok := key.Public.(*rsa.PublicKey); ok && (public.N.BitLen() < 2048 || public.E < 3) {
				t.Errorf("an RSA key of %d bits, e=%d", public.N.BitLen(), public.E)
			}
			if public, ok := key.Public.(*ecdsa.PublicKey); ok {
				if _, err := public.ECDH(); err != nil {
					t.Errorf("off the curve: %v", err)
				}
			}
		}
		written, err := MarshalKeySet(keys)
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := ParseKeySet(written, false)
		if err != nil || len(again) != len(keys) {
			t.Errorf("written and read again: %d keys of %d, %v", len(again), len(keys), err)
		}
	})
}

// FuzzEnvelope: what opens is one JSON object without crit, exactly as signed.
func FuzzEnvelope(f *testing.F) {
	key, id := node(3)
	f.Fuzz(func(t *testing.T, header, payload string) {
		header = strings.ReplaceAll(header, "SELF", string(id))
		got, signer, err := Open(rawEnvelope(key, header, payload), "t+jwt", 1<<16, only(key))
		if err != nil {
			reasonOf(t, err)
			return
		}
		var object map[string]any
		// Space around the object is not part of it.
		if signer != id || string(got) != strings.Trim(payload, " \t\r\n") || stdjson.Unmarshal(got, &object) != nil || object == nil {
			t.Errorf("opened %q %q", header, payload)
		}
		if _, there := object["crit"]; there {
			t.Errorf("crit passed: %q", payload)
		}
	})
}

// FuzzUnmarshal: what the strict reader takes, the standard library reads the
// same way: no text has two meanings.
func FuzzUnmarshal(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte) {
		var strict, loose any
		if err := Unmarshal(text, &strict); err != nil {
			reasonOf(t, err)
			return
		}
		if !utf8.Valid(text) {
			t.Errorf("not UTF-8: %q", text)
		}
		if err := stdjson.Unmarshal(bytes.Clone(text), &loose); err != nil || !reflect.DeepEqual(strict, loose) {
			t.Errorf("%q is %v here and %v elsewhere (%v)", text, strict, loose, err)
		}
		var claims struct {
			Exp NumericDate `json:"exp"`
			Sub Text        `json:"sub"`
		}
		if err := Unmarshal(text, &claims); err != nil {
			reasonOf(t, err)
		}
	})
}
