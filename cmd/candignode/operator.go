package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/candignode/candignode/node"
	"github.com/candignode/candignode/node/admin"
	"github.com/candignode/candignode/node/config"
)

const defaultConfig = "/etc/candignode/candignode.yaml"

func configFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("config", defaultConfig, "the site's candignode.yaml")
}

// site is an operator's command at work on one site: through the daemon's admin
// socket when it answers, on the state file itself when no daemon runs.
type site struct {
	*admin.Client
	config *config.Config
	close  io.Closer
}

func (s site) Close() error {
	if s.close == nil {
		return nil
	}
	return s.close.Close()
}

func openSite(ctx context.Context, path string) (site, error) {
	c, err := config.Load(path)
	if err != nil {
		return site{}, err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", c.Admin.Socket)
	if err == nil {
		conn.Close()
		return site{Client: admin.Dial(c.Admin.Socket), config: c}, nil
	}
	if !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ECONNREFUSED) {
		return site{}, err // no permission: saying "not running" would be wrong
	}
	offline, err := node.OpenOffline(c, node.Options{Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return site{}, err
	}
	return site{Client: admin.Inside(offline.Handler), config: c, close: offline}, nil
}

// onSite makes a command that works on one site and prints JSON or a table.
func onSite(cmd *cobra.Command, work func(ctx context.Context, s site, args []string, asJSON bool) error) *cobra.Command {
	path, asJSON := configFlag(cmd), jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := openSite(cmd.Context(), *path)
		if err != nil {
			return err
		}
		return errors.Join(work(cmd.Context(), s, args, *asJSON), s.Close())
	}
	return cmd
}

// group is a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, RunE: func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usage("%s has no command %.60q; see '%s --help'", cmd.CommandPath(), args[0], cmd.CommandPath())
		}
		return cmd.Help()
	}}
	cmd.AddCommand(commands...)
	return cmd
}
