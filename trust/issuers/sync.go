package issuers

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// Mesh is how the desk reaches other nodes. Call is one request and one answer of
// kind "sync" with a connected peer; it fails at once for any other.
type Mesh interface {
	Broadcast(message []byte)
	Connected() []trust.NodeID
	Call(ctx context.Context, to trust.NodeID, request []byte) ([]byte, error)
}

// syncRequest is what one node asks another.
type syncRequest struct {
	Have vector `json:"have,omitempty"`
	// Only tells that Have is a part: of authors that it does not name nothing is asked.
	Only bool `json:"only,omitempty"`
	// Buckets are the digests of all that the asker has; which of them differ is asked first.
	Buckets []string `json:"buckets,omitempty"`
	Refresh string   `json:"refresh,omitempty"` // please fetch this issuer now
	Heads   []string `json:"heads,omitempty"`   // news, as gossip would bring it
	// Bundles are what the asker must know was taken: its own newest head with its records.
	Bundles []wireBundle `json:"bundles,omitempty"`
	// Blobs are key sets that the asker lacks.
	Blobs []trust.Digest `json:"blobs,omitempty"`
}

// syncAnswer brings what the asker lacks. Every part is signed by its author, so it
// does not matter who brings it.
type syncAnswer struct {
	Bundles []wireBundle `json:"bundles,omitempty"`
	Forks   []wireFork   `json:"forks,omitempty"`
	More    bool         `json:"more,omitempty"` // ask again: this was full
	// Compared answers Buckets, and Differ are those that differ. A peer of a version that compares none is silent.
	Compared bool  `json:"compared,omitempty"`
	Differ   []int `json:"differ,omitempty"`
	// Took acknowledges the head of the bundle that the asker brought: it is held, or a newer one.
	Took trust.Digest `json:"took,omitzero"`
	// Blobs are of those that were asked for. Nobody signs them: the asker knows their digests.
	Blobs [][]byte `json:"blobs,omitempty"`
}

// wireFork is a forkProof as it travels.
type wireFork struct {
	Of    trust.NodeID `json:"of"`
	Key   string       `json:"key"`
	Heads []string     `json:"heads"`
	// Tombs are the tombstones that the author's next word must have.
	Tombs []string `json:"tombs,omitempty"`
}

// decodeRequest and decodeAnswer bound what a peer sends before they read it. Being pinned
// is no reason to be trusted with memory.
func decodeRequest(b []byte) (syncRequest, error) {
	var r syncRequest
	if len(b) > MaxSyncBytes {
		return r, refuse("a sync request has %d bytes; at most %d are taken", len(b), MaxSyncBytes)
	}
	if err := jose.Unmarshal(b, &r); err != nil {
		return r, refuse("sync request: %w", err)
	}
	return r, nil
}

func decodeAnswer(b []byte) (syncAnswer, error) {
	var a syncAnswer
	if len(b) > MaxSyncBytes {
		return a, refuse("a sync answer has %d bytes; at most %d are taken", len(b), MaxSyncBytes)
	}
	if err := jose.Unmarshal(b, &a); err != nil {
		return a, refuse("sync answer: %w", err)
	}
	return a, nil
}

// answer gives what the asker, who has only r.Have, lacks: at most MaxSyncBytes in all.
// This site's own records come first, for nobody else need have them; then what is held
// of the asker itself, who may have forgotten it; the rest in no order, so that
// records that the asker refuses, and so is sent again and again, cannot keep all
// others out for ever.
func (s *state) answer(asker trust.SiteName, r syncRequest, now time.Time) syncAnswer {
	var a syncAnswer
	room := MaxSyncBytes - 1024
	wants := func(node trust.NodeID, held place) bool {
		theirs, named := r.Have[node]
		return (named || !r.Only) && theirs.lacks(held)
	}
	add := func(node trust.NodeID, held place, b *bundle) {
		if b == nil || !wants(node, held) {
			return
		}
		if n := b.records.size(); n <= room {
			room -= n
			a.Bundles = append(a.Bundles, b.records)
		} else {
			a.More = true
		}
	}
	add(s.self.node, s.own.place(), s.own.bundle)
	others := slices.DeleteFunc(slices.Collect(maps.Keys(s.peers)), func(site trust.SiteName) bool { return site == asker })
	rand.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	for _, site := range append([]trust.SiteName{asker}, others...) {
		held := s.author(site)
		switch {
		case held == nil:
		case !held.forked() && site != asker && held.bundle.timely(now) != nil:
			// Too old for anybody to take. The asker alone takes its own at any age: it
			// tells it which heads it once signed.
		case !held.forked():
			add(held.node, held.place(), held.bundle)
		case wants(held.node, held.place()):
			f := held.fork.wire(held)
			if n := f.size(); n <= room {
				room -= n
				a.Forks = append(a.Forks, f)
			} else {
				a.More = true
			}
		}
	}
	return a
}

func (f *forkProof) wire(a *author) wireFork {
	return wireFork{a.node, encodeKey(a.key), []string{string(f.a.envelope), string(f.b.envelope)}, envelopesOf(a.relics)}
}

// size is at least what the proof takes as JSON.
func (f wireFork) size() int {
	n := 2*MaxHeadBytes + 256
	for _, t := range f.Tombs {
		n += len(t) + 3
	}
	return n
}

