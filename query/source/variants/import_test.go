package variants

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/query"
)

func TestMalformedInputIsNamedAndLeavesNothing(t *testing.T) {
	good := vcf("a b", "1 100 A G GT 0|1 0|0")
	line := func(record string) string { return vcf("a b", "1 100 A G GT 0|1 0|0", record) }
	packed := bgzipped(t, strings.Repeat(good, 1), 64)
	damaged := []byte(gzipped(t, good))
	damaged[len(damaged)-6] ^= 1 // in the checksum
	for _, c := range []struct {
		name, text string
		line       int64
		reason     string
	}{
		{"empty", "", 0, "is empty"},
		{"not a VCF", "chrom,pos\n1,2\n", 1, "does not begin with ##fileformat=VCF"},
		{"BCF", "BCF\x02\x02", 0, "is BCF"},
		{"another zip", "PK\x03\x04\x00\x00", 1, "NUL byte"},
		{"no #CHROM line", "##fileformat=VCFv4.2\n1\t2\n", 2, "before the #CHROM line"},
		{"header cut off", "##fileformat=VCFv4.2\n##contig=<ID=1", 2, "ends before a #CHROM line"},
		{"header only", vcf("a b"), 2, "no records"},
		{"no samples", vcf(""), 2, "no sample stands after FORMAT"},
		{"sites only", "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n", 2, "no FORMAT column"},
		{"spaces for tabs", "##fileformat=VCFv4.2\n#CHROM POS\n", 2, "between single tabs"},
		{"ninth column", strings.Replace(good, "FORMAT", "FORMATS", 1), 2, "ninth column"},
		{"same sample twice", vcf("a b a", "1 1 A G GT 0 0 0"), 2, `"a" stands in two columns`},
		{"sample without a name", strings.Replace(good, "\tb\n", "\t\n", 1), 2, "is empty"},
		{"sample not UTF-8", strings.Replace(good, "\tb\n", "\t\xff\n", 1), 2, "not UTF-8"},
		{"too few columns", line("1 101 A G GT 0|1"), 4, "10 columns, but the #CHROM line has 11"},
		{"far too few columns", strings.TrimSuffix(good, "\n") + "\n1\t5\n", 4, "2 columns"},
		{"too many columns", line("1 101 A G GT 0|1 0|0 0|0"), 4, "12 columns"},
		{"too many plain columns", line("1 101 A G GT 0|0 0|0 0|0"), 4, "12 columns"},
		{"tab at the end", strings.TrimSuffix(good, "\n") + "\t\n", 3, "12 columns"},
		{"no sample columns", strings.TrimSuffix(good, "\n") + "\n1\t5\t.\tA\tG\t.\t.\t.\tGT\n", 4, "9 columns"},
		{"empty genotype", strings.Replace(good, "0|0\n", "\n", 1), 3, `sample "b": the column is empty`},
		{"POS", line("1 1e5 A G GT 0|1 0|0"), 4, `POS "1e5"`},
		{"negative POS", line("1 -1 A G GT 0|1 0|0"), 4, `POS "-1"`},
		{"POS 0", line("1 0 A G GT 0|1 0|0"), 4, "telomere"},
		{"POS too large", line("1 1073741824 A G GT 0|1 0|0"), 4, "POS"},
		{"REF", line("1 101 A- G GT 0|1 0|0"), 4, `REF "A-"`},
		{"REF IUPAC", line("1 101 R G GT 0|1 0|0"), 4, `REF "R"`},
		{"ALT", line("1 101 A G,Q GT 0|1 0|0"), 4, `ALT "Q"`},
		{"empty ALT", line("1 101 A G,,T GT 0|1 0|0"), 4, `ALT ""`},
		{"no GT", line("1 101 A G DP 1 2"), 4, "no GT"},
		{"allele not in ALT", line("1 101 A G GT 0|1 0|2"), 4, `sample "b": genotype "0|2" names allele 2, but ALT has 1`},
		{"allele not in long ALT", line("1 101 A G GT 0/1/0 0/11/0"), 4, "names allele 11"},
		{"letters in genotype", line("1 101 A G GT 0|1 A|G"), 4, `genotype "A|G"`},
		{"genotype cut off", line("1 101 A G GT 0|1 0|"), 4, `genotype "0|"`},
		{"many digits", line("1 101 A G GT 0|1 0|99999999999999999999"), 4, "genotype"},
		{"ploidy", line("1 101 A G GT 0|1 " + strings.Repeat("0/", MaxPloidy) + "0"), 4, "more than 64 alleles"},
		{"two files joined", good + good, 4, "header line"},
		{"NUL byte", strings.Replace(good, "PASS", "P\x00SS", 1), 3, "NUL byte"},
		{"gzip checksum", string(damaged), 4, "damaged or cut off"},
		{"gzip cut off", gzipped(t, good)[:60], 1, "damaged or cut off"},
		{"gzip and more", gzipped(t, good) + "more", 4, "damaged or cut off"},
		{"bgzf without its end", strings.TrimSuffix(packed, bgzfEnd), 0, "last block"},
		{"assembly in contig", strings.Replace(good, "#CHROM", "##contig=<ID=22,length=50818468>\n#CHROM", 1), 3, "another assembly than GRCh37"},
		{"assembly in reference", strings.Replace(good, "#CHROM", "##reference=file:///ref/GRCh38.fa\n#CHROM", 1), 3, "GRCh38"},
		{"assembly by name", strings.Replace(good, "#CHROM", "##contig=<ID=1,assembly=\"hg38\">\n#CHROM", 1), 3, "lift the file over"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad := writeFile(t, "bad.vcf", c.text)
			o := options(t, writeFile(t, "good.vcf", good), bad)
			_, err := Import(context.Background(), o)
			var input *InputError
			if !errors.As(err, &input) {
				t.Fatalf("got %v", err)
			}
			if input.File != bad || input.Line != c.line || !strings.Contains(input.Reason, c.reason) {
				t.Errorf("got %v; want line %d and %q", err, c.line, c.reason)
			}
			if !strings.HasPrefix(err.Error(), bad+":") {
				t.Errorf("%v does not begin with the file", err)
			}
			if strings.HasPrefix(c.name, "assembly") != errors.Is(err, ErrAssembly) {
				t.Errorf("%v: wraps ErrAssembly or not?", err)
			}
			onlyReleases(t, o.Dir, 0)
		})
	}
}

