package node

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"slices"

	"github.com/candignode/candignode/federation"
	"github.com/candignode/candignode/federation/wire"
	"github.com/candignode/candignode/node/config"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/issuers"
	"github.com/candignode/candignode/trust/members"
	"github.com/candignode/candignode/trust/roots"
)

// ErrNetworkChanged ends Run when this site has joined or founded a network: everything that
// it says to peers is bound to one, so its peers' side begins anew. Whoever runs the node
// makes it again from the same configuration.
var ErrNetworkChanged = errors.New("this site is in another network now, so the node must be started again")

// membership builds the desk that knows who the sites are. It comes before the wires, which
// let in whom it says.
func (n *Node) membership(c *config.Config) (err error) {
	n.members, err = members.New(members.Options{
		Site: c.Site.Name, Key: n.key, Network: c.Federation.Network, Pins: pins(c),
		Store: n.store, Mesh: siteMesh{n}, Now: n.now, Log: n.log.With("part", "members"),
	})
	if err != nil {
		return err
	}
	n.network = n.members.View().Network
	return nil
}

func pins(c *config.Config) []members.Pin {
	pinned := make([]members.Pin, 0, len(c.Federation.PeerList))
	for _, p := range c.Federation.PeerList {
		pin := members.Pin{Name: p.Name, Node: p.Node, Site: p.Site, Query: p.Query}
		if p.Addr != "" {
			pin.Addrs = []string{p.Addr}
		}
		pinned = append(pinned, pin)
	}
	return pinned
}

// lines are the nodes to be connected with: the members', and the inviter's while an invite
// waits.
func lines(desk *members.Desk) []wire.Peer {
	var peers []wire.Peer
	for _, s := range desk.View().Sites {
		if s.Admitted && s.Node != "" {
			peers = append(peers, wire.Peer{Site: s.Name, Node: s.Node, Addr: first(s.Addrs)})
		}
	}
	if s, ok := desk.Inviter(); ok && !slices.ContainsFunc(peers, func(p wire.Peer) bool { return p.Node == s.Node }) {
		peers = append(peers, wire.Peer{Site: s.Name, Node: s.Node, Addr: first(s.Addrs)})
	}
	return peers
}

func first(addrs []string) string {
	if len(addrs) == 0 {
		return ""
	}
	return addrs[0]
}

// witnesses are the members whose evidence about issuers is listened to.
func witnesses(v *members.View) map[trust.SiteName]issuers.Peer {
	peers := map[trust.SiteName]issuers.Peer{}
	for _, s := range v.Sites {
		if s.Admitted && s.Node != "" {
			peers[s.Name] = issuers.Peer{Node: s.Node, Recorded: s.Epoch > 0, ClientIDs: s.ClientIDs, Site: s.ID, Issuers: s.Issuers}
		}
	}
	return peers
}

// policies are the configuration's, with those for witnesses that the operator approved
// besides.
func policies(c *config.Config, v *members.View) []trust.IssuerPolicy {
	list := c.IssuerPolicies()
	for i, p := range list {
		if p.Mode == trust.ModeManual || p.Mode == trust.ModeDirect || p.Mode == trust.ModeHome && len(p.Witnesses) == 0 {
			continue
		}
		for _, s := range v.Sites {
			if s.Admitted && !slices.Contains(p.Witnesses, s.Name) &&
				(slices.Contains(s.WitnessFor, p.Issuer) || slices.Contains(s.WitnessFor, everyIssuer)) {
				list[i].Witnesses = append(list[i].Witnesses, s.Name)
			}
		}
	}
	return list
}

// everyIssuer in a site's approval makes it a witness for all.
const everyIssuer = "all"

