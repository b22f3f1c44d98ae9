package passport

import (
	"slices"

	"github.com/candignode/candignode/trust"
)

// link joins the identities of the request's people: by accepted, unconditional
// LinkedIdentities visas, and by stored links that still hold.
func (j *judgement) link(groups []group) {
	for i := range j.visas {
		v := &j.visas[i]
		if !v.accepted() || v.record.special == nil || len(v.record.special.pairs) == 0 {
			continue
		}
		if v.conditional() {
			j.say(v, "links nobody, because it holds only under conditions")
			continue
		}
		j.linkBy(v)
	}
	if j.a.v.options.KnownLinks != nil {
		j.remember(groups)
	}
	j.people.join()
}

// linkBy takes in the links of one visa.
func (j *judgement) linkBy(v *judged) {
	about := v.record.special
	for _, pair := range about.pairs {
		if j.a.revoked.Issuer(pair.Issuer) {
			j.say(v, "does not link %s: its issuer is revoked at this site", named(pair))
			continue
		}
		if j.a.revoked.Person(pair) {
			j.say(v, "links %s, and that identity is revoked at this site", named(pair))
			j.revoked = append(j.revoked, pair)
		}
		link := trust.Link{
			A: v.visa.Identity, B: pair, Source: v.visa.Source, Visa: v.visa.Digest, KeyID: v.visa.KeyID,
			Until: v.visa.Expires, JTI: about.jti, Asserted: v.visa.Asserted,
		}
		if slices.Contains(j.people.links, link) { // the same visa in another passport
			continue
		}
		if !j.people.add(link) {
			j.crowded = true
			j.say(v, "does not link %s and what follows: one request joins at most %d links", named(pair), maxLinks)
			break
		}
		// A link out of a visa that is bound to a key holds for this request only.
		if about.confirmation.IsZero() && link.A != link.B {
			j.keep(forKeeping(link, about))
		}
		j.say(v, "links %s with %s until %s", named(v.visa.Identity), named(pair), stamp(link.Until))
	}
	if about.strangers > 0 {
		j.say(v, "%d further identities are not linked: this site does not let this issuer say who is who at their issuers", about.strangers)
	}
}

// keep notes a link for the stored map; of several visas that say the same, the one
// that says it longest.
func (j *judgement) keep(link trust.Link) {
	i := slices.IndexFunc(j.fresh, func(l trust.Link) bool { return l.A == link.A && l.B == link.B })
	switch {
	case i < 0:
		j.fresh = append(j.fresh, link)
	case j.fresh[i].Until.Before(link.Until):
		j.fresh[i] = link
	}
}

// forKeeping gives the link with the visa's own end: the evidence for its key is
// renewed again and again, and is asked for at each use of a kept link. What is good
// only as long as its issuer confirms it is kept no longer than that.
func forKeeping(link trust.Link, about *special) trust.Link {
	if !about.accessToken {
		link.Until = about.exp
	}
	return link
}

// remember adds the stored links that touch the request's identities, from one to
// the next.
func (j *judgement) remember(groups []group) {
	var todo []trust.Identity
	seen := make(map[trust.Identity]bool)
	visit := func(id trust.Identity) {
		switch {
		case seen[id]:
		case len(seen) >= maxLinks:
			j.crowded = true
		default:
			seen[id] = true
			todo = append(todo, id)
		}
	}
	for _, g := range groups {
		for _, id := range g.record.identities {
			visit(id)
		}
	}
	for _, v := range j.visas {
		if v.accepted() {
			visit(v.visa.Identity)
		}
	}
	for _, id := range j.people.identities {
		visit(id)
	}
	for len(todo) > 0 {
		id := todo[0]
		todo = todo[1:]
		for _, known := range j.a.v.options.KnownLinks(id) {
			link, holds := j.a.stored(known)
			if !holds {
				continue
			}
			if !j.people.add(link) {
				j.crowded = true
				continue
			}
			for _, end := range []trust.Identity{link.A, link.B} {
				if j.a.revoked.Person(end) {
					j.revoked = append(j.revoked, end)
				}
			}
			visit(link.A)
			visit(link.B)
		}
	}
}

// expel makes a revoked person nobody under any name: revoking one of the names
// that believed links join is revoking the person (passports.md, row 62). One passport
// of such a person refuses the request, as a passport of the revoked name would; visas of
// somebody else who is revoked are taken out. Where links had to be left out, nobody
// knows whom they lead to.
func (j *judgement) expel(groups []group) error {
	if j.crowded && j.a.revoked.AnyPerson() {
		return &Refusal{
			Reason: trust.ReasonTooMany, Set: groups[0].set != nil,
			Detail: "the visas shown, and those shown before, link more identities than this site can look through for one that it revoked: show only the visas that the question needs",
		}
	}
	if len(j.revoked) == 0 {
		return nil
	}
	gone := func(id trust.Identity) bool {
		return slices.ContainsFunc(j.revoked, func(r trust.Identity) bool { return j.people.person(r) == j.people.person(id) })
	}
	for n, g := range groups {
		if gone(g.record.identity) {
			return &Refusal{
				Reason: trust.ReasonRevoked, Detail: "this site took back the access of this person, under another name: ask its operator",
				Index: n, Set: g.set != nil,
			}
		}
	}
	for i := range j.visas {
		if v := &j.visas[i]; v.accepted() && gone(v.visa.Identity) {
			v.reject(trust.ReasonRevoked, "this site took back the access of the person whom the visa is about, under another name: ask its operator")
		}
	}
	return nil
}
