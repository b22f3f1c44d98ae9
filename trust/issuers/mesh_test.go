package issuers

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/audit"
	"github.com/candignode/candignode/trust/jose"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a store of one site. fail, if set, is asked before each write.
type memory struct {
	mu      sync.Mutex
	entries map[string][]byte
	records []audit.Record
	fail    func(entries map[string][]byte) error
	writes  int
}

func newMemory() *memory { return &memory{entries: map[string][]byte{}} }

func (m *memory) LoadEvidence(each func(string, []byte) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(m.entries)) {
		if err := each(k, m.entries[k]); err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) SaveEvidence(_ context.Context, entries map[string][]byte, records ...audit.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes++
	if m.fail != nil {
		if err := m.fail(entries); err != nil {
			return err
		}
	}
	for k, v := range entries {
		if v == nil {
			delete(m.entries, k)
		} else {
			m.entries[k] = bytes.Clone(v)
		}
	}
	m.records = append(m.records, records...)
	return nil
}

func (m *memory) setFail(f func(map[string][]byte) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = f
}

// backup gives a store with what this one holds now.
func (m *memory) backup() *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &memory{entries: maps.Clone(m.entries)}
}

// written gives how many audit records were committed.
func (m *memory) written() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.records)
}

func (m *memory) outcomes() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	count := map[string]int{}
	for _, r := range m.records {
		count[r.Outcome]++
	}
	return count
}

// jwks gives a key set of P-256 keys, one for each name, the same at each call.
var jwks = func() func(names ...string) ([]byte, []trust.Key) {
	var mu sync.Mutex
	made := map[string]*ecdsa.PrivateKey{}
	return func(names ...string) ([]byte, []trust.Key) {
		mu.Lock()
		defer mu.Unlock()
		var keys []trust.Key
		for _, n := range names {
			if made[n] == nil {
				k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
				if err != nil {
					panic(err) // no randomness, no test
				}
				made[n] = k
			}
			keys = append(keys, trust.Key{KeyID: n, Public: &made[n].PublicKey})
		}
		body, err := jose.MarshalKeySet(keys)
		if err != nil {
			panic(err)
		}
		keys, _, err = jose.ParseKeySet(body, false)
		if err != nil {
			panic(err)
		}
		return body, keys
	}
}()

// world is what issuers publish, and what each site is shown of it.
type world struct {
	mu        sync.Mutex
	published map[string][]string                    // issuer: kids
	shown     map[trust.SiteName]map[string][]string // a site that is shown something else; nil kids: it fails
	fetches   map[trust.SiteName]int
	home      trust.SiteID // that issuers name
}

func newWorld() *world {
	return &world{published: map[string][]string{}, shown: map[trust.SiteName]map[string][]string{}, fetches: map[trust.SiteName]int{}}
}

func (w *world) publish(issuer string, kids ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.published[issuer] = kids
}

// show makes one site see something else; without kids its fetches fail.
func (w *world) show(site trust.SiteName, issuer string, kids ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.shown[site] == nil {
		w.shown[site] = map[string][]string{}
	}
	w.shown[site][issuer] = kids
}

func (w *world) count(site trust.SiteName) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fetches[site]
}

// window is one site's Fetcher.
type window struct {
	*world
	site trust.SiteName
}

