package candignode_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The rules of the house, with the reason beside each. docs/architecture.md draws
// the picture. The files are read with go/parser rather than `go list`: a test that
// shells out is served stale from the test cache.

const module = "github.com/candignode/candignode"

// floors: an import goes to a lower floor only, so data flows one way and no
// part is told about a neighbour after being built.
var floors = map[string]int{
	"trust": 0, "api": 0, "configs": 0, // nouns: the standard library only
	"query": 1,
	// Pure, given bytes or values. jose stands below beacon, which decodes
	// with it.
	"trust/access": 2, "trust/audit": 2, "trust/jose": 2,
	"query/privacy": 3, "trust/policy": 3, "query/beacon": 3,
	"trust/passport": 4, "trust/passport/passporttest": 5, "trust/claims": 4, "trust/proof": 4,
	"trust/issuers": 5, "query/local": 5, "federation": 5, // desks
	"trust/bearer": 5, "trust/polling": 5, "trust/members": 5,
	// What this node signs for people: mint writes tokens, the desks hold the keys.
	"trust/mint": 4, "trust/dac": 5, "trust/broker": 5,
	"trust/roots": 3,                                                                                      // who a site is: pure, given records
	"store":       6, "federation/gossip": 6, "federation/wire": 6, "trust/discovery": 6, "trust/oidc": 6, // wires
	"query/source/variants": 6, "node/config": 6, "node/session": 6, "node/rootkey": 6,
	"node/web": 7, "node/admin": 7, // doors: decode, call one desk, encode
	"node":            8, // the one room where everything is plugged in
	"simulate/cohort": 0, "simulate/idp": 6, "simulate": 9, "simulate/providers": 9, "simulate/protocol": 9,
	"cmd/candignode": 10,
	"docs/vectors":   10, // tests only: the published vectors, and what holds the node to them
}

// owners: each library is used by one package, so that replacing or
// distrusting it touches one place.
var owners = map[string][]string{
	"github.com/lestrrat-go/jwx":            {"trust/jose"},
	"github.com/go-json-experiment/json":    {"trust/jose"},
	"github.com/open-policy-agent/opa":      {"trust/policy"},
	"github.com/quic-go/quic-go":            {"federation/wire"},
	"github.com/hashicorp/memberlist":       {"federation/gossip"},
	"go.etcd.io/bbolt":                      {"store", "query/source/variants"}, // state and releases share nothing: docs/decisions/0002
	"go.yaml.in/yaml":                       {"node/config"},
	"github.com/prometheus/client_golang":   {"node"},
	"github.com/spf13/cobra":                {"cmd/candignode"},
	"github.com/vbauerster/mpb":             {"cmd/candignode"},
	"github.com/coreos/go-systemd":          {"cmd/candignode"},
	"github.com/rogpeppe/go-internal":       {"cmd/candignode"},
	"github.com/santhosh-tekuri/jsonschema": {"query/beacon", "node/web", "node"}, // tests only
	"filippo.io/age":                        {"node/rootkey"},
	"golang.org/x/term":                     {"cmd/candignode"},
	"golang.org/x/oauth2":                   {"trust/oidc"},
	"golang.org/x/sync":                     nil,
	"golang.org/x/time":                     nil,
	"golang.org/x/sys":                      nil,
	"golang.org/x/crypto":                   nil,
	"pgregory.net/rapid":                    nil, // tests only
	"go.uber.org/goleak":                    nil, // tests only
	"github.com/go-jose/go-jose":            {},  // nobody: jwx behind trust/jose is ours
	"github.com/golang-jwt/jwt":             {},
	"gopkg.in/yaml.v3":                      {},
	"github.com/lestrrat-go/jwx/v3":         {},
	"encoding/gob":                          {},
	"github.com/sirupsen/logrus":            {},
	"log":                                   {}, // slog is handed in; memberlist's logger is bridged without it
}

// noSockets: nouns, pure packages and desks do no I/O, so that they run in fake
// time and can be replayed.
const firstFloorWithIO = 6

var ioPackages = []string{"net", "net/http", "os", "os/exec", "crypto/tls"}

type file struct {
	path string // slash-separated, from the module's root
	pkg  string
	test bool
	ast  *ast.File
	fset *token.FileSet
	size int
}

