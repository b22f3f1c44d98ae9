package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/candignode/candignode/api"
	"github.com/candignode/candignode/simulate"
)

// The demo asks at the first site and stops the last one.
const (
	demoAsks  = "uhn"
	demoStops = "chus"
)

func demoCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "demo", Short: "Run three sites on this machine and ask them one question", Args: noArgs,
		Long: `Run three sites on this machine, each with its own key, state, issuer policy and
data, and ask them one question as a researcher with a passport: once with all sites
up, once after one was stopped. Everything stays on loopback; no Docker, no root, no
network.`,
	}
	keep := cmd.Flags().Bool("keep", false, "stay up afterwards and print addresses, a passport and ready-made curl lines")
	dir := cmd.Flags().String("dir", "", "where the sites live (default: a temporary directory, removed at the end)")
	data := cmd.Flags().String("data", "", "directory with uhn.vcf.gz, bcgsc.vcf.gz and chus.vcf.gz to use instead of generated cohorts")
	verbose := cmd.Flags().Bool("verbose", false, "show the sites' logs")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		d := demo{out: cmd.OutOrStdout(), notes: cmd.ErrOrStderr(), json: *asJSON, keep: *keep, data: *data}
		if *dir == "" {
			if *dir, err = os.MkdirTemp("", "candignode-demo-"); err != nil {
				return err
			}
			defer os.RemoveAll(*dir)
		}
		log := slog.New(slog.DiscardHandler)
		if *verbose {
			log = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
		}
		return d.run(cmd.Context(), *dir, log)
	}
	return cmd
}

type demo struct {
	out, notes io.Writer
	json, keep bool
	data       string
}

// demoResult is what `demo --json` prints.
type demoResult struct {
	Question demoQuestion `json:"question"`
	Answers  []api.Answer `json:"answers"` // all sites up, then one stopped
}

type demoQuestion struct {
	Assembly    string `json:"assembly"`
	Chrom       string `json:"chrom"`
	Start       int64  `json:"start"` // 0-based
	Ref         string `json:"ref"`
	Alt         string `json:"alt"`
	Granularity string `json:"granularity"`
}

func (d demo) run(ctx context.Context, dir string, log *slog.Logger) (err error) {
	sites, err := simulate.DemoSites(d.data)
	if err != nil {
		return err
	}
	d.say("Making three sites with their own keys, state and data, and two pretend issuers ...\n")
	federation, err := simulate.Start(ctx, dir, sites, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, federation.Stop()) }()
	question, err := simulate.DemoQuestion(sites)
	if err != nil {
		return err
	}
	rosalind := federation.Plan.Researcher()
	rosalind.Audience = []string{federation.Site(demoAsks).ClientID()}
	passport, err := federation.Issuers.Passport(rosalind, time.Now())
	if err != nil {
		return err
	}
	question.Passports = []string{passport}
	result := demoResult{Question: demoQuestion{
		question.Assembly, question.Chrom, question.Start, question.Ref, question.Alt, question.Granularity,
	}}
	d.say("The question, asked at %s with a passport: who carries %s:%d %s>%s (%s, VCF position)?\n\n",
		demoAsks, question.Chrom, question.Start+1, question.Ref, question.Alt, question.Assembly)
	for _, stop := range []bool{false, true} {
		if stop {
			d.say("\nNow %s is stopped, and the same question asked again:\n\n", demoStops)
			if err := federation.StopSite(demoStops); err != nil {
				return err
			}
		}
		answer, err := federation.Client(demoAsks).Query(ctx, question, nil)
		if err != nil {
			return err
		}
		result.Answers = append(result.Answers, answer)
		if !d.json {
			if err := printAnswer(d.out, answer); err != nil {
				return err
			}
		}
	}
	if d.json {
		err = printJSON(d.out, result)
	}
	if err != nil || !d.keep {
		return err
	}
	return d.stay(ctx, federation, question, dir)
}

func (d demo) say(format string, args ...any) {
	if !d.json {
		fmt.Fprintf(d.out, format, args...)
	}
}

// howToSignIn prints what a person does who has no passport in a file. The pretend
// provider asks for no password.
func (d demo) howToSignIn(f *simulate.Federation, q api.Question) {
	url, ca := f.Site(demoAsks).URL, f.Plan.CAFile(demoAsks)
	fmt.Fprintf(d.notes, `
Or sign in, as %s, and ask without a passport:
  candignode login --node %s --ca %s
  curl -s --cacert %s 'ADDRESS'          # the address that login prints after "or open"; a browser does it, too
  candignode whoami --node %s
  candignode query g_variants --node %s --assembly %s --chrom %s --start %d --ref %s --alt %s
  candignode logout --node %s

In a browser that trusts %s:  %s/login
`, f.Plan.Researcher().Subject, url, ca, ca, url, url, q.Assembly, q.Chrom, q.Start, q.Ref, q.Alt, url, ca, url)
}

// stay prints what a visitor needs to go on asking, and waits for Ctrl-C.
func (d demo) stay(ctx context.Context, f *simulate.Federation, q api.Question, dir string) error {
	file := filepath.Join(dir, "passport.jwt")
	if err := os.WriteFile(file, []byte(q.Passports[0]+"\n"), 0o600); err != nil {
		return err
	}
	w := d.notes
	fmt.Fprintf(w, "\nThe sites that are left stay up until Ctrl-C.\n")
	for _, s := range f.Plan.Sites {
		if s.Name != demoStops {
			fmt.Fprintf(w, "  %-6s %s  config %s\n", s.Name, s.URL, f.Plan.ConfigPath(s.Name))
		}
	}
	url := f.Site(demoAsks).URL
	fmt.Fprintf(w, `
A passport that ends in an hour (a pretend one, so it may be printed): %s

  %s

Ask:
  curl -s %s/network/beacon/g_variants -H 'Content-Type: application/json' -d '{"meta":{"apiVersion":"v2.1.1"},
    "query":{"requestedGranularity":"count","requestParameters":{"g_variant":{"assemblyId":"%s","referenceName":"%s",
    "start":[%d],"referenceBases":"%s","alternateBases":"%s"}}},"passports":["'"$(cat %s)"'"]}'
  curl -s %s/v1/whoami -H 'Content-Type: application/json' -d '{"passports":["'"$(cat %s)"'"]}'
  curl -s %s/beacon/info
  candignode audit list --config %s
`, file, q.Passports[0], url, q.Assembly, q.Chrom, q.Start, q.Ref, q.Alt, file, url, file, url, f.Plan.ConfigPath(demoAsks))
	d.howToSignIn(f, q)
	<-ctx.Done()
	return nil
}
