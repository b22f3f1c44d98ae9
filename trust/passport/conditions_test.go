package passport

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/passport/passporttest"
)

type clauses = [][]map[string]string

// newJoined is a world in which the broker may say who is who at the committee and
// at the institute.
func newJoined(t testing.TB) *world {
	w := newWorld(t)
	w.policy(brokerURL, func(p *trust.IssuerPolicy) {
		p.Kinds = []trust.Kind{trust.KindPassport, trust.KindVisa, trust.KindLogin}
		p.VisaTypes, p.Sources = []string{trust.VisaLinkedIdentities}, []string{brokerURL}
		p.LinksFor = []string{dacURL, instituteURL}
	})
	return w
}

// link is the broker's word that its researcher is all of these.
func (w *world) link(change func(*passporttest.VisaClaims), subject string, pairs ...trust.Identity) string {
	return linkBy(w.broker, change, subject, pairs...)
}

func linkBy(issuer *passporttest.Issuer, change func(*passporttest.VisaClaims), subject string, pairs ...trust.Identity) string {
	var items []string
	for _, p := range pairs {
		items = append(items, encoded(p.Subject)+","+encoded(p.Issuer))
	}
	c := passporttest.VisaClaims{
		Subject: subject, IssuedAt: now.Add(-time.Hour), Expires: now.Add(50 * time.Minute), Asserted: now.Add(-24 * time.Hour),
		Type: trust.VisaLinkedIdentities, Value: strings.Join(items, ";"), Source: issuer.URL, By: "system",
	}
	if change != nil {
		change(&c)
	}
	return issuer.Visa(c)
}

// affiliation is the institute's; ofDAC gives it the subject that the grant has.
func (w *world) affiliation(change ...func(*passporttest.VisaClaims)) string {
	c := passporttest.VisaClaims{
		Subject: "researcher@institute", IssuedAt: now.Add(-time.Hour), Expires: now.Add(40 * time.Minute), Asserted: now.Add(-24 * time.Hour),
		Type: trust.VisaAffiliationAndRole, Value: "faculty@institute.example", Source: instituteURL, By: "so",
	}
	for _, f := range change {
		f(&c)
	}
	return w.institute.Visa(c)
}

func (w *world) conditional(c clauses, change ...func(*passporttest.VisaClaims)) string {
	return w.grant(append(change, func(v *passporttest.VisaClaims) { v.Conditions = c })...)
}

var (
	atDAC       = trust.Identity{Issuer: dacURL, Subject: "researcher@dac"}
	atInstitute = trust.Identity{Issuer: instituteURL, Subject: "researcher@institute"}
	atBroker    = trust.Identity{Issuer: brokerURL, Subject: "researcher"}
	faculty     = map[string]string{"type": trust.VisaAffiliationAndRole, "value": "pattern:faculty@*"}
)

func (w *world) everything(t testing.TB, visas ...string) Verdict {
	t.Helper()
	verdict, err := w.verify(w.passport(visas...))
	if err != nil || len(verdict.Visas) != len(visas) {
		t.Fatalf("%v, %d verdicts on %d visas", err, len(verdict.Visas), len(visas))
	}
	for _, v := range verdict.Visas {
		if len(v.Trace) > maxTrace+1 || v.Accepted != (v.Reason == "") || !v.Accepted && (v.Detail == "" || !v.Until.IsZero()) {
			t.Errorf("%+v", v)
		}
		for _, line := range v.Trace {
			if !identifier(line, 4096) {
				t.Errorf("%q is not safe to show", line)
			}
		}
	}
	return verdict
}

