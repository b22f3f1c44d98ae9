package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"
)

// What networks and broken peers do, in fake time.

// trio is three sites that pin each other, 20 ms apart.
func trio(t *testing.T) (e *ether, a, b, c *site) {
	t.Helper()
	e = newEther(20 * time.Millisecond)
	a, b, c = e.place(t, "a", "10.0.0.1:7900"), e.place(t, "b", "10.0.0.2:7900"), e.place(t, "c", "10.0.0.3:7900")
	all := []*site{a, b, c}
	for i, s := range all {
		s.start(all[(i+1)%3].pin(), all[(i+2)%3].pin())
	}
	for _, s := range all {
		for _, other := range all {
			if s != other {
				s.line(other)
			}
		}
	}
	return e, a, b, c
}

// bubble ends every site before the bubble ends.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(time.Minute) }) // fake: quic-go forgets closed connections
		f(t)
	})
}

func TestACutPeerIsNoticedAndComesBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e, a, b, c := trio(t)
		e.cutOff(b)
		began := time.Now()
		eventually(t, "the line is given up", func() bool { _, err := a.mesh.Line(b.id); return errors.Is(err, ErrUnreachable) })
		if took := time.Since(began); took > idleTime+keepAlive+time.Second {
			t.Errorf("given up after %s", took)
		}
		if s := a.state(b); s.State != "unreachable" || s.Connected || s.LastError == "" {
			t.Errorf("sites list shows %+v", s)
		}
		a.ask(c)
		time.Sleep(time.Hour)
		e.cutOff()
		began = time.Now()
		a.ask(b)
		b.ask(a)
		if took := time.Since(began); took > lastBackoff+handshakeTime {
			t.Errorf("healed after %s", took)
		} else {
			t.Logf("healed after %s", took)
		}
	})
}

// One silent peer: a call to it ends at the caller's deadline, and the others'
// answers arrive in their own time.
func TestASilentPeerCostsItsOwnCallsOnly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e, a, b, c := trio(t)
		toB, toC := a.line(b), a.line(c)
		e.cutOff(b)
		var calls sync.WaitGroup
		for range 50 {
			calls.Go(func() {
				began := time.Now()
				_, err := toB.Call(within(t, 3*time.Second), "query", make([]byte, 100_000))
				if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took > 3*time.Second {
					t.Errorf("a call to the silent peer ends after %s: %v", took, err)
				}
			})
		}
		for range 1000 { // gossip to it must not block either
			if err := a.mesh.SendDatagram(b.id, make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
		}
		for range 20 {
			began := time.Now()
			if _, err := toC.Call(within(t, 3*time.Second), "query", []byte("x")); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took > 50*time.Millisecond {
				t.Errorf("a call to the other peer takes %s", took)
			}
		}
		calls.Wait()
	})
}

// A warm call takes one round trip, and a little for what is between (goal 9).
func TestAWarmCallTakesOneRoundTrip(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, a, b, _ := trio(t)
		line := a.line(b)
		for _, size := range []int{100, 13_000} {
			began := time.Now()
			if _, err := line.Call(within(t, time.Second), "query", make([]byte, size)); err != nil {
				t.Fatal(err)
			}
			took := time.Since(began)
			t.Logf("%d bytes: %s over 40 ms", size, took)
			if took > 43*time.Millisecond { // 1.08 round trips
				t.Errorf("%d bytes take %s", size, took)
			}
		}
	})
}

// From nothing, a line is there after the handshake and the hello.
func TestALineTakesTwoRoundTrips(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := newEther(20 * time.Millisecond)
		a, b := e.place(t, "a", "10.0.0.1:1"), e.place(t, "b", "10.0.0.2:1")
		b.start(a.quiet())
		began := time.Now()
		a.start(b.pin())
		a.line(b)
		if took := time.Since(began); took > 95*time.Millisecond {
			t.Errorf("the line is there after %s", took)
		}
	})
}

