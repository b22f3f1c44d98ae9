package config

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/candignode/candignode/trust"
)

// Keys that sign what leaves the site (visas, passports, client assertions) are
// P-256 keys (RSA, too, for passports) in files of their own, PKCS#8 in PEM, mode 0600. Each has one use, so
// that the thief of one can do one thing (passports.md, row 117).

// subjectsFile, by default in data_dir, holds subjectsBytes in hexadecimal.
const (
	subjectsFile  = "subjects.key"
	subjectsBytes = 32
)

// ErrSigningKey is wrapped by what is returned for a file that is there and is
// not a signing key that may be used.
var ErrSigningKey = errors.New("not a usable signing key")

// CreateSigningKey makes a new P-256 key and writes it to path, durably. It wraps
// ErrExists if anything stands at path.
func CreateSigningKey(path string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	if err := writeNew(path, pem.EncodeToMemory(&pem.Block{Type: nodeKeyBlock, Bytes: der})); err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	return key, nil
}

// LoadSigningKey reads the key at path. It refuses a file that others than its
// owner can read, and one that is not exactly one P-256 key.
func LoadSigningKey(path string) (*ecdsa.PrivateKey, error) {
	parsed, err := parsePKCS8(path)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%w: %.200q holds a key of another kind than P-256", ErrSigningKey, path)
	}
	return key, nil
}

// LoadPassportKey is LoadSigningKey for the key that signs passports and ID Tokens. It
// may be an RSA key of 2048 bits or more, too: RS256 is the algorithm that every client
// of OpenID Connect knows (OpenID Connect Core 1.0, section 15.1).
func LoadPassportKey(path string) (crypto.Signer, error) {
	parsed, err := parsePKCS8(path)
	if err != nil {
		return nil, err
	}
	if key, ok := parsed.(*rsa.PrivateKey); ok {
		if key.N.BitLen() < minRSABits || key.N.BitLen() > maxRSABits {
			return nil, fmt.Errorf("%w: %.200q holds an RSA key of %d bits; use %d to %d", ErrSigningKey, path, key.N.BitLen(), minRSABits, maxRSABits)
		}
		return key, nil
	}
	key, err := LoadSigningKey(path)
	if err != nil {
		return nil, err // and no interface around a nil key
	}
	return key, nil
}

// parsePKCS8 reads the one private key in a file.
func parsePKCS8(path string) (any, error) {
	data, err := readSecret(path)
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(data)
	if block == nil || block.Type != nodeKeyBlock || len(strings.TrimSpace(string(rest))) > 0 {
		return nil, fmt.Errorf("%w: %.200q holds no single PEM block %s", ErrSigningKey, path, nodeKeyBlock)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %.200q: no PKCS#8 key in it", ErrSigningKey, path)
	}
	return parsed, nil
}

// CreateSubjectsKey makes the secret that people's names are made with. It wraps ErrExists if there
// is one: with another, everybody would have another name.
func CreateSubjectsKey(path string) error {
	var secret [subjectsBytes]byte
	rand.Read(secret[:]) // never fails: it ends the program rather than give weak bytes
	if err := writeNew(path, []byte(hex.EncodeToString(secret[:])+"\n")); err != nil {
		return fmt.Errorf("the secret of people's names: %w", err)
	}
	return nil
}

// LoadSubjectsKey reads what CreateSubjectsKey wrote.
func LoadSubjectsKey(path string) ([]byte, error) {
	data, err := readSecret(path)
	if err != nil {
		return nil, err
	}
	secret, err := hex.DecodeString(strings.TrimSpace(string(data)))
	if err != nil || len(secret) != subjectsBytes {
		return nil, fmt.Errorf("%w: %.200q does not hold %d bytes in hexadecimal", ErrSigningKey, path, subjectsBytes)
	}
	return secret, nil
}

// readSecret reads a file that nobody but its owner may read.
func readSecret(path string) ([]byte, error) {
	data, err := readFile(path, maxNodeKeyFile)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, cannotRead(path, err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%w: %.200q has mode %04o, so others can read it; chmod 600 it, and make a new one if somebody may have", ErrSigningKey, path, mode)
	}
	return data, nil
}

// readToken reads a secret of one line.
func readToken(path string) (trust.AccessToken, error) {
	data, err := readSecret(path)
	if err != nil {
		return trust.AccessToken{}, err
	}
	text := strings.TrimSpace(string(data))
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return trust.AccessToken{}, fmt.Errorf("%.200q does not hold one line of printable text", path)
	}
	return trust.NewAccessToken(text), nil
}

func inDir(dir, name string) string { return filepath.Join(dir, name) }
