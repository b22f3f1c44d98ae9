package store

import (
	"bytes"
	"context"
	"fmt"

	"github.com/candignode/candignode/trust/audit"
)

// Sweep drops what has ended: sessions, polls of visas that have expired, and links
// that ended long ago. A session that goes leaves a record. Writes of such things do it too, about once an hour; a daemon
// calls it now and then so that what is sealed in a session goes also in quiet times.
func (s *Store) Sweep(ctx context.Context) error { return s.do(ctx, s.sweep) }

func (s *Store) sweepIfDue(c *change) error {
	// Whoever else is in this transaction may have swept: it costs little twice.
	if s.now().Sub(s.swept) < sweepEvery {
		return nil
	}
	return s.sweep(c)
}

func (s *Store) sweep(c *change) error {
	now := s.now()
	var records []audit.Record
	for _, v := range s.sessions.endedBy(now, maxSwept) {
		// The same transaction may have ended it, or given it a later end.
		value := c.tx.Bucket(bucketSessions).Get(sessionKey(v))
		if value == nil {
			continue
		}
		kept, err := unpackSession([]byte(v.ID), value, false)
		if err != nil {
			return err
		}
		if now.Before(kept.Until) {
			continue
		}
		if err := s.dropSession(c, v); err != nil {
			return err
		}
		records = append(records, audit.Record{
			Time: now, Event: audit.EventSession, Caller: v.Identity, Outcome: "expired",
			Detail: fmt.Sprintf("session %.80s: its time was up", v.ID),
		})
	}
	bodies, err := encode(records)
	if err != nil {
		return err
	}
	if err := c.record(bodies); err != nil {
		return err
	}
	if err := s.sweepLinks(c); err != nil {
		return err
	}
	if err := s.sweepPolls(c); err != nil {
		return err
	}
	c.after = append(c.after, func() { s.swept = now })
	return nil
}

func (s *Store) sweepLinks(c *change) error {
	long := s.now().Add(-keepLinksFor)
	bucket := c.tx.Bucket(bucketLinks)
	for _, l := range s.links.endedBefore(long, maxSwept) {
		key := linkKey(l)
		if value := bucket.Get(key); value != nil {
			kept, err := linkOf(key, value)
			if err != nil {
				return err
			}
			if !kept.Until.Before(long) {
				continue
			}
		}
		if err := bucket.Delete(key); err != nil {
			return err
		}
		c.after = append(c.after, func() { s.links.drop(l) })
	}
	return nil
}

func (s *Store) sweepPolls(c *change) error {
	now, bucket := s.now(), c.tx.Bucket(bucketPolls)
	var ended [][]byte
	err := bucket.ForEach(func(key, value []byte) error {
		p, err := pollOf(key, value)
		if err == nil && !now.Before(p.Expires) && len(ended) < maxSwept {
			ended = append(ended, bytes.Clone(key))
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, key := range ended {
		if err := bucket.Delete(key); err != nil {
			return err
		}
	}
	if gone := len(ended); gone > 0 {
		c.after = append(c.after, func() { s.polls -= gone })
	}
	return nil
}
