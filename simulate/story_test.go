package simulate_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/api"
	"github.com/candignode/candignode/simulate"
	"github.com/candignode/candignode/simulate/idp"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
)

func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func decodeJSON(t *testing.T, r io.Reader, v any) {
	t.Helper()
	if err := json.NewDecoder(r).Decode(v); err != nil {
		t.Fatal(err)
	}
}

const (
	committee = "https://dac.example.org"
	rarivitis = committee + "/datasets/rarivitis"
)

// seedStory opens the four institutes: a signs its people in and has no data, b and
// c have the data, d is the committee and has none.
func seedStory(t *testing.T) *country {
	c := newCountry(t, "a", "b", "c", "d")
	op := c.idp.Name("op")
	a, d := c.by["a"], c.by["d"]
	a.open(fmt.Sprintf(`issuers:
  - {issuer: %[1]q, kinds: [login], mode: direct, tokens: userinfo, client_ids: [a-cli], ca_file: ca.pem, allow_private_addresses: true,
     sign_in: true, client: {id: a-node, key: client.key, command_line_id: a-cli}}
  - {issuer: %[2]q, kinds: [visa, claims], mode: direct, jku: [%[3]q], visa_types: [ControlledAccessGrants, LinkedIdentities],
     sources: [%[4]q], links_for: [%[1]q], claims: {endpoints: [%[5]q]}, ca_file: ca.pem, allow_private_addresses: true}
broker: {enabled: true}
`, op, d.url, d.url+"/jwks", committee, d.url+"/v1/claims"), nil)
	d.open(fmt.Sprintf(`issuers:
  - {issuer: %[1]q, kinds: [login], mode: direct, tokens: userinfo, client_ids: [d-cli], ca_file: ca.pem, allow_private_addresses: true}
dac: {source: %[2]q}
datasets:
  - {id: rarivitis, access: controlled, value: %[3]q}
`, op, committee, rarivitis), nil)
	for n, name := range []trust.SiteName{"b", "c"} {
		c.by[name].open(fmt.Sprintf(`issuers:
  - {issuer: %[1]q, kinds: [passport, visa], mode: direct, visa_types: [LinkedIdentities], sources: [%[1]q], links_for: [%[2]q],
     ca_file: ca.pem, allow_private_addresses: true}
  - {issuer: %[3]q, kinds: [visa], mode: direct, jku: [%[4]q], visa_types: [ControlledAccessGrants], sources: [%[5]q],
     ca_file: ca.pem, allow_private_addresses: true}
datasets:
  - {id: patients, access: controlled, value: %[6]q}
`, a.url, op, d.url, d.url+"/jwks", committee, rarivitis), map[string]uint64{"patients": uint64(n + 1)})
	}
	public := func(id string) idp.Client {
		return idp.Client{ID: id, RedirectURIs: []string{"http://127.0.0.1/done"}}
	}
	if err := c.idp.AddClients("op", public("a-cli"), public("d-cli")); err != nil {
		t.Fatal(err)
	}
	if err := c.idp.Register("op", idp.Researcher{Subject: "ada"}, idp.Researcher{Subject: "eve"}); err != nil {
		t.Fatal(err)
	}
	if err := c.idp.Register("dac", idp.Researcher{Subject: "ada"}, idp.Researcher{Subject: "eve"}); err != nil {
		t.Fatal(err)
	}
	// The provider points to the committee for what it decided about its people, with
	// a token that the committee takes.
	var people []idp.Researcher
	for _, subject := range []string{"ada", "eve"} {
		people = append(people, idp.Researcher{Subject: subject, Sources: []idp.Source{{
			Issuer: "dac", Subject: subject,
			Endpoint: d.url + "/v1/claims", Token: c.tokenOf("op", "d-cli", subject),
		}}})
	}
	if err := c.idp.Register("op", people...); err != nil {
		t.Fatal(err)
	}
	return c
}

func (i *institute) grant(subject, dataset string) access.Grant {
	i.c.t.Helper()
	g := access.Grant{
		Identity: trust.Identity{Issuer: i.c.idp.Name("op"), Subject: subject}, Dataset: dataset, Until: time.Now().Add(24 * time.Hour),
	}
	if err := i.admin.Post(i.c.t.Context(), "/v1/grants", g, &g); err != nil {
		i.c.t.Fatal(err)
	}
	return g
}

// answers asks everybody and gives each site's status, and its count if it has one.
func (i *institute) answers(token string) (map[string]string, error) {
	question, err := simulate.DemoQuestion([]simulate.Site{{Name: i.name}})
	if err != nil {
		return nil, err
	}
	answer, err := i.client(token).Query(i.c.t.Context(), question, nil)
	said := map[string]string{}
	for _, site := range answer.Sites {
		said[site.Site] = site.Status
		for _, d := range site.Datasets {
			if d.Count != nil {
				said[site.Site] = "counted " + d.Precision
			}
		}
	}
	return said, err
}

