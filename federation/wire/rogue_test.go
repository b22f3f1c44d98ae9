package wire

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/candignode/candignode/trust"
)

// rogue makes of a site a node that holds its key and keeps the handshake, but
// says the given hello and does what it likes with every stream.
func (s *site) rogue(says hello, do func(*quic.Stream)) {
	s.t.Helper()
	cert, err := certificate(s.key)
	if err != nil {
		s.t.Fatal(err)
	}
	transport := &quic.Transport{Conn: s.sock}
	listener, err := transport.Listen(listenTLS(cert, func(trust.NodeID) error { return nil }), quicConfig())
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept(ctx)
			if err != nil {
				return
			}
			go func() {
				for first := true; ; first = false {
					stream, err := conn.AcceptStream(ctx)
					if err != nil {
						return
					}
					if first {
						_, _ = stream.Write(appendHello(nil, says))
						_ = stream.Close()
						continue
					}
					go do(stream)
				}
			}()
		}
	}()
	s.t.Cleanup(func() {
		cancel()
		<-done
		transport.Close()
		s.sock.Close()
	})
}

func TestAStrangerIsRefused(t *testing.T) {
	a, stranger := newSite(t, "a"), newSite(t, "stranger")
	a.start()
	stranger.start(a.pin())
	eventually(t, "the refusal is counted", func() bool { return a.mesh.Stats().Strangers > 0 })
	if got := a.mesh.Stats().LastStranger; got != stranger.id {
		t.Errorf("the stranger is shown as %s, it is %s", got, stranger.id)
	}
	eventually(t, "the stranger is told why", func() bool {
		return strings.Contains(stranger.state(a).LastError, "must name this node")
	})
	if _, err := stranger.mesh.Line(a.id); !errors.Is(err, ErrUnreachable) {
		t.Errorf("the stranger's line: %v", err)
	}
}

// A man in the middle has another key than the pinned one; he gets nothing.
func TestAnotherKeyAtTheAddressIsRefused(t *testing.T) {
	a, b, mallory := newSite(t, "a"), newSite(t, "b"), newSite(t, "mallory")
	defer b.sock.Close()
	mallory.start(a.quiet())
	pin := b.pin()
	pin.Addr = mallory.addr()
	a.start(pin)
	eventually(t, "the impostor is noticed", func() bool { return a.mesh.Stats().Impostors > 0 })
	eventually(t, "and shown", func() bool { return a.state(b).State == "wrong_key" })
	if _, err := a.mesh.Line(b.id); !errors.Is(err, ErrUnreachable) {
		t.Errorf("Line: %v", err)
	}
	if mallory.mesh.Stats().Connections != 0 {
		t.Error("the impostor has a connection")
	}
}

func TestAnotherVersionIsNamed(t *testing.T) {
	for _, dialler := range []string{"the newer one dials", "the older one dials"} {
		a, b := newSite(t, "a"), newSite(t, "b")
		newer, err := New(b.options(a.quiet()))
		if dialler == "the newer one dials" {
			newer, err = New(b.options(a.pin()))
		}
		if err != nil {
			t.Fatal(err)
		}
		newer.hello.version = protocolVersion + 1
		b.run(newer, b.handlers())
		if dialler == "the newer one dials" {
			a.start(b.quiet())
		} else {
			a.start(b.pin())
		}
		for _, s := range []struct{ me, other *site }{{a, b}, {b, a}} {
			eventually(t, dialler+": both sides know", func() bool {
				_, err := s.me.mesh.Line(s.other.id)
				return errors.Is(err, ErrBadVersion) && s.me.state(s.other).State == "bad_version"
			})
		}
	}
}

// What a site is called is for people: whoever has the pinned key is let in, whatever the two
// sides call each other.
func TestNamesAreEachSitesOwn(t *testing.T) {
	a, b := newSite(t, "a"), newSite(t, "b")
	b.start(Peer{Site: "sherbrooke", Node: a.id})
	pin := b.pin()
	pin.Site = "chus" // what a's operator wrote
	a.start(pin)
	answer, err := a.line(b).Call(within(t, patience), "echo", []byte("hello"))
	if got := a.state(b).Site; err != nil || string(answer) != "sherbrooke: hello" || got != "chus" {
		t.Errorf("%q, %v; a calls it %q", answer, err, got)
	}
}

func TestAnotherNetworkIsRefused(t *testing.T) {
	a, b := newSite(t, "a"), newSite(t, "b")
	other := b.options(a.quiet())
	other.Network = "elsewhere"
	mesh, err := New(other)
	if err != nil {
		t.Fatal(err)
	}
	b.run(mesh, b.handlers())
	a.start(b.pin())
	eventually(t, "a says why", func() bool { return strings.Contains(a.state(b).LastError, ErrOtherNetwork.Error()) })
	if _, err := a.mesh.Line(b.id); !errors.Is(err, ErrUnreachable) {
		t.Errorf("Line: %v", err)
	}
	other.Network = strings.Repeat("x", maxNetwork+1)
	if _, err := New(other); err == nil {
		t.Error("an endless id of a network is taken")
	}
}

func TestGarbageAsHello(t *testing.T) {
	for name, says := range map[string]hello{
		"another network":    {version: protocolVersion, network: "elsewhere", site: "b"},
		"no site":            {version: protocolVersion},
		"not a name":         {version: protocolVersion, site: "<b>"},
		"control characters": {version: protocolVersion, site: "b", software: "\x1b[31m"},
		"a long name":        {version: protocolVersion, site: "b", software: strings.Repeat("x", 65)},
	} {
		a, b := newSite(t, "a"), newSite(t, "b")
		a.start(b.pin())
		b.rogue(says, func(*quic.Stream) {})
		eventually(t, name+" is refused", func() bool { return a.mesh.Stats().HellosRefused > 0 })
		if _, err := a.mesh.Line(b.id); !errors.Is(err, ErrUnreachable) {
			t.Errorf("%s: Line gives %v", name, err)
		}
	}
}

// A killed node that comes back ends its former connections at the first packet
// it does not know: here the restarted one cannot dial, so nothing else would
// tell its peer before the idle time of 30 s.
func TestKilledAndStartedAgain(t *testing.T) {
	outside, inside := newSite(t, "outside"), newSite(t, "inside")
	inside.start(outside.pin())
	outside.start(inside.quiet())
	inside.ask(outside)
	addr := outside.addr()
	outside.kill()

	again := siteAt(t, "outside", addr)
	began := time.Now()
	again.start(inside.quiet())
	inside.ask(again)
	again.ask(inside)
	if took := time.Since(began); took >= idleTime {
		t.Errorf("the line works again after %s: only the idle time ended the former one", took)
	} else {
		t.Logf("the line works again after %s", took.Round(time.Millisecond))
	}
	if why := inside.mesh.Stats().ConnectionsLost; why != 1 {
		t.Errorf("%d connections ended, want 1", why)
	}
}
