package query

import (
	"strconv"
	"strings"
)

// VariantQuery names variants. Coordinates are 0-based and half-open, as in
// Beacon v2; a VCF's POS is Start+1.
//
// With Ref and Alt and no End it is a sequence query: exactly that allele.
// With End it is a range query: any variant that overlaps [Start, End); Ref and
// Alt, if given, narrow it to the alleles with exactly that sequence.
type VariantQuery struct {
	Assembly Assembly `json:"assembly"`
	Chrom    string   `json:"chrom"` // canonical: see Chrom
	Start    int64    `json:"start"`
	End      int64    `json:"end,omitempty"`
	Ref      string   `json:"ref,omitempty"` // upper case
	Alt      string   `json:"alt,omitempty"` // upper case
}

// IsRange tells a range query from a sequence query.
func (q VariantQuery) IsRange() bool { return q.End != 0 }

// Validate checks forms and bounds.
func (q VariantQuery) Validate() error {
	if q.Assembly != GRCh37 && q.Assembly != GRCh38 {
		return Bad("assemblyId", "%.40q is not known; use GRCh37 or GRCh38", q.Assembly)
	}
	if canonical, err := Chrom(q.Chrom); err != nil {
		return err
	} else if canonical != q.Chrom {
		return Bad("referenceName", "%.40q is spelled %q between sites", q.Chrom, canonical)
	}
	if q.Start < 0 || q.Start >= MaxPosition {
		return Bad("start", "%d is outside 0 to %d", q.Start, MaxPosition-1)
	}
	for _, allele := range []struct{ name, bases string }{{"referenceBases", q.Ref}, {"alternateBases", q.Alt}} {
		if err := validBases(allele.name, allele.bases); err != nil {
			return err
		}
	}
	if !q.IsRange() {
		if q.Ref == "" || q.Alt == "" {
			return Bad("alternateBases", "a question with start and no end needs referenceBases and alternateBases; give end to ask for a range")
		}
		if q.Ref == q.Alt {
			return Bad("alternateBases", "equals referenceBases")
		}
		return nil
	}
	if q.End <= q.Start || q.End > MaxPosition {
		return Bad("end", "%d must lie after start %d and be at most %d (0-based, half-open)", q.End, q.Start, MaxPosition)
	}
	if q.End-q.Start > MaxRange {
		return Bad("end", "the range has %d bases, at most %d; ask in parts", q.End-q.Start, MaxRange)
	}
	return nil
}

func validBases(name, bases string) error {
	if len(bases) > MaxAllele {
		return Bad(name, "%d bases, at most %d", len(bases), MaxAllele)
	}
	for i := range len(bases) {
		if strings.IndexByte("ACGTN", bases[i]) < 0 {
			return Bad(name, "%.40q: use the letters A, C, G, T and N", bases)
		}
	}
	return nil
}

// String gives the query in one line, 0-based and half-open.
func (q VariantQuery) String() string {
	s := string(q.Assembly) + " " + q.Chrom + ":" + strconv.FormatInt(q.Start, 10)
	if q.IsRange() {
		s += "-" + strconv.FormatInt(q.End, 10)
	}
	if q.Ref != "" || q.Alt != "" {
		s += " " + q.Ref + ">" + q.Alt
	}
	return s
}

// Minimal trims what ref and alt share, at the end first and then at the
// start, leaving at least one base of each, and moves start accordingly. Releases
// store and questions ask alleles in this form, so that a multi-allelic record's
// ATG>TTG is found as A>T. It does not shift repeats to the left: that needs the
// reference sequence.
func Minimal(start int64, ref, alt string) (int64, string, string) {
	for len(ref) > 1 && len(alt) > 1 && ref[len(ref)-1] == alt[len(alt)-1] {
		ref, alt = ref[:len(ref)-1], alt[:len(alt)-1]
	}
	for len(ref) > 1 && len(alt) > 1 && ref[0] == alt[0] {
		ref, alt, start = ref[1:], alt[1:], start+1
	}
	return start, ref, alt
}

// Chrom gives the canonical name of a chromosome: "1" to "22", "X", "Y", "MT".
// It accepts 22, chr22, NC_000022.11 and M, whatever their case. RefSeq versions are
// not compared with the assembly: the assembly is always given beside the name.
func Chrom(name string) (string, error) {
	s := strings.ToUpper(name)
	s = strings.TrimPrefix(s, "CHR")
	if rest, ok := strings.CutPrefix(s, "NC_"); ok {
		number, version, _ := strings.Cut(rest, ".")
		if !digits(version) || len(number) != 6 || !digits(number) {
			return "", badChrom(name)
		}
		switch s = strings.TrimLeft(number, "0"); s {
		case "23":
			s = "X"
		case "24":
			s = "Y"
		case "12920":
			s = "MT"
		}
	}
	switch s {
	case "X", "Y", "MT":
		return s, nil
	case "M":
		return "MT", nil
	}
	if len(s) >= 1 && len(s) <= 2 && digits(s) && s[0] != '0' && (len(s) == 1 || s <= "22") {
		return s, nil
	}
	return "", badChrom(name)
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func badChrom(name string) error {
	return Bad("referenceName", "%.40q is not a chromosome; use 1 to 22, X, Y or MT, with or without chr, or NC_0000xx.y", name)
}
