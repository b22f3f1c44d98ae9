package config

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/configs"
	"github.com/candignode/candignode/trust"
)

// site makes a directory with every file that the example configuration names.
func site(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for _, sub := range []string{"tls", "issuers", "policy", "keys"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	cert, key := certificate(t)
	put(t, dir, "tls/cert.pem", cert)
	put(t, dir, "tls/key.pem", key)
	put(t, dir, "tls/private-ca.pem", cert)
	put(t, dir, "issuers/registered-access.jwks.json", []byte(publicJWKS))
	for _, name := range []string{"client", "visa", "passport", "link"} {
		if _, err := CreateSigningKey(filepath.Join(dir, "keys", name+".key")); err != nil {
			t.Fatal(err)
		}
	}
	if err := CreateSubjectsKey(filepath.Join(dir, "keys/subjects.key")); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "keys/dac.token", []byte("agreed-beforehand\n"))
	put(t, dir, "keys/dac.secret", []byte("a-secret\n"))
	put(t, dir, "keys/portal.jwks.json", []byte(publicJWKS))
	put(t, dir, "policy/own.rego", []byte("package own\n"))
	return dir
}

const publicJWKS = `{"keys":[{"kty":"EC","crv":"P-256","kid":"ra-1","use":"sig","alg":"ES256",
 "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`

func put(t testing.TB, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func certificate(t testing.TB) (certPEM, keyPEM []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "node"},
		NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"node.uhn.example.org"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
}

// load writes the text into a site's directory and loads it.
func load(t testing.TB, dir, text string) (*Config, error) {
	t.Helper()
	return Load(put(t, dir, "candignode.yaml", []byte(text)))
}

func mustLoad(t testing.TB, dir, text string) *Config {
	t.Helper()
	c, err := load(t, dir, text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// problemsOf loads a text that must be refused.
func problemsOf(t testing.TB, dir, text string) []Problem {
	t.Helper()
	c, err := load(t, dir, text)
	var p *Problems
	if !errors.As(err, &p) {
		t.Fatalf("loaded, error %v, for:\n%s", err, text)
	}
	if c != nil {
		t.Error("a configuration with problems was given out")
	}
	return p.List
}

func TestTheExampleLoads(t *testing.T) {
	dir := site(t)
	c := mustLoad(t, dir, string(configs.Example()))
	if c.API.TLS.Cert != filepath.Join(dir, "tls/cert.pem") {
		t.Errorf("relative path became %s", c.API.TLS.Cert)
	}
	var keys []string
	for _, w := range c.Warnings() {
		keys = append(keys, w.Key)
	}
	if want := []string{"privacy.round", "privacy.budget.answers", "privacy.budget.days"}; !slices.Equal(keys, want) {
		t.Errorf("warnings about %v, want %v", keys, want)
	}
	policies := c.IssuerPolicies()
	if len(policies) != 3 || policies[0].K != 2 || policies[0].Mode != trust.ModeDirectQuorum ||
		len(policies[1].CAPEM) == 0 || !bytes.Equal(policies[2].ManualJWKS, []byte(publicJWKS)) {
		t.Errorf("policies %+v", policies)
	}
	if d := c.Datasets(); len(d) != 3 || d[0].By[0] != "dac" || d[1].RegisteredBy != "visas" || d[2].By != nil {
		t.Errorf("datasets %+v", d)
	}
	if p := c.Peers(); len(p) != 2 || !p[1].Query {
		t.Errorf("peers %+v", p)
	}
}

// The example is the manual, so every key stands in it.
func TestTheExampleHoldsEveryKey(t *testing.T) {
	n := newNotes()
	root, problem := document(configs.Example())
	if problem != nil {
		t.Fatal(problem)
	}
	decodeExample(n, root)
	written := map[string]bool{}
	for key := range n.lines {
		written[indexes.ReplaceAllString(key, "[]")] = true
	}
	for _, key := range Keys() {
		if !written[key] {
			t.Errorf("%s is not in configs/candignode.yaml", key)
		}
	}
}

// What the example names as a default is the default.
func TestTheDefaultsAreThoseOfTheExample(t *testing.T) {
	c := mustLoad(t, site(t), "site: {name: uhn}\ndata_dir: /var/lib/candignode\n")
	for _, want := range []struct {
		what      string
		got, want any
	}{
		{"display_name", c.Site.DisplayName, "uhn"},
		{"federation.listen", c.Federation.Listen, "0.0.0.0:7946"},
		{"federation.network", c.Federation.Network, "candig"},
		{"federation.node_key", c.Federation.NodeKey, "/var/lib/candignode/node.key"},
		{"api.listen", c.API.Listen, "127.0.0.1:8443"},
		{"admin.socket", c.Admin.Socket, "/var/lib/candignode/admin.sock"},
		{"privacy.threshold", c.Privacy.Threshold, 10},
		{"limits.query_timeout", c.Limits.QueryTimeout, 10 * time.Second},
		{"limits.peer_timeout", c.Limits.PeerTimeout, 8 * time.Second},
		{"limits.issuer_poll", c.Limits.IssuerPoll, 5 * time.Minute},
		{"limits.concurrent_questions", c.Limits.ConcurrentQuestions, 64},
		{"limits.cache_entries", c.Limits.CacheEntries, 10000},
		{"limits.cache_bytes", c.Limits.CacheBytes, 67108864},
		{"log", c.Log, Log{Level: "info", Format: "json"}},
		{"metrics.listen", c.Metrics.Listen, ""},
	} {
		if want.got != want.want {
			t.Errorf("%s is %v by default, want %v", want.what, want.got, want.want)
		}
	}
	// passports.md, row 48: a node without issuers runs public-only and says so.
	if w := c.Warnings(); len(w) != 1 || !strings.Contains(w[0].Message, "only public datasets") {
		t.Errorf("warnings %v", w)
	}
}
