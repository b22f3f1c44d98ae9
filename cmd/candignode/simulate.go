package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/candignode/candignode/simulate"
	"github.com/candignode/candignode/simulate/idp"
	"github.com/candignode/candignode/trust"
)

// simulateCommand is the pretend world around real sites: it is for tests and
// for trying things out, so it is not shown among the site's commands.
func simulateCommand() *cobra.Command {
	cmd := group("simulate", "A pretend federation for tests: never for a real site",
		simulateWriteCommand(), simulateIssuerCommand(), simulateMintCommand(), simulateQuestionCommand(), simulateKeysCommand("rotate"), simulateKeysCommand("withdraw"))
	cmd.Hidden = true
	return cmd
}

func simulateWriteCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "write --dir DIR", Short: "Lay out the sites and the issuers of simulate/compose.yaml", Args: noArgs}
	dir := cmd.Flags().String("dir", "", "an empty or new directory")
	data := cmd.Flags().String("data", "", "directory with uhn.vcf.gz, bcgsc.vcf.gz and chus.vcf.gz (default: generated)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *dir == "" {
			return usage("simulate write needs --dir")
		}
		sites, err := simulate.ContainerSites(*data)
		if err != nil {
			return err
		}
		plan := simulate.ContainerPlan(*dir, sites)
		_, err = plan.Write(cmd.Context())
		return err
	}
	return cmd
}

// issuerFlags name the pretend issuers' directory and address.
func issuerFlags(cmd *cobra.Command) func() (*idp.Server, error) {
	dir := cmd.Flags().String("dir", "", "the issuers' directory")
	url := cmd.Flags().String("url", simulate.ContainerIssuerURL, "the issuers' base address")
	return func() (*idp.Server, error) {
		if *dir == "" {
			return nil, usage("%s needs --dir", cmd.CommandPath())
		}
		return idp.Open(*dir, *url, simulate.Broker, simulate.DAC)
	}
}

func simulateIssuerCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "issuer --dir DIR", Short: "Serve the pretend issuers", Args: noArgs}
	open := issuerFlags(cmd)
	listen := cmd.Flags().String("listen", "0.0.0.0:8443", "TCP address")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		server, err := open()
		if err != nil {
			return err
		}
		listener, err := new(net.ListenConfig).Listen(cmd.Context(), "tcp", *listen)
		if err != nil {
			return err
		}
		web := &http.Server{Handler: server.Handler(), TLSConfig: server.TLSConfig(), ReadHeaderTimeout: 5 * time.Second}
		context.AfterFunc(cmd.Context(), func() { web.Close() })
		if err := web.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}
	return cmd
}

func simulateMintCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "mint --dir DIR --sub S", Short: "Print a pretend researcher's passport", Args: noArgs}
	open := issuerFlags(cmd)
	subject := cmd.Flags().String("sub", "rosalind", "the researcher's subject")
	site := cmd.Flags().String("for", demoAsks, "the site whose client id is the passport's aud; empty: no aud")
	granted := cmd.Flags().StringSlice("granted", []string{"uhn", "bcgsc", "chus", "mcgill", "sickkids", "dal"}, "with the committee's grants for these sites' datasets")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		server, err := open()
		if err != nil {
			return err
		}
		who := idp.Researcher{Subject: *subject}
		if *site != "" {
			who.Audience = []string{simulate.Site{Name: trust.SiteName(*site)}.ClientID()}
		}
		for _, name := range *granted {
			who.Visas = append(who.Visas, simulate.Site{Name: trust.SiteName(name)}.Grant())
		}
		passport, err := server.Passport(who, time.Now())
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), passport)
		return err
	}
	return cmd
}

func simulateKeysCommand(what string) *cobra.Command {
	cmd := &cobra.Command{Use: what + " --dir DIR", Short: map[string]string{"rotate": "Give a pretend issuer a new signing key", "withdraw": "Take a pretend issuer's newest key out of its key set"}[what], Args: noArgs}
	open := issuerFlags(cmd)
	name := cmd.Flags().String("issuer", simulate.Broker, "which of the issuers")
	cmd.RunE = func(*cobra.Command, []string) error {
		server, err := open()
		if err != nil {
			return err
		}
		if what == "rotate" {
			return server.Rotate(*name)
		}
		return server.Withdraw(*name)
	}
	return cmd
}

// simulateQuestionCommand prints the demo's question as flags of 'query
// g_variants', for scripts.
func simulateQuestionCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "question", Short: "Print the demo's question as flags of 'query g_variants'", Args: noArgs}
	data := cmd.Flags().String("data", "", "as for 'simulate write'")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		sites, err := simulate.DemoSites(*data)
		if err != nil {
			return err
		}
		q, err := simulate.DemoQuestion(sites)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "--assembly %s --chrom %s --start %d --ref %s --alt %s\n", q.Assembly, q.Chrom, q.Start, q.Ref, q.Alt)
		return err
	}
	return cmd
}
