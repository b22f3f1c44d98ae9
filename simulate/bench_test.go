package simulate_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"math/big"
	"net"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/candignode/candignode/configs"
	"github.com/candignode/candignode/federation"
	"github.com/candignode/candignode/federation/wire"
	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/query/local"
	"github.com/candignode/candignode/query/privacy"
	"github.com/candignode/candignode/query/source/variants"
	"github.com/candignode/candignode/simulate"
	"github.com/candignode/candignode/simulate/cohort"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/audit"
	"github.com/candignode/candignode/trust/passport"
	"github.com/candignode/candignode/trust/passport/passporttest"
	"github.com/candignode/candignode/trust/policy"
)

// unrecorded takes records and keeps none: goal 1 is measured without the
// durable audit, which goal 2 measures alone.
type unrecorded struct{}

func (unrecorded) Record(context.Context, ...audit.Record) error { return nil }

// bench are three sites made of the real parts, without disks.
type bench struct {
	everyone *federation.Everyone
	verify   func(context.Context) (trust.Caller, error)
	mesh     *wire.Mesh // of the site that asks
	bytes    int        // of one forwarded question, for the floor
}

type meshLines struct{ mesh *wire.Mesh }

func (l meshLines) Line(id trust.NodeID) (federation.Line, error) {
	line, err := l.mesh.Line(id)
	if err != nil {
		return nil, federation.ErrUnreachable
	}
	return meshLine{line}, nil
}

type meshLine struct{ *wire.Line }

func (l meshLine) Call(ctx context.Context, request []byte) ([]byte, error) {
	return l.Line.Call(ctx, "query", request)
}

// Goal 1 of docs/performance.md: a warm federated count over three sites against
// a bare QUIC echo of the same bytes to one peer, by turns in one run.
func BenchmarkFederatedCountOverEcho(b *testing.B) {
	world := newBench(b)
	echo := bareEcho(b)
	ctx := context.Background()
	v := cohort.Common()
	request := query.Request{
		Transaction: "benchmark", Entity: query.GVariants, Granularity: query.Count,
		Variant: query.VariantQuery{Assembly: query.GRCh37, Chrom: v.Chrom, Start: v.Start, Ref: v.Ref, Alt: v.Alt},
	}
	payload := bytes.Repeat([]byte{'q'}, world.bytes)
	var counts, echoes []time.Duration
	for b.Loop() {
		began := time.Now()
		caller, err := world.verify(ctx)
		if err != nil {
			b.Fatal(err)
		}
		answer, err := world.everyone.Ask(ctx, caller, request)
		took := time.Since(began)
		if total, ok := answer.Total(); err != nil || !ok || total == 0 || !answer.Complete() {
			b.Fatalf("%+v, %v", answer, err)
		}
		began = time.Now()
		if err := echo(payload); err != nil {
			b.Fatal(err)
		}
		counts, echoes = append(counts, took), append(echoes, time.Since(began))
	}
	slices.Sort(counts)
	slices.Sort(echoes)
	count, bare := counts[len(counts)/2], echoes[len(echoes)/2]
	b.ReportMetric(float64(count.Microseconds()), "p50-µs/count")
	b.ReportMetric(float64(bare.Microseconds()), "p50-µs/echo")
	b.ReportMetric(float64(count)/float64(bare), "count/echo")
}

func newBench(b *testing.B) *bench {
	b.Helper()
	sites, err := simulate.DemoSites("")
	if err != nil {
		b.Fatal(err)
	}
	broker, err := passporttest.NewIssuer("https://broker.example.org", "RS256", "b1")
	if err != nil {
		b.Fatal(err)
	}
	dac, err := passporttest.NewIssuer("https://dac.example.org", "ES256", "d1")
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	view := &trust.View{Revision: 1, Issuers: map[string]trust.IssuerView{
		broker.URL: broker.View(trust.IssuerPolicy{Issuer: broker.URL, Kinds: []trust.Kind{trust.KindPassport}}, now.Add(time.Hour)),
		dac.URL: dac.View(trust.IssuerPolicy{
			Issuer: dac.URL, Kinds: []trust.Kind{trust.KindVisa}, Sources: []string{simulate.DACSource},
			VisaTypes: []string{trust.VisaControlledAccessGrants},
		}, now.Add(time.Hour)),
	}}
	visa := dac.Visa(passporttest.VisaClaims{
		Subject: "rosalind", IssuedAt: now, Expires: now.Add(time.Hour), Type: trust.VisaControlledAccessGrants,
		Asserted: now.Add(-time.Hour), Value: "grant", Source: simulate.DACSource, By: "dac",
	})
	token := broker.Passport(passporttest.PassportClaims{
		Subject: "rosalind", IssuedAt: now, Expires: now.Add(time.Hour), Audience: []string{"uhn-node"}, Visas: []string{visa},
	})
	rules, err := policy.Load(b.Context(), configs.Policy())
	if err != nil {
		b.Fatal(err)
	}
	world := &bench{bytes: len(token) + 1200} // the passport, the assertion, the question
	keys, peers := map[trust.SiteName]ed25519.PrivateKey{}, map[trust.SiteName]wire.Peer{}
	conns := map[trust.SiteName]net.PacketConn{}
	for _, s := range sites {
		_, keys[s.Name], _ = ed25519.GenerateKey(rand.Reader)
		id, _ := trust.NodeIDOf(keys[s.Name].Public())
		if conns[s.Name], err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
			b.Fatal(err)
		}
		peers[s.Name] = wire.Peer{Site: s.Name, Node: id, Addr: conns[s.Name].LocalAddr().String()}
	}
	for _, s := range sites {
		verifier := passport.New(passport.Options{
			View:      func() *trust.View { return view },
			Audiences: func(string, trust.SiteName) []string { return []string{"uhn-node"} },
		})
		authenticate := func(ctx context.Context, tokens []string, origin trust.SiteName) (trust.Caller, error) {
			verdict, err := verifier.Verify(ctx, passport.Request{Passports: tokens, Origin: origin, Now: time.Now(), CallerOnly: true})
			return verdict.Caller, err
		}
		setup := &local.Setup{
			Datasets: []access.Dataset{{ID: simulate.Dataset, Level: access.Controlled, Value: "grant", By: []string{"dac"}}},
			Sources:  map[string]query.Source{simulate.Dataset: release(b, s)}, Policy: policy.Remember(rules),
			PolicyRevision: rules.Revision(), Floor: privacy.Floor{Threshold: 10},
		}
		self := local.New(local.Options{
			Site: s.Name, Node: peers[s.Name].Node, Setup: func() *local.Setup { return setup },
			Grants: func(trust.Identity) []access.Grant { return nil }, Recorder: unrecorded{}, Now: time.Now,
		})
		world.addSite(b, s.Name, keys[s.Name], conns[s.Name], peers, self, authenticate)
		if s.Name == "uhn" {
			world.verify = func(ctx context.Context) (trust.Caller, error) { return authenticate(ctx, []string{token}, "") }
		}
	}
	world.waitForLines(b)
	return world
}

