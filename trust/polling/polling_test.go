package polling

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/audit"
	"github.com/candignode/candignode/trust/passport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const issuer = "https://dac.example.org/"

// world is a desk, a store that survives it, and an issuer that answers as told.
type world struct {
	t    *testing.T
	desk *Desk
	stop func()

	mu      sync.Mutex
	kept    map[trust.Digest]access.Poll
	records []audit.Record
	full    error // of the disk
	asked   []time.Time
	by      map[string]int // polls of each visa
	takes   time.Duration
	answer  func(trust.Passport) ([]string, error)
	random  float64
	revoked *trust.Revocations
	trusted bool
	log     bytes.Buffer
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, kept: map[trust.Digest]access.Poll{}, by: map[string]int{}, takes: time.Second, trusted: true}
	w.answer = func(trust.Passport) ([]string, error) { return nil, ErrUnchanged }
	w.start()
	return w
}

// start is a start of the node; what it knows is what the store has.
func (w *world) start() {
	d, err := New(Options{
		View: w.view, Revoked: func() *trust.Revocations { return w.revoked }, Fetch: w.fetch, Store: w,
		Random: func() float64 { w.mu.Lock(); defer w.mu.Unlock(); return w.random },
		Log:    slog.New(slog.NewTextHandler(&w.log, nil)), Visas: 50, Bytes: 200_000,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); d.Run(ctx) }()
	w.desk, w.stop = d, func() { cancel(); <-done }
}

func (w *world) restart() { w.stop(); w.start() }

func (w *world) view() *trust.View {
	return &trust.View{Issuers: map[string]trust.IssuerView{issuer: {Policy: trust.IssuerPolicy{Issuer: issuer, AccessTokenVisas: w.trusted}}}}
}

func (w *world) fetch(ctx context.Context, policy trust.IssuerPolicy, visa trust.Passport) ([]string, error) {
	w.mu.Lock()
	w.asked = append(w.asked, time.Now())
	w.by[visa.Compact()]++
	takes, answer := w.takes, w.answer
	w.mu.Unlock()
	if policy.Issuer != issuer {
		w.t.Errorf("%s was asked", policy.Issuer)
	}
	select {
	case <-time.After(takes):
		return answer(visa)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (w *world) SavePoll(_ context.Context, visa trust.Digest, p access.Poll, records ...audit.Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.full != nil {
		return w.full
	}
	w.kept[visa], w.records = p, append(w.records, records...)
	return nil
}

func (w *world) Poll(visa trust.Digest) (access.Poll, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p, known := w.kept[visa]
	return p, known, w.full
}

// visa is an access token visa that lasts a year.
func visa(name string) passport.AccessTokenVisa {
	now := time.Now()
	return passport.AccessTokenVisa{
		Visa: trust.NewPassport(name), Policy: trust.IssuerPolicy{Issuer: issuer, AccessTokenVisas: true},
		Identity: trust.Identity{Issuer: issuer, Subject: "r.franklin"},
		IssuedAt: now.Add(-61 * time.Minute), Expires: now.Add(365 * 24 * time.Hour), Now: now,
	}
}

func (w *world) status(v passport.AccessTokenVisa) passport.Polled {
	return w.desk.Status(context.Background(), v)
}

func (w *world) polls() int { w.mu.Lock(); defer w.mu.Unlock(); return len(w.asked) }

func (w *world) says(visas []string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = func(trust.Passport) ([]string, error) { return visas, err }
}

func ok(p passport.Polled) bool { return time.Now().Before(p.Until) && !p.Refused }

// inFakeTime runs a test in a bubble with a world of its own.
func inFakeTime(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer func() { w.stop() }()
		f(t, w)
	})
}

