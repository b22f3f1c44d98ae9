package node

import (
	"slices"
	"testing"
	"time"

	"github.com/candignode/candignode/federation"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/passport/passporttest"
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

// What a site says as a whole: a dataset that anybody may ask about is named, any other is not; and rules that the operator wrote
// make none open, for nobody but he knows what they do with one.
func TestWhatASiteSaysThatItNeeds(t *testing.T) {
	const broker, dac = "https://broker.example.org/", "https://dac.example.org/"
	view := &trust.View{Issuers: map[string]trust.IssuerView{
		broker: {Policy: trust.IssuerPolicy{Issuer: broker, Kinds: []trust.Kind{trust.KindPassport}}},
		dac:    {Policy: trust.IssuerPolicy{Issuer: dac, Kinds: []trust.Kind{trust.KindVisa}, VisaTypes: []string{trust.VisaLinkedIdentities}, LinksFor: []string{broker}}},
	}}
	datasets := []access.Dataset{{ID: "open", Level: access.Public}, {ID: "patients", Level: access.Controlled, Value: "https://dac.example.org/d"}}
	needs := trusting(view)
	if !needs.Takes(broker) || needs.Takes(dac) || !slices.Equal(needs.VisaIssuers, []string{dac}) || !needs.Joins(dac, broker) || needs.Joins(broker, dac) {
		t.Errorf("%+v", needs)
	}
	if got := byBuiltInRules(needs, datasets); !slices.Equal(got.Open, []string{"open"}) || !got.Closed || len(got.Visas) != 1 {
		t.Errorf("built-in rules: %+v", got)
	}
	if got := byBuiltInRules(needs, datasets[:1]); got.Closed {
		t.Errorf("nothing but open datasets: %+v", got)
	}
	if got := byBuiltInRules(needs, []access.Dataset{{ID: "valued", Level: access.Public, Value: "v"}}); !got.Closed || len(got.Open) != 0 {
		t.Errorf("a visa opens it further: %+v", got)
	}
	own := byOwnRules(needs, []string{trust.VisaResearcherStatus})
	if !own.Closed || len(own.Open) != 0 || len(own.Visas) != 1 || !own.Wants(trust.Visa{Identity: trust.Identity{Issuer: dac}, Type: trust.VisaResearcherStatus, Value: "any"}) {
		t.Errorf("the operator's rules: %+v", own)
	}
}

// Of this site's own committee's visas only those travel that the peer reads; all of them to one that has not said what it needs.
func TestOwnVisasThatAPeerDoesNotRead(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	n := &Node{now: func() time.Time { return now }}
	committee, err := passporttest.NewIssuer("https://dac.example.org/", "ES256", "k")
	if err != nil {
		t.Fatal(err)
	}
	visa := func(value string) trust.Passport {
		return trust.NewPassport(committee.Visa(passporttest.VisaClaims{Subject: "x", IssuedAt: now, Expires: now.Add(time.Hour),
			Type: trust.VisaControlledAccessGrants, Asserted: now, Value: value, Source: "https://dac.example.org", By: "dac"}))
	}
	here, there := visa("https://dac.example.org/here"), visa("https://dac.example.org/there")
	both := []trust.Passport{here, there}
	if got := n.neededOf(both, trust.Caller{}, "peer"); len(got) != 2 {
		t.Errorf("to a peer that says nothing %d of 2 travel", len(got))
	}
	b, err := federation.Needs{Closed: true, Passports: []string{}, VisaIssuers: []string{"https://dac.example.org/"},
		Visas: []federation.VisaNeed{{Type: trust.VisaControlledAccessGrants, Value: trust.DigestOfString("https://dac.example.org/here")}}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.needs.Learn("peer", b, now); err != nil {
		t.Fatal(err)
	}
	if got := n.neededOf(both, trust.Caller{}, "peer"); len(got) != 1 || got[0].Digest() != here.Digest() {
		t.Errorf("%d travel", len(got))
	}
}
