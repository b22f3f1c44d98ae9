package local_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/candignode/candignode/configs"
	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/query/local"
	"github.com/candignode/candignode/query/privacy"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/audit"
	"github.com/candignode/candignode/trust/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	now  = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	hour = now.Add(time.Hour)
	ada  = trust.Identity{Issuer: "https://idp.example.org/", Subject: "ada"}
)

const value = "https://dac.example.org/datasets/"

// source is a dataset's data: a fixed number of carriers.
type source struct {
	holdings query.Holdings
	carriers int
	err      error
	asked    atomic.Int64
	wait     func(context.Context) error // before it answers
}

func (s *source) Holdings() query.Holdings { return s.holdings }

func (s *source) Resolve(ctx context.Context, _ query.VariantQuery) (query.Raw, error) {
	s.asked.Add(1)
	if s.wait != nil {
		if err := s.wait(ctx); err != nil {
			return query.Raw{}, err
		}
	}
	return query.Raw{Individuals: s.carriers, Variants: 1}, s.err
}

// journal is an audit log in memory.
type journal struct {
	mu      sync.Mutex
	records []audit.Record
	calls   int
	err     error
	before  func() // runs before a record is taken
}

func (j *journal) Record(ctx context.Context, records ...audit.Record) error {
	if ctx.Err() != nil { // as a store would: what is over is not begun
		return ctx.Err()
	}
	if j.before != nil {
		j.before()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.calls++
	if j.err == nil {
		j.records = append(j.records, records...)
	}
	return j.err
}

func (j *journal) of(dataset string) audit.Record {
	j.mu.Lock()
	defer j.mu.Unlock()
	i := slices.IndexFunc(j.records, func(r audit.Record) bool { return r.Dataset == dataset })
	if i < 0 {
		return audit.Record{}
	}
	return j.records[i]
}

// site is one site with the built-in policy: three levels of datasets, each with
// 71 carriers of the variant in question.
type site struct {
	*local.Answerer
	setup   local.Setup
	sources map[string]*source
	journal *journal
	grants  []access.Grant
	now     time.Time
}

// builtIn loads the built-in policy once; it takes longer than a test.
var builtIn = sync.OnceValues(func() (*policy.Policy, error) {
	return policy.Load(context.Background(), configs.Policy())
})

func newSite(t testing.TB) *site {
	t.Helper()
	p, err := builtIn()
	if err != nil {
		t.Fatal(err)
	}
	s := &site{sources: map[string]*source{}, journal: &journal{}, now: now}
	s.setup = local.Setup{
		Sources: map[string]query.Source{}, Policy: p, PolicyRevision: p.Revision(), Floor: privacy.Floor{Threshold: 10},
	}
	s.add(access.Dataset{ID: "open", Level: access.Public}, 71)
	s.add(access.Dataset{ID: "known", Level: access.Registered, RegisteredBy: access.ByVisas}, 71)
	s.add(access.Dataset{ID: "rarivitis", Level: access.Controlled, Value: value + "rarivitis", By: []string{"dac"}}, 71)
	s.Answerer = local.New(local.Options{
		Site: "uhn", Node: "n", Recorder: s.journal,
		Setup: func() *local.Setup { return &s.setup },
		Grants: func(id trust.Identity) []access.Grant {
			if id.IsZero() {
				t.Error("grants of nobody were asked for")
			}
			return s.grants
		},
		Now: func() time.Time { return s.now },
	})
	return s
}

func (s *site) add(d access.Dataset, carriers int) {
	s.setup.Datasets = append(s.setup.Datasets, d)
	src := &source{carriers: carriers, holdings: query.Holdings{Dataset: d.ID, Release: d.ID + "-r1", Assembly: query.GRCh37, Individuals: 2500}}
	s.sources[d.ID], s.setup.Sources[d.ID] = src, src
}

func request(datasets ...string) query.Request {
	return query.Request{
		Transaction: "t1", Entity: query.GVariants, Granularity: query.Count, Datasets: datasets,
		Variant: query.VariantQuery{Assembly: query.GRCh37, Chrom: "22", Start: 16050074, Ref: "A", Alt: "G"},
	}
}

func visa(kind, value string, expires time.Time) trust.Visa {
	return trust.Visa{
		Identity: trust.Identity{Issuer: "https://dac.example.org/", Subject: "a1"}, Type: kind, Value: value,
		Source: "https://dac.example.org", By: "dac", Asserted: now.Add(-time.Hour), Expires: expires,
		Digest: trust.DigestOf([]byte(kind + value)),
	}
}

func caller(visas ...trust.Visa) trust.Caller {
	return trust.Caller{
		Identity: ada, Visas: visas, Until: hour, TrustRevision: 7,
		Passports: []trust.Passport{trust.NewPassport("secret.of.ada")},
	}
}

func permit() trust.Visa { return visa(trust.VisaControlledAccessGrants, value+"rarivitis", hour) }

func (s *site) ask(t testing.TB, c trust.Caller, r query.Request) query.Part {
	t.Helper()
	answer, err := s.Ask(t.Context(), c, r)
	if err != nil {
		t.Fatal(err)
	}
	if len(answer.Parts) != 1 || answer.Parts[0].Site != "uhn" || answer.Parts[0].Node != "n" || answer.Transaction != r.Transaction {
		t.Fatalf("%+v, want one part of this site", answer)
	}
	return answer.Parts[0]
}

func text(part query.Part) string {
	b, _ := json.Marshal(part)
	return string(b)
}

// Row 133: what each caller sees of three levels of datasets, and what is on
// record about it.
func TestMatrixOfDatasetsAndCallers(t *testing.T) {
	both := []trust.Visa{visa(trust.VisaAcceptedTermsAndPolicies, "doi", hour), visa(trust.VisaResearcherStatus, "doi", hour)}
	grant := access.Grant{ID: "g1", Identity: ada, Dataset: "rarivitis", Until: hour}
	forwarded := caller(permit())
	forwarded.Origin = "bcgsc"
	for _, c := range []struct {
		name   string
		caller trust.Caller
		grants []access.Grant
		want   []string // datasets in the answer
		exact  string   // the one with exact counts
	}{
		{"anonymous", trust.Caller{}, nil, []string{"open"}, ""},
		{"signed in", caller(), nil, []string{"open"}, ""},
		{"registered visas", caller(both...), nil, []string{"open", "known"}, ""},
		{"controlled visa", caller(permit()), nil, []string{"open", "rarivitis"}, "rarivitis"},
		{"expired visa", caller(visa(trust.VisaControlledAccessGrants, value+"rarivitis", now)), nil, []string{"open"}, ""},
		{"local grant", caller(), []access.Grant{grant}, []string{"open", "rarivitis"}, "rarivitis"},
		{"grant of another dataset", caller(), []access.Grant{{ID: "g", Identity: ada, Dataset: "known-not", Until: hour}}, []string{"open"}, ""},
		{"forwarded by a peer", forwarded, nil, []string{"open", "rarivitis"}, "rarivitis"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			s.grants = c.grants
			part := s.ask(t, c.caller, request())
			var got []string
			for _, d := range part.Datasets {
				got = append(got, d.Dataset)
				precision := query.Thresholded
				if d.Dataset == c.exact {
					precision = query.Exact
				}
				if !d.Exists || d.Count == nil || *d.Count != 71 || d.Precision != precision || d.Granularity != query.Count {
					t.Errorf("%s: %+v", d.Dataset, d)
				}
			}
			if part.Status != query.OK || !slices.Equal(got, c.want) {
				t.Errorf("status %s, datasets %v; want ok, %v", part.Status, got, c.want)
			}
			if len(s.journal.records) != 3 || s.journal.calls != 1 {
				t.Errorf("%d records in %d calls; want one for each dataset, together", len(s.journal.records), s.journal.calls)
			}
			for id, src := range s.sources {
				allowed := slices.Contains(c.want, id)
				if (src.asked.Load() > 0) != allowed {
					t.Errorf("%s: data touched: %t, allowed: %t", id, !allowed, allowed)
				}
				if r := s.journal.of(id); (r.Outcome == "allow") != allowed || r.Rule == "" || r.Origin != c.caller.Origin {
					t.Errorf("%s: record %+v, allowed: %t", id, r, allowed)
				}
			}
		})
	}
}