// row 57, row 60 and V078: a visa that was issued 61 minutes ago, and the five
// answers that there are.
func TestWhatTheIssuerSaysDecides(t *testing.T) {
	for _, c := range []struct {
		name                         string
		visas                        []string
		err                          error
		confirmed, refused, replaced bool
	}{
		{"200", nil, ErrUnchanged, true, false, false},
		{"200 with the visa itself", []string{"other", "the visa"}, nil, true, false, false},
		{"updated visas", []string{"new 1", "new 2"}, nil, true, false, true},
		{"401", nil, fmt.Errorf("polling: %w (401)", ErrRefused), false, true, false},
		{"nonsense", nil, fmt.Errorf("%w: not JSON", ErrUnusable), false, true, false},
		{"an empty set", []string{}, nil, false, true, false},
		{"no set", nil, nil, false, true, false},
		{"an empty visa", []string{"new", ""}, nil, false, true, false},
		{"too many", slices.Repeat([]string{"x"}, maxReplacements+1), nil, false, true, false},
		{"too much", []string{strings.Repeat("x", maxReplacedBytes+1)}, nil, false, true, false},
		{"500", nil, errors.New("500"), false, false, false},
		{"timeout", nil, context.DeadlineExceeded, false, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T, w *world) {
				w.says(c.visas, c.err)
				got := w.status(visa("the visa"))
				if ok(got) != c.confirmed || got.Refused != c.refused || got.Replaced != c.replaced || got.Detail == "" {
					t.Errorf("%+v", got)
				}
				if c.replaced != (len(got.Visas) > 0) || c.replaced && !slices.Equal(got.Visas, c.visas) {
					t.Errorf("visas %v", got.Visas)
				}
				if again := w.status(visa("the visa")); ok(again) != c.confirmed || again.Refused != c.refused || w.polls() != 1 {
					t.Errorf("then %+v, after %d polls", again, w.polls())
				}
			})
		})
	}
}

// row 58 and V079: 100 queries in ten minutes cost one poll, and 100 at once too.
func TestManyQueriesCostOnePoll(t *testing.T) {
	inFakeTime(t, func(t *testing.T, w *world) {
		v := visa("the visa")
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if got := w.status(v); !ok(got) {
					t.Errorf("%+v", got)
				}
			})
		}
		wg.Wait()
		for range 100 {
			time.Sleep(6 * time.Second)
			if !ok(w.status(v)) {
				t.Error("not confirmed")
			}
		}
		if w.polls() != 1 {
			t.Errorf("%d polls", w.polls())
		}
	})
}

// rows 57 and 58: polling once an hour confirms without a gap, so that no query
// waits for a poll, and never more often than that.
func TestPollingEveryHourLeavesNoGap(t *testing.T) {
	for _, random := range []float64{0, 0.5, 0.999} {
		inFakeTime(t, func(t *testing.T, w *world) {
			w.random, w.takes = random, 9*time.Second
			v := visa("the visa")
			for range 12 * 60 {
				before := time.Now()
				if !ok(w.status(v)) {
					t.Fatalf("not confirmed after %d polls", w.polls())
				}
				if w.polls() > 1 && time.Since(before) > 0 {
					t.Fatal("a query waited")
				}
				time.Sleep(time.Minute)
			}
			if n := w.polls(); n < 11 || n > 13 {
				t.Errorf("%d polls in twelve hours", n)
			}
			for i := 1; i < len(w.asked); i++ {
				if gap := w.asked[i].Sub(w.asked[i-1]); gap < pollEvery+time.Duration(random*float64(spread)) || gap > pollEvery+spread+tick {
					t.Errorf("%v between polls", gap)
				}
			}
		})
	}
}

// row 57: an issuer that is down confirms nothing for longer than the last
// confirmation lasts; row 58: it is asked ever more rarely, and not in step.
func TestAnIssuerThatIsDownIsAskedEverMoreRarely(t *testing.T) {
	for _, random := range []float64{0, 0.999} {
		inFakeTime(t, func(t *testing.T, w *world) {
			w.random = random
			w.says(nil, errors.New("500"))
			v := visa("the visa")
			for range 10 * 60 * 6 { // ten hours of a query every ten seconds
				if got := w.status(v); ok(got) || got.Refused {
					t.Fatalf("%+v", got)
				}
				time.Sleep(10 * time.Second)
			}
			want := firstRetry
			for i := 1; i < len(w.asked); i++ {
				least := want + time.Duration(random*float64(want)/2)
				gap := w.asked[i].Sub(w.asked[i-1])
				if gap < least || gap > least+30*time.Second {
					t.Errorf("retry %d after %v, want %v and a moment", i, gap, least)
				}
				want = min(2*want, lastRetry)
			}
			if n := len(w.asked); n < 10 || n > 16 {
				t.Errorf("%d polls in ten hours", n)
			}
			w.says(nil, ErrUnchanged)
			for range 100 { // and when it is back, all is well within the longest delay
				time.Sleep(time.Minute)
				w.status(v)
			}
			if !ok(w.status(v)) {
				t.Error("not confirmed although its issuer is back")
			}
		})
	}
}

