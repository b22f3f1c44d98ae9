package main

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
)

func grantsCommand() *cobra.Command {
	return group("grants", "This site's own grants, beside what visas say", grantsListCommand(), grantsAddCommand(), grantsRevokeCommand())
}

func grantsListCommand() *cobra.Command {
	list := &cobra.Command{Use: "list", Short: "List the grants", Args: noArgs}
	return onSite(list, func(ctx context.Context, s site, _ []string, asJSON bool) error {
		grants := []access.Grant{}
		if err := s.Get(ctx, "/v1/grants", nil, &grants); err != nil {
			return err
		}
		if asJSON {
			return printJSON(list.OutOrStdout(), grants)
		}
		var rows [][]string
		for _, g := range grants {
			rows = append(rows, []string{g.ID, g.Dataset, g.Subject, g.Issuer, g.Until.Local().Format(time.DateTime)})
		}
		return table(list.OutOrStdout(), []string{"ID", "DATASET", "SUBJECT", "ISSUER", "UNTIL"}, rows)
	})
}

func grantsAddCommand() *cobra.Command {
	add := &cobra.Command{
		Use: "add --iss ISSUER --sub SUBJECT --dataset ID --until TIME", Args: noArgs,
		Short: "Let one identity use a dataset until a time",
	}
	issuer := add.Flags().String("iss", "", "the issuer that knows the person, exactly as in its tokens")
	subject := add.Flags().String("sub", "", "the person's subject at that issuer")
	dataset := add.Flags().String("dataset", "", "the dataset's id at this site")
	until := add.Flags().String("until", "", "when the grant ends: 2027-06-30 or 2027-06-30T17:00:00-04:00")
	return onSite(add, func(ctx context.Context, s site, _ []string, asJSON bool) error {
		end, err := parseTime(*until)
		if err != nil {
			return err
		}
		for flag, value := range map[string]string{"iss": *issuer, "sub": *subject, "dataset": *dataset} {
			if value == "" {
				return usage("grants add needs --%s", flag)
			}
		}
		g := access.Grant{Identity: trust.Identity{Issuer: *issuer, Subject: *subject}, Dataset: *dataset, Until: end}
		if err := s.Post(ctx, "/v1/grants", g, &g); err != nil {
			return err
		}
		if asJSON {
			return printJSON(add.OutOrStdout(), g)
		}
		_, err = fmt.Fprintf(add.OutOrStdout(), "granted: %s until %s (id %s)\n", g.Dataset, g.Until.Format(time.RFC3339), g.ID)
		return err
	})
}

func parseTime(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usage("--until: %.40q is neither a date like 2027-06-30 nor a time like 2027-06-30T17:00:00-04:00", s)
}

func grantsRevokeCommand() *cobra.Command {
	revoke := &cobra.Command{Use: "revoke ID", Short: "Take a grant back; the next question sees it", Args: oneArg("the grant's id")}
	return onSite(revoke, func(ctx context.Context, s site, args []string, asJSON bool) error {
		var g access.Grant
		if err := s.Delete(ctx, "/v1/grants/"+url.PathEscape(args[0]), &g); err != nil {
			return err
		}
		if asJSON {
			return printJSON(revoke.OutOrStdout(), g)
		}
		_, err := fmt.Fprintf(revoke.OutOrStdout(), "revoked: %s for %s\n", g.Dataset, g.Subject)
		return err
	})
}
