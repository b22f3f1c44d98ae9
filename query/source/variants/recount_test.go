package variants

import (
	"bufio"
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/candignode/candignode/query"
)

// naive is a release as one would count it by hand: carriers by name.
type naive map[query.VariantQuery]map[string]bool

// read takes a VCF text apart in the plainest way there is.
func (n naive) read(t reporter, text string, owner func(string) string) {
	t.Helper()
	var names []string
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		f := strings.Split(line, "\t")
		switch {
		case strings.HasPrefix(line, "##"):
			continue
		case strings.HasPrefix(line, "#"):
			names = f[9:]
			continue
		}
		chrom, err := query.Chrom(f[0])
		if err != nil {
			continue
		}
		pos, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			t.Errorf("POS: %v", err)
		}
		field := slices.Index(strings.Split(f[8], ":"), "GT")
		for a, alt := range strings.Split(f[4], ",") {
			if strings.ContainsAny(alt, "<>*.[]") {
				continue
			}
			start, minRef, minAlt := query.Minimal(pos-1, f[3], alt)
			q := query.VariantQuery{Assembly: query.GRCh37, Chrom: chrom, Start: start, Ref: minRef, Alt: minAlt}
			for s, column := range f[9:] {
				fields := strings.Split(column, ":")
				if field >= len(fields) {
					continue
				}
				called := strings.FieldsFunc(fields[field], func(r rune) bool { return r == '/' || r == '|' })
				if slices.Contains(called, strconv.Itoa(a+1)) {
					if n[q] == nil {
						n[q] = map[string]bool{}
					}
					n[q][owner(names[s])] = true
				}
			}
		}
	}
}

func (n naive) count(q query.VariantQuery) query.Raw {
	people, variants := map[string]bool{}, int64(0)
	for v, carriers := range n {
		if v.Chrom != q.Chrom || v.Start >= q.End || v.Start+int64(len(v.Ref)) <= q.Start {
			continue
		}
		if (q.Ref != "" && q.Ref != v.Ref) || (q.Alt != "" && q.Alt != v.Alt) {
			continue
		}
		variants++
		for c := range carriers {
			people[c] = true
		}
	}
	return query.Raw{Individuals: len(people), Variants: variants}
}

// randomVCF draws a file of a crowded stretch of two chromosomes, so that rows
// meet at one place.
func randomVCF(t *rapid.T, samples []string) string {
	formats := rapid.SampledFrom([]string{"GT", "GT:DP", "DP:GT:AD"})
	var records []string
	for range rapid.IntRange(1, 12).Draw(t, "records") {
		ref := rapid.StringMatching(`[ACGT]{1,4}`).Draw(t, "ref")
		alts := rapid.SliceOfN(rapid.StringMatching(`[ACGT]{1,3}|\*|<DEL>`), 1, 3).Draw(t, "alts")
		for i, alt := range alts {
			if alt == ref {
				alts[i] = ref + "A"
			}
		}
		format := formats.Draw(t, "format")
		record := fmt.Sprintf("%s %d %s %s %s", rapid.SampledFrom([]string{"chr1", "1", "X", "GL1"}).Draw(t, "chrom"),
			rapid.IntRange(1, 30).Draw(t, "pos"), ref, strings.Join(alts, ","), format)
		allele := rapid.SampledFrom([]string{".", "0", "0", "0", "0"})
		if rapid.Bool().Draw(t, "common") {
			allele = rapid.SampledFrom([]string{"0", "1", strconv.Itoa(len(alts))})
		}
		for range samples {
			gt := allele.Draw(t, "a")
			for range rapid.IntRange(0, 2).Draw(t, "ploidy") {
				gt += rapid.SampledFrom([]string{"/", "|"}).Draw(t, "phase") + allele.Draw(t, "b")
			}
			record += " " + map[string]string{"GT": gt, "GT:DP": gt + ":7", "DP:GT:AD": "7:" + gt}[format]
		}
		records = append(records, record)
	}
	return vcf(strings.Join(samples, " "), records...)
}

