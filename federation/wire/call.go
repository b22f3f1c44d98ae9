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

// Call asks the peer and waits for its answer. When ctx ends, the call ends at
// both ends: the peer's handler is told through its own context, and of a
// deadline it is told in advance. Errors: ctx's own; ErrUnreachable (the
// connection ended); ErrRefused (the peer gave no answer); ErrTooLarge.
func (l *Line) Call(ctx context.Context, kind Kind, request []byte) ([]byte, error) {
	m := l.mesh
	limits := boundsOf(kind)
	if len(request) > limits.request {
		return nil, fmt.Errorf("%w: a request of %d bytes, %d are allowed", ErrTooLarge, len(request), limits.request)
	}
	gate := l.peer.gate(l.peer.calls, kind)
	select {
	case gate <- struct{}{}:
		defer func() { <-gate }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	m.counters.callsOut.Add(1)
	response, err := l.call(ctx, kind, request, limits.response)
	if err != nil {
		m.counters.callsFailed.Add(1)
		return nil, callError(ctx, err)
	}
	return response, nil
}

func (l *Line) call(ctx context.Context, kind Kind, request []byte, limit int) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	stream, err := l.conn.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	// Both directions: the peer sees the second as the end of its context.
	abandon := func() {
		stream.CancelWrite(streamCancelled)
		stream.CancelRead(streamCancelled)
	}
	stop := context.AfterFunc(ctx, abandon)
	response, err := l.ask(ctx, stream, kind, request, limit)
	if !stop() || err != nil {
		abandon()
	}
	return response, err
}

func (l *Line) ask(ctx context.Context, stream *quic.Stream, kind Kind, request []byte, limit int) ([]byte, error) {
	buffer := l.mesh.borrow()
	defer l.mesh.giveBack(buffer)
	h := head{kind: kind, length: len(request)}
	if deadline, ok := ctx.Deadline(); ok {
		h.remaining = max(time.Until(deadline), time.Millisecond)
	}
	if err := send(stream, appendHead((*buffer)[:0], h), request); err != nil {
		return nil, err
	}
	// It fails only if the peer has refused already, and receive tells why.
	_ = stream.Close()
	return receive(stream, (*buffer)[:cap(*buffer)], limit)
}

// send writes head and body in one go where they are small, so that they
// travel in as few packets as possible. head has room to append.
func send(stream *quic.Stream, head, body []byte) error {
	if len(head)+len(body) <= cap(head) {
		_, err := stream.Write(append(head, body...))
		return err
	}
	if _, err := stream.Write(head); err != nil {
		return err
	}
	_, err := stream.Write(body)
	return err
}

// receive reads one response and the end of the stream behind it. scratch is
// only borrowed.
func receive(stream *quic.Stream, scratch []byte, limit int) ([]byte, error) {
	filled, err := io.ReadAtLeast(stream, scratch, 4)
	if err != nil {
		return nil, short(err)
	}
	size := int64(binary.BigEndian.Uint32(scratch))
	if size > int64(limit) {
		return nil, fmt.Errorf("%w: a response of %d bytes, %d are allowed", ErrTooLarge, size, limit)
	}
	got := scratch[4:filled]
	if int64(len(got)) > size {
		return nil, fmt.Errorf("%w: bytes behind the response", ErrMalformed)
	}
	response := make([]byte, size)
	n := copy(response, got)
	if _, err := io.ReadFull(stream, response[n:]); err != nil {
		return nil, short(err)
	}
	switch n, err := stream.Read(scratch[:1]); {
	case n > 0:
		return nil, fmt.Errorf("%w: bytes behind the response", ErrMalformed)
	case err != io.EOF:
		return nil, err
	}
	return response, nil
}

func short(err error) error {
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends too early", ErrMalformed)
	}
	return err
}

// acceptStreams takes the peer's streams until no new work is wanted. Of one
// peer, maxStreams are worked on at once; further ones wait in the connection,
// where flow control bounds them.
func (l *Line) acceptStreams(r *run) {
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
		r.working.Go(func() {
			defer func() { <-l.peer.slots }()
			l.work(r, stream)
		})
	}
}

func refuse(stream *quic.Stream, code quic.StreamErrorCode) {
	stream.CancelRead(code)
	stream.CancelWrite(code)
}

// work reads what a stream is for and does it.
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
	if kind == kindGossip {
		return l.serveGossip(r, stream, in.rest())
	}
	handler := r.handlers[kind]
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

func respond(stream *quic.Stream, buffer, response []byte) error {
	if err := stream.SetWriteDeadline(time.Now().Add(responseTime)); err != nil {
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

const (
	bufferSize = 16 << 10 // holds a call with a passport of usual size
	firstBody  = 64 << 10 // allocated before the rest of a large request has arrived
)

// borrow gives a buffer for one frame; it must come back, and nothing may keep
// a part of it.
func (m *Mesh) borrow() *[]byte {
	buffer, ok := m.buffers.Get().(*[]byte)
	if !ok { // New always makes one
		b := make([]byte, 0, bufferSize)
		return &b
	}
	return buffer
}

func (m *Mesh) giveBack(b *[]byte) { m.buffers.Put(b) }
