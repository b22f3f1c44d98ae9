package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
)

func revokeCommand() *cobra.Command {
	return group("revoke", "Take access back at this site, whatever an issuer says",
		revokeAddCommand(), revokeListCommand(), revokeRemoveCommand())
}

func revokeAddCommand() *cobra.Command {
	add := &cobra.Command{
		Use:   "add (--iss ISSUER --sub SUBJECT | --jti ID [--iss ISSUER] | --token-digest DIGEST | --key THUMBPRINT | --issuer ISSUER) [--why TEXT]",
		Short: "Revoke a person, a token, a key or an issuer; the next question sees it", Args: noArgs,
	}
	f := revocationFlags{
		iss:    add.Flags().String("iss", "", "the issuer that knows the person, or that made the tokens with this jti; exactly as in its tokens"),
		sub:    add.Flags().String("sub", "", "the person's subject at that issuer"),
		jti:    add.Flags().String("jti", "", "tokens with this jti; of any issuer unless --iss is given"),
		token:  add.Flags().String("token-digest", "", "one token, by its digest as the audit log has it; never the token itself"),
		key:    add.Flags().String("key", "", "everything that the key with this RFC 7638 thumbprint signed"),
		issuer: add.Flags().String("issuer", "", "everything of this issuer"),
		why:    add.Flags().String("why", "", "for the record"),
	}
	return onSite(add, func(ctx context.Context, s site, _ []string, asJSON bool) error {
		r, err := f.revocation()
		if err != nil {
			return err
		}
		if err := s.Post(ctx, "/v1/revocations", r, &r); err != nil {
			return err
		}
		return printRevocation(add.OutOrStdout(), "revoked", r, asJSON)
	})
}

type revocationFlags struct{ iss, sub, jti, token, key, issuer, why *string }

// revocation takes exactly one thing to revoke. It does not repeat what was given
// for a digest, which may be a token.
func (f revocationFlags) revocation() (trust.Revocation, error) {
	r := trust.Revocation{Issuer: *f.iss, Subject: *f.sub, JTI: *f.jti, Key: *f.key, Why: *f.why}
	var kinds []trust.RevocationKind
	for kind, given := range map[trust.RevocationKind]bool{
		trust.RevokeIdentity: *f.sub != "" || *f.iss != "" && *f.jti == "",
		trust.RevokeJTI:      *f.jti != "", trust.RevokeToken: *f.token != "",
		trust.RevokeKey: *f.key != "", trust.RevokeIssuer: *f.issuer != "",
	} {
		if given {
			kinds = append(kinds, kind)
		}
	}
	switch {
	case len(kinds) != 1:
		return r, usage("revoke add takes one of: --iss with --sub; --jti, with or without --iss; --token-digest; --key; --issuer")
	case kinds[0] == trust.RevokeIdentity && (r.Issuer == "" || r.Subject == ""):
		return r, usage("revoke add: a person is --iss and --sub together; --issuer revokes everybody of an issuer")
	case *f.token != "":
		var err error
		if r.Token, err = trust.ParseDigest(*f.token); err != nil {
			return r, usage("--token-digest: not a digest, which is 43 characters; 'candignode audit list --json' has those of the tokens that were shown")
		}
	case *f.issuer != "":
		r.Issuer = *f.issuer
	}
	r.Kind = kinds[0]
	return r, nil
}

func revokeListCommand() *cobra.Command {
	list := &cobra.Command{Use: "list", Short: "List what is revoked", Args: noArgs}
	return onSite(list, func(ctx context.Context, s site, _ []string, asJSON bool) error {
		revoked := []trust.Revocation{}
		if err := s.Get(ctx, "/v1/revocations", nil, &revoked); err != nil {
			return err
		}
		if asJSON {
			return printJSON(list.OutOrStdout(), revoked)
		}
		var rows [][]string
		for _, r := range revoked {
			rows = append(rows, []string{r.ID, string(r.Kind), targetOf(r), r.Created.Local().Format(time.DateTime), r.Why})
		}
		return table(list.OutOrStdout(), []string{"ID", "KIND", "WHAT", "SINCE", "WHY"}, rows)
	})
}

func revokeRemoveCommand() *cobra.Command {
	remove := &cobra.Command{Use: "remove ID", Short: "End a revocation; the next question sees it", Args: oneArg("the revocation's id")}
	return onSite(remove, func(ctx context.Context, s site, args []string, asJSON bool) error {
		var r trust.Revocation
		if err := s.Delete(ctx, "/v1/revocations/"+url.PathEscape(args[0]), &r); err != nil {
			return err
		}
		return printRevocation(remove.OutOrStdout(), "no longer revoked", r, asJSON)
	})
}

func printRevocation(w io.Writer, what string, r trust.Revocation, asJSON bool) error {
	if asJSON {
		return printJSON(w, r)
	}
	_, err := fmt.Fprintf(w, "%s: %s %s (id %s)\n", what, r.Kind, printable(targetOf(r)), r.ID)
	return err
}

func targetOf(r trust.Revocation) string {
	switch r.Kind {
	case trust.RevokeIdentity:
		return r.Subject + " at " + r.Issuer
	case trust.RevokeJTI:
		if r.Issuer != "" {
			return r.JTI + " of " + r.Issuer
		}
		return r.JTI + " of any issuer"
	case trust.RevokeToken:
		return r.Token.String()
	case trust.RevokeKey:
		return r.Key
	}
	return r.Issuer
}

func sessionsCommand() *cobra.Command {
	return group("sessions", "Who is signed in at this site", sessionsListCommand(), sessionsEndCommand())
}

func sessionsListCommand() *cobra.Command {
	list := &cobra.Command{Use: "list [--iss ISSUER] [--sub SUBJECT]", Short: "List the sessions that have not ended", Args: noArgs}
	issuer := list.Flags().String("iss", "", "only of people of this issuer")
	subject := list.Flags().String("sub", "", "only of this subject")
	return onSite(list, func(ctx context.Context, s site, _ []string, asJSON bool) error {
		sessions := []access.Session{}
		if err := s.Get(ctx, "/v1/sessions", url.Values{"iss": {*issuer}, "sub": {*subject}}, &sessions); err != nil {
			return err
		}
		if asJSON {
			return printJSON(list.OutOrStdout(), sessions)
		}
		var rows [][]string
		for _, v := range sessions {
			rows = append(rows, []string{v.ID, v.Subject, v.Issuer, v.Created.Local().Format(time.DateTime),
				v.Used.Local().Format(time.DateTime), v.Until.Local().Format(time.DateTime), v.Label})
		}
		return table(list.OutOrStdout(), []string{"ID", "SUBJECT", "ISSUER", "SINCE", "LAST USED", "UNTIL", "WHERE"}, rows)
	})
}

func sessionsEndCommand() *cobra.Command {
	end := &cobra.Command{Use: "end ID", Short: "Sign somebody out; the next question sees it", Args: oneArg("the session's id")}
	return onSite(end, func(ctx context.Context, s site, args []string, asJSON bool) error {
		var v access.Session
		if err := s.Delete(ctx, "/v1/sessions/"+url.PathEscape(args[0]), &v); err != nil {
			return err
		}
		if asJSON {
			return printJSON(end.OutOrStdout(), v)
		}
		_, err := fmt.Fprintf(end.OutOrStdout(), "ended: the session of %s at %s\n", printable(v.Subject), printable(v.Issuer))
		return err
	})
}
