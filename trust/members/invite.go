package members

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/roots"
)

// The typ of what a member signs about a site (trust-protocol.md, section 5).
const (
	TypeInvite  = "candig-invite+jwt"
	TypeEndorse = "candig-endorse+jwt"
	TypeExpel   = "candig-expel+jwt"
)

// ErrInvite is wrapped by every refusal of an invite.
var ErrInvite = errors.New("not an invite that is good here")

// Invite is a member's word that it expects one site. It says where to come to, and by
// which key to recognise who is there. It is bound to the site's id: whoever else has it
// can do nothing with it.
type Invite struct {
	Genesis Genesis        `json:"genesis"`
	For     trust.SiteID   `json:"for"`
	By      trust.SiteID   `json:"by"`
	Name    trust.SiteName `json:"name"` // what the inviter calls itself
	Node    trust.NodeID   `json:"node"`
	Key     roots.Key      `json:"key"`
	Addrs   []string       `json:"addrs"`
	ID      string         `json:"jti"`
	Issued  int64          `json:"iat"`
	Expires int64          `json:"exp"`
}

// Seal signs an invite by the inviter's node. Node, Key, ID and the times are filled in.
func (i Invite) Seal(node crypto.Signer, now time.Time) (string, error) {
	key, ok := roots.KeyOf(node.Public())
	if !ok {
		return "", fmt.Errorf("%w: the node key is not an Ed25519 key", ErrInvite)
	}
	var id [16]byte
	rand.Read(id[:]) // never fails
	i.Node, i.Key, i.ID = key.ID(), key, base64.RawURLEncoding.EncodeToString(id[:])
	i.Issued, i.Expires = now.Unix(), now.Add(InviteLife).Unix()
	sealed, err := jose.Seal(TypeInvite, node, i)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrInvite, err)
	}
	_, err = OpenInvite(string(sealed), i.For, now)
	return string(sealed), err
}

// OpenInvite reads an invite for a site, and verifies it by the key that it brings: that
// the inviter is who the newcomer thinks is for the newcomer's operator to know, who got it
// from there.
func OpenInvite(text string, site trust.SiteID, now time.Time) (Invite, error) {
	text = strings.TrimSpace(text)
	var claim, i Invite
	if len(text) > MaxInviteBytes {
		return i, fmt.Errorf("%w: it has %d bytes, at most %d are read", ErrInvite, len(text), MaxInviteBytes)
	}
	if body, ok := payloadOf(text, MaxInviteBytes); !ok || jose.Unmarshal(body, &claim) != nil {
		return i, fmt.Errorf("%w: it is not whole; copy the line that 'candignode invite create' printed", ErrInvite)
	}
	signer, err := jose.OpenInto(&i, []byte(text), TypeInvite, MaxInviteBytes, func(id trust.NodeID) (ed25519.PublicKey, bool) {
		return claim.Key.Public(), id == claim.Key.ID()
	})
	if err != nil {
		return Invite{}, fmt.Errorf("%w: %w", ErrInvite, err)
	}
	if err := i.check(signer, site, now); err != nil {
		return Invite{}, err
	}
	return i, nil
}

func (i Invite) check(signer trust.NodeID, site trust.SiteID, now time.Time) error {
	if err := i.Genesis.Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrInvite, err)
	}
	switch {
	case i.Node != signer || i.Key.ID() != signer:
		return fmt.Errorf("%w: it was signed by another node than it names", ErrInvite)
	case i.For != site:
		return fmt.Errorf("%w: it is for site %.60s, and this is %s", ErrInvite, i.For, site)
	case i.By == i.For:
		return fmt.Errorf("%w: a site cannot invite itself", ErrInvite)
	case time.Unix(i.Issued, 0).After(now.Add(skew)):
		return fmt.Errorf("%w: it was made in the future: one of the two clocks is wrong", ErrInvite)
	case i.Expires <= i.Issued || i.Expires-i.Issued > int64(InviteLife/time.Second) || !now.Before(time.Unix(i.Expires, 0)):
		return fmt.Errorf("%w: it was good for %s, which are over; ask for another one", ErrInvite, InviteLife)
	case len(i.Addrs) == 0 || len(i.Addrs) > maxAddrs:
		return fmt.Errorf("%w: it names %d addresses, 1 to %d are taken; the inviter must set federation.advertise", ErrInvite, len(i.Addrs), maxAddrs)
	}
	if _, err := trust.ParseSiteName(string(i.Name)); err != nil {
		return fmt.Errorf("%w: the inviter: %w", ErrInvite, err)
	}
	if _, err := trust.ParseSiteID(string(i.By)); err != nil {
		return fmt.Errorf("%w: the inviter: %w", ErrInvite, err)
	}
	for _, a := range i.Addrs {
		if !roots.HostPort(a) {
			return fmt.Errorf("%w: %.80q is not host:port", ErrInvite, a)
		}
	}
	return nil
}

// payloadOf gives the bytes that an envelope says were signed, unverified.
func payloadOf(envelope string, limit int) ([]byte, bool) {
	parts := strings.Split(envelope, ".")
	if len(envelope) > limit || len(parts) != 3 {
		return nil, false
	}
	payload, err := base64.RawURLEncoding.Strict().DecodeString(parts[1])
	return payload, err == nil
}
