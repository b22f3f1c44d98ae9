package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func person(i int) trust.Identity {
	return trust.Identity{Issuer: idp, Subject: fmt.Sprint("person ", i)}
}

// link is one that a visa of a's makes with b; each pair has a visa of its own.
func link(a, b int, until time.Time) trust.Link {
	return trust.Link{
		A: person(a), B: person(b), Source: "https://broker.example.org/", KeyID: "key",
		Visa: trust.DigestOfString(fmt.Sprint("visa ", a, b)), Until: until,
	}
}

func TestLinksAreFoundFromBothEndsAndSurvive(t *testing.T) {
	path := statePath(t)
	s := open(t, path, Options{})
	ctx := t.Context()
	ab, ac, xy := link(1, 2, noon), link(1, 3, noon), link(8, 9, noon)
	if err := s.KeepLinks(ctx, []trust.Link{ab, ac}, note("two")); err != nil {
		t.Fatal(err)
	}
	if err := s.KeepLinks(ctx, []trust.Link{xy}); err != nil {
		t.Fatal(err)
	}
	check := func(s *Store) {
		t.Helper()
		for of, want := range map[int][]trust.Link{1: {ab, ac}, 2: {ab}, 3: {ac}, 8: {xy}, 9: {xy}, 4: nil} {
			got := s.Links(person(of))
			slices.SortFunc(got, func(a, b trust.Link) int { return strings.Compare(a.B.Subject, b.B.Subject) })
			if !slices.Equal(got, want) {
				t.Errorf("links of %d: %v", of, got)
			}
		}
		// row 42: the same subject at another issuer is somebody else.
		if got := s.Links(trust.Identity{Issuer: "https://other.example.org", Subject: person(1).Subject}); len(got) != 0 {
			t.Errorf("somebody else has %v", got)
		}
	}
	check(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, Options{})
	check(s)
	if s.links.size() != 3 {
		t.Errorf("%d links", s.links.size())
	}
}

// Every question brings the same links again: only what is new costs a write.
func TestOnlyNewLinksAreWritten(t *testing.T) {
	g := newGate()
	s := open(t, statePath(t), Options{update: g.update})
	ctx := t.Context()
	ab := link(1, 2, noon)
	if err := s.KeepLinks(ctx, []trust.Link{ab}, note("new")); err != nil {
		t.Fatal(err)
	}
	commits := g.commits.Load()
	shorter, longer := ab, ab
	shorter.Until, longer.Until = noon.Add(-time.Hour), noon.Add(time.Hour)
	for _, again := range [][]trust.Link{{ab}, {shorter}, {ab, shorter}, nil} {
		if err := s.KeepLinks(ctx, again, note("again")); err != nil {
			t.Fatal(err)
		}
	}
	if g.commits.Load() != commits {
		t.Error("what is known was written again")
	}
	if err := s.KeepLinks(ctx, []trust.Link{longer}, note("longer")); err != nil {
		t.Fatal(err)
	}
	if got := s.Links(person(2)); !slices.Equal(got, []trust.Link{longer}) {
		t.Errorf("links %v", got)
	}
	if got := outcomes(t, s); !slices.Equal(got, []string{"new", "longer"}) {
		t.Errorf("log %v", got)
	}
}

// Two questions of one moment bring the same link with different ends: the later
// end stays, whichever comes first.
func TestLinksOfTheSameTransaction(t *testing.T) {
	g := newGate()
	s := open(t, statePath(t), Options{update: g.update})
	long, short := link(1, 2, noon.Add(time.Hour)), link(1, 2, noon)
	keep := func(l trust.Link) func() error {
		return func() error { return s.KeepLinks(t.Context(), []trust.Link{l}) }
	}
	for _, err := range waitingFor(t, s, g, keep(short), keep(long), keep(short)) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := s.Links(person(1)); !slices.Equal(got, []trust.Link{long}) || s.links.size() != 1 {
		t.Errorf("links %v", got)
	}
}

