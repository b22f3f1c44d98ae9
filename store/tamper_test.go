package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"github.com/candignode/candignode/trust/audit"
)

// logOf makes a closed state file with n audit entries and gives its head.
func logOf(t testing.TB, path string, n int) audit.Head {
	t.Helper()
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := s.Record(context.Background(), note(fmt.Sprint("entry ", i+1))); err != nil {
			t.Fatal(err)
		}
	}
	head, err := s.AuditHead()
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	return head
}

// verify looks at a file as 'candignode audit verify' does when the daemon is
// down.
func verify(t testing.TB, path string, noted audit.Head) (audit.Head, error) {
	t.Helper()
	s, err := Open(path, Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	return s.VerifyAgainst(context.Background(), noted)
}

// tampering is what somebody with the file and another program does to entry at.
type tampering struct {
	name string
	do   func(log *bbolt.Bucket, at, other uint64, flip int) error
}

var tamperings = []tampering{
	{"edit one byte", func(log *bbolt.Bucket, at, _ uint64, flip int) error {
		value := bytes.Clone(log.Get(seqKey(at)))
		value[flip%len(value)] ^= 1 << (flip % 8)
		return log.Put(seqKey(at), value)
	}},
	{"cut short", func(log *bbolt.Bucket, at, _ uint64, flip int) error {
		value := log.Get(seqKey(at))
		return log.Put(seqKey(at), bytes.Clone(value[:flip%len(value)]))
	}},
	{"drop", func(log *bbolt.Bucket, at, _ uint64, _ int) error { return log.Delete(seqKey(at)) }},
	{"drop and close the gap", func(log *bbolt.Bucket, at, _ uint64, _ int) error {
		for ; log.Get(seqKey(at+1)) != nil; at++ {
			if err := log.Put(seqKey(at), bytes.Clone(log.Get(seqKey(at+1)))); err != nil {
				return err
			}
		}
		return log.Delete(seqKey(at))
	}},
	{"swap with another", func(log *bbolt.Bucket, at, other uint64, _ int) error {
		a, b := bytes.Clone(log.Get(seqKey(at))), bytes.Clone(log.Get(seqKey(other)))
		return errors.Join(log.Put(seqKey(at), b), log.Put(seqKey(other), a))
	}},
	{"insert a copy", func(log *bbolt.Bucket, at, _ uint64, _ int) error {
		value := bytes.Clone(log.Get(seqKey(at)))
		for ; value != nil; at++ {
			next := bytes.Clone(log.Get(seqKey(at + 1)))
			if err := log.Put(seqKey(at+1), value); err != nil {
				return err
			}
			value = next
		}
		return nil
	}},
	{"a key of another form", func(log *bbolt.Bucket, at, _ uint64, _ int) error {
		return log.Put(append(seqKey(at), 0), bytes.Clone(log.Get(seqKey(at))))
	}},
	{"replace with a well-made entry", func(log *bbolt.Bucket, at, _ uint64, _ int) error {
		var before audit.Head
		if at > 1 {
			e, err := entryOf(seqKey(at-1), log.Get(seqKey(at-1)))
			if err != nil {
				return err
			}
			before = e.Head()
		}
		e, err := audit.Append(before, note("nothing happened"))
		if err != nil {
			return err
		}
		return log.Put(seqKey(at), append(e.Hash[:], e.Body...))
	}},
}

func TestVerifyFindsEveryTampering(t *testing.T) {
	const n = 12
	dir, files := t.TempDir(), 0
	rapid.Check(t, func(r *rapid.T) {
		how := rapid.SampledFrom(tamperings).Draw(r, "how")
		at := rapid.Uint64Range(1, n).Draw(r, "at")
		other := rapid.Uint64Range(1, n).Filter(func(o uint64) bool { return o != at }).Draw(r, "other")
		flip := rapid.IntRange(0, 4000).Draw(r, "flip")
		files++
		path := filepath.Join(dir, fmt.Sprint(files))
		noted := logOf(t, path, n)
		if head, err := verify(t, path, noted); err != nil || head != noted {
			r.Fatalf("before: %v, %v", head, err)
		}
		edit(t, path, func(tx *bbolt.Tx) error { return how.do(tx.Bucket(bucketAudit), at, other, flip) })
		if _, err := verify(t, path, audit.Head{}); !errors.Is(err, audit.ErrBroken) {
			r.Fatalf("%s at %d was not found: %v", how.name, at, err)
		}
	})
}

// A tail that is cut off is found by the head that the last transaction noted,
// and, if that was cut back too, by a head that was noted elsewhere.
func TestVerifyFindsACutTail(t *testing.T) {
	const n = 9
	for cut := 1; cut <= n; cut++ {
		path := statePath(t)
		noted := logOf(t, path, n)
		edit(t, path, func(tx *bbolt.Tx) error {
			log := tx.Bucket(bucketAudit)
			for i := range cut {
				if err := log.Delete(seqKey(uint64(n - i))); err != nil {
					return err
				}
			}
			return nil
		})
		if _, err := verify(t, path, audit.Head{}); !errors.Is(err, audit.ErrBroken) {
			t.Fatalf("%d entries were cut off unnoticed: %v", cut, err)
		}
		// The daemon does not go on from a log that lost its end.
		if s, err := Open(path, Options{}); !errors.Is(err, audit.ErrBroken) {
			t.Fatalf("opened %v, %v", s, err)
		}
		edit(t, path, func(tx *bbolt.Tx) error { // the forger knows of the noted head
			head, err := lastEntry(tx)
			if err != nil {
				return err
			}
			return tx.Bucket(bucketMeta).Put(keyHead, append(seqKey(head.Seq), head.Hash[:]...))
		})
		if _, err := verify(t, path, audit.Head{}); err != nil {
			t.Fatalf("a shorter log is a log: %v", err)
		}
		if _, err := verify(t, path, noted); !errors.Is(err, audit.ErrBroken) {
			t.Fatalf("%d entries were cut off unnoticed by the head from elsewhere: %v", cut, err)
		}
	}
}

// A log that was written anew from some entry on has a good chain of its own.
func TestVerifyFindsARewrittenPast(t *testing.T) {
	path, forged := statePath(t), statePath(t)
	noted := logOf(t, path, 5)
	s := open(t, forged, Options{})
	for range 8 {
		if err := s.Record(t.Context(), note("another story")); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := verify(t, forged, audit.Head{}); err != nil {
		t.Fatal(err)
	}
	if _, err := verify(t, forged, noted); !errors.Is(err, audit.ErrBroken) {
		t.Errorf("not found: %v", err)
	}
}

// A file damaged in the middle is an error that says so, never a panic: neither
// for who reads it nor for who writes on.
func TestDamagedPagesAreErrors(t *testing.T) {
	for seed := range uint64(40) {
		path := filepath.Join(t.TempDir(), "state.db")
		logOf(t, path, 400)
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		random := rand.New(rand.NewPCG(seed, 1))
		junk := make([]byte, 6000)
		for i := range junk {
			junk[i] = byte(random.Uint32())
		}
		const firstPages = 4 * 4096 // meta pages and roots stay, or it would not open
		if _, err := file.WriteAt(junk, firstPages+random.Int64N(40_000)); err != nil {
			t.Fatal(err)
		}
		file.Close()
		s, err := Open(path, Options{})
		if err != nil {
			continue // refused at the door
		}
		_, verified := s.VerifyAudit(t.Context())
		_ = s.Record(t.Context(), note("one more"))
		if verified != nil && !errors.Is(verified, ErrForeign) && !errors.Is(verified, audit.ErrBroken) {
			t.Errorf("seed %d: %v", seed, verified)
		}
		s.Close()
	}
}