func TestRecordSaysWhoWhatWhyAndWhatLeft(t *testing.T) {
	s := newSite(t)
	c := caller(permit())
	c.Unbound, c.Origin = true, "bcgsc"
	s.ask(t, c, request("rarivitis"))
	got := s.journal.of("rarivitis")
	want := audit.Record{
		Time: now, Event: audit.EventDecision, Transaction: "t1", Caller: ada, Origin: "bcgsc",
		Passports: []trust.Digest{trust.DigestOf([]byte("secret.of.ada"))}, Unbound: true,
		Dataset: "rarivitis", Release: "rarivitis-r1", Question: "g_variants GRCh37 22:16050074 A>G count",
		Outcome: "allow", Rule: "controlled access visa", Visas: []trust.Digest{permit().Digest},
		Answer: "exists=true count=71 exact", Policy: s.setup.PolicyRevision, TrustRevision: 7,
	}
	a, _ := json.Marshal(got)
	b, _ := json.Marshal(want)
	if !bytes.Equal(a, b) {
		t.Errorf("record\n%s\nwant\n%s", a, b)
	}
	if strings.Contains(string(a), "secret") {
		t.Error("the record holds the passport")
	}
	denied := newSite(t)
	denied.ask(t, caller(), request("rarivitis"))
	r := denied.journal.of("rarivitis")
	if r.Outcome != "deny" || !strings.Contains(r.Rule, "ControlledAccessGrants") || r.Answer != "" || r.Release != "" {
		t.Errorf("record of a denial: %+v", r)
	}
}

