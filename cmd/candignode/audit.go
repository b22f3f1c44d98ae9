package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/candignode/candignode/node/admin"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/audit"
)

func auditCommand() *cobra.Command {
	return group("audit", "The record of every access", auditListCommand(), auditShowCommand(), auditBothCommand(), auditVerifyCommand())
}

func auditListCommand() *cobra.Command {
	list := &cobra.Command{Use: "list", Short: "List the records, oldest first", Args: noArgs}
	from := list.Flags().Uint64("from", 0, "first entry to list (default: so that --last entries are listed)")
	last := list.Flags().Uint64("last", 100, "how many of the newest entries to list, when --from is not given; 0: all")
	transaction := list.Flags().String("transaction", "", "only the records of this question; the same id stands in every site's log")
	return onSite(list, func(ctx context.Context, s site, _ []string, asJSON bool) error {
		if *from == 0 && *last > 0 && *transaction == "" {
			var status admin.Status
			if err := s.Get(ctx, "/v1/status", nil, &status); err != nil {
				return err
			}
			if status.Audit.Seq > *last {
				*from = status.Audit.Seq - *last + 1
			}
		}
		var rows [][]string
		err := s.Audit(ctx, url.Values{"from": {strconv.FormatUint(max(*from, 1), 10)}}, func(line admin.AuditLine) error {
			var r audit.Record
			if err := json.Unmarshal(line.Record, &r); err != nil {
				return fmt.Errorf("entry %d: %w", line.Seq, err)
			}
			if *transaction != "" && r.Transaction != *transaction {
				return nil
			}
			if asJSON { // a line per entry: the log may be long
				return json.NewEncoder(list.OutOrStdout()).Encode(line)
			}
			rows = append(rows, auditRow(line.Seq, r))
			return nil
		})
		if err != nil || asJSON {
			return err
		}
		return table(list.OutOrStdout(), auditColumns, rows)
	})
}

var auditColumns = []string{"ENTRY", "TIME", "EVENT", "OUTCOME", "WHO", "FROM", "DATASET", "RULE", "QUESTION", "ANSWER"} // never assigned

func auditRow(seq uint64, r audit.Record) []string {
	who := r.Caller.Subject
	if !r.Caller.IsZero() {
		who += " at " + r.Caller.Issuer
	}
	question := r.Question
	if len(r.Targets) > 0 {
		names := make([]string, len(r.Targets))
		for i, t := range r.Targets {
			names[i] = string(t)
		}
		question += " to " + strings.Join(names, ",")
	}
	return []string{
		strconv.FormatUint(seq, 10), r.Time.Local().Format(time.DateTime), string(r.Event), r.Outcome, who,
		string(r.Origin), r.Dataset, r.Rule, question, r.Answer + r.Detail,
	}
}

func auditVerifyCommand() *cobra.Command {
	verify := &cobra.Command{
		Use: "verify", Args: noArgs,
		Short: "Check every entry of the audit log against the chain of hashes",
		Long: `Check every entry of the audit log against the chain of hashes.

An entry that was edited, dropped, inserted or moved is found. A tail that was cut
off is found only against a head that was noted elsewhere: note the line that this
command prints, and give it back with --head later.`,
	}
	noted := verify.Flags().String("head", "", "SEQ:HASH that an earlier run printed; it must still be in the chain")
	return onSite(verify, func(ctx context.Context, s site, _ []string, asJSON bool) error {
		query := url.Values{}
		if *noted != "" {
			head, err := parseHead(*noted)
			if err != nil {
				return err
			}
			query.Set("seq", strconv.FormatUint(head.Seq, 10))
			query.Set("hash", head.Hash.String())
		}
		var head audit.Head
		if err := s.Get(ctx, "/v1/audit/verify", query, &head); err != nil {
			return err
		}
		if asJSON {
			return printJSON(verify.OutOrStdout(), head)
		}
		_, err := fmt.Fprintf(verify.OutOrStdout(), "ok: %d entries; head %d:%s\n", head.Seq, head.Seq, head.Hash)
		return err
	})
}

func parseHead(s string) (audit.Head, error) {
	number, hash, ok := strings.Cut(s, ":")
	seq, err := strconv.ParseUint(number, 10, 64)
	if !ok || err != nil {
		return audit.Head{}, usage("--head: %.80q is not SEQ:HASH as 'audit verify' prints it", s)
	}
	digest, err := trust.ParseDigest(hash)
	if err != nil {
		return audit.Head{}, usage("--head: %v", err)
	}
	return audit.Head{Seq: seq, Hash: digest}, nil
}