// followRoster keeps the wires and the evidence desk to the newest roster, until ctx ends: a
// site that is blocked loses its connections at once. It returns ErrNetworkChanged when the site
// is in another network than the node was made for.
func (n *Node) followRoster(ctx context.Context) error {
	for {
		changed, v := n.members.Changed()
		if v.Network != n.network {
			return ErrNetworkChanged
		}
		n.mesh.Reconfigure(lines(n.members))
		if err := n.listenTo(v); err != nil {
			n.log.Error("the evidence desk was not told who the sites are", "error", err)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// listenTo tells the evidence desk who the sites are. The configuration must not change
// meanwhile: an older one would come back.
func (n *Node) listenTo(v *members.View) error {
	n.reloading.Lock()
	defer n.reloading.Unlock()
	if err := n.issuers.BeHome(v.Self.Issuers); err != nil {
		return err
	}
	return n.issuers.Reconfigure(policies(n.current().config, v), witnesses(v))
}

func (n *Node) memberIDs() []trust.NodeID {
	var ids []trust.NodeID
	for _, s := range n.members.View().Sites {
		if s.Admitted && s.Node != "" {
			ids = append(ids, s.Node)
		}
	}
	return ids
}

func (n *Node) queryPeers() []federation.Peer {
	var peers []federation.Peer
	pinned := n.current().config.Federation.PeerList
	for _, s := range n.members.View().Sites {
		if s.Admitted && s.Node != "" {
			p := federation.Peer{Site: s.Name, Node: s.Node, MayAsk: s.Query}
			for i := range pinned {
				if pinned[i].Name == s.Name {
					p.Disclose = federation.Disclosure(pinned[i].Disclose)
				}
			}
			peers = append(peers, p)
		}
	}
	return peers
}

func (n *Node) peer(id trust.NodeID) (federation.Peer, bool) {
	for _, p := range n.queryPeers() {
		if p.Node == id {
			return p, true
		}
	}
	return federation.Peer{}, false
}

// siteMesh is the members desk's view of the wires.
type siteMesh struct{ n *Node }

func (m siteMesh) Connected() []trust.NodeID { return trustMesh(m).Connected() }

func (m siteMesh) Call(ctx context.Context, to trust.NodeID, request []byte) ([]byte, error) {
	return m.n.callPeer(ctx, to, kindSites, request)
}

func (m siteMesh) Join(ctx context.Context, to trust.NodeID, request []byte) ([]byte, error) {
	return m.n.callPeer(ctx, to, kindJoin, request)
}

func (n *Node) callPeer(ctx context.Context, to trust.NodeID, kind wire.Kind, request []byte) ([]byte, error) {
	line, err := n.mesh.Line(to)
	if err != nil {
		return nil, err
	}
	return line.Call(ctx, kind, request)
}

// lobby lets a newcomer show its invite, while one is open.
func (n *Node) lobby() *wire.Lobby {
	return &wire.Lobby{Open: n.members.Expects, Kind: kindJoin, Handler: func(ctx context.Context, in wire.Incoming) ([]byte, error) {
		answer := n.members.ServeJoin(ctx, in.PeerKey, in.Request)
		if answer == nil {
			return nil, members.ErrInvite
		}
		return answer, nil
	}}
}

// Identity is what a new site's identity is made of.
type Identity struct {
	Today []crypto.Signer     // root keys
	Next  []ed25519.PublicKey // and those to come
	// Threshold is how many of them must sign, of today's and of the next; 0: one.
	Threshold int
	Found     string // the network that the site founds; "": none
}

// FirstRecord is what a configuration says about its site, for the first record or the next.
func FirstRecord(c *config.Config, node ed25519.PublicKey) (roots.Record, error) {
	key, ok := roots.KeyOf(node)
	if !ok {
		return roots.Record{}, errors.New("the node key is not an Ed25519 key")
	}
	r := roots.Record{Name: c.Site.Name, Display: c.Site.DisplayName, Nodes: []roots.Node{{ID: key.ID(), Key: key}}}
	if c.Federation.Advertise != "" {
		r.Nodes[0].Addrs = []string{c.Federation.Advertise}
	}
	for _, p := range c.IssuerPolicies() {
		if len(p.ClientIDs) > 0 {
			if r.ClientIDs == nil {
				r.ClientIDs = map[string][]string{}
			}
			r.ClientIDs[p.Issuer] = slices.Compact(slices.Sorted(slices.Values(p.ClientIDs)))
		}
	}
	return r, nil
}
