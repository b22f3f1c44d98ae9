// Package wire is the line between nodes: QUIC over one UDP port, with both
// sides' Ed25519 keys pinned (trust-protocol.md, sections 1 and 3).
//
// A Mesh keeps at most one outgoing and one incoming connection to every pinned
// peer, dials for ever, and hands out a Line to whoever has a question. Three
// things share a connection: calls (one stream each), gossip datagrams and
// gossip streams. The package does not know what they carry.
//
// What must not be assumed: that a peer that is connected is honest, or alive.
// A connection proves one thing only, that the other end holds the pinned key.
package wire

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"golang.org/x/time/rate"

	"github.com/candignode/candignode/trust"
)

// protocolVersion is what this code speaks after the handshake. It rises with
// every change that an older node would misread.
const protocolVersion = 2

// Peer is a node that the operator named.
type Peer struct {
	Site trust.SiteName // the name this site knows it by
	Node trust.NodeID   // the pin
	// Addr is host:port; the host is resolved anew for every attempt. "" for a
	// peer that only dials out, such as one behind a firewall.
	Addr string
}

// Options are what a Mesh is made of.
type Options struct {
	// PacketConn is the one UDP socket. The Mesh reads and writes it until Run
	// returns and never closes it: whoever opened it does.
	PacketConn net.PacketConn
	Key        ed25519.PrivateKey // the node key
	Site       trust.SiteName     // what this node says it is
	Software   string             // name and version, for the peers' operators; at most 64 printable ASCII characters
	Peers      []Peer
	// Network is the id of the network; connections of nodes of another one are refused.
	Network string
	Lobby   *Lobby           // nil: nobody is let in who is not a peer
	Now     func() time.Time // nil: time.Now; for what is shown, never for timeouts
	Log     *slog.Logger     // nil: nothing is logged
}

// Kind names what a call is about; 1 to 16 of a-z.
type Kind string

// kindGossip marks the streams of the gossip carrier; no handler may have it.
const kindGossip Kind = "gossip"

// Incoming is one call as its handler sees it. Who asks comes from the pinned
// key of the connection, never from the request.
type Incoming struct {
	Peer     Peer
	PeerKey  ed25519.PublicKey
	Exporter [32]byte // of the connection that the call came on
	Request  []byte   // the handler may keep it
}

// Handler answers one kind of call. Its context ends when the caller's deadline
// passes, when the caller gives up or goes away, and when the node stops; the
// handler must then return soon. What it returns as an error is logged here and
// the caller learns only that there is no answer.
type Handler func(ctx context.Context, in Incoming) ([]byte, error)

// Mesh is this node's end of all lines. Its methods may be used at once from
// many goroutines.
type Mesh struct {
	self      trust.NodeID
	hello     hello
	cert      tls.Certificate
	local     net.Addr
	transport *quic.Transport
	lobby     *lobby
	now       func() time.Time
	log       *slog.Logger
	warnings  *rate.Limiter // log lines that strangers can cause
	buffers   sync.Pool     // of *[]byte, see borrow
	counters  counters
	inbox     chan datagram
	streams   chan gossipStream

	mu    sync.RWMutex // guards what follows; never held during I/O
	peers map[trust.NodeID]*peer
	run   *run // nil unless Run is running
}

// run is what lives from Run's start to its end.
type run struct {
	ctx      context.Context // ends when no new work is taken
	handlers map[Kind]Handler
	all      sync.WaitGroup // every goroutine of the mesh
	accepts  sync.WaitGroup // those that may still add to working
	working  sync.WaitGroup // running handlers
	answered atomic.Int64   // when the last response was written, Unix nanoseconds
}

