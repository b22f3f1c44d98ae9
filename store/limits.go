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
)
