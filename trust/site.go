package trust

import (
	"crypto"
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

const nodeIDLength = 52 // base32 of 32 bytes

var nodeIDEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// ErrNodeID is returned for text that is not a NodeID.
var ErrNodeID = errors.New("not a NodeID: 52 characters of a-z and 2-7, as 'candignode site show' prints it")

// NodeIDOf gives the NodeID of a public key. It fails only for key types that
// have no SubjectPublicKeyInfo.
func NodeIDOf(public crypto.PublicKey) (NodeID, error) {
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
	return NodeID(nodeIDEncoding.EncodeToString(sum[:]))
}

// ParseNodeID checks s; the only accepted spelling is the one NodeIDOf gives.
func ParseNodeID(s string) (NodeID, error) {
	if len(s) != nodeIDLength {
		return "", fmt.Errorf("%.80q: %w", s, ErrNodeID)
	}
	raw, err := nodeIDEncoding.DecodeString(s)
	if err != nil || nodeIDEncoding.EncodeToString(raw) != s {
		return "", fmt.Errorf("%.80q: %w", s, ErrNodeID)
	}
	return NodeID(s), nil
}

// Short gives the first characters, for people's tables and log lines; never
// compare it.
func (id NodeID) Short() string {
	if len(id) < 12 {
		return string(id)
	}
	return string(id[:12])
}
