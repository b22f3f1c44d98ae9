package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/audit"
)

// gate is a disk whose transactions wait until the test lets them go, and fail if
// it says so.
type gate struct {
	entered chan struct{} // one for each transaction that begins
	release chan struct{} // one lets one go
	fail    atomic.Pointer[error]
	after   atomic.Bool // fail after the transaction was made, as a failed sync does
	commits atomic.Int32
	shut    atomic.Bool
}

func newGate() *gate {
	return &gate{entered: make(chan struct{}, 100), release: make(chan struct{}, 100)}
}

func (g *gate) update(db *bbolt.DB, f func(*bbolt.Tx) error) error {
	g.commits.Add(1)
	if g.shut.Load() {
		g.entered <- struct{}{}
		<-g.release
	}
	fail := g.fail.Load()
	if fail != nil && !g.after.Load() {
		return db.Update(func(tx *bbolt.Tx) error { // all is done, and the commit fails
			if err := f(tx); err != nil {
				return err
			}
			return *fail
		})
	}
	err := db.Update(f)
	if err == nil && fail != nil {
		return *fail
	}
	return err
}

// waitingFor lets the writer begin one transaction, hands n calls to the store
// while it is held, and then lets all go.
func waitingFor(t *testing.T, s *Store, g *gate, calls ...func() error) []error {
	t.Helper()
	return waitingUntil(t, s, g, func() {}, calls...)
}

// waitingUntil is waitingFor with something that happens while all wait.
func waitingUntil(t *testing.T, s *Store, g *gate, happens func(), calls ...func() error) []error {
	t.Helper()
	g.shut.Store(true)
	first := make(chan error, 1)
	go func() { first <- s.Record(t.Context(), note("first")) }()
	<-g.entered
	errs := make([]error, len(calls))
	var wg sync.WaitGroup
	for i, call := range calls {
		queued := len(s.ops)
		wg.Go(func() { errs[i] = call() })
		for len(s.ops) == queued {
			yield()
		}
	}
	happens()
	g.shut.Store(false)
	g.release <- struct{}{}
	wg.Wait()
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	return errs
}

func yield() { <-func() chan struct{} { c := make(chan struct{}); go close(c); return c }() }

// One bad operation fails alone; those that wait with it are made.
func TestAnOperationFailsAlone(t *testing.T) {
	g := newGate()
	s := open(t, statePath(t), Options{update: g.update})
	ctx := t.Context()
	if err := s.AddGrant(ctx, grant(1), note("grant 1")); err != nil {
		t.Fatal(err)
	}
	before := g.commits.Load()
	errs := waitingFor(t, s, g,
		func() error { return s.Record(ctx, note("good a")) },
		func() error { return s.AddGrant(ctx, grant(1), note("taken id")) },
		func() error { return s.AddGrant(ctx, grant(2), note("grant 2")) },
		func() error { _, err := s.RevokeGrant(ctx, "none", note("revoke nothing")); return err },
		func() error { _, err := s.RevokeGrant(ctx, grant(2).ID, note("revoke 2")); return err }, // sees the grant before it
		func() error { return s.AddGrant(ctx, grant(3), note("grant 3")) },
		func() error { return s.AddGrant(ctx, grant(3), note("grant 3 again")) },
		func() error { return s.Record(ctx, note("good b")) },
	)
	for i, want := range []error{nil, ErrExists, nil, ErrNotFound, nil, nil, ErrExists, nil} {
		if !errors.Is(errs[i], want) || want == nil && errs[i] != nil {
			t.Errorf("operation %d: %v, want %v", i, errs[i], want)
		}
	}
	want := []string{"grant 1", "first", "good a", "grant 2", "revoke 2", "grant 3", "good b"}
	if got := outcomes(t, s); !slices.Equal(got, want) {
		t.Errorf("log %v, want %v", got, want)
	}
	if s.Grants(grant(2).Identity) != nil || len(s.Grants(grant(3).Identity)) != 1 {
		t.Error("the grants in memory are not those in the file")
	}
	if n := g.commits.Load() - before; n != 1+1+3 { // the first's, and one more for each that failed
		t.Errorf("%d transactions", n)
	}
}

