package issuers

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/audit"
)

// Store keeps evidence. SaveEvidence commits the entries and the audit records
// in one transaction, durable when it returns; a nil value deletes its key.
// LoadEvidence gives every entry once.
type Store interface {
	LoadEvidence(func(key string, value []byte) error) error
	SaveEvidence(ctx context.Context, entries map[string][]byte, records ...audit.Record) error
}

// Options is all that a Desk is built from.
type Options struct {
	Site    trust.SiteName
	Node    trust.NodeID
	Key     ed25519.PrivateKey
	Network string

	Policies []trust.IssuerPolicy
	Peers    map[trust.SiteName]Peer // this site not included

	Store   Store
	Fetcher Fetcher
	Mesh    Mesh          // nil: a site without peers
	Heard   <-chan []byte // heads that gossip brings; nil: none
	Now     func() time.Time
	Poll    time.Duration // 0: DefaultPoll
	Log     *slog.Logger
}

// Peer is a site whose evidence is listened to.
type Peer struct {
	Node trust.NodeID
	// Recorded tells that the site's own root-signed record is known. Then only that says
	// which client ids are its own, whatever its node announces.
	Recorded  bool
	ClientIDs map[string][]string // by issuer
	// Site is its SiteID, and Issuers those that its record claims to be the home of.
	Site    trust.SiteID
	Issuers []string
}

// Desk decides which keys are believed. All its methods may be called at any
// time, before, while and after Run runs.
type Desk struct {
	site    trust.SiteName
	node    trust.NodeID
	key     ed25519.PrivateKey
	network string
	store   Store
	fetcher Fetcher
	mesh    Mesh
	heard   <-chan []byte
	now     func() time.Time
	poll    time.Duration
	log     *slog.Logger

	state atomic.Pointer[state]
	// turn is held by the one writer, also while the store commits. Readers
	// never take it.
	turn chan struct{}

	offered   chan []byte   // heads that came with sync requests
	kicked    chan struct{} // own records may have changed
	repoll    chan struct{} // the configured issuers changed
	firstSync chan struct{} // closed at the first sync that succeeded
	synced    sync.Once
	running   atomic.Bool
	speaking  atomic.Bool // from the first own head on
	ownRate   *rate.Limiter
	life      context.Context // of fetches that outlive who asked for them
	end       context.CancelFunc
	flying    sync.WaitGroup

	errands errands
	limits  limits
	flights flights
	clock   clockSuspects
	stats   counters
	asked   sync.Map // peer's NodeID: this site's own epoch when the peer was last asked for its word
}

// New makes a desk from what the store holds. It starts nothing: View works at
// once, Run does the rest.
func New(o Options) (*Desk, error) {
	d := &Desk{
		site: o.Site, node: o.Node, key: o.Key, network: o.Network,
		store: o.Store, fetcher: o.Fetcher, mesh: o.Mesh, heard: o.Heard,
		now: o.Now, poll: o.Poll, log: o.Log,
		turn: make(chan struct{}, 1), offered: make(chan []byte, 64),
		kicked: make(chan struct{}, 1), repoll: make(chan struct{}, 1), firstSync: make(chan struct{}),
	}
	if d.store == nil || d.fetcher == nil {
		return nil, errors.New("the issuers desk needs a store and a fetcher")
	}
	// A site alone runs the same code: there are no branches for it elsewhere.
	if d.mesh == nil {
		d.mesh = alone{}
	}
	if d.now == nil {
		d.now = time.Now
	}
	if d.poll <= 0 {
		d.poll = DefaultPoll
	}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	if err := d.checkIdentity(); err != nil {
		return nil, err
	}
	d.errands.wake, d.ownRate = make(chan struct{}, pullers), newOwnRate()
	d.life, d.end = context.WithCancel(context.Background())
	now := d.now()
	// Starting is a step like any other: what is believed now is compared with what the
	// audit log last heard, so keys that went stale while the node was off are recorded.
	next := (&state{}).draft(now)
	next.authors, next.fetches = map[trust.SiteName]*author{}, map[string]fetchState{}
	next.withheld = map[string]map[string]bool{}
	next.accepted = map[string]accepted{}
	next.blobs = map[trust.Digest][]byte{}
	self := pin{d.network, d.site, d.node}
	next.self = self
	if err := d.store.LoadEvidence(func(key string, value []byte) error {
		// A store may lend its bytes for the call only.
		return next.load(key, bytes.Clone(value), self)
	}); err != nil {
		return nil, fmt.Errorf("issuers: %w", err)
	}
	if err := d.configure(next, o.Policies, o.Peers); err != nil {
		return nil, err
	}
	if err := d.resealTombs(next); err != nil {
		return nil, err
	}
	next.settle(d.site)
	if err := d.store.SaveEvidence(context.Background(), next.save, next.records...); err != nil {
		return nil, fmt.Errorf("issuers: writing what is believed at the start: %w", err)
	}
	d.state.Store(next.state)
	return d, nil
}

