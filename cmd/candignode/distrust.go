package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/candignode/candignode/node/admin"
	"github.com/candignode/candignode/trust/issuers"
)

func issuersDistrustCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "distrust ISSUER", Args: oneArg("the issuer's URL as configured"),
		Short: "Take belief from a key of an issuer, or from all, at once and whoever shows it",
		Long: `Take belief from a key of an issuer, or from all of them, at once and whoever shows them. It
needs nobody. If this site is the issuer's home (candignode site update --home), the other
sites are told, too; 'candignode issuers acks' shows who has acknowledged it and who has not.`,
	}
	key := cmd.Flags().String("key", issuers.EveryKey, "the key's thumbprint, as 'issuers explain' prints it (default: every key)")
	reason := cmd.Flags().String("reason", "", "why, for people")
	life := cmd.Flags().Duration("for", 30*24*time.Hour, "for how long")
	return onSite(cmd, func(ctx context.Context, s site, args []string, _ bool) error {
		until := time.Now().Add(*life)
		if err := s.Post(ctx, "/v1/issuers/distrust", admin.Distrust{Issuer: args[0], Key: *key, Reason: *reason, Until: until}, nil); err != nil {
			return err
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "distrusted until %s\n", until.Local().Format(time.DateTime))
		return err
	})
}

func issuersUndistrustCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "undistrust ISSUER", Args: oneArg("the issuer's URL as configured"),
		Short: "Take back this site's own distrust; what other sites were told ends by itself",
	}
	key := cmd.Flags().String("key", issuers.EveryKey, "the key's thumbprint (default: the distrust of every key)")
	return onSite(cmd, func(ctx context.Context, s site, args []string, _ bool) error {
		return s.Post(ctx, "/v1/issuers/undistrust", admin.Distrust{Issuer: args[0], Key: *key}, nil)
	})
}

func issuersApproveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "approve ISSUER --keys", Args: oneArg("the issuer's URL as configured"),
		Short: "Confirm a key set that is held back because it does not continue the one before",
	}
	keys := cmd.Flags().Bool("keys", false, "the issuer was asked, and the keys that 'issuers explain' shows are its own")
	return onSite(cmd, func(ctx context.Context, s site, args []string, _ bool) error {
		if !*keys {
			return usage("issuers approve needs --keys: ask the issuer first whether the keys are its own")
		}
		return s.Post(ctx, "/v1/issuers/approve", admin.Distrust{Issuer: args[0]}, nil)
	})
}

func issuersAcksCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "acks", Short: "Show what this site distrusts, and which other sites have acknowledged it", Args: noArgs}
	return onSite(cmd, func(ctx context.Context, s site, _ []string, asJSON bool) error {
		list := []issuers.Acknowledgement{}
		if err := s.Get(ctx, "/v1/issuers/acknowledgements", nil, &list); err != nil {
			return err
		}
		if asJSON {
			return printJSON(cmd.OutOrStdout(), list)
		}
		var rows [][]string
		for _, a := range list {
			told := "here only"
			if a.Told {
				told = "by " + words(a.Acked)
			}
			rows = append(rows, []string{a.Issuer, a.Thumbprint, a.Until.Local().Format(time.DateTime), told, words(a.Missing), a.Reason})
		}
		return table(cmd.OutOrStdout(), []string{"ISSUER", "KEY", "UNTIL", "ACKNOWLEDGED", "NOT YET", "REASON"}, rows)
	})
}