// Rows 32, 33, 34, 35, 36, 37, 38 and 40; V081, V088: a grant on conditions beside one
// affiliation of the same person.
func TestClauses(t *testing.T) {
	const met, unmet = trust.Reason(""), trust.ReasonConditions
	type one = map[string]any
	affiliation := one{"type": trust.VisaAffiliationAndRole}
	with := func(pairs ...string) one {
		c := one{"type": affiliation["type"]}
		for i := 0; i < len(pairs); i += 2 {
			c[pairs[i]] = pairs[i+1]
		}
		return c
	}
	good := with("value", "const:faculty@institute.example")
	bad := with("value", "const:faculty@other.example")
	var many []any
	for range maxClauses + 1 {
		many = append(many, good)
	}
	for name, c := range map[string]struct {
		conditions any
		want       trust.Reason
	}{
		"row 32 met":                        {[]any{[]any{good}}, met},
		"row 32 unmet":                      {[]any{[]any{bad}}, unmet},
		"row 33 second alternative":         {[]any{[]any{bad}, []any{good}}, met},
		"row 33 one of two clauses":         {[]any{[]any{good, bad}}, unmet},
		"row 33 both clauses":               {[]any{[]any{good, with("source", "const:"+instituteURL)}}, met},
		"row 33 empty alternative":          {[]any{[]any{}}, unmet},
		"row 33 empty beside a good one":    {[]any{[]any{good}, []any{}}, unmet},
		"row 33 null alternative":           {[]any{[]any{good}, nil}, unmet},
		"row 33 clause is text":             {[]any{[]any{good}, []any{"x"}}, unmet},
		"row 33 clause is null":             {[]any{[]any{good}, []any{nil}}, unmet},
		"row 33 clauses not in a list":      {[]any{good}, unmet},
		"row 34 type only":                  {[]any{[]any{affiliation}}, unmet},
		"row 34 no type":                    {[]any{[]any{one{"value": "pattern:*"}}}, unmet},
		"row 34 empty clause":               {[]any{[]any{one{}}}, unmet},
		"V081 typo":                         {[]any{[]any{with("value", "pattern:*", "sourcee", "const:x")}}, unmet},
		"V081 a claim of the token":         {[]any{[]any{with("value", "pattern:*", "iss", "const:"+instituteURL)}}, unmet},
		"row 34 other case":                 {[]any{[]any{with("value", "pattern:*", "Source", "const:x")}}, unmet},
		"row 34 typo beside an alternative": {[]any{[]any{with("valu", "pattern:*")}, []any{good}}, met},
		"row 34 value is a number":          {[]any{[]any{one{"type": trust.VisaAffiliationAndRole, "value": 7}}}, unmet},
		"row 34 value is null":              {[]any{[]any{one{"type": trust.VisaAffiliationAndRole, "value": nil}}}, unmet},
		"row 35 const":                      {[]any{[]any{with("value", "const:faculty@institute.example")}}, met},
		"row 35 pattern":                    {[]any{[]any{with("value", "pattern:faculty@*")}}, met},
		"row 35 split_pattern":              {[]any{[]any{with("value", "split_pattern:faculty@*")}}, met},
		"row 35 regex":                      {[]any{[]any{with("value", "regex:.*")}}, unmet},
		"row 35 CONST":                      {[]any{[]any{with("value", "CONST:faculty@institute.example")}}, unmet},
		"row 35 no prefix":                  {[]any{[]any{with("value", "faculty@institute.example")}}, unmet},
		"row 35 no colon":                   {[]any{[]any{with("value", "const")}}, unmet},
		"row 35 type with prefix":           {[]any{[]any{one{"type": "const:AffiliationAndRole", "value": "pattern:*"}}}, unmet},
		"row 35 type as pattern":            {[]any{[]any{one{"type": "pattern:*", "value": "pattern:*"}}}, unmet},
		"row 35 type in other case":         {[]any{[]any{one{"type": "affiliationAndRole", "value": "pattern:*"}}}, unmet},
		"row 35 const is no pattern":        {[]any{[]any{with("value", "const:faculty@*")}}, unmet},
		"row 36 case":                       {[]any{[]any{with("value", "pattern:Faculty@*")}}, unmet},
		"row 38 asserted":                   {[]any{[]any{with("value", "pattern:*", "asserted", "pattern:*")}}, unmet},
		"row 38 conditions":                 {[]any{[]any{with("value", "pattern:*", "conditions", "pattern:*")}}, unmet},
		"row 40 value and by":               {[]any{[]any{with("value", "pattern:faculty@*", "by", "const:so")}}, met},
		"row 40 by of another":              {[]any{[]any{with("value", "pattern:faculty@*", "by", "const:dac")}}, unmet},
		"row 40 source":                     {[]any{[]any{with("value", "pattern:faculty@*", "source", "const:"+dacURL)}}, unmet},
		"too many clauses":                  {[]any{many}, unmet},
		"too many clauses altogether":       {[]any{many[:40], many[:40]}, unmet},
		"too long":                          {[]any{[]any{good}, []any{with("value", "const:"+strings.Repeat("x", maxConditionBytes))}}, unmet},
	} {
		t.Run(name, func(t *testing.T) {
			w := newJoined(t)
			grant := rawObject(visaObjectOf().with("conditions", c.conditions))
			verdict := w.everything(t, grant, w.affiliation(), w.link(nil, "researcher", atDAC, atInstitute))
			got := verdict.Visas[0]
			if got.Reason != c.want {
				t.Errorf("got %q (%s) %q", got.Reason, got.Detail, got.Trace)
			}
			if trust.Reason("") != c.want && len(verdict.Caller.Visas) != 2 {
				t.Errorf("%d visas", len(verdict.Caller.Visas))
			}
			if got.Reason == met && len(got.Trace) == 0 {
				t.Error("nothing tells how the conditions were met")
			}
		})
	}
	// V088, row 27: an absent claim matches nothing.
	w := newJoined(t)
	without := w.affiliation(func(c *passporttest.VisaClaims) { c.By = "" })
	anyBy := w.conditional(clauses{{{"type": trust.VisaAffiliationAndRole, "by": "pattern:*"}}})
	link := w.link(nil, "researcher", atDAC, atInstitute)
	if got := w.everything(t, anyBy, without, link).Visas[0]; got.Reason != trust.ReasonConditions {
		t.Errorf("V088: %+v", got)
	}
	if got := w.everything(t, anyBy, w.affiliation(), link).Visas[0]; !got.Accepted {
		t.Errorf("V088: %+v", got)
	}
	// Row 40: the value of one visa and the by of another meet no clause together.
	both := w.conditional(clauses{{{"type": trust.VisaAffiliationAndRole, "value": "pattern:faculty@*", "by": "const:system"}}})
	student := w.affiliation(func(c *passporttest.VisaClaims) { c.Value, c.By = "student@institute.example", "system" })
	if got := w.everything(t, both, w.affiliation(), student, link).Visas[0]; got.Accepted {
		t.Errorf("row 40: %+v", got)
	}
}

