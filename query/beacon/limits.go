package beacon

// Bounds on what comes from outside, each with its reason.
const (
	// MaxBody of a POSTed question, in bytes: eight passports of a hundred visas
	// (about 125 kB each) fit (passports.md, row 106).
	MaxBody = 1 << 20
	// MaxURLQuery of a question in a URL, in bytes: two alleles of the greatest
	// length and a hundred dataset ids would not fit, and should be POSTed.
	MaxURLQuery = 6 << 10
	// maxValues of one list parameter; the only long list is that of datasets.
	maxValues = 128
	// maxListed is how many strings of a list of passports are read at all: far more
	// than the verifier takes, which refuses them for their number.
	maxListed = 100
	// maxEcho is how much of a caller's own word an error repeats, in runes.
	maxEcho = 40
	// maxName is the longest parameter name that is repeated: Beacon's own end at
	// 25 letters.
	maxName = 40
	// maxPage bounds skip and limit, which are only echoed at these
	// granularities.
	maxPage = 1_000_000
	// maxPeerText of a sentence that another site sent, in runes.
	maxPeerText = 300
	// maxVersion and maxSchema bound what the summary echoes.
	maxVersion = 32
	maxSchema  = 200
)
