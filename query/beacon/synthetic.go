package beacon

import (
	"slices"

	"github.com/candignode/candignode/query"
)

// SyntheticDataset is the one dataset of testMode.
const SyntheticDataset = "synthetic"

// synthetic is a made-up variant and how many made-up individuals carry it.
type synthetic struct {
	query.VariantQuery
	carriers int64
}

// madeUp is all there is in testMode. No individual stands behind it.
func madeUp() []synthetic {
	return []synthetic{
		{query.VariantQuery{Assembly: query.GRCh38, Chrom: "22", Start: 16_050_000, Ref: "A", Alt: "G"}, 120},
		{query.VariantQuery{Assembly: query.GRCh38, Chrom: "22", Start: 16_050_100, Ref: "CT", Alt: "C"}, 12},
		{query.VariantQuery{Assembly: query.GRCh38, Chrom: "X", Start: 5_000_000, Ref: "T", Alt: "TA"}, 30},
		{query.VariantQuery{Assembly: query.GRCh37, Chrom: "22", Start: 16_050_000, Ref: "A", Alt: "G"}, 120},
		{query.VariantQuery{Assembly: query.GRCh37, Chrom: "22", Start: 16_050_100, Ref: "CT", Alt: "C"}, 12},
	}
}

// Synthetic answers a question in testMode from what is made up in this file
// and nothing else: no caller is looked at, no desk is asked, no store is
// touched (passports.md, row 135). The same question always has the same answer.
// Carriers of different variants are different individuals.
func Synthetic(a About, r query.Request) query.Answer {
	part := query.Part{Site: a.Site, Status: query.Nothing}
	if len(r.Datasets) == 0 || slices.Contains(r.Datasets, SyntheticDataset) {
		var carriers int64
		for _, v := range madeUp() {
			if matches(r.Variant, v.VariantQuery) {
				carriers += v.carriers
			}
		}
		dataset := query.DatasetAnswer{
			Dataset: SyntheticDataset, Granularity: query.Least(r.Granularity, query.Count), Exists: carriers > 0,
		}
		if dataset.Granularity == query.Count {
			dataset.Count, dataset.Precision = &carriers, query.Exact
		}
		part.Status, part.Datasets = query.OK, []query.DatasetAnswer{dataset}
	}
	return query.Answer{Transaction: r.Transaction, Granularity: r.Granularity, Parts: []query.Part{part}}
}

func matches(asked, held query.VariantQuery) bool {
	if asked.Assembly != held.Assembly || asked.Chrom != held.Chrom {
		return false
	}
	if asked.IsRange() {
		overlaps := held.Start < asked.End && asked.Start < held.Start+int64(len(held.Ref))
		return overlaps && (asked.Ref == "" || asked.Ref == held.Ref) && (asked.Alt == "" || asked.Alt == held.Alt)
	}
	start, ref, alt := query.Minimal(asked.Start, asked.Ref, asked.Alt)
	return start == held.Start && ref == held.Ref && alt == held.Alt
}
