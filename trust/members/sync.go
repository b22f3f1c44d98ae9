package members

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/roots"
)

// request is what one node asks another, or tells it.
type request struct {
	// Sum stands for all that is held: who has the same says so, and that is all.
	Sum trust.Digest `json:"sum,omitzero"`
	// Have says what is held of each site. Nil asks for the sums to be compared only.
	Have map[trust.SiteID]place `json:"have,omitempty"`
	News news                   `json:"news,omitzero"` // what the other may lack
}

// place says how much of a site is held.
type place struct {
	Chain trust.Digest `json:"c,omitzero"` // the newest record
	Fork  bool         `json:"f,omitempty"`
	Words trust.Digest `json:"w,omitzero"` // all its words together
}

// news are chains and words. Each is signed by its author, so it does not matter who
// brings it.
type news struct {
	Chains [][]roots.Signed `json:"chains,omitempty"`
	Words  []string         `json:"words,omitempty"`
}

type answer struct {
	Same bool `json:"same,omitempty"`
	News news `json:"news,omitzero"`
	More bool `json:"more,omitempty"` // ask again: this was full
	// Members are those that the inviter admits: a newcomer takes the network as it is.
	Members []trust.SiteID `json:"members,omitempty"`
}

// placeOf says what is held of a site.
func (s *state) placeOf(id trust.SiteID) place {
	var p place
	if c := s.chainOf(id); c != nil {
		p.Chain = c.Digest()
	}
	known := s.sites[id]
	if known == nil {
		return p
	}
	p.Fork = known.standing.Forked()
	var sum []byte
	for _, about := range slices.Sorted(maps.Keys(known.words)) {
		h := known.words[about].hash
		sum = append(sum, h[:]...)
	}
	if len(sum) > 0 {
		p.Words = trust.DigestOf(sum)
	}
	return p
}

func (s *state) have() map[trust.SiteID]place {
	have := map[trust.SiteID]place{s.own.ID(): s.placeOf(s.own.ID())}
	for id := range s.sites {
		have[id] = s.placeOf(id)
	}
	return have
}

// sum stands for all that is held.
func sum(have map[trust.SiteID]place) trust.Digest {
	b := []byte("candignode sites\x00")
	for _, id := range slices.Sorted(maps.Keys(have)) {
		p := have[id]
		b = append(append(b, id...), p.Chain[:]...)
		if p.Fork {
			b = append(b, 1)
		}
		b = append(append(b, 0), p.Words[:]...)
	}
	return trust.DigestOf(b)
}

// lacks gives what somebody who has only have lacks, at most MaxSyncBytes of it: this site's own
// first, for nobody else need have it.
func (s *state) lacks(have map[trust.SiteID]place) (n news, more bool) {
	room := MaxSyncBytes - 1024
	self := s.own.ID()
	ids := slices.SortedFunc(maps.Keys(s.have()), func(a, b trust.SiteID) int {
		switch {
		case a == b:
			return 0
		case a == self:
			return -1
		case b == self:
			return 1
		}
		return cmp.Compare(a, b)
	})
	for _, id := range ids {
		mine, theirs := s.placeOf(id), have[id]
		var chains [][]roots.Signed
		if c := s.chainOf(id); c != nil && (mine.Chain != theirs.Chain || mine.Fork && !theirs.Fork) {
			chains = append(chains, c.Records())
			if known := s.sites[id]; mine.Fork && known != nil {
				_, other := known.standing.Proof()
				chains = append(chains, other.Records())
			}
		}
		var words []string
		if known := s.sites[id]; known != nil && mine.Words != theirs.Words {
			for _, w := range known.words {
				words = append(words, w.envelope)
			}
		}
		size := 0
		for _, c := range chains {
			for _, r := range c {
				size += len(r) + 3
			}
		}
		for _, w := range words {
			size += len(w) + 3
		}
		if size > room {
			more = true
			continue
		}
		room -= size
		n.Chains, n.Words = append(n.Chains, chains...), append(n.Words, words...)
	}
	return n, more
}

// take takes in news, whoever brings them, and tells whether anything was new. One bad part
// does not keep the others out: they have other authors.
func (d *Desk) take(ctx context.Context, n news) (changed bool, err error) {
	s := d.state.Load()
	// Opened outside of the turn: signatures cost time, and a flood must not make others wait.
	var chains []*roots.Chain
	var bad []error
	for _, records := range n.Chains {
		if len(records) > 0 && s.holds(records) {
			continue
		}
		c, err := roots.Open(records)
		if err != nil {
			bad = append(bad, err)
			continue
		}
		chains = append(chains, c)
	}
	if len(chains) == 0 && !s.lacksAny(n.Words) {
		return false, errors.Join(bad...)
	}
	err = d.step(ctx, func(next *draft) error {
		// Twice, because a word may name a site whose chain came before it, and a chain may
		// bring the key that a word is verified with.
		for range 2 {
			for _, c := range chains {
				changed = next.takeChain(d.o.Site, c) || changed
			}
			for _, envelope := range n.Words {
				took, err := next.takeWord(envelope)
				changed = took || changed
				if err != nil {
					bad = append(bad, err)
				}
			}
			next.settle(d.o.Site)
		}
		if !changed {
			return errNothing
		}
		return nil
	})
	return changed, errors.Join(append(bad, err)...)
}

// holds tells whether a chain ends with a record that is held as the newest.
func (s *state) holds(records []roots.Signed) bool {
	newest := records[len(records)-1].Digest()
	if newest.IsZero() || s.own.Digest() == newest {
		return !newest.IsZero()
	}
	for _, known := range s.sites {
		if c := known.standing.Chain(); c != nil && c.Digest() == newest {
			return true
		}
	}
	return false
}