func (w window) Fetch(ctx context.Context, p trust.IssuerPolicy, _ Validators) (Fetched, error) {
	select {
	case <-time.After(50 * time.Millisecond):
	case <-ctx.Done():
		return Fetched{}, ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fetches[w.site]++
	kids := w.published[p.Issuer]
	if other, ok := w.shown[w.site][p.Issuer]; ok {
		kids = other
	}
	if len(kids) == 0 {
		return Fetched{}, errors.New("the issuer does not answer")
	}
	body, _ := jwks(kids...)
	f := Fetched{HomeSite: w.home, JWKSURI: p.Issuer + "/jwks", Discovery: Document{Address: p.Issuer + "/d", Body: []byte("{}")},
		Sets: []Document{{Address: p.Issuer + "/jwks", Body: body}}}
	var err error
	f.Keys, f.Rejected, err = KeysOf(p, f.Sets)
	return f, err
}

// mesh connects the desks of one test.
type mesh struct {
	mu    sync.Mutex
	nodes map[trust.NodeID]*site
	cut   map[trust.SiteName]bool
	lossy bool // gossip is lost; calls are not
}

// site is one node of a test: a desk and what it stands on.
type site struct {
	signer
	*Desk
	mesh  *mesh
	heard chan []byte
	store *memory
	stop  context.CancelFunc
	ended chan error
	shift atomic.Int64 // by how much its clock is wrong
}

// setClock makes the site's clock wrong by so much.
func (s *site) setClock(by time.Duration) { s.shift.Store(int64(by)) }

// clock is Round'ed so that it has no monotonic part: a clock that is set goes back.
func (s *site) clock() time.Time { return time.Now().Round(0).Add(time.Duration(s.shift.Load())) }

func (s *site) Broadcast(message []byte) {
	s.mesh.mu.Lock()
	defer s.mesh.mu.Unlock()
	if s.mesh.lossy {
		return
	}
	for _, other := range s.reachable() {
		heard := other.heard
		time.AfterFunc(100*time.Millisecond, func() {
			select {
			case heard <- message:
			default:
			}
		})
	}
}

// reachable gives the running sites on the same side. The caller holds the lock.
func (s *site) reachable() []*site {
	var others []*site
	if s.mesh.cut[s.signer.site] {
		return nil
	}
	for _, id := range slices.Sorted(maps.Keys(s.mesh.nodes)) {
		if o := s.mesh.nodes[id]; o != s && !s.mesh.cut[o.signer.site] {
			others = append(others, o)
		}
	}
	return others
}

func (s *site) Connected() []trust.NodeID {
	s.mesh.mu.Lock()
	defer s.mesh.mu.Unlock()
	var ids []trust.NodeID
	for _, o := range s.reachable() {
		ids = append(ids, o.signer.node)
	}
	return ids
}

func (s *site) Call(ctx context.Context, to trust.NodeID, request []byte) ([]byte, error) {
	s.mesh.mu.Lock()
	i := slices.IndexFunc(s.reachable(), func(o *site) bool { return o.signer.node == to })
	var other *site
	if i >= 0 {
		other = s.reachable()[i]
	}
	s.mesh.mu.Unlock()
	if other == nil {
		return nil, errors.New("not connected")
	}
	if len(request) > MaxSyncRequestBytes {
		return nil, errors.New("request too large")
	}
	select {
	case <-time.After(10 * time.Millisecond):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	reply := other.Desk.ServeSync(s.signer.node, request)
	if len(reply) > MaxSyncBytes {
		return nil, fmt.Errorf("a reply of %d bytes", len(reply))
	}
	return reply, nil
}

// network is a whole test network.
type network struct {
	t     *testing.T
	mesh  *mesh
	world *world
	sites map[trust.SiteName]*site
	peers map[trust.SiteName]trust.NodeID
	wrong map[trust.SiteName]time.Duration // how wrong a clock is when its site starts
}

func newNetwork(t *testing.T, names ...trust.SiteName) *network {
	n := &network{t: t, mesh: &mesh{nodes: map[trust.NodeID]*site{}, cut: map[trust.SiteName]bool{}}, world: newWorld(),
		sites: map[trust.SiteName]*site{}, peers: map[trust.SiteName]trust.NodeID{}, wrong: map[trust.SiteName]time.Duration{}}
	for _, name := range names {
		n.peers[name] = newSigner(name).node
	}
	t.Cleanup(func() {
		for _, s := range n.sites {
			s.halt(t)
		}
	})
	return n
}

func (n *network) peersOf(name trust.SiteName) map[trust.SiteName]trust.NodeID {
	peers := maps.Clone(n.peers)
	delete(peers, name)
	return peers
}

// witnessed is a policy in which every other site is a witness. Key sets need not continue
// each other: that has tests of its own.
func (n *network) witnessed(name trust.SiteName, k int) trust.IssuerPolicy {
	return trust.IssuerPolicy{Issuer: testIssuer, Kinds: []trust.Kind{trust.KindPassport}, Mode: trust.ModeDirectQuorum,
		NoContinuity: true, K: k, Witnesses: slices.Sorted(maps.Keys(n.peersOf(name)))}
}

// start runs a site from a store.
func (n *network) start(name trust.SiteName, store *memory, policies ...trust.IssuerPolicy) *site {
	n.t.Helper()
	return n.startWith(name, store, pinned(n.peersOf(name)), policies...)
}

// startWith runs a site that knows more of its peers than the operator's word.
func (n *network) startWith(name trust.SiteName, store *memory, peers map[trust.SiteName]Peer, policies ...trust.IssuerPolicy) *site {
	n.t.Helper()
	s := &site{signer: newSigner(name), mesh: n.mesh, heard: make(chan []byte, 64), store: store, ended: make(chan error, 1)}
	s.setClock(n.wrong[name])
	var err error
	s.Desk, err = New(Options{Site: name, Node: s.signer.node, Key: s.private, Network: testNetwork, Policies: policies, Peers: peers,
		Store: store, Fetcher: window{n.world, name}, Mesh: s, Heard: s.heard, Now: s.clock})
	if err != nil {
		n.t.Fatal(err)
	}
	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.Background())
	go func() { s.ended <- s.Run(ctx) }()
	n.mesh.mu.Lock()
	n.mesh.nodes[s.signer.node] = s
	n.mesh.mu.Unlock()
	n.sites[name] = s
	return s
}

func (s *site) halt(t *testing.T) {
	s.mesh.mu.Lock()
	running := s.mesh.nodes[s.signer.node] == s
	if running {
		delete(s.mesh.nodes, s.signer.node)
	}
	s.mesh.mu.Unlock()
	if s.stop == nil {
		return
	}
	s.stop()
	if err := <-s.ended; err != nil {
		t.Errorf("%s: Run ended with %v", s.signer.site, err)
	}
	s.stop = nil
}

// keys gives the kids a site believes for an issuer.
func (s *site) keys(issuer string) string {
	iv, _ := s.View().Lookup(issuer)
	var kids []string
	for _, k := range iv.Keys {
		kids = append(kids, k.KeyID)
	}
	slices.Sort(kids)
	return strings.Join(kids, " ")
}

func (s *site) alarmed(code string) bool {
	return slices.ContainsFunc(s.Alarms(), func(a Alarm) bool { return a.Code == code })
}

// everybody waits and then checks what each running site believes.
func (n *network) everybody(wait time.Duration, want string) {
	n.t.Helper()
	time.Sleep(wait)
	synctest.Wait()
	for _, name := range slices.Sorted(maps.Keys(n.sites)) {
		s := n.sites[name]
		if got := s.keys(testIssuer); s.stop != nil && got != want {
			e, _ := s.Explain(testIssuer)
			n.t.Errorf("%s believes %q, not %q: %+v", name, got, want, e)
		}
	}
}

// simulate runs a test in fake time that begins at noon's year, so that signed
// times are plausible.
func simulate(t *testing.T, test func(*testing.T)) { synctest.Test(t, test) }

// sever cuts a site off from all others, or joins it again.
func (n *network) sever(name trust.SiteName, cut bool) {
	n.mesh.mu.Lock()
	defer n.mesh.mu.Unlock()
	n.mesh.cut[name] = cut
}

// pinned are peers of which no more is known than the operator's word.
func pinned(nodes map[trust.SiteName]trust.NodeID) map[trust.SiteName]Peer {
	peers := make(map[trust.SiteName]Peer, len(nodes))
	for site, node := range nodes {
		peers[site] = Peer{Node: node}
	}
	return peers
}
