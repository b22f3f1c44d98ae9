package node

import (
	"context"

	"github.com/candignode/candignode/federation"
	"github.com/candignode/candignode/node/config"
	"github.com/candignode/candignode/query/local"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/audit"
)

// answer plugs together who answers: this site, everybody, and this site for
// its peers. All three come down to n.local.
func (n *Node) answer(c *config.Config) {
	site := c.Site.Name
	n.local = local.New(local.Options{
		Site: site, Node: n.id, Setup: func() *local.Setup { return n.current().local },
		Grants:   func(id trust.Identity) []access.Grant { return n.store.Grants(id) },
		Recorder: n.store, Now: n.now, Log: n.log.With("part", "local"),
	})
	n.everyone = federation.NewEveryone(federation.Options{
		Self: n.local, Site: site, Node: n.id, Network: n.network, Key: n.key, Peers: n.queryPeers,
		Lines: queryLines{n.mesh}, Recorder: n.store, Travel: n.travel, Needs: n.needsOf, Now: n.now,
		Deadline: c.Limits.QueryTimeout, PeerTimeout: c.Limits.PeerTimeout, Log: n.log.With("part", "federation"),
	})
	n.receiver = federation.NewReceiver(federation.ReceiverOptions{
		Self: n.local, Site: site, Node: n.id, Network: n.network, Key: n.key,
		Policy:       func() string { return n.current().policy.Revision() },
		Authenticate: n.authenticate, Peer: n.peer,
		Boot: n.started, Recorder: n.store, Now: n.now, Log: n.log.With("part", "federation"),
	})
}

// refused records that a caller's passports were refused before any decision.
func (n *Node) refused(ctx context.Context, transaction string, reason trust.Reason, passports []trust.Digest) error {
	n.metrics.refused(reason)
	return n.store.Record(ctx, audit.Record{
		Time: n.now(), Event: audit.EventRefused, Transaction: transaction,
		Passports: passports, Outcome: "deny", Rule: string(reason),
	})
}
