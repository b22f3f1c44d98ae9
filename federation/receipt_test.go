package federation

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/audit"
	"github.com/candignode/candignode/trust/jose"
)

// Section 11: the answer carries a receipt. Both sides hold evidence under one transaction
// and one forwarding, and what the origin holds can be verified years later.
func TestBothSidesHoldEvidence(t *testing.T) {
	w := newWorld(t)
	uhn := w.site("uhn")
	answer, err := uhn.everyone.Ask(t.Context(), alice(), aQuestion())
	if err != nil {
		t.Fatal(err)
	}
	kept := map[trust.SiteName]audit.Record{}
	for _, r := range uhn.log.of(audit.EventReceipt) {
		if r.Event == audit.EventReceipt {
			kept[r.Targets[0]] = r
		}
	}
	for _, site := range []trust.SiteName{"bcgsc", "chus"} {
		r := kept[site]
		said, err := CheckReceipt(r.Receipt)
		if err != nil || said.Node != w.site(site).node || said.For != uhn.node || said.Transaction != answer.Transaction ||
			said.Policy != "policy of "+string(site) || r.Transaction != answer.Transaction || said.Forwarding != r.Forwarding {
			t.Errorf("%s: %+v, %+v, %v", site, r, said, err)
		}
		callers := w.site(site).self.asked()
		if len(callers) != 1 || callers[0].Forwarding != said.Forwarding || said.Forwarding == "" {
			t.Errorf("%s decided about forwarding %q, and signed %q", site, callers[0].Forwarding, said.Forwarding)
		}
		// Changed by one character it is nobody's word.
		bent := r.Receipt
		bent.Payload = strings.Replace(bent.Payload, "policy of", "policy if", 1)
		if _, err := CheckReceipt(bent); !errors.Is(err, ErrReceipt) {
			t.Errorf("a bent receipt: %v", err)
		}
		if strings.Contains(bent.Payload+bent.Signature+bent.Key, "eyJ") {
			t.Error("what is kept looks like a token")
		}
	}
}

// An answer without a good receipt is not used: nobody could show later what was said.
func TestAnswersWithoutAGoodReceiptAreNotUsed(t *testing.T) {
	const honest = `{"site":"bcgsc","node":"NODE","status":"ok","datasets":[{"dataset":"d1","granularity":"count","exists":true,"count":12,"precision":"exact"}]}`
	for name, bend := range map[string]func(w *world, m []byte, answer string) []byte{
		"none":             func(_ *world, _ []byte, answer string) []byte { return []byte(answer) },
		"another version":  func(w *world, m []byte, a string) []byte { b := w.site("bcgsc").signs(m, a); b[0] = 3; return b },
		"half of it":       func(w *world, m []byte, a string) []byte { return w.site("bcgsc").signs(m, a)[:40] },
		"another site's":   func(w *world, m []byte, a string) []byte { return w.site("chus").signs(m, a) },
		"another answer's": func(w *world, m []byte, a string) []byte { return append(w.site("bcgsc").signs(m, a), ' ') },
		"another question's": func(w *world, _ []byte, a string) []byte {
			f := w.forge()
			return w.site("bcgsc").signs(f.message(), a)
		},
		"another network's": func(w *world, m []byte, a string) []byte {
			w.site("bcgsc").receiver.o.Network = "elsewhere"
			return w.site("bcgsc").signs(m, a)
		},
		"an old one": func(w *world, m []byte, a string) []byte {
			w.site("bcgsc").receiver.o.Now = func() time.Time { return start.Add(-maxLife * 3) }
			return w.site("bcgsc").signs(m, a)
		},
		"an endless policy": func(w *world, m []byte, a string) []byte {
			w.site("bcgsc").receiver.o.Policy = func() string { return strings.Repeat("p", maxPolicyRevision+1) }
			return w.site("bcgsc").signs(m, a)
		},
	} {
		w := newWorld(t)
		uhn := w.site("uhn")
		uhn.lines["bcgsc"] = func(_ context.Context, m []byte) ([]byte, error) {
			return bend(w, m, strings.Replace(honest, "NODE", string(w.site("bcgsc").node), 1)), nil
		}
		answer, err := uhn.everyone.Ask(t.Context(), alice(), aQuestion())
		if err != nil {
			t.Fatal(err)
		}
		if p := answer.Parts[0]; p.Status != query.Failed || p.Error.Code != codeBadResponse || p.Datasets != nil {
			t.Errorf("%s: %+v", name, p)
		}
		for _, r := range uhn.log.of(audit.EventReceipt) {
			if r.Event == audit.EventReceipt && r.Targets[0] == "bcgsc" {
				t.Errorf("%s: the receipt was kept", name)
			}
		}
	}
}

