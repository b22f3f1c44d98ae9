package dac

import (
	"time"

	"github.com/candignode/candignode/trust"
)

// memory holds, for a few minutes, the visas that people were given, so that a burst
// of questions does not sign and record the same again. It is bounded, and is asked
// only about grants that are live at that moment.
type memory map[trust.Identity]map[string]kept

// kept is a visa that was given.
type kept struct {
	key     string
	visa    trust.Passport
	expires time.Time // its exp
	from    time.Time // remembered from
	until   time.Time // remembered until
}

// good tells whether the visa may be given again. A clock that was set back ends it:
// iat would lie in the future.
func (k kept) good(now time.Time) bool {
	return !now.Before(k.from) && now.Before(k.until) && now.Before(k.expires)
}

func (d *Desk) recall(of trust.Identity, key string, now time.Time) (kept, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	k, ok := d.memory[of][key]
	return k, ok && k.good(now)
}

// remember keeps k, unless somebody was faster: then theirs is given, so that two
// who ask at once have the same bytes.
func (d *Desk) remember(of trust.Identity, k kept, now time.Time) kept {
	d.mu.Lock()
	defer d.mu.Unlock()
	if held, ok := d.memory[of][k.key]; ok && held.good(now) {
		return held
	}
	if d.memory[of] == nil {
		d.memory.makeRoom(now)
		d.memory[of] = map[string]kept{}
	}
	d.memory[of][k.key] = k
	return k
}

// keepOnly forgets the visas of grants that are gone or changed.
func (d *Desk) keepOnly(of trust.Identity, claims []claim) {
	live := make(map[string]bool, len(claims))
	for _, c := range claims {
		live[grantKey(c)] = true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for key := range d.memory[of] {
		if !live[key] && key != linkKey(d.o.Subject(of)) {
			delete(d.memory[of], key)
		}
	}
	if len(d.memory[of]) == 0 {
		delete(d.memory, of)
	}
}

// makeRoom keeps the bound: first what nobody will be given any more goes, then
// anybody's.
func (m memory) makeRoom(now time.Time) {
	if len(m) < maxPeople {
		return
	}
	for of, visas := range m {
		for key, k := range visas {
			if !k.good(now) {
				delete(visas, key)
			}
		}
		if len(visas) == 0 {
			delete(m, of)
		}
	}
	for of := range m {
		if len(m) < maxPeople {
			return
		}
		delete(m, of)
	}
}
