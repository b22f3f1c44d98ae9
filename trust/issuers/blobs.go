package issuers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// Blobs are key sets that records name by their digest (trust-protocol.md, section 6). A record has the thumbprints,
// which are enough to compare what sites saw; the keys themselves travel only to those who cannot fetch them, or will not.
// A blob is written by the one rule of keySetOf, so that sites that saw the same keys name the same blob,
// however the issuer's servers write their JSON.

// errBlob is why a blob was not taken.
var errBlob = errors.New("a key set that was not asked for, or is too much")

// keySetOf writes an issuer's usable keys as sites exchange them. The keys come sorted from KeysOf.
func keySetOf(keys []trust.Key) ([]byte, error) {
	body, err := jose.MarshalKeySet(keys)
	if err != nil {
		return nil, err
	}
	if len(body) > maxBlobBytes {
		return nil, fmt.Errorf("the key set takes %d bytes; at most %d are taken", len(body), maxBlobBytes)
	}
	return body, nil
}

// bodyKey names a blob as one policy reads it: a waiver lets keys in that others leave out.
type bodyKey struct {
	blob  trust.Digest
	waive bool
}

// fromElsewhere tells whether a policy believes keys that this node did not fetch.
func fromElsewhere(p trust.IssuerPolicy) bool {
	return p.Mode == trust.ModeQuorum || p.Mode == trust.ModeHome
}

// naming gives the blobs that a peer's accepted records name for an issuer, if the policy would read them there: a
// witness' in mode quorum, the home's in mode home. Nobody else can make this node keep or pull anything.
func (s *state) naming(site trust.SiteName, p trust.IssuerPolicy) []trust.Digest {
	a := s.author(site)
	if a == nil || a.bundle == nil {
		return nil
	}
	var blobs []trust.Digest
	if p.Mode == trust.ModeQuorum && slices.Contains(p.Witnesses, site) {
		for _, o := range a.bundle.observations {
			if o.Issuer == p.Issuer && !o.KeySet.IsZero() {
				blobs = append(blobs, o.KeySet)
			}
		}
	}
	if p.Mode == trust.ModeHome && p.Home == site {
		for _, w := range a.bundle.words {
			if w.Issuer == p.Issuer {
				blobs = append(blobs, w.KeySet)
			}
		}
	}
	return blobs
}

// needs gives the blobs that this site's policies read, each with the peers that name it.
func (s *state) needs() map[trust.Digest][]trust.SiteName {
	needs := map[trust.Digest][]trust.SiteName{}
	for _, p := range s.policies {
		if !fromElsewhere(p) {
			continue
		}
		for site := range s.peers {
			for _, blob := range s.naming(site, p) {
				if !slices.Contains(needs[blob], site) {
					needs[blob] = append(needs[blob], site)
				}
			}
		}
	}
	return needs
}

// lacking gives the blobs that are needed and not held, at most maxBlobsAsked of them.
func (s *state) lacking() []trust.Digest {
	var lacking []trust.Digest
	for blob := range s.needs() {
		if _, ok := s.blobs[blob]; !ok {
			lacking = append(lacking, blob)
		}
	}
	slices.SortFunc(lacking, func(a, b trust.Digest) int { return strings.Compare(a.String(), b.String()) })
	return lacking[:min(len(lacking), maxBlobsAsked)]
}

// weight is how many bytes of blobs are held for a peer's sake.
func (s *state) weight(site trust.SiteName, needs map[trust.Digest][]trust.SiteName) int {
	n := 0
	for blob, sites := range needs {
		if slices.Contains(sites, site) {
			n += len(s.blobs[blob])
		}
	}
	return n
}

