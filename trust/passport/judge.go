package passport

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/candignode/candignode/trust"
)

// judgement is what the visas of one request make of one another. It is made anew
// for each request and nothing of it is kept.
type judgement struct {
	a      *attempt
	visas  []judged
	total  int // visas read, replaced ones included
	people people
	steps  int // of comparing, left
	lines  int // of traces, left

	fresh    []trust.Link     // out of this request's visas
	revoked  []trust.Identity // names that a link leads to, and that this site revoked
	crowded  bool             // there were more links than are joined
	supports map[trust.Digest][]trust.Digest
}

// judged is one visa in this request.
type judged struct {
	record *visaRecord // by itself; never changed
	group  int
	place  int // in its group, -1 if it stands in another's place

	visa   trust.Visa // as it goes to the caller
	reason trust.Reason
	detail string
	trace  []string
}

func (v *judged) accepted() bool { return v.reason == "" }

// conditional visas never meet a condition and never link.
func (v *judged) conditional() bool {
	return v.record.special != nil && v.record.special.conditions.present
}

// end lowers the end of what the visa allows.
func (v *judged) end(at time.Time) { v.visa.Expires = sooner(v.visa.Expires, at.UTC()) }

// reject takes the visa out, and shortens what is told of it as for any other that
// is not accepted.
func (v *judged) reject(reason trust.Reason, detail string) {
	v.reason, v.detail = reason, detail
	v.visa.Expires = time.Time{}
	v.visa.Subject, v.visa.Value, v.visa.Source = shown(v.visa.Subject), shown(v.visa.Value), shown(v.visa.Source)
}

// together judges visas that matter to one another. It works on a copy of the
// attempt, which spares the ordinary request, that never gets here, an allocation.
func (a *attempt) together(ctx context.Context, groups []group, verdict *Verdict) error {
	own := *a
	err := own.decide(ctx, groups, verdict)
	a.wanting, a.polled = own.wanting, own.polled
	return err
}

func (a *attempt) decide(ctx context.Context, groups []group, verdict *Verdict) error {
	j := &judgement{a: a, steps: maxMatchSteps, lines: maxTraces}
	for i := range groups {
		j.total += len(groups[i].record.visas)
	}
	for i := range groups {
		if !j.gather(ctx, i, &groups[i]) {
			return ctx.Err()
		}
	}
	j.link(groups)
	if err := j.expel(groups); err != nil {
		return err
	}
	for i := range j.visas {
		if v := &j.visas[i]; v.accepted() && v.conditional() {
			j.meet(v)
		}
	}
	for _, g := range groups {
		verdict.admit(g.record, g.unbound)
		if !a.callerOnly {
			verdict.explainPassport(g)
		}
	}
	j.attribute(verdict)
	j.conclude(groups, verdict)
	return nil
}

// gather takes in the visas of one group: what each is by itself, whether its bearer
// holds its key, and whether its issuer confirms it. It gives up with ctx.
func (j *judgement) gather(ctx context.Context, n int, g *group) bool {
	var compacts []string // read only if one is needed
	for i, record := range g.record.visas {
		v := j.begin(record, n, i)
		var instead []*visaRecord
		if v.accepted() && record.special != nil && record.special.accessToken {
			if compacts == nil {
				compacts = g.compacts()
			}
			compact := ""
			if i < len(compacts) {
				compact = compacts[i]
			}
			instead = j.confirm(ctx, &v, compact)
		}
		if ctx.Err() != nil {
			return false
		}
		until := j.a.polled[record.visa.Digest].Until
		j.visas = append(j.visas, v)
		for _, other := range instead {
			o := j.begin(other, n, -1)
			if o.accepted() {
				o.end(until)
			}
			j.say(&o, "stands in the place of the visa %s, by its issuer's word", record.visa.Digest.Short())
			j.visas = append(j.visas, o)
		}
	}
	return true
}

// begin takes a visa as it is by itself, and rejects one that is bound to a key whose
// possession was not shown.
func (j *judgement) begin(record *visaRecord, group, place int) judged {
	v := judged{record: record, group: group, place: place, visa: record.visa}
	v.reason, v.detail = record.words()
	if v.accepted() && record.special != nil {
		if refusal := j.a.held(record.special.confirmation, "visa"); refusal != nil {
			v.reject(refusal.Reason, refusal.Detail)
		}
	}
	return v
}

