package polling

import (
	"time"

	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/passport"
)

// entry gives the visa's place in memory, and notes that the visa is in use.
func (d *Desk) entry(v passport.AccessTokenVisa) (*entry, error) {
	digest, now := v.Visa.Digest(), d.options.Now()
	d.mu.Lock()
	e := d.entries[digest]
	if e != nil {
		e.used, e.expires, e.policy = now, v.Expires, v.Policy
	}
	d.mu.Unlock()
	if e != nil {
		return e, nil
	}
	state, known, err := d.options.Store.Poll(digest)
	if err != nil {
		return nil, err
	}
	if !known {
		state = access.Poll{Identity: v.Identity}
	}
	state = sane(state, now)
	e = &entry{digest: digest, visa: v.Visa, policy: v.Policy, expires: v.Expires, state: state, used: now, due: state.Next}
	d.mu.Lock()
	defer d.mu.Unlock()
	if other := d.entries[digest]; other != nil { // somebody else looked it up meanwhile
		return other, nil
	}
	d.entries[digest] = e
	d.bytes += e.size()
	d.makeRoom(e)
	return e, nil
}

// sane takes back what a clock that was wrong left behind: no confirmation lasts
// longer than confirmFor, and no delay is longer than the longest.
func sane(p access.Poll, now time.Time) access.Poll {
	if p.Until.After(now.Add(confirmFor)) {
		p.Until = time.Time{}
	}
	if longest := now.Add(lastRetry + lastRetry/2); p.Next.After(longest) {
		p.Next = longest
	}
	return p
}

// makeRoom forgets the visas that were used longest ago, but for keep and those that
// are being asked about. What the store knows of them stays. The caller holds mu.
func (d *Desk) makeRoom(keep *entry) {
	for len(d.entries) > d.options.Visas || d.bytes > d.options.Bytes {
		var oldest *entry
		for _, e := range d.entries {
			if e != keep && e.flight == nil && (oldest == nil || e.used.Before(oldest.used)) {
				oldest = e
			}
		}
		if oldest == nil {
			return // at most maxFlights more than may be
		}
		d.forget(oldest)
	}
}

// forget is called with mu held.
func (d *Desk) forget(e *entry) {
	if d.entries[e.digest] == e {
		delete(d.entries, e.digest)
		d.bytes -= e.size()
	}
}
