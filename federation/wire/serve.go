package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/quic-go/quic-go"
)

// acceptStreams takes the peer's streams until no new work is wanted. Of one
// peer, maxStreams are worked on at once; further ones wait in the connection,
// where flow control bounds them.
func (l *Line) acceptStreams(r *run) {
	next := make(chan *quic.Stream) // to those who rest
	defer close(next)
	resting := make(chan struct{}, maxResting)
	for {
		stream, err := l.conn.AcceptStream(r.ctx)
		if err != nil {
			return
		}
		select {
		case l.peer.slots <- struct{}{}:
		case <-r.ctx.Done():
			refuse(stream, streamShutdown)
			return
		case <-l.conn.Context().Done():
			return
		}
		select {
		case next <- stream:
		default: // nobody rests
			r.working.Go(func() { l.workAll(r, stream, next, resting) })
		}
	}
}

// workAll works on a stream and on those that follow. A call needs a deep stack,
// which a fresh goroutine grows by copying it again and again, so a few rest here
// between calls and keep theirs. All leave when no more streams are accepted.
func (l *Line) workAll(r *run, stream *quic.Stream, next <-chan *quic.Stream, resting chan struct{}) {
	for more := true; more; {
		l.work(r, stream)
		<-l.peer.slots
		select {
		case resting <- struct{}{}:
			stream, more = <-next
			<-resting
		default:
			more = false
		}
	}
}

// refuse ends both directions; what was written and not yet delivered is lost.
func refuse(stream *quic.Stream, code quic.StreamErrorCode) {
	stream.CancelRead(code)
	stream.CancelWrite(code)
}

// work reads what a stream is for and does it.
// The code it is refused with is all that the peer learns.
func (l *Line) work(r *run, stream *quic.Stream) {
	err := l.serve(r, stream)
	if err == nil {
		return
	}
	code := streamMalformed
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, errHandler):
		code = streamFailed
	case errors.Is(err, ErrTooLarge):
		code = streamTooLarge
	case errors.Is(err, errNoHandler):
		code = streamNoKind
	case errors.As(err, &timeout) && timeout.Timeout():
		code = streamTooSlow
	}
	refuse(stream, code)
	l.mesh.counters.refusedStreams.Add(1)
	l.mesh.log.Debug("stream refused", "site", l.pin.Site, "code", code, "error", err)
}

var (
	errHandler   = errors.New("the handler gave no answer")
	errNoHandler = errors.New("nobody handles this kind of call")
)

// serve does one call, or passes a gossip stream on. Nothing is allocated for
// the request before its kind is known to have a handler.
func (l *Line) serve(r *run, stream *quic.Stream) error {
	// One deadline for the whole request, whatever trickles in.
	if err := stream.SetReadDeadline(time.Now().Add(requestTime)); err != nil {
		return err
	}
	buffer := l.mesh.borrow()
	defer l.mesh.giveBack(buffer)
	in := &reader{stream: stream, buffer: (*buffer)[:cap(*buffer)]}
	kind, err := in.kind()
	if err != nil {
		return err
	}
	if kind == kindGossip && !l.visiting {
		return l.serveGossip(r, stream, in.rest())
	}
	handler := l.handlers[kind]
	if handler == nil {
		return errNoHandler
	}
	h, err := in.head(kind)
	if err != nil {
		return err
	}
	request, err := in.body(h.length)
	if err != nil {
		return err
	}
	wait := maxCallTime
	if h.remaining > 0 {
		wait = min(h.remaining, maxCallTime)
	}
	// The stream's context ends when the caller resets it or goes away.
	ctx, cancel := context.WithTimeout(stream.Context(), wait)
	defer cancel()
	response, err := l.handle(ctx, kind, handler, request)
	if err != nil {
		return err
	}
	if err := respond(stream, *buffer, response); err != nil {
		return err
	}
	// The answer is on its way; what follows costs the caller no time.
	r.answered.Store(time.Now().UnixNano())
	return in.end()
}

