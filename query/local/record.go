package local

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/audit"
)

// The outcomes of a decision's record.
const (
	outcomeAllow = "allow"
	outcomeDeny  = "deny"
	outcomeError = "error" // there was no decision, so nothing was allowed
)

// record makes one record per dataset that was considered, and commits them in
// one call. It does not end when the caller goes away: what was decided is on record
// whether somebody waits for the answer or not.
func (q *question) record(ctx context.Context) error {
	if len(q.items) == 0 {
		return nil
	}
	records := q.records()
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), MaxRecording)
	defer done()
	if err := q.Recorder.Record(ctx, records...); err != nil {
		q.Log.ErrorContext(ctx, "an access could not be recorded", "transaction", q.request.Transaction, "error", err)
		return fmt.Errorf("%w: %w", ErrNotRecorded, err)
	}
	return nil
}

func (q *question) records() []audit.Record {
	common := audit.Record{
		Time:          q.now,
		Event:         audit.EventDecision,
		Transaction:   q.request.Transaction,
		Caller:        q.caller.Identity,
		Origin:        q.caller.Origin,
		Forwarding:    q.caller.Forwarding,
		Unbound:       q.caller.Unbound,
		Question:      q.request.String(),
		Policy:        q.setup.PolicyRevision,
		TrustRevision: q.caller.TrustRevision,
	}
	for _, p := range q.caller.Passports {
		common.Passports = append(common.Passports, p.Digest())
	}
	if !q.caller.Token.IsZero() {
		common.Passports = append(common.Passports, q.caller.Token.Digest())
	}
	records := make([]audit.Record, len(q.items))
	for i, it := range q.items {
		r := common
		r.Dataset, r.Release = it.dataset.ID, it.release
		r.Outcome, r.Rule, r.Answer, r.Detail = it.outcome, it.decision.Rule, it.said, it.detail
		r.Visas, r.Grants = q.reliedOn(it.decision.Visas), it.decision.Grants
		if it.decision.PolicyRevision != "" {
			r.Policy = it.decision.PolicyRevision
		}
		if it.outcome == "" { // the question ended before there was a decision
			r.Outcome = outcomeError
		}
		records[i] = r
	}
	return records
}

// reliedOn adds to the visas that a rule named those that they rest on: what met
// their conditions, and what linked them.
func (q *question) reliedOn(visas []trust.Digest) []trust.Digest {
	all := visas
	for _, v := range visas {
		for _, support := range q.caller.Supports[v] {
			if !slices.Contains(all, support) {
				all = append(all[:len(all):len(all)], support)
			}
		}
	}
	return all
}

// describe says in words what left the site.
func describe(a query.DatasetAnswer, exact bool) string {
	precision := query.Thresholded
	if exact {
		precision = query.Exact
	}
	said := "exists=" + strconv.FormatBool(a.Exists)
	if a.Count != nil {
		said += " count=" + strconv.FormatInt(*a.Count, 10)
	}
	return said + " " + string(precision)
}

// clip bounds and quotes an error's text, which may hold what a file or the
// network said.
func clip(err error) string {
	s := err.Error()
	if len(s) > MaxDetail {
		s = s[:MaxDetail]
	}
	quoted := fmt.Sprintf("%q", s)
	return quoted[1 : len(quoted)-1]
}
