package issuers

import "time"

// Bounds on what comes from outside, each with its reason (trust-protocol.md,
// section 9).
const (
	// MaxHeadBytes is the largest gossip message: heads must fit one UDP packet
	// beside memberlist's own bytes.
	MaxHeadBytes = 512
	// MaxRecordBytes holds an observation of about 24 keys.
	MaxRecordBytes = 2 << 10
	// MaxSiteRecordBytes holds the client ids of some hundred issuers.
	MaxSiteRecordBytes = 8 << 10
	// MaxRecords by one author, its site record not counted: ten times the
	// issuers that the largest known networks share.
	MaxRecords = 256
	// MaxSyncBytes of one sync answer: every record one author may have.
	MaxSyncBytes = 1 << 20
	// MaxSyncRequestBytes of one sync request: places of 500 authors.
	MaxSyncRequestBytes = 64 << 10
	// buckets of a vector, and bytes of the digest of each: at 500 authors 1.7 KiB say that nothing differs, where the
	// vector takes 50 KB; 128 bits leave nobody two vectors with one digest.
	buckets           = 64
	bucketDigestBytes = 16
	// wholeVector is how many authors are compared without buckets: their places are no larger than the digests.
	wholeVector = 16
	// shortHash is how much of a head's digest stands in a whole vector, in characters.
	shortHash = 12
	// maxSyncRounds bounds how often one sync asks for "more".
	maxSyncRounds = 16

	// maxLife of a head, and what this node gives its own.
	maxLife = 2 * time.Hour
	// maxSiteLife of a site record; this node gives its own siteLife and signs
	// anew after half of it, so that a node that was off for a fortnight still
	// speaks.
	maxSiteLife = 366 * 24 * time.Hour
	siteLife    = 30 * 24 * time.Hour
	// skew that another site's clock is forgiven.
	skew = 120 * time.Second
	// heartbeat: a head is signed this often even if nothing changed.
	heartbeat = 15 * time.Minute

	// renewAfter: an observation that peers hold with a time this much older than the
	// newest is told anew at once. Heartbeats keep it below; what was off for longer may
	// be about to grow stale for them.
	renewAfter = 2 * heartbeat

	// headEvery and headBurst: heads taken from one author. A change of keys is
	// rare; an author that signs faster is broken or hostile. An own node stays
	// one below the burst.
	headEvery = 10 * time.Second
	headBurst = 6

	// DefaultStale and MaxStale: how long evidence counts after it was gathered,
	// when the policy is silent, and at most.
	DefaultStale = 24 * time.Hour
	MaxStale     = 72 * time.Hour
	// DefaultPoll between fetches of one issuer.
	DefaultPoll = 5 * time.Minute
	// minRetry after a failed fetch: a struggling issuer is not hammered.
	minRetry = time.Minute
	// refreshEvery: fetches for the sake of an unknown kid, per issuer.
	refreshEvery = time.Minute
	// refreshWait is the longest that a caller waits for fresh keys.
	refreshWait = 3 * time.Second
	// fetchTime for one issuer; the fetcher's own bound is 5 s.
	fetchTime = 10 * time.Second
	// callTime for one sync with a peer (section 9: sync stream, 10 s).
	callTime = 10 * time.Second
	// fetchers and pullers at once.
	fetchers = 4
	pullers  = 4

	// antiEntropy is how often a random peer is compared with.
	antiEntropy = 20 * time.Second
	// errandGap between pulls that somebody else's unverified word asks for.
	errandGap = 2 * time.Second
	// connectedEvery is how often new connections are looked for.
	connectedEvery = time.Second
	// firstHeadGrace: a starting node first asks peers for its own newest head,
	// at most this long, so that one restored from an old backup does not fork.
	firstHeadGrace = 5 * time.Second

	// historyLength is how many heads of one author are kept to recognise a
	// fork: four hours of heartbeats.
	historyLength = 16
	// maxCounter of e, u and ver: a head a second takes 30 years to reach it,
	// and a head that claims more would leave no room to recover in.
	maxCounter = 1 << 30

	// maxKeys of one issuer: a JWKS has at most as many.
	maxKeys = 32
	// MaxDocumentBytes of one fetched document.
	MaxDocumentBytes = 64 << 10
	// maxBlobBytes of one key set: section 9; 32 keys of 8,192 bits take 45 KiB.
	maxBlobBytes = 64 << 10
	// maxAuthorBlobs in bytes, of key sets that are held for one peer's sake: section 9. Some 250 issuers of two keys.
	maxAuthorBlobs = 1 << 20
	// maxBlobsAsked for in one request: twelve of the largest fill an answer.
	maxBlobsAsked = 32
	// maxKinds of an issuer record's algorithms and kinds: there are 4 kinds, and 2 algorithms are taken.
	maxKinds = 8
	// maxSiteIDBytes of a SiteID in an observation: it has 52 characters.
	maxSiteIDBytes = 64
	// maxURLBytes of an issuer or key set address in a record.
	maxURLBytes = 512
	// maxClientIDs of one issuer in a site record, and the length of one.
	maxClientIDs     = 32
	maxClientIDBytes = 255
	// MaxTombLife of a tombstone: a key that is bad for longer is bad for good, and its issuer has
	// withdrawn it by then.
	MaxTombLife = 366 * 24 * time.Hour
	// maxTombs of this site's own, and maxReason of what one says, in bytes.
	maxTombs  = 128
	maxReason = 200
	// holdTime is how long most witnesses must have seen a set that does not continue the one
	// before (trust-protocol.md, section 7).
	holdTime = 24 * time.Hour
	// warnEvery is how often a peer that has not acknowledged a tombstone is told again.
	warnEvery = 10 * time.Second
	// maxDetail of one audit record or alarm, in bytes.
	maxDetail = 1 << 10
	// revisionStep is by how much the persisted bound of the revision runs
	// ahead of it, so that not every change costs a write of its own.
	revisionStep = 64
)