// Below the threshold the answer is the same, in every byte, as for zero.
func TestBelowTheThresholdEqualsZero(t *testing.T) {
	for _, g := range []query.Granularity{query.Boolean, query.Count, query.Record} {
		var answers []string
		for _, carriers := range []int{0, 1, 9} {
			s := newSite(t)
			s.sources["open"].carriers = carriers
			r := request("open")
			r.Granularity = g
			answers = append(answers, text(s.ask(t, trust.Caller{}, r)))
			if said := s.journal.of("open").Answer; !strings.Contains(said, "exists=false") {
				t.Errorf("%s, %d carriers: on record is %q", g, carriers, said)
			}
		}
		if answers[0] != answers[1] || answers[0] != answers[2] {
			t.Errorf("%s: 0, 1 and 9 carriers can be told apart:\n%s", g, strings.Join(answers, "\n"))
		}
	}
	s := newSite(t)
	s.sources["open"].carriers = 10
	if part := s.ask(t, trust.Caller{}, request("open")); *part.Datasets[0].Count != 10 {
		t.Errorf("10 carriers: %s", text(part))
	}
}

// A dataset that is not there and one that is denied must not be told apart; nor
// one that is denied and holds carriers from one that holds none.
func TestDeniedEqualsUnknown(t *testing.T) {
	for name, c := range map[string]trust.Caller{"anonymous": {}, "signed in": caller()} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			var answers []string
			for _, datasets := range [][]string{{"rarivitis"}, {"not-here"}, {"not-here", "rarivitis"}, {"rarivitis", "rarivitis"}} {
				answers = append(answers, text(s.ask(t, c, request(datasets...))))
			}
			s.sources["rarivitis"].carriers = 0
			answers = append(answers, text(s.ask(t, c, request("rarivitis"))))
			for _, a := range answers {
				if a != answers[0] || !strings.Contains(a, `"status":"denied"`) || strings.Contains(a, "rarivitis") || strings.Contains(a, "not-here") {
					t.Errorf("%s\nwant it equal to %s", a, answers[0])
				}
			}
			if r := s.journal.of("not-here"); r.Outcome != "deny" || r.Rule != "unknown dataset" {
				t.Errorf("record of the unknown dataset: %+v", r)
			}
			if s.sources["rarivitis"].asked.Load() != 0 {
				t.Error("denied data was touched")
			}
		})
	}
}

