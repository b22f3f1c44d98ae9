// Package local answers questions about this site's own data: for the site's
// own callers and, through the very same code, for callers whom a peer vouches for.
//
// The invariants: no data is touched for a dataset that the policy denied; a raw
// count leaves only through query/privacy; and nothing leaves before the audit
// records of all decisions about it are durable, all of them together. A count is
// whole or absent: when one allowed dataset fails, the site's part is a failure.
package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/query/privacy"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/audit"
)

// ErrNotRecorded is wrapped by the error of a question whose audit records could
// not be made durable. There is no answer then.
var ErrNotRecorded = errors.New("the access could not be recorded, so there is no answer")

// Decider says what a caller may have: trust/policy. It decides about all
// datasets of a question at once, in the order of the inputs.
type Decider interface {
	Decide(ctx context.Context, inputs []access.Input) ([]access.Decision, error)
}

// Recorder makes audit records durable: all of one call or none.
type Recorder interface {
	Record(ctx context.Context, records ...audit.Record) error
}

// Setup is what the site serves and by which rules. It is immutable: a reload or
// an import makes a new one, and a question that is under way keeps the one it began
// with.
type Setup struct {
	Datasets       []access.Dataset
	Sources        map[string]query.Source // by dataset id; a dataset without one has no data yet
	Policy         Decider
	PolicyRevision string
	Floor          privacy.Floor
}

// Options are what an Answerer needs. Parallel 0 means DefaultParallel; a nil Log
// is silent.
type Options struct {
	Site trust.SiteName
	Node trust.NodeID
	// Setup gives the newest setup. It is called once per question and must
	// not block.
	Setup func() *Setup
	// Grants gives the local grants of one identity; it is asked for each that
	// accepted links join to the caller's. It is not asked about
	// anonymous callers.
	Grants   func(trust.Identity) []access.Grant
	Recorder Recorder
	Now      func() time.Time
	Log      *slog.Logger
	Parallel int
}

// Answerer is this site's query.Asker. It is safe for concurrent use.
type Answerer struct {
	Options
	slots chan struct{} // one per dataset that is being counted
}

