package policy

import (
	"bytes"
	"context"
	_ "embed" // for the schema of the input
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/candignode/candignode/trust"
)

// ErrPolicy is wrapped by every error about a policy's files: what Load refuses.
var ErrPolicy = errors.New("policy refused")

const (
	entryPoint = "data.candig.access" // the package that is asked
	testSuffix = "_test.rego"
)

//go:embed input.schema.json
var inputSchema []byte

// file is one source file of a policy.
type file struct {
	name string // slash-separated, relative to the policy's directory
	text []byte
}

// readFiles gives the .rego files of a directory and those below it, sorted by
// name. Data files are refused, for a policy that refers to data which is not there
// would silently lack it.
func readFiles(fsys fs.FS) ([]file, error) {
	if fsys == nil {
		return nil, fmt.Errorf("%w: no directory", ErrPolicy)
	}
	var files []file
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return nil
		}
		switch path.Ext(name) {
		case ".rego":
		case ".json", ".yaml", ".yml":
			return fmt.Errorf("%q: data files are not read; write the data as rules in a .rego file", name)
		default:
			return nil
		}
		if len(files) == MaxFiles {
			return fmt.Errorf("more than %d .rego files", MaxFiles)
		}
		text, err := readFile(fsys, name)
		files = append(files, file{name, text})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPolicy, err)
	}
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	return files, nil
}

func readFile(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxFileBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%q: %w", name, err)
	case len(text) > MaxFileBytes:
		return nil, fmt.Errorf("%q: over %d bytes", name, MaxFileBytes)
	case !utf8.Valid(text):
		return nil, fmt.Errorf("%q: not UTF-8", name)
	}
	return text, nil
}

// split parts the policy from its tests.
func split(files []file) (policy, tests []file) {
	for _, f := range files {
		if strings.HasSuffix(f.name, testSuffix) {
			tests = append(tests, f)
		} else {
			policy = append(policy, f)
		}
	}
	return policy, tests
}

