package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/candignode/candignode/node"
	"github.com/candignode/candignode/node/config"
	"github.com/candignode/candignode/trust/policy"
)

func policyCommand() *cobra.Command {
	return group("policy", "The access policy", policyCheckCommand())
}

func policyCheckCommand() *cobra.Command {
	check := &cobra.Command{
		Use: "check", Args: noArgs,
		Short: "Load a policy as the node would, and run its Rego tests",
		Long: `Load a policy as the node would, and run its Rego tests (*_test.rego).

A policy is refused that does not compile, that errs on sample questions, that uses
the network or the clock, or that lets an empty caller at controlled data.`,
	}
	path, asJSON := configFlag(check), jsonFlag(check)
	dir := check.Flags().String("dir", "", "a policy directory to check instead of the configured one")
	check.RunE = func(cmd *cobra.Command, _ []string) error {
		files, err := policyFiles(*dir, *path)
		if err != nil {
			return err
		}
		report, err := policy.Check(cmd.Context(), files)
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		if *asJSON {
			err = printJSON(out, report)
		} else {
			err = printReport(cmd, report)
		}
		if err == nil && !report.Passed() {
			return coded{exitFailed, "a policy test failed"}
		}
		return err
	}
	return check
}

func policyFiles(dir, path string) (fs.FS, error) {
	if dir != "" {
		return os.DirFS(dir), nil
	}
	c, err := config.Load(path)
	if err != nil {
		return nil, err
	}
	return node.PolicyFiles(c), nil
}

func printReport(cmd *cobra.Command, report policy.Report) error {
	out := cmd.OutOrStdout()
	var rows [][]string
	for _, t := range report.Tests {
		result := "pass"
		if !t.Passed {
			result = "FAIL " + t.Detail
		}
		rows = append(rows, []string{t.Name, fmt.Sprintf("%s:%d", t.File, t.Line), result})
	}
	if len(rows) > 0 {
		if err := table(out, []string{"TEST", "WHERE", "RESULT"}, rows); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, "ok: policy %s, %d tests, %.0f %% of its lines covered\n", report.Revision, len(report.Tests), report.Coverage)
	return err
}

// checkPolicy is the policy's part of `config check`.
func checkPolicy(ctx context.Context, c *config.Config) error {
	_, err := policy.Load(ctx, node.PolicyFiles(c))
	return err
}
