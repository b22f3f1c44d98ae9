package roots

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// Type is the envelope's typ (trust-protocol.md, section 5).
const Type = "candig-site+jwt"

// ErrRecord is wrapped by every refusal of a site record.
var ErrRecord = errors.New("refused a site record")

// refuse quotes nothing unbounded: what stands in a record is its author's.
func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrRecord}, args...)...)
}

// Record is what a site says about itself.
type Record struct {
	// Site is empty in the first record: its digest is the SiteID.
	Site    trust.SiteID   `json:"site,omitempty"`
	Name    trust.SiteName `json:"name"` // what it calls itself; others may call it otherwise
	Display string         `json:"display,omitempty"`
	Epoch   int64          `json:"e"`
	Update  int64          `json:"u"`
	Prev    trust.Digest   `json:"prev,omitzero"`
	// Roots are the root keys of today, Threshold how many must sign an update.
	Roots     []Key `json:"roots"`
	Threshold int   `json:"t"`
	// Next are the digests of the root keys to come, NextThreshold how many of them must
	// sign a rotation.
	Next          []trust.NodeID `json:"next"`
	NextThreshold int            `json:"nt"`
	Nodes         []Node         `json:"nodes"`
	// Issuers are those that the site says it is the home of (section 7).
	Issuers []string `json:"issuers,omitempty"`
	// ClientIDs are the site's own OIDC client ids, by issuer: they bind a passport's aud
	// to it (section 11).
	ClientIDs map[string][]string `json:"client_ids,omitempty"`
	Left      bool                `json:"left,omitempty"` // it has left: nothing of it counts
	Issued    int64               `json:"iat"`            // seconds
	Expires   int64               `json:"exp"`
}

// Node is one node of a site.
type Node struct {
	ID    trust.NodeID `json:"node"`
	Key   Key          `json:"key"`
	Addrs []string     `json:"addrs,omitempty"` // host:port; none for a node that only dials
}

// Key is an Ed25519 public key that stands in JSON as unpadded base64url.
type Key [ed25519.PublicKeySize]byte

// KeyOf gives the form that stands in records; false for what is no Ed25519 key.
func KeyOf(public any) (k Key, ok bool) {
	raw, ok := public.(ed25519.PublicKey)
	if !ok || len(raw) != len(k) {
		return k, false
	}
	copy(k[:], raw)
	return k, true
}

// Public gives the key as crypto/ed25519 wants it.
func (k Key) Public() ed25519.PublicKey { return k[:] }

// ID names the key as NodeIDs are spelled.
func (k Key) ID() trust.NodeID {
	id, err := trust.NodeIDOf(k.Public())
	if err != nil {
		return "" // an Ed25519 key of the right length always has one
	}
	return id
}

// MarshalText and UnmarshalText let a Key stand in JSON.
func (k Key) MarshalText() ([]byte, error) {
	return base64.RawURLEncoding.AppendEncode(nil, k[:]), nil
}

// UnmarshalText is the inverse of MarshalText and takes no other spelling.
func (k *Key) UnmarshalText(b []byte) error {
	var raw Key
	if len(b) != base64.RawURLEncoding.EncodedLen(len(raw)) {
		return errors.New("not an Ed25519 public key")
	}
	if n, err := base64.RawURLEncoding.Strict().Decode(raw[:], b); err != nil || n != len(raw) {
		return errors.New("not an Ed25519 public key")
	}
	*k = raw
	return nil
}

// Signed is a record as it was signed: one to five envelopes over the very same payload,
// joined by '~'. It is stored and passed on as it came.
type Signed string

// payloadOf gives the payload's exact bytes; nil if there is none to read.
func (s Signed) payloadOf() []byte {
	first, _, _ := strings.Cut(string(s), "~")
	parts := strings.Split(first, ".")
	if len(s) > MaxRecordBytes || len(parts) != 3 {
		return nil
	}
	payload, err := base64.RawURLEncoding.Strict().DecodeString(parts[1])
	if err != nil {
		return nil
	}
	return payload
}

