package store

import (
	"bytes"
	"compress/flate"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/candignode/candignode/trust/audit"
)

// Evidence about issuers is kept for the trust desk under keys of its own
// choosing. Values are deflated: signed envelopes between nodes shrink by a third,
// and look like no token, so that a search of the file for tokens finds tokens.

// SaveEvidence puts and deletes (nil value) entries, and appends audit records,
// in one transaction.
func (s *Store) SaveEvidence(ctx context.Context, entries map[string][]byte, records ...audit.Record) error {
	if len(entries) == 0 && len(records) == 0 {
		return nil
	}
	if len(entries) > maxEvidenceEntries {
		return fmt.Errorf("%w: %d entries of evidence at once, at most %d", ErrRefused, len(entries), maxEvidenceEntries)
	}
	packed := make(map[string][]byte, len(entries))
	for key, value := range entries {
		if key == "" || len(key) > maxEvidenceKey || len(value) > maxEvidence {
			return fmt.Errorf("%w: evidence %.80q of %d bytes", ErrRefused, key, len(value))
		}
		if value == nil {
			packed[key] = nil
			continue
		}
		var err error
		if packed[key], err = deflate(value); err != nil {
			return fmt.Errorf("evidence %.80q: %w", key, err)
		}
	}
	bodies, err := encode(records)
	if err != nil {
		return err
	}
	keys := slices.Sorted(maps.Keys(packed)) // rising order touches each page once
	return s.do(ctx, func(c *change) error {
		bucket := c.tx.Bucket(bucketEvidence)
		for _, key := range keys {
			value := packed[key]
			if value == nil {
				if err := bucket.Delete([]byte(key)); err != nil {
					return err
				}
				continue
			}
			if err := bucket.Put([]byte(key), value); err != nil {
				return err
			}
		}
		return c.record(bodies)
	})
}

// LoadEvidence hands out every entry, in the order of the keys. each may keep the
// value, and may write to the store.
func (s *Store) LoadEvidence(each func(key string, value []byte) error) error {
	return s.walk(context.Background(), bucketEvidence, []byte{0}, func(key, value []byte) error {
		plain, err := inflate(value)
		if err != nil {
			return fmt.Errorf("%w: evidence %.80q: %w", ErrForeign, key, err)
		}
		return each(string(key), plain)
	})
}

func deflate(value []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.DefaultCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(value); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func inflate(packed []byte) ([]byte, error) {
	value, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), maxEvidence+1))
	if err == nil && len(value) > maxEvidence {
		err = fmt.Errorf("larger than %d bytes", maxEvidence)
	}
	return value, err
}
