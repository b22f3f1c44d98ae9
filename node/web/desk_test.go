package web_test

import (
	"context"
	"encoding/json"
	"math/rand"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/node/web"
	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/query/local"
	"github.com/candignode/candignode/query/privacy"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/audit"
	"github.com/candignode/candignode/trust/passport"
	"github.com/candignode/candignode/trust/passport/passporttest"
)

// openToAll allows public datasets, and others to callers who are somebody.
type openToAll struct{}

func (openToAll) Decide(_ context.Context, inputs []access.Input) ([]access.Decision, error) {
	decisions := make([]access.Decision, len(inputs))
	for i, in := range inputs {
		if in.Dataset.Level == access.Public || !in.Caller.Anonymous() {
			decisions[i] = access.Decision{Allow: true, Granularity: query.Count, Rule: "test"}
		}
	}
	return decisions, nil
}

type carriers int

func (carriers) Holdings() query.Holdings { return query.Holdings{Assembly: query.GRCh37} }

func (n carriers) Resolve(context.Context, query.VariantQuery) (query.Raw, error) {
	return query.Raw{Individuals: int(n), Variants: 1}, nil
}

type noted struct{ records []audit.Record }

func (n *noted) Record(_ context.Context, records ...audit.Record) error {
	n.records = append(n.records, records...)
	return nil
}

// realSite puts the site's own desk behind the door: 71 carriers of every variant
// in a public and a controlled dataset, 4 in a rare one.
func realSite(t *testing.T) (*world, *noted) {
	t.Helper()
	log := &noted{}
	setup := &local.Setup{
		Datasets: []access.Dataset{{ID: "cohort", Level: access.Public}, {ID: "rare", Level: access.Public}, {ID: "rarivitis", Level: access.Controlled}},
		Sources:  map[string]query.Source{"cohort": carriers(71), "rare": carriers(4), "rarivitis": carriers(71)},
		Policy:   openToAll{}, Floor: privacy.Floor{Threshold: 10},
	}
	now := func() time.Time { return time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC) }
	desk := local.New(local.Options{
		Site: "uhn", Node: "node-uhn", Setup: func() *local.Setup { return setup },
		Grants: func(trust.Identity) []access.Grant { return nil }, Recorder: log, Now: now,
	})
	w := newWorld(t, func(o *web.Options) {
		o.Local, o.Now = desk, now
		o.Random = rand.New(rand.NewSource(1)) // the only thing that differs between two answers
	})
	return w, log
}

// To a caller without rights, a dataset that is denied and one that does not
// exist are the same bytes: they differ only in the name that the caller gave.
func TestDeniedAndUnknownAreTheSameBytes(t *testing.T) {
	ask := func(dataset, accept string) string {
		w, _ := realSite(t)
		a := w.send(http.MethodGet, "/beacon/g_variants?"+snv+"&requestedGranularity=count&datasets="+dataset, "", "Accept", accept)
		if a.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", dataset, a.Code, a.Body)
		}
		return strings.ReplaceAll(a.Body.String(), dataset, "DATASET")
	}
	for _, accept := range []string{"application/json", "application/x-ndjson"} {
		denied, unknown := ask("rarivitis", accept), ask("no-such-dataset", accept)
		if denied != unknown || !strings.Contains(denied, `"denied"`) || strings.Contains(denied, "71") {
			t.Errorf("%s:\n%s\n%s", accept, denied, unknown)
		}
	}
}

