package store

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"github.com/candignode/candignode/trust/audit"
)

// operation is one caller's change, on its way through the writer.
type operation struct {
	// apply makes the change. It runs again if another operation of the same
	// transaction fails, so it keeps nothing but what it puts into its change.
	apply func(*change) error
	taken atomic.Int32 // waiting, taken or abandoned
	done  chan error   // holds one
}

const (
	waiting = iota
	taken
	abandoned
)

// change is the transaction that is being made.
type change struct {
	tx    *bbolt.Tx
	log   *bbolt.Bucket
	head  audit.Head
	after []func() // run once it is durable
	last  func()   // run once after all of these; nil: nothing
}

// do hands a change to the writer and waits until it is durable. When ctx ends
// first, a change that was not yet taken is not made; one that was taken is made
// all the same, as a transaction cannot be called back.
func (s *Store) do(ctx context.Context, apply func(*change) error) error {
	if s.ro {
		return ErrReadOnly
	}
	select { // a closed store refuses, also where select below could choose
	case <-s.closing:
		return ErrClosed
	default:
	}
	op := &operation{apply: apply, done: make(chan error, 1)}
	select {
	case s.ops <- op:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.closing:
		return ErrClosed
	}
	select {
	case err := <-op.done:
		return err
	case <-ctx.Done():
		op.taken.CompareAndSwap(waiting, abandoned)
		return context.Cause(ctx)
	case <-s.stopped:
	}
	select {
	case err := <-op.done:
		return err
	default:
		return ErrClosed // queued behind the writer's last look
	}
}

// write is the one writer. It ends when the store is closed and nobody waits.
func (s *Store) write() {
	defer close(s.stopped)
	expected := 1
	for {
		var batch []*operation
		select {
		case op := <-s.ops:
			batch = s.gather(op, expected)
		case <-s.closing:
			if batch = s.drain(nil); len(batch) == 0 {
				return
			}
		}
		size := len(batch)
		s.commit(claim(batch))
		expected = min(size+len(s.ops), maxBatch)
	}
}

// gather takes all operations that wait, and waits a moment for as many as the
// last commit answered or left waiting: those callers come back together, and
// without it half of them would pay for a sync of their own. A caller alone never
// waits.
func (s *Store) gather(first *operation, expected int) []*operation {
	batch := s.drain([]*operation{first})
	if len(batch) >= expected {
		return batch
	}
	patience := time.NewTimer(gatherFor)
	defer patience.Stop()
	for len(batch) < expected {
		select {
		case op := <-s.ops:
			batch = s.drain(append(batch, op))
		case <-patience.C:
			return batch
		}
	}
	return batch
}

func (s *Store) drain(batch []*operation) []*operation {
	for len(batch) < maxBatch {
		select {
		case op := <-s.ops:
			batch = append(batch, op)
		default:
			return batch
		}
	}
	return batch
}

// claim leaves out the operations whose callers went away.
func claim(batch []*operation) []*operation {
	live := batch[:0]
	for _, op := range batch {
		if op.taken.CompareAndSwap(waiting, taken) {
			live = append(live, op)
		}
	}
	return live
}

// commit makes one transaction of the batch. An operation that fails is answered
// alone, and the others are done again without it.
func (s *Store) commit(batch []*operation) {
	for len(batch) > 0 {
		if s.broken != nil {
			answer(batch, s.broken)
			return
		}
		c := &change{}
		failed := -1
		before := s.transaction()
		err := s.guarded(func(tx *bbolt.Tx) error {
			if err := c.begin(tx); err != nil {
				return err
			}
			for i, op := range batch {
				if err := op.apply(c); err != nil {
					failed = i
					return err
				}
			}
			return c.finish()
		})
		switch {
		case err == nil:
			s.failing.Store(false)
			s.head.Store(&c.head)
			for _, f := range c.after {
				f()
			}
			if c.last != nil {
				c.last()
			}
			answer(batch, nil)
			return
		case failed >= 0:
			batch[failed].done <- err
			batch = append(batch[:failed:failed], batch[failed+1:]...)
		default:
			s.failing.Store(true)
			s.refused(err, before)
			answer(batch, fmt.Errorf("%w: %w", ErrUnavailable, err))
			return
		}
	}
}

func (s *Store) guarded(f func(*bbolt.Tx) error) (err error) {
	defer damaged(&err)
	return s.update(s.db, f)
}

func answer(batch []*operation, err error) {
	for _, op := range batch {
		op.done <- err
	}
}

// transaction gives the number of the newest one that readers see.
func (s *Store) transaction() (id int) {
	_ = s.view(func(tx *bbolt.Tx) error { id = tx.ID(); return nil })
	return id
}

// refused decides how to go on after the disk refused a transaction. If readers
// do not see it, nothing refers to the pages that failed, and the next one writes
// its pages anew: it may succeed when there is space again. If readers see it, its
// pages may never have reached the disk although no later sync would complain
// (Linux reports such an error once), and building on them could lose what would be
// acknowledged next. So the store then stays shut until a restart.
func (s *Store) refused(err error, before int) {
	s.log.Error("the state file cannot be written; questions are refused until it can", "error", err)
	if s.transaction() == before {
		return
	}
	s.broken = fmt.Errorf("%w: an earlier write failed half-way; check the disk and restart the node: %w", ErrUnavailable, err)
	s.log.Error("the last write may be half on the disk; restart the node when the disk is well")
}

// begin reads the head of the log from the file itself, so that what memory
// believes can never overwrite an entry.
func (c *change) begin(tx *bbolt.Tx) error {
	head, err := lastEntry(tx)
	if err != nil {
		return err
	}
	c.tx, c.log, c.head = tx, tx.Bucket(bucketAudit), head
	c.after, c.last = c.after[:0], nil
	// Entries come in rising order: pages are left full, not half full.
	c.log.FillPercent = 1.0
	return nil
}

// record appends encoded audit records.
func (c *change) record(bodies [][]byte) error {
	for _, body := range bodies {
		e := audit.Chain(c.head, body)
		if err := c.log.Put(seqKey(e.Seq), append(e.Hash[:], e.Body...)); err != nil {
			return err
		}
		c.head = e.Head()
	}
	return nil
}

// finish notes the head beside the log, so that a tail that was cut off with
// another program shows at the next start.
func (c *change) finish() error {
	return c.tx.Bucket(bucketMeta).Put(keyHead, append(seqKey(c.head.Seq), c.head.Hash[:]...))
}

// encode makes the bodies of records, before the writer is asked.
func encode(records []audit.Record) ([][]byte, error) {
	if len(records) > maxRecords {
		return nil, fmt.Errorf("%w: %d audit records at once, at most %d", ErrRefused, len(records), maxRecords)
	}
	bodies := make([][]byte, 0, len(records))
	for _, r := range records {
		body, err := audit.Encode(r)
		if err != nil {
			return nil, errors.Join(ErrRefused, err)
		}
		if len(body) > maxRecord {
			return nil, fmt.Errorf("%w: an audit record of %d bytes, at most %d", ErrRefused, len(body), maxRecord)
		}
		if tokenForm.Match(body) {
			return nil, fmt.Errorf("%w: an audit record holds what looks like a token; digests stand for tokens", ErrRefused)
		}
		bodies = append(bodies, body)
	}
	return bodies, nil
}
