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
	"github.com/open-policy-agent/opa/v1/rego"

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

// prepare makes the one query that a decision evaluates. The comprehensions keep
// it defined when the policy says nothing at all.
func prepare(ctx context.Context, compiler *ast.Compiler) (rego.PreparedEvalQuery, error) {
	return rego.New(
		rego.Query("ceilings := [x | x := "+entryPoint+".ceilings]; missing := [x | x := "+entryPoint+".missing]"),
		rego.Compiler(compiler),
		rego.StrictBuiltinErrors(true),
		rego.GenerateJSON(func(t *ast.Term, _ *rego.EvalContext) (any, error) { return t.Value, nil }),
	).PrepareForEval(ctx)
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
