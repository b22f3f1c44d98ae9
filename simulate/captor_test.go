package simulate_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/candignode/candignode/federation"
	"github.com/candignode/candignode/federation/wire"
	"github.com/candignode/candignode/node/admin"
	"github.com/candignode/candignode/node/config"
	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/simulate"
	"github.com/candignode/candignode/simulate/cohort"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/members"
)

// captor is bcgsc gone bad: its real key and address, and a program of its own
// that forwards whatever it likes.
type captor struct {
	everyone *federation.Everyone
	mesh     *wire.Mesh
}

type nobody struct{ site trust.SiteName }

func (n nobody) Ask(_ context.Context, _ trust.Caller, r query.Request) (query.Answer, error) {
	return query.Answer{Transaction: r.Transaction, Granularity: r.Granularity,
		Parts: []query.Part{query.FailedPart(n.site, "", query.Nothing, "nothing", "")}}, nil
}

// turn stops the honest bcgsc and puts the captor in its place.
func turn(t *testing.T, f *simulate.Federation) captor {
	t.Helper()
	return turnInto(t, f, map[wire.Kind]wire.Handler{})
}

// turnInto is turn, with what the captor does when it is called.
func turnInto(t *testing.T, f *simulate.Federation, handlers map[wire.Kind]wire.Handler) captor {
	t.Helper()
	self := f.Site("bcgsc")
	c, err := config.Load(f.Plan.ConfigPath("bcgsc"))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.StopSite("bcgsc"); err != nil {
		t.Fatal(err)
	}
	key, err := config.LoadNodeKey(c.Federation.NodeKey)
	if err != nil {
		t.Fatal(err)
	}
	id, err := trust.NodeIDOf(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenPacket("udp", self.Listen)
	if err != nil {
		t.Fatal(err)
	}
	genesis, err := members.NewGenesis(c.Federation.Network)
	if err != nil {
		t.Fatal(err)
	}
	var peers []wire.Peer
	var asked []federation.Peer
	for _, p := range c.Peers() {
		peers = append(peers, wire.Peer{Site: p.Name, Node: p.Node, Addr: p.Addr})
		asked = append(asked, federation.Peer{Site: p.Name, Node: p.Node})
	}
	mesh, err := wire.New(wire.Options{PacketConn: conn, Key: key, Site: "bcgsc", Network: genesis.Network(), Peers: peers, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mesh.Run(ctx, handlers) }()
	t.Cleanup(func() { stop(); <-done; conn.Close() })
	w := &bench{mesh: mesh}
	w.waitForLines(t)
	return captor{mesh: mesh, everyone: federation.NewEveryone(federation.Options{
		Self: nobody{"bcgsc"}, Site: "bcgsc", Node: id, Network: genesis.Network(), Key: key,
		Peers: func() []federation.Peer { return asked }, Lines: meshLines{mesh}, Recorder: unrecorded{},
	})}
}

func (c captor) ask(t *testing.T, subject, token string) map[trust.SiteName]query.Part {
	t.Helper()
	v := cohort.Common()
	caller := trust.Caller{
		Identity:  trust.Identity{Issuer: subject, Subject: "rosalind"},
		Passports: []trust.Passport{trust.NewPassport(token)}, Until: time.Now().Add(time.Hour),
	}
	answer, err := c.everyone.Ask(t.Context(), caller, query.Request{
		Transaction: "captor", Entity: query.GVariants, Granularity: query.Count,
		Variant: query.VariantQuery{Assembly: query.GRCh37, Chrom: v.Chrom, Start: v.Start, Ref: v.Ref, Alt: v.Alt},
	})
	if err != nil {
		t.Fatal(err)
	}
	parts := map[trust.SiteName]query.Part{}
	for _, p := range answer.Parts {
		parts[p.Site] = p
	}
	return parts
}

// A token captured at one site and replayed by that site's node at another
// is refused (binding ladder L2; L1 only where listed).
func TestACapturedPassportIsUselessToAPeersNode(t *testing.T) {
	f, _ := startDemo(t)
	broker := f.Plan.IssuerName(simulate.Broker)
	captured := passportFor(t, f, "uhn", "uhn", "bcgsc", "chus")
	own := passportFor(t, f, "bcgsc", "uhn", "bcgsc", "chus")
	unbound := passportFor(t, f, "", "uhn", "bcgsc", "chus")
	c := turn(t, f)

	for what, token := range map[string]string{"captured from uhn (L2)": captured, "without aud (L1, not listed)": unbound} {
		for _, site := range []trust.SiteName{"chus", "uhn"} {
			if p := c.ask(t, broker, token)[site]; p.Status != query.Refused || p.Datasets != nil {
				t.Errorf("a passport %s, replayed at %s: %+v", what, site, p)
			}
		}
	}
	// The captor's own researchers are served, or the test would prove nothing.
	for _, site := range []trust.SiteName{"chus", "uhn"} {
		if p := c.ask(t, broker, own)[site]; p.Status != query.OK {
			t.Errorf("the site's own researcher at %s: %+v", site, p)
		}
	}
	// The refusal's reason stands in the target's own record, not in the answer.
	log := auditOf(t, f, "chus")
	if !bytes.Contains(log, []byte(`"refused"`)) || !bytes.Contains(log, []byte("wrong_audience")) {
		t.Errorf("chus's record does not say why: %s", log)
	}
}

// auditOf reads a running site's record through its admin socket.
func auditOf(t *testing.T, f *simulate.Federation, name trust.SiteName) []byte {
	t.Helper()
	c, err := config.Load(f.Plan.ConfigPath(name))
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	if err := admin.Dial(c.Admin.Socket).Audit(t.Context(), nil, func(line admin.AuditLine) error {
		all = append(all, line.Record...)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}
