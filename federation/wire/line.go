package wire

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/quic-go/quic-go"
)

// Line is one admitted connection to a peer.
type Line struct {
	mesh     *Mesh
	peer     *peer
	pin      Peer // when it was admitted
	conn     *quic.Conn
	key      ed25519.PublicKey
	exporter [32]byte
	said     hello
	outgoing bool // this node dialled
	visiting bool // a stranger in the lobby
	handlers map[Kind]Handler
	since    time.Time
}

// Peer tells who is at the other end, as this node's configuration names it.
func (l *Line) Peer() Peer { return l.pin }

// Exporter gives 32 bytes that only the two ends of this very connection can
// know (TLS exporter, RFC 8446 section 7.5): what is bound to them cannot be
// replayed on another connection.
func (l *Line) Exporter() [32]byte { return l.exporter }

// Key gives the peer's public key, as the handshake of this connection proved it.
func (l *Line) Key() ed25519.PublicKey { return l.key }

// helloTo says who this node is and hears who the peer is. If what it hears is
// wrong, the connection is closed with a code that tells the peer why.
func (m *Mesh) helloTo(ctx context.Context, conn *quic.Conn, first bool) (hello, error) {
	ctx, cancel := context.WithTimeout(ctx, helloTime)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { m.closeConn(conn, closeBadHello, "no hello in time") })
	defer stop()
	said, err := m.exchange(ctx, conn, first)
	if err == nil && !stop() {
		err = ctx.Err()
	}
	if err == nil {
		return said, nil
	}
	switch {
	case errors.Is(err, ErrBadVersion):
		m.counters.badVersion.Add(1)
		m.closeConn(conn, closeBadVersion, fmt.Sprintf("this node speaks version %d", m.hello.version))
	case errors.Is(err, ErrOtherNetwork):
		m.counters.refused.Add(1)
		m.closeConn(conn, closeOtherNetwork, "")
	default:
		m.counters.refused.Add(1)
		m.closeConn(conn, closeBadHello, "")
	}
	return hello{}, err
}

// exchange is the hello itself: who dialled speaks first, and the other answers
// only if it liked what it heard.
func (m *Mesh) exchange(ctx context.Context, conn *quic.Conn, first bool) (said hello, err error) {
	var stream *quic.Stream
	if first {
		stream, err = conn.OpenStreamSync(ctx)
	} else {
		stream, err = conn.AcceptStream(ctx)
	}
	if err != nil {
		return hello{}, failure(err)
	}
	defer stream.CancelRead(streamDone)
	speak := func() error {
		if _, err := stream.Write(appendHello(nil, m.hello)); err != nil {
			return failure(err)
		}
		// The peer stops the stream as soon as it has read the hello, which may
		// be before this; then there is nothing left to close.
		_ = stream.Close()
		return nil
	}
	if first {
		if err := speak(); err != nil {
			return hello{}, err
		}
	}
	var size [2]byte
	if _, err := io.ReadFull(stream, size[:]); err != nil {
		return hello{}, failure(err)
	}
	n, err := helloSize(size)
	if err != nil {
		return hello{}, err
	}
	frame := make([]byte, n)
	if _, err := io.ReadFull(stream, frame); err != nil {
		return hello{}, failure(err)
	}
	if said, err = parseHello(frame, m.hello.version); err != nil {
		return hello{}, err
	}
	// The key says who it is. What it calls itself is for people: others may call it otherwise.
	if said.network != m.hello.network {
		return hello{}, ErrOtherNetwork
	}
	if !first {
		return said, speak() // only now: who is not admitted hears nothing
	}
	return said, nil
}

// admit makes a connection usable. The newest connection of each direction
// replaces the one before it: its own side gave that one up.
func (m *Mesh) admit(l *Line) error {
	p := l.peer
	m.mu.RLock()
	r := m.run
	if r == nil || m.peers[p.node] != p { // stopped or removed meanwhile
		m.mu.RUnlock()
		m.closeConn(l.conn, closeNotPinned, "")
		return errors.New("admitted too late")
	}
	// mu is held for reading until the goroutines are counted, so that neither
	// Run's end nor Reconfigure can miss this connection.
	p.mu.Lock()
	l.pin, l.since, l.handlers = p.pin, m.now(), r.handlers
	slot := &p.in
	if l.outgoing {
		slot = &p.out
	}
	old := *slot
	*slot = l
	if p.current.Swap(l) == nil {
		p.changed = l.since
	}
	p.failed = nil
	p.mu.Unlock()
	r.all.Go(l.live)
	r.all.Go(func() { l.receiveDatagrams(r.ctx) })
	r.accepts.Go(func() { l.acceptStreams(r) })
	m.mu.RUnlock()

	m.counters.connections.Add(1)
	signal(p.outbox.wake)
	m.log.Info("connected", "site", l.pin.Site, "node", p.node.Short(), "direction", l.direction(), "software", l.said.software)
	if old != nil {
		m.closeConn(old.conn, closeReplaced, "")
	}
	return nil
}

// live waits for the end of the connection and takes it out of use.
func (l *Line) live() {
	<-l.conn.Context().Done()
	why := failure(context.Cause(l.conn.Context()))
	p := l.peer
	p.mu.Lock()
	if p.in == l {
		p.in = nil
	}
	if p.out == l {
		p.out = nil
	}
	next := p.out
	if p.in != nil && (next == nil || p.in.since.After(next.since)) {
		next = p.in
	}
	if p.current.Load() == l {
		p.current.Store(next)
	}
	if next == nil {
		p.changed = p.mesh.now()
		if p.failed == nil {
			p.failed = why
		}
	}
	p.mu.Unlock()
	p.mesh.counters.lost.Add(1)
	p.mesh.log.Info("connection ended", "site", l.pin.Site, "node", p.node.Short(), "direction", l.direction(), "why", why)
	signal(p.wake)
	signal(p.outbox.wake)
}

// direction tells who dialled, as seen from this node.
func (l *Line) direction() string {
	if l.outgoing {
		return "out"
	}
	return "in"
}