func TestLinksThatAreRefused(t *testing.T) {
	s := open(t, statePath(t), Options{})
	good := link(1, 2, noon)
	for what, spoil := range map[string]func(*trust.Link){
		"one end":     func(l *trust.Link) { l.B = trust.Identity{} },
		"with itself": func(l *trust.Link) { l.B = l.A },
		"no visa":     func(l *trust.Link) { l.Visa = trust.Digest{} },
		"no end":      func(l *trust.Link) { l.Until = time.Time{} },
		"huge":        func(l *trust.Link) { l.Source = strings.Repeat("x", maxLink) },
	} {
		bad := good
		spoil(&bad)
		if err := s.KeepLinks(t.Context(), []trust.Link{good, bad}, note(what)); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if s.Links(good.A) != nil || outcomes(t, s) != nil {
		t.Error("half of what was refused is kept")
	}
}

// An issuer that links without end makes nobody's list longer than the bound, and
// what ends first goes first.
func TestOneIdentityHasABoundedNumberOfLinks(t *testing.T) {
	path := statePath(t)
	s := open(t, path, Options{})
	for i := range maxLinksOf + 10 {
		// Those in the middle end first.
		until := noon.Add(time.Duration((i-20)*(i-20)) * time.Hour)
		if err := s.KeepLinks(t.Context(), []trust.Link{link(1, 100+i, until)}); err != nil {
			t.Fatal(err)
		}
	}
	check := func(s *Store) {
		t.Helper()
		got := s.Links(person(1))
		if len(got) != maxLinksOf || s.links.size() != maxLinksOf {
			t.Fatalf("%d links, %d in all", len(got), s.links.size())
		}
		if len(s.Links(person(120))) != 0 || len(s.Links(person(100))) != 1 || len(s.Links(person(109+maxLinksOf))) != 1 {
			t.Error("not the links that end first have gone")
		}
	}
	check(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	check(open(t, path, Options{}))
}

// Row 62: a link that says who else a revoked person is stays, however often the person
// signs in somewhere else and shows a new visa, that lasts longer, each time.
func TestSigningInAgainPushesOutNoOtherLink(t *testing.T) {
	s := open(t, statePath(t), Options{})
	other := link(1, 2, noon.Add(time.Hour))
	if err := s.KeepLinks(t.Context(), []trust.Link{other}); err != nil {
		t.Fatal(err)
	}
	for i := range 3 * maxLinksOf {
		again := link(1, 3, noon.Add(time.Duration(i+2)*time.Hour))
		again.Visa = trust.DigestOfString(fmt.Sprint("sign-in ", i))
		if err := s.KeepLinks(t.Context(), []trust.Link{again}); err != nil {
			t.Fatal(err)
		}
		if got := s.Links(person(1)); !slices.Contains(got, other) || !slices.Contains(got, again) || len(got) != min(i+2, maxLinksOf) {
			t.Fatalf("after %d sign-ins: %d links", i+1, len(got))
		}
	}
	if got := s.Links(person(2)); !slices.Equal(got, []trust.Link{other}) {
		t.Errorf("%v", got)
	}
}

// What a person may learn is counted over all of their accounts, also when the visa
// that joined them has run out; but not for ever.
func TestLinksOutliveTheirEndForAYear(t *testing.T) {
	now := noon
	s := open(t, statePath(t), Options{Now: func() time.Time { return now }})
	if err := s.KeepLinks(t.Context(), []trust.Link{link(1, 2, noon), link(3, 4, noon.Add(48*time.Hour))}); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		after time.Duration
		left  int
	}{{time.Hour, 2}, {keepLinksFor, 2}, {keepLinksFor + time.Hour, 1}, {keepLinksFor + 49*time.Hour, 0}} {
		now = noon.Add(step.after)
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		left := 0
		for i := range 4 {
			left += len(s.Links(person(i + 1)))
		}
		if left != 2*step.left || s.links.size() != step.left {
			t.Errorf("after %v: %d ends of links, %d links", step.after, left, s.links.size())
		}
	}
}

// The index says the same as the file, whatever came in which order.
func TestLinksFollowAModel(t *testing.T) {
	path := statePath(t)
	rapid.Check(t, func(r *rapid.T) {
		if err := errors.Join(removeIfThere(path)); err != nil {
			r.Fatal(err)
		}
		s, err := Open(path, Options{Now: func() time.Time { return noon }})
		if err != nil {
			r.Fatal(err)
		}
		model := map[[2]int]time.Time{}
		for range rapid.IntRange(1, 12).Draw(r, "steps") {
			a, b := rapid.IntRange(1, 4).Draw(r, "a"), rapid.IntRange(5, 8).Draw(r, "b")
			until := noon.Add(time.Duration(rapid.IntRange(-3, 3).Draw(r, "hours")) * time.Hour)
			if err := s.KeepLinks(t.Context(), []trust.Link{link(a, b, until)}); err != nil {
				r.Fatal(err)
			}
			if model[[2]int{a, b}].Before(until) {
				model[[2]int{a, b}] = until
			}
		}
		if rapid.Bool().Draw(r, "restart") {
			if err := s.Close(); err != nil {
				r.Fatal(err)
			}
			if s, err = Open(path, Options{}); err != nil {
				r.Fatal(err)
			}
		}
		defer s.Close()
		found := 0
		for i := 1; i <= 8; i++ {
			for _, l := range s.Links(person(i)) {
				found++
				var a, b int
				fmt.Sscanf(l.A.Subject, "person %d", &a)
				fmt.Sscanf(l.B.Subject, "person %d", &b)
				if !model[[2]int{a, b}].Equal(l.Until) || (i != a && i != b) {
					r.Errorf("%d has %v", i, l)
				}
			}
		}
		if found != 2*len(model) {
			r.Errorf("%d ends for %d links", found, len(model))
		}
	})
}

func TestPollsSurviveAndGoWithTheirVisa(t *testing.T) {
	path := statePath(t)
	now := noon
	s := open(t, path, Options{Now: func() time.Time { return now }})
	visa, other := trust.DigestOfString("visa"), trust.DigestOfString("other")
	want := access.Poll{Identity: person(1), Expires: noon.Add(3 * time.Hour), Until: noon.Add(65 * time.Minute),
		Next: noon.Add(time.Hour), Failures: 2, Refused: true, Replaced: true, Detail: "refused with 401"}
	first := want
	first.Failures = 1
	for _, p := range []access.Poll{first, want} {
		if err := s.SavePoll(t.Context(), visa, p, note("poll")); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SavePoll(t.Context(), other, access.Poll{Identity: person(2), Expires: noon.Add(5 * time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, Options{Now: func() time.Time { return now }})
	if got, known, err := s.Poll(visa); err != nil || !known || got != want {
		t.Errorf("%+v, %v, %v", got, known, err)
	}
	if _, known, err := s.Poll(trust.DigestOfString("none")); known || err != nil {
		t.Errorf("%v, %v", known, err)
	}
	for what, p := range map[string]access.Poll{
		"no end": {Identity: person(1)}, "huge": {Expires: noon, Detail: strings.Repeat("x", maxPoll)},
	} {
		if err := s.SavePoll(t.Context(), visa, p); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", what, err)
		}
	}
	now = noon.Add(3 * time.Hour)
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, known, err := s.Poll(visa); known || err != nil || s.polls != 1 {
		t.Errorf("the visa has expired: %v, %v, %d polls", known, err, s.polls)
	}
	if _, known, err := s.Poll(other); !known || err != nil {
		t.Error(known, err)
	}
}

func TestDamagedEntriesAreNamed(t *testing.T) {
	for _, name := range [][]byte{bucketLinks, bucketPolls, bucketSessions} {
		path := statePath(t)
		if err := open(t, path, Options{}).Close(); err != nil {
			t.Fatal(err)
		}
		for _, value := range []string{"", "{", strings.Repeat("\xff", 40)} {
			edit(t, path, func(tx *bbolt.Tx) error { return tx.Bucket(name).Put([]byte("key"), []byte(value)) })
			if _, err := Open(path, Options{}); !errors.Is(err, ErrForeign) {
				t.Errorf("%s %q: %v", name, value, err)
			}
		}
	}
}
