package web_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/candignode/candignode/node/web"
	"github.com/candignode/candignode/query"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func withNetwork(n web.Network) func(*web.Options) {
	return func(o *web.Options) { o.Network = n }
}

// Too many questions at once are turned away at once, and say when to come back.
func TestTooManyQuestionsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *web.Options) { o.MaxConcurrent = 2 })
		release := make(chan struct{})
		w.say = func(ctx context.Context, r query.Request) ([]query.Part, error) {
			<-release
			return yes(ctx, r)
		}
		var answered sync.WaitGroup
		for range 2 {
			answered.Go(func() {
				if a := w.send(http.MethodPost, "/beacon/g_variants", question()); a.Code != http.StatusOK {
					t.Errorf("%d %s", a.Code, a.Body)
				}
			})
		}
		synctest.Wait()
		for _, path := range []string{"/network/beacon/g_variants", "/beacon/g_variants"} {
			if a := w.send(http.MethodPost, path, question()); a.Code != http.StatusServiceUnavailable || a.Header().Get("Retry-After") == "" {
				t.Errorf("the third: %d %v", a.Code, a.Header())
			}
		}
		if a := w.send(http.MethodPost, "/v1/whoami", `{"passports":["`+alicesPassport+`"]}`); a.Code != http.StatusServiceUnavailable {
			t.Errorf("whoami: %d", a.Code)
		}
		if a := w.send(http.MethodGet, "/healthz", ""); a.Code != http.StatusOK {
			t.Errorf("healthz while busy: %d", a.Code)
		}
		close(release)
		answered.Wait()
		w.say = yes
		if a := w.send(http.MethodPost, "/beacon/g_variants", question()); a.Code != http.StatusOK {
			t.Errorf("afterwards: %d", a.Code)
		}
	})
}

// A question has its own time, and no more.
func TestAQuestionHasADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *web.Options) { o.RequestTimeout = 7 * time.Second })
		w.say = func(ctx context.Context, _ query.Request) ([]query.Part, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		start := time.Now()
		a := w.send(http.MethodPost, "/beacon/g_variants", question())
		if a.Code != http.StatusGatewayTimeout || time.Since(start) != 7*time.Second {
			t.Errorf("%d after %v", a.Code, time.Since(start))
		}
	})
}

// pipes is a listener whose connections are in memory, so that they keep the
// time of the test.
type pipes struct {
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{accept: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accept:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8443} }

func (p *pipes) dial() net.Conn {
	near, far := net.Pipe()
	p.accept <- loopback{far}
	return near
}

// loopback gives a pipe the address of this machine.
type loopback struct{ net.Conn }

func (loopback) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 40000} }

func serve(t *testing.T, h http.Handler) (*pipes, func()) {
	t.Helper()
	listener := newPipes()
	server := &http.Server{Handler: h, MaxHeaderBytes: web.MaxHeaderBytes, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	return listener, func() {
		server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}
}

// V064: a body that does not come in time ends the connection, and holds no
// place among the questions meanwhile.
func TestASlowBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *web.Options) { o.MaxConcurrent = 1 })
		listener, stop := serve(t, w)
		defer stop()
		conn := listener.dial()
		defer conn.Close()
		go io.WriteString(conn, "POST /beacon/g_variants HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
		synctest.Wait()
		if a := w.send(http.MethodPost, "/beacon/g_variants", question()); a.Code != http.StatusOK {
			t.Errorf("another question meanwhile: %d", a.Code)
		}
		start := time.Now()
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		if response.StatusCode != http.StatusRequestTimeout || !response.Close || time.Since(start) > time.Minute {
			t.Errorf("%d after %v: %s", response.StatusCode, time.Since(start), body)
		}
	})
}

// A deadline for reading the request does not end a question that is being
// answered: the server's and the body's own pass long before the answer here.
func TestALongQuestionOutlivesTheReadDeadline(t *testing.T) {
	for _, request := range []string{
		"GET /beacon/g_variants?" + snv + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /beacon/g_variants HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(question())) + "\r\n\r\n" + question(),
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, func(o *web.Options) { o.RequestTimeout = 2 * time.Minute })
			w.say = func(ctx context.Context, r query.Request) ([]query.Part, error) {
				select {
				case <-time.After(time.Minute):
					return yes(ctx, r)
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}
			listener, stop := serve(t, w)
			defer stop()
			conn := listener.dial()
			defer conn.Close()
			go io.WriteString(conn, request)
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			if response.StatusCode != http.StatusOK {
				t.Errorf("%.30q: %d", request, response.StatusCode)
			}
		})
	}
}

// V064: more than 8 KiB of header is 431, whatever stands in it.
func TestALargeHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		listener, stop := serve(t, w)
		defer stop()
		for size, want := range map[int]int{2 << 10: http.StatusUnauthorized, 9 << 10: http.StatusRequestHeaderFieldsTooLarge} {
			conn := listener.dial()
			go io.WriteString(conn, "GET /beacon/g_variants HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+strings.Repeat("a", size)+"\r\n\r\n")
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			if response.StatusCode != want {
				t.Errorf("%d bytes: %d", size, response.StatusCode)
			}
			response.Body.Close()
			conn.Close()
		}
		time.Sleep(time.Second) // net/http lingers after a 431
	})
}
