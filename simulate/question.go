package simulate

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/candignode/candignode/api"
	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/simulate/cohort"
)

const (
	// maxLine bounds a row that is read to find a question: a VCF row of 20,000
	// samples has about 100 kB.
	maxLine = 16 << 20
	// maxRows bounds how far each file is read: a question is all that is wanted.
	maxRows = 2000
)

// DemoQuestion is a question that shows something: about the generated cohorts'
// well-covered variant, or about the one that most people carry at the site where
// fewest do, among the first rows of the sites' files.
func DemoQuestion(sites []Site) (api.Question, error) {
	v := cohort.Common()
	if sites[0].VCF != "" {
		var err error
		if v, err = widest(sites); err != nil {
			return api.Question{}, err
		}
	}
	return api.Question{
		Assembly: string(query.GRCh37), Chrom: v.Chrom, Start: v.Start, Ref: v.Ref, Alt: v.Alt, Granularity: string(query.Count),
	}, nil
}

func widest(sites []Site) (cohort.Variant, error) {
	least := map[cohort.Variant]int{} // carriers at the site where fewest carry it
	var order []cohort.Variant
	for i, s := range sites {
		carriers, err := firstRows(s.VCF)
		if err != nil {
			return cohort.Variant{}, fmt.Errorf("%s: %w", s.VCF, err)
		}
		for _, row := range carriers {
			if i == 0 {
				least[row.Variant] = row.carriers
				order = append(order, row.Variant)
			}
		}
		here := map[cohort.Variant]int{}
		for _, row := range carriers {
			here[row.Variant] = row.carriers
		}
		for v := range least {
			least[v] = min(least[v], here[v])
		}
	}
	if len(order) == 0 {
		return cohort.Variant{}, errors.New("there is no variant in the files")
	}
	best := order[0]
	for _, v := range order {
		if least[v] > least[best] {
			best = v
		}
	}
	return best, nil
}

type row struct {
	cohort.Variant
	carriers int
}

// firstRows reads the biallelic rows at the beginning of a gzipped VCF. The
// import checks the file; here it is only looked for something to ask.
func firstRows(path string) ([]row, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	var rows []row
	lines := bufio.NewScanner(unzipped)
	lines.Buffer(nil, maxLine)
	for lines.Scan() && len(rows) < maxRows {
		columns := strings.Split(lines.Text(), "\t")
		if strings.HasPrefix(columns[0], "#") || len(columns) < 10 || strings.Contains(columns[4], ",") {
			continue
		}
		pos, err := strconv.ParseInt(columns[1], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("POS %.20q is not a number", columns[1])
		}
		r := row{Variant: cohort.Variant{Chrom: columns[0], Start: pos - 1, Ref: columns[3], Alt: columns[4]}}
		for _, genotype := range columns[9:] {
			if alleles, _, _ := strings.Cut(genotype, ":"); strings.Contains(alleles, "1") {
				r.carriers++
			}
		}
		rows = append(rows, r)
	}
	return rows, lines.Err()
}
