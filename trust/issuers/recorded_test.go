package issuers

import (
	"slices"
	"testing"

	"github.com/candignode/candignode/trust"
)

// Section 11, L2: once a site's root-signed record is known, its node's own announcement
// binds nothing that the record does not say. A stolen node key cannot claim another
// site's client ids.
func TestRootSignedRecordSaysWhoseClientIDsTheyAre(t *testing.T) {
	policy := trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeDirect, ClientIDs: []string{"mine"}}
	d, p, _ := lone(t, policy)
	announce := func(ver int64, ids ...string) {
		t.Helper()
		r := p.siteRecord(1, ver, map[string][]string{testIssuer: ids})
		if _, err := d.accept(t.Context(), p.bundleWith(r, ver+1, trust.Digest{}, nil)); err != nil {
			t.Fatal(err)
		}
	}
	announce(0, "p-node", "q-node")
	if got := d.ClientIDs(testIssuer, "p"); !slices.Equal(got, []string{"p-node", "q-node"}) {
		t.Errorf("before the record is known: %q", got)
	}
	said := map[trust.SiteName]Peer{"p": {Node: p.node, Recorded: true, ClientIDs: map[string][]string{testIssuer: {"p-node"}}}}
	if err := d.Reconfigure([]trust.IssuerPolicy{policy}, said); err != nil {
		t.Fatal(err)
	}
	if got := d.ClientIDs(testIssuer, "p"); !slices.Equal(got, []string{"p-node"}) {
		t.Errorf("by its record it has p-node only, and %q bind it", got)
	}
	said["p"] = Peer{Node: p.node, Recorded: true}
	if err := d.Reconfigure([]trust.IssuerPolicy{policy}, said); err != nil {
		t.Fatal(err)
	}
	if got := d.ClientIDs(testIssuer, "p"); len(got) != 0 {
		t.Errorf("by its record it has none, and %q bind it", got)
	}
}