// Below the threshold nothing tells that there is anybody at all.
func TestTheFloorReachesTheDoor(t *testing.T) {
	w, log := realSite(t)
	a := w.send(http.MethodGet, "/beacon/g_variants?"+snv+"&requestedGranularity=record", "")
	var got struct {
		Meta     struct{ ReturnedGranularity string } `json:"meta"`
		Response struct {
			Sets []struct {
				ID     string
				Exists bool
				Count  int `json:"resultsCount"`
			} `json:"resultSets"`
		} `json:"response"`
	}
	if err := json.Unmarshal(a.Body.Bytes(), &got); err != nil || a.Code != http.StatusOK || got.Meta.ReturnedGranularity != "count" {
		t.Fatalf("%d %s", a.Code, a.Body)
	}
	if len(got.Response.Sets) != 2 { // row 134: the stricter dataset is absent, not a "no" in detail
		t.Errorf("%s", a.Body)
	}
	for _, set := range got.Response.Sets {
		if set.ID == "rare" && (set.Exists || set.Count != 0) || set.ID == "cohort" && set.Count != 71 {
			t.Errorf("%+v", set)
		}
	}
	if len(log.records) == 0 || log.records[0].Transaction != a.Header().Get("X-Transaction-Id") {
		t.Errorf("recorded %+v", log.records)
	}
}

// With the real verifier behind it: a passport and its visas are told apart, and
// row 138's sample token, an HS256 one, is refused with 401.
func TestWhoamiWithRealPassports(t *testing.T) {
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	idp, err := passporttest.NewIssuer("https://idp.uhn.example.org/", "ES256", "key-1")
	if err != nil {
		t.Fatal(err)
	}
	policy := trust.IssuerPolicy{
		Issuer: idp.URL, Kinds: []trust.Kind{trust.KindLogin, trust.KindPassport, trust.KindVisa}, Mode: trust.ModeDirect,
		VisaTypes: []string{trust.VisaControlledAccessGrants}, Sources: []string{"https://dac.example.org"}, JKU: []string{idp.JKU},
	}
	view := &trust.View{Revision: 1, Issuers: map[string]trust.IssuerView{idp.URL: idp.View(policy, now.Add(time.Hour))}}
	verifier := passport.New(passport.Options{View: func() *trust.View { return view }})
	w := newWorld(t, func(o *web.Options) {
		o.Verify = func(ctx context.Context, shown web.Shown, callerOnly bool) (passport.Verdict, error) {
			return verifier.Verify(ctx, passport.Request{Passports: shown.Passports, Now: now, CallerOnly: callerOnly})
		}
	})
	visa := func(source string) string {
		return idp.Visa(passporttest.VisaClaims{
			Subject: "alice", ID: "v", IssuedAt: now.Add(-time.Minute), Expires: now.Add(30 * time.Minute), Scope: "ga4gh_passport_v1",
			Type: trust.VisaControlledAccessGrants, Value: "https://dac.example.org/d", Source: source, By: "dac", Asserted: now.Add(-time.Hour),
		})
	}
	token := idp.Passport(passporttest.PassportClaims{
		Subject: "alice", ID: "p", IssuedAt: now.Add(-time.Minute), Expires: now.Add(40 * time.Minute),
		Visas: []string{visa("https://dac.example.org"), visa("https://elsewhere.example.org")},
	})
	a := w.send(http.MethodPost, "/v1/whoami", `{"passports":["`+token+`"]}`)
	for _, want := range []string{`"sub":"alice"`, `"accepted":true`, `"reason":"untrusted_source"`, `"until":"2026-03-01T09:30:00Z"`} {
		if !strings.Contains(a.Body.String(), want) {
			t.Errorf("%s is missing: %d %s", want, a.Code, a.Body)
		}
	}
	const sample = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJnYTRnaF9wYXNzcG9ydF92MSI6W119.JJ5rN0ktP0qwyZmIPpxmF_p7JsxAZH6L6brUxtad3CM"
	if a := w.send(http.MethodPost, "/beacon/g_variants", question(sample)); a.Code != http.StatusUnauthorized {
		t.Errorf("the sample: %d %s", a.Code, a.Body)
	}
	eleven := make([]string, 11)
	for i := range eleven {
		eleven[i] = token
	}
	if a := w.send(http.MethodPost, "/beacon/g_variants", question(eleven...)); a.Code != http.StatusRequestEntityTooLarge || !strings.Contains(a.Body.String(), "too_many") {
		t.Errorf("eleven passports: %d %s", a.Code, a.Body)
	}
}
