package node

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/candignode/candignode/federation"
	"github.com/candignode/candignode/federation/gossip"
	"github.com/candignode/candignode/federation/wire"
	"github.com/candignode/candignode/node/config"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/discovery"
	"github.com/candignode/candignode/trust/issuers"
)

// The kinds of calls that nodes make to each other.
const (
	kindQuery wire.Kind = "query"
	kindSync  wire.Kind = "sync"  // evidence about issuers
	kindSites wire.Kind = "sites" // site records, and who speaks for whom
	kindJoin  wire.Kind = "join"  // a newcomer's, in the lobby
	kindNeeds wire.Kind = "needs" // what a site needs to know of callers
)

// connect plugs the wires and the trust desk together: datagrams carry heads
// to the desk through a channel, and the desk knows of its carriers only what
// issuers.Mesh says.
func (n *Node) connect(c *config.Config) (err error) {
	if n.mesh, err = wire.New(wire.Options{
		PacketConn: n.sockets.Peers, Key: n.key, Site: c.Site.Name,
		Network: n.network, Lobby: n.lobby(), Peers: lines(n.members), Software: "candignode/" + Version, Now: n.now, Log: n.log.With("part", "wire"),
	}); err != nil {
		return err
	}
	n.fetcher = discovery.New()
	heard := make(chan []byte, heardMessages)
	if n.gossip, err = gossip.New(gossip.Options{
		Self: n.id, Network: n.network, Carrier: n.mesh,
		Members: n.memberIDs, Heard: heard, Log: n.log.With("part", "gossip"),
	}); err != nil {
		return err
	}
	roster := n.members.View()
	if n.issuers, err = issuers.New(issuers.Options{
		Site: c.Site.Name, Node: n.id, Key: n.key, Network: n.network,
		Policies: policies(c, roster), Peers: witnesses(roster), Store: n.store, Fetcher: n.fetcher,
		Mesh: trustMesh{n}, Heard: heard, Now: n.now, Poll: c.Limits.IssuerPoll, Log: n.log.With("part", "issuers"),
	}); err != nil {
		return err
	}
	return n.clearinghouse(c)
}

// audiences are a site's client ids at an issuer; site "" is this one.
func (n *Node) audiences(issuer string, site trust.SiteName) []string {
	if site == "" {
		site = n.current().config.Site.Name
	}
	return n.issuers.ClientIDs(issuer, site)
}

// trustMesh is the trust desk's view of the wires.
type trustMesh struct{ n *Node }

func (m trustMesh) Broadcast(message []byte) { m.n.gossip.Broadcast(message) }

func (m trustMesh) Connected() []trust.NodeID {
	var ids []trust.NodeID
	for _, p := range m.n.mesh.Peers() {
		if p.Connected {
			ids = append(ids, p.Node)
		}
	}
	return ids
}

func (m trustMesh) Call(ctx context.Context, to trust.NodeID, request []byte) ([]byte, error) {
	return m.n.callPeer(ctx, to, kindSync, request)
}

// queryLines is the federation desk's view of the wires.
type queryLines struct{ mesh *wire.Mesh }

func (l queryLines) Line(node trust.NodeID) (federation.Line, error) {
	line, err := l.mesh.Line(node)
	if err != nil {
		return nil, lineError(err)
	}
	return queryLine{line}, nil
}

// lineErrors is the one table from the wire's errors to the federation desk's.
var lineErrors = []struct{ wire, desk error }{
	{wire.ErrBadVersion, federation.ErrBadVersion},
	{wire.ErrUnreachable, federation.ErrUnreachable},
	{wire.ErrNotPinned, federation.ErrUnreachable},
	{wire.ErrRefused, federation.ErrRefused},
}

func lineError(err error) error {
	for _, e := range lineErrors {
		if errors.Is(err, e.wire) {
			return fmt.Errorf("%w: %w", e.desk, err)
		}
	}
	return err
}

type queryLine struct{ line *wire.Line }

func (l queryLine) Exporter() [32]byte { return l.line.Exporter() }

func (l queryLine) Key() ed25519.PublicKey { return l.line.Key() }

func (l queryLine) Call(ctx context.Context, request []byte) ([]byte, error) {
	response, err := l.line.Call(ctx, kindQuery, request)
	if err != nil {
		return nil, lineError(err)
	}
	return response, nil
}

// handlers are the calls that peers may make. The peer's name comes from the
// pinned key of the connection, never from the message.
func (n *Node) handlers() map[wire.Kind]wire.Handler {
	return map[wire.Kind]wire.Handler{
		kindSync: func(_ context.Context, in wire.Incoming) ([]byte, error) {
			return n.issuers.ServeSync(in.Peer.Node, in.Request), nil
		},
		kindSites: func(ctx context.Context, in wire.Incoming) ([]byte, error) {
			return n.members.Serve(ctx, in.Peer.Node, in.Request), nil
		},
		kindNeeds: func(context.Context, wire.Incoming) ([]byte, error) { return n.ownNeeds().Encode() },
		kindQuery: func(ctx context.Context, in wire.Incoming) ([]byte, error) {
			return n.receiver.Serve(ctx, federation.Incoming{
				Site: in.Peer.Site, Node: in.Peer.Node, Key: in.PeerKey,
				Exporter: in.Exporter, Request: in.Request,
			}), nil
		},
	}
}
