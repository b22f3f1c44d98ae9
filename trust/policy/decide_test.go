package policy_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"pgregory.net/rapid"

	"github.com/candignode/candignode/configs"
	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/policy"
)

func load(t testing.TB, fsys fs.FS) *policy.Policy {
	t.Helper()
	p, err := policy.Load(t.Context(), fsys)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var (
	now  = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	hour = now.Add(time.Hour)
	ada  = trust.Identity{Issuer: "https://idp.example.org/", Subject: "ada"}
)

const (
	dac       = "https://dac.example.org/"
	committee = "https://committee.example.org"
	rarivitis = "https://dac.example.org/datasets/rarivitis"
)

func controlled() access.Dataset {
	return access.Dataset{
		ID: "rarivitis", Level: access.Controlled, Value: rarivitis,
		Issuers: []string{dac}, Sources: []string{committee}, By: []string{"dac"},
	}
}

func visa(kind, value string, change ...func(*trust.Visa)) trust.Visa {
	v := trust.Visa{
		Identity: trust.Identity{Issuer: dac, Subject: "a-1"}, Type: kind, Value: value, Source: committee, By: "dac",
		Asserted: now.Add(-time.Hour), Expires: hour,
	}
	for _, f := range change {
		f(&v)
	}
	v.Digest = trust.DigestOf(fmt.Append(nil, v))
	return v
}

func permit(change ...func(*trust.Visa)) trust.Visa {
	return visa(trust.VisaControlledAccessGrants, rarivitis, change...)
}

func caller(visas ...trust.Visa) trust.Caller {
	return trust.Caller{Identity: ada, Until: now.Add(2 * time.Hour), Visas: visas}
}

func grant(until time.Time) access.Grant {
	return access.Grant{ID: "g1", Identity: ada, Dataset: "rarivitis", Until: until, Created: now.Add(-time.Hour)}
}

func ask(c trust.Caller, d access.Dataset, grants ...access.Grant) access.Input {
	return access.Input{
		Now: now, Site: "uhn", Caller: c, Dataset: d, Grants: grants,
		Entity: query.GVariants, Granularity: query.Count,
	}
}

func decide(t testing.TB, p *policy.Policy, inputs ...access.Input) []access.Decision {
	t.Helper()
	decisions, err := p.Decide(t.Context(), inputs)
	if err != nil {
		t.Fatal(err)
	}
	return decisions
}

// Row 133: levels of datasets against kinds of callers. What a cell says is the
// rule that let the caller in, or "" for nothing.
func TestMatrixOfDatasetsAndCallers(t *testing.T) {
	p := load(t, configs.Policy())
	expired := func(v *trust.Visa) { v.Expires = now }
	doi := "https://doi.example.org/10.1"
	both := caller(visa(trust.VisaAcceptedTermsAndPolicies, doi), visa(trust.VisaResearcherStatus, doi))
	staleBoth := caller(visa(trust.VisaAcceptedTermsAndPolicies, doi, expired), visa(trust.VisaResearcherStatus, doi))
	gone := caller(permit())
	gone.Until = now
	forwarded := caller(permit())
	forwarded.Origin = "bcgsc"
	datasets := []access.Dataset{
		{ID: "open", Level: access.Public},
		{ID: "login", Level: access.Registered, RegisteredBy: access.ByLogin},
		{ID: "visas", Level: access.Registered, RegisteredBy: access.ByVisas},
		controlled(),
		{ID: "no-level", Value: "https://dac.example.org/datasets/other", By: []string{"dac"}},
	}
	for _, row := range []struct {
		name   string
		caller trust.Caller
		grants []access.Grant
		want   []string // by dataset
	}{
		{"anonymous", trust.Caller{}, nil, []string{"public", "", "", "", ""}},
		{"anonymous with somebody's visas", trust.Caller{Visas: []trust.Visa{permit()}}, nil, []string{"public", "", "", "", ""}},
		{"anonymous with somebody's grant", trust.Caller{}, []access.Grant{grant(hour)}, []string{"public", "", "", "", ""}},
		{"signed in", caller(), nil, []string{"public", "registered by login", "", "", ""}},
		{"registered", both, nil, []string{"public", "registered by login", "registered by visas", "", ""}},
		{"registered, one expired", staleBoth, nil, []string{"public", "registered by login", "", "", ""}},
		{"granted by visa", caller(permit()), nil, []string{"public", "registered by login", "", "controlled access visa", ""}},
		{"granted by an expired visa", caller(permit(expired)), nil, []string{"public", "registered by login", "", "", ""}},
		{"granted here", caller(), []access.Grant{grant(hour)}, []string{"public", "registered by login", "", "local grant", ""}},
		{"grant that ended", caller(), []access.Grant{grant(now)}, []string{"public", "registered by login", "", "", ""}},
		{"sign-in that ended", gone, []access.Grant{grant(hour)}, []string{"", "", "", "", ""}},
		{"forwarded by a peer", forwarded, nil, []string{"public", "registered by login", "", "controlled access visa", ""}},
	} {
		t.Run(row.name, func(t *testing.T) {
			var inputs []access.Input
			for _, d := range datasets {
				inputs = append(inputs, ask(row.caller, d, row.grants...))
			}
			for i, d := range decide(t, p, inputs...) {
				rule := d.Rule
				if !d.Allow {
					rule = ""
				}
				if rule != row.want[i] {
					t.Errorf("%s: %q (%s), want %q", datasets[i].ID, rule, d.Rule, row.want[i])
				}
				if exact := strings.Contains(row.want[i], "controlled") || strings.Contains(row.want[i], "grant"); d.ExactCounts != exact {
					t.Errorf("%s: exact counts %t, want %t", datasets[i].ID, d.ExactCounts, exact)
				}
				if d.PolicyRevision != p.Revision() || d.Rule == "" {
					t.Errorf("%s: revision %q, rule %q", datasets[i].ID, d.PolicyRevision, d.Rule)
				}
				if !d.Allow && (d.Granularity != "" || !d.Until.IsZero() || d.Visas != nil || d.Grants != nil) {
					t.Errorf("%s: a denial holds more than its reason: %+v", datasets[i].ID, d)
				}
			}
		})
	}
}

// Row 31 and its like: one part of the tuple does not fit, and why is said.
func TestVisaMustFitInEveryPart(t *testing.T) {
	p := load(t, configs.Policy())
	for _, c := range []struct {
		name   string
		change func(*trust.Visa)
		why    string
	}{
		{"row 31: issuer not of this dataset", func(v *trust.Visa) { v.Issuer = "https://other.example.org/" }, "issuer"},
		{"row 31: source not of this dataset", func(v *trust.Visa) { v.Source = "https://other.example.org" }, "source"},
		{"row 25: no organization", func(v *trust.Visa) { v.Source = "https://no.organization" }, "source"},
		{"V075, row 27: no by", func(v *trust.Visa) { v.By = "" }, "a by"},
		{"V075, row 27: by in capitals", func(v *trust.Visa) { v.By = "DAC" }, "a by"},
		{"row 24: case of the value", func(v *trust.Visa) { v.Value = strings.ToUpper(v.Value) }, "ControlledAccessGrants visa for this dataset"},
		{"row 24: slash behind the value", func(v *trust.Visa) { v.Value += "/" }, "ControlledAccessGrants visa for this dataset"},
		{"row 53: expires now", func(v *trust.Visa) { v.Expires = now }, "expired"},
		{"row 53: no expiry", func(v *trust.Visa) { v.Expires = time.Time{} }, "expired"},
		{"row 22: a type the policy does not look at", func(v *trust.Visa) { v.Type = "https://custom.example.org/visa" }, "ControlledAccessGrants visa"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := decide(t, p, ask(caller(permit(c.change)), controlled()))[0]
			if d.Allow || !strings.Contains(d.Rule, c.why) {
				t.Errorf("allow %t, rule %q; want a denial that says %q", d.Allow, d.Rule, c.why)
			}
		})
	}
}

