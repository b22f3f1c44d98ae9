package issuers

import (
	"crypto/ed25519"
	"time"

	"github.com/candignode/candignode/trust"
)

// bundle is one head with exactly the records it stands for, all verified. It
// is taken whole or not at all, so records of two versions never mix.
type bundle struct {
	head         signedHead
	site         siteRecord
	records      wireBundle // the verbatim bytes, as they are stored and relayed
	parsed       []record   // of records.Records, in their order
	observations []Observation
	words        []IssuerWord
	tombs        []Tombstone
}

// wireBundle is a bundle as it travels and as it is stored.
type wireBundle struct {
	// Of is the author by its node: what each site calls it is its own affair.
	Of      trust.NodeID `json:"of"`
	Site    string       `json:"site"`
	Head    string       `json:"head"`
	Records []string     `json:"records"`
}

// size is at least what the bundle takes as JSON: envelopes need no escapes, and 128
// covers the names of its members.
func (w wireBundle) size() int {
	n := len(w.Site) + len(w.Head) + 128
	for _, r := range w.Records {
		n += len(r) + 3
	}
	return n
}

// verify checks everything about a bundle that does not depend on what is held or
// on the time: signatures, quotas, and that the records make exactly the head's
// root. held holds observations that were verified before, by the digest of
// their bytes.
func (w wireBundle) verify(p pin, held map[trust.Digest]record) (*bundle, ed25519.PublicKey, error) {
	if w.Of != p.node {
		return nil, nil, refuse("the bundle is node %.60q's, not %s's", w.Of, p.site)
	}
	if len(w.Records) > MaxRecords {
		return nil, nil, refuse("%s has %d records; at most %d are taken", p.site, len(w.Records), MaxRecords)
	}
	site, key, err := openSite([]byte(w.Site), p)
	if err != nil {
		return nil, nil, err
	}
	head, err := openHead([]byte(w.Head), p, key)
	if err != nil {
		return nil, nil, err
	}
	hashes := []trust.Digest{trust.DigestOf([]byte(w.Site))}
	for _, r := range w.Records {
		if len(r) > MaxRecordBytes {
			return nil, nil, refuse("a record of %s has %d bytes; at most %d are taken", p.site, len(r), MaxRecordBytes)
		}
		hashes = append(hashes, trust.DigestOf([]byte(r)))
	}
	// All or nothing: a relay that keeps one record back, or puts in one of another
	// version, has another root.
	if head.Count != len(hashes) || head.Root != rootOf(hashes) {
		return nil, nil, refuse("the records of %s are not those that its head stands for", p.site)
	}
	// The root covers the site record, but an author could still sign a head of one epoch
	// over a record of another, and the two orders would disagree.
	if head.Epoch != site.Epoch || head.Update != site.Update {
		return nil, nil, refuse("head and site record of %s are of different epochs", p.site)
	}
	b := &bundle{head: seal(head, []byte(w.Head)), site: site, records: w}
	// One observation for each issuer: with two, which one counts would depend on the
	// order, and order is not signed.
	seen, said := map[string]bool{}, map[string]bool{}
	for i, r := range w.Records {
		parsed, ok := held[hashes[i+1]]
		if !ok {
			if parsed, err = openRecord([]byte(r), p, key); err != nil {
				return nil, nil, err
			}
		}
		b.parsed = append(b.parsed, parsed)
		if parsed.tomb != nil {
			b.tombs = append(b.tombs, *parsed.tomb)
			continue
		}
		if w := parsed.word; w != nil {
			if said[w.Issuer] {
				return nil, nil, refuse("%s has two records of issuer %.200q", p.site, w.Issuer)
			}
			if w.At.After(head.issued().Add(skew)) {
				return nil, nil, refuse("%s claims to know an issuer after its own head", p.site)
			}
			said[w.Issuer] = true
			b.words = append(b.words, *w)
			continue
		}
		if parsed.obs == nil {
			continue // of a kind that this version does not know
		}
		o := *parsed.obs
		if seen[o.Issuer] {
			return nil, nil, refuse("%s has two observations of issuer %.200q", p.site, o.Issuer)
		}
		// Freshness counts from both times; a later observation would outlive its head.
		if o.At.After(head.issued().Add(skew)) {
			return nil, nil, refuse("%s claims an observation after its own head", p.site)
		}
		seen[o.Issuer] = true
		b.observations = append(b.observations, o)
	}
	return b, key, nil
}

// timely checks the bundle's times against the clock.
func (b *bundle) timely(now time.Time) error {
	if err := b.head.timely(now, b.site.Site); err != nil {
		return err
	}
	if time.Unix(b.site.Issued, 0).After(now.Add(skew)) || !now.Before(time.Unix(b.site.Expires, 0)) {
		return refuse("the site record of %s is not valid now", b.site.Site)
	}
	return nil
}

// held gives the records of the newest bundle by the digest of their bytes.
func (a *author) held() map[trust.Digest]record {
	if a == nil || a.bundle == nil {
		return nil
	}
	held := make(map[trust.Digest]record, len(a.bundle.parsed))
	for i, r := range a.bundle.records.Records {
		held[trust.DigestOf([]byte(r))] = a.bundle.parsed[i]
	}
	return held
}
