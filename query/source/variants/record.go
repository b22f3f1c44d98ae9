package variants

import (
	"bytes"
	"errors"

	"github.com/candignode/candignode/query"
)

// The reasons in Imported.Skipped. All but SkippedContig count ALT alleles;
// SkippedContig counts records.
const (
	SkippedContig     = "contig_not_served"   // not 1 to 22, X, Y, MT: decoys, unplaced pieces
	SkippedSymbolic   = "symbolic_allele"     // <DEL> and the like: not asked by sequence
	SkippedBreakend   = "breakend"            // an adjacency, not a sequence
	SkippedLong       = "allele_too_long"     // more than MaxAlleleBytes
	SkippedSame       = "alt_equals_ref"      // says nothing
	SkippedNoCarriers = "no_carriers"         // counts as an absent variant does
	SkippedNoAllele   = "no_alternate_allele" // ".", "*", <*> and <NON_REF>: no allele of their own
)

// sink takes variants in any order; the same key may come more than once. What
// is handed over is copied.
type sink interface {
	add(key, body []byte) error
}

// recordParser turns the records of one file into variants.
type recordParser struct {
	in      *input
	names   []string
	samples int // of the release
	to      sink
	skipped map[string]int64
	calls   genotypes
	chroms  map[string]byte // by the spelling of this file; 0 is not served
	key     []byte
	body    []byte
}

// parse takes apart one line (VCFv4.3, section 1.6).
func (p *recordParser) parse(line []byte) error {
	if line[0] == '#' {
		return p.in.bad("a header line stands between records; were two files joined?")
	}
	var columns [9][]byte
	rest := line
	for i := range columns {
		tab := bytes.IndexByte(rest, '\t')
		if tab < 0 {
			return p.wrongColumns(line)
		}
		columns[i], rest = rest[:tab], rest[tab+1:]
	}
	chrom, start, err := p.place(columns[0], columns[1])
	if err != nil {
		return err
	}
	if chrom == 0 {
		p.skipped[SkippedContig]++
		return nil
	}
	ref, ok := bases(columns[3])
	if !ok {
		return p.in.bad("REF %.40q is not made of A, C, G, T and N", columns[3])
	}
	alts := bytes.Count(columns[4], []byte{','}) + 1
	if alts > MaxAlts {
		return p.in.bad("%d alleles in ALT, at most %d", alts, MaxAlts)
	}
	field := fieldGT(columns[8])
	if field < 0 {
		return p.in.bad("FORMAT %.40q has no GT: there are no genotypes to count", columns[8])
	}
	if err := p.genotypes(line, rest, field, alts); err != nil {
		return err
	}
	i := 0
	for alt := range bytes.SplitSeq(columns[4], []byte{','}) {
		if err := p.allele(chrom, start, ref, alt, i); err != nil {
			return err
		}
		i++
	}
	return nil
}

func (p *recordParser) genotypes(line, text []byte, field, alts int) error {
	err := p.calls.read(text, field, alts)
	var bad *badGenotype
	switch {
	case errors.Is(err, errColumns):
		return p.wrongColumns(line)
	case errors.As(err, &bad):
		return p.in.bad("sample %.40q: %s", p.names[bad.column], bad.reason)
	}
	return err
}

func (p *recordParser) wrongColumns(line []byte) error {
	return p.in.bad("%d columns, but the #CHROM line has %d; is the line cut off?",
		bytes.Count(line, []byte{'\t'})+1, len(p.names)+9)
}

// place reads CHROM and POS; start is 0-based and -1 for the telomere (POS 0).
func (p *recordParser) place(name, pos []byte) (chrom byte, start int64, err error) {
	chrom, known := p.chroms[string(name)]
	if !known {
		if len(name) == 0 {
			return 0, 0, p.in.bad("CHROM is empty")
		}
		if canonical, err := query.Chrom(string(name)); err == nil {
			chrom = chromCode(canonical)
		}
		if len(p.chroms) < 10_000 { // so many contigs have the draft assemblies
			p.chroms[string(name)] = chrom
		}
	}
	n, ok := smallNumber(pos)
	if !ok {
		return 0, 0, p.in.bad("POS %.40q is not a position", pos)
	}
	return chrom, int64(n) - 1, nil
}

// fieldGT gives the place of GT in FORMAT, -1 if it has none.
func fieldGT(format []byte) int {
	i := 0
	for field := range bytes.SplitSeq(format, []byte{':'}) {
		if string(field) == "GT" {
			return i
		}
		i++
	}
	return -1
}

// bases checks a sequence and gives it in upper case. ok is false for anything
// but letters of ACGTN.
func bases(b []byte) (upper []byte, ok bool) {
	for _, c := range b {
		switch c &^ 0x20 {
		case 'A', 'C', 'G', 'T', 'N':
		default:
			return nil, false
		}
		if c&0x20 != 0 {
			upper = b // has a lower case letter
		}
	}
	if upper != nil {
		return bytes.ToUpper(b), true
	}
	return b, len(b) > 0
}

// kindOfAlt gives the reason to skip an ALT allele that is no sequence; "" for
// one that may be a sequence.
func kindOfAlt(alt []byte) string {
	switch s := string(alt); {
	case s == "." || s == "*" || s == "<*>" || s == "<NON_REF>":
		return SkippedNoAllele
	case s == "":
		return ""
	case bytes.ContainsAny(alt, "[]") || s[0] == '.' || s[len(s)-1] == '.':
		return SkippedBreakend
	case s[0] == '<':
		return SkippedSymbolic
	}
	return ""
}

// allele hands the carriers of the ALT with index i on.
func (p *recordParser) allele(chrom byte, start int64, ref, alt []byte, i int) error {
	if reason := kindOfAlt(alt); reason != "" {
		p.skipped[reason]++
		return nil
	}
	sequence, ok := bases(alt)
	switch {
	case !ok:
		return p.in.bad("ALT %.40q is not made of A, C, G, T and N, nor is it *, . or symbolic", alt)
	case start < 0:
		return p.in.bad("POS 0 is the telomere and has no sequence %.40q", alt)
	case start+int64(len(ref)) > query.MaxPosition:
		return p.in.bad("POS %d is beyond every chromosome", start+1)
	case len(ref)+len(sequence) > MaxAlleleBytes:
		p.skipped[SkippedLong]++
		return nil
	case bytes.Equal(ref, sequence):
		p.skipped[SkippedSame]++
		return nil
	case len(p.calls.het[i])+len(p.calls.hom[i]) == 0:
		p.skipped[SkippedNoCarriers]++
		return nil
	}
	minStart, minRef, minAlt := query.Minimal(start, string(ref), string(sequence))
	p.key = appendKey(p.key[:0], chrom, minStart, minRef, minAlt)
	p.body = appendBody(p.body[:0], p.samples, p.calls.het[i], p.calls.hom[i])
	return p.to.add(p.key, p.body)
}
