// Package passport turns the passports of a request into a caller: it verifies
// each passport and every visa in it, each under its own issuer's believed keys
// and within what this site trusts that issuer for (GA4GH AAI 1.2 and GA4GH
// Passport 1.2, as a Passport Clearinghouse).
//
// It fetches nothing and decides nothing about access. Which keys are believed
// comes in as a trust.View; what a visa allows is for the policy. A passport that
// fails refuses the request; a visa that fails is left out, with a reason.
//
// What a visa is by itself depends on its bytes, on what is believed and on what is
// revoked, and is remembered. What the visas of one request make of one another is
// decided anew each time, in this order: visas that are access tokens are confirmed
// or replaced by polling, LinkedIdentities visas and stored links join identities
// into persons, and conditions are met by accepted, unconditional visas of the same
// person. Nothing but a link by an issuer with authority for it ever joins two
// (iss, sub).
package passport

import (
	"context"
	"slices"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// Options is what a Verifier works with.
type Options struct {
	// View gives the newest picture of what is believed. It must be fast and
	// safe for concurrent use; what it gives must never change.
	View func() *trust.View
	// Audiences gives the client ids by which a passport's aud names a site at
	// an issuer; site "" is this one. nil: no passport with aud is accepted.
	Audiences func(issuer string, site trust.SiteName) []string
	// OwnNames name this very node, as a token exchange names its target in
	// resource or audience (RFC 8693): an aud that is valid here whoever brings
	// the passport. They must not be client ids.
	OwnNames []string
	// UnknownKey asks for fresh keys of a configured issuer, because a token
	// names a key that is not known, and tells whether the View may have
	// changed. It is called at most once per issuer and request and never for
	// an issuer that is not configured; it keeps its own cool-down. nil: never.
	UnknownKey func(ctx context.Context, issuer string) bool
	// Revoked gives the newest list of what this site has revoked. Like View it must
	// be fast and safe for concurrent use. nil: nothing is revoked.
	Revoked func() *trust.Revocations
	// KnownLinks gives the stored links that touch an identity. It must be fast;
	// each link is judged again at every use. nil: none.
	KnownLinks func(trust.Identity) []trust.Link
	// Polled tells what the issuer of a visa that is an access token says of it
	// today, for visas that were issued an hour ago or longer. It may wait for the
	// issuer. nil: such visas are not accepted.
	Polled func(context.Context, AccessTokenVisa) Polled

	// CacheEntries bounds the passports, and likewise the visas, that are
	// remembered; CacheBytes bounds the memory of both together. 0: defaults.
	CacheEntries int
	CacheBytes   int
}

// Request is what a caller shows.
type Request struct {
	// Passports are compact tokens. None at all is an anonymous caller.
	Passports []string
	// Origin is the site that forwards the caller, "" for a direct caller. It
	// must come from the connection, never from a message.
	Origin trust.SiteName
	// Sets are visas that did not come in a passport. The first passport, or else
	// the first set, says who the caller is. Sets are never forwarded.
	Sets []trust.VisaSet
	// Token is the access token that the caller came with; it goes into the Caller.
	Token trust.AccessToken
	// Proven names the keys whose possession the caller proved in this request,
	// for tokens that are bound to one (cnf).
	Proven trust.Proven
	Now    time.Time
	// CallerOnly leaves Verdict.Passports and Verdict.Visas empty. Whoever only
	// decides needs the Caller alone, and for a remembered passport the rest
	// costs as much again.
	CallerOnly bool
}

// Verifier verifies passports. It is safe for concurrent use and starts no
// goroutine.
type Verifier struct {
	options   Options
	passports *cache[*passportRecord]
	visas     *cache[*visaRecord]
	clock     clock
}

// New makes a Verifier.
func New(o Options) *Verifier {
	if o.View == nil {
		o.View = func() *trust.View { return nil } // believes nothing
	}
	if o.Audiences == nil {
		o.Audiences = func(string, trust.SiteName) []string { return nil }
	}
	if o.Revoked == nil {
		o.Revoked = func() *trust.Revocations { return nil }
	}
	if o.CacheEntries <= 0 {
		o.CacheEntries = defaultCacheEntries
	}
	if o.CacheBytes <= 0 {
		o.CacheBytes = defaultCacheBytes
	}
	return &Verifier{
		options:   o,
		passports: newCache[*passportRecord](o.CacheEntries, o.CacheBytes/2),
		visas:     newCache[*visaRecord](o.CacheEntries, o.CacheBytes/2),
	}
}

// Verify establishes who the caller is. All passports and sets of the request must
// be acceptable; the first one's (iss, sub) is the caller. The error is a *Refusal
// (HTTP 413 for trust.ReasonTooLarge and trust.ReasonTooMany, 401 for all
// others), or ctx's when the caller has gone away.
func (v *Verifier) Verify(ctx context.Context, req Request) (verdict Verdict, err error) {
	if err := withinLimits(req.Passports, req.Sets); err != nil {
		return Verdict{}, err
	}
	passports := make([]trust.Passport, len(req.Passports))
	for i, compact := range req.Passports {
		passports[i] = trust.NewPassport(compact)
	}
	attempt := attempt{v: v, origin: req.Origin, callerOnly: req.CallerOnly, now: v.clock.at(req.Now), proven: req.Proven}
	var asked []string
	for {
		attempt.look()
		verdict = Verdict{}
		err = attempt.judge(ctx, passports, &req, &verdict)
		if v.options.UnknownKey != nil && v.refresh(ctx, attempt.wanting, &asked) {
			continue
		}
		if err != nil {
			return Verdict{}, err
		}
		return verdict, nil
	}
}

// withinLimits refuses what is too much before anything is read.
func withinLimits(passports []string, sets []trust.VisaSet) error {
	if len(passports) > maxPassports {
		return &Refusal{trust.ReasonTooMany, "more passports than are read: show only those that the question needs", maxPassports, false}
	}
	if len(sets) > maxSets {
		return &Refusal{trust.ReasonTooMany, "visas from more places than are read: show only those that the question needs", len(passports) + maxSets, true}
	}
	total := 0
	for i, compact := range passports {
		total += len(compact)
		if len(compact) > maxPassportBytes || total > maxRequestBytes {
			return &Refusal{trust.ReasonTooLarge, "more bytes of passports than are read: ask the issuer for one with fewer visas", i, false}
		}
	}
	for i, set := range sets {
		if len(set.Visas) > maxVisas {
			return &Refusal{trust.ReasonTooMany, tooManyVisas().Detail, len(passports) + i, true}
		}
		for _, visa := range set.Visas {
			total += len(visa.Compact())
		}
		if total > maxRequestBytes {
			return &Refusal{trust.ReasonTooLarge, "more bytes of visas than are read: ask the issuer for fewer visas", len(passports) + i, true}
		}
	}
	return nil
}

// look takes the newest pictures of what is believed and what is revoked.
func (a *attempt) look() {
	a.view, a.revoked, a.wanting = a.v.options.View(), a.v.options.Revoked(), nil
	a.revision = revision{revoked: a.revoked.Revision()}
	if a.view != nil {
		a.revision.view = a.view.Revision
	}
}

// refresh asks for keys of the issuers that have not been asked for yet in this
// request, and tells whether to judge again.
func (v *Verifier) refresh(ctx context.Context, wanting []string, asked *[]string) bool {
	changed := false
	for _, issuer := range wanting {
		if len(*asked) >= maxRefreshes || slices.Contains(*asked, issuer) || ctx.Err() != nil {
			continue
		}
		*asked = append(*asked, issuer)
		if v.options.UnknownKey(ctx, issuer) {
			changed = true
		}
	}
	return changed
}

// attempt is one pass over a request under one View and one list of revocations.
type attempt struct {
	v          *Verifier
	origin     trust.SiteName
	callerOnly bool
	now        time.Time
	proven     trust.Proven
	view       *trust.View
	revoked    *trust.Revocations
	revision   revision
	wanting    []string // configured issuers whose keys a refresh might bring
	polled     map[trust.Digest]Polled
	before     *jose.Token // the visa that was read last
}

// anyStored tells whether a stored link touches anybody in the request.
func (a *attempt) anyStored(groups []group) bool {
	known := a.v.options.KnownLinks
	return known != nil && slices.ContainsFunc(groups, func(g group) bool {
		return slices.ContainsFunc(g.record.identities, func(id trust.Identity) bool { return len(known(id)) > 0 })
	})
}

// want notes an issuer to be asked for fresh keys once the attempt is over. Only
// issuers that are configured for the kind of token at hand get here, so a
// token cannot make the node call a stranger.
func (a *attempt) want(issuer string) {
	if !slices.Contains(a.wanting, issuer) {
		a.wanting = append(a.wanting, issuer)
	}
}

// group is the visas of one passport or set, each judged by itself.
type group struct {
	record   *passportRecord
	unbound  bool
	passport trust.Passport // if it is a passport
	set      *trust.VisaSet // if it is a set
}

// judge goes over passports and sets in order and ends at the first one that is
// not acceptable. The whole attempt uses one View, so that no verdict mixes two
// pictures of what is believed. What each visa is by itself may be remembered; what
// the visas of the request make of one another never is. After an error, verdict
// is not to be used.
func (a *attempt) judge(ctx context.Context, passports []trust.Passport, req *Request, verdict *Verdict) error {
	verdict.Caller.Origin, verdict.Caller.TrustRevision, verdict.Caller.Token = a.origin, a.revision.view, req.Token
	var few [2]group
	groups, visas, plain := few[:0], 0, true
	for i := range len(passports) + len(req.Sets) {
		var g group
		var refusal *jose.Error
		if i < len(passports) {
			g.passport = passports[i]
			g.record, refusal = a.passport(ctx, g.passport, visas)
			if refusal == nil {
				g.unbound, refusal = a.bound(g.record)
			}
			if refusal == nil && g.record.stays {
				verdict.Caller.Stays = append(verdict.Caller.Stays, g.passport.Digest())
			}
		} else {
			g.set = &req.Sets[i-len(passports)]
			g.record, refusal = a.set(ctx, g.set, visas)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if refusal != nil {
			return &Refusal{Reason: refusal.Reason, Detail: refusal.Detail, Index: i, Set: i >= len(passports)}
		}
		visas += len(g.record.visas)
		plain = plain && g.record.plain && g.set == nil
		groups = append(groups, g)
	}
	if len(passports) > 0 {
		verdict.Caller.Passports = passports // made for this request
	}
	if plain && !a.anyStored(groups) {
		for i := range groups {
			verdict.add(groups[i].record, groups[i].unbound)
			if !a.callerOnly {
				verdict.explainPassport(groups[i])
				verdict.explain(groups[i].record)
			}
		}
		return nil
	}
	return a.together(ctx, groups, verdict)
}
