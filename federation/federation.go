// Package federation is the desk where sites ask each other. Everyone asks this
// site and every peer at once and joins what they say; Receiver answers the
// questions that peers forward.
//
// It opens no socket: connections come as Lines, questions as Incoming. What it
// relies on is that both are of mutually authenticated connections whose peers
// are pinned, and that the exporter value is that connection's. What it does not
// rely on is anything a peer says: a peer may be broken, or in other hands.
//
// A question makes one hop. One that arrived by forwarding causes no forwarding:
// Receiver holds only this site's own Asker, and Everyone refuses a caller who
// came from another site.
package federation

import (
	"context"
	"crypto/ed25519"
	"errors"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/audit"
)

// Peer is a site that the operator pinned.
type Peer struct {
	Site trust.SiteName
	Node trust.NodeID
	// MayAsk admits the peer's questions (the query plane of
	// trust-protocol.md, section 4). Asking it needs no such leave here.
	MayAsk bool
	// Disclose is what the peer may be told of callers here; "": DiscloseWhole.
	Disclose Disclosure
}

// Line is one live connection to one peer.
type Line interface {
	// Exporter gives the TLS exporter value of this very connection: the same at
	// both ends, and never that of another connection.
	Exporter() [32]byte
	// Key is the peer's, as the handshake of this very connection proved it.
	Key() ed25519.PublicKey
	// Call sends one message and gives the peer's response, of at most
	// MaxResponse bytes. When ctx ends it returns, and the peer learns that
	// nobody waits. An error is one of this package's sentinels where it fits.
	Call(ctx context.Context, request []byte) ([]byte, error)
}

// Lines gives the connection to a node. It never dials and never blocks.
type Lines interface {
	Line(trust.NodeID) (Line, error)
}

// What Lines and Line may report. ErrSecondHop is Everyone's own.
var (
	// ErrUnreachable: there is no connection, or it was lost.
	ErrUnreachable = errors.New("no connection to the site")
	// ErrBadVersion: the site speaks no version that this node speaks.
	ErrBadVersion = errors.New("the site speaks another version")
	// ErrRefused: the site closed the call without a response.
	ErrRefused = errors.New("the site refused the call")
	// ErrSecondHop: the caller came from another site, so the question must be
	// answered here or not at all.
	ErrSecondHop = errors.New("a question that another site forwarded is not forwarded again")
	// ErrNotRecorded: the audit log did not take the record without which
	// nothing may be sent.
	ErrNotRecorded = errors.New("the forwarding could not be recorded, so nothing was sent")
)

// Recorder commits audit records: durable when it returns nil, all or none.
type Recorder interface {
	Record(ctx context.Context, records ...audit.Record) error
}

// Incoming is a message that a peer sent.
type Incoming struct {
	// Site, Node and Key are those of the pinned peer at the other end of the
	// connection, as the TLS handshake proved them; Node is Key's.
	Site     trust.SiteName
	Node     trust.NodeID
	Key      ed25519.PublicKey
	Exporter [32]byte // of this very connection
	Request  []byte   // the message as it came; not changed by Serve
}
