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
//	meta         schema (4 bytes, big-endian), created (RFC 3339), head (8 bytes of seq, 32 of hash),
//	             revocations (8 bytes, big-endian: how often they changed)
//	audit        seq (8 bytes, big-endian)  -> hash (32 bytes), the record's exact JSON
//	grants       id                         -> JSON
//	releases     dataset                    -> JSON
//	evidence     key                        -> deflated value
//	revocations  id                         -> JSON                                          from schema 2 on
//	links        digest of both ends, visa  -> JSON                                          from schema 2 on
//	polls        digest of the visa         -> JSON                                          from schema 2 on
//	sessions     digest of the person, id   -> token's digest (32 bytes), length of the
//	                                           JSON (4 bytes, big-endian), JSON, sealed      from schema 2 on
const schema = 2

var (
	bucketMeta        = []byte("meta")
	bucketAudit       = []byte("audit")
	bucketGrants      = []byte("grants")
	bucketReleases    = []byte("releases")
	bucketEvidence    = []byte("evidence")
	bucketRevocations = []byte("revocations")
	bucketLinks       = []byte("links")
	bucketPolls       = []byte("polls")
	bucketSessions    = []byte("sessions")

	// bucketsOf has what each version of the schema added.
	bucketsOf = [schema + 1][][]byte{
		1: {bucketMeta, bucketAudit, bucketGrants, bucketReleases, bucketEvidence},
		2: {bucketRevocations, bucketLinks, bucketPolls, bucketSessions},
	}

	keySchema  = []byte("schema")
	keyCreated = []byte("created")
	keyHead    = []byte("head")

	keyRevocations = []byte("revocations")
)

// migrate makes the layout in a new file, brings an older one up to this version,
// and refuses a file whose layout it does not know. A file that is opened for reading
// stays as it is: what its version does not have is empty.
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
		return s.layOut(0, func(meta *bbolt.Bucket) error {
			return meta.Put(keyCreated, []byte(now().UTC().Format(time.RFC3339)))
		})
	case found == 0:
		return fmt.Errorf("%w: it has no schema version", ErrForeign)
	case found > schema:
		return fmt.Errorf("%w (its schema is %d, this version knows %d)", ErrNewerSchema, found, schema)
	}
	if err := s.complete(found); err != nil || found == schema || s.ro {
		return err
	}
	if err := s.layOut(found, func(*bbolt.Bucket) error { return nil }); err != nil {
		return err
	}
	s.log.Info("the state file was brought up to a newer schema; older versions of candignode no longer open it",
		"from", found, "to", schema)
	return nil
}

// complete finds whether the file has all that its version of the schema has.
func (s *Store) complete(version uint32) error {
	return s.view(func(tx *bbolt.Tx) error {
		for _, names := range bucketsOf[:version+1] {
			for _, name := range names {
				if tx.Bucket(name) == nil {
					return fmt.Errorf("%w: it has no %s", ErrForeign, name)
				}
			}
		}
		return nil
	})
}

// layOut adds what the versions after from have, in one transaction: a power cut
// leaves the file at one version or the other.
func (s *Store) layOut(from uint32, more func(meta *bbolt.Bucket) error) error {
	err := s.update(s.db, func(tx *bbolt.Tx) error {
		for _, names := range bucketsOf[from+1:] {
			for _, name := range names {
				if _, err := tx.CreateBucket(name); err != nil {
					return err
				}
			}
		}
		meta := tx.Bucket(bucketMeta)
		if err := more(meta); err != nil {
			return err
		}
		return meta.Put(keySchema, binary.BigEndian.AppendUint32(nil, schema))
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}