// row 58: delays grow, whatever the random numbers are.
func TestDelaysGrowWithinTheirBounds(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		random := rapid.SliceOfN(rapid.Float64Range(0, 0.9999), 40, 40).Draw(r, "random")
		i, now := 0, time.Unix(1_760_000_000, 0)
		d := &Desk{options: Options{Random: func() float64 { i++; return random[i-1] }}}
		var p access.Poll
		before := time.Duration(0)
		for n := range 40 {
			p = d.failed(p, now, now)
			delay := p.Next.Sub(now)
			if base := min(firstRetry<<min(n, 20), lastRetry); delay < base || delay > base+base/2 {
				r.Errorf("delay %d is %v", n, delay)
			} else if base < lastRetry && delay <= before {
				r.Errorf("delay %d is %v after %v", n, delay, before)
			}
			if p.Expires.Before(p.Next) {
				r.Error("it would be forgotten before the next poll")
			}
			before = delay
		}
	})
}

// row 59: what the issuer took back is not asked about again, and no access is left,
// whatever the issuer would say now, whether or not the node was restarted.
func TestARefusalIsForGood(t *testing.T) {
	inFakeTime(t, func(t *testing.T, w *world) {
		v := visa("the visa")
		if !ok(w.status(v)) {
			t.Fatal("not confirmed")
		}
		w.says(nil, fmt.Errorf("polling: %w (403)", ErrRefused))
		for range 70 {
			time.Sleep(time.Minute)
			w.status(v)
		}
		if got := w.status(v); !got.Refused || ok(got) || w.polls() != 2 {
			t.Fatalf("%+v after %d polls", got, w.polls())
		}
		w.says(nil, ErrUnchanged)
		for i := range 200 {
			if i == 100 {
				w.restart()
			}
			time.Sleep(10 * time.Minute)
			if got := w.status(v); !got.Refused || ok(got) {
				t.Fatalf("%+v", got)
			}
		}
		if w.polls() != 2 {
			t.Errorf("%d polls", w.polls())
		}
		if len(w.records) != 1 || w.records[0].Event != audit.EventRevocation || w.records[0].Outcome != "withdrawn" ||
			!slices.Equal(w.records[0].Visas, []trust.Digest{v.Visa.Digest()}) || w.records[0].Caller != v.Identity {
			t.Errorf("records %+v", w.records)
		}
	})
}

// row 59: a refusal holds also if the disk refuses to note it.
func TestARefusalThatCannotBeNoted(t *testing.T) {
	inFakeTime(t, func(t *testing.T, w *world) {
		w.answer = func(trust.Passport) ([]string, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.full = errors.New("no space left on device")
			return nil, ErrRefused
		}
		if got := w.status(visa("the visa")); !got.Refused || ok(got) {
			t.Errorf("%+v", got)
		}
	})
}

// A confirmation that cannot be noted is none, and without a note nobody is asked:
// after a restart the node would not know that it has been.
func TestADiskThatIsFullConfirmsNothing(t *testing.T) {
	inFakeTime(t, func(t *testing.T, w *world) {
		w.answer = func(trust.Passport) ([]string, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.full = errors.New("no space left on device")
			return nil, ErrUnchanged
		}
		v := visa("the visa")
		if got := w.status(v); ok(got) || w.polls() != 1 {
			t.Errorf("%+v after %d polls", got, w.polls())
		}
		time.Sleep(10 * time.Minute)
		if got := w.status(v); ok(got) || w.polls() != 1 {
			t.Errorf("%+v after %d polls", got, w.polls())
		}
		if got := w.status(visa("another")); ok(got) || w.polls() != 1 {
			t.Errorf("what cannot be looked up: %+v after %d polls", got, w.polls())
		}
		w.full = nil
		w.says(nil, ErrUnchanged)
		time.Sleep(time.Hour)
		if !ok(w.status(v)) {
			t.Error("not confirmed although the disk is well")
		}
	})
}

