package jose

import (
	"bytes"
	"encoding/base64"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/candignode/candignode/trust"
)

// RejectedKey is an entry of a key set that is not used, and why.
type RejectedKey struct {
	KeyID      string // shortened and escaped if it was long or unprintable
	Thumbprint string // "" if no public key could be read
	Why        string // a sentence for the operator and the issuer
	// Alarm marks what an issuer must never publish: private or symmetric
	// keys, and two keys under one kid. Somebody should be told.
	Alarm bool
}

// ParseKeySet reads a JWKS (RFC 7517, section 5) and gives the keys that may
// verify passports and visas: RSA of 2048 to 8192 bits and P-256, whose alg, use
// and key_ops fit. Each entry is judged alone, so that an unknown or bad one
// does not take the others with it (passports.md, rows 97 and 98).
//
// waiveKeyUse takes keys whose use or alg says encryption as well, because some
// issuers publish their signing keys so; the keys it adds are the difference to
// the result without it. Such a key has Algorithm "".
//
// err is an *Error and tells that the set as a whole is unreadable or over a
// limit; a set without any usable key is not an error.
func ParseKeySet(jwks []byte, waiveKeyUse bool) (keys []trust.Key, rejected []RejectedKey, err error) {
	if len(jwks) > maxKeySetBytes {
		return nil, nil, refuse(trust.ReasonTooLarge, "the key set has %d bytes, at most %d are read", len(jwks), maxKeySetBytes)
	}
	entries, err := keySetEntries(jwks)
	if err != nil {
		return nil, nil, err
	}
	byKeyID := make(map[string][]int) // of keys
	for _, entry := range entries {
		key, refusal := parseKey(entry, waiveKeyUse)
		if refusal != nil {
			rejected = append(rejected, *refusal)
			continue
		}
		same := func(k trust.Key) bool { return k.Thumbprint == key.Thumbprint && k.KeyID == key.KeyID }
		if slices.ContainsFunc(keys, same) {
			continue
		}
		keys = append(keys, key)
		byKeyID[key.KeyID] = append(byKeyID[key.KeyID], len(keys)-1)
	}
	usable := make([]trust.Key, 0, len(keys))
	for _, key := range keys {
		if key.KeyID != "" && len(byKeyID[key.KeyID]) > 1 {
			rejected = append(rejected, RejectedKey{
				KeyID: shown(key.KeyID), Thumbprint: key.Thumbprint, Alarm: true,
				Why: "another key of this set has the same kid, so a token cannot say which it means",
			})
			continue
		}
		usable = append(usable, key)
	}
	return usable, rejected, nil
}

// keySetEntries takes the outer object apart and leaves each entry unread: a
// name twice inside an entry is that entry's fault alone.
func keySetEntries(jwks []byte) ([]jsontext.Value, error) {
	if !depthWithin(jwks, maxDepth) {
		return nil, refuse(trust.ReasonMalformed, "the key set is nested more than %d deep", maxDepth)
	}
	dec := jsontext.NewDecoder(bytes.NewBuffer(jwks), jsontext.AllowDuplicateNames(true))
	if token, err := dec.ReadToken(); err != nil || token.Kind() != '{' {
		return nil, refuse(trust.ReasonMalformed, "the key set is not a JSON object")
	}
	var entries []jsontext.Value
	names := make(map[string]bool)
	for dec.PeekKind() == '"' {
		token, err := dec.ReadToken()
		if err != nil {
			return nil, decodeError(err)
		}
		name := token.String()
		if names[name] {
			return nil, refuse(trust.ReasonMalformed, "the key set has the member %.80q twice", name)
		}
		names[name] = true
		if name != "keys" {
			if err := dec.SkipValue(); err != nil {
				return nil, decodeError(err)
			}
			continue
		}
		if entries, err = readEntries(dec); err != nil {
			return nil, err
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, decodeError(err)
	}
	if len(bytes.TrimLeft(jwks[dec.InputOffset():], " \t\r\n")) > 0 {
		return nil, refuse(trust.ReasonMalformed, "there are bytes after the key set")
	}
	if !names["keys"] {
		return nil, refuse(trust.ReasonMalformed, "the key set has no member keys")
	}
	return entries, nil
}

// readEntries stops at the limit, so that ten thousand entries cost no more than
// the first few.
func readEntries(dec *jsontext.Decoder) ([]jsontext.Value, error) {
	if token, err := dec.ReadToken(); err != nil || token.Kind() != '[' {
		return nil, refuse(trust.ReasonMalformed, "the key set's keys are not an array")
	}
	var entries []jsontext.Value
	for {
		switch dec.PeekKind() {
		case ']':
			_, err := dec.ReadToken()
			return entries, err
		case 0:
			_, err := dec.ReadToken()
			return nil, decodeError(err)
		}
		value, err := dec.ReadValue()
		if err != nil {
			return nil, decodeError(err)
		}
		if len(entries) == maxKeySetKeys {
			return nil, refuse(trust.ReasonTooMany, "the key set has more than %d keys", maxKeySetKeys)
		}
		entries = append(entries, value.Clone())
	}
}

// bigInteger reads a Base64urlUInt or a coordinate. Padding and other spellings
// are refused; leading zero bytes, which live issuers write, are not.
func bigInteger(text string) ([]byte, bool) {
	for i := range len(text) {
		if text[i] == '\n' || text[i] == '\r' {
			return nil, false
		}
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return raw, err == nil && len(raw) > 0
}
