package query

// Bounds on what comes from outside, each with its reason.
const (
	// MaxDatasets in one question: the scale is dozens of projects a site.
	MaxDatasets = 100
	// MaxPosition is beyond the longest human chromosome (249 Mb) and fits four
	// bytes, as keys of release files do.
	MaxPosition = 1 << 30
	// MaxRange in bases, of one range query. A whole chromosome is asked of a
	// frequency table, not of carriers; 10 Mb is the largest gene panel region
	// in use, and bounds the work of one question.
	MaxRange = 10_000_000
	// MaxAllele in bases, of ref or alt in a question; longer ones are
	// structural variants, which are not asked by sequence.
	MaxAllele = 1_000
	// MaxSites in one answer: five sites now, fifty soon, with room.
	MaxSites = 500
)
