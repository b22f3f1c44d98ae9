package issuers

import (
	"crypto/ed25519"
	"fmt"
	"slices"

	"github.com/candignode/candignode/trust"
)

// signedHead is a head with the exact bytes that were signed.
type signedHead struct {
	Head
	envelope []byte
	hash     trust.Digest
}

// seal keeps a verified head with its bytes: they are what is hashed, stored and passed
// on, for the same head encoded again would be another one.
func seal(h Head, envelope []byte) signedHead {
	return signedHead{h, envelope, trust.DigestOf(envelope)}
}

// compare orders the heads of one author.
func (h Head) compare(o Head) int {
	for _, pair := range [][2]int64{{h.Epoch, o.Epoch}, {h.Update, o.Update}, {h.Version, o.Version}} {
		if pair[0] != pair[1] {
			if pair[0] < pair[1] {
				return -1
			}
			return 1
		}
	}
	return 0
}

// conflict tells whether no honest author can have signed both. Within an epoch an
// author signs one head for each version, each naming the one before, and u
// never falls. It is symmetric, so it does not matter which came first.
func conflict(a, b signedHead) bool {
	if a.Epoch != b.Epoch || a.hash == b.hash {
		return false
	}
	// Symmetric by putting the lower version first: of two heads it must not matter which
	// one this node heard of first, or sites would disagree about who forked.
	if b.Version < a.Version {
		a, b = b, a
	}
	return a.Version == b.Version || b.Update < a.Update ||
		b.Version == a.Version+1 && b.Prev != a.hash
}

// forkProof is two heads of one epoch that conflict: enough for anybody to see
// for themselves.
type forkProof struct {
	a, b signedHead
}

// epoch is 0, below every epoch there is, if there is no proof.
func (f *forkProof) epoch() int64 {
	if f == nil {
		return 0
	}
	return f.a.Epoch
}

// author is all that is held of one site. It is never changed, only replaced;
// merging is a join over the heads seen: any order and any repetition of the
// same heads ends in the same author, as long as no more than historyLength of
// one epoch were seen. The order of the lattice: a higher epoch is above all of a
// lower one, and within an epoch a fork is above every head.
type author struct {
	pin
	key     ed25519.PublicKey
	bundle  *bundle      // the newest accepted; nil if only a fork is known
	history []signedHead // heads of the newest epoch, newest first
	fork    *forkProof
	relics  []relic // its tombstones from before the fork; only while it is forked
}

// epoch is the newest epoch of which anything is held.
func (a *author) epoch() int64 {
	if a == nil {
		return 0
	}
	e := a.fork.epoch()
	if a.bundle != nil {
		e = max(e, a.bundle.head.Epoch)
	}
	return e
}

// forked tells whether the author weighs nothing: it forked, and its epoch has
// not risen since.
func (a *author) forked() bool { return a.fork != nil && a.fork.epoch() == a.epoch() }

// silences tells whether a is before with its fork proven. Such a step is never
// turned away, because it takes belief, and an author that floods must not escape it.
// It is taken once: to be heard again costs the author a head, and a proof of a higher
// epoch against one that is silent already silences nobody.
func (a *author) silences(before *author) bool {
	return a.forked() && (before == nil || !before.forked())
}

// news tells what hearing a head means, before anything is pulled.
type news int

const (
	stale   news = iota // nothing new
	older               // not held, and below what is held: only history
	newer               // its records are worth pulling
	forking             // it proves a fork
)

func (a *author) news(h signedHead) news {
	switch {
	case a == nil || h.Epoch > a.epoch():
		return newer
	case h.Epoch < a.epoch() || a.forked():
		return stale
	}
	if slices.ContainsFunc(a.history, func(o signedHead) bool { return conflict(o, h) }) {
		return forking
	}
	switch c := h.compare(a.bundle.head.Head); {
	case c > 0:
		return newer
	case c == 0 || slices.ContainsFunc(a.history, func(o signedHead) bool { return o.hash == h.hash }):
		return stale
	case len(a.history) == historyLength && h.compare(a.history[len(a.history)-1].Head) < 0:
		return stale
	}
	return older
}

// withHead gives the author after a head was seen whose records are not wanted
// or not needed: one that forks, or an older one.
func (a *author) withHead(h signedHead) *author {
	next := *a
	switch a.news(h) {
	case forking:
		// Any one pair proves it. What the author said is dropped with the heads: a liar's
		// records must not come back when memory is read from the store.
		i := slices.IndexFunc(a.history, func(o signedHead) bool { return conflict(o, h) })
		next.fork = &forkProof{a.history[i], h}
		next.relics = a.keeps()
		next.bundle, next.history = nil, nil
	case older:
		next.history = remember(a.history, h)
	default:
		return a
	}
	return &next
}

// withBundle gives the author after a verified bundle was seen.
func (a *author) withBundle(p pin, key ed25519.PublicKey, b *bundle) *author {
	if a.news(b.head) != newer {
		if a == nil {
			return nil
		}
		next := a.withHead(b.head)
		// Also what comes after the proof: which came first must not matter.
		if next.forked() && b.head.Epoch == next.epoch() {
			return next.withRelics(b.relics())
		}
		return next
	}
	next := &author{pin: p, key: key, bundle: b}
	// Heads of an epoch that was left behind prove nothing any more.
	if a != nil && a.bundle != nil && a.bundle.head.Epoch == b.head.Epoch {
		next.history = a.history
	}
	next.history = remember(next.history, b.head)
	return next
}

// withFork gives the author after a proof was seen that another site holds, with the tombstones that it brought.
func (a *author) withFork(p pin, key ed25519.PublicKey, f *forkProof, relics ...relic) *author {
	if a.epoch() > f.epoch() {
		return a
	}
	if a != nil && a.epoch() == f.epoch() && a.forked() {
		return a.withRelics(relics)
	}
	return &author{pin: p, key: key, fork: f, relics: unite(a.keeps(), relics)}
}

// withRelics adds tombstones to those that the author's next word must have.
func (a *author) withRelics(relics []relic) *author {
	all := unite(a.relics, relics)
	if len(all) == len(a.relics) {
		return a
	}
	next := *a
	next.relics = all
	return &next
}

// witness gives the author's word in the form that Believe reads.
func (a *author) witness() Witness {
	w := Witness{Site: a.site, Forked: a.forked()}
	if a.bundle != nil {
		w.Issued, w.Observations, w.Words, w.Tombs = a.bundle.head.issued(), a.bundle.observations, a.bundle.words, a.bundle.tombs
	}
	return w
}

// place names what is held, for the other side of a sync to compare with.
func (a *author) place() place {
	if a == nil {
		return place{}
	}
	if a.forked() {
		return place{Epoch: a.epoch(), Forked: true}
	}
	h := a.bundle.head
	return place{Epoch: h.Epoch, Update: h.Update, Version: h.Version, Hash: h.hash.String()}
}

// String is for logs, which name places and not bytes.
func (a *author) String() string {
	p := a.place()
	return fmt.Sprintf("%s (%d,%d,%d)", a.site, p.Epoch, p.Update, p.Version)
}

// remember keeps the newest historyLength heads of one epoch, newest first.
func remember(history []signedHead, h signedHead) []signedHead {
	i, found := slices.BinarySearchFunc(history, h, func(a, b signedHead) int { return b.compare(a.Head) })
	if found {
		return history
	}
	out := slices.Insert(slices.Clone(history), i, h)
	return out[:min(len(out), historyLength)]
}