func (w *bench) addSite(b *testing.B, name trust.SiteName, key ed25519.PrivateKey, conn net.PacketConn, all map[trust.SiteName]wire.Peer,
	self query.Asker, authenticate func(context.Context, []string, trust.SiteName) (trust.Caller, error)) {
	b.Helper()
	var others []wire.Peer
	var asked []federation.Peer
	for other, p := range all {
		if other != name {
			others = append(others, p)
			asked = append(asked, federation.Peer{Site: p.Site, Node: p.Node, MayAsk: true})
		}
	}
	mesh, err := wire.New(wire.Options{PacketConn: conn, Key: key, Site: name, Peers: others, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	receiver := federation.NewReceiver(federation.ReceiverOptions{
		Self: self, Site: name, Node: all[name].Node, Network: "bench", Key: key, Authenticate: authenticate, Boot: time.Now(), Recorder: unrecorded{},
		Peer: func(id trust.NodeID) (federation.Peer, bool) {
			i := slices.IndexFunc(asked, func(p federation.Peer) bool { return p.Node == id })
			return asked[max(i, 0)], i >= 0
		},
	})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- mesh.Run(ctx, map[wire.Kind]wire.Handler{"query": func(ctx context.Context, in wire.Incoming) ([]byte, error) {
			return receiver.Serve(ctx, federation.Incoming{
				Site: in.Peer.Site, Node: in.Peer.Node, Key: in.PeerKey, Exporter: in.Exporter, Request: in.Request,
			}), nil
		}})
	}()
	b.Cleanup(func() { stop(); <-done; conn.Close() })
	if name != "uhn" {
		return
	}
	w.everyone = federation.NewEveryone(federation.Options{
		Self: self, Site: name, Node: all[name].Node, Network: "bench", Key: key, Lines: meshLines{mesh}, Recorder: unrecorded{},
		Peers: func() []federation.Peer { return asked },
	})
	w.mesh = mesh
}

// waitForLines returns when the asking site is connected to both others.
func (w *bench) waitForLines(b testing.TB) {
	b.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(time.Minute); ; {
		up := 0
		for _, p := range w.mesh.Peers() {
			if p.Connected {
				up++
			}
		}
		if up == 2 {
			return
		}
		select {
		case <-deadline:
			b.Fatal("the sites did not find each other")
		case <-tick.C:
		}
	}
}

func release(b *testing.B, s simulate.Site) query.Source {
	b.Helper()
	dir := b.TempDir()
	file := filepath.Join(dir, "cohort.vcf")
	if err := simulate.WriteCohort(file, s); err != nil {
		b.Fatal(err)
	}
	imported, err := variants.Import(b.Context(), variants.ImportOptions{
		Dataset: simulate.Dataset, Assembly: query.GRCh37, Files: []string{file}, Dir: dir, Now: time.Now(),
	})
	if err != nil {
		b.Fatal(err)
	}
	opened, err := variants.Open(imported.File)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { opened.Close() })
	return opened
}

// bareEcho is the floor: a stream, the bytes, the bytes back.
func bareEcho(b *testing.B) func([]byte) error {
	b.Helper()
	public, private, _ := ed25519.GenerateKey(rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		b.Fatal(err)
	}
	protocol := []string{"echo"}
	listener, err := quic.ListenAddr("127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}, NextProtos: protocol, MinVersion: tls.VersionTLS13,
	}, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { listener.Close() })
	go func() {
		conn, err := listener.Accept(context.Background())
		if err != nil {
			return
		}
		for {
			stream, err := conn.AcceptStream(context.Background())
			if err != nil {
				return
			}
			go func() {
				body, err := io.ReadAll(stream)
				if err == nil {
					stream.Write(body)
				}
				stream.Close()
			}()
		}
	}()
	conn, err := quic.DialAddr(b.Context(), listener.Addr().String(), &tls.Config{
		InsecureSkipVerify: true, NextProtos: protocol, MinVersion: tls.VersionTLS13, // an echo of its own process
	}, nil)
	if err != nil {
		b.Fatal(err)
	}
	return func(payload []byte) error {
		stream, err := conn.OpenStreamSync(context.Background())
		if err != nil {
			return err
		}
		if _, err := stream.Write(payload); err != nil {
			return err
		}
		if err := stream.Close(); err != nil {
			return err
		}
		_, err = io.ReadAll(stream)
		return err
	}
}
