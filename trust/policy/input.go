package policy

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
)

// checkInputs refuses what no caller of Decide should hand in: datasets of
// several questions, or of no known kind.
func checkInputs(inputs []access.Input) error {
	first := inputs[0]
	if first.Now.IsZero() {
		return errors.New("input without a time")
	}
	seen := make(map[string]bool, len(inputs))
	for _, in := range inputs {
		if !sameQuestion(first, in) {
			return errors.New("the inputs of one decision must share caller, time and question")
		}
		if in.Dataset.ID == "" || seen[in.Dataset.ID] {
			return fmt.Errorf("dataset %.80q without a name or named twice", in.Dataset.ID)
		}
		seen[in.Dataset.ID] = true
		switch in.Dataset.Level {
		case access.Public, access.Registered, access.Controlled, "":
		default:
			return fmt.Errorf("dataset %.80q: unknown access level %.40q", in.Dataset.ID, in.Dataset.Level)
		}
		switch in.Dataset.RegisteredBy {
		case access.ByLogin, access.ByVisas, "":
		default:
			return fmt.Errorf("dataset %.80q: unknown registered_by %.40q", in.Dataset.ID, in.Dataset.RegisteredBy)
		}
	}
	if first.Granularity.Rank() == 0 {
		return fmt.Errorf("unknown granularity %.40q", first.Granularity)
	}
	return nil
}

func sameQuestion(a, b access.Input) bool {
	return a.Now.Equal(b.Now) && a.Site == b.Site && a.Entity == b.Entity && a.Granularity == b.Granularity &&
		a.Caller.Identity == b.Caller.Identity && a.Caller.Until.Equal(b.Caller.Until) &&
		a.Caller.Origin == b.Caller.Origin && a.Caller.Unbound == b.Caller.Unbound &&
		a.Caller.Person == b.Caller.Person && slices.Equal(a.Caller.Linked, b.Caller.Linked) &&
		sameVisas(a.Caller.Visas, b.Caller.Visas)
}

func sameVisas(a, b []trust.Visa) bool {
	if len(a) != len(b) {
		return false
	}
	return len(a) == 0 || &a[0] == &b[0] || slices.Equal(a, b)
}

// level gives the dataset's level; one without is controlled (Beacon v2,
// securityAttributes).
func level(d access.Dataset) access.Level {
	if d.Level == "" {
		return access.Controlled
	}
	return d.Level
}

// words are the member names of the input, made once: a decision builds the
// engine's own values, which saves a third of its time against JSON.
type words struct {
	now, site, caller, visas, request, datasets                            *ast.Term
	anonymous, iss, sub, origin, unbound, until                            *ast.Term
	entity, granularity                                                    *ast.Term
	id, access, value, issuers, sources, by, registeredBy, grants, created *ast.Term
	digest, kind, source, asserted, expires                                *ast.Term
	person, personUntil, linked                                            *ast.Term
	empty, forever                                                         *ast.Term
}

func newWords() words {
	s := ast.StringTerm
	return words{
		now: s("now"), site: s("site"), caller: s("caller"), visas: s("visas"), request: s("request"), datasets: s("datasets"),
		anonymous: s("anonymous"), iss: s("iss"), sub: s("sub"), origin: s("origin"), unbound: s("unbound"), until: s("until"),
		entity: s("entity"), granularity: s("granularity"),
		id: s("id"), access: s("access"), value: s("value"), issuers: s("issuers"), sources: s("sources"), by: s("by"),
		registeredBy: s("registered_by"), grants: s("grants"), created: s("created"),
		digest: s("digest"), kind: s("type"), source: s("source"), asserted: s("asserted"), expires: s("expires"),
		person: s("person"), personUntil: s("person_until"), linked: s("linked"),
		empty: ast.ArrayTerm(), forever: number(math.MaxInt64),
	}
}

