package policy_test

import (
	"context"
	"errors"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/candignode/candignode/configs"
	"github.com/candignode/candignode/trust/policy"
)

// dir is an operator's directory: the built-in policy with some files replaced.
// A text of "-" takes a file away.
func dir(t *testing.T, files map[string]string) fstest.MapFS {
	t.Helper()
	fsys := fstest.MapFS{}
	entries, err := configs.Policy().(interface {
		ReadDir(string) ([]os.DirEntry, error)
	}).ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := configs.Policy().(interface {
			ReadFile(string) ([]byte, error)
		}).ReadFile(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		fsys[e.Name()] = &fstest.MapFile{Data: text}
	}
	for name, text := range files {
		delete(fsys, name)
		if text != "-" {
			fsys[name] = &fstest.MapFile{Data: []byte(text)}
		}
	}
	return fsys
}

// alone is a directory with one file.
func alone(text string) fstest.MapFS {
	return fstest.MapFS{"access.rego": {Data: []byte(text)}}
}

const head = "package candig.access\n\nvisa_types := {\"ControlledAccessGrants\"}\n\n"

// publicOnly is the least policy that says anything.
const publicOnly = head + `
ceilings[d.id] contains {"granularity": "boolean", "exact": false, "rule": "open", "visas": [], "grants": []} if {
	some d in input.datasets
	d.access == "public"
}
`

func TestLoadTakesSoundPolicies(t *testing.T) {
	for name, fsys := range map[string]fstest.MapFS{
		"the built-in one":    dir(t, nil),
		"public only":         alone(publicOnly),
		"nobody gets nothing": alone(head + `ceilings[d.id] contains d if { some d in input.datasets; d.id == "never-configured" }`),
		"visa types as rules": alone(strings.Replace(publicOnly, `visa_types := {"ControlledAccessGrants"}`, `visa_types contains "AffiliationAndRole"`, 1)),
		"print is dropped":    alone(publicOnly + "\nnoisy if print(input.now)\n"),
		"with other files":    {"access.rego": {Data: []byte(publicOnly)}, "README.md": {Data: []byte("# ours")}},
		"below a directory":   {"site/access.rego": {Data: []byte(publicOnly)}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := policy.Load(t.Context(), fsys); err != nil {
				t.Error(err)
			}
		})
	}
}

// Row 20: the policy names the visa types that it looks at.
func TestVisaTypesOfTheBuiltInPolicy(t *testing.T) {
	p := load(t, configs.Policy())
	want := []string{"AcceptedTermsAndPolicies", "ControlledAccessGrants", "ResearcherStatus"}
	if got := p.VisaTypes(); !slices.Equal(got, want) {
		t.Errorf("visa types %v, want %v", got, want)
	}
	if files := p.Files(); slices.Contains(files, "access_test.rego") || len(files) != 4 {
		t.Errorf("files of the policy: %v, want the four without tests", files)
	}
}