func TestCallsSurviveALossyLine(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e, a, b, _ := trio(t)
		e.lose(0.05)
		line := a.line(b)
		for range 200 {
			if _, err := line.Call(within(t, 10*time.Second), "query", make([]byte, 5000)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A slowloris keeps no rule: it opens all the streams it can and lets bytes
// trickle. They are cut after requestTime, and other peers notice nothing.
func TestSlowlorisIsCut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, a, b, c := trio(t)
		line := a.line(b)
		var streams []*quic.Stream
		for {
			stream, err := line.conn.OpenStream()
			if err != nil {
				break
			}
			streams = append(streams, stream)
		}
		if len(streams) > maxStreams {
			t.Errorf("%d streams could be opened, at most %d may", len(streams), maxStreams)
		}
		request := append([]byte("\x05query\x00\x00\x00\x00"), binary.BigEndian.AppendUint32(nil, 1000)...)
		began := time.Now()
		var ended sync.WaitGroup
		for _, stream := range streams {
			ended.Go(func() {
				for _, b := range slices.Concat(request, make([]byte, 1000)) { // one byte every half second
					if _, err := stream.Write([]byte{b}); err != nil {
						return
					}
					time.Sleep(500 * time.Millisecond)
				}
			})
		}
		for range 20 {
			if _, err := c.line(b).Call(within(t, time.Second), "query", []byte("x")); err != nil {
				t.Errorf("another peer meanwhile: %v", err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		ended.Wait()
		if took := time.Since(began); took > requestTime+2*time.Second {
			t.Errorf("cut after %s", took)
		}
		if got := b.mesh.Stats().StreamsRefused; got != uint64(len(streams)) {
			t.Errorf("%d refused, want %d", got, len(streams))
		}
		if _, err := line.Call(within(t, time.Second), "query", nil); err != nil {
			t.Errorf("a proper call afterwards: %v", err)
		}
	})
}

// A caller that never fetches its answers holds its own share only.
func TestAnswersThatNobodyFetches(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := newEther(time.Millisecond)
		a, b, c := e.place(t, "a", "10.0.0.1:1"), e.place(t, "b", "10.0.0.2:1"), e.place(t, "c", "10.0.0.3:1")
		mesh, err := New(b.options(a.quiet(), c.quiet()))
		if err != nil {
			t.Fatal(err)
		}
		b.run(mesh, map[Kind]Handler{"query": func(context.Context, Incoming) ([]byte, error) { return make([]byte, maxQueryResponse), nil }})
		a.start(b.pin())
		c.start(b.pin())
		line := a.line(b)
		for range maxStreams {
			stream, err := line.conn.OpenStream()
			if err != nil {
				break
			}
			_, _ = stream.Write(appendHead(nil, head{kind: "query"}))
			_ = stream.Close()
		}
		got, err := c.line(b).Call(within(t, 10*time.Second), "query", nil)
		if err != nil || len(got) != maxQueryResponse {
			t.Errorf("another peer meanwhile: %d bytes, %v", len(got), err)
		}
		began := time.Now()
		eventually(t, "the answers are given up", func() bool { return mesh.Stats().StreamsRefused > 0 && len(mesh.peerFor(a.id).slots) == 0 })
		if took := time.Since(began); took > 2*responseTime {
			t.Errorf("given up after %s", took)
		}
	})
}

// Connections of a pinned peer that never says hello are few and end.
func TestConnectionsWithoutHello(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := newEther(time.Millisecond)
		a, b := e.place(t, "a", "10.0.0.1:1"), e.place(t, "b", "10.0.0.2:1")
		b.start(a.quiet())
		cert, err := certificate(a.key)
		if err != nil {
			t.Fatal(err)
		}
		transport := &quic.Transport{Conn: a.sock}
		t.Cleanup(func() { transport.Close(); a.sock.Close() })
		closes := map[quic.ApplicationErrorCode]int{}
		var conns []*quic.Conn
		for range maxPending + 3 {
			conn, err := transport.Dial(within(t, time.Second), b.sock.LocalAddr(), dialTLS(cert, b.id, nil), quicConfig())
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, conn)
		}
		began := time.Now()
		for _, conn := range conns {
			<-conn.Context().Done()
			var closed *quic.ApplicationError
			if !errors.As(context.Cause(conn.Context()), &closed) {
				t.Fatalf("ended with %v", context.Cause(conn.Context()))
			}
			closes[closed.ErrorCode]++
		}
		if closes[closeTooMany] != 3 || closes[closeBadHello] != maxPending || time.Since(began) > helloTime+time.Second {
			t.Errorf("codes %v after %s", closes, time.Since(began))
		}
		if _, err := b.mesh.Line(a.id); !errors.Is(err, ErrUnreachable) {
			t.Errorf("connected is not admitted, but Line gives %v", err)
		}
	})
}

