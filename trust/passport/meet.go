package passport

import (
	"fmt"
	"strings"
	"time"

	"github.com/candignode/candignode/trust"
)

// met is how a clause or an alternative was met: by visas and links, until a time.
type met struct {
	until time.Time
	by    []trust.Digest
}

// meet decides about the conditions of a visa. They are met by other visas that this
// site accepted without conditions, of the same person, whatever passport of the
// request those came in (passports.md, rows 39 to 41). Of several alternatives the one
// that lasts longest counts, and the visa ends with whatever it rests on (row 55).
//
// Every clause is compared with every visa even when the outcome is known: what a
// trace tells and what decides must not differ.
func (j *judgement) meet(v *judged) {
	ways := j.people.ways(v.visa.Identity)
	best, chosen := met{}, -1
	for n, clauses := range v.record.special.conditions.alternatives {
		least, all := met{}, true
		for i := range clauses {
			got, ok := j.clause(v, ways, &clauses[i], fmt.Sprintf("alternative %d, clause %d", n+1, i+1))
			if !ok {
				all = false
				continue
			}
			least.until = sooner(least.until, got.until)
			least.by = appendNew(least.by, got.by...)
		}
		if all && (chosen < 0 || least.until.After(best.until)) {
			best, chosen = least, n
		}
	}
	if chosen < 0 {
		v.reject(trust.ReasonConditions, "the visa holds only under conditions, which the other visas shown do not meet: show, in the same request, visas of the same person that do")
		return
	}
	v.end(best.until)
	j.support(v, best.by...)
	j.say(v, "alternative %d of the conditions counts, so the visa holds until %s", chosen+1, stamp(v.visa.Expires))
}

// clause looks for the one visa that meets a clause, and lasts longest.
func (j *judgement) clause(v *judged, ways []route, c *clause, where string) (best met, ok bool) {
	var foreign []trust.Digest
	by := -1
	for i := range j.visas {
		other := &j.visas[i]
		if other.visa.Type != c.visaType || !other.accepted() || other.conditional() {
			continue
		}
		if j.steps -= stepsOfClause; j.steps <= 0 || !c.meets(&other.visa, &j.steps) {
			continue
		}
		until, same := j.between(v, ways, other)
		if !same {
			foreign = append(foreign, other.visa.Digest)
			continue
		}
		if until = sooner(other.visa.Expires, until); by < 0 || until.After(best.until) {
			by, best.until = i, until
		}
	}
	if by >= 0 {
		other := &j.visas[by]
		best.by = []trust.Digest{other.visa.Digest}
		if other.visa.Identity != v.visa.Identity {
			_, n := j.people.to(ways, other.visa.Identity)
			best.by = append(best.by, j.people.visas(ways, n)...)
		}
	}
	if j.a.callerOnly {
		return best, by >= 0
	}
	if by >= 0 {
		linked := ""
		if len(best.by) > 1 {
			linked = ", linked by " + digests(best.by[1:])
		}
		j.say(v, "%s (%s): met by the %s visa %s%s", where, c, shown(j.visas[by].visa.Type), best.by[0].Short(), linked)
		return best, true
	}
	j.say(v, "%s (%s): not met: %s", where, c, j.why(c, foreign))
	return best, false
}

// between tells whether the two visas are of one person, and until when; the zero
// time is for ever.
func (j *judgement) between(v *judged, ways []route, other *judged) (until time.Time, same bool) {
	if v.visa.Identity == other.visa.Identity {
		return time.Time{}, true
	}
	w, _ := j.people.to(ways, other.visa.Identity)
	return w.until, w.reached
}

// why tells what stands against a clause.
func (j *judgement) why(c *clause, foreign []trust.Digest) string {
	switch {
	case c.fault != "":
		return "the clause cannot be understood: " + c.fault
	case len(foreign) > 0:
		return "another person's visas would meet it (" + digests(foreign) + "), and no link joins the two"
	case j.steps <= 0:
		return "there is more to compare than one request may ask for"
	}
	counted := 0
	var others []string
	for i := range j.visas {
		other := &j.visas[i]
		if other.visa.Type != c.visaType {
			continue
		}
		switch {
		case other.conditional() && other.record.accepted():
			others = append(others, other.visa.Digest.Short()+" holds only under conditions itself")
		case !other.accepted():
			others = append(others, other.visa.Digest.Short()+" was not accepted ("+string(other.reason)+")")
		default:
			counted++
		}
	}
	told := "no visa of this type that can meet it was shown"
	if counted > 0 {
		told = fmt.Sprintf("none of the %d visas of this type has all that it wants", counted)
	}
	if len(others) > maxNamed {
		others = append(others[:maxNamed], fmt.Sprintf("and %d more", len(others)-maxNamed))
	}
	if len(others) > 0 {
		told += "; " + strings.Join(others, ", ")
	}
	return told
}
