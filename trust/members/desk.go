package members

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/audit"
	"github.com/candignode/candignode/trust/roots"
)

// Store keeps what the desk knows: the same that keeps evidence about issuers, under keys
// that begin with "members/".
type Store interface {
	LoadEvidence(func(key string, value []byte) error) error
	SaveEvidence(ctx context.Context, entries map[string][]byte, records ...audit.Record) error
}

// Mesh is how the desk reaches other nodes. Call is one request of kind "sites" to a
// connected peer, Join one of kind "join" to a node that does not know this one yet.
type Mesh interface {
	Connected() []trust.NodeID
	Call(ctx context.Context, to trust.NodeID, request []byte) ([]byte, error)
	Join(ctx context.Context, to trust.NodeID, request []byte) ([]byte, error)
}

// Options is all that a Desk is built from.
type Options struct {
	Site    trust.SiteName // what this site calls itself
	Key     ed25519.PrivateKey
	Network string // of a site that has neither founded nor joined one: the configuration's word
	Pins    []Pin
	Store   Store
	Mesh    Mesh
	Now     func() time.Time
	Log     *slog.Logger
}

// Desk keeps the roster. All its methods may be called at any time, before, while and after
// Run runs.
type Desk struct {
	o    Options
	node trust.NodeID

	state   atomic.Pointer[state]
	turn    chan struct{} // held by the one writer, also while the store commits
	news    chan struct{} // something was learnt that peers may lack
	running atomic.Bool
}

var (
	// ErrNoSite is returned for a state file without a site record.
	ErrNoSite = errors.New("the state file has no site record; make the site with 'candignode init'")
	// ErrOtherNode is returned when the node's key is not one of the site's.
	ErrOtherNode = errors.New("the node key is not one that this site's record names")
	// ErrUnknownSite is returned for a site that nothing is known of.
	ErrUnknownSite = errors.New("no such site; 'candignode sites list' shows those that are known")
	// ErrNetwork is returned for what cannot be done in the network that this site is in.
	ErrNetwork = errors.New("not in this network")
)

