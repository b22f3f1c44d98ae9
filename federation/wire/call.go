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
	// Waiting here, and not for the peer to refuse, keeps its streams free for
	// the other kinds.
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
	// A stream that is left half read would be kept by both ends.
	if !stop() || err != nil {
		abandon()
	}
	return response, err
}

// ask is one question and one answer on a fresh stream.
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
	// The size is within the limit for an answer that was asked for, so it is
	// allocated at once.
	response := make([]byte, size)
	n := copy(response, got)
	if _, err := io.ReadFull(stream, response[n:]); err != nil {
		return nil, short(err)
	}
	// The end of the stream follows the response, usually in the same packet;
	// reading it is what lets both ends forget the stream.
	switch n, err := stream.Read(scratch[:1]); {
	case n > 0:
		return nil, fmt.Errorf("%w: bytes behind the response", ErrMalformed)
	case err != io.EOF:
		return nil, err
	}
	return response, nil
}

// short names a stream that ends within a frame.
func short(err error) error {
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends too early", ErrMalformed)
	}
	return err
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
