// Package rootkey keeps a site's root keys in files, encrypted with a passphrase: whoever
// finds the stick that they lie on has nothing. It owns age.
//
// A root key is needed a few times in a site's life: when it is made, when its addresses,
// client ids or node key change, and when something was stolen. The rest of the time its file
// belongs where no network reaches: the daemon never opens one.
package rootkey

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"
)

// Limits, each with its reason.
const (
	// maxFile in bytes: an encrypted PEM of one key has about 500.
	maxFile = 16 << 10
	// MinPassphrase in bytes. It guards a file that lies offline, against somebody with time.
	MinPassphrase = 12
	// workFactor is age's scrypt work factor: about a second on a small machine.
	workFactor = 18
)

const block = "PRIVATE KEY"

var (
	// ErrKey is wrapped by what Load returns for a file that is there and is no root key.
	ErrKey = errors.New("not a usable root key")
	// ErrPassphrase is returned for a passphrase that does not open the file, or is too short to
	// close one.
	ErrPassphrase = errors.New("not the passphrase of this root key")
	// ErrExists is returned for a file that is there already: a root key is never overwritten.
	ErrExists = errors.New("there is something already; a root key is never overwritten")
)

// FileName is where a root key of an epoch lies below dir. Those of the epoch to come should lie
// elsewhere than today's: who finds the one must not have the other.
func FileName(dir string, epoch int64, number int) string {
	return filepath.Join(dir, fmt.Sprintf("root-epoch%d-%d.key", epoch, number))
}

// Create makes a new key and writes it to path, which must not exist, durably and with mode
// 0600. It is encrypted with the passphrase; "" leaves it as it is, for those who have asked for
// that.
func Create(path, passphrase string) (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("root key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("root key: %w", err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: block, Bytes: der})
	if passphrase != "" {
		if text, err = seal(text, passphrase); err != nil {
			return nil, err
		}
	}
	return key, writeNew(path, text)
}

func seal(text []byte, passphrase string) ([]byte, error) {
	if len(passphrase) < MinPassphrase {
		return nil, fmt.Errorf("%w: a new one needs at least %d characters", ErrPassphrase, MinPassphrase)
	}
	recipient, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return nil, fmt.Errorf("root key: %w", err)
	}
	recipient.SetWorkFactor(workFactor)
	var out bytes.Buffer
	armored := armor.NewWriter(&out)
	w, err := age.Encrypt(armored, recipient)
	if err != nil {
		return nil, fmt.Errorf("root key: %w", err)
	}
	if _, err := w.Write(text); err != nil {
		return nil, fmt.Errorf("root key: %w", err)
	}
	if err := errors.Join(w.Close(), armored.Close()); err != nil {
		return nil, fmt.Errorf("root key: %w", err)
	}
	return out.Bytes(), nil
}

// Load reads the key at path. passphrase is asked for only if the file is encrypted.
func Load(path string, passphrase func() (string, error)) (ed25519.PrivateKey, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("root key: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("%w: %.200q is no file of at most %d bytes", ErrKey, path, maxFile)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%w: %.200q has mode %04o, so others can read it; chmod 600 it", ErrKey, path, mode)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("root key: %w", err)
	}
	if strings.HasPrefix(string(text), armor.Header) {
		if text, err = open(path, text, passphrase); err != nil {
			return nil, err
		}
	}
	decoded, rest := pem.Decode(text)
	if decoded == nil || decoded.Type != block || len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("%w: %.200q holds no single PEM block %s", ErrKey, path, block)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(decoded.Bytes)
	key, ok := parsed.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("%w: %.200q holds no Ed25519 key", ErrKey, path)
	}
	return key, nil
}

func open(path string, text []byte, passphrase func() (string, error)) ([]byte, error) {
	words, err := passphrase()
	if err != nil {
		return nil, err
	}
	identity, err := age.NewScryptIdentity(words)
	if err != nil {
		return nil, fmt.Errorf("%.200q: %w", path, ErrPassphrase)
	}
	identity.SetMaxWorkFactor(workFactor + 2) // a file that asks for more would hang whoever opens it
	r, err := age.Decrypt(armor.NewReader(bytes.NewReader(text)), identity)
	if err != nil {
		return nil, fmt.Errorf("%.200q: %w", path, ErrPassphrase)
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxFile))
	if err != nil {
		return nil, fmt.Errorf("%w: %.200q is damaged", ErrKey, path)
	}
	return plain, nil
}

// writeNew writes a file that must not exist, and leaves nothing behind if it cannot.
func writeNew(path string, text []byte) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%.200q: %w", path, ErrExists)
	}
	if err != nil {
		return fmt.Errorf("root key: %w", err)
	}
	defer func() {
		if err != nil {
			os.Remove(path)
		}
	}()
	if _, err = f.Write(text); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("root key: %w", err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("root key: %w", err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// NewPassphrase makes one for who has not chosen any: 100 bits, in groups that can be copied
// by hand.
func NewPassphrase() string {
	var raw [13]byte
	rand.Read(raw[:])                                  // never fails
	const letters = "abcdefghjkmnpqrstuvwxyz23456789x" // 32, without those that look alike
	var b strings.Builder
	bits, held := 0, 0
	for _, c := range raw {
		held = held<<8 | int(c)
		bits += 8
		for ; bits >= 5 && b.Len() < 24; bits -= 5 {
			if b.Len()%6 == 5 {
				b.WriteByte('-')
			}
			b.WriteByte(letters[held>>(bits-5)&31])
		}
	}
	return b.String()
}
