package store

import (
	"encoding/binary"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// schema is the version of the layout below. Whoever changes the layout raises
// it and adds the step from the version before to migrate; files are never taken
// back to an older one.
//
//	meta      schema (4 bytes, big-endian), created (RFC 3339), head (8 bytes of seq, 32 of hash)
//	audit     seq (8 bytes, big-endian)  -> hash (32 bytes), the record's exact JSON
//	grants    id                         -> JSON
//	releases  dataset                    -> JSON
//	evidence  key                        -> deflated value
const schema = 1

var (
	bucketMeta     = []byte("meta")
	bucketAudit    = []byte("audit")
	bucketGrants   = []byte("grants")
	bucketReleases = []byte("releases")
	bucketEvidence = []byte("evidence")

	keySchema  = []byte("schema")
	keyCreated = []byte("created")
	keyHead    = []byte("head")
)

// migrate makes the layout in a new file, and refuses a file whose layout it
// does not know.
func (s *Store) migrate(now func() time.Time) error {
	fresh, found := false, uint32(0)
	err := s.view(func(tx *bbolt.Tx) error {
		meta := tx.Bucket(bucketMeta)
		if meta == nil {
			first, _ := tx.Cursor().First()
			fresh = first == nil
			return nil
		}
		if raw := meta.Get(keySchema); len(raw) == 4 {
			found = binary.BigEndian.Uint32(raw)
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case fresh && !s.ro:
		return s.layOut(now())
	case found == 0:
		return fmt.Errorf("%w: it has no schema version", ErrForeign)
	case found > schema:
		return fmt.Errorf("%w (its schema is %d, this version knows %d)", ErrNewerSchema, found, schema)
	}
	return s.view(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{bucketAudit, bucketGrants, bucketReleases, bucketEvidence} {
			if tx.Bucket(name) == nil {
				return fmt.Errorf("%w: it has no %s", ErrForeign, name)
			}
		}
		return nil
	})
}

func (s *Store) layOut(now time.Time) error {
	err := s.update(s.db, func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{bucketMeta, bucketAudit, bucketGrants, bucketReleases, bucketEvidence} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		meta := tx.Bucket(bucketMeta)
		if err := meta.Put(keyCreated, []byte(now.UTC().Format(time.RFC3339))); err != nil {
			return err
		}
		return meta.Put(keySchema, binary.BigEndian.AppendUint32(nil, schema))
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}
