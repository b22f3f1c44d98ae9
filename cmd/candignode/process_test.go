package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/candignode/candignode/api"
	"github.com/candignode/candignode/simulate"
	"github.com/candignode/candignode/simulate/idp"
	"github.com/candignode/candignode/trust"
)

// hospitals are three sites and their issuers, each a process of its own, as an
// operator would run them.
type hospitals struct {
	t       *testing.T
	binary  string
	plan    simulate.Plan
	issuers *idp.Server
	running map[trust.SiteName]*process
}

type process struct {
	cmd *exec.Cmd
	log *syncBuffer
}

// syncBuffer takes a process's log while the test reads it.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func openHospitals(t *testing.T) *hospitals {
	t.Helper()
	if testing.Short() {
		t.Skip("runs four processes; left out with -short")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "cn") // short: unix socket paths are
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	h := &hospitals{t: t, binary: filepath.Join(dir, "candignode"), running: map[trust.SiteName]*process{}}
	// The test binary is candignode when it is called so: see TestMain.
	if err := os.Symlink(self, h.binary); err != nil {
		t.Fatal(err)
	}
	h.plan = simulate.Plan{Dir: filepath.Join(dir, "sites"), IssuerURL: "https://" + freeTCP(t), IssuerPoll: 5 * time.Second}
	sites, err := simulate.DemoSites("")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sites {
		s.Listen = freeUDP(t)
		s.Addr, s.API = s.Listen, freeTCP(t)
		s.URL = "http://" + s.API
		h.plan.Sites = append(h.plan.Sites, s)
	}
	if h.issuers, err = h.plan.Write(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.start("issuer", "simulate", "issuer", "--dir", h.plan.IssuerDir(), "--url", h.plan.IssuerURL,
		"--listen", strings.TrimPrefix(h.plan.IssuerURL, "https://"))
	for _, s := range h.plan.Sites {
		h.run(s.Name)
	}
	h.settle()
	return h
}

func freeTCP(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func freeUDP(t *testing.T) string {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().String()
}

func (h *hospitals) start(name trust.SiteName, args ...string) {
	h.t.Helper()
	d := &process{cmd: exec.Command(h.binary, args...), log: &syncBuffer{}}
	d.cmd.Stderr = d.log
	if err := d.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.running[name] = d
	h.t.Cleanup(func() {
		d.cmd.Process.Signal(syscall.SIGCONT)
		d.cmd.Process.Kill()
		d.cmd.Wait()
		if h.t.Failed() {
			h.t.Logf("log of %s:\n%s", name, tail(d.log.String(), 3000))
		}
	})
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

func (h *hospitals) run(name trust.SiteName) {
	h.t.Helper()
	h.start(name, "run", "--config", h.plan.ConfigPath(name))
}

// command runs an operator's command and gives its output and exit code.
func (h *hospitals) command(args ...string) (string, int) {
	h.t.Helper()
	out, err := exec.Command(h.binary, args...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		h.t.Fatal(err)
	}
	if exit != nil {
		return string(out), exit.ExitCode()
	}
	return string(out), 0
}

// settle waits until every site sees both peers and believes its issuers' keys.
func (h *hospitals) settle() {
	h.t.Helper()
	until(h.t, "the sites finding each other", func() bool {
		for _, s := range h.plan.Sites {
			config := h.plan.ConfigPath(s.Name)
			sites, code := h.command("sites", "list", "--json", "--config", config)
			if code != 0 || strings.Count(sites, `"connected": true`) != 2 {
				return false
			}
			issuers, code := h.command("issuers", "list", "--json", "--config", config)
			if code != 0 || strings.Contains(issuers, `"keys_believed": 0`) {
				return false
			}
		}
		return true
	})
}

// until polls a condition that other processes bring about.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(60 * time.Second); ; {
		if done() {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%s did not happen within a minute", what)
		case <-tick.C:
		}
	}
}

