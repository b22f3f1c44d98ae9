package federation

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/trust"
)

// Options is what Everyone needs. Self to Recorder are required.
type Options struct {
	Self    query.Asker // answers for this site
	Site    trust.SiteName
	Node    trust.NodeID
	Network string             // the network's id; the peers' must be the same
	Key     ed25519.PrivateKey // Node's
	Peers   func() []Peer      // the sites to ask; the caller's configuration now
	Lines   Lines
	// Recorder takes the record that a question goes out, before it does.
	Recorder Recorder

	// Travel gets the passports for one peer of a caller who showed this site none:
	// an access token or a session stays here. It wraps ErrNoPassport or ErrNoBroker.
	// The caller's Visas are those that the peer needs, if it said what it needs.
	// nil: peers see such a caller as anonymous.
	Travel func(ctx context.Context, caller trust.Caller, to Peer, transaction string) (Travel, error)

	// Needs gives what a peer says it needs to know of callers, and false if it has
	// not said so lately. nil: nobody has.
	Needs func(Peer) (*Needs, bool)

	Now func() time.Time // nil: time.Now
	// Deadline of a question whose ctx has none, or a later one. 0: 10 s.
	Deadline time.Duration
	// PeerTimeout is how long a peer may take; 0: most of Deadline. No peer
	// gets more than 19 parts in 20 of the time that the question has, so that a
	// silent one is given up in time for the others' parts to leave.
	PeerTimeout time.Duration
	Log         *slog.Logger // nil: nothing is logged
}

// Everyone answers for every site: this one and all peers. It implements
// query.Asker, and is safe for concurrent use.
type Everyone struct{ o Options }

var _ query.Asker = (*Everyone)(nil)