// value makes the policy's input; input.schema.json describes it.
func (p *Policy) value(inputs []access.Input) ast.Value {
	w, first := &p.words, inputs[0]
	datasets := make([]*ast.Term, len(inputs))
	for i, in := range inputs {
		datasets[i] = w.dataset(in)
	}
	caller := first.Caller
	return ast.NewObject(
		ast.Item(w.now, nanos(first.Now)),
		ast.Item(w.site, text(string(first.Site))),
		ast.Item(w.caller, ast.ObjectTerm(
			ast.Item(w.anonymous, ast.InternedTerm(caller.Anonymous())),
			ast.Item(w.iss, text(caller.Issuer)),
			ast.Item(w.sub, text(caller.Subject)),
			ast.Item(w.origin, text(string(caller.Origin))),
			ast.Item(w.unbound, ast.InternedTerm(caller.Unbound)),
			ast.Item(w.until, nanos(caller.Until)),
			ast.Item(w.person, person(caller.Person, caller.Identity)),
			ast.Item(w.linked, w.linkedOf(caller)),
		)),
		ast.Item(w.visas, p.visas(caller)),
		ast.Item(w.request, ast.ObjectTerm(
			ast.Item(w.entity, text(string(first.Entity))),
			ast.Item(w.granularity, text(string(first.Granularity))),
		)),
		ast.Item(w.datasets, ast.ArrayTerm(datasets...)),
	)
}

func (w *words) dataset(in access.Input) *ast.Term {
	d := in.Dataset
	by := d.RegisteredBy
	if by == "" {
		by = access.ByVisas // the stricter one
	}
	grants := w.empty
	if own := ownGrants(in); len(own) > 0 {
		terms := make([]*ast.Term, len(own))
		for i, g := range own {
			terms[i] = ast.ObjectTerm(
				ast.Item(w.id, text(g.ID)),
				ast.Item(w.iss, text(g.Issuer)),
				ast.Item(w.sub, text(g.Subject)),
				ast.Item(w.created, nanos(g.Created)),
				ast.Item(w.until, nanos(g.Until)),
			)
		}
		grants = ast.ArrayTerm(terms...)
	}
	return ast.ObjectTerm(
		ast.Item(w.id, text(d.ID)),
		ast.Item(w.access, text(string(level(d)))),
		ast.Item(w.value, text(d.Value)),
		ast.Item(w.issuers, w.texts(d.Issuers)),
		ast.Item(w.sources, w.texts(d.Sources)),
		ast.Item(w.by, w.texts(d.By)),
		ast.Item(w.registeredBy, text(string(by))),
		ast.Item(w.grants, grants),
	)
}

// linkedOf lists the caller's further identities.
func (w *words) linkedOf(caller trust.Caller) *ast.Term {
	if len(caller.Linked) == 0 {
		return w.empty
	}
	terms := make([]*ast.Term, len(caller.Linked))
	for i, l := range caller.Linked {
		terms[i] = ast.ObjectTerm(
			ast.Item(w.iss, text(l.Issuer)), ast.Item(w.sub, text(l.Subject)), ast.Item(w.until, nanos(l.Until)),
		)
	}
	return ast.ArrayTerm(terms...)
}

// person names whom accepted links make one: text that is the same for all
// identities of one person, and for no other's. An issuer has no space in it.
func person(linked, own trust.Identity) *ast.Term {
	if linked.IsZero() {
		linked = own
	}
	return ast.StringTerm(linked.Issuer + " " + linked.Subject)
}

// ownGrants keeps the grants of this caller for this dataset, under any of the
// caller's identities, whatever else was handed in. Nobody's grants are nobody's.
func ownGrants(in access.Input) []access.Grant {
	if in.Caller.Anonymous() {
		return nil
	}
	own := make([]access.Grant, 0, len(in.Grants))
	for _, g := range in.Grants {
		if !holdersEnd(in.Caller, g).IsZero() && g.Dataset == in.Dataset.ID && g.ID != "" {
			own = append(own, g)
		}
	}
	return own
}

