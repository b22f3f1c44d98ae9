package federation

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/audit"
	"github.com/candignode/candignode/trust/jose"
)

// receiptType is the envelope's typ (trust-protocol.md, section 5).
const receiptType = "candig-receipt+jwt"

// receipt is what the target's node signs about its answer: "this is what I said to this
// question of yours". The origin keeps it, and the target's own record names the same
// forwarding, so each side holds what the other cannot deny (trust-protocol.md, section 11).
type receipt struct {
	Network     string       `json:"net,omitempty"`
	Issuer      trust.NodeID `json:"iss"`
	Audience    trust.NodeID `json:"aud"`
	Transaction string       `json:"txn"`
	// Forwarding is the jti of the assertion that is answered: it stands with each decision in the
	// target's record, and is the decision's id between the two sites.
	Forwarding string       `json:"jti"`
	Answer     trust.Digest `json:"digest"` // of the exact bytes of the answer
	Policy     string       `json:"policy"` // the revision that decided
	IssuedAt   int64        `json:"iat"`
}

// A response that is an answer travels as
//
//	version  1 byte, never '{': a refusal is JSON and carries no receipt
//	receipt  2 bytes length, bytes
//	answer   the rest
const receiptVersion = 2

// sealAnswer puts a receipt before an answer.
func (r *Receiver) sealAnswer(answer []byte, q *question) ([]byte, error) {
	claims := receipt{
		Network: r.o.Network, Issuer: r.o.Node, Audience: q.claims.Issuer, Transaction: q.claims.Transaction,
		Forwarding: q.claims.ID, Answer: trust.DigestOf(answer), Policy: r.o.Policy(), IssuedAt: r.o.Now().Unix(),
	}
	envelope, err := jose.Seal(receiptType, r.o.Key, claims)
	if err != nil {
		return nil, err
	}
	if len(envelope) > maxReceipt || 3+len(envelope)+len(answer) > MaxResponse {
		return nil, fmt.Errorf("the receipt has %d bytes, the answer %d; at most %d travel", len(envelope), len(answer), MaxResponse)
	}
	b := make([]byte, 0, 3+len(envelope)+len(answer))
	b = binary.BigEndian.AppendUint16(append(b, receiptVersion), uint16(len(envelope)))
	return append(append(b, envelope...), answer...), nil
}

// expected is what a receipt must say to count for one target's answer.
type expected struct {
	network     string
	node        trust.NodeID // of the target, by its connection
	key         ed25519.PublicKey
	self        trust.NodeID
	transaction string
	forwarding  string
	now         time.Time
}

// errReceipt is wrapped by every error about a receipt. An answer without a good one is
// not used: nobody could show later what was said.
var errReceipt = errors.New("no good receipt")

// openAnswer takes a response apart. A refusal has no receipt, and says nothing that could be denied.
func openAnswer(b []byte, want expected) (answer []byte, signed string, claims receipt, err error) {
	if len(b) > MaxResponse {
		return nil, "", claims, fmt.Errorf("%w: %d bytes, at most %d", errResponse, len(b), MaxResponse)
	}
	if len(b) > 0 && b[0] == '{' {
		if s := string(b); s != refusedResponse && s != busyResponse {
			return nil, "", claims, fmt.Errorf("%w: an answer that is not signed", errReceipt)
		}
		return b, "", claims, nil
	}
	if len(b) < 3 || b[0] != receiptVersion {
		return nil, "", claims, fmt.Errorf("%w: not version %d", errReceipt, receiptVersion)
	}
	n := int(binary.BigEndian.Uint16(b[1:]))
	if n > maxReceipt || len(b) < 3+n {
		return nil, "", claims, fmt.Errorf("%w: it ends within the receipt", errReceipt)
	}
	envelope, answer := b[3:3+n], b[3+n:]
	if _, err := jose.OpenInto(&claims, envelope, receiptType, maxReceipt, func(id trust.NodeID) (ed25519.PublicKey, bool) {
		return want.key, id == want.node // nobody but the peer itself
	}); err != nil {
		return nil, "", receipt{}, fmt.Errorf("%w: %w", errReceipt, err)
	}
	return answer, string(envelope), claims, claims.check(answer, want)
}

