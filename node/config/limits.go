package config

import "time"

// Bounds on what a configuration may hold, each with its reason.
const (
	// minRSABits and maxRSABits bound a passport key (GA4GH AAI 1.2, "Signing
	// Algorithms"; RFC 7518, section 3.3): a longer one is slow to sign with, and its
	// signatures fit into fewer headers.
	minRSABits = 2048
	maxRSABits = 4096

	// maxFile: the largest plausible file, 500 peers and 100 issuers with every
	// key written out, is below 200 kB.
	maxFile = 1 << 20
	// maxSideFile bounds each file that the configuration names; a key set or a
	// CA bundle is smaller (trust-protocol.md, section 9: blob 64 KiB), and the
	// system's whole CA bundle is 220 kB.
	maxSideFile = 1 << 20
	// maxDepth of YAML nesting; the deepest key needs 5.
	maxDepth = 16
	// maxKeys of one section; an issuer has 18. It bounds the work on a file that
	// holds nothing but mistakes.
	maxKeys = 200
	// maxProblems that are listed; whoever has more made one mistake often.
	maxProblems = 100
	// maxPeers as in one answer (query.MaxSites).
	maxPeers = 500
	// maxIssuers: each is polled, and each is announced to every peer.
	maxIssuers = 100
	// maxList bounds every other list in the file.
	maxList = 100
	// maxText bounds names for people.
	maxText = 200
	// maxURLClaim is the length that GA4GH Passport 1.2 allows URL claims, so a
	// longer value, source or issuer can never match.
	maxURLClaim = 255
	// maxSocketPath: sun_path holds 108 bytes with the final NUL (unix(7)).
	maxSocketPath = 107
	// maxStaleCap on how long old evidence may keep a key believed
	// (trust-protocol.md, section 7).
	maxStaleCap = 72 * time.Hour
	// minIssuerPoll keeps one node from hammering an identity provider.
	minIssuerPoll = 5 * time.Second
	// maxIssuerPoll: a withdrawn key is believed for as long as one poll.
	maxIssuerPoll = 24 * time.Hour
	// minTimeout and maxTimeout of a question: below, no peer can answer; above,
	// clients have gone away.
	minTimeout = 100 * time.Millisecond
	maxTimeout = 5 * time.Minute
	// maxConcurrent questions; each may hold a connection's stream at every peer.
	maxConcurrent = 10_000
	// minSession and maxSession: below, nobody gets anything done; above, a stolen
	// token is worth too much.
	minSession = time.Minute
	maxSession = 30 * 24 * time.Hour
	// maxSessions that one person may have.
	maxSessions = 1000
	// minTTL and maxTTL of what this site signs: below, clocks that differ refuse
	// it; above, it cannot be taken back for too long (passports.md, row 115).
	minTTL = time.Minute
	maxTTL = 24 * time.Hour
	// maxCacheEntries and maxCacheBytes bound what a typing mistake can cost.
	maxCacheEntries = 10_000_000
	maxCacheBytes   = 1 << 34
)

// The defaults, as configs/candignode.yaml names them.
const (
	defaultListen     = "0.0.0.0:7946"
	defaultAPI        = "127.0.0.1:8443"
	defaultNetwork    = "candig"
	defaultNodeKey    = "node.key"   // in data_dir
	defaultSocket     = "admin.sock" // in data_dir
	defaultThreshold  = 10
	safeThreshold     = 5 // fewer is warned about
	defaultMaxStale   = 24 * time.Hour
	defaultQuery      = 10 * time.Second
	defaultPeer       = 8 * time.Second
	defaultPoll       = 5 * time.Minute
	defaultConcurrent = 64
	defaultEntries    = 10_000
	defaultBytes      = 64 << 20
	defaultSession    = 12 * time.Hour
	defaultSessions   = 20
	defaultVisaTTL    = time.Hour
	// A passport for one target is used within seconds; the rest is for clocks.
	defaultPassportTTL = 10 * time.Minute
)
