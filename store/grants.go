package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/audit"
)

// AddGrant keeps a grant and its audit record in one transaction. The next
// question sees it. It wraps ErrExists if the id is taken.
func (s *Store) AddGrant(ctx context.Context, g access.Grant, record audit.Record) error {
	value, err := json.Marshal(g)
	if err != nil {
		return errors.Join(ErrRefused, err)
	}
	switch {
	case g.ID == "" || len(g.ID) > maxID || g.IsZero() || g.Dataset == "" || g.Until.IsZero():
		return fmt.Errorf("%w: a grant needs an id, an issuer and subject, a dataset and an end", ErrRefused)
	case len(value) > maxGrant:
		return fmt.Errorf("%w: a grant of %d bytes, at most %d", ErrRefused, len(value), maxGrant)
	}
	bodies, err := encode([]audit.Record{record})
	if err != nil {
		return err
	}
	return s.do(ctx, func(c *change) error {
		bucket := c.tx.Bucket(bucketGrants)
		if bucket.Get([]byte(g.ID)) != nil {
			return fmt.Errorf("grant %.80q: %w", g.ID, ErrExists)
		}
		if err := bucket.Put([]byte(g.ID), value); err != nil {
			return err
		}
		c.after = append(c.after, func() { s.index(g) })
		return c.record(bodies)
	})
}

// RevokeGrant takes a grant away, with its audit record, and gives it back as it
// was. The next question does not see it. It wraps ErrNotFound.
func (s *Store) RevokeGrant(ctx context.Context, id string, record audit.Record) (access.Grant, error) {
	bodies, err := encode([]audit.Record{record})
	if err != nil {
		return access.Grant{}, err
	}
	revoked := make(chan access.Grant, 1) // the caller may be gone when the writer is done
	err = s.do(ctx, func(c *change) error {
		bucket := c.tx.Bucket(bucketGrants)
		value := bucket.Get([]byte(id))
		if value == nil {
			return fmt.Errorf("grant %.80q: %w", id, ErrNotFound)
		}
		g, err := grantOf(id, value)
		if err != nil {
			return err
		}
		if err := bucket.Delete([]byte(id)); err != nil {
			return err
		}
		c.after = append(c.after, func() {
			s.unindex(g)
			revoked <- g
		})
		return c.record(bodies)
	})
	if err != nil {
		return access.Grant{}, err
	}
	return <-revoked, nil
}

// Grants gives the grants of one identity, also those that have ended. It reads
// memory only, and its cost does not depend on how many others hold grants.
func (s *Store) Grants(of trust.Identity) []access.Grant {
	held, ok := s.grants.Load(of)
	if !ok {
		return nil
	}
	return slices.Clone(held.([]access.Grant))
}

// AllGrants gives every grant, in the order of their ids.
func (s *Store) AllGrants(ctx context.Context) ([]access.Grant, error) {
	var all []access.Grant
	err := s.walk(ctx, bucketGrants, []byte{0}, func(key, value []byte) error {
		g, err := grantOf(string(key), value)
		all = append(all, g)
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

func grantOf(id string, value []byte) (access.Grant, error) {
	var g access.Grant
	if err := json.Unmarshal(value, &g); err != nil {
		return g, fmt.Errorf("%w: grant %.80q: %w", ErrForeign, id, err)
	}
	return g, nil
}

// loadGrants fills the index from the file.
func (s *Store) loadGrants(tx *bbolt.Tx) error {
	return tx.Bucket(bucketGrants).ForEach(func(key, value []byte) error {
		g, err := grantOf(string(key), value)
		if err != nil {
			return err
		}
		s.index(g)
		return nil
	})
}

// index and unindex are called by one goroutine at a time: Open, then the writer.
// They replace one identity's list and never change it, as readers may hold it.
func (s *Store) index(g access.Grant) {
	held, _ := s.grants.LoadOrStore(g.Identity, []access.Grant(nil))
	list := held.([]access.Grant)
	s.grants.Store(g.Identity, append(list[:len(list):len(list)], g))
}

func (s *Store) unindex(g access.Grant) {
	held, _ := s.grants.Load(g.Identity)
	list, _ := held.([]access.Grant)
	rest := make([]access.Grant, 0, len(list))
	for _, one := range list {
		if one.ID != g.ID {
			rest = append(rest, one)
		}
	}
	if len(rest) == 0 {
		s.grants.Delete(g.Identity)
		return
	}
	s.grants.Store(g.Identity, rest)
}
