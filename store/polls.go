package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/audit"
)

// SavePoll keeps what is known about polling for the visa with a digest, with the
// audit records. It wraps ErrRefused and ErrFull.
func (s *Store) SavePoll(ctx context.Context, visa trust.Digest, p access.Poll, records ...audit.Record) error {
	value, err := json.Marshal(p)
	switch {
	case err != nil:
		return errors.Join(ErrRefused, err)
	case visa.IsZero() || p.Expires.IsZero() || len(value) > maxPoll:
		return fmt.Errorf("%w: a poll needs a visa and its end, and at most %d bytes", ErrRefused, maxPoll)
	}
	if err := noToken(value, "poll"); err != nil {
		return err
	}
	bodies, err := encode(records)
	if err != nil {
		return err
	}
	return s.do(ctx, func(c *change) error {
		if err := s.sweepIfDue(c); err != nil {
			return err
		}
		bucket := c.tx.Bucket(bucketPolls)
		if bucket.Get(visa[:]) == nil {
			if s.polls >= maxPolls {
				return fmt.Errorf("%w: %d polled visas", ErrFull, s.polls)
			}
			c.after = append(c.after, func() { s.polls++ })
		}
		if err := bucket.Put(visa[:], value); err != nil {
			return err
		}
		return c.record(bodies)
	})
}

// Poll gives what is known about polling for the visa with a digest, and whether
// anything is.
func (s *Store) Poll(visa trust.Digest) (p access.Poll, known bool, err error) {
	err = s.view(func(tx *bbolt.Tx) (err error) {
		bucket := tx.Bucket(bucketPolls)
		if bucket == nil {
			return nil
		}
		if value := bucket.Get(visa[:]); value != nil {
			known = true
			p, err = pollOf(visa[:], value)
		}
		return err
	})
	return p, known, err
}

// loadPolls counts them, and finds those that cannot be read.
func (s *Store) loadPolls(tx *bbolt.Tx) error {
	return forEach(tx, bucketPolls, func(key, value []byte) error {
		s.polls++
		_, err := pollOf(key, value)
		return err
	})
}

func pollOf(key, value []byte) (access.Poll, error) {
	var p access.Poll
	if err := json.Unmarshal(value, &p); err != nil {
		return p, fmt.Errorf("%w: poll %.8x: %w", ErrForeign, key, err)
	}
	return p, nil
}
