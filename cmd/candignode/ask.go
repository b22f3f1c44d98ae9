package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/candignode/candignode/api"
)

// maxPassportFile bounds what is read as a passport: larger ones no node takes.
const maxPassportFile = 1 << 20

// researcher are the flags of the commands that ask a node as a researcher.
type researcher struct {
	url, ca   *string
	passports *[]string
	timeout   *time.Duration
}

// askTime is how long a question may take in all, unless --timeout says otherwise.
const askTime = 30 * time.Second

// researcherFlags gives a command --url, also by the name of --node, --ca and --timeout.
func researcherFlags(cmd *cobra.Command, timeout time.Duration) researcher {
	f := cmd.Flags()
	url := f.String("url", envOr("CANDIGNODE_URL", "http://127.0.0.1:8443"), "the node (or $CANDIGNODE_URL)")
	f.StringVar(url, "node", *url, "the same as --url")
	return researcher{
		url:       url,
		ca:        f.String("ca", "", "PEM file of a private CA of the node and its identity provider"),
		timeout:   f.Duration("timeout", timeout, "how long to wait in all"),
		passports: new([]string),
	}
}

// passportFlags adds --passport.
func passportFlags(cmd *cobra.Command, r researcher) {
	cmd.Flags().StringArrayVar(r.passports, "passport", nil, "file with your GA4GH passport, - for standard input (or $CANDIGNODE_PASSPORT_FILE), instead of signing in; may be given again")
}

func envOr(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

// tokens reads the passports. They are secrets: they come from files, never from
// the command line, where every user of the machine could see them.
func (r researcher) tokens(stdin io.Reader) ([]string, error) {
	files := *r.passports
	if f := os.Getenv("CANDIGNODE_PASSPORT_FILE"); len(files) == 0 && f != "" {
		files = []string{f}
	}
	var tokens []string
	for _, name := range files {
		source := stdin
		if name != "-" {
			f, err := os.Open(name)
			if err != nil {
				return nil, err
			}
			defer f.Close()
			source = f
		}
		b, err := io.ReadAll(io.LimitReader(source, maxPassportFile+1))
		if err != nil {
			return nil, err
		}
		if len(b) > maxPassportFile {
			return nil, usage("--passport: %s has more than %d bytes; is it a passport?", name, maxPassportFile)
		}
		tokens = append(tokens, strings.TrimSpace(string(b)))
	}
	return tokens, nil
}

func queryCommand() *cobra.Command {
	return group("query", "Ask a question as a researcher", queryVariantsCommand())
}

func queryVariantsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "g_variants --assembly A --chrom C --start N (--ref R --alt A | --end N)", Args: noArgs,
		Short: "How many individuals carry a variant, site by site",
		Long: `How many individuals carry a variant, site by site.

Positions are 0-based and half-open as in Beacon: --start is a VCF's POS minus one.
With --ref and --alt it asks for that allele; with --end for any variant that overlaps
the range.

  candignode query g_variants --assembly GRCh37 --chrom 22 --start 16050074 --ref A --alt G`,
	}
	who, asJSON := researcherFlags(cmd, askTime), jsonFlag(cmd)
	passportFlags(cmd, who)
	var q api.Question
	f := cmd.Flags()
	f.StringVar(&q.Assembly, "assembly", "", "GRCh37 or GRCh38")
	f.StringVar(&q.Chrom, "chrom", "", "chromosome: 22, chr22, NC_000022.11")
	f.Int64Var(&q.Start, "start", -1, "first position, 0-based")
	f.Int64Var(&q.End, "end", 0, "end of the range, exclusive")
	f.StringVar(&q.Ref, "ref", "", "reference bases")
	f.StringVar(&q.Alt, "alt", "", "alternate bases")
	f.StringVar(&q.Granularity, "granularity", "count", "boolean or count")
	f.StringSliceVar(&q.Datasets, "dataset", nil, "only these datasets")
	scope := f.String("scope", "network", "network: every site; site: only the node that is asked")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case q.Assembly == "" || q.Chrom == "" || q.Start < 0:
			return usage("query g_variants needs --assembly, --chrom and --start")
		case *scope != "network" && *scope != "site":
			return usage("--scope: %.40q is neither network nor site", *scope)
		}
		q.SiteOnly = *scope == "site"
		ctx, cancel := context.WithTimeout(cmd.Context(), *who.timeout)
		defer cancel()
		a, err := who.open(ctx, cmd.InOrStdin())
		if err != nil {
			return err
		}
		q.Passports = a.passports
		answer, err := a.Query(ctx, q, func(part api.Site) {
			if !*asJSON {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s after %d ms\n", printable(part.Site), printable(part.Status), part.TookMS)
			}
		})
		if err != nil {
			return a.refused(err)
		}
		if *asJSON {
			err = printJSON(cmd.OutOrStdout(), answer)
		} else {
			err = printAnswer(cmd.OutOrStdout(), answer)
		}
		code := codeOf(answer)
		if code != nil && a.anonymous() {
			fmt.Fprintf(cmd.ErrOrStderr(), "You asked as nobody. To sign in: candignode login --node %s\n", a.BaseURL)
		}
		return errors.Join(err, code)
	}
	return cmd
}

// printAnswer writes an answer as a table, a row per site and dataset.
func printAnswer(w io.Writer, a api.Answer) error {
	var rows [][]string
	for _, s := range a.Sites {
		took := fmt.Sprintf("%d ms", s.TookMS)
		if len(s.Datasets) == 0 {
			why := ""
			if s.Error != nil {
				why = s.Error.Message
			}
			rows = append(rows, []string{s.Site, s.Status, "", "", "", took, why})
		}
		for _, d := range s.Datasets {
			count := ""
			if d.Count != nil {
				count = fmt.Sprint(*d.Count)
			}
			rows = append(rows, []string{s.Site, s.Status, d.Dataset, yesNo(d.Exists), count, took, d.Precision})
		}
	}
	if err := table(w, []string{"SITE", "STATUS", "DATASET", "EXISTS", "INDIVIDUALS", "TOOK", "NOTE"}, rows); err != nil {
		return err
	}
	total := "no site gave a count"
	if a.Count != nil {
		total = fmt.Sprintf("%d individuals in the datasets that gave a count", *a.Count)
	}
	if !a.Complete {
		total += "; not every site answered"
	}
	_, err := fmt.Fprintf(w, "%s (transaction %s)\n", total, printable(a.Transaction))
	return err
}

// codeOf is the exit code of an answer: denied everywhere, or incomplete.
func codeOf(a api.Answer) error {
	denied := len(a.Sites) > 0
	for _, s := range a.Sites {
		denied = denied && s.Status == "denied"
	}
	switch {
	case denied:
		return coded{code: exitDenied}
	case !a.Complete:
		return coded{code: exitIncomplete}
	}
	return nil
}
