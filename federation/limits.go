package federation

import "time"

// Bounds on what comes from outside, each with its reason.
const (
	// maxAssertion in bytes: the fixed members take about 700, each passport's
	// digest 46, and an issuer's address with a subject stay under 3 KiB.
	maxAssertion = 8 << 10
	// maxQuestion in bytes: query.MaxDatasets ids of 64 characters and two
	// alleles of query.MaxAllele bases take 9 KiB.
	maxQuestion = 16 << 10
	// maxPassports in one question: people hold one, sometimes two.
	maxPassports = 16
	// maxPassportBytes of all passports of one question together: 200 visas of
	// 1.3 KB, the most that is read, make 260 KB.
	maxPassportBytes = 512 << 10
	// MaxMessage in bytes, of one forwarded question as it travels. Whoever
	// carries it must take that much and may refuse more unread.
	MaxMessage = 1 + 4 + maxAssertion + 4 + maxQuestion + 2 + maxPassports*4 + maxPassportBytes
	// MaxResponse in bytes, of one site's part: query.MaxDatasets datasets of
	// 180 bytes take 18 KB.
	MaxResponse = 64 << 10

	// maxNeedsBytes and maxNeeded of a kind (issuers, visas, links), of what a site says
	// it needs: one visa takes about 150 bytes, and a site has tens of datasets.
	maxNeedsBytes = 64 << 10
	maxNeeded     = 256
	// needsEvery is how often a peer is asked what it needs, and needsLife how long its
	// word holds: a dataset that was closed is asked about rightly within a minute, and
	// a peer that went back to an older version is treated as one within five.
	needsEvery = time.Minute
	needsLife  = 5 * time.Minute

	// maxReceipt in bytes: its fixed members take about 500, the policy's revision a digest.
	maxReceipt = 1 << 10
	// maxPolicyRevision in bytes: a digest.
	maxPolicyRevision = 128

	// maxCount of individuals that one dataset may claim: more than there are
	// people, and query.MaxSites times query.MaxDatasets of it add up without
	// overflow and below 2^53, where programs that read JSON lose digits.
	maxCount = 10_000_000_000

	// maxLife of a forwarding assertion (trust-protocol.md, section 11).
	maxLife = 60 * time.Second
	// maxSkew between two sites' clocks: hospitals run NTP, and half of maxLife
	// keeps an assertion from a slow clock usable for the other half.
	maxSkew = 30 * time.Second

	// replaySlices and replaySlice: an assertion that was seen is remembered
	// for at least (replaySlices-1)*replaySlice, which is maxLife and twice
	// maxSkew: the longest that any assertion can be in time, with room for a
	// step of the clock.
	replaySlices = 5
	replaySlice  = 30 * time.Second
	// maxRemembered assertions per peer, about 10 MB: 1,700 questions a second
	// from one peer, for as long as they are remembered. Beyond it questions are
	// refused, because forgetting one early would let it be replayed.
	maxRemembered = 1 << 18

	// maxServing questions of one peer at once: the streams that one connection
	// may open. One peer's flood then holds at most 18 MiB of messages and leaves
	// the others' questions alone.
	maxServing = 32
	// busyNote is how often a peer that is over maxServing is recorded: each
	// record is a durable write, and must not be made by the flood itself.
	busyNote = time.Minute
	// maxDetail in bytes, of what an audit record says about a refusal.
	maxDetail = 300
	// refusalTime bounds the writing of a refusal's audit record, which goes on
	// when the peer has hung up.
	refusalTime = 5 * time.Second

	// signedAtOnce messages are signed one after the other, at 40 µs each, before
	// another goroutine shares the work.
	signedAtOnce = 4

	// defaultDeadline of a question whose caller set none: people wait that
	// long, and scripts set their own.
	defaultDeadline = 10 * time.Second
	// maxWait that a peer may ask this node to work for it, however long its
	// own caller is ready to wait.
	maxWait = maxLife
)
