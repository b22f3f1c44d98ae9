package issuers

import (
	"crypto/ed25519"
	"slices"
	"strings"
)

// relic is a tombstone with the bytes that were signed. An author that forked weighs nothing, its tombstones
// neither; but they are kept as relics until it is heard again, because its next word must have them all (section
// 6: unexpired tombstones may not vanish). Else a thief of a home's node key, or its owner's old backup, would lift a
// tombstone by forking. They are given back to the author, who may have forgotten them.
type relic struct {
	Tombstone
	envelope string
}

// relics gives the tombstones of a bundle.
func (b *bundle) relics() []relic {
	if b == nil {
		return nil
	}
	var relics []relic
	for i, r := range b.parsed {
		if r.tomb != nil {
			relics = append(relics, relic{*r.tomb, b.records.Records[i]})
		}
	}
	return relics
}

// keeps gives all tombstones that the author's next head must have, unless they have ended.
func (a *author) keeps() []relic {
	if a == nil {
		return nil
	}
	return unite(a.relics, a.bundle.relics())
}

// unite is the union of two sets of relics, sorted and bounded as one author's tombstones are: a join, whatever
// came first.
func unite(a, b []relic) []relic {
	if len(a) == 0 && len(b) == 0 {
		return nil
	}
	both := append(slices.Clone(a), b...)
	slices.SortFunc(both, func(x, y relic) int { return strings.Compare(x.envelope, y.envelope) })
	both = slices.CompactFunc(both, func(x, y relic) bool { return x.envelope == y.envelope })
	return both[:min(len(both), MaxRecords)]
}

// openRelics verifies tombstones that were kept or brought beside a fork proof.
func openRelics(envelopes []string, p pin, key ed25519.PublicKey) ([]relic, error) {
	if len(envelopes) > MaxRecords {
		return nil, refuse("%d tombstones of %s beside a proof that it forked; at most %d are taken", len(envelopes), p.site, MaxRecords)
	}
	var relics []relic
	for _, e := range envelopes {
		t, err := openTomb([]byte(e), p, only(p.node, key))
		if err != nil {
			return nil, err
		}
		relics = append(relics, relic{t, e})
	}
	return relics, nil
}

func envelopesOf(relics []relic) []string {
	envelopes := make([]string, len(relics))
	for i, r := range relics {
		envelopes[i] = r.envelope
	}
	return envelopes
}