// attribute says of every accepted visa, and of the caller, whose they are.
func (j *judgement) attribute(verdict *Verdict) {
	caller := &verdict.Caller
	ways := make(map[trust.Identity][]route) // from each person
	whose := func(id trust.Identity) (trust.Identity, time.Time) {
		person := j.people.person(id)
		from, known := ways[person]
		if !known {
			from = j.people.ways(person)
			ways[person] = from
		}
		w, _ := j.people.to(from, id)
		return person, w.until
	}
	caller.Person, caller.PersonUntil = whose(caller.Identity)
	verdict.Until = sooner(verdict.Until, caller.PersonUntil)
	fromCaller := j.people.ways(caller.Identity)
	for n, w := range fromCaller {
		if w.reached && w.from >= 0 {
			caller.Linked = append(caller.Linked, trust.LinkedIdentity{Identity: j.people.identities[n], Until: w.until})
			verdict.Until = sooner(verdict.Until, w.until)
		}
	}
	slices.SortFunc(caller.Linked, func(a, b trust.LinkedIdentity) int { return compareIdentities(a.Identity, b.Identity) })
	caller.Links = j.fresh
	for i := range j.visas {
		v := &j.visas[i]
		if !v.accepted() {
			continue
		}
		v.visa.Person, v.visa.PersonUntil = whose(v.visa.Identity)
		verdict.Until = sooner(verdict.Until, v.visa.PersonUntil)
		w, n := j.people.to(fromCaller, v.visa.Identity)
		if along := j.people.visas(fromCaller, n); len(along) > 0 {
			j.support(v, along...)
			j.say(v, "of the same person as the caller until %s, by the links of %s", stamp(w.until), digests(along))
		}
	}
	caller.Supports = j.supports
}

// support notes what an accepted visa rests on, besides itself.
func (j *judgement) support(v *judged, by ...trust.Digest) {
	if j.supports == nil {
		j.supports = make(map[trust.Digest][]trust.Digest)
	}
	of := v.visa.Digest
	j.supports[of] = appendNew(j.supports[of], by...)
}

// conclude hands over what was decided.
func (j *judgement) conclude(groups []group, verdict *Verdict) {
	caller := &verdict.Caller
	for i := range j.visas {
		v := &j.visas[i]
		if v.accepted() {
			verdict.Until = earliest(verdict.Until, v.visa.Expires)
			if !holds(caller.Visas, v.visa.Digest) {
				caller.Visas = append(caller.Visas, v.visa)
			}
		}
		if !j.a.callerOnly {
			verdict.Visas = append(verdict.Visas, v.verdict())
		}
	}
	for n, g := range groups {
		if g.set == nil {
			continue
		}
		set := *g.set
		set.Visas = nil
		for i := range j.visas {
			v := &j.visas[i]
			if v.group == n && v.place >= 0 && v.accepted() && (v.record.special == nil || !v.record.special.accessToken) {
				set.Visas = append(set.Visas, g.set.Visas[v.place])
			}
		}
		caller.Sets = append(caller.Sets, set)
	}
}

func (v *judged) verdict() VisaVerdict {
	told := v.record.verdict()
	told.Subject, told.Value, told.Source = v.visa.Subject, v.visa.Value, v.visa.Source
	told.Accepted, told.Reason, told.Detail, told.Until, told.Trace = v.accepted(), v.reason, v.detail, v.visa.Expires, v.trace
	return told
}

// say adds a line to the visa's trace. Text of tokens goes in by named, shown or
// digests only.
func (j *judgement) say(v *judged, format string, args ...any) {
	if j.a.callerOnly || j.lines <= 0 || len(v.trace) > maxTrace {
		return
	}
	j.lines--
	if len(v.trace) == maxTrace || j.lines == 0 {
		v.trace = append(v.trace, "and more that is not told")
		return
	}
	v.trace = append(v.trace, fmt.Sprintf(format, args...))
}

func named(id trust.Identity) string { return shown(id.Subject) + " at " + shown(id.Issuer) }

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func digests(all []trust.Digest) string {
	var b strings.Builder
	for i, d := range all {
		if i == maxNamed {
			fmt.Fprintf(&b, " and %d more", len(all)-i)
			break
		}
		b.WriteString([]string{"", ", "}[min(i, 1)] + d.Short())
	}
	return b.String()
}
