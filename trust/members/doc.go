// Package members decides which sites are members of a network, as one site sees it
// (trust-protocol.md, section 4).
//
// Nobody is made a member by anybody else: each site works the roster out for itself, with
// one pure function, from its operator's word and from what members signed about each
// other. The operator's word comes first, in both directions: whom it names is a member here
// whatever others think, and whom it blocks is none. Endorsements admit a site to gossip and
// to nothing else; who may ask questions, and whose word about an issuer counts, are
// decisions of their own.
//
// Votes to expel are advice: they are shown to the operator and move nothing.
package members
