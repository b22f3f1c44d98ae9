package simulate_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/api"
	"github.com/candignode/candignode/simulate/idp"
	"github.com/candignode/candignode/trust"
)

// visaInstitute opens one node with a controlled dataset, a provider that hands out
// visas at UserInfo, and a committee; more is added to the committee's entry.
func visaInstitute(t *testing.T, types, more string) (*country, *institute) {
	t.Helper()
	if testing.Short() {
		t.Skip("a node and a provider are started: not with -short")
	}
	c := newCountry(t, "uhn")
	i := c.by["uhn"]
	i.open(fmt.Sprintf(`issuers:
  - {issuer: %[1]q, kinds: [login, passport], mode: direct, tokens: userinfo, client_ids: [uhn-cli], ca_file: ca.pem, allow_private_addresses: true}
  - {issuer: %[2]q, kinds: [visa], mode: direct, jku: [%[3]q], visa_types: [%[4]s], sources: [%[5]q],
     endpoints: {userinfo: %[8]q}, ca_file: ca.pem, allow_private_addresses: true%[6]s}
datasets:
  - {id: patients, access: controlled, value: %[7]q}
`, c.idp.Name("op"), c.idp.Name("dac"), c.idp.Name("dac")+"/jwks", types, committee, more, rarivitis, c.idp.Name("dac")+"/userinfo"), map[string]uint64{"patients": 1})
	if err := c.idp.AddClients("op", idp.Client{ID: "uhn-cli", RedirectURIs: []string{"http://127.0.0.1/done"}}); err != nil {
		t.Fatal(err)
	}
	return c, i
}

func (c *country) register(researchers ...idp.Researcher) {
	c.t.Helper()
	if err := c.idp.Register("op", researchers...); err != nil {
		c.t.Fatal(err)
	}
}

// oldVisa signs a visa in the form of an access token that is as old as this, and
// registers somebody who holds just this one.
func (c *country) oldVisa(subject string, age time.Duration) string {
	c.t.Helper()
	now := time.Now()
	visa, err := c.idp.Visa(idp.Grant{
		Value: rarivitis, Source: committee, AccessToken: true, Claims: map[string]any{"iat": now.Add(-age).Unix()},
	}, subject, now)
	if err != nil {
		c.t.Fatal(err)
	}
	c.register(idp.Researcher{Subject: subject, Visas: []idp.Grant{{Raw: visa}}})
	return visa
}

func (c *country) polls() int { return c.idp.Requests("dac", "userinfo") }

func (c *country) revoke(visa string) {
	c.t.Helper()
	if err := c.idp.Revoke("dac", visa); err != nil {
		c.t.Fatal(err)
	}
}

// visa gives what the node makes of the caller's only visa.
func (i *institute) visa(token string) (api.Visa, error) {
	who, err := i.client(token).Whoami(i.c.t.Context(), nil)
	if err != nil || len(who.Visas) != 1 {
		return api.Visa{}, fmt.Errorf("%d visas: %w", len(who.Visas), err)
	}
	return who.Visas[0], nil
}