// A dataset that left the configuration while grants for it remain is unknown.
func TestGrantForAnUnknownDatasetGivesNothing(t *testing.T) {
	s := newSite(t)
	s.grants = []access.Grant{{ID: "g", Identity: ada, Dataset: "gone", Until: hour}}
	if part := s.ask(t, caller(), request("gone")); part.Status != query.Denied {
		t.Errorf("%s", text(part))
	}
}

// The policy sees the grants of the dataset in question, and none for a dataset
// that is not there; everything else is the same in all inputs.
func TestWhatThePolicyIsHanded(t *testing.T) {
	s := newSite(t)
	s.grants = []access.Grant{
		{ID: "g1", Identity: ada, Dataset: "rarivitis", Until: hour},
		{ID: "g2", Identity: ada, Dataset: "open", Until: hour},
		{ID: "g3", Identity: ada, Dataset: "gone", Until: hour},
	}
	var inputs []access.Input
	s.setup.Policy = decider(func(in []access.Input) ([]access.Decision, error) {
		inputs = in
		return make([]access.Decision, len(in)), nil
	})
	c := caller(permit())
	c.Origin = "bcgsc"
	s.ask(t, c, request("rarivitis", "known", "gone"))
	want := map[string]int{"rarivitis": 1, "known": 0, "gone": 0}
	if len(inputs) != len(want) {
		t.Fatalf("%d inputs, want %d", len(inputs), len(want))
	}
	for _, in := range inputs {
		if len(in.Grants) != want[in.Dataset.ID] {
			t.Errorf("%s: %v", in.Dataset.ID, in.Grants)
		}
		if !in.Now.Equal(now) || in.Site != "uhn" || in.Caller.Origin != "bcgsc" || in.Entity != query.GVariants || in.Granularity != query.Count {
			t.Errorf("%s: %+v", in.Dataset.ID, in)
		}
	}
	if gone := inputs[2].Dataset; gone.Level != access.Controlled || gone.Value != "" || gone.By != nil {
		t.Errorf("an unknown dataset is shown as %+v", gone)
	}
}

// Row 134: datasets that were denied are absent beside those that were not.
func TestDeniedDatasetsAreAbsent(t *testing.T) {
	s := newSite(t)
	part := s.ask(t, trust.Caller{}, request("rarivitis", "open", "not-here"))
	if len(part.Datasets) != 1 || part.Datasets[0].Dataset != "open" || part.Error != nil {
		t.Errorf("%s", text(part))
	}
	if len(s.journal.records) != 3 {
		t.Errorf("%d records, want 3", len(s.journal.records))
	}
}

// If it cannot be recorded, there is no answer; and the record comes first.
func TestNoRecordNoAnswer(t *testing.T) {
	s := newSite(t)
	s.journal.err = errors.New("no space left on device")
	for _, datasets := range [][]string{{"open"}, {"rarivitis"}, nil} {
		answer, err := s.Ask(t.Context(), trust.Caller{}, request(datasets...))
		if !errors.Is(err, local.ErrNotRecorded) || len(answer.Parts) != 0 {
			t.Errorf("%v: %+v, %v; want ErrNotRecorded and no part", datasets, answer, err)
		}
	}
}

func TestRecordComesBeforeTheAnswer(t *testing.T) {
	s := newSite(t)
	recording, goOn, answered := make(chan bool), make(chan bool), make(chan bool)
	s.journal.before = func() { close(recording); <-goOn }
	go func() {
		defer close(answered)
		s.ask(t, trust.Caller{}, request("open"))
	}()
	<-recording
	select {
	case <-answered:
		t.Error("the answer left before it was recorded")
	default:
	}
	close(goOn)
	<-answered
}

// decider is a policy that says what it is told to.
type decider func([]access.Input) ([]access.Decision, error)

func (d decider) Decide(_ context.Context, in []access.Input) ([]access.Decision, error) {
	return d(in)
}

