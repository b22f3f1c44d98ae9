package variants

import (
	"context"
	"errors"
	"testing"

	"github.com/candignode/candignode/query"
)

func TestGenotypesOfEveryForm(t *testing.T) {
	r := importTexts(t, vcf("a b c d e f g h",
		"1 100 A G GT 0/0 0|1 1|0 1/1 ./. . 1 0",
		"1 200 A G GT ./1 1|. .|. 0/1/1 1/1/1 |1|0 /1 0/0",
		"1 300 A G,T GT 1|2 0|2 2|2 0/1 . 2 0/0/2 1",
		"1 400 A G DP:GT:AD 9:0|1:3,4 9:0|0:1 . 9 9:1|1 9:. 9:0/0: 9:1",
		"1 500 A G GT:DP 0|1:9 0|0:9 1|1 .:. .|.:9 0|0 0|0:1 1:3",
		"1 600 A a,c GT 0|1 0|2 0|0 0|0 0|0 0|0 0|0 0|0",
		"1 700 A C,G,T,AC,AG,AT,AAC,AAG,AAT,AAAT GT 0|10 10/10 9|10 0/9 0|0 0|0 0|0 0|0",
	))
	for _, c := range []struct {
		q query.VariantQuery
		n int
	}{
		{allele("1", 100, "A", "G"), 4},
		{allele("1", 200, "A", "G"), 6},
		{allele("1", 300, "A", "G"), 3},
		{allele("1", 300, "A", "T"), 5},
		{allele("1", 400, "A", "G"), 3},
		{allele("1", 500, "A", "G"), 3},
		{allele("1", 600, "A", "C"), 1},
		{allele("1", 700, "A", "AAAT"), 3},
		{allele("1", 700, "A", "AAT"), 2},
	} {
		expect(t, r, c.q, c.n, 1)
	}
	expect(t, r, allele("1", 600, "A", "G"), 0, 0)
	expect(t, r, allele("1", 101, "A", "G"), 0, 0)
	expect(t, r, allele("2", 100, "A", "G"), 0, 0)
	expect(t, r, within("1", 0, 1000), 8, 9)
}

func TestAllelesAreKeptAndAskedInMinimalForm(t *testing.T) {
	r := importTexts(t, vcf("a b c",
		"chr22 100 ATG TTG,ATGG,A GT 0|1 2|0 3|3", // A>T at 100, T>TG at 101, ATG>A
		"chr22 100 A T GT 0|0 0|1 0|0",            // the same variant in another row
	))
	expect(t, r, allele("22", 100, "A", "T"), 2, 1)
	expect(t, r, allele("22", 99, "CA", "CT"), 2, 1)
	expect(t, r, allele("22", 101, "T", "TG"), 1, 1)
	expect(t, r, allele("22", 100, "ATG", "ATGG"), 1, 1)
	expect(t, r, allele("22", 100, "ATG", "A"), 1, 1)
	if r.Holdings().Variants != 3 {
		t.Errorf("holds %+v", r.Holdings())
	}
}

func TestRangesOverlapByRefLength(t *testing.T) {
	r := importTexts(t, vcf("a b c",
		"X 100 A G GT 0|1 0 0",          // [99,100)
		"X 110 ACGTACGTAC A GT 0 0|1 0", // [109,119)
		"X 130 A ACC GT 0 0 1",          // [129,130)
		"X 130 A C GT 0 1 1",            // [129,130)
		"Y 100 A G GT 1 1 1",            // next chromosome
		"22 155270560 A G GT 1 1 1",     // the one before
	))
	for _, c := range []struct {
		start, end int64
		people     int
		variants   int64
	}{
		{99, 100, 1, 1}, {98, 99, 0, 0}, {100, 101, 0, 0}, {100, 109, 0, 0}, {100, 110, 1, 1},
		{118, 119, 1, 1}, {119, 120, 0, 0}, {129, 130, 2, 2}, {0, 10_000_000, 3, 4}, {118, 130, 2, 3}, {0, 1, 0, 0},
	} {
		expect(t, r, within("X", c.start, c.end), c.people, c.variants)
	}
	q := within("X", 0, 1000)
	q.Alt = "C"
	expect(t, r, q, 2, 1)
	q.Ref, q.Alt = "A", ""
	expect(t, r, q, 3, 3)
	q.Ref, q.Alt = "TA", "TG" // untrimmed
	expect(t, r, q, 1, 1)
	q.Ref, q.Alt = "A", "T"
	expect(t, r, q, 0, 0)
	expect(t, r, within("MT", 0, 1000), 0, 0)
}