func TestLineOverTheBound(t *testing.T) {
	long := vcf("a", "1 100 A G GT:XX 0|1:"+strings.Repeat("x", 3000))
	in := &input{name: "f", text: newLineReader(strings.NewReader(long), 2048)}
	if _, err := in.readHeader(query.GRCh37); err != nil {
		t.Fatal(err)
	}
	_, err := in.next()
	var bad *InputError
	if !errors.As(err, &bad) || bad.Line != 3 || !strings.Contains(bad.Reason, "longer than") {
		t.Errorf("got %v", err)
	}
}

func TestOptionsAndFilesThatCannotBeImported(t *testing.T) {
	good := writeFile(t, "good.vcf", vcf("a b", "1 100 A G GT 0|1 0|0"))
	for name, c := range map[string]struct {
		change func(*ImportOptions)
		says   string
	}{
		"dataset":      {func(o *ImportOptions) { o.Dataset = "../x" }, "dataset id"},
		"assembly":     {func(o *ImportOptions) { o.Assembly = "hg19" }, "GRCh37 or GRCh38"},
		"no files":     {func(o *ImportOptions) { o.Files = nil }, "name 1 to"},
		"no dir":       {func(o *ImportOptions) { o.Dir = "" }, "no directory"},
		"absent":       {func(o *ImportOptions) { o.Files = []string{good, "/absent.vcf"} }, "absent.vcf"},
		"directory":    {func(o *ImportOptions) { o.Files = []string{filepath.Dir(good)} }, "not a regular file"},
		"no carriers":  {func(o *ImportOptions) { o.Files = []string{writeFile(t, "x", vcf("a", "1 1 A G GT 0|0"))} }, "no variant that anybody carries"},
		"who: missing": {func(o *ImportOptions) { o.IndividualsFile = writeFile(t, "who", "a\tx\n") }, `sample "b" has no line`},
		"who: unknown": {func(o *ImportOptions) { o.IndividualsFile = writeFile(t, "who", "a\tx\nb\tx\nc\tx\n") }, `sample "c" is in none`},
		"who: twice":   {func(o *ImportOptions) { o.IndividualsFile = writeFile(t, "who", "a\tx\na\ty\n") }, `who:2: sample "a" has two lines`},
		"who: columns": {func(o *ImportOptions) { o.IndividualsFile = writeFile(t, "who", "a x\n") }, `who:1: "a x"`},
		"who: empty":   {func(o *ImportOptions) { o.IndividualsFile = writeFile(t, "who", "a\t\n") }, "is empty"},
		"who: absent":  {func(o *ImportOptions) { o.IndividualsFile = "/absent.tsv" }, "absent.tsv"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t, good)
			c.change(&o)
			_, err := Import(context.Background(), o)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q", err, c.says)
			}
			if o.Dir != "" {
				onlyReleases(t, o.Dir, 0)
			}
		})
	}
}

