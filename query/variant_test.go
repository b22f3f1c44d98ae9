package query_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/candignode/candignode/query"
)

func TestChrom(t *testing.T) {
	for name, want := range map[string]string{
		"1": "1", "22": "22", "chr22": "22", "CHR22": "22", "Chr9": "9", "x": "X", "chrX": "X", "chry": "Y",
		"M": "MT", "chrM": "MT", "MT": "MT", "mt": "MT", "chrMT": "MT",
		"NC_000001.10": "1", "NC_000022.11": "22", "nc_000022.11": "22", "NC_000022": "22",
		"NC_000023.10": "X", "NC_000024.9": "Y", "NC_012920.1": "MT",
	} {
		if got, err := query.Chrom(name); err != nil || got != want {
			t.Errorf("Chrom(%q) = %q, %v; want %q", name, got, err, want)
		}
	}
	for _, name := range []string{
		"", "chr", "0", "00", "01", "022", "23", "24", "25", "99", "100", "222", "-1", "+1", "1 ", " 1", "1.0", "W", "XY", "Un",
		"chr22_random", "chrchr1", "HLA-A", "GL000191.1", "NC_", "NC_.", "NC_22", "NC_000000.1", "NC_000025.1", "NC_00022.1",
		"NC_000022.x", "NC_0000a2.1", "NC_000022.11.1", "NT_000022.11", "NC_001807.4", "२२", "２２", "\x00", "22\n", strings.Repeat("1", 1000),
	} {
		if got, err := query.Chrom(name); !errors.Is(err, query.ErrRequest) || got != "" {
			t.Errorf("Chrom(%q) = %q, %v; want ErrRequest", name, got, err)
		} else if len(err.Error()) > 500 {
			t.Errorf("Chrom(%.20q...): the error has %d bytes", name, len(err.Error()))
		}
	}
}

func FuzzChrom(f *testing.F) {
	for _, seed := range []string{"22", "chrX", "NC_000022.11", "NC_012920.1", "chrM", "", "chr", "NC_000000."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got, err := query.Chrom(name)
		if (err == nil) != (got != "") {
			t.Fatalf("Chrom(%q) = %q, %v", name, got, err)
		}
		if err != nil {
			return
		}
		if again, err := query.Chrom(got); err != nil || again != got {
			t.Fatalf("Chrom(%q) = %q, and Chrom of that %q, %v", name, got, again, err)
		}
		if len(got) > 2 || strings.ToUpper(got) != got {
			t.Fatalf("Chrom(%q) = %q is not canonical", name, got)
		}
	})
}

func TestMinimal(t *testing.T) {
	for _, c := range []struct {
		start    int64
		ref, alt string
		wantAt   int64
		want     string
	}{
		{100, "A", "G", 100, "A>G"},
		{100, "ATG", "TTG", 100, "A>T"},
		{100, "GAT", "GAC", 102, "T>C"},
		{100, "CAT", "CGT", 101, "A>G"},
		{100, "A", "ATT", 100, "A>ATT"},
		{100, "ATT", "A", 100, "ATT>A"},
		{100, "CA", "CATT", 101, "A>ATT"},
		{100, "ATTT", "AT", 100, "ATT>A"}, // the end is trimmed first
		{100, "AAAA", "AA", 100, "AAA>A"},
		{100, "ACGT", "TGCA", 100, "ACGT>TGCA"},
		{100, "A", "A", 100, "A>A"},
		{100, "AC", "AC", 100, "A>A"},
		{100, "", "", 100, ">"},
	} {
		at, ref, alt := query.Minimal(c.start, c.ref, c.alt)
		if at != c.wantAt || ref+">"+alt != c.want {
			t.Errorf("Minimal(%d, %s>%s) = %d %s>%s, want %d %s", c.start, c.ref, c.alt, at, ref, alt, c.wantAt, c.want)
		}
	}
}

// The minimal form says the same change, and is the form of itself.
func TestMinimalSaysTheSame(t *testing.T) {
	bases := rapid.StringOfN(rapid.RuneFrom([]rune("ACGT")), 1, 8, -1)
	rapid.Check(t, func(t *rapid.T) {
		before, after := "GATTACA", "TACCAGA"
		ref, alt := bases.Draw(t, "ref"), bases.Draw(t, "alt")
		at, r, a := query.Minimal(int64(len(before)), ref, alt)
		sequence := before + ref + after
		if sequence[at:int(at)+len(r)] != r {
			t.Fatalf("%s is not at %d of %s", r, at, sequence)
		}
		if changed := sequence[:at] + a + sequence[int(at)+len(r):]; changed != before+alt+after {
			t.Fatalf("%s>%s at %d makes %s, want %s", r, a, at, changed, before+alt+after)
		}
		if len(r) < 1 || len(a) < 1 {
			t.Fatalf("%s>%s: an allele is empty", r, a)
		}
		if at2, r2, a2 := query.Minimal(at, r, a); at2 != at || r2 != r || a2 != a {
			t.Fatalf("minimal form of %d %s>%s is %d %s>%s", at, r, a, at2, r2, a2)
		}
	})
}

