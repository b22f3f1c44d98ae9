package simulate_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/candignode/candignode/api"
	"github.com/candignode/candignode/simulate"
	"github.com/candignode/candignode/simulate/idp"
	"github.com/candignode/candignode/trust"
)

// variant is one data line of a VCF, with who carries it, counted naively.
type variant struct {
	chrom    string
	pos      int64 // 1-based
	ref, alt string
	carriers int64
}

// recount reads a VCF without any of the project's code: the answer to hold the
// federation's answers against.
func recount(t *testing.T, path string) []variant {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	var found []variant
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		columns := strings.Split(lines.Text(), "\t")
		pos, err := strconv.ParseInt(columns[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		for i, alt := range strings.Split(columns[4], ",") {
			v := variant{chrom: columns[0], pos: pos, ref: columns[3], alt: alt}
			for _, genotype := range columns[9:] {
				if strings.Contains(genotype, strconv.Itoa(i+1)) {
					v.carriers++
				}
			}
			found = append(found, v)
		}
	}
	if lines.Err() != nil || len(found) == 0 {
		t.Fatalf("%s: %d variants, %v", path, len(found), lines.Err())
	}
	return found
}

func start(t *testing.T, sites []simulate.Site) *simulate.Federation {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	dir, err := os.MkdirTemp("", "cn") // short: unix socket paths are
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	f, err := simulate.Start(t.Context(), dir, sites, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Stop(); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	return f
}

// startDemo runs the three generated hospitals and gives the demo's question.
func startDemo(t *testing.T) (*simulate.Federation, api.Question) {
	t.Helper()
	sites, err := simulate.DemoSites("")
	if err != nil {
		t.Fatal(err)
	}
	q, err := simulate.DemoQuestion(sites)
	if err != nil {
		t.Fatal(err)
	}
	return start(t, sites), q
}

func passportFor(t *testing.T, f *simulate.Federation, at trust.SiteName, granted ...trust.SiteName) string {
	t.Helper()
	who := idp.Researcher{Subject: "rosalind"}
	if at != "" {
		who.Audience = []string{f.Site(at).ClientID()}
	}
	for _, name := range granted {
		who.Visas = append(who.Visas, f.Site(name).Grant())
	}
	token, err := f.Issuers.Passport(who, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (v variant) question(passports ...string) api.Question {
	return api.Question{Assembly: "GRCh37", Chrom: v.chrom, Start: v.pos - 1, Ref: v.ref, Alt: v.alt, Granularity: "count", Passports: passports}
}

func ask(t *testing.T, f *simulate.Federation, at trust.SiteName, q api.Question) map[string]api.Site {
	t.Helper()
	answer, err := f.Client(at).Query(t.Context(), q, nil)
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string]api.Site{}
	for _, s := range answer.Sites {
		parts[s.Site] = s
	}
	return parts
}

// The network count of every variant equals the carriers in the VCFs, site
// by site, for a caller with grants at all three.
func TestEveryRealVariantIsCountedAtEverySite(t *testing.T) {
	data := filepath.Join("..", "..", "shared", "data")
	if _, err := os.Stat(data); err != nil {
		t.Skip("no real genotypes beside the checkout (../shared/data); the generated cohorts are counted by another test")
	}
	sites, err := simulate.DemoSites(data)
	if err != nil {
		t.Fatal(err)
	}
	countsEqual(t, sites)
}

func TestEveryGeneratedVariantIsCountedAtEverySite(t *testing.T) {
	sites, err := simulate.DemoSites("")
	if err != nil {
		t.Fatal(err)
	}
	for i := range sites {
		sites[i].VCF = filepath.Join(t.TempDir(), string(sites[i].Name)+".vcf")
		if err := simulate.WriteCohort(sites[i].VCF, sites[i]); err != nil {
			t.Fatal(err)
		}
	}
	countsEqual(t, sites)
}

func countsEqual(t *testing.T, sites []simulate.Site) {
	f := start(t, sites)
	token := passportFor(t, f, "uhn", "uhn", "bcgsc", "chus")
	byAllele := map[variant]map[trust.SiteName]int64{}
	for _, s := range sites {
		for _, v := range recount(t, s.VCF) {
			carriers := v.carriers
			v.carriers = 0
			if byAllele[v] == nil {
				byAllele[v] = map[trust.SiteName]int64{}
			}
			byAllele[v][s.Name] += carriers
		}
	}
	var group errgroup.Group
	group.SetLimit(16) // callers at once: their records share commits
	for v, carriers := range byAllele {
		group.Go(func() error {
			answer, err := f.Client("uhn").Query(t.Context(), v.question(token), nil)
			if err != nil {
				return fmt.Errorf("%v: %w", v, err)
			}
			if len(answer.Sites) != len(sites) {
				return fmt.Errorf("%v: %d sites answered", v, len(answer.Sites))
			}
			for _, p := range answer.Sites {
				if p.Status != "ok" || len(p.Datasets) != 1 || p.Datasets[0].Count == nil {
					return fmt.Errorf("%v at %s: %+v", v, p.Site, p)
				}
				want := carriers[trust.SiteName(p.Site)]
				if d := p.Datasets[0]; *d.Count != want || d.Exists != (want > 0) {
					t.Errorf("%v at %s: answered %d (exists %v), the VCF has %d carriers", v, p.Site, *d.Count, d.Exists, want)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d alleles counted at %d sites", len(byAllele), len(sites))
}

// A grant at one site only gets a typed refusal from the others and
// nothing that tells presence.
func TestAGrantAtOneSiteOpensNothingElsewhere(t *testing.T) {
	f, q := startDemo(t)
	common := q
	common.Passports = []string{passportFor(t, f, "uhn", "bcgsc")}
	absent := common
	absent.Alt = map[string]string{"A": "C", "C": "G", "G": "T", "T": "A"}[q.Alt]
	for name, question := range map[string]api.Question{"a common variant": common, "a variant that nobody carries": absent} {
		parts := ask(t, f, "uhn", question)
		for _, site := range []string{"uhn", "chus"} {
			p := parts[site]
			p.TookMS = 0
			if p.Status != "denied" || p.Datasets != nil || p.Error == nil {
				t.Errorf("%s: %s answered %+v, want a denial without datasets", name, site, p)
			}
		}
		if parts["bcgsc"].Status != "ok" {
			t.Errorf("%s: bcgsc answered %+v", name, parts["bcgsc"])
		}
	}
	// No passport at all: denied everywhere.
	anonymous := q
	for site, p := range ask(t, f, "uhn", anonymous) {
		if p.Status != "denied" || p.Datasets != nil {
			t.Errorf("anonymous: %s answered %+v", site, p)
		}
	}
}

// Row 8, V069: a passport bound to one site is nobody's at another.
func TestACapturedPassportIsRefusedAtAnotherSitesDoor(t *testing.T) {
	f, q := startDemo(t)
	q.Passports = []string{passportFor(t, f, "uhn", "uhn", "bcgsc", "chus")}
	_, err := f.Client("bcgsc").Query(t.Context(), q, nil)
	var refused *api.Problem
	if !errors.As(err, &refused) || refused.Status != 401 || refused.Reason != string(trust.ReasonAudience) {
		t.Fatalf("a passport for uhn at bcgsc: %v", err)
	}
}
