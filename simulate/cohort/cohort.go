// Package cohort makes up the genotypes of a few sites, always the same from the
// same seed, so that a demonstration needs no data of anybody.
//
// Nobody is behind these genotypes: frequencies follow the shape of human ones
// (a variant is the likelier the rarer it is), people are independent draws from
// them, and each site's frequencies drift a little from the common ones. All sites
// know the same variants; what a site's people carry depends on its own options
// and not on other sites.
package cohort

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
)

// Options say whose genotypes are made up.
type Options struct {
	Site        string // its name begins the names of samples
	Seed        uint64
	Individuals int // each with one sample
}

// Sites are those of the demonstration.
func Sites() []Options {
	return []Options{{"uhn", 1, 1000}, {"bcgsc", 2, 800}, {"chus", 3, 704}}
}

// Variant names an allele on GRCh37.
type Variant struct {
	Chrom    string
	Start    int64 // 0-based; a VCF's POS is Start+1
	Ref, Alt string
}

// Common is a variant that about one person in fourteen carries, at every site:
// well above every threshold. No other allele is at its place.
func Common() Variant { return Variant{Chrom: chrom, Start: 16_057_416, Ref: "C", Alt: "T"} }

// Rare is a variant that RareCarriers people carry, at RareSite only. Answers
// below the threshold are to be shown with it.
func Rare() Variant { return Variant{Chrom: chrom, Start: 16_081_234, Ref: "G", Alt: "A"} }

// Where and how often Rare is found: less than the default threshold of 10
// individuals.
const (
	RareSite     = "bcgsc"
	RareCarriers = 4
)

// commonFrequency of the allele Common gives 7 % carriers.
const commonFrequency = 0.036

// region of chromosome 22 (GRCh37) and how densely it is filled.
const (
	chrom       = "22"
	regionStart = 16_050_000
	rows        = 400
	meanGap     = 250 // bases
)

// row is one line of the VCF: what all sites have in common.
type row struct {
	start       int64 // 0-based
	ref         string
	alts        []string
	frequencies []float64 // of each alt
	rare        bool      // is Rare
}

// rowSeed makes the variants, which do not depend on a site's seed: sites are
// asked about the same ones.
const rowSeed = 22

func allRows() []row {
	random := rand.New(rand.NewPCG(rowSeed, 0))
	common, rare := Common(), Rare()
	all := []row{
		{start: common.Start, ref: common.Ref, alts: []string{common.Alt}, frequencies: []float64{commonFrequency}},
		{start: rare.Start, ref: rare.Ref, alts: []string{rare.Alt}, rare: true},
	}
	for start := int64(regionStart); len(all) < rows; {
		next := drawRow(random, start)
		start += int64(len(next.ref)) + int64(random.ExpFloat64()*meanGap)
		if !next.covers(common.Start) && !next.covers(rare.Start) {
			all = append(all, next)
		}
	}
	slices.SortFunc(all, func(a, b row) int { return int(a.start - b.start) })
	return all
}

func (r row) covers(pos int64) bool { return r.start <= pos && pos < r.start+int64(len(r.ref)) }

// drawRow draws a variant: nine in ten are of one base, and one in twenty rows has
// two alternate alleles.
func drawRow(random *rand.Rand, start int64) row {
	r := row{start: start, ref: drawBases(random, 1)}
	switch kind := random.IntN(100); {
	case kind < 5: // insertion
		r.alts = []string{r.ref + drawBases(random, 1+random.IntN(4))}
	case kind < 10: // deletion
		first := r.ref
		r.ref += drawBases(random, 1+random.IntN(6))
		r.alts = []string{first}
	case kind < 15:
		r.alts = []string{transition(r.ref), transversion(r.ref)}
	case kind < 70: // transitions are twice as frequent as transversions
		r.alts = []string{transition(r.ref)}
	default:
		r.alts = []string{transversion(r.ref)}
	}
	for range r.alts {
		r.frequencies = append(r.frequencies, drawFrequency(random))
	}
	return r
}

func drawBases(random *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = "ACGT"[random.IntN(4)]
	}
	return string(b)
}

func transition(base string) string {
	return map[string]string{"A": "G", "G": "A", "C": "T", "T": "C"}[base]
}

func transversion(base string) string {
	return map[string]string{"A": "C", "G": "T", "C": "A", "T": "G"}[base]
}

// drawFrequency draws from the neutral spectrum, whose density is 1/x, between
// a few copies in all sites and 0.45 (two alleles of a row stay below 1).
func drawFrequency(random *rand.Rand) float64 {
	const least, most = 0.0004, 0.45
	return least * math.Exp(random.Float64()*math.Log(most/least))
}

// drift moves a frequency as it differs between places.
func drift(random *rand.Rand, frequency float64) float64 {
	return min(0.48, frequency*math.Exp(0.2*random.NormFloat64()))
}

// haplotype values: an allele number, or missing.
const missing = 255

// draw gives the two haplotypes of each person at the row with index i.
func (r row) draw(o Options, i int) [][2]uint8 {
	name := fnv.New64a()
	_, _ = name.Write([]byte(o.Site))
	random := rand.New(rand.NewPCG(o.Seed^name.Sum64(), uint64(i)))
	called := make([][2]uint8, o.Individuals)
	if r.rare {
		if o.Site == RareSite {
			for _, s := range random.Perm(o.Individuals)[:min(RareCarriers, o.Individuals)] {
				called[s] = [2]uint8{0, 1}
			}
		}
		return called
	}
	frequencies := make([]float64, len(r.frequencies))
	for a, f := range r.frequencies {
		frequencies[a] = drift(random, f)
	}
	for s := range called {
		if random.IntN(2000) == 0 { // as many calls fail in good data
			called[s] = [2]uint8{missing, missing}
			continue
		}
		called[s] = [2]uint8{drawAllele(random, frequencies), drawAllele(random, frequencies)}
	}
	return called
}

func drawAllele(random *rand.Rand, frequencies []float64) uint8 {
	at := random.Float64()
	for a, f := range frequencies {
		if at -= f; at < 0 {
			return uint8(a) + 1
		}
	}
	return 0
}
