package protocol

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/issuers"
)

// The issuers of every scenario.
const (
	issuerA = "https://a.example.org" // its home is site a, by all three words
	issuerB = "https://b.example.org" // site y says it is its home, and the issuer does not; d has no policy for it
	issuerC = "https://c.example.org" // key sets must continue each other
	issuerH = "https://h.example.org" // its home is the liar x, by all three words
)

// needed witnesses, of five: one more than there are liars among them.
const needed = 3

// world is one scenario's sites and all that is true in it, which no site knows.
type world struct {
	seed      uint64
	mu        sync.Mutex
	honest    map[string]*site
	liars     map[string]*liar
	cut       map[string]bool
	links     map[string]uint64              // messages so far, by link
	published map[string][]string            // issuer: kids that it publishes now
	ever      map[string]map[string]bool     // issuer: thumbprints that were ever its own
	shown     map[string]map[string][]string // site, issuer: what a hijacked path shows
	failed    []string
	serial    int
	stolen    bool
	step      string
	deaths    map[string]map[string]int64 // site: issuer and key that a home buried there, until
	places    map[string]map[string]head
	backups   map[string]*disk
	raised    map[string]bool
}

// site is one honest site: the real desk on a disk that may fail.
type site struct {
	identity
	*issuers.Desk
	w     *world
	disk  *disk
	heard chan []byte
	shift atomic.Int64
	stop  context.CancelFunc
	ended chan error
}

var (
	honestNames  = []string{"a", "b", "c", "d"}
	liarNames    = []string{"x", "y"} // witnesses, like the honest
	strangeNames = []string{"s", "t"} // peers, and nobody's witnesses
)

func newWorld(seed uint64) *world {
	w := &world{seed: seed, honest: map[string]*site{}, liars: map[string]*liar{}, cut: map[string]bool{}, links: map[string]uint64{},
		published: map[string][]string{}, ever: map[string]map[string]bool{}, shown: map[string]map[string][]string{},
		deaths: map[string]map[string]int64{}, places: map[string]map[string]head{}, backups: map[string]*disk{}, raised: map[string]bool{}}
	for _, n := range slices.Concat(liarNames, strangeNames) {
		w.liars[n] = newLiar(n)
	}
	for _, i := range []string{issuerA, issuerB, issuerC, issuerH} {
		w.rotate(i)
		w.rotate(i)
	}
	return w
}

func (w *world) fail(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if line := fmt.Sprintf(format, args...); len(w.failed) < 5 {
		w.failed = append(w.failed, "at "+w.step+": "+line)
	}
}

// jwks are kept: to make one takes long.
var jwks sync.Map

// jwk is the public key of a kid: the same one for the same kid.
func jwk(kid string) map[string]string {
	if k, ok := jwks.Load(kid); ok {
		return k.(map[string]string)
	}
	seed := sha256.Sum256([]byte("issuer key " + kid))
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:])
	if err != nil {
		return nil
	}
	point, err := private.PublicKey.Bytes()
	if err != nil {
		return nil
	}
	enc := base64.RawURLEncoding.EncodeToString
	k := map[string]string{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid, "x": enc(point[1:33]), "y": enc(point[33:])}
	jwks.Store(kid, k)
	return k
}

