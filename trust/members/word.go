package members

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// Stance is what a member says about a site.
type Stance string

// The stances. Taking a word back is a word, too: the newest counts.
const (
	Endorses  Stance = "endorse"
	Expels    Stance = "expel" // a vote: advice
	TakesBack Stance = "none"
)

// ErrWord is wrapped by every refusal of what a member says about a site.
var ErrWord = errors.New("refused a site's word about another")

// wordBody is a word as it is signed.
type wordBody struct {
	Net    string       `json:"net"`
	By     trust.SiteID `json:"by"`
	About  trust.SiteID `json:"about"`
	Stance Stance       `json:"stance"`
	At     int64        `json:"iat"`
}

// word is one member's newest word about one site, with the bytes that were signed.
type word struct {
	wordBody
	signer   trust.NodeID
	envelope string
	hash     trust.Digest
}

// newer orders the words of one member about one site: by its own time, and two of one
// second by their bytes, so that everybody keeps the same one.
func (w word) newer(o word) bool {
	if w.At != o.At {
		return w.At > o.At
	}
	return bytes.Compare(w.hash[:], o.hash[:]) > 0
}

func (s Stance) typ() string {
	if s == Expels {
		return TypeExpel
	}
	return TypeEndorse
}

func sealWord(b wordBody, key crypto.Signer) (string, error) {
	sealed, err := jose.Seal(b.Stance.typ(), key, b)
	return string(sealed), err
}

// openWord verifies a word by a key of its author's record. nodeKey gives the key that a
// site's newest record names under an id.
func openWord(envelope, net string, nodeKey func(by trust.SiteID, node trust.NodeID) (ed25519.PublicKey, bool), now time.Time) (word, error) {
	claimed, err := claimOf(envelope)
	if err != nil {
		return word{}, err
	}
	w := word{envelope: envelope, hash: trust.DigestOfString(envelope)}
	w.signer, err = jose.OpenInto(&w.wordBody, []byte(envelope), claimed.Stance.typ(), MaxWordBytes, func(id trust.NodeID) (ed25519.PublicKey, bool) {
		return nodeKey(claimed.By, id)
	})
	if err != nil {
		return word{}, fmt.Errorf("%w: %w", ErrWord, err)
	}
	if _, err := trust.ParseSiteID(string(w.About)); err != nil {
		return word{}, fmt.Errorf("%w: %w", ErrWord, err)
	}
	switch {
	case w.By != claimed.By || w.Stance != claimed.Stance:
		return word{}, fmt.Errorf("%w: it reads in two ways", ErrWord)
	case w.Net != net:
		return word{}, fmt.Errorf("%w: it is for another network", ErrWord)
	case w.By == w.About:
		return word{}, fmt.Errorf("%w: a site speaks for itself", ErrWord)
	case w.Stance != Endorses && w.Stance != Expels && w.Stance != TakesBack:
		return word{}, fmt.Errorf("%w: %.40q is no stance", ErrWord, w.Stance)
	case w.At < 1 || time.Unix(w.At, 0).After(now.Add(skew)):
		return word{}, fmt.Errorf("%w: it was signed in the future: one of the two clocks is wrong", ErrWord)
	}
	return w, nil
}

// claimOf reads whose word an envelope claims to be, unverified: only to choose the key to
// verify with.
func claimOf(envelope string) (wordBody, error) {
	var claim wordBody
	payload, ok := payloadOf(envelope, MaxWordBytes)
	if !ok || jose.Unmarshal(payload, &claim) != nil {
		return claim, fmt.Errorf("%w: it is no envelope of at most %d bytes", ErrWord, MaxWordBytes)
	}
	return claim, nil
}
