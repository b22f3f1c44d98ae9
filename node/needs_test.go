package node

import (
	"testing"

	"github.com/candignode/candignode/federation"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
)

// The built-in rules' needs: each kind of dataset wants what configs/policy reads for it.
func TestWhatADatasetNeeds(t *testing.T) {
	value := "https://dac.example.org/d"
	visa := func(kind string, value string) trust.Visa {
		return trust.Visa{Identity: trust.Identity{Issuer: "https://dac.example.org/", Subject: "x"}, Type: kind, Value: value}
	}
	for name, one := range map[string]struct {
		dataset access.Dataset
		wants   []trust.Visa
		not     []trust.Visa
	}{
		"public": {access.Dataset{ID: "d", Level: access.Public}, nil,
			[]trust.Visa{visa(trust.VisaControlledAccessGrants, value), visa(trust.VisaResearcherStatus, value)}},
		"registered by login": {access.Dataset{ID: "d", Level: access.Registered, RegisteredBy: access.ByLogin}, nil,
			[]trust.Visa{visa(trust.VisaResearcherStatus, value)}},
		"registered by visas, any value": {access.Dataset{ID: "d", Level: access.Registered, RegisteredBy: access.ByVisas},
			[]trust.Visa{visa(trust.VisaResearcherStatus, "a"), visa(trust.VisaAcceptedTermsAndPolicies, "b")},
			[]trust.Visa{visa(trust.VisaControlledAccessGrants, "a")}},
		"controlled": {access.Dataset{ID: "d", Level: access.Controlled, Value: value},
			[]trust.Visa{visa(trust.VisaControlledAccessGrants, value)},
			[]trust.Visa{visa(trust.VisaControlledAccessGrants, value+"/"), visa(trust.VisaAffiliationAndRole, value)}},
		"a committee that the dataset does not take": {access.Dataset{ID: "d", Level: access.Controlled, Value: value, Issuers: []string{"https://other.example.org/"}},
			nil, []trust.Visa{visa(trust.VisaControlledAccessGrants, value)}},
	} {
		needs := federation.Needs{VisaIssuers: []string{"https://dac.example.org/"}, Visas: neededFor(one.dataset)}
		for _, v := range one.wants {
			if !needs.Wants(v) {
				t.Errorf("%s: %s %s is left out", name, v.Type, v.Value)
			}
		}
		for _, v := range one.not {
			if needs.Wants(v) {
				t.Errorf("%s: %s %s travels", name, v.Type, v.Value)
			}
		}
	}
}
