package gossip

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/candignode/candignode/trust"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hub is a network in memory that delays, loses and cuts. Everything on it
// happens in the fake time of a synctest bubble.
type hub struct {
	mu    sync.Mutex
	ports map[trust.NodeID]*hubPort
	loss  float64
	sent  atomic.Int64 // bytes of packets, lost ones too
	// sides divides the nodes during a partition: nodes on different sides
	// cannot reach each other.
	sides map[trust.NodeID]int
}

type hubPort struct {
	hub     *hub
	id      trust.NodeID
	packets chan hubPacket
	streams chan hubStream
}

type hubPacket struct {
	from trust.NodeID
	b    []byte
}

type hubStream struct {
	from trust.NodeID
	conn net.Conn
}

func newHub(loss float64) *hub {
	return &hub{ports: make(map[trust.NodeID]*hubPort), loss: loss, sides: make(map[trust.NodeID]int)}
}

func (h *hub) plug(id trust.NodeID) *hubPort {
	p := &hubPort{hub: h, id: id, packets: make(chan hubPacket, 256), streams: make(chan hubStream, 16)}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ports[id] = p
	return p
}

func (h *hub) divide(sides map[trust.NodeID]int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sides = sides
}

func (h *hub) reach(from, to trust.NodeID) *hubPort {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sides[from] != h.sides[to] {
		return nil
	}
	return h.ports[to]
}

func (p *hubPort) SendDatagram(to trust.NodeID, b []byte) error {
	other := p.hub.reach(p.id, to)
	p.hub.sent.Add(int64(len(b)))
	if other == nil || rand.Float64() < p.hub.loss {
		return nil
	}
	packet := hubPacket{p.id, slices.Clone(b)}
	time.AfterFunc(5*time.Millisecond+rand.N(35*time.Millisecond), func() {
		select {
		case other.packets <- packet:
		default:
		}
	})
	return nil
}

func (p *hubPort) Receive(ctx context.Context) (trust.NodeID, []byte, error) {
	select {
	case packet := <-p.packets:
		return packet.from, packet.b, nil
	case <-ctx.Done():
		return "", nil, ctx.Err()
	}
}

func (p *hubPort) OpenStream(ctx context.Context, to trust.NodeID) (net.Conn, error) {
	other := p.hub.reach(p.id, to)
	if other == nil {
		return nil, errors.New("not connected")
	}
	mine, theirs := net.Pipe()
	select {
	case other.streams <- hubStream{p.id, theirs}:
		return mine, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *hubPort) AcceptStream(ctx context.Context) (trust.NodeID, net.Conn, error) {
	select {
	case s := <-p.streams:
		return s.from, s.conn, nil
	case <-ctx.Done():
		return "", nil, ctx.Err()
	}
}

// idOf gives the n-th test node's name.
func idOf(t testing.TB, name string) trust.NodeID {
	t.Helper()
	seed := sha256.Sum256([]byte("gossip " + name))
	id, err := trust.NodeIDOf(ed25519.NewKeyFromSeed(seed[:]).Public())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// node is a Gossip under test, with a layer above that broadcasts again what is
// new to it, as the trust desk does.
type node struct {
	*Gossip
	id     trust.NodeID
	port   *hubPort
	cancel context.CancelFunc
	done   chan struct{}

	mu   sync.Mutex
	pins []trust.NodeID
	seen map[string]bool
}

func (n *node) has(message string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.seen[message]
}

func (n *node) repin(pins []trust.NodeID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pins = pins
}

func (n *node) say(message string) {
	n.mu.Lock()
	n.seen[message] = true
	n.mu.Unlock()
	n.Broadcast([]byte(message))
}

// sees tells in which state n thinks other is.
func (n *node) sees(other *node) State {
	for _, m := range n.Members() {
		if m.Node == other.id {
			return m.State
		}
	}
	return "not a member"
}

func start(t *testing.T, h *hub, name string, pins []trust.NodeID) *node {
	t.Helper()
	id := idOf(t, name)
	heard := make(chan []byte, 64)
	n := &node{id: id, port: h.plug(id), pins: pins, seen: make(map[string]bool), done: make(chan struct{})}
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("GOSSIP_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("me", name)
	}
	g, err := New(Options{
		Self: id, Network: "test", Carrier: n.port, Heard: heard, Log: log,
		Members: func() []trust.NodeID { n.mu.Lock(); defer n.mu.Unlock(); return n.pins },
	})
	if err != nil {
		t.Fatal(err)
	}
	n.Gossip = g
	ctx, cancel := context.WithCancel(t.Context())
	n.cancel = cancel
	var loops sync.WaitGroup
	loops.Go(func() {
		if err := g.Run(ctx); err != nil {
			t.Errorf("%s: Run: %v", name, err)
		}
	})
	loops.Go(func() {
		for {
			select {
			case m := <-heard:
				n.mu.Lock()
				news := !n.seen[string(m)]
				n.seen[string(m)] = true
				n.mu.Unlock()
				if news {
					n.Broadcast(m)
				}
			case <-ctx.Done():
				return
			}
		}
	})
	go func() { loops.Wait(); close(n.done) }()
	return n
}

// network starts n nodes that pin each other.
func network(t *testing.T, h *hub, count int) []*node {
	t.Helper()
	pins := make([]trust.NodeID, count)
	for i := range pins {
		pins[i] = idOf(t, fmt.Sprint(i))
	}
	nodes := make([]*node, count)
	for i := range nodes {
		nodes[i] = start(t, h, fmt.Sprint(i), pins)
	}
	return nodes
}

func stopAll(nodes []*node) {
	for _, n := range nodes {
		n.cancel()
	}
	for _, n := range nodes {
		<-n.done
	}
	settle()
}

// settle lets the last probes of memberlists that were shut down time out: a
// probe that waits for an answer is not interrupted.
func settle() { time.Sleep(time.Minute) }

// until advances the fake time in steps until ok, and tells how long it took.
func until(t *testing.T, limit time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	return untilEvery(t, 50*time.Millisecond, limit, what, ok)
}

func untilEvery(t *testing.T, step, limit time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !ok() {
		if time.Since(began) > limit {
			t.Fatalf("not within %s: %s", limit, what)
		}
		time.Sleep(step) // fake time
	}
	return time.Since(began)
}

func allAlive(nodes []*node) func() bool {
	return func() bool {
		for _, a := range nodes {
			for _, b := range nodes {
				if a != b && a.sees(b) != Alive {
					return false
				}
			}
		}
		return true
	}
}

func allHave(nodes []*node, message string) func() bool {
	return func() bool {
		return !slices.ContainsFunc(nodes, func(n *node) bool { return !n.has(message) })
	}
}