// row 59: polling stops at exp, when nobody uses the visa, when its issuer is no
// longer trusted for such visas, and when this site revoked it.
func TestPollingStops(t *testing.T) {
	for name, end := range map[string]func(w *world, v *passport.AccessTokenVisa){
		"exp":         func(_ *world, v *passport.AccessTokenVisa) { v.Expires = time.Now().Add(90 * time.Minute) },
		"nobody asks": func(*world, *passport.AccessTokenVisa) {},
		"not trusted": func(w *world, _ *passport.AccessTokenVisa) { w.trusted = false },
		"revoked person": func(w *world, v *passport.AccessTokenVisa) {
			w.revoked = trust.NewRevocations(1, []trust.Revocation{{Kind: trust.RevokeIdentity, Issuer: v.Identity.Issuer, Subject: v.Identity.Subject}})
		},
		"revoked token": func(w *world, v *passport.AccessTokenVisa) {
			w.revoked = trust.NewRevocations(1, []trust.Revocation{{Kind: trust.RevokeToken, Token: v.Visa.Digest()}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T, w *world) {
				v := visa("the visa")
				end(w, &v)
				if !ok(w.status(v)) {
					t.Fatal("not confirmed")
				}
				time.Sleep(24 * time.Hour)
				most := 1 // at the first query; the next would be an hour later
				if name == "exp" || name == "nobody asks" {
					most = 2
				}
				if n := w.polls(); n != most {
					t.Errorf("%d polls in a day, want %d", n, most)
				}
				w.desk.mu.Lock()
				defer w.desk.mu.Unlock()
				if len(w.desk.entries) != 0 || w.desk.bytes != 0 {
					t.Errorf("%d visas and %d bytes are still in memory", len(w.desk.entries), w.desk.bytes)
				}
			})
		})
	}
}

func TestAnExpiredVisaIsNotAskedAbout(t *testing.T) {
	inFakeTime(t, func(t *testing.T, w *world) {
		v := visa("the visa")
		v.Expires = time.Now()
		if got := w.status(v); ok(got) || got.Refused || w.polls() != 0 {
			t.Errorf("%+v after %d polls", got, w.polls())
		}
	})
}

// row 58: a restart in between is no reason to ask again within the hour, and the
// confirmation goes on.
func TestARestartIsNoReasonToAskAgain(t *testing.T) {
	inFakeTime(t, func(t *testing.T, w *world) {
		v := visa("the visa")
		for i := range 12 {
			if !ok(w.status(v)) {
				t.Fatalf("not confirmed at restart %d", i)
			}
			w.restart()
			time.Sleep(5 * time.Minute)
		}
		if w.polls() != 1 {
			t.Errorf("%d polls in an hour", w.polls())
		}
		w.says(nil, errors.New("500"))
		time.Sleep(10 * time.Minute)
		asked := w.polls()
		for range 30 { // a node that crashes every two seconds
			w.status(v)
			w.restart()
			time.Sleep(2 * time.Second)
		}
		if n := w.polls() - asked; n > 2 {
			t.Errorf("%d polls in a minute of restarts", n)
		}
	})
}

// A node that dies in the middle of a poll has noted that it asked.
func TestAPollIsNotedBeforeItIsMade(t *testing.T) {
	inFakeTime(t, func(t *testing.T, w *world) {
		v := visa("the visa")
		w.takes = 5 * time.Second
		go w.status(v)
		time.Sleep(time.Second)
		w.mu.Lock()
		p := w.kept[v.Visa.Digest()]
		w.mu.Unlock()
		if p.Failures != 1 || !p.Next.After(time.Now()) || !p.Until.IsZero() {
			t.Errorf("noted %+v", p)
		}
	})
}

// row 60: the visas of the newest answer are used, and not those of the one before;
// after a restart, none until the issuer names them again.
func TestUpdatedVisasReplaceTheOld(t *testing.T) {
	inFakeTime(t, func(t *testing.T, w *world) {
		v := visa("the visa")
		w.says([]string{"grant", "affiliation"}, nil)
		if got := w.status(v); !got.Replaced || len(got.Visas) != 2 {
			t.Fatalf("%+v", got)
		}
		w.says([]string{"affiliation"}, nil)
		time.Sleep(63 * time.Minute)
		if got := w.status(v); !ok(got) || !slices.Equal(got.Visas, []string{"affiliation"}) {
			t.Fatalf("%+v", got)
		}
		w.restart()
		if got := w.status(v); !got.Replaced || len(got.Visas) != 0 {
			t.Errorf("after a restart: %+v", got)
		}
		time.Sleep(61 * time.Minute)
		if got := w.status(v); !got.Replaced || !slices.Equal(got.Visas, []string{"affiliation"}) {
			t.Errorf("and after an hour: %+v", got)
		}
		w.says(nil, ErrUnchanged)
		time.Sleep(63 * time.Minute)
		if got := w.status(v); !ok(got) || got.Replaced || got.Visas != nil {
			t.Errorf("it holds again: %+v", got)
		}
	})
}

