// Package issuers is the desk that decides which keys of which issuers this
// node believes (trust-protocol.md, sections 5 to 10).
//
// It gathers evidence: what this node fetched from an issuer itself, and what
// other sites sign that they fetched. Each site signs a small head over its own
// records; heads ride gossip, and everything larger is pulled from a peer. Gossip
// carries evidence, never trust: one pure function, Believe, turns the operator's
// policy, the evidence and the time into believed keys, and nothing that arrives
// can widen the policy.
//
// Who owns what: the state is immutable and replaced whole; one writer at a time
// makes the next one, has the store commit it together with its audit records, and
// only then shows it and passes it on. Readers take the newest state and wait for
// nobody. The desk opens no sockets and no files: peers, issuers and the disk are
// behind Mesh, Fetcher and Store.
//
// What must not be assumed: that a head's author, its relay or its records are
// honest, or that messages arrive once, in order, or at all. Merging is a join, so
// none of that changes where it ends.
package issuers