// Rows 53 to 55: the least expiry of all that was relied on.
func TestUntilIsTheLeastExpiry(t *testing.T) {
	p := load(t, configs.Policy())
	soon := now.Add(time.Minute)
	early := caller(permit())
	early.Until = soon
	for _, c := range []struct {
		name string
		in   access.Input
		want time.Time
	}{
		{"anonymous at public data", ask(trust.Caller{}, access.Dataset{ID: "open", Level: access.Public}), time.Time{}},
		{"signed in at public data", ask(caller(), access.Dataset{ID: "open", Level: access.Public}), now.Add(2 * time.Hour)},
		{"the visa", ask(caller(permit()), controlled()), hour},
		{"the sign-in", ask(early, controlled()), soon},
		{"the grant", ask(caller(), controlled(), grant(soon)), soon},
		{"the later of visa and grant", ask(caller(permit()), controlled(), grant(soon)), hour},
		{"far beyond what the engine counts", ask(caller(), controlled(), grant(now.AddDate(400, 0, 0))), now.Add(2 * time.Hour)},
	} {
		if d := decide(t, p, c.in)[0]; !d.Allow || !d.Until.Equal(c.want) {
			t.Errorf("%s: allow %t until %v, want %v", c.name, d.Allow, d.Until, c.want)
		}
	}
}

