package federation

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/audit"
	"github.com/candignode/candignode/trust/jose"
)

// Whatever is taken as a message is written in exactly one way.
func FuzzMessage(f *testing.F) {
	f.Add(build("a", "q"))
	f.Add(build("a.b.c", `{"transaction":"t"}`, "x.y.z", "x"))
	f.Add([]byte{frameVersion, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMessage(b)
		if err != nil {
			return
		}
		var passports []string
		for _, p := range m.passports {
			passports = append(passports, string(p))
		}
		if again := build(string(m.assertion), string(m.question), passports...); !bytes.Equal(again, b) {
			t.Fatalf("%q is also written %q", b, again)
		}
	})
}

// Whatever a pinned peer seals and sends: a question is answered only if every
// claim fits, and otherwise there is one refusal.
func FuzzServe(f *testing.F) {
	w := newWorld(f)
	honest := w.forge()
	honest.claims.ID = strings.Repeat("A", 22)
	payload, err := json.Marshal(honest.claims)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(payload, honest.question, alicePassport)
	f.Add(bytes.Replace(payload, []byte(`"hops":0`), []byte(`"hops":1`), 1), honest.question, alicePassport)
	f.Add([]byte(`{"hops":0,"hops":0}`), []byte(`{}`), "")
	target := w.site("bcgsc")
	f.Fuzz(func(t *testing.T, payload, question []byte, passport string) {
		sealed, err := jose.Seal(assertionType, honest.key, json.RawMessage(payload))
		if err != nil {
			return
		}
		target.restart(start) // nothing is remembered
		target.log.records, target.self.callers = nil, nil
		in := honest.in
		in.Request = build(string(sealed), string(question))
		var digests []trust.Digest
		if passport != "" {
			in.Request = build(string(sealed), string(question), passport)
			digests = append(digests, trust.DigestOf([]byte(passport)))
		}
		got := target.receiver.Serve(t.Context(), in)
		if string(got) == refusedResponse {
			if len(target.log.of(audit.EventRefused)) != 1 || len(target.self.asked()) != 0 {
				t.Fatalf("%s: recorded %+v", payload, target.log.records)
			}
			return
		}
		var a assertion
		if err := jose.Unmarshal(payload, &a); err != nil {
			t.Fatal(err)
		}
		caller := target.self.asked()[0]
		fits := a.Network == "test" && a.Issuer == in.Node && a.Site == in.Site && a.Audience == target.node &&
			a.Exporter == trust.Digest(in.Exporter) && inTime(a.IssuedAt, w.now()) && a.Expires > w.now().Unix() &&
			a.Question == trust.DigestOf(question) && *a.Hops == 0 && slices.Equal(a.Passports, digests) &&
			(a.Caller == nil) == caller.Anonymous() && (a.Caller == nil || *a.Caller == caller.Identity) && caller.Origin == "uhn"
		if !fits {
			t.Fatalf("%s with %q was answered %s", payload, question, got)
		}
	})
}

// Whatever a peer responds, the part is that peer's, within what was asked, and
// in this site's words; and reading it again changes nothing.
func FuzzResponse(f *testing.F) {
	f.Add([]byte(refusedResponse), true)
	f.Add([]byte(`{"site":"bcgsc","node":"n","status":"ok","datasets":[{"dataset":"d","granularity":"count","exists":true,"count":3,"precision":"exact"}]}`), true)
	f.Add([]byte(`{"site":"bcgsc","node":"n","status":"ok","datasets":[{"dataset":"d","granularity":"boolean","exists":true}]}`), false)
	f.Add([]byte(`{"site":"bcgsc","node":"n","status":"denied","code":"x"}`), false)
	peer := Peer{Site: "bcgsc", Node: "n"}
	f.Fuzz(func(t *testing.T, b []byte, count bool) {
		request := aQuestion()
		if !count {
			request.Granularity = query.Boolean
		}
		p, err := readResponse(b, peer, request)
		if err != nil {
			return
		}
		if p.Site != peer.Site || p.Node != peer.Node || (p.Status == query.OK) != (p.Error == nil) {
			t.Fatalf("%q became %+v", b, p)
		}
		if p.Error != nil {
			if p.Error.Message != sentence(p.Error.Code) || len(p.Datasets) > 0 {
				t.Fatalf("%q became %+v", b, p)
			}
			return
		}
		if total, _ := (query.Answer{Parts: []query.Part{p}}).Total(); total < 0 || total > query.MaxDatasets*maxCount {
			t.Fatalf("%q has total %d", b, total)
		}
		for _, d := range p.Datasets {
			if d.Granularity.Rank() > request.Granularity.Rank() || query.ValidDatasetID(d.Dataset) != nil {
				t.Fatalf("%q became %+v", b, d)
			}
		}
		again, err := encodeResponse(p)
		if err != nil {
			t.Fatal(err)
		}
		q, err := readResponse(again, peer, request)
		x, _ := json.Marshal(p)
		y, _ := json.Marshal(q)
		if err != nil || !bytes.Equal(x, y) {
			t.Fatalf("%q became %s and then %s, %v", b, x, y, err)
		}
	})
}

// Whatever claims a pinned peer seals: checks that pass leave nothing open.
func FuzzAssertionTimes(f *testing.F) {
	f.Add(int64(1_700_000_000), int64(1_700_000_060), int64(1_700_000_001))
	f.Add(int64(-1<<63), int64(1<<63-1), int64(1_700_000_000))
	f.Fuzz(func(t *testing.T, iat, exp, at int64) {
		now := time.Unix(at%(1<<33), 0)
		boot := time.Unix(1_600_000_000, 0)
		a := assertion{IssuedAt: iat, Expires: exp}
		if a.checkTime(now, boot) != nil {
			return
		}
		if !inTime(iat, now) || iat < boot.Unix() || exp <= now.Unix() || exp > iat+60 {
			t.Fatalf("made at %d, expires at %d, taken at %d", iat, exp, now.Unix())
		}
		var r replays
		if r.use("p", jti{1}, iat, now) != fresh || r.use("p", jti{1}, iat, now) != used {
			t.Fatal("not fresh exactly once")
		}
	})
}