func TestPolicyErrorIsNoAllow(t *testing.T) {
	for name, d := range map[string]decider{
		"error": func([]access.Input) ([]access.Decision, error) { return nil, errors.New("eval_conflict_error") },
		"error and an allow": func([]access.Input) ([]access.Decision, error) {
			return []access.Decision{{Allow: true, Granularity: query.Count}}, errors.New("odd")
		},
		"too few decisions": func([]access.Input) ([]access.Decision, error) { return nil, nil },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.setup.Policy = d
			part := s.ask(t, caller(permit()), request("rarivitis"))
			if part.Status != query.Failed || part.Error.Code != "policy_error" || len(part.Datasets) != 0 || strings.Contains(text(part), "conflict") {
				t.Errorf("%s", text(part))
			}
			if s.sources["rarivitis"].asked.Load() != 0 {
				t.Error("data was touched")
			}
			if r := s.journal.of("rarivitis"); r.Outcome != "error" || r.Detail == "" {
				t.Errorf("record %+v", r)
			}
		})
	}
}

// The last door does not rely on the policy to be right.
func TestOddDecisionsAreDenials(t *testing.T) {
	good := access.Decision{Allow: true, Granularity: query.Count, Rule: "r", Until: hour}
	for name, change := range map[string]func(*access.Decision){
		"row 53: until now":      func(d *access.Decision) { d.Until = now },
		"row 53: until before":   func(d *access.Decision) { d.Until = now.Add(-time.Second) },
		"no granularity":         func(d *access.Decision) { d.Granularity = "" },
		"unknown granularity":    func(d *access.Decision) { d.Granularity = "everything" },
		"the zero decision":      func(d *access.Decision) { *d = access.Decision{} },
		"a granularity, no more": func(d *access.Decision) { *d = access.Decision{Granularity: query.Count, ExactCounts: true} },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			d := good
			change(&d)
			s.setup.Policy = decider(func([]access.Input) ([]access.Decision, error) { return []access.Decision{d}, nil })
			if part := s.ask(t, caller(), request("rarivitis")); part.Status != query.Denied || s.sources["rarivitis"].asked.Load() != 0 {
				t.Errorf("%s", text(part))
			}
		})
	}
	s := newSite(t)
	s.setup.Policy = decider(func([]access.Input) ([]access.Decision, error) {
		d := good
		d.Granularity = query.Record
		return []access.Decision{d}, nil
	})
	r := request("rarivitis")
	r.Granularity = query.Boolean
	if part := s.ask(t, caller(), r); part.Datasets[0].Granularity != query.Boolean || part.Datasets[0].Count != nil {
		t.Errorf("asked boolean: %s", text(part))
	}
}

func TestNothing(t *testing.T) {
	other := request("rarivitis")
	other.Variant.Assembly = query.GRCh38
	test := request()
	test.TestMode = true
	for _, c := range []struct {
		name    string
		change  func(*site)
		request query.Request
		records int
	}{
		{"no dataset is configured", func(s *site) { s.setup = local.Setup{} }, request(), 0},
		{"no dataset is configured, one was asked", func(s *site) { s.setup.Datasets = nil }, request("rarivitis"), 1},
		{"no data is loaded", func(s *site) { delete(s.setup.Sources, "rarivitis") }, request("rarivitis"), 1},
		{"another assembly", func(*site) {}, other, 1},
		{"row 135: test mode", func(*site) {}, test, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			c.change(s)
			part := s.ask(t, caller(permit()), c.request)
			if part.Status != query.Nothing || len(part.Datasets) != 0 || len(s.journal.records) != c.records {
				t.Errorf("%s, %d records; want nothing, %d records", text(part), len(s.journal.records), c.records)
			}
			for id, src := range s.sources {
				if src.asked.Load() != 0 {
					t.Errorf("%s was touched", id)
				}
			}
		})
	}
}

// A dataset on another assembly does not keep the others from answering.
func TestAnotherAssemblyBesideTheRightOne(t *testing.T) {
	s := newSite(t)
	s.sources["open"].holdings.Assembly = query.GRCh38
	part := s.ask(t, caller(permit()), request("open", "rarivitis"))
	if part.Status != query.OK || len(part.Datasets) != 1 || part.Datasets[0].Dataset != "rarivitis" {
		t.Errorf("%s", text(part))
	}
	if r := s.journal.of("open"); r.Outcome != "allow" || !strings.Contains(r.Answer, "GRCh38") {
		t.Errorf("record %+v", r)
	}
}

