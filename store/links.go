package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/audit"
)

// linkIndex has the links of each identity, at both ends. Lists are replaced and
// never changed, as readers may hold them; only Open and the writer replace them.
type linkIndex struct {
	mu    sync.RWMutex
	of    map[trust.Identity][]trust.Link
	count int
}

func (x *linkIndex) get(of trust.Identity) []trust.Link {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.of[of]
}

func (x *linkIndex) size() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.count
}

// put and drop keep one link for (A, B, visa).
func (x *linkIndex) put(l trust.Link) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !slices.ContainsFunc(x.of[l.A], func(o trust.Link) bool { return sameLink(o, l) }) {
		x.count++
	}
	for _, end := range []trust.Identity{l.A, l.B} {
		x.of[end] = append(without(x.of[end], l), l)
	}
}

func (x *linkIndex) drop(l trust.Link) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if slices.ContainsFunc(x.of[l.A], func(o trust.Link) bool { return sameLink(o, l) }) {
		x.count--
	}
	for _, end := range []trust.Identity{l.A, l.B} {
		if x.of[end] = without(x.of[end], l); len(x.of[end]) == 0 {
			delete(x.of, end)
		}
	}
}

// endedBefore gives up to limit links that ended before a time.
func (x *linkIndex) endedBefore(t time.Time, limit int) []trust.Link {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var old []trust.Link
	for end, list := range x.of {
		for _, l := range list {
			if l.A == end && l.Until.Before(t) && len(old) < limit {
				old = append(old, l)
			}
		}
	}
	return old
}

func sameLink(a, b trust.Link) bool { return a.A == b.A && a.B == b.B && a.Visa == b.Visa }

func without(list []trust.Link, l trust.Link) []trust.Link {
	rest := make([]trust.Link, 0, len(list)+1)
	for _, one := range list {
		if !sameLink(one, l) {
			rest = append(rest, one)
		}
	}
	return rest
}

// KeepLinks keeps links that accepted visas made, and the audit records with them.
// Links that are kept already, and do not last longer than what is kept, change
// nothing; if no link is new, nothing is written and the records are not either. An
// identity with too many links loses the one that ends first. It wraps ErrRefused and
// ErrFull.
func (s *Store) KeepLinks(ctx context.Context, links []trust.Link, records ...audit.Record) error {
	fresh := make([]trust.Link, 0, len(links))
	for _, l := range links {
		switch {
		case l.A.IsZero() || l.B.IsZero() || l.A == l.B || l.Visa.IsZero() || l.Until.IsZero():
			return fmt.Errorf("%w: a link needs two identities, a visa and an end", ErrRefused)
		case !s.keeps(l):
			fresh = append(fresh, l)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	if s.links.size()+len(fresh) > maxLinks {
		return fmt.Errorf("%w: %d links between identities", ErrFull, s.links.size())
	}
	values := make([][]byte, len(fresh))
	for i, l := range fresh {
		value, err := json.Marshal(l)
		if err != nil {
			return errors.Join(ErrRefused, err)
		}
		if len(value) > maxLink {
			return fmt.Errorf("%w: a link of %d bytes, at most %d", ErrRefused, len(value), maxLink)
		}
		if err := noToken(value, "link"); err != nil {
			return err
		}
		values[i] = value
	}
	bodies, err := encode(records)
	if err != nil {
		return err
	}
	return s.do(ctx, func(c *change) error {
		for i, l := range fresh {
			if err := s.keepLink(c, l, values[i]); err != nil {
				return err
			}
		}
		return errors.Join(s.sweepIfDue(c), c.record(bodies))
	})
}

func (s *Store) keepLink(c *change, l trust.Link, value []byte) error {
	bucket, key := c.tx.Bucket(bucketLinks), linkKey(l)
	if there := bucket.Get(key); there != nil { // another one of this transaction, perhaps
		if kept, err := linkOf(key, there); err != nil || !kept.Until.Before(l.Until) {
			return err
		}
	}
	for _, one := range s.surplus(l) {
		if err := bucket.Delete(linkKey(one)); err != nil {
			return err
		}
		c.after = append(c.after, func() { s.links.drop(one) })
	}
	c.after = append(c.after, func() { s.links.put(l) })
	return bucket.Put(key, value)
}

// surplus gives the links that must go so that l fits at both of its ends.
func (s *Store) surplus(l trust.Link) []trust.Link {
	var all []trust.Link
	for _, end := range []trust.Identity{l.A, l.B} {
		held := without(s.links.get(end), l)
		if over := len(held) + 1 - maxLinksOf; over > 0 {
			all = append(all, leastMissed(held, l)[:over]...)
		}
	}
	return all
}

// leastMissed sorts links by how little is lost with them, beside one more: first those
// that a longer one of the same two makes needless, for whoever signs in again and again
// must not push out the links with others; then those that end first.
func leastMissed(held []trust.Link, more trust.Link) []trust.Link {
	longest := map[[2]trust.Identity]trust.Link{{more.A, more.B}: more}
	for _, l := range held {
		if best, ok := longest[[2]trust.Identity{l.A, l.B}]; !ok || best.Until.Before(l.Until) {
			longest[[2]trust.Identity{l.A, l.B}] = l
		}
	}
	needed := func(l trust.Link) int {
		if sameLink(l, longest[[2]trust.Identity{l.A, l.B}]) {
			return 1
		}
		return 0
	}
	slices.SortFunc(held, func(a, b trust.Link) int {
		return cmp.Or(needed(a)-needed(b), a.Until.Compare(b.Until), bytes.Compare(a.Visa[:], b.Visa[:]))
	})
	return held
}

func (s *Store) keeps(l trust.Link) bool {
	return slices.ContainsFunc(s.links.get(l.A), func(o trust.Link) bool {
		return sameLink(o, l) && !o.Until.Before(l.Until)
	})
}

// Links gives the links that have an identity at either end, also those that have
// ended: whoever relies on one judges it again. It reads memory only.
func (s *Store) Links(of trust.Identity) []trust.Link { return slices.Clone(s.links.get(of)) }

func (s *Store) loadLinks(tx *bbolt.Tx) error {
	return forEach(tx, bucketLinks, func(key, value []byte) error {
		l, err := linkOf(key, value)
		if err != nil {
			return err
		}
		s.links.put(l)
		return nil
	})
}

func linkOf(key, value []byte) (trust.Link, error) {
	var l trust.Link
	if err := json.Unmarshal(value, &l); err != nil {
		return l, fmt.Errorf("%w: link %.8x: %w", ErrForeign, key, err)
	}
	return l, nil
}

func linkKey(l trust.Link) []byte {
	key := digestOfNames(l.A.Issuer, l.A.Subject, l.B.Issuer, l.B.Subject, l.Visa.String())
	return key[:]
}