// The newest connection of a direction takes the place of the one before: its
// own side has given that one up.
func TestASecondConnectionReplacesTheFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := newEther(time.Millisecond)
		a, b := e.place(t, "a", "10.0.0.1:1"), e.place(t, "b", "10.0.0.2:1")
		b.start(a.quiet())
		mesh, err := New(a.options(b.quiet()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { mesh.transport.Close(); a.sock.Close() })
		connect := func() *quic.Conn {
			ctx := within(t, time.Second)
			conn, err := mesh.transport.Dial(ctx, b.sock.LocalAddr(), dialTLS(mesh.cert, b.id, nil), quicConfig())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := mesh.helloTo(ctx, conn, true); err != nil {
				t.Fatal(err)
			}
			return conn
		}
		first := connect()
		old := b.line(a)
		second := connect()
		<-first.Context().Done()
		var closed *quic.ApplicationError
		if err := context.Cause(first.Context()); !errors.As(err, &closed) || closed.ErrorCode != closeReplaced {
			t.Errorf("the first ended with %v", err)
		}
		if now := b.line(a); now == old || second.Context().Err() != nil {
			t.Error("the second is not the one in use")
		}
	})
}

// Nobody is dialled more often than the back-off allows, however long he is away.
func TestAttemptsBecomeRareAndNeverEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := newEther(time.Millisecond)
		a, b := e.place(t, "a", "10.0.0.1:1"), e.place(t, "b", "10.0.0.2:1")
		a.start(b.pin()) // b's socket is open, but nobody answers
		time.Sleep(time.Hour)
		first := a.mesh.Stats().Dials
		time.Sleep(time.Hour)
		perHour := a.mesh.Stats().Dials - first
		if perHour < 3600/uint64((lastBackoff+2*handshakeTime).Seconds()) || perHour > 3600/uint64((lastBackoff/2).Seconds()) {
			t.Errorf("%d attempts an hour", perHour)
		}
		b.start(a.quiet())
		a.ask(b)
	})
}

// Both sides dial at once, and both connections may live; calls go over the
// newest, and neither side dials again.
func TestBothDialAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := newEther(20 * time.Millisecond)
		a, b := e.place(t, "a", "10.0.0.1:1"), e.place(t, "b", "10.0.0.2:1")
		a.start(b.pin())
		b.start(a.pin())
		a.ask(b)
		b.ask(a)
		time.Sleep(time.Hour)
		for _, s := range []*site{a, b} {
			if st := s.mesh.Stats(); st.Dials != 1 || st.Connections > 2 || st.ConnectionsLost > 0 {
				t.Errorf("%s: %+v", s.name, st)
			}
		}
	})
}

func TestDatagramsWaitForTheConnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := newEther(20 * time.Millisecond)
		a, b := e.place(t, "a", "10.0.0.1:1"), e.place(t, "b", "10.0.0.2:1")
		a.start(b.pin())
		time.Sleep(time.Second)
		for i := range maxQueued + 10 {
			if err := a.mesh.SendDatagram(b.id, []byte{byte(i)}); err != nil {
				t.Fatal(err)
			}
		}
		b.start(a.pin())
		seen := make(map[byte]bool) // in any order: there may be two connections
		for len(seen) < maxQueued {
			from, got, err := b.mesh.Receive(within(t, 30*time.Second))
			if err != nil || from != a.id || len(got) != 1 || got[0] < 10 || seen[got[0]] {
				t.Fatalf("after %d datagrams: %v from %s, %v", len(seen), got, from.Short(), err)
			}
			seen[got[0]] = true
		}
		if got := a.mesh.Stats().DatagramsDropped; got != 10 {
			t.Errorf("%d dropped, want 10", got)
		}
	})
}

func TestOldDatagramsAreDropped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := newEther(20 * time.Millisecond)
		a, b := e.place(t, "a", "10.0.0.1:1"), e.place(t, "b", "10.0.0.2:1")
		a.start(b.pin())
		_ = a.mesh.SendDatagram(b.id, []byte("stale"))
		time.Sleep(queueTime + time.Second)
		_ = a.mesh.SendDatagram(b.id, []byte("fresh"))
		b.start(a.pin())
		if _, got, err := b.mesh.Receive(within(t, time.Minute)); err != nil || string(got) != "fresh" {
			t.Errorf("%q, %v", got, err)
		}
	})
}

func TestDatagramsThatCannotBeSent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, a, b, _ := trio(t)
		if err := a.mesh.SendDatagram(b.id, make([]byte, maxDatagram+1)); !errors.Is(err, ErrTooLarge) {
			t.Errorf("too large: %v", err)
		}
		if err := a.mesh.SendDatagram("nobody", nil); !errors.Is(err, ErrNotPinned) {
			t.Errorf("to nobody: %v", err)
		}
		if err := a.mesh.SendDatagram(b.id, make([]byte, maxDatagram)); err != nil {
			t.Fatal(err)
		}
		if _, got, err := b.mesh.Receive(within(t, time.Second)); err != nil || len(got) != maxDatagram {
			t.Errorf("the largest: %d bytes, %v", len(got), err)
		}
	})
}

