package federation

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"time"
	"unicode"

	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/audit"
	"github.com/candignode/candignode/trust/jose"
)

// ReceiverOptions is what a Receiver needs. Self to Recorder are required.
type ReceiverOptions struct {
	// Self answers for this site only. It is the same that answers the site's
	// own callers: there is no second, weaker path.
	Self    query.Asker
	Site    trust.SiteName
	Node    trust.NodeID
	Network string
	Key     ed25519.PrivateKey // Node's: it signs the receipts
	// Policy gives the revision of the policy that decides now; nil: "".
	Policy func() string
	// Authenticate verifies passports that origin forwarded, by this site's own
	// trust, with the binding ladder. The caller's identity is the first one's.
	// Its error's text must be safe to record: no token bytes.
	Authenticate func(ctx context.Context, passports []string, origin trust.SiteName) (trust.Caller, error)
	// Peer gives a pinned peer as the configuration has it now.
	Peer func(trust.NodeID) (Peer, bool)
	// Boot is when this process started, taken before the first connection.
	Boot time.Time
	// Recorder takes the reasons of refusals. What Self answers, Self records.
	Recorder Recorder

	Now func() time.Time // nil: time.Now
	Log *slog.Logger     // nil: nothing is logged
}

// Receiver answers questions that peers forward. It is safe for concurrent use.
// There must be one per node and process: it remembers what was used.
type Receiver struct {
	o    ReceiverOptions
	used replays
	gate gate
}

// NewReceiver makes a Receiver. It starts nothing.
func NewReceiver(o ReceiverOptions) *Receiver {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Policy == nil {
		o.Policy = func() string { return "" }
	}
	return &Receiver{o: o}
}

// Serve answers one message with one response. It never fails: what is refused
// gets one response that is the same whatever the reason, and the reason goes to
// the audit log. ctx ends when the peer no longer waits.
func (r *Receiver) Serve(ctx context.Context, in Incoming) []byte {
	now := r.o.Now()
	place := in.Node
	peer, pinned := r.o.Peer(in.Node)
	if !pinned {
		place = "" // one place for all strangers: their names are not kept
	}
	ok, note := r.gate.enter(place, now)
	if !ok {
		if note {
			r.recordRefusal(ctx, in, &question{}, refuse("busy", "more than %d questions at once; said once a minute", maxServing))
		}
		return []byte(busyResponse)
	}
	defer r.gate.leave(place)

	var q question
	why := r.admit(&q, in, peer, pinned, now)
	if why == nil {
		var response []byte
		if response, why = r.answer(ctx, &q, peer); why == nil {
			return response
		}
	}
	r.recordRefusal(ctx, in, &q, why)
	return []byte(refusedResponse)
}

// question is a forwarded question, filled as it passes the checks.
type question struct {
	claims    assertion // zero until its signature was verified
	request   query.Request
	passports [][]byte
	digests   []trust.Digest
	caller    trust.Identity // zero until authenticated
}

// admit makes every check that needs no other desk, in the order of
// trust-protocol.md, section 11: the cheap ones that say most about the sender
// first, nothing decoded before its signature is verified.
func (r *Receiver) admit(q *question, in Incoming, peer Peer, pinned bool, now time.Time) *refusal {
	m, err := parseMessage(in.Request)
	switch {
	case err != nil:
		return refuse("message", "%v", err)
	case !pinned:
		return refuse("peer", "node %.80q is not pinned", in.Node)
	case peer.Site != in.Site:
		return refuse("peer", "node %.80q is pinned as site %q", in.Node, peer.Site)
	case !peer.MayAsk:
		return refuse("plane", "site %q may not ask this site: its peer entry does not say query: true", peer.Site)
	case in.Exporter == [32]byte{}:
		return refuse("exporter", "the connection has no exporter value")
	}
	_, err = jose.OpenInto(&q.claims, m.assertion, assertionType, maxAssertion, func(id trust.NodeID) (ed25519.PublicKey, bool) {
		return in.Key, id == in.Node // nobody but the peer itself
	})
	if err != nil {
		q.claims = assertion{}
		if bad, ok := errors.AsType[*jose.Error](err); ok && bad.Reason == trust.ReasonBadClaim {
			return refuse("assertion", "%v", err)
		}
		return refuse("signature", "%v", err)
	}
	if why := q.claims.checkAddress(r.o, in); why != nil {
		return why
	}
	if why := q.claims.checkTime(now, r.o.Boot); why != nil {
		return why
	}
	id, ok := parseID(q.claims.ID)
	if !ok {
		return refuse("assertion", "jti %.40q is not 16 bytes in base64url", q.claims.ID)
	}
	switch r.used.use(in.Node, id, q.claims.IssuedAt, now) {
	case used:
		return refuse("replay", "jti %.40q was used before", q.claims.ID)
	case full:
		return refuse("replay_memory", "more than %d questions within %v: no more can be told from replays", maxRemembered, replaySlices*replaySlice)
	}
	q.passports = m.passports
	for _, p := range m.passports {
		q.digests = append(q.digests, trust.DigestOf(p))
	}
	if why := q.claims.checkContent(trust.DigestOf(m.question), q.digests); why != nil {
		return why
	}
	return q.decode(m.question)
}