// printOf is a kid's RFC 7638 thumbprint.
func printOf(kid string) string {
	k := jwk(kid)
	sum := sha256.Sum256(fmt.Appendf(nil, `{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}`, k["x"], k["y"]))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// rotate has an issuer publish a new key beside the newest old one.
func (w *world) rotate(issuer string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.serial++
	kid := fmt.Sprintf("key-%d-of-%s", w.serial, issuer)
	now := append(w.published[issuer], kid)
	w.published[issuer] = now[max(0, len(now)-2):]
	if w.ever[issuer] == nil {
		w.ever[issuer] = map[string]bool{}
	}
	w.ever[issuer][printOf(kid)] = true
}

// show bends a site's path to an issuer; no kids straighten it.
func (w *world) show(site, issuer string, kids ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.shown[site] == nil {
		w.shown[site] = map[string][]string{}
	}
	w.shown[site][issuer] = kids
}

// window is how one site sees the issuers.
type window struct {
	w  *world
	of string
}

func (f window) Fetch(_ context.Context, p trust.IssuerPolicy, _ issuers.Validators) (issuers.Fetched, error) {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	kids := f.w.published[p.Issuer]
	if bent := f.w.shown[f.of][p.Issuer]; len(bent) > 0 {
		kids = bent
	}
	if f.w.stolen && p.Issuer == issuerC {
		kids = []string{"thief-of-c"}
	}
	set := map[string][]map[string]string{}
	for _, k := range kids {
		set["keys"] = append(set["keys"], jwk(k))
	}
	body, err := json.Marshal(set)
	if err != nil {
		return issuers.Fetched{}, err
	}
	got := issuers.Fetched{JWKSURI: p.Issuer + "/jwks", Discovery: issuers.Document{Address: p.Issuer, Body: []byte("{}")},
		Sets: []issuers.Document{{Address: p.Issuer + "/jwks", Body: body}}}
	switch p.Issuer {
	case issuerA:
		got.HomeSite = newIdentity("a").site
	case issuerH:
		got.HomeSite = newIdentity("x").site
	}
	got.Keys, got.Rejected, err = issuers.KeysOf(p, got.Sets)
	return got, err
}

// policies of one honest site.
func policies(of string) []trust.IssuerPolicy {
	var witnesses []trust.SiteName
	for _, n := range slices.Concat(honestNames, liarNames) {
		if n != of {
			witnesses = append(witnesses, trust.SiteName(n))
		}
	}
	home := map[string]trust.SiteName{issuerA: "a", issuerB: "y", issuerH: "x"}
	var all []trust.IssuerPolicy
	for _, issuer := range []string{issuerA, issuerB, issuerC, issuerH} {
		if issuer == issuerB && of == "d" {
			continue
		}
		p := trust.IssuerPolicy{Issuer: issuer, Kinds: []trust.Kind{trust.KindPassport}, Mode: trust.ModeDirectQuorum, Witnesses: witnesses, K: needed,
			NoContinuity: issuer != issuerC}
		if issuer == issuerB {
			p.K = 2 // one honest site is no witness of it
		}
		if h := home[issuer]; string(h) != of {
			p.Home = h
		}
		all = append(all, p)
	}
	return all
}

func peers(of string) map[trust.SiteName]issuers.Peer {
	claims := map[string][]string{"a": {issuerA}, "x": {issuerH}, "y": {issuerB}}
	all := map[trust.SiteName]issuers.Peer{}
	for _, n := range slices.Concat(honestNames, liarNames, strangeNames) {
		if id := newIdentity(n); n != of {
			all[id.name] = issuers.Peer{Node: id.node, Recorded: true, Site: id.site, Issuers: claims[n]}
		}
	}
	return all
}

// start runs an honest site from a disk.
func (w *world) start(name string, d *disk) {
	d.set("", false)
	s := &site{identity: newIdentity(name), w: w, disk: d, heard: make(chan []byte, 64), ended: make(chan error, 1)}
	if old := w.honest[name]; old != nil {
		s.shift.Store(old.shift.Load())
	}
	var err error
	s.Desk, err = issuers.New(issuers.Options{Site: s.name, Node: s.node, Key: s.key, Network: network, Policies: policies(name), Peers: peers(name),
		Store: d, Fetcher: window{w, name}, Mesh: s, Heard: s.heard, Now: s.clock})
	if err != nil {
		w.fail("CrashSafe (16): %s does not start again: %v", name, err)
		return
	}
	if name == "a" {
		if err := s.BeHome([]string{issuerA}); err != nil {
			w.fail("site a is no home: %v", err)
		}
	}
	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.Background())
	go func() { s.ended <- s.Run(ctx) }()
	w.mu.Lock()
	w.honest[name] = s
	w.mu.Unlock()
}

