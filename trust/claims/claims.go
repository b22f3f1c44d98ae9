// Package claims resolves aggregated and distributed claims (OpenID Connect Core
// 1.0, section 5.6.2; passports.md, section J): claims about a person that an OpenID
// provider only points to, made and signed by somebody else.
//
// It opens no sockets and holds no keys: fetching and verifying are handed in. Whom to
// ask is found in this site's configuration and never in what the provider says: a
// pointer chooses among configured sources, and nothing else. A claim that cannot be
// had is absent, with a reason, and never fails anything else.
package claims

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// Options is what a Resolver works with.
type Options struct {
	// View gives the newest picture of what is believed; its issuers of kind claims are
	// the sources. nil: there is none.
	View func() *trust.View
	// Revoked gives what is revoked; nil: nothing is.
	Revoked func() *trust.Revocations
	// Verify checks a source's JWT under that issuer's keys and gives the signed bytes,
	// and until when they hold (zero: it does not say). A *jose.Error is shown to
	// people. nil: nothing is accepted.
	Verify func(ctx context.Context, compact, issuer string, now time.Time) (payload []byte, until time.Time, err error)
	// Fetch asks one listed endpoint of source, with the token in the Authorization
	// header and nowhere else; the zero token sends none. It takes application/jwt
	// only, follows no redirect, and bounds time and size (passports.md, rows 82, 83 and
	// 87). nil: distributed claims are absent.
	Fetch func(ctx context.Context, source trust.IssuerPolicy, endpoint string, token trust.AccessToken) ([]byte, error)
	// Linked tells whether two identities are one person's, and until when. nil: no two
	// are.
	Linked func(a, b trust.Identity) (until time.Time, linked bool)
	// Arrays takes several sources for one name, which the standard does not know
	// (passports.md, row 89).
	Arrays bool
}

// Found is a claim that its own source signed and that this site takes from it.
type Found struct {
	Source string // the configured issuer of kind claims
	Name   string
	Value  []byte // raw JSON out of verified bytes; the receiver's own copy
	// Until is the end of what the source signed, and of the link by which it is about
	// the caller; zero if neither says.
	Until time.Time
}

// Absent is a claim that was pointed to and is treated as not held (passports.md,
// row 84). Its texts are safe to show and to log.
type Absent struct {
	Name   string `json:"name"`
	Source string `json:"source,omitempty"` // the configured issuer, "" if none was found
	Why    string `json:"why"`
	// Conflict tells that the response has the claim itself besides: then neither is
	// to be used (passports.md, row 88).
	Conflict bool `json:"conflict,omitempty"`
	// Later tells that it may be had later: its source could not be asked now.
	Later bool `json:"later,omitempty"`
}

// Resolver resolves claims. It is safe for concurrent use.
type Resolver struct {
	options  Options
	flights  singleflight.Group
	failures failures
}

// New makes a Resolver.
func New(o Options) *Resolver {
	if o.View == nil {
		o.View = func() *trust.View { return nil }
	}
	if o.Revoked == nil {
		o.Revoked = func() *trust.Revocations { return nil }
	}
	if o.Verify == nil {
		o.Verify = func(context.Context, string, string, time.Time) ([]byte, time.Time, error) {
			return nil, time.Time{}, refuse(trust.ReasonUnsupportedToken, "this site verifies no claims")
		}
	}
	if o.Linked == nil {
		o.Linked = func(trust.Identity, trust.Identity) (time.Time, bool) { return time.Time{}, false }
	}
	return &Resolver{options: o, failures: failures{until: map[trust.Digest]time.Time{}}}
}

// Resolve looks into a verified response of the OpenID provider op for claims that it
// points to, asks their sources at once, and waits for at most some seconds. Both
// lists are sorted by name and source. It has no error: what cannot be had is absent.
func (r *Resolver) Resolve(ctx context.Context, op string, payload []byte, now time.Time) ([]Found, []Absent) {
	plan := read(payload, r.options.Arrays)
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	request := request{
		r: r, view: r.options.View(), revoked: r.options.Revoked(), now: now,
		caller: trust.Identity{Issuer: op, Subject: plan.subject},
	}
	// Each source writes into its own place, so none disturbs another.
	answers := make([]answer, len(plan.sources))
	var all sync.WaitGroup
	for i, source := range plan.sources {
		all.Go(func() { answers[i] = request.ask(ctx, source) })
	}
	all.Wait()
	var found []Found
	absent := plan.absent
	for _, a := range answers {
		found = append(found, a.found...)
		absent = append(absent, a.absent...)
	}
	slices.SortStableFunc(found, func(a, b Found) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Source, b.Source))
	})
	slices.SortStableFunc(absent, func(a, b Absent) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Why, b.Why))
	})
	return found, absent
}

// request is one resolution under one View.
type request struct {
	r       *Resolver
	view    *trust.View
	revoked *trust.Revocations
	now     time.Time
	caller  trust.Identity
}

// answer is what one source gave.
type answer struct {
	found  []Found
	absent []Absent
}

