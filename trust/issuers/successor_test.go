package issuers

import (
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
)

// A site that replaced its node's key, or joined another network, begins its own heads anew
// there, and its state file is good for it.
func TestOwnHeadsBeginAnewUnderAnotherKeyOrInAnotherNetwork(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t, "a")
		n.world.publish(testIssuer, "k")
		s := n.start("a", newMemory(), trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeDirect})
		time.Sleep(time.Minute)
		if s.state.Load().own.place().Version == 0 {
			t.Fatal("it has said nothing")
		}
		s.halt(t)
		heir := newSigner("heir")
		for name, o := range map[string]Options{
			"another key":     {Site: "a", Node: heir.node, Key: heir.private, Network: testNetwork},
			"another network": {Site: "a", Node: s.signer.node, Key: s.private, Network: "elsewhere"},
		} {
			o.Store, o.Fetcher = s.store.backup(), slowFetcher{}
			d, err := New(o)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got := d.state.Load().own.place(); got.Version != 0 {
				t.Errorf("%s: it goes on after %+v", name, got)
			}
		}
		again, err := New(Options{Site: "a", Node: s.signer.node, Key: s.private, Network: testNetwork, Store: s.store.backup(), Fetcher: slowFetcher{}})
		if err != nil || again.state.Load().own.place() != s.state.Load().own.place() {
			t.Errorf("the same node in the same network forgot its place: %v", err)
		}
	})
}