func TestRowsAndFilesOfOneVariantAreUnited(t *testing.T) {
	first := vcf("s1 s2 s3", "chr1 100 A G GT 0|1 0|0 0|0", "1 100 A G GT 0|0 1|1 0|0", "1 50 C T GT 1|1 0|0 0|0")
	second := vcf("s4 s3 s2", "NC_000001.10 100 A G GT 0|1 0|1 0|1", "2 5 C T GT 1|1 0|0 0|0")
	r := importTexts(t, first, second)
	expect(t, r, allele("1", 100, "A", "G"), 4, 1)
	expect(t, r, allele("1", 50, "C", "T"), 1, 1)
	expect(t, r, allele("2", 5, "C", "T"), 1, 1)
	want := query.Holdings{Dataset: "rarivitis", Assembly: query.GRCh37, Individuals: 4, Samples: 4, Variants: 3}
	got := r.Holdings()
	release := got.Release
	if got.Release = ""; got != want {
		t.Errorf("holds %+v, want %+v", got, want)
	}
	if other := importTexts(t, second, first); other.Holdings().Release != release {
		t.Error("the release id depends on the order of files")
	}
	if other := importTexts(t, first); other.Holdings().Release == release {
		t.Error("other data have the same release id")
	}
}

func TestIndividualsAreCountedOnce(t *testing.T) {
	text := vcf("tumour normal other", "1 100 A G GT 0|1 1|1 0|0", "1 101 A G GT 0|1 0|0 0|1", "1 102 A G GT 0|0 0|0 1|1")
	o := options(t, writeFile(t, "in.vcf", text))
	o.IndividualsFile = writeFile(t, "who.tsv", "sample\tindividual\r\nnormal\tP2\ntumour\tP2\n\nother\tP1\n")
	r := importFiles(t, o)
	expect(t, r, allele("1", 100, "A", "G"), 1, 1)
	expect(t, r, allele("1", 101, "A", "G"), 2, 1)
	expect(t, r, allele("1", 102, "A", "G"), 1, 1)
	expect(t, r, within("1", 0, 200), 2, 3)
	if h := r.Holdings(); h.Individuals != 2 || h.Samples != 3 {
		t.Errorf("holds %+v", h)
	}
	if plain := importTexts(t, text); plain.Holdings().Release == r.Holdings().Release {
		t.Error("who the samples are makes no other release")
	}
}

func TestQuestionsThatGetNoCount(t *testing.T) {
	r := importTexts(t, vcf("a", "1 100 A G GT 0|1"))
	q := allele("1", 100, "A", "G")
	q.Assembly = query.GRCh38
	if _, err := r.Resolve(context.Background(), q); !errors.Is(err, ErrAssembly) {
		t.Errorf("another assembly: %v", err)
	}
	if _, err := r.Resolve(context.Background(), query.VariantQuery{Assembly: query.GRCh37, Chrom: "chr1", Start: 1, End: 2}); !errors.Is(err, query.ErrRequest) {
		t.Errorf("chr1: %v", err)
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := r.Resolve(gone, allele("1", 100, "A", "G")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := errors.Join(r.Close(), r.Close()); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	if _, err := r.Resolve(context.Background(), allele("1", 100, "A", "G")); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}