// Digest is that of the payload; zero if there is none to read.
func (s Signed) Digest() trust.Digest {
	payload := s.payloadOf()
	if payload == nil {
		return trust.Digest{}
	}
	return trust.DigestOf(payload)
}

// open verifies each signature by the key that its kid names among keys, and gives the
// record with the keys that signed it. What those may sign is for the chain to say.
func (s Signed) open(keys []Key) (Record, []Key, error) {
	var r Record
	if len(s) > MaxRecordBytes {
		return r, nil, refuse("it has %d bytes; at most %d are taken", len(s), MaxRecordBytes)
	}
	envelopes := strings.Split(string(s), "~")
	if len(envelopes) > maxRoots {
		return r, nil, refuse("it has %d signatures; at most %d are taken", len(envelopes), maxRoots)
	}
	byID := make(map[trust.NodeID]Key, len(keys))
	for _, k := range keys {
		byID[k.ID()] = k
	}
	keyOf := func(id trust.NodeID) (ed25519.PublicKey, bool) {
		k, ok := byID[id]
		return k.Public(), ok
	}
	var signers []Key
	var payload []byte
	for i, e := range envelopes {
		body, signer, err := jose.Open([]byte(e), Type, MaxRecordBytes, keyOf)
		if err != nil {
			return r, nil, refuse("signature %d: %w", i+1, err)
		}
		if i == 0 {
			payload = body
		} else if !bytes.Equal(body, payload) {
			return r, nil, refuse("its signatures are over different records")
		}
		if slices.Contains(signers, byID[signer]) {
			return r, nil, refuse("one key signed it twice")
		}
		signers = append(signers, byID[signer])
	}
	if err := jose.Unmarshal(payload, &r); err != nil {
		return r, nil, refuse("%w", err)
	}
	return r, signers, r.check()
}

// check refuses what no record may say, whatever came before it.
func (r *Record) check() error {
	if _, err := trust.ParseSiteName(string(r.Name)); err != nil {
		return refuse("its name: %w", err)
	}
	if len(r.Display) > maxDisplayBytes || strings.ContainsFunc(r.Display, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return refuse("its display name is longer than %d bytes, or cannot be printed", maxDisplayBytes)
	}
	if r.Epoch < 1 || r.Epoch > maxCounter || r.Update < 0 || r.Update > maxCounter {
		return refuse("an impossible place (%d,%d)", r.Epoch, r.Update)
	}
	if r.Issued < 1 || r.Expires > maxUnix || r.Expires <= r.Issued || r.Expires-r.Issued > int64(maxLife/time.Second) {
		return refuse("it lives from %d to %d; at most %d days are taken", r.Issued, r.Expires, int(maxLife.Hours()/24))
	}
	if err := r.checkRoots(); err != nil {
		return err
	}
	if err := r.checkNodes(); err != nil {
		return err
	}
	return r.checkIssuers()
}

func (r *Record) checkRoots() error {
	ids := make([]trust.NodeID, 0, len(r.Roots))
	for _, k := range r.Roots {
		ids = append(ids, k.ID())
	}
	switch {
	case len(ids) < 1 || len(ids) > maxRoots || repeats(ids):
		return refuse("it has %d root keys; 1 to %d different ones are taken", len(ids), maxRoots)
	case r.Threshold < 1 || r.Threshold > len(ids):
		return refuse("%d of %d root keys cannot be asked for", r.Threshold, len(ids))
	case len(r.Next) < 1 || len(r.Next) > maxRoots || repeats(r.Next):
		return refuse("it commits to %d root keys to come; 1 to %d different ones are taken", len(r.Next), maxRoots)
	case r.NextThreshold < 1 || r.NextThreshold > len(r.Next):
		return refuse("%d of %d root keys to come cannot be asked for", r.NextThreshold, len(r.Next))
	}
	for _, id := range r.Next {
		if _, err := trust.ParseNodeID(string(id)); err != nil {
			return refuse("a root key to come is named by no digest")
		}
		// The keys to come must be out of reach for the thief of today's.
		if slices.Contains(ids, id) {
			return refuse("a root key of today is one of those to come")
		}
	}
	return nil
}