// holdersEnd tells until when a grant is the caller's own: its own end for the
// identity that the caller showed, at the latest the end of the links for another.
// Zero: it is somebody else's.
func holdersEnd(caller trust.Caller, g access.Grant) time.Time {
	if g.Identity == caller.Identity {
		return g.Until
	}
	for _, l := range caller.Linked {
		if l.Identity == g.Identity && !g.Until.IsZero() && !l.Until.IsZero() {
			return earliest(g.Until, l.Until)
		}
	}
	return time.Time{}
}

// visas groups the caller's visas by type and value, so that a rule looks up the
// few that name its dataset instead of walking all. Types that the policy does not
// look at stay out, and so does everything that an anonymous caller cannot have.
func (p *Policy) visas(caller trust.Caller) *ast.Term {
	type group struct{ kind, value string }
	groups := make(map[group][]*ast.Term, len(caller.Visas))
	byType := ast.NewObject()
	if caller.Anonymous() {
		return ast.NewTerm(byType)
	}
	for _, v := range caller.Visas {
		if _, ok := slices.BinarySearch(p.visaTypes, v.Type); ok {
			key := group{v.Type, v.Value}
			groups[key] = append(groups[key], p.words.visa(v))
		}
	}
	for key, visas := range groups {
		kind := text(key.kind)
		values := byType.Get(kind)
		if values == nil {
			values = ast.ObjectTerm()
			byType.Insert(kind, values)
		}
		values.Value.(ast.Object).Insert(text(key.value), ast.ArrayTerm(visas...))
	}
	return ast.NewTerm(byType)
}

// visa makes one visa. A caller may hold dozens: the terms are taken from one
// allocation.
func (w *words) visa(v trust.Visa) *ast.Term {
	terms := [...]ast.Term{
		{Value: ast.String(v.Digest.String())}, {Value: ast.String(v.Issuer)}, {Value: ast.String(v.Subject)},
		{Value: ast.String(v.Type)}, {Value: ast.String(v.Value)}, {Value: ast.String(v.Source)}, {Value: ast.String(v.By)},
	}
	personUntil := w.forever
	if !v.PersonUntil.IsZero() {
		personUntil = nanos(v.PersonUntil)
	}
	return ast.ObjectTerm(
		ast.Item(w.digest, &terms[0]),
		ast.Item(w.iss, &terms[1]),
		ast.Item(w.sub, &terms[2]),
		ast.Item(w.kind, &terms[3]),
		ast.Item(w.value, &terms[4]),
		ast.Item(w.source, &terms[5]),
		ast.Item(w.by, &terms[6]),
		ast.Item(w.asserted, nanos(v.Asserted)),
		ast.Item(w.expires, nanos(v.Expires)),
		ast.Item(w.person, person(v.Person, v.Identity)),
		ast.Item(w.personUntil, personUntil),
	)
}

func text(s string) *ast.Term { return ast.InternedTerm(s) }

func (w *words) texts(list []string) *ast.Term {
	if len(list) == 0 {
		return w.empty
	}
	terms := make([]*ast.Term, len(list))
	for i, s := range list {
		terms[i] = text(s)
	}
	return ast.ArrayTerm(terms...)
}

// nanos gives nanoseconds since 1970, the engine's own measure of time. The zero
// time is 0, long over; a time past what fits (the year 2262) is the last that
// does.
func nanos(t time.Time) *ast.Term {
	switch {
	case t.IsZero() || t.Unix() < 0:
		return ast.InternedTerm(0)
	case t.Unix() > math.MaxInt64/int64(time.Second)-1:
		return number(math.MaxInt64)
	}
	return number(t.UnixNano())
}

func number(n int64) *ast.Term {
	return ast.NewTerm(ast.Number(strconv.FormatInt(n, 10)))
}
