package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// demo --keep prints curl lines that work as they are printed, and ends with
// Ctrl-C.
func TestKeptDemoPrintsCurlLinesThatWork(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the demo as a process; left out with -short")
	}
	for _, tool := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s here to run the printed lines with", tool)
		}
	}
	dir, demo, notes := keptDemo(t)

	var script strings.Builder
	lines := bufio.NewScanner(notes)
	lines.Buffer(nil, 1<<20)
	asking := false
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "Ask:") {
			asking = true
			continue
		}
		if asking {
			script.WriteString(lines.Text() + "\necho\n")
		}
		if strings.Contains(lines.Text(), "candignode audit list") {
			break
		}
	}
	// The first command spans three lines: no echo within it.
	text := strings.ReplaceAll(script.String(), "\"query\"", "\x00")
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\necho\n    ", "\n    "), "\x00", "\"query\"")
	ask := exec.Command("bash", "-euo", "pipefail", "-c", text)
	ask.Env = append(os.Environ(), "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	out, err := ask.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, text, out)
	}
	answers := strings.Split(strings.TrimSpace(string(out)), "\n")
	var beacon struct {
		ResponseSummary struct {
			Exists          bool
			NumTotalResults int
		}
	}
	if err := json.Unmarshal([]byte(answers[0]), &beacon); err != nil || !beacon.ResponseSummary.Exists || beacon.ResponseSummary.NumTotalResults < 20 {
		t.Errorf("the question: %v, %.300s", err, answers[0])
	}
	if !strings.Contains(string(out), `"sub":"rosalind"`) || !strings.Contains(string(out), "forward") {
		t.Errorf("whoami or the audit list is missing: %s", out)
	}
	if err := demo.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := demo.Wait(); errors.As(err, &exit) {
		t.Errorf("Ctrl-C: exit %d", exit.ExitCode())
	}
}

// keptDemo runs the demo that stays up, as a process, until the test ends. It gives the
// directory in which the binary "candignode" is, the process, and what it prints for
// people.
func keptDemo(t *testing.T) (dir string, demo *exec.Cmd, notes io.Reader) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, err = os.MkdirTemp("", "cn")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	binary := filepath.Join(dir, "candignode")
	if err := os.Symlink(self, binary); err != nil {
		t.Fatal(err)
	}
	demo = exec.Command(binary, "demo", "--keep", "--dir", filepath.Join(dir, "demo"))
	notes, err = demo.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { demo.Process.Kill(); demo.Wait() })
	return dir, demo, notes
}