// NewEveryone makes an Everyone. It starts nothing.
func NewEveryone(o Options) *Everyone {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Deadline <= 0 {
		o.Deadline = defaultDeadline
	}
	if o.PeerTimeout <= 0 {
		o.PeerTimeout = o.Deadline
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Everyone{o: o}
}

// Ask is AskEach for callers who wait for the whole answer.
func (e *Everyone) Ask(ctx context.Context, caller trust.Caller, request query.Request) (query.Answer, error) {
	return e.AskEach(ctx, caller, request, nil)
}

// AskEach asks this site and every peer at once and gives the joined answer:
// one part for each site, at the latest at the deadline. each, if not nil, is
// given every part when it arrives: one at a time, on the calling goroutine,
// never after AskEach returned. An error after some parts means that there is no
// answer.
//
// Errors: one that wraps query.ErrRequest for a question that cannot be asked;
// ErrSecondHop; ErrNotRecorded; this site's own Asker's, because then its part
// could not be recorded; ctx's when the caller went away. A deadline is no
// error: who did not answer by then has status timeout.
//
// A question in test mode is answered by this site only: it is about the built-in
// data, which all sites have alike.
func (e *Everyone) AskEach(ctx context.Context, caller trust.Caller, request query.Request, each func(query.Part)) (query.Answer, error) {
	if caller.Origin != "" {
		return query.Answer{}, ErrSecondHop
	}
	if err := request.Validate(); err != nil {
		return query.Answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, e.o.Deadline)
	defer cancel()
	work, cancelWork := context.WithDeadline(ctx, e.giveUp(ctx))
	defer cancelWork()

	r := &round{
		o: &e.o, caller: caller, request: request, each: each, start: e.o.Now(),
		recorded: make(chan struct{}),
	}
	if !request.TestMode {
		r.findLines()
	}
	r.arrivals = make(chan arrival, 2+len(r.targets)) // nobody who reports ever waits
	if len(r.targets) > 0 {
		if err := r.prepare(work); err != nil {
			return query.Answer{}, err
		}
	}
	if len(r.targets) > 0 {
		go r.record(work)
		r.askPeers(work)
	}
	go r.askSelf(work)
	parts, err := r.collect(ctx)
	r.keepReceipts(ctx)
	if err != nil {
		return query.Answer{}, err
	}
	answer := query.Answer{Transaction: request.Transaction, Granularity: request.Granularity, Parts: parts}
	return answer.Join(query.Answer{}), nil
}

// giveUp gives the time at which those who were asked are given up: PeerTimeout
// from now, and early enough for the rest to leave by ctx's deadline. Timers run
// on the machine's clock, whatever Options.Now says.
func (e *Everyone) giveUp(ctx context.Context) time.Time {
	deadline, _ := ctx.Deadline()
	return time.Now().Add(min(e.o.PeerTimeout, time.Until(deadline)*19/20))
}

// round is one question on its way to everybody.
type round struct {
	o       *Options
	caller  trust.Caller
	request query.Request
	each    func(query.Part)
	start   time.Time

	targets []target
	lost    []query.Part // of peers that cannot be asked at all

	// Made by prepare, the same for all targets and not changed afterwards.
	question []byte
	draft    assertion // what all assertions have in common
	whole    pack      // what a target gets that has not said what it needs
	bare     *pack     // the question without a caller; nil until needed

	receipts []received // of the parts that arrived; the goroutine that collects owns it

	recorded chan struct{} // closed when the forwarding is durable
	arrivals chan arrival
}

type target struct {
	peer       Peer
	line       Line
	forwarding string // the id of what was sent to it; "" before
	needs      *Needs // nil: not known
	pack       *pack
	alone      bool // it gets passports that are made for it
}

// arrival is what one goroutine came back with: a part, or the reason why there
// is no answer at all, or a peer's response. Responses are read by the goroutine
// that collects, one at a time: that is cheaper than a deep stack for each.
type arrival struct {
	part query.Part
	err  error

	answered bool // the part is to be read from peer's response
	peer     Peer
	target   target
	response []byte
}

// findLines sorts the peers into those that can be asked now and the others.
func (r *round) findLines() {
	for _, peer := range r.o.Peers() {
		if peer.Node == r.o.Node || peer.Site == r.o.Site {
			continue // this site is asked as Self
		}
		line, err := r.o.Lines.Line(peer.Node)
		switch {
		case err == nil:
			r.targets = append(r.targets, target{peer: peer, line: line})
		case errors.Is(err, ErrBadVersion):
			r.lost = append(r.lost, failed(peer.Site, peer.Node, query.BadVersion, codeBadVersion))
		default:
			r.lost = append(r.lost, failed(peer.Site, peer.Node, query.Unreachable, codeUnreachable))
		}
	}
}

// prepare encodes once what all targets get. Only the caller's passports are
// read: no other token is within reach of this package.
func (r *round) prepare(work context.Context) error {
	question, err := json.Marshal(r.request)
	if err != nil {
		return fmt.Errorf("encode the question: %w", err)
	}
	r.question = question
	passports := r.travelling()
	giveUp, _ := work.Deadline()
	r.draft = assertion{
		Network: r.o.Network, Issuer: r.o.Node, Site: r.o.Site,
		Transaction: r.request.Transaction, Question: trust.DigestOf(question),
		Hops: new(int), Wait: time.Until(giveUp).Milliseconds(), Passports: digestsOf(passports),
	}
	r.draft.stamp(r.start)
	// A person without a passport cannot be shown to anybody else. Unless Travel
	// gets one for each target, the peers see an anonymous caller and no subject.
	if len(passports) > 0 && !r.caller.Anonymous() {
		r.draft.Caller = &r.caller.Identity
	}
	if r.draft.Caller == nil && len(passports) > 0 {
		return fmt.Errorf("a caller with %d passports and no identity", len(passports))
	}
	whole, err := r.pack(passports)
	if err != nil {
		return err
	}
	r.whole = *whole
	return r.load()
}

// collect waits for one part of every site and hands each out.
func (r *round) collect(ctx context.Context) ([]query.Part, error) {
	missing := r.expected()
	parts := make([]query.Part, 0, len(missing)+len(r.lost))
	take := func(p query.Part) error {
		if err := ctx.Err(); errors.Is(err, context.Canceled) {
			return fmt.Errorf("the caller went away: %w", err)
		}
		p = p.Took(r.o.Now().Sub(r.start))
		parts = append(parts, p)
		if r.each != nil {
			r.each(p)
		}
		return nil
	}
	for _, p := range r.lost {
		if err := take(p); err != nil {
			return nil, err
		}
	}
	for len(missing) > 0 {
		a, late := r.next(ctx)
		if late {
			break
		}
		if a.err != nil {
			return nil, a.err
		}
		part := r.read(a)
		delete(missing, part.Site)
		if err := take(part); err != nil {
			return nil, err
		}
	}
	for site, node := range missing {
		if err := take(failed(site, node, query.Timeout, codeTimeout)); err != nil {
			return nil, err
		}
	}
	return parts, nil
}

// expected gives the sites whose part will arrive.
func (r *round) expected() map[trust.SiteName]trust.NodeID {
	sites := make(map[trust.SiteName]trust.NodeID, 1+len(r.targets))
	sites[r.o.Site] = r.o.Node
	for _, t := range r.targets {
		sites[t.peer.Site] = t.peer.Node
	}
	return sites
}

// next gives the next arrival; late tells that the deadline has passed, or the
// caller has gone, and nothing more has arrived.
func (r *round) next(ctx context.Context) (a arrival, late bool) {
	select {
	case a = <-r.arrivals:
		return a, false
	case <-ctx.Done():
	}
	select { // what arrived in time is not lost to the order of a select
	case a = <-r.arrivals:
		return a, false
	default:
		return arrival{}, true
	}
}
