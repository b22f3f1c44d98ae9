// Package gossip spreads small messages among the pinned nodes, with memberlist
// riding on a carrier that is handed in.
//
// memberlist believes whatever its packets say: one forged packet declares a
// node dead or moves its name to another address (trust-protocol.md, section 1).
// So it is given no addresses to move: a node is named by its key, its address
// is computed from its name, and the carrier finds a node by its name alone. What
// it says about who is alive is advisory; nothing may be decided by it.
//
// A message travels one hop: whoever hears something new broadcasts it again.
package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
	"golang.org/x/sync/errgroup"

	"github.com/candignode/candignode/trust"
)

// Carrier moves packets and streams between nodes that are named by their keys.
// It proves who the other end is; gossip only asks whether it is a member.
type Carrier interface {
	// SendDatagram may lose b and must not block. It does not keep b.
	SendDatagram(to trust.NodeID, b []byte) error
	// Receive gives the next datagram; b belongs to the caller. It fails only
	// when ctx ends.
	Receive(ctx context.Context) (from trust.NodeID, b []byte, err error)
	// OpenStream fails at once if the node is not connected.
	OpenStream(ctx context.Context, to trust.NodeID) (net.Conn, error)
	// AcceptStream fails only when ctx ends.
	AcceptStream(ctx context.Context) (from trust.NodeID, conn net.Conn, err error)
}

// Options are what Gossip is made of.
type Options struct {
	Self    trust.NodeID
	Network string // memberlist's label: packets of another network are dropped
	Carrier Carrier
	// Members are the pinned nodes, with or without this one. It is asked often
	// and under memberlist's lock: it must be quick and must not call back.
	Members func() []trust.NodeID
	Heard   chan<- []byte // what others broadcast; what does not fit is dropped and counted
	Log     *slog.Logger  // nil: nothing is logged
}

// Gossip is this node's part in it. Its methods may be used at once from many
// goroutines.
type Gossip struct {
	o     Options
	log   *slog.Logger
	queue *memberlist.TransmitLimitedQueue
	ran   atomic.Bool

	heard, dropped, refused atomic.Uint64

	// mu guards what follows. memberlist's callbacks take it, so memberlist is
	// never called under it.
	mu   sync.Mutex
	view map[trust.NodeID]State
	list *memberlist.Memberlist // nil unless Run is running
}

// State is what memberlist thinks of a node. Anybody may have lied to it.
type State string

// The states.
const (
	Alive   State = "alive"
	Dead    State = "dead"    // declared dead, or it left
	Unknown State = "unknown" // never heard of
)

// Member is a pinned node and the state that gossip thinks it in.
type Member struct {
	Node  trust.NodeID `json:"node"`
	State State        `json:"state"`
}

// New checks the options and starts nothing.
func New(o Options) (*Gossip, error) {
	if _, err := trust.ParseNodeID(string(o.Self)); err != nil {
		return nil, fmt.Errorf("gossip: this node: %w", err)
	}
	if o.Network == "" || len(o.Network) > maxLabel {
		return nil, fmt.Errorf("gossip: the network's name has %d bytes, 1 to %d are allowed", len(o.Network), maxLabel)
	}
	if o.Carrier == nil || o.Members == nil || o.Heard == nil {
		return nil, errors.New("gossip: a carrier, members and somebody to hear are needed")
	}
	g := &Gossip{o: o, log: o.Log, view: make(map[trust.NodeID]State)}
	if g.log == nil {
		g.log = slog.New(slog.DiscardHandler)
	}
	g.queue = &memberlist.TransmitLimitedQueue{
		NumNodes:       func() int { return len(g.others()) + 1 },
		RetransmitMult: retransmitMult,
	}
	return g, nil
}

// others are the members without this node, in order.
func (g *Gossip) others() []trust.NodeID {
	others := slices.Clone(g.o.Members())
	slices.Sort(others)
	others = slices.Compact(others)
	return slices.DeleteFunc(others, func(id trust.NodeID) bool { return id == g.o.Self })
}

func (g *Gossip) isMember(id trust.NodeID) bool {
	return id != g.o.Self && slices.Contains(g.o.Members(), id)
}

// Broadcast sends a message of at most 512 bytes to all members that are
// connected to this node. It returns at once and promises nothing: whoever must
// be sure asks. Larger messages are dropped and logged.
func (g *Gossip) Broadcast(message []byte) {
	if len(message) == 0 || len(message) > maxMessage {
		g.refused.Add(1)
		g.log.Error("a message that cannot be gossiped", "bytes", len(message), "limit", maxMessage)
		return
	}
	g.queue.QueueBroadcast(broadcast(slices.Clone(message)))
	g.queue.Prune(maxQueued)
}

