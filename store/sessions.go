package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/audit"
)

// AddSession keeps a session and its audit record in one transaction. Of a person
// with more sessions than one may have, those that were used longest ago end, each
// with a record of its own. It wraps ErrExists, ErrRefused and ErrFull.
func (s *Store) AddSession(ctx context.Context, v access.Session, record audit.Record) error {
	if v.ID == "" || len(v.ID) > maxID || v.TokenDigest.IsZero() || v.IsZero() || v.Until.IsZero() {
		return fmt.Errorf("%w: a session needs an id, a token's digest, an issuer and subject, and an end", ErrRefused)
	}
	value, err := packSession(v)
	if err != nil {
		return err
	}
	bodies, err := encode([]audit.Record{record})
	if err != nil {
		return err
	}
	return s.do(ctx, func(c *change) error {
		if err := s.sweepIfDue(c); err != nil {
			return err
		}
		bucket, key := c.tx.Bucket(bucketSessions), sessionKey(v)
		switch {
		case bucket.Get(key) != nil || s.sessions.taken(v):
			return fmt.Errorf("session %.80q: %w", v.ID, ErrExists)
		case s.sessions.size() >= maxSessions:
			return fmt.Errorf("%w: %d sessions; 'candignode sessions list' shows them", ErrFull, s.sessions.size())
		}
		if err := s.makeRoom(c, v); err != nil {
			return err
		}
		if err := bucket.Put(key, value); err != nil {
			return err
		}
		c.after = append(c.after, func() { s.sessions.put(v) })
		return c.record(bodies)
	})
}

// makeRoom ends what is too much of one person's. It reads the transaction and not
// the index, as sessions of the same person may be in the same transaction.
func (s *Store) makeRoom(c *change, v access.Session) error {
	var held []access.Session
	prefix := personKey(v.Identity)
	cursor := c.tx.Bucket(bucketSessions).Cursor()
	for key, value := cursor.Seek(prefix); bytes.HasPrefix(key, prefix); key, value = cursor.Next() {
		one, err := unpackSession(key, value, false)
		if err != nil {
			return err
		}
		held = append(held, one)
	}
	over := len(held) + 1 - s.sessions.perPerson
	if over <= 0 {
		return nil
	}
	slices.SortFunc(held, func(a, b access.Session) int { return a.Used.Compare(b.Used) })
	var records []audit.Record
	for _, one := range held[:over] {
		if err := s.dropSession(c, one); err != nil {
			return err
		}
		records = append(records, audit.Record{
			Time: v.Created, Event: audit.EventSession, Caller: one.Identity, Outcome: "ended",
			Detail: fmt.Sprintf("session %.80s: more than %d of one person, and used longest ago", one.ID, s.sessions.perPerson),
		})
	}
	bodies, err := encode(records)
	if err != nil {
		return err
	}
	return c.record(bodies)
}

func (s *Store) dropSession(c *change, v access.Session) error {
	c.after = append(c.after, func() { s.sessions.drop(v) })
	return c.tx.Bucket(bucketSessions).Delete(sessionKey(v))
}

// EndSession ends a session, with its audit record. The next use of its token finds
// nothing. It wraps ErrNotFound.
func (s *Store) EndSession(ctx context.Context, id string, record audit.Record) error {
	bodies, err := encode([]audit.Record{record})
	if err != nil {
		return err
	}
	return s.onSession(ctx, id, func(c *change, v access.Session, _ []byte) error {
		return errors.Join(s.dropSession(c, v), c.record(bodies))
	})
}

// TouchSession notes that a session was used. It writes at most once in some minutes
// a session, and wraps ErrNotFound.
func (s *Store) TouchSession(ctx context.Context, id string, used time.Time) error {
	v, ok := s.sessions.byName(id)
	switch {
	case !ok:
		return fmt.Errorf("session %.80q: %w", id, ErrNotFound)
	case used.Sub(v.Used) < touchEvery:
		return nil
	}
	return s.onSession(ctx, id, func(c *change, v access.Session, sealed []byte) error {
		v.Used, v.Sealed = used, sealed
		return s.replaceSession(c, v)
	})
}

// ReplaceSealed gives a session new content, because its tokens were refreshed, and a
// new end. It wraps ErrNotFound and ErrRefused.
func (s *Store) ReplaceSealed(ctx context.Context, id string, sealed []byte, until time.Time) error {
	sealed = bytes.Clone(sealed) // the caller may go away and use the bytes for something else
	return s.onSession(ctx, id, func(c *change, v access.Session, _ []byte) error {
		v.Sealed, v.Until = sealed, until
		return s.replaceSession(c, v)
	})
}

func (s *Store) replaceSession(c *change, v access.Session) error {
	value, err := packSession(v)
	if err != nil {
		return err
	}
	c.after = append(c.after, func() { s.sessions.put(v) })
	return c.tx.Bucket(bucketSessions).Put(sessionKey(v), value)
}

