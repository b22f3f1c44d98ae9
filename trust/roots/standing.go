package roots

import (
	"bytes"

	"github.com/candignode/candignode/trust"
)

// Standing is all that is held of one site's identity: its best chain, and whether it
// signed two records for one place. It is immutable; joining is commutative, associative and
// idempotent, so it does not matter which chain was seen first, or how often.
type Standing struct {
	chain *Chain
	fork  int64  // the newest epoch of which two records for one place were seen; 0: none
	other *Chain // the other half of the proof
}

// Stand gives the standing of a site of which one chain was seen.
func Stand(c *Chain) Standing { return Standing{chain: c} }

// Chain is the best chain seen; nil if none was.
func (s Standing) Chain() *Chain { return s.chain }

// Forked tells whether the site weighs nothing: it signed two records for one place, and
// has not rotated since.
func (s Standing) Forked() bool { return s.chain != nil && s.fork == s.chain.last().Epoch }

// Proof gives the two chains that show the fork, or nil if there is none that counts.
func (s Standing) Proof() (a, b *Chain) {
	if !s.Forked() {
		return nil, nil
	}
	return s.chain, s.other
}

// Join unites what two saw of one site. Standings of two sites are not joined: the first
// is given back.
func (s Standing) Join(o Standing) Standing {
	switch {
	case o.chain == nil || s.chain != nil && s.chain.id != o.chain.id:
		return s
	case s.chain == nil:
		return o
	}
	joined := Standing{chain: better(s.chain, o.chain), fork: s.fork, other: s.other}
	if o.fork > joined.fork {
		joined.fork, joined.other = o.fork, o.other
	}
	// Against both halves of both proofs: what is the other half depends on what is best.
	for _, pair := range [][2]*Chain{{s.chain, o.chain}, {joined.chain, s.other}, {joined.chain, o.other}} {
		if e := conflict(pair[0], pair[1]); e > joined.fork || e > 0 && e == joined.fork {
			joined.fork, joined.other = e, pair[1]
			if pair[1] == joined.chain {
				joined.other = pair[0]
			}
		}
	}
	return joined
}

// better orders chains: by place, and two for one place by their bytes, so that everybody
// keeps the same one.
func better(a, b *Chain) *Chain {
	x, y := a.last(), b.last()
	switch {
	case x.Epoch != y.Epoch:
		if x.Epoch > y.Epoch {
			return a
		}
		return b
	case x.Update != y.Update:
		if x.Update > y.Update {
			return a
		}
		return b
	case bytes.Compare(x.digest[:], y.digest[:]) >= 0:
		return a
	}
	return b
}

// conflict gives the newest epoch in which two chains of one site have different records
// for one place; 0 if there is none. A record that a rotation left behind conflicts with
// nothing: it is its owner's word that it counts no more.
func conflict(a, b *Chain) int64 {
	if a == nil || b == nil {
		return 0
	}
	held := make(map[[2]int64]trust.Digest, len(a.steps))
	for _, s := range a.steps {
		held[[2]int64{s.Epoch, s.Update}] = s.digest
	}
	newest := int64(0)
	for _, s := range b.steps {
		if d, ok := held[[2]int64{s.Epoch, s.Update}]; ok && d != s.digest {
			newest = max(newest, s.Epoch)
		}
	}
	return newest
}
