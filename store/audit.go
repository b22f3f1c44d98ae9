package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"regexp"

	"go.etcd.io/bbolt"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/audit"
)

// tokenForm is the beginning of a signed token in compact form. None may reach
// the file (passports.md, row 64); this is the last place to notice.
var tokenForm = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.`)

// Record appends audit records. When it returns nil they are durable, all of
// them; on any error none may be relied on, and ErrUnavailable says that the disk
// refused. What the records speak of must not leave the site before.
func (s *Store) Record(ctx context.Context, records ...audit.Record) error {
	if len(records) == 0 {
		return nil
	}
	bodies, err := encode(records)
	if err != nil {
		return err
	}
	return s.do(ctx, func(c *change) error { return c.record(bodies) })
}

// AuditHead gives the place of the newest durable entry.
func (s *Store) AuditHead() (audit.Head, error) {
	select {
	case <-s.closing:
		return audit.Head{}, ErrClosed
	default:
		return *s.head.Load(), nil
	}
}

// AuditEntries hands the entries from seq on, in order, up to the newest at the
// time it gets there. each may take its time and may write to the store.
func (s *Store) AuditEntries(ctx context.Context, from uint64, each func(audit.Entry) error) error {
	return s.walk(ctx, bucketAudit, seqKey(from), func(key, value []byte) error {
		e, err := entryOf(key, value)
		if err != nil {
			return err
		}
		return each(e)
	})
}

// VerifyAudit checks every entry against the one before it, and the newest
// against the head that was noted with it. It gives the head that it reached, and
// an error that wraps audit.ErrBroken and names the entry. A tail that was cut off
// by somebody who also changed the noted head shows only against a head that was
// noted elsewhere; see VerifyAgainst.
func (s *Store) VerifyAudit(ctx context.Context) (audit.Head, error) {
	return s.VerifyAgainst(ctx, audit.Head{})
}

// VerifyAgainst does what VerifyAudit does, and also finds whether the log still
// contains what noted, a head of this log from earlier, stood for.
func (s *Store) VerifyAgainst(ctx context.Context, noted audit.Head) (audit.Head, error) {
	var stored audit.Head
	if err := s.view(func(tx *bbolt.Tx) (err error) { stored, err = notedHead(tx); return err }); err != nil {
		return audit.Head{}, err
	}
	var head audit.Head
	err := s.AuditEntries(ctx, 0, func(e audit.Entry) error {
		if err := audit.Verify(head, e); err != nil {
			return err
		}
		head = e.Head()
		for _, known := range []audit.Head{stored, noted} {
			if known.Seq == head.Seq && known.Hash != head.Hash {
				return fmt.Errorf("%w: entry %d is not the one that was noted", audit.ErrBroken, head.Seq)
			}
		}
		return nil
	})
	if err != nil {
		return head, err
	}
	if last := max(stored.Seq, noted.Seq); last > head.Seq {
		return head, fmt.Errorf("%w: it ends at entry %d, but there was an entry %d", audit.ErrBroken, head.Seq, last)
	}
	return head, nil
}

func seqKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

func entryOf(key, value []byte) (audit.Entry, error) {
	var e audit.Entry
	if len(key) != 8 || len(value) < len(e.Hash) {
		return e, fmt.Errorf("%w: an entry with key %x is not in the form of one", audit.ErrBroken, key[:min(len(key), 16)])
	}
	e.Seq = binary.BigEndian.Uint64(key)
	copy(e.Hash[:], value)
	e.Body = value[len(e.Hash):]
	return e, nil
}

// lastEntry gives the place of the newest entry in the file.
func lastEntry(tx *bbolt.Tx) (audit.Head, error) {
	key, value := tx.Bucket(bucketAudit).Cursor().Last()
	if key == nil {
		return audit.Head{}, nil
	}
	e, err := entryOf(key, value)
	if err != nil {
		return audit.Head{}, err
	}
	return e.Head(), nil
}

// notedHead gives the head that the last transaction noted; zero if none did.
func notedHead(tx *bbolt.Tx) (audit.Head, error) {
	raw := tx.Bucket(bucketMeta).Get(keyHead)
	if raw == nil {
		return audit.Head{}, nil
	}
	if len(raw) != 8+len(trust.Digest{}) {
		return audit.Head{}, fmt.Errorf("%w: the noted head is damaged", audit.ErrBroken)
	}
	return audit.Head{Seq: binary.BigEndian.Uint64(raw), Hash: trust.Digest(raw[8:])}, nil
}

// checkTail proves at start that the newest entry is the noted one and follows
// the one before it. The whole chain is for VerifyAudit; it takes seconds a
// million entries.
func checkTail(tx *bbolt.Tx) error {
	noted, err := notedHead(tx)
	if err != nil {
		return err
	}
	cursor := tx.Bucket(bucketAudit).Cursor()
	key, value := cursor.Last()
	if key == nil {
		return sameHead(audit.Head{}, noted)
	}
	newest, err := entryOf(key, value)
	if err != nil {
		return err
	}
	var before audit.Head
	if key, value = cursor.Prev(); key != nil {
		e, err := entryOf(key, value)
		if err != nil {
			return err
		}
		before = e.Head()
	}
	if err := audit.Verify(before, newest); err != nil {
		return err
	}
	return sameHead(newest.Head(), noted)
}

func sameHead(found, noted audit.Head) error {
	if found != noted {
		return fmt.Errorf("%w: it ends at entry %d (%s), but the last one written was %d (%s); 'candignode audit verify' says more",
			audit.ErrBroken, found.Seq, found.Hash.Short(), noted.Seq, noted.Hash.Short())
	}
	return nil
}

// walk hands the entries of a bucket from a key on to each, reading a page of
// them at a time; each runs outside any transaction and may keep the bytes.
func (s *Store) walk(ctx context.Context, bucket, from []byte, each func(key, value []byte) error) error {
	type pair struct{ key, value []byte }
	for next := from; next != nil; {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		var page []pair
		err := s.view(func(tx *bbolt.Tx) error {
			from := next
			next = nil
			b := tx.Bucket(bucket)
			if b == nil { // of a newer schema than the file, which is open for reading
				return nil
			}
			cursor, size := b.Cursor(), 0
			key, value := cursor.Seek(from)
			for ; key != nil; key, value = cursor.Next() {
				if len(page) == pageItems || size > pageBytes {
					next = bytes.Clone(key)
					return nil
				}
				page = append(page, pair{bytes.Clone(key), bytes.Clone(value)})
				size += len(value)
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, p := range page {
			if err := each(p.key, p.value); err != nil {
				return err
			}
		}
	}
	return nil
}
