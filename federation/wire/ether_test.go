package wire

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

// ether is a UDP network in memory for the fake time of a synctest bubble: each
// packet takes delay, some are lost, and places can be cut off.
type ether struct {
	mu    sync.Mutex
	ports map[netip.AddrPort]*etherConn
	delay time.Duration
	loss  float64
	cut   map[netip.AddrPort]bool // nothing to or from these
}

func newEther(delay time.Duration) *ether {
	return &ether{ports: make(map[netip.AddrPort]*etherConn), delay: delay, cut: make(map[netip.AddrPort]bool)}
}

type etherPacket struct {
	from netip.AddrPort
	b    []byte
}

type etherConn struct {
	ether   *ether
	addr    netip.AddrPort
	packets chan etherPacket
	closed  chan struct{}
	once    sync.Once

	mu       sync.Mutex
	deadline time.Time
	changed  chan struct{} // closed when the deadline changes
}

func (e *ether) listen(addr string) *etherConn {
	c := &etherConn{
		ether: e, addr: netip.MustParseAddrPort(addr), packets: make(chan etherPacket, 4096),
		closed: make(chan struct{}), changed: make(chan struct{}),
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ports[c.addr] = c
	return c
}

// cutOff cuts places off, and no others.
func (e *ether) cutOff(sites ...*site) {
	e.mu.Lock()
	defer e.mu.Unlock()
	clear(e.cut)
	for _, s := range sites {
		e.cut[netip.MustParseAddrPort(s.addr())] = true
	}
}

func (e *ether) lose(share float64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.loss = share
}

func (e *ether) route(from, to netip.AddrPort) *etherConn {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.cut[from] || e.cut[to] || rand.Float64() < e.loss {
		return nil
	}
	return e.ports[to]
}

func (c *etherConn) WriteTo(b []byte, to net.Addr) (int, error) {
	select {
	case <-c.closed:
		return 0, net.ErrClosed
	default:
	}
	ap := to.(*net.UDPAddr).AddrPort()
	other := c.ether.route(c.addr, netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()))
	if other == nil {
		return len(b), nil
	}
	packet := etherPacket{c.addr, slices.Clone(b)}
	time.AfterFunc(c.ether.delay, func() {
		select {
		case other.packets <- packet:
		default:
		}
	})
	return len(b), nil
}

func (c *etherConn) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		c.mu.Lock()
		deadline, changed := c.deadline, c.changed
		c.mu.Unlock()
		var expired <-chan time.Time
		if !deadline.IsZero() {
			timer := time.NewTimer(time.Until(deadline))
			defer timer.Stop()
			expired = timer.C
		}
		select {
		case p := <-c.packets:
			return copy(b, p.b), net.UDPAddrFromAddrPort(p.from), nil
		case <-c.closed:
			return 0, nil, net.ErrClosed
		case <-expired:
			return 0, nil, os.ErrDeadlineExceeded
		case <-changed:
		}
	}
}

func (c *etherConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	close(c.changed)
	c.changed = make(chan struct{})
	return nil
}

func (c *etherConn) Close() error {
	c.once.Do(func() {
		close(c.closed)
		c.ether.mu.Lock()
		defer c.ether.mu.Unlock()
		if c.ether.ports[c.addr] == c {
			delete(c.ether.ports, c.addr)
		}
	})
	return nil
}

func (c *etherConn) LocalAddr() net.Addr              { return net.UDPAddrFromAddrPort(c.addr) }
func (c *etherConn) SetDeadline(t time.Time) error    { return c.SetReadDeadline(t) }
func (c *etherConn) SetWriteDeadline(time.Time) error { return nil }

// place is a site on an ether.
func (e *ether) place(t testing.TB, name string, addr string) *site {
	t.Helper()
	return siteOn(t, name, e.listen(addr))
}
