package candignode_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var updateConformance = flag.Bool("update", false, "write docs/conformance.md anew")

const conformancePage = "docs/conformance.md"

// section is a part of the requirements; its rows stand in requirements_test.go.
type section struct {
	title    string
	from, to int
}

var sections = []section{
	{"A. Passport token", 1, 11}, {"B. Visa token", 12, 21}, {"C. Visa object claims", 22, 31}, {"D. Conditions", 32, 41},
	{"E. Identity and linked identities", 42, 47}, {"F. Trust", 48, 52}, {"G. Expiry, polling, revocation", 53, 64},
	{"H. Access tokens, UserInfo, introspection", 65, 71}, {"I. Token exchange", 72, 79}, {"J. Aggregated and distributed claims", 80, 90},
	{"K. Issuer identifiers, metadata, key sets", 91, 99}, {"L. JOSE hardening", 100, 108}, {"M. Sender constraint and OAuth", 109, 112},
	{"N. Visa issuer", 113, 117}, {"O. OpenID Federation", 118, 131}, {"P. Beacon v2, DRS, service-info", 132, 140},
}

// notCovered is the section that this version does not implement.
const notCovered = "O. OpenID Federation"

// rowsIn finds the rows that a text names: "row 47", "rows 57 to 60", "rows 12, 13 and 15".
var (
	rowWords = regexp.MustCompile(`(?i)\brows?\s+(\d{1,3}(?:(?:\s*(?:,|and|or|to|-)\s*)+\d{1,3})*)`)
	rowRange = regexp.MustCompile(`(\d{1,3})(?:\s*(?:to|-)\s*(\d{1,3}))?`)
	newLine  = regexp.MustCompile(`\n[ \t]*(//|#)?[ \t]*`)
)

func rowsIn(text string) []int {
	var found []int
	for _, match := range rowWords.FindAllStringSubmatch(newLine.ReplaceAllString(text, " "), -1) {
		for _, span := range rowRange.FindAllStringSubmatch(match[1], -1) {
			from, _ := strconv.Atoi(span[1])
			to := from
			if span[2] != "" {
				to, _ = strconv.Atoi(span[2])
			}
			for row := from; row <= to && row <= 140; row++ {
				found = append(found, row)
			}
		}
	}
	return found
}

// testRef names a test: a function of a package, or a script.
type testRef struct{ file, name string }

func (r testRef) String() string { return "`" + path.Dir(r.file) + "." + r.name + "`" }

// otherRows are files whose rows are those of data, not of the requirements.
var otherRows = []string{"query/source/variants/", "simulate/cohort/", "docs/vectors/"}

// testsByRow reads every test of the project.
func testsByRow(t *testing.T) map[int][]testRef {
	t.Helper()
	found := map[int][]testRef{}
	add := func(ref testRef, text string) {
		for _, row := range rowsIn(text) {
			if !slices.Contains(found[row], ref) {
				found[row] = append(found[row], ref)
			}
		}
	}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if d.IsDir() && name != "." && strings.HasPrefix(d.Name(), ".") {
			return filepath.SkipDir
		}
		if d.IsDir() || slices.ContainsFunc(otherRows, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) || name == "conformance_test.go" {
			return nil
		}
		switch {
		case strings.HasSuffix(name, "_test.go") && !strings.Contains(name, "testdata/"):
			return goTests(name, add)
		case strings.HasSuffix(name, "_test.rego"), strings.HasSuffix(name, ".txtar"):
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			if strings.HasSuffix(name, ".rego") {
				regoTests(name, string(text), add)
			} else {
				add(testRef{name, path.Base(name)}, string(text))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, refs := range found {
		slices.SortFunc(refs, func(a, b testRef) int { return strings.Compare(a.String(), b.String()) })
	}
	return found
}

// goTests takes each test function with its comment and its body.
func goTests(name string, add func(testRef, string)) error {
	src, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	fset := token.NewFileSet()
	parsed, err := parser.ParseFile(fset, name, src, parser.ParseComments)
	if err != nil {
		return err
	}
	for _, decl := range parsed.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok || f.Recv != nil || !isTest(f.Name.Name) {
			continue
		}
		from := f.Pos()
		if f.Doc != nil {
			from = f.Doc.Pos()
		}
		add(testRef{name, f.Name.Name}, string(src[fset.Position(from).Offset:fset.Position(f.End()).Offset]))
	}
	return nil
}

func isTest(name string) bool {
	return strings.HasPrefix(name, "Test") || strings.HasPrefix(name, "Fuzz") || strings.HasPrefix(name, "Benchmark")
}

var regoTest = regexp.MustCompile(`(?m)^((?:#.*\n)*)(test_[a-z0-9_]+)`)

// regoTests takes each rule test_... with the comment above it.
func regoTests(name, text string, add func(testRef, string)) {
	for _, match := range regoTest.FindAllStringSubmatch(text, -1) {
		add(testRef{name, match[2]}, match[1]+" "+strings.ReplaceAll(match[2], "_", " "))
	}
}

// vectorsByRow counts the published vectors.
func vectorsByRow(t *testing.T) map[int]int {
	t.Helper()
	names, err := filepath.Glob("docs/vectors/[0-9]*.json")
	if err != nil || len(names) < 10 {
		t.Fatal(names, err)
	}
	count := map[int]int{}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var file struct {
			Vectors []struct {
				Rows []int  `json:"rows"`
				Kind string `json:"kind"`
			} `json:"vectors"`
		}
		if err := json.Unmarshal(data, &file); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, v := range file.Vectors {
			for _, row := range v.Rows {
				if v.Kind != "behaviour" {
					count[row]++
				}
			}
		}
	}
	return count
}