// parse reads modules in Rego v1. All files' errors come at once.
func parse(files []file) (map[string]*ast.Module, error) {
	modules := make(map[string]*ast.Module, len(files))
	var errs []error
	for _, f := range files {
		module, err := ast.ParseModuleWithOpts(f.name, string(f.text), ast.ParserOptions{
			RegoVersion:  ast.RegoV1,
			Capabilities: capabilities(),
		})
		if err == nil && module == nil {
			err = fmt.Errorf("%s: empty", f.name)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		modules[f.name] = module
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("%w: %w", ErrPolicy, errors.Join(errs...))
	}
	return modules, nil
}

// newCompiler gives a strict compiler with the functions that a policy may
// call. Calls of print are dropped: a policy has no output but its decision.
func newCompiler() *ast.Compiler {
	return ast.NewCompiler().WithCapabilities(capabilities()).WithStrict(true).WithEnablePrintStatements(false)
}

func compile(modules map[string]*ast.Module) (*ast.Compiler, error) {
	decoder := json.NewDecoder(bytes.NewReader(inputSchema))
	decoder.UseNumber()
	var schema any
	if err := decoder.Decode(&schema); err != nil {
		return nil, fmt.Errorf("input schema: %w", err)
	}
	schemas := ast.NewSchemaSet()
	schemas.Put(ast.SchemaRootRef, schema)
	compiler := newCompiler().WithSchemas(schemas)
	compiler.Compile(modules)
	if compiler.Failed() {
		return nil, fmt.Errorf("%w: %w", ErrPolicy, compiler.Errors)
	}
	return compiler, errors.Join(checkEntryPoints(compiler), checkReferences(compiler))
}

func checkEntryPoints(compiler *ast.Compiler) error {
	var errs []error
	for _, name := range []string{"ceilings", "visa_types"} {
		if len(compiler.GetRules(ast.MustParseRef(entryPoint+"."+name))) == 0 {
			errs = append(errs, fmt.Errorf("%w: %s.%s is missing: define it in package %s",
				ErrPolicy, entryPoint, name, strings.TrimPrefix(entryPoint, "data.")))
		}
	}
	return errors.Join(errs...)
}

// checkReferences refuses references to documents that no file defines. The
// engine takes them for undefined, and `not undefined` is true: a misspelt
// block list would block nobody.
func checkReferences(compiler *ast.Compiler) error {
	var errs []error
	check := func(ref ast.Ref) bool {
		prefix := ref.GroundPrefix()
		if ref.HasPrefix(ast.DefaultRootRef) && len(compiler.GetRules(prefix)) == 0 {
			where := ""
			if l := ref[0].Location; l != nil {
				where = fmt.Sprintf("%s:%d: ", l.File, l.Row)
			}
			errs = append(errs, fmt.Errorf("%w: %s%s is defined nowhere in the policy", ErrPolicy, where, prefix))
		}
		return false
	}
	for _, name := range slices.Sorted(maps.Keys(compiler.Modules)) {
		for _, rule := range compiler.Modules[name].Rules {
			ast.WalkRefs(rule, check)
		}
	}
	return errors.Join(errs...)
}

// question is the one query that a decision evaluates. The comprehensions keep it
// defined when the policy says nothing at all. What is missing is asked only when
// some dataset has no ceiling: most callers of scripts are let in.
const question = `ceilings = [x | x := data.candig.access.ceilings]
missing = [x | count([d | some d in input.datasets; count(ceilings[0][d.id]) > 0]) != count(input.datasets); x := data.candig.access.missing]`

// prepared is the compiled question. The engine's own wrapper, package rego,
// costs as much again as a small decision.
type prepared struct {
	compiler *ast.Compiler
	query    ast.QueryCompiler
	body     ast.Body
	store    storage.Store // empty: a policy has no data but its input
}

func prepare(compiler *ast.Compiler) (prepared, error) {
	parsed, err := ast.ParseBodyWithOpts(question, ast.ParserOptions{RegoVersion: ast.RegoV1})
	if err != nil {
		return prepared{}, err
	}
	p := prepared{compiler: compiler, query: compiler.QueryCompiler().WithStrict(false), store: inmem.New()}
	if p.body, err = p.query.Compile(parsed); err != nil {
		return p, fmt.Errorf("%w: ceilings: want an object of sets by dataset, as `ceilings[id] contains ...` makes: %w", ErrPolicy, err)
	}
	return p, nil
}

// run evaluates the question. What cancels ctx ends it.
func (p prepared) run(ctx context.Context, input ast.Value) (ceilings, missing ast.Value, err error) {
	cancel := topdown.NewCancel()
	stop := context.AfterFunc(ctx, cancel.Cancel)
	defer stop()
	txn, err := p.store.NewTransaction(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer p.store.Abort(ctx, txn)
	results := 0
	err = topdown.NewQuery(p.body).
		WithQueryCompiler(p.query).
		WithCompiler(p.compiler).
		WithStore(p.store).
		WithTransaction(txn).
		WithInput(ast.NewTerm(input)).
		WithCancel(cancel).
		WithMetrics(metrics.NoOp()).
		WithStrictBuiltinErrors(true).
		Iter(ctx, func(bound topdown.QueryResult) error {
			results++
			ceilings, missing = value(bound, "ceilings"), value(bound, "missing")
			return nil
		})
	if err == nil && results != 1 {
		err = fmt.Errorf("%d results", results)
	}
	return ceilings, missing, err
}

func value(bound topdown.QueryResult, name ast.Var) ast.Value {
	if t := bound[name]; t != nil {
		return t.Value
	}
	return nil
}

// revision digests names and contents, so that any change shows.
func revision(files []file) string {
	var all bytes.Buffer
	for _, f := range files {
		fmt.Fprintf(&all, "%d %s %d\n", len(f.name), f.name, len(f.text))
		all.Write(f.text)
	}
	return trust.DigestOf(all.Bytes()).String()
}
