package issuers

import (
	"maps"
	"slices"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// ownWords adds what this site says of the issuers whose home it is, and tells whether it says the same as under the
// newest head. It says what it fetched itself, and nothing while that is stale: peers in mode home then hold
// on to its last word until that is stale, too.
func (d *Desk) ownWords(next *draft, wire *wireBundle) (same bool, err error) {
	old := next.own.bundle
	before, said := map[string]int{}, 0
	if old != nil {
		for i, r := range old.parsed {
			if r.word != nil {
				before[r.word.Issuer] = i
			}
		}
	}
	same = true
	for _, issuer := range slices.Sorted(slices.Values(next.homeOf)) {
		o, _, ok := observe(next, issuer)
		if !ok || o.KeySet.IsZero() || len(wire.Records) >= MaxRecords {
			continue
		}
		// Whose key set found no room among this site's blobs would be named and never had.
		if _, held := next.blobs[o.KeySet]; !held {
			next.own.leaveOut(issuer)
			continue
		}
		w := wordOf(next.policies[issuer], next.fetches[issuer].Keys, o, d.poll)
		said++
		if i, had := before[issuer]; had {
			was := *old.parsed[i].word
			if sameWord(was, w) && w.At.Sub(was.At) < renewAfter && !ahead(was.At, next.now) {
				wire.Records = append(wire.Records, old.records.Records[i])
				continue
			}
		}
		same = false
		sealed, err := jose.Seal(typWord, d.key, wordRecord{pin{d.network, d.site, d.node}.net(), w.Issuer, w.JWKSURI, w.Metadata, w.KeySet, w.Thumbprints, w.Algorithms, w.Kinds, w.At.Unix(), int64(w.Refresh / time.Second)})
		if err != nil {
			return false, err
		}
		if len(sealed) > MaxRecordBytes {
			next.own.leaveOut(issuer)
			said--
			continue
		}
		wire.Records = append(wire.Records, string(sealed))
	}
	return same && said == len(before), nil
}

// wordOf is an issuer record: what this node fetched, with what its operator trusts the issuer for.
func wordOf(p trust.IssuerPolicy, keys []trust.Key, o Observation, refresh time.Duration) IssuerWord {
	algorithms := map[string]bool{}
	for _, k := range keys {
		algorithms[jose.AlgorithmOf(k.Public)] = true
	}
	kinds := slices.Clone(p.Kinds)
	slices.Sort(kinds)
	return IssuerWord{o.Issuer, o.JWKSURI, o.Metadata, o.KeySet, o.Thumbprints, slices.Sorted(maps.Keys(algorithms)), slices.Compact(kinds), o.At, refresh.Truncate(time.Second)}
}

// sameWord leaves the time out, as sameObservation does.
func sameWord(a, b IssuerWord) bool {
	return a.JWKSURI == b.JWKSURI && a.Metadata == b.Metadata && a.KeySet == b.KeySet && slices.Equal(a.Thumbprints, b.Thumbprints) &&
		slices.Equal(a.Algorithms, b.Algorithms) && a.Refresh == b.Refresh && slices.Equal(a.Kinds, b.Kinds)
}
