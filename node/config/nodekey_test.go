package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestANodeKeyIsMadeOnceAndReadBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.key")
	made, err := CreateNodeKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	read, err := LoadNodeKey(path)
	if err != nil || !made.Equal(read) {
		t.Fatalf("read back: %v", err)
	}
	before, _ := os.ReadFile(path)
	if _, err := CreateNodeKey(path); !errors.Is(err, ErrExists) {
		t.Errorf("a second key: %v", err)
	}
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Error("the key was overwritten")
	}
	if id, err := NodeIDOf(read); err != nil || len(id) != 52 {
		t.Errorf("NodeID %q, %v", id, err)
	}
}

func TestANodeKeyThatCannotBeWrittenLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	if _, err := CreateNodeKey(filepath.Join(dir, "missing", "node.key")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func TestANodeKeyThatIsNotOneIsRefused(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good")
	if _, err := CreateNodeKey(good); err != nil {
		t.Fatal(err)
	}
	key, _ := os.ReadFile(good)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(other)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		data []byte
		mode fs.FileMode
		want string
	}{
		"group may read":  {key, 0o640, "mode 0640"},
		"world may read":  {key, 0o604, "mode 0604"},
		"empty":           {nil, 0o600, "no PEM block"},
		"certificate":     {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600, "no PEM block"},
		"two keys":        {append(append([]byte(nil), key...), key...), 0o600, "more than one"},
		"ECDSA":           {pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600, "not an Ed25519 key"},
		"cut short":       {pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der[:20]}), 0o600, "not PKCS#8"},
		"another's block": {pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600, "no PEM block"},
	} {
		path := put(t, dir, "bad", c.data)
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		_, err := LoadNodeKey(path)
		if !errors.Is(err, ErrNodeKey) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		if err != nil && len(c.data) > 60 && strings.Contains(err.Error(), string(c.data[40:60])) {
			t.Errorf("%s: the error shows the key", name)
		}
	}
	if _, err := LoadNodeKey(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := LoadNodeKey(dir); !errors.Is(err, ErrNodeKey) {
		t.Errorf("a directory: %v", err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip("no named pipes here:", err)
	}
	if _, err := LoadNodeKey(pipe); !errors.Is(err, ErrNodeKey) { // and it does not wait for a writer
		t.Errorf("a pipe: %v", err)
	}
}
