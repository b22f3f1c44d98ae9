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
	// Only this loop knows what is due and what is under way; a poll reports its end
	// here, so that an issuer that failed is asked again sooner, no timer is shared, and
	// polls of an issuer that is slow do not queue up.
	due := map[string]time.Time{}
	underWay := map[string]bool{}
	ended := make(chan polled)
	slots := make(chan struct{}, fetchers)
	var polls sync.WaitGroup
	defer polls.Wait()
	for {
		now := d.now()
		next := now.Add(d.poll)
		s := d.state.Load()
		policies := s.policies
		for issuer, p := range policies {
			if !fetches(p) || underWay[issuer] {
				continue // what is under way wakes this loop when it ends
			}
			// A clock that was set back must not put a poll off by more than its period.
			period := s.period(issuer, d.poll)
			if at, ok := due[issuer]; !ok || !now.Before(at) || at.After(now.Add(period)) {
				due[issuer], underWay[issuer] = now.Add(jitter(period)), true
				polls.Go(func() { d.pollOne(ctx, issuer, slots, ended) })
			}
			if due[issuer].Before(next) {
				next = due[issuer]
			}
		}
		// An issuer that was removed and comes back is asked at once.
		for issuer := range due {
			if _, ok := policies[issuer]; !ok {
				delete(due, issuer)
			}
		}
		// At most one period ahead, and at least a tick: the timer runs by real time, due by
		// the clock that was handed in.
		timer := time.NewTimer(max(next.Sub(now), time.Millisecond))
		select {
		case <-timer.C:
		case p := <-ended:
			delete(underWay, p.issuer)
			if retry := d.now().Add(jitter(max(d.poll/5, minRetry))); p.err != nil && retry.Before(due[p.issuer]) {
				due[p.issuer] = retry
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

// period gives how often an issuer is fetched: as often as its bound home does, if that is oftener than the configured
// period, and no oftener than one fetch a minute.
func (s *state) period(issuer string, configured time.Duration) time.Duration {
	a := s.author(s.home(issuer))
	if a == nil || a.forked() {
		return configured
	}
	for _, w := range a.bundle.words {
		if w.Issuer == issuer && w.Refresh > 0 {
			return min(configured, max(w.Refresh, minRetry))
		}
	}
	return configured
}

// polled is the end of one poll.
type polled struct {
	issuer string
	err    error
}

// errSuperseded tells that the operator changed the issuer's policy while it was
// being asked, so that the answer to the old one was thrown away.
var errSuperseded = errors.New("the issuer's policy changed meanwhile")

// pollOne waits for a slot, so that a hundred issuers are not asked at once, and asks
// under the policy of now: a flight that began under another brings nothing.
func (d *Desk) pollOne(ctx context.Context, issuer string, slots chan struct{}, ended chan<- polled) {
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return
	}
	err := errSuperseded
	for errors.Is(err, errSuperseded) {
		d.flights.mu.Lock()
		fl := d.fly(issuer)
		d.flights.mu.Unlock()
		select {
		case <-fl.done:
			err = fl.err
		case <-ctx.Done():
			return
		}
	}
	select {
	case ended <- polled{issuer, err}:
	case <-ctx.Done():
	}
}

// fetch asks the issuer once and takes in what it says. A failure keeps what was
// held and is remembered for people.
func (d *Desk) fetch(ctx context.Context, issuer string) error {
	s := d.state.Load()
	p, ok := s.policies[issuer]
	if !ok || !fetches(p) {
		return ErrNotConfigured
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	// The keys are as old as the asking, not as the answer: a slow issuer must not
	// stretch max_stale.
	started := d.now()
	got, err := d.fetcher.Fetch(ctx, p, s.fetches[issuer].Validators())
	// Section 7: an issuer that shows no key at all is broken, and has not withdrawn all.
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
			return errSuperseded
		}
		// When each key was first seen is carried over: it decides who keeps a key that two
		// issuers show.
		old := next.fetches[issuer]
		f := fetchState{Fetched: got, at: started.UTC().Truncate(time.Second), tried: started, since: map[string]time.Time{}}
		for _, k := range got.Keys {
			f.since[k.Thumbprint] = f.at
			if t, ok := old.since[k.Thumbprint]; ok {
				f.since[k.Thumbprint] = t
			}
		}
		// A head is signed for peers only if they would learn something; that the
		// same set was seen again rides the next heartbeat, unless peers have waited for
		// it for long: this node, or the issuer, was off.
		before, _, had := observe(next, issuer)
		next.fetches[issuer] = f
		delete(next.withheld, issuer)
		next.saveFetch(issuer, f)
		after, _, has := observe(next, issuer)
		changed = had != has || !sameObservation(before, after) || after.At.Sub(before.At) >= renewAfter
		return nil
	})
	if changed {
		d.kick()
	}
	return err
}

// noteFailure remembers why the newest fetch failed. Nothing is written: a
// restart fetches at once.
func (d *Desk) noteFailure(ctx context.Context, p trust.IssuerPolicy, tried time.Time, cause error) error {
	return d.commit(context.WithoutCancel(ctx), func(next *draft) error {
		if !samePolicy(next.policies[p.Issuer], p) {
			return errSuperseded
		}
		f := next.fetches[p.Issuer]
		f.tried, f.err = tried, bounded(fmt.Sprint(cause))
		next.fetches[p.Issuer] = f
		return nil
	})
}
