package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/candignode/candignode/api"
	"github.com/candignode/candignode/node/admin"
	"github.com/candignode/candignode/simulate"
	"github.com/candignode/candignode/trust"
)

// story runs the block of docs/operator.md that is marked "sh story NAME", as its reader
// would type it, beside running sites.
func (h *hospitals) story(name string) {
	h.t.Helper()
	shell, err := exec.LookPath("bash")
	if err != nil {
		h.t.Skip("no bash here; the documents' commands are written for it")
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "operator.md"))
	if err != nil {
		h.t.Fatal(err)
	}
	_, block, found := strings.Cut(string(text), "```sh story "+name+"\n")
	block, _, whole := strings.Cut(block, "```")
	if !found || !whole {
		h.t.Fatalf("docs/operator.md tells no story %s", name)
	}
	cmd := exec.Command(shell, "-euo", "pipefail", "-c", block)
	cmd.Dir = h.plan.Dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(h.binary)+string(os.PathListSeparator)+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil {
		h.t.Fatalf("%s: %v\n%s", block, err, out)
	}
}

// sees gives a site as another one's operator sees it.
func (h *hospitals) sees(at, other trust.SiteName) admin.SiteState {
	h.t.Helper()
	out, code := h.command("sites", "show", string(other), "--json", "--config", h.plan.ConfigPath(at))
	var state admin.SiteState
	if err := json.Unmarshal([]byte(out), &state); code != 0 || err != nil {
		h.t.Fatalf("%s: %s", at, out)
	}
	return state
}

func (h *hospitals) restart(name trust.SiteName) {
	h.t.Helper()
	d := h.running[name].cmd
	d.Process.Signal(syscall.SIGTERM)
	d.Wait()
	h.run(name)
	h.settle()
}

func (h *hospitals) mustAnswer(sites ...string) {
	h.t.Helper()
	parts, err := h.ask(h.question(), nil)
	for _, s := range sites {
		if err != nil || parts[s].Status != "ok" {
			h.t.Errorf("%s: %+v, %v", s, parts[s], err)
		}
	}
}

