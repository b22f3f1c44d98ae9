package trust

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"unsafe"
)

// Digest is a SHA-256. It stands for tokens and documents wherever the bytes
// themselves must not go: logs, errors, audit text.
type Digest [sha256.Size]byte

// DigestOf hashes the exact bytes.
func DigestOf(b []byte) Digest { return sha256.Sum256(b) }

// DigestOfString hashes the exact bytes of s without copying them: tokens are
// up to a megabyte and are hashed at every request.
func DigestOfString(s string) Digest {
	// Hashing only reads, so the bytes of the string stay immutable.
	return sha256.Sum256(unsafe.Slice(unsafe.StringData(s), len(s)))
}

// String gives unpadded base64url, 43 characters.
func (d Digest) String() string { return base64.RawURLEncoding.EncodeToString(d[:]) }

// Short gives the first 12 characters, for people; never compare it.
func (d Digest) Short() string { return d.String()[:12] }

// IsZero tells whether d was never set.
func (d Digest) IsZero() bool { return d == Digest{} }

// ErrDigest is returned for text that is not a Digest.
var ErrDigest = errors.New("not a digest: 43 characters of unpadded base64url")

// ParseDigest is the inverse of String; no other spelling is accepted.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	if err := d.UnmarshalText([]byte(s)); err != nil {
		return Digest{}, err
	}
	return d, nil
}

// MarshalText, AppendText and UnmarshalText let a Digest stand in JSON.
func (d Digest) MarshalText() ([]byte, error) { return d.AppendText(nil) }

// AppendText is MarshalText at the end of b.
func (d Digest) AppendText(b []byte) ([]byte, error) {
	return base64.RawURLEncoding.AppendEncode(b, d[:]), nil
}

// UnmarshalText is the inverse of MarshalText. After an error d is unchanged.
func (d *Digest) UnmarshalText(b []byte) error {
	var raw Digest
	if len(b) == base64.RawURLEncoding.EncodedLen(len(raw)) { // the decoder skips line ends
		if n, err := base64.RawURLEncoding.Strict().Decode(raw[:], b); err == nil && n == len(raw) {
			*d = raw
			return nil
		}
	}
	return fmt.Errorf("%.60q: %w", b, ErrDigest)
}
