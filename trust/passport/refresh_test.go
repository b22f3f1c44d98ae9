package passport

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/passport/passporttest"
)

// rotate makes a broker or visa issuer sign with a new key that the node learns
// of only when it asks.
func (w *world) rotate(t *testing.T, issuer *passporttest.Issuer) {
	t.Helper()
	if err := issuer.Rotate(jose.ES256, "new"); err != nil {
		t.Fatal(err)
	}
	learn := w.refresh
	w.refresh = func(url string) bool {
		if url != issuer.URL {
			return learn != nil && learn(url)
		}
		w.change(url, func(iv *trust.IssuerView) {
			*iv = issuer.View(iv.Policy, now.Add(time.Hour))
		})
		return true
	}
}

// Row 96: a rotated key is picked up within one request, for passport and visa.
func TestRotationIsPickedUpInOneRequest(t *testing.T) {
	w := newWorld(t)
	w.rotate(t, w.broker)
	w.rotate(t, w.dac)
	verdict, err := w.verify(w.passport(w.grant(), w.grant(func(c *passporttest.VisaClaims) { c.Value = "second" })))
	if err != nil || len(verdict.Caller.Visas) != 2 {
		t.Fatalf("%v %+v", err, verdict.Visas)
	}
	if !slices.Equal(w.refreshed, []string{brokerURL, dacURL}) {
		t.Errorf("asked: %v", w.refreshed)
	}
	if verdict.Caller.TrustRevision != w.view.Revision || verdict.Caller.Visas[0].KeyID != w.dac.Keys()[1].Thumbprint {
		t.Errorf("%+v", verdict.Caller)
	}
}

// V055 and row 50: at most one question per issuer and request, none for
// strangers or for issuers of another kind, a bounded number altogether.
func TestUnknownKeysAreAskedForOnce(t *testing.T) {
	w := newWorld(t)
	unknown := func(i int) string {
		return raw(dacKey(), fmt.Sprintf(`{"alg":"RS256","kid":"random%d","jku":"https://dac.example/jwks"}`, i), visaClaimsOf().text())
	}
	var visas []string
	for i := range 100 {
		visas = append(visas, unknown(i))
	}
	visas = append(visas, w.stranger.Visa(passporttest.VisaClaims{Subject: "s"}), raw(brokerKey(), visaHeader, visaClaimsOf().with("iss", brokerURL).text()))
	token := w.passport(visas...)
	for want := 1; want <= 2; want++ { // from memory too, for the keys may have come meanwhile
		verdict, err := w.verify(token)
		if err != nil || len(verdict.Caller.Visas) != 0 || verdict.Visas[0].Reason != trust.ReasonUnknownKey {
			t.Fatalf("%v %+v", err, verdict.Visas[0])
		}
		if len(w.refreshed) != want || w.refreshed[want-1] != dacURL {
			t.Errorf("asked: %v", w.refreshed)
		}
	}
	w.refreshed = nil
	w.wantPassport(t, trust.ReasonUntrustedIssuer, w.stranger.Passport(passporttest.PassportClaims{}))
	w.wantPassport(t, trust.ReasonUntrustedIssuer, raw(dacKey(), passportHeader, passportClaimsOf().with("iss", dacURL).text()))
	if len(w.refreshed) != 0 {
		t.Errorf("asked: %v", w.refreshed)
	}
	// An issuer that says that its keys may have changed, again and again.
	w.refresh = func(string) bool { w.change(dacURL, func(*trust.IssuerView) {}); return true }
	if _, err := w.verify(token); err != nil || len(w.refreshed) != 1 {
		t.Errorf("%v, asked: %v", err, w.refreshed)
	}
}

// A verdict remembered with an unknown key is judged again once the key came,
// and two passports of one request each remember what they lack.
func TestRememberedUnknownKeyIsAskedForAgain(t *testing.T) {
	w := newWorld(t)
	lacking := func(value string) string {
		return raw(dacKey(), `{"alg":"RS256","kid":"late","jku":"https://dac.example/jwks"}`, visaClaimsOf().with("ga4gh_visa_v1", visaObjectOf().with("value", value)).text())
	}
	one := w.passport(lacking("one"))
	two := w.passportWith(func(c *passporttest.PassportClaims) { c.Subject, c.Visas = "two", []string{lacking("two")} })
	if _, err := w.verify(one, two); err != nil || len(w.refreshed) != 1 {
		t.Fatalf("%v %v", err, w.refreshed)
	}
	w.refresh = func(string) bool {
		w.change(dacURL, func(iv *trust.IssuerView) { iv.Keys[0].KeyID = "late" })
		return true
	}
	if verdict, err := w.verify(two); err != nil || len(verdict.Caller.Visas) != 1 || len(w.refreshed) != 2 {
		t.Errorf("%v %+v %v", err, verdict.Visas, w.refreshed)
	}
	w.change(dacURL, func(iv *trust.IssuerView) { iv.Keys = append(iv.Keys, iv.Keys[0]) })
	if verdict, err := w.verify(two); err != nil || len(verdict.Caller.Visas) != 0 {
		t.Errorf("two keys under one kid were believed: %v %+v", err, verdict.Visas)
	}
}
