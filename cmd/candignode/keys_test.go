package main

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"github.com/candignode/candignode/trust/jose"
)

// The public half of an RSA key for passports is shown as well, and nothing of the
// private one (row 3).
func TestThePublicHalfOfAnRSAKey(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "passport.key")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	var shown bytes.Buffer
	show := keysShowCommand()
	show.SetArgs([]string{path})
	show.SetOut(&shown)
	if err := show.Execute(); err != nil {
		t.Fatal(err)
	}
	// ParseKeySet leaves out whatever holds a private member.
	keys, _, err := jose.ParseKeySet(shown.Bytes(), false)
	if err != nil || len(keys) != 1 || keys[0].Algorithm != jose.RS256 || !key.PublicKey.Equal(keys[0].Public) {
		t.Errorf("%s: %+v, %v", shown.String(), keys, err)
	}
}