func (c receipt) check(answer []byte, want expected) error {
	switch {
	case c.Network != want.network:
		return fmt.Errorf("%w: made for the network %.80q", errReceipt, c.Network)
	case c.Issuer != want.node || c.Audience != want.self:
		return fmt.Errorf("%w: made by node %.80q for node %.80q", errReceipt, c.Issuer, c.Audience)
	case c.Transaction != want.transaction || c.Forwarding != want.forwarding:
		return fmt.Errorf("%w: it is about another question", errReceipt)
	case c.Answer != trust.DigestOf(answer):
		return fmt.Errorf("%w: it is about another answer", errReceipt)
	case len(c.Policy) > maxPolicyRevision:
		return fmt.Errorf("%w: a policy revision of %d bytes", errReceipt, len(c.Policy))
	case c.IssuedAt < want.now.Add(-maxWait-maxSkew).Unix() || c.IssuedAt > want.now.Add(maxSkew).Unix():
		return fmt.Errorf("%w: made at %d, it is %d now: compare the clocks", errReceipt, c.IssuedAt, want.now.Unix())
	}
	return nil
}

// received is a receipt that was good, with what it is the receipt for.
type received struct {
	peer   Peer
	claims receipt
	signed string
	status query.Status
	key    ed25519.PublicKey
}

// keepReceipts records what the peers signed. The answers are theirs, and on their record; that this
// site holds their word for it must not keep the caller waiting for ever, nor take the answer away.
func (r *round) keepReceipts(ctx context.Context) {
	if len(r.receipts) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), refusalTime)
	defer cancel()
	records := make([]audit.Record, len(r.receipts))
	for i, got := range r.receipts {
		records[i] = audit.Record{
			Time: r.o.Now(), Event: audit.EventReceipt, Transaction: r.request.Transaction, Forwarding: got.claims.Forwarding,
			Caller: r.caller.Identity, Targets: []trust.SiteName{got.peer.Site}, Outcome: string(got.status),
			Policy: got.claims.Policy, Receipt: audit.NewReceipt(got.signed, got.key),
		}
	}
	if err := r.o.Recorder.Record(ctx, records...); err != nil {
		r.o.Log.Error("peers' receipts could not be recorded", "transaction", r.request.Transaction, "error", err)
	}
}

// ErrReceipt is wrapped by what CheckReceipt finds.
var ErrReceipt = errReceipt

// CheckReceipt verifies a receipt that was kept in a record, and gives what it says.
func CheckReceipt(kept audit.Receipt) (Receipt, error) {
	envelope, key, err := kept.Envelope(receiptType)
	if err != nil {
		return Receipt{}, fmt.Errorf("%w: %w", ErrReceipt, err)
	}
	node, err := trust.NodeIDOf(key)
	if err != nil {
		return Receipt{}, fmt.Errorf("%w: %w", ErrReceipt, err)
	}
	var claims receipt
	if _, err := jose.OpenInto(&claims, envelope, receiptType, maxReceipt, func(id trust.NodeID) (ed25519.PublicKey, bool) {
		return key, id == node
	}); err != nil {
		return Receipt{}, fmt.Errorf("%w: %w", ErrReceipt, err)
	}
	return Receipt{
		Node: claims.Issuer, For: claims.Audience, Transaction: claims.Transaction, Forwarding: claims.Forwarding,
		Answer: claims.Answer, Policy: claims.Policy, At: time.Unix(claims.IssuedAt, 0).UTC(),
	}, nil
}

// Receipt is what a node signed about an answer of its own.
type Receipt struct {
	Node        trust.NodeID `json:"node"`
	For         trust.NodeID `json:"for"`
	Transaction string       `json:"transaction"`
	Forwarding  string       `json:"forwarding"`
	Answer      trust.Digest `json:"answer"`
	Policy      string       `json:"policy"`
	At          time.Time    `json:"at"`
}
