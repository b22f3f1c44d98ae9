package node

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/node/config"
	"github.com/candignode/candignode/trust/audit"
)

func (h *hospital) reload() error { return h.door.Post(h.t.Context(), "/v1/reload", nil, nil) }

func TestAReloadAppliesAndSaysWhatChanged(t *testing.T) {
	h := newHospital(t)
	h.start()
	if err := h.register(h.imports(12)); err != nil {
		t.Fatal(err)
	}
	source := h.node.current().sources["cohort"].source
	h.write("privacy: {threshold: 20}\nlog: {level: debug}\n" + publicDataset)
	if err := h.reload(); err != nil {
		t.Fatal(err)
	}
	if got := h.carriers(); got != 0 {
		t.Errorf("12 carriers under a threshold of 20: %d", got)
	}
	if h.node.current().sources["cohort"].source != source {
		t.Error("the release was opened anew, though it is the same")
	}
	if level := h.node.level.Level(); level != slog.LevelDebug {
		t.Errorf("the log level is %v", level)
	}
	h.write("")
	if err := h.reload(); err != nil {
		t.Fatal(err)
	}
	if got := h.carriers(); got != -1 {
		t.Errorf("a dataset that is configured no more counted %d", got)
	}
	lives := h.record(audit.EventNode)
	if len(lives) != 3 || !strings.Contains(lives[1], "privacy.threshold") || !strings.Contains(lives[1], "log.level") || !strings.Contains(lives[2], "datasets") {
		t.Errorf("the record says %q", lives)
	}
}

// A reload that cannot be applied whole changes nothing, says why, and is not
// recorded as one.
func TestARefusedReloadKeepsTheOldConfigurationWhole(t *testing.T) {
	h := newHospital(t)
	h.start()
	if err := h.register(h.imports(12)); err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(h.path("node.key"))
	if err != nil {
		t.Fatal(err)
	}
	before := h.node.current()
	policy := func(text string) {
		h.write("policy: {dir: pol}\n" + publicDataset)
		os.MkdirAll(h.path("pol"), 0o700)
		if err := os.WriteFile(h.path("pol/access.rego"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, says string
		damage     func()
	}{
		{"unknown key", "nonsense", func() { h.write("nonsense: 1\n") }},
		{"no file", "cannot read", func() { os.Remove(h.path("candignode.yaml")) }},
		{"restart", "federation.network", func() { h.write("limits: {query_timeout: 3s}\n"); h.restartKey() }},
		{"policy that does not compile", "rego", func() { policy("package candig.access\nallow if") }},
		{"policy without its rules", "missing", func() { policy("package candig.access\n") }},
		{"no policy", "pol", func() { h.write("policy: {dir: nowhere}\n") }},
		{"the key file is gone", "node key", func() { os.Remove(h.path("node.key")) }},
		{"the key file is open to all", "chmod 600", func() { os.Chmod(h.path("node.key"), 0o644) }},
		{"another node's key", "federation.node_key", func() {
			os.Remove(h.path("node.key"))
			if _, err := config.CreateNodeKey(h.path("node.key")); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.damage()
			err := h.reload()
			if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "running configuration is kept") {
				t.Errorf("the reload said %v", err)
			}
			if h.node.current() != before {
				t.Error("the settings were swapped")
			}
			if got := h.carriers(); got != 12 {
				t.Errorf("the node counted %d", got)
			}
			h.write(publicDataset)
			os.Chmod(h.path("node.key"), 0o600)
			if err := os.WriteFile(h.path("node.key"), key, 0o600); err != nil {
				t.Fatal(err)
			}
		})
	}
	if lives := h.record(audit.EventNode); len(lives) != 1 {
		t.Errorf("the record says %q", lives)
	}
	if err := h.reload(); err != nil {
		t.Errorf("the mended configuration: %v", err)
	}
}

// restartKey writes a configuration that differs in a key that needs a restart.
func (h *hospital) restartKey() {
	h.t.Helper()
	text, err := os.ReadFile(h.path("candignode.yaml"))
	if err != nil {
		h.t.Fatal(err)
	}
	changed := strings.Replace(string(text), "federation: {", "federation: {network: other, ", 1)
	if err := os.WriteFile(h.path("candignode.yaml"), []byte(changed), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func TestANodeWithoutAFileCannotReloadOne(t *testing.T) {
	n := &Node{}
	if err := n.reloadFromFile(t.Context()); !errors.Is(err, ErrNoReload) {
		t.Error(err)
	}
}

// Certificates are renewed under the same name, every few weeks: a reload takes
// the new one, and keeps the old one if the new one is broken.
func TestARenewedCertificateIsServedAfterAReload(t *testing.T) {
	h := newHospital(t)
	more := "api: {listen: \"127.0.0.1:0\", tls: {cert: cert.pem, key: key.pem}}\n"
	h.certify(1)
	h.write(more)
	h.start()
	for _, step := range []struct {
		prepare func()
		refused bool
		serial  int64
	}{
		{func() {}, false, 1},
		{func() { h.certify(2) }, false, 2},
		{func() { os.WriteFile(h.path("cert.pem"), []byte("broken"), 0o600) }, true, 2},
		{func() { h.certify(3) }, false, 3},
	} {
		step.prepare()
		if err := h.reload(); (err != nil) != step.refused {
			t.Errorf("reload: %v", err)
		}
		if got := h.serial(); got != step.serial {
			t.Errorf("certificate %d is served, not %d", got, step.serial)
		}
	}
}

// certify writes a self-signed certificate with a serial number.
func (h *hospital) certify(serial int64) {
	h.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		h.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		h.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		h.t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: cert}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(h.path(name), pem.EncodeToMemory(block), 0o600); err != nil {
			h.t.Fatal(err)
		}
	}
}

// serial is the number of the certificate that the node serves.
func (h *hospital) serial() int64 {
	h.t.Helper()
	conn, err := tls.Dial("tcp", h.node.sockets.API.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		h.t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// The audit record names what changed, within its bound.
func TestChangesAreNamedWithinABound(t *testing.T) {
	if got := changes(&config.Config{}, &config.Config{}); !strings.Contains(got, "no key changed") {
		t.Error(got)
	}
	next := &config.Config{DatasetList: make([]config.Dataset, 100)}
	old := &config.Config{DatasetList: slices.Clone(next.DatasetList)}
	for i := range next.DatasetList {
		next.DatasetList[i].ID = "changed"
	}
	if got := changes(old, next); len(got) > maxDetail+50 || !strings.HasSuffix(got, "...") {
		t.Errorf("%d bytes: %s", len(got), got)
	}
}
