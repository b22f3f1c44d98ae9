package passport

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"github.com/candignode/candignode/trust"
)

// cache remembers what was found out about tokens: by the digest of their exact
// bytes, for one View and one list of revocations, until a time (passports.md, row 61). It
// holds no tokens. What it holds must never be changed. Safe for concurrent use;
// nothing is called under its lock.
type cache[V any] struct {
	mu         sync.Mutex
	entries    map[uint64]*entry[V] // by the first bytes of the digest
	newest     *entry[V]
	oldest     *entry[V]
	bytes      int
	maxEntries int
	maxBytes   int
}

type entry[V any] struct {
	digest       trust.Digest
	revision     revision
	until        instant
	size         int
	value        V
	newer, older *entry[V]
}

// revision names the two pictures that a verdict rests on. They count apart: a sum
// of the two could come back to what it was.
type revision struct{ view, revoked uint64 }

// instant is microseconds since 1970, a third of the size of a time.Time; 0
// is never.
type instant int64

func instantOf(t time.Time) instant { return instant(t.UnixMicro()) }

func newCache[V any](maxEntries, maxBytes int) *cache[V] {
	return &cache[V]{entries: make(map[uint64]*entry[V]), maxEntries: maxEntries, maxBytes: maxBytes}
}

// short is what an entry is found under. Two digests that begin alike, which nobody
// meets by chance, push each other out; they are never taken for one another.
func short(d *trust.Digest) uint64 { return binary.LittleEndian.Uint64(d[:8]) }

// get gives what was put for these bytes under this very revision, if it still
// holds at now.
func (c *cache[V]) get(digest trust.Digest, revision revision, now instant) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var none V
	e, ok := c.entries[short(&digest)]
	if !ok || e.digest != digest || e.revision != revision {
		return none, false
	}
	if e.until != 0 && now >= e.until {
		c.drop(e)
		return none, false
	}
	if c.newest != e {
		c.unlink(e)
		c.link(e)
	}
	return e.value, true
}

// put remembers value until the given time (0: as long as there is room), and
// forgets what was used longest ago to make room. size counts the bytes that
// value keeps alive.
func (c *cache[V]) put(digest trust.Digest, revision revision, until instant, value V, size int) {
	if size > c.maxBytes {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.entries[short(&digest)]; ok {
		c.drop(old)
	}
	e := &entry[V]{digest: digest, revision: revision, until: until, size: size, value: value}
	c.entries[short(&digest)] = e
	c.bytes += size
	c.link(e)
	for len(c.entries) > c.maxEntries || c.bytes > c.maxBytes {
		c.drop(c.oldest)
	}
}

// drop, link and unlink keep the map, the list and the count of bytes in step;
// the lock is held.
func (c *cache[V]) drop(e *entry[V]) {
	c.unlink(e)
	c.bytes -= e.size
	delete(c.entries, short(&e.digest))
}

func (c *cache[V]) link(e *entry[V]) {
	e.older = c.newest
	if c.newest != nil {
		c.newest.newer = e
	}
	c.newest = e
	if c.oldest == nil {
		c.oldest = e
	}
}

func (c *cache[V]) unlink(e *entry[V]) {
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		c.newest = e.older
	}
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		c.oldest = e.newer
	}
	e.newer, e.older = nil, nil
}

// clock never goes back: what has once been found expired stays expired for the
// life of the process, though the machine's clock be set back (V044). A clock
// that was set forward by mistake therefore refuses until it has caught up or
// the process is started again; that errs on the safe side.
type clock struct{ latest atomic.Int64 }

// at gives the later of t and the latest time seen, to the microsecond.
func (c *clock) at(t time.Time) time.Time {
	now := max(t.UnixMicro(), 0)
	for {
		latest := c.latest.Load()
		if now <= latest {
			return time.UnixMicro(latest).UTC()
		}
		if c.latest.CompareAndSwap(latest, now) {
			return time.UnixMicro(now).UTC()
		}
	}
}