// New checks the options and opens nothing.
func New(o Options) (*Mesh, error) {
	if o.PacketConn == nil {
		return nil, errors.New("wire: no socket")
	}
	if len(o.Key) != ed25519.PrivateKeySize {
		return nil, errors.New("wire: the node key is not an Ed25519 private key")
	}
	if _, err := trust.ParseSiteName(string(o.Site)); err != nil {
		return nil, fmt.Errorf("wire: this site: %w", err)
	}
	if len(o.Network) > maxNetwork || !printable([]byte(o.Network)) {
		return nil, fmt.Errorf("wire: network %.80q is not an id of at most %d printable characters", o.Network, maxNetwork)
	}
	if len(o.Software) > maxSoftware || !printable([]byte(o.Software)) {
		return nil, fmt.Errorf("wire: software %.80q is not a name of at most %d printable characters", o.Software, maxSoftware)
	}
	self, err := trust.NodeIDOf(o.Key.Public())
	if err != nil {
		return nil, fmt.Errorf("wire: %w", err)
	}
	cert, err := certificate(o.Key)
	if err != nil {
		return nil, fmt.Errorf("wire: %w", err)
	}
	reset, err := resetKey(o.Key)
	if err != nil {
		return nil, fmt.Errorf("wire: %w", err)
	}
	m := &Mesh{
		self: self, cert: cert, local: o.PacketConn.LocalAddr(), now: o.Now, log: o.Log,
		hello:    hello{version: protocolVersion, network: o.Network, site: o.Site, software: o.Software},
		lobby:    newLobby(o.Lobby),
		warnings: rate.NewLimiter(rate.Every(time.Minute/warningsPerMinute), warningsPerMinute),
		inbox:    make(chan datagram, maxInbox),
		streams:  make(chan gossipStream),
		peers:    make(map[trust.NodeID]*peer),
	}
	if m.now == nil {
		m.now = time.Now
	}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	m.buffers.New = func() any { b := make([]byte, 0, bufferSize); return &b }
	handshakes := rate.NewLimiter(handshakesPerSecond, handshakeBurst)
	m.transport = &quic.Transport{
		Conn: o.PacketConn, StatelessResetKey: reset,
		// A stranger costs this node a signature, so above a rate it must first
		// show that it can be reached where it says it is.
		VerifySourceAddress: func(net.Addr) bool { return !handshakes.Allow() },
	}
	for _, pin := range o.Peers {
		if err := m.checkPin(pin); err != nil {
			return nil, fmt.Errorf("wire: %w", err)
		}
		m.peers[pin.Node] = newPeer(m, pin)
	}
	return m, nil
}

// checkPin refuses a pin that cannot be meant. The caller holds mu or is New.
func (m *Mesh) checkPin(pin Peer) error {
	if _, err := trust.ParseSiteName(string(pin.Site)); err != nil {
		return fmt.Errorf("peer: %w", err)
	}
	if _, err := trust.ParseNodeID(string(pin.Node)); err != nil {
		return fmt.Errorf("peer %s: %w", pin.Site, err)
	}
	if pin.Node == m.self {
		return fmt.Errorf("peer %s: its node is this node itself", pin.Site)
	}
	if other, ok := m.peers[pin.Node]; ok {
		return fmt.Errorf("peers %s and %s: the same node", other.pinned().Site, pin.Site)
	}
	if pin.Addr != "" {
		if _, _, err := net.SplitHostPort(pin.Addr); err != nil {
			return fmt.Errorf("peer %s: address %.80q is not host:port", pin.Site, pin.Addr)
		}
	}
	return nil
}

// quicConfig is the same for both directions.
func quicConfig() *quic.Config {
	return &quic.Config{
		Versions:                       []quic.Version{quic.Version1},
		HandshakeIdleTimeout:           handshakeTime,
		MaxIdleTimeout:                 idleTime,
		KeepAlivePeriod:                keepAlive,
		MaxIncomingStreams:             maxStreams,
		MaxIncomingUniStreams:          -1,
		MaxStreamReceiveWindow:         streamWindow,
		MaxConnectionReceiveWindow:     connectionWindow,
		InitialConnectionReceiveWindow: streamWindow,
		EnableDatagrams:                true,
		Allow0RTT:                      false,
	}
}

