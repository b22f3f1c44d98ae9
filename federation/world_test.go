package federation

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/audit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is three hospitals whose lines are function calls: real desks, a
// pretend answerer and a pretend passport reader at each.
type world struct {
	t     testing.TB
	now   func() time.Time
	sites []*hospital

	mu    sync.Mutex
	wires []sent // every byte that left a site, in order
}

type sent struct {
	from, to trust.SiteName
	message  []byte
}

type hospital struct {
	w        *world
	name     trust.SiteName
	node     trust.NodeID
	key      ed25519.PrivateKey
	self     *pretendSelf
	log      *pretendLog
	everyone *Everyone
	receiver *Receiver
	mayAsk   map[trust.SiteName]bool
	disclose Disclosure
	// lines overrides how this hospital reaches a peer.
	lines map[trust.SiteName]func(context.Context, []byte) ([]byte, error)
	down  map[trust.SiteName]error
}

var start = time.Date(2026, 3, 1, 12, 0, 0, 400_000_000, time.UTC)

func newWorld(t testing.TB, options ...func(*Options)) *world {
	w := &world{t: t, now: func() time.Time { return start.Add(5 * time.Second) }}
	for i, name := range []trust.SiteName{"bcgsc", "chus", "uhn"} {
		seed := sha256.Sum256([]byte(name))
		key := ed25519.NewKeyFromSeed(seed[:])
		node, err := trust.NodeIDOf(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		h := &hospital{
			w: w, name: name, node: node, key: key, log: &pretendLog{},
			mayAsk: map[trust.SiteName]bool{"bcgsc": true, "chus": true, "uhn": true},
			lines:  map[trust.SiteName]func(context.Context, []byte) ([]byte, error){},
			down:   map[trust.SiteName]error{},
		}
		h.self = &pretendSelf{h: h, count: int64(10 * (i + 1))}
		w.sites = append(w.sites, h)
	}
	for _, h := range w.sites {
		o := Options{
			Self: h.self, Site: h.name, Node: h.node, Network: "test", Key: h.key,
			Peers: h.peers, Lines: h, Recorder: h.log, Now: func() time.Time { return w.now() },
		}
		for _, option := range options {
			option(&o)
		}
		h.everyone = NewEveryone(o)
		h.restart(start)
	}
	return w
}

func (w *world) site(name trust.SiteName) *hospital {
	for _, h := range w.sites {
		if h.name == name {
			return h
		}
	}
	w.t.Fatalf("no site %q", name)
	return nil
}

func (w *world) sent() []sent {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.wires)
}

// restart gives h a new Receiver, as a new process would have.
func (h *hospital) restart(boot time.Time) {
	h.receiver = NewReceiver(ReceiverOptions{
		Self: h.self, Site: h.name, Node: h.node, Network: "test", Key: h.key, Policy: func() string { return "policy of " + string(h.name) },
		Authenticate: authenticate, Peer: h.peer, Boot: boot, Recorder: h.log,
		Now: func() time.Time { return h.w.now() },
	})
}

func (h *hospital) peers() []Peer {
	var peers []Peer
	for _, p := range h.w.sites {
		if p != h {
			peers = append(peers, Peer{Site: p.name, Node: p.node, MayAsk: h.mayAsk[p.name], Disclose: h.disclose})
		}
	}
	return peers
}

func (h *hospital) peer(node trust.NodeID) (Peer, bool) {
	for _, p := range h.peers() {
		if p.Node == node {
			return p, true
		}
	}
	return Peer{}, false
}

// Line implements Lines.
func (h *hospital) Line(node trust.NodeID) (Line, error) {
	for _, p := range h.w.sites {
		if p.node == node {
			return pretendLine{h, p}, h.down[p.name]
		}
	}
	return nil, errors.New("not pinned")
}

type pretendLine struct{ from, to *hospital }

// exporterOf is the exporter value of the n-th connection between two sites.
func exporterOf(a, b trust.SiteName, n int) [32]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%s|%s|%d", min(a, b), max(a, b), n))
}

func (l pretendLine) Key() ed25519.PublicKey { return l.to.key.Public().(ed25519.PublicKey) }

func (l pretendLine) Exporter() [32]byte { return exporterOf(l.from.name, l.to.name, 1) }

func (l pretendLine) Call(ctx context.Context, message []byte) ([]byte, error) {
	l.from.w.mu.Lock()
	l.from.w.wires = append(l.from.w.wires, sent{l.from.name, l.to.name, bytes.Clone(message)})
	l.from.w.mu.Unlock()
	if call := l.from.lines[l.to.name]; call != nil {
		return call(ctx, message)
	}
	return l.to.receiver.Serve(ctx, l.incoming(message)), nil
}

