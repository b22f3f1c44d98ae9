package store

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/audit"
)

func TestMain(m *testing.M) {
	if role := os.Getenv("CANDIGNODE_STORE_CHILD"); role != "" {
		os.Exit(child(role))
	}
	goleak.VerifyTestMain(m)
}

// open opens a store that is closed, and whose log is verified, when the test
// ends.
func open(t testing.TB, path string, o Options) *Store {
	t.Helper()
	s, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		select {
		case <-s.closing:
			return
		default:
		}
		if _, err := s.VerifyAudit(context.Background()); err != nil {
			t.Error("after the test:", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func statePath(t testing.TB) string { return filepath.Join(t.TempDir(), "state.db") }

func note(outcome string) audit.Record {
	return audit.Record{Time: time.Unix(1_760_000_000, 0), Event: audit.EventNode, Outcome: outcome}
}

// outcomes reads the log back.
func outcomes(t testing.TB, s *Store) []string {
	t.Helper()
	var all []string
	err := s.AuditEntries(t.Context(), 0, func(e audit.Entry) error {
		r, err := e.Record()
		all = append(all, r.Outcome)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestWhatWasRecordedIsThereAfterReopening(t *testing.T) {
	path := statePath(t)
	s := open(t, path, Options{})
	if h, err := s.AuditHead(); err != nil || h != (audit.Head{}) {
		t.Fatalf("an empty log has head %v, %v", h, err)
	}
	for i := range 3 {
		if err := s.Record(t.Context(), note(fmt.Sprint(i, "a")), note(fmt.Sprint(i, "b"))); err != nil {
			t.Fatal(err)
		}
	}
	before, err := s.AuditHead()
	if err != nil || before.Seq != 6 {
		t.Fatalf("head %v, %v", before, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, Options{MustExist: true})
	if got := outcomes(t, s); !slices.Equal(got, []string{"0a", "0b", "1a", "1b", "2a", "2b"}) {
		t.Errorf("log %v", got)
	}
	if after, err := s.VerifyAudit(t.Context()); err != nil || after != before {
		t.Errorf("verified %v, %v, want %v", after, err, before)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("the state file has mode %v", info.Mode())
	}
}

func TestReadingTheLogFromTheMiddleInPages(t *testing.T) {
	s := open(t, statePath(t), Options{})
	const n = 3*pageItems + 7
	var many []audit.Record
	for i := range n {
		many = append(many, note(fmt.Sprint(i+1)))
		if len(many) == 500 || i == n-1 {
			if err := s.Record(t.Context(), many...); err != nil {
				t.Fatal(err)
			}
			many = nil
		}
	}
	next := uint64(pageItems - 1)
	err := s.AuditEntries(t.Context(), next, func(e audit.Entry) error {
		if e.Seq != next {
			t.Fatalf("entry %d came where %d was due", e.Seq, next)
		}
		next++
		if e.Seq == pageItems { // writing while reading neither waits nor disturbs
			return s.Record(t.Context(), note("in between"))
		}
		return nil
	})
	if err != nil || next != n+2 {
		t.Fatalf("read up to %d, %v", next, err)
	}
	stop := errors.New("enough")
	if err := s.AuditEntries(t.Context(), 1, func(audit.Entry) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.AuditEntries(ctx, 1, func(audit.Entry) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestOneProcessAtATime(t *testing.T) {
	path := statePath(t)
	open(t, path, Options{})
	if _, err := Open(path, Options{}); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "daemon") {
		t.Errorf("second writer: %v", err)
	}
	if _, err := Open(path, Options{ReadOnly: true}); !errors.Is(err, ErrLocked) {
		t.Errorf("reader beside the daemon: %v", err)
	}
}

func TestReadersWriteNothing(t *testing.T) {
	path := statePath(t)
	s := open(t, path, Options{})
	if err := s.Record(t.Context(), note("one")); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	a, b := open(t, path, Options{ReadOnly: true}), open(t, path, Options{ReadOnly: true})
	for _, r := range []*Store{a, b} {
		if got := outcomes(t, r); !slices.Equal(got, []string{"one"}) {
			t.Errorf("log %v", got)
		}
		if err := r.Record(t.Context(), note("two")); !errors.Is(err, ErrReadOnly) {
			t.Errorf("error %v", err)
		}
	}
}

func TestFilesThatAreNoStateFile(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing.db")
	for _, o := range []Options{{MustExist: true}, {ReadOnly: true}} {
		if _, err := Open(missing, o); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%+v: %v", o, err)
		}
		if _, err := os.Stat(missing); err == nil {
			t.Error("a file was made")
		}
	}
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, bytes.Repeat([]byte("not a database\n"), 4000), 0o600); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "other.db")
	db, err := bbolt.Open(other, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("theirs")); return err }); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{text, other, dir} {
		before, _ := os.ReadFile(path)
		if s, err := Open(path, Options{}); !errors.Is(err, ErrForeign) {
			t.Errorf("%s: %v, %v", path, s, err)
		}
		if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
			t.Errorf("%s was changed", path)
		}
	}
}

func TestANewerFileIsNotTouched(t *testing.T) {
	path := statePath(t)
	if err := open(t, path, Options{}).Close(); err != nil {
		t.Fatal(err)
	}
	edit(t, path, func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketMeta).Put(keySchema, binary.BigEndian.AppendUint32(nil, schema+1))
	})
	before, _ := os.ReadFile(path)
	for _, o := range []Options{{}, {ReadOnly: true}} {
		if _, err := Open(path, o); !errors.Is(err, ErrNewerSchema) {
			t.Errorf("%v", err)
		}
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the file was changed")
	}
}

// edit changes a closed state file with another program.
func edit(t testing.TB, path string, f func(*bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(f), db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestAClosedStoreRefuses(t *testing.T) {
	s := open(t, statePath(t), Options{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	ctx := t.Context()
	_, headErr := s.AuditHead()
	_, grantsErr := s.AllGrants(ctx)
	_, releasesErr := s.Releases()
	_, verifyErr := s.VerifyAudit(ctx)
	for what, err := range map[string]error{
		"Record": s.Record(ctx, note("late")), "AuditHead": headErr, "AllGrants": grantsErr, "Releases": releasesErr,
		"VerifyAudit": verifyErr, "LoadEvidence": s.LoadEvidence(func(string, []byte) error { return nil }),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Every call that came back without error before or during Close is in the file.
func TestCloseLosesNothingThatWasAcknowledged(t *testing.T) {
	path := statePath(t)
	s := open(t, path, Options{})
	var acknowledged sync.Map
	var wg sync.WaitGroup
	started := make(chan struct{}, 32)
	for w := range 32 {
		wg.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprint(w, "/", i)
				err := s.Record(t.Context(), note(id))
				if errors.Is(err, ErrClosed) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				acknowledged.Store(id, true)
				if i == 0 {
					started <- struct{}{}
				}
			}
		})
	}
	for range 32 {
		<-started
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	found := map[string]bool{}
	for _, o := range outcomes(t, open(t, path, Options{})) {
		found[o] = true
	}
	acknowledged.Range(func(id, _ any) bool {
		if !found[id.(string)] {
			t.Errorf("%s was acknowledged and is gone", id)
		}
		return true
	})
}

func TestReleasesAndEvidence(t *testing.T) {
	path := statePath(t)
	s := open(t, path, Options{})
	ctx := t.Context()
	r := Release{Dataset: "rarivitis-2025", Release: "r1", File: "/d/r1", Assembly: query.Assembly("GRCh37"), Individuals: 71,
		Samples: 72, Variants: 1 << 40, Imported: time.Unix(1_760_000_000, 0).UTC()}
	newer := r
	newer.Release, newer.File = "r2", "/d/r2"
	other := r
	other.Dataset = "another"
	for _, one := range []Release{r, newer, other} {
		if err := s.PutRelease(ctx, one, note("import")); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.DropRelease(ctx, "none", note("drop none")); !errors.Is(err, ErrNotFound) {
		t.Errorf("error %v", err)
	}
	if err := s.PutRelease(ctx, Release{Dataset: "../up"}, note("bad")); !errors.Is(err, ErrRefused) {
		t.Errorf("error %v", err)
	}
	if err := s.DropRelease(ctx, "another", note("drop")); err != nil {
		t.Fatal(err)
	}
	jws := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"EdDSA","kid":"x","typ":"candig-head+jwt"}`))
	jws += "." + base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat(`{"net":"candig"}`, 20))) + ".c2lnbmF0dXJl"
	for _, step := range []map[string][]byte{
		{"head/chus": []byte(jws), "gone": []byte("x"), "empty": {}},
		{"gone": nil, "never there": nil, "\x00odd": []byte{0}},
	} {
		if err := s.SaveEvidence(ctx, step, note("evidence")); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SaveEvidence(ctx, map[string][]byte{"": {1}}); !errors.Is(err, ErrRefused) {
		t.Errorf("error %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, Options{})
	if all, err := s.Releases(); err != nil || len(all) != 1 || all[0] != newer {
		t.Errorf("releases %+v, %v", all, err)
	}
	got := map[string]string{}
	if err := s.LoadEvidence(func(key string, value []byte) error { got[key] = string(value); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || got["head/chus"] != jws || got["\x00odd"] != "\x00" {
		t.Errorf("evidence %q", got)
	}
	if got := outcomes(t, s); !slices.Equal(got, []string{"import", "import", "import", "drop", "evidence", "evidence"}) {
		t.Errorf("log %v", got) // refused changes leave no record of having been made
	}
}

// passports.md, row 64: the state file has no eyJ.
func TestNoTokenReachesTheFile(t *testing.T) {
	path := statePath(t)
	s := open(t, path, Options{})
	token := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." +
		base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"https://idp.example.org/","sub":"42"}`)) + ".c2lnbmF0dXJlIG9mIGl0"
	r := note("allow")
	r.Passports, r.Visas = []trust.Digest{trust.DigestOf([]byte(token))}, []trust.Digest{trust.DigestOf([]byte("visa"))}
	if err := s.Record(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if err := s.AddGrant(t.Context(), grant(1), note("grant")); err != nil {
		t.Fatal(err)
	}
	if err := s.SaveEvidence(t.Context(), map[string][]byte{"envelope": []byte(token)}); err != nil {
		t.Fatal(err)
	}
	r.Detail = "refused " + token
	if err := s.Record(t.Context(), r); !errors.Is(err, ErrRefused) || strings.Contains(err.Error(), token[:20]) {
		t.Errorf("a token in a record: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if at := bytes.Index(data, []byte("eyJ")); at >= 0 {
		t.Errorf("the file holds %q", data[at:at+20])
	}
	if !bytes.Contains(data, []byte(`"outcome":"allow"`)) {
		t.Error("the search would find nothing at all")
	}
}

func TestGrantsAreSeenAtOnceAndSurvive(t *testing.T) {
	path := statePath(t)
	s := open(t, path, Options{})
	ctx := t.Context()
	g := grant(7)
	second := g
	second.ID, second.Dataset = "second", "another"
	for _, one := range []access.Grant{g, second, grant(8)} {
		if err := s.AddGrant(ctx, one, note("add")); err != nil {
			t.Fatal(err)
		}
	}
	if held := s.Grants(g.Identity); len(held) != 2 || held[0] != g || held[1] != second {
		t.Errorf("grants %v", held)
	}
	// passports.md, row 42: the same subject at another issuer is somebody else.
	if held := s.Grants(trust.Identity{Issuer: "https://other.example.org", Subject: g.Subject}); held != nil {
		t.Errorf("somebody else holds %v", held)
	}
	if err := s.AddGrant(ctx, g, note("again")); !errors.Is(err, ErrExists) {
		t.Errorf("twice: %v", err)
	}
	if err := s.AddGrant(ctx, access.Grant{ID: "x"}, note("for nobody")); !errors.Is(err, ErrRefused) {
		t.Errorf("for nobody: %v", err)
	}
	if _, err := s.RevokeGrant(ctx, "none", note("none")); !errors.Is(err, ErrNotFound) {
		t.Errorf("error %v", err)
	}
	seen := s.Grants(g.Identity)
	if back, err := s.RevokeGrant(ctx, g.ID, note("revoke")); err != nil || back != g {
		t.Errorf("revoked %v, %v", back, err)
	}
	if len(seen) != 2 || seen[0] != g {
		t.Error("a reader's list changed under it")
	}
	check := func(s *Store) {
		t.Helper()
		if held := s.Grants(g.Identity); len(held) != 1 || held[0] != second {
			t.Errorf("grants %v", held)
		}
		if all, err := s.AllGrants(ctx); err != nil || len(all) != 2 {
			t.Errorf("all %v, %v", all, err)
		}
	}
	check(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, Options{})
	check(s)
	if got := outcomes(t, s); !slices.Equal(got, []string{"add", "add", "add", "revoke"}) {
		t.Errorf("log %v", got)
	}
}