// decode reads the question. Unknown members are not ignored here: one could be
// a filter, and an answer that ignored it would say too much. So the bytes must be
// exactly those that this node would write itself, which the peer's do as long
// as it asks nothing that this node does not know.
func (q *question) decode(b []byte) *refusal {
	var request query.Request
	if err := jose.Unmarshal(b, &request); err != nil {
		return refuse("question", "%v", err)
	}
	if err := request.Validate(); err != nil {
		return refuse("question", "%v", err)
	}
	if again, err := json.Marshal(request); err != nil || !bytes.Equal(again, b) {
		return refuse("question", "has members that this version does not know, or another spelling of those it does")
	}
	switch {
	case request.Transaction != q.claims.Transaction:
		return refuse("question", "its transaction is not the assertion's")
	case request.TestMode:
		return refuse("question", "test mode is answered by the site that was asked, never forwarded")
	}
	q.request = request
	return nil
}

// answer authenticates the caller and gives this site's part.
func (r *Receiver) answer(ctx context.Context, q *question, peer Peer) ([]byte, *refusal) {
	ctx, cancel := context.WithTimeout(ctx, q.claims.wait())
	defer cancel()
	caller := trust.Caller{}
	if q.claims.Caller != nil {
		passports := make([]string, len(q.passports))
		for i, p := range q.passports {
			passports[i] = string(p)
		}
		var err error
		if caller, err = r.o.Authenticate(ctx, passports, peer.Site); err != nil {
			return nil, refuse("passport", "%v", err)
		}
		if caller.Anonymous() || caller.Identity != *q.claims.Caller {
			return nil, refuse("caller", "the passports are those of somebody else than the caller that the assertion names")
		}
		q.caller = caller.Identity
	}
	// From here on the caller is marked as another site's, and Everyone will
	// not carry the question further, whoever asks it to.
	caller.Origin, caller.Forwarding = peer.Site, q.claims.ID
	answer, err := r.o.Self.Ask(ctx, caller, q.request)
	if err != nil {
		return nil, refuse("answer", "%v", err)
	}
	part, err := partOf(answer, r.o.Site)
	if err != nil {
		return nil, refuse("answer", "%v", err)
	}
	part.Node = r.o.Node
	response, err := encodeResponse(part)
	if err == nil {
		response, err = r.sealAnswer(response, q)
	}
	if err != nil {
		return nil, refuse("answer", "%v", err)
	}
	return response, nil
}

// recordRefusal writes the reason down. Whether that succeeds makes no
// difference to the peer, who is refused either way; and it goes on when the
// peer has hung up, or hanging up would hide an attempt.
func (r *Receiver) recordRefusal(ctx context.Context, in Incoming, q *question, why *refusal) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), refusalTime)
	defer cancel()
	record := audit.Record{
		Time: r.o.Now(), Event: audit.EventRefused, Origin: in.Site,
		Caller: q.caller, Passports: q.digests,
		Outcome: "refused", Rule: why.rule, Detail: printable(why.detail),
	}
	if q.request.Transaction != "" {
		record.Transaction, record.Question = q.request.Transaction, q.request.String()
	}
	if err := r.o.Recorder.Record(ctx, record); err != nil {
		r.o.Log.Error("a refusal could not be recorded", "site", in.Site, "rule", why.rule, "detail", record.Detail, "error", err)
		return
	}
	r.o.Log.Warn("a peer's question was refused", "site", in.Site, "rule", why.rule, "detail", record.Detail)
}

// printable bounds text for the audit log and keeps it on one line. Text from
// outside is in quotes already; this is for errors whose text is not in our hands.
func printable(s string) string {
	s = strings.ToValidUTF8(s[:min(len(s), maxDetail)], "")
	return strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return '?'
	}, s)
}