func (h *hospitals) question() api.Question {
	h.t.Helper()
	q, err := simulate.DemoQuestion(h.plan.Sites)
	if err != nil {
		h.t.Fatal(err)
	}
	who := idp.Researcher{Subject: "rosalind", Audience: []string{h.plan.Sites[0].ClientID()}}
	for _, s := range h.plan.Sites {
		who.Visas = append(who.Visas, s.Grant())
	}
	token, err := h.issuers.Passport(who, time.Now())
	if err != nil {
		h.t.Fatal(err)
	}
	q.Passports = []string{token}
	return q
}

func (h *hospitals) ask(q api.Question, each func(api.Site)) (map[string]api.Site, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	answer, err := api.Client{BaseURL: h.plan.Sites[0].URL}.Query(ctx, q, each)
	parts := map[string]api.Site{}
	for _, s := range answer.Sites {
		parts[s.Site] = s
	}
	return parts, err
}

// Kill -9 of any node at any time: it comes back with its state, its audit
// log verifies, the others answered meanwhile.
func TestAKilledNodeComesBackWithItsState(t *testing.T) {
	h := openHospitals(t)
	q := h.question()
	grant, code := h.command("grants", "add", "--iss", "https://idp.example.org/", "--sub", "s", "--dataset", simulate.Dataset,
		"--until", "2099-01-01", "--config", h.plan.ConfigPath("bcgsc"))
	if code != 0 {
		t.Fatal(grant)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 3 {
		// Ask all the time, and kill in the middle of it.
		stop := make(chan struct{})
		asked := make(chan error, 1)
		go func() {
			defer close(asked)
			for {
				select {
				case <-stop:
					return
				default:
				}
				parts, err := h.ask(q, nil)
				if err == nil && (parts["uhn"].Status != "ok" || parts["chus"].Status != "ok") {
					err = fmt.Errorf("uhn %s, chus %s", parts["uhn"].Status, parts["chus"].Status)
				}
				if err != nil {
					asked <- err
					return
				}
			}
		}()
		wait := time.NewTimer(time.Duration(50+random.IntN(300)) * time.Millisecond)
		<-wait.C
		killed := h.running["bcgsc"].cmd
		killed.Process.Kill()
		killed.Wait()
		if parts, err := h.ask(q, nil); err != nil || parts["bcgsc"].Status == "ok" || parts["chus"].Status != "ok" {
			t.Errorf("round %d, while bcgsc is dead: %+v, %v", round, parts, err)
		}
		if out, code := h.command("audit", "verify", "--config", h.plan.ConfigPath("bcgsc")); code != 0 {
			t.Errorf("round %d: the dead node's audit log: %s", round, out)
		}
		h.run("bcgsc")
		h.settle()
		close(stop)
		if err := <-asked; err != nil {
			t.Errorf("round %d: the others did not answer meanwhile: %v", round, err)
		}
		if parts, err := h.ask(q, nil); err != nil || parts["bcgsc"].Status != "ok" {
			t.Errorf("round %d, after the restart: %+v, %v", round, parts["bcgsc"], err)
		}
	}
	if out, _ := h.command("grants", "list", "--config", h.plan.ConfigPath("bcgsc")); !strings.Contains(out, "idp.example.org") {
		t.Errorf("the grant is gone: %s", out)
	}
}

// One silent peer: the others' answers arrive in their own time.
func TestASilentSiteDelaysNobodyElse(t *testing.T) {
	h := openHospitals(t)
	q := h.question()
	silent := h.running["chus"].cmd.Process
	if err := silent.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	arrived := map[string]time.Duration{}
	parts, err := h.ask(q, func(s api.Site) { arrived[s.Site] = time.Since(started) })
	if err != nil {
		t.Fatal(err)
	}
	if parts["uhn"].Status != "ok" || parts["bcgsc"].Status != "ok" || parts["chus"].Status != "timeout" {
		t.Errorf("statuses: %s %s %s", parts["uhn"].Status, parts["bcgsc"].Status, parts["chus"].Status)
	}
	// Not a speed test: the silent site's part comes at the deadline, the
	// others' long before it.
	for _, site := range []string{"uhn", "bcgsc"} {
		if arrived[site] > arrived["chus"]/2 {
			t.Errorf("%s arrived after %s, the silent site was given up after %s", site, arrived[site], arrived["chus"])
		}
	}
	silent.Signal(syscall.SIGCONT)
	h.settle()
	if parts, err := h.ask(q, nil); err != nil || parts["chus"].Status != "ok" {
		t.Errorf("after it woke: %+v, %v", parts["chus"], err)
	}
}

// SIGHUP reloads or keeps the old configuration and says why; SIGTERM
// drains and stops.
func TestReloadAndStop(t *testing.T) {
	h := openHospitals(t)
	path := h.plan.ConfigPath("uhn")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d := h.running["uhn"]
	says := func(words string) {
		t.Helper()
		until(t, "the log saying "+words, func() bool { return strings.Contains(d.log.String(), words) })
	}
	write(string(good) + "frobnicate: 1\n")
	d.cmd.Process.Signal(syscall.SIGHUP)
	says("the running configuration is kept")
	write(strings.Replace(string(good), "site:     {name: uhn,", "site:     {name: other,", 1))
	d.cmd.Process.Signal(syscall.SIGHUP)
	says("only after a restart")
	if parts, err := h.ask(h.question(), nil); err != nil || parts["uhn"].Status != "ok" {
		t.Errorf("after two refused reloads: %+v, %v", parts["uhn"], err)
	}

	// A good one: the dataset becomes somebody else's, so the grant is none.
	write(strings.Replace(string(good), "/rarivitis/uhn", "/other", 1))
	if out, code := h.command("reload", "--config", path); code != 0 {
		t.Fatal(out)
	}
	says("configuration reloaded")
	if parts, err := h.ask(h.question(), nil); err != nil || parts["uhn"].Status != "denied" {
		t.Errorf("after the reload: %+v, %v", parts["uhn"], err)
	}

	// A second daemon on the same state is refused, and the first lives on.
	write(string(good))
	if out, code := h.command("run", "--config", path); code != 1 {
		t.Errorf("a second daemon: exit %d: %s", code, out)
	}
	d.cmd.Process.Signal(syscall.SIGTERM)
	if err := d.cmd.Wait(); err != nil {
		t.Errorf("SIGTERM: %v", err)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(path), "admin.sock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the admin socket is left behind: %v", err)
	}
	list, code := h.command("audit", "list", "--json", "--last", "1", "--config", path)
	var line struct {
		Record struct{ Event, Outcome string }
	}
	if err := json.Unmarshal([]byte(list), &line); code != 0 || err != nil || line.Record.Event != "node" || line.Record.Outcome != "stopped" {
		t.Errorf("the last record: %s (%v)", list, err)
	}
}

