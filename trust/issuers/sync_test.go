package issuers

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/candignode/candignode/trust"
)

// A sync request is answered for peers only, within bounds, and never panics.
func TestServeSync(t *testing.T) {
	d, p, _ := lone(t)
	if _, err := d.accept(t.Context(), p.bundle(1, 0, 1, trust.Digest{}, nil)); err != nil {
		t.Fatal(err)
	}
	if got := d.ServeSync(newSigner("stranger").node, []byte(`{"have":{}}`)); got != nil {
		t.Errorf("a stranger was answered %s", got)
	}
	for _, request := range []string{"", "null", "[]", `{"have":7}`, `{"have":{"p":{"e":"x"}}}`, `{"have":{},"have":{}}`, strings.Repeat(" ", MaxSyncRequestBytes+1)} {
		if got := d.ServeSync(p.node, []byte(request)); got != nil && request != "null" {
			t.Errorf("%.40q was answered %s", request, got)
		}
	}
	var answer syncAnswer
	if err := json.Unmarshal(d.ServeSync(p.node, []byte(`{"have":{}}`)), &answer); err != nil || len(answer.Bundles) != 1 || answer.Bundles[0].Name != "p" {
		t.Errorf("%+v, %v", answer, err)
	}
	have := encode(syncRequest{Have: d.state.Load().have("a")})
	if got := d.ServeSync(p.node, have); string(got) != "{}" {
		t.Errorf("somebody who lacks nothing got %s", got)
	}
}

// A full answer stays within its bound and says that there is more.
func TestAnswerIsBounded(t *testing.T) {
	s := &state{peers: map[trust.SiteName]trust.NodeID{}, authors: map[trust.SiteName]*author{}}
	for i := range 8 {
		p := newSigner(trust.SiteName(fmt.Sprint("p", i)))
		records := make([]string, MaxRecords)
		for j := range records {
			records[j] = strings.Repeat("r", 1500)
		}
		h := p.head(1, 0, 1, trust.Digest{}, "")
		s.peers[p.site] = p.node
		s.authors[p.site] = &author{pin: p.pin, key: p.public(), bundle: &bundle{head: h, site: p.siteRecord(1, 0, nil),
			records: wireBundle{p.site, strings.Repeat("s", MaxSiteRecordBytes), string(h.envelope), records}}}
	}
	a := s.answer("a", "p0", nil, noon)
	if b := encode(a); len(b) > MaxSyncBytes || !a.More || len(a.Bundles) == 0 {
		t.Errorf("%d bytes, %d bundles, more %v", len(b), len(a.Bundles), a.More)
	}
}
