package providers

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/candignode/candignode/simulate/idp"
)

// world is what all the tests have in common: a private CA, and a committee that
// signs visas.
type world struct {
	t         *testing.T
	dir       string // of the CA and the committee
	committee *idp.Server
}

const committee = "dac"

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	server, closer, err := idp.Serve(t.Context(), w.dir, committee)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closer.Close() })
	w.committee = server
	return w
}

// in is the same world for a part of the test.
func (w *world) in(t *testing.T) *world { return &world{t: t, dir: w.dir, committee: w.committee} }

// certificate is one of the private CA for address.
func (w *world) certificate(address string) (certFile, keyFile string) {
	w.t.Helper()
	dir := w.t.TempDir()
	certFile, keyFile = filepath.Join(dir, "tls.pem"), filepath.Join(dir, "tls.key")
	if err := idp.WriteCertificate(w.dir, certFile, keyFile, address); err != nil {
		w.t.Fatal(err)
	}
	return certFile, keyFile
}

// transport believes the private CA and no other.
func (w *world) transport() *http.Transport {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(w.committee.CAPEM())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}
	w.t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// front ends TLS in front of a provider that does not speak it, as a web server in
// production does.
type front struct {
	URL string // https://host:port, no slash

	mu      sync.Mutex
	behind  string // host:port
	paths   []string
	holding map[string]func()
}

// newFront listens before what is behind it is started: a provider must be told its
// own address.
func (w *world) newFront() *front {
	w.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	f := &front{URL: "https://" + listener.Addr().String(), holding: map[string]func(){}}
	certFile, keyFile := w.certificate(f.URL)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			f.mu.Lock()
			behind := f.behind
			f.mu.Unlock()
			r.SetURL(&url.URL{Scheme: "http", Host: behind})
			r.Out.Host = r.In.Host
			r.SetXForwarded()
		},
		// The portal says domain=.127.0.0.1, which no browser takes of an address; where
		// sites have names it is right.
		ModifyResponse: func(r *http.Response) error {
			for i, cookie := range r.Header["Set-Cookie"] {
				r.Header["Set-Cookie"][i] = strings.Replace(cookie, "; domain=.127.0.0.1", "", 1)
			}
			return nil
		},
		Transport: &http.Transport{DisableKeepAlives: true},
		ErrorLog:  slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
	// Perl and PHP serve one request at a time; what waits, waits here.
	one := make(chan struct{}, 1)
	server := &http.Server{
		ReadHeaderTimeout: 5 * time.Second, ErrorLog: proxy.ErrorLog,
		Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			f.mu.Lock()
			f.paths = append(f.paths, r.URL.Path)
			hold := f.holding[r.URL.Path]
			f.mu.Unlock()
			if hold != nil {
				hold()
			}
			one <- struct{}{}
			defer func() { <-one }()
			proxy.ServeHTTP(rw, r)
		}),
	}
	go server.ServeTLS(listener, certFile, keyFile)
	w.t.Cleanup(func() { server.Close() })
	return f
}

func (f *front) put(behind string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.behind = behind
}

// before runs hold at each request for path, before the provider sees it; nil ends
// that.
func (f *front) before(path string, hold func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.holding[path] = hold; hold == nil {
		delete(f.holding, path)
	}
}

// asked counts the requests for path so far.
func (f *front) asked(path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.paths) - len(slices.DeleteFunc(slices.Clone(f.paths), func(p string) bool { return p == path }))
}

// logged is a log that a test can look into.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// until asks again until done says so.
func until(t *testing.T, what string, within time.Duration, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s did not happen within %v", what, within)
		case <-tick.C:
		}
	}
}
