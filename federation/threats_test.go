package federation

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/audit"
	"github.com/candignode/candignode/trust/jose"
)

// forgery is a message from uhn to bcgsc that a test bends before it is sealed.
type forgery struct {
	w         *world
	claims    assertion
	question  []byte
	passports []string
	typ       string
	key       ed25519.PrivateKey
	payload   func([]byte) any // replaces the claims, given their JSON
	bytes     func([]byte) []byte
	in        Incoming
}

func (w *world) forge() *forgery {
	uhn, bcgsc := w.site("uhn"), w.site("bcgsc")
	q, err := json.Marshal(aQuestion())
	if err != nil {
		w.t.Fatal(err)
	}
	f := &forgery{w: w, question: q, passports: []string{alicePassport}, typ: assertionType, key: uhn.key}
	f.in = pretendLine{uhn, bcgsc}.incoming(nil)
	identity := alice().Identity
	f.claims = assertion{
		Network: "test", Issuer: uhn.node, Site: "uhn", Audience: bcgsc.node, ID: newID(), Transaction: "txn-1",
		Exporter: trust.Digest(f.in.Exporter), Question: trust.DigestOf(q), Hops: new(int), Wait: 5000,
		Caller: &identity, Passports: []trust.Digest{trust.DigestOf([]byte(alicePassport))},
	}
	f.claims.stamp(w.now())
	return f
}

// ask sets the question and signs its digest.
func (f *forgery) ask(q []byte) {
	f.question, f.claims.Question = q, trust.DigestOf(q)
}

// show sets the passports and signs their digests.
func (f *forgery) show(passports ...string) {
	f.passports, f.claims.Passports = passports, nil
	for _, p := range passports {
		f.claims.Passports = append(f.claims.Passports, trust.DigestOf([]byte(p)))
	}
}

func (f *forgery) message() []byte {
	var payload any = &f.claims
	if f.payload != nil {
		b, err := json.Marshal(f.claims)
		if err != nil {
			f.w.t.Fatal(err)
		}
		payload = f.payload(b)
	}
	envelope, err := jose.Seal(f.typ, f.key, payload)
	if err != nil {
		f.w.t.Fatal(err)
	}
	var held []trust.Passport
	for _, p := range f.passports {
		held = append(held, trust.NewPassport(p))
	}
	tail, err := appendTail(nil, f.question, held)
	if err != nil {
		f.w.t.Fatal(err)
	}
	m, err := frame(envelope, tail)
	if err != nil {
		f.w.t.Fatal(err)
	}
	if f.bytes != nil {
		m = f.bytes(m)
	}
	return m
}

func (f *forgery) send() []byte {
	f.in.Request = f.message()
	return f.w.site("bcgsc").receiver.Serve(f.w.t.Context(), f.in)
}

// member replaces one member of the payload; nil removes it.
func member(name string, value any) func([]byte) any {
	return func(b []byte) any {
		var members map[string]any
		_ = json.Unmarshal(b, &members)
		for _, number := range []string{"iat", "exp", "wait"} { // floats would not be sealed
			if v, ok := members[number].(float64); ok {
				members[number] = int64(v)
			}
		}
		members["hops"] = 0
		if members[name] = value; value == nil {
			delete(members, name)
		}
		return members
	}
}

