package trust_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"strings"
	"testing"

	"github.com/candignode/candignode/trust"
)

// The short way for Ed25519 names a key as its whole SubjectPublicKeyInfo does.
func TestNodeIDIsOfTheSubjectPublicKeyInfo(t *testing.T) {
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, public := range []any{ed, ec.Public()} {
		spki, err := x509.MarshalPKIXPublicKey(public)
		if err != nil {
			t.Fatal(err)
		}
		id, err := trust.NodeIDOf(public)
		if err != nil || id != trust.NodeIDOfSPKI(spki) {
			t.Errorf("%T: %s, %v, want %s", public, id, err, trust.NodeIDOfSPKI(spki))
		}
		if parsed, err := trust.ParseNodeID(string(id)); err != nil || parsed != id {
			t.Errorf("ParseNodeID(%s) = %s, %v", id, parsed, err)
		}
		for _, bad := range []string{strings.ToUpper(string(id)), string(id[1:]), string(id) + "a", "", strings.Repeat("1", 52)} {
			if _, err := trust.ParseNodeID(bad); err == nil {
				t.Errorf("ParseNodeID(%q) was accepted", bad)
			}
		}
	}
	if _, err := trust.NodeIDOf(ed25519.PublicKey("short")); err == nil {
		t.Error("a key of the wrong length has a NodeID")
	}
}

func TestSiteNames(t *testing.T) {
	for name, good := range map[string]bool{
		"uhn": true, "a": true, "bc-gsc2": true, strings.Repeat("a", 63): true,
		"": false, "Uhn": false, "2uhn": false, "-uhn": false, "uhn.example": false, "uhn ": false, "uhn\n": false, strings.Repeat("a", 64): false, "ühn": false,
	} {
		if _, err := trust.ParseSiteName(name); (err == nil) != good {
			t.Errorf("ParseSiteName(%q): %v", name, err)
		}
	}
}
