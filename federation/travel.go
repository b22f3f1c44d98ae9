package federation

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/trust"
)

// Travel is who the caller is to one target, and the passports that show it.
type Travel struct {
	// Identity is the first passport's (iss, sub). It may be another name of the
	// caller than the one that this site knows: that of the broker who signed.
	Identity  trust.Identity
	Passports []trust.Passport
}

// What Options.Travel may report.
var (
	// ErrNoPassport: this site has no passport of the caller that it may show.
	ErrNoPassport = errors.New("there is no passport of the caller that may be shown to another site")
	// ErrNoBroker: whoever makes the passports could not be asked, or refused.
	ErrNoBroker = errors.New("no passport for the site could be got from the caller's provider")
)

// travelsAlone tells whether each target gets passports of its own: the caller is
// somebody, and showed this site none, or a token, or one that must stay here. What the
// node got for a token was made for this site, and another would refuse it.
func (r *round) travelsAlone() bool {
	return r.o.Travel != nil && !r.caller.Anonymous() && (len(r.caller.Passports) == 0 || !r.caller.Token.IsZero() || r.stays(r.caller.Passports[0]))
}

// stays tells whether a passport must not leave this site.
func (r *round) stays(p trust.Passport) bool { return slices.Contains(r.caller.Stays, p.Digest()) }

// travelling are those of the caller's passports that may leave this site as they are.
func (r *round) travelling() []trust.Passport {
	switch {
	case r.travelsAlone():
		return nil
	case len(r.caller.Stays) == 0:
		return r.caller.Passports
	}
	return slices.DeleteFunc(slices.Clone(r.caller.Passports), r.stays)
}

// askAlone asks one target with passports that are made for it alone (binding
// ladder, L3). What it takes to get them counts against the target's own time: the
// others are not kept waiting.
func (r *round) askAlone(ctx context.Context, t target) {
	message, part := r.messageAlone(ctx, &t)
	if part != nil {
		r.arrivals <- arrival{part: *part}
		return
	}
	r.askPeer(ctx, t, message)
}

func (r *round) messageAlone(ctx context.Context, t *target) ([]byte, *query.Part) {
	failed := func(status query.Status, code string) *query.Part {
		part := failed(t.peer.Site, t.peer.Node, status, code)
		return &part
	}
	caller := r.caller
	if t.needs != nil {
		caller.Visas = t.needs.Choose(caller)
	}
	travel, err := r.o.Travel(ctx, caller, t.peer, r.request.Transaction)
	switch {
	case err == nil && t.needs != nil && !travel.Identity.IsZero() && !t.needs.Takes(travel.Identity.Issuer):
		return nil, failed(query.Refused, codeNoPassport) // the peer would refuse it, having seen it
	case err == nil:
	case ctx.Err() != nil:
		return nil, failed(query.Timeout, codeTimeout)
	case errors.Is(err, ErrNoPassport):
		return nil, failed(query.Refused, codeNoPassport)
	default:
		r.o.Log.Warn("no passport for a site", "site", t.peer.Site, "transaction", r.request.Transaction, "error", err)
		return nil, failed(query.Failed, codeNoBroker)
	}
	message, id, err := r.messageFor(*t, travel)
	t.forwarding = id
	if err != nil {
		r.o.Log.Error("a question could not be made ready for a peer", "site", t.peer.Site, "error", err)
		return nil, failed(query.Failed, codeError)
	}
	return message, nil
}

// messageFor is message with passports of the target's own.
func (r *round) messageFor(t target, travel Travel) (message []byte, id string, err error) {
	if travel.Identity.IsZero() || len(travel.Passports) == 0 {
		return nil, "", fmt.Errorf("%d passports of %t identity", len(travel.Passports), !travel.Identity.IsZero())
	}
	tail, err := appendTail(make([]byte, 0, len(r.question)+1024), r.question, travel.Passports)
	if err != nil {
		return nil, "", err
	}
	alone := r.draft
	alone.Caller, alone.Passports = &travel.Identity, digestsOf(travel.Passports)
	return r.message(t, alone, tail)
}

func digestsOf(passports []trust.Passport) []trust.Digest {
	digests := make([]trust.Digest, len(passports))
	for i, p := range passports {
		digests[i] = p.Digest()
	}
	return digests
}

// shown names what the caller came with, for the record that the question goes
// out: passports, or the access token that theirs are got with.
func (r *round) shown() []trust.Digest {
	if len(r.draft.Passports) == 0 && !r.caller.Token.IsZero() {
		return []trust.Digest{r.caller.Token.Digest()}
	}
	return r.draft.Passports
}
