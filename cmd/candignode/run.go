package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/candignode/candignode/node"
	"github.com/candignode/candignode/node/config"
)

func runCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "run --config FILE", Short: "Run the daemon", Args: noArgs,
		Long: `Run the daemon in the foreground.

SIGTERM and SIGINT drain running questions and stop. SIGHUP reads the configuration
again; if it is bad the running one is kept and the log says why. Under systemd the
daemon tells when it is ready and feeds the watchdog.`,
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return runDaemon(cmd.Context(), *path, cmd.ErrOrStderr())
	}
	return cmd
}

// runDaemon runs the node, and makes it again when its site has joined another network: all that
// it says to peers is bound to one.
func runDaemon(ctx context.Context, path string, stderr io.Writer) error {
	// From here on SIGHUP waits for the node instead of ending the process.
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		if err := runNode(ctx, path, hangup, stderr); !errors.Is(err, node.ErrNetworkChanged) {
			return err
		}
	}
}

func runNode(ctx context.Context, path string, hangup <-chan os.Signal, stderr io.Writer) error {
	c, err := config.Load(path)
	if err != nil {
		return err
	}
	level := new(slog.LevelVar)
	level.Set(node.Level(c))
	log := newLogger(c, level, stderr)
	for _, w := range c.Warnings() {
		log.Warn("configuration", "warning", w.String())
	}
	sockets, err := node.Listen(ctx, c)
	if err != nil {
		return err
	}
	load := func() (*config.Config, error) { return config.Load(path) }
	n, err := node.New(ctx, node.Options{Config: c, Sockets: sockets, Log: log, Level: level, Now: time.Now, LoadConfig: load})
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	go reloadOnHangup(running, hangup, n, load, log)
	go tellSystemd(running, n, log)
	return n.Run(ctx)
}

func newLogger(c *config.Config, level *slog.LevelVar, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if c.Log.Format == "text" {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

func reloadOnHangup(ctx context.Context, hangup <-chan os.Signal, n *node.Node, load func() (*config.Config, error), log *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
		}
		daemon.SdNotify(false, daemon.SdNotifyReloading)
		c, err := load()
		if err == nil {
			err = n.Reload(ctx, c)
		} else {
			err = fmt.Errorf("%w; the running configuration is kept", err)
		}
		if err != nil {
			log.Error("reload refused", "error", err)
		}
		daemon.SdNotify(false, daemon.SdNotifyReady)
	}
}

// tellSystemd reports readiness once and feeds the watchdog for as long as the
// node serves. A full disk does not starve it: a restart would not make room, and
// the node goes on by itself when there is some. Without systemd it does nothing.
func tellSystemd(ctx context.Context, n *node.Node, log *slog.Logger) {
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	for n.Ready() != nil {
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
		}
	}
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		log.Warn("systemd could not be told that the node is ready", "error", err)
	}
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil || interval == 0 {
		<-ctx.Done()
		daemon.SdNotify(false, daemon.SdNotifyStopping)
		return
	}
	feed := time.NewTicker(interval / 2)
	defer feed.Stop()
	for {
		select {
		case <-ctx.Done():
			daemon.SdNotify(false, daemon.SdNotifyStopping)
			return
		case <-feed.C:
			if err := n.Serving(); err != nil {
				log.Error("not feeding the watchdog", "error", err)
				continue
			}
			daemon.SdNotify(false, daemon.SdNotifyWatchdog)
		}
	}
}

func configCommand() *cobra.Command {
	check := &cobra.Command{Use: "check", Short: "Name every problem of a configuration at once, each with a hint", Args: noArgs}
	path, asJSON := configFlag(check), jsonFlag(check)
	check.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := config.Load(*path)
		var problems *config.Problems
		if err != nil && !errors.As(err, &problems) {
			return err
		}
		if err == nil {
			err = checkPolicy(cmd.Context(), c)
		}
		return printCheck(cmd, c, problems, err, *asJSON)
	}
	return group("config", "The site's configuration", check)
}

// checked is what `config check --json` prints.
type checked struct {
	OK       bool             `json:"ok"`
	Problems []config.Problem `json:"problems"`
	Warnings []config.Problem `json:"warnings"`
}

func printCheck(cmd *cobra.Command, c *config.Config, problems *config.Problems, policyErr error, asJSON bool) error {
	result := checked{Problems: []config.Problem{}, Warnings: []config.Problem{}}
	switch {
	case problems != nil:
		result.Problems = problems.List
	case policyErr != nil:
		result.Problems = []config.Problem{{Key: "policy.dir", Message: policyErr.Error(), Hint: "see 'candignode policy check'"}}
	}
	if c != nil {
		result.Warnings = append(result.Warnings, c.Warnings()...)
	}
	result.OK = len(result.Problems) == 0
	out := cmd.OutOrStdout()
	if asJSON {
		if err := printJSON(out, result); err != nil {
			return err
		}
	} else {
		for _, p := range result.Problems {
			fmt.Fprintln(out, "problem:", p)
		}
		for _, w := range result.Warnings {
			fmt.Fprintln(out, "warning:", w)
		}
		if result.OK {
			fmt.Fprintln(out, "ok")
		}
	}
	if !result.OK {
		return coded{code: exitFailed}
	}
	return nil
}
