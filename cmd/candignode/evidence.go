package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/candignode/candignode/federation"
	"github.com/candignode/candignode/node/admin"
	"github.com/candignode/candignode/trust/audit"
)

// maxEntryLine bounds one line of another site's export: a record has at most 128 KiB.
const maxEntryLine = 256 << 10

// entry is one record of one site's log.
type entry struct {
	Seq    uint64       `json:"seq"`
	Record audit.Record `json:"record"`
}

// ownEntries gives this site's records of one question.
func ownEntries(ctx context.Context, s site, transaction string) ([]entry, error) {
	var found []entry
	err := s.Audit(ctx, url.Values{"from": {"1"}}, func(line admin.AuditLine) error {
		var r audit.Record
		if err := json.Unmarshal(line.Record, &r); err != nil {
			return fmt.Errorf("entry %d: %w", line.Seq, err)
		}
		if r.Transaction == transaction {
			found = append(found, entry{line.Seq, r})
		}
		return nil
	})
	return found, err
}

// otherEntries reads what `audit list --transaction T --json` printed at another site.
func otherEntries(r io.Reader, transaction string) ([]entry, error) {
	var found []entry
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxEntryLine)
	for n := 1; lines.Scan(); n++ {
		var e entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("line %d is no entry as 'audit list --json' prints it: %w", n, err)
		}
		if e.Record.Transaction == transaction {
			found = append(found, e)
		}
	}
	return found, lines.Err()
}

// finding is what becomes of one receipt.
type finding struct {
	Forwarding string              `json:"forwarding"`
	Receipt    *federation.Receipt `json:"receipt,omitempty"`
	Origin     uint64              `json:"origin_entry"`
	Decisions  []uint64            `json:"decision_entries"` // in the target's log
	Problem    string              `json:"problem,omitempty"`
}

// match holds each receipt of the origin against the target's decisions: the signature, and that
// the target's log knows the forwarding and decided by the policy that it signed.
func match(origin, target []entry) []finding {
	findings := []finding{}
	for _, e := range origin {
		if e.Record.Event != audit.EventReceipt {
			continue
		}
		f := finding{Forwarding: e.Record.Forwarding, Origin: e.Seq, Decisions: []uint64{}}
		said, err := federation.CheckReceipt(e.Record.Receipt)
		switch {
		case err != nil:
			f.Problem = err.Error()
		case said.Forwarding != e.Record.Forwarding || said.Transaction != e.Record.Transaction:
			f.Problem = "the receipt is about another question than the entry"
		default:
			f.Receipt = &said
			for _, d := range target {
				if d.Record.Event == audit.EventDecision && d.Record.Forwarding == said.Forwarding {
					f.Decisions = append(f.Decisions, d.Seq)
					if d.Record.Policy != said.Policy {
						f.Problem = fmt.Sprintf("entry %d of the target was decided by policy %.80q, and it signed %.80q", d.Seq, d.Record.Policy, said.Policy)
					}
				}
			}
		}
		findings = append(findings, f)
	}
	return findings
}

func auditShowCommand() *cobra.Command {
	show := &cobra.Command{
		Use: "show TRANSACTION", Args: oneArg("the question's transaction, which every answer names"),
		Short: "Show this site's records of one question, and whether its peers' receipts hold",
	}
	return onSite(show, func(ctx context.Context, s site, args []string, asJSON bool) error {
		own, err := ownEntries(ctx, s, args[0])
		if err != nil {
			return err
		}
		if len(own) == 0 {
			return fmt.Errorf("this site has no record of a question %.80q", args[0])
		}
		findings := match(own, nil)
		if asJSON {
			return printJSON(show.OutOrStdout(), struct {
				Entries  []entry   `json:"entries"`
				Receipts []finding `json:"receipts"`
			}{own, findings})
		}
		var rows [][]string
		for _, e := range own {
			rows = append(rows, auditRow(e.Seq, e.Record))
		}
		if err := table(show.OutOrStdout(), auditColumns, rows); err != nil {
			return err
		}
		return printFindings(show.OutOrStdout(), findings)
	})
}

func auditBothCommand() *cobra.Command {
	both := &cobra.Command{
		Use: "both TRANSACTION --with FILE", Args: oneArg("the question's transaction, which every answer names"),
		Short: "Hold this site's records of one question against another site's, both ways",
		Long: `Hold this site's records of one question against those of another site, which its privacy
officer exported with 'candignode audit list --transaction T --json'. Every receipt must be
signed, and be for a decision that the signer's own log has, by the policy that it signed.`,
	}
	with := both.Flags().String("with", "", "the other site's entries; - reads them from standard input")
	return onSite(both, func(ctx context.Context, s site, args []string, asJSON bool) error {
		if *with == "" {
			return usage("audit both needs --with")
		}
		own, err := ownEntries(ctx, s, args[0])
		if err != nil {
			return err
		}
		others, err := readOthers(*with, args[0])
		if err != nil {
			return err
		}
		findings, bad := concerned(match(own, others), others), 0
		findings = append(findings, concerned(match(others, own), own)...)
		for i, f := range findings {
			if f.Problem == "" && len(f.Decisions) == 0 {
				findings[i].Problem = "the site that signed it has no decision about it on record"
			}
			if findings[i].Problem != "" {
				bad++
			}
		}
		out := both.OutOrStdout()
		if asJSON {
			err = printJSON(out, findings)
		} else {
			err = printFindings(out, findings)
		}
		switch {
		case err != nil:
			return err
		case len(findings) == 0:
			return errors.New("neither log has a receipt for a decision of the other: was the transaction a question between these two sites?")
		case bad > 0:
			return fmt.Errorf("%d of %d receipts do not hold", bad, len(findings))
		}
		return nil
	})
}

// concerned leaves out receipts of third sites: those that neither answer a decision of the other log
// nor were signed by a node that it speaks of.
func concerned(findings []finding, log []entry) []finding {
	asked := map[string]bool{}
	for _, e := range log {
		asked[e.Record.Forwarding] = true
	}
	return slices.DeleteFunc(findings, func(f finding) bool { return f.Problem == "" && !asked[f.Forwarding] })
}

func readOthers(file, transaction string) ([]entry, error) {
	if file == "-" {
		return otherEntries(os.Stdin, transaction)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return otherEntries(f, transaction)
}

func printFindings(w io.Writer, findings []finding) error {
	for _, f := range findings {
		if f.Problem != "" {
			fmt.Fprintf(w, "receipt in entry %d: %s\n", f.Origin, printable(f.Problem))
			continue
		}
		answered := ""
		if len(f.Decisions) > 0 {
			answered = fmt.Sprintf(", for its decision in entry %v", f.Decisions)
		}
		if _, err := fmt.Fprintf(w, "receipt in entry %d: good, signed by node %s by policy %s%s\n", f.Origin, f.Receipt.Node.Short(), printable(f.Receipt.Policy), answered); err != nil {
			return err
		}
	}
	return nil
}
