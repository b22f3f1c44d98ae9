package wire

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/candignode/candignode/trust"
)

// PeerState is one line of `sites list`. It is for people: what is true now may
// not be in a moment.
type PeerState struct {
	Site      trust.SiteName `json:"site"`
	Node      trust.NodeID   `json:"node"`
	Addr      string         `json:"addr,omitempty"`
	State     string         `json:"state"` // connected, unreachable, bad_version, wrong_key
	Connected bool           `json:"connected"`
	Direction string         `json:"direction,omitempty"` // of the newest connection: in, out
	Since     time.Time      `json:"since"`               // of the last change between connected and not
	RTT       float64        `json:"rtt_ms,omitempty"`    // smoothed, milliseconds
	Version   int            `json:"version,omitempty"`   // of the protocol
	Software  string         `json:"software,omitempty"`  // what the peer says it runs
	LastError string         `json:"last_error,omitempty"`
}

// Peers tells how the lines to all pinned peers stand, ordered by site.
func (m *Mesh) Peers() []PeerState {
	m.mu.RLock()
	peers := make([]*peer, 0, len(m.peers))
	for _, p := range m.peers {
		peers = append(peers, p)
	}
	m.mu.RUnlock()
	states := make([]PeerState, 0, len(peers))
	for _, p := range peers {
		states = append(states, p.state())
	}
	slices.SortFunc(states, func(a, b PeerState) int {
		return cmp.Or(cmp.Compare(a.Site, b.Site), cmp.Compare(a.Node, b.Node))
	})
	return states
}

func (p *peer) state() PeerState {
	l := p.current.Load()
	p.mu.Lock()
	s := PeerState{Site: p.pin.Site, Node: p.node, Addr: p.pin.Addr, Since: p.changed, State: stateName(l != nil, p.failed)}
	if p.failed != nil {
		s.LastError = p.failed.Error()
	}
	p.mu.Unlock()
	if l != nil {
		s.Connected, s.Direction = true, l.direction()
		s.RTT = float64(l.conn.ConnectionStats().SmoothedRTT.Microseconds()) / 1000
		s.Version, s.Software = int(l.said.version), l.said.software
	}
	return s
}

// Stats counts what happened since the Mesh was made, and what is now.
type Stats struct {
	PeersConnected   int    // now
	Connections      uint64 // admitted, both directions
	ConnectionsLost  uint64
	Dials            uint64 // attempts that reached the network
	DialFailures     uint64
	Strangers        uint64 // refused in the handshake: not among the peers
	LastStranger     trust.NodeID
	Impostors        uint64 // dialled, and another key answered
	BadVersion       uint64 // hello of another version
	HellosRefused    uint64 // no hello, a malformed one, or another network's
	Visitors         uint64 // strangers that the lobby let speak
	CallsOut         uint64
	CallsFailed      uint64 // of CallsOut
	CallsIn          uint64 // that reached a handler
	StreamsRefused   uint64 // malformed, too large, too slow, unknown, or without an answer
	HandlerFaults    uint64 // handlers that failed unexpectedly
	DatagramsOut     uint64
	DatagramsIn      uint64
	DatagramsDropped uint64 // queued too long or too many
}

type counters struct {
	connections, lost, dials, dialFailures    atomic.Uint64
	strangers, impostors, badVersion, refused atomic.Uint64
	visitors                                  atomic.Uint64
	callsOut, callsFailed, callsIn            atomic.Uint64
	refusedStreams, handlerFaults             atomic.Uint64
	datagramsOut, datagramsIn                 atomic.Uint64
	datagramsDropped                          atomic.Uint64
	lastStranger                              atomic.Pointer[trust.NodeID]
}

// Stats gives the counters.
func (m *Mesh) Stats() Stats {
	c := &m.counters
	s := Stats{
		Connections: c.connections.Load(), ConnectionsLost: c.lost.Load(),
		Dials: c.dials.Load(), DialFailures: c.dialFailures.Load(),
		Strangers: c.strangers.Load(), Impostors: c.impostors.Load(),
		BadVersion: c.badVersion.Load(), HellosRefused: c.refused.Load(), Visitors: c.visitors.Load(),
		CallsOut: c.callsOut.Load(), CallsFailed: c.callsFailed.Load(), CallsIn: c.callsIn.Load(),
		StreamsRefused: c.refusedStreams.Load(), HandlerFaults: c.handlerFaults.Load(),
		DatagramsOut: c.datagramsOut.Load(), DatagramsIn: c.datagramsIn.Load(),
		DatagramsDropped: c.datagramsDropped.Load(),
	}
	if id := c.lastStranger.Load(); id != nil {
		s.LastStranger = *id
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, p := range m.peers {
		if p.current.Load() != nil {
			s.PeersConnected++
		}
	}
	return s
}
