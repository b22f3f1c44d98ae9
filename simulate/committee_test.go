package simulate_test

import (
	"fmt"
	"testing"

	"github.com/candignode/candignode/simulate/idp"
)

// A site that is both the committee and the issuer of passports: what its committee
// granted travels with its people, too (rows 79 and 113).
func TestTheOwnCommitteesGrantsTravel(t *testing.T) {
	if testing.Short() {
		t.Skip("two nodes are started: not with -short")
	}
	c := newCountry(t, "a", "b")
	a, b := c.by["a"], c.by["b"]
	op := c.idp.Name("op")
	a.open(fmt.Sprintf(`issuers:
  - {issuer: %[1]q, kinds: [login], mode: direct, tokens: userinfo, client_ids: [a-cli], ca_file: ca.pem, allow_private_addresses: true}
broker: {enabled: true}
dac: {source: %[2]q}
datasets:
  - {id: rarivitis, access: controlled, value: %[3]q}
`, op, committee, rarivitis), nil)
	b.open(fmt.Sprintf(`issuers:
  - {issuer: %[1]q, kinds: [passport, visa], mode: direct, visa_types: [LinkedIdentities, ControlledAccessGrants], sources: [%[1]q, %[4]q], links_for: [%[2]q],
     ca_file: ca.pem, allow_private_addresses: true}
datasets:
  - {id: patients, access: controlled, value: %[3]q}
`, a.url, op, rarivitis, committee), map[string]uint64{"patients": 1})
	if err := c.idp.AddClients("op", idp.Client{ID: "a-cli", RedirectURIs: []string{"http://127.0.0.1/done"}}); err != nil {
		t.Fatal(err)
	}
	c.register(idp.Researcher{Subject: "ada"})
	a.grant("ada", "rarivitis")
	c.eventually("b counts", func() (string, bool) {
		said, err := a.answers(c.tokenOf("op", "a-cli", "ada"))
		return fmt.Sprint(said, err), err == nil && said["b"] == "counted exact"
	})
}
