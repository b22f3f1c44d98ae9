package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/candignode/candignode/node/admin"
	"github.com/candignode/candignode/node/config"
	"github.com/candignode/candignode/query/source/variants"
	"github.com/candignode/candignode/store"
	"github.com/candignode/candignode/trust/audit"
)

// releases registers and removes dataset releases. It serves the daemon and the
// command line alike; changed tells a running node to swap its settings, and is
// nil when none runs.
type releases struct {
	store   *store.Store
	config  func() *config.Config
	now     func() time.Time
	changed func(context.Context) error
}

// List gives every dataset that is configured or loaded, by id.
func (r releases) List() ([]admin.Dataset, error) {
	loaded, err := r.store.Releases()
	if err != nil {
		return nil, err
	}
	byID := map[string]admin.Dataset{}
	for _, d := range r.config().Datasets() {
		byID[d.ID] = admin.Dataset{ID: d.ID, Access: d.Level, Configured: true}
	}
	for _, release := range loaded {
		d := byID[release.Dataset]
		d.ID, d.Loaded, d.Release = release.Dataset, true, &release
		byID[d.ID] = d
	}
	list := make([]admin.Dataset, 0, len(byID))
	for _, d := range byID {
		list = append(list, d)
	}
	slices.SortFunc(list, func(a, b admin.Dataset) int { return strings.Compare(a.ID, b.ID) })
	return list, nil
}

// Register makes a complete release file the dataset's current one. The file
// is opened and checked first; the register entry and its audit record commit
// together; the file of the release that it replaces is removed last.
func (r releases) Register(ctx context.Context, file string) (store.Release, error) {
	if file == "" || file != filepath.Base(file) || strings.HasPrefix(file, ".") {
		return store.Release{}, fmt.Errorf("%w: %.80q is not the base name of a release file", admin.ErrBadRequest, file)
	}
	dir := ReleasesDir(r.config())
	source, err := variants.Open(filepath.Join(dir, file))
	if err != nil {
		return store.Release{}, fmt.Errorf("%w: %w", admin.ErrBadRequest, err)
	}
	h := source.Holdings()
	if err := source.Close(); err != nil {
		return store.Release{}, err
	}
	replaced, err := r.held(h.Dataset)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return store.Release{}, err
	}
	release := store.Release{
		Dataset: h.Dataset, Release: h.Release, File: file, Assembly: h.Assembly,
		Individuals: h.Individuals, Samples: h.Samples, Variants: h.Variants, Imported: r.now().UTC(),
	}
	record := audit.Record{
		Time: r.now(), Event: audit.EventDataset, Dataset: h.Dataset, Release: h.Release, Outcome: "imported",
		Detail: fmt.Sprintf("%d variants, %d individuals, replaces %q", h.Variants, h.Individuals, replaced.Release),
	}
	if err := r.store.PutRelease(ctx, release, record); err != nil {
		return store.Release{}, err
	}
	if err := r.tell(ctx); err != nil {
		return store.Release{}, fmt.Errorf("the release is registered, but the node could not load it: %w", err)
	}
	if replaced.File != "" && replaced.File != file {
		err = os.Remove(filepath.Join(dir, replaced.File))
	} else {
		err = nil
	}
	return release, err
}

// Remove takes a dataset's data away: no question sees it any more, and its
// file is deleted.
func (r releases) Remove(ctx context.Context, dataset string) error {
	held, err := r.held(dataset)
	if err != nil {
		return err
	}
	record := audit.Record{Time: r.now(), Event: audit.EventDataset, Dataset: dataset, Release: held.Release, Outcome: "removed"}
	if err := r.store.DropRelease(ctx, dataset, record); err != nil {
		return err
	}
	if err := r.tell(ctx); err != nil {
		return err
	}
	return os.Remove(filepath.Join(ReleasesDir(r.config()), held.File))
}

func (r releases) held(dataset string) (store.Release, error) {
	loaded, err := r.store.Releases()
	if err != nil {
		return store.Release{}, err
	}
	for _, release := range loaded {
		if release.Dataset == dataset {
			return release, nil
		}
	}
	return store.Release{}, fmt.Errorf("%w: no release of dataset %.80q is loaded; 'candignode datasets list' shows them", store.ErrNotFound, dataset)
}

func (r releases) tell(ctx context.Context) error {
	if r.changed == nil {
		return nil
	}
	return r.changed(ctx)
}

// releasesChanged loads what is registered now, under the running
// configuration.
func (n *Node) releasesChanged(ctx context.Context) error {
	n.reloading.Lock()
	defer n.reloading.Unlock()
	old := n.current()
	next, err := n.prepare(ctx, old.config, old)
	if err != nil {
		return err
	}
	n.swap(next)
	return nil
}
