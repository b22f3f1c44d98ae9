package node

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/candignode/candignode/node/admin"
	"github.com/candignode/candignode/node/config"
	"github.com/candignode/candignode/store"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/members"
	"github.com/candignode/candignode/trust/roots"
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
	desk, err := members.New(members.Options{
		Site: c.Site.Name, Key: key, Network: c.Federation.Network, Pins: pins(c), Store: state, Mesh: nobody{}, Now: o.Now, Log: o.Log,
	})
	if err != nil {
		return nil, errors.Join(err, state.Close())
	}
	site := siteOf(c, id, desk)
	return &Offline{store: state, Handler: admin.New(admin.Options{
		Site: site, Store: state, Members: desk, Now: o.Now, Log: o.Log,
		Datasets: &releases{store: state, config: func() *config.Config { return c }, now: o.Now},
		Status: func() admin.Status {
			head, _ := state.AuditHead()
			loaded, _ := state.Releases()
			return admin.Status{Site: site, Version: Version, Peers: len(desk.View().Sites), Datasets: len(loaded), Audit: head}
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

// CreateState makes the state file of a new site: nothing in it but the site's own first
// record, which the root keys sign.
func CreateState(ctx context.Context, c *config.Config, who Identity) (trust.SiteID, error) {
	key, err := config.LoadNodeKey(c.Federation.NodeKey)
	if err != nil {
		return "", err
	}
	public, _ := key.Public().(ed25519.PublicKey)
	content, err := FirstRecord(c, public)
	if err != nil {
		return "", err
	}
	content.Threshold, content.NextThreshold = who.Threshold, who.Threshold
	chain, err := roots.Incept(content, who.Today, who.Next, time.Now())
	if err != nil {
		return "", err
	}
	var genesis members.Genesis
	if who.Found != "" {
		if genesis, err = members.NewGenesis(who.Found, chain.ID()); err != nil {
			return "", err
		}
	}
	name, value, err := members.FirstState(chain, genesis)
	if err != nil {
		return "", err
	}
	state, err := store.Open(StatePath(c), store.Options{Now: time.Now})
	if err != nil {
		return "", err
	}
	err = state.SaveEvidence(ctx, map[string][]byte{name: value})
	return chain.ID(), errors.Join(err, state.Close())
}

// nobody is the mesh of a site whose daemon does not run.
type nobody struct{}

func (nobody) Connected() []trust.NodeID { return nil }

func (nobody) Call(context.Context, trust.NodeID, []byte) ([]byte, error) {
	return nil, admin.ErrNotRunning
}

func (nobody) Join(context.Context, trust.NodeID, []byte) ([]byte, error) {
	return nil, admin.ErrNotRunning
}
