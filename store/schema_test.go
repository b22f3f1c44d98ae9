package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/audit"
)

// schemaOne makes a file as the version before schema 2 left it, with bbolt alone,
// and gives the head of its log.
func schemaOne(t testing.TB, path string) audit.Head {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{PageSize: pageSize})
	if err != nil {
		t.Fatal(err)
	}
	var head audit.Head
	err = db.Update(func(tx *bbolt.Tx) error {
		buckets := map[string]*bbolt.Bucket{}
		for _, name := range []string{"meta", "audit", "grants", "releases", "evidence"} {
			if buckets[name], err = tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		for _, outcome := range []string{"started", "added"} {
			body, err := audit.Encode(note(outcome))
			if err != nil {
				return err
			}
			e := audit.Chain(head, body)
			head = e.Head()
			if err := buckets["audit"].Put(binary.BigEndian.AppendUint64(nil, e.Seq), append(e.Hash[:], e.Body...)); err != nil {
				return err
			}
		}
		return errors.Join(
			buckets["meta"].Put([]byte("schema"), []byte{0, 0, 0, 1}),
			buckets["meta"].Put([]byte("created"), []byte("2026-03-01T12:00:00Z")),
			buckets["meta"].Put([]byte("head"), append(binary.BigEndian.AppendUint64(nil, head.Seq), head.Hash[:]...)),
			buckets["grants"].Put([]byte("g1"), []byte(
				`{"id":"g1","iss":"https://idp.example.org/","sub":"42","dataset":"cohort","until":"2027-01-01T00:00:00Z","created":"2026-03-01T12:00:00Z"}`)),
			buckets["releases"].Put([]byte("cohort"), []byte(`{"dataset":"cohort","release":"r1","file":"/d/r1"}`)),
		)
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return head
}

func schemaOf(t testing.TB, path string) (version uint32) {
	t.Helper()
	edit(t, path, func(tx *bbolt.Tx) error {
		version = binary.BigEndian.Uint32(tx.Bucket(bucketMeta).Get(keySchema))
		return nil
	})
	return version
}

func TestAFileOfTheFirstSchemaIsBroughtUp(t *testing.T) {
	path := statePath(t)
	head := schemaOne(t, path)
	s := open(t, path, Options{MustExist: true})
	if now, err := s.VerifyAudit(t.Context()); err != nil || now != head {
		t.Errorf("the log ends at %v, %v, want %v", now, err, head)
	}
	if held := s.Grants(trust.Identity{Issuer: "https://idp.example.org/", Subject: "42"}); len(held) != 1 || held[0].ID != "g1" {
		t.Errorf("grants %v", held)
	}
	if all, err := s.Releases(); err != nil || len(all) != 1 || all[0].Release != "r1" {
		t.Errorf("releases %v, %v", all, err)
	}
	if r := s.Revocations(); r.Revision() != 0 || len(s.AllSessions()) != 0 {
		t.Errorf("something is in what the first schema did not have: %v, %v", r, s.AllSessions())
	}
	if err := s.AddRevocation(t.Context(), revokePerson("r1", "42"), note("revoked")); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if v := schemaOf(t, path); v != schema {
		t.Errorf("the file has schema %d", v)
	}
	s = open(t, path, Options{MustExist: true}) // and is opened again as any other
	if got := outcomes(t, s); !slices.Equal(got, []string{"started", "added", "revoked"}) {
		t.Errorf("log %v", got)
	}
}

// A disk that refuses leaves the older file as it was, and the next start tries
// again.
func TestAMigrationIsMadeWhollyOrNotAtAll(t *testing.T) {
	path := statePath(t)
	schemaOne(t, path)
	refuse := func(db *bbolt.DB, f func(*bbolt.Tx) error) error {
		return db.Update(func(tx *bbolt.Tx) error {
			return errors.Join(f(tx), errors.New("no space left on device"))
		})
	}
	if _, err := Open(path, Options{update: refuse}); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("opened with %v", err)
	}
	if v := schemaOf(t, path); v != 1 {
		t.Errorf("half a migration: schema %d", v)
	}
	edit(t, path, func(tx *bbolt.Tx) error {
		if tx.Bucket(bucketSessions) != nil || tx.Bucket(bucketGrants) == nil {
			t.Error("the buckets are those of neither version")
		}
		return nil
	})
	open(t, path, Options{MustExist: true})
}

func TestReadingAnOlderFileChangesNothing(t *testing.T) {
	path := statePath(t)
	schemaOne(t, path)
	before, _ := os.ReadFile(path)
	s := open(t, path, Options{ReadOnly: true})
	if all, err := s.AllRevocations(t.Context()); err != nil || all != nil {
		t.Errorf("revocations %v, %v", all, err)
	}
	if _, known, err := s.Poll(trust.DigestOfString("visa")); known || err != nil {
		t.Errorf("%v, %v", known, err)
	}
	if got := outcomes(t, s); !slices.Equal(got, []string{"started", "added"}) {
		t.Errorf("log %v", got)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the file was changed")
	}
}

// A file that says it is of a schema and lacks a part of it is damaged: an empty
// part in place of a lost one would give revoked access back.
func TestAFileThatLacksAPartOfItsSchema(t *testing.T) {
	for version := range schema + 1 {
		for _, name := range bucketsOf[version] {
			if string(name) == "meta" {
				continue // without it the file says nothing of a schema
			}
			path := filepath.Join(t.TempDir(), "state.db")
			if err := open(t, path, Options{Now: time.Now}).Close(); err != nil {
				t.Fatal(err)
			}
			edit(t, path, func(tx *bbolt.Tx) error { return tx.DeleteBucket(name) })
			if _, err := Open(path, Options{}); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), string(name)) {
				t.Errorf("without %s: %v", name, err)
			}
		}
	}
}
