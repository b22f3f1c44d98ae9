package bearer

import (
	"container/list"
	"sync"
	"sync/atomic"
	"time"
)

// cache remembers values until a time, bounded in entries and bytes; what was used
// longest ago is forgotten first. What it holds must never be changed. Safe for
// concurrent use; nothing is called under its lock.
type cache[K comparable, V any] struct {
	mu         sync.Mutex
	entries    map[K]*list.Element
	used       *list.List // of *entry, the newest in front
	bytes      int
	maxEntries int
	maxBytes   int
}

type entry[K comparable, V any] struct {
	key   K
	until time.Time
	size  int
	value V
}

func newCache[K comparable, V any](maxEntries, maxBytes int) *cache[K, V] {
	return &cache[K, V]{entries: map[K]*list.Element{}, used: list.New(), maxEntries: maxEntries, maxBytes: maxBytes}
}

func (c *cache[K, V]) get(key K, now time.Time) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var none V
	element, ok := c.entries[key]
	if !ok {
		return none, false
	}
	e := element.Value.(*entry[K, V])
	if !now.Before(e.until) {
		c.drop(element)
		return none, false
	}
	c.used.MoveToFront(element)
	return e.value, true
}

// put remembers value; size counts the bytes that it keeps alive.
func (c *cache[K, V]) put(key K, until time.Time, value V, size int) {
	if size > c.maxBytes {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.entries[key]; ok {
		c.drop(old)
	}
	c.entries[key] = c.used.PushFront(&entry[K, V]{key: key, until: until, size: size, value: value})
	c.bytes += size
	for len(c.entries) > c.maxEntries || c.bytes > c.maxBytes {
		c.drop(c.used.Back())
	}
}

// drop is called with the lock held.
func (c *cache[K, V]) drop(element *list.Element) {
	e := c.used.Remove(element).(*entry[K, V])
	delete(c.entries, e.key)
	c.bytes -= e.size
}

// clock never goes back: what was once found expired stays so, though the machine's
// clock be set back.
type clock struct{ latest atomic.Int64 }

func (c *clock) at(t time.Time) time.Time {
	now := t.UnixMicro()
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

// last is the latest time seen.
func (c *clock) last() time.Time { return time.UnixMicro(c.latest.Load()).UTC() }
