package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func writePKCS8(t *testing.T, path string, key any) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Row 3: passports are signed with RS256 or ES256, so their key is RSA or P-256, and a
// key of another kind or size is refused when the node starts.
func TestPassportKeyFiles(t *testing.T) {
	t.Setenv("GODEBUG", "rsa1024min=0")
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, bits := range map[string]int{"rsa": 2048, "short": 1024} {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		writePKCS8(t, at(name), key)
	}
	if _, err := CreateSigningKey(at("p256")); err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	writePKCS8(t, at("p384"), p384)
	for name, good := range map[string]bool{"rsa": true, "p256": true, "short": false, "p384": false} {
		key, err := LoadPassportKey(at(name))
		if (err == nil) != good || (key != nil) != good || err != nil && !errors.Is(err, ErrSigningKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.Chmod(at("rsa"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadPassportKey(at("rsa")); !errors.Is(err, ErrSigningKey) {
		t.Errorf("readable by others: %v", err)
	}
	// Visas stay with P-256.
	if err := os.Chmod(at("rsa"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadSigningKey(at("rsa")); !errors.Is(err, ErrSigningKey) {
		t.Errorf("an RSA key for visas: %v", err)
	}
}

const brokerWith = roles + "broker: {enabled: true, key: keys/passport.key, link_key: keys/link.key, clients: [" +
	"{id: p, jwks_file: keys/portal.jwks.json, redirect_uris: ['https://p.example.org/back']}]}\n"

// A client that has people sign in is of no use where nobody can; and its address is
// https (row 112).
func TestClientsThatHavePeopleSignIn(t *testing.T) {
	dir := site(t)
	warned := func(text string) bool {
		c, err := load(t, dir, start+text)
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(c.Warnings(), func(p Problem) bool { return p.Key == "broker.clients[0].redirect_uris" })
	}
	if !warned(brokerWith) {
		t.Error("nobody can sign in, and nobody is told")
	}
	if warned(brokerWith + "issuers: [{issuer: 'https://idp.example.org', kinds: [login], mode: direct, sign_in: true, client: {id: n, key: keys/client.key}}]\n") {
		t.Error("a warning without a reason")
	}
	for name, address := range map[string]string{"plain": "http://p.example.org/back", "a fragment": "https://p.example.org/back#x"} {
		_, err := load(t, dir, start+strings.Replace(brokerWith, "https://p.example.org/back", address, 1))
		var p *Problems
		if !errors.As(err, &p) || p.List[0].Key != "broker.clients[0].redirect_uris[0]" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