// Threat: a stolen node key. The operator's story, as it stands in docs/operator.md: peers
// follow by themselves, though the old NodeID stands in their configurations, and the thief is nobody.
func TestStoryOfAStolenNodeKey(t *testing.T) {
	h := openHospitals(t)
	before := h.sees("chus", "uhn").Node
	stolen, err := os.ReadFile(filepath.Join(h.plan.SiteDir("uhn"), "node.key"))
	if err != nil {
		t.Fatal(err)
	}
	h.story("stolen-node-key")
	h.restart("uhn")
	for _, at := range []trust.SiteName{"bcgsc", "chus"} {
		if s := h.sees(at, "uhn"); s.Node == before || !s.Connected || s.Update != 1 {
			t.Errorf("uhn at %s: %+v", at, s)
		}
	}
	h.mustAnswer("uhn", "bcgsc", "chus")
	// The thief, with the old key and a copy of everything, cannot even start; and a peer
	// would not let him in.
	thief := filepath.Join(h.plan.SiteDir("uhn"), "node.key")
	fresh, err := os.ReadFile(thief)
	if err != nil {
		t.Fatal(err)
	}
	d := h.running["uhn"].cmd
	d.Process.Signal(syscall.SIGTERM)
	d.Wait()
	if err := os.WriteFile(thief, stolen, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := h.command("run", "--config", h.plan.ConfigPath("uhn")); code != 1 || !strings.Contains(out, "not one that this site's record names") {
		t.Errorf("exit %d: %s", code, out)
	}
	if err := os.WriteFile(thief, fresh, 0o600); err != nil {
		t.Fatal(err)
	}
	h.run("uhn")
	h.settle()
}

// Threat: a stolen root key. The thief's record counts until the owner rotates, and not after.
func TestStoryOfAStolenRootKey(t *testing.T) {
	h := openHospitals(t)
	if out, code := h.command("site", "update", "--root-keys", filepath.Join(h.plan.SiteDir("uhn"), "root-keys"), "--config", h.plan.ConfigPath("uhn")); code != 0 {
		t.Fatal(out)
	}
	until(t, "the update reaching chus", func() bool { return h.sees("chus", "uhn").Update == 1 })
	h.story("stolen-root-key")
	until(t, "the rotation reaching chus", func() bool { s := h.sees("chus", "uhn"); return s.Epoch == 2 && s.Update == 0 })
	h.settle()
	h.mustAnswer("uhn", "bcgsc", "chus")
	// Today's keys are those of epoch 2 now.
	keys := filepath.Join(h.plan.SiteDir("uhn"), "root-keys")
	if err := os.Rename(filepath.Join(keys, "root-epoch2-1.key"), filepath.Join(h.plan.Dir, "hidden.key")); err != nil {
		t.Fatal(err)
	}
	if out, code := h.command("site", "update", "--root-keys", keys, "--config", h.plan.ConfigPath("uhn")); code != 1 {
		t.Errorf("the old root key signed: %s", out)
	}
}

// Joining: a sixth site comes to a running network by one command of its own and one approval
// of each member, while daemons run; a block ends it at once.
func TestStoryOfANewcomer(t *testing.T) {
	h := openHospitals(t)
	dir := filepath.Join(h.plan.Dir, "dal")
	udp, tcp := freeUDP(t), freeTCP(t)
	out, code := h.command("init", "--dir", dir, "--name", "dal", "--listen", udp, "--advertise", udp, "--api", tcp, "--no-passphrase", "--json")
	var made struct {
		SiteID string `json:"site_id"`
		Config string `json:"config"`
	}
	if err := json.Unmarshal([]byte(out), &made); code != 0 || err != nil {
		t.Fatal(out)
	}
	h.start("dal", "run", "--config", made.Config)
	until(t, "the newcomer's daemon starting", func() bool {
		_, code := h.command("status", "--ready", "--config", made.Config)
		return code == 0
	})
	invite, code := h.command("invite", "create", "--site", made.SiteID, "--config", h.plan.ConfigPath("chus"))
	if code != 0 {
		t.Fatal(invite)
	}
	if out, code := h.command("join", strings.TrimSpace(invite), "--query", "--config", made.Config); code != 0 {
		t.Fatal(out)
	}
	connected := func(config string) int {
		out, _ := h.command("sites", "list", "--json", "--config", config)
		return strings.Count(out, `"connected": true`)
	}
	until(t, "the inviter letting it in", func() bool { return connected(h.plan.ConfigPath("chus")) == 3 })
	for _, at := range []trust.SiteName{"uhn", "bcgsc"} {
		until(t, "the newcomer waiting at "+string(at), func() bool {
			out, _ := h.command("sites", "list", "--json", "--config", h.plan.ConfigPath(at))
			return strings.Contains(out, made.SiteID)
		})
		if out, code := h.command("sites", "approve", made.SiteID, "--query", "--config", h.plan.ConfigPath(at)); code != 0 {
			t.Fatal(out)
		}
	}
	until(t, "the newcomer seeing all", func() bool { return connected(made.Config) == 3 })
	if out, code := h.command("sites", "block", made.SiteID, "--config", h.plan.ConfigPath("uhn")); code != 0 {
		t.Fatal(out)
	}
	until(t, "its connection ending", func() bool { return connected(h.plan.ConfigPath("uhn")) == 2 })
	if out, code := h.command("audit", "verify", "--config", made.Config); code != 0 {
		t.Error(out)
	}
}

// A key that must not be believed any more: the operator's word acts on the next question, and is
// taken back by who said it.
func TestStoryOfADistrustedIssuer(t *testing.T) {
	h := openHospitals(t)
	uhn, broker := h.plan.ConfigPath("uhn"), h.plan.IssuerName(simulate.Broker)
	if out, code := h.command("issuers", "distrust", broker, "--reason", "stolen", "--config", uhn); code != 0 {
		t.Fatal(out)
	}
	if _, err := h.ask(h.question(), nil); err == nil {
		t.Error("a passport of a distrusted issuer was taken")
	}
	if out, _ := h.command("issuers", "explain", broker, "--config", uhn); !strings.Contains(out, "distrusted by this site's operator") || !strings.Contains(out, "stolen") {
		t.Errorf("explain: %s", out)
	}
	if out, _ := h.command("issuers", "acks", "--config", uhn); !strings.Contains(out, "here only") {
		t.Errorf("acks: %s", out)
	}
	if out, code := h.command("issuers", "approve", broker, "--keys", "--config", uhn); code != 1 || !strings.Contains(out, "no key set of this issuer is held back") {
		t.Errorf("approve: %d %s", code, out)
	}
	if out, code := h.command("issuers", "undistrust", broker, "--config", uhn); code != 0 {
		t.Fatal(out)
	}
	h.mustAnswer("uhn", "bcgsc", "chus")
}

// The privacy officers of two sites hold their records of one question against each other.
func TestStoryOfTwoRecords(t *testing.T) {
	h := openHospitals(t)
	q := h.question()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	answer, err := api.Client{BaseURL: h.plan.Sites[0].URL}.Query(ctx, q, nil)
	if err != nil {
		t.Fatal(err)
	}
	uhn, bcgsc := h.plan.ConfigPath("uhn"), h.plan.ConfigPath("bcgsc")
	out, code := h.command("audit", "show", answer.Transaction, "--config", uhn)
	if code != 0 || strings.Count(out, "good, signed by node") != 2 || !strings.Contains(out, "forward") {
		t.Errorf("uhn's side: %s", out)
	}
	theirs, code := h.command("audit", "list", "--transaction", answer.Transaction, "--json", "--config", bcgsc)
	if code != 0 || !strings.Contains(theirs, `"forwarding"`) {
		t.Fatalf("bcgsc's side: %s", theirs)
	}
	file := filepath.Join(h.plan.Dir, "bcgsc.jsonl")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(theirs)
	out, code = h.command("audit", "both", answer.Transaction, "--with", file, "--config", uhn)
	if code != 0 || strings.Count(out, "for its decision in entry") != 1 {
		t.Errorf("both sides: %d %s", code, out)
	}
	ours, _ := h.command("audit", "list", "--transaction", answer.Transaction, "--json", "--config", uhn)
	write(ours)
	if out, code := h.command("audit", "both", answer.Transaction, "--with", file, "--config", bcgsc); code != 0 {
		t.Errorf("seen from bcgsc: %d %s", code, out)
	}
	// A policy that was changed in the record afterwards, and a receipt that was bent.
	write(strings.ReplaceAll(theirs, `"policy":"`, `"policy":"x`))
	if out, code := h.command("audit", "both", answer.Transaction, "--with", file, "--config", uhn); code != 1 || !strings.Contains(out, "was decided by policy") {
		t.Errorf("a changed record: %d %s", code, out)
	}
	write(strings.ReplaceAll(ours, `"signature":"`, `"signature":"A`))
	if out, code := h.command("audit", "both", answer.Transaction, "--with", file, "--config", bcgsc); code != 1 {
		t.Errorf("a bent receipt: %d %s", code, out)
	}
	write("garbage\n")
	if out, code := h.command("audit", "both", answer.Transaction, "--with", file, "--config", bcgsc); code != 1 || !strings.Contains(out, "line 1") {
		t.Errorf("garbage: %d %s", code, out)
	}
	if out, code := h.command("audit", "show", "nothing", "--config", uhn); code != 1 {
		t.Errorf("no such question: %d %s", code, out)
	}
}
