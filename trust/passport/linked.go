package passport

import (
	"slices"
	"time"

	"github.com/candignode/candignode/trust"
)

// Linked gives the further identities of a person, by the stored links that hold at
// now, without anybody being in a request: for desks that ask whose a name is. Each
// link is judged as one that comes with a request is.
func (v *Verifier) Linked(of trust.Identity, now time.Time) []trust.LinkedIdentity {
	if v.options.KnownLinks == nil || of.IsZero() {
		return nil
	}
	a := attempt{v: v, now: v.clock.at(now)}
	a.look()
	j := &judgement{a: &a}
	j.remember([]group{{record: &passportRecord{identities: []trust.Identity{of}}}})
	j.people.join()
	var linked []trust.LinkedIdentity
	for n, w := range j.people.ways(of) {
		if w.reached && w.from >= 0 {
			linked = append(linked, trust.LinkedIdentity{Identity: j.people.identities[n], Until: w.until})
		}
	}
	slices.SortFunc(linked, func(a, b trust.LinkedIdentity) int { return compareIdentities(a.Identity, b.Identity) })
	return linked
}
