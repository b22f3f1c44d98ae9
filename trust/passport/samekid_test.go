package passport

import (
	"testing"

	"github.com/candignode/candignode/trust"
)

// Row 95, V020: a key is found by its issuer and kid, never by kid alone. The whole cast
// signs with kid rsa1, and none of them may sign for another.
func TestOneKidAtSeveralIssuers(t *testing.T) {
	w := newWorld(t)
	for _, url := range []string{brokerURL, dacURL, instituteURL} {
		if kid := w.view.Issuers[url].Keys[0].KeyID; kid != "rsa1" {
			t.Fatalf("%s has kid %q: this test needs one kid for all", url, kid)
		}
	}
	status := w.one(t, w.grant())
	if !status.Accepted || status.Key != w.view.Issuers[dacURL].Keys[0].Thumbprint {
		t.Errorf("the committee's own visa: %+v", status)
	}
	w.wantPassport(t, "", w.passport())
	w.wantVisa(t, raw(brokerKey(), visaHeader, visaClaimsOf().text()), trust.ReasonSignature)
	w.wantPassport(t, trust.ReasonSignature, raw(dacKey(), passportHeader, passportClaimsOf().text()))
	// The same key under two issuers makes neither the other: iss decides whose scope
	// counts.
	w.change(instituteURL, func(iv *trust.IssuerView) { iv.Keys[0].Key = w.view.Issuers[dacURL].Keys[0].Key })
	shared := raw(dacKey(), visaHeader, visaClaimsOf().with("iss", instituteURL).text())
	if got := w.one(t, shared); got.Accepted || got.Reason != trust.ReasonUnlistedJKU {
		t.Errorf("a committee's visa in the institute's name: %+v", got)
	}
}
