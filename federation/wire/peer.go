package wire

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/candignode/candignode/trust"
)

// peer is everything about one pinned node: its connections, the loop that
// dials it, and what waits for it.
type peer struct {
	mesh    *Mesh
	node    trust.NodeID
	current atomic.Pointer[Line] // the newest admitted connection; nil: none
	wake    chan struct{}        // for the dial loop: something changed
	slots   chan struct{}        // incoming streams that are worked on
	outbox  outbox

	mu       sync.Mutex // guards what follows; never held during I/O
	pin      Peer
	cancel   context.CancelFunc // ends the loops; nil: not started
	in, out  *Line
	pending  int // incoming connections before their hello
	failed   error
	changed  time.Time // of the last change between connected and not
	attempts int
	calls    map[Kind]chan struct{} // calls in flight to the peer
	serves   map[Kind]chan struct{} // calls in flight from the peer
}

func newPeer(m *Mesh, pin Peer) *peer {
	return &peer{
		mesh: m, node: pin.Node, pin: pin, changed: m.now(),
		wake: make(chan struct{}, 1), slots: make(chan struct{}, maxStreams), outbox: newOutbox(),
		calls: make(map[Kind]chan struct{}), serves: make(map[Kind]chan struct{}),
	}
}

func (p *peer) pinned() Peer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pin
}

// repin takes a changed address and refuses a changed name: under another name
// it is another peer, which has to say hello again.
func (p *peer) repin(pin Peer) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pin.Site != pin.Site {
		return false
	}
	p.pin = pin
	signal(p.wake)
	return true
}

// start begins the loops; the mesh's mu is held, so that Run's end cannot
// overtake it. Without a run it does nothing.
func (p *peer) start(r *run) {
	if r == nil {
		return
	}
	ctx, cancel := context.WithCancel(r.ctx)
	p.mu.Lock()
	p.cancel = cancel
	p.mu.Unlock()
	r.all.Go(func() { p.dialForever(ctx) })
	r.all.Go(func() { p.sendDatagrams(ctx) })
}

func (p *peer) stop() {
	p.mu.Lock()
	cancel := p.cancel
	p.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}

// close ends the peer's connections.
func (p *peer) close(code quic.ApplicationErrorCode, text string) {
	p.mu.Lock()
	lines := [2]*Line{p.in, p.out}
	p.mu.Unlock()
	for _, l := range lines {
		if l != nil {
			p.mesh.closeConn(l.conn, code, text)
		}
	}
}

// enter and leave count the connections that have not said hello.
func (p *peer) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pending >= maxPending {
		return false
	}
	p.pending++
	return true
}

func (p *peer) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending--
}

// fail remembers why there is no connection.
func (p *peer) fail(err error) {
	p.mu.Lock()
	// The loop fails for days against a peer that is down: one line is enough.
	first := p.failed == nil || p.failed.Error() != err.Error()
	p.failed = err
	site := p.pin.Site
	p.mu.Unlock()
	if first {
		p.mesh.log.Info("no connection", "site", site, "node", p.node.Short(), "error", err)
	}
}

func (p *peer) lastFailure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed
}

// gate is the counter of calls of a kind in one direction; which is p.calls or
// p.serves. Kinds come from handlers and local callers, so there are few.
func (p *peer) gate(which map[Kind]chan struct{}, kind Kind) chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := which[kind]
	if g == nil {
		g = make(chan struct{}, boundsOf(kind).calls)
		which[kind] = g
	}
	return g
}

// dialForever keeps a connection to the peer: one attempt at a time, none while
// a connection is up, with pauses that grow while it fails.
func (p *peer) dialForever(ctx context.Context) {
	pause := time.Duration(0)
	for p.waitAlone(ctx) && sleep(ctx, jitter(pause)) {
		if p.current.Load() != nil {
			pause = firstBackoff // it dialled us meanwhile
			continue
		}
		began := time.Now() // of the clock that pauses run by, not the node's
		err := p.dial(ctx)
		if err == nil {
			p.waitAlone(ctx)
			if time.Since(began) > lastBackoff {
				pause = 0 // it was a good connection: dial again quickly
			}
		} else if ctx.Err() == nil {
			p.mesh.counters.dialFailures.Add(1)
			p.fail(err)
		}
		pause = min(max(2*pause, firstBackoff), lastBackoff)
	}
}

