package cohort

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/trust"
)

// WriteVCF writes the genotypes of one site as VCF text: phased, multi-sample, on
// GRCh37. The same cohort writes the same bytes.
func (c *Cohort) WriteVCF(w io.Writer, name trust.SiteName) error {
	site, err := c.site(name)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	_, _ = fmt.Fprintf(out, "##fileformat=VCFv4.2\n##source=candignode made-up cohort, seed %d (nobody is behind it)\n", c.seed)
	_, _ = out.WriteString("##reference=GRCh37\n##contig=<ID=22,length=51304566,assembly=GRCh37>\n")
	_, _ = out.WriteString("##FILTER=<ID=PASS,Description=\"All filters passed\">\n")
	_, _ = out.WriteString("##FORMAT=<ID=GT,Number=1,Type=String,Description=\"Genotype\">\n")
	_, _ = out.WriteString("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT")
	for i := range site.Samples {
		_, _ = fmt.Fprintf(out, "\t%s-%04d", strings.ToUpper(string(site.Name)), i+1)
	}
	for i, r := range c.rows {
		_, _ = fmt.Fprintf(out, "\n22\t%d\t.\t%s\t%s\t.\tPASS\t.\tGT", r.start+1, r.ref, strings.Join(r.alts, ","))
		for _, gt := range c.draw(site, i) {
			_, _ = out.WriteString("\t" + letter(gt[0]) + "|" + letter(gt[1]))
		}
	}
	_, _ = out.WriteString("\n")
	// bufio keeps the first error of all writes before.
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write the cohort of %s: %w", name, err)
	}
	return nil
}

func letter(allele uint8) string {
	if allele == missing {
		return "."
	}
	return string('0' + rune(allele))
}

// Carriers gives how many people of a site carry the variant: the truth that
// answers are compared with. A variant that the cohort does not have has none.
func (c *Cohort) Carriers(name trust.SiteName, q query.VariantQuery) (int, error) {
	site, err := c.site(name)
	if err != nil {
		return 0, err
	}
	carriers := 0
	for i, r := range c.rows {
		for a, alt := range r.alts {
			if !same(q, r, alt) {
				continue
			}
			for _, gt := range c.draw(site, i) {
				if gt[0] == uint8(a)+1 || gt[1] == uint8(a)+1 {
					carriers++
				}
			}
		}
	}
	return carriers, nil
}

// Variants lists everything that any row names, in minimal form.
func (c *Cohort) Variants() []query.VariantQuery {
	var all []query.VariantQuery
	for _, r := range c.rows {
		for _, alt := range r.alts {
			start, ref, alt := query.Minimal(r.start, r.ref, alt)
			all = append(all, query.VariantQuery{Assembly: query.GRCh37, Chrom: "22", Start: start, Ref: ref, Alt: alt})
		}
	}
	return all
}

func same(q query.VariantQuery, r row, alt string) bool {
	start, ref, alt := query.Minimal(r.start, r.ref, alt)
	askedStart, askedRef, askedAlt := query.Minimal(q.Start, q.Ref, q.Alt)
	return q.Assembly == query.GRCh37 && q.Chrom == "22" && start == askedStart && ref == askedRef && alt == askedAlt
}

func (c *Cohort) site(name trust.SiteName) (Site, error) {
	i := slices.IndexFunc(c.sites, func(s Site) bool { return s.Name == name })
	if i < 0 {
		return Site{}, fmt.Errorf("the cohort has no site %.40q", name)
	}
	return c.sites[i], nil
}
