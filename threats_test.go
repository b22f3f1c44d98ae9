package candignode_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// threats are those that the design of the trust protocol wants played by name (its section 12).
var threats = []string{
	"forged key below the threshold",
	"Sybil voters",
	"signing as another site",
	"key of issuer A offered for B",
	"rollback",
	"freeze",
	"equivocation",
	"mix-and-match of records",
	"fast-forward of versions",
	"stolen root",
	"future-dated records",
	"one peer revoking or emptying good keys",
	"resurrection after a tombstone",
	"one hijacked vantage",
	"total key replacement",
	"SSRF through gossiped addresses",
	"unknown-kid storm",
	"memory exhaustion",
	"forged membership packets",
	"expelled site keeps its session",
	"parser differentials",
	"weak keys",
	"restore from an old backup",
	"harvested visas replayed elsewhere",
	"replay of a forwarded query on the same, another and a restarted connection",
	"second hop",
	"invented user",
	"clock rollback",
	"user data in gossip",
}

// Each threat stands in docs/threat-model.md with tests that there are: a table that nobody checks says what was once so.
func TestEachThreatIsPlayedByATest(t *testing.T) {
	page, err := os.ReadFile("docs/threat-model.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(page), "## The threats of the protocol, by name\n")
	if !found {
		t.Fatal("docs/threat-model.md has no table of the threats")
	}
	table, _, _ = strings.Cut(table, "\n## ")
	var told []string
	for _, row := range regexp.MustCompile(`(?m)^\| (.*?) \| (.*?) \|$`).FindAllStringSubmatch(table, -1) {
		if row[1] == "threat" {
			continue
		}
		told = append(told, row[1])
		tests := regexp.MustCompile("`([^`]*)\\.(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(row[2], -1)
		if len(tests) == 0 {
			t.Errorf("%s: no test is named", row[1])
		}
		for _, test := range tests {
			if !slices.Contains(testsIn(t, test[1]), test[2]) {
				t.Errorf("%s: there is no %s in %s", row[1], test[2], test[1])
			}
		}
	}
	if want, got := slices.Sorted(slices.Values(threats)), slices.Sorted(slices.Values(told)); !slices.Equal(want, got) {
		t.Errorf("the table has %q, and the design %q", got, want)
	}
}

// testsIn gives the tests of a package by its directory.
func testsIn(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(filepath.FromSlash(dir), "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var tests []string
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range parsed.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil {
				tests = append(tests, f.Name.Name)
			}
		}
	}
	return tests
}
