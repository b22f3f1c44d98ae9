// Package node is the daemon put together: the one room where configuration,
// state, trust, policy, data, peers and doors are plugged into each other.
//
// Everything is built forward (New), started after that (Run), and stopped
// backward. Nobody is told about a neighbour after being built; what changes at
// run time (datasets, policy, peers, issuers) is swapped whole by Reload.
package node

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/candignode/candignode/federation"
	"github.com/candignode/candignode/federation/gossip"
	"github.com/candignode/candignode/federation/wire"
	"github.com/candignode/candignode/node/config"
	"github.com/candignode/candignode/node/session"
	"github.com/candignode/candignode/query/local"
	"github.com/candignode/candignode/store"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/audit"
	"github.com/candignode/candignode/trust/bearer"
	"github.com/candignode/candignode/trust/broker"
	"github.com/candignode/candignode/trust/dac"
	"github.com/candignode/candignode/trust/discovery"
	"github.com/candignode/candignode/trust/issuers"
	"github.com/candignode/candignode/trust/members"
	"github.com/candignode/candignode/trust/oidc"
	"github.com/candignode/candignode/trust/passport"
	"github.com/candignode/candignode/trust/polling"
	"github.com/candignode/candignode/trust/proof"
)

// Version is the software's version, shown to peers and in /service-info.
const Version = "0.1.0"

// Sockets come from outside, so that tests, the demo and systemd can hand them
// in. New takes them over: Run closes them, and so does a New that fails.
type Sockets struct {
	Peers net.PacketConn // the one UDP port of the federation
	API   net.Listener   // researchers; TLS is laid over it as configured
	Admin net.Listener   // the operator's unix socket
	// Metrics is an optional extra listener for /metrics; nil: admin socket only.
	Metrics net.Listener
}

// Options is what New needs.
type Options struct {
	Config  *config.Config
	Sockets Sockets
	Log     *slog.Logger
	Level   *slog.LevelVar // lets a reload change the level; nil: it does not
	Now     func() time.Time
	// LoadConfig reads the configuration again for a reload asked for over the
	// admin socket; nil: that reload is refused.
	LoadConfig func() (*config.Config, error)
}

// Node is one running site.
type Node struct {
	log     *slog.Logger
	level   *slog.LevelVar
	now     func() time.Time
	load    func() (*config.Config, error)
	started time.Time
	sockets Sockets
	key     ed25519.PrivateKey
	id      trust.NodeID

	network string // the NetworkID that all below were made for

	store    *store.Store
	members  *members.Desk
	mesh     *wire.Mesh
	gossip   *gossip.Gossip
	issuers  *issuers.Desk
	fetcher  *discovery.Fetcher
	passport *passport.Verifier
	provider *oidc.Provider
	polling  *polling.Desk
	bearer   *bearer.Desk
	proofs   *proof.Checker
	sessions *session.Desk  // nil: no external address, so no sessions
	dac      *dac.Desk      // nil: not a committee's site
	broker   *broker.Broker // nil: not an issuer of passports
	local    *local.Answerer
	everyone *federation.Everyone
	receiver *federation.Receiver
	needs    federation.Announced
	metrics  *metrics
	public   *http.Server
	admin    *http.Server

	// reloading serialises those who swap settings: Reload, and changes of releases.
	reloading   sync.Mutex
	settings    atomic.Pointer[settings]
	retired     retired
	certificate atomic.Pointer[tls.Certificate] // of the researchers' door; nil without TLS
	ready       atomic.Bool
}

// New builds a node and starts nothing. On an error everything it opened is
// closed again.
func New(ctx context.Context, o Options) (_ *Node, err error) {
	n := &Node{log: o.Log, level: o.Level, now: o.Now, load: o.LoadConfig, sockets: o.Sockets}
	if n.now == nil {
		n.now = time.Now
	}
	n.started, n.retired.log = n.now(), n.log
	var undo cleanups
	defer func() {
		if err != nil {
			undo.run()
		}
	}()
	undo.add(n.sockets.close)

	if n.key, err = config.LoadNodeKey(o.Config.Federation.NodeKey); err != nil {
		return nil, err
	}
	if n.id, err = trust.NodeIDOf(n.key.Public()); err != nil {
		return nil, err
	}
	if n.store, err = store.Open(StatePath(o.Config), store.Options{
		MustExist: true, Now: n.now, Log: n.log, SessionsPerPerson: o.Config.Sessions.MaxPerPerson,
	}); err != nil {
		return nil, err
	}
	undo.add(func() { n.store.Close() })

	first, err := n.prepare(ctx, o.Config, nil)
	if err != nil {
		return nil, err
	}
	undo.add(first.closeSources)
	n.settings.Store(first)
	if err := n.membership(o.Config); err != nil {
		return nil, err
	}
	if err := n.connect(o.Config); err != nil {
		return nil, err
	}
	n.answer(o.Config)
	return n, n.doors(o.Config)
}

