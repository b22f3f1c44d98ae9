package session

import (
	"container/list"
	"sync"
	"time"

	"github.com/candignode/candignode/trust"
)

// pending is a sign-in that was begun: what must fit when the browser comes back.
type pending struct {
	state    trust.Digest
	browser  trust.Digest // of the cookie
	issuer   string
	needsIss bool // the issuer announces that its responses carry iss
	nonce    string
	verifier string
	back     string // path to come back to
	until    time.Time
}

// pendings is a bounded table of them, the oldest first. Each entry can be taken
// once.
type pendings struct {
	mu    *sync.Mutex
	limit int
	order *list.List
	by    map[trust.Digest]*list.Element
}

func newPendings(limit int) pendings {
	return pendings{mu: new(sync.Mutex), limit: limit, order: list.New(), by: map[trust.Digest]*list.Element{}}
}

// put keeps p, and lets go of what has ended or has no room.
func (t pendings) put(p pending, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for first := t.order.Front(); first != nil; first = t.order.Front() {
		if t.order.Len() < t.limit && now.Before(first.Value.(pending).until) {
			break
		}
		t.remove(first)
	}
	t.by[p.state] = t.order.PushBack(p)
}

// take gives the sign-in of that state, once, if it has not ended.
func (t pendings) take(state trust.Digest, now time.Time) (pending, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	element, ok := t.by[state]
	if !ok {
		return pending{}, false
	}
	t.remove(element)
	p := element.Value.(pending)
	return p, now.Before(p.until)
}

func (t pendings) remove(e *list.Element) {
	delete(t.by, e.Value.(pending).state)
	t.order.Remove(e)
}
