package wire

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/candignode/candignode/trust"
)

// The carrier of gossip: datagrams and streams between nodes that are named by
// their keys. Gossip defines the interface itself; these are its four methods.

type datagram struct {
	from trust.NodeID
	b    []byte
}

type gossipStream struct {
	from trust.NodeID
	conn net.Conn
}

// SendDatagram hands b to the newest connection, or keeps it for a while if
// none is up. It never blocks: what does not fit is dropped, the oldest first,
// and counted. Errors: ErrNotPinned, ErrTooLarge (beyond 1150 bytes).
func (m *Mesh) SendDatagram(to trust.NodeID, b []byte) error {
	if len(b) > maxDatagram {
		return fmt.Errorf("%w: a datagram of %d bytes, %d are allowed", ErrTooLarge, len(b), maxDatagram)
	}
	p := m.peerFor(to)
	if p == nil {
		return ErrNotPinned
	}
	m.counters.datagramsDropped.Add(p.outbox.put(b, time.Now()))
	return nil
}

// Receive gives the next datagram of any peer. It fails only when ctx ends.
func (m *Mesh) Receive(ctx context.Context) (trust.NodeID, []byte, error) {
	select {
	case d := <-m.inbox:
		return d.from, d.b, nil
	case <-ctx.Done():
		return "", nil, ctx.Err()
	}
}

// OpenStream opens a gossip stream on the newest connection. It does not wait
// for a connection: ErrNotPinned, ErrBadVersion, ErrUnreachable.
func (m *Mesh) OpenStream(ctx context.Context, to trust.NodeID) (net.Conn, error) {
	l, err := m.Line(to)
	if err != nil {
		return nil, err
	}
	gate := l.peer.gate(l.peer.calls, kindGossip)
	select {
	case gate <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	release := func() { <-gate }
	stream, err := l.conn.OpenStreamSync(ctx)
	if err != nil {
		release()
		return nil, callError(ctx, err)
	}
	conn := l.streamConn(stream, nil)
	if err = stream.SetDeadline(time.Now().Add(gossipStreamTime)); err == nil {
		_, err = stream.Write(appendKind(nil, kindGossip))
	}
	if err != nil {
		refuse(stream, streamCancelled)
		release()
		return nil, callError(ctx, err)
	}
	// The stream's place is free again when it is closed, or when its time or
	// its connection ends, should nobody close it.
	context.AfterFunc(conn.ended, release)
	return conn, nil
}

// AcceptStream gives the next gossip stream of any peer. It fails only when ctx
// ends. The connection must be closed.
func (m *Mesh) AcceptStream(ctx context.Context) (trust.NodeID, net.Conn, error) {
	select {
	case s := <-m.streams:
		return s.from, s.conn, nil
	case <-ctx.Done():
		return "", nil, ctx.Err()
	}
}

// serveGossip hands a peer's gossip stream over and waits until it is closed.
func (l *Line) serveGossip(r *run, stream *quic.Stream, already []byte) error {
	gate := l.peer.gate(l.peer.serves, kindGossip)
	conn := l.streamConn(stream, slices.Clone(already))
	defer conn.end()
	select {
	case gate <- struct{}{}:
		defer func() { <-gate }()
	case <-conn.ended.Done():
		return context.DeadlineExceeded
	case <-r.ctx.Done():
		return errNoHandler
	}
	if err := stream.SetDeadline(time.Now().Add(gossipStreamTime)); err != nil {
		return err
	}
	select {
	case l.mesh.streams <- gossipStream{l.peer.node, conn}:
	case <-conn.ended.Done():
		return context.DeadlineExceeded
	case <-r.ctx.Done():
		return errNoHandler
	}
	select {
	case <-conn.ended.Done():
	case <-r.ctx.Done():
	}
	if !conn.closed.Load() { // a reset would lose what was written before Close
		refuse(stream, streamTooSlow)
	}
	return nil
}

// streamConn makes a net.Conn of a stream.
func (l *Line) streamConn(stream *quic.Stream, already []byte) *streamConn {
	ended, end := context.WithTimeout(l.conn.Context(), gossipStreamTime)
	return &streamConn{Stream: stream, line: l, already: already, ended: ended, end: end}
}

// streamConn is a gossip stream as a net.Conn. Its addresses are names of
// nodes, so that nothing above can take an IP address for an identity.
type streamConn struct {
	*quic.Stream
	line    *Line
	already []byte // read together with the stream's kind
	ended   context.Context
	end     context.CancelFunc
	closed  atomic.Bool
}

func (c *streamConn) Read(b []byte) (int, error) {
	if len(c.already) > 0 {
		n := copy(b, c.already)
		c.already = c.already[n:]
		return n, nil
	}
	return c.Stream.Read(b)
}

// Close ends both directions; what was written still arrives.
func (c *streamConn) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	defer c.end()
	c.CancelRead(streamDone)
	return c.Stream.Close()
}