// Run accepts, dials and serves until ctx ends. Then it takes no new work, lets
// running handlers finish for a few seconds, closes every connection so that
// peers notice at once, and returns nil when no goroutine is left. It returns
// early, with an error, only if the socket fails. A Mesh runs once.
func (m *Mesh) Run(ctx context.Context, handlers map[Kind]Handler) error {
	for kind := range handlers {
		if parsed, n, err := parseKind(appendKind(nil, kind)); err != nil || n == 0 || parsed == kindGossip {
			return fmt.Errorf("wire: %.80q cannot be the name of a call", kind)
		}
	}
	listener, err := m.transport.Listen(listenTLS(m.cert, m.admissible), quicConfig())
	if err != nil {
		return fmt.Errorf("wire: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &run{ctx: ctx, handlers: handlers}
	m.mu.Lock()
	m.run = r
	for _, p := range m.peers {
		p.start(r)
	}
	m.mu.Unlock()

	for {
		conn, acceptErr := listener.Accept(ctx)
		if acceptErr != nil {
			if ctx.Err() == nil {
				err = fmt.Errorf("wire: the socket failed: %w", acceptErr)
			}
			break
		}
		r.all.Go(func() { m.welcome(r, conn) })
	}
	cancel() // also after a failure: nothing new is taken
	m.stop(r, listener)
	return err
}

// stop undoes Run, backward.
func (m *Mesh) stop(r *run, listener *quic.Listener) {
	m.mu.Lock()
	m.run = nil // from here on nobody is admitted
	peers := make([]*peer, 0, len(m.peers))
	for _, p := range m.peers {
		peers = append(peers, p)
	}
	m.mu.Unlock()

	if err := listener.Close(); err != nil {
		m.log.Debug("listener did not close", "error", err)
	}
	r.accepts.Wait() // from here on working only shrinks
	drained := make(chan struct{})
	go func() { r.working.Wait(); close(drained) }()
	timer := time.NewTimer(drainTime)
	defer timer.Stop()
	select {
	case <-drained:
	case <-timer.C:
		m.log.Warn("calls of peers were cut off: the node stops and they did not end in time", "waited", drainTime)
	}
	// Closing drops what has not left yet, so the last response gets a moment.
	sleep(context.Background(), time.Until(time.Unix(0, r.answered.Load()).Add(lingerTime)))
	for _, p := range peers {
		p.close(closeShutdown, "")
	}
	<-drained // closing ended their contexts
	r.all.Wait()
	if err := m.transport.Close(); err != nil {
		m.log.Debug("transport did not close", "error", err)
	}
}

// welcome takes a connection from the finished handshake to admission.
func (m *Mesh) welcome(r *run, conn *quic.Conn) {
	node, key, exporter, err := identityOf(conn)
	if err != nil {
		m.counters.refused.Add(1)
		m.closeConn(conn, closeBadHello, "")
		return
	}
	p := m.peerFor(node)
	if p == nil { // a stranger, or one that was removed since the handshake
		m.receive(r, stranger{conn, node, key, exporter})
		return
	}
	if !p.enter() {
		m.closeConn(conn, closeTooMany, "")
		return
	}
	defer p.leave()
	said, err := m.helloTo(r.ctx, conn, false)
	if err == nil {
		err = m.admit(&Line{mesh: m, peer: p, conn: conn, key: key, exporter: exporter, said: said})
	}
	if err != nil {
		p.fail(err)
	}
}

// admissible is asked during the handshake of whoever connects.
func (m *Mesh) admissible(node trust.NodeID) error {
	if m.peerFor(node) != nil || m.lobby.open() {
		return nil
	}
	m.counters.strangers.Add(1)
	m.counters.lastStranger.Store(&node)
	if m.warnings.Allow() {
		m.log.Warn("refused a node that is not among the peers; if you know it, add it to federation.peers", "node", node)
	}
	return errStranger
}

func (m *Mesh) peerFor(node trust.NodeID) *peer {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.peers[node]
}

// closeConn ends a connection. It may take a packet's time, so no lock is held.
func (m *Mesh) closeConn(conn *quic.Conn, code quic.ApplicationErrorCode, text string) {
	if err := conn.CloseWithError(code, text); err != nil {
		m.log.Debug("connection did not close", "error", err)
	}
}

// Line gives the newest connection to a node. It never dials and never blocks:
// ErrNotPinned, ErrBadVersion or ErrUnreachable say why there is none now. A
// Line is not to be kept: once its connection has ended, it stays ended.
func (m *Mesh) Line(node trust.NodeID) (*Line, error) {
	p := m.peerFor(node)
	if p == nil {
		return nil, ErrNotPinned
	}
	if l := p.current.Load(); l != nil {
		return l, nil
	}
	if err := p.lastFailure(); errors.Is(err, ErrBadVersion) {
		return nil, ErrBadVersion
	}
	return nil, ErrUnreachable
}

// Reconfigure puts another set of peers in place of the present one.
// Connections of peers that are no longer in it, or that now go by another
// name, end at once. A pin that makes no sense is left out and logged.
func (m *Mesh) Reconfigure(peers []Peer) {
	var gone []*peer
	m.mu.Lock()
	former := m.peers
	m.peers = make(map[trust.NodeID]*peer, len(peers))
	for _, pin := range peers {
		if err := m.checkPin(pin); err != nil {
			m.log.Error("peer left out", "error", err)
			continue
		}
		p := former[pin.Node]
		if p == nil || !p.repin(pin) {
			p = newPeer(m, pin)
			p.start(m.run)
		} else {
			delete(former, pin.Node)
		}
		m.peers[pin.Node] = p
	}
	for _, p := range former {
		gone = append(gone, p)
	}
	m.mu.Unlock()
	for _, p := range gone {
		p.stop()
		p.close(closeNotPinned, "")
	}
}
