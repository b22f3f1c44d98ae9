package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// pair is a caller a and a callee b whose handlers the test gives.
func pair(t testing.TB, handlers map[Kind]Handler) (a, b *site, line *Line) {
	t.Helper()
	a, b = newSite(t, "a"), newSite(t, "b")
	mesh, err := New(b.options(a.quiet()))
	if err != nil {
		t.Fatal(err)
	}
	b.run(mesh, handlers)
	a.start(b.pin())
	return a, b, a.line(b)
}

func echo(_ context.Context, in Incoming) ([]byte, error) { return in.Request, nil }

func TestCallsOfEverySize(t *testing.T) {
	_, _, line := pair(t, map[Kind]Handler{"query": echo, "sync": echo})
	for _, size := range []int{0, 1, 1000, bufferSize - 40, bufferSize, firstBody, firstBody + 1, maxSync, maxQueryRequest} {
		request := bytes.Repeat([]byte("question"), size/8+1)[:size]
		kind := Kind("query")
		if size == maxSync {
			kind = "sync"
		}
		got, err := line.Call(within(t, patience), kind, request)
		if err != nil || !bytes.Equal(got, request) {
			t.Errorf("%d bytes: %d bytes came back, %v", size, len(got), err)
		}
	}
	if _, err := line.Call(within(t, patience), "sync", make([]byte, maxSync+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a request beyond the limit: %v", err)
	}
}

func TestTheResponseHasALimitToo(t *testing.T) {
	_, _, line := pair(t, map[Kind]Handler{
		"query": func(context.Context, Incoming) ([]byte, error) { return make([]byte, maxQueryResponse), nil },
		"sync":  func(context.Context, Incoming) ([]byte, error) { return make([]byte, maxSync+1), nil },
	})
	if got, err := line.Call(within(t, patience), "query", nil); err != nil || len(got) != maxQueryResponse {
		t.Errorf("the largest response: %d bytes, %v", len(got), err)
	}
	if _, err := line.Call(within(t, patience), "sync", nil); !errors.Is(err, ErrRefused) || !errors.Is(err, ErrTooLarge) {
		t.Errorf("a response beyond the limit: %v", err)
	}
}

// What a handler says as an error stays on its own side.
func TestRefusalsTellTheCallerNothing(t *testing.T) {
	_, b, line := pair(t, map[Kind]Handler{
		"query": func(context.Context, Incoming) ([]byte, error) { return nil, errors.New("secret reason") },
		"fault": func(context.Context, Incoming) ([]byte, error) { panic("at the disco") },
	})
	for _, kind := range []Kind{"query", "fault", "nosuch"} {
		_, err := line.Call(within(t, patience), kind, []byte("x"))
		if !errors.Is(err, ErrRefused) || bytes.Contains([]byte(err.Error()), []byte("secret")) {
			t.Errorf("%s: %v, want a bare ErrRefused", kind, err)
		}
	}
	eventually(t, "three refusals are counted", func() bool { return b.mesh.Stats().StreamsRefused == 3 })
	if s := b.mesh.Stats(); s.HandlerFaults != 1 {
		t.Errorf("%d faults counted, want 1", s.HandlerFaults)
	}
	if line.conn.Context().Err() != nil {
		t.Error("a refused call ended the connection")
	}
}

func TestGivingUpReachesTheHandler(t *testing.T) {
	began, ended := make(chan struct{}), make(chan error, 1)
	_, _, line := pair(t, map[Kind]Handler{"query": func(ctx context.Context, _ Incoming) ([]byte, error) {
		close(began)
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	}})
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-began; cancel() }()
	if _, err := line.Call(ctx, "query", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Call: %v, want context.Canceled", err)
	}
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the handler's context: %v", err)
		}
	case <-time.After(patience):
		t.Fatal("the handler was never told")
	}
}

func TestTheDeadlineTravels(t *testing.T) {
	left := make(chan time.Duration, 1)
	_, _, line := pair(t, map[Kind]Handler{"query": func(ctx context.Context, _ Incoming) ([]byte, error) {
		deadline, _ := ctx.Deadline()
		left <- time.Until(deadline)
		return nil, nil
	}})
	for _, wait := range []time.Duration{2 * time.Second, 30 * time.Second, time.Hour} {
		if _, err := line.Call(within(t, wait), "query", nil); err != nil {
			t.Fatal(err)
		}
		got, want := <-left, min(wait, maxCallTime)
		if got > want || got < want-time.Second {
			t.Errorf("a caller who waits %s: the handler has %s", wait, got)
		}
	}
	if _, err := line.Call(context.Background(), "query", nil); err != nil {
		t.Fatal(err)
	}
	if got := <-left; got > maxCallTime {
		t.Errorf("a caller without a deadline: the handler has %s", got)
	}
}

func TestACallerThatVanishesEndsTheHandler(t *testing.T) {
	began, ended := make(chan struct{}), make(chan struct{})
	a, _, line := pair(t, map[Kind]Handler{"query": func(ctx context.Context, _ Incoming) ([]byte, error) {
		close(began)
		<-ctx.Done()
		close(ended)
		return nil, ctx.Err()
	}})
	go func() { _, _ = line.Call(context.Background(), "query", nil) }()
	<-began
	a.stop()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("the handler goes on for nobody")
	}
}

// raw opens a stream of the test's own on an admitted connection.
func raw(t *testing.T, line *Line, b []byte) *quic.Stream {
	t.Helper()
	stream, err := line.conn.OpenStreamSync(within(t, patience))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Write(b); err != nil {
		t.Fatal(err)
	}
	return stream
}