// waitAlone returns true when no connection is up and there is an address to
// dial, and false when ctx has ended.
func (p *peer) waitAlone(ctx context.Context) bool {
	for {
		if ctx.Err() != nil {
			return false
		}
		if p.current.Load() == nil && p.pinned().Addr != "" {
			return true
		}
		select {
		case <-ctx.Done():
		case <-p.wake:
		}
	}
}

// dial makes one attempt, up to admission.
func (p *peer) dial(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	m := p.mesh
	p.mu.Lock()
	pin := p.pin
	attempt := p.attempts
	p.attempts++
	p.mu.Unlock()
	// A peer may move, and its name is looked up by this node only: a forged
	// answer leads to another key and thus nowhere.
	addr, err := resolve(ctx, pin.Addr, m.local, attempt)
	if err != nil {
		return err
	}
	m.counters.dials.Add(1)
	conf := dialTLS(m.cert, pin.Node, func(found trust.NodeID) {
		m.counters.impostors.Add(1)
		m.log.Error("another key answers at a peer's address; nothing was sent to it",
			"site", pin.Site, "addr", pin.Addr, "pinned", pin.Node, "found", found)
	})
	conn, err := m.transport.Dial(ctx, addr, conf, quicConfig())
	if err != nil {
		return failure(err)
	}
	node, key, exporter, err := identityOf(conn)
	if err == nil && node != pin.Node {
		err = errWrongKey
	}
	if err != nil {
		m.closeConn(conn, closeBadHello, "")
		return err
	}
	said, err := m.helloTo(ctx, conn, true)
	if err != nil {
		return err
	}
	return m.admit(&Line{mesh: m, peer: p, conn: conn, key: key, exporter: exporter, said: said, outgoing: true})
}

// resolve gives one address of host:port that the socket can reach. Successive
// attempts go through all of a host's addresses.
func resolve(ctx context.Context, hostport string, local net.Addr, attempt int) (*net.UDPAddr, error) {
	host, service, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, fmt.Errorf("address %.80q is not host:port", hostport)
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("address %.80q: the port is not a number", hostport)
	}
	ips := []netip.Addr{}
	if ip, err := netip.ParseAddr(host); err == nil {
		ips = append(ips, ip)
	} else if ips, err = net.DefaultResolver.LookupNetIP(ctx, "ip", host); err != nil {
		return nil, fmt.Errorf("address %.80q: the name does not resolve: %.200q", hostport, err.Error())
	}
	usable := ips[:0]
	udp, isUDP := local.(*net.UDPAddr)
	for _, ip := range ips {
		ip = ip.Unmap()
		if isUDP && udp.IP.To4() != nil && !ip.Is4() {
			continue // an IPv4 socket
		}
		usable = append(usable, ip)
	}
	if len(usable) == 0 {
		return nil, fmt.Errorf("address %.80q: no address that an IPv4 socket can reach", hostport)
	}
	return net.UDPAddrFromAddrPort(netip.AddrPortFrom(usable[attempt%len(usable)], uint16(port))), nil
}

// jitter keeps nodes that lost each other together from dialling together.
func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return d/2 + rand.N(d/2)
}

// sleep returns false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// signal wakes a loop that looks again at everything; one waiting signal is
// enough.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// stateName is the word for people.
func stateName(connected bool, failed error) string {
	switch {
	case connected:
		return "connected"
	case errors.Is(failed, ErrBadVersion):
		return "bad_version"
	case errors.Is(failed, errWrongKey):
		return "wrong_key"
	}
	return "unreachable"
}
