package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the scripts, the documents and the process tests run this very
// binary as candignode.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"candignode": func() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) },
	})
}

// The command line, as testdata/script says it behaves.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script", Setup: clean, RequireUniqueNames: true})
}

func clean(env *testscript.Env) error {
	env.Setenv("CANDIGNODE_URL", "")
	env.Setenv("CANDIGNODE_PASSPORT_FILE", "")
	env.Setenv("TMPDIR", env.WorkDir)
	if shell, err := exec.LookPath("bash"); err == nil {
		env.Setenv("BASH_PATH", shell)
	}
	return nil
}

// The blocks marked "sh run" in the documents do what the text around them says:
// they are run, in order, in one directory for each document.
func TestDocumentsRun(t *testing.T) {
	shell, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash here; the documents' commands are written for it")
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/docs", Setup: func(env *testscript.Env) error {
			script, err := documentScript(filepath.Join("..", "..", "docs", "operator.md"))
			if err != nil {
				return err
			}
			env.Setenv("BASH_PATH", shell)
			return os.WriteFile(filepath.Join(env.WorkDir, "operator.sh"), script, 0o600)
		},
	})
}

func documentScript(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var script strings.Builder
	inside := false
	for line := range strings.Lines(string(text)) {
		switch strings.TrimSpace(line) {
		case "```sh run":
			inside = true
		case "```":
			inside = false
		default:
			if inside {
				script.WriteString(line)
			}
		}
	}
	return []byte(script.String()), nil
}

// Every candignode command that a document shows exists, with the flags it is
// shown with.
func TestDocumentsShowCommandsThatExist(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join("..", "..", "docs", "*.md"))
	if err != nil || len(pages) < 4 {
		t.Fatal(pages, err)
	}
	checked := 0
	for _, page := range append(pages, filepath.Join("..", "..", "README.md")) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		inside := false
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "```") {
				inside = strings.HasPrefix(line, "```sh")
				continue
			}
			if words := strings.Fields(line); inside && len(words) > 1 && words[0] == "candignode" {
				checked++
				commandExists(t, page, words[1:])
			}
		}
	}
	if checked < 10 {
		t.Errorf("only %d commands found in the documents", checked)
	}
}

func commandExists(t *testing.T, page string, words []string) {
	t.Helper()
	cmd, rest, err := rootCommand().Find(words)
	if err != nil || !cmd.Runnable() || cmd.HasSubCommands() {
		t.Errorf("%s shows 'candignode %s': no such command", page, strings.Join(words, " "))
		return
	}
	for _, word := range rest {
		name, isFlag := strings.CutPrefix(word, "--")
		name, _, _ = strings.Cut(name, "=")
		if isFlag && cmd.Flags().Lookup(name) == nil {
			t.Errorf("%s shows 'candignode %s': no flag --%s", page, strings.Join(words, " "), name)
		}
	}
}
