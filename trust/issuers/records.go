package issuers

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// The kinds of envelopes (trust-protocol.md, section 5). The typ is signed, so a
// record of one kind can never be read as another.
const (
	typHead = "candig-head+jwt"
	typSite = "candig-site+jwt"
	typObs  = "candig-obs+jwt"
	typTomb = "candig-tomb+jwt"
	typWord = "candig-issuer+jwt"
)

// ErrRecord is wrapped by every refusal of something that a site signed.
var ErrRecord = errors.New("refused what a site signed")

// refuse says what is wrong in words that hold nothing secret: what peers sign is public
// among them, but names in it are theirs, so callers quote and cut them.
func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrRecord}, args...)...)
}

// Head is one version of a site's records (section 6). Its order among the
// heads of one author is (Epoch, Update, Version), never a clock.
type Head struct {
	// Net stands for the network and the author's node together: written out, both would not
	// fit MaxHeadBytes. The node itself is in the site record, which Root covers.
	Net     string       `json:"net"`
	Epoch   int64        `json:"e"`
	Update  int64        `json:"u"`
	Version int64        `json:"ver"`
	Prev    trust.Digest `json:"prev"` // of the envelope before this one
	Root    trust.Digest `json:"root"`
	Count   int          `json:"n"`
	Issued  int64        `json:"iat"` // seconds
	Expires int64        `json:"exp"`
}

// siteRecord says who a site is and which client ids are its own.
type siteRecord struct {
	Net       string              `json:"net"`
	Site      trust.SiteName      `json:"site"`
	Node      trust.NodeID        `json:"node"`
	Key       string              `json:"key"` // the raw Ed25519 public key, base64url
	ClientIDs map[string][]string `json:"client_ids"`
	Epoch     int64               `json:"e"`
	Update    int64               `json:"u"`
	Issued    int64               `json:"iat"`
	Expires   int64               `json:"exp"`
}

// obsRecord is an Observation as it is signed.
type obsRecord struct {
	Net      string       `json:"net"`
	Issuer   string       `json:"iss"`
	JWKSURI  string       `json:"jwks_uri"`
	Metadata trust.Digest `json:"meta"`
	Keys     []string     `json:"keys"`
	At       int64        `json:"at"`
	KeySet   trust.Digest `json:"jwks,omitzero"`
	HomeSite trust.SiteID `json:"home,omitempty"`
}

// wordRecord is an IssuerWord as it is signed.
type wordRecord struct {
	Net        string       `json:"net"`
	Issuer     string       `json:"iss"`
	JWKSURI    string       `json:"jwks_uri"`
	Metadata   trust.Digest `json:"meta"`
	KeySet     trust.Digest `json:"jwks"`
	Keys       []string     `json:"keys"`
	Algorithms []string     `json:"algs"`
	Kinds      []trust.Kind `json:"kinds"`
	At         int64        `json:"at"`
	Refresh    int64        `json:"refresh,omitempty"` // seconds
}

// netOf gives the 16 characters that bind a record to one network and one node,
// so that nothing signed for one is believed in another.
func netOf(network string, node trust.NodeID) string {
	sum := sha256.Sum256([]byte("candignode network\x00" + network + "\x00" + string(node)))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// rootOf hashes the sorted hashes of all record envelopes, so the order in which
// they travel means nothing.
func rootOf(hashes []trust.Digest) trust.Digest {
	sorted := slices.Clone(hashes)
	slices.SortFunc(sorted, func(a, b trust.Digest) int { return bytes.Compare(a[:], b[:]) })
	h := sha256.New()
	h.Write([]byte("candignode records\x00"))
	for _, d := range sorted {
		h.Write(d[:])
	}
	return trust.Digest(h.Sum(nil))
}

// pin is whom a verifier listens to: the operator's word.
type pin struct {
	network string
	site    trust.SiteName
	node    trust.NodeID
}

func (p pin) net() string { return netOf(p.network, p.node) }

// openSite verifies a site record. The record brings the key that verifies it;
// what makes it believed is that the key hashes to the pinned NodeID.
func openSite(envelope []byte, p pin) (siteRecord, ed25519.PublicKey, error) {
	var s siteRecord
	key := announcedKey(envelope)
	body, _, err := jose.Open(envelope, typSite, MaxSiteRecordBytes, only(p.node, key))
	if err != nil {
		return s, nil, refuse("site record of %s: %w", p.site, err)
	}
	if err := jose.Unmarshal(body, &s); err != nil {
		return s, nil, refuse("site record of %s: %w", p.site, err)
	}
	switch {
	case s.Net != p.net():
		return s, nil, refuse("site record of %s is for another network or another site name", p.site)
	case s.Node != p.node:
		return s, nil, refuse("site record of %s names node %.60q", p.site, s.Node)
	case !counter(s.Epoch) || !counter(s.Update):
		return s, nil, refuse("site record of %s has an impossible epoch", p.site)
	case s.Expires <= s.Issued || s.Expires-s.Issued > int64(maxSiteLife/time.Second):
		return s, nil, refuse("site record of %s lives too long", p.site)
	}
	for issuer, ids := range s.ClientIDs {
		if issuer == "" || len(issuer) > maxURLBytes || len(ids) > maxClientIDs ||
			slices.ContainsFunc(ids, func(id string) bool { return id == "" || len(id) > maxClientIDBytes }) {
			return s, nil, refuse("site record of %s has client ids beyond the limits", p.site)
		}
	}
	return s, key, nil
}

// announcedKey reads the key a site record claims, before anything is verified.
// It is nil when there is none to read; jose.Open then refuses.
func announcedKey(envelope []byte) ed25519.PublicKey {
	// This runs before any signature is checked, so size comes first.
	if len(envelope) > MaxSiteRecordBytes {
		return nil
	}
	parts := bytes.SplitN(envelope, []byte("."), 3)
	if len(parts) != 3 {
		return nil
	}
	body, err := base64.RawURLEncoding.Strict().DecodeString(string(parts[1]))
	if err != nil {
		return nil
	}
	var claim struct {
		Key string `json:"key"`
	}
	if jose.Unmarshal(body, &claim) != nil {
		return nil
	}
	key, err := base64.RawURLEncoding.Strict().DecodeString(claim.Key)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil
	}
	return key
}