func TestManyWritersShareATransaction(t *testing.T) {
	g := newGate()
	s := open(t, statePath(t), Options{update: g.update})
	var calls []func() error
	for i := range 100 {
		calls = append(calls, func() error { return s.Record(t.Context(), note(fmt.Sprint(i))) })
	}
	before := g.commits.Load()
	for _, err := range waitingFor(t, s, g, calls...) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := g.commits.Load() - before; n != 2 {
		t.Errorf("%d transactions for one writer and then a hundred", n)
	}
}

// Who waited when Close was called is written, and told so.
func TestCloseWritesWhatWaits(t *testing.T) {
	path, g := statePath(t), newGate()
	s := open(t, path, Options{update: g.update})
	g.shut.Store(true)
	errs := make(chan error, 4)
	record := func(outcome string) { errs <- s.Record(t.Context(), note(outcome)) }
	go record("first")
	<-g.entered
	for i := range 3 {
		go record(fmt.Sprint("waits ", i))
	}
	for len(s.ops) < 3 {
		yield()
	}
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	<-s.closing
	g.shut.Store(false)
	g.release <- struct{}{}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	if got := outcomes(t, open(t, path, Options{})); len(got) != 4 {
		t.Errorf("log %v", got)
	}
}

// A caller that goes away before its turn leaves nothing behind.
func TestACallerThatGoesAwayInTheQueue(t *testing.T) {
	g := newGate()
	s := open(t, statePath(t), Options{update: g.update})
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("the client hung up")
	errs := waitingUntil(t, s, g, func() { cancel(gone) },
		func() error { return s.Record(t.Context(), note("stays")) },
		func() error { return s.Record(ctx, note("goes")) })
	if errs[0] != nil || !errors.Is(errs[1], gone) {
		t.Errorf("errors %v", errs)
	}
	if got := outcomes(t, s); !slices.Equal(got, []string{"first", "stays"}) {
		t.Errorf("log %v", got)
	}
}

// A caller that goes away while its change is on the way to the disk does not
// wait for the disk; the change is made as a whole.
func TestACallerThatGoesAwayDuringTheCommit(t *testing.T) {
	g := newGate()
	s := open(t, statePath(t), Options{update: g.update})
	g.shut.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- s.AddGrant(ctx, grant(1), note("grant")) }()
	<-g.entered
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) { // the disk still hangs
		t.Fatal(err)
	}
	g.shut.Store(false)
	g.release <- struct{}{}
	if err := s.Record(t.Context(), note("next")); err != nil {
		t.Fatal(err)
	}
	if got := outcomes(t, s); !slices.Equal(got, []string{"grant", "next"}) || len(s.Grants(grant(1).Identity)) != 1 {
		t.Errorf("log %v, grants %v", got, s.Grants(grant(1).Identity))
	}
}

// The disk refuses before anything is visible: everybody who waits hears it, no
// number in memory moves, and the store goes on when the disk does.
func TestADiskThatRefusesForAWhile(t *testing.T) {
	g := newGate()
	s := open(t, statePath(t), Options{update: g.update})
	ctx := t.Context()
	if err := s.AddGrant(ctx, grant(1), note("grant 1")); err != nil {
		t.Fatal(err)
	}
	head, err := s.AuditHead()
	if err != nil {
		t.Fatal(err)
	}
	for _, errno := range []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS} {
		g.fail.Store(&errno)
		_, revokeErr := s.RevokeGrant(ctx, grant(1).ID, note("revoke"))
		for what, err := range map[string]error{
			"record": s.Record(ctx, note("lost")), "grant": s.AddGrant(ctx, grant(2), note("grant 2")), "revoke": revokeErr,
			"evidence": s.SaveEvidence(ctx, map[string][]byte{"k": []byte("v")}),
		} {
			if !errors.Is(err, ErrUnavailable) || !errors.Is(err, errno) {
				t.Errorf("%s with %v: %v", what, errno, err)
			}
		}
		if now, _ := s.AuditHead(); now != head {
			t.Errorf("the head moved to %v", now)
		}
		if len(s.Grants(grant(1).Identity)) != 1 || s.Grants(grant(2).Identity) != nil {
			t.Error("the grants in memory moved")
		}
	}
	g.fail.Store(nil)
	if err := s.Record(ctx, note("again")); err != nil {
		t.Fatal(err)
	}
	if got := outcomes(t, s); !slices.Equal(got, []string{"grant 1", "again"}) {
		t.Errorf("log %v", got)
	}
}

