package variants

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// genotypes reads the sample columns of a record into the carriers of each ALT.
// Its lists are used again for every record: nothing is allocated per sample.
type genotypes struct {
	samples  []uint32 // index of each column's sample
	rising   bool     // the indices rise with the columns
	het, hom [][]uint32
}

// The two spellings of "nobody here carries anything" in two columns, which are
// most columns of most files: 0|0<TAB>0|0<TAB> and 0/0<TAB>0/0<TAB> as little
// endian numbers.
const (
	phasedRef   = 0x09307c3009307c30
	unphasedRef = 0x09302f3009302f30
)

// badGenotype is an error in one column.
type badGenotype struct {
	column int // of the sample, 0-based
	reason string
}

func (e *badGenotype) Error() string { return e.reason }

// errColumns says that a record has not one column for each sample.
var errColumns = errors.New("number of columns")

// read takes apart what stands after FORMAT and its tab. field is the place of GT
// in FORMAT, alts the number of ALT alleles.
func (g *genotypes) read(text []byte, field, alts int) error {
	g.reset(alts)
	at, n := 0, len(g.samples)
	for s := 0; s < n; s++ {
		if field == 0 {
			for s+1 < n && at+8 <= len(text) {
				if w := binary.LittleEndian.Uint64(text[at:]); w != phasedRef && w != unphasedRef {
					break
				}
				at, s = at+8, s+2
			}
		}
		if s == n || at > len(text) { // a tab after the last column, or no column left
			return errColumns
		}
		if field == 0 {
			if next, ok := g.diploid(text, at, s, alts); ok {
				at = next
				continue
			}
		}
		end := bytes.IndexByte(text[at:], '\t')
		if end < 0 {
			end = len(text)
		} else {
			end += at
		}
		if reason := g.general(text[at:end], s, field, alts); reason != "" {
			return &badGenotype{s, reason}
		}
		at = end + 1
	}
	if at != len(text)+1 {
		return errColumns
	}
	if !g.rising {
		for i := range g.het {
			slices.Sort(g.het[i])
			slices.Sort(g.hom[i])
		}
	}
	return nil
}

func (g *genotypes) reset(alts int) {
	for len(g.het) < alts {
		g.het, g.hom = append(g.het, nil), append(g.hom, nil)
	}
	g.het, g.hom = g.het[:alts], g.hom[:alts]
	for i := range alts {
		g.het[i], g.hom[i] = g.het[i][:0], g.hom[i][:0]
	}
}

// diploid reads the form 0|1, which is nearly every genotype; ok is false for
// every other form, also for a bad one. next is the place after the column's tab.
func (g *genotypes) diploid(text []byte, at, s, alts int) (next int, ok bool) {
	if at+3 > len(text) || (text[at+1] != '|' && text[at+1] != '/') {
		return 0, false
	}
	a, b := int(text[at])-'0', int(text[at+2])-'0'
	if uint(a) > uint(min(alts, 9)) || uint(b) > uint(min(alts, 9)) {
		return 0, false
	}
	switch next = at + 3; {
	case next == len(text) || text[next] == '\t':
		next++
	case text[next] == ':':
		end := bytes.IndexByte(text[next:], '\t')
		if end < 0 {
			end = len(text) - next
		}
		next += end + 1
	default:
		return 0, false
	}
	if a == b {
		if a > 0 {
			g.hom[a-1] = append(g.hom[a-1], g.samples[s])
		}
		return next, true
	}
	if a > 0 {
		g.het[a-1] = append(g.het[a-1], g.samples[s])
	}
	if b > 0 {
		g.het[b-1] = append(g.het[b-1], g.samples[s])
	}
	return next, true
}

// general reads a column of any form: any ploidy, missing alleles, GT at any
// place, the leading phase of VCFv4.4. It gives what is wrong, or "".
func (g *genotypes) general(column []byte, s, field, alts int) string {
	if len(column) == 0 {
		return "the column is empty"
	}
	for range field {
		colon := bytes.IndexByte(column, ':')
		if colon < 0 {
			return "" // trailing fields may be dropped (VCFv4.3, section 1.6.2)
		}
		column = column[colon+1:]
	}
	if colon := bytes.IndexByte(column, ':'); colon >= 0 {
		column = column[:colon]
	}
	var room [MaxPloidy]int
	called, reason := alleles(column, alts, room[:0])
	if reason != "" {
		return reason
	}
	for i, a := range called {
		if a <= 0 || slices.Contains(called[:i], a) {
			continue
		}
		if !slices.ContainsFunc(called, func(b int) bool { return b != a }) {
			g.hom[a-1] = append(g.hom[a-1], g.samples[s])
		} else {
			g.het[a-1] = append(g.het[a-1], g.samples[s])
		}
	}
	return ""
}

// alleles reads a genotype: numbers between / or |. A missing one is -1.
func alleles(gt []byte, alts int, called []int) ([]int, string) {
	rest := gt
	if len(rest) > 1 && (rest[0] == '/' || rest[0] == '|') {
		rest = rest[1:]
	}
	for {
		end := bytes.IndexAny(rest, "/|")
		one := rest
		if end >= 0 {
			one = rest[:end]
		}
		a := -1
		if string(one) != "." {
			var ok bool
			if a, ok = smallNumber(one); !ok {
				return nil, fmt.Sprintf("genotype %.40q is not alleles between / or |", gt)
			}
			if a > alts {
				return nil, fmt.Sprintf("genotype %.40q names allele %d, but ALT has %d", gt, a, alts)
			}
		}
		if len(called) == MaxPloidy {
			return nil, fmt.Sprintf("genotype %.40q has more than %d alleles", gt, MaxPloidy)
		}
		called = append(called, a)
		if end < 0 {
			return called, ""
		}
		rest = rest[end+1:]
	}
}

// smallNumber reads 1 to 9 digits.
func smallNumber(b []byte) (n int, ok bool) {
	if len(b) == 0 || len(b) > 9 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, true
}
