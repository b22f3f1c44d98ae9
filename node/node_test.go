package node

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/candignode/candignode/api"
	"github.com/candignode/candignode/node/admin"
	"github.com/candignode/candignode/node/config"
	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/query/source/variants"
	"github.com/candignode/candignode/store"
	"github.com/candignode/candignode/trust/audit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hospital is one site of an operator: its files, and its node while that runs.
type hospital struct {
	t    *testing.T
	dir  string
	node *Node // nil while stopped
	door *admin.Client
	stop func()
}

const publicDataset = "datasets:\n  - {id: cohort, access: public}\n"

func newHospital(t *testing.T) *hospital {
	t.Helper()
	dir, err := os.MkdirTemp("", "cn") // short: unix socket paths are
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	h := &hospital{t: t, dir: dir}
	if _, err := config.CreateNodeKey(h.path("node.key")); err != nil {
		t.Fatal(err)
	}
	h.write(publicDataset)
	createState(t, h.config())
	return h
}

// createState makes the state of a site whose root keys are thrown away.
func createState(t *testing.T, c *config.Config) {
	t.Helper()
	_, today, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	next, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := CreateState(t.Context(), c, Identity{Today: []crypto.Signer{today}, Next: []ed25519.PublicKey{next}}); err != nil {
		t.Fatal(err)
	}
}

func (h *hospital) path(name string) string { return filepath.Join(h.dir, name) }