// conformance writes the page.
func conformance(tests map[int][]testRef, vectors map[int]int) string {
	var b strings.Builder
	b.WriteString(`# Conformance: every requirement and its tests

The requirements are those that GA4GH AAI 1.2, GA4GH Passport 1.2, OpenID Connect, the OAuth and JOSE RFCs, OpenID Federation, Beacon v2
and DRS put on a site of this kind, numbered once and for all. A test that names a row stands beside it, as package and function; the vectors are
those of [docs/vectors](vectors/README.md), which are run in process and at the door of a running node. The page is generated: ` + "`go test . -run TestConformance -update`" + `.
A row without a test fails the build.
`)
	for _, s := range sections {
		fmt.Fprintf(&b, "\n## %s\n\n", s.title)
		if s.title == notCovered {
			fmt.Fprintf(&b, "Rows %d to %d are not covered yet: this version is no entity of an OpenID federation, and takes no trust from one.\n", s.from, s.to)
			continue
		}
		b.WriteString("| row | requirement | tests | vectors |\n|---|---|---|---|\n")
		for row := s.from; row <= s.to; row++ {
			var names []string
			for _, ref := range tests[row] {
				names = append(names, ref.String())
			}
			count := ""
			if vectors[row] > 0 {
				count = strconv.Itoa(vectors[row])
			}
			fmt.Fprintf(&b, "| %d | %s | %s | %s |\n", row, requirements[row], strings.Join(names, "<br>"), count)
		}
	}
	return b.String()
}

// The page says what the tests say, and every row of the sections that this version
// implements has a test.
func TestConformance(t *testing.T) {
	tests := testsByRow(t)
	page := conformance(tests, vectorsByRow(t))
	if *updateConformance {
		if err := os.WriteFile(conformancePage, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	committed, err := os.ReadFile(conformancePage)
	if err != nil {
		t.Fatal(err)
	}
	if string(committed) != page {
		t.Errorf("%s is not what the tests say: run go test . -run TestConformance -update", conformancePage)
	}
	for _, s := range sections {
		for row := s.from; row <= s.to && s.title != notCovered; row++ {
			if len(tests[row]) == 0 {
				t.Errorf("row %d (%s) has no test", row, requirements[row])
			}
			if requirements[row] == "" {
				t.Errorf("row %d has no title", row)
			}
		}
	}
}

var (
	pageTest  = regexp.MustCompile("`([a-z0-9/_.]+)\\.((?:Test|Fuzz|Benchmark)[A-Za-z0-9_]*)`")
	covered   = regexp.MustCompile(`"covered_by":\[([^\]]*)\]`)
	quotedRef = regexp.MustCompile(`"([a-z0-9/]+)\.(Test[A-Za-z0-9_]*)"`)
)

// Every test that the page or a vector names exists, where it says.
func TestConformanceNamesTestsThatExist(t *testing.T) {
	there := map[string]bool{}
	for _, f := range goFiles(t) {
		if !f.test {
			continue
		}
		for _, decl := range f.ast.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil {
				there[f.pkg+"."+fn.Name.Name] = true
			}
		}
	}
	page, err := os.ReadFile(conformancePage)
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, match := range pageTest.FindAllStringSubmatch(string(page), -1) {
		named[match[1]+"."+match[2]] = true
	}
	if len(named) < 100 {
		t.Fatalf("the page names %d tests: it is read wrongly", len(named))
	}
	names, err := filepath.Glob("docs/vectors/[0-9]*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, list := range covered.FindAllStringSubmatch(string(data), -1) {
			for _, match := range quotedRef.FindAllStringSubmatch(list[1], -1) {
				named[match[1]+"."+match[2]] = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		if !there[name] {
			t.Errorf("there is no test %s", name)
		}
	}
}

// What counts as naming a row is held here, for a generator that reads too little
// would call everything missing, and one that reads too much nothing.
func TestRowsAreReadAsTheyAreWritten(t *testing.T) {
	for text, want := range map[string][]int{
		"Row 5: x": {5}, "rows 57 to 60, and more": {57, 58, 59, 60}, "(rows 12, 13 and 15; V001)": {12, 13, 15}, "row 47's": {47},
		"rows 80-82": {80, 81, 82}, "// rows 12,\n// 13 and 15": {12, 13, 15}, "rows 1 to 3, 7 and 9 to 10": {1, 2, 3, 7, 9, 10},
		"arrows 5": nil, "row of 5": nil, "growth 7": nil, "rows": nil, "row 47 and 3.1.3": {47, 3},
	} {
		if got := rowsIn(text); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
