package oidc

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/bearer"
	"github.com/candignode/candignode/trust/discovery"
)

// Rows 68, 82 and 94, V054: whatever a provider answers that is not what was asked
// for is an error of the right kind, quotes nothing, and is asked for once (row 83).
func TestMisbehaviour(t *testing.T) {
	echo := func(code int, media string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", media)
			w.WriteHeader(code)
			fmt.Fprintf(w, `{"error":"at.%s","error_description":"%s"}`, secret, secret)
		}
	}
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		kind   error
		text   string
	}{
		"400":             {echo(400, mediaJSON), bearer.ErrRefused, "400"},
		"401":             {echo(401, mediaJSON), bearer.ErrRefused, "401"},
		"403":             {echo(403, "text/plain"), bearer.ErrRefused, "403"},
		"404":             {echo(404, mediaJSON), bearer.ErrUnavailable, "404"},
		"429":             {status(429, "Retry-After: 120", secret), bearer.ErrUnavailable, "429"},
		"500":             {echo(500, "text/html"), bearer.ErrUnavailable, "500"},
		"503":             {status(503, "Retry-After: Thu, 01 Jan 2026 12:02:00 GMT", ""), bearer.ErrUnavailable, "503"},
		"204":             {status(204, "", ""), bearer.ErrUnavailable, "204"},
		"named":           {status(400, "Content-Type: application/json", `{"error":"invalid_grant","error_description":"`+secret+`"}`), bearer.ErrRefused, "invalid_grant"},
		"client":          {status(401, "Content-Type: application/json", `{"error":"invalid_client"}`), bearer.ErrUnavailable, "client id"},
		"target":          {status(400, "Content-Type: application/json", `{"error":"invalid_target"}`), bearer.ErrNoWay, "invalid_target"},
		"challenge":       {status(401, `WWW-Authenticate: Bearer realm="`+secret+`", error="invalid_token"`, ""), bearer.ErrRefused, "invalid_token"},
		"busy with 400":   {status(400, "", `{"error":"temporarily_unavailable"}`), bearer.ErrUnavailable, "temporarily_unavailable"},
		"own code":        {status(400, "", `{"error":"`+secret+`"}`), bearer.ErrRefused, "400"},
		"web page":        {says("text/html; charset=utf-8", "<html>"+secret+"</html>"), bearer.ErrUnavailable, "login page"},
		"text":            {says("text/plain", exchanged), bearer.ErrUnavailable, "application/j"},
		"no media type":   {says("", "\x00"), bearer.ErrUnavailable, "application/j"},
		"form":            {says(mediaForm, "access_token="+secret), bearer.ErrUnavailable, "application/j"},
		"redirect":        {status(302, "Location: /elsewhere", ""), bearer.ErrUnavailable, "redirects are never followed"},
		"keeping method":  {status(308, "Location: /elsewhere", ""), bearer.ErrUnavailable, "redirects are never followed"},
		"without address": {status(307, "", ""), bearer.ErrUnavailable, "redirects are never followed"},
	} {
		for which, op := range operations() {
			t.Run(name+"/"+which, func(t *testing.T) {
				p := newIDP(t)
				p.on(op.path, test.answer)
				provider := p.provider(t)
				provider.o.Now = func() time.Time { return fixed }
				err := op.do(provider, t.Context(), p.policy())
				if !errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.text) || !strings.Contains(err.Error(), p.URL) {
					t.Errorf("error %v; want %v that says %q and names the issuer", err, test.kind, test.text)
				}
				silent(t, err)
				if seen := p.seen(); len(seen) != 1 {
					t.Errorf("%d requests, want one", len(seen))
				}
				if own, _ := errors.AsType[*Error](err); (name == "429" || name == "503") && own.RetryAfter != 2*time.Minute {
					t.Errorf("Retry-After is %s", own.RetryAfter)
				}
			})
		}
	}
}

// A good answer of each kind is taken, and a bad one is not for the test's own sake.
func TestGoodAnswers(t *testing.T) {
	for which, op := range operations() {
		p := newIDP(t)
		p.on(op.path, says(op.media+"; charset=utf-8", op.good))
		if err := op.do(p.provider(t), t.Context(), p.policy()); err != nil {
			t.Errorf("%s: %v", which, err)
		}
	}
}

