package issuers

import (
	"context"
	"errors"
	"fmt"
	"maps"
)

// ErrNotWritten is wrapped by what a step returns when the store did not take it:
// nothing of the step is believed.
var ErrNotWritten = errors.New("evidence could not be written")

// commit runs one step of evidence. See step; when the store fails, keys that the
// step would have withdrawn are withheld all the same, because doubt must never
// prolong belief.
func (d *Desk) commit(ctx context.Context, change func(*draft) error) error {
	return d.step(ctx, change, true)
}

// step makes the next state: change works on a draft, everything that follows is
// recomputed, the store commits it together with its audit records, and then it is
// shown. One step at a time; nobody who only reads waits. If change fails, or the
// store does, the state stays as it was.
func (d *Desk) step(ctx context.Context, change func(*draft) error, withhold bool) error {
	select {
	case d.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-d.turn }()
	old := d.state.Load()
	next := old.draft(d.now())
	if err := change(next); err != nil {
		return err
	}
	// Settled before the write, so that one transaction holds the evidence and the audit
	// records of what it changed.
	next.settle(d.site)
	if len(next.save) > 0 || len(next.records) > 0 {
		// A write that has begun is finished: half of a caller's patience must not
		// decide whether memory and disk agree.
		if err := d.store.SaveEvidence(context.WithoutCancel(ctx), next.save, next.records...); err != nil {
			d.stats.storeFailed.Add(1)
			d.log.Error("evidence could not be written", "error", err)
			if withhold {
				d.withhold(old, next)
			}
			return fmt.Errorf("%w: %w", ErrNotWritten, err)
		}
	}
	d.show(old, next)
	return nil
}

// withhold shows the old state without the keys that next does not believe.
func (d *Desk) withhold(old *state, next *draft) {
	gone := lost(old.beliefs, next.beliefs)
	if len(gone) == 0 {
		return
	}
	narrow := old.draft(next.now)
	// Copied before it is added to: the state that is shown has the same maps.
	for issuer, prints := range gone {
		all := maps.Clone(narrow.withheld[issuer])
		if all == nil {
			all = map[string]bool{}
		}
		maps.Copy(all, prints)
		narrow.withheld[issuer] = all
	}
	narrow.settle(d.site)
	// Nothing of it was written: the audit log hears with the next step.
	narrow.said, narrow.ceiling = old.said, old.ceiling
	d.show(old, narrow)
}

// show makes a state the newest. Whoever waits on the one before is woken after the
// swap, so it cannot read that one again and miss this.
func (d *Desk) show(old *state, next *draft) {
	d.state.Store(next.state)
	close(old.replaced)
	if next.revision != old.revision {
		d.log.Info("beliefs changed", "trust_revision", next.revision)
	}
}