// keyOf gives the key of a node that is listened to.
type keyOf = func(trust.NodeID) (ed25519.PublicKey, bool)

// record is one record under a head: an observation, a home's word, or a tombstone. One of a kind that this
// version does not know is none of them: it is kept and passed on, and counts for nothing, so that a site may run a newer
// version than its peers.
type record struct {
	obs  *Observation
	word *IssuerWord
	tomb *Tombstone
}

// openRecord verifies a record of any kind. The kind stands in the header, which is signed: one is
// never read as another.
func openRecord(envelope []byte, p pin, key ed25519.PublicKey) (record, error) {
	header, _, _ := bytes.Cut(envelope, []byte("."))
	raw, err := base64.RawURLEncoding.Strict().DecodeString(string(header))
	var claim struct {
		Typ string `json:"typ"`
	}
	if len(envelope) > MaxRecordBytes || err != nil || jose.Unmarshal(raw, &claim) != nil {
		return record{}, refuse("a record of %s is no envelope", p.site)
	}
	switch claim.Typ {
	case typTomb:
		t, err := openTomb(envelope, p, only(p.node, key))
		return record{tomb: &t}, err
	case typWord:
		w, err := openWord(envelope, p, key)
		return record{word: &w}, err
	case typObs, typHead, typSite: // openObs says that the latter are none
		o, err := openObs(envelope, p, key)
		return record{obs: &o}, err
	}
	if !strings.HasPrefix(claim.Typ, "candig-") || !strings.HasSuffix(claim.Typ, "+jwt") {
		return record{}, refuse("a record of %s is of kind %.60q", p.site, claim.Typ)
	}
	if _, _, err := jose.Open(envelope, claim.Typ, MaxRecordBytes, only(p.node, key)); err != nil {
		return record{}, refuse("record of %s: %w", p.site, err)
	}
	return record{}, nil
}

// only answers for one node; jose.Open itself checks that the key hashes to it.
func only(node trust.NodeID, key ed25519.PublicKey) func(trust.NodeID) (ed25519.PublicKey, bool) {
	return func(id trust.NodeID) (ed25519.PublicKey, bool) { return key, key != nil && id == node }
}

// openHead verifies a head's form and signature. Whether it comes at the right
// time, and whether it follows what is held, is for others to say.
func openHead(envelope []byte, p pin, key ed25519.PublicKey) (Head, error) {
	var h Head
	body, _, err := jose.Open(envelope, typHead, MaxHeadBytes, only(p.node, key))
	if err != nil {
		return h, refuse("head of %s: %w", p.site, err)
	}
	if err := jose.Unmarshal(body, &h); err != nil {
		return h, refuse("head of %s: %w", p.site, err)
	}
	switch {
	case h.Net != p.net():
		return h, refuse("head of %s is for another network or another site name", p.site)
	case !counter(h.Epoch) || !counter(h.Update) || !counter(h.Version) || h.Epoch == 0 || h.Version == 0:
		return h, refuse("head of %s has an impossible version", p.site)
	case h.Count < 1 || h.Count > MaxRecords+1:
		return h, refuse("head of %s has %d records; 1 to %d are taken", p.site, h.Count, MaxRecords+1)
	case h.Expires <= h.Issued || h.Expires-h.Issued > int64(maxLife/time.Second):
		return h, refuse("head of %s lives longer than %s", p.site, maxLife)
	}
	return h, nil
}