func TestLoadRefuses(t *testing.T) {
	allow := func(condition string) string {
		return publicOnly + `
ceilings[d.id] contains {"granularity": "count", "exact": false, "rule": "loose", "visas": [], "grants": []} if {
	some d in input.datasets
	` + condition + `
}
`
	}
	ceiling := func(members string) string {
		return head + "ceilings[d.id] contains {" + members + "} if some d in input.datasets\n"
	}
	for _, c := range []struct {
		name, text string
		want       []string // in the error
	}{
		{"syntax", publicOnly + "\nx if {", []string{"access.rego:", "parse_error"}},
		{"older syntax", head + `ceilings[x] { x := 1 }`, []string{"access.rego:5"}},
		{"no ceilings", head, []string{"ceilings is missing"}},
		{"no visa types", strings.Replace(publicOnly, "visa_types", "other", 1), []string{"visa_types is missing"}},
		{"another package", strings.Replace(publicOnly, "package candig.access", "package other", 1), []string{"ceilings is missing", "visa_types is missing"}},
		{"visa types from input", strings.Replace(publicOnly, `{"ControlledAccessGrants"}`, `{t | some t, _ in input.visas}`, 1), []string{"must not depend on input"}},
		{"visa types not text", strings.Replace(publicOnly, `{"ControlledAccessGrants"}`, `{1, 2}`, 1), []string{"want a set of visa type names"}},
		{"visa types conflict", strings.Replace(publicOnly, "visa_types :=", "visa_types := {\"a\"} if true\nvisa_types :=", 1), []string{"visa_types"}},
		{"misspelt input", allow("input.caler.iss == \"x\""), []string{"access.rego:13", "caler"}},
		{"misspelt member", allow("d.valu == \"x\""), []string{"access.rego:13", "valu"}},
		{"misspelt reference, negated", allow("d.access == \"public\"\n\tnot data.candig.acess.blocked"), []string{"access.rego:14", "defined nowhere"}},
		{"reference to data of a bundle", allow("data.people[input.caller.sub]"), []string{"access.rego:13", "data.people"}},
		{"unused variable", allow("x := 1"), []string{"access.rego:13", "unused"}},
		{"network", allow(`http.send({"method": "get", "url": "https://x.example"}).status_code == 200`), []string{"access.rego:13", "http.send"}},
		{"name look-up", allow(`net.lookup_ip_addr("x.example") == {""}`), []string{"net.lookup_ip_addr"}},
		{"environment", allow(`opa.runtime().env.HOME == ""`), []string{"opa.runtime"}},
		{"clock", allow(`time.now_ns() > 0`), []string{"time.now_ns"}},
		{"chance", allow(`rand.intn("x", 2) == 1`), []string{"rand.intn"}},
		{"uuid", allow(`uuid.rfc4122("x") == ""`), []string{"uuid.rfc4122"}},
		{"module in a module", allow(`rego.parse_module("x", "package x") == {}`), []string{"rego.parse_module"}},
		{"a second verifier", allow(`io.jwt.decode("x.y.z")[1].sub == ""`), []string{"io.jwt.decode"}},
		{"schemas from anywhere", allow(`json.match_schema({}, {"$ref": "https://x.example"})[0]`), []string{"json.match_schema"}},
		{"division by zero", allow(`d.access == "public"; 1 / count(d.grants) > 0`), []string{"sample input", "divide by zero"}},
		{"conflict of complete rules", publicOnly + "\nx := 1 if input.now\nx := 2 if input.site\nmissing[d.id] contains sprintf(\"%d\", [x]) if some d in input.datasets\n", []string{"sample input", "conflict"}},
		{"allow all", allow("true"), []string{"sample input", "anonymous"}},
		{"any sign-in at controlled data", allow("not input.caller.anonymous"), []string{"signed in, without visas", "loose"}},
		{"any visa at controlled data", allow("count(input.visas) > 0"), []string{"visa expired", "visa for another dataset"}},
		{"expiry not looked at", allow("d.value != \"\"; count(input.visas.ControlledAccessGrants[d.value]) > 0"), []string{"visa expired"}},
		{"empty value matches", allow("some v in input.visas.ControlledAccessGrants[d.value]; v.expires > input.now; d.value == \"\""), []string{"visa with an empty value"}},
		{"grant expiry not looked at", allow("count(d.grants) > 0"), []string{"grant expired"}},
		{"records for anybody", allow("input.request.granularity == \"record\""), []string{"record"}},
		{"ceilings not by dataset", head + `ceilings contains {"granularity": "count"} if input.now`, []string{"want an object of sets"}},
		{"ceilings as one value", head + `ceilings[d.id] := {"granularity": "count"} if some d in input.datasets`, []string{"want a set"}},
		{"ceilings true", head + `ceilings if input.now`, []string{"want an object of sets"}},
		{"a dataset that was not asked", head + `ceilings["other"] contains {"granularity": "count"} if input.now`, []string{"not asked"}},
		{"key not text", head + `ceilings[1] contains {"granularity": "count"} if input.now`, []string{"not a dataset id"}},
		{"ceiling not an object", head + `ceilings[d.id] contains true if some d in input.datasets`, []string{"want an object"}},
		{"unknown granularity", ceiling(`"granularity": "counts", "exact": false, "rule": "r", "visas": [], "grants": []`), []string{"granularity is \"counts\""}},
		{"granularity not text", ceiling(`"granularity": true, "exact": false, "rule": "r", "visas": [], "grants": []`), []string{"granularity is true"}},
		{"exact as text", ceiling(`"granularity": "count", "exact": "false", "rule": "r", "visas": [], "grants": []`), []string{"exact is"}},
		{"misspelt exact", ceiling(`"granularity": "count", "exakt": false, "rule": "r", "visas": [], "grants": []`), []string{"exakt"}},
		{"no rule", ceiling(`"granularity": "count", "exact": false, "visas": [], "grants": []`), []string{"lacks one of"}},
		{"empty rule", ceiling(`"granularity": "count", "exact": false, "rule": "", "visas": [], "grants": []`), []string{"rule is"}},
		{"visas as text", ceiling(`"granularity": "count", "exact": false, "rule": "r", "visas": "x", "grants": []`), []string{"visas is"}},
		{"visas that are no text", ceiling(`"granularity": "count", "exact": false, "rule": "r", "visas": [1], "grants": []`), []string{"visas is"}},
		{"until as text", ceiling(`"granularity": "count", "exact": false, "rule": "r", "visas": [], "grants": [], "until": "never"`), []string{"until is"}},
		{"until zero", ceiling(`"granularity": "count", "exact": false, "rule": "r", "visas": [], "grants": [], "until": 0`), []string{"until is 0"}},
		{"missing not text", publicOnly + "\nmissing[d.id] contains 1 if some d in input.datasets\n", []string{"missing: want text"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := policy.Load(t.Context(), alone(c.text))
			if !errors.Is(err, policy.ErrPolicy) {
				t.Fatalf("Load: %v, want ErrPolicy", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q:\n%v", want, err)
				}
			}
		})
	}
}

