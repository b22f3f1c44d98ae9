// Package passport turns the passports of a request into a caller: it verifies
// each passport and every visa in it, each under its own issuer's believed keys
// and within what this site trusts that issuer for (GA4GH AAI 1.2 and GA4GH
// Passport 1.2, as a Passport Clearinghouse).
//
// It fetches nothing and decides nothing about access. Which keys are believed
// comes in as a trust.View; what a visa allows is for the policy. A passport that
// fails refuses the request; a visa that fails is left out, with a reason.
//
// Visas that are access tokens, conditions, and links between identities are
// recognised and never used: a conditional visa is not accepted, and visas of
// different (iss, sub) are never joined.
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

// Verify establishes who the caller is. All passports of the request must be
// acceptable; the first one's (iss, sub) is the caller. The error is a *Refusal
// (HTTP 413 for trust.ReasonTooLarge and trust.ReasonTooMany, 401 for all
// others), or ctx's when the caller has gone away.
func (v *Verifier) Verify(ctx context.Context, req Request) (Verdict, error) {
	if err := withinLimits(req.Passports); err != nil {
		return Verdict{}, err
	}
	passports := make([]trust.Passport, len(req.Passports))
	for i, compact := range req.Passports {
		passports[i] = trust.NewPassport(compact)
	}
	attempt := attempt{v: v, origin: req.Origin, callerOnly: req.CallerOnly, now: v.clock.at(req.Now)}
	var asked []string
	for {
		attempt.view, attempt.revision, attempt.wanting = v.options.View(), 0, nil
		if attempt.view != nil {
			attempt.revision = attempt.view.Revision
		}
		verdict, err := attempt.judge(ctx, passports)
		if v.options.UnknownKey == nil || !v.refresh(ctx, attempt.wanting, &asked) {
			return verdict, err
		}
	}
}