// keepBlobs drops the blobs that nothing names any more, and reads those that policies need.
func (d *draft) keepBlobs() {
	needs := d.needs()
	own := map[trust.Digest]bool{}
	if b := d.own.bundle; b != nil {
		for _, o := range b.observations {
			own[o.KeySet] = true
		}
		for _, w := range b.words {
			own[w.KeySet] = true
		}
	}
	for blob := range d.blobs {
		if _, ok := needs[blob]; !ok && !own[blob] {
			delete(d.blobs, blob)
			d.save[keyBlob+blob.String()] = nil
		}
	}
	bodies := map[bodyKey][]trust.Key{}
	for _, p := range d.policies {
		if !fromElsewhere(p) {
			continue
		}
		for site := range d.peers {
			for _, blob := range d.naming(site, p) {
				key := bodyKey{blob, p.WaiveKeyUse}
				body, held := d.blobs[blob]
				if _, done := bodies[key]; done || !held {
					continue
				}
				keys, read := d.bodies[key]
				if !read {
					// What does not parse holds no key; the record that names it is its author's to answer for.
					keys, _, _ = KeysOf(p, []Document{{Address: "a key set by " + string(site), Body: body}})
				}
				bodies[key] = keys
			}
		}
	}
	d.bodies = bodies
}

// remember keeps the keys that are believed by others' word, as they are called, for the time in which a new record is
// here and the key set that it names is not: else each rotation would take every key away for a moment. A restart
// in that moment forgets them.
func (d *draft) remember() {
	former := map[string][]trust.Key{}
	for issuer, p := range d.policies {
		if !fromElsewhere(p) {
			continue
		}
		for _, k := range d.beliefs[issuer].Keys {
			if k.Believed {
				former[issuer] = append(former[issuer], k.Key)
			}
		}
	}
	d.former = former
}

// keep holds a blob from now on.
func (d *draft) keep(blob trust.Digest, body []byte) {
	if _, ok := d.blobs[blob]; !ok {
		d.blobs[blob] = body
		d.save[keyBlob+blob.String()] = body
	}
}

// askForBlobs asks one connected peer for the key sets that are needed and not held. Whoever has one may give it: it is
// known by its digest.
func (d *Desk) askForBlobs(ctx context.Context, node trust.NodeID) error {
	for range maxSyncRounds {
		lacking := d.state.Load().lacking()
		if len(lacking) == 0 {
			return nil
		}
		ctx, cancel := context.WithTimeout(ctx, callTime)
		reply, err := d.mesh.Call(ctx, node, encode(syncRequest{Blobs: lacking}))
		cancel()
		if err != nil {
			return fmt.Errorf("key sets from %s: %w", node.Short(), err)
		}
		answer, err := decodeAnswer(reply)
		if err != nil {
			return err
		}
		taken := 0
		for _, body := range answer.Blobs {
			switch err := d.takeBlob(ctx, body); {
			case err == nil:
				taken++
			case errors.Is(err, errBlob):
				d.refused(d.state.Load().sites[node], err)
			default:
				return err
			}
		}
		if taken == 0 {
			return nil
		}
	}
	return nil
}

// takeBlob keeps one blob that is needed, within what may be held for each peer that names it.
func (d *Desk) takeBlob(ctx context.Context, body []byte) error {
	if len(body) == 0 || len(body) > maxBlobBytes {
		return fmt.Errorf("%w: it has %d bytes; 1 to %d are taken", errBlob, len(body), maxBlobBytes)
	}
	blob := trust.DigestOf(body)
	return d.commit(context.WithoutCancel(ctx), func(next *draft) error {
		needs := next.needs()
		if _, held := next.blobs[blob]; held || len(needs[blob]) == 0 {
			return fmt.Errorf("%w: nothing that is needed names %s", errBlob, blob.Short())
		}
		// One of the peers that name it must have room: who names too much keeps out nobody else's.
		if !slices.ContainsFunc(needs[blob], func(site trust.SiteName) bool { return next.weight(site, needs)+len(body) <= maxAuthorBlobs }) {
			return fmt.Errorf("%w: the key sets of %s would take more than %d bytes", errBlob, needs[blob][0], maxAuthorBlobs)
		}
		next.keep(blob, body)
		return nil
	})
}

// giveBlobs answers for blobs. Any peer may have any: they are what issuers publish.
func (s *state) giveBlobs(asked []trust.Digest) syncAnswer {
	var a syncAnswer
	room := MaxSyncBytes - 1024
	for _, blob := range asked[:min(len(asked), maxBlobsAsked)] {
		body, ok := s.blobs[blob]
		// As base64, with quotes and a comma.
		if n := (len(body)+2)/3*4 + 3; ok && n <= room {
			room -= n
			a.Blobs = append(a.Blobs, body)
		}
	}
	return a
}