func TestLoadRefusesDirectories(t *testing.T) {
	large := publicOnly + strings.Repeat("#", policy.MaxFileBytes)
	many := fstest.MapFS{}
	for i := range policy.MaxFiles + 1 {
		many[strings.Repeat("a", i+1)+".rego"] = &fstest.MapFile{Data: []byte(publicOnly)}
	}
	for _, c := range []struct {
		name string
		fsys fstest.MapFS
		want string
	}{
		{"empty", fstest.MapFS{}, "no .rego file"},
		{"tests only", fstest.MapFS{"access_test.rego": {Data: []byte(publicOnly)}}, "no .rego file"},
		{"empty file", alone(""), "access.rego"},
		{"too large", alone(large), "over"},
		{"too many", many, "more than"},
		{"not UTF-8", alone(publicOnly + "# \xff"), "not UTF-8"},
		{"data beside it", fstest.MapFS{"access.rego": {Data: []byte(publicOnly)}, "data.json": {Data: []byte("{}")}}, "data files are not read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := policy.Load(t.Context(), c.fsys)
			if !errors.Is(err, policy.ErrPolicy) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Load: %v, want ErrPolicy and %q", err, c.want)
			}
		})
	}
	if _, err := policy.Load(t.Context(), nil); !errors.Is(err, policy.ErrPolicy) {
		t.Errorf("Load(nil): %v", err)
	}
	if _, err := policy.Load(t.Context(), os.DirFS("testdata/none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Load of a directory that is not there: %v", err)
	}
}

// A policy that never ends must not keep the node from starting.
func TestLoadEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := policy.Load(ctx, configs.Policy()); err == nil {
		t.Error("Load with a context that is over succeeded")
	}
}

func TestRevisionFollowsNamesAndContents(t *testing.T) {
	base := load(t, alone(publicOnly)).Revision()
	if again := load(t, alone(publicOnly)).Revision(); again != base {
		t.Error("the same files have two revisions")
	}
	withTest := fstest.MapFS{"access.rego": {Data: []byte(publicOnly)}, "a_test.rego": {Data: []byte("package x")}}
	if load(t, withTest).Revision() != base {
		t.Error("a test file changes the revision, though it decides nothing")
	}
	for name, fsys := range map[string]fstest.MapFS{
		"a comment":    alone(publicOnly + "# more"),
		"another name": {"other.rego": {Data: []byte(publicOnly)}},
		"a file more":  {"access.rego": {Data: []byte(publicOnly)}, "b.rego": {Data: []byte("package b")}},
	} {
		if load(t, fsys).Revision() == base {
			t.Errorf("%s does not change the revision", name)
		}
	}
}

func TestCheckRunsTheOperatorsTests(t *testing.T) {
	fsys := alone(publicOnly)
	fsys["access_test.rego"] = &fstest.MapFile{Data: []byte(`package x_test

import data.candig.access

question := {"datasets": [{"id": "d", "access": "public"}]}

test_holds if access.ceilings.d with input as question

test_fails if not access.ceilings.d with input as question
`)}
	report, err := policy.Check(t.Context(), fsys)
	if err != nil {
		t.Fatal(err)
	}
	if report.Passed() || len(report.Tests) != 2 {
		t.Fatalf("passed: %t, %d tests; want one of two to fail", report.Passed(), len(report.Tests))
	}
	for _, test := range report.Tests {
		if test.Passed != (test.Name == "x_test.test_holds") || test.File != "access_test.rego" || test.Line == 0 {
			t.Errorf("%+v", test)
		}
	}
	if report.Coverage <= 0 || report.Coverage >= 100 || !slices.Contains(report.NotCovered, "access.rego:3") {
		t.Errorf("coverage %v, not covered %v", report.Coverage, report.NotCovered)
	}
	fsys["access_test.rego"].Data = []byte("package x_test\n\ntest_x if time.now_ns() > 0\n")
	if _, err := policy.Check(t.Context(), fsys); !errors.Is(err, policy.ErrPolicy) {
		t.Errorf("a test that reads the clock: %v", err)
	}
}

var update = flag.Bool("update", false, "write testdata anew")

// The functions that a policy may call are on record: a newer engine with
// another one shows here, and somebody decides whether it is pure.
func TestAllowedBuiltins(t *testing.T) {
	names := slices.Sorted(slices.Values(policy.AllowedBuiltins()))
	got := strings.Join(names, "\n") + "\n"
	const golden = "testdata/builtins.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("policies may call other functions than testdata/builtins.txt says; look at each that is new, then run with -update")
	}
	for _, b := range ast.CapabilitiesForThisVersion().Builtins {
		if b.Nondeterministic && slices.Contains(names, b.Name) {
			t.Errorf("%s is not pure", b.Name)
		}
	}
}
