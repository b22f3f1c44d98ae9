package issuers

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/candignode/candignode/trust"
)

// Two nodes compare what they hold of all authors (trust-protocol.md, section 10). The vector of places grows with the
// network, 100 bytes an author, and between two comparisons most often nothing has changed; so a large one is compared by the
// digests of its buckets first, and only the buckets that differ are sent.

// place says how much of one author is held.
type place struct {
	Epoch   int64  `json:"e"`
	Update  int64  `json:"u"`
	Version int64  `json:"ver"`
	Hash    string `json:"h,omitempty"` // the head's digest, or its beginning
	Forked  bool   `json:"forked,omitempty"`
}

// lacks tells whether whoever is at p would learn something from who is at o.
func (p place) lacks(o place) bool {
	switch {
	case o.Epoch != p.Epoch:
		return o.Epoch > p.Epoch
	// A fork is the most that can be known of an epoch: who knows of it lacks nothing.
	case o.Forked || p.Forked:
		return !p.Forked
	case o.Update != p.Update:
		return o.Update > p.Update
	case o.Version != p.Version:
		return o.Version > p.Version
	}
	// One version and two hashes: whoever gets the other one holds a proof.
	return !sameHash(o.Hash, p.Hash)
}

// sameHash compares two digests of which one may be shortened.
func sameHash(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	return a == b || len(a) >= shortHash && strings.HasPrefix(b, a)
}

// short is the place as it stands in a whole vector.
func (p place) short() place {
	p.Hash = p.Hash[:min(len(p.Hash), shortHash)]
	return p
}

// have gives the places of all authors that this node listens to, itself
// included.
func (s *state) have() vector {
	have := vector{s.self.node: s.own.place()}
	for site, node := range s.peers {
		have[node] = s.author(site).place()
	}
	return have
}

func (o ownHistory) place() place {
	if o.bundle == nil {
		return place{}
	}
	return (&author{bundle: o.bundle}).place()
}

// vector is how much is held of each author.
type vector map[trust.NodeID]place

// whole is the vector as it is sent where buckets are not compared: with shortened digests.
func (v vector) whole() vector {
	short := make(vector, len(v))
	for node, p := range v {
		short[node] = p.short()
	}
	return short
}

// bucketOf gives the bucket of an author. It follows from the key, so both sides sort alike whatever they call the site.
func bucketOf(node trust.NodeID) int {
	sum := sha256.Sum256([]byte(node))
	return int(sum[0]) % buckets
}

// digests gives one digest for each bucket, "" for an empty one. They cover the whole digests of the heads: an author that
// finds two heads with one beginning is found out all the same.
func (v vector) digests() []string {
	lines := make([][]string, buckets)
	for node, p := range v {
		b := bucketOf(node)
		lines[b] = append(lines[b], fmt.Sprintf("%s %d %d %d %s %t\n", node, p.Epoch, p.Update, p.Version, p.Hash, p.Forked))
	}
	digests := make([]string, buckets)
	for b, l := range lines {
		if len(l) > 0 {
			slices.Sort(l)
			sum := sha256.Sum256([]byte(strings.Join(l, "")))
			digests[b] = base64.RawURLEncoding.EncodeToString(sum[:bucketDigestBytes])
		}
	}
	return digests
}

// in gives the part of the vector that lies in some of the buckets.
func (v vector) in(some []int) vector {
	part := maps.Clone(v)
	maps.DeleteFunc(part, func(node trust.NodeID, _ place) bool { return !slices.Contains(some, bucketOf(node)) })
	return part
}

// differing answers a comparison by buckets. What has another number of them is of another version, which is told
// nothing and then sends its whole vector.
func (v vector) differing(theirs []string) syncAnswer {
	if len(theirs) != buckets {
		return syncAnswer{}
	}
	a := syncAnswer{Compared: true}
	for b, digest := range v.digests() {
		if theirs[b] != digest {
			a.Differ = append(a.Differ, b)
		}
	}
	return a
}

// toSend gives the request that asks a peer for what this node lacks, and false if nothing differs. The whole vector goes to a
// peer that is new, to one that compares no buckets, and where it is no larger than their digests.
func (d *Desk) toSend(ctx context.Context, node trust.NodeID, s *state) (syncRequest, bool, error) {
	have := s.have()
	// Of a peer that is new since the start, or since the epoch was raised, this site's own word is
	// asked for whatever it is: it may hold what this site has forgotten, though under an older epoch.
	if asked, ok := d.asked.Load(node); !ok || asked != s.own.place().Epoch {
		delete(have, d.node)
		return syncRequest{Have: have.whole()}, true, nil
	}
	if len(have) <= wholeVector {
		return syncRequest{Have: have.whole()}, true, nil
	}
	answer, err := d.call(ctx, node, syncRequest{Buckets: have.digests()})
	switch {
	case err != nil:
		return syncRequest{}, false, err
	case !answer.Compared:
		return syncRequest{Have: have.whole()}, true, nil
	}
	// Numbers that are no bucket's select nothing.
	return syncRequest{Have: have.in(answer.Differ), Only: true}, len(answer.Differ) > 0, nil
}
