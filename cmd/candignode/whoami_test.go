package main

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/candignode/candignode/api"
	"github.com/candignode/candignode/trust"
)

// Whatever reason a node gives, the researcher is told what to do.
func TestThereIsAdviceForEveryReason(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "..", "trust", "reason.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	reasons := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Reason") {
			return true
		}
		code, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		reasons++
		if advice[trust.Reason(code)] == "" {
			t.Errorf("no advice for %s", code)
		}
		return true
	})
	if reasons < 30 {
		t.Errorf("only %d reasons found", reasons)
	}
	if adviceFor("of a newer node") == "" {
		t.Error("no advice for a reason that nobody knows")
	}
}

func TestWhoamiInWords(t *testing.T) {
	until := time.Now().Add(time.Hour)
	var out strings.Builder
	err := printWhoami(&out, api.Whoami{
		Caller: api.Caller{Issuer: "https://idp", Subject: "s", Linked: []api.Identity{{Issuer: "https://other", Subject: "s2"}}}, Until: &until,
		Visas: []api.Visa{
			{Issuer: "https://dac", Subject: "x", Type: "ControlledAccessGrants", Value: "v", Source: "src", By: "dac", Accepted: true, Until: &until},
			{Issuer: "https://dac", Subject: "x", Type: "ControlledAccessGrants", Value: "v", Source: "src", Reason: "conditions", Detail: "needs an affiliation"},
			{Reason: "", Value: "\x1b[31m"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"You are s at https://idp, until " + when(until), "You are also s2 at https://other.\n", "1 of 3 visas count here", "said by dac, signed by https://dac", "about x there",
		"counts until " + when(until), "does not count: needs an affiliation (conditions)\n  What to do: show the visas", "the node does not say why",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing from\n%s", want, &out)
		}
	}
	if strings.ContainsRune(out.String(), 0x1b) {
		t.Error("a control character reached the terminal")
	}
}

// Whatever a node says reaches the terminal as text: no escape sequence clears the
// screen, changes the title, or writes over what was said before.
func TestWhatANodeSaysIsPrintedAsText(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, `{"title":"t","status":403,"detail":"no\u001b[2J\u001b]0;x\u0007\u009b31m\r\u202egood","reason":"\u001b[1A"}`)
	}))
	defer node.Close()
	for _, args := range [][]string{
		{"whoami", "--url", node.URL}, {"query", "g_variants", "--url", node.URL, "--assembly", "GRCh37", "--chrom", "22", "--start", "16050074", "--ref", "A", "--alt", "G"}, {"login", "--url", node.URL},
	} {
		var out, notes bytes.Buffer
		if code := run(args, &out, &notes); code == 0 {
			t.Errorf("%v succeeded", args)
		}
		said := out.String() + notes.String()
		for _, r := range said {
			if r != '\n' && r != unicode.ReplacementChar && !unicode.IsPrint(r) {
				t.Errorf("%v: %q is not only text", args, said)
				break
			}
		}
	}
}
