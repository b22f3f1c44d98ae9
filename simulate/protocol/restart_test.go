package protocol

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/candignode/candignode/federation"
	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/store"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/audit"
)

// recording is the target's own desk with its record on disk before it answers, as
// query/local has it.
type recording struct {
	answerer
	store *store.Store
	now   func() time.Time
}

func (r *recording) Ask(ctx context.Context, c trust.Caller, q query.Request) (query.Answer, error) {
	if err := r.store.Record(ctx, audit.Record{Time: r.now(), Event: audit.EventDecision, Transaction: q.Transaction, Origin: c.Origin, Outcome: "allow"}); err != nil {
		return query.Answer{}, err
	}
	return r.answerer.Ask(ctx, c, q)
}

// A target that is killed, and comes back with the state file as it lay on the disk, answers
// nothing a second time: not on a connection like the one before, not on another, not after a second kill, and
// not when its clock was set back meanwhile (invariants 19 and 16, ForwardOnce and CrashSafe;
// "replay of a forwarded query on the same, another and a restarted connection").
func TestNothingIsAnsweredTwiceOverAKill(t *testing.T) {
	origin, target := newIdentity("origin"), newIdentity("target")
	now, dir := noon, t.TempDir()
	clock := func() time.Time { return now }
	file := filepath.Join(dir, "0.db")
	var state *store.Store
	var desk *recording
	start := func(path string, exists bool) *federation.Receiver {
		var err error
		if state, err = store.Open(path, store.Options{MustExist: exists, Now: clock}); err != nil {
			t.Fatal(err)
		}
		opened := state
		t.Cleanup(func() { opened.Close() })
		desk = &recording{answerer: answerer{site: target}, store: state, now: clock}
		return federation.NewReceiver(federation.ReceiverOptions{Self: desk, Site: target.name, Node: target.node, Network: network, Key: target.key, Boot: now,
			Peer: func(id trust.NodeID) (federation.Peer, bool) {
				return federation.Peer{Site: origin.name, Node: origin.node, MayAsk: true}, id == origin.node
			},
			Authenticate: func(context.Context, []string, trust.SiteName) (trust.Caller, error) {
				return trust.Caller{}, errors.New("nobody")
			},
			Recorder: state, Now: clock})
	}
	// kill leaves the running store as it is, open and never closed, and starts from what is on
	// the disk at this moment.
	kills := 0
	kill := func() *federation.Receiver {
		kills++
		left, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		file = filepath.Join(dir, fmt.Sprint(kills, ".db"))
		if err := os.WriteFile(file, left, 0o600); err != nil {
			t.Fatal(err)
		}
		return start(file, true)
	}
	on := func(n int) [32]byte { return sha256.Sum256(fmt.Append(nil, "connection ", n)) }
	deliver := func(r *federation.Receiver, m []byte, connection int) bool {
		before := desk.asked
		r.Serve(t.Context(), federation.Incoming{Site: origin.name, Node: origin.node, Key: publicOf("origin"), Exporter: on(connection), Request: m})
		return desk.asked > before
	}
	fresh := func(id string, connection int) []byte {
		q := query.Request{Transaction: "txn-" + id, Entity: query.GVariants, Granularity: query.Count,
			Variant: query.VariantQuery{Assembly: query.GRCh37, Chrom: "22", Start: 16050074, Ref: "A", Alt: "G"}}
		b, _ := json.Marshal(q)
		jti := sha256.Sum256([]byte(id))
		return message(origin, assertion{Network: network, Issuer: origin.node, Site: origin.name, Audience: target.node, IssuedAt: now.Unix(), Expires: now.Unix() + 60,
			ID: base64.RawURLEncoding.EncodeToString(jti[:16]), Transaction: q.Transaction, Question: trust.DigestOf(b), Wait: 5000, Passports: []trust.Digest{},
			Exporter: trust.Digest(on(connection))}, b)
	}

	receiver := start(file, false)
	now = now.Add(5 * time.Second)
	captured := fresh("first", 1)
	if !deliver(receiver, captured, 1) {
		t.Fatal("a genuine question was refused")
	}
	head, err := state.AuditHead()
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range []struct {
		what  string
		later time.Duration
		at    []int // the connections that it is tried on
	}{
		{"a second later", time.Second, []int{1, 2}},
		{"after another kill", 10 * time.Second, []int{1, 2, 3}},
		{"with the clock set back before the question", -30 * time.Second, []int{2, 3, 4}}, // no connection outlives the process
		{"when it would have expired", 2 * time.Minute, []int{1, 2, 3}},
	} {
		now = now.Add(one.later)
		receiver = kill()
		if again, err := state.AuditHead(); err != nil || again.Seq < head.Seq {
			t.Fatalf("%s: the record of the first answer is lost: %+v after %+v, %v", one.what, again, head, err)
		}
		for _, connection := range one.at {
			if deliver(receiver, captured, connection) {
				t.Errorf("%s: answered again on connection %d", one.what, connection)
			}
		}
		// And a genuine one is answered, once.
		now = now.Add(2 * time.Second)
		next := fresh(fmt.Sprint(kills), 9)
		if got := []bool{deliver(receiver, next, 9), deliver(receiver, next, 9)}; !slices.Equal(got, []bool{true, false}) {
			t.Errorf("%s: a genuine question was answered %v", one.what, got)
		}
	}
}
