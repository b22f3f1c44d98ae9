package issuers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/candignode/candignode/trust"
)

// flights are the fetches under way: one for each issuer, whoever asked for it.
type flights struct {
	mu     sync.Mutex
	flying map[string]*flight
	asked  map[string]asked     // for the sake of an unknown kid
	hinted map[string]time.Time // when witnesses were last asked to fetch
}

// flight is one fetch; err may be read when done is closed.
type flight struct {
	done chan struct{}
	err  error
}

// asked is the newest refresh of an issuer.
type asked struct {
	at       time.Time
	revision uint64 // of the View when it began
}

// barrier returns when every flight that was allowed is counted in Desk.flying.
func (f *flights) barrier() {
	f.mu.Lock()
	defer f.mu.Unlock()
}

// fly starts a fetch of the issuer or joins the one under way. The caller holds
// d.flights.mu.
func (d *Desk) fly(issuer string) *flight {
	if fl, ok := d.flights.flying[issuer]; ok {
		return fl
	}
	fl := &flight{done: make(chan struct{})}
	if d.life.Err() != nil {
		fl.err = d.life.Err()
		close(fl.done)
		return fl
	}
	if d.flights.flying == nil {
		d.flights.flying = map[string]*flight{}
	}
	d.flights.flying[issuer] = fl
	d.flying.Go(func() {
		fl.err = d.fetch(d.life, issuer)
		d.flights.mu.Lock()
		delete(d.flights.flying, issuer)
		d.flights.mu.Unlock()
		close(fl.done)
	})
	return fl
}

// background runs f, whose context ends with the desk; Run waits for it. It
// tells false when the desk has ended.
func (d *Desk) background(f func(context.Context)) bool {
	d.flights.mu.Lock()
	defer d.flights.mu.Unlock()
	if d.life.Err() != nil {
		return false
	}
	d.flying.Go(func() { f(d.life) })
	return true
}

// pollIssuers fetches every issuer that has something to fetch, again and again.
func (d *Desk) pollIssuers(ctx context.Context) {
	// Only this loop knows what is due; a fetch that fails reports back here, so
	// that its issuer is asked again sooner, and no timer is shared.
	due := map[string]time.Time{}
	failed := make(chan string)
	slots := make(chan struct{}, fetchers)
	var polls sync.WaitGroup
	defer polls.Wait()
	for {
		now := d.now()
		next := now.Add(d.poll)
		policies := d.state.Load().policies
		for issuer, p := range policies {
			if p.Mode == trust.ModeManual {
				continue
			}
			if at, ok := due[issuer]; !ok || !now.Before(at) {
				due[issuer] = now.Add(jitter(d.poll))
				polls.Go(func() { d.pollOne(ctx, issuer, slots, failed) })
			}
			if due[issuer].Before(next) {
				next = due[issuer]
			}
		}
		for issuer := range due {
			if _, ok := policies[issuer]; !ok {
				delete(due, issuer)
			}
		}
		timer := time.NewTimer(max(next.Sub(now), time.Millisecond))
		select {
		case <-timer.C:
		case issuer := <-failed:
			if retry := d.now().Add(jitter(max(d.poll/5, minRetry))); retry.Before(due[issuer]) {
				due[issuer] = retry
			}
		case <-d.repoll:
			clear(due)
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// pollOne waits for a slot, so that a hundred issuers are not asked at once.
func (d *Desk) pollOne(ctx context.Context, issuer string, slots chan struct{}, failed chan<- string) {
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return
	}
	d.flights.mu.Lock()
	fl := d.fly(issuer)
	d.flights.mu.Unlock()
	select {
	case <-fl.done:
	case <-ctx.Done():
		return
	}
	if fl.err != nil {
		select {
		case failed <- issuer:
		case <-ctx.Done():
		}
	}
}

// fetch asks the issuer once and takes in what it says. A failure keeps what was
// held and is remembered for people.
func (d *Desk) fetch(ctx context.Context, issuer string) error {
	s := d.state.Load()
	p, ok := s.policies[issuer]
	if !ok || p.Mode == trust.ModeManual {
		return ErrNotConfigured
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	// The keys are as old as the asking, not as the answer: a slow issuer must not
	// stretch max_stale.
	started := d.now()
	got, err := d.fetcher.Fetch(ctx, p, s.fetches[issuer].Validators())
	if err == nil && len(got.Keys) == 0 {
		err = ErrNoKeys
	}
	if d.life.Err() != nil {
		return d.life.Err() // the node is stopping: nothing is wrong with the issuer
	}
	if err != nil {
		d.stats.fetchesFailed.Add(1)
		d.log.Warn("an issuer's keys could not be fetched; the last good ones stay until they are stale", "issuer", issuer, "error", err)
		return errors.Join(err, d.noteFailure(ctx, p, started, err))
	}
	d.stats.fetches.Add(1)
	changed := false
	err = d.commit(context.WithoutCancel(ctx), func(next *draft) error {
		if !samePolicy(next.policies[issuer], p) {
			return errNothing // asked under a policy that is no more; the next poll asks again
		}
		old := next.fetches[issuer]
		f := fetchState{Fetched: got, at: started.UTC().Truncate(time.Second), tried: started, since: map[string]time.Time{}}
		for _, k := range got.Keys {
			f.since[k.Thumbprint] = f.at
			if t, ok := old.since[k.Thumbprint]; ok {
				f.since[k.Thumbprint] = t
			}
		}
		// A head is signed for peers only if they would learn something; that the
		// same set was seen again rides the next heartbeat.
		before, had := observe(next, issuer)
		next.fetches[issuer] = f
		delete(next.withheld, issuer)
		next.saveFetch(issuer, f)
		after, has := observe(next, issuer)
		changed = had != has || !sameObservation(before, after)
		return nil
	})
	if errors.Is(err, errNothing) {
		return nil
	}
	if changed {
		d.kick()
	}
	return err
}

// noteFailure remembers why the newest fetch failed. Nothing is written: a
// restart fetches at once.
func (d *Desk) noteFailure(ctx context.Context, p trust.IssuerPolicy, tried time.Time, cause error) error {
	err := d.commit(context.WithoutCancel(ctx), func(next *draft) error {
		if !samePolicy(next.policies[p.Issuer], p) {
			return errNothing
		}
		f := next.fetches[p.Issuer]
		f.tried, f.err = tried, bounded(fmt.Sprint(cause))
		next.fetches[p.Issuer] = f
		return nil
	})
	if errors.Is(err, errNothing) {
		return nil
	}
	return err
}
