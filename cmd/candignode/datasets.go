package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/candignode/candignode/node"
	"github.com/candignode/candignode/node/admin"
	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/query/source/variants"
	"github.com/candignode/candignode/store"
)

func datasetsCommand() *cobra.Command {
	return group("datasets", "What this site can be asked about", datasetsListCommand(),
		group("import", "Load data into a dataset", importVCFCommand()), datasetsRemoveCommand())
}

func datasetsListCommand() *cobra.Command {
	list := &cobra.Command{Use: "list", Short: "List the datasets, configured and loaded", Args: noArgs}
	return onSite(list, func(ctx context.Context, s site, _ []string, asJSON bool) error {
		datasets := []admin.Dataset{}
		if err := s.Get(ctx, "/v1/datasets", nil, &datasets); err != nil {
			return err
		}
		if asJSON {
			return printJSON(list.OutOrStdout(), datasets)
		}
		var rows [][]string
		for _, d := range datasets {
			level := string(d.Access)
			if !d.Configured {
				level = "not configured: nobody may ask"
			}
			row := []string{d.ID, level, "nothing loaded", "", "", "", ""}
			if r := d.Release; r != nil {
				row = []string{d.ID, level, r.Release, string(r.Assembly), fmt.Sprint(r.Individuals), fmt.Sprint(r.Variants), r.Imported.Local().Format(time.DateTime)}
			}
			rows = append(rows, row)
		}
		return table(list.OutOrStdout(), []string{"DATASET", "ACCESS", "RELEASE", "ASSEMBLY", "INDIVIDUALS", "VARIANTS", "IMPORTED"}, rows)
	})
}

func datasetsRemoveCommand() *cobra.Command {
	remove := &cobra.Command{Use: "remove DATASET", Short: "Take a dataset's data away and delete its file", Args: oneArg("the dataset's id")}
	return onSite(remove, func(ctx context.Context, s site, args []string, _ bool) error {
		if err := s.Delete(ctx, "/v1/datasets/"+url.PathEscape(args[0]), nil); err != nil {
			return err
		}
		_, err := fmt.Fprintf(remove.OutOrStdout(), "removed: %s\n", args[0])
		return err
	})
}

func importVCFCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "vcf FILE... --dataset ID --assembly A", Short: "Import VCF files (plain, gzip, bgzf) as a dataset's new release",
		Long: `Import VCF files (plain, gzip, bgzf) as a dataset's new release.

All files together make one immutable release. The old release answers until the new
one is complete; a failed or interrupted import leaves everything as it was. Works
with the daemon up or down.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("import vcf needs at least one FILE")
			}
			return nil
		},
	}
	dataset := cmd.Flags().String("dataset", "", "the dataset's id, as in the configuration")
	assembly := cmd.Flags().String("assembly", "", "GRCh37 or GRCh38")
	individuals := cmd.Flags().String("individuals", "", "TSV of sample and individual, where they differ")
	path, asJSON := configFlag(cmd), jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, files []string) error {
		if err := query.ValidDatasetID(*dataset); err != nil {
			return usage("--dataset: %v", err)
		}
		build, err := query.ParseAssembly(*assembly)
		if err != nil {
			return usage("--assembly: %v", err)
		}
		return importVCF(cmd, *path, *asJSON, variants.ImportOptions{
			Dataset: *dataset, Assembly: build, Files: files, IndividualsFile: *individuals, Now: time.Now(),
		})
	}
	return cmd
}

// importVCF makes a release file and then registers it. It holds no state file
// while it reads, which may take long: the daemon may be started, stopped or restarted
// meanwhile, and the release goes to whoever has the state at the end.
func importVCF(cmd *cobra.Command, path string, asJSON bool, o variants.ImportOptions) error {
	ctx := cmd.Context()
	s, err := openSite(ctx, path)
	if err != nil {
		return err // now, and not after an hour's import
	}
	if err := s.Close(); err != nil {
		return err
	}
	o.Dir = node.ReleasesDir(s.config)
	if err := os.MkdirAll(o.Dir, 0o750); err != nil {
		return err
	}
	if err := handOver(o.Dir, s.config.DataDir); err != nil {
		return err
	}
	bar := newProgress(cmd)
	o.Progress = bar.update
	imported, err := variants.Import(ctx, o)
	bar.done(err)
	if err != nil {
		return err
	}
	if err := handOver(imported.File, s.config.DataDir); err != nil {
		return err
	}
	if s, err = openSite(ctx, path); err != nil {
		return err
	}
	var release store.Release
	err = s.Post(ctx, "/v1/datasets", admin.Registration{File: filepath.Base(imported.File)}, &release)
	if err = errors.Join(err, s.Close()); err != nil {
		return err
	}
	return printImported(cmd, s, release, imported, asJSON)
}

// handOver gives what root made to the owner of the site's data, as whom the
// daemon runs: it could not read it otherwise.
func handOver(path, dataDir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(dataDir)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return os.Lchown(path, int(owner.Uid), int(owner.Gid))
}

func printImported(cmd *cobra.Command, s site, release store.Release, imported variants.Imported, asJSON bool) error {
	if asJSON {
		return printJSON(cmd.OutOrStdout(), struct {
			store.Release
			Skipped map[string]int64 `json:"skipped"`
		}{release, imported.Skipped})
	}
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "imported %s release %s: %d variants, %d individuals, %s\n",
		release.Dataset, release.Release, release.Variants, release.Individuals, release.Assembly)
	for _, reason := range sortedKeys(imported.Skipped) {
		fmt.Fprintf(out, "  left out: %d %s\n", imported.Skipped[reason], reason)
	}
	for _, d := range s.config.Datasets() {
		if d.ID == release.Dataset {
			return nil
		}
	}
	_, err := fmt.Fprintf(out, "  nobody may ask about it yet: name %s under datasets in %s and reload\n", release.Dataset, s.config.Path())
	return err
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, strings.Compare)
	return keys
}

// progress is a bar on a terminal and nothing elsewhere.
type progress struct {
	bars *mpb.Progress
	bar  *mpb.Bar
}

func newProgress(cmd *cobra.Command) *progress {
	f, ok := cmd.ErrOrStderr().(*os.File)
	if !ok {
		return &progress{}
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return &progress{}
	}
	return &progress{bars: mpb.New(mpb.WithOutput(f))}
}

func (p *progress) update(now variants.Progress) {
	if p.bars == nil {
		return
	}
	if p.bar == nil {
		p.bar = p.bars.AddBar(now.BytesTotal,
			mpb.PrependDecorators(decor.Name("importing ")),
			mpb.AppendDecorators(decor.Percentage(), decor.Name("  "), decor.AverageETA(decor.ET_STYLE_GO)))
	}
	p.bar.SetCurrent(now.BytesRead)
}

func (p *progress) done(err error) {
	if p.bar == nil {
		return
	}
	if err != nil {
		p.bar.Abort(false)
	} else {
		p.bar.SetTotal(-1, true)
	}
	p.bars.Wait()
}