func (r *Record) checkNodes() error {
	if len(r.Nodes) > maxNodes || len(r.Nodes) == 0 && !r.Left {
		return refuse("it has %d nodes; 1 to %d are taken", len(r.Nodes), maxNodes)
	}
	var seen []trust.NodeID
	for _, n := range r.Nodes {
		switch {
		case n.Key.ID() != n.ID:
			return refuse("node %.60q has another key than its name says", n.ID)
		case slices.Contains(seen, n.ID):
			return refuse("node %s is named twice", n.ID.Short())
		// One key for one use: who has a node's key must not be the site.
		case slices.Contains(r.Roots, n.Key) || slices.Contains(r.Next, n.ID):
			return refuse("node %s has a root key for its own", n.ID.Short())
		case len(n.Addrs) > maxAddrs:
			return refuse("node %s has %d addresses; at most %d are taken", n.ID.Short(), len(n.Addrs), maxAddrs)
		}
		for _, a := range n.Addrs {
			if !HostPort(a) {
				return refuse("node %s: %.80q is not host:port", n.ID.Short(), a)
			}
		}
		seen = append(seen, n.ID)
	}
	return nil
}

func (r *Record) checkIssuers() error {
	if len(r.Issuers) > maxIssuers || len(r.ClientIDs) > maxIssuers || repeats(r.Issuers) {
		return refuse("it names more than %d issuers, or one twice", maxIssuers)
	}
	names := slices.Clone(r.Issuers)
	for issuer, ids := range r.ClientIDs {
		names = append(names, issuer)
		if len(ids) > maxClientIDs || repeats(ids) || slices.ContainsFunc(ids, func(id string) bool { return id == "" || len(id) > maxClientIDSize }) {
			return refuse("its client ids at an issuer are beyond the limits")
		}
	}
	if slices.ContainsFunc(names, func(n string) bool { return n == "" || len(n) > maxIssuerBytes }) {
		return refuse("it names an issuer of no name, or one beyond %d bytes", maxIssuerBytes)
	}
	return nil
}

// HostPort tells whether a has the form of host:port. Whether the host is there is for
// whoever dials to find out.
func HostPort(a string) bool {
	i := strings.LastIndexByte(a, ':')
	if i < 1 || len(a) > maxAddrBytes {
		return false
	}
	if port, err := strconv.ParseUint(a[i+1:], 10, 16); err != nil || port == 0 {
		return false
	}
	host := a[:i]
	if strings.HasPrefix(host, "[") {
		_, err := netip.ParseAddr(strings.TrimSuffix(host[1:], "]"))
		return err == nil && strings.HasSuffix(host, "]")
	}
	return !strings.ContainsFunc(host, func(c rune) bool {
		return !(c == '-' || c == '.' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z')
	})
}

func repeats[T comparable](list []T) bool {
	seen := make(map[T]bool, len(list))
	for _, v := range list {
		if seen[v] {
			return true
		}
		seen[v] = true
	}
	return false
}

// ValidAt says why the record does not hold at now, or nil.
func (r Record) ValidAt(now time.Time) error {
	switch {
	case time.Unix(r.Issued, 0).After(now.Add(Skew)):
		return refuse("it was signed in the future: one of the two clocks is wrong")
	case !now.Before(time.Unix(r.Expires, 0)):
		return refuse("it expired on %s: its owner must sign a new one (candignode site update)", time.Unix(r.Expires, 0).UTC().Format(time.DateOnly))
	}
	return nil
}
