// Package audit holds the record of every access and the hash chain that
// shows when somebody changed it. It is pure: the store keeps the entries and
// commits each in the transaction of the fact it records.
//
// The invariant: entry n's Hash is SHA-256 over a domain byte, entry n-1's Hash and
// entry n's exact stored bytes, and n counts from 1 without a gap. So an entry that
// was edited, dropped, inserted or moved breaks the chain. A tail that was cut off
// does not; it shows against a head that was noted elsewhere.
package audit

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/candignode/candignode/trust"
)

// Event says what kind of thing happened.
type Event string

// The events.
const (
	EventDecision Event = "decision" // a dataset was asked for, and allowed or denied
	EventRefused  Event = "refused"  // a caller or a peer's question was refused before any decision
	EventForward  Event = "forward"  // a question was sent to peers
	EventGrant    Event = "grant"    // a grant was added or revoked
	EventDataset  Event = "dataset"  // a release was imported or removed
	EventIssuer   Event = "issuer"   // belief in an issuer's keys changed
	EventNode     Event = "node"     // the node started, stopped or changed its configuration
	EventReceipt  Event = "receipt"  // a peer signed what it answered
	EventSite     Event = "site"     // a site was approved, blocked, named, or said something new about itself
	// The operator took something back or gave it free again, or an issuer took a
	// visa back.
	EventRevocation Event = "revocation"
	EventSession    Event = "session" // somebody signed in or out, or was signed out
	EventVisa       Event = "visa"    // this node signed a visa or a passport, or a visa newly linked two identities (outcome linked)
)

// Record is one entry's content. It never holds a token: digests only. Fields
// that do not apply stay empty.
type Record struct {
	Time        time.Time `json:"time"`
	Event       Event     `json:"event"`
	Transaction string    `json:"transaction,omitempty"`
	// Forwarding is the id of the forwarding that a decision answers, or that a receipt is for: the
	// same in both sites' records.
	Forwarding    string           `json:"forwarding,omitempty"`
	Receipt       Receipt          `json:"receipt,omitzero"`
	Caller        trust.Identity   `json:"caller,omitzero"`
	Origin        trust.SiteName   `json:"origin,omitempty"` // the site that forwarded it; "" is here
	Passports     []trust.Digest   `json:"passports,omitempty"`
	Unbound       bool             `json:"unbound,omitempty"` // relied on a passport without aud
	Dataset       string           `json:"dataset,omitempty"`
	Release       string           `json:"release,omitempty"`
	Question      string           `json:"question,omitempty"`
	Outcome       string           `json:"outcome"` // allow, deny, or what the event came to
	Rule          string           `json:"rule,omitempty"`
	Visas         []trust.Digest   `json:"visas,omitempty"`  // relied on
	Grants        []string         `json:"grants,omitempty"` // relied on
	Answer        string           `json:"answer,omitempty"` // what left the site, after the privacy floor
	Policy        string           `json:"policy,omitempty"` // policy revision
	TrustRevision uint64           `json:"trust_revision,omitempty"`
	Targets       []trust.SiteName `json:"targets,omitempty"`
	Detail        string           `json:"detail,omitempty"` // for the operator; bounded, printable
}

// Entry is a Record in the chain.
type Entry struct {
	Seq  uint64 // from 1
	Hash trust.Digest
	Body []byte // the exact JSON of the Record, as stored
}

// Head is the newest entry's place in the chain; the zero Head is an empty log.
type Head struct {
	Seq  uint64       `json:"seq"`
	Hash trust.Digest `json:"hash"`
}

// Encode gives the body of the entry that r becomes: its JSON, with the time in
// UTC and whole microseconds. It does not depend on the chain, so many callers
// encode at once while one of them is being chained.
func Encode(r Record) ([]byte, error) {
	r.Time = r.Time.UTC().Truncate(time.Microsecond)
	body, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("audit record: %w", err)
	}
	return body, nil
}

// Chain makes the entry that follows head, with a body that Encode gave.
func Chain(head Head, body []byte) Entry {
	return Entry{Seq: head.Seq + 1, Hash: link(head.Hash, body), Body: body}
}

// Append makes the entry that follows head.
func Append(head Head, r Record) (Entry, error) {
	body, err := Encode(r)
	if err != nil {
		return Entry{}, err
	}
	return Chain(head, body), nil
}

// Head gives the entry's place.
func (e Entry) Head() Head { return Head{Seq: e.Seq, Hash: e.Hash} }

// Record decodes the entry.
func (e Entry) Record() (Record, error) {
	var r Record
	if err := json.Unmarshal(e.Body, &r); err != nil {
		return Record{}, fmt.Errorf("audit entry %d: %w", e.Seq, err)
	}
	return r, nil
}

// ErrBroken is wrapped by what Verify returns for an entry that does not follow.
var ErrBroken = errors.New("audit log is broken")

// Verify checks that e follows head.
func Verify(head Head, e Entry) error {
	if e.Seq != head.Seq+1 {
		return fmt.Errorf("%w: entry %d follows entry %d", ErrBroken, e.Seq, head.Seq)
	}
	if e.Hash != link(head.Hash, e.Body) {
		return fmt.Errorf("%w: entry %d was changed, or one before it was", ErrBroken, e.Seq)
	}
	return nil
}

const domainEntry = 0x01 // keeps entry hashes apart from any other use of SHA-256

func link(prev trust.Digest, body []byte) trust.Digest {
	h := sha256.New()
	h.Write([]byte{domainEntry})
	h.Write(prev[:])
	h.Write(body)
	return trust.Digest(h.Sum(nil))
}
