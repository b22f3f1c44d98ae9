package members

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/audit"
	"github.com/candignode/candignode/trust/roots"
)

// private gives the same key for the same words.
func private(words string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("members test " + words))
	return ed25519.NewKeyFromSeed(seed[:])
}

func public(words string) ed25519.PublicKey {
	k, _ := private(words).Public().(ed25519.PublicKey)
	return k
}

func nodeOf(words, addr string) roots.Node {
	k, _ := roots.KeyOf(public(words))
	return roots.Node{ID: k.ID(), Key: k, Addrs: []string{addr}}
}

// chainOf makes a site: its root keys are "NAME root" and "NAME next", its node's "NAME".
func chainOf(t testing.TB, name string, now time.Time) *roots.Chain {
	t.Helper()
	c, err := roots.Incept(roots.Record{Name: trust.SiteName(name), Nodes: []roots.Node{nodeOf(name, name+".example.org:7946")}},
		[]crypto.Signer{private(name + " root")}, []ed25519.PublicKey{public(name + " next")}, now)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// memory is a store that holds what was committed.
type memory struct {
	mu      sync.Mutex
	entries map[string][]byte
	records []audit.Record
	fail    error
}

func (m *memory) LoadEvidence(each func(string, []byte) error) error {
	m.mu.Lock()
	entries := maps.Clone(m.entries)
	m.mu.Unlock()
	for key, value := range entries {
		if err := each(key, value); err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) SaveEvidence(_ context.Context, entries map[string][]byte, records ...audit.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	for key, value := range entries {
		m.entries[key] = bytes.Clone(value)
	}
	m.records = append(m.records, records...)
	return nil
}

func (m *memory) copy() *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &memory{entries: maps.Clone(m.entries)}
}

func (m *memory) outcomes() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := map[string]int{}
	for _, r := range m.records {
		n[r.Outcome]++
	}
	return n
}

// network connects desks as their own rosters say: a line is there when both ends admit the
// other, or one of them comes with an invite.
type network struct {
	t     *testing.T
	mu    sync.Mutex
	nodes map[trust.NodeID]*member
	named map[string]*member
	cut   map[string]bool
}

type member struct {
	*Desk
	net   *network
	name  string
	key   ed25519.PrivateKey
	store *memory
	stop  context.CancelFunc
	done  chan struct{}
}

func newNetwork(t *testing.T) *network {
	return &network{t: t, nodes: map[trust.NodeID]*member{}, named: map[string]*member{}, cut: map[string]bool{}}
}

// begin makes a site that is on its own, and starts its desk.
func (n *network) begin(name string, pins ...Pin) *member {
	n.t.Helper()
	key, value, err := FirstState(chainOf(n.t, name, time.Now()), Genesis{})
	if err != nil {
		n.t.Fatal(err)
	}
	return n.start(name, name, &memory{entries: map[string][]byte{key: value}}, pins...)
}

// start runs a site's desk over a store, with the node key of some words.
func (n *network) start(name, nodeWords string, store *memory, pins ...Pin) *member {
	n.t.Helper()
	m := &member{net: n, name: name, key: private(nodeWords), store: store, done: make(chan struct{})}
	d, err := New(Options{Site: trust.SiteName(name), Key: m.key, Network: "candig", Pins: pins, Store: store, Mesh: m, Now: func() time.Time { return time.Now().Round(0) }})
	if err != nil {
		n.t.Fatal(err)
	}
	m.Desk = d
	n.mu.Lock()
	n.nodes[d.node], n.named[name] = m, m
	n.mu.Unlock()
	ctx, stop := context.WithCancel(n.t.Context())
	m.stop = stop
	go func() {
		defer close(m.done)
		if err := d.Run(ctx); err != nil {
			n.t.Error(err)
		}
	}()
	return m
}

func (m *member) halt() {
	m.stop()
	<-m.done
	m.net.mu.Lock()
	defer m.net.mu.Unlock()
	delete(m.net.nodes, m.node)
	delete(m.net.named, m.name)
}

// admits tells whether m lets a node in.
func (m *member) admits(node trust.NodeID) bool {
	return slices.ContainsFunc(m.View().Sites, func(s Site) bool { return s.Admitted && s.Node == node })
}

// dials tells whether m dials a node.
func (m *member) dials(node trust.NodeID) bool {
	i, ok := m.Inviter()
	return m.admits(node) || ok && i.Node == node
}

func (m *member) reach(to trust.NodeID) (*member, error) {
	m.net.mu.Lock()
	other := m.net.nodes[to]
	cut := other == nil || m.net.cut[m.name] || m.net.cut[other.name]
	m.net.mu.Unlock()
	if cut || !m.dials(to) {
		return nil, errors.New("no connection")
	}
	return other, nil
}

func (m *member) Connected() []trust.NodeID {
	m.net.mu.Lock()
	var all []trust.NodeID
	for id := range m.net.nodes {
		all = append(all, id)
	}
	m.net.mu.Unlock()
	slices.Sort(all)
	return slices.DeleteFunc(all, func(id trust.NodeID) bool {
		other, err := m.reach(id)
		_, joining := m.Inviter()
		return id == m.node || err != nil || !other.admits(m.node) && !(joining && other.Expects())
	})
}

func (m *member) Call(ctx context.Context, to trust.NodeID, request []byte) ([]byte, error) {
	other, err := m.reach(to)
	if err != nil {
		return nil, err
	}
	if !other.admits(m.node) {
		return nil, errors.New("refused")
	}
	if err := travel(ctx); err != nil {
		return nil, err
	}
	return other.Serve(ctx, m.node, request), nil
}

func (m *member) Join(ctx context.Context, to trust.NodeID, request []byte) ([]byte, error) {
	other, err := m.reach(to)
	if err != nil || !other.Expects() {
		return nil, errors.New("no connection")
	}
	if err := travel(ctx); err != nil {
		return nil, err
	}
	return other.ServeJoin(ctx, m.key.Public().(ed25519.PublicKey), request), nil
}

// travel is the time that a message takes.
func travel(ctx context.Context) error {
	select {
	case <-time.After(20 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sees gives the admitted sites by m's names, in order.
func (m *member) sees() string {
	var b bytes.Buffer
	for _, s := range m.View().Sites {
		if s.Admitted {
			b.WriteString(string(s.Name) + " ")
		}
	}
	return string(bytes.TrimSpace(b.Bytes()))
}

func (m *member) site(name string) Site {
	m.net.t.Helper()
	s, ok := m.View().Site(trust.SiteName(name))
	if !ok {
		m.net.t.Fatalf("%s knows no %s: %+v", m.name, name, m.View().Sites)
	}
	return s
}

func (n *network) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

// join brings a new site in by an invite of another.
func (n *network) join(newcomer, by *member) {
	n.t.Helper()
	text, err := by.Invite(n.t.Context(), newcomer.Own().ID())
	n.must(err)
	n.must(newcomer.Desk.Join(n.t.Context(), text, true))
}

func simulate(t *testing.T, test func(*testing.T)) { synctest.Test(t, test) }