func (s *site) halt() {
	if s.stop == nil {
		return
	}
	s.stop()
	if err := <-s.ended; err != nil {
		s.w.fail("%s: Run ended with %v", s.name, err)
	}
	s.w.mu.Lock()
	s.stop = nil
	s.w.mu.Unlock()
}

func (s *site) clock() time.Time { return time.Now().Round(0).Add(time.Duration(s.shift.Load())) }

// fate says what becomes of the next message of a link: by the seed, the link and the
// message's number, and never by when it is sent.
func (w *world) fate(from, to string) (lost, twice bool, delay time.Duration) {
	link := from + ">" + to
	w.links[link]++
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s %d", w.seed, link, w.links[link])
	n := h.Sum64()
	n ^= n >> 29
	n *= 0x9e3779b97f4a7c15
	n ^= n >> 32
	return n%100 < 15, n/100%100 < 10, 10*time.Millisecond + time.Duration(n/10000%2000)*time.Millisecond
}

// reach gives the other end of an open link. The caller holds the lock.
func (w *world) reach(from string, to trust.NodeID) (*site, *liar, string) {
	if w.cut[from] {
		return nil, nil, ""
	}
	for n, s := range w.honest {
		if s.node == to && s.stop != nil && !w.cut[n] {
			return s, nil, n
		}
	}
	for n, l := range w.liars {
		if l.node == to && !w.cut[n] {
			return nil, l, n
		}
	}
	return nil, nil, ""
}

func (s *site) Broadcast(message []byte) {
	own := signerOf(string(message)) == string(s.node)
	if own && !s.disk.has(message) {
		s.w.fail("Section 10 (16): %s sends a head of its own that is not written", s.name)
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	for _, n := range honestNames {
		o := s.w.honest[n]
		if o == nil || o == s || o.stop == nil || s.w.cut[n] || s.w.cut[string(s.name)] {
			continue
		}
		lost, twice, delay := s.w.fate("gossip "+string(s.name), n)
		for i := 0; !lost && (i == 0 || twice && i == 1); i++ {
			time.AfterFunc(delay*time.Duration(i+1), func() {
				select {
				case o.heard <- message:
				default:
				}
			})
		}
	}
}

func (s *site) Connected() []trust.NodeID {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	var all []trust.NodeID
	for _, n := range slices.Concat(honestNames, liarNames, strangeNames) {
		id := newIdentity(n)
		if h, l, _ := s.w.reach(string(s.name), id.node); n != string(s.name) && (h != nil || l != nil) {
			all = append(all, id.node)
		}
	}
	return all
}

var errLost = errors.New("the connection was lost")

func (s *site) Call(ctx context.Context, to trust.NodeID, request []byte) ([]byte, error) {
	s.w.mu.Lock()
	h, l, name := s.w.reach(string(s.name), to)
	lost, twice, delay := s.w.fate(string(s.name), name)
	s.w.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	switch {
	case lost || h == nil && l == nil:
		return nil, errLost
	case l != nil:
		s.w.mu.Lock()
		defer s.w.mu.Unlock()
		return l.answer(string(s.name)), nil
	}
	if twice {
		h.ServeSync(s.node, request)
	}
	reply := h.ServeSync(s.node, request)
	if s.w.crashed(h) || s.w.crashed(s) {
		return nil, errLost // whoever died answers nobody
	}
	return reply, nil
}

func (w *world) crashed(s *site) bool {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	return s.disk.crash == "gone"
}

// running gives the honest sites that run, in order.
func (w *world) running() []*site {
	var all []*site
	for _, n := range slices.Sorted(maps.Keys(w.honest)) {
		if s := w.honest[n]; s.stop != nil {
			all = append(all, s)
		}
	}
	return all
}