func TestCountsEqualANaiveRecount(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		owner := func(s string) string { return s }
		o := ImportOptions{Dataset: "d", Assembly: query.GRCh37, Dir: filepath.Join(dir, "data"), Now: imported}
		var all []string
		counted := naive{}
		grouped := rapid.Bool().Draw(rt, "grouped")
		if grouped {
			owner = func(s string) string { return "p" + strings.Trim(s, "s")[:1] }
		}
		for f := range rapid.IntRange(1, 3).Draw(rt, "files") {
			ids := rapid.SliceOfNDistinct(rapid.IntRange(10, 99), 1, 20, rapid.ID[int]).Draw(rt, "samples")
			var samples []string
			for _, id := range ids {
				samples = append(samples, fmt.Sprintf("s%d", id))
			}
			all = append(all, samples...)
			text := randomVCF(rt, samples)
			counted.read(rt, text, owner)
			o.Files = append(o.Files, filepath.Join(dir, fmt.Sprintf("%d.vcf", f)))
			if err := os.WriteFile(o.Files[f], []byte(text), 0o600); err != nil {
				rt.Fatal(err)
			}
		}
		if grouped {
			slices.Sort(all)
			var who strings.Builder
			for _, s := range slices.Compact(all) {
				fmt.Fprintf(&who, "%s\t%s\n", s, owner(s))
			}
			o.IndividualsFile = filepath.Join(dir, "who.tsv")
			if err := os.WriteFile(o.IndividualsFile, []byte(who.String()), 0o600); err != nil {
				rt.Fatal(err)
			}
		}
		im := newImporter(o)
		im.runBytes = rapid.SampledFrom([]int{1, 60, 300, runBytes}).Draw(rt, "runBytes")
		im.maxRuns = rapid.IntRange(2, 4).Draw(rt, "maxRuns")
		done, err := im.run(context.Background())
		if len(counted) == 0 {
			if err == nil {
				rt.Fatal("imported a release without variants")
			}
			return
		}
		if err != nil {
			rt.Fatal(err)
		}
		r, err := Open(done.File)
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = r.Close() }()
		if got := r.Holdings().Variants; got != int64(len(counted)) {
			rt.Errorf("%d variants, want %d", got, len(counted))
		}
		compareAll(rt, r, counted)
		for range 10 {
			start := rapid.Int64Range(0, 35).Draw(rt, "start")
			q := within(rapid.SampledFrom([]string{"1", "X", "2"}).Draw(rt, "chrom"), start, start+rapid.Int64Range(1, 12).Draw(rt, "length"))
			q.Alt = rapid.SampledFrom([]string{"", "A", "CG"}).Draw(rt, "alt")
			compare(rt, r, q, counted.count(q))
		}
	})
}

type reporter interface {
	Helper()
	Errorf(string, ...any)
}

func compareAll(t reporter, r *Release, counted naive) {
	t.Helper()
	for q, carriers := range counted {
		compare(t, r, q, query.Raw{Individuals: len(carriers), Variants: 1})
	}
}

func compare(t reporter, r *Release, q query.VariantQuery, want query.Raw) {
	t.Helper()
	if got, err := r.Resolve(context.Background(), q); err != nil || got != want {
		t.Errorf("%s: got %+v (%v), want %+v", q, got, err, want)
	}
}

// TestRealGenotypes recounts the genotypes of three sites, if they lie beside
// the project.
func TestRealGenotypes(t *testing.T) {
	dir := filepath.Join("..", "..", "..", "..", "shared", "data")
	for site, samples := range map[string]int{"uhn": 1000, "bcgsc": 800, "chus": 704} {
		t.Run(site, func(t *testing.T) {
			path := filepath.Join(dir, site+".vcf.gz")
			file, err := os.Open(path)
			if err != nil {
				t.Skipf("no real genotypes beside the project: %v", err)
			}
			defer func() { _ = file.Close() }()
			unpacked, err := gzip.NewReader(file)
			if err != nil {
				t.Fatal(err)
			}
			var text strings.Builder
			if _, err := bufio.NewReader(unpacked).WriteTo(&text); err != nil {
				t.Fatal(err)
			}
			counted := naive{}
			counted.read(t, text.String(), func(s string) string { return s })
			r := importFiles(t, options(t, path))
			if h := r.Holdings(); h.Samples != samples || h.Individuals != samples || h.Variants != int64(len(counted)) {
				t.Errorf("holds %+v, want %d samples and %d variants", h, samples, len(counted))
			}
			compareAll(t, r, counted)
			for start := int64(16_050_000); start < 16_150_000; start += 7_777 {
				q := within("22", start, start+10_000)
				compare(t, r, q, counted.count(q))
			}
			t.Logf("%d variants with carriers compared", len(counted))
		})
	}
}
