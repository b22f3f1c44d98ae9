package protocol

import (
	"flag"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
)

var (
	seeds   = flag.Int("seeds", 3, "how many scenarios to run")
	first   = flag.Uint64("seed", 0, "the first scenario's seed")
	shrink  = flag.Bool("shrink", true, "look for the fewest events that still fail")
	mutants = flag.Int("mutants", 0, "take each rule away in turn, and run up to this many seeds against it")
	count   = flag.Bool("count-all", false, "with -mutants: do not stop at the first seed that catches one")
)

// TestEvidence plays scenarios of evidence about issuers: invariants 1 to 9, 11 to 18 and 22
// of trust-protocol.md, section 13.
func TestEvidence(t *testing.T) {
	for i := range uint64(*seeds) {
		seed := *first + i
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			events := scenario(seed)
			wrong := bubble(t, seed, events)
			if len(wrong) == 0 {
				return
			}
			if *shrink {
				events = shrunk(t, seed, events)
			}
			t.Errorf("seed %d: %q\nevents that are enough:\n%s", seed, wrong, story(events))
		})
	}
}

func bubble(t *testing.T, seed uint64, events []event) (wrong []string) {
	synctest.Test(t, func(*testing.T) { wrong = run(seed, events) })
	return wrong
}

// shrunk leaves events out, halves first, as long as something still goes wrong.
func shrunk(t *testing.T, seed uint64, events []event) []event {
	tries := 0
	for size := len(events) / 2; size > 0; size /= 2 {
		for at := 0; at+size <= len(events) && tries < 40; {
			tries++
			fewer := slices.Delete(slices.Clone(events), at, at+size)
			if len(bubble(t, seed, fewer)) > 0 {
				events = fewer
			} else {
				at += size
			}
		}
	}
	return events
}
