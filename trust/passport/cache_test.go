package passport

import (
	"context"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/passport/passporttest"
)

func (w *world) verifyAt(at time.Time, passports ...string) (Verdict, error) {
	return w.verifier.Verify(context.Background(), Request{Passports: passports, Now: at})
}

// remembered counts what is held for the passport and the visa.
func (w *world) remembered() (passports, visas int) {
	return len(w.verifier.passports.entries), len(w.verifier.visas.entries)
}

// Row 61: from memory the answer is the same.
func TestSecondAnswerIsTheFirst(t *testing.T) {
	w := newWorld(t)
	token := w.passport(w.grant(), "x", w.grant(func(c *passporttest.VisaClaims) { c.Expires = now }))
	first, err := w.verify(token)
	if err != nil {
		t.Fatal(err)
	}
	if p, v := w.remembered(); p != 1 || v != 2 { // a visa that costs no signature check is not kept by itself
		t.Errorf("%d passports, %d visas remembered", p, v)
	}
	second, err := w.verify(token)
	if err != nil || !reflect.DeepEqual(first, second) {
		t.Errorf("%+v\n%+v %v", first, second, err)
	}
}

// Row 61: a new View forgets what the old one established: issuer removed, key
// withdrawn, scope narrowed.
func TestNewViewForgetsOldVerdicts(t *testing.T) {
	for name, c := range map[string]struct {
		change   func(*world)
		passport trust.Reason
		visa     trust.Reason
	}{
		"broker removed": {func(w *world) { w.change(brokerURL, func(iv *trust.IssuerView) { iv.Policy.Kinds = nil }) }, trust.ReasonUntrustedIssuer, ""},
		"broker's key":   {func(w *world) { w.change(brokerURL, func(iv *trust.IssuerView) { iv.Keys = nil }) }, trust.ReasonUnknownKey, ""},
		"issuer removed": {func(w *world) { w.change(dacURL, func(iv *trust.IssuerView) { iv.Policy.Kinds = nil }) }, "", trust.ReasonUntrustedIssuer},
		"issuer's key":   {func(w *world) { w.change(dacURL, func(iv *trust.IssuerView) { iv.Keys = nil }) }, "", trust.ReasonUnknownKey},
		"scope narrowed": {func(w *world) { w.policy(dacURL, func(p *trust.IssuerPolicy) { p.Sources = nil }) }, "", trust.ReasonUntrustedSource},
		"nothing":        {func(w *world) { w.change(dacURL, func(*trust.IssuerView) {}) }, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			token := w.passport(w.grant())
			w.wantPassport(t, "", token)
			c.change(w)
			verdict, err := w.verify(token)
			if got := reasonOf(t, err); got != c.passport {
				t.Fatalf("passport: %v", err)
			}
			if err == nil && verdict.Visas[0].Reason != c.visa {
				t.Errorf("visa: %+v", verdict.Visas[0])
			}
			if err == nil && verdict.Caller.TrustRevision != 2 {
				t.Errorf("revision %d", verdict.Caller.TrustRevision)
			}
		})
	}
}

