package issuers

import (
	"fmt"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
)

// Rows 50 and 51: a peer that watches dozens of further issuers informs about them, and
// none of them is trusted, kept or fetched here. The one that the operator admits is,
// without anything else changing.
func TestGossipMakesNobodyTrusted(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t, "a", "b")
		n.world.publish(testIssuer, "k")
		own := trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeDirect}
		theirs := []trust.IssuerPolicy{own}
		for i := range 50 {
			stranger := fmt.Sprintf("https://stranger-%03d.example.org", i)
			n.world.publish(stranger, fmt.Sprintf("s%d", i%5))
			theirs = append(theirs, trust.IssuerPolicy{Issuer: stranger, Mode: trust.ModeDirect})
		}
		b := n.start("b", newMemory(), theirs...)
		a := n.start("a", newMemory(), own)
		time.Sleep(2 * time.Minute)
		if got := len(b.View().Issuers); got != len(theirs) {
			t.Fatalf("b believes %d issuers: the flood did not begin", got)
		}
		if a.state.Load().author("b") == nil {
			t.Fatal("a never heard of b")
		}
		if got := len(a.View().Issuers); got != 1 || a.keys(testIssuer) != "k" {
			t.Errorf("a believes %d issuers", got)
		}
		stranger := theirs[1].Issuer
		if _, ok := a.View().Lookup(stranger); ok || a.keys(stranger) != "" {
			t.Error("an issuer that nobody admitted is in the View")
		}
		if a.Refresh(t.Context(), stranger) {
			t.Error("keys of a stranger were fetched")
		}
		if err := a.Reconfigure([]trust.IssuerPolicy{own, theirs[1]}, pinned(n.peersOf("a"))); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if a.keys(stranger) != "s0" || len(a.View().Issuers) != 2 {
			t.Errorf("the admitted issuer has keys %q among %d issuers", a.keys(stranger), len(a.View().Issuers))
		}
	})
}