func TestWhatIsNotServedIsCounted(t *testing.T) {
	o := options(t, writeFile(t, "in.vcf", vcf("a b",
		"1 100 A G,<DEL>,*,<NON_REF>,<*>,. GT 0|1 2|2",
		"1 101 A ]17:198982]A,.A,A.,A[2:321682[ GT 0|1 0|0",
		"GL000207.1 5 A G GT 0|1 0|0",
		"hs37d5 5 A G GT 0|1 0|0",
		"1 102 A a,C GT 0|1 0|0",
		"1 103 "+strings.Repeat("A", MaxAlleleBytes)+" G GT 0|1 0|0",
		"1 0 N <DUP> GT 0|1 0|0",
	)))
	done, err := Import(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int64{
		SkippedSymbolic: 2, SkippedNoAllele: 4, SkippedBreakend: 4, SkippedContig: 2,
		SkippedSame: 1, SkippedNoCarriers: 1, SkippedLong: 1,
	}
	if !maps.Equal(done.Skipped, want) {
		t.Errorf("skipped %v, want %v", done.Skipped, want)
	}
	if done.Records != 7 || done.Holdings.Variants != 1 || done.Holdings.Release != done.Release {
		t.Errorf("got %+v", done)
	}
	r := open(t, done.File)
	expect(t, r, allele("1", 100, "A", "G"), 1, 1)
	if r.Holdings() != done.Holdings || !r.Created().Equal(imported) {
		t.Errorf("opened %+v of %s, imported %+v", r.Holdings(), r.Created(), done.Holdings)
	}
}

func TestHeadersThatDoNotContradict(t *testing.T) {
	for _, header := range []string{
		"##reference=GRCh37", "##reference=/ref/hg19ToHg38/hg38.fa", "##contig=<ID=22,length=51304566,assembly=GRCh38>",
		"##contig=<ID=MT,length=16569>", "##reference=somewhere", "##contig=<ID=HLA-A,assembly=odd>", "##contig=<ID=22,length=1>",
	} {
		text := strings.Replace(vcf("a", "1 100 A G GT 0|1"), "#CHROM", header+"\n#CHROM", 1)
		expect(t, importTexts(t, text), allele("1", 100, "A", "G"), 1, 1)
	}
}

func TestEveryPackingHasTheSameRelease(t *testing.T) {
	var records []string
	for i := range 500 {
		records = append(records, fmt.Sprintf("1 %d A G GT 0|1 0|%d 1|1", 100+i, i%2))
	}
	text := vcf("a b c", records...)
	want := importTexts(t, text).Holdings()
	for name, packed := range map[string]string{
		"CRLF":              strings.ReplaceAll(text, "\n", "\r\n"),
		"no end of line":    strings.TrimSuffix(text, "\n"),
		"empty lines":       text + "\n\n",
		"gzip":              gzipped(t, text),
		"gzip members":      gzipped(t, text[:1000]) + gzipped(t, text[1000:]),
		"bgzf":              bgzipped(t, text, 0xff00),
		"bgzf, tiny blocks": bgzipped(t, text, 77),
	} {
		if got := importTexts(t, packed).Holdings(); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}

func TestTwentyThousandSamples(t *testing.T) {
	const samples = 20_000
	names := make([]string, samples)
	for i := range names {
		names[i] = fmt.Sprintf("s%05d", i)
	}
	random := rand.New(rand.NewPCG(1, 2))
	rest := strings.Repeat(":35,0:35:99:0,99,1485:"+strings.Repeat("x", 300), 1)
	var records []string
	counts := make([]int, 3)
	for v := range counts {
		var b strings.Builder
		fmt.Fprintf(&b, "1 %d A G GT:AD:DP:GQ:PL", 100+v)
		for range names {
			gt := "0/0"
			if random.IntN(5) == 0 {
				gt = "0/1"
				counts[v]++
			}
			b.WriteString(" " + gt + rest)
		}
		records = append(records, b.String())
	}
	r := importTexts(t, vcf(strings.Join(names, " "), records...))
	for v, n := range counts {
		expect(t, r, allele("1", int64(100+v), "A", "G"), n, 1)
	}
}

func TestProgressIsBoundedAndComplete(t *testing.T) {
	o := options(t, writeFile(t, "a.vcf", vcf("a", "1 100 A G GT 0|1")), writeFile(t, "b.vcf", vcf("b", "1 101 A G GT 0|1", "1 102 A G GT 0|1")))
	var reports []Progress
	var at []time.Time
	o.Progress = func(p Progress) { reports, at = append(reports, p), append(at, time.Now()) }
	importFiles(t, o)
	last := reports[len(reports)-1]
	if last.BytesRead != last.BytesTotal || last.BytesTotal == 0 || last.Records != 3 || last.Written != 3 || last.Files != 2 || last.FileNumber != 2 {
		t.Errorf("at the end %+v", last)
	}
	for i := 1; i < len(at)-1; i++ {
		if at[i].Sub(at[i-1]) < progressInterval*9/10 {
			t.Errorf("reports %d and %d are %s apart", i-1, i, at[i].Sub(at[i-1]))
		}
	}
}

func TestImportStopsWhenItsContextEnds(t *testing.T) {
	o := options(t, writeFile(t, "a.vcf", vcf("a", "1 100 A G GT 0|1", "1 101 A G GT 0|1", "1 102 A G GT 0|1")))
	for _, at := range []string{"begun", "run", "batch", "synced", "verified"} {
		ctx, cancel := context.WithCancel(context.Background())
		im := newImporter(o)
		im.runBytes, im.maxRuns = 40, 2
		reached := false
		im.step = func(step string) {
			if step == at {
				reached = true
				cancel()
			}
		}
		if _, err := im.run(ctx); !reached || !errors.Is(err, context.Canceled) {
			t.Errorf("stopped at %s: %v", at, err)
		}
		onlyReleases(t, o.Dir, 0)
		cancel()
	}
}

func TestWithoutRoomNothingRemains(t *testing.T) {
	o := options(t, writeFile(t, "a.vcf", vcf("a", "1 100 A G GT 0|1", "1 101 A G GT 0|1")))
	im := newImporter(o)
	im.runBytes = 40
	im.step = func(step string) {
		if step == "begun" { // the working directory vanishes under the import
			entries, _ := os.ReadDir(o.Dir)
			for _, e := range entries {
				_ = os.RemoveAll(filepath.Join(o.Dir, e.Name()))
			}
		}
	}
	if _, err := im.run(context.Background()); err == nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	onlyReleases(t, o.Dir, 0)
}
