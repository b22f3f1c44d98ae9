package policy

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
)

// ceiling is one way in which the policy lets the caller at a dataset.
type ceiling struct {
	granularity query.Granularity
	exact       bool
	rule        string
	visas       []string // digests
	grants      []string
	until       time.Time // zero: no end of its own
}

// verdict is all that the policy says about one dataset.
type verdict struct {
	ceilings []ceiling
	missing  []string
}

// verdicts takes the engine's output apart. Anything that is not exactly of the
// form that access.rego describes is an error, never a guess.
func verdicts(inputs []access.Input, ceilings, missing ast.Value) (map[string]verdict, error) {
	said := make(map[string]verdict, len(inputs))
	for _, in := range inputs {
		said[in.Dataset.ID] = verdict{}
	}
	err := perDataset("ceilings", ceilings, said, func(v *verdict, t *ast.Term) error {
		c, err := newCeiling(t)
		v.ceilings = append(v.ceilings, c)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = perDataset("missing", missing, said, func(v *verdict, t *ast.Term) error {
		s, ok := t.Value.(ast.String)
		if !ok {
			return fmt.Errorf("missing: want text, have a value of type %s", ast.ValueName(t.Value))
		}
		v.missing = append(v.missing, string(s))
		return nil
	})
	return said, err
}

// perDataset walks an entry point's output: {dataset id: {member, ...}}, wrapped
// in an array that is empty when the entry point is undefined.
func perDataset(name string, wrapped ast.Value, said map[string]verdict, each func(*verdict, *ast.Term) error) error {
	outer, ok := wrapped.(*ast.Array)
	if !ok || outer.Len() > 1 {
		return fmt.Errorf("%s: no output", name)
	}
	if outer.Len() == 0 {
		return nil
	}
	object, ok := outer.Elem(0).Value.(ast.Object)
	if !ok {
		return fmt.Errorf("%s: want an object of sets by dataset, have a value of type %s", name, ast.ValueName(outer.Elem(0).Value))
	}
	return object.Iter(func(key, members *ast.Term) error {
		id, ok := key.Value.(ast.String)
		if !ok {
			return fmt.Errorf("%s: a key is not a dataset id", name)
		}
		v, ok := said[string(id)]
		if !ok {
			return fmt.Errorf("%s: speaks of %.80q, which was not asked", name, string(id))
		}
		set, ok := members.Value.(ast.Set)
		if !ok {
			return fmt.Errorf("%s[%q]: want a set, have a value of type %s; write `%s[id] contains ...`",
				name, string(id), ast.ValueName(members.Value), name)
		}
		if err := set.Iter(func(t *ast.Term) error { return each(&v, t) }); err != nil {
			return err
		}
		said[string(id)] = v
		return nil
	})
}

func newCeiling(t *ast.Term) (c ceiling, err error) {
	object, ok := t.Value.(ast.Object)
	if !ok {
		return c, fmt.Errorf("ceilings: a member is a value of type %s, want an object", ast.ValueName(t.Value))
	}
	required := 0
	err = object.Iter(func(key, value *ast.Term) error {
		name, _ := key.Value.(ast.String)
		if name != "until" {
			required++
		}
		ok := false
		switch name {
		case "granularity":
			var s ast.String
			s, ok = value.Value.(ast.String)
			c.granularity = query.Granularity(s)
			ok = ok && c.granularity.Rank() > 0
		case "exact":
			var b ast.Boolean
			b, ok = value.Value.(ast.Boolean)
			c.exact = bool(b)
		case "rule":
			var s ast.String
			s, ok = value.Value.(ast.String)
			c.rule = string(s)
			ok = ok && s != "" && len(s) <= MaxRule
		case "visas":
			c.visas, ok = list(value.Value)
		case "grants":
			c.grants, ok = list(value.Value)
		case "until":
			c.until, ok = moment(value.Value)
		default:
			return fmt.Errorf("ceilings: a member has %.80s, which means nothing", key)
		}
		if !ok {
			return fmt.Errorf("ceilings: %s is %.80s, which cannot be", string(name), value)
		}
		return nil
	})
	if err == nil && required != 5 {
		err = errors.New("ceilings: a member lacks one of granularity, exact, rule, visas, grants")
	}
	return c, err
}

func list(v ast.Value) (texts []string, ok bool) {
	var iterate func(func(*ast.Term) error) error
	switch v := v.(type) {
	case *ast.Array:
		iterate = v.Iter
	case ast.Set:
		iterate = v.Iter
	default:
		return nil, false
	}
	err := iterate(func(t *ast.Term) error {
		s, ok := t.Value.(ast.String)
		if !ok || s == "" {
			return errors.New("not text")
		}
		texts = append(texts, string(s))
		return nil
	})
	return texts, err == nil
}

// moment reads nanoseconds since 1970. Zero and less are no time: an end that
// is missing must not be read as no end.
func moment(v ast.Value) (time.Time, bool) {
	n, ok := v.(ast.Number)
	if !ok {
		return time.Time{}, false
	}
	ns, err := json.Number(n).Int64()
	if err != nil || ns <= 0 || ns == math.MaxInt64 && n != "9223372036854775807" {
		return time.Time{}, false
	}
	return time.Unix(0, ns).UTC(), true
}

// decision picks the best ceiling that holds now. What a ceiling relies on must
// have been handed in, and ends it: the policy can shorten an access and never
// stretch it.
func decision(in access.Input, said verdict) (access.Decision, error) {
	if len(said.ceilings) > 0 && level(in.Dataset) != access.Public && in.Caller.Anonymous() {
		return access.Decision{}, errors.New("the policy gives protected data to an anonymous caller")
	}
	if !in.Caller.Anonymous() && expired(in.Caller.Until, in.Now) {
		return access.Decision{Rule: denial([]string{"a sign-in that has not expired"})}, nil
	}
	var best access.Decision
	for _, c := range said.ceilings {
		d, err := lower(in, c)
		if err != nil {
			return access.Decision{}, err
		}
		if !d.Until.IsZero() && expired(d.Until, in.Now) {
			said.missing = append(said.missing, "what "+c.rule+" relies on has expired")
			continue
		}
		if compare(d, best) > 0 {
			best = d
		}
	}
	if !best.Allow {
		best.Rule = denial(said.missing)
	}
	return best, nil
}

// lower makes a decision of one ceiling: no more than was asked, no longer than
// the least expiry.
func lower(in access.Input, c ceiling) (access.Decision, error) {
	d := access.Decision{
		Allow:       true,
		Granularity: query.Least(c.granularity, in.Granularity),
		ExactCounts: c.exact,
		Rule:        c.rule,
		Until:       earliest(c.until, in.Caller.Until),
	}
	var relied []trust.Visa
	for _, name := range c.visas {
		digest, err := trust.ParseDigest(name)
		i := slices.IndexFunc(in.Caller.Visas, func(v trust.Visa) bool { return v.Digest == digest })
		if err != nil || i < 0 || in.Caller.Anonymous() {
			return d, fmt.Errorf("rule %.80q relies on visa %.60q, which was not handed in", c.rule, name)
		}
		visa := in.Caller.Visas[i]
		if visa.Expires.IsZero() { // a missing expiry is not an endless one
			return d, fmt.Errorf("rule %.80q relies on visa %.60q, which has no expiry", c.rule, name)
		}
		d.Visas, d.Until = append(d.Visas, visa.Digest), earliest(d.Until, visa.Expires)
		relied = append(relied, visa)
	}
	linksEnd, err := onePerson(relied)
	if err != nil {
		return d, fmt.Errorf("rule %.80q %w", c.rule, err)
	}
	d.Until = earliest(d.Until, linksEnd)
	grants := ownGrants(in)
	for _, id := range c.grants {
		i := slices.IndexFunc(grants, func(g access.Grant) bool { return g.ID == id })
		if i < 0 {
			return d, fmt.Errorf("rule %.80q relies on grant %.60q, which was not handed in", c.rule, id)
		}
		if grants[i].Until.IsZero() {
			return d, fmt.Errorf("rule %.80q relies on grant %.60q, which has no end", c.rule, id)
		}
		d.Grants, d.Until = append(d.Grants, id), earliest(d.Until, holdersEnd(in.Caller, grants[i]))
	}
	slices.SortFunc(d.Visas, func(a, b trust.Digest) int { return slices.Compare(a[:], b[:]) })
	slices.Sort(d.Grants)
	return d, nil
}

// onePerson makes sure that visas which a rule combines are of one person: of one
// identity, or of identities that accepted links join (GA4GH Passport 1.2, section
// 8.4). It gives the end of those links, zero where none was needed.
func onePerson(visas []trust.Visa) (linksEnd time.Time, err error) {
	for _, v := range visas {
		first := visas[0]
		switch {
		case v.Identity == first.Identity:
		case v.Person.IsZero() || v.Person != first.Person:
			return linksEnd, errors.New("relies on visas of two people")
		default:
			linksEnd = earliest(linksEnd, earliest(v.PersonUntil, first.PersonUntil))
		}
	}
	return linksEnd, nil
}

// earliest gives the sooner of two ends; a zero one is no end.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// compare orders decisions from worse to better: an allow, granularity, exact
// counts, the latest end; then names, so that equal ones are always chosen alike.
func compare(a, b access.Decision) int {
	return cmp.Or(
		cmp.Compare(rank(a.Allow), rank(b.Allow)),
		cmp.Compare(a.Granularity.Rank(), b.Granularity.Rank()),
		cmp.Compare(rank(a.ExactCounts), rank(b.ExactCounts)),
		cmp.Compare(rank(a.Until.IsZero()), rank(b.Until.IsZero())),
		a.Until.Compare(b.Until),
		strings.Compare(b.Rule, a.Rule),
		slices.CompareFunc(b.Visas, a.Visas, func(x, y trust.Digest) int { return slices.Compare(x[:], y[:]) }),
		slices.Compare(b.Grants, a.Grants),
	)
}

func rank(b bool) int {
	if b {
		return 1
	}
	return 0
}

func denial(missing []string) string {
	if len(missing) == 0 {
		return "no rule allows this"
	}
	slices.Sort(missing)
	return clip("missing: "+strings.Join(missing, "; "), MaxRule)
}