func goFiles(t *testing.T) []file {
	t.Helper()
	var files []file
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		src, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		fset := token.NewFileSet()
		parsed, err := parser.ParseFile(fset, name, src, parser.ParseComments)
		if err != nil {
			return err
		}
		slash := filepath.ToSlash(name)
		files = append(files, file{
			path: slash, pkg: path.Dir(slash), test: strings.HasSuffix(slash, "_test.go"),
			ast: parsed, fset: fset, size: strings.Count(string(src), "\n"),
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 20 {
		t.Fatalf("only %d Go files found: the walk is wrong", len(files))
	}
	return files
}

func imports(f file) []string {
	var paths []string
	for _, spec := range f.ast.Imports {
		p, _ := strconv.Unquote(spec.Path.Value)
		paths = append(paths, p)
	}
	return paths
}

func TestImportsGoDown(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.pkg == "." {
			continue
		}
		floor, known := floors[f.pkg]
		if !known {
			t.Errorf("%s: package %s has no floor; give it one in arch_test.go and draw it in docs/architecture.md", f.path, f.pkg)
			continue
		}
		if f.test {
			continue // tests may put a desk and its wires together
		}
		for _, p := range imports(f) {
			inner, ours := strings.CutPrefix(p, module+"/")
			if !ours {
				continue
			}
			if lower, ok := floors[inner]; !ok || lower >= floor {
				t.Errorf("%s (floor %d) imports %s (floor %d): imports go to a lower floor only", f.path, floor, inner, lower)
			}
		}
	}
}

func TestLibrariesHaveOneOwner(t *testing.T) {
	for _, f := range goFiles(t) {
		for _, p := range imports(f) {
			best := ""
			for library := range owners {
				below := strings.HasPrefix(p, library+"/") && strings.Contains(library, ".") // log is not log/slog
				if (p == library || below) && len(library) > len(best) {
					best = library
				}
			}
			switch {
			case best == "" && strings.Contains(strings.SplitN(p, "/", 2)[0], ".") && !strings.HasPrefix(p, module):
				t.Errorf("%s imports %s, which has no owner; name one in arch_test.go", f.path, p)
			case best == "" || owners[best] == nil:
			case !slices.Contains(owners[best], f.pkg) && !(f.test && len(owners[best]) > 0):
				t.Errorf("%s imports %s, which belongs to %v", f.path, p, owners[best])
			}
		}
	}
}

func TestPurePackagesDoNoIO(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.test || f.pkg == "." || floors[f.pkg] >= firstFloorWithIO || f.pkg == "api" {
			continue // api holds the command line's HTTP client
		}
		for _, p := range imports(f) {
			if slices.Contains(ioPackages, p) {
				t.Errorf("%s imports %s: below floor %d there are no sockets and no files", f.path, p, firstFloorWithIO)
			}
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	comments := map[string]int{}
	for _, f := range goFiles(t) {
		if f.test || f.pkg == "." {
			continue
		}
		comments[f.pkg] += 0
		if f.ast.Doc != nil {
			comments[f.pkg]++
		}
	}
	for pkg, n := range comments {
		if n != 1 {
			t.Errorf("package %s has %d package comments, want one", pkg, n)
		}
	}
}

func TestSmells(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.test {
			continue
		}
		if f.size > 400 {
			t.Errorf("%s has %d lines, at most 400: is it one idea?", f.path, f.size)
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				smellsOfFunc(t, f, n)
			case *ast.InterfaceType:
				if n.Methods.NumFields() > 6 {
					t.Errorf("%s: an interface with %d methods, at most 6", f.fset.Position(n.Pos()), n.Methods.NumFields())
				}
			case *ast.CallExpr:
				if id, ok := n.Fun.(*ast.Ident); ok && id.Name == "panic" {
					t.Errorf("%s: panic; return an error that names what is wrong", f.fset.Position(n.Pos()))
				}
			}
			return true
		})
	}
}

var setter = regexp.MustCompile(`^Set[A-Z]`)

func smellsOfFunc(t *testing.T, f file, n *ast.FuncDecl) {
	at := f.fset.Position(n.Pos())
	if lines := f.fset.Position(n.End()).Line - at.Line; lines > 80 {
		t.Errorf("%s: %s has %d lines, at most 80", at, n.Name.Name, lines)
	}
	if count := n.Type.Params.NumFields(); count > 6 {
		t.Errorf("%s: %s takes %d arguments, at most 6", at, n.Name.Name, count)
	}
	if n.Recv == nil && n.Name.Name == "init" {
		t.Errorf("%s: init(); build it where it is plugged in", at)
	}
	if n.Recv != nil && setter.MatchString(n.Name.Name) {
		t.Errorf("%s: %s after New; the cut is wrong", at, n.Name.Name)
	}
}

// Every exported sentinel that a person may meet has a line in docs/errors.md
// that says what it means and what to do.
func TestErrorsAreExplained(t *testing.T) {
	page, err := os.ReadFile("docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range goFiles(t) {
		if f.test || f.pkg == "." {
			continue
		}
		for _, decl := range f.ast.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.VAR {
				continue
			}
			for _, spec := range gen.Specs {
				for _, name := range spec.(*ast.ValueSpec).Names {
					full := f.pkg + "." + name.Name
					if strings.HasPrefix(name.Name, "Err") && !strings.Contains(string(page), "`"+full+"`") {
						t.Errorf("%s: docs/errors.md has no line for `%s`", f.fset.Position(name.Pos()), full)
					}
				}
			}
		}
	}
}

// The project speaks of itself only, and of no machine it was written on.
func TestNoPathOfAMachine(t *testing.T) {
	for _, f := range goFiles(t) {
		ast.Inspect(f.ast, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if ok && lit.Kind == token.STRING && (strings.Contains(lit.Value, "/work"+"/") || strings.Contains(lit.Value, "/ro"+"ot/")) {
				t.Errorf("%s: %s", f.fset.Position(n.Pos()), lit.Value)
			}
			return true
		})
	}
}
