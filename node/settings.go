package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/candignode/candignode/configs"
	"github.com/candignode/candignode/node/config"
	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/query/local"
	"github.com/candignode/candignode/query/privacy"
	"github.com/candignode/candignode/query/source/variants"
	"github.com/candignode/candignode/store"
	"github.com/candignode/candignode/trust/policy"
)

// settings is all that a reload swaps, as one immutable value. A question takes
// it once and keeps it to its end.
type settings struct {
	config  *config.Config
	policy  *policy.Policy
	local   *local.Setup
	sources map[string]openRelease // by dataset; owned here, closed when swapped out
}

type openRelease struct {
	release store.Release
	source  *variants.Release
}

func (n *Node) current() *settings { return n.settings.Load() }

// prepare builds settings from a configuration and the registered releases. It
// takes over open releases from old where the release is the same, and the policy
// where the configuration is: only a reload reads that again, and records it. On an
// error it has changed nothing.
func (n *Node) prepare(ctx context.Context, c *config.Config, old *settings) (_ *settings, err error) {
	s := &settings{config: c, sources: map[string]openRelease{}}
	var decider local.Decider
	if old != nil && old.config == c {
		s.policy, decider = old.policy, old.local.Policy
	} else {
		if s.policy, err = policy.Load(ctx, PolicyFiles(c)); err != nil {
			return nil, fmt.Errorf("policy: %w", err)
		}
		decider = policy.Remember(s.policy)
	}
	releases, err := n.store.Releases()
	if err != nil {
		return nil, err
	}
	var opened []io.Closer
	defer func() {
		if err != nil {
			for _, o := range opened {
				o.Close()
			}
		}
	}()
	s.local = &local.Setup{
		Datasets: c.Datasets(), Sources: map[string]query.Source{},
		Policy: decider, PolicyRevision: s.policy.Revision(),
		Floor: privacy.Floor{Threshold: c.Privacy.Threshold},
	}
	for _, r := range releases {
		var source *variants.Release
		if held, ok := old.release(r); ok {
			source = held
		} else {
			if source, err = variants.Open(filepath.Join(ReleasesDir(c), r.File)); err != nil {
				return nil, fmt.Errorf("dataset %s: %w", r.Dataset, err)
			}
			opened = append(opened, source)
		}
		s.sources[r.Dataset] = openRelease{release: r, source: source}
		s.local.Sources[r.Dataset] = source
	}
	return s, nil
}

func (s *settings) release(r store.Release) (*variants.Release, bool) {
	if s == nil {
		return nil, false
	}
	held, ok := s.sources[r.Dataset]
	return held.source, ok && held.release.Release == r.Release && held.release.File == r.File
}

// swap makes s current and retires the releases that it does not use any more.
func (n *Node) swap(s *settings) {
	old := n.settings.Swap(s)
	if old == nil {
		return
	}
	for dataset, held := range old.sources {
		if s.sources[dataset].source != held.source {
			n.retired.add(held.source, max(old.config.Limits.QueryTimeout, peerQuestionTime)+retireMargin)
		}
	}
}

func (s *settings) closeSources() {
	for _, held := range s.sources {
		held.source.Close()
	}
}

// PolicyFiles gives the policy that a configuration names: the operator's
// directory, or the built-in one.
func PolicyFiles(c *config.Config) fs.FS {
	if c.Policy.Dir == "" {
		return configs.Policy()
	}
	return os.DirFS(c.Policy.Dir)
}

// ErrNeedsRestart is wrapped by Reload when keys differ that only a restart
// applies. Nothing was changed then.
var ErrNeedsRestart = errors.New("these keys take effect only after a restart")

// Reload applies a new configuration while the node serves, or keeps the old one
// whole and says why. Issuers, peers, datasets, policy, privacy, the log level and
// a renewed certificate are applied; keys that need a restart, another node key
// among them, make it refuse.
func (n *Node) Reload(ctx context.Context, c *config.Config) error {
	n.reloading.Lock()
	defer n.reloading.Unlock()
	old := n.current()
	if keys := config.Restart(old.config, c); len(keys) > 0 {
		return fmt.Errorf("%w: %v; the running configuration is kept", ErrNeedsRestart, keys)
	}
	if err := n.sameKey(c); err != nil {
		return fmt.Errorf("%w; the running configuration is kept", err)
	}
	certificate, err := loadCertificate(c)
	if err != nil {
		return fmt.Errorf("%w; the running configuration is kept", err)
	}
	next, err := n.prepare(ctx, c, old)
	if err != nil {
		return fmt.Errorf("%w; the running configuration is kept", err)
	}
	record := n.lifeRecord("reloaded")
	record.Policy = next.policy.Revision()
	record.Detail = changes(old.config, c)
	if err := n.store.Record(ctx, record); err != nil {
		next.closeNew(old)
		return fmt.Errorf("the reload could not be recorded: %w; the running configuration is kept", err)
	}
	if err := n.repin(old.config, c); err != nil {
		next.closeNew(old)
		// What was recorded above did not come to be.
		err = errors.Join(err, n.store.Record(ctx, n.lifeRecord("reload refused")))
		return fmt.Errorf("%w; the running configuration is kept", err)
	}
	n.mesh.Reconfigure(lines(n.members))
	n.certificate.Store(certificate)
	n.swap(next)
	n.applyLevel(c)
	n.log.Info("configuration reloaded", "policy", next.policy.Revision())
	return nil
}

// repin tells the desks of another configuration, both or neither.
func (n *Node) repin(old, next *config.Config) error {
	if err := n.members.Reconfigure(pins(next)); err != nil {
		return err
	}
	v := n.members.View()
	if err := n.issuers.Reconfigure(policies(next, v), witnesses(v)); err != nil {
		return errors.Join(err, n.members.Reconfigure(pins(old)))
	}
	return nil
}

// sameKey makes sure that the key file still holds the key that this node runs
// with: otherwise the next start would be that of another node, which nobody pinned.
func (n *Node) sameKey(c *config.Config) error {
	key, err := config.LoadNodeKey(c.Federation.NodeKey)
	if err != nil {
		return err
	}
	if !key.Equal(n.key) {
		return fmt.Errorf("%w: [federation.node_key]; %.200q holds the key of another node", ErrNeedsRestart, c.Federation.NodeKey)
	}
	return nil
}

// changes names the keys that a reload changes, for its audit record.
func changes(old, next *config.Config) string {
	keys := strings.Join(config.Changes(old, next), " ")
	if keys == "" {
		return "version " + Version + "; no key changed"
	}
	if len(keys) > maxDetail {
		keys = keys[:maxDetail] + "..."
	}
	return "version " + Version + "; changed: " + keys
}

// closeNew closes what s opened beyond old; s is not used.
func (s *settings) closeNew(old *settings) {
	for dataset, held := range s.sources {
		if old == nil || old.sources[dataset].source != held.source {
			held.source.Close()
		}
	}
}

func (n *Node) applyLevel(c *config.Config) {
	if n.level != nil {
		n.level.Set(Level(c))
	}
}

// Level is the log level that a configuration asks for.
func Level(c *config.Config) slog.Level {
	var level slog.Level // info
	if err := level.UnmarshalText([]byte(c.Log.Level)); err != nil {
		return slog.LevelInfo // the configuration's own check refuses others
	}
	return level
}
