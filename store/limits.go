package store

import "time"

// Bounds, each with its reason.
const (
	// lockTimeout is how long Open waits for another process to let go: a daemon
	// that is being restarted closes its file within this.
	lockTimeout = time.Second
	// maxWaiting operations queue before callers wait to be queued.
	maxWaiting = 256
	// maxBatch bounds one transaction, and so what one failed sync can refuse.
	maxBatch = 512
	// gatherFor is how long the writer waits for callers that it answered just now
	// and that are about to come back: less than one sync of most disks.
	gatherFor = 300 * time.Microsecond
	// maxRecord in bytes of one audit record; the longest real one names a hundred
	// visas and is below 10 kB.
	maxRecord = 128 << 10
	// maxRecords of one call: one for each dataset of a question, with room.
	maxRecords = 1024
	// maxID of a grant or dataset; ids are made here and are shorter.
	maxID = 128
	// maxGrant in bytes of its JSON: iss and sub are at most 255 each.
	maxGrant = 8 << 10
	// maxEvidenceKey and maxEvidence: keys are names and hashes, values at most
	// 64 KiB bodies (trust-protocol.md, section 9) with what was noted about them.
	maxEvidenceKey = 1 << 10
	maxEvidence    = 1 << 20
	// maxEvidenceEntries of one call: all records of one author, with room.
	maxEvidenceEntries = 4096
	// pageItems and pageBytes bound what one short read copies.
	pageItems = 512
	pageBytes = 1 << 20
	// initialMap of address space, not of memory: mapping more than the file has
	// lets it grow without a pause for remapping.
	initialMap = 256 << 20
	// pageSize holds about eight records; at the machine's 4 KiB a quarter of the
	// file would be the unused ends of pages.
	pageSize = 8192
	// growBy is how much the file grows at a time. bbolt's 16 MiB would be most of
	// a young site's file.
	growBy = 1 << 20
	// maxRevocation in bytes of its JSON: two names of at most 1 kB, and a reason.
	maxRevocation = 8 << 10
	// maxRevocations at one time: each costs about 300 bytes of memory, and every
	// change makes the picture anew. A site with more wants to revoke an issuer.
	maxRevocations = 20_000
	// maxLink in bytes of its JSON: four names of at most 255 each.
	maxLink = 8 << 10
	// maxLinksOf one identity: nobody has so many accounts, and an issuer that links
	// without end must not make every question of the person slower.
	maxLinksOf = 64
	// maxLinks at one time; each costs about 1 kB of memory.
	maxLinks = 100_000
	// keepLinksFor is how long a link outlives its end: what one person may learn in
	// a year must not start anew because the visa that joined two accounts ran out.
	keepLinksFor = 400 * 24 * time.Hour
	// maxPoll in bytes of its JSON: two names and a sentence.
	maxPoll = 4 << 10
	// maxPolls at one time. The desk that polls keeps fewer; what is over was left
	// behind and goes when its visa expires.
	maxPolls = 50_000
	// maxSessionText in bytes of a session's JSON: iss, sub and a label.
	maxSessionText = 8 << 10
	// maxSealed in bytes: an access, an ID and a refresh token, and passports of a
	// hundred visas.
	maxSealed = 512 << 10
	// sessionsOfPerson by default, before the one that was used longest ago ends:
	// more than anybody has browsers and scripts.
	sessionsOfPerson = 20
	// maxSessions at one time; a session in memory costs about 500 bytes, and an
	// account that was bought to fill the file has sessionsOfPerson.
	maxSessions = 100_000
	// touchEvery is how exact the time of a session's last use is: a write for each
	// request would cost a sync of the disk.
	touchEvery = 5 * time.Minute
	// sweepEvery is how often what has ended is looked for, while there are writes.
	sweepEvery = time.Hour
	// maxSwept entries of one bucket go in one transaction, so that nobody waits long
	// for a sweep, and their records fit one call; the rest goes with the next.
	maxSwept = 1000
)
