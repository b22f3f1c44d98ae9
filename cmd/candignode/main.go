// Command candignode is the one binary of a site: the daemon, the operator's
// commands and the researcher's.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/candignode/candignode/node"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is main without the process: it gives the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err != nil && !silent(err) {
		fmt.Fprintln(stderr, "candignode:", lines(err.Error()))
	}
	return exitCode(err)
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "candignode",
		Short: "Ask small genomic questions across sites; every site keeps its data, its users and its decisions",
		Long: `candignode runs one site of a federation that has no centre.

  candignode demo          three sites on this machine, one question, an answer per site
  candignode init          make a site: key, configuration, state
  candignode run           the daemon
  candignode login         sign in as a researcher
  candignode query         ask a question as a researcher

Exit codes: 0 done; 1 failed; 2 usage; 3 not authenticated or denied;
4 answered, but not by every site.`,
		SilenceErrors: true, SilenceUsage: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("%s has no command %.60q; see '%s --help'", cmd.CommandPath(), args[0], cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage("%v; see '%s --help'", err, cmd.CommandPath())
	})
	root.AddCommand(
		demoCommand(), initCommand(), runCommand(), reloadCommand(), configCommand(),
		siteCommand(), sitesCommand(), inviteCommand(), joinCommand(), issuersCommand(), datasetsCommand(), grantsCommand(), policyCommand(), keysCommand(),
		loginCommand(), logoutCommand(), whoamiCommand(), queryCommand(), auditCommand(), statusCommand(), simulateCommand(),
		revokeCommand(), sessionsCommand(),
		versionCommand(),
	)
	return root
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "candignode", node.Version)
			return err
		},
	}
}