// lacksAny tells whether any of the words is not held, before any signature is checked.
func (s *state) lacksAny(words []string) bool {
	return slices.ContainsFunc(words, func(envelope string) bool {
		claim, err := claimOf(envelope)
		if err != nil {
			return true
		}
		known := s.sites[claim.By]
		return known == nil || known.words[claim.About].envelope != envelope
	})
}

// takeChain joins a chain to what is held of its site.
func (d *draft) takeChain(self trust.SiteName, c *roots.Chain) bool {
	id := c.ID()
	if id == d.own.ID() {
		return d.takeOwn(c)
	}
	if d.pinFor(c) == "" && !d.wanted(id) || d.sites[id] == nil && len(d.sites) >= maxSites {
		return false
	}
	var before roots.Standing
	if known := d.sites[id]; known != nil {
		before = known.standing
	}
	after := before.Join(roots.Stand(c))
	same := before.Chain() != nil && before.Chain().Digest() == after.Chain().Digest() && before.Forked() == after.Forked()
	if same {
		return false
	}
	known := d.change(id)
	known.standing = after
	if known.name == "" {
		known.name = d.nameFor(self, c)
	}
	d.bind(after.Chain(), id)
	r := after.Chain().Record()
	switch {
	case after.Forked():
		d.record("forked", d.sites[id].name, fmt.Sprintf("site %s signed two records for one place", id))
	case before.Chain() == nil:
		d.record("known", d.sites[id].name, fmt.Sprintf("site %s, record (%d,%d)", id, r.Epoch, r.Update))
	default:
		d.record("changed", d.sites[id].name, fmt.Sprintf("site %s, record (%d,%d), nodes %v", id, r.Epoch, r.Update, r.NodeIDs()))
	}
	return true
}

// takeOwn takes a newer record of this very site that a peer holds: a state that was restored from
// an old backup hears so what its owner has said since.
func (d *draft) takeOwn(c *roots.Chain) bool {
	joined := roots.Stand(d.own).Join(roots.Stand(c)).Chain()
	if joined.Digest() == d.own.Digest() {
		return false
	}
	d.own = joined
	d.save[keyOwn] = nil
	r := joined.Record()
	d.record("own record", "", fmt.Sprintf("this site's record is (%d,%d) now", r.Epoch, r.Update))
	return true
}

// takeWord keeps a word that is newer than the one that is held.
func (d *draft) takeWord(envelope string) (bool, error) {
	claim, err := claimOf(envelope)
	if err != nil {
		return false, err
	}
	known := d.sites[claim.By]
	if known == nil || known.words[claim.About].envelope == envelope {
		return false, nil // nothing is kept of strangers
	}
	w, err := openWord(envelope, d.genesis.Network(), d.nodeKey, d.now)
	if err != nil {
		return false, err
	}
	if held, ok := known.words[w.About]; ok && !w.newer(held) || !ok && len(known.words) >= maxWords {
		return false, nil
	}
	d.change(w.By).words[w.About] = w
	return true, nil
}

// Serve answers one request of a connected peer; nil is a refusal.
func (d *Desk) Serve(ctx context.Context, from trust.NodeID, b []byte) []byte {
	s := d.state.Load()
	if !slices.ContainsFunc(s.view.Sites, func(m Site) bool { return m.Node == from && m.Admitted }) || len(b) > MaxSyncRequestBytes {
		return nil
	}
	var r request
	if err := jose.Unmarshal(b, &r); err != nil {
		d.o.Log.Debug("refused a request about sites", "from", from.Short(), "error", err)
		return nil
	}
	if len(r.News.Chains)+len(r.News.Words) > 0 {
		if _, err := d.take(ctx, r.News); err != nil {
			d.o.Log.Debug("refused what a peer said about sites", "from", from.Short(), "error", err)
		}
		s = d.state.Load()
	}
	a := answer{Same: r.Sum == sum(s.have())}
	if !a.Same && r.Have != nil {
		a.News, a.More = s.lacks(r.Have)
	}
	return encode(a)
}

// syncWith takes in all that a connected peer has and this node lacks.
func (d *Desk) syncWith(ctx context.Context, node trust.NodeID) error {
	for round := range maxRounds {
		s := d.state.Load()
		have := s.have()
		r := request{Sum: sum(have)}
		if round > 0 {
			r.Have = have
		}
		a, err := d.call(ctx, node, r)
		if err != nil {
			return err
		}
		if a.Same || round > 0 && len(a.News.Chains)+len(a.News.Words) == 0 {
			return nil
		}
		changed, err := d.take(ctx, a.News)
		if err != nil {
			d.o.Log.Debug("refused what a peer said about sites", "from", node.Short(), "error", err)
		}
		if round > 0 && (!changed || !a.More) {
			return nil
		}
	}
	return nil
}

func (d *Desk) call(ctx context.Context, node trust.NodeID, r request) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	b, err := d.o.Mesh.Call(ctx, node, encode(r))
	if err != nil {
		return answer{}, err
	}
	return decodeAnswer(b)
}

func decodeAnswer(b []byte) (answer, error) {
	var a answer
	if len(b) == 0 || len(b) > MaxSyncBytes {
		return a, fmt.Errorf("%w: an answer of %d bytes", ErrWord, len(b))
	}
	return a, jose.Unmarshal(b, &a)
}

// encode is for values made here, which always encode.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return b
}
