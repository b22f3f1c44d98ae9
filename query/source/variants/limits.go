package variants

// Bounds on what comes from outside, each with its reason.
const (
	// MaxFiles of one import: one file per chromosome and batch, with room.
	MaxFiles = 1_000
	// MaxLine in bytes: 20,000 samples with 3 kB of FORMAT fields each.
	MaxLine = 64 << 20
	// MaxHeader in bytes, of all lines before the records: headers of merged
	// files list thousands of contigs and commands, never more than a line may have.
	MaxHeader = 64 << 20
	// MaxSamples of a release: the largest biobanks hold half a million.
	MaxSamples = 1_000_000
	// MaxSampleName in bytes, also of an individual's id: they are accession
	// numbers or UUIDs.
	MaxSampleName = 256
	// MaxAlts of one record: the most crowded sites of public call sets have
	// some hundreds.
	MaxAlts = 4_096
	// MaxPloidy of one genotype: human data need 2; pooled and tumour calls a
	// few more.
	MaxPloidy = 64
	// MaxAlleleBytes of ref and alt together. Longer ones are structural variants
	// spelled out; they are skipped and counted, because a key has at most 32,768 bytes.
	MaxAlleleBytes = 32_000
	// MaxIndividualsFile in bytes: MaxSamples lines of usual names.
	MaxIndividualsFile = 64 << 20
)

// Sizes of working memory: what an import needs does not depend on its input.
const (
	runBytes   = 64 << 20 // variants held before they are sorted and set aside
	maxRuns    = 64       // runs merged at once, each with an open file
	batchBytes = 8 << 20  // values per transaction while a release is written
	readBytes  = 256 << 10
	checkEvery = 1 << 10 // variants between two looks at the context
)
