package issuers

import (
	"encoding/json"
	"testing"

	"github.com/candignode/candignode/trust"
)

func TestExplainIsStable(t *testing.T) {
	d, p, _ := lone(t, quorumPolicy(2, "p", "q"))
	if _, err := d.accept(t.Context(), p.bundle(1, 0, 1, trust.Digest{}, nil, p.obs(testIssuer, noon, "k"))); err != nil {
		t.Fatal(err)
	}
	e, err := d.Explain(testIssuer)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"issuer":"https://idp.example.org","mode":"direct+quorum","kinds":null,"witnesses_needed":2,"max_stale":"24h0m0s","trust_revision":1,` +
		`"keys":[{"thumbprint":"` + print("k") + `","believed":false,"why":"not in this node's own fetch of the issuer","seen_by":[{"site":"p","at":"2026-03-01T12:00:00Z"}]}],` +
		`"own_fetch":{"ok":false,"rejected":[]},` +
		`"witnesses":[{"site":"p","named":true,"known":true,"fresh":true,"forked":false,"e":1,"ver":1,"observed_at":"2026-03-01T12:00:00Z","agrees":false},` +
		`{"site":"q","named":true,"known":false,"fresh":false,"forked":false,"agrees":false}],"alarms":[]}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	l := d.List()
	if len(l) != 1 || l[0].KeysSeen != 1 || l[0].KeysBelieved != 0 || l[0].WitnessesFresh != 1 || l[0].Needed != 2 {
		t.Errorf("list %+v", l)
	}
}
