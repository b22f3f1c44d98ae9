// Package trust holds the nouns of who is who: sites and their nodes, issuers
// and what a site trusts them for, keys, visas and callers.
//
// Everything above speaks in these words, so this package imports the standard
// library only and does no I/O. The decisions that turn evidence into believed
// keys (trust/issuers), tokens into callers (trust/passport) and callers into
// answers (trust/policy) live above and hand each other these values.
package trust
