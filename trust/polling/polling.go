// Package polling is the desk that asks issuers whether visas in the deprecated form
// of an access token still hold (GA4GH AAI 1.2, Passport Clearinghouses, 5.2.2 and 6;
// passports.md, rows 57 to 60).
//
// The invariant: an issuer is asked about one visa by one poll at a time, at most once
// an hour while it answers and ever more rarely while it does not, also across restarts;
// and what an issuer took back is never asked about again and never confirmed again.
// Whatever is not known counts as not confirmed.
//
// The visas are in memory only, and of those the number and size are bounded. The
// store knows them by digest. It opens no sockets: Fetch speaks with the issuers.
package polling

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/audit"
	"github.com/candignode/candignode/trust/passport"
)

// What a Fetch says with its error. Any other error leaves the question open, and it
// is asked again later.
var (
	// ErrRefused: the issuer answered 400, 401 or 403.
	ErrRefused = errors.New("the issuer does not stand by the visa any more")
	// ErrUnusable: the issuer answered, and its answer makes no sense. A node that
	// cannot follow an update treats the visa as taken back.
	ErrUnusable = errors.New("the issuer's answer about the visa cannot be used")
	// ErrUnchanged: the issuer answered 200, and its answer is well formed and has no
	// member that could hold visas: it stands by the visa as it is.
	ErrUnchanged = errors.New("the issuer stands by the visa and names no others")
)

// Fetch asks the issuer about a visa, with the visa as the access token. It gives the
// visas that the issuer now has, of which none at all count as taken back, or one of the
// errors above. It bounds size and time and follows no redirect.
type Fetch func(ctx context.Context, issuer trust.IssuerPolicy, visa trust.Passport) (visas []string, err error)

// Store keeps what is known of visas, by digest. A fact and its audit record are one
// transaction.
type Store interface {
	SavePoll(ctx context.Context, visa trust.Digest, p access.Poll, records ...audit.Record) error
	Poll(visa trust.Digest) (p access.Poll, known bool, err error)
}

// Options is what a Desk works with. View, Fetch and Store are required.
type Options struct {
	View    func() *trust.View
	Revoked func() *trust.Revocations // nil: nothing is revoked
	Fetch   Fetch
	Store   Store
	Random  func() float64   // in [0, 1); nil: math/rand/v2
	Now     func() time.Time // nil: time.Now
	Log     *slog.Logger     // nil: no log

	// Visas and Bytes bound what is kept in memory. 0: defaults.
	Visas int
	Bytes int
}

// Desk knows which visas their issuers confirm. All its methods may be called at any
// time.
type Desk struct {
	options Options

	life   context.Context // of polls, which outlive whoever asked
	end    context.CancelFunc
	ran    sync.Once
	flying sync.WaitGroup

	mu        sync.Mutex // held for moments: nothing is asked or written under it
	entries   map[trust.Digest]*entry
	bytes     int
	flights   int
	flightsOf map[string]int // by issuer
}

// entry is one visa that is kept in memory.
type entry struct {
	digest  trust.Digest
	visa    trust.Passport
	policy  trust.IssuerPolicy
	expires time.Time
	state   access.Poll
	visas   []string // in its place, if state.Replaced; lost at a restart
	used    time.Time
	due     time.Time     // of the next poll in the background
	flight  chan struct{} // closed when the poll under way is over; nil: none is
}

func (e *entry) size() int {
	n := entryBytes + len(e.visa.Compact())
	for _, visa := range e.visas {
		n += len(visa)
	}
	return n
}

// New makes a Desk. It starts nothing; Status works at once.
func New(o Options) (*Desk, error) {
	if o.View == nil || o.Fetch == nil || o.Store == nil {
		return nil, errors.New("the polling desk needs a view, a fetch and a store")
	}
	if o.Revoked == nil {
		o.Revoked = func() *trust.Revocations { return nil }
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Visas <= 0 {
		o.Visas = defaultVisas
	}
	if o.Bytes <= 0 {
		o.Bytes = defaultBytes
	}
	d := &Desk{options: o, entries: map[trust.Digest]*entry{}, flightsOf: map[string]int{}}
	d.life, d.end = context.WithCancel(context.Background())
	return d, nil
}

// Status tells what the visa's issuer says of it. If nothing recent is known it asks,
// once for all who wait, and waits until the answer or until ctx ends.
func (d *Desk) Status(ctx context.Context, v passport.AccessTokenVisa) passport.Polled {
	e, err := d.entry(v)
	for ; err == nil; e, err = d.entry(v) {
		if d.mu.Lock(); d.entries[e.digest] == e {
			break
		}
		d.mu.Unlock() // others took its place just now, and it must not be polled for twice
	}
	if err != nil {
		d.options.Log.Error("a visa is not confirmed, because what is known of it cannot be read", "visa", v.Visa, "error", err)
		return passport.Polled{Detail: "this site could not look up what it knows of the visa"}
	}
	polled, settled := answer(e, d.options.Now())
	var flight chan struct{}
	if !settled {
		flight = d.begin(e)
	}
	d.mu.Unlock()
	switch {
	case settled:
		return polled
	case flight == nil:
		return passport.Polled{Detail: "this site asks about too many visas just now"}
	}
	select {
	case <-flight:
	case <-ctx.Done():
		return passport.Polled{Detail: "its issuer had not answered in time"}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	polled, _ = answer(e, d.options.Now())
	return polled
}

// answer says what is known, and whether that is all that can be said now. The zero
// Until confirms nothing.
func answer(e *entry, now time.Time) (polled passport.Polled, settled bool) {
	s := e.state
	confirmed := passport.Polled{Until: s.Until, Replaced: s.Replaced, Visas: slices.Clone(e.visas), Detail: s.Detail}
	forgotten := s.Replaced && len(e.visas) == 0 // which visas they were, at a restart
	switch {
	case s.Refused:
		return passport.Polled{Refused: true, Detail: s.Detail}, true
	case !now.Before(e.expires):
		return passport.Polled{Detail: "it has expired"}, true
	case now.Before(s.Until) && !forgotten:
		return confirmed, true
	case now.Before(s.Until) && now.Before(s.Next):
		confirmed.Detail = "its issuer put other visas in its place, and names them again when it is asked at " + stamp(s.Next)
		return confirmed, true
	case now.Before(s.Next):
		return passport.Polled{Detail: "its issuer gave no answer, and is asked again at " + stamp(s.Next)}, e.flight == nil
	}
	return passport.Polled{Detail: "its issuer gave no answer"}, false
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
