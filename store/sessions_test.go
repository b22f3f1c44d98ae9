package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
)

func removeIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// session is the n-th of person i.
func session(i, n int) access.Session {
	made := noon.Add(time.Duration(n) * time.Minute)
	return access.Session{
		ID: fmt.Sprintf("%08x", 1000*i+n), TokenDigest: trust.DigestOfString(fmt.Sprint("cgs ", i, n)), Identity: person(i),
		Created: made, Used: made, Until: noon.Add(12 * time.Hour), Label: "curl", Sealed: []byte(fmt.Sprint("\x01sealed ", i, n)),
	}
}

func sessionIDs(all []access.Session) (ids []string) {
	for _, v := range all {
		ids = append(ids, v.ID)
	}
	return ids
}

func same(a, b access.Session) bool {
	sealed := bytes.Equal(a.Sealed, b.Sealed)
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return sealed && a.TokenDigest == b.TokenDigest && bytes.Equal(x, y)
}

func TestASessionIsFoundByItsTokenAndSurvives(t *testing.T) {
	path := statePath(t)
	options := Options{Now: func() time.Time { return noon }}
	s := open(t, path, options)
	ctx := t.Context()
	one, two, theirs := session(1, 1), session(1, 2), session(2, 1)
	for _, v := range []access.Session{one, two, theirs} {
		if err := s.AddSession(ctx, v, note("in "+v.ID)); err != nil {
			t.Fatal(err)
		}
	}
	check := func(s *Store) {
		t.Helper()
		if got, ok := s.SessionByToken(one.TokenDigest); !ok || !same(got, one) {
			t.Errorf("found %+v, %v", got, ok)
		}
		if got, ok := s.SessionByToken(trust.DigestOfString("guess")); ok {
			t.Errorf("a guess found %+v", got)
		}
		if got, ok := s.SessionByToken(trust.Digest{}); ok {
			t.Errorf("no token found %+v", got)
		}
		if got := sessionIDs(s.SessionsOf(person(1))); !slices.Equal(got, []string{one.ID, two.ID}) {
			t.Errorf("sessions %v", got)
		}
		if got := s.AllSessions(); len(got) != 3 || got[0].Sealed != nil {
			t.Errorf("sessions %v", got)
		}
	}
	check(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, options)
	check(s)
	if err := s.EndSession(ctx, one.ID, note("out")); err != nil {
		t.Fatal(err)
	}
	if err := s.EndSession(ctx, one.ID, note("out again")); !errors.Is(err, ErrNotFound) {
		t.Errorf("error %v", err)
	}
	if _, ok := s.SessionByToken(one.TokenDigest); ok {
		t.Error("a session that was ended is found")
	}
	if _, ok := s.SessionByToken(two.TokenDigest); !ok {
		t.Error("another one ended with it")
	}
	if got := outcomes(t, s); !slices.Equal(got, []string{"in " + one.ID, "in " + two.ID, "in " + theirs.ID, "out"}) {
		t.Errorf("log %v", got)
	}
}