// Whoever asks waits no longer than they can, and the poll goes on for the others.
func TestNobodyWaitsLongerThanTheyCan(t *testing.T) {
	inFakeTime(t, func(t *testing.T, w *world) {
		w.takes = 8 * time.Second
		v := visa("the visa")
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		start := time.Now()
		if got := w.desk.Status(ctx, v); ok(got) || time.Since(start) != time.Second {
			t.Errorf("%+v after %v", got, time.Since(start))
		}
		if got := w.status(v); !ok(got) || time.Since(start) != 8*time.Second || w.polls() != 1 {
			t.Errorf("%+v after %v and %d polls", got, time.Since(start), w.polls())
		}
		w.takes = time.Hour // an issuer that never answers
		start = time.Now()
		if got := w.status(visa("another")); ok(got) || time.Since(start) != pollTime {
			t.Errorf("%+v after %v", got, time.Since(start))
		}
	})
}

// A flood of visas that all are good costs a bounded number of polls at a time and
// a bounded memory, and a visa that is in use goes on being confirmed.
func TestAFloodOfVisasIsBounded(t *testing.T) {
	inFakeTime(t, func(t *testing.T, w *world) {
		mine := visa("mine")
		if !ok(w.status(mine)) {
			t.Fatal("not confirmed")
		}
		w.takes = 5 * time.Second
		var wg sync.WaitGroup
		for i := range 500 {
			wg.Go(func() { w.status(visa(fmt.Sprint("flood ", i, strings.Repeat("x", i*20)))) })
		}
		synctest.Wait()
		w.desk.mu.Lock()
		if w.desk.flights > maxFlightsOf {
			t.Errorf("%d polls at once", w.desk.flights)
		}
		w.desk.mu.Unlock()
		wg.Wait()
		w.desk.mu.Lock()
		size := 0
		for _, e := range w.desk.entries {
			size += e.size()
		}
		if n := len(w.desk.entries); n > 50 || w.desk.bytes > 200_000 || size != w.desk.bytes || w.desk.flights != 0 || len(w.desk.flightsOf) != 0 {
			t.Errorf("%d visas, %d bytes (in truth %d), %d flights", n, w.desk.bytes, size, w.desk.flights)
		}
		w.desk.mu.Unlock()
		if !ok(w.status(mine)) {
			t.Error("a flood took a confirmation away")
		}
		for compact, n := range maps.All(w.by) {
			if n > 1 {
				t.Errorf("%.20q was polled for %d times", compact, n)
			}
		}
		if w.polls() > 1+maxFlightsOf+1 {
			t.Errorf("%d polls", w.polls())
		}
	})
}

// What a clock that was wrong left in the store neither confirms for a year nor
// keeps the issuer from being asked for one.
func TestAClockThatWasWrong(t *testing.T) {
	inFakeTime(t, func(t *testing.T, w *world) {
		v := visa("the visa")
		year := time.Now().Add(365 * 24 * time.Hour)
		w.kept[v.Visa.Digest()] = access.Poll{Identity: v.Identity, Expires: year, Until: year, Next: year}
		if got := w.status(v); ok(got) {
			t.Errorf("%+v", got)
		}
		time.Sleep(2 * time.Hour)
		if got := w.status(v); !ok(got) {
			t.Errorf("%+v", got)
		}
	})
}

// Tokens are nowhere but in memory: not in what is stored, nor in the log.
func TestNoVisaIsStoredOrLogged(t *testing.T) {
	inFakeTime(t, func(t *testing.T, w *world) {
		secret := "the-secret-bytes-of-a-visa"
		for _, err := range []error{ErrUnchanged, errors.New("500"), ErrRefused} {
			w.says(nil, err)
			w.status(visa(secret + fmt.Sprint(err)))
		}
		w.says([]string{secret + "-new"}, nil)
		w.status(visa(secret))
		text := fmt.Sprintf("%+v %+v %s", w.kept, w.records, w.log.String())
		if strings.Contains(text, secret) || !strings.Contains(text, "no answer about a visa") {
			t.Errorf("%s", text)
		}
	})
}

func TestADeskThatHasStoppedAsksNobody(t *testing.T) {
	inFakeTime(t, func(t *testing.T, w *world) {
		d := w.desk
		w.stop()
		if got := d.Status(context.Background(), visa("the visa")); ok(got) || w.polls() != 0 {
			t.Errorf("%+v after %d polls", got, w.polls())
		}
		if err := d.Run(context.Background()); err == nil {
			t.Error("Run ran twice")
		}
	})
}

func TestADeskNeedsItsParts(t *testing.T) {
	for _, o := range []Options{{}, {View: func() *trust.View { return nil }}, {Store: &world{}}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v", o)
		}
	}
}