// Every threat of trust-protocol.md section 12 that one forwarded message can
// carry: one generic refusal, the reason in the target's own audit log, and
// nobody asked.
func TestThreats(t *testing.T) {
	second := time.Second
	for name, c := range map[string]struct {
		bend func(f *forgery)
		rule string
	}{
		"empty message":              {func(f *forgery) { f.bytes = func([]byte) []byte { return nil } }, "message"},
		"bytes after the message":    {func(f *forgery) { f.bytes = func(b []byte) []byte { return append(b, 0) } }, "message"},
		"message of 100 MB":          {func(f *forgery) { f.bytes = func([]byte) []byte { return make([]byte, 100<<20) } }, "message"},
		"another version":            {func(f *forgery) { f.bytes = func(b []byte) []byte { b[0] = 2; return b } }, "message"},
		"unpinned node":              {func(f *forgery) { f.in.Node = "stranger" }, "peer"},
		"node pinned as other site":  {func(f *forgery) { f.in.Site, f.claims.Site = "chus", "chus" }, "peer"},
		"peer without query plane":   {func(f *forgery) { f.w.site("bcgsc").mayAsk["uhn"] = false }, "plane"},
		"no exporter value":          {func(f *forgery) { f.in.Exporter, f.claims.Exporter = [32]byte{}, trust.Digest{} }, "exporter"},
		"another typ":                {func(f *forgery) { f.typ = "candig-head+jwt" }, "signature"},
		"signer is another peer":     {func(f *forgery) { f.key = f.w.site("chus").key }, "signature"},
		"signature over other bytes": {func(f *forgery) { f.bytes = flipAssertion }, "signature"},
		"jti that is a number":       {func(f *forgery) { f.payload = member("jti", 5) }, "assertion"},
		"another network":            {func(f *forgery) { f.claims.Network = "other" }, "network"},
		"no network":                 {func(f *forgery) { f.claims.Network = "" }, "network"},
		"issued by another node":     {func(f *forgery) { f.claims.Issuer = f.w.site("chus").node }, "issuer"},
		"wrong target":               {func(f *forgery) { f.claims.Audience = f.w.site("chus").node }, "audience"},
		"no target":                  {func(f *forgery) { f.payload = member("aud", nil) }, "audience"},
		"another connection":         {func(f *forgery) { f.claims.Exporter = trust.Digest(exporterOf("uhn", "bcgsc", 2)) }, "exporter"},
		"expired":                    {func(f *forgery) { f.claims.IssuedAt -= 4; f.claims.Expires = f.w.now().Unix() }, "expired"},
		"future-dated":               {func(f *forgery) { f.claims.stamp(f.w.now().Add(maxSkew + second)) }, "future"},
		"before this node's start":   {func(f *forgery) { f.claims.stamp(start.Add(-second)) }, "before_start"},
		"no time":                    {func(f *forgery) { f.payload = member("iat", nil) }, "before_start"},
		"valid for longer":           {func(f *forgery) { f.claims.Expires++ }, "lifetime"},
		"never expires":              {func(f *forgery) { f.claims.Expires = 1<<63 - 1 }, "lifetime"},
		"expires before it is made":  {func(f *forgery) { f.claims.Expires = -1 << 63 }, "lifetime"},
		"expires earlier than made":  {func(f *forgery) { f.claims.IssuedAt += 20; f.claims.Expires = f.claims.IssuedAt - 1 }, "lifetime"},
		"replay memory is full": {func(f *forgery) {
			f.w.site("bcgsc").receiver.used.peers[f.in.Node].number = maxRemembered
		}, "replay_memory"},
		"no jti":                     {func(f *forgery) { f.claims.ID = "" }, "assertion"},
		"short jti":                  {func(f *forgery) { f.claims.ID = "AAAA" }, "assertion"},
		"jti in another spelling":    {func(f *forgery) { f.claims.ID = strings.Repeat("A", 21) + "B" }, "assertion"},
		"tampered question":          {func(f *forgery) { f.question = bytes.Replace(f.question, []byte("16050074"), []byte("16050075"), 1) }, "digest"},
		"second hop":                 {func(f *forgery) { hops := 1; f.claims.Hops = &hops }, "hops"},
		"hop that was undone":        {func(f *forgery) { hops := -1; f.claims.Hops = &hops }, "hops"},
		"hops not said":              {func(f *forgery) { f.claims.Hops = nil }, "hops"},
		"hops left out":              {func(f *forgery) { f.payload = member("hops", nil) }, "hops"},
		"tampered passport":          {func(f *forgery) { f.passports = []string{alicePassport + "x"} }, "passports"},
		"extra passport":             {func(f *forgery) { f.passports = append(f.passports, alicePassport+"x") }, "passports"},
		"missing passport":           {func(f *forgery) { f.passports = nil }, "passports"},
		"passports in another order": {reorder, "passports"},
		"invented user, no passport": {func(f *forgery) { f.show() }, "caller"},
		"passport and no caller":     {func(f *forgery) { f.claims.Caller = nil }, "caller"},
		"invented user, other's passport": {func(f *forgery) {
			f.claims.Caller = &trust.Identity{Issuer: "https://idp.example.org/", Subject: "mallory"}
		}, "caller"},
		"same subject at another issuer": {func(f *forgery) {
			f.claims.Caller = &trust.Identity{Issuer: "https://idp.example.com/", Subject: "alice"}
		}, "caller"},
		"passport that does not verify": {func(f *forgery) { f.show("an access token") }, "passport"},
		"question that is not JSON":     {func(f *forgery) { f.ask([]byte("{")) }, "question"},
		"question out of bounds":        {func(f *forgery) { f.ask(replace(f.question, "16050074", "-1")) }, "question"},
		"question with unknown member":  {func(f *forgery) { f.ask(replace(f.question, `{"transaction"`, `{"filters":["x"],"transaction"`)) }, "question"},
		"question in another spelling":  {func(f *forgery) { f.ask(replace(f.question, `{`, `{ `)) }, "question"},
		"member twice":                  {func(f *forgery) { f.ask(replace(f.question, `{"transaction"`, `{"entity":"g_variants","transaction"`)) }, "question"},
		"another transaction":           {func(f *forgery) { f.claims.Transaction = "txn-2" }, "question"},
		"test mode":                     {func(f *forgery) { q := aQuestion(); q.TestMode = true; b, _ := json.Marshal(q); f.ask(b) }, "question"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			target := w.site("bcgsc")
			if got := w.forge().send(); !strings.Contains(string(got), `"count":10`) {
				t.Fatalf("the honest message was answered %s", got)
			}
			f := w.forge()
			c.bend(f)
			if got := f.send(); string(got) != refusedResponse {
				t.Fatalf("answered %s", got)
			}
			if n := len(target.self.asked()); n != 1 {
				t.Errorf("the data was asked %d times, want once: for the honest message", n)
			}
			records := target.log.of(audit.EventRefused)
			if len(records) != 1 || records[0].Rule != c.rule || records[0].Outcome != "refused" || records[0].Detail == "" {
				t.Fatalf("recorded %+v, want rule %q", records, c.rule)
			}
			if text := fmt.Sprintf("%+v", records); strings.Contains(text, "secret-passport") || strings.Contains(records[0].Detail, "\n") {
				t.Errorf("the audit record holds a token or a line break: %s", text)
			}
		})
	}
}