// That receipts cannot be written takes no answer away: the answers stand in the peers' own
// records, and that the question went out is recorded already.
func TestAnswersOutliveADiskThatFillsMeanwhile(t *testing.T) {
	w := newWorld(t)
	uhn := w.site("uhn")
	records := 0
	uhn.log.wait = func(context.Context) {
		if records++; records == 2 {
			uhn.log.fail = errors.New("disk full")
		}
	}
	answer, err := uhn.everyone.Ask(t.Context(), alice(), aQuestion())
	if err != nil || answer.Parts[0].Status != query.OK {
		t.Errorf("%+v, %v", answer.Parts, err)
	}
}

// What bytes come as a response: an error, a refusal, or an answer whose receipt holds.
func FuzzOpenAnswer(f *testing.F) {
	w := newWorld(f)
	bcgsc, uhn := w.site("bcgsc"), w.site("uhn")
	forged := w.forge()
	want := expected{network: "test", node: bcgsc.node, self: uhn.node, transaction: forged.claims.Transaction,
		forwarding: forged.claims.ID, now: w.now(), key: pretendLine{uhn, bcgsc}.Key()}
	good := bcgsc.signs(forged.message(), `{"status":"nothing"}`)
	f.Add(good)
	f.Add([]byte(refusedResponse))
	f.Add([]byte{receiptVersion, 0, 0})
	f.Add([]byte{receiptVersion, 0xff, 0xff, 'x'})
	f.Fuzz(func(t *testing.T, b []byte) {
		answer, signed, claims, err := openAnswer(b, want)
		switch {
		case err != nil:
			if !errors.Is(err, errReceipt) && !errors.Is(err, errResponse) {
				t.Fatalf("%v", err)
			}
		case signed == "":
			if s := string(b); s != refusedResponse && s != busyResponse {
				t.Fatalf("%q is an answer without a receipt", b)
			}
		case !bytes.Equal(b, good) && claims.Answer != trust.DigestOf(answer):
			t.Fatal("a receipt for another answer")
		}
	})
}

// Envelopes are kept taken apart, and come together to the same bytes.
func TestReceiptsAreKeptWhole(t *testing.T) {
	w := newWorld(t)
	bcgsc := w.site("bcgsc")
	sealed, err := jose.Seal(receiptType, bcgsc.key, receipt{Issuer: bcgsc.node, Policy: `a "quoted" \ word`})
	if err != nil {
		t.Fatal(err)
	}
	kept := audit.NewReceipt(string(sealed), pretendLine{w.site("uhn"), bcgsc}.Key())
	again, _, err := kept.Envelope(receiptType)
	if err != nil || !bytes.Equal(again, sealed) {
		t.Errorf("%s became %s, %v", sealed, again, err)
	}
	for name, bad := range map[string]audit.Receipt{"none": {}, "no key": {Key: "x", Payload: "{}", Signature: "y"}} {
		if _, err := CheckReceipt(bad); !errors.Is(err, ErrReceipt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !audit.NewReceipt("not an envelope", nil).IsZero() {
		t.Error("something was kept of no envelope")
	}
}