func (c *streamConn) LocalAddr() net.Addr  { return nodeAddr(c.line.mesh.self) }
func (c *streamConn) RemoteAddr() net.Addr { return nodeAddr(c.line.peer.node) }

type nodeAddr trust.NodeID

func (nodeAddr) Network() string  { return "candignode" }
func (a nodeAddr) String() string { return string(a) }

// receiveDatagrams passes the peer's datagrams on. While nobody takes them they
// wait in the connection, which keeps a bounded number and drops the rest; so a
// peer that floods waits its turn among the others.
func (l *Line) receiveDatagrams(ctx context.Context) {
	for {
		b, err := l.conn.ReceiveDatagram(ctx)
		if err != nil {
			return
		}
		select {
		case l.mesh.inbox <- datagram{l.peer.node, b}:
			l.mesh.counters.datagramsIn.Add(1)
		case <-l.conn.Context().Done():
			return
		case <-ctx.Done():
			return
		}
	}
}

// sendDatagrams empties the peer's outbox. The connection may make it wait, so
// each peer has its own loop and a silent peer holds up nobody else.
func (p *peer) sendDatagrams(ctx context.Context) {
	for {
		if l := p.current.Load(); l != nil && l.conn.Context().Err() == nil {
			b, dropped := p.outbox.take(time.Now())
			p.mesh.counters.datagramsDropped.Add(dropped)
			if b != nil {
				if err := l.conn.SendDatagram(b); err != nil {
					p.mesh.counters.datagramsDropped.Add(1)
				} else {
					p.mesh.counters.datagramsOut.Add(1)
				}
				continue
			}
		}
		// A connection that has just ended is still current; live wakes us
		// when another one took its place.
		select {
		case <-ctx.Done():
			return
		case <-p.outbox.wake:
		}
	}
}

// outbox holds datagrams until a connection takes them: at most maxQueued, and
// none older than queueTime.
type outbox struct {
	wake  chan struct{}
	mu    *sync.Mutex
	items []queued
}

type queued struct {
	b  []byte
	at time.Time
}

func newOutbox() outbox { return outbox{wake: make(chan struct{}, 1), mu: new(sync.Mutex)} }

// put copies b and tells how many older datagrams had to go.
func (o *outbox) put(b []byte, now time.Time) (dropped uint64) {
	item := queued{slices.Clone(b), now}
	o.mu.Lock()
	if len(o.items) >= maxQueued {
		o.items = slices.Delete(o.items, 0, 1)
		dropped = 1
	}
	o.items = append(o.items, item)
	o.mu.Unlock()
	signal(o.wake)
	return dropped
}

// take gives the oldest datagram that is still worth sending, nil if there is
// none, and how many were not.
func (o *outbox) take(now time.Time) (b []byte, dropped uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.items) > 0 {
		first := o.items[0]
		o.items = slices.Delete(o.items, 0, 1)
		if now.Sub(first.at) <= queueTime {
			return first.b, dropped
		}
		dropped++
	}
	return nil, dropped
}
