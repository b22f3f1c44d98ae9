package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/candignode/candignode/node/admin"
)

func statusCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "status", Short: "Say how this site's node is", Args: noArgs}
	mustBeReady := cmd.Flags().Bool("ready", false, "fail unless the daemon runs and is ready to answer")
	return onSite(cmd, func(ctx context.Context, s site, _ []string, asJSON bool) error {
		var status admin.Status
		if err := s.Get(ctx, "/v1/status", nil, &status); err != nil {
			return err
		}
		if *mustBeReady && !status.Ready {
			return coded{exitFailed, "the daemon is not running or not ready"}
		}
		out := cmd.OutOrStdout()
		if asJSON {
			return printJSON(out, status)
		}
		running := "no"
		if status.Running {
			running = "since " + status.Started.Local().Format(time.DateTime)
		}
		return table(out, []string{"WHAT", "VALUE"}, [][]string{
			{"site", string(status.Site.Site)}, {"node", string(status.Node)}, {"version", status.Version},
			{"running", running}, {"ready", yesNo(status.Ready)},
			{"peers connected", fmt.Sprintf("%d of %d", status.PeersConnected, status.Peers)},
			{"datasets loaded", fmt.Sprint(status.Datasets)}, {"audit entries", fmt.Sprint(status.Audit.Seq)},
			{"policy", status.Policy}, {"trust revision", fmt.Sprint(status.TrustRevision)},
		})
	})
}

func reloadCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "reload", Short: "Make the daemon read its configuration again (as SIGHUP does); say why when it keeps the old one", Args: noArgs,
	}
	return onSite(cmd, func(ctx context.Context, s site, _ []string, _ bool) error {
		return s.Post(ctx, "/v1/reload", nil, nil)
	})
}