// Row 94: size and time are bounded, and compressed answers are not unpacked.
func TestBoundedAnswers(t *testing.T) {
	for which, op := range operations() {
		t.Run(which, func(t *testing.T) {
			p := newIDP(t)
			var sent int
			p.on(op.path, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", op.media)
				block := bytes.Repeat([]byte(" "), 1<<20)
				for range 50 {
					n, err := w.Write(block)
					sent += n
					if err != nil {
						return
					}
				}
			})
			err := op.do(p.provider(t), t.Context(), p.policy())
			if !errors.Is(err, bearer.ErrUnavailable) || !strings.Contains(err.Error(), "too long") {
				t.Errorf("50 MB: %v", err)
			}
			p.CloseClientConnections()
			p.on(op.path, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", op.media)
				w.Header().Set("Content-Encoding", "gzip")
				z := gzip.NewWriter(w)
				io.WriteString(z, op.good)
				z.Close()
			})
			client, _ := p.clientOf(trust.IssuerPolicy{})
			client.Transport.(*http.Transport).DisableCompression = true
			if err := op.do(p.provider(t), t.Context(), p.policy()); !errors.Is(err, bearer.ErrUnavailable) {
				t.Errorf("compressed: %v", err)
			}
			p.on(op.path, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", op.media)
				w.Header().Set("Content-Length", "1000")
				io.WriteString(w, op.good)
			})
			if err := op.do(p.provider(t), t.Context(), p.policy()); !errors.Is(err, bearer.ErrUnavailable) || !strings.Contains(err.Error(), "breaks off") {
				t.Errorf("cut off: %v", err)
			}
		})
	}
}

// Row 94: a server that trickles does not hold anybody longer than they allow.
func TestSlowBody(t *testing.T) {
	p := newIDP(t)
	for which, op := range operations() {
		p.on(op.path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", op.media)
			for {
				if _, err := io.WriteString(w, " "); err != nil {
					return
				}
				w.(http.Flusher).Flush()
				select {
				case <-r.Context().Done():
					return
				case <-time.After(5 * time.Millisecond):
				}
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		err := op.do(p.provider(t), ctx, p.policy())
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, bearer.ErrUnavailable) {
			t.Errorf("%s: %v", which, err)
		}
	}
}

// listening is a host that a token must never reach.
func listening(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s arrived elsewhere, with %d bytes of authorization", r.Method, r.URL.Path, len(r.Header.Get("Authorization")))
	}))
	t.Cleanup(s.Close)
	return s
}

// Row 87, V094: a redirect to another host, or on the same one, is not followed by a
// token, whatever the HTTP client that was handed in would do.
func TestRedirectsKeepTokensHere(t *testing.T) {
	elsewhere := listening(t)
	for which, op := range operations() {
		for _, code := range []int{301, 302, 303, 307, 308} {
			p := newIDP(t)
			p.on("/elsewhere", func(http.ResponseWriter, *http.Request) { t.Errorf("%s: followed on the same host", which) })
			var log bytes.Buffer
			for _, to := range []string{elsewhere.URL + "/userinfo", "/elsewhere", "http://169.254.169.254/"} {
				p.on(op.path, status(code, "Location: "+to, ""))
				provider := p.provider(t)
				provider.o.Log = slog.New(slog.NewTextHandler(&log, nil))
				client := p.Client()
				client.CheckRedirect = nil // would follow
				err := op.do(provider, t.Context(), p.policy())
				silent(t, err)
				if !errors.Is(err, bearer.ErrUnavailable) {
					t.Errorf("%s, %d to %s: %v", which, code, to, err)
				}
			}
			if !strings.Contains(log.String(), "redirects a request") || strings.Contains(log.String(), secret) {
				t.Errorf("the log says %s", log.String())
			}
		}
	}
}

