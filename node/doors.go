package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"github.com/candignode/candignode/node/admin"
	"github.com/candignode/candignode/node/config"
	"github.com/candignode/candignode/node/web"
	"github.com/candignode/candignode/query/beacon"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/members"
)

// doors builds the researchers' door and the operator's.
func (n *Node) doors(c *config.Config) error {
	n.metrics = newMetrics(n)
	options := web.Options{
		Local:          n.local,
		Network:        counted{n.everyone, n.metrics},
		Verify:         n.verify,
		Refused:        n.refused,
		About:          n.about,
		Ready:          n.Ready,
		RequestTimeout: c.Limits.QueryTimeout, MaxConcurrent: c.Limits.ConcurrentQuestions,
		ExternalURL: c.API.ExternalURL, Issuers: func() []trust.IssuerPolicy { return n.current().config.IssuerPolicies() },
		Proofs: n.proofs, Certificates: clientAuth(c) != tls.NoClientCert, KeySet: n.published(), SiteID: n.members.View().Self.ID,
		Log: n.log.With("part", "web"), Now: n.now,
	}
	if n.sessions != nil {
		options.Sessions, options.SignIn = n.sessions, n.sessions
	}
	if n.broker != nil {
		options.Broker = passportDoor{n.broker, n}
		if n.broker.SignsIn() {
			options.Provider = n.broker
		}
	}
	if n.dac != nil {
		options.Claims = claimsDoor{n}
	}
	handler, err := web.New(options)
	if err != nil {
		return err
	}
	n.public = n.server(handler)
	n.public.MaxHeaderBytes = web.MaxHeaderBytes
	certificate, err := loadCertificate(c)
	if err != nil {
		return err
	}
	if certificate != nil {
		n.certificate.Store(certificate)
		n.sockets.API = tls.NewListener(n.sockets.API, &tls.Config{
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return n.certificate.Load(), nil },
			MinVersion:     tls.VersionTLS12, NextProtos: []string{"http/1.1"}, ClientAuth: clientAuth(c),
		})
	}
	n.admin = n.server(admin.New(admin.Options{
		Site: siteOf(c, n.id, n.members), Status: n.status, Store: n.store, Members: n.members,
		Datasets: &releases{store: n.store, config: func() *config.Config { return n.current().config }, now: n.now, changed: n.releasesChanged},
		Live: &admin.Live{
			Sites: n.mesh.Peers, Issuers: n.issuers, Reload: n.reloadFromFile, Metrics: n.metrics.handler(),
		},
		Now: n.now, Log: n.log.With("part", "admin"),
	}))
	return nil
}

// clientAuth asks for a client's certificate where tokens may be bound to one. Any
// will do: it proves the possession of its key and no name (RFC 8705, section 3).
func clientAuth(c *config.Config) tls.ClientAuthType {
	if c.API.TLS.Enabled() && c.API.TLS.ClientCertificates {
		return tls.RequestClientCert
	}
	return tls.NoClientCert
}

// loadCertificate reads the certificate of the researchers' door; nil without
// TLS. A reload reads it again: certificates are renewed under the same name.
func loadCertificate(c *config.Config) (*tls.Certificate, error) {
	if !c.API.TLS.Enabled() {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(c.API.TLS.Cert, c.API.TLS.Key)
	if err != nil {
		return nil, fmt.Errorf("api.tls: %w", err)
	}
	return &pair, nil
}

func (n *Node) server(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: headerTimeout, ReadTimeout: bodyTimeout, IdleTimeout: idleTimeout,
		ErrorLog: slog.NewLogLogger(n.log.Handler(), slog.LevelDebug),
	}
}

// ErrNoReload is returned when a reload is asked for over the admin socket of a
// node that was not started from a file.
var ErrNoReload = errors.New("this node was not started from a configuration file, so it cannot reload one")

