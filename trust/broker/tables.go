package broker

import (
	"container/list"
	"crypto/rand"
	"encoding/base64"
	"sync"
	"time"

	"github.com/candignode/candignode/trust"
)

// table keeps values for a while under secrets of which it has the digests only. It
// is bounded, and the oldest give way: refusing new ones would let a stranger keep
// everybody out for as long as an entry lives.
type table[V any] struct {
	mu    sync.Mutex
	limit int
	order *list.List
	by    map[trust.Digest]*list.Element
}

type entry[V any] struct {
	digest trust.Digest
	until  time.Time
	value  V
}

func newTable[V any](limit int) *table[V] {
	return &table[V]{limit: limit, order: list.New(), by: map[trust.Digest]*list.Element{}}
}

// put keeps v until then, and gives the secret that it stands under: 256 bits.
func (t *table[V]) put(v V, until, now time.Time) string {
	var secret [32]byte
	rand.Read(secret[:]) // never fails: it ends the program rather than give weak bytes
	text := base64.RawURLEncoding.EncodeToString(secret[:])
	t.mu.Lock()
	defer t.mu.Unlock()
	t.keep(entry[V]{trust.DigestOfString(text), until, v}, now)
	return text
}

// keep needs the lock.
func (t *table[V]) keep(e entry[V], now time.Time) {
	for first := t.order.Front(); first != nil; first = t.order.Front() {
		if t.order.Len() < t.limit && now.Before(first.Value.(entry[V]).until) {
			break
		}
		t.remove(first)
	}
	t.by[e.digest] = t.order.PushBack(e)
}

// take gives what stands under secret, once.
func (t *table[V]) take(secret string, now time.Time) (V, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var none V
	element, ok := t.by[trust.DigestOfString(secret)]
	if !ok {
		return none, false
	}
	t.remove(element)
	e := element.Value.(entry[V])
	if !now.Before(e.until) {
		return none, false
	}
	return e.value, true
}

func (t *table[V]) remove(e *list.Element) {
	delete(t.by, e.Value.(entry[V]).digest)
	t.order.Remove(e)
}

func (t *table[V]) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.order.Len()
}
