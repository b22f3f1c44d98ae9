package audit

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/candignode/candignode/trust"
)

// drawRecord draws any record that a node could make.
func drawRecord(t *rapid.T) Record {
	text := rapid.StringN(0, 20, 60)
	digest := rapid.Custom(func(t *rapid.T) trust.Digest {
		return trust.DigestOf([]byte(text.Draw(t, "of")))
	})
	return Record{
		Time:          time.UnixMicro(rapid.Int64Range(0, 4e15).Draw(t, "time")).UTC(),
		Event:         rapid.SampledFrom([]Event{EventDecision, EventRefused, EventForward, EventGrant, EventDataset, EventIssuer, EventNode}).Draw(t, "event"),
		Transaction:   text.Draw(t, "transaction"),
		Caller:        trust.Identity{Issuer: text.Draw(t, "iss"), Subject: text.Draw(t, "sub")},
		Passports:     rapid.SliceOfN(digest, 0, 3).Draw(t, "passports"),
		Unbound:       rapid.Bool().Draw(t, "unbound"),
		Dataset:       text.Draw(t, "dataset"),
		Outcome:       text.Draw(t, "outcome"),
		Visas:         rapid.SliceOfN(digest, 0, 3).Draw(t, "visas"),
		TrustRevision: rapid.Uint64().Draw(t, "revision"),
		Targets:       rapid.SliceOfN(rapid.Just(trust.SiteName("chus")), 0, 2).Draw(t, "targets"),
		Detail:        text.Draw(t, "detail"),
	}
}

// chain makes a log of the records.
func chain(t *rapid.T, records []Record) []Entry {
	var head Head
	var entries []Entry
	for _, r := range records {
		e, err := Append(head, r)
		if err != nil {
			t.Fatal(err)
		}
		entries, head = append(entries, e), e.Head()
	}
	return entries
}

// verifyAll gives the place of the first entry that does not follow, -1 if all do.
func verifyAll(entries []Entry) int {
	var head Head
	for i, e := range entries {
		if err := Verify(head, e); err != nil {
			if !errors.Is(err, ErrBroken) {
				return -2
			}
			return i
		}
		head = e.Head()
	}
	return -1
}

func drawLog(t *rapid.T) []Entry {
	return chain(t, rapid.SliceOfN(rapid.Custom(drawRecord), 2, 12).Draw(t, "records"))
}

func TestWhatWasAppendedFollowsAndReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := rapid.SliceOfN(rapid.Custom(drawRecord), 0, 12).Draw(t, "records")
		entries := chain(t, records)
		if at := verifyAll(entries); at != -1 {
			t.Fatalf("entry %d does not follow", at)
		}
		for i, e := range entries {
			if e.Seq != uint64(i+1) {
				t.Fatalf("entry %d has number %d", i+1, e.Seq)
			}
			back, err := e.Record()
			if err != nil {
				t.Fatal(err)
			}
			want := records[i]
			if len(want.Passports) == 0 { // nil and none say the same
				want.Passports = nil
			}
			if len(want.Visas) == 0 {
				want.Visas = nil
			}
			if len(want.Targets) == 0 {
				want.Targets = nil
			}
			if !reflect.DeepEqual(back, want) {
				t.Fatalf("read back %+v, want %+v", back, want)
			}
		}
	})
}

// The first entry that an edit, a drop, an insertion or a move touches is the one
// that Verify names.
func TestEveryChangeBreaksTheChain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := drawLog(t)
		at := rapid.IntRange(0, len(entries)-1).Draw(t, "at")
		changed := slices.Clone(entries)
		want := at
		switch how := rapid.SampledFrom([]string{"body", "hash", "number", "drop", "insert", "swap", "rewrite"}).Draw(t, "how"); how {
		case "body":
			changed[at].Body = bytes.Clone(changed[at].Body)
			i := rapid.IntRange(0, len(changed[at].Body)-1).Draw(t, "byte")
			changed[at].Body[i] ^= byte(rapid.IntRange(1, 255).Draw(t, "by"))
		case "hash":
			changed[at].Hash[rapid.IntRange(0, 31).Draw(t, "byte")] ^= byte(rapid.IntRange(1, 255).Draw(t, "by"))
		case "number":
			changed[at].Seq = rapid.Uint64().Filter(func(n uint64) bool { return n != entries[at].Seq }).Draw(t, "number")
		case "drop":
			if at == len(entries)-1 {
				t.Skip("a tail that was cut off does not show in the chain")
			}
			changed = slices.Delete(changed, at, at+1)
		case "insert":
			if at == 0 {
				t.Skip("before the first is the first")
			}
			changed = slices.Insert(changed, at, changed[at-1])
		case "swap":
			other := rapid.IntRange(0, len(entries)-1).Filter(func(o int) bool { return o != at }).Draw(t, "other")
			changed[at], changed[other] = changed[other], changed[at]
			want = min(at, other)
		case "rewrite": // with a good hash of its own, so that the next one shows it
			var before Head
			if at > 0 {
				before = entries[at-1].Head()
			}
			e, err := Append(before, Record{Event: EventNode, Outcome: "nothing happened"})
			if err != nil {
				t.Fatal(err)
			}
			if at == len(entries)-1 {
				t.Skip("a tail that was written anew shows against a noted head only")
			}
			changed[at], want = e, at+1
		}
		if got := verifyAll(changed); got != want {
			t.Fatalf("entry %d was touched, and Verify names %d", want, got)
		}
	})
}

