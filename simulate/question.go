package simulate

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/candignode/candignode/api"
	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/simulate/cohort"
)

// maxFirstLine bounds the line that firstVariant reads: a VCF row of 20,000
// samples has about 100 kB.
const maxFirstLine = 16 << 20

// DemoQuestion is a question about a variant that the sites' data holds: the
// generated cohorts' well-covered one, or the first of the first site's file.
func DemoQuestion(sites []Site) (api.Question, error) {
	v := cohort.Common()
	if file := sites[0].VCF; file != "" {
		var err error
		if v, err = firstVariant(file); err != nil {
			return api.Question{}, fmt.Errorf("%s: %w", file, err)
		}
	}
	return api.Question{
		Assembly: string(query.GRCh37), Chrom: v.Chrom, Start: v.Start, Ref: v.Ref, Alt: v.Alt, Granularity: string(query.Count),
	}, nil
}

// firstVariant reads no further than a gzipped VCF's first row. The import has
// checked the file; here only the place of the columns matters.
func firstVariant(path string) (cohort.Variant, error) {
	f, err := os.Open(path)
	if err != nil {
		return cohort.Variant{}, err
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		return cohort.Variant{}, err
	}
	lines := bufio.NewScanner(unzipped)
	lines.Buffer(nil, maxFirstLine)
	for lines.Scan() {
		columns := strings.SplitN(lines.Text(), "\t", 6)
		if strings.HasPrefix(columns[0], "#") || len(columns) < 6 {
			continue
		}
		pos, err := strconv.ParseInt(columns[1], 10, 64)
		if err != nil {
			return cohort.Variant{}, fmt.Errorf("POS %.20q is not a number", columns[1])
		}
		alt, _, _ := strings.Cut(columns[4], ",")
		return cohort.Variant{Chrom: columns[0], Start: pos - 1, Ref: columns[3], Alt: alt}, nil
	}
	if err := lines.Err(); err != nil {
		return cohort.Variant{}, err
	}
	return cohort.Variant{}, fmt.Errorf("no variant in it")
}
