package variants

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/candignode/candignode/query"
)

// assemblyClaims gathers what a VCF header says about its assembly. Headers are
// careless (a path may name two assemblies), so that only a header which speaks
// for another one and never for the expected one contradicts.
type assemblyClaims struct {
	own, other int
	evidence   string // the first claim for another assembly, quoted
}

func (c *assemblyClaims) contradict() bool { return c.other > 0 && c.own == 0 }

// add looks at one ## line.
func (c *assemblyClaims) add(line string, want query.Assembly) {
	if value, ok := strings.CutPrefix(line, "##reference="); ok {
		c.claim(line, want, mentioned(value))
		return
	}
	fields, ok := strings.CutPrefix(line, "##contig=<")
	if !ok {
		return
	}
	if name := attribute(fields, "assembly"); name != "" {
		if assembly, err := query.ParseAssembly(name); err == nil {
			c.claim(line, want, assembly)
		}
	}
	chrom, err := query.Chrom(attribute(fields, "ID"))
	length, errLength := strconv.ParseInt(attribute(fields, "length"), 10, 64)
	if err == nil && errLength == nil {
		c.claim(line, want, assemblyOfLength(chromCode(chrom), length))
	}
}

func (c *assemblyClaims) claim(line string, want, said query.Assembly) {
	switch {
	case said == "":
	case said == want:
		c.own++
	default:
		if c.other++; c.evidence == "" {
			c.evidence = fmt.Sprintf("%.120q is %s", line, said)
		}
	}
}

// attribute gives a value of a structured header line, without its quotes. A
// comma inside of quotes cuts the value short, which no length, ID or assembly has.
func attribute(fields, name string) string {
	for field := range strings.SplitSeq(strings.TrimSuffix(fields, ">"), ",") {
		if key, value, ok := strings.Cut(field, "="); ok && strings.TrimSpace(key) == name {
			return strings.Trim(value, `"`)
		}
	}
	return ""
}

// mentioned finds the assembly that a path or URL of a reference names; "" if it
// names none or both.
func mentioned(reference string) query.Assembly {
	reference = strings.ToLower(reference)
	has := func(words ...string) bool {
		for _, word := range words {
			if strings.Contains(reference, word) {
				return true
			}
		}
		return false
	}
	is37 := has("grch37", "hg19", "hs37d5", "g1k_v37", "b37")
	is38 := has("grch38", "hg38", "hs38")
	switch {
	case is37 && !is38:
		return query.GRCh37
	case is38 && !is37:
		return query.GRCh38
	}
	return ""
}

// assemblyOfLength tells an assembly by the length of a chromosome in bases;
// "" for a length of neither. MT has the same in both.
func assemblyOfLength(chrom byte, length int64) query.Assembly {
	// Chromosomes 1 to 22, X and Y (Genome Reference Consortium, assembled molecules).
	lengths37 := [...]int64{
		249250621, 243199373, 198022430, 191154276, 180915260, 171115067, 159138663, 146364022,
		141213431, 135534747, 135006516, 133851895, 115169878, 107349540, 102531392, 90354753,
		81195210, 78077248, 59128983, 63025520, 48129895, 51304566, 155270560, 59373566,
	}
	lengths38 := [...]int64{
		248956422, 242193529, 198295559, 190214555, 181538259, 170805979, 159345973, 145138636,
		138394717, 133797422, 135086622, 133275309, 114364328, 107043718, 101991189, 90338345,
		83257441, 80373285, 58617616, 64444167, 46709983, 50818468, 156040895, 57227415,
	}
	if chrom < 1 || int(chrom) > len(lengths37) {
		return ""
	}
	switch length {
	case lengths37[chrom-1]:
		return query.GRCh37
	case lengths38[chrom-1]:
		return query.GRCh38
	}
	return ""
}
