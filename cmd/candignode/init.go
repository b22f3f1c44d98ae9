package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/candignode/candignode/node"
	"github.com/candignode/candignode/node/config"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/members"
)

// made is what `init --json` prints.
type made struct {
	Site   trust.SiteName `json:"site"`
	Node   trust.NodeID   `json:"node"`
	Config string         `json:"config"`
	SiteID trust.SiteID   `json:"site_id"`
	Roots  string         `json:"root_keys"` // where they lie
}

func initCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "init --dir DIR --name NAME", Short: "Make a site: its node key, DIR/candignode.yaml and its state", Args: noArgs,
		Long: `Make a site: its node key, DIR/candignode.yaml (the manual of every key) and its state.

It refuses to overwrite anything. The root keys say who the site is, for years: move
their files to where no network reaches, today's and the next ones apart, and keep the
passphrase elsewhere.

Then join a network: give the SiteID that it prints to a member's operator, who makes an
invite ('candignode invite create'), and run 'candignode join'. Or found one with --found.`,
	}
	var o config.InitOptions
	flags := cmd.Flags()
	dir := flags.String("dir", "", "directory of the site; made if it does not exist")
	name := flags.String("name", "", "the site's name among its peers: a-z, 0-9 and '-'")
	flags.StringVar(&o.DisplayName, "display-name", "", "the site's name for people (default: the name)")
	flags.StringVar(&o.Listen, "listen", "0.0.0.0:7946", "UDP address for the other sites")
	flags.StringVar(&o.Advertise, "advertise", "", "host:port under which the other sites reach that UDP address")
	flags.StringVar(&o.API, "api", "127.0.0.1:8443", "address for researchers; plain HTTP on loopback only")
	flags.StringVar(&o.ExternalURL, "external-url", "", "how researchers name this node, such as https://node.uhn.example.org")
	var id identityFlags
	flags.StringVar(&id.dir, "root-keys", "", "directory for the root keys (default: root-keys in --dir; move it away afterwards)")
	flags.IntVar(&id.count, "roots", 1, "how many root keys, 1 to 5")
	flags.IntVar(&id.threshold, "root-threshold", 0, "how many of them must sign (default: the majority)")
	flags.StringVar(&id.found, "found", "", "found a network of this name, with this site as its founder")
	id.pass = passphraseFlags(cmd)
	id.pass.none = flags.Bool("no-passphrase", false, "leave the root keys unencrypted")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *dir == "" || *name == "" {
			return usage("init needs --dir and --name")
		}
		if err := id.check(cmd.ErrOrStderr()); err != nil {
			return err
		}
		parsed, err := trust.ParseSiteName(*name)
		if err != nil {
			return usage("--name: %v", err)
		}
		o.Name = string(parsed)
		result, err := makeSite(cmd.Context(), *dir, o, id)
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), result)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "made site %s\n  site id    %s\n  node       %s\n  config     %s\n  root keys  %s: move them to where no network reaches\nNext: name the issuers in the configuration, join a network, then 'candignode run --config %s'\n",
			result.Site, result.SiteID, result.Node, result.Config, result.Roots, result.Config)
		return err
	}
	return cmd
}

// identityFlags say how the site's root keys are made.
type identityFlags struct {
	dir              string
	count, threshold int
	found            string
	pass             *passphrase
}

func (id *identityFlags) check(stderr io.Writer) error {
	id.pass.stderr = stderr
	if id.count < 1 || id.count > 5 {
		return usage("--roots: 1 to 5, not %d", id.count)
	}
	if id.threshold == 0 {
		id.threshold = id.count/2 + 1
	}
	if id.threshold < 1 || id.threshold > id.count {
		return usage("--root-threshold: 1 to %d, not %d", id.count, id.threshold)
	}
	if id.found != "" {
		if _, err := members.NewGenesis(id.found); err != nil {
			return usage("--found: %v", err)
		}
	}
	return nil
}

// makeSite makes everything or nothing: what it made before an error it takes
// away again, and what was there before it leaves alone.
func makeSite(ctx context.Context, dir string, o config.InitOptions, id identityFlags) (_ made, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return made{}, err
	}
	path := filepath.Join(dir, "candignode.yaml")
	o.Path, o.DataDir = path, dir
	key := filepath.Join(dir, "node.key")
	state := filepath.Join(dir, "state.db")
	for _, f := range []string{path, key, state} {
		if _, err := os.Lstat(f); err == nil {
			return made{}, fmt.Errorf("%s exists; init overwrites nothing: choose another --dir, or move the old site away", f)
		} else if !errors.Is(err, os.ErrNotExist) {
			return made{}, err
		}
	}
	var done []string
	defer func() {
		if err != nil {
			for _, f := range slices.Backward(done) {
				os.Remove(f)
			}
		}
	}()
	if _, err := os.Lstat(dir); errors.Is(err, os.ErrNotExist) {
		done = append(done, dir)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return made{}, err
	}
	private, err := config.CreateNodeKey(key)
	if err != nil {
		return made{}, err
	}
	done = append(done, key)
	nodeID, err := trust.NodeIDOf(private.Public())
	if err != nil {
		return made{}, err
	}
	text, err := config.Render(o)
	if err != nil {
		return made{}, err
	}
	if err := writeNew(path, text); err != nil {
		return made{}, err
	}
	done = append(done, path)
	c, err := config.Load(path)
	if err != nil {
		return made{}, err
	}
	if id.dir == "" {
		id.dir = filepath.Join(dir, "root-keys")
		if _, err := os.Lstat(id.dir); errors.Is(err, os.ErrNotExist) {
			done = append(done, id.dir)
		}
	}
	today, files, err := createRootKeys(id.dir, 1, id.count, id.pass)
	if err != nil {
		return made{}, err
	}
	done = append(done, files...)
	next, files, err := createRootKeys(id.dir, 2, id.count, id.pass)
	if err != nil {
		return made{}, err
	}
	done = append(append(done, files...), state)
	siteID, err := node.CreateState(ctx, c, node.Identity{
		Today: today, Next: publicHalves(next), Threshold: id.threshold, Found: id.found,
	})
	return made{Site: c.Site.Name, Node: nodeID, Config: path, SiteID: siteID, Roots: id.dir}, err
}

func writeNew(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		os.Remove(path) // half a configuration is worse than none
	}
	return err
}
