// Package roots holds who a site is: its offline root keys, and the chain of site
// records that they sign (trust-protocol.md, section 2).
//
// A site is named by the digest of its first record, so the name certifies itself. Each
// record after the first is an update, signed by the root keys of today, or a rotation,
// signed by the keys that the record before it had committed to by their digests
// (pre-rotation): a thief of today's keys can say what he likes until the owner rotates,
// and cannot keep the owner from it.
//
// A record is its payload; signatures are what makes it believed. Where several root keys
// must sign, each signs the very same bytes, and its digest, by which records name each
// other, does not depend on who signed.
//
// A record names no network: it says who a site is, anywhere. What a site says in a network
// names it.
//
// The package is pure. What it does not look at is the clock: whether a record is valid now
// is asked with ValidAt by whoever relies on it. What must not be assumed: that two chains of
// one site agree. Two records for one place are a fork, and a forked site weighs nothing
// until it rotates.
package roots
