package polling

import (
	"context"
	"errors"
	"time"
)

// Run polls for the visas that are in use until ctx ends, and then waits for the
// polls that are under way. After that nothing more is asked. It may run once in the
// life of a desk.
func (d *Desk) Run(ctx context.Context) error {
	first := false
	d.ran.Do(func() { first = true })
	if !first {
		return errors.New("polling: Run was called twice")
	}
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			d.look()
		case <-ctx.Done():
			d.mu.Lock() // no poll starts after this
			d.end()
			d.mu.Unlock()
			d.flying.Wait()
			return nil
		}
	}
}

// look starts the polls that are due, and forgets the visas for which there are to be
// no more (GA4GH AAI 1.2, Passport Clearinghouses, 6.1 to 6.4).
func (d *Desk) look() {
	now, view, revoked := d.options.Now(), d.options.View(), d.options.Revoked()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.entries {
		if e.flight != nil {
			continue
		}
		trusted, ok := view.Lookup(e.policy.Issuer)
		switch {
		case !ok || !trusted.Policy.AccessTokenVisas, // not trusted for this any more
			!now.Before(e.expires), now.Sub(e.used) >= idleFor,
			revoked.Identity(e.state.Identity), revoked.Token(e.digest):
			d.forget(e)
		case e.state.Refused || now.Before(e.due):
		default:
			e.policy = trusted.Policy
			d.begin(e)
		}
	}
}