// Row 134: at most what was asked, at most what is allowed.
func TestGranularityIsLowered(t *testing.T) {
	p := load(t, configs.Policy())
	for asked, want := range map[query.Granularity]query.Granularity{
		query.Boolean: query.Boolean, query.Count: query.Count, query.Record: query.Count,
	} {
		in := ask(caller(permit()), controlled())
		in.Granularity = asked
		if d := decide(t, p, in)[0]; d.Granularity != want {
			t.Errorf("asked %s: given %s, want %s", asked, d.Granularity, want)
		}
	}
}

// ceilings makes a policy out of the members of its ceilings, for every dataset
// and every caller who is signed in and holds the sample's visa.
func ceilings(members ...string) string {
	text := head
	for _, m := range members {
		text += "ceilings[d.id] contains {" + m + `} if {
	some d in input.datasets
	not input.caller.anonymous
	input.caller.until > input.now
	some v in input.visas.ControlledAccessGrants[d.value]
	v.expires > input.now
	v.value != ""
}
`
	}
	return text
}

func TestTheBestCeilingIsTaken(t *testing.T) {
	const rest = `, "visas": [], "grants": []`
	p := load(t, alone(ceilings(
		`"granularity": "boolean", "exact": true, "rule": "yes or no"`+rest,
		`"granularity": "count", "exact": false, "rule": "count"`+rest,
		fmt.Sprintf(`"granularity": "count", "exact": true, "rule": "short", "until": %d`+rest, now.Add(time.Minute).UnixNano()),
		fmt.Sprintf(`"granularity": "count", "exact": true, "rule": "over", "until": %d`+rest, now.UnixNano()),
		fmt.Sprintf(`"granularity": "count", "exact": true, "rule": "b long", "until": %d`+rest, now.Add(2*time.Minute).UnixNano()),
		fmt.Sprintf(`"granularity": "count", "exact": true, "rule": "a long", "until": %d`+rest, now.Add(2*time.Minute).UnixNano()),
	)))
	d := decide(t, p, ask(caller(permit()), controlled()))[0]
	if d.Rule != "a long" || !d.ExactCounts || d.Granularity != query.Count || !d.Until.Equal(now.Add(2*time.Minute)) {
		t.Errorf("%+v, want the longest exact count", d)
	}
	// Of a yes or no, exactness counts more than a granularity that was not asked.
	in := ask(caller(permit()), controlled())
	in.Granularity = query.Boolean
	if d := decide(t, p, in)[0]; !d.ExactCounts || d.Granularity != query.Boolean || !d.Until.Equal(now.Add(2*time.Hour)) {
		t.Errorf("%+v, want the exact yes or no", d)
	}
}

