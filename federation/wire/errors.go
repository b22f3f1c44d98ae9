package wire

import (
	"context"
	"errors"
	"fmt"

	"github.com/quic-go/quic-go"
)

// The errors that callers tell apart.
var (
	// ErrNotPinned: the configuration names no such node, so there is no line to
	// it and never will be.
	ErrNotPinned = errors.New("this node is not among the configured peers")
	// ErrUnreachable: the peer is configured, but no connection is up, or the
	// one in use has ended.
	ErrUnreachable = errors.New("the peer is not connected")
	// ErrBadVersion: the peer answers, but speaks another version of the
	// protocol; one of the two must be upgraded.
	ErrBadVersion = errors.New("the peer speaks another version of the protocol")
	// ErrOtherNetwork: the peer is in another network, or in none yet.
	ErrOtherNetwork = errors.New("the peer is in another network")
	// ErrTooLarge: a request, response or datagram beyond limits.go.
	ErrTooLarge = errors.New("larger than the protocol allows")
	// ErrRefused: the peer ended the call without an answer; why stands in its
	// own log only.
	ErrRefused = errors.New("the peer ended the call without an answer")
	// ErrMalformed: bytes that are not this protocol.
	ErrMalformed = errors.New("not a message of this protocol")
)

// Codes with which a connection ends. They are part of the protocol.
const (
	closeShutdown     quic.ApplicationErrorCode = 1 // the node stops; dial again
	closeReplaced     quic.ApplicationErrorCode = 2 // a newer connection took its place
	closeNotPinned    quic.ApplicationErrorCode = 3 // no longer among the peers
	closeBadVersion   quic.ApplicationErrorCode = 4 // hello of another version
	closeBadHello     quic.ApplicationErrorCode = 5 // no hello, or not a hello
	closeOtherNetwork quic.ApplicationErrorCode = 6 // hello of another network
	closeTooMany      quic.ApplicationErrorCode = 7 // too many connections without hello
	closeVisited      quic.ApplicationErrorCode = 8 // the one call of a stranger is over; whoever is known now dials again
)

// Codes with which a stream ends early. They are part of the protocol and say
// nothing about the caller's data.
const (
	streamDone      quic.StreamErrorCode = 0
	streamFailed    quic.StreamErrorCode = 1 // the handler gave no answer
	streamCancelled quic.StreamErrorCode = 2 // the caller went away
	streamTooLarge  quic.StreamErrorCode = 3
	streamMalformed quic.StreamErrorCode = 4
	streamNoKind    quic.StreamErrorCode = 5 // nobody handles this kind here
	streamTooSlow   quic.StreamErrorCode = 6
	streamShutdown  quic.StreamErrorCode = 7
)

// Alerts of TLS (RFC 8446, section 6) as QUIC carries them: 0x100 and the alert.
const (
	alertBadCertificate = 0x100 + 42
	alertNoApplication  = 0x100 + 120 // no common ALPN: another version
)

// failure turns what ended a connection attempt or a connection into a reason
// for people and, where it is one, a sentinel.
func failure(err error) error {
	var app *quic.ApplicationError
	var transport *quic.TransportError
	var idle *quic.IdleTimeoutError
	var handshake *quic.HandshakeTimeoutError
	var reset *quic.StatelessResetError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &app):
		return closed(app)
	case errors.As(err, &transport) && transport.Remote && transport.ErrorCode == alertBadCertificate:
		return errors.New("the peer refused this node's key: its operator must name this node (candignode site show) among its peers")
	case errors.As(err, &transport) && transport.ErrorCode == alertNoApplication:
		return fmt.Errorf("%w (no common name of the protocol)", ErrBadVersion)
	case errors.As(err, &idle):
		return fmt.Errorf("nothing heard for %s", idleTime)
	case errors.As(err, &handshake), errors.Is(err, context.DeadlineExceeded):
		return errors.New("no answer at its address")
	case errors.As(err, &reset):
		return errors.New("the peer was restarted")
	case errors.Is(err, errWrongKey):
		return errWrongKey
	}
	// What is left may hold text that the peer chose.
	return fmt.Errorf("%.200q", err.Error())
}

// closed explains a close code. Which side closed tells whose operator can mend
// it.
func closed(e *quic.ApplicationError) error {
	who := "this node"
	if e.Remote {
		who = "the peer"
	}
	switch e.ErrorCode {
	case closeShutdown:
		return fmt.Errorf("%s was stopped", who)
	case closeReplaced:
		return errors.New("replaced by a newer connection")
	case closeNotPinned:
		return fmt.Errorf("%s removed the other from its peers", who)
	case closeBadVersion:
		return fmt.Errorf("%w: %.80q", ErrBadVersion, e.ErrorMessage)
	case closeBadHello:
		return fmt.Errorf("%s heard no proper hello", who)
	case closeOtherNetwork:
		return fmt.Errorf("%w: 'candignode site show' says which at each site", ErrOtherNetwork)
	case closeVisited:
		return fmt.Errorf("%s does not know the other as a member yet", who)
	case closeTooMany:
		return fmt.Errorf("%s has too many half-open connections", who)
	}
	return fmt.Errorf("closed by %s with code %d: %.80q", who, e.ErrorCode, e.ErrorMessage)
}

// callError names why a call ended, in words that hold nothing the peer chose.
func callError(ctx context.Context, err error) error {
	if ended := ctx.Err(); ended != nil {
		return ended
	}
	var stream *quic.StreamError
	if errors.As(err, &stream) && stream.Remote {
		switch stream.ErrorCode {
		case streamTooLarge:
			return fmt.Errorf("%w (code %d: %w)", ErrRefused, stream.ErrorCode, ErrTooLarge)
		default:
			return fmt.Errorf("%w (code %d)", ErrRefused, stream.ErrorCode)
		}
	}
	if errors.Is(err, ErrTooLarge) || errors.Is(err, ErrMalformed) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, failure(err))
}
