package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/candignode/candignode/node/admin"
	"github.com/candignode/candignode/trust"
)

func sitesCommand() *cobra.Command {
	return group("sites", "The other sites: who is admitted, connected, fresh, forked or blocked",
		sitesListCommand(), sitesShowCommand(), sitesApproveCommand(),
		sitesWordCommand("block", "Keep a site out, at once and whatever others say; its connections end", "blocked"),
		sitesWordCommand("unblock", "Take a block back; the site is as it was before anybody here decided", "unblocked"),
		sitesWordCommand("expel", "Block a site, and tell the others that it should be out; they decide for themselves", "blocked, and voted against"))
}

func getSites(ctx context.Context, s site) ([]admin.SiteState, error) {
	list := []admin.SiteState{}
	return list, s.Get(ctx, "/v1/sites", nil, &list)
}

func sitesListCommand() *cobra.Command {
	list := &cobra.Command{Use: "list", Short: "List the other sites: admitted or waiting, connected or not, how fresh, which version", Args: noArgs}
	return onSite(list, func(ctx context.Context, s site, _ []string, asJSON bool) error {
		sites, err := getSites(ctx, s)
		if err != nil {
			return err
		}
		if asJSON {
			return printJSON(list.OutOrStdout(), sites)
		}
		var rows [][]string
		for _, p := range sites {
			since, fresh := "", ""
			if p.Connected {
				since = p.Since.Local().Format(time.DateTime)
			}
			if p.HeadAge > 0 {
				fresh = (time.Duration(p.HeadAge) * time.Second).String()
			}
			rows = append(rows, []string{string(p.Name), standing(p), p.Node.Short(), p.Addr, yesNo(p.Connected), since, fresh, yesNo(p.Query), p.Software, p.LastError})
		}
		return table(list.OutOrStdout(), []string{"SITE", "STANDING", "NODE", "ADDRESS", "CONNECTED", "SINCE", "LAST WORD", "MAY ASK", "SOFTWARE", "LAST ERROR"}, rows)
	})
}

// standing is one word for what a site is here.
func standing(p admin.SiteState) string {
	switch {
	case p.Blocked:
		return "blocked"
	case p.Forked:
		return "forked"
	case p.Left:
		return "left"
	case p.Admitted:
		return "admitted"
	}
	return fmt.Sprintf("waits (%d of %d)", len(p.Endorsers), p.Needed)
}

func sitesShowCommand() *cobra.Command {
	show := &cobra.Command{Use: "show SITE", Short: "Show all that is known of one site, and why it is admitted or not", Args: oneArg("the site's name here, or its SiteID")}
	return onSite(show, func(ctx context.Context, s site, args []string, asJSON bool) error {
		sites, err := getSites(ctx, s)
		if err != nil {
			return err
		}
		for _, p := range sites {
			if string(p.Name) != args[0] && string(p.ID) != args[0] {
				continue
			}
			out := show.OutOrStdout()
			if asJSON {
				return printJSON(out, p)
			}
			return table(out, []string{"WHAT", "VALUE"}, [][]string{
				{"site", string(p.Name)}, {"calls itself", string(p.Calls) + " (" + p.Display + ")"}, {"site id", string(p.ID)},
				{"node", string(p.Node)}, {"addresses", strings.Join(p.Addrs, ", ")}, {"standing", standing(p)}, {"why", p.Why},
				{"endorsed by", names(p.Endorsers)}, {"votes to expel", names(p.Expellers)}, {"may ask this site", yesNo(p.Query)},
				{"witness for", strings.Join(p.WitnessFor, ", ")}, {"record", fmt.Sprintf("epoch %d, update %d", p.Epoch, p.Update)},
				{"record expires", p.Expires.Local().Format(time.DateOnly)}, {"connected", yesNo(p.Connected)}, {"last error", p.LastError},
			})
		}
		return fmt.Errorf("no site %.80q is known; 'candignode sites list' shows those that are", args[0])
	})
}

func names(list []trust.SiteName) string { return words(list) }

func sitesApproveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "approve SITE", Args: oneArg("the site's name here, or its SiteID"),
		Short: "Admit a site, and endorse it to the others; grant it what the flags say",
	}
	query := cmd.Flags().Bool("query", false, "its researchers may ask this site; the policy decides about each question")
	witness := cmd.Flags().StringSlice("witness", nil, "issuer for which its observations count here; 'all' for every one")
	name := cmd.Flags().String("name", "", "what this site calls it from now on")
	return onSite(cmd, func(ctx context.Context, s site, args []string, _ bool) error {
		approval := admin.Approval{Site: args[0], Query: *query, WitnessFor: *witness, Name: trust.SiteName(*name)}
		if err := s.Post(ctx, "/v1/sites/approve", approval, nil); err != nil {
			return err
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "approved %s\n", printable(args[0]))
		return err
	})
}

func sitesWordCommand(verb, short, done string) *cobra.Command {
	cmd := &cobra.Command{Use: verb + " SITE", Short: short, Args: oneArg("the site's name here, or its SiteID")}
	return onSite(cmd, func(ctx context.Context, s site, args []string, _ bool) error {
		if err := s.Post(ctx, "/v1/sites/"+verb, admin.SiteName{Site: args[0]}, nil); err != nil {
			return err
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", done, printable(args[0]))
		return err
	})
}

func inviteCommand() *cobra.Command {
	create := &cobra.Command{
		Use: "create --site SITEID", Args: noArgs,
		Short: "Make an invite for one site, good for 72 hours: one line to send to its operator",
		Long: `Make an invite for one site. It is your approval of that site, and tells it where to come.
It is bound to the SiteID that its operator gave you ('candignode site show'): whoever else
reads it can do nothing with it. Check the SiteID by a way on which you would notice a forgery.`,
	}
	id := create.Flags().String("site", "", "the newcomer's SiteID")
	onSite(create, func(ctx context.Context, s site, _ []string, asJSON bool) error {
		if *id == "" {
			return usage("invite create needs --site")
		}
		if _, err := trust.ParseSiteID(*id); err != nil {
			return usage("--site: %v", err)
		}
		var made admin.Invite
		if err := s.Post(ctx, "/v1/invites", admin.SiteName{Site: *id}, &made); err != nil {
			return err
		}
		if asJSON {
			return printJSON(create.OutOrStdout(), made)
		}
		_, err := fmt.Fprintln(create.OutOrStdout(), made.Invite)
		return err
	})
	return group("invite", "Invites for new sites", create)
}

func joinCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "join INVITE", Args: oneArg("the invite, or - to read it from standard input"),
		Short: "Join a network by an invite of one of its members",
		Long: `Join a network by an invite of one of its members. The daemon comes to the inviter by
itself, now or when it is started; the other members' operators then approve this site.`,
	}
	query := cmd.Flags().Bool("query", false, "the inviter's researchers may ask this site")
	return onSite(cmd, func(ctx context.Context, s site, args []string, _ bool) error {
		text := args[0]
		if text == "-" {
			b, err := io.ReadAll(io.LimitReader(os.Stdin, 64<<10))
			if err != nil {
				return err
			}
			text = strings.TrimSpace(string(b))
		}
		if err := s.Post(ctx, "/v1/join", admin.Join{Invite: text, Query: *query}, nil); err != nil {
			return err
		}
		next := "start the daemon: it comes to the inviter by itself"
		if s.Running {
			next = "the daemon comes to the inviter by itself"
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "joining; %s, and 'candignode sites list' shows who is there\n", next)
		return err
	})
}