// StatePath is the state file of a site.
func StatePath(c *config.Config) string { return filepath.Join(c.DataDir, "state.db") }

// ReleasesDir is where a site's dataset releases lie.
func ReleasesDir(c *config.Config) string { return filepath.Join(c.DataDir, "datasets") }

// ID is the NodeID of this node.
func (n *Node) ID() trust.NodeID { return n.id }

// Run serves until ctx ends, then drains: it stops accepting questions, lets
// those that run come to their end for up to drainTime, and closes everything.
// It returns nil after an orderly stop.
func (n *Node) Run(ctx context.Context) error {
	defer n.close()
	if err := n.store.Record(ctx, n.lifeRecord("started")); err != nil {
		return fmt.Errorf("the start could not be recorded: %w", err)
	}
	// The wires outlive the doors: a question that is being drained still needs
	// its peers.
	wires, stopWires := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWires()
	group, gctx := errgroup.WithContext(wires)
	group.Go(func() error { return n.mesh.Run(gctx, n.handlers()) })
	group.Go(func() error { return n.gossip.Run(gctx) })
	group.Go(func() error { return n.issuers.Run(gctx) })
	group.Go(func() error { return n.members.Run(gctx) })
	group.Go(func() error { return n.followRoster(gctx) })
	group.Go(func() error { return n.polling.Run(gctx) })
	group.Go(func() error { n.sweep(gctx); return nil })
	group.Go(func() error { n.learnNeeds(gctx); return nil })
	group.Go(func() error { n.checkOwnSignatures(gctx); return nil })
	group.Go(func() error { return serve(n.public, n.sockets.API) })
	group.Go(func() error { return serve(n.admin, n.sockets.Admin) })
	if n.sockets.Metrics != nil {
		extra := &http.Server{Handler: n.metrics.handler(), ReadHeaderTimeout: headerTimeout}
		group.Go(func() error { return serve(extra, n.sockets.Metrics) })
		defer extra.Close()
	}
	n.ready.Store(true)
	n.log.Info("serving", "site", n.current().config.Site.Name, "node", n.id,
		"api", n.sockets.API.Addr().String(), "peers", n.sockets.Peers.LocalAddr().String())

	select {
	case <-ctx.Done():
	case <-gctx.Done(): // a part failed: stop the rest and say which
	}
	n.ready.Store(false)
	n.log.Info("draining")
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	err := errors.Join(n.public.Shutdown(drain), n.admin.Shutdown(drain))
	if n.sockets.Metrics != nil {
		n.sockets.Metrics.Close()
	}
	stopWires()
	if werr := group.Wait(); werr != nil && !errors.Is(werr, context.Canceled) {
		err = errors.Join(err, werr)
	}
	stopped, cancelStopped := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancelStopped()
	return errors.Join(err, n.store.Record(stopped, n.lifeRecord("stopped")))
}

func (n *Node) lifeRecord(outcome string) audit.Record {
	return audit.Record{
		Time: n.now(), Event: audit.EventNode, Outcome: outcome,
		Policy: n.current().policy.Revision(), Detail: "version " + Version,
	}
}

func (n *Node) close() {
	n.sockets.close()
	n.current().closeSources()
	n.retired.end()
	if err := n.store.Close(); err != nil {
		n.log.Error("closing the state file", "error", err)
	}
}

func serve(server *http.Server, listener net.Listener) error {
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("serving %s: %w", listener.Addr(), err)
	}
	return nil
}

func (s Sockets) close() {
	if s.Peers != nil {
		s.Peers.Close()
	}
	for _, l := range []net.Listener{s.API, s.Admin, s.Metrics} {
		if l != nil {
			l.Close()
		}
	}
}

// cleanups runs what was opened, backward.
type cleanups []func()

func (c *cleanups) add(f func()) { *c = append(*c, f) }

func (c cleanups) run() {
	for i := len(c) - 1; i >= 0; i-- {
		c[i]()
	}
}
