package cohort

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Write writes the genotypes of one site as VCF text: phased, multi-sample, on
// GRCh37. The same options write the same bytes.
func Write(w io.Writer, o Options) error {
	if o.Site == "" || strings.ContainsAny(o.Site, " \t\r\n") || o.Individuals < 1 {
		return errors.New("a cohort needs the name of its site, without spaces, and at least one individual")
	}
	out := bufio.NewWriter(w)
	_, _ = fmt.Fprintf(out, "##fileformat=VCFv4.2\n##source=candignode made-up cohort, seed %d (nobody is behind it)\n", o.Seed)
	_, _ = out.WriteString("##reference=GRCh37\n##contig=<ID=22,length=51304566,assembly=GRCh37>\n")
	_, _ = out.WriteString("##FILTER=<ID=PASS,Description=\"All filters passed\">\n")
	_, _ = out.WriteString("##FORMAT=<ID=GT,Number=1,Type=String,Description=\"Genotype\">\n")
	_, _ = out.WriteString("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT")
	for i := range o.Individuals {
		_, _ = fmt.Fprintf(out, "\t%s-%04d", strings.ToUpper(o.Site), i+1)
	}
	for i, r := range allRows() {
		_, _ = fmt.Fprintf(out, "\n%s\t%d\t.\t%s\t%s\t.\tPASS\t.\tGT", chrom, r.start+1, r.ref, strings.Join(r.alts, ","))
		for _, gt := range r.draw(o, i) {
			_, _ = out.WriteString("\t" + letter(gt[0]) + "|" + letter(gt[1]))
		}
	}
	_, _ = out.WriteString("\n")
	// bufio keeps the first error of all writes before.
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write the cohort of %s: %w", o.Site, err)
	}
	return nil
}

func letter(allele uint8) string {
	if allele == missing {
		return "."
	}
	return string('0' + rune(allele))
}

// Carriers gives how many people of a site carry the variant, as the VCF spells
// it: the truth that answers are compared with. A variant that no row names has
// none.
func Carriers(o Options, v Variant) int {
	carriers := 0
	for i, r := range allRows() {
		for a, alt := range r.alts {
			if (Variant{chrom, r.start, r.ref, alt}) != v {
				continue
			}
			for _, gt := range r.draw(o, i) {
				if gt[0] == uint8(a)+1 || gt[1] == uint8(a)+1 {
					carriers++
				}
			}
		}
	}
	return carriers
}

// Variants lists everything that any row names, in the order of places.
func Variants() []Variant {
	var all []Variant
	for _, r := range allRows() {
		for _, alt := range r.alts {
			all = append(all, Variant{chrom, r.start, r.ref, alt})
		}
	}
	return all
}
