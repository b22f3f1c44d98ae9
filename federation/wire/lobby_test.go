package wire

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// reception is a site with a lobby that says whom it heard.
func reception(t *testing.T, open *atomic.Bool, peers ...Peer) *site {
	t.Helper()
	a := newSite(t, "a")
	o := a.options(peers...)
	o.Lobby = &Lobby{Open: open.Load, Kind: "join", Handler: func(_ context.Context, in Incoming) ([]byte, error) {
		if bytes.Equal(in.Request, []byte("no")) {
			return nil, errors.New("no invite")
		}
		return append([]byte("welcome "+string(in.Peer.Node.Short())+" "), in.Request...), nil
	}}
	mesh, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return a.run(mesh, a.handlers())
}

// call makes a call of a kind on whatever connection there is, once there is one.
func (s *site) call(t *testing.T, to *site, kind Kind, request string) (string, error) {
	t.Helper()
	var line *Line
	eventually(t, "a connection to the lobby", func() bool {
		l, err := s.mesh.Line(to.id)
		line = l
		return err == nil
	})
	b, err := line.Call(within(t, patience), kind, []byte(request))
	return string(b), err
}

// A newcomer makes its one call, is made a peer, and is let in when it dials again.
func TestANewcomerIsHeardAndThenLetIn(t *testing.T) {
	var open atomic.Bool
	open.Store(true)
	a, b := reception(t, &open), newSite(t, "b")
	b.start(a.pin())
	got, err := b.call(t, a, "join", "me")
	if want := "welcome " + b.id.Short() + " me"; err != nil || got != want {
		t.Fatalf("%q, %v", got, err)
	}
	a.mesh.Reconfigure([]Peer{b.quiet()})
	open.Store(false)
	eventually(t, "it dials again and is a peer", func() bool {
		l, err := b.mesh.Line(a.id)
		if err != nil {
			return false
		}
		answer, err := l.Call(within(t, time.Second), "echo", []byte("x"))
		return err == nil && string(answer) == "b: x"
	})
	if s := a.mesh.Stats(); s.Visitors == 0 || s.PeersConnected != 1 {
		t.Errorf("%+v", s)
	}
}

// In the lobby nothing but the one kind is answered: no question, no gossip, no datagram.
func TestTheLobbyAnswersOneKindOnly(t *testing.T) {
	var open atomic.Bool
	open.Store(true)
	a, b := reception(t, &open), newSite(t, "b")
	b.start(a.pin())
	for _, kind := range []Kind{"echo", "query", "sync"} {
		if got, err := b.call(t, a, kind, "x"); err == nil {
			t.Errorf("a stranger's %s was answered: %q", kind, got)
		}
	}
	if _, err := b.call(t, a, "join", "no"); err == nil {
		t.Error("a refused join was answered")
	}
	if a.calls.Load() != 0 {
		t.Error("a stranger reached a peers' handler")
	}
	conn, err := b.mesh.OpenStream(within(t, patience), a.id)
	if err == nil {
		defer conn.Close()
		_, err := conn.Write([]byte("gossip"))
		if err == nil {
			_, err = conn.Read(make([]byte, 1))
		}
		if err == nil {
			t.Error("a stranger gossips")
		}
	}
	if err := b.mesh.SendDatagram(a.id, []byte("forged")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if from, d, err := a.mesh.Receive(ctx); err == nil {
		t.Errorf("a datagram of a stranger came through: %s %q", from.Short(), d)
	}
	if s := a.mesh.Stats(); s.PeersConnected != 0 || s.Connections != 0 {
		t.Errorf("a stranger counts as a peer: %+v", s)
	}
}

// While nobody is expected, a stranger learns the public key and nothing else.
func TestTheLobbyIsShut(t *testing.T) {
	var open atomic.Bool
	a, b := reception(t, &open), newSite(t, "b")
	b.start(a.pin())
	eventually(t, "the refusal is counted", func() bool { return a.mesh.Stats().Strangers > 0 })
	eventually(t, "the stranger is told why", func() bool { return strings.Contains(b.state(a).LastError, "must name this node") })
	if a.mesh.Stats().Visitors != 0 {
		t.Error("somebody came in")
	}
}

// Threat: memory exhaustion. A crowd of strangers takes the seats of the lobby and nothing
// else, and a peer is served meanwhile.
func TestACrowdInTheLobbyKeepsNobodyOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := newEther(time.Millisecond)
		a, peer := e.place(t, "a", "10.0.0.1:1"), e.place(t, "peer", "10.0.0.2:1")
		o := a.options(peer.quiet())
		asked := 0
		o.Lobby = &Lobby{Open: func() bool { return true }, Kind: "join", Handler: func(context.Context, Incoming) ([]byte, error) { asked++; return nil, nil }}
		mesh, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		a.run(mesh, a.handlers())
		peer.start(a.pin())
		peer.ask(a)
		inside := 0
		for i := range 20 {
			s := e.place(t, "stranger"+string(rune('a'+i)), "10.0.1."+string(rune('1'+i%9))+":"+string(rune('1'+i/9)))
			crowd, err := New(s.options(a.quiet()))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { crowd.transport.Close(); s.sock.Close() })
			conn, err := crowd.transport.Dial(within(t, 5*time.Second), a.sock.LocalAddr(), dialTLS(crowd.cert, a.id, nil), quicConfig())
			if err != nil {
				continue
			}
			if _, err := crowd.helloTo(within(t, 5*time.Second), conn, true); err == nil {
				inside++ // and says nothing more
			}
		}
		if inside == 0 || inside > maxLobby {
			t.Errorf("%d strangers are in the lobby, which has %d seats", inside, maxLobby)
		}
		peer.ask(a)
		time.Sleep(lobbyTime + time.Second)
		if len(mesh.lobby.seats) != 0 || asked != 0 {
			t.Errorf("%d seats are still taken, %d calls", len(mesh.lobby.seats), asked)
		}
	})
}
