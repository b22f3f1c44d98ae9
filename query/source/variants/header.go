package variants

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/candignode/candignode/query"
)

// fixedColumns stand before the samples of a VCF with genotypes (VCFv4.3, section 1.5).
const fixedColumns = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT"

// readHeader reads up to and with the #CHROM line and gives the samples' names
// in the order of the columns.
func (in *input) readHeader(assembly query.Assembly) ([]string, error) {
	var claims assemblyClaims
	size := 0
	for {
		line, err := in.nextRecordOrHeader()
		if err != nil {
			return nil, err
		}
		if line == nil {
			return nil, in.bad("the file ends before a #CHROM line; is it cut off?")
		}
		if size += len(line); size > MaxHeader {
			return nil, in.bad("the header is longer than %d bytes", MaxHeader)
		}
		switch {
		case in.text.number == 1 && !bytes.HasPrefix(line, []byte("##fileformat=VCF")):
			return nil, in.bad("does not begin with ##fileformat=VCF but with %.40q; is it a VCF file?", line)
		case bytes.HasPrefix(line, []byte("##")):
			claims.add(string(line), assembly)
		case line[0] == '#':
			if claims.contradict() {
				return nil, in.assemblyMismatch(assembly, claims.evidence)
			}
			return in.sampleNames(string(line))
		default:
			return nil, in.bad("a record stands before the #CHROM line; the header is missing or cut off")
		}
	}
}

// nextRecordOrHeader gives the next line that is not empty, and nil at the end.
func (in *input) nextRecordOrHeader() ([]byte, error) {
	for {
		line, err := in.next()
		if err != nil {
			return nil, ignoreEOF(err)
		}
		if len(line) > 0 {
			return line, nil
		}
	}
}

func (in *input) sampleNames(line string) ([]string, error) {
	rest, ok := strings.CutPrefix(line, fixedColumns)
	if !ok {
		if strings.HasPrefix(line, "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO") {
			return nil, in.bad("the file has no FORMAT column: it lists variants without genotypes, and there are no carriers to count")
		}
		return nil, in.bad("%.40q are not the columns of a VCF; want #CHROM POS ID REF ALT QUAL FILTER INFO FORMAT and the samples, between single tabs", line)
	}
	if rest == "" {
		return nil, in.bad("no sample stands after FORMAT: there are no carriers to count")
	}
	if rest[0] != '\t' {
		return nil, in.bad("the ninth column is not FORMAT but %.40q", "FORMAT"+rest)
	}
	names := strings.Split(rest[1:], "\t")
	if len(names) > MaxSamples {
		return nil, in.bad("%d samples, at most %d", len(names), MaxSamples)
	}
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		if why := badName(name); why != "" {
			return nil, in.bad("sample name %.40q %s", name, why)
		}
		if seen[name] {
			return nil, in.bad("sample %.40q stands in two columns", name)
		}
		seen[name] = true
	}
	return names, nil
}

// badName tells what is wrong with the name of a sample or individual; "" if
// nothing is. Names are kept as JSON, which has no room for other bytes than UTF-8.
func badName(name string) string {
	switch {
	case name == "":
		return "is empty"
	case len(name) > MaxSampleName:
		return "is too long"
	case !utf8.ValidString(name):
		return "is not UTF-8"
	}
	return ""
}

func (in *input) assemblyMismatch(want query.Assembly, evidence string) error {
	return &InputError{
		File: in.name, Line: in.text.number, Err: ErrAssembly,
		Reason: "the header says another assembly than " + string(want) + ": " + evidence +
			"; import with the assembly the file was called on, or lift the file over first",
	}
}
