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

func text(t *testing.T, c *Cohort, site Site) string {
	t.Helper()
	var b bytes.Buffer
	if err := c.WriteVCF(&b, site.Name); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestCohortIsAlwaysTheSame pins the bytes: documents and scripts name counts
// that follow from them.
func TestCohortIsAlwaysTheSame(t *testing.T) {
	c := New(Seed, Sites())
	sum := sha256.New()
	for _, site := range c.Sites() {
		sum.Write([]byte(text(t, c, site)))
	}
	const want = "db8aef90845af1b0"
	if got := hex.EncodeToString(sum.Sum(nil)[:8]); got != want {
		t.Errorf("the cohort is %s, was %s", got, want)
	}
}

func TestSitesDoNotDependOnEachOther(t *testing.T) {
	sites := Sites()
	all, two := New(Seed, sites), New(Seed, sites[1:])
	if text(t, all, sites[1]) != text(t, two, sites[1]) {
		t.Error("one site less changes another")
	}
	other := New(Seed+1, sites)
	if text(t, all, sites[1]) == text(t, other, sites[1]) {
		t.Error("the seed changes nothing")
	}
}

func TestCommonIsAboveAndRareBelowTheThreshold(t *testing.T) {
	c := New(Seed, Sites())
	for i, site := range c.Sites() {
		common, err := c.Carriers(site.Name, Common())
		if err != nil || common < 30 || common > site.Samples/8 {
			t.Errorf("%s: %d carry the common variant (%v)", site.Name, common, err)
		}
		want := 0
		if i == len(c.Sites())-1 {
			want = RareCarriers
		}
		if rare, err := c.Carriers(site.Name, Rare()); err != nil || rare != want {
			t.Errorf("%s: %d carry the rare variant, want %d (%v)", site.Name, rare, want, err)
		}
		t.Logf("%s: %d of %d carry the common variant", site.Name, common, site.Samples)
	}
}

func TestFrequenciesHaveTheShapeOfHumanOnes(t *testing.T) {
	c := New(Seed, Sites())
	rare, common := 0, 0
	for _, v := range c.Variants() {
		n := 0
		for _, site := range c.Sites() {
			carriers, err := c.Carriers(site.Name, v)
			if err != nil {
				t.Fatal(err)
			}
			n += carriers
		}
		switch {
		case n < 50: // 1 % of 2,500 people have an allele of 0.5 %
			rare++
		case n > 500:
			common++
		}
	}
	if total := len(c.Variants()); rare < total/4 || common < total/20 || common > total/2 {
		t.Errorf("of %d variants %d are rare and %d common", total, rare, common)
	}
}

// TestReleaseOfACohortCountsItsCarriers takes the way of an operator: text,
// import, question.
func TestReleaseOfACohortCountsItsCarriers(t *testing.T) {
	c := New(Seed, []Site{{"a", 60}, {"b", 40}})
	for _, site := range c.Sites() {
		path := filepath.Join(t.TempDir(), "in.vcf")
		if err := os.WriteFile(path, []byte(text(t, c, site)), 0o600); err != nil {
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
		for _, q := range c.Variants() {
			want, err := c.Carriers(site.Name, q)
			if err != nil {
				t.Fatal(err)
			}
			if err := q.Validate(); err != nil {
				t.Errorf("%s cannot be asked: %v", q, err)
			}
			if got, err := release.Resolve(context.Background(), q); err != nil || got.Individuals != want {
				t.Errorf("%s at %s: %d (%v), want %d", q, site.Name, got.Individuals, err, want)
			}
		}
		if err := release.Close(); err != nil {
			t.Error(err)
		}
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestErrorsNameTheSite(t *testing.T) {
	c := New(Seed, Sites())
	if err := c.WriteVCF(&bytes.Buffer{}, "elsewhere"); err == nil || !strings.Contains(err.Error(), "elsewhere") {
		t.Errorf("got %v", err)
	}
	if _, err := c.Carriers("elsewhere", Common()); err == nil {
		t.Error("counts carriers of no site")
	}
	if err := c.WriteVCF(fullDisk{}, "uhn"); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("got %v", err)
	}
}
