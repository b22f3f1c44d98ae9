package wire

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/candignode/candignode/trust"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test on real sockets waits for what must happen; it is
// never used up when the code is right.
const patience = time.Minute

// site is a node under test with its own socket.
type site struct {
	t     testing.TB
	name  trust.SiteName
	key   ed25519.PrivateKey
	id    trust.NodeID
	sock  *socket
	udp   bool // hand the bare UDP socket to the mesh, which quic-go makes faster use of
	mesh  *Mesh
	calls atomic.Int64

	killed bool
	once   sync.Once
	cancel context.CancelFunc
	done   chan error
}

func keyOf(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("key of " + name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func nodeOf(t testing.TB, key ed25519.PrivateKey) trust.NodeID {
	t.Helper()
	id, err := trust.NodeIDOf(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// newSite binds a socket on loopback; start gives it peers and runs it.
func newSite(t testing.TB, name trust.SiteName) *site {
	t.Helper()
	return siteAt(t, name, "127.0.0.1:0")
}

func siteAt(t testing.TB, name trust.SiteName, addr string) *site {
	t.Helper()
	inner, err := net.ListenPacket("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return siteOn(t, string(name), inner)
}

func siteOn(t testing.TB, name string, inner net.PacketConn) *site {
	t.Helper()
	key := keyOf(name)
	return &site{t: t, name: trust.SiteName(name), key: key, id: nodeOf(t, key), sock: newSocket(inner)}
}

func (s *site) addr() string { return s.sock.LocalAddr().String() }

func (s *site) pin() Peer { return Peer{Site: s.name, Node: s.id, Addr: s.addr()} }

// quiet is the pin of a peer that is never dialled.
func (s *site) quiet() Peer { return Peer{Site: s.name, Node: s.id} }

func (s *site) options(peers ...Peer) Options {
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("WIRE_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil)).With("me", s.name)
	}
	var conn net.PacketConn = s.sock
	if s.udp {
		conn = s.sock.PacketConn
	}
	return Options{PacketConn: conn, Key: s.key, Site: s.name, Software: "candignode/test", Peers: peers, Log: log}
}

func (s *site) start(peers ...Peer) *site {
	s.t.Helper()
	mesh, err := New(s.options(peers...))
	if err != nil {
		s.t.Fatal(err)
	}
	return s.run(mesh, s.handlers())
}

func (s *site) handlers() map[Kind]Handler {
	return map[Kind]Handler{
		"echo": func(_ context.Context, in Incoming) ([]byte, error) {
			s.calls.Add(1)
			return append([]byte(string(in.Peer.Site)+": "), in.Request...), nil
		},
		"query": func(_ context.Context, in Incoming) ([]byte, error) { return in.Request, nil },
	}
}

func (s *site) run(mesh *Mesh, handlers map[Kind]Handler) *site {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s.mesh, s.cancel, s.done = mesh, cancel, make(chan error, 1)
	go func() { s.done <- mesh.Run(ctx, handlers) }()
	s.t.Cleanup(s.stop)
	return s
}

// stop ends the node properly and closes its socket, as the daemon does.
func (s *site) stop() {
	s.once.Do(func() {
		s.cancel()
		select {
		case err := <-s.done:
			if err != nil && !s.killed {
				s.t.Errorf("%s: Run: %v", s.name, err)
			}
		case <-time.After(patience):
			s.t.Errorf("%s: Run does not end", s.name)
		}
		s.sock.Close()
	})
}

// kill is kill -9: nothing more leaves the node and its port is free. What is
// left of it is cleared away out of the others' sight.
func (s *site) kill() {
	s.killed = true // it may see that its socket is gone
	s.sock.unplug()
	s.stop()
}

// line waits until there is a line to another site.
func (s *site) line(to *site) *Line {
	s.t.Helper()
	var line *Line
	eventually(s.t, fmt.Sprintf("%s has a line to %s", s.name, to.name), func() bool {
		var err error
		line, err = s.mesh.Line(to.id)
		return err == nil
	})
	return line
}

func (s *site) state(of *site) PeerState {
	for _, p := range s.mesh.Peers() {
		if p.Node == of.id {
			return p
		}
	}
	return PeerState{}
}

// ask calls until it succeeds: a line that was just replaced may end under it.
func (s *site) ask(to *site) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%s gets an answer from %s", s.name, to.name), func() bool {
		line, err := s.mesh.Line(to.id)
		if err != nil {
			return false
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		got, err := line.Call(ctx, "echo", []byte("hello"))
		return err == nil && string(got) == string(s.name)+": hello"
	})
}

// eventually polls on a ticker; what is polled must be cheap.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("not within %s: %s", patience, what)
		case <-tick.C:
		}
	}
}

// socket is a UDP socket that can be cut: while cut, what is sent vanishes and
// nothing arrives.
type socket struct {
	net.PacketConn
	cut        atomic.Bool
	unplugs    chan struct{}
	unplugOnce sync.Once
}

func newSocket(inner net.PacketConn) *socket {
	return &socket{PacketConn: inner, unplugs: make(chan struct{})}
}

func (c *socket) WriteTo(b []byte, to net.Addr) (int, error) {
	if c.cut.Load() {
		return len(b), nil
	}
	return c.PacketConn.WriteTo(b, to)
}

func (c *socket) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := c.PacketConn.ReadFrom(b)
		select {
		case <-c.unplugs:
			if err == nil {
				continue
			}
		default:
		}
		if err == nil && c.cut.Load() {
			continue
		}
		return n, from, err
	}
}

// SetReadBuffer and SetWriteBuffer keep quic-go from warning that it cannot.
func (c *socket) SetReadBuffer(int) error  { return nil }
func (c *socket) SetWriteBuffer(int) error { return nil }

// unplug cuts for good and frees the port.
func (c *socket) unplug() {
	c.cut.Store(true)
	c.unplugOnce.Do(func() {
		close(c.unplugs)
		c.PacketConn.Close()
	})
}

func (c *socket) Close() error {
	c.unplug()
	return nil
}
