package oidc

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"golang.org/x/oauth2"

	"github.com/candignode/candignode/trust/bearer"
)

const callbackPath = "/callback"

// callback is what the browser brought back: a code, or an error.
type callback struct {
	code string
	err  *Error
}

// Loopback signs a person in with the browser of this machine (RFC 8252, section
// 7.3): show is called with the address to open, and the provider sends the browser back
// to a port of 127.0.0.1 that is open for this sign-in alone. PKCE, state and, where the
// provider sends it, iss make sure that the code is of this sign-in (RFC 9700, section
// 2.1; RFC 9207; passports.md, row 112).
func (s Public) Loopback(ctx context.Context, show func(address string)) (bearer.Tokens, error) {
	f, err := s.start(ctx)
	if err != nil {
		return bearer.Tokens{}, err
	}
	e := f.endpoint("sign-in", f.all.Authorization)
	if e.address == "" {
		return bearer.Tokens{}, e.noWay("its discovery document names no authorization_endpoint")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return bearer.Tokens{}, failed(ctx, e.op, s.Issuer, err, "no port of this machine can be opened")
	}
	defer listener.Close()
	state, err := randomText(rand.Reader)
	if err != nil {
		return bearer.Tokens{}, e.noWay("this machine has no randomness")
	}
	back := make(chan callback, 1)
	server := &http.Server{
		Handler:           e.callbackHandler(listener.Addr().String(), state, back),
		ReadHeaderTimeout: maxTime, ReadTimeout: maxTime, MaxHeaderBytes: maxSmall,
	}
	stopped := make(chan struct{})
	go func() { defer close(stopped); _ = server.Serve(listener) }()
	// The browser gets its page before the port closes.
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), maxTime)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			server.Close()
		}
		<-stopped
	}()
	config := f.config("http://" + listener.Addr().String() + callbackPath)
	verifier := oauth2.GenerateVerifier()
	show(config.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier)))
	code, err := e.await(ctx, back)
	if err != nil {
		return bearer.Tokens{}, err
	}
	got, err := config.Exchange(e.strict(ctx, checkTokens), code, oauth2.VerifierOption(verifier))
	return e.outcome(ctx, got, err)
}

// await waits for the browser.
func (e endpoint) await(ctx context.Context, back <-chan callback) (string, error) {
	waiting, cancel := context.WithTimeout(ctx, maxDeviceWait)
	defer cancel()
	select {
	case got := <-back:
		if got.err != nil {
			return "", got.err
		}
		return got.code, nil
	case <-waiting.Done():
		if ctx.Err() != nil {
			return "", failed(ctx, e.op, e.issuer.Issuer, ctx.Err(), "")
		}
		return "", &Error{Op: e.op, Issuer: e.issuer.Issuer, Kind: ErrExpired, Detail: "start again"}
	}
}

// callbackHandler takes the one redirect that this sign-in waits for. Requests that
// are not it, of other programs or web pages, change nothing.
func (e endpoint) callbackHandler(host, state string, back chan<- callback) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Content-Type", "text/plain; charset=utf-8")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		q, err := url.ParseQuery(r.URL.RawQuery)
		// The Host keeps pages out whose name was pointed at this machine.
		if err != nil || r.Method != http.MethodGet || r.URL.Path != callbackPath || r.Host != host || !sameState(q, state) {
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, "Nothing is waiting for this.\n")
			return
		}
		got := e.readCallback(q)
		select {
		case back <- got:
		default: // the first one counts
		}
		if got.err != nil {
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, "The sign-in failed; the command line says why.\n")
			return
		}
		io.WriteString(w, "Signed in. This page can be closed.\n")
	})
}

func sameState(q url.Values, state string) bool {
	got := q["state"]
	return len(got) == 1 && subtle.ConstantTimeCompare([]byte(got[0]), []byte(state)) == 1
}

// readCallback reads an authorization response whose state is right (RFC 6749,
// section 4.1.2; RFC 9207, section 2.4).
func (e endpoint) readCallback(q url.Values) callback {
	bad := func(kind error, format string, args ...any) callback {
		return callback{err: &Error{Op: e.op, Issuer: e.issuer.Issuer, Kind: kind, Detail: fmt.Sprintf(format, args...)}}
	}
	for _, name := range []string{"code", "iss", "error"} {
		if len(q[name]) > 1 {
			return bad(bearer.ErrRefused, "the answer has %s twice", name)
		}
	}
	switch iss := q["iss"]; {
	case len(iss) == 1 && iss[0] != e.issuer.Issuer:
		return bad(bearer.ErrRefused, "the answer is of another issuer")
	case len(iss) == 0 && e.all.ResponseIss:
		return bad(bearer.ErrRefused, "the answer does not say whose it is, though this issuer's do (RFC 9207)")
	}
	code, denied := q.Get("code"), q.Get("error")
	switch {
	case denied != "":
		kind := bearer.ErrRefused
		if denied == "access_denied" {
			kind = ErrDenied
		}
		got := bad(kind, "")
		got.err.Code = knownCode(denied)
		return got
	case code == "" || len(code) > maxCode:
		return bad(bearer.ErrRefused, "the answer has no code that can be used")
	}
	return callback{code: code}
}
