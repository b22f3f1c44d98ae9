package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
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
	// one lets one change in at a time: each removes the file that it replaced, and
	// must not take it from under another that just registered it.
	one sync.Mutex
}

// List gives every dataset that is configured or loaded, by id.
func (r *releases) List() ([]admin.Dataset, error) {
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
func (r *releases) Register(ctx context.Context, file string) (store.Release, error) {
	if file == "" || file != filepath.Base(file) || strings.HasPrefix(file, ".") {
		return store.Release{}, fmt.Errorf("%w: %.80q is not the base name of a release file", admin.ErrBadRequest, file)
	}
	r.one.Lock()
	defer r.one.Unlock()
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
	if replaced.File == "" || replaced.File == file {
		return release, nil
	}
	return release, discard(dir, replaced.File)
}

// Remove takes a dataset's data away: no question sees it any more, and its
// file is deleted.
func (r *releases) Remove(ctx context.Context, dataset string) error {
	r.one.Lock()
	defer r.one.Unlock()
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
	return discard(ReleasesDir(r.config()), held.File)
}

// discard removes the file of a release that is not registered any more. That
// it is gone already is no failure: removing or replacing a release whose file was
// lost is how an operator mends that.
func discard(dir, file string) error {
	if err := os.Remove(filepath.Join(dir, file)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the change is made, but the old file is still there: %w", err)
	}
	return nil
}

func (r *releases) held(dataset string) (store.Release, error) {
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

func (r *releases) tell(ctx context.Context) error {
	if r.changed == nil {
		return nil
	}
	// The change is durable: an operator who goes away now must not keep the node
	// from seeing it.
	return r.changed(context.WithoutCancel(ctx))
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
