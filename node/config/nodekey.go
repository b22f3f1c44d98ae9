package config

import (
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
	"syscall"

	"github.com/candignode/candignode/trust"
)

// The node key is the site's identity towards its peers: who has it is the
// site. It stands in a file of its own, PKCS#8 in PEM (RFC 5958, RFC 8410), mode
// 0600, and is made once.

const (
	nodeKeyBlock = "PRIVATE KEY"
	// maxNodeKeyFile: a PEM of an Ed25519 key has 119 bytes; comments may stand
	// around it.
	maxNodeKeyFile = 16 << 10
)

// ErrNodeKey is wrapped by what LoadNodeKey returns for a file that is there and
// is not a node key that may be used.
var ErrNodeKey = errors.New("not a usable node key")

// CreateNodeKey makes a new key and writes it to path, durably, before it
// returns. It wraps ErrExists if anything stands at path.
func CreateNodeKey(path string) (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("node key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("node key: %w", err)
	}
	if err := writeNew(path, pem.EncodeToMemory(&pem.Block{Type: nodeKeyBlock, Bytes: der})); err != nil {
		return nil, fmt.Errorf("node key: %w", err)
	}
	return key, nil
}

// writeNew writes a file that must not exist, and leaves nothing behind if it
// cannot.
func writeNew(path string, data []byte) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%.200q: %w", path, ErrExists)
	}
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(path)
		}
	}()
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	// Without this the name may be gone after a power cut, though the bytes are not.
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// LoadNodeKey reads the key at path. It refuses a file that others than its
// owner can read, and one that is not exactly one Ed25519 key.
func LoadNodeKey(path string) (ed25519.PrivateKey, error) {
	if err := notAPath(path); err != nil {
		return nil, fmt.Errorf("node key: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe must not wait for a writer
	if err != nil {
		return nil, fmt.Errorf("node key: %w; 'candignode init' makes one", cannotRead(path, err))
	}
	defer f.Close()
	info, err := f.Stat() // of the open file: the name may be changed meanwhile
	if err != nil {
		return nil, fmt.Errorf("node key: %w", cannotRead(path, err))
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %.200q is not a regular file", ErrNodeKey, path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%w: %.200q has mode %04o, so others can read it; chmod 600 it, and make a new key if somebody may have", ErrNodeKey, path, mode)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxNodeKeyFile))
	if err != nil {
		return nil, fmt.Errorf("node key: %w", cannotRead(path, err))
	}
	return parseNodeKey(path, data)
}

func parseNodeKey(path string, data []byte) (ed25519.PrivateKey, error) {
	block, rest := pem.Decode(data)
	if block == nil || block.Type != nodeKeyBlock {
		return nil, fmt.Errorf("%w: %.200q holds no PEM block %s", ErrNodeKey, path, nodeKeyBlock)
	}
	if more, _ := pem.Decode(rest); more != nil {
		return nil, fmt.Errorf("%w: %.200q holds more than one PEM block", ErrNodeKey, path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %.200q is not PKCS#8", ErrNodeKey, path)
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%w: %.200q is not an Ed25519 key", ErrNodeKey, path)
	}
	return key, nil
}

// NodeIDOf gives the NodeID that peers pin for a key.
func NodeIDOf(key ed25519.PrivateKey) (trust.NodeID, error) { return trust.NodeIDOf(key.Public()) }