// ask gets the claims of one source. The configured issuer is found first; only then is
// anything fetched, and only for claims that are taken from it (passports.md, row 87).
func (q *request) ask(ctx context.Context, s source) answer {
	policy, problem := q.find(s)
	if problem != "" {
		return allAbsent(s.names, "", problem, false)
	}
	var a answer
	var wanted []string
	for _, name := range s.names {
		if slices.Contains(policy.Claims.Names, name) {
			wanted = append(wanted, name)
			continue
		}
		a.absent = append(a.absent, Absent{Name: shown(name), Source: policy.Issuer, Why: "this site does not take this claim from that source"})
	}
	if len(wanted) == 0 {
		return a
	}
	got := q.open(ctx, s, policy, wanted)
	got.absent = append(got.absent, a.absent...)
	return got
}

// open gets and reads the source's JWT.
func (q *request) open(ctx context.Context, s source, policy trust.IssuerPolicy, wanted []string) answer {
	compact, problem := q.fetch(ctx, s, policy)
	if problem != "" {
		return allAbsent(wanted, policy.Issuer, problem, true)
	}
	payload, until, err := q.r.options.Verify(ctx, compact, policy.Issuer, q.now)
	if err != nil {
		return allAbsent(wanted, policy.Issuer, "what the source signed does not hold: "+told(err), ctx.Err() != nil)
	}
	if !until.IsZero() && !q.now.Before(until) {
		return allAbsent(wanted, policy.Issuer, "what the source signed has expired", false)
	}
	claims, linked, problem := q.attribute(payload, s, policy)
	if problem != "" {
		return allAbsent(wanted, policy.Issuer, problem, false)
	}
	if until.IsZero() || !linked.IsZero() && linked.Before(until) {
		until = linked
	}
	var a answer
	for _, name := range wanted {
		value, ok := claims[name]
		if !ok {
			a.absent = append(a.absent, Absent{Name: shown(name), Source: policy.Issuer, Why: "the source did not give it"})
			continue
		}
		a.found = append(a.found, Found{Source: policy.Issuer, Name: name, Value: slices.Clone(value), Until: until})
	}
	return a
}

// find finds the configured issuer that a pointer leads to: of an aggregated claim by
// the iss of its JWT, of a distributed one by its endpoint, compared exactly. An
// endpoint of two issuers is nobody's.
func (q *request) find(s source) (trust.IssuerPolicy, string) {
	var found []trust.IssuerPolicy
	if s.compact != "" {
		token, err := jose.Parse(s.compact, maxJWTBytes)
		if err != nil {
			return trust.IssuerPolicy{}, "its JWT cannot be read: " + told(err)
		}
		issuer, err := token.UnverifiedIssuer()
		if err != nil {
			return trust.IssuerPolicy{}, "its JWT does not say who made it (iss): " + told(err)
		}
		if iv, ok := q.view.Lookup(issuer); ok && iv.Policy.Is(trust.KindClaims) && iv.Policy.Issuer == issuer {
			found = append(found, iv.Policy)
		}
	} else if q.view != nil {
		for _, iv := range q.view.Issuers {
			if iv.Policy.Is(trust.KindClaims) && slices.Contains(iv.Policy.Claims.Endpoints, s.endpoint) {
				found = append(found, iv.Policy)
			}
		}
	}
	switch {
	case len(found) != 1 && s.compact != "":
		return trust.IssuerPolicy{}, "this site does not trust the issuer of its JWT for claims"
	case len(found) == 0:
		return trust.IssuerPolicy{}, "its endpoint is not listed for any source that this site trusts; nothing was asked"
	case len(found) > 1:
		return trust.IssuerPolicy{}, "its endpoint is listed for more than one source; nothing was asked"
	case q.revoked.Issuer(found[0].Issuer):
		return trust.IssuerPolicy{}, "this site has revoked its source"
	}
	return found[0], ""
}

// attribute decides whether verified claims are about the caller, and gives them. A
// sub is the source's own id and says nothing beside another issuer's sub
// (passports.md, row 85; V095): with one, the pair (iss, sub) must be the caller
// himself or linked to him. Without one the claims are his for whose session they
// were got; what anybody gets who asks, with this node's own token or with none, is of
// nobody's session. until is the end of the link; zero if none was needed.
func (q *request) attribute(payload []byte, s source, policy trust.IssuerPolicy) (claims map[string]json.RawMessage, until time.Time, problem string) {
	var who struct {
		Issuer  jose.Text `json:"iss"`
		Subject jose.Text `json:"sub"`
	}
	if jose.Unmarshal(payload, &claims) != nil || jose.Unmarshal(payload, &who) != nil {
		return nil, until, "what the source signed cannot be read"
	}
	if !who.Issuer.Present || who.Issuer.Value != policy.Issuer {
		return nil, until, "what the source signed does not say that it made it (iss)"
	}
	if !who.Subject.Present && s.compact == "" && s.token.IsZero() {
		return nil, until, "what the source signed does not say whom it is about (sub), and it was not asked with a token of the caller's"
	}
	if who.Subject.Present {
		said := trust.Identity{Issuer: policy.Issuer, Subject: who.Subject.Value}
		linked := said == q.caller
		if !linked && q.caller.Subject != "" && said.Subject != "" {
			until, linked = q.r.options.Linked(q.caller, said)
		}
		if !linked || said.Subject == "" {
			return nil, until, "what the source signed is about another identity (sub), which is not linked to the caller's"
		}
	}
	return claims, until, ""
}

func allAbsent(names []string, source, why string, later bool) answer {
	var a answer
	for _, name := range names {
		a.absent = append(a.absent, Absent{Name: shown(name), Source: source, Why: why, Later: later})
	}
	return a
}
