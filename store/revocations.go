package store

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/audit"
)

// AddRevocation keeps a revocation and its audit record in one transaction. When it
// returns, Revocations gives a picture that has it. It wraps ErrExists if the id is
// taken, ErrRefused if it names nothing that could be revoked, and ErrFull.
func (s *Store) AddRevocation(ctx context.Context, r trust.Revocation, record audit.Record) error {
	value, err := json.Marshal(r)
	if err != nil {
		return errors.Join(ErrRefused, err)
	}
	switch {
	case r.ID == "" || len(r.ID) > maxID || !namesSomething(r):
		return fmt.Errorf("%w: a revocation needs an id and what its kind is about", ErrRefused)
	case len(value) > maxRevocation:
		return fmt.Errorf("%w: a revocation of %d bytes, at most %d", ErrRefused, len(value), maxRevocation)
	}
	if err := noToken(value, "revocation"); err != nil {
		return err
	}
	bodies, err := encode([]audit.Record{record})
	if err != nil {
		return err
	}
	return s.do(ctx, func(c *change) error {
		bucket := c.tx.Bucket(bucketRevocations)
		switch {
		case bucket.Get([]byte(r.ID)) != nil:
			return fmt.Errorf("revocation %.80q: %w", r.ID, ErrExists)
		case len(s.revoked) >= maxRevocations:
			return fmt.Errorf("%w: %d revocations; remove some with 'candignode revoke remove', or revoke an issuer or a key", ErrFull, len(s.revoked))
		}
		if err := bucket.Put([]byte(r.ID), value); err != nil {
			return err
		}
		c.after = append(c.after, func() { s.revoked[r.ID] = r })
		return errors.Join(s.revise(c), c.record(bodies))
	})
}

// RemoveRevocation ends a revocation, with its audit record, and gives it back as it
// was. It wraps ErrNotFound.
func (s *Store) RemoveRevocation(ctx context.Context, id string, record audit.Record) (trust.Revocation, error) {
	bodies, err := encode([]audit.Record{record})
	if err != nil {
		return trust.Revocation{}, err
	}
	removed := make(chan trust.Revocation, 1) // the caller may be gone when the writer is done
	err = s.do(ctx, func(c *change) error {
		bucket := c.tx.Bucket(bucketRevocations)
		value := bucket.Get([]byte(id))
		if value == nil {
			return fmt.Errorf("revocation %.80q: %w", id, ErrNotFound)
		}
		r, err := revocationOf(id, value)
		if err != nil {
			return err
		}
		if err := bucket.Delete([]byte(id)); err != nil {
			return err
		}
		c.after = append(c.after, func() {
			delete(s.revoked, id)
			removed <- r
		})
		return errors.Join(s.revise(c), c.record(bodies))
	})
	if err != nil {
		return trust.Revocation{}, err
	}
	return <-removed, nil
}

// Revocations gives the newest picture of what is revoked. Its revision rises with
// every change and is never used again, also after a restart. It reads memory only.
func (s *Store) Revocations() *trust.Revocations { return s.revocations.Load() }

// AllRevocations gives every revocation, in the order of their ids.
func (s *Store) AllRevocations(ctx context.Context) ([]trust.Revocation, error) {
	var all []trust.Revocation
	err := s.walk(ctx, bucketRevocations, []byte{0}, func(key, value []byte) error {
		r, err := revocationOf(string(key), value)
		all = append(all, r)
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// revise counts a change, and makes the new picture when it is durable: once for all
// changes of the transaction.
func (s *Store) revise(c *change) error {
	meta := c.tx.Bucket(bucketMeta)
	revision, err := revisionOf(meta)
	if err != nil {
		return err
	}
	revision++
	c.last = func() {
		s.revocations.Store(trust.NewRevocations(revision, slices.Collect(maps.Values(s.revoked))))
	}
	return meta.Put(keyRevocations, seqKey(revision))
}

func revisionOf(meta *bbolt.Bucket) (uint64, error) {
	switch raw := meta.Get(keyRevocations); len(raw) {
	case 0:
		return 0, nil
	case 8:
		return binary.BigEndian.Uint64(raw), nil
	}
	return 0, fmt.Errorf("%w: the count of revocations is damaged", ErrForeign)
}

// loadRevocations makes the first picture. What cannot be read keeps the node from
// starting: a revocation that is overlooked gives access back.
func (s *Store) loadRevocations(tx *bbolt.Tx) error {
	revision, err := revisionOf(tx.Bucket(bucketMeta))
	if err != nil {
		return err
	}
	err = forEach(tx, bucketRevocations, func(key, value []byte) error {
		r, err := revocationOf(string(key), value)
		if err == nil && !namesSomething(r) {
			err = fmt.Errorf("%w: revocation %.80q names nothing", ErrForeign, key)
		}
		s.revoked[string(key)] = r
		return err
	})
	s.revocations.Store(trust.NewRevocations(revision, slices.Collect(maps.Values(s.revoked))))
	return err
}

func revocationOf(id string, value []byte) (trust.Revocation, error) {
	var r trust.Revocation
	if err := json.Unmarshal(value, &r); err != nil {
		return r, fmt.Errorf("%w: revocation %.80q: %w", ErrForeign, id, err)
	}
	return r, nil
}

// namesSomething tells whether a revocation has what its kind is about, so that
// none is kept that revokes nothing.
func namesSomething(r trust.Revocation) bool {
	switch r.Kind {
	case trust.RevokeIdentity:
		return r.Issuer != "" && r.Subject != ""
	case trust.RevokeJTI:
		return r.JTI != ""
	case trust.RevokeToken:
		return !r.Token.IsZero()
	case trust.RevokeKey:
		return r.Key != ""
	case trust.RevokeIssuer:
		return r.Issuer != ""
	}
	return false
}

// forEach hands out the entries of a bucket; a file of an older schema that is
// opened for reading does not have every one.
func forEach(tx *bbolt.Tx, name []byte, each func(key, value []byte) error) error {
	bucket := tx.Bucket(name)
	if bucket == nil {
		return nil
	}
	return bucket.ForEach(each)
}

// noToken refuses text that holds what looks like a token, as encode does for audit
// records (passports.md, row 64).
func noToken(value []byte, what string) error {
	if tokenForm.Match(value) {
		return fmt.Errorf("%w: a %s holds what looks like a token; digests stand for tokens", ErrRefused, what)
	}
	return nil
}
