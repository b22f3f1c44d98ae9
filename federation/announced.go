package federation

import (
	"sync"
	"time"

	"github.com/candignode/candignode/trust"
)

// Announced remembers what peers said that they need. It is safe for concurrent use;
// its zero value knows nothing. It asks nobody: whoever holds it asks those that are
// due and hands in what they say.
type Announced struct {
	mu    sync.Mutex
	peers map[trust.NodeID]announcement
}

type announcement struct {
	needs *Needs    // nil: it has said nothing that can be read
	at    time.Time // when it said so
	asked time.Time
}

// Of gives what a peer needs, if it said so within needsLife. The value is never
// changed afterwards.
func (a *Announced) Of(node trust.NodeID, now time.Time) (*Needs, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	said, ok := a.peers[node]
	if !ok || said.needs == nil || now.Sub(said.at) >= needsLife || now.Before(said.at) {
		return nil, false
	}
	return said.needs, true
}

// Due tells whether it is time to ask the peer, which has been connected since then, and
// notes that it is asked. Who comes back may be of another version, or serve something else.
func (a *Announced) Due(node trust.NodeID, since, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	said := a.peers[node]
	if !said.asked.IsZero() && !since.After(said.asked) && !now.Before(said.asked) && now.Sub(said.asked) < needsEvery {
		return false
	}
	if a.peers == nil {
		a.peers = make(map[trust.NodeID]announcement)
	}
	said.asked = now
	a.peers[node] = said
	return true
}

// Learn takes what a peer said. After an error it is as if the peer had said
// nothing: what it said before ends in its own time.
func (a *Announced) Learn(node trust.NodeID, b []byte, now time.Time) error {
	needs, err := ParseNeeds(b)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.peers == nil {
		a.peers = make(map[trust.NodeID]announcement)
	}
	a.peers[node] = announcement{needs: needs, at: now, asked: now}
	return nil
}

// Unsaid forgets what a peer said: it does not speak of its needs, because it is of a
// version that does not know them, or is not there. Its next connection may.
func (a *Announced) Unsaid(node trust.NodeID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if said, ok := a.peers[node]; ok {
		a.peers[node] = announcement{asked: said.asked}
	}
}

// Keep forgets all but these, so that what is remembered is bounded by who the peers are.
func (a *Announced) Keep(nodes []trust.NodeID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	kept := make(map[trust.NodeID]announcement, len(nodes))
	for _, node := range nodes {
		if said, ok := a.peers[node]; ok {
			kept[node] = said
		}
	}
	a.peers = kept
}