// A visa in the form of an access token is 61 minutes old: its issuer is asked once,
// however often it is used, and then it counts. One that its issuer has taken back is
// asked about once, too, and then never again (rows 57 to 59).
func TestAnOldAccessTokenVisaIsConfirmedByAPoll(t *testing.T) {
	c, i := visaInstitute(t, "ControlledAccessGrants", ", access_token_visas: true")
	confirmed := c.oldVisa("ada", 61*time.Minute)
	gone := c.oldVisa("eve", 61*time.Minute)
	c.revoke(gone)
	ada, eve := c.tokenOf("op", "uhn-cli", "ada"), c.tokenOf("op", "uhn-cli", "eve")

	c.eventually("the confirmed visa counts", func() (string, bool) {
		said, err := i.answers(ada)
		return fmt.Sprint(said, err), err == nil && said["uhn"] == "counted exact"
	})
	for range 5 {
		if said, err := i.answers(ada); err != nil || said["uhn"] != "counted exact" {
			t.Errorf("%v, %v", said, err)
		}
	}
	visa, err := i.visa(ada)
	if err != nil || !visa.Accepted || !strings.Contains(strings.Join(visa.Trace, "\n"), "its issuer confirmed until") {
		t.Errorf("%+v, %v", visa, err)
	}
	if polls := c.polls(); polls != 1 {
		t.Errorf("the issuer was asked %d times about one visa", polls)
	}

	// What was confirmed counts until it is asked about again, an hour later: that is
	// what the operator is told, and how soon the issuer's word arrives.
	c.revoke(confirmed)
	if said, err := i.answers(ada); err != nil || said["uhn"] != "counted exact" || c.polls() != 1 {
		t.Errorf("within the hour: %v, %v, %d polls", said, err, c.polls())
	}

	for range 3 {
		if said, err := i.answers(eve); err != nil || said["uhn"] != "denied" {
			t.Errorf("taken back: %v, %v", said, err)
		}
	}
	if visa, err := i.visa(eve); err != nil || visa.Accepted || visa.Reason != string(trust.ReasonRevoked) {
		t.Errorf("taken back: %+v, %v", visa, err)
	}
	if polls := c.polls(); polls != 2 {
		t.Errorf("the issuer was asked %d times about two visas", polls)
	}
}

// The same visa before and after it is an hour old: until then it counts and nobody is
// asked. Its issuer takes it back meanwhile, and when the hour is over it ends, with
// one poll (rows 57 and 59). Where the form is not enabled it never counts.
func TestAnAccessTokenVisaThatIsTakenBackEnds(t *testing.T) {
	c, i := visaInstitute(t, "ControlledAccessGrants", ", access_token_visas: true")
	c.oldVisa("first", time.Minute)
	c.eventually("the issuers' keys are believed", func() (string, bool) {
		said, err := i.answers(c.tokenOf("op", "uhn-cli", "first"))
		return fmt.Sprint(said, err), err == nil && said["uhn"] == "counted exact"
	})
	const left = 8 * time.Second
	born := time.Now()
	visa := c.oldVisa("ada", time.Hour-left)
	ada := c.tokenOf("op", "uhn-cli", "ada")
	said, err := i.answers(ada)
	if time.Since(born) > left-time.Second {
		t.Skip("this machine is too slow for a visa that is young for so short")
	}
	if err != nil || said["uhn"] != "counted exact" || c.polls() != 0 {
		t.Errorf("59 minutes old: %v, %v, %d polls", said, err, c.polls())
	}
	c.revoke(visa)
	c.eventually("it ends", func() (string, bool) {
		said, err := i.answers(ada)
		return fmt.Sprint(said, err), err == nil && said["uhn"] == "denied"
	})
	if judged, err := i.visa(ada); err != nil || judged.Accepted || judged.Reason != string(trust.ReasonRevoked) {
		t.Errorf("%+v, %v", judged, err)
	}
	if c.polls() != 1 {
		t.Errorf("%d polls for one visa", c.polls())
	}
	if elapsed := time.Since(born); elapsed < left-time.Second {
		t.Errorf("it ended after %v, before it was an hour old", elapsed)
	}
}