// Rows 53, 55 and 61: what is remembered ends with the first thing it relies on.
func TestMemoryEndsWithWhatItReliesOn(t *testing.T) {
	w := newWorld(t)
	w.change(dacURL, func(iv *trust.IssuerView) { iv.Keys[0].Until = now.Add(20 * time.Minute) })
	short := w.grant(func(c *passporttest.VisaClaims) { c.Expires = now.Add(10 * time.Minute) })
	token := w.passport(short, w.grant())
	accepted := func(at time.Duration) int {
		t.Helper()
		verdict, err := w.verifyAt(now.Add(at), token)
		if err != nil {
			t.Fatal(err)
		}
		for _, visa := range verdict.Caller.Visas {
			if !visa.Expires.After(now.Add(at)) {
				t.Errorf("after %v a visa of %v is used", at, visa.Expires)
			}
		}
		return len(verdict.Caller.Visas)
	}
	for _, step := range []struct {
		at   time.Duration
		want int
	}{{0, 2}, {10*time.Minute - time.Second, 2}, {10 * time.Minute, 1}, {20*time.Minute - time.Second, 1}, {20 * time.Minute, 0}} {
		if got := accepted(step.at); got != step.want {
			t.Errorf("after %v: %d visas, want %d", step.at, got, step.want)
		}
	}
	// V044: the clock is set back, and nothing comes to life again.
	if got := accepted(0); got != 0 {
		t.Errorf("a clock set back revived %d visas", got)
	}
	if _, err := w.verifyAt(now.Add(2*time.Hour), token); reasonOf(t, err) != trust.ReasonExpired {
		t.Errorf("at exp: %v", err)
	}
	if _, err := w.verifyAt(now, token); reasonOf(t, err) != trust.ReasonExpired {
		t.Errorf("V044, clock set back: %v", err)
	}
}

// A key is unusable at its Until, whatever exp says, and Caller.Until says so
// beforehand.
func TestKeyEvidenceGrowsStale(t *testing.T) {
	w := newWorld(t)
	w.change(brokerURL, func(iv *trust.IssuerView) { iv.Keys[0].Until = now.Add(time.Minute) })
	token := w.passport()
	verdict, err := w.verify(token)
	if err != nil || !verdict.Caller.Until.Equal(now.Add(time.Minute)) || !verdict.Until.Equal(now.Add(time.Minute)) {
		t.Fatalf("%v %+v", err, verdict.Caller)
	}
	if _, err := w.verifyAt(now.Add(time.Minute), token); reasonOf(t, err) != trust.ReasonUnknownKey {
		t.Errorf("at Until: %v", err)
	}
}

// A visa that is not valid yet becomes valid though its refusal was remembered.
func TestFutureVisaBecomesValid(t *testing.T) {
	w := newWorld(t)
	token := w.passport(w.grant(func(c *passporttest.VisaClaims) { c.NotBefore = now.Add(10 * time.Minute) }))
	for at, want := range map[time.Duration]trust.Reason{0: trust.ReasonNotYetValid} {
		if verdict, err := w.verifyAt(now.Add(at), token); err != nil || verdict.Visas[0].Reason != want {
			t.Errorf("%v %+v", err, verdict.Visas)
		}
	}
	if verdict, _ := w.verifyAt(now.Add(9*time.Minute+30*time.Second), token); !verdict.Visas[0].Accepted {
		t.Errorf("%+v", verdict.Visas)
	}
}

// V068: requests never see each other's caller, whatever is shown with what.
func TestRequestsDoNotBleed(t *testing.T) {
	w := newWorld(t)
	a := w.passport(w.grant())
	b := w.passportWith(func(c *passporttest.PassportClaims) { c.Subject = "b" })
	if _, err := w.verify(a, b); err != nil {
		t.Fatal(err)
	}
	verdict, err := w.verify(b)
	if err != nil || verdict.Caller.Subject != "b" || len(verdict.Caller.Visas) != 0 || len(verdict.Visas) != 0 || len(verdict.Caller.Passports) != 1 {
		t.Errorf("%+v %v", verdict, err)
	}
	// What one request does with its verdict changes no other's.
	first, _ := w.verify(a)
	first.Caller.Visas[0].Value, first.Visas[0].Value, first.Passports[0].Subject = "x", "x", "x"
	_ = append(first.Caller.Visas[:0], trust.Visa{}, trust.Visa{})
	if second, _ := w.verify(a); second.Caller.Visas[0].Value != dataset || second.Visas[0].Value != dataset || second.Caller.Subject != "researcher" {
		t.Errorf("%+v", second)
	}
}