// onSession makes a change to a session as the file has it.
func (s *Store) onSession(ctx context.Context, id string, work func(c *change, v access.Session, sealed []byte) error) error {
	known, ok := s.sessions.byName(id)
	if !ok {
		return fmt.Errorf("session %.80q: %w", id, ErrNotFound)
	}
	return s.do(ctx, func(c *change) error {
		value := c.tx.Bucket(bucketSessions).Get(sessionKey(known))
		if value == nil {
			return fmt.Errorf("session %.80q: %w", id, ErrNotFound)
		}
		v, err := unpackSession([]byte(id), value, true)
		if err != nil {
			return err
		}
		sealed := v.Sealed
		v.Sealed = nil
		return work(c, v, sealed)
	})
}

// SessionByToken gives the session whose token has this digest, with what is sealed
// in it. A session that has ended is not found. The index is keyed by a SHA-256 of
// what nobody can guess, so how long it takes tells nothing about other sessions.
func (s *Store) SessionByToken(token trust.Digest) (access.Session, bool) {
	known, ok := s.sessions.byDigest(token)
	if !ok || !s.now().Before(known.Until) {
		return access.Session{}, false
	}
	var found access.Session
	err := s.view(func(tx *bbolt.Tx) (err error) {
		value := tx.Bucket(bucketSessions).Get(sessionKey(known))
		if value == nil {
			return ErrNotFound // ended just now
		}
		found, err = unpackSession([]byte(known.ID), value, true)
		return err
	})
	if err != nil || found.TokenDigest != token {
		if !errors.Is(err, ErrNotFound) {
			s.log.Error("a session cannot be read", "session", known.ID, "error", err)
		}
		return access.Session{}, false
	}
	return found, true
}

// SessionsOf gives the sessions of one identity, without what is sealed in them, in
// the order in which they were made. Ended ones may be among them for a while.
func (s *Store) SessionsOf(of trust.Identity) []access.Session { return s.sessions.list(&of) }

// AllSessions gives everybody's, as SessionsOf does.
func (s *Store) AllSessions() []access.Session { return s.sessions.list(nil) }

func (s *Store) loadSessions(tx *bbolt.Tx) error {
	return forEach(tx, bucketSessions, func(key, value []byte) error {
		v, err := unpackSession(key, value, false)
		if err != nil {
			return err
		}
		s.sessions.put(v)
		return nil
	})
}

// packSession keeps what is sealed as it is: base64 of random bytes would look like
// a token now and then, to whoever searches the file for one.
func packSession(v access.Session) ([]byte, error) {
	text, err := json.Marshal(v)
	switch {
	case err != nil:
		return nil, errors.Join(ErrRefused, err)
	case len(text) > maxSessionText || len(v.Sealed) > maxSealed:
		return nil, fmt.Errorf("%w: a session of %d and %d bytes, at most %d and %d", ErrRefused, len(text), len(v.Sealed), maxSessionText, maxSealed)
	}
	value := append([]byte(nil), v.TokenDigest[:]...)
	value = binary.BigEndian.AppendUint32(value, uint32(len(text)))
	value = append(append(value, text...), v.Sealed...)
	return value, noToken(value, "session")
}

func unpackSession(key, value []byte, sealed bool) (access.Session, error) {
	const head = len(trust.Digest{}) + 4
	var v access.Session
	if len(value) < head {
		return access.Session{}, fmt.Errorf("%w: session %.80q is cut short", ErrForeign, key)
	}
	size := int(binary.BigEndian.Uint32(value[head-4:]))
	if size > len(value)-head {
		return access.Session{}, fmt.Errorf("%w: session %.80q is cut short", ErrForeign, key)
	}
	if err := json.Unmarshal(value[head:head+size], &v); err != nil {
		return access.Session{}, fmt.Errorf("%w: session %.80q: %w", ErrForeign, key, err)
	}
	v.TokenDigest = trust.Digest(value[:head-4])
	if sealed {
		v.Sealed = bytes.Clone(value[head+size:]) // the transaction's bytes do not outlive it
	}
	return v, nil
}

// A session's key begins with its person's, so that those of one person stand
// together.
func sessionKey(v access.Session) []byte { return append(personKey(v.Identity), v.ID...) }

func personKey(of trust.Identity) []byte {
	key := digestOfNames(of.Issuer, of.Subject)
	return key[:]
}

// digestOfNames is the same for the same names only: each goes in with its length.
func digestOfNames(names ...string) trust.Digest {
	var b []byte
	for _, name := range names {
		b = binary.AppendUvarint(b, uint64(len(name)))
		b = append(b, name...)
	}
	return trust.DigestOf(b)
}
