package rootkey

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const words = "correct horse battery staple"

func said(s string) func() (string, error) { return func() (string, error) { return s, nil } }

func TestKeyIsOpenedByItsPassphraseOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root.key")
	key, err := Create(path, words)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil || !strings.HasPrefix(string(text), "-----BEGIN AGE ENCRYPTED FILE-----") || bytes.Contains(text, []byte("PRIVATE")) {
		t.Errorf("the file is not encrypted: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if again, err := Load(path, said(words)); err != nil || !again.Equal(key) {
		t.Errorf("the passphrase does not open it: %v", err)
	}
	for name, wrong := range map[string]string{"another": words + "r", "none": ""} {
		if _, err := Load(path, said(wrong)); !errors.Is(err, ErrPassphrase) || strings.Contains(err.Error(), "staple") {
			t.Errorf("%s: %v", name, err)
		}
	}
	asked := errors.New("nobody is there to ask")
	if _, err := Load(path, func() (string, error) { return "", asked }); !errors.Is(err, asked) {
		t.Errorf("%v", err)
	}
}

func TestKeyWithoutAPassphraseAsksForNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root.key")
	key, err := Create(path, "")
	if err != nil {
		t.Fatal(err)
	}
	again, err := Load(path, func() (string, error) { t.Error("asked"); return "", nil })
	if err != nil || !again.Equal(key) {
		t.Error(err)
	}
}

func TestKeyIsNeverOverwritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root.key")
	if _, err := Create(path, "short"); !errors.Is(err, ErrPassphrase) {
		t.Errorf("a short passphrase: %v", err)
	}
	first, err := Create(path, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Create(path, ""); !errors.Is(err, ErrExists) {
		t.Errorf("%v", err)
	}
	if again, err := Load(path, nil); err != nil || !again.Equal(first) {
		t.Error("the first key is gone")
	}
}

func TestFilesThatAreNoRootKey(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"empty": "", "nothing": "hello", "half": "-----BEGIN AGE ENCRYPTED FILE-----\nabc",
		"another key": "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VuBCIEIHcHbQpzGKV9PBbBclGyZkXfTC+H68CZKrF3+6UduSwq\n-----END PRIVATE KEY-----\n",
		"large":       strings.Repeat("x", maxFile+1),
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path, said(words)); !errors.Is(err, ErrKey) && !errors.Is(err, ErrPassphrase) {
			t.Errorf("%s: %v", name, err)
		}
	}
	path := filepath.Join(dir, "open")
	if _, err := Create(path, ""); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path, nil); !errors.Is(err, ErrKey) {
		t.Errorf("a file that others can read: %v", err)
	}
	if _, err := Load(dir, nil); !errors.Is(err, ErrKey) {
		t.Errorf("a directory: %v", err)
	}
}

func TestPassphrasesThatAreMade(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		p := NewPassphrase()
		if len(p) < 23 || seen[p] || strings.ContainsAny(p, "01oli") {
			t.Fatalf("%q", p)
		}
		seen[p] = true
	}
}
