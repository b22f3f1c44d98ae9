package local_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/query/local"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/audit"
)

// slow makes a source that answers after d, or when its context ends.
func slow(d time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// stubborn makes a source that does not look at its context.
func stubborn(d time.Duration) func(context.Context) error {
	return func(context.Context) error { time.Sleep(d); return nil }
}

// inBubble runs f in fake time, with a site whose clock is that time's.
func inBubble(t *testing.T, f func(t *testing.T, s *site)) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		begin := time.Now()
		s.Options.Now = func() time.Time { return now.Add(time.Since(begin)) }
		f(t, s)
	})
}

func allowUntil(until time.Time) local.Decider {
	return decider(func(in []access.Input) ([]access.Decision, error) {
		decisions := make([]access.Decision, len(in))
		for i := range in {
			decisions[i] = access.Decision{Allow: true, Granularity: query.Count, Rule: "r", Until: until}
		}
		return decisions, nil
	})
}

func TestDeadlineGivesTimeoutAndIsRecorded(t *testing.T) {
	for name, wait := range map[string]func(context.Context) error{"slow": slow(time.Minute), "stubborn": stubborn(time.Minute)} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *site) {
				s.sources["rarivitis"].wait = wait
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				answer, err := s.Ask(ctx, caller(permit()), request("rarivitis"))
				if err != nil || answer.Parts[0].Status != query.Timeout || len(answer.Parts[0].Datasets) != 0 {
					t.Fatalf("%+v, %v; want timeout", answer, err)
				}
				if name == "slow" && answer.Parts[0].TookMS != 2000 {
					t.Errorf("took %d ms, want 2000", answer.Parts[0].TookMS)
				}
				if r := s.journal.of("rarivitis"); r.Outcome != "allow" || r.Answer != "nothing: the question ended while counting" {
					t.Errorf("record %+v", r)
				}
			})
		})
	}
}

func TestQuestionThatIsOverBeforeItBegins(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		answer, err := s.Ask(ctx, caller(permit()), request("rarivitis"))
		if err != nil || answer.Parts[0].Status != query.Timeout {
			t.Fatalf("%+v, %v; want timeout", answer, err)
		}
		if r := s.journal.of("rarivitis"); r.Outcome != "error" || s.sources["rarivitis"].asked.Load() != 0 {
			t.Errorf("record %+v", r)
		}
	})
}

// Row 56: what runs when access ends may run for 60 s more, and no longer.
func TestRunningQuestionEndsAfterItsAccess(t *testing.T) {
	for _, c := range []struct {
		name string
		wait func(context.Context) error
		ok   bool
	}{
		{"within the grace", slow(10*time.Second + 59*time.Second), true},
		{"beyond it", slow(10*time.Second + 61*time.Second), false},
		{"beyond it, without looking", stubborn(2 * time.Minute), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *site) {
				s.setup.Policy = allowUntil(now.Add(10 * time.Second))
				s.sources["rarivitis"].wait = c.wait
				part := s.ask(t, caller(permit()), request("rarivitis"))
				if c.ok != (part.Status == query.OK) || !c.ok && part.Error.Code != "access_ended" {
					t.Errorf("%s", text(part))
				}
			})
		})
	}
}

// One dataset waits for a slot that others hold: its question's deadline counts.
func TestWaitingForASlotEndsWithTheQuestion(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		s.Answerer = local.New(local.Options{
			Site: "uhn", Node: "n", Recorder: s.journal, Parallel: 1,
			Setup: func() *local.Setup { return &s.setup }, Now: s.Options.Now,
		})
		s.setup.Policy = allowUntil(time.Time{})
		s.sources["open"].wait = stubborn(time.Hour)
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.ask(t, trust.Caller{}, request("open"))
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		answer, err := s.Ask(ctx, trust.Caller{}, request("rarivitis"))
		if err != nil || answer.Parts[0].Status != query.Timeout || answer.Parts[0].TookMS != 1000 || s.sources["rarivitis"].asked.Load() != 0 {
			t.Errorf("%+v, %v", answer, err)
		}
		<-done
	})
}

// Datasets are counted side by side: the slowest decides how long it takes.
func TestDatasetsAreCountedSideBySide(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		s.setup.Policy = allowUntil(time.Time{})
		for _, src := range s.sources {
			src.wait = slow(time.Second)
		}
		if part := s.ask(t, trust.Caller{}, request()); part.Status != query.OK || part.TookMS != 1000 {
			t.Errorf("%s", text(part))
		}
	})
}

// recorder is a store that behaves as it is told to.
type recorder func(context.Context) error

func (r recorder) Record(ctx context.Context, _ ...audit.Record) error { return r(ctx) }

func TestStoreThatHangsGivesNoAnswer(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		s.Options.Recorder = recorder(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		began := time.Now()
		_, err := s.Ask(t.Context(), trust.Caller{}, request("open"))
		if err == nil || time.Since(began) != local.MaxRecording {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}
