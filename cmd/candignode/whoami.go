package main

import (
	"cmp"
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/candignode/candignode/api"
	"github.com/candignode/candignode/trust"
)

func whoamiCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "whoami", Short: "Ask a node who it takes you to be, and what it makes of each of your visas", Args: noArgs}
	who, asJSON := researcherFlags(cmd, askTime), jsonFlag(cmd)
	passportFlags(cmd, who)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx, cancel := context.WithTimeout(cmd.Context(), *who.timeout)
		defer cancel()
		a, err := who.open(ctx, cmd.InOrStdin())
		if err != nil {
			return err
		}
		answer, err := a.Whoami(ctx, a.passports)
		if err != nil {
			return a.refused(err)
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), answer)
		}
		return printWhoami(cmd.OutOrStdout(), answer)
	}
	return cmd
}

// printWhoami says in words what the node makes of the caller, visa by visa.
func printWhoami(w io.Writer, answer api.Whoami) error {
	p := &printer{w: w}
	p.say("You are %s at %s", printable(answer.Caller.Subject), printable(answer.Caller.Issuer))
	if answer.Until != nil {
		p.say(", until %s", when(*answer.Until))
	}
	p.say(".\n")
	for _, other := range answer.Caller.Linked {
		p.say("You are also %s at %s", printable(other.Subject), printable(other.Issuer))
		if other.Until != nil {
			p.say(", until %s", when(*other.Until))
		}
		p.say(".\n")
	}
	used := 0
	for _, v := range answer.Visas {
		if v.Accepted {
			used++
		}
	}
	p.say("%d of %d visas count here.\n", used, len(answer.Visas))
	for _, v := range answer.Visas {
		p.say("\n%s  %s\n  said by %s, signed by %s\n", printable(v.Type), printable(v.Value), printable(cmp.Or(v.By, v.Source)), printable(v.Issuer))
		if v.Subject != answer.Caller.Subject {
			p.say("  about %s there\n", printable(v.Subject))
		}
		if v.Accepted {
			p.say("  counts")
			if v.Until != nil {
				p.say(" until %s", when(*v.Until))
			}
			p.say("\n")
			continue
		}
		p.say("  does not count: %s (%s)\n  %s\n", printable(cmp.Or(v.Detail, "the node does not say why")), printable(v.Reason), adviceFor(v.Reason))
	}
	for _, note := range answer.Notes {
		p.say("\nNote: %s.\n", printable(note))
	}
	return p.err
}

// printer remembers the first error of many writes.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) say(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// What a researcher can do about a visa that does not count.
const (
	askForNew      = "What to do: ask its issuer for a new visa; signing in again may bring it."
	askIssuer      = "What to do: tell whoever issued the visa; this is a fault in it."
	askOperator    = "What to do: ask this site's operator whether it should be trusted here; another site may see it differently."
	askFewer       = "What to do: show fewer or smaller visas at a time."
	waitAndAsk     = "What to do: ask again a little later; tell the operator if it stays so."
	signInAnew     = "What to do: sign in again."
	meetConditions = "What to do: show the visas that it depends on too, in the same sign-in or passport; they must count here as well."
)

// advice is for each reason code; a newer node may have more of them.
var advice = map[trust.Reason]string{
	trust.ReasonMalformed: askIssuer, trust.ReasonWrongType: askIssuer, trust.ReasonAlgorithm: askIssuer, trust.ReasonHeader: askIssuer,
	trust.ReasonSignature: askIssuer, trust.ReasonMissingClaim: askIssuer, trust.ReasonBadClaim: askIssuer, trust.ReasonBadTime: askIssuer,
	trust.ReasonVisaForm: askIssuer, trust.ReasonLinkValue: askIssuer,
	trust.ReasonTooLarge: askFewer, trust.ReasonTooMany: askFewer,
	trust.ReasonUntrustedIssuer: askOperator, trust.ReasonAccessTokenVisa: askOperator, trust.ReasonUnlistedJKU: askOperator,
	trust.ReasonTypeOutOfScope: askOperator, trust.ReasonUntrustedSource: askOperator, trust.ReasonValueOutOfScope: askOperator,
	trust.ReasonUnsupportedToken: askOperator, trust.ReasonUnsupportedVisaType: askOperator, trust.ReasonLinkAuthority: askOperator,
	trust.ReasonRevoked:    "What to do: ask this site's operator or the visa's issuer why it was taken back.",
	trust.ReasonUnknownKey: waitAndAsk, trust.ReasonPolling: waitAndAsk, trust.ReasonProvider: waitAndAsk, trust.ReasonNotYetValid: waitAndAsk,
	trust.ReasonExpired:    askForNew,
	trust.ReasonAudience:   "What to do: get a passport that is made for this site; signing in here does that.",
	trust.ReasonUnbound:    "What to do: get a passport that names this site as its audience; signing in here does that.",
	trust.ReasonConditions: meetConditions,
	trust.ReasonNotProven:  signInAnew, trust.ReasonProof: signInAnew, trust.ReasonScope: signInAnew, trust.ReasonSession: signInAnew,
}

func adviceFor(reason string) string { return cmp.Or(advice[trust.Reason(reason)], askOperator) }
