package idp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Serve opens the issuers below dir on a loopback port of the system's choice and
// serves them until the closer is closed.
func Serve(ctx context.Context, dir string, names ...string) (*Server, io.Closer, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	s, err := Open(dir, "https://"+listener.Addr().String(), names...)
	if err != nil {
		listener.Close()
		return nil, nil, err
	}
	web := &http.Server{
		Handler: s.Handler(), TLSConfig: s.TLSConfig(), ReadHeaderTimeout: 5 * time.Second,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
	go web.ServeTLS(listener, "", "")
	return s, web, nil
}

// HTTPClient trusts the server's certificate and follows no redirect.
func (s *Server) HTTPClient() *http.Client {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.ca)
	return &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
