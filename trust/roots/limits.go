package roots

import "time"

// Bounds on a site's records, each with its reason (trust-protocol.md, sections 2 and 9).
const (
	// MaxRecordBytes of one record as it is signed, all signatures together.
	MaxRecordBytes = 8 << 10
	// MaxChain records: a yearly update, and ten changes a year, for five years between
	// rotations that leave them behind.
	MaxChain = 64
	// MaxChainBytes of all records of one site together fit one sync answer.
	MaxChainBytes = 512 << 10
	// maxRoots root keys of today, and as many to come (section 2).
	maxRoots = 5
	// maxNodes of one site: one, and a second while it moves.
	maxNodes = 4
	// maxAddrs of one node, and the length of one (a name of 253 characters and a port).
	maxAddrs     = 4
	maxAddrBytes = 260
	// maxDisplayBytes of the name for people.
	maxDisplayBytes = 128
	// maxIssuers that a site is home of, or has client ids at.
	maxIssuers      = 64
	maxIssuerBytes  = 512
	maxClientIDs    = 32
	maxClientIDSize = 255
	// maxLife of a record: a site whose owner does not come back within a year is not
	// spoken for.
	maxLife = 366 * 24 * time.Hour
	// Skew that the owner's clock is forgiven: root keys are used on another machine.
	Skew = 120 * time.Second
	// maxUnix keeps times within what calendars can hold.
	maxUnix = 1 << 33
	// maxCounter of e and u.
	maxCounter = 1 << 30
)
