package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/candignode/candignode/trust/issuers"
)

func issuersCommand() *cobra.Command {
	return group("issuers", "The issuers this site trusts, and which of their keys it believes",
		issuersListCommand(), issuersExplainCommand("explain"), issuersExplainCommand("show"),
		issuersDistrustCommand(), issuersUndistrustCommand(), issuersApproveCommand(), issuersAcksCommand())
}

func issuersListCommand() *cobra.Command {
	list := &cobra.Command{Use: "list", Short: "List the issuers", Args: noArgs}
	return onSite(list, func(ctx context.Context, s site, _ []string, asJSON bool) error {
		found := []issuers.Summary{}
		if err := s.Get(ctx, "/v1/issuers", nil, &found); err != nil {
			return err
		}
		if asJSON {
			return printJSON(list.OutOrStdout(), found)
		}
		var rows [][]string
		for _, i := range found {
			rows = append(rows, []string{i.Issuer, words(i.Kinds), string(i.Mode), fmt.Sprintf("%d of %d", i.KeysBelieved, i.KeysSeen), fmt.Sprintf("%d of %d", i.WitnessesFresh, i.Needed), fmt.Sprint(i.Alarms)})
		}
		return table(list.OutOrStdout(), []string{"ISSUER", "KINDS", "MODE", "KEYS BELIEVED", "WITNESSES FRESH", "ALARMS"}, rows)
	})
}

func issuersExplainCommand(name string) *cobra.Command {
	cmd := &cobra.Command{
		Use: name + " ISSUER", Args: oneArg("the issuer's URL as configured"),
		Short: "Say for each key of an issuer who saw it, when, and why it is believed or not",
	}
	return onSite(cmd, func(ctx context.Context, s site, args []string, asJSON bool) error {
		var e issuers.Explanation
		if err := s.Get(ctx, "/v1/issuers/explain", url.Values{"issuer": {args[0]}}, &e); err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		if asJSON {
			return printJSON(out, e)
		}
		fmt.Fprintf(out, "%s\n  trusted for %s, mode %s\n", printable(e.Issuer), words(e.Kinds), e.Mode)
		if e.Problem != "" {
			fmt.Fprintf(out, "  problem: %s\n", printable(e.Problem))
		}
		if e.Home != "" {
			fmt.Fprintf(out, "  home: %s, which may take keys back for everybody\n", e.Home)
		}
		for _, alarm := range e.Alarms {
			fmt.Fprintf(out, "  alarm: %s\n", printable(alarm.Message))
		}
		var rows [][]string
		for _, k := range e.Keys {
			seen := make([]string, len(k.SeenBy))
			for i, w := range k.SeenBy {
				seen[i] = string(w.Site) + " " + w.At.Local().Format(time.TimeOnly)
			}
			until := ""
			if k.Believed {
				until = k.Until.Local().Format(time.DateTime)
			}
			rows = append(rows, []string{k.KeyID, k.Thumbprint, yesNo(k.Believed), until, strings.Join(seen, ", "), k.Why})
		}
		return table(out, []string{"KID", "THUMBPRINT", "BELIEVED", "UNTIL", "SEEN BY", "WHY"}, rows)
	})
}

func words[T ~string](list []T) string {
	texts := make([]string, len(list))
	for i, w := range list {
		texts[i] = string(w)
	}
	return strings.Join(texts, ", ")
}
