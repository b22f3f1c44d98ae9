package proof

import "time"

// Every bound on what comes from outside, with its reason.
const (
	// maxProofBytes: a proof with a 4096-bit RSA key takes about 1.9 kB, and the
	// header of an HTTP request ends soon after.
	maxProofBytes = 8 << 10

	// maxIDBytes bounds a jti: 16 random bytes take 22 characters, a UUID 36.
	maxIDBytes = 256

	// maxURLBytes bounds an htu as other software bounds a URL that people type.
	maxURLBytes = 2048

	// maxAge is how long a proof is good without a nonce, and maxAhead how far its
	// clock may be ahead (RFC 9449, section 11.1: seconds or minutes). A client whose
	// clock differs more is given a nonce.
	maxAge   = 60 * time.Second
	maxAhead = 30 * time.Second

	// nonceSlot is how often the nonce changes. One is good in its own slot and
	// in the next, so for two to four minutes: time for a person to look for the
	// other window, and little for a thief.
	nonceSlot = 2 * time.Minute

	// nonceBytes of the MAC go into a nonce; 128 bits cannot be guessed.
	nonceBytes = 16

	// memorySlice times memorySlices is how long a proof is remembered. It is good
	// for 2 * nonceSlot at most with a nonce, and for maxAge + maxAhead without one.
	// Whole slices are forgotten, so one more is kept, and another for the time
	// between Examine and Use, which may be a slice long.
	memorySlice  = time.Minute
	memorySlices = 6

	// maxRemembered bounds the proofs of one key: eleven a second, for as long as
	// they are remembered. maxEntries bounds those of all keys together (about 100
	// bytes each, and 700 for a key): it takes 64 keys that all ask as fast as they may
	// to shut others out.
	maxRemembered = 4 << 10
	maxEntries    = 256 << 10
)

// proofType is the media type of proofs (RFC 9449, section 4.2).
const proofType = "dpop+jwt"
