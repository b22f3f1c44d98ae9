package jose

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"math/big"
	"strings"
	"testing"

	"github.com/candignode/candignode/trust"
)

// Row 62: the twin of a token has other bytes, verifies under the same key, and each is
// the other's.
func TestTwin(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := Sign(Header{KeyID: "k"}, []byte(`{"sub":"x"}`), key)
	if err != nil {
		t.Fatal(err)
	}
	begin := strings.LastIndexByte(compact, '.') + 1
	signature, err := strict64.DecodeString(compact[begin:])
	if err != nil {
		t.Fatal(err)
	}
	new(big.Int).Sub(elliptic.P256().Params().N, new(big.Int).SetBytes(signature[32:])).FillBytes(signature[32:])
	twin := compact[:begin] + strict64.EncodeToString(signature)
	token, err := Parse(twin, 1<<10)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := token.Verify(trust.Key{KeyID: "k", Public: &key.PublicKey}, ES256); err != nil {
		t.Fatalf("the twin does not verify, so nobody need mind it: %v", err)
	}
	if got, ok := Twin(compact); !ok || got != trust.DigestOfString(twin) || got == trust.DigestOfString(compact) {
		t.Errorf("%v %v", got, ok)
	}
	if got, ok := token.Twin(); !ok || got != trust.DigestOfString(compact) {
		t.Errorf("the twin's twin: %v %v", got, ok)
	}
}

// RSA signatures have no twin, and what is no token has none either.
func TestNoTwin(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := Sign(Header{KeyID: "k"}, []byte(`{}`), key)
	if err != nil {
		t.Fatal(err)
	}
	zero := "a.b." + strict64.EncodeToString(make([]byte, 64))
	for _, text := range []string{compact, "", ".", "opaque", zero, "a.b." + strings.Repeat("_", 86), "a.b." + strings.Repeat("!", 86), strings.Repeat("A", 85)} {
		if got, ok := Twin(text); ok {
			t.Errorf("%.60q has the twin %v", text, got)
		}
	}
}