func flipAssertion(b []byte) []byte {
	i := 5 + bytes.IndexByte(b[5:], '.') + 20 // within the payload
	if b[i]++; b[i] == '.' {
		b[i]++
	}
	return b
}

func reorder(f *forgery) {
	other := "secret-passport:https://idp.example.org/|bob|bbbb"
	f.show(alicePassport, other)
	f.passports = []string{other, alicePassport}
}

func replace(b []byte, old, new string) []byte {
	return bytes.Replace(b, []byte(old), []byte(new), 1)
}

// ForwardOnce (invariant 19): on the same connection by the jti, on another by
// the exporter value, after a restart by the start time or the exporter value.
func TestReplayIsRefused(t *testing.T) {
	w := newWorld(t)
	target := w.site("bcgsc")
	f := w.forge()
	if got := f.send(); string(got) == refusedResponse {
		t.Fatal("the first use was refused")
	}
	serve := func() string { return string(target.receiver.Serve(t.Context(), f.in)) }
	if serve() != refusedResponse {
		t.Error("replayed on the same connection")
	}
	same := f.in.Exporter
	f.in.Exporter = exporterOf("uhn", "bcgsc", 2)
	if serve() != refusedResponse {
		t.Error("replayed on another connection")
	}
	target.restart(w.now()) // within the second in which the message was made
	if serve() != refusedResponse {
		t.Error("replayed on the connection after a restart")
	}
	target.restart(w.now().Add(time.Second))
	f.in.Exporter = same // as if a connection could outlive the process
	if serve() != refusedResponse {
		t.Error("replayed after a restart with the same exporter value")
	}
	var rules []string
	for _, r := range target.log.of(audit.EventRefused) {
		rules = append(rules, r.Rule)
	}
	if got := strings.Join(rules, " "); got != "replay exporter exporter before_start" {
		t.Errorf("recorded %s", got)
	}
	if n := len(target.self.asked()); n != 1 {
		t.Errorf("the data was asked %d times", n)
	}
}

// A question asked in the second in which the target started is a normal case:
// three sites started by one script.
func TestQuestionInTheSecondOfTheStart(t *testing.T) {
	w := newWorld(t)
	w.now = func() time.Time { return start.Add(time.Millisecond) } // start is 0.4 s into its second
	if got := w.forge().send(); string(got) == refusedResponse {
		t.Errorf("refused: %+v", w.site("bcgsc").log.of(audit.EventRefused))
	}
}

// A slow clock at the origin is tolerated up to its half minute, except for as
// long after the target's start.
func TestSlowAndFastClocksAreTolerated(t *testing.T) {
	w := newWorld(t)
	later := start.Add(time.Hour)
	w.now = func() time.Time { return later }
	for _, off := range []time.Duration{-maxSkew, -time.Second, 0, time.Second, maxSkew} {
		f := w.forge()
		f.claims.stamp(later.Add(off))
		if got := f.send(); string(got) == refusedResponse {
			t.Errorf("a clock off by %v is refused: %+v", off, w.site("bcgsc").log.of(audit.EventRefused))
		}
	}
}

