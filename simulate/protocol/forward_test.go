package protocol

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/candignode/candignode/federation"
	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/audit"
)

// assertion is what a forwarding says, in the form of trust-protocol.md, section 11.
type assertion struct {
	Network     string         `json:"net"`
	Issuer      trust.NodeID   `json:"iss"`
	Site        trust.SiteName `json:"site"`
	Audience    trust.NodeID   `json:"aud"`
	IssuedAt    int64          `json:"iat"`
	Expires     int64          `json:"exp"`
	ID          string         `json:"jti"`
	Transaction string         `json:"txn"`
	Exporter    trust.Digest   `json:"exporter"`
	Question    trust.Digest   `json:"digest"`
	Hops        int            `json:"hops"`
	Wait        int64          `json:"wait"`
	Passports   []trust.Digest `json:"passports"`
}

// answerer is the target's own desk: it counts what reached it.
type answerer struct {
	site  identity
	asked int
}

func (a *answerer) Ask(_ context.Context, c trust.Caller, r query.Request) (query.Answer, error) {
	if c.Origin == "" {
		return query.Answer{}, errors.New("NoSecondHop (21): a forwarded caller is not marked as one")
	}
	a.asked++
	n := int64(1)
	return query.Answer{Transaction: r.Transaction, Granularity: r.Granularity, Parts: []query.Part{{Site: a.site.name, Node: a.site.node, Status: query.OK,
		Datasets: []query.DatasetAnswer{{Dataset: "d", Granularity: query.Count, Exists: true, Count: &n, Precision: query.Exact}}}}}, nil
}

type noLog struct{}

func (noLog) Record(context.Context, ...audit.Record) error { return nil }

func message(origin identity, a assertion, question []byte) []byte {
	envelope := sealed("candig-fwd+jwt", origin.key, a)
	b := append([]byte{1}, binary.BigEndian.AppendUint32(nil, uint32(len(envelope)))...)
	b = append(append(b, envelope...), binary.BigEndian.AppendUint32(nil, uint32(len(question)))...)
	return append(append(b, question...), 0, 0)
}

// TestForwarding sends a target genuine forwardings and every misuse of one, over restarts of
// the target, in a random order (invariants 19 and 21).
func TestForwarding(t *testing.T) {
	for i := range uint64(*seeds) {
		seed := *first + i
		random := rand.New(rand.NewPCG(seed, 19))
		origin, target, third := newIdentity("origin"), newIdentity("target"), newIdentity("third")
		now, self := noon, &answerer{site: target}
		boot := func() *federation.Receiver {
			return federation.NewReceiver(federation.ReceiverOptions{Self: self, Site: target.name, Node: target.node, Network: network, Key: target.key, Boot: now,
				Peer: func(id trust.NodeID) (federation.Peer, bool) {
					for _, p := range []identity{origin, third} {
						if p.node == id {
							return federation.Peer{Site: p.name, Node: p.node, MayAsk: true}, true
						}
					}
					return federation.Peer{}, false
				},
				Authenticate: func(context.Context, []string, trust.SiteName) (trust.Caller, error) {
					return trust.Caller{}, errors.New("nobody")
				},
				Recorder: noLog{}, Now: func() time.Time { return now }})
		}
		receiver, connection := boot(), 1
		type used struct {
			message []byte
			on      int
		}
		var past []used
		deliver := func(from identity, m []byte, on int) bool {
			before := self.asked
			receiver.Serve(t.Context(), federation.Incoming{Site: from.name, Node: from.node, Key: publicOf(string(from.name)),
				Exporter: sha256.Sum256(fmt.Appendf(nil, "connection %d of seed %d", on, seed)), Request: m})
			return self.asked > before
		}
		for step := range 30 {
			now = now.Add(time.Duration(random.IntN(8)+1) * time.Second)
			var id [16]byte
			binary.BigEndian.PutUint64(id[:], random.Uint64())
			r := query.Request{Transaction: fmt.Sprint("txn-", step), Entity: query.GVariants, Granularity: query.Count,
				Variant: query.VariantQuery{Assembly: query.GRCh37, Chrom: "22", Start: 16050074, Ref: "A", Alt: "G"}}
			q, _ := json.Marshal(r)
			a := assertion{Network: network, Issuer: origin.node, Site: origin.name, Audience: target.node, IssuedAt: now.Unix(), Expires: now.Unix() + 60,
				ID: base64.RawURLEncoding.EncodeToString(id[:]), Transaction: r.Transaction, Question: trust.DigestOf(q), Wait: 5000, Passports: []trust.Digest{},
				Exporter: trust.Digest(sha256.Sum256(fmt.Appendf(nil, "connection %d of seed %d", connection, seed)))}
			bad := func(what string, from identity, m []byte, on int) {
				if deliver(from, m, on) {
					t.Fatalf("seed %d step %d: %s reached the target's own desk", seed, step, what)
				}
			}
			switch random.IntN(10) {
			case 0, 1, 2:
				m := message(origin, a, q)
				if !deliver(origin, m, connection) {
					t.Fatalf("seed %d step %d: a genuine forwarding was refused", seed, step)
				}
				past = append(past, used{m, connection})
			case 3:
				if len(past) > 0 {
					p := past[random.IntN(len(past))]
					bad("ForwardOnce (19): a replay", origin, p.message, p.on)
				}
			case 4:
				bad("ForwardOnce (19): a forwarding on another connection", origin, message(origin, a, q), connection+1000)
			case 5:
				a.Audience = third.node
				bad("ForwardOnce (19): a forwarding to another target", origin, message(origin, a, q), connection)
			case 6:
				a.Hops = 1
				bad("NoSecondHop (21): a second hop", origin, message(origin, a, q), connection)
			case 7:
				bad("signing as another site: a forwarding by another peer", third, message(origin, a, q), connection)
			case 8:
				a.Expires = a.IssuedAt + 600
				bad("ForwardOnce (19): a forwarding for ten minutes", origin, message(origin, a, q), connection)
			case 9: // the target restarts: its memory is lost, and so are all connections
				now = now.Add(time.Second)
				receiver, connection = boot(), connection+1
				for _, p := range past {
					bad("ForwardOnce (19): a replay after a restart", origin, p.message, p.on)
				}
			}
		}
	}
}
