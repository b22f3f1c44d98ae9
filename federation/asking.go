package federation

import (
	"context"
	"errors"
	"fmt"
	"slices"

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
		Caller: r.caller.Identity, Passports: r.shown(), Unbound: r.caller.Unbound,
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

// askPeers has every peer asked, and returns when the messages of the first few
// are on their way. Signing is the work here. It is done on the caller's
// goroutine, whose stack has grown to it, as long as that takes less than to wake
// another processor; with more peers they share it.
func (r *round) askPeers(ctx context.Context) {
	first, rest := make([]target, 0, len(r.targets)), []target(nil)
	for _, t := range r.targets {
		if t.alone {
			go r.askAlone(ctx, t)
			continue
		}
		first = append(first, t)
	}
	if len(first) > signedAtOnce {
		first, rest = first[:signedAtOnce], first[signedAtOnce:]
	}
	for share := range slices.Chunk(rest, signedAtOnce) {
		go r.sign(ctx, share)
	}
	r.sign(ctx, first)
}

// sign makes the targets' messages, and each goes its way when it is ready.
func (r *round) sign(ctx context.Context, targets []target) {
	for _, t := range targets {
		message, id, err := r.message(t, t.pack.draft, t.pack.tail)
		if err != nil {
			r.o.Log.Error("a question could not be made ready for a peer", "site", t.peer.Site, "error", err)
			r.arrivals <- arrival{part: failed(t.peer.Site, t.peer.Node, query.Failed, codeError)}
			continue
		}
		t.forwarding = id
		go r.askPeer(ctx, t, message)
	}
}

// askPeer gets one peer's part.
func (r *round) askPeer(ctx context.Context, t target, message []byte) {
	select {
	case <-r.recorded:
	case <-ctx.Done():
		return // collect gives the part, or the reason why there is no answer
	}
	r.arrivals <- r.call(ctx, t, message)
}

// message makes what one target gets, of what all get or of what is its own. Others collect what
// arrives meanwhile, so it reads nothing of the round but the options.
func (r *round) message(t target, a assertion, tail []byte) (message []byte, id string, err error) {
	a.Audience = t.peer.Node
	a.Exporter = trust.Digest(t.line.Exporter())
	a.ID = newID()
	envelope, err := jose.Seal(assertionType, r.o.Key, &a)
	if err != nil {
		return nil, "", err
	}
	message, err = frame(envelope, tail)
	return message, a.ID, err
}

// call sends the message and gives what comes back, unread, or the part of a
// peer from which nothing came.
func (r *round) call(ctx context.Context, t target, message []byte) arrival {
	failed := func(status query.Status, code string) arrival {
		return arrival{part: failed(t.peer.Site, t.peer.Node, status, code)}
	}
	if ctx.Err() != nil {
		return failed(query.Timeout, codeTimeout)
	}
	b, err := t.line.Call(ctx, message)
	switch {
	case err == nil:
	case ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded):
		return failed(query.Timeout, codeTimeout)
	case errors.Is(err, ErrUnreachable):
		return failed(query.Unreachable, codeUnreachable)
	case errors.Is(err, ErrBadVersion):
		return failed(query.BadVersion, codeBadVersion)
	case errors.Is(err, ErrRefused):
		return failed(query.Refused, codeRefused)
	default:
		r.o.Log.Warn("a peer was asked and gave no response", "site", t.peer.Site, "error", err)
		return failed(query.Failed, codeNoResponse)
	}
	return arrival{answered: true, peer: t.peer, target: t, response: b}
}

// read makes the part from an arrival.
func (r *round) read(a arrival) query.Part {
	if !a.answered {
		return a.part
	}
	key := a.target.line.Key()
	answer, signed, claims, err := openAnswer(a.response, expected{
		network: r.o.Network, node: a.peer.Node, key: key, self: r.o.Node,
		transaction: r.request.Transaction, forwarding: a.target.forwarding, now: r.o.Now(),
	})
	var part query.Part
	if err == nil {
		part, err = readResponse(answer, a.peer, r.request)
	}
	if err == nil && signed != "" {
		r.receipts = append(r.receipts, received{a.peer, claims, signed, part.Status, key})
	}
	if err != nil {
		r.o.Log.Warn("a peer's response is not usable", "site", a.peer.Site, "transaction", r.request.Transaction, "error", err)
		return failed(a.peer.Site, a.peer.Node, query.Failed, codeBadResponse)
	}
	return part
}