func TestGossipStreams(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, a, b, _ := trio(t)
		for range 20 { // more than may be open at once: places come free
			mine, err := a.mesh.OpenStream(within(t, time.Second), b.id)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := mine.Write([]byte("state of a")); err != nil {
				t.Fatal(err)
			}
			from, theirs, err := b.mesh.AcceptStream(within(t, time.Second))
			if err != nil || from != a.id || theirs.RemoteAddr().String() != string(a.id) {
				t.Fatalf("from %s: %v", from, err)
			}
			got := make([]byte, 10)
			if _, err := io.ReadFull(theirs, got); err != nil || string(got) != "state of a" {
				t.Fatalf("%q, %v", got, err)
			}
			if _, err := theirs.Write([]byte("state of b")); err != nil {
				t.Fatal(err)
			}
			_ = theirs.Close()
			_ = theirs.Close()
			if got, err := io.ReadAll(mine); err != nil || string(got) != "state of b" {
				t.Fatalf("%q, %v", got, err)
			}
			_ = mine.Close()
		}
		if _, err := a.mesh.OpenStream(within(t, time.Second), "nobody"); !errors.Is(err, ErrNotPinned) {
			t.Errorf("to nobody: %v", err)
		}
	})
}

// Gossip streams that nobody closes, or nobody takes, end by themselves.
func TestForgottenGossipStreams(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, a, b, _ := trio(t)
		limit := boundsOf(kindGossip).calls
		for range limit {
			if _, err := a.mesh.OpenStream(within(t, time.Second), b.id); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := a.mesh.OpenStream(within(t, time.Second), b.id); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("one too many: %v", err)
		}
		if _, err := a.mesh.OpenStream(within(t, 2*gossipStreamTime), b.id); err != nil {
			t.Errorf("after the others' time: %v", err)
		}
		if _, err := a.line(b).Call(within(t, time.Second), "query", nil); err != nil {
			t.Errorf("a call meanwhile: %v", err)
		}
	})
}

// Stopping with everything in flight: Run ends, peers notice at once.
func TestStoppingIsNoticedAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, a, b, c := trio(t)
		stream, err := a.mesh.OpenStream(within(t, time.Second), b.id)
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
		time.Sleep(time.Second)
		began := time.Now()
		b.cancel()
		eventually(t, "a notices", func() bool { _, err := a.mesh.Line(b.id); return err != nil })
		if took := time.Since(began); took > time.Second {
			t.Errorf("noticed after %s", took)
		}
		a.ask(c)
	})
}

// A handler that outlasts the stop is told through its context.
func TestStoppingCutsHandlersThatDoNotEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := newEther(time.Millisecond)
		a, b := e.place(t, "a", "10.0.0.1:1"), e.place(t, "b", "10.0.0.2:1")
		began := make(chan struct{})
		mesh, err := New(b.options(a.quiet()))
		if err != nil {
			t.Fatal(err)
		}
		b.run(mesh, map[Kind]Handler{"query": func(ctx context.Context, _ Incoming) ([]byte, error) {
			close(began)
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		a.start(b.pin())
		ended := make(chan error, 1)
		line := a.line(b)
		go func() {
			_, err := line.Call(context.Background(), "query", nil)
			ended <- err
		}()
		<-began
		stopping := time.Now()
		b.stop()
		if took := time.Since(stopping); took < drainTime || took > drainTime+time.Second {
			t.Errorf("stopped after %s", took)
		}
		if err := <-ended; !errors.Is(err, ErrUnreachable) {
			t.Errorf("the call: %v", err)
		}
	})
}

// The time that a request may take to arrive does not run while it is answered: an
// answer that takes longer arrives whole.
func TestASlowAnswerArrives(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := newEther(20 * time.Millisecond)
		a, b := e.place(t, "a", "10.0.0.1:1"), e.place(t, "b", "10.0.0.2:1")
		mesh, err := New(b.options(a.quiet()))
		if err != nil {
			t.Fatal(err)
		}
		b.run(mesh, map[Kind]Handler{"query": func(_ context.Context, in Incoming) ([]byte, error) {
			time.Sleep(requestTime + 2*time.Second)
			return bytes.Repeat([]byte{'a'}, 60_000), nil
		}})
		a.start(b.pin())
		for _, size := range []int{100, 5_000, 13_000, 100_000} {
			response, err := a.line(b).Call(within(t, 25*time.Second), "query", make([]byte, size))
			if err != nil || len(response) != 60_000 {
				t.Errorf("a question of %d bytes: %d bytes, %v", size, len(response), err)
			}
		}
	})
}
