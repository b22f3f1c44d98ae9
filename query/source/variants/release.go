package variants

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/candignode/candignode/query"
)

// Release is an open release file. It is safe for concurrent use and
// implements query.Source.
type Release struct {
	db      *bbolt.DB
	about   description
	scratch sync.Pool // of *marks
}

var _ query.Source = (*Release)(nil)

// marks is the working memory of one question.
type marks struct {
	samples     bitset
	individuals bitset
}

// lockTimeout bounds the wait for a file that an import still writes, which
// happens only if somebody opens a working file.
const lockTimeout = 2 * time.Second

// Open opens a release file for reading and checks what can be checked without
// reading all of it; Verify does the rest. It returns ErrFormat for a file of
// another version and ErrCorrupt for anything else that is no whole release file.
// Several processes may have the same file open.
func Open(path string) (_ *Release, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("release file: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() == 0 {
		return nil, fmt.Errorf("release file %s: %w: it is empty or no regular file", path, ErrCorrupt)
	}
	r := &Release{}
	err = guard(func() (err error) {
		r.db, err = bbolt.Open(path, 0, &bbolt.Options{ReadOnly: true, Timeout: lockTimeout, NoStatistics: true})
		return err
	})
	if err != nil {
		// What is not the system's refusal is about what the file holds.
		var refused *os.PathError
		if !errors.As(err, &refused) && !errors.Is(err, berrors.ErrTimeout) && !errors.Is(err, ErrCorrupt) {
			err = fmt.Errorf("%w: %v", ErrCorrupt, err)
		}
		return nil, fmt.Errorf("release file %s: %w", path, err)
	}
	if err := r.load(info.Size()); err != nil {
		return nil, errors.Join(fmt.Errorf("release file %s: %w", path, err), r.Close())
	}
	r.scratch.New = func() any {
		return &marks{newBitset(len(r.about.Samples)), newBitset(len(r.about.Individuals))}
	}
	return r, nil
}

// load reads the description.
func (r *Release) load(size int64) error {
	var text []byte
	err := r.view(func(tx *bbolt.Tx) error {
		// The pages are mapped memory: one beyond the end of the file would be a
		// fault at some later question.
		if tx.Size() > size {
			return fmt.Errorf("%w: %d bytes of %d are there", ErrCorrupt, size, tx.Size())
		}
		meta := tx.Bucket([]byte(bucketMeta))
		if meta == nil || tx.Bucket([]byte(bucketVariants)) == nil {
			return fmt.Errorf("%w: this is no release file", ErrCorrupt)
		}
		if version := meta.Get([]byte(keyFormat)); string(version) != formatVersion {
			return fmt.Errorf("%w: it has %.20q, this program reads %q; import the release again or use a newer program", ErrFormat, version, formatVersion)
		}
		description := meta.Get([]byte(keyDescription))
		if sum := sha256.Sum256(description); string(meta.Get([]byte(keyDigest))) != string(sum[:]) {
			return fmt.Errorf("%w: the description was changed", ErrCorrupt)
		}
		text = append(text, description...)
		return nil
	})
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &r.about); err != nil {
		return fmt.Errorf("%w: description: %v", ErrCorrupt, err)
	}
	if len(r.about.Content) < releaseDigits || r.about.Release != r.about.Content[:releaseDigits] {
		return fmt.Errorf("%w: release id and content differ", ErrCorrupt)
	}
	return r.about.check()
}

// guard turns a panic of f into ErrCorrupt. bbolt panics on some pages that it
// did not write, and damaged page numbers lead out of the mapped file, which is a
// memory fault: both are what a damaged disk looks like, and must cost one
// answer, not the node.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrCorrupt, p)
		}
	}()
	return f()
}

// view runs f in a read transaction. bbolt lets Close wait for these.
func (r *Release) view(f func(tx *bbolt.Tx) error) error {
	err := guard(func() error { return r.db.View(f) })
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return ErrClosed
	}
	return err
}

// Close waits for the questions under way and closes the file. Later questions
// get ErrClosed. It may be called twice.
func (r *Release) Close() error { return r.db.Close() }

// Holdings describes the release.
func (r *Release) Holdings() query.Holdings { return r.about.holdings() }

func (d description) holdings() query.Holdings {
	return query.Holdings{
		Dataset: d.Dataset, Release: d.Release, Assembly: d.Assembly,
		Individuals: len(d.Individuals), Samples: len(d.Samples), Variants: d.Variants,
	}
}

// Created is when the release was imported.
func (r *Release) Created() time.Time { return r.about.Created }

// Verify reads everything and compares it with the digest that was taken when
// the release was written, and looks every variant up as a question would: a
// damaged inner page may lead questions astray and leave the content whole. It
// takes about a second for a million variants.
func (r *Release) Verify(ctx context.Context) error {
	digest, err := newContentDigest(r.about)
	if err != nil {
		return err
	}
	n := int64(0)
	err = r.view(func(tx *bbolt.Tx) error {
		used := marks{samples: newBitset(len(r.about.Samples))}
		pairs := tx.Bucket([]byte(bucketVariants))
		c := pairs.Cursor()
		for key, value := c.First(); key != nil; key, value = c.Next() {
			if n++; n%checkEvery == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			body, err := bodyOf(key, value)
			if err != nil {
				return err
			}
			if err := addBody(body, len(r.about.Samples), used.samples, used.samples); err != nil {
				return err
			}
			if !bytes.Equal(pairs.Get(key), value) {
				return fmt.Errorf("%w: a variant is there and not found", ErrCorrupt)
			}
			digest.add(key, body)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if n != r.about.Variants || digest.hex() != r.about.Content {
		return fmt.Errorf("%w: the content differs from its digest", ErrCorrupt)
	}
	return nil
}