func (n *Node) reloadFromFile(ctx context.Context) error {
	if n.load == nil {
		return ErrNoReload
	}
	c, err := n.load()
	if err != nil {
		return fmt.Errorf("%w; the running configuration is kept", err)
	}
	return n.Reload(ctx, c)
}

func siteOf(c *config.Config, id trust.NodeID, desk *members.Desk) admin.Site {
	return admin.Site{
		Site: c.Site.Name, DisplayName: c.Site.DisplayName, Node: id,
		Network: desk.View().Genesis.Name, Advertise: c.Federation.Advertise, Config: c.Path(),
		SiteID: desk.View().Self.ID, NetworkID: desk.View().Network,
	}
}

func (n *Node) status() admin.Status {
	s := n.current()
	status := admin.Status{
		Site: siteOf(s.config, n.id, n.members), Version: Version, Running: true, Started: n.started.UTC(), Ready: n.Ready() == nil,
		Datasets: len(s.sources), Policy: s.policy.Revision(), TrustRevision: n.issuers.View().Revision,
	}
	status.Audit, _ = n.store.AuditHead()
	for _, p := range n.mesh.Peers() {
		status.Peers++
		if p.Connected {
			status.PeersConnected++
		}
	}
	return status
}

// ErrNotReady is what /readyz says before Run serves and while it drains.
var ErrNotReady = errors.New("starting or stopping")

// Serving is nil between start and stop.
func (n *Node) Serving() error {
	if !n.ready.Load() {
		return ErrNotReady
	}
	return nil
}

// Ready is nil while the node can answer questions, which it can while it can
// record them. It depends on nothing that a peer or an issuer could take away.
func (n *Node) Ready() error {
	if err := n.Serving(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
	defer cancel()
	return n.store.Writable(ctx)
}

func (n *Node) about() beacon.About {
	s := n.current()
	about := beacon.About{
		Site: s.config.Site.Name, Name: s.config.Site.DisplayName,
		URL: s.config.API.ExternalURL, Version: Version,
	}
	for _, d := range s.local.Datasets {
		about.Levels = append(about.Levels, d.Level)
		if r, loaded := s.sources[d.ID]; loaded {
			about.Assemblies = append(about.Assemblies, r.release.Assembly)
			if r.release.Imported.After(about.Updated) {
				about.Updated = r.release.Imported
			}
		}
	}
	return about
}

// Settled says what a node that just started still waits for, or "" once every
// peer is connected and a key of every issuer is believed. It is for people and
// tests: a node answers before it is settled, too.
func (n *Node) Settled() string {
	if n.Ready() != nil {
		return "starting"
	}
	for _, p := range n.mesh.Peers() {
		if !p.Connected {
			return "waiting for peer " + string(p.Site)
		}
	}
	for _, i := range n.issuers.List() {
		if i.KeysBelieved == 0 {
			return "waiting for a believed key of " + i.Issuer
		}
	}
	return ""
}

// Listen opens the sockets that a configuration names. A left-over admin socket
// of a daemon that was killed is replaced; one that answers is not.
func Listen(ctx context.Context, c *config.Config) (_ Sockets, err error) {
	var s Sockets
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	var lc net.ListenConfig
	if s.Peers, err = lc.ListenPacket(ctx, "udp", c.Federation.Listen); err != nil {
		return s, fmt.Errorf("federation.listen: %w", err)
	}
	if s.API, err = lc.Listen(ctx, "tcp", c.API.Listen); err != nil {
		return s, fmt.Errorf("api.listen: %w", err)
	}
	if c.Metrics.Listen != "" {
		if s.Metrics, err = lc.Listen(ctx, "tcp", c.Metrics.Listen); err != nil {
			return s, fmt.Errorf("metrics.listen: %w", err)
		}
	}
	if s.Admin, err = ListenAdmin(ctx, c.Admin.Socket); err != nil {
		return s, fmt.Errorf("admin.socket: %w", err)
	}
	return s, nil
}