// A visa that holds only for members of a faculty counts for somebody who shows that
// she is one, and for nobody else; and whoami says why, clause by clause, in words
// (rows 32 and 41).
func TestAConditionalVisaAndWhatIsSaidOfIt(t *testing.T) {
	c, i := visaInstitute(t, "ControlledAccessGrants, AffiliationAndRole", "")
	conditional := idp.Grant{Value: rarivitis, Source: committee, Conditions: []any{
		[]any{map[string]any{"type": trust.VisaAffiliationAndRole, "value": "pattern:faculty@*", "by": "const:so"}},
	}}
	affiliated := func(value, subject string, expires time.Time) idp.Grant {
		return idp.Grant{Type: trust.VisaAffiliationAndRole, Value: value, Source: committee, By: "so", Subject: subject, Expires: expires}
	}
	soon := time.Now().Add(20 * time.Minute).Truncate(time.Second)
	c.register(
		idp.Researcher{Subject: "ada", Visas: []idp.Grant{conditional, affiliated("faculty@uhn.example.org", "", soon)}},
		idp.Researcher{Subject: "grace", Visas: []idp.Grant{conditional}},
		idp.Researcher{Subject: "alan", Visas: []idp.Grant{conditional, affiliated("student@uhn.example.org", "", soon)}},
		idp.Researcher{Subject: "eve", Visas: []idp.Grant{conditional, affiliated("faculty@uhn.example.org", "somebody-else", soon)}},
		idp.Researcher{Subject: "joan", Visas: []idp.Grant{conditional, affiliated("faculty@uhn.example.org", "", time.Now().Add(-time.Minute))}},
	)
	token := c.tokenOf("op", "uhn-cli", "ada")
	c.eventually("ada is of the faculty, and counts", func() (string, bool) {
		said, err := i.answers(token)
		return fmt.Sprint(said, err), err == nil && said["uhn"] == "counted exact"
	})
	for name, want := range map[string]struct {
		counts bool
		trace  []string
	}{
		"ada": {true, []string{"clause 1 (AffiliationAndRole with by const:so, value pattern:faculty@*): met by the AffiliationAndRole visa",
			"alternative 1 of the conditions counts"}},
		"grace": {false, []string{"not met: no visa of this type"}},
		"alan":  {false, []string{"not met: none of the 1 visas of this type has all that it wants"}},
		"eve":   {false, []string{"another person's visas would meet it", "no link joins the two"}},
		"joan":  {false, []string{"was not accepted (expired)"}},
	} {
		token := c.tokenOf("op", "uhn-cli", name)
		who, err := i.client(token).Whoami(t.Context(), nil)
		if err != nil || len(who.Visas) == 0 {
			t.Errorf("%s: %+v, %v", name, who, err)
			continue
		}
		visa, status := who.Visas[0], map[bool]string{true: "counted exact", false: "denied"}[want.counts]
		if visa.Accepted != want.counts || !want.counts && visa.Reason != string(trust.ReasonConditions) {
			t.Errorf("%s: %+v", name, visa)
		}
		for _, words := range want.trace {
			if trace := strings.Join(visa.Trace, "\n"); !strings.Contains(trace, words) {
				t.Errorf("%s: the trace does not say %q:\n%s", name, words, trace)
			}
		}
		if want.counts && (visa.Until == nil || !visa.Until.Equal(soon)) {
			t.Errorf("%s: the visa ends at %v and not with what it rests on, at %v", name, visa.Until, soon)
		}
		if said, err := i.answers(token); err != nil || said["uhn"] != status {
			t.Errorf("%s: %v, %v", name, said, err)
		}
	}
}

// Section 7, algs: where the operator takes one algorithm of an issuer, what it signs with a key for another is refused like anything
// signed with a key that is not believed: its visas count for nothing, and then its passports open no door.
func TestAKeyForAnAlgorithmThatIsNotWantedVerifiesNothing(t *testing.T) {
	c, i := oneInstitute(t, "userinfo", ada())
	token := c.tokenOf("op", "uhn-cli", "ada")
	c.eventually("both issuers are believed", func() (string, bool) {
		who, err := i.client(token).Whoami(t.Context(), nil)
		return fmt.Sprint(who.Visas, err), err == nil && len(who.Visas) == 1 && who.Visas[0].Accepted
	})
	only := func(after, algorithm string) {
		t.Helper()
		text, err := os.ReadFile(i.path("candignode.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		with := strings.Replace(string(text), after, after+" algs: ["+algorithm+"],", 1)
		if err := os.WriteFile(i.path("candignode.yaml"), []byte(with), 0o600); err != nil || with == string(text) {
			t.Fatal(err)
		}
		if err := i.admin.Post(t.Context(), "/v1/reload", nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	only("kinds: [visa], mode: direct,", "ES256")
	if v, err := i.visa(token); err != nil || v.Reason != string(trust.ReasonUnknownKey) {
		t.Errorf("a visa under a key for another algorithm: %+v, %v", v, err)
	}
	only("kinds: [login, passport], mode: direct,", "ES256")
	if who, err := i.client(token).Whoami(t.Context(), nil); !refusedWith(err, trust.ReasonUnknownKey) {
		t.Errorf("a passport under a key for another algorithm: %+v, %v", who, err)
	}
}
