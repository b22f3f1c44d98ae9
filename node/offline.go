package node

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/candignode/candignode/node/admin"
	"github.com/candignode/candignode/node/config"
	"github.com/candignode/candignode/store"
	"github.com/candignode/candignode/trust"
)

// Offline is the operator's door over the state of a site whose daemon does not
// run. Close it when done: it holds the state file's lock.
type Offline struct {
	Handler http.Handler
	store   *store.Store
}

// Close gives the state file back.
func (o *Offline) Close() error { return o.store.Close() }

// OpenOffline opens a site's state for one command. It fails with
// store.ErrLocked while a daemon runs.
func OpenOffline(c *config.Config, o Options) (*Offline, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	key, err := config.LoadNodeKey(c.Federation.NodeKey)
	if err != nil {
		return nil, err
	}
	id, err := trust.NodeIDOf(key.Public())
	if err != nil {
		return nil, err
	}
	state, err := store.Open(StatePath(c), store.Options{MustExist: true, Now: o.Now, Log: o.Log})
	if err != nil {
		return nil, err
	}
	site := siteOf(c, id)
	return &Offline{store: state, Handler: admin.New(admin.Options{
		Site: site, Store: state, Now: o.Now, Log: o.Log,
		Datasets: &releases{store: state, config: func() *config.Config { return c }, now: o.Now},
		Status: func() admin.Status {
			head, _ := state.AuditHead()
			loaded, _ := state.Releases()
			return admin.Status{Site: site, Version: Version, Peers: len(c.Federation.PeerList), Datasets: len(loaded), Audit: head}
		},
	})}, nil
}

// RegisterOffline makes a release file current at a site whose daemon does not
// run.
func RegisterOffline(ctx context.Context, c *config.Config, file string, log *slog.Logger) error {
	state, err := store.Open(StatePath(c), store.Options{MustExist: true, Now: time.Now, Log: log})
	if err != nil {
		return err
	}
	offline := releases{store: state, config: func() *config.Config { return c }, now: time.Now}
	_, err = offline.Register(ctx, file)
	return errors.Join(err, state.Close())
}

// CreateState makes the empty state file of a new site.
func CreateState(c *config.Config) error {
	state, err := store.Open(StatePath(c), store.Options{Now: time.Now})
	if err != nil {
		return err
	}
	return state.Close()
}
