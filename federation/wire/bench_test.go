package wire

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/candignode/candignode/trust"
)

// BenchmarkCallOverEcho measures a call against a bare QUIC echo of the same
// bytes over a connection of the same kind, by turns in one run, and reports
// the medians and their ratio (performance goal 1).
func BenchmarkCallOverEcho(b *testing.B) {
	for _, size := range []int{300, 3000, 12000} {
		b.Run(fmt.Sprintf("%d bytes", size), func(b *testing.B) {
			request := bytes.Repeat([]byte{'q'}, size)
			call := newCall(b)
			bare := newBareEcho(b)
			var calls, echoes []time.Duration
			b.ReportAllocs()
			for b.Loop() {
				began := time.Now()
				if _, err := call.Call(context.Background(), "query", request); err != nil {
					b.Fatal(err)
				}
				middle := time.Now()
				if err := bare(request); err != nil {
					b.Fatal(err)
				}
				calls = append(calls, middle.Sub(began))
				echoes = append(echoes, time.Since(middle))
			}
			c, e := median(calls), median(echoes)
			b.ReportMetric(float64(c.Nanoseconds()), "ns/call")
			b.ReportMetric(float64(e.Nanoseconds()), "ns/echo")
			b.ReportMetric(float64(c)/float64(e), "call/echo")
		})
	}
}

// BenchmarkCall is a call alone, for its allocations.
func BenchmarkCall(b *testing.B) {
	line := newCall(b)
	request := bytes.Repeat([]byte{'q'}, 300)
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := line.Call(ctx, "query", request); err != nil {
			b.Fatal(err)
		}
	}
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

func newCall(b *testing.B) *Line {
	a, c := newSite(b, "a"), newSite(b, "c")
	a.udp, c.udp = true, true
	a.start(c.pin())
	c.start(a.quiet())
	return a.line(c)
}

// newBareEcho is the least that QUIC can do: a stream, the bytes, the bytes back.
func newBareEcho(b *testing.B) func([]byte) error {
	b.Helper()
	here, there := keyOf("here"), keyOf("there")
	hereCert, err := certificate(here)
	if err != nil {
		b.Fatal(err)
	}
	thereCert, err := certificate(there)
	if err != nil {
		b.Fatal(err)
	}
	socket := func() net.PacketConn {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		return c
	}
	server := &quic.Transport{Conn: socket()}
	client := &quic.Transport{Conn: socket()}
	listener, err := server.Listen(listenTLS(thereCert, func(trust.NodeID) error { return nil }), quicConfig())
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		conn, err := listener.Accept(context.Background())
		if err != nil {
			return
		}
		for {
			stream, err := conn.AcceptStream(context.Background())
			if err != nil {
				return
			}
			go func() {
				body, err := io.ReadAll(stream)
				if err != nil {
					return
				}
				_, _ = stream.Write(body)
				_ = stream.Close()
			}()
		}
	}()
	conn, err := client.Dial(context.Background(), server.Conn.LocalAddr(), dialTLS(hereCert, nodeOf(b, there), func(trust.NodeID) {}), quicConfig())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = conn.CloseWithError(0, "")
		for _, t := range []*quic.Transport{client, server} {
			_ = t.Close()
			_ = t.Conn.Close()
		}
	})
	return func(request []byte) error {
		stream, err := conn.OpenStreamSync(context.Background())
		if err != nil {
			return err
		}
		if _, err := stream.Write(request); err != nil {
			return err
		}
		if err := stream.Close(); err != nil {
			return err
		}
		got, err := io.ReadAll(stream)
		if err == nil && len(got) != len(request) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
}