// New makes an Answerer.
func New(o Options) *Answerer {
	if o.Parallel <= 0 {
		o.Parallel = DefaultParallel
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Answerer{Options: o, slots: make(chan struct{}, o.Parallel)}
}

// Ask answers with one Part, this site's. It fails for a request that is not
// valid (query.ErrRequest) and when the decisions could not be recorded
// (ErrNotRecorded); everything else is a status of the Part.
func (a *Answerer) Ask(ctx context.Context, caller trust.Caller, request query.Request) (query.Answer, error) {
	if err := request.Validate(); err != nil {
		return query.Answer{}, err
	}
	q := &question{Answerer: a, caller: caller, request: request, now: a.Now(), setup: a.Setup()}
	if q.setup == nil {
		q.setup = &Setup{} // nothing is served yet
	}
	part := q.answer(ctx)
	if err := q.record(ctx); err != nil {
		return query.Answer{}, err
	}
	return query.Answer{
		Transaction: request.Transaction,
		Granularity: request.Granularity,
		Parts:       []query.Part{part.Took(a.Now().Sub(q.now))},
	}, nil
}

// question is one question on its way through the site.
type question struct {
	*Answerer
	caller  trust.Caller
	request query.Request
	now     time.Time // when it was asked: every decision is of this moment
	setup   *Setup
	items   []item
}

// item is one dataset that a question considers.
type item struct {
	dataset  access.Dataset
	known    bool // configured here
	decision access.Decision

	outcome string // of the decision, for the record
	release string // of the data that was counted
	answer  *query.DatasetAnswer
	said    string // what left about the dataset, for the record
	detail  string // for the operator only
	failure failure
}

// The messages of parts without data. They are the same for every caller and
// dataset, so that they tell nothing else.
const (
	messageDenied  = "this site gives you nothing for this question; ask the site for access, or sign in with a passport that holds it"
	messageNothing = "this site holds no data that the question could be about"
	messageTimeout = "this site did not finish in time; ask for less, or later"
	messagePolicy  = "this site could not decide about the question; its operator finds the reason in the audit log"
	messageSource  = "this site could not read its data; its operator finds the reason in the audit log"
	messageEnded   = "your access ended while this site was counting; renew it and ask again"
)

func (q *question) fail(status query.Status, code, message string) query.Part {
	return query.FailedPart(q.Site, q.Node, status, code, message)
}

// answer makes the part and, in q.items, what is to be recorded about it.
func (q *question) answer(ctx context.Context) query.Part {
	if q.request.TestMode {
		// Only made-up data may answer it (Beacon v2, testMode), and there is
		// none here: neither policy nor data is touched.
		return q.fail(query.Nothing, "test_mode", messageNothing)
	}
	q.choose()
	if len(q.setup.Datasets) == 0 {
		for i := range q.items {
			q.items[i].settle(access.Decision{}, q.now, q.request.Granularity)
		}
		return q.fail(query.Nothing, "nothing", messageNothing)
	}
	if err := q.decide(ctx); err != nil {
		if ctx.Err() != nil {
			return q.fail(query.Timeout, "timeout", messageTimeout)
		}
		q.Log.ErrorContext(ctx, "no decision about a question", "transaction", q.request.Transaction, "error", err)
		return q.fail(query.Failed, "policy_error", messagePolicy)
	}
	allowed := false
	for _, i := range q.items {
		allowed = allowed || i.decision.Allow
	}
	if !allowed {
		return q.fail(query.Denied, "denied", messageDenied)
	}
	q.count(ctx)
	return q.part()
}

// choose takes the datasets that were asked for, or all. An id that is not
// configured goes on like a dataset that nobody was granted, so that neither the
// bytes of the answer nor the time it takes tell one from the other.
func (q *question) choose() {
	if len(q.request.Datasets) == 0 {
		q.items = make([]item, len(q.setup.Datasets))
		for i, d := range q.setup.Datasets {
			q.items[i] = item{dataset: d, known: true}
		}
		return
	}
	configured := make(map[string]access.Dataset, len(q.setup.Datasets))
	for _, d := range q.setup.Datasets {
		configured[d.ID] = d
	}
	seen := make(map[string]bool, len(q.request.Datasets))
	for _, id := range q.request.Datasets {
		if seen[id] {
			continue
		}
		seen[id] = true
		dataset, known := configured[id]
		if !known {
			dataset = access.Dataset{ID: id, Level: access.Controlled}
		}
		q.items = append(q.items, item{dataset: dataset, known: known})
	}
}

// decide asks the policy about all datasets at once. Without a decision about
// all of them there is none about any.
func (q *question) decide(ctx context.Context) error {
	if len(q.items) == 0 {
		return nil
	}
	var grants []access.Grant
	if !q.caller.Anonymous() && q.Grants != nil {
		grants = q.Grants(q.caller.Identity)
		for _, l := range q.caller.Linked { // another name of the same person
			grants = append(grants, q.Grants(l.Identity)...)
		}
	}
	inputs := make([]access.Input, len(q.items))
	for i, it := range q.items {
		inputs[i] = access.Input{
			Now: q.now, Site: q.Site, Caller: q.caller, Dataset: it.dataset,
			Entity: q.request.Entity, Granularity: q.request.Granularity,
		}
		for _, g := range grants {
			if it.known && g.Dataset == it.dataset.ID {
				inputs[i].Grants = append(inputs[i].Grants, g)
			}
		}
	}
	decisions, err := q.setup.Policy.Decide(ctx, inputs)
	if err == nil && len(decisions) != len(inputs) {
		err = fmt.Errorf("%d decisions about %d datasets", len(decisions), len(inputs))
	}
	if err != nil {
		for i := range q.items {
			q.items[i].outcome, q.items[i].detail = outcomeError, clip(err)
		}
		return err
	}
	for i := range q.items {
		q.items[i].settle(decisions[i], q.now, q.request.Granularity)
	}
	return nil
}

// settle takes a decision, as far as it can hold: this is the last door before
// the data, and it trusts the policy to be strict, not to be right.
func (i *item) settle(d access.Decision, now time.Time, asked query.Granularity) {
	switch {
	case !i.known:
		d = access.Decision{Rule: "unknown dataset", PolicyRevision: d.PolicyRevision}
	case d.Allow && !d.Until.IsZero() && !now.Before(d.Until):
		d = access.Decision{Rule: "expired: " + d.Rule, PolicyRevision: d.PolicyRevision}
	case d.Allow && d.Granularity.Rank() == 0:
		d = access.Decision{Rule: "no granularity: " + d.Rule, PolicyRevision: d.PolicyRevision}
	}
	i.outcome = outcomeDeny
	if d.Allow {
		i.outcome = outcomeAllow
		d.Granularity = query.Least(d.Granularity, asked)
	}
	i.decision = d
}