// Row 87, V094: with the guarded client of trust/discovery nothing reaches loopback,
// link-local or metadata addresses, nor a name that resolves to one.
func TestPrivateAddresses(t *testing.T) {
	elsewhere := listening(t)
	port := elsewhere.URL[strings.LastIndex(elsewhere.URL, ":"):]
	fetcher := discovery.New()
	provider, err := New(Options{
		Client:    fetcher.Client,
		Endpoints: func(_ context.Context, i trust.IssuerPolicy) (trust.Endpoints, error) { return i.Endpoints, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	p := newIDP(t)
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "[fe80::1]", "0.0.0.0", "10.0.0.1"} {
		base := "https://" + host + port
		policy := p.policy()
		policy.Issuer = "https://issuer.example.org"
		policy.Endpoints = trust.Endpoints{Token: base + "/token", UserInfo: base + "/userinfo", Introspection: base + "/introspect"}
		policy.Claims.Endpoints = []string{base + "/claims"}
		for which, op := range operations() {
			err := op.do(provider, t.Context(), policy)
			if !errors.Is(err, discovery.ErrAddress) || !errors.Is(err, bearer.ErrUnavailable) {
				t.Errorf("%s at %s: %v", which, host, err)
			}
			silent(t, err)
		}
	}
}

// Row 71: no endpoint but https is asked, even if discovery were to say so.
func TestOnlyHTTPS(t *testing.T) {
	p := newIDP(t, true) // plain http
	for which, op := range operations() {
		if err := op.do(p.provider(t), t.Context(), p.policy()); !errors.Is(err, bearer.ErrNoWay) {
			t.Errorf("%s: %v", which, err)
		}
	}
	if seen := p.seen(); len(seen) != 0 {
		t.Errorf("asked in the clear: %+v", seen)
	}
}

// What a server says instead of HTTP is not quoted: it could be the token.
func TestNoHTTP(t *testing.T) {
	p := newIDP(t)
	for which, op := range operations() {
		p.on(op.path, func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			io.WriteString(c, "at."+secret+"\r\n\r\n")
		})
		err := op.do(p.provider(t), t.Context(), p.policy())
		if !errors.Is(err, bearer.ErrUnavailable) {
			t.Errorf("%s: %v", which, err)
		}
		silent(t, err)
	}
}

// Certificates and sockets: the operator is told which it was.
func TestUnreachable(t *testing.T) {
	p := newIDP(t)
	untrusted := p.provider(t)
	untrusted.o.Client = func(trust.IssuerPolicy) (*http.Client, error) { return &http.Client{Transport: &http.Transport{}}, nil }
	if _, err := untrusted.UserInfo(t.Context(), p.policy(), token); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("unknown CA: %v", err)
	}
	other := p.policy()
	other.Endpoints.UserInfo = strings.Replace(other.Endpoints.UserInfo, "127.0.0.1", "localhost", 1)
	if _, err := p.provider(t).UserInfo(t.Context(), other, token); err == nil || !strings.Contains(err.Error(), "another host") {
		t.Errorf("another name: %v", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	other.Endpoints.UserInfo = "https://" + listener.Addr().String()
	listener.Close()
	if _, err := p.provider(t).UserInfo(t.Context(), other, token); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("nobody there: %v", err)
	}
	plain := newIDP(t, true)
	other.Endpoints.UserInfo = strings.Replace(plain.URL, "http:", "https:", 1)
	if _, err := p.provider(t).UserInfo(t.Context(), other, token); err == nil || !strings.Contains(err.Error(), "TLS") && !strings.Contains(err.Error(), "HTTP") {
		t.Errorf("no TLS there: %v", err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.provider(t).UserInfo(canceled, p.policy(), token); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func TestRetryAfter(t *testing.T) {
	for says, want := range map[string]time.Duration{
		"": 0, "0": 0, "5": 5 * time.Second, " 5 ": 5 * time.Second, "-1": 0, "1e3": 0, "soon": 0, "99999999999999999999": 0, "100000": maxRetryAfter,
		"Thu, 01 Jan 2026 12:00:30 GMT": 30 * time.Second, "Thu, 01 Jan 2026 11:00:00 GMT": 0, "Thu, 01 Jan 2099 12:00:00 GMT": maxRetryAfter,
	} {
		if got := retryAfter(says, fixed); got != want {
			t.Errorf("%q: %s, want %s", says, got, want)
		}
	}
}
