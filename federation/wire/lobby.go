package wire

import (
	"context"
	"crypto/ed25519"
	"errors"

	"github.com/quic-go/quic-go"
	"golang.org/x/time/rate"

	"github.com/candignode/candignode/trust"
)

// Lobby lets nodes that are not among the peers in as far as to say one thing. It is how a
// newcomer shows its invite: nobody can pin a node before it has shown who it is. While it
// is shut, which it is unless somebody is expected, a stranger learns the public key and
// nothing else.
//
// What happens in it shares nothing with peers but the socket: connections, calls and time
// have bounds of their own, and no datagram or gossip is taken.
type Lobby struct {
	Open    func() bool // asked during each stranger's handshake
	Kind    Kind        // the one kind of call
	Handler Handler     // Incoming.Peer has the node, and the name that it gives itself
}

// lobby is the Lobby at work; a nil one is shut.
type lobby struct {
	Lobby
	seats chan struct{}
	rate  *rate.Limiter
}

func newLobby(o *Lobby) *lobby {
	if o == nil {
		return nil
	}
	return &lobby{Lobby: *o, seats: make(chan struct{}, maxLobby), rate: rate.NewLimiter(lobbyPerSecond, maxLobby)}
}

func (b *lobby) open() bool { return b != nil && b.Open() }

// stranger is a connection of a node that is not among the peers.
type stranger struct {
	conn     *quic.Conn
	node     trust.NodeID
	key      ed25519.PublicKey
	exporter [32]byte
}

// receive lets a stranger make its one call, and ends the connection: if it is known now, it
// dials again and is let in.
func (m *Mesh) receive(r *run, s stranger) {
	if !m.lobby.open() || !m.lobby.rate.Allow() {
		m.closeConn(s.conn, closeNotPinned, "")
		return
	}
	select {
	case m.lobby.seats <- struct{}{}:
		defer func() { <-m.lobby.seats }()
	default:
		m.closeConn(s.conn, closeTooMany, "")
		return
	}
	ctx, cancel := context.WithTimeout(r.ctx, lobbyTime)
	defer cancel()
	said, err := m.helloTo(ctx, s.conn, false)
	if err != nil {
		return // helloTo has closed it
	}
	m.counters.visitors.Add(1)
	pin := Peer{Site: said.site, Node: s.node}
	// Its peer is known to nobody else: gates and counters of the real ones are not touched.
	l := &Line{mesh: m, peer: newPeer(m, pin), pin: pin, conn: s.conn, key: s.key, exporter: s.exporter, said: said,
		visiting: true, handlers: map[Kind]Handler{m.lobby.Kind: m.lobby.Handler}}
	// A newcomer takes this node for a peer and begins to gossip: that is refused stream by
	// stream, until its call comes.
	for range maxLobbyStreams {
		stream, err := s.conn.AcceptStream(ctx)
		if err != nil {
			break
		}
		err = l.serve(r, stream)
		if err == nil {
			sleep(ctx, lingerTime) // closing drops what has not left yet
			break
		}
		if code := streamFailed; errors.Is(err, errNoHandler) {
			refuse(stream, streamNoKind)
		} else {
			refuse(stream, code)
			break
		}
	}
	m.closeConn(s.conn, closeVisited, "")
}
