package admin

// Bounds on what comes over the socket. The operator is trusted; these keep a
// slip from costing the daemon its memory.
const (
	maxBody       = 64 << 10 // bytes; the largest command is a grant
	maxName       = 1024     // bytes of an issuer or a subject
	maxWhy        = 500      // bytes of a reason, for people
	maxAuditLines = 1 << 30  // entries in one listing; the daemon streams it
)