// ServeSync answers one sync request of a connected peer; nil is a refusal. It
// works on the newest state and waits for nobody, save that a request to
// refresh an issuer waits for that fetch, at most about refreshWait.
func (d *Desk) ServeSync(from trust.NodeID, request []byte) []byte {
	s := d.state.Load()
	site, ok := s.sites[from]
	if !ok {
		return nil
	}
	r, err := decodeRequest(request)
	if err != nil {
		d.refused(site, err)
		return nil
	}
	for _, head := range r.Heads {
		select {
		case d.offered <- []byte(head):
		default: // gossip and the next comparison bring it as well
		}
	}
	if r.Refresh != "" {
		d.refreshFor(site, r.Refresh)
		s = d.state.Load()
	}
	if len(r.Bundles) > 0 {
		return encode(syncAnswer{Took: d.acknowledge(site, r.Bundles[0])})
	}
	if len(r.Blobs) > 0 {
		return encode(s.giveBlobs(r.Blobs))
	}
	if len(r.Buckets) > 0 {
		return encode(s.have().differing(r.Buckets))
	}
	// Only news was brought, or a hint: who does not say what it has asks for nothing.
	if r.Have == nil {
		return []byte("{}")
	}
	// The peer may know more: its word for it is not signed, so it is worth one slow
	// look and no more.
	for author, p := range s.have() {
		if theirs, ok := r.Have[author]; ok && p.lacks(theirs) {
			d.errands.addSlowly(errand{node: from}, d.now())
			break
		}
	}
	answer, err := json.Marshal(s.answer(site, r, d.now()))
	if err != nil {
		return nil // strings and integers always encode
	}
	return answer
}

// acknowledge takes a peer's own bundle and gives its head's hash if it is held now. Only the author itself is
// answered so: it wants to know who has its word.
func (d *Desk) acknowledge(site trust.SiteName, w wireBundle) trust.Digest {
	if w.Of != d.state.Load().peers[site] {
		return trust.Digest{}
	}
	if _, err := d.accept(d.life, w); err != nil {
		d.refused(site, err)
		return trust.Digest{}
	}
	a := d.state.Load().author(site)
	hash := trust.DigestOf([]byte(w.Head))
	if a == nil || !slices.ContainsFunc(a.history, func(h signedHead) bool { return h.hash == hash }) {
		return trust.Digest{}
	}
	return hash
}

// syncWith asks one connected peer for all that this node lacks.
func (d *Desk) syncWith(ctx context.Context, node trust.NodeID) error {
	// Each round says what is held by now, so that nothing is sent twice.
	for range maxSyncRounds {
		s := d.state.Load()
		r, differs, err := d.toSend(ctx, node, s)
		more := false
		if err == nil && differs {
			more, err = d.exchange(ctx, node, r)
		}
		if err != nil {
			d.stats.syncsFailed.Add(1)
			return err
		}
		d.asked.Store(node, s.own.place().Epoch)
		if !more {
			break
		}
	}
	d.stats.syncs.Add(1)
	d.synced.Do(func() { close(d.firstSync) })
	return d.askForBlobs(ctx, node)
}

// call makes one call within callTime.
func (d *Desk) call(ctx context.Context, node trust.NodeID, r syncRequest) (syncAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	reply, err := d.mesh.Call(ctx, node, encode(r))
	if err != nil {
		return syncAnswer{}, fmt.Errorf("sync with %s: %w", node.Short(), err)
	}
	if len(reply) == 0 {
		return syncAnswer{}, refuse("sync with %s: the peer refused it", node.Short())
	}
	return decodeAnswer(reply)
}

// exchange makes one call and takes in what it brings. more tells that asking
// again is worth it: the answer was full and brought something new.
func (d *Desk) exchange(ctx context.Context, node trust.NodeID, r syncRequest) (more bool, err error) {
	answer, err := d.call(ctx, node, r)
	if err != nil {
		return false, err
	}
	// What counts is what was new, not what the peer says: "more" alone must not keep this
	// node asking.
	learned := false
	// One bad part does not keep the others out: they have other authors.
	var bad []error
	for _, w := range answer.Bundles {
		changed, err := d.accept(ctx, w)
		learned = learned || changed
		bad = append(bad, err)
	}
	for _, w := range answer.Forks {
		changed, err := d.acceptFork(ctx, w)
		learned = learned || changed
		bad = append(bad, err)
	}
	if err := errors.Join(bad...); err != nil {
		d.refused(d.state.Load().sites[node], err)
	}
	return answer.More && learned, nil
}

// openHeads verifies heads of one author that were stored.
func openHeads(envelopes []string, p pin, key ed25519.PublicKey) ([]signedHead, error) {
	var heads []signedHead
	for _, e := range envelopes {
		h, err := openHead([]byte(e), p, key)
		if err != nil {
			return nil, err
		}
		heads = append(heads, seal(h, []byte(e)))
	}
	return heads, nil
}

// openFork verifies a proof: two heads by one author that conflict.
func openFork(envelopes []string, p pin, key ed25519.PublicKey) (*forkProof, error) {
	if len(envelopes) != 2 {
		return nil, refuse("a proof that %s forked holds %d heads, not 2", p.site, len(envelopes))
	}
	heads, err := openHeads(envelopes, p, key)
	if err != nil {
		return nil, err
	}
	if !conflict(heads[0], heads[1]) {
		return nil, refuse("the two heads do not prove that %s forked", p.site)
	}
	return &forkProof{heads[0], heads[1]}, nil
}