// A sync that fails after the transaction became visible: what is on the disk is
// not known, so nothing more is acknowledged until a restart looks.
func TestADiskThatFailsHalfWay(t *testing.T) {
	path, g := statePath(t), newGate()
	s, err := Open(path, Options{update: g.update})
	if err != nil {
		t.Fatal(err)
	}
	var eio error = syscall.EIO
	g.after.Store(true)
	g.fail.Store(&eio)
	if err := s.Record(t.Context(), note("half")); !errors.Is(err, ErrUnavailable) {
		t.Fatal(err)
	}
	g.fail.Store(nil)
	if err := s.Record(t.Context(), note("after")); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "restart") {
		t.Fatalf("went on: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, Options{})
	if err := s.Record(t.Context(), note("restarted")); err != nil {
		t.Fatal(err)
	}
	if got := outcomes(t, s); !slices.Equal(got, []string{"half", "restarted"}) {
		t.Errorf("log %v", got)
	}
}

func TestWhatIsTooLargeIsRefusedBeforeTheQueue(t *testing.T) {
	g := newGate()
	s := open(t, statePath(t), Options{update: g.update})
	before := g.commits.Load()
	big := note("big")
	big.Detail = strings.Repeat("x", maxRecord)
	long := grant(1)
	long.ID = strings.Repeat("x", maxID+1)
	for what, err := range map[string]error{
		"record":      s.Record(t.Context(), big),
		"records":     s.Record(t.Context(), make([]audit.Record, maxRecords+1)...),
		"grant id":    s.AddGrant(t.Context(), long, note("x")),
		"empty grant": s.AddGrant(t.Context(), access.Grant{}, note("x")),
		"evidence":    s.SaveEvidence(t.Context(), map[string][]byte{"k": make([]byte, maxEvidence+1)}),
		"key":         s.SaveEvidence(t.Context(), map[string][]byte{strings.Repeat("k", maxEvidenceKey+1): {}}),
	} {
		if !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := errors.Join(s.Record(t.Context()), s.SaveEvidence(t.Context(), nil)); err != nil {
		t.Errorf("nothing to do: %v", err)
	}
	if g.commits.Load() != before {
		t.Error("the disk was asked")
	}
}

// Readiness follows the disk: after a write failed, a write that changes nothing
// finds out whether the disk takes records again.
func TestWritableFollowsTheDisk(t *testing.T) {
	g := newGate()
	s := open(t, statePath(t), Options{update: g.update})
	if err := s.Writable(t.Context()); err != nil || g.commits.Load() > 2 {
		t.Fatalf("a disk that never failed: %v, after %d commits", err, g.commits.Load())
	}
	full := error(syscall.ENOSPC)
	g.fail.Store(&full)
	if err := s.Record(t.Context(), note("lost")); !errors.Is(err, ErrUnavailable) {
		t.Fatal(err)
	}
	if err := s.Writable(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("a full disk is called writable: %v", err)
	}
	g.fail.Store(nil)
	if err := s.Writable(t.Context()); err != nil {
		t.Fatalf("there is room again: %v", err)
	}
	if got := outcomes(t, s); len(got) != 0 {
		t.Errorf("trying left entries behind: %v", got)
	}
}