// checkIdentity refuses what would sign heads that no peer takes.
func (d *Desk) checkIdentity() error {
	public, ok := d.key.Public().(ed25519.PublicKey)
	if len(d.key) != ed25519.PrivateKeySize || !ok {
		return errors.New("issuers: the node key is not an Ed25519 key")
	}
	if id, err := trust.NodeIDOf(public); err != nil || id != d.node {
		return fmt.Errorf("issuers: the node key is not that of node %s", d.node.Short())
	}
	if _, err := trust.ParseSiteName(string(d.site)); err != nil {
		return fmt.Errorf("issuers: %w", err)
	}
	return nil
}

// Reconfigure replaces policies and peers. When it returns, the next View has
// nothing of an issuer that was removed, and a removed peer weighs nothing. On an
// error all stays as it was.
func (d *Desk) Reconfigure(policies []trust.IssuerPolicy, peers map[trust.SiteName]Peer) error {
	err := d.step(context.Background(), func(next *draft) error { return d.configure(next, policies, peers) }, false)
	if err == nil {
		d.kick()
		select {
		case d.repoll <- struct{}{}:
		default:
		}
	}
	return err
}

// configure puts the operator's word into a draft, or says what is wrong with it.
func (d *Desk) configure(next *draft, policies []trust.IssuerPolicy, peers map[trust.SiteName]Peer) error {
	next.policies = make(map[string]trust.IssuerPolicy, len(policies))
	next.pinned = map[string][]trust.Key{}
	for _, p := range policies {
		if p.Issuer == "" {
			return errors.New("an issuer without a name is configured")
		}
		if _, twice := next.policies[p.Issuer]; twice {
			return fmt.Errorf("issuer %.200q is configured twice", p.Issuer)
		}
		next.policies[p.Issuer] = p
		if p.Mode == trust.ModeManual {
			keys, _, err := KeysOf(p, []Document{{Address: "the pinned key set", Body: p.ManualJWKS}})
			if err != nil {
				return fmt.Errorf("issuer %.200q, mode manual: %w", p.Issuer, err)
			}
			next.pinned[p.Issuer] = keys
		}
	}
	next.peers = make(map[trust.SiteName]trust.NodeID, len(peers))
	next.recorded = make(map[trust.SiteName]map[string][]string, len(peers))
	next.homes, next.ids = map[trust.SiteName][]string{}, map[trust.SiteName]trust.SiteID{}
	// Gossip names nodes and configuration names sites: a NodeID that stood for two sites
	// would let one key vote twice.
	next.sites = make(map[trust.NodeID]trust.SiteName, len(peers))
	// A site that were its own peer would be its own witness.
	for site, p := range peers {
		node := p.Node
		next.peers[site] = node
		if p.Recorded {
			next.recorded[site], next.homes[site], next.ids[site] = p.ClientIDs, p.Issuers, p.Site
		}
		if site == d.site || node == d.node {
			return fmt.Errorf("peer %.70q is this site itself, by name or by NodeID", site)
		}
		if other, twice := next.sites[node]; twice {
			return fmt.Errorf("peers %.70q and %.70q have the same NodeID", site, other)
		}
		next.sites[node] = site
	}
	// What was fetched is kept as documents, so the keys follow the policy of now: a
	// waiver that was taken back, or a set that is not listed any more, acts at once.
	for issuer, f := range next.fetches {
		p, ok := next.policies[issuer]
		if !ok || !fetches(p) {
			delete(next.fetches, issuer)
			next.save[keyFetch+issuer] = nil
			delete(next.withheld, issuer)
			continue
		}
		if err := f.rekey(p); err != nil {
			f.err = fmt.Sprintf("what is held of it is not usable: %v", err)
		}
		next.fetches[issuer] = f
	}
	// The site record is tried here, with the longest counters, so that the operator
	// hears of it now and publishing cannot fail for its size.
	public, err := sealSite(pin{d.network, d.site, d.node}, d.key, announcedIDs(next.policies), maxCounter, maxCounter, next.now)
	if err != nil {
		return fmt.Errorf("this site's record: %w", err)
	}
	if len(public) > MaxSiteRecordBytes {
		return fmt.Errorf("this site's client ids make a record of %d bytes; at most %d are taken: announce fewer", len(public), MaxSiteRecordBytes)
	}
	for issuer, ids := range announcedIDs(next.policies) {
		if len(ids) > maxClientIDs || slices.ContainsFunc(ids, func(id string) bool { return id == "" || len(id) > maxClientIDBytes }) {
			return fmt.Errorf("issuer %.200q: at most %d client ids of 1 to %d bytes", issuer, maxClientIDs, maxClientIDBytes)
		}
	}
	return nil
}

// View gives the newest picture of what is believed. It is immutable.
func (d *Desk) View() *trust.View { return d.state.Load().view }

// kick tells Run that this site's own records may have changed.
func (d *Desk) kick() {
	select {
	case d.kicked <- struct{}{}:
	default:
	}
}

// alone is the mesh of a site without peers.
type alone struct{}

func (alone) Broadcast([]byte)          {}
func (alone) Connected() []trust.NodeID { return nil }
func (alone) Call(context.Context, trust.NodeID, []byte) ([]byte, error) {
	return nil, errors.New("this site has no peers")
}
