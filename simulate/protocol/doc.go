// Package protocol runs the trust protocol's own code in fake time against a network that
// loses, delays, repeats and cuts, stores that crash at any write, and sites with real keys
// that lie (trust-protocol.md, sections 12 and 13). It has tests only. A seed makes a whole
// scenario; docs/simulation.md says how to read, run, replay and extend it, and which rule,
// taken away, was caught by how many seeds.
package protocol
