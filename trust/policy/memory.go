package policy

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
)

// Memory is a Policy that remembers what it decided. A decision is a pure
// function of its input, and Memory hands the policy the time in whole seconds, so
// a remembered decision is exactly the one that the policy would give again: for the
// same caller, visas, grants, datasets and question within the same second. Bursts
// of an analysis script are what it is for.
//
// Whole seconds are rounded down. Who enforces a decision compares its Until with
// the exact time, so that nothing is used past its end.
type Memory struct {
	policy *Policy

	mu sync.Mutex
	// Two generations: what is asked for again moves to the newer, and when that
	// is full the older is dropped whole. Nothing outlives its second by use,
	// because the second is part of the key.
	newer, older map[[sha256.Size]byte][]access.Decision
}

// Remember gives p a memory. It is safe for concurrent use.
func Remember(p *Policy) *Memory {
	return &Memory{policy: p, newer: map[[sha256.Size]byte][]access.Decision{}}
}

// Decide is Policy.Decide, remembered. Errors are not remembered.
func (m *Memory) Decide(ctx context.Context, inputs []access.Input) ([]access.Decision, error) {
	if len(inputs) == 0 {
		return nil, nil
	}
	rounded := slices.Clone(inputs)
	for i := range rounded {
		rounded[i].Now = rounded[i].Now.Truncate(time.Second)
	}
	key := keyOf(rounded)
	if held, ok := m.find(key); ok {
		return slices.Clone(held), nil
	}
	decisions, err := m.policy.Decide(ctx, rounded)
	if err != nil {
		return nil, err
	}
	m.keep(key, slices.Clone(decisions))
	return decisions, nil
}

func (m *Memory) find(key [sha256.Size]byte) ([]access.Decision, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	held, ok := m.newer[key]
	if !ok {
		held, ok = m.older[key]
	}
	return held, ok
}

func (m *Memory) keep(key [sha256.Size]byte, decisions []access.Decision) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.newer) >= MaxRemembered {
		m.newer, m.older = map[[sha256.Size]byte][]access.Decision{}, m.newer
	}
	m.newer[key] = decisions
}

// keyOf hashes every field that a decision may depend on, each with its length,
// so that no two inputs share a key. A visa is named by its claims as well as by
// its digest: its expiry here may be sooner than the signed one.
func keyOf(inputs []access.Input) [sha256.Size]byte {
	k := keyer{buffer: make([]byte, 0, 1024)}
	for _, in := range inputs {
		k.time(in.Now)
		k.texts(string(in.Site), string(in.Entity), string(in.Granularity))
		k.caller(in.Caller)
		d := in.Dataset
		k.texts(d.ID, string(d.Level), d.Value, string(d.RegisteredBy))
		for _, list := range [][]string{d.Issuers, d.Sources, d.By} {
			k.number(int64(len(list)))
			k.texts(list...)
		}
		k.number(int64(len(in.Grants)))
		for _, g := range in.Grants {
			k.texts(g.ID, g.Issuer, g.Subject, g.Dataset)
			k.time(g.Until)
			k.time(g.Created)
		}
	}
	return sha256.Sum256(k.buffer)
}

type keyer struct{ buffer []byte }

func (k *keyer) number(n int64) { k.buffer = binary.BigEndian.AppendUint64(k.buffer, uint64(n)) }

func (k *keyer) time(t time.Time) {
	k.number(t.Unix())
	k.number(int64(t.Nanosecond()))
}

func (k *keyer) texts(texts ...string) {
	for _, s := range texts {
		k.number(int64(len(s)))
		k.buffer = append(k.buffer, s...)
	}
}

func (k *keyer) caller(c trust.Caller) {
	k.texts(c.Issuer, c.Subject, string(c.Origin))
	k.time(c.Until)
	unbound := int64(0)
	if c.Unbound {
		unbound = 1
	}
	k.number(unbound)
	k.texts(c.Person.Issuer, c.Person.Subject)
	k.number(int64(len(c.Linked)))
	for _, l := range c.Linked {
		k.texts(l.Issuer, l.Subject)
		k.time(l.Until)
	}
	k.number(int64(len(c.Visas)))
	for _, v := range c.Visas {
		k.texts(v.Issuer, v.Subject, v.Type, v.Value, v.Source, v.By)
		k.time(v.Asserted)
		k.time(v.Expires)
		k.texts(v.Person.Issuer, v.Person.Subject)
		k.time(v.PersonUntil)
		k.buffer = append(k.buffer, v.Digest[:]...)
	}
}