// New makes a desk from what the store holds. It starts nothing.
func New(o Options) (*Desk, error) {
	d := &Desk{o: o, turn: make(chan struct{}, 1), news: make(chan struct{}, 1)}
	if d.o.Now == nil {
		d.o.Now = time.Now
	}
	if d.o.Log == nil {
		d.o.Log = slog.New(slog.DiscardHandler)
	}
	public, ok := o.Key.Public().(ed25519.PublicKey)
	if !ok || o.Store == nil || o.Mesh == nil {
		return nil, errors.New("the members desk needs a node key, a store and a mesh")
	}
	var err error
	if d.node, err = trust.NodeIDOf(public); err != nil {
		return nil, err
	}
	first := &state{bound: map[trust.SiteName]trust.SiteID{}, sites: map[trust.SiteID]*site{}, invites: map[trust.SiteID]int64{}, view: &View{}}
	entries := map[string][]byte{}
	if err := o.Store.LoadEvidence(func(key string, value []byte) error {
		if key == keyOwn || len(key) > len(keySite) && key[:len(keySite)] == keySite {
			entries[key] = bytes.Clone(value)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	if err := first.load(entries); err != nil {
		return nil, err
	}
	if _, ok := first.own.Record().NodeKey(d.node); !ok {
		return nil, fmt.Errorf("%w: it names %v, and this is %s; put the key that it names in its place (node.key.new beside it, if a replacement broke off)", ErrOtherNode, first.own.Record().NodeIDs(), d.node)
	}
	next := first.draft(d.o.Now())
	if next.genesis.Name == "" {
		if next.genesis, err = NewGenesis(o.Network); err != nil {
			return nil, err
		}
	}
	if err := d.pin(next, o.Pins); err != nil {
		return nil, err
	}
	if err := d.finish(next); err != nil {
		return nil, err
	}
	if err := o.Store.SaveEvidence(context.Background(), next.save, next.records...); err != nil {
		return nil, err
	}
	d.state.Store(next.state)
	return d, nil
}

// pin puts the configuration's word into a draft, or says what is wrong with it.
func (d *Desk) pin(next *draft, pins []Pin) error {
	next.pins = make(map[trust.SiteName]Pin, len(pins))
	nodes := map[trust.NodeID]trust.SiteName{}
	for _, p := range pins {
		if p.Name == d.o.Site || p.Node == d.node || p.Site == next.own.ID() {
			return fmt.Errorf("peer %.70q is this site itself, by name, NodeID or SiteID", p.Name)
		}
		if other, twice := nodes[p.Node]; twice {
			return fmt.Errorf("peers %.70q and %.70q have the same NodeID", p.Name, other)
		}
		nodes[p.Node] = p.Name
		if _, twice := next.pins[p.Name]; twice {
			return fmt.Errorf("peer %.70q is named twice", p.Name)
		}
		next.pins[p.Name] = p
	}
	for name, id := range next.bound {
		p, ok := next.pins[name]
		c := next.chainOf(id)
		// Another NodeID under the same name is another pin, unless the site has that node, too.
		if !ok || p.Site != "" && p.Site != id || p.Site == "" && c != nil && !c.HasNode(p.Node) {
			delete(next.bound, name)
			next.save[keyOwn] = nil
		}
	}
	for id, known := range next.sites {
		if c := known.standing.Chain(); c != nil {
			next.bind(c, id)
		}
	}
	return nil
}

// bind gives a site the name of its pin.
func (d *draft) bind(c *roots.Chain, id trust.SiteID) {
	name := d.pinFor(c)
	if name == "" || d.bound[name] == id && d.sites[id].name == name {
		return
	}
	d.bound[name] = id
	d.save[keyOwn] = nil
	d.change(id).name = name
}

// finish speaks for whom the operator named, works the roster out and encodes what must be written.
func (d *Desk) finish(next *draft) error {
	if err := d.speak(next); err != nil {
		return err
	}
	for id, until := range next.invites {
		if next.now.Unix() >= until {
			delete(next.invites, id)
			next.save[keyOwn] = nil
		}
	}
	next.settle(d.o.Site)
	return next.write()
}

// speak signs this site's endorsement of every site that its operator named, and takes it
// back from whom he blocked. Words by a node key that was replaced are signed anew.
func (d *Desk) speak(next *draft) error {
	self := next.own.ID()
	ids := map[trust.SiteID]bool{}
	for id := range next.sites {
		ids[id] = true
	}
	for _, id := range next.bound {
		ids[id] = true
	}
	delete(ids, self)
	for id := range ids {
		local := next.localOf(id)
		want := Stance("")
		var held word
		if own := next.sites[self]; own != nil {
			held = own.words[id]
		}
		switch {
		case local.Blocked && held.Stance == Endorses:
			want = TakesBack
		case !local.Blocked && (local.Approved || local.Pinned) && held.Stance != Endorses:
			want = Endorses
		case !local.Blocked && held.Stance == Expels:
			want = TakesBack // who lets a site back in does not go on voting against it
		case held.Stance != "" && held.signer != d.node:
			want = held.Stance
		}
		if want != "" {
			if err := d.say(next, id, want); err != nil {
				return err
			}
		}
	}
	return nil
}

// say signs a word that is newer than the last one about the same site.
func (d *Desk) say(next *draft, about trust.SiteID, stance Stance) error {
	self := next.own.ID()
	at := next.now.Unix()
	if own := next.sites[self]; own != nil && own.words[about].At >= at {
		at = own.words[about].At + 1
	}
	body := wordBody{Net: next.genesis.Network(), By: self, About: about, Stance: stance, At: at}
	envelope, err := sealWord(body, d.o.Key)
	if err != nil {
		return err
	}
	w := word{wordBody: body, signer: d.node, envelope: envelope, hash: trust.DigestOfString(envelope)}
	next.change(self).words[about] = w
	return nil
}

var errNothing = errors.New("nothing to change")

// step makes the next state: change works on a draft, the store commits it with its audit
// records, and then it is shown. One step at a time; readers wait for nobody. On an error
// all stays as it was.
func (d *Desk) step(ctx context.Context, change func(*draft) error) error {
	select {
	case d.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-d.turn }()
	old := d.state.Load()
	next := old.draft(d.o.Now())
	if err := change(next); err != nil {
		if errors.Is(err, errNothing) {
			return nil
		}
		return err
	}
	if err := d.finish(next); err != nil {
		return err
	}
	if len(next.save) > 0 || len(next.records) > 0 {
		// A write that has begun is finished, whoever lost patience.
		if err := d.o.Store.SaveEvidence(context.WithoutCancel(ctx), next.save, next.records...); err != nil {
			return fmt.Errorf("what is known of the sites could not be written: %w", err)
		}
	}
	d.state.Store(next.state)
	close(old.replaced)
	if len(next.save) > 0 {
		select {
		case d.news <- struct{}{}:
		default:
		}
	}
	return nil
}

// View gives the newest roster. It is immutable.
func (d *Desk) View() *View { return d.state.Load().view }

// Changed gives a channel that is closed when a newer View than the newest is there.
func (d *Desk) Changed() (<-chan struct{}, *View) {
	s := d.state.Load()
	return s.replaced, s.view
}

// Reconfigure replaces the configuration's pins. On an error all stays as it was.
func (d *Desk) Reconfigure(pins []Pin) error {
	return d.step(context.Background(), func(next *draft) error { return d.pin(next, slices.Clone(pins)) })
}

// Own gives this site's own chain.
func (d *Desk) Own() *roots.Chain { return d.state.Load().own }

func (s *state) nodeKey(by trust.SiteID, node trust.NodeID) (ed25519.PublicKey, bool) {
	c := s.chainOf(by)
	if c == nil {
		return nil, false
	}
	k, ok := c.Record().NodeKey(node)
	return k.Public(), ok
}

// farFuture lets stored words be read whatever the clock says: they were judged when they came.
var farFuture = time.Date(9999, time.January, 1, 0, 0, 0, 0, time.UTC) // a limit, never assigned
