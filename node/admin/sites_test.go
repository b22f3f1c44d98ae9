package admin_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/candignode/candignode/node/admin"
)

// The operator's decisions about sites, with no daemon running: they are made and recorded, or refused with
// what is wrong.
func TestDecidingAboutSites(t *testing.T) {
	d := newDoor(t, nil)
	_, body := d.call("GET", "/v1/site", "")
	var self admin.Self
	if err := json.Unmarshal([]byte(body), &self); err != nil || self.ID == "" || self.Roots != 1 || len(self.Records) != 1 || self.Network != "candig" {
		t.Fatalf("%s, %v", body, err)
	}
	before := d.entries()
	other := strings.Repeat("a", 52)
	if status, body := d.call("POST", "/v1/invites", `{"site":"`+other+`"}`); status != 200 || !strings.Contains(body, `"invite":"ey`) {
		t.Errorf("an invite: %d %s", status, body)
	}
	for _, verb := range []string{"approve", "block", "unblock", "expel"} {
		if status, body := d.call("POST", "/v1/sites/"+verb, `{"site":"`+other+`"}`); status != 200 {
			t.Errorf("%s: %d %s", verb, status, body)
		}
	}
	if got := d.entries() - before; got != 5 {
		t.Errorf("%d decisions are recorded, of 5", got)
	}
	for _, c := range []struct {
		target, body string
		status       int
	}{
		{"/v1/invites", `{"site":"x"}`, 400}, {"/v1/invites", `{"site":"` + string(self.ID) + `"}`, 400}, {"/v1/invites", `{`, 400},
		{"/v1/sites/approve", `{"site":"nobody"}`, 404}, {"/v1/sites/approve", `{"site":"` + other + `","name":"A B"}`, 400},
		{"/v1/sites/block", `{"site":"nobody"}`, 404}, {"/v1/sites/block", `{"who":"x"}`, 400},
		{"/v1/join", `{"invite":"x.y.z"}`, 400}, {"/v1/join", `{"invite":""}`, 400},
		{"/v1/site/record", `{"record":"x","node":"x"}`, 400},
		{"/v1/site/record", `{"record":"` + string(self.Records[0]) + `","node":"` + strings.Repeat("A", 43) + `"}`, 400},
	} {
		if status, body := d.call("POST", c.target, c.body); status != c.status {
			t.Errorf("%s %s: %d %s", c.target, c.body, status, body)
		}
	}
	if _, body := d.call("GET", "/v1/sites", ""); !strings.Contains(body, `"not_running"`) || !strings.Contains(body, "bcgsc") {
		t.Errorf("sites: %s", body)
	}
}