// Never a partial number: one failure is the whole part's.
func TestOneFailedDatasetFailsThePart(t *testing.T) {
	for name, change := range map[string]func(*source){
		"error":          func(s *source) { s.err = errors.New("read /var/lib/candignode/x: input/output error") },
		"impossible":     func(s *source) { s.carriers = -1 },
		"error, carrier": func(s *source) { s.carriers, s.err = 12, errors.New("half way") },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			change(s.sources["open"])
			part := s.ask(t, caller(permit()), request())
			if part.Status != query.Failed || part.Error.Code != "source_error" || len(part.Datasets) != 0 || strings.Contains(text(part), "/var") {
				t.Errorf("%s", text(part))
			}
			broken, fine := s.journal.of("open"), s.journal.of("rarivitis")
			if broken.Outcome != "allow" || broken.Detail == "" || strings.Contains(broken.Answer, "count") {
				t.Errorf("record of the broken dataset: %+v", broken)
			}
			if fine.Outcome != "allow" || strings.Contains(fine.Answer, "71") {
				t.Errorf("a count that did not leave is on record as if it had: %+v", fine)
			}
		})
	}
}

func TestInvalidQuestionsAreRefused(t *testing.T) {
	s := newSite(t)
	r := request()
	r.Variant.Chrom = "chr22"
	if _, err := s.Ask(t.Context(), trust.Caller{}, r); !errors.Is(err, query.ErrRequest) || s.journal.calls != 0 {
		t.Errorf("%v, want ErrRequest", err)
	}
}

// A question keeps the setup it began with.
func TestReloadInTheMiddleOfAQuestion(t *testing.T) {
	s := newSite(t)
	old := s.setup
	s.sources["open"].wait = func(context.Context) error { s.setup = local.Setup{}; return nil }
	s.setup.PolicyRevision = old.PolicyRevision
	if part := s.ask(t, trust.Caller{}, request("open")); part.Status != query.OK || *part.Datasets[0].Count != 71 {
		t.Errorf("%s", text(part))
	}
	if part := s.ask(t, trust.Caller{}, request("open")); part.Status != query.Nothing {
		t.Errorf("after the reload: %s", text(part))
	}
}

func TestManyQuestionsAtOnce(t *testing.T) {
	s := newSite(t)
	var counting, most atomic.Int64
	for _, src := range s.sources {
		src.wait = func(context.Context) error {
			n := counting.Add(1)
			defer counting.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			return nil
		}
	}
	var wait sync.WaitGroup
	for i := range 32 {
		wait.Go(func() {
			c, want := trust.Caller{}, 1
			if i%2 == 0 {
				c, want = caller(permit()), 2
			}
			r := request()
			r.Transaction = fmt.Sprintf("t%d", i)
			answer, err := s.Ask(context.Background(), c, r)
			if err != nil || len(answer.Parts[0].Datasets) != want || answer.Transaction != r.Transaction {
				t.Errorf("question %d: %+v, %v", i, answer, err)
			}
		})
	}
	wait.Wait()
	if len(s.journal.records) != 32*3 {
		t.Errorf("%d records, want %d", len(s.journal.records), 32*3)
	}
	if most.Load() > local.DefaultParallel {
		t.Errorf("%d datasets were counted at once, at most %d", most.Load(), local.DefaultParallel)
	}
}

func BenchmarkAsk(b *testing.B) {
	s := newSite(b)
	c := caller(permit())
	for _, datasets := range [][]string{{"rarivitis"}, {"open", "known", "rarivitis"}} {
		b.Run(fmt.Sprintf("datasets=%d", len(datasets)), func(b *testing.B) {
			r := request(datasets...)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Ask(context.Background(), c, r); err != nil {
					b.Fatal(err)
				}
				s.journal.records = s.journal.records[:0]
			}
		})
	}
}