// The story that the project is for. A's researcher signs in at A, with A's
// provider, which knows nothing of visas. The committee at D, which holds no data,
// has granted her a dataset; its grant reaches A as a distributed claim. B and C decide
// for themselves, from what A's node and D's committee signed. Rows 80 to 87 (the
// claim), 77 and 79 (a passport for one target), 113 and 115 (the committee's visas),
// 49 (broker, issuer and source must all be trusted).
func TestTheSeedStory(t *testing.T) {
	if testing.Short() {
		t.Skip("four nodes are started: not with -short")
	}
	c := seedStory(t)
	a, b, d := c.by["a"], c.by["b"], c.by["d"]
	ada := c.tokenOf("op", "a-cli", "ada")

	c.eventually("without a grant B and C deny, and everybody answers", func() (string, bool) {
		said, err := a.answers(ada)
		return fmt.Sprint(said, err), err == nil && said["b"] == "denied" && said["c"] == "denied"
	})

	granted := d.grant("ada", "rarivitis")
	c.eventually("with D's grant B and C count", func() (string, bool) {
		said, err := a.answers(c.tokenOf("op", "a-cli", "ada")) // a new token: what the old one gave is remembered for a while
		return fmt.Sprint(said, err), err == nil && said["b"] == "counted exact" && said["c"] == "counted exact"
	})
	ada = c.tokenOf("op", "a-cli", "ada")

	who, err := a.client(ada).Whoami(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if who.Caller.Issuer != c.idp.Name("op") || who.Caller.Subject != "ada" ||
		!slices.ContainsFunc(who.Visas, func(v api.Visa) bool { return v.Value == rarivitis && v.Accepted && v.Issuer == d.url }) {
		t.Errorf("A takes ada for %+v with %+v", who.Caller, who.Visas)
	}

	eve := c.tokenOf("op", "a-cli", "eve")
	if said, err := a.answers(eve); err != nil || said["b"] != "denied" || said["c"] != "denied" {
		t.Errorf("eve, whom nobody granted anything: %v, %v", said, err)
	}
	if said, err := a.answers(""); err != nil || said["b"] != "denied" {
		t.Errorf("nobody: %v, %v", said, err)
	}

	// B has the last word about its own data (row 62): it takes ada's access back, by
	// the name that A's provider has for her, and C does not care.
	refused := trust.Revocation{Kind: trust.RevokeIdentity, Issuer: c.idp.Name("op"), Subject: "ada", Why: "story"}
	if err := b.admin.Post(t.Context(), "/v1/revocations", refused, &refused); err != nil {
		t.Fatal(err)
	}
	if said, err := a.answers(ada); err != nil || said["b"] == "counted exact" || said["c"] != "counted exact" {
		t.Errorf("after B took ada's access back: %v, %v", said, err)
	}

	// Row 84: a committee that cannot be reached is told of, and blocks nothing else.
	if err := c.idp.Register("op", idp.Researcher{Subject: "lise", Sources: []idp.Source{{
		Issuer: "dac", Subject: "ada", Endpoint: "https://127.0.0.1:1/claims", Token: "not-to-be-sent",
	}}}); err != nil {
		t.Fatal(err)
	}
	who, err = a.client(c.tokenOf("op", "a-cli", "lise")).Whoami(t.Context(), nil)
	if err != nil || len(who.Visas) != 0 || len(who.Notes) != 1 || !strings.Contains(who.Notes[0], "ga4gh_passport_v1") ||
		strings.Contains(who.Notes[0], "not-to-be-sent") {
		t.Errorf("a source that nobody listed: %+v, %v", who, err)
	}

	// The committee takes its grant back: from then on it says nothing more about it.
	if err := d.admin.Delete(t.Context(), "/v1/grants/"+granted.ID, nil); err != nil {
		t.Fatal(err)
	}
	status, claims := d.do(http.MethodGet, "/v1/claims", "", "", map[string]string{"Authorization": "Bearer " + c.tokenOf("op", "d-cli", "ada")})
	if status != http.StatusOK || strings.Count(payloadOf(t, claims), "eyJ") != 0 {
		t.Errorf("D still gives visas for a grant that it took back: %d %s", status, payloadOf(t, claims))
	}
}

func payloadOf(t *testing.T, jwt string) string {
	t.Helper()
	parts := strings.Split(strings.TrimSpace(jwt), ".")
	if len(parts) != 3 {
		t.Fatalf("not a JWT: %.80q", jwt)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	return string(payload)
}

// What A's people carry is of no use elsewhere: the access token of A's provider
// opens nothing at B, which does not know it (row 50), and the committee's token opens
// nothing at A (row 66).
func TestTokensOfOneInstituteOpenNothingAtAnother(t *testing.T) {
	if testing.Short() {
		t.Skip("four nodes are started: not with -short")
	}
	c := seedStory(t)
	ada := c.tokenOf("op", "a-cli", "ada")
	c.eventually("A knows ada", func() (string, bool) {
		_, err := c.by["a"].client(ada).Whoami(t.Context(), nil)
		return fmt.Sprint(err), err == nil
	})
	for name, one := range map[string]struct {
		at    trust.SiteName
		token string
	}{
		"A's token at B":           {"b", ada},
		"the committee's at A":     {"a", c.tokenOf("op", "d-cli", "ada")},
		"A's at the committee":     {"d", ada},
		"no token at all, but one": {"a", "nonsense"},
	} {
		_, err := c.by[one.at].client(one.token).Whoami(t.Context(), nil)
		var problem *api.Problem
		if !errors.As(err, &problem) || problem.Status != http.StatusUnauthorized {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), one.token) {
			t.Errorf("%s: the token comes back in the error", name)
		}
	}
}
