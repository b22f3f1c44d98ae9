package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/candignode/candignode/node"
	"github.com/candignode/candignode/node/config"
	"github.com/candignode/candignode/trust"
)

// made is what `init --json` prints.
type made struct {
	Site   trust.SiteName `json:"site"`
	Node   trust.NodeID   `json:"node"`
	Config string         `json:"config"`
}

func initCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "init --dir DIR --name NAME", Short: "Make a site: its node key, DIR/candignode.yaml and its state", Args: noArgs,
		Long: `Make a site: its node key, DIR/candignode.yaml (the manual of every key) and its state.

It refuses to overwrite anything. Give the NodeID it prints to the operators of the
other sites: they pin it, as you pin theirs, under federation.peers.`,
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
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *dir == "" || *name == "" {
			return usage("init needs --dir and --name")
		}
		parsed, err := trust.ParseSiteName(*name)
		if err != nil {
			return usage("--name: %v", err)
		}
		o.Name = string(parsed)
		result, err := makeSite(*dir, o)
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), result)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "made site %s\n  node    %s\n  config  %s\nNext: name the peers and issuers in the configuration, then 'candignode run --config %s'\n",
			result.Site, result.Node, result.Config, result.Config)
		return err
	}
	return cmd
}

// makeSite makes everything or nothing: what it made before an error it takes
// away again, and what was there before it leaves alone.
func makeSite(dir string, o config.InitOptions) (_ made, err error) {
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
	id, err := trust.NodeIDOf(private.Public())
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
	done = append(done, state)
	return made{Site: c.Site.Name, Node: id, Config: path}, node.CreateState(c)
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
