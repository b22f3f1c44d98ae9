package cohort

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/query/source/variants"
)

func text(t *testing.T, o Options) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestCohortIsAlwaysTheSame pins the bytes: documents and scripts name counts
// that follow from them.
func TestCohortIsAlwaysTheSame(t *testing.T) {
	sum := sha256.New()
	for _, o := range Sites() {
		sum.Write([]byte(text(t, o)))
	}
	const want = "fb239a8c67501bab"
	if got := hex.EncodeToString(sum.Sum(nil)[:8]); got != want {
		t.Errorf("the cohort is %s, was %s", got, want)
	}
}

func TestSeedAndNameMakePeopleAndNotVariants(t *testing.T) {
	places := func(text string) (all []string) {
		for line := range strings.Lines(text) {
			if line[0] != '#' {
				all = append(all, strings.Join(strings.Split(line, "\t")[:5], " "))
			}
		}
		return all
	}
	genotypes := func(text string) string { return text[strings.LastIndex(text, "GT\t"):] }
	first, seed, name := text(t, Options{"a", 1, 50}), text(t, Options{"a", 2, 50}), text(t, Options{"b", 1, 50})
	if strings.Join(places(first), ";") != strings.Join(places(seed), ";") || len(places(first)) != rows {
		t.Error("another seed has other variants")
	}
	if genotypes(first) == genotypes(seed) || genotypes(first) == genotypes(name) {
		t.Error("another seed or name has the same people")
	}
}

func TestCommonIsAboveAndRareBelowTheThreshold(t *testing.T) {
	for _, o := range Sites() {
		common := Carriers(o, Common())
		if common < 30 || common > o.Individuals/8 {
			t.Errorf("%s: %d carry the common variant", o.Site, common)
		}
		want := 0
		if o.Site == RareSite {
			want = RareCarriers
		}
		if rare := Carriers(o, Rare()); rare != want {
			t.Errorf("%s: %d carry the rare variant, want %d", o.Site, rare, want)
		}
		t.Logf("%s: %d of %d carry the common variant", o.Site, common, o.Individuals)
	}
}

func TestFrequenciesHaveTheShapeOfHumanOnes(t *testing.T) {
	rare, common, all := 0, 0, Variants()
	for _, v := range all {
		n := 0
		for _, o := range Sites() {
			n += Carriers(o, v)
		}
		switch {
		case n < 25: // 1 % of 2,500 people have an allele of 0.5 %
			rare++
		case n > 500:
			common++
		}
	}
	if rare < len(all)/4 || common < len(all)/20 || common > len(all)/2 {
		t.Errorf("of %d variants %d are rare and %d common", len(all), rare, common)
	}
}

// TestReleaseOfACohortCountsItsCarriers takes the way of an operator: text,
// import, question.
func TestReleaseOfACohortCountsItsCarriers(t *testing.T) {
	for _, o := range []Options{{"a", 1, 60}, {RareSite, 2, 40}} {
		path := filepath.Join(t.TempDir(), "in.vcf")
		if err := os.WriteFile(path, []byte(text(t, o)), 0o600); err != nil {
			t.Fatal(err)
		}
		done, err := variants.Import(context.Background(), variants.ImportOptions{
			Dataset: "demo", Assembly: query.GRCh37, Files: []string{path}, Dir: t.TempDir(), Now: time.Unix(0, 0),
		})
		if err != nil {
			t.Fatal(err)
		}
		release, err := variants.Open(done.File)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range Variants() {
			q := query.VariantQuery{Assembly: query.GRCh37, Chrom: v.Chrom, Start: v.Start, Ref: v.Ref, Alt: v.Alt}
			want := Carriers(o, v)
			if got, err := release.Resolve(context.Background(), q); err != nil || got.Individuals != want {
				t.Errorf("%s at %s: %d (%v), want %d", q, o.Site, got.Individuals, err, want)
			}
		}
		if err := release.Close(); err != nil {
			t.Error(err)
		}
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestErrorsAreTold(t *testing.T) {
	if err := Write(fullDisk{}, Options{"uhn", 1, 10}); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("got %v", err)
	}
	for _, o := range []Options{{"", 1, 10}, {"a b", 1, 10}, {"a", 1, 0}} {
		if err := Write(&bytes.Buffer{}, o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}
