package federation

import (
	"context"
	"errors"
	"fmt"

	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/audit"
	"github.com/candignode/candignode/trust/jose"
)

// askSelf gets this site's part.
func (r *round) askSelf(ctx context.Context) {
	answer, err := r.o.Self.Ask(ctx, r.caller, r.request)
	if err != nil && ctx.Err() != nil && errors.Is(err, context.DeadlineExceeded) {
		// It was this site that was slow. Nothing left it, so the others' parts
		// are still an honest answer.
		r.arrivals <- arrival{part: failed(r.o.Site, r.o.Node, query.Timeout, codeTimeout)}
		return
	}
	if err != nil {
		r.arrivals <- arrival{err: fmt.Errorf("this site's part: %w", err)}
		return
	}
	part, err := partOf(answer, r.o.Site)
	r.arrivals <- arrival{part: part, err: err}
}

// partOf gives one site's part of an answer that must have it.
func partOf(answer query.Answer, site trust.SiteName) (query.Part, error) {
	for _, p := range answer.Parts {
		if p.Site == site {
			return p, nil
		}
	}
	return query.Part{}, fmt.Errorf("the site's own answer has %d parts and none of site %q", len(answer.Parts), site)
}

// record commits that the question goes out. The peers' messages are signed
// meanwhile and this site's answer is made; no byte leaves before it is durable.
func (r *round) record(ctx context.Context) {
	sites := make([]trust.SiteName, len(r.targets))
	for i, t := range r.targets {
		sites[i] = t.peer.Site
	}
	err := r.o.Recorder.Record(ctx, audit.Record{
		Time: r.start, Event: audit.EventForward, Transaction: r.request.Transaction,
		Caller: r.caller.Identity, Passports: r.draft.Passports, Unbound: r.caller.Unbound,
		Question: r.request.String(), Outcome: "forward", Targets: sites,
		TrustRevision: r.caller.TrustRevision,
	})
	if err != nil {
		// Nobody closes recorded, so whoever waits for it ends with ctx.
		r.arrivals <- arrival{err: fmt.Errorf("%w: %w", ErrNotRecorded, err)}
		return
	}
	close(r.recorded)
}

// askPeer gets one peer's part.
func (r *round) askPeer(ctx context.Context, t target) {
	message, err := r.message(t)
	if err != nil {
		r.o.Log.Error("a question could not be made ready for a peer", "site", t.peer.Site, "error", err)
		r.arrivals <- arrival{part: failed(t.peer.Site, t.peer.Node, query.Failed, codeError)}
		return
	}
	select {
	case <-r.recorded:
	case <-ctx.Done():
		return // collect gives the part, or the reason why there is no answer
	}
	r.arrivals <- arrival{part: r.call(ctx, t, message)}
}

// message makes what one target gets.
func (r *round) message(t target) ([]byte, error) {
	a := r.draft
	a.Audience = t.peer.Node
	a.Exporter = trust.Digest(t.line.Exporter())
	a.ID = newID()
	envelope, err := jose.Seal(assertionType, r.o.Key, &a)
	if err != nil {
		return nil, err
	}
	return frame(envelope, r.tail)
}

// call sends the message and reads what comes back.
func (r *round) call(ctx context.Context, t target, message []byte) query.Part {
	site, node := t.peer.Site, t.peer.Node
	if ctx.Err() != nil {
		return failed(site, node, query.Timeout, codeTimeout)
	}
	b, err := t.line.Call(ctx, message)
	switch {
	case err == nil:
	case ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded):
		return failed(site, node, query.Timeout, codeTimeout)
	case errors.Is(err, ErrUnreachable):
		return failed(site, node, query.Unreachable, codeUnreachable)
	case errors.Is(err, ErrBadVersion):
		return failed(site, node, query.BadVersion, codeBadVersion)
	case errors.Is(err, ErrRefused):
		return failed(site, node, query.Refused, codeRefused)
	default:
		r.o.Log.Warn("a peer was asked and gave no response", "site", site, "error", err)
		return failed(site, node, query.Failed, codeNoResponse)
	}
	part, err := readResponse(b, t.peer, r.request)
	if err != nil {
		r.o.Log.Warn("a peer's response is not usable", "site", site, "transaction", r.request.Transaction, "error", err)
		return failed(site, node, query.Failed, codeBadResponse)
	}
	return part
}