// handle runs the handler, within the kind's share of this peer's calls.
func (l *Line) handle(ctx context.Context, kind Kind, handler Handler, request []byte) (response []byte, err error) {
	gate := l.peer.gate(l.peer.serves, kind)
	select {
	case gate <- struct{}{}:
		defer func() { <-gate }()
	case <-ctx.Done():
		return nil, errHandler
	}
	defer func() {
		// A fault that one peer's bytes can reach must not end the node for all.
		if fault := recover(); fault != nil {
			l.mesh.counters.handlerFaults.Add(1)
			l.mesh.log.Error("a handler failed unexpectedly", "site", l.pin.Site, "kind", kind, "fault", fmt.Sprintf("%.200v", fault))
			response, err = nil, errHandler
		}
	}()
	l.mesh.counters.callsIn.Add(1)
	in := Incoming{Peer: l.pin, PeerKey: l.key, Exporter: l.exporter, Request: request}
	response, err = handler(ctx, in)
	if err != nil {
		l.mesh.log.Debug("no answer for a peer", "site", l.pin.Site, "kind", kind, "error", err)
		return nil, errHandler
	}
	if limit := boundsOf(kind).response; len(response) > limit {
		l.mesh.log.Error("an answer is too large for the protocol", "kind", kind, "bytes", len(response), "limit", limit)
		return nil, ErrTooLarge
	}
	return response, nil
}

// respond has a deadline of its own: a caller that fetches nothing must not
// hold the answer in memory for ever. It is the deadline of what is left to read,
// too: the end of a request may come in a packet of its own, and the time for
// requests may be over by then.
func respond(stream *quic.Stream, buffer, response []byte) error {
	if err := stream.SetDeadline(time.Now().Add(responseTime)); err != nil {
		return err
	}
	if err := send(stream, binary.BigEndian.AppendUint32(buffer[:0], uint32(len(response))), response); err != nil {
		return err
	}
	return stream.Close()
}

// reader takes frames from a stream through one borrowed buffer.
type reader struct {
	stream    *quic.Stream
	buffer    []byte
	from, to  int  // what is read and not yet taken
	exhausted bool // the stream's end was seen
}

// more reads what there is. The buffer never runs full: a head is far shorter.
func (in *reader) more() error {
	if in.exhausted {
		return fmt.Errorf("%w: it ends too early", ErrMalformed)
	}
	n, err := in.stream.Read(in.buffer[in.to:])
	in.to += n
	if err == io.EOF {
		in.exhausted, err = true, nil
	}
	return err
}

func (in *reader) rest() []byte { return in.buffer[in.from:in.to] }

func (in *reader) kind() (Kind, error) {
	for {
		kind, n, err := parseKind(in.rest())
		if err != nil || n > 0 {
			in.from += n
			return kind, err
		}
		if err := in.more(); err != nil {
			return "", err
		}
	}
}

func (in *reader) head(kind Kind) (head, error) {
	for {
		h, n, err := parseHead(kind, in.rest())
		if err != nil || n > 0 {
			in.from += n
			return h, err
		}
		if err := in.more(); err != nil {
			return head{}, err
		}
	}
}

// body gives the request in memory of its own. The length is within bounds, but
// only as much is believed as arrives.
func (in *reader) body(length int) ([]byte, error) {
	got := in.rest()
	if len(got) > length {
		return nil, fmt.Errorf("%w: bytes behind the request", ErrMalformed)
	}
	body := make([]byte, min(length, firstBody))
	n := copy(body, got)
	in.from += n
	for {
		read, err := io.ReadFull(in.stream, body[n:])
		if n += read; err != nil {
			return nil, short(err)
		}
		if n == length {
			return body, nil
		}
		grown := make([]byte, min(length, 4*len(body)))
		copy(grown, body)
		body = grown
	}
}

// end waits for the end of the request behind it, after the answer is on its
// way, so that the stream is over for both.
func (in *reader) end() error {
	if in.exhausted {
		return nil
	}
	switch n, err := in.stream.Read(in.buffer[:1]); {
	case n > 0:
		return fmt.Errorf("%w: bytes behind the request", ErrMalformed)
	case err != io.EOF:
		return err
	}
	return nil
}