func TestSessionsThatAreRefused(t *testing.T) {
	s := open(t, statePath(t), Options{Now: func() time.Time { return noon }})
	if err := s.AddSession(t.Context(), session(1, 1), note("first")); err != nil {
		t.Fatal(err)
	}
	sameToken, sameID := session(2, 1), session(2, 1)
	sameToken.TokenDigest, sameID.ID = session(1, 1).TokenDigest, session(1, 1).ID
	for what, v := range map[string]access.Session{"id and person": session(1, 1), "token": sameToken, "id": sameID} {
		if err := s.AddSession(t.Context(), v, note(what)); !errors.Is(err, ErrExists) {
			t.Errorf("the same %s: %v", what, err)
		}
	}
	for what, spoil := range map[string]func(*access.Session){
		"no id":      func(v *access.Session) { v.ID = "" },
		"no token":   func(v *access.Session) { v.TokenDigest = trust.Digest{} },
		"nobody":     func(v *access.Session) { v.Identity = trust.Identity{} },
		"no end":     func(v *access.Session) { v.Until = time.Time{} },
		"long label": func(v *access.Session) { v.Label = strings.Repeat("x", maxSessionText) },
		"huge":       func(v *access.Session) { v.Sealed = make([]byte, maxSealed+1) },
	} {
		bad := session(3, 1)
		spoil(&bad)
		if err := s.AddSession(t.Context(), bad, note(what)); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, err := range map[string]error{
		"end": s.EndSession(t.Context(), "none", note("x")), "touch": s.TouchSession(t.Context(), "none", noon),
		"reseal": s.ReplaceSealed(t.Context(), "none", nil, noon),
	} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := s.ReplaceSealed(t.Context(), session(1, 1).ID, make([]byte, maxSealed+1), noon); !errors.Is(err, ErrRefused) {
		t.Errorf("error %v", err)
	}
	if got := outcomes(t, s); !slices.Equal(got, []string{"first"}) || len(s.AllSessions()) != 1 {
		t.Errorf("log %v", got)
	}
}

func TestASessionEndsAtItsEnd(t *testing.T) {
	now := noon
	s := open(t, statePath(t), Options{Now: func() time.Time { return now }})
	v := session(1, 1)
	if err := s.AddSession(t.Context(), v, note("in")); err != nil {
		t.Fatal(err)
	}
	now = v.Until.Add(-time.Nanosecond)
	if _, ok := s.SessionByToken(v.TokenDigest); !ok {
		t.Error("it ended early")
	}
	now = v.Until
	if _, ok := s.SessionByToken(v.TokenDigest); ok {
		t.Error("it is found at its end")
	}
	if len(s.AllSessions()) != 1 {
		t.Error("reading swept it")
	}
	// Somebody else signs in, and what is sealed leaves the file.
	later := session(2, 1)
	later.Until = now.Add(time.Hour)
	if err := s.AddSession(t.Context(), later, note("in")); err != nil {
		t.Fatal(err)
	}
	if got := sessionIDs(s.AllSessions()); !slices.Equal(got, []string{later.ID}) {
		t.Errorf("sessions %v", got)
	}
	if err := s.EndSession(t.Context(), v.ID, note("out")); !errors.Is(err, ErrNotFound) {
		t.Errorf("error %v", err)
	}
	if err := errors.Join(s.Sweep(t.Context()), s.Sweep(t.Context())); err != nil {
		t.Error(err)
	}
	if got := outcomes(t, s); !slices.Equal(got, []string{"in", "expired", "in"}) {
		t.Errorf("log %v", got)
	}
}

func TestOnePersonHasABoundedNumberOfSessions(t *testing.T) {
	s := open(t, statePath(t), Options{SessionsPerPerson: 3, Now: func() time.Time { return noon }})
	ctx := t.Context()
	for n := range 3 {
		if err := s.AddSession(ctx, session(1, n), note("in")); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.AddSession(ctx, session(2, 1), note("in")); err != nil {
		t.Fatal(err)
	}
	if err := s.TouchSession(ctx, session(1, 0).ID, noon.Add(time.Hour)); err != nil { // the oldest is in use
		t.Fatal(err)
	}
	if err := s.AddSession(ctx, session(1, 9), note("one more")); err != nil {
		t.Fatal(err)
	}
	want := []string{session(1, 0).ID, session(1, 2).ID, session(1, 9).ID}
	if got := sessionIDs(s.SessionsOf(person(1))); !slices.Equal(got, want) {
		t.Errorf("sessions %v, want %v", got, want)
	}
	if len(s.SessionsOf(person(2))) != 1 {
		t.Error("somebody else's session ended")
	}
	if got := outcomes(t, s); !slices.Equal(got[4:], []string{"ended", "one more"}) {
		t.Errorf("log %v", got)
	}
}

// Sign-ins of the same moment cannot get past the bound together.
func TestSessionsOfTheSameTransactionAreBounded(t *testing.T) {
	g := newGate()
	s := open(t, statePath(t), Options{SessionsPerPerson: 2, update: g.update, Now: func() time.Time { return noon }})
	var calls []func() error
	for n := range 6 {
		calls = append(calls, func() error { return s.AddSession(t.Context(), session(1, n), note("in")) })
	}
	calls = append(calls, func() error { return s.AddSession(t.Context(), session(1, 5), note("twice")) })
	errs := waitingFor(t, s, g, calls...)
	if !errors.Is(errs[6], ErrExists) || errors.Join(errs[:6]...) != nil {
		t.Errorf("%v", errs)
	}
	if got := sessionIDs(s.SessionsOf(person(1))); !slices.Equal(got, []string{session(1, 4).ID, session(1, 5).ID}) {
		t.Errorf("sessions %v", got)
	}
	if _, ok := s.SessionByToken(session(1, 0).TokenDigest); ok {
		t.Error("an ended one is found")
	}
}

func TestASessionInUseIsWrittenNowAndThen(t *testing.T) {
	g := newGate()
	path := statePath(t)
	s := open(t, path, Options{update: g.update, Now: func() time.Time { return noon }})
	v := session(1, 0)
	if err := s.AddSession(t.Context(), v, note("in")); err != nil {
		t.Fatal(err)
	}
	before := g.commits.Load()
	for i := range 600 { // ten minutes of one request a second
		if err := s.TouchSession(t.Context(), v.ID, v.Created.Add(time.Duration(i)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	if n := g.commits.Load() - before; n != 1 {
		t.Errorf("%d writes for ten minutes of use", n)
	}
	if err := s.ReplaceSealed(t.Context(), v.ID, []byte("\x02new"), noon.Add(20*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, Options{Now: func() time.Time { return noon }})
	got, ok := s.SessionByToken(v.TokenDigest)
	if !ok || !got.Used.Equal(v.Created.Add(touchEvery)) || string(got.Sealed) != "\x02new" || !got.Until.Equal(noon.Add(20*time.Hour)) || got.Label != "curl" {
		t.Errorf("found %+v, %v", got, ok)
	}
}

// A session that is extended in the very transaction that sweeps it goes on.
func TestASweepLeavesWhatWasJustExtended(t *testing.T) {
	g := newGate()
	now := noon
	s := open(t, statePath(t), Options{update: g.update, Now: func() time.Time { return now }})
	v := session(1, 0)
	if err := s.AddSession(t.Context(), v, note("in")); err != nil {
		t.Fatal(err)
	}
	now = v.Until
	for _, err := range waitingFor(t, s, g,
		func() error { return s.ReplaceSealed(t.Context(), v.ID, []byte("new"), now.Add(time.Hour)) },
		func() error { return s.Sweep(t.Context()) },
	) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got, ok := s.SessionByToken(v.TokenDigest); !ok || string(got.Sealed) != "new" {
		t.Errorf("found %+v, %v", got, ok)
	}
}

// A session that is ended and swept at the same moment goes once, with one record.
func TestASweepOfWhatWasJustEnded(t *testing.T) {
	g := newGate()
	now := noon
	s := open(t, statePath(t), Options{update: g.update, Now: func() time.Time { return now }})
	v := session(1, 0)
	if err := s.AddSession(t.Context(), v, note("in")); err != nil {
		t.Fatal(err)
	}
	now = v.Until
	for _, err := range waitingFor(t, s, g,
		func() error { return s.EndSession(t.Context(), v.ID, note("out")) },
		func() error { return s.Sweep(t.Context()) }, func() error { return s.Sweep(t.Context()) },
	) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := outcomes(t, s); !slices.Equal(got, []string{"in", "first", "out"}) || len(s.AllSessions()) != 0 {
		t.Errorf("log %v", got)
	}
}

// What people and operators see of a session has nothing that opens or decrypts it.
func TestASessionsJSONHoldsNoSecret(t *testing.T) {
	text, err := json.Marshal(session(1, 1))
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{session(1, 1).TokenDigest.String(), "sealed", "Sealed"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("%s holds %q", text, secret)
		}
	}
}
