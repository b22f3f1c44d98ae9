package local

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/candignode/candignode/query"
)

// failure says how an allowed dataset came to no count; the worst one names the
// part's status.
type failure int

const (
	fine   failure = iota
	late           // the question's time was over
	ended          // the access was over
	broken         // the source failed
)

// errExpired is the cause of a context that ended because the access did.
var errExpired = errors.New("access ended")

// count fills in the answers of all allowed datasets. It returns when all are
// done, or have given up because ctx ended.
func (q *question) count(ctx context.Context) {
	var allowed []*item
	for i := range q.items {
		if q.items[i].decision.Allow {
			allowed = append(allowed, &q.items[i])
		}
	}
	var wait sync.WaitGroup
	for _, it := range allowed[1:] {
		wait.Go(func() { q.countOne(ctx, it) })
	}
	q.countOne(ctx, allowed[0]) // most questions have one
	wait.Wait()
}

// countOne counts in one dataset: slot, source, privacy.
func (q *question) countOne(ctx context.Context, it *item) {
	source := q.setup.Sources[it.dataset.ID]
	if source == nil {
		it.said = "nothing: no data is loaded"
		return
	}
	holdings := source.Holdings()
	it.release = holdings.Release
	if holdings.Assembly != q.request.Variant.Assembly {
		it.said = fmt.Sprintf("nothing: the data is on %s", holdings.Assembly)
		return
	}
	if until := it.decision.Until; !until.IsZero() {
		var done context.CancelFunc
		ctx, done = context.WithTimeoutCause(ctx, until.Sub(q.now)+GraceAfterExpiry, errExpired)
		defer done()
	}
	raw, err := q.resolve(ctx, source)
	switch {
	case err == nil:
		answer := q.setup.Floor.Protect(it.dataset.ID, raw, it.decision)
		it.answer, it.said = &answer, describe(answer, it.decision.ExactCounts)
	case errors.Is(context.Cause(ctx), errExpired):
		it.failure, it.said, it.detail = ended, "nothing: access ended while counting", clip(err)
	case ctx.Err() != nil:
		it.failure, it.said, it.detail = late, "nothing: the question ended while counting", clip(err)
	default:
		it.failure, it.said, it.detail = broken, "nothing: the source failed", clip(err)
		q.Log.ErrorContext(ctx, "a source failed", "dataset", it.dataset.ID, "release", it.release,
			"transaction", q.request.Transaction, "error", err)
	}
}

// resolve asks the source, one of a bounded number at a time.
func (q *question) resolve(ctx context.Context, source query.Source) (query.Raw, error) {
	select {
	case q.slots <- struct{}{}:
		defer func() { <-q.slots }()
	case <-ctx.Done():
		return query.Raw{}, ctx.Err()
	}
	if err := ctx.Err(); err != nil {
		return query.Raw{}, err
	}
	raw, err := source.Resolve(ctx, q.request.Variant)
	if err == nil {
		err = ctx.Err() // an answer that comes too late is none
	}
	if err == nil && (raw.Individuals < 0 || raw.Variants < 0) {
		err = fmt.Errorf("the source counted %d individuals and %d variants", raw.Individuals, raw.Variants)
	}
	return raw, err
}

// part joins the answers. Datasets that were denied are absent from it, not
// answered with "no". One failure makes the part a failure, for a sum that
// silently lacks a dataset would be a wrong number.
func (q *question) part() query.Part {
	part := query.Part{Site: q.Site, Node: q.Node, Status: query.OK}
	worst := fine
	for _, it := range q.items {
		worst = max(worst, it.failure)
		if it.answer != nil {
			part.Datasets = append(part.Datasets, *it.answer)
		}
	}
	switch worst {
	case broken:
		part = q.fail(query.Failed, "source_error", messageSource)
	case ended:
		part = q.fail(query.Failed, "access_ended", messageEnded)
	case late:
		part = q.fail(query.Timeout, "timeout", messageTimeout)
	case fine:
		if len(part.Datasets) == 0 {
			return q.fail(query.Nothing, "nothing", messageNothing)
		}
		return part
	}
	for i := range q.items { // what was counted beside it does not leave
		if q.items[i].answer != nil {
			q.items[i].answer, q.items[i].said = nil, "nothing: another dataset of the question failed"
		}
	}
	return part
}
