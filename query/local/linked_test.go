package local_test

import (
	"slices"
	"testing"
	"time"

	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
)

// Rows 42 and 45: a grant under another name of the same person counts, for as
// long as the link; the same grant is nobody's without it.
func TestAGrantOfALinkedIdentity(t *testing.T) {
	s := newSite(t)
	elsewhere := trust.Identity{Issuer: "https://other.example.org", Subject: "a.l."}
	s.grants = []access.Grant{{ID: "g", Identity: elsewhere, Dataset: "rarivitis", Until: hour}}
	if part := s.ask(t, caller(), request("rarivitis")); part.Status != query.Denied {
		t.Errorf("unlinked: %s", text(part))
	}
	c := caller()
	c.Linked = []trust.LinkedIdentity{{Identity: elsewhere, Until: now.Add(time.Minute)}}
	if part := s.ask(t, c, request("rarivitis")); part.Status != query.OK || *part.Datasets[0].Count != 71 {
		t.Errorf("linked: %s", text(part))
	}
	c.Linked[0].Until = now
	if part := s.ask(t, c, request("rarivitis")); part.Status != query.Denied {
		t.Errorf("the link has ended: %s", text(part))
	}
}

// The record names what a visa rests on, too: the visas that met its conditions,
// and those that linked it (row 41). And the token that the caller came with.
func TestTheRecordNamesWhatAVisaRestsOn(t *testing.T) {
	s := newSite(t)
	affiliation, token := trust.DigestOf([]byte("affiliation")), trust.NewAccessToken("secret-token")
	c := caller(permit())
	c.Supports = map[trust.Digest][]trust.Digest{permit().Digest: {affiliation, permit().Digest}}
	c.Token = token
	s.ask(t, c, request("rarivitis"))
	record := s.journal.of("rarivitis")
	if !slices.Equal(record.Visas, []trust.Digest{permit().Digest, affiliation}) {
		t.Errorf("visas %v", record.Visas)
	}
	if !slices.Contains(record.Passports, token.Digest()) {
		t.Errorf("passports %v", record.Passports)
	}
}