// The admin socket has mode 0660, and tokens appear neither in the state
// nor in the logs (row 64).
func TestNoTokenIsKept(t *testing.T) {
	h := openHospitals(t)
	q := h.question()
	if _, err := h.ask(q, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := (api.Client{BaseURL: h.plan.Sites[0].URL}).Whoami(t.Context(), q.Passports); err != nil {
		t.Fatal(err)
	}
	bad := q
	bad.Passports = []string{q.Passports[0][:len(q.Passports[0])-8] + "AAAAAAAA"}
	if _, err := h.ask(bad, nil); err == nil {
		t.Fatal("a passport with a broken signature was taken")
	}
	for _, s := range h.plan.Sites {
		dir := h.plan.SiteDir(s.Name)
		if info, err := os.Stat(filepath.Join(dir, "admin.sock")); err != nil || info.Mode().Perm() != 0o660 {
			t.Errorf("%s: admin socket: %v, %v", s.Name, info.Mode(), err)
		}
		state, err := os.ReadFile(filepath.Join(dir, "state.db"))
		if err != nil {
			t.Fatal(err)
		}
		// Every compact token begins with the encoding of {" .
		for what, text := range map[string]string{"state": string(state), "log": h.running[s.Name].log.String()} {
			for _, piece := range strings.Split(q.Passports[0], ".") {
				if strings.Contains(text, piece[:24]) {
					t.Errorf("%s: the %s holds a piece of the passport", s.Name, what)
				}
			}
		}
	}
}
