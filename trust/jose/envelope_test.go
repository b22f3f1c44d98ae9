package jose

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/candignode/candignode/trust"
)

func node(seed byte) (ed25519.PrivateKey, trust.NodeID) {
	key := ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(rune('a'+seed)), 32)))
	id, _ := trust.NodeIDOf(key.Public())
	return key, id
}

func only(keys ...ed25519.PrivateKey) func(trust.NodeID) (ed25519.PublicKey, bool) {
	return func(id trust.NodeID) (ed25519.PublicKey, bool) {
		for _, key := range keys {
			public := key.Public().(ed25519.PublicKey)
			if own, _ := trust.NodeIDOf(public); own == id {
				return public, true
			}
		}
		return nil, false
	}
}

// rawEnvelope signs any header and payload text, well-formed or not.
func rawEnvelope(key ed25519.PrivateKey, header, payload string) []byte {
	input := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
	return []byte(input + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key, []byte(input))))
}

func reasonOf(t *testing.T, err error) trust.Reason {
	t.Helper()
	refusal, ok := errors.AsType[*Error](err)
	if err != nil && !ok {
		t.Fatalf("%v is a %T, not an *Error", err, err)
	}
	if !ok {
		return ""
	}
	return refusal.Reason
}

func TestEnvelopeSealedByANodeIsOpenedByItsPeers(t *testing.T) {
	key, id := node(1)
	type head struct {
		Site string   `json:"site"`
		Ver  uint64   `json:"ver"`
		Tags []string `json:"tags"`
	}
	sent := head{Site: "uhn", Ver: 1<<64 - 1, Tags: []string{"crit"}}
	sealed, err := Seal("candig-head+jwt", key, sent)
	if err != nil {
		t.Fatal(err)
	}
	payload, signer, err := Open(sealed, "candig-head+jwt", 4096, only(key))
	if err != nil || signer != id {
		t.Fatalf("signer %s, %v", signer, err)
	}
	var got head
	if err := Unmarshal(payload, &got); err != nil || got.Site != sent.Site || got.Ver != sent.Ver {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestEnvelopeRefusals(t *testing.T) {
	key, id := node(1)
	other, otherID := node(2)
	header := `{"alg":"EdDSA","kid":"` + string(id) + `","typ":"t+jwt"}`
	good := rawEnvelope(key, header, `{"a":1}`)
	if _, _, err := Open(good, "t+jwt", 4096, only(key)); err != nil {
		t.Fatal(err)
	}
	with := func(header string) []byte { return rawEnvelope(key, header, `{"a":1}`) }
	body := func(payload string) []byte { return rawEnvelope(key, header, payload) }
	flipped := append([]byte(nil), good...)
	flipped[len(header)*4/3+6] ^= 1
	cases := map[string]struct {
		envelope []byte
		want     trust.Reason
	}{
		"too large":         {append(good, make([]byte, 5000)...), trust.ReasonTooLarge},
		"empty":             {nil, trust.ReasonMalformed},
		"two parts":         {good[:strings.LastIndexByte(string(good), '.')], trust.ReasonMalformed},
		"four parts":        {[]byte(string(good) + ".AA"), trust.ReasonMalformed},
		"padding":           {[]byte(string(good) + "="), trust.ReasonMalformed},
		"line break":        {[]byte(string(good) + "\n"), trust.ReasonMalformed},
		"changed payload":   {flipped, trust.ReasonSignature},
		"other typ":         {with(strings.Replace(header, "t+jwt", "u+jwt", 1)), trust.ReasonWrongType},
		"typ in other case": {with(strings.Replace(header, "t+jwt", "T+jwt", 1)), trust.ReasonWrongType},
		"alg none":          {with(strings.Replace(header, "EdDSA", "none", 1)), trust.ReasonAlgorithm},
		"alg ES256":         {with(strings.Replace(header, "EdDSA", "ES256", 1)), trust.ReasonAlgorithm},
		"no alg":            {with(`{"kid":"` + string(id) + `","typ":"t+jwt"}`), trust.ReasonHeader},
		"alg null":          {with(strings.Replace(header, `"EdDSA"`, `null`, 1)), trust.ReasonHeader},
		"member besides":    {with(strings.Replace(header, `{`, `{"jwk":{},`, 1)), trust.ReasonHeader},
		"crit in header":    {with(strings.Replace(header, `{`, `{"crit":["exp"],`, 1)), trust.ReasonHeader},
		"typ twice":         {with(strings.Replace(header, `{`, `{"typ":"t+jwt",`, 1)), trust.ReasonHeader},
		"long header":       {with(header + strings.Repeat(" ", 300)), trust.ReasonTooLarge},
		"kid no NodeID":     {with(`{"alg":"EdDSA","kid":"../../dev/null","typ":"t+jwt"}`), trust.ReasonHeader},
		"stranger":          {rawEnvelope(other, strings.Replace(header, string(id), string(otherID), 1), `{"a":1}`), trust.ReasonUnknownKey},
		"another's name":    {rawEnvelope(other, header, `{"a":1}`), trust.ReasonSignature},
		"fraction":          {body(`{"a":1.0}`), trust.ReasonMalformed},
		"exponent":          {body(`{"a":[1e3]}`), trust.ReasonMalformed},
		"negative zero":     {body(`{"a":-0}`), trust.ReasonMalformed},
		"65 bits":           {body(`{"a":18446744073709551616}`), trust.ReasonMalformed},
		"nine deep":         {body(`{"a":` + strings.Repeat("[", 8) + strings.Repeat("]", 8) + `}`), trust.ReasonMalformed},
		"name twice":        {body(`{"a":1,"a":1}`), trust.ReasonMalformed},
		"name twice within": {body(`{"a":{"b":1,"b":2}}`), trust.ReasonMalformed},
		"same name escaped": {body(`{"a":1,"\u0061":1}`), trust.ReasonMalformed},
		"crit":              {body(`{"a":1,"crit":["a"]}`), trust.ReasonHeader},
		"crit escaped":      {body(`{"\u0063rit":[]}`), trust.ReasonHeader},
		"array":             {body(`[1]`), trust.ReasonMalformed},
		"null":              {body(`null`), trust.ReasonMalformed},
		"two values":        {body(`{}{}`), trust.ReasonMalformed},
		"bytes after":       {body(`{} x`), trust.ReasonMalformed},
		"not UTF-8":         {body("{\"a\":\"\xff\"}"), trust.ReasonMalformed},
		"lone surrogate":    {body(`{"a":"\ud800"}`), trust.ReasonMalformed},
		"broken off":        {body(`{"a":`), trust.ReasonMalformed},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			payload, _, err := Open(c.envelope, "t+jwt", 4096, only(key))
			if got := reasonOf(t, err); got != c.want || payload != nil {
				t.Errorf("got %q (%v), want %q", got, err, c.want)
			}
		})
	}
	t.Run("crit deeper down and as a value is only data", func(t *testing.T) {
		if _, _, err := Open(body(`{"a":{"crit":1},"b":"crit","c":["crit"]}`), "t+jwt", 4096, only(key)); err != nil {
			t.Error(err)
		}
	})
	t.Run("a table that gives another node's key", func(t *testing.T) {
		wrong := func(trust.NodeID) (ed25519.PublicKey, bool) { return other.Public().(ed25519.PublicKey), true }
		_, _, err := Open(rawEnvelope(other, header, `{}`), "t+jwt", 4096, wrong)
		if got := reasonOf(t, err); got != trust.ReasonUnknownKey {
			t.Errorf("got %q", got)
		}
	})
}

func TestSealRefusesWhatNoPeerWouldOpen(t *testing.T) {
	key, _ := node(1)
	for name, payload := range map[string]any{
		"fraction":       map[string]any{"a": 0.5},
		"no object":      []int{1},
		"nil":            nil,
		"crit":           map[string]any{"crit": []string{"a"}},
		"not for JSON":   map[string]any{"a": make(chan int)},
		"too deep":       map[string]any{"a": [][][][][][][][]int{{{{{{{{1}}}}}}}}},
		"invalid string": map[string]any{"a": "\xff"},
	} {
		if _, err := Seal("t+jwt", key, payload); err == nil {
			t.Errorf("%s: sealed", name)
		}
	}
	if _, err := Seal("", key, struct{}{}); err == nil {
		t.Error("sealed without typ")
	}
	if _, err := Seal("t", nil, struct{}{}); err == nil {
		t.Error("sealed without key")
	}
}