func TestConcurrentRequestsGetTheirOwn(t *testing.T) {
	w := newWorld(t)
	w.verifier = New(Options{View: func() *trust.View { return w.view }, CacheEntries: 3})
	var wg sync.WaitGroup
	for i := range 6 {
		token := w.passportWith(func(c *passporttest.PassportClaims) {
			c.Subject, c.Visas = fmt.Sprint(i), []string{w.grant(func(v *passporttest.VisaClaims) { v.Subject = fmt.Sprint(i) })}
		})
		wg.Go(func() {
			for range 40 {
				verdict, err := w.verify(token)
				if err != nil || verdict.Caller.Subject != fmt.Sprint(i) || verdict.Caller.Visas[0].Subject != fmt.Sprint(i) {
					t.Errorf("%d: %+v %v", i, verdict, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestCacheForgetsTheOldestFirst(t *testing.T) {
	c := newCache[int](3, 1000)
	digest := func(i int) trust.Digest { return trust.DigestOf([]byte{byte(i)}) }
	for i := range 3 {
		c.put(digest(i), revision{view: 1}, 0, i, 10)
	}
	c.get(digest(0), revision{view: 1}, 0)
	c.put(digest(3), revision{view: 1}, 0, 3, 10)
	var held []int
	for i := range 4 {
		if v, ok := c.get(digest(i), revision{view: 1}, 0); ok {
			held = append(held, v)
		}
	}
	if !slices.Equal(held, []int{0, 2, 3}) || c.bytes != 30 {
		t.Errorf("%v, %d bytes", held, c.bytes)
	}
	c.put(digest(9), revision{view: 1}, 0, 9, 990) // leaves room for one of ten
	if len(c.entries) != 2 || c.bytes != 1000 {
		t.Errorf("%d entries, %d bytes", len(c.entries), c.bytes)
	}
	c.put(digest(8), revision{view: 1}, 0, 8, 2000) // larger than everything: not kept, and nothing lost
	c.put(digest(9), revision{view: 2}, 7, 9, 5)    // takes the place of the other revision
	if _, ok := c.get(digest(9), revision{view: 1}, 0); ok || len(c.entries) != 2 || c.bytes != 15 {
		t.Errorf("%d entries, %d bytes", len(c.entries), c.bytes)
	}
	if _, ok := c.get(digest(9), revision{view: 2}, 6); !ok {
		t.Error("not held before its end")
	}
	if _, ok := c.get(digest(9), revision{view: 2}, 7); ok || len(c.entries) != 1 {
		t.Error("held at its end")
	}
	c.drop(c.newest)
	if c.newest != nil || c.oldest != nil || c.bytes != 0 {
		t.Error("not empty")
	}
}

// performance.md, goal 13: a remembered visa verdict takes at most 600 bytes.
func TestMemoryOfARememberedVisa(t *testing.T) {
	w := newWorld(t)
	const n = 4000
	visas := make([]string, n)
	for i := range visas {
		object := claims{"type": trust.VisaAffiliationAndRole, "value": fmt.Sprintf("faculty-%06d@institute.example.org", i), "source": instituteURL, "asserted": now.Unix() - 86400}
		text := visaClaimsOf().with("iss", instituteURL).with("sub", fmt.Sprintf("researcher-%06d@institute", i)).with("ga4gh_visa_v1", object).text()
		visas[i] = w.institute.Sign(jose.Header{JKU: instituteURL + "/jwks"}, []byte(text))
	}
	w.verifier = New(Options{View: func() *trust.View { return w.view }})
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	a := attempt{v: w.verifier, now: now}
	a.look()
	for _, visa := range visas {
		if record := a.visa(visa); !record.accepted() {
			t.Fatal(record.said)
		}
	}
	each := (heap() - before) / n
	t.Logf("%d bytes a visa, counted as %d", each, w.verifier.visas.bytes/n)
	if each > 600 {
		t.Errorf("%d bytes a visa", each)
	}
	if counted := w.verifier.visas.bytes / n; int64(counted) < each*8/10 {
		t.Errorf("counted as %d bytes, takes %d", counted, each)
	}
	runtime.KeepAlive(visas)
}