func sequence() query.VariantQuery {
	return query.VariantQuery{Assembly: query.GRCh37, Chrom: "22", Start: 16050074, Ref: "A", Alt: "G"}
}

func TestValidateVariant(t *testing.T) {
	ranged := query.VariantQuery{Assembly: query.GRCh38, Chrom: "X", Start: 0, End: query.MaxRange}
	for name, q := range map[string]query.VariantQuery{
		"sequence":             sequence(),
		"the longest allele":   change(sequence(), func(q *query.VariantQuery) { q.Alt = strings.Repeat("A", query.MaxAllele) }),
		"an unknown base":      change(sequence(), func(q *query.VariantQuery) { q.Alt = "N" }),
		"the first base":       change(sequence(), func(q *query.VariantQuery) { q.Start = 0 }),
		"the last base":        change(sequence(), func(q *query.VariantQuery) { q.Start = query.MaxPosition - 1 }),
		"the longest range":    ranged,
		"a range of one base":  change(ranged, func(q *query.VariantQuery) { q.Start, q.End = 5, 6 }),
		"the end of all":       change(ranged, func(q *query.VariantQuery) { q.Start, q.End = query.MaxPosition-1, query.MaxPosition }),
		"a range, one allele":  change(ranged, func(q *query.VariantQuery) { q.Alt = "T" }),
		"a range, two alleles": change(ranged, func(q *query.VariantQuery) { q.Ref, q.Alt = "A", "T" }),
	} {
		if err := q.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, c := range []struct {
		name, parameter string
		from            query.VariantQuery
		change          func(*query.VariantQuery)
	}{
		{"no assembly", "assemblyId", sequence(), func(q *query.VariantQuery) { q.Assembly = "" }},
		{"assembly by another name", "assemblyId", sequence(), func(q *query.VariantQuery) { q.Assembly = "hg19" }},
		{"no chromosome", "referenceName", sequence(), func(q *query.VariantQuery) { q.Chrom = "" }},
		{"chromosome by another name", "referenceName", sequence(), func(q *query.VariantQuery) { q.Chrom = "chr22" }},
		{"before the first base", "start", sequence(), func(q *query.VariantQuery) { q.Start = -1 }},
		{"behind the last base", "start", sequence(), func(q *query.VariantQuery) { q.Start = query.MaxPosition }},
		{"no ref", "alternateBases", sequence(), func(q *query.VariantQuery) { q.Ref = "" }},
		{"no alt", "alternateBases", sequence(), func(q *query.VariantQuery) { q.Alt = "" }},
		{"no change", "alternateBases", sequence(), func(q *query.VariantQuery) { q.Alt = q.Ref }},
		{"lower case", "alternateBases", sequence(), func(q *query.VariantQuery) { q.Alt = "g" }},
		{"symbolic", "alternateBases", sequence(), func(q *query.VariantQuery) { q.Alt = "<DEL>" }},
		{"ref no bases", "referenceBases", sequence(), func(q *query.VariantQuery) { q.Ref = "A*" }},
		{"allele too long", "alternateBases", sequence(), func(q *query.VariantQuery) { q.Alt = strings.Repeat("A", query.MaxAllele+1) }},
		{"empty range", "end", ranged, func(q *query.VariantQuery) { q.Start, q.End = 5, 5 }},
		{"range backwards", "end", ranged, func(q *query.VariantQuery) { q.Start, q.End = 6, 5 }},
		{"negative end", "end", ranged, func(q *query.VariantQuery) { q.End = -1 }},
		{"range too long", "end", ranged, func(q *query.VariantQuery) { q.End = query.MaxRange + 1 }},
		{"range beyond all", "end", ranged, func(q *query.VariantQuery) { q.Start, q.End = query.MaxPosition-1, query.MaxPosition+1 }},
	} {
		err := change(c.from, c.change).Validate()
		if !errors.Is(err, query.ErrRequest) || !strings.Contains(fmt.Sprint(err), ": "+c.parameter+": ") {
			t.Errorf("%s: %v, want ErrRequest that names %s", c.name, err, c.parameter)
		}
	}
}

func change[T any](v T, f func(*T)) T {
	f(&v)
	return v
}

func TestVariantInOneLine(t *testing.T) {
	for want, q := range map[string]query.VariantQuery{
		"GRCh37 22:16050074 A>G": sequence(),
		"GRCh37 22:5-10":         {Assembly: query.GRCh37, Chrom: "22", Start: 5, End: 10},
		"GRCh38 X:0-10 >T":       {Assembly: query.GRCh38, Chrom: "X", End: 10, Alt: "T"},
	} {
		if q.String() != want {
			t.Errorf("%q, want %q", q, want)
		}
	}
}