// Row 37: the visa's value is split, the pattern is not.
func TestSplitPattern(t *testing.T) {
	linked := "1,https:%2F%2Fa.org;123,https:%2F%2Fe1.org;9,https:%2F%2Fz.org"
	visa := &trust.Visa{Type: trust.VisaLinkedIdentities, Value: linked}
	for text, expected := range map[string]bool{
		"123,https:%2F%2Fe?.org":                     true,
		"123,https::%2F%2Fe?.org":                    false, // the standard's own example has a colon too many
		"1,https:%2F%2Fa.org;123,https:%2F%2Fe?.org": false,
		"*;*":                   false,
		"1,https:%2F%2Fa.org":   true,
		"9,*":                   true,
		"23,https:%2F%2Fe?.org": false,
		"":                      false,
		"123,https:%2F%2Fe1.org;9,https:%2F%2Fz.org;*?": false,
	} {
		steps := maxMatchSteps
		c := clause{visaType: visa.Type, wants: []want{{"value", howSplit, text}}}
		if got := c.meets(visa, &steps); got != expected {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// Rows 39 and 41; V082, V083, V089: who may meet a condition.
func TestWhoMeetsConditions(t *testing.T) {
	grant := clauses{{faculty}}
	onGrant := clauses{{{"type": trust.VisaControlledAccessGrants, "value": "pattern:*"}}}
	type visas func(*world) []string
	linked := func(w *world) string { return w.link(nil, "researcher", atDAC, atInstitute) }
	for name, c := range map[string]struct {
		visas    visas
		accepted []bool
	}{
		"row 41 of the linked person": {func(w *world) []string { return []string{w.conditional(grant), w.affiliation(), linked(w)} }, []bool{true, true, true}},
		"row 41 any order":            {func(w *world) []string { return []string{linked(w), w.affiliation(), w.conditional(grant)} }, []bool{true, true, true}},
		"V089 unlinked":               {func(w *world) []string { return []string{w.conditional(grant), w.affiliation()} }, []bool{false, true}},
		"V089 another's": {func(w *world) []string {
			return []string{w.conditional(grant), w.affiliation(func(c *passporttest.VisaClaims) { c.Subject = "somebody" }), linked(w)}
		}, []bool{false, true, true}},
		"V089 expired": {func(w *world) []string {
			return []string{w.conditional(grant), w.affiliation(func(c *passporttest.VisaClaims) { c.Expires = now }), linked(w)}
		}, []bool{false, false, true}},
		"V089 untrusted": {func(w *world) []string {
			return []string{w.conditional(grant), w.stranger.Visa(passporttest.VisaClaims{Subject: "researcher@dac", IssuedAt: now, Expires: now.Add(time.Hour), Asserted: now,
				Type: trust.VisaAffiliationAndRole, Value: "faculty@x", Source: instituteURL}), linked(w)}
		}, []bool{false, false, true}},
		"row 41 source not accepted": {func(w *world) []string {
			return []string{w.conditional(grant), w.affiliation(func(c *passporttest.VisaClaims) { c.Source = "https://other.example" }), linked(w)}
		}, []bool{false, false, true}},
		"V082 each other": {func(w *world) []string {
			return []string{w.conditional(onGrant), w.conditional(onGrant, func(c *passporttest.VisaClaims) { c.Value += "2" })}
		}, []bool{false, false}},
		"V082 itself": {func(w *world) []string { return []string{w.conditional(onGrant)} }, []bool{false}},
		"V082 itself, twice": {func(w *world) []string {
			v := w.conditional(onGrant)
			return []string{v, v}
		}, []bool{false, false}},
		"V083 a conditional one that is met": {func(w *world) []string {
			return []string{w.conditional(onGrant), w.conditional(grant, func(c *passporttest.VisaClaims) { c.Value += "2" }), w.affiliation(), linked(w)}
		}, []bool{false, true, true, true}},
		"row 39 a plain one of the same": {func(w *world) []string { return []string{w.conditional(onGrant), w.grant()} }, []bool{true, true}},
		"a link on conditions links nobody": {func(w *world) []string {
			return []string{w.conditional(grant), w.affiliation(), w.link(func(c *passporttest.VisaClaims) { c.Conditions = clauses{{faculty}} }, "researcher", atDAC, atInstitute)}
		}, []bool{false, true, false}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newJoined(t)
			verdict := w.everything(t, c.visas(w)...)
			for i, want := range c.accepted {
				if got := verdict.Visas[i]; got.Accepted != want {
					t.Errorf("visa %d: %+v", i, got)
				}
			}
		})
	}
	// A link whose conditions are met is accepted, and links nobody all the same.
	w := newJoined(t)
	w.policy(brokerURL, func(p *trust.IssuerPolicy) {
		p.VisaTypes = append(p.VisaTypes, trust.VisaAffiliationAndRole)
	})
	own := w.broker.Visa(passporttest.VisaClaims{Subject: "researcher", IssuedAt: now, Expires: now.Add(time.Hour), Asserted: now, Type: trust.VisaAffiliationAndRole, Value: "faculty@b", Source: brokerURL})
	link := w.link(func(c *passporttest.VisaClaims) { c.Conditions = clauses{{faculty}} }, "researcher", atDAC)
	verdict := w.everything(t, own, link, w.grant())
	if !verdict.Visas[1].Accepted || verdict.Caller.Linked != nil || verdict.Caller.Links != nil || verdict.Caller.Person == verdict.Caller.Visas[2].Person {
		t.Errorf("%+v", verdict)
	}
}

// Conditions look over the whole request: another passport's visa counts.
func TestConditionsAreMetAcrossPassports(t *testing.T) {
	w := newJoined(t)
	one := w.passport(w.conditional(clauses{{{"type": trust.VisaAcceptedTermsAndPolicies, "value": "const:terms"}}}))
	two := w.passportWith(func(c *passporttest.PassportClaims) {
		c.Subject, c.Visas = "other", []string{w.grant(func(c *passporttest.VisaClaims) {
			c.Type, c.Value, c.By = trust.VisaAcceptedTermsAndPolicies, "terms", "self"
		})}
	})
	verdict, err := w.verify(one, two)
	if err != nil || !verdict.Visas[0].Accepted {
		t.Fatalf("%v %+v", err, verdict.Visas)
	}
	// Row 61: the first passport alone gets nothing from what was shown before.
	if verdict, err = w.verify(one); err != nil || verdict.Visas[0].Accepted {
		t.Fatalf("%v %+v", err, verdict.Visas)
	}
}

// Row 55, V093: a conditional visa ends with the least of all that it rests on, and
// of several ways the longest counts.
func TestConditionalVisaEndsWithWhatItRestsOn(t *testing.T) {
	for name, c := range map[string]struct {
		grant, affiliation, link time.Duration
		want                     time.Duration
	}{
		"its own":           {10, 30, 30, 10},
		"the affiliation's": {60, 20, 30, 20},
		"V093 the link's":   {60, 50, 30, 30},
	} {
		t.Run(name, func(t *testing.T) {
			w := newJoined(t)
			ends := func(d time.Duration) func(*passporttest.VisaClaims) {
				return func(v *passporttest.VisaClaims) { v.Expires = now.Add(d * time.Minute) }
			}
			verdict := w.everything(t, w.conditional(clauses{{faculty}}, ends(c.grant)), w.affiliation(ends(c.affiliation)), w.link(ends(c.link), "researcher", atDAC, atInstitute))
			want := now.Add(c.want * time.Minute)
			if got := verdict.Caller.Visas[0]; !got.Expires.Equal(want) || !verdict.Visas[0].Until.Equal(want) || verdict.Until.After(want) {
				t.Errorf("%v %v", got.Expires, verdict.Until)
			}
			supports := verdict.Caller.Supports[verdict.Visas[0].Digest]
			if len(supports) != 2 || supports[0] != verdict.Visas[1].Digest || supports[1] != verdict.Visas[2].Digest {
				t.Errorf("rests on %v", supports)
			}
			// It flips when the first of them ends.
			if later, err := w.verifyAt(want, w.passport(w.conditional(clauses{{faculty}}, ends(c.grant)), w.affiliation(ends(c.affiliation)), w.link(ends(c.link), "researcher", atDAC, atInstitute))); err != nil || later.Visas[0].Accepted {
				t.Errorf("%v %+v", err, later.Visas)
			}
		})
	}
	w := newJoined(t)
	until := func(d time.Duration, role string) string {
		return w.affiliation(func(c *passporttest.VisaClaims) {
			c.Expires, c.Value = now.Add(d*time.Minute), role+"@institute.example"
		})
	}
	student := map[string]string{"type": trust.VisaAffiliationAndRole, "value": "pattern:student@*"}
	verdict := w.everything(t, w.conditional(clauses{{student}, {faculty}}), until(5, "student"), until(15, "faculty"), until(20, "faculty"), until(7, "faculty"), w.link(nil, "researcher", atDAC, atInstitute))
	got := verdict.Visas[0]
	if !got.Until.Equal(now.Add(20*time.Minute)) || !strings.Contains(strings.Join(got.Trace, "\n"), "alternative 2 of the conditions counts") {
		t.Errorf("%+v", got)
	}
}

// The trace tells what is missing, in words.
func TestTraceOfConditions(t *testing.T) {
	w := newJoined(t)
	link := w.link(nil, "researcher", atDAC, atInstitute)
	for name, c := range map[string]struct {
		visas []string
		want  string
	}{
		"nothing":     {[]string{w.conditional(clauses{{faculty}})}, "no visa of this type that can meet it was shown"},
		"other value": {[]string{w.conditional(clauses{{faculty}}), w.affiliation(func(c *passporttest.VisaClaims) { c.Value = "student@x" })}, "none of the 1 visas of this type has all that it wants"},
		"unlinked":    {[]string{w.conditional(clauses{{faculty}}), w.affiliation()}, "another person's visas would meet it"},
		"expired":     {[]string{w.conditional(clauses{{faculty}}), w.affiliation(func(c *passporttest.VisaClaims) { c.Expires = now })}, "was not accepted (expired)"},
		"conditional": {[]string{w.conditional(clauses{{faculty}}), w.affiliation(func(c *passporttest.VisaClaims) { c.Conditions = clauses{{faculty}} })}, "holds only under conditions itself"},
		"typo":        {[]string{w.conditional(clauses{{{"type": "x", "valeu": "const:y"}}})}, `cannot be understood: it names "valeu"`},
		"met":         {[]string{w.conditional(clauses{{faculty}}), w.affiliation(), link}, "alternative 1, clause 1 (AffiliationAndRole with value pattern:faculty@*): met by the AffiliationAndRole visa "},
		"hostile":     {[]string{w.conditional(clauses{{{"type": "\u202e" + strings.Repeat("x", 900), "value": "const:\u202e"}}})}, "alternative 1, clause 1"},
	} {
		t.Run(name, func(t *testing.T) {
			got := w.everything(t, c.visas...).Visas[0]
			if text := strings.Join(got.Trace, "\n"); !strings.Contains(text, c.want) {
				t.Errorf("%q", text)
			}
		})
	}
	// Traces are bounded, for one visa and for a request.
	var wide [][]map[string]string
	for range 32 {
		wide = append(wide, []map[string]string{faculty, faculty})
	}
	var visas []string
	for i := range 30 {
		visas = append(visas, w.conditional(wide, func(c *passporttest.VisaClaims) { c.ID = fmt.Sprint(i) }))
	}
	lines := 0
	for _, v := range w.everything(t, visas...).Visas {
		lines += len(v.Trace)
	}
	if lines > maxTraces {
		t.Errorf("%d lines", lines)
	}
}

// Row 106: much to compare is given up, and nothing is met by that.
func TestConditionsCostLittle(t *testing.T) {
	w := newJoined(t)
	bomb := map[string]string{"type": trust.VisaAffiliationAndRole, "value": "pattern:" + strings.Repeat("*a", 50) + "*b"}
	var all []map[string]string
	for range 25 {
		all = append(all, bomb)
	}
	var visas []string
	for i := range 60 {
		visas = append(visas, w.conditional(clauses{all}, func(c *passporttest.VisaClaims) { c.ID = fmt.Sprint(i) }))
	}
	for i := range 100 {
		visas = append(visas, w.affiliation(func(c *passporttest.VisaClaims) { c.ID, c.Value = fmt.Sprint(i), strings.Repeat("a", 200)+"@x" }))
	}
	token := w.passport(visas...)
	if _, err := w.verify(token); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	verdict, err := w.verify(token)
	if took := time.Since(began); err != nil || took > 500*time.Millisecond {
		t.Errorf("%v, took %v", err, took)
	}
	if verdict.Visas[0].Accepted || !verdict.Visas[100].Accepted {
		t.Errorf("%+v", verdict.Visas[0])
	}
}

// FuzzConditions holds what passes against the rules once more, read by the standard
// library: one alternative whose every clause names known claims only, and matches.
func FuzzConditions(f *testing.F) {
	for _, seed := range []string{
		`[]`, `[[]]`, `null`, `{}`, `[["x"]]`, `[[{"type":"AffiliationAndRole","value":"pattern:faculty@*"}]]`,
		`[[{"type":"AffiliationAndRole"}]]`, `[[{"type":"AffiliationAndRole","value":"split_pattern:*","by":"const:so"}],[null]]`,
		`[[{"type":"AffiliationAndRole","value":"const:faculty@institute.example","asserted":"const:1"}]]`,
	} {
		f.Add(seed)
	}
	other := trust.Visa{Type: trust.VisaAffiliationAndRole, Value: "faculty@institute.example", Source: instituteURL, By: "so"}
	f.Fuzz(func(t *testing.T, text string) {
		var c conditions
		var holder struct {
			Conditions conditions `json:"c"`
		}
		if jose.Unmarshal([]byte(`{"c":`+text+`}`), &holder) != nil {
			return
		}
		if c = holder.Conditions; !c.present {
			if strings.TrimFunc(text, func(r rune) bool { return strings.ContainsRune("[] \t\r\n", r) }) != "" {
				t.Errorf("%q is unconditional", text)
			}
			return
		}
		steps, some := maxMatchSteps, false
		for _, alternative := range c.alternatives {
			all := len(alternative) > 0
			for i := range alternative {
				all = all && alternative[i].meets(&other, &steps)
				if line := alternative[i].String(); !identifier(line, 4096) {
					t.Errorf("%q is not safe to show", line)
				}
			}
			some = some || all
		}
		if c.fault != "" && (!identifier(c.fault, 500) || c.alternatives != nil) {
			t.Errorf("%q: %q", text, c.fault)
		}
		if some && !metByReference(text, other) {
			t.Errorf("%q is met", text)
		}
	})
}

func metByReference(text string, visa trust.Visa) bool {
	var all [][]map[string]string
	if json.Unmarshal([]byte(text), &all) != nil {
		return false
	}
	have := map[string]string{"value": visa.Value, "source": visa.Source, "by": visa.By}
	for _, alternative := range all {
		ok := len(alternative) > 0
		for _, clause := range alternative {
			ok = ok && clause["type"] == visa.Type && len(clause) > 1
			for name, wanted := range clause {
				if name != "type" {
					how, rest, _ := strings.Cut(wanted, ":")
					re := map[string]*regexp.Regexp{"const": regexp.MustCompile(`\A` + regexp.QuoteMeta(rest) + `\z`), "pattern": reference(rest), "split_pattern": reference(rest)}[how]
					ok = ok && have[name] != "" && re != nil && re.MatchString(have[name])
				}
			}
		}
		if ok {
			return true
		}
	}
	return false
}