// withinLimits refuses what is too much before anything is read.
func withinLimits(passports []string) error {
	if len(passports) > maxPassports {
		return &Refusal{trust.ReasonTooMany, "more passports than are read: show only those that the question needs", maxPassports}
	}
	total := 0
	for i, compact := range passports {
		total += len(compact)
		if len(compact) > maxPassportBytes || total > maxRequestBytes {
			return &Refusal{trust.ReasonTooLarge, "more bytes of passports than are read: ask the issuer for one with fewer visas", i}
		}
	}
	return nil
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

// attempt is one pass over a request under one View.
type attempt struct {
	v          *Verifier
	origin     trust.SiteName
	callerOnly bool
	now        time.Time
	view       *trust.View
	revision   uint64
	wanting    []string // configured issuers whose keys a refresh might bring
}

// want notes an issuer to be asked for fresh keys once the attempt is over. Only
// issuers that are configured for the kind of token at hand get here, so a
// token cannot make the node call a stranger.
func (a *attempt) want(issuer string) {
	if !slices.Contains(a.wanting, issuer) {
		a.wanting = append(a.wanting, issuer)
	}
}

// judge goes over the passports in order and ends at the first one that is not
// acceptable. The whole attempt uses one View, so that no verdict mixes two
// pictures of what is believed.
func (a *attempt) judge(ctx context.Context, passports []trust.Passport) (Verdict, error) {
	verdict := Verdict{Caller: trust.Caller{Origin: a.origin, TrustRevision: a.revision}}
	visas := 0
	for i, passport := range passports {
		record, refusal := a.passport(ctx, passport, visas)
		if err := ctx.Err(); err != nil {
			return Verdict{}, err
		}
		if refusal == nil {
			unbound := false
			if unbound, refusal = a.bound(record); refusal == nil {
				visas += len(record.visas)
				verdict.add(record, unbound)
				if !a.callerOnly {
					verdict.explain(passport, record, unbound)
				}
				continue
			}
		}
		return Verdict{}, &Refusal{Reason: refusal.Reason, Detail: refusal.Detail, Index: i}
	}
	if len(passports) > 0 {
		verdict.Caller.Passports = passports // made for this request
	}
	return verdict, nil
}

// passport finds or makes the record of one passport. Refusals are not
// remembered: they are cheap or need a signature that anybody can send again
// with one bit changed.
func (a *attempt) passport(ctx context.Context, p trust.Passport, visasBefore int) (*passportRecord, *jose.Error) {
	if record, ok := a.v.passports.get(p.Digest(), a.revision, instantOf(a.now)); ok {
		for _, issuer := range record.wanting {
			a.want(issuer)
		}
		if visasBefore+len(record.visas) > maxVisas {
			return nil, tooManyVisas()
		}
		return record, nil
	}
	record, visas, refusal := a.open(p, visasBefore)
	if refusal != nil {
		return nil, refusal
	}
	earlier := a.wanting // of other passports: not this record's
	a.wanting = nil
	for _, compact := range visas {
		if ctx.Err() != nil {
			return nil, refuse(trust.ReasonMalformed, "given up") // the caller sees ctx's error
		}
		record.visas = append(record.visas, a.visa(compact.Value))
	}
	record.wanting, a.wanting = a.wanting, earlier
	for _, issuer := range record.wanting {
		a.want(issuer)
	}
	a.v.passports.put(p.Digest(), a.revision, record.expiry(), record, record.size())
	return record, nil
}

// tooManyVisas is found out in three places: before the signature, after it, and
// from memory, where several passports add up.
func tooManyVisas() *jose.Error {
	return refuse(trust.ReasonTooMany, "more than %d visas: ask the issuer for a passport with only those that the question needs", maxVisas)
}

// open verifies a passport itself, the cheap checks first: a stranger's token,
// or one with an unknown key or too many visas, costs no signature check.
func (a *attempt) open(p trust.Passport, visasBefore int) (*passportRecord, []jose.Text, *jose.Error) {
	token, err := jose.Parse(p.Compact(), maxPassportBytes)
	if err != nil {
		return nil, nil, asRefusal(err)
	}
	header := token.Header()
	if !header.IsType(passportType) {
		return nil, nil, refuse(trust.ReasonWrongType, "the token is a %.80q, not a passport (%s): ask for a passport, by token exchange if need be", header.Type, passportType)
	}
	if refusal := allowed(header.Algorithm); refusal != nil {
		return nil, nil, refusal
	}
	issuer, visas, err := token.Peek("ga4gh_passport_v1")
	if err != nil {
		return nil, nil, asRefusal(err)
	}
	trusted, ok := a.view.Lookup(issuer)
	if !ok || !trusted.Policy.Is(trust.KindPassport) {
		return nil, nil, refuse(trust.ReasonUntrustedIssuer, "this site does not take passports of %s: its operator decides which issuers it trusts", quoted(issuer))
	}
	if visasBefore+visas > maxVisas {
		return nil, nil, tooManyVisas()
	}
	key, refusal := chooseKey(trusted, header.KeyID, a.now)
	if refusal != nil {
		if refusal.Reason == trust.ReasonUnknownKey {
			a.want(issuer)
		}
		return nil, nil, refusal
	}
	payload, err := token.Verify(key.Key, jose.RS256, jose.ES256)
	if err != nil {
		return nil, nil, asRefusal(err)
	}
	var claims passportClaims
	if err := jose.Unmarshal(payload, &claims); err != nil {
		return nil, nil, asRefusal(err)
	}
	return a.record(claims, trusted, key)
}

// record checks the claims of a passport whose signature is good.
func (a *attempt) record(claims passportClaims, trusted trust.IssuerView, key trust.BelievedKey) (*passportRecord, []jose.Text, *jose.Error) {
	if refusal := require(claims.Issuer, claims.Subject, claims.IssuedAt, claims.Expires); refusal != nil {
		return nil, nil, refusal
	}
	switch {
	case claims.Issuer.Value != trusted.Policy.Issuer:
		return nil, nil, refuse(trust.ReasonMalformed, "iss can be read in two ways")
	case claims.Visas == nil:
		return nil, nil, refuse(trust.ReasonMissingClaim, "ga4gh_passport_v1 is missing: the token is not a passport")
	case len(*claims.Visas) > maxVisas:
		return nil, nil, tooManyVisas()
	case bool(claims.Confirmation):
		return nil, nil, refuse(trust.ReasonUnsupportedToken, "the passport is bound to a key (cnf) whose possession cannot be shown here: ask for one that is not")
	}
	if refusal, _ := inTime(a.now, claims.IssuedAt, claims.NotBefore, claims.Expires); refusal != nil {
		return nil, nil, refusal
	}
	return &passportRecord{
		identity:          trust.Identity{Issuer: trusted.Policy.Issuer, Subject: claims.Subject.Value},
		key:               key.Thumbprint,
		until:             earliest(claims.Expires.Time, key.Until.UTC()),
		audience:          claims.Audience,
		requireAud:        trusted.Policy.RequireAud,
		acceptUnboundFrom: trusted.Policy.AcceptUnboundFrom,
		visas:             make([]*visaRecord, 0, len(*claims.Visas)),
	}, *claims.Visas, nil
}
