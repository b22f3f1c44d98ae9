package gossip

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/candignode/candignode/trust"
)

// port is the same for all: addresses are names in other clothes.
const port = 7946

// address is the one address of a node: an IPv6 address in fd00::/8, which is
// routed nowhere, computed from its name. Nobody can choose one.
func address(id trust.NodeID) net.IP {
	sum := sha256.Sum256([]byte("candignode gossip address\x00" + id))
	ip := make(net.IP, net.IPv6len)
	ip[0] = 0xfd
	copy(ip[1:], sum[:])
	return ip
}

func hostPort(id trust.NodeID) string {
	return net.JoinHostPort(address(id).String(), strconv.Itoa(port))
}

// joinName is how memberlist is told a node to join: name/address.
func joinName(id trust.NodeID) string { return string(id) + "/" + hostPort(id) }

var errUnknown = errors.New("no member has this name and address")

// transport is memberlist's network: the carrier, for members only.
type transport struct {
	g       *Gossip
	packets chan *memberlist.Packet
	streams chan net.Conn
	ctx     context.Context
	cancel  context.CancelFunc
	loops   sync.WaitGroup
}

var _ memberlist.NodeAwareTransport = (*transport)(nil)

func newTransport(g *Gossip) *transport {
	ctx, cancel := context.WithCancel(context.Background())
	t := &transport{g: g, packets: make(chan *memberlist.Packet), streams: make(chan net.Conn), ctx: ctx, cancel: cancel}
	t.loops.Go(t.receive)
	t.loops.Go(t.accept)
	return t
}

// FinalAdvertiseAddr gives this node's own computed address.
func (t *transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return address(t.g.o.Self), port, nil
}

// member finds whom an address means. The name decides, and the address must be
// that name's own; an address alone is looked up among the members.
func (t *transport) member(a memberlist.Address) (trust.NodeID, error) {
	if a.Name != "" {
		if id := trust.NodeID(a.Name); t.g.isMember(id) && a.Addr == hostPort(id) {
			return id, nil
		}
	} else {
		for _, id := range t.g.others() {
			if a.Addr == hostPort(id) {
				return id, nil
			}
		}
	}
	return "", fmt.Errorf("%.80q at %.80q: %w", a.Name, a.Addr, errUnknown)
}

// WriteTo sends a packet to a member's address.
func (t *transport) WriteTo(b []byte, addr string) (time.Time, error) {
	return t.WriteToAddress(b, memberlist.Address{Addr: addr})
}

// WriteToAddress sends a packet to a member. Its error is of the kind that
// memberlist takes for a node that is gone, so that it forgets a node that is no
// longer a member.
func (t *transport) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	id, err := t.member(a)
	if err == nil {
		err = t.g.o.Carrier.SendDatagram(id, b)
	}
	if err != nil {
		return time.Time{}, &net.OpError{Op: "write", Net: "udp", Err: err}
	}
	return time.Now(), nil
}

// DialTimeout opens a stream to a member's address.
func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// DialAddressTimeout opens a stream to a member.
func (t *transport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	id, err := t.member(a)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(t.ctx, timeout)
	defer cancel()
	conn, err := t.g.o.Carrier.OpenStream(ctx, id)
	if err != nil {
		return nil, err
	}
	// memberlist writes its label before it sets a deadline of its own.
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		t.discard(conn)
		return nil, err
	}
	return guard(t.ctx, conn, ""), nil
}

// PacketCh is where memberlist takes packets.
func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.packets }

// StreamCh is where memberlist takes streams.
func (t *transport) StreamCh() <-chan net.Conn { return t.streams }

// Shutdown ends the loops and waits for them.
func (t *transport) Shutdown() error {
	t.cancel()
	t.loops.Wait()
	return nil
}

func (t *transport) receive() {
	for {
		from, b, err := t.g.o.Carrier.Receive(t.ctx)
		if err != nil {
			t.failed("datagrams", err)
			return
		}
		if len(b) > maxPacket || !t.g.isMember(from) || checkPacket(b, t.g.o.Network) != nil {
			t.g.refused.Add(1)
			continue
		}
		packet := &memberlist.Packet{Buf: b, From: &net.UDPAddr{IP: address(from), Port: port}, Timestamp: time.Now()}
		select {
		case t.packets <- packet:
		case <-t.ctx.Done():
			return
		}
	}
}

func (t *transport) accept() {
	for {
		from, conn, err := t.g.o.Carrier.AcceptStream(t.ctx)
		if err != nil {
			t.failed("streams", err)
			return
		}
		if !t.g.isMember(from) {
			t.g.refused.Add(1)
			t.discard(conn)
			continue
		}
		select {
		case t.streams <- guard(t.ctx, conn, t.g.o.Network):
		case <-t.ctx.Done():
			t.discard(conn)
			return
		}
	}
}

func (t *transport) discard(conn net.Conn) {
	if err := conn.Close(); err != nil {
		t.g.log.Debug("stream did not close", "error", err)
	}
}

func (t *transport) failed(what string, err error) {
	if t.ctx.Err() == nil {
		t.g.log.Error("gossip receives no more "+what, "error", err)
	}
}