// The policy can shorten an access and never stretch it; and it cannot rely on
// what nobody showed.
func TestWhatARuleReliesOnIsChecked(t *testing.T) {
	late := fmt.Sprint(now.AddDate(1, 0, 0).UnixNano())
	p := load(t, alone(ceilings(`"granularity": "count", "exact": true, "rule": "r", "visas": [v.digest], "grants": [], "until": `+late)))
	if d := decide(t, p, ask(caller(permit()), controlled()))[0]; !d.Until.Equal(hour) {
		t.Errorf("until %v, want the visa's end %v", d.Until, hour)
	}
	for name, members := range map[string]string{
		"an invented visa":  `"visas": ["x"], "grants": []`,
		"another digest":    `"visas": ["` + trust.DigestOf(nil).String() + `"], "grants": []`,
		"an invented grant": `"visas": [], "grants": ["g1"]`,
	} {
		_, err := policy.Load(t.Context(), alone(ceilings(`"granularity": "count", "exact": true, "rule": "r", `+members)))
		if !errors.Is(err, policy.ErrPolicy) || !strings.Contains(err.Error(), "was not handed in") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What a policy forgets is checked after it: an end that has passed, a sign-in
// without an end, somebody else's grants.
func TestWhatAPolicyForgets(t *testing.T) {
	over := load(t, alone(ceilings(fmt.Sprintf(
		`"granularity": "count", "exact": true, "rule": "over", "visas": [], "grants": [], "until": %d`, now.UnixNano()))))
	if d := decide(t, over, ask(caller(permit()), controlled()))[0]; d.Allow || !strings.Contains(d.Rule, "expired") {
		t.Errorf("a ceiling that ends now: %+v", d)
	}
	open := access.Dataset{ID: "open", Level: access.Public}
	endless := caller()
	endless.Until = time.Time{}
	if d := decide(t, load(t, configs.Policy()), ask(endless, open))[0]; d.Allow {
		t.Errorf("a sign-in without an end: %+v", d)
	}
	trusting := load(t, alone(head+`
ceilings[d.id] contains {"granularity": "count", "exact": true, "rule": "granted", "visas": [], "grants": []} if {
	some d in input.datasets
	some g in d.grants
	g.until > input.now
	input.caller.anonymous == (g.iss == "")
	input.caller.until != input.now
}
`))
	other := controlled()
	other.ID = "other"
	nobody := grant(hour)
	nobody.Identity = trust.Identity{}
	eve := grant(hour)
	eve.Subject = "eve"
	for name, c := range map[string]struct {
		in   access.Input
		want bool
	}{
		"one's own":                  {ask(caller(), controlled(), grant(hour)), true},
		"somebody else's":            {ask(caller(), controlled(), eve), false},
		"for another dataset":        {ask(caller(), other, grant(hour)), false},
		"nobody's, for an anonymous": {ask(trust.Caller{}, controlled(), nobody), false},
	} {
		if d := decide(t, trusting, c.in)[0]; d.Allow != c.want {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

// A policy that misbehaves on what no sample showed gives no decision at all.
func TestErrorsAreNoDecisions(t *testing.T) {
	trap := func(output string) *policy.Policy {
		return load(t, alone(publicOnly+`
`+output+` if {
	some d in input.datasets
	input.site == "uhn"
}
`))
	}
	for name, output := range map[string]string{
		"odd type":             `ceilings[d.id] contains true`,
		"odd granularity":      `ceilings[d.id] contains {"granularity": "all", "exact": true, "rule": "r", "visas": [], "grants": []}`,
		"protected to nobody":  `ceilings[d.id] contains {"granularity": "count", "exact": true, "rule": "r", "visas": [], "grants": []}`,
		"other dataset":        `ceilings[concat("", [d.id, "x"])] contains true`,
		"invented grant":       `ceilings[d.id] contains {"granularity": "count", "exact": true, "rule": "r", "visas": [], "grants": ["g"]}`,
		"a function that errs": `missing[d.id] contains sprintf("%d", [1 / count(d.grants)])`,
	} {
		decisions, err := trap(output).Decide(t.Context(), []access.Input{ask(trust.Caller{}, controlled())})
		if !errors.Is(err, policy.ErrDecision) || decisions != nil {
			t.Errorf("%s: %v, %v; want ErrDecision and no decision", name, decisions, err)
		}
	}
}

func TestInputsOfSeveralQuestionsAreRefused(t *testing.T) {
	p := load(t, configs.Policy())
	first := ask(caller(permit()), controlled())
	second := first
	second.Dataset = access.Dataset{ID: "other", Level: access.Public}
	for name, change := range map[string]func(*access.Input){
		"time":        func(in *access.Input) { in.Now = hour },
		"caller":      func(in *access.Input) { in.Caller.Subject = "eve" },
		"visas":       func(in *access.Input) { in.Caller.Visas = nil },
		"other visas": func(in *access.Input) { in.Caller.Visas = []trust.Visa{permit(func(v *trust.Visa) { v.By = "so" })} },
		"until":       func(in *access.Input) { in.Caller.Until = hour.Add(time.Hour * 24) },
		"granularity": func(in *access.Input) { in.Granularity = query.Boolean },
		"dataset":     func(in *access.Input) { in.Dataset.ID = first.Dataset.ID },
		"no dataset":  func(in *access.Input) { in.Dataset.ID = "" },
		"level":       func(in *access.Input) { in.Dataset.Level = "secret" },
		"registered":  func(in *access.Input) { in.Dataset.RegisteredBy = "face" },
	} {
		in := second
		change(&in)
		if _, err := p.Decide(t.Context(), []access.Input{first, in}); !errors.Is(err, policy.ErrDecision) {
			t.Errorf("%s: %v, want ErrDecision", name, err)
		}
	}
	copied := second
	copied.Caller.Visas = slices.Clone(first.Caller.Visas)
	if _, err := p.Decide(t.Context(), []access.Input{first, copied}); err != nil {
		t.Errorf("the same visas in another slice: %v", err)
	}
	for name, change := range map[string]func(*access.Input){
		"no time":             func(in *access.Input) { in.Now = time.Time{} },
		"unknown granularity": func(in *access.Input) { in.Granularity = "all" },
	} {
		in := first
		change(&in)
		if _, err := p.Decide(t.Context(), []access.Input{in}); !errors.Is(err, policy.ErrDecision) {
			t.Errorf("%s: %v, want ErrDecision", name, err)
		}
	}
	if d, err := p.Decide(t.Context(), nil); d != nil || err != nil {
		t.Errorf("no datasets: %v, %v", d, err)
	}
}

// Evaluation ends with its context, and is no decision then.
func TestEvaluationEndsWithItsContext(t *testing.T) {
	p := load(t, alone(publicOnly+`
missing[d.id] contains sprintf("%d", [n]) if {
	some d in input.datasets
	input.site == "uhn"
	n := count([1 | some x in numbers.range(1, 4000); some y in numbers.range(1, 4000); x + y == 0])
}
`))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	d, err := p.Decide(ctx, []access.Input{ask(trust.Caller{}, controlled())})
	if !errors.Is(err, context.DeadlineExceeded) || d != nil {
		t.Errorf("%v, %v; want the context's error", d, err)
	}
	// Nobody set a deadline: the policy's own bound ends it.
	if _, err := p.Decide(context.Background(), []access.Input{ask(trust.Caller{}, controlled())}); !errors.Is(err, policy.ErrDecision) {
		t.Errorf("a runaway policy: %v, want ErrDecision", err)
	}
}

// A decision is a pure function: replayed from the same input it is the same, in
// whatever order datasets, visas and grants were handed in, and asked alone or
// together.
func TestDecisionsCanBeReplayed(t *testing.T) {
	p := load(t, configs.Policy())
	rapid.Check(t, func(t *rapid.T) {
		c := drawCaller(t)
		var inputs []access.Input
		for i := range rapid.IntRange(1, 5).Draw(t, "datasets") {
			inputs = append(inputs, drawInput(t, c, i))
		}
		first, err := p.Decide(context.Background(), inputs)
		if err != nil {
			t.Fatal(err)
		}
		again := slices.Clone(inputs)
		shuffled := c
		shuffled.Visas = slices.Clone(c.Visas)
		random := rand.New(rand.NewPCG(1, uint64(rapid.IntRange(0, 1000).Draw(t, "order"))))
		random.Shuffle(len(shuffled.Visas), func(i, j int) {
			shuffled.Visas[i], shuffled.Visas[j] = shuffled.Visas[j], shuffled.Visas[i]
		})
		for i := range again {
			again[i].Caller = shuffled
			again[i].Grants = slices.Clone(again[i].Grants)
			slices.Reverse(again[i].Grants)
			alone, err := p.Decide(context.Background(), again[i:i+1])
			if err != nil || !reflect.DeepEqual(alone[0], first[i]) {
				t.Fatalf("alone: %+v, %v; together: %+v", alone, err, first[i])
			}
			if want := allowedByHand(again[i]); first[i].Allow != want.Allow || first[i].ExactCounts != want.ExactCounts {
				t.Fatalf("%+v\nfor %+v\nwant allow %t, exact %t", first[i], again[i], want.Allow, want.ExactCounts)
			}
		}
		slices.Reverse(again)
		second, err := p.Decide(context.Background(), again)
		slices.Reverse(second)
		if err != nil || !reflect.DeepEqual(first, second) {
			t.Fatalf("replayed: %+v, %v; first: %+v", second, err, first)
		}
	})
}

func pick[T any](t *rapid.T, name string, from ...T) T { return rapid.SampledFrom(from).Draw(t, name) }

func drawCaller(t *rapid.T) trust.Caller {
	if pick(t, "anonymous", true, false, false, false) {
		return trust.Caller{}
	}
	c := trust.Caller{Identity: ada, Until: pick(t, "until", now, now.Add(time.Nanosecond), hour, hour)}
	for range rapid.IntRange(0, 6).Draw(t, "visas") {
		c.Visas = append(c.Visas, visa(
			pick(t, "type", trust.VisaControlledAccessGrants, trust.VisaAcceptedTermsAndPolicies, trust.VisaResearcherStatus, "https://custom.example.org/x"),
			pick(t, "value", rarivitis, "other", ""),
			func(v *trust.Visa) {
				v.Issuer, v.By = pick(t, "iss", dac, "https://other.example.org/"), pick(t, "by", "dac", "self", "")
				v.Source = pick(t, "source", committee, "https://no.organization")
				v.Expires = pick(t, "expires", now, now.Add(time.Nanosecond), hour)
			}))
	}
	// Links join the two issuers' names of the visas, and eve at one of them to the
	// caller, or nobody.
	if pick(t, "visas linked", true, false) {
		until := pick(t, "link until", now, now.Add(time.Nanosecond), hour)
		for i := range c.Visas {
			c.Visas[i].Person, c.Visas[i].PersonUntil = trust.Identity{Issuer: dac, Subject: "a-1"}, until
		}
	}
	if pick(t, "caller linked", true, false) {
		c.Linked = []trust.LinkedIdentity{{
			Identity: trust.Identity{Issuer: dac, Subject: "eve"}, Until: pick(t, "linked until", now, now.Add(time.Nanosecond), hour),
		}}
	}
	return c
}

func drawInput(t *rapid.T, c trust.Caller, i int) access.Input {
	d := access.Dataset{
		ID:           fmt.Sprintf("d%d", i),
		Level:        pick(t, "level", access.Public, access.Registered, access.Controlled, ""),
		Value:        pick(t, "dataset value", rarivitis, ""),
		Issuers:      pick(t, "issuers", nil, []string{dac}),
		Sources:      pick(t, "sources", nil, []string{committee}, []string{"https://no.organization"}),
		By:           pick(t, "dataset by", nil, []string{"dac"}, []string{"dac", "self"}),
		RegisteredBy: pick(t, "registered by", access.ByLogin, access.ByVisas, ""),
	}
	in := ask(c, d)
	for n := range rapid.IntRange(0, 2).Draw(t, "grants") {
		in.Grants = append(in.Grants, access.Grant{
			ID: fmt.Sprintf("g%d", n), Dataset: pick(t, "grant dataset", d.ID, "other"),
			Identity: trust.Identity{Issuer: pick(t, "grant iss", ada.Issuer, dac), Subject: pick(t, "grant sub", "ada", "eve")},
			Until:    pick(t, "grant until", now, hour),
		})
	}
	return in
}

// allowedByHand is the built-in policy said a second time, in Go.
func allowedByHand(in access.Input) (d access.Decision) {
	signedIn := !in.Caller.Anonymous() && in.Caller.Until.After(in.Now)
	if in.Dataset.Level == access.Public && (in.Caller.Anonymous() || signedIn) {
		d.Allow = true
	}
	if !signedIn {
		return d
	}
	fits := func(v trust.Visa) bool {
		return v.Expires.After(in.Now) && v.Source != "https://no.organization" &&
			(len(in.Dataset.Issuers) == 0 || slices.Contains(in.Dataset.Issuers, v.Issuer)) &&
			(len(in.Dataset.Sources) == 0 || slices.Contains(in.Dataset.Sources, v.Source))
	}
	by := func(v trust.Visa) bool { return len(in.Dataset.By) == 0 || slices.Contains(in.Dataset.By, v.By) }
	if in.Dataset.Level == access.Registered && in.Dataset.RegisteredBy == access.ByLogin {
		d.Allow = true
	}
	for _, v := range in.Caller.Visas {
		if v.Type == trust.VisaControlledAccessGrants && v.Value != "" && v.Value == in.Dataset.Value && fits(v) && slices.Contains(in.Dataset.By, v.By) {
			d.Allow, d.ExactCounts = true, true
		}
		for _, w := range in.Caller.Visas {
			if in.Dataset.Level == access.Registered && in.Dataset.RegisteredBy != access.ByLogin &&
				v.Type == trust.VisaAcceptedTermsAndPolicies && w.Type == trust.VisaResearcherStatus &&
				onePersonByHand(v, w, in.Now) && v.Value == w.Value && v.Value != "" && v.By != "" &&
				(in.Dataset.Value == "" || in.Dataset.Value == v.Value) && fits(v) && fits(w) && by(v) && by(w) {
				d.Allow = true
			}
		}
	}
	for _, g := range in.Grants {
		own := g.Identity == in.Caller.Identity
		for _, l := range in.Caller.Linked {
			own = own || l.Identity == g.Identity && l.Until.After(in.Now)
		}
		if g.Dataset == in.Dataset.ID && own && g.Until.After(in.Now) {
			d.Allow, d.ExactCounts = true, true
		}
	}
	return d
}

func onePersonByHand(v, w trust.Visa, now time.Time) bool {
	if v.Identity == w.Identity {
		return true
	}
	linked := !v.Person.IsZero() && v.Person == w.Person
	return linked && v.PersonUntil.After(now) && w.PersonUntil.After(now)
}

// A policy of the operator's own cannot combine two people's visas either: the
// question fails, and nothing is given (rows 30 and 43).
func TestNoPolicyCombinesTwoPeople(t *testing.T) {
	p := load(t, fstest.MapFS{"own.rego": {Data: []byte(`package candig.access
visa_types := {"ControlledAccessGrants", "ResearcherStatus"}
ceilings[d.id] contains {"granularity": "count", "exact": false, "rule": "both", "grants": [],
	"visas": [a.digest, b.digest]} if {
	some d in input.datasets
	input.caller.until > input.now
	some a in input.visas.ControlledAccessGrants[d.value]
	a.by == "dac"
	some b in input.visas.ResearcherStatus[d.value]
}
`)}})
	grant := visa(trust.VisaControlledAccessGrants, rarivitis, func(v *trust.Visa) {})
	status := visa(trust.VisaResearcherStatus, rarivitis, func(v *trust.Visa) { v.Subject = "b-2" })
	if d, err := p.Decide(t.Context(), []access.Input{ask(caller(grant, status), controlled())}); err == nil && d[0].Allow {
		t.Errorf("two unlinked people: %+v", d)
	}
	one := trust.Identity{Issuer: dac, Subject: "a-1"}
	end := now.Add(30 * time.Minute)
	grant.Person, grant.PersonUntil, status.Person, status.PersonUntil = one, hour, one, end
	d, err := p.Decide(t.Context(), []access.Input{ask(caller(grant, status), controlled())})
	if err != nil || !d[0].Allow || !d[0].Until.Equal(end) {
		t.Errorf("one person by links until %v: %+v, %v", end, d, err)
	}
}

func TestDecideFromManyGoroutines(t *testing.T) {
	p := load(t, configs.Policy())
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for range 50 {
				in := ask(caller(permit()), controlled())
				if i%2 == 0 {
					in = ask(trust.Caller{}, controlled())
				}
				d, err := p.Decide(context.Background(), []access.Input{in})
				if err != nil || d[0].Allow != (i%2 == 1) {
					t.Errorf("caller %d: %v, %v", i, d, err)
				}
			}
		})
	}
	wait.Wait()
}