func TestAnonymousCallerArrivesWithItsOrigin(t *testing.T) {
	w := newWorld(t)
	f := w.forge()
	f.show()
	f.claims.Caller = nil
	if got := f.send(); string(got) == refusedResponse {
		t.Fatalf("refused: %+v", w.site("bcgsc").log.of(audit.EventRefused))
	}
	if got := w.site("bcgsc").self.asked()[0]; !got.Anonymous() || got.Origin != "uhn" || len(got.Passports) != 0 {
		t.Errorf("asked by %+v", got)
	}
}

// The local answerer's failures: nothing about them reaches the peer, nor does
// anybody else's part.
func TestOnlyTheOwnPartLeavesATarget(t *testing.T) {
	for name, c := range map[string]struct {
		answer query.Answer
		err    error
		want   string
	}{
		"not recorded":   {err: errors.New("disk full at /var/lib/x"), want: refusedResponse},
		"no part at all": {want: refusedResponse},
		"a part of another site": {
			answer: query.Answer{Parts: []query.Part{{Site: "chus", Status: query.OK}}},
			want:   refusedResponse,
		},
		"a denial with words": {
			answer: query.Answer{Parts: []query.Part{
				{Site: "chus", Status: query.OK},
				query.FailedPart("bcgsc", "", query.Denied, "no_grant", "you need a grant of the committee"),
			}},
			want: `{"site":"bcgsc","node":"NODE","status":"denied","code":"no_grant"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			target := w.site("bcgsc")
			target.self.ask = func(context.Context, trust.Caller, query.Request) (query.Answer, error) { return c.answer, c.err }
			want := strings.Replace(c.want, "NODE", string(target.node), 1)
			if got := unsigned(w.forge().send()); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

// The refusal is the same, in bytes, whether its reason could be written or not.
func TestRefusalWithoutAnAuditLog(t *testing.T) {
	w := newWorld(t)
	w.site("bcgsc").log.fail = errors.New("disk full")
	f := w.forge()
	f.claims.Audience = "somebody else"
	if got := f.send(); string(got) != refusedResponse {
		t.Errorf("answered %s", got)
	}
}

// Hanging up must not hide an attempt.
func TestRefusalIsRecordedAfterThePeerHungUp(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f := w.forge()
	f.claims.Audience = "somebody else"
	f.in.Request = f.message()
	w.site("bcgsc").receiver.Serve(ctx, f.in)
	if got := w.site("bcgsc").log.of(audit.EventRefused); len(got) != 1 {
		t.Errorf("recorded %+v", got)
	}
}

// One peer's flood is cut off, recorded once, and costs the other peer nothing.
func TestAPeerThatAsksTooMuchIsBusy(t *testing.T) {
	w := newWorld(t)
	target := w.site("bcgsc")
	release := make(chan struct{})
	inside := make(chan struct{}, maxServing)
	target.self.ask = func(context.Context, trust.Caller, query.Request) (query.Answer, error) {
		inside <- struct{}{}
		<-release
		return target.self.answer(aQuestion()), nil
	}
	var wg sync.WaitGroup
	for range maxServing {
		f := w.forge()
		wg.Go(func() {
			if got := f.send(); string(got) == refusedResponse || string(got) == busyResponse {
				t.Errorf("within the bound: %s", got)
			}
		})
	}
	for range maxServing {
		<-inside
	}
	for range 3 {
		if got := w.forge().send(); string(got) != busyResponse {
			t.Errorf("over the bound: %s", got)
		}
	}
	if got := target.log.of(audit.EventRefused); len(got) != 1 || got[0].Rule != "busy" {
		t.Errorf("recorded %+v, want one busy", got)
	}
	other := pretendLine{w.site("chus"), target}.incoming([]byte("x"))
	if got := target.receiver.Serve(t.Context(), other); string(got) != refusedResponse {
		t.Errorf("the other peer is held up: %s", got)
	}
	close(release)
	wg.Wait()
	if got := w.forge().send(); string(got) == busyResponse {
		t.Error("places were not given back")
	}
	<-inside
}

// How long the origin waits bounds how long the target works.
func TestTheOriginsDeadlineTravels(t *testing.T) {
	w := newWorld(t)
	target := w.site("bcgsc")
	var left time.Duration
	target.self.ask = func(ctx context.Context, _ trust.Caller, r query.Request) (query.Answer, error) {
		deadline, _ := ctx.Deadline()
		left = time.Until(deadline)
		return target.self.answer(r), nil
	}
	for wait, most := range map[int64]time.Duration{1500: 1500 * time.Millisecond, 0: maxWait, -5: maxWait, 1 << 62: maxWait} {
		f := w.forge()
		f.claims.Wait = wait
		f.send()
		if left > most || left < most-time.Second {
			t.Errorf("wait %d: the target has %v, want %v", wait, left, most)
		}
	}
}
