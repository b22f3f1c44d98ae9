package store

import (
	"cmp"
	"crypto/subtle"
	"slices"
	"sync"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
)

// sessionIndex has all sessions, without what is sealed in them. Only Open and the
// writer change it.
type sessionIndex struct {
	perPerson int

	mu      sync.RWMutex
	byID    map[string]access.Session
	byToken map[trust.Digest]string            // to the id
	of      map[trust.Identity]map[string]bool // ids
}

func newSessionIndex(perPerson int) sessionIndex {
	if perPerson <= 0 {
		perPerson = sessionsOfPerson
	}
	return sessionIndex{
		perPerson: perPerson, byID: map[string]access.Session{},
		byToken: map[trust.Digest]string{}, of: map[trust.Identity]map[string]bool{},
	}
}

func (x *sessionIndex) put(v access.Session) {
	v.Sealed = nil
	x.mu.Lock()
	defer x.mu.Unlock()
	x.byID[v.ID], x.byToken[v.TokenDigest] = v, v.ID
	if x.of[v.Identity] == nil {
		x.of[v.Identity] = map[string]bool{}
	}
	x.of[v.Identity][v.ID] = true
}

func (x *sessionIndex) drop(v access.Session) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.byID, v.ID)
	delete(x.byToken, v.TokenDigest)
	if delete(x.of[v.Identity], v.ID); len(x.of[v.Identity]) == 0 {
		delete(x.of, v.Identity)
	}
}

func (x *sessionIndex) size() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.byID)
}

// taken tells whether another session has the id or the token.
func (x *sessionIndex) taken(v access.Session) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	_, id := x.byID[v.ID]
	_, token := x.byToken[v.TokenDigest]
	return id || token
}

func (x *sessionIndex) byName(id string) (access.Session, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	v, ok := x.byID[id]
	return v, ok
}

func (x *sessionIndex) byDigest(token trust.Digest) (access.Session, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	v, ok := x.byID[x.byToken[token]]
	return v, ok && subtle.ConstantTimeCompare(v.TokenDigest[:], token[:]) == 1
}

// list gives the sessions of one identity, or of all for nil.
func (x *sessionIndex) list(of *trust.Identity) []access.Session {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var all []access.Session
	if of != nil {
		for id := range x.of[*of] {
			all = append(all, x.byID[id])
		}
	} else {
		for _, v := range x.byID {
			all = append(all, v)
		}
	}
	slices.SortFunc(all, func(a, b access.Session) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	return all
}

// endedBy gives up to limit sessions that have ended.
func (x *sessionIndex) endedBy(now time.Time, limit int) []access.Session {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var ended []access.Session
	for _, v := range x.byID {
		if !now.Before(v.Until) && len(ended) < limit {
			ended = append(ended, v)
		}
	}
	return ended
}