// A number that was changed together with all numbers after it is found too.
func TestTheFirstEntryHasNumberOne(t *testing.T) {
	e, err := Append(Head{Seq: 4}, Record{Event: EventNode, Outcome: "started"})
	if err != nil {
		t.Fatal(err)
	}
	if err := Verify(Head{}, e); !errors.Is(err, ErrBroken) {
		t.Errorf("a log may not begin with entry 5: %v", err)
	}
}

// The same bodies in another chain have other hashes.
func TestTheHashCoversThePast(t *testing.T) {
	body := []byte(`{"event":"node"}`)
	a, b := Chain(Head{}, body), Chain(Head{Hash: trust.DigestOf([]byte("another past"))}, body)
	if a.Hash == b.Hash {
		t.Error("the hash does not cover the entry before")
	}
	if bare := trust.DigestOf(append(make([]byte, 32), body...)); a.Hash == bare {
		t.Error("the hash is not kept apart from a plain one")
	}
}

// The form of the chain is fixed: logs of years ago must verify.
func TestTheChainOfYearsAgo(t *testing.T) {
	r := Record{Time: time.Date(2026, 1, 2, 3, 4, 5, 6789, time.FixedZone("here", 3600)), Event: EventDecision,
		Caller: trust.Identity{Issuer: "https://idp.example.org/", Subject: "42"}, Dataset: "d", Outcome: "allow"}
	e, err := Append(Head{}, r)
	if err != nil {
		t.Fatal(err)
	}
	const body = `{"time":"2026-01-02T02:04:05.000006Z","event":"decision","caller":{"iss":"https://idp.example.org/","sub":"42"},"dataset":"d","outcome":"allow"}`
	if string(e.Body) != body {
		t.Errorf("body %s", e.Body)
	}
	const hash = "f5a46226629081a30f4accca150160b4d4ebca364c8d432bfb5e9294a0dc0361"
	if got := hex.EncodeToString(e.Hash[:]); got != hash {
		t.Errorf("hash %s", got)
	}
}

func TestEncodeAndChainAreAppend(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRecord(t)
		head := Head{Seq: rapid.Uint64Range(0, 1e9).Draw(t, "seq"), Hash: trust.DigestOf([]byte("x"))}
		body, err := Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		want, err := Append(head, r)
		if err != nil || !reflect.DeepEqual(Chain(head, body), want) {
			t.Fatalf("%v, %v", want, err)
		}
	})
}

func TestARecordWithoutACallerSaysNothingOfOne(t *testing.T) {
	body, err := Encode(Record{Event: EventNode, Outcome: "started"})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(body), "caller") || strings.Contains(string(body), "iss") {
		t.Errorf("body %s", body)
	}
}

func TestWhatIsNoRecord(t *testing.T) {
	if _, err := Encode(Record{Time: time.Unix(math.MaxInt32*1000, 0)}); err == nil {
		t.Error("a year that JSON cannot hold was encoded")
	}
	if _, err := (Entry{Seq: 7, Body: []byte("{")}).Record(); err == nil || !strings.Contains(err.Error(), "entry 7") {
		t.Errorf("error %v", err)
	}
}

func TestAHeadReadsBackFromJSON(t *testing.T) {
	want := Head{Seq: 9, Hash: trust.DigestOf([]byte("x"))}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Head
	if err := json.Unmarshal(text, &got); err != nil || got != want {
		t.Errorf("%s became %v, %v", text, got, err)
	}
}
