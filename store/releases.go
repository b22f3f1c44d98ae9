package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/trust/audit"
)

// Release is the imported data that a dataset answers from: an immutable file,
// replaced as a whole.
type Release struct {
	Dataset     string         `json:"dataset"`
	Release     string         `json:"release"`
	File        string         `json:"file"`
	Assembly    query.Assembly `json:"assembly"`
	Individuals int            `json:"individuals"`
	Samples     int            `json:"samples"`
	Variants    int64          `json:"variants"`
	Imported    time.Time      `json:"imported"`
}

// PutRelease makes r the release of its dataset, with its audit record. The file
// that it names must be durable before.
func (s *Store) PutRelease(ctx context.Context, r Release, record audit.Record) error {
	if err := query.ValidDatasetID(r.Dataset); err != nil {
		return errors.Join(ErrRefused, err)
	}
	if r.Release == "" || r.File == "" {
		return fmt.Errorf("%w: a release needs a name and a file", ErrRefused)
	}
	value, err := json.Marshal(r)
	if err != nil {
		return errors.Join(ErrRefused, err)
	}
	bodies, err := encode([]audit.Record{record})
	if err != nil {
		return err
	}
	return s.do(ctx, func(c *change) error {
		if err := c.tx.Bucket(bucketReleases).Put([]byte(r.Dataset), value); err != nil {
			return err
		}
		return c.record(bodies)
	})
}

// DropRelease forgets a dataset's release, with its audit record; the file stays
// for the caller to remove. It wraps ErrNotFound.
func (s *Store) DropRelease(ctx context.Context, dataset string, record audit.Record) error {
	bodies, err := encode([]audit.Record{record})
	if err != nil {
		return err
	}
	return s.do(ctx, func(c *change) error {
		bucket := c.tx.Bucket(bucketReleases)
		if bucket.Get([]byte(dataset)) == nil {
			return fmt.Errorf("dataset %.80q: %w", dataset, ErrNotFound)
		}
		if err := bucket.Delete([]byte(dataset)); err != nil {
			return err
		}
		return c.record(bodies)
	})
}

// Releases gives the release of every dataset that has one, in the order of
// their ids.
func (s *Store) Releases() ([]Release, error) {
	var all []Release
	err := s.walk(context.Background(), bucketReleases, []byte{0}, func(key, value []byte) error {
		var r Release
		if err := json.Unmarshal(value, &r); err != nil {
			return fmt.Errorf("%w: release of %.80q: %w", ErrForeign, key, err)
		}
		all = append(all, r)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}