// timely checks what openHead leaves: a head from the future would let its
// author outlive every limit that counts from when it was signed.
func (h Head) timely(now time.Time, site trust.SiteName) error {
	if h.issued().After(now.Add(skew)) {
		return refuse("head of %s was signed in the future: one of the two clocks is wrong", site)
	}
	if now.After(h.issued().Add(MaxStale)) {
		return refuse("head of %s is older than %s", site, MaxStale)
	}
	return nil
}

func (h Head) issued() time.Time { return time.Unix(h.Issued, 0).UTC() }

// openObs verifies one observation by the site that key belongs to.
func openObs(envelope []byte, p pin, key ed25519.PublicKey) (Observation, error) {
	var o obsRecord
	if err := openAbout(envelope, typObs, "observation", p, key, &o); err != nil {
		return Observation{}, err
	}
	if err := (about{o.Net, o.Issuer, o.JWKSURI, o.Keys, o.At}).check("observation", p); err != nil {
		return Observation{}, err
	}
	if len(o.HomeSite) > maxSiteIDBytes {
		return Observation{}, refuse("observation by %s names no site as the issuer's home", p.site)
	}
	return Observation{o.Issuer, o.JWKSURI, o.Metadata, o.Keys, time.Unix(o.At, 0).UTC(), o.KeySet, o.HomeSite}, nil
}

// openWord verifies what a site says of an issuer as its home. Whether it is the home is for Believe.
func openWord(envelope []byte, p pin, key ed25519.PublicKey) (IssuerWord, error) {
	var w wordRecord
	if err := openAbout(envelope, typWord, "issuer record", p, key, &w); err != nil {
		return IssuerWord{}, err
	}
	if err := (about{w.Net, w.Issuer, w.JWKSURI, w.Keys, w.At}).check("issuer record", p); err != nil {
		return IssuerWord{}, err
	}
	if w.KeySet.IsZero() || len(w.Algorithms) > maxKinds || len(w.Kinds) > maxKinds {
		return IssuerWord{}, refuse("issuer record by %s names no key set, or more than %d algorithms or kinds", p.site, maxKinds)
	}
	if w.Refresh < 0 || w.Refresh > int64(MaxStale/time.Second) {
		return IssuerWord{}, refuse("issuer record by %s asks to be refreshed every %d s; 0 to %d are taken", p.site, w.Refresh, int64(MaxStale/time.Second))
	}
	return IssuerWord{w.Issuer, w.JWKSURI, w.Metadata, w.KeySet, w.Keys, w.Algorithms, w.Kinds, time.Unix(w.At, 0).UTC(), time.Duration(w.Refresh) * time.Second}, nil
}

// openAbout verifies and decodes a record about an issuer.
func openAbout(envelope []byte, typ, what string, p pin, key ed25519.PublicKey, into any) error {
	body, _, err := jose.Open(envelope, typ, MaxRecordBytes, only(p.node, key))
	if err != nil {
		return refuse("%s by %s: %w", what, p.site, err)
	}
	if err := jose.Unmarshal(body, into); err != nil {
		return refuse("%s by %s: %w", what, p.site, err)
	}
	return nil
}

// about is what observations and issuer records have in common.
type about struct {
	net, issuer, jwksURI string
	keys                 []string
	at                   int64
}

func (a about) check(what string, p pin) error {
	switch {
	case a.net != p.net():
		return refuse("%s by %s is for another network or another site name", what, p.site)
	case a.issuer == "" || len(a.issuer) > maxURLBytes || len(a.jwksURI) > maxURLBytes:
		return refuse("%s by %s names no issuer, or one beyond %d bytes", what, p.site, maxURLBytes)
	// To have seen no key is not an observation, but a failed fetch.
	case len(a.keys) == 0 || len(a.keys) > maxKeys:
		return refuse("%s by %s has %d keys; 1 to %d are taken", what, p.site, len(a.keys), maxKeys)
	case a.at < 1 || a.at > maxUnix:
		return refuse("%s by %s has an impossible time", what, p.site)
	}
	// Sorted and distinct by the rule, so that one set has one form: witnesses are
	// compared, and a key that is named twice must not look like two.
	for i, print := range a.keys {
		if _, err := trust.ParseDigest(print); err != nil || i > 0 && a.keys[i-1] >= print {
			return refuse("%s by %s: its thumbprints are malformed or not sorted", what, p.site)
		}
	}
	return nil
}

// maxUnix keeps times within what calendars and arithmetic here can hold.
const maxUnix = 1 << 33

// counter tells whether a number may be an epoch, update or version.
func counter(n int64) bool { return n >= 0 && n <= maxCounter }
