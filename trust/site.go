package trust

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base32"
	"errors"
	"fmt"
	"regexp"
)

// SiteName is the name a site is known by among its peers, as the operator
// writes it: 1 to 63 of a-z, 0-9 and '-', beginning with a letter.
type SiteName string

var siteName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)

// ErrSiteName is returned for a name that is not a SiteName.
var ErrSiteName = errors.New("not a site name: use 1 to 63 of a-z, 0-9 and '-', beginning with a letter")

// ParseSiteName checks s.
func ParseSiteName(s string) (SiteName, error) {
	if !siteName.MatchString(s) {
		return "", fmt.Errorf("%.80q: %w", s, ErrSiteName)
	}
	return SiteName(s), nil
}

// NodeID names a node by its key: the lower-case, unpadded base32 of the
// SHA-256 of its public key's SubjectPublicKeyInfo (trust-protocol.md, section
// 2). It names the key, not a certificate, so certificates may be made anew at
// every start.
type NodeID string

// ed25519SPKI is all of an Ed25519 SubjectPublicKeyInfo before the key's 32
// bytes: SEQUENCE { SEQUENCE { OID 1.3.101.112 }, BIT STRING }.
var ed25519SPKI = []byte{0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00}

const nodeIDLength = 52 // base32 of 32 bytes

var nodeIDEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// ErrNodeID is returned for text that is not a NodeID.
var ErrNodeID = errors.New("not a NodeID: 52 characters of a-z and 2-7, as 'candignode site show' prints it")

// NodeIDOf gives the NodeID of a public key. It fails only for key types that
// have no SubjectPublicKeyInfo and for keys of the wrong length.
func NodeIDOf(public crypto.PublicKey) (NodeID, error) {
	if key, ok := public.(ed25519.PublicKey); ok {
		if len(key) != ed25519.PublicKeySize {
			return "", fmt.Errorf("node key: an Ed25519 key has %d bytes, this has %d", ed25519.PublicKeySize, len(key))
		}
		// Every question signs and checks with node keys, which are Ed25519, so
		// their fixed SubjectPublicKeyInfo (RFC 8410, section 4) is put together
		// here rather than encoded anew each time.
		spki := append(ed25519SPKI[:len(ed25519SPKI):len(ed25519SPKI)], key...)
		return NodeIDOfSPKI(spki), nil
	}
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", fmt.Errorf("node key: %w", err)
	}
	return NodeIDOfSPKI(spki), nil
}

// NodeIDOfSPKI gives the NodeID of a DER-encoded SubjectPublicKeyInfo, as
// x509.Certificate.RawSubjectPublicKeyInfo holds it.
func NodeIDOfSPKI(spki []byte) NodeID {
	sum := sha256.Sum256(spki)
	var text [nodeIDLength]byte
	nodeIDEncoding.Encode(text[:], sum[:])
	return NodeID(text[:])
}

// ParseNodeID checks s; the only accepted spelling is the one NodeIDOf gives.
func ParseNodeID(s string) (NodeID, error) {
	if len(s) != nodeIDLength {
		return "", fmt.Errorf("%.80q: %w", s, ErrNodeID)
	}
	var raw [sha256.Size]byte
	var text [nodeIDLength]byte
	if n, err := nodeIDEncoding.Decode(raw[:], []byte(s)); err == nil && n == len(raw) {
		if nodeIDEncoding.Encode(text[:], raw[:]); string(text[:]) == s {
			return NodeID(s), nil
		}
	}
	return "", fmt.Errorf("%.80q: %w", s, ErrNodeID)
}

// SiteID names a site by the record that it began with: the SHA-256 of that record's
// payload, spelled as a NodeID is (trust-protocol.md, section 2). It stays the same when
// every key of the site is replaced.
type SiteID string

// ErrSiteID is returned for text that is not a SiteID.
var ErrSiteID = errors.New("not a SiteID: 52 characters of a-z and 2-7, as 'candignode site show' prints it")

// SiteIDOf gives the SiteID of an inception record's payload.
func SiteIDOf(payload []byte) SiteID {
	sum := sha256.Sum256(payload)
	return SiteID(nodeIDEncoding.EncodeToString(sum[:]))
}

// ParseSiteID checks s; the only accepted spelling is the one SiteIDOf gives.
func ParseSiteID(s string) (SiteID, error) {
	if _, err := ParseNodeID(s); err != nil {
		return "", fmt.Errorf("%.80q: %w", s, ErrSiteID)
	}
	return SiteID(s), nil
}

// Short gives the first characters, for people; never compare it.
func (id SiteID) Short() string { return NodeID(id).Short() }

// Short gives the first characters, for people's tables and log lines; never
// compare it.
func (id NodeID) Short() string {
	if len(id) < 12 {
		return string(id)
	}
	return string(id[:12])
}
