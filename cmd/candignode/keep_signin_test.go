package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// demo --keep prints how to sign in, and it works as it is printed: whoami and a
// question to every site, without a passport file, and nothing more after logout.
func TestSigningInAtTheKeptDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the demo as a process; left out with -short")
	}
	dir, _, notes := keptDemo(t)
	printed := map[string][]string{} // by subcommand
	ca := ""
	lines := bufio.NewScanner(notes)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() && !strings.HasSuffix(lines.Text(), "/login") {
		words := strings.Fields(lines.Text())
		if len(words) > 2 && words[0] == "candignode" {
			printed[words[1]] = words[1:]
		}
		if len(words) > 4 && words[0] == "curl" && words[2] == "--cacert" {
			ca = words[3]
		}
	}
	go io.Copy(io.Discard, notes)
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatalf("%q, printed: %v: %v", ca, printed, err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	person := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	t.Cleanup(person.CloseIdleConnections)

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	command := func(name string) *exec.Cmd {
		c := exec.CommandContext(ctx, filepath.Join(dir, "candignode"), printed[name]...)
		c.Env = append(os.Environ(), "XDG_CONFIG_HOME="+filepath.Join(dir, "home"), "CANDIGNODE_PASSPORT_FILE=", "CANDIGNODE_URL=")
		return c
	}
	login := command("login")
	said, err := login.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := login.Start(); err != nil {
		t.Fatal(err)
	}
	var heard []string
	told := bufio.NewScanner(said)
	for told.Scan() {
		heard = append(heard, told.Text())
		address, full := strings.CutPrefix(told.Text(), "or open  ")
		if !full {
			continue
		}
		response, err := person.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		break
	}
	go io.Copy(io.Discard, said)
	if err := login.Wait(); err != nil {
		t.Fatalf("%v: %v: %s", printed["login"], err, heard)
	}
	ask := func(name string) (string, int) {
		var out bytes.Buffer
		c := command(name)
		c.Stdout, c.Stderr = &out, &out
		_ = c.Run()
		return out.String(), c.ProcessState.ExitCode()
	}
	if out, code := ask("whoami"); code != exitDone || !strings.Contains(out, "rosalind") || !strings.Contains(out, "3 of 3 visas count here") {
		t.Errorf("whoami: exit %d: %s", code, out)
	}
	// One site was stopped: the others answer, with counts.
	if out, code := ask("query"); code != exitIncomplete || strings.Contains(out, "denied") || strings.Contains(out, "refused") {
		t.Errorf("query: exit %d: %s", code, out)
	}
	if out, code := ask("logout"); code != exitDone {
		t.Errorf("logout: exit %d: %s", code, out)
	}
	if out, code := ask("whoami"); code != exitDenied {
		t.Errorf("after logout: exit %d: %s", code, out)
	}
}