func TestGarbageOnAStream(t *testing.T) {
	_, _, line := pair(t, map[Kind]Handler{"query": echo})
	request := func(kind string, length uint32, body string) []byte {
		b := append([]byte{byte(len(kind))}, kind...)
		b = binary.BigEndian.AppendUint32(b, 1000)
		return append(binary.BigEndian.AppendUint32(b, length), body...)
	}
	cases := map[string]struct {
		bytes []byte
		code  quic.StreamErrorCode
	}{
		"nothing":               {nil, streamMalformed},
		"half a kind":           {[]byte{5, 'q'}, streamMalformed},
		"a kind of no length":   {[]byte{0, 0, 0}, streamMalformed},
		"a kind too long":       {append([]byte{17}, bytes.Repeat([]byte{'q'}, 17)...), streamMalformed},
		"a kind of other bytes": {[]byte("\x03a/b"), streamMalformed},
		"HTTP":                  {[]byte("GET / HTTP/1.1\r\n\r\n"), streamMalformed},
		"an unknown kind":       {request("nosuch", 0, ""), streamNoKind},
		"half a head":           {[]byte("\x05query\x00\x00"), streamMalformed},
		"too large":             {request("query", maxQueryRequest+1, "x"), streamTooLarge},
		"four gigabytes":        {request("query", 1<<32-1, "x"), streamTooLarge},
		"less than promised":    {request("query", 10, "x"), streamMalformed},
		"more than promised":    {request("query", 1, "xyz"), streamMalformed},
	}
	for name, c := range cases {
		stream := raw(t, line, c.bytes)
		_ = stream.Close() // the refusal may be here already
		_, err := io.ReadAll(stream)
		var reset *quic.StreamError
		if !errors.As(err, &reset) || reset.ErrorCode != c.code {
			t.Errorf("%s: %v, want code %d", name, err, c.code)
		}
	}
	if got, err := line.Call(within(t, patience), "query", []byte("still there")); err != nil || string(got) != "still there" {
		t.Errorf("a proper call afterwards: %q, %v", got, err)
	}
}

// A peer that answers garbage, or more than it may, gives an error.
func TestGarbageAsAResponse(t *testing.T) {
	cases := map[string][]byte{
		"nothing":        {},
		"half a length":  {0, 0},
		"four gigabytes": {255, 255, 255, 255, 1},
		"too little":     {0, 0, 0, 9, 1},
		"too much":       {0, 0, 0, 1, 1, 1},
		"much too much":  append([]byte{0, 0, 0, 0}, make([]byte, 2*bufferSize)...),
	}
	for name, response := range cases {
		a, b := newSite(t, "a"), newSite(t, "b")
		a.start(b.pin())
		b.rogue(hello{version: protocolVersion, site: "b"}, func(stream *quic.Stream) {
			_, _ = io.ReadAll(stream)
			_, _ = stream.Write(response)
			_ = stream.Close()
		})
		_, err := a.line(b).Call(within(t, patience), "query", []byte("x"))
		if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A response that is not wanted is stopped at its sender.
func TestAResponseTooLargeIsStopped(t *testing.T) {
	a, b := newSite(t, "a"), newSite(t, "b")
	a.start(b.pin())
	stopped := make(chan error, 1)
	b.rogue(hello{version: protocolVersion, site: "b"}, func(stream *quic.Stream) {
		_, _ = stream.Write([]byte{255, 255, 255, 255})
		<-stream.Context().Done()
		stopped <- context.Cause(stream.Context())
	})
	if _, err := a.line(b).Call(within(t, patience), "query", nil); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Call: %v", err)
	}
	select {
	case <-stopped:
	case <-time.After(5 * time.Second):
		t.Error("the sender is not told")
	}
}

func TestManyCallsAtOnceAreBounded(t *testing.T) {
	var mu sync.Mutex
	running, most := 0, 0
	release := make(chan struct{})
	full := make(chan struct{}, 200)
	_, _, line := pair(t, map[Kind]Handler{"query": func(context.Context, Incoming) ([]byte, error) {
		mu.Lock()
		running++
		most = max(most, running)
		mu.Unlock()
		full <- struct{}{}
		<-release
		mu.Lock()
		running--
		mu.Unlock()
		return nil, nil
	}, "sync": echo})
	var calls sync.WaitGroup
	for range 100 {
		calls.Go(func() {
			if _, err := line.Call(within(t, patience), "query", nil); err != nil {
				t.Errorf("a call that had to wait: %v", err)
			}
		})
	}
	limit := boundsOf("query").calls
	for range limit {
		<-full
	}
	// Slow questions must not hold up evidence.
	if _, err := line.Call(within(t, patience), "sync", nil); err != nil {
		t.Errorf("sync while all questions are stuck: %v", err)
	}
	close(release)
	calls.Wait()
	mu.Lock()
	defer mu.Unlock()
	if most > limit {
		t.Errorf("%d handlers ran at once, at most %d may", most, limit)
	}
}

func TestStoppingLetsHandlersFinish(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	_, b, line := pair(t, map[Kind]Handler{"query": func(context.Context, Incoming) ([]byte, error) {
		close(began)
		<-release
		return []byte("done"), nil
	}})
	answer := make(chan string, 1)
	go func() {
		got, err := line.Call(context.Background(), "query", nil)
		if err != nil {
			answer <- err.Error()
			return
		}
		answer <- string(got)
	}()
	<-began
	b.cancel()
	close(release)
	if got := <-answer; got != "done" {
		t.Errorf("the running call: %s", got)
	}
}