// signs puts the hospital's receipt for a message before an answer, whatever that says.
func (h *hospital) signs(message []byte, answer string) []byte {
	m, err := parseMessage(message)
	if err != nil {
		h.w.t.Fatal(err)
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(string(m.assertion), ".")[1])
	if err != nil {
		h.w.t.Fatal(err)
	}
	var q question
	if err := json.Unmarshal(payload, &q.claims); err != nil {
		h.w.t.Fatal(err)
	}
	sealed, err := h.receiver.sealAnswer([]byte(answer), &q)
	if err != nil {
		return []byte(answer) // too large to be signed
	}
	return sealed
}

// unsigned gives a response without its receipt.
func unsigned(b []byte) string {
	if len(b) < 3 || b[0] != receiptVersion {
		return string(b)
	}
	return string(b[3+int(binary.BigEndian.Uint16(b[1:])):])
}

func (l pretendLine) incoming(message []byte) Incoming {
	public, _ := l.from.key.Public().(ed25519.PublicKey)
	return Incoming{Site: l.from.name, Node: l.from.node, Key: public, Exporter: l.Exporter(), Request: message}
}

// pretendSelf answers for one hospital and remembers who asked.
type pretendSelf struct {
	h     *hospital
	count int64
	ask   func(ctx context.Context, caller trust.Caller, request query.Request) (query.Answer, error)

	mu      sync.Mutex
	callers []trust.Caller
}

func (s *pretendSelf) Ask(ctx context.Context, caller trust.Caller, request query.Request) (query.Answer, error) {
	s.mu.Lock()
	s.callers = append(s.callers, caller)
	s.mu.Unlock()
	if s.ask != nil {
		return s.ask(ctx, caller, request)
	}
	return s.answer(request), nil
}

func (s *pretendSelf) answer(request query.Request) query.Answer {
	n := s.count
	d := query.DatasetAnswer{Dataset: "rare-" + string(s.h.name), Granularity: query.Least(request.Granularity, query.Count), Exists: n > 0}
	if d.Granularity == query.Count {
		d.Count, d.Precision = &n, query.Exact
	}
	return query.Answer{Transaction: request.Transaction, Granularity: request.Granularity, Parts: []query.Part{
		{Site: s.h.name, Node: s.h.node, Status: query.OK, Datasets: []query.DatasetAnswer{d}},
	}}
}

func (s *pretendSelf) asked() []trust.Caller {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.callers)
}

// pretendLog keeps audit records; fail makes it refuse them.
type pretendLog struct {
	mu      sync.Mutex
	records []audit.Record
	fail    error
	wait    func(context.Context) // runs before a record is durable
}

func (l *pretendLog) Record(ctx context.Context, records ...audit.Record) error {
	if l.wait != nil {
		l.wait(ctx)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return l.fail
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	l.records = append(l.records, records...)
	return nil
}

func (l *pretendLog) of(event audit.Event) []audit.Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []audit.Record
	for _, r := range l.records {
		if r.Event == event {
			found = append(found, r)
		}
	}
	return found
}

// authenticate takes passports "secret-passport:ISSUER|SUBJECT|..." at their word.
func authenticate(_ context.Context, passports []string, origin trust.SiteName) (trust.Caller, error) {
	if origin == "" {
		return trust.Caller{}, errors.New("authenticated as a direct caller")
	}
	var c trust.Caller
	for _, p := range passports {
		who, ok := strings.CutPrefix(p, "secret-passport:")
		if !ok {
			return trust.Caller{}, errors.New("passport:\nbad_signature")
		}
		if fields := strings.Split(who, "|"); c.Anonymous() {
			c.Identity = trust.Identity{Issuer: fields[0], Subject: fields[1]}
		}
		c.Passports = append(c.Passports, trust.NewPassport(p))
	}
	return c, nil
}

const alicePassport = "secret-passport:https://idp.example.org/|alice|aaaa"

func alice() trust.Caller {
	return trust.Caller{
		Identity:  trust.Identity{Issuer: "https://idp.example.org/", Subject: "alice"},
		Passports: []trust.Passport{trust.NewPassport(alicePassport)},
	}
}

func aQuestion() query.Request {
	return query.Request{
		Transaction: "txn-1", Entity: query.GVariants, Granularity: query.Count,
		Variant: query.VariantQuery{Assembly: query.GRCh37, Chrom: "22", Start: 16050074, Ref: "A", Alt: "G"},
	}
}

// statuses gives an answer in one line: "bcgsc=ok:10 chus=timeout".
func statuses(a query.Answer) string {
	var words []string
	for _, p := range a.Parts {
		word := string(p.Site) + "=" + string(p.Status)
		for _, d := range p.Datasets {
			if d.Count != nil {
				word += fmt.Sprintf(":%d", *d.Count)
			}
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}