// Members gives the pinned nodes other than this one, and what gossip thinks of
// each. It is for display and for whom to try first.
func (g *Gossip) Members() []Member {
	others := g.others()
	members := make([]Member, 0, len(others))
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, id := range others {
		state, known := g.view[id]
		if !known {
			state = Unknown
		}
		members = append(members, Member{id, state})
	}
	return members
}

// Health counts what happened since the start, and what is now.
type Health struct {
	Alive   int    // members that gossip thinks alive, now
	Missing int    // all other members, now
	Score   int    // memberlist's own: 0 is healthy, higher is slower to answer
	Queued  int    // messages that are still passed on, now
	Heard   uint64 // messages handed up
	Dropped uint64 // messages nobody had room for, or too large
	Refused uint64 // packets, streams and members that were not let in
}

// Health gives the counters.
func (g *Gossip) Health() Health {
	h := Health{Heard: g.heard.Load(), Dropped: g.dropped.Load(), Refused: g.refused.Load(), Queued: g.queue.NumQueued()}
	for _, m := range g.Members() {
		if m.State == Alive {
			h.Alive++
		} else {
			h.Missing++
		}
	}
	g.mu.Lock()
	list := g.list
	g.mu.Unlock()
	if list != nil {
		h.Score = list.GetHealthScore()
	}
	return h
}

// Run gossips until ctx ends; then it tells the others that it leaves, for which
// the carrier must still work for about a second, and stops. A probe that still
// waits for a silent node's answer is memberlist's own and ends a few seconds
// later; it touches nothing.
func (g *Gossip) Run(ctx context.Context) error {
	if g.ran.Swap(true) {
		return errors.New("gossip: it runs once")
	}
	t := newTransport(g)
	list, err := memberlist.Create(g.config(t))
	if err != nil {
		return errors.Join(fmt.Errorf("gossip: %w", err), t.Shutdown())
	}
	g.mu.Lock()
	g.list = list
	g.mu.Unlock()

	g.joinForever(ctx, list)

	g.mu.Lock()
	g.list = nil
	g.mu.Unlock()
	if err := list.Leave(leaveTime); err != nil {
		g.log.Debug("nobody heard that this node leaves", "error", err)
	}
	if err := list.Shutdown(); err != nil {
		return fmt.Errorf("gossip: %w", err)
	}
	return nil
}

func (g *Gossip) config(t *transport) *memberlist.Config {
	c := memberlist.DefaultWANConfig()
	c.Name = string(g.o.Self)
	c.Transport = t
	c.Label = g.o.Network
	c.RequireNodeNames = true
	c.BindPort, c.AdvertisePort = port, port
	c.EnableCompression = false // packets are small, and it would hide their size
	c.UDPBufferSize = packetSize
	c.GossipInterval, c.GossipNodes, c.RetransmitMult = gossipInterval, gossipNodes, retransmitMult
	c.ProbeInterval, c.ProbeTimeout = probeInterval, probeTimeout
	c.SuspicionMult = 4
	c.GossipToTheDeadTime = forgetDead
	c.TCPTimeout = streamTime
	// No periodic exchange of all states: the join loop asks whoever is
	// missing, and a lie is not told again and again to those who know better.
	c.PushPullInterval = 0
	c.Delegate = (*delegate)(g)
	c.Events = (*delegate)(g)
	c.Alive = (*delegate)(g)
	c.LogOutput = logWriter{g.log}
	return c
}

// joinForever exchanges member states with every member that is missing: often
// while nobody is there, as at the start, and then every few seconds.
func (g *Gossip) joinForever(ctx context.Context, list *memberlist.Memberlist) {
	for {
		g.joinMissing(ctx, list)
		pause := joinInterval
		if list.NumMembers() <= 1 {
			pause = aloneInterval
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// joinMissing is one round. Who is not connected costs nothing: the carrier
// says so at once.
func (g *Gossip) joinMissing(ctx context.Context, list *memberlist.Memberlist) {
	var round errgroup.Group
	round.SetLimit(joinsAtOnce)
	for _, m := range g.Members() {
		if m.State == Alive || ctx.Err() != nil {
			continue
		}
		round.Go(func() error {
			if _, err := list.Join([]string{joinName(m.Node)}); err != nil {
				g.log.Debug("not joined", "node", m.Node.Short(), "error", err)
			}
			return nil
		})
	}
	_ = round.Wait() // its functions return no errors
}