// write writes the configuration: what every site needs, and more.
func (h *hospital) write(more string) {
	h.t.Helper()
	text := "site: {name: uhn}\ndata_dir: .\nfederation: {listen: \"127.0.0.1:0\"}\n"
	if !strings.Contains(more, "api:") {
		text += "api: {listen: \"127.0.0.1:0\"}\n"
	}
	if !strings.Contains(more, "privacy:") {
		text += "privacy: {threshold: 1}\n"
	}
	if err := os.WriteFile(h.path("candignode.yaml"), []byte(text+more), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func (h *hospital) config() *config.Config {
	h.t.Helper()
	c, err := config.Load(h.path("candignode.yaml"))
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

func (h *hospital) start() {
	h.t.Helper()
	c := h.config()
	sockets, err := Listen(h.t.Context(), c)
	if err != nil {
		h.t.Fatal(err)
	}
	n, err := New(h.t.Context(), Options{
		Config: c, Sockets: sockets, Log: slog.New(slog.DiscardHandler), Level: new(slog.LevelVar),
		LoadConfig: func() (*config.Config, error) { return config.Load(h.path("candignode.yaml")) },
	})
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	h.node, h.door = n, admin.Dial(c.Admin.Socket)
	h.stop = func() {
		if h.node == nil {
			return
		}
		h.node = nil
		cancel()
		if err := <-done; err != nil {
			h.t.Errorf("the node stopped with %v", err)
		}
	}
	h.t.Cleanup(func() { h.stop() })
	h.status()
}

func (h *hospital) status() admin.Status {
	h.t.Helper()
	var status admin.Status
	if err := h.door.Get(h.t.Context(), "/v1/status", nil, &status); err != nil {
		h.t.Fatal(err)
	}
	return status
}

// record gives the audit log as "event outcome dataset detail" lines, of one event.
func (h *hospital) record(event audit.Event) []string {
	h.t.Helper()
	var lines []string
	err := h.door.Audit(h.t.Context(), nil, func(line admin.AuditLine) error {
		var r audit.Record
		if err := json.Unmarshal(line.Record, &r); err != nil {
			return err
		}
		if r.Event == event {
			lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %s", r.Outcome, r.Dataset, r.Detail)))
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return lines
}

// imports makes a release file of the cohort in which so many people carry
// 22:100 A>G, and gives its base name.
func (h *hospital) imports(carriers int) string {
	h.t.Helper()
	head := "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT"
	line := "22\t100\t.\tA\tG\t.\tPASS\t.\tGT"
	for i := range carriers {
		head += fmt.Sprintf("\tP%d", i)
		line += "\t0|1"
	}
	file := h.path("cohort.vcf")
	if err := os.WriteFile(file, []byte(head+"\n"+line+"\n"), 0o600); err != nil {
		h.t.Fatal(err)
	}
	done, err := variants.Import(h.t.Context(), variants.ImportOptions{
		Dataset: "cohort", Assembly: query.GRCh37, Files: []string{file}, Dir: h.path("datasets"), Now: time.Now(),
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return filepath.Base(done.File)
}

func (h *hospital) register(file string) error {
	return h.door.Post(h.t.Context(), "/v1/datasets", admin.Registration{File: file}, nil)
}

// carriers asks the site how many carry 22:100 A>G; -1 if it gives no count.
func (h *hospital) carriers() int64 {
	h.t.Helper()
	client := api.Client{BaseURL: "http://" + h.node.sockets.API.Addr().String()}
	answer, err := client.Query(h.t.Context(), api.Question{
		Assembly: "GRCh37", Chrom: "22", Start: 99, Ref: "A", Alt: "G", Granularity: "count", SiteOnly: true,
	}, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	if len(answer.Sites) != 1 || len(answer.Sites[0].Datasets) != 1 || answer.Sites[0].Datasets[0].Count == nil {
		return -1
	}
	return *answer.Sites[0].Datasets[0].Count
}

func (h *hospital) releaseFiles() []string {
	h.t.Helper()
	entries, err := os.ReadDir(h.path("datasets"))
	if err != nil {
		h.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestANodeRecordsItsStartAndItsStop(t *testing.T) {
	h := newHospital(t)
	h.start()
	if status := h.status(); !status.Running || status.Site.Site != "uhn" || status.Node != h.node.ID() {
		t.Errorf("status %+v", status)
	}
	socket := h.config().Admin.Socket
	h.stop()
	if _, err := os.Stat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the admin socket is left behind: %v", err)
	}
	h.start()
	lives := h.record(audit.EventNode)
	if len(lives) != 3 || !strings.HasPrefix(lives[0], "started") || !strings.HasPrefix(lives[1], "stopped") || !strings.HasPrefix(lives[2], "started") {
		t.Errorf("the record says %q", lives)
	}
}

// A New that fails gives back everything: the next try finds sockets and state
// free.
func TestANodeThatCannotBeMadeLeavesNothingOpen(t *testing.T) {
	h := newHospital(t)
	key, err := os.ReadFile(h.path("node.key"))
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func(){
		"key":     func() { os.WriteFile(h.path("node.key"), []byte("no key"), 0o600) },
		"state":   func() { os.Rename(h.path("state.db"), h.path("away.db")) },
		"release": func() { registered(t, h, "missing.variants") },
	} {
		t.Run(name, func(t *testing.T) {
			c := h.config()
			sockets, err := Listen(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			damage()
			if _, err := New(t.Context(), Options{Config: c, Sockets: sockets, Log: slog.New(slog.DiscardHandler)}); err == nil {
				t.Fatal("a node was made")
			}
			if _, err := sockets.API.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("the API socket is open: %v", err)
			}
			if _, _, err := sockets.Peers.ReadFrom(nil); !errors.Is(err, net.ErrClosed) {
				t.Errorf("the peers' socket is open: %v", err)
			}
			if _, err := os.Stat(c.Admin.Socket); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the admin socket is left behind: %v", err)
			}
			os.WriteFile(h.path("node.key"), key, 0o600)
			os.Rename(h.path("away.db"), h.path("state.db"))
			state, err := store.Open(StatePath(c), store.Options{MustExist: true})
			if err != nil {
				t.Fatalf("the state file is still held: %v", err)
			}
			state.Close()
		})
	}
}

// registered writes a release into the state behind the node's back.
func registered(t *testing.T, h *hospital, file string) {
	t.Helper()
	state, err := store.Open(StatePath(h.config()), store.Options{MustExist: true})
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	err = state.PutRelease(t.Context(), store.Release{Dataset: "cohort", Release: "r", File: file},
		audit.Record{Time: time.Now(), Event: audit.EventDataset, Outcome: "imported"})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheAdminSocketIsForItsOwnerAndGroup(t *testing.T) {
	h := newHospital(t)
	path := h.path("door.sock")
	first, err := ListenAdmin(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	if _, err := ListenAdmin(t.Context(), path); !errors.Is(err, ErrSocketInUse) {
		t.Fatalf("a second daemon took the socket: %v", err)
	}
	// A killed daemon leaves the file: nobody answers, and the next one takes it.
	first.(removing).Listener.Close()
	if _, err := os.Stat(path); err != nil {
		t.Fatal("this test needs a left-over socket:", err)
	}
	second, err := ListenAdmin(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
	left, err := filepath.Glob(filepath.Join(h.dir, "*.s*"))
	if err != nil || strings.Contains(strings.Join(left, " "), ".sock") {
		t.Errorf("left behind: %q %v", left, err)
	}
	// What is no socket is not replaced.
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := ListenAdmin(t.Context(), path); err == nil {
		l.Close()
		t.Error("a file that is no socket was replaced")
	}
}
