package node

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/candignode/candignode/configs"
	"github.com/candignode/candignode/node/admin"
	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/query/source/variants"
	"github.com/candignode/candignode/trust/audit"
)

func TestReleasesAreRegisteredReplacedAndRemoved(t *testing.T) {
	h := newHospital(t)
	h.start()
	if got := h.carriers(); got != -1 {
		t.Fatalf("without data the site counted %d", got)
	}
	for _, carriers := range []int{12, 31} {
		file := h.imports(carriers)
		if err := h.register(file); err != nil {
			t.Fatal(err)
		}
		if got := h.carriers(); got != int64(carriers) {
			t.Errorf("the next question counted %d, not %d", got, carriers)
		}
		if files := h.releaseFiles(); !slices.Equal(files, []string{file}) {
			t.Errorf("the release directory holds %q", files)
		}
	}
	if err := h.register(h.imports(31)); err != nil { // the same content again: the same file
		t.Fatal(err)
	}
	if got := h.carriers(); got != 31 {
		t.Errorf("after the same import again: %d", got)
	}
	if err := h.door.Delete(t.Context(), "/v1/datasets/cohort", nil); err != nil {
		t.Fatal(err)
	}
	if got, files := h.carriers(), h.releaseFiles(); got != -1 || len(files) != 0 {
		t.Errorf("after the removal: %d, %q", got, files)
	}
	if err := h.door.Delete(t.Context(), "/v1/datasets/cohort", nil); err == nil || !strings.Contains(err.Error(), "datasets list") {
		t.Errorf("removing it twice: %v", err)
	}
	said := h.record(audit.EventDataset)
	if len(said) != 4 || !strings.HasPrefix(said[0], "imported cohort 1 variants, 12 individuals") ||
		!strings.HasPrefix(said[1], "imported cohort 1 variants, 31 individuals") || said[3] != "removed cohort" {
		t.Errorf("the record says %q", said)
	}
}

func TestOnlyAWholeReleaseFileInTheDirectoryIsRegistered(t *testing.T) {
	h := newHospital(t)
	h.start()
	good := h.imports(12)
	if err := h.register(good); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(h.path("datasets"), good))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"empty.variants": {}, "text.variants": []byte("hello"), "half.variants": text[:len(text)/2]} {
		if err := os.WriteFile(filepath.Join(h.path("datasets"), name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"", ".", "..", "../state.db", "/etc/passwd", ".import-1", "sub/x.variants", "none.variants", "empty.variants", "text.variants", "half.variants"} {
		var refusal *admin.Refusal
		if err := h.register(file); !errors.As(err, &refusal) || refusal.Status != 400 {
			t.Errorf("%q: %v", file, err)
		}
	}
	if got, said := h.carriers(), h.record(audit.EventDataset); got != 12 || len(said) != 1 {
		t.Errorf("the old release no longer answers: %d, %q", got, said)
	}
}

// A question keeps the settings that it began with: its release stays open when
// another takes its place, and is closed when the node stops.
func TestAQuestionIsAnsweredFromTheReleaseItBeganWith(t *testing.T) {
	h := newHospital(t)
	h.start()
	if err := h.register(h.imports(12)); err != nil {
		t.Fatal(err)
	}
	began := h.node.current().local
	if err := h.register(h.imports(31)); err != nil {
		t.Fatal(err)
	}
	variant := query.VariantQuery{Assembly: query.GRCh37, Chrom: "22", Start: 99, Ref: "A", Alt: "G"}
	raw, err := began.Sources["cohort"].Resolve(t.Context(), variant)
	if err != nil || raw.Individuals != 12 {
		t.Errorf("the question that began before the import got %+v, %v", raw, err)
	}
	if got := h.carriers(); got != 31 {
		t.Errorf("the next question counted %d", got)
	}
	h.stop()
	if _, err := began.Sources["cohort"].Resolve(t.Context(), variant); !errors.Is(err, variants.ErrClosed) {
		t.Errorf("after the stop the replaced release is still open: %v", err)
	}
}

// Imports that end at the same time leave one release, whose file is there.
func TestReleasesRegisteredAtOnce(t *testing.T) {
	h := newHospital(t)
	h.start()
	for range 5 {
		a, b := h.imports(12), h.imports(31)
		var both sync.WaitGroup
		both.Go(func() { h.register(a) }) // the loser may find its file replaced already
		both.Go(func() { h.register(b) })
		both.Wait()
		held, err := h.node.store.Releases()
		if err != nil || len(held) != 1 {
			t.Fatal(held, err)
		}
		if files := h.releaseFiles(); !slices.Equal(files, []string{held[0].File}) {
			t.Fatalf("registered is %s, and the directory holds %q", held[0].File, files)
		}
	}
	h.stop()
	h.start() // it would not, had the registered file gone
}

// A lost release file keeps the node from starting; the operator mends that with
// the daemon down, by a new import or by removing the dataset.
func TestALostReleaseFileIsMendedOffline(t *testing.T) {
	for name, mend := range map[string]func(t *testing.T, h *hospital, door *admin.Client) error{
		"import": func(t *testing.T, h *hospital, door *admin.Client) error {
			return door.Post(t.Context(), "/v1/datasets", admin.Registration{File: h.imports(31)}, nil)
		},
		"remove": func(t *testing.T, _ *hospital, door *admin.Client) error {
			return door.Delete(t.Context(), "/v1/datasets/cohort", nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHospital(t)
			registered(t, h, "lost.variants")
			offline, err := OpenOffline(h.config(), Options{Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			err = mend(t, h, admin.Inside(offline.Handler))
			if err := errors.Join(err, offline.Close()); err != nil {
				t.Fatal(err)
			}
			h.start()
		})
	}
}

// An import is no reload: a policy that somebody is editing on the disk neither
// takes effect by it nor hinders it.
func TestAnImportLeavesThePolicyAlone(t *testing.T) {
	h := newHospital(t)
	h.write("policy: {dir: pol}\n" + publicDataset)
	if err := os.CopyFS(h.path("pol"), configs.Policy()); err != nil {
		t.Fatal(err)
	}
	h.start()
	before := h.status().Policy
	if err := os.WriteFile(h.path("pol/access.rego"), []byte("package candig.access\nhalf if"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := h.register(h.imports(12)); err != nil {
		t.Fatal(err)
	}
	if got, now := h.carriers(), h.status().Policy; got != 12 || now != before {
		t.Errorf("counted %d, policy %s, before the import %s", got, now, before)
	}
}

// What is registered is loaded, also when the operator who registered it hangs
// up just then.
func TestARegisteredReleaseIsLoadedWhoeverHangsUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := &releases{changed: func(ctx context.Context) error { return ctx.Err() }}
	if err := r.tell(ctx); err != nil {
		t.Error(err)
	}
}
