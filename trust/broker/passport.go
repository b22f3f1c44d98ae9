package broker

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/audit"
	"github.com/candignode/candignode/trust/mint"
)

// Passport gives a passport for one target that this node sends a question to, and
// whom it names (trust-protocol.md, section 11, L3). It ends at until at the latest, and
// carries the visas that are document tokens, byte-identical, after one that links the
// name in it with the caller's own identity. The same gives the same passport for a
// minute. The error wraps ErrNobody, ErrTarget, ErrExpired, ErrTooMany, ErrNotRecorded,
// or what Links gave.
func (b *Broker) Passport(ctx context.Context, caller trust.Caller, visas []trust.Passport, audience string, until time.Time, transaction string) (trust.Identity, trust.Passport, error) {
	if audience == "" || !slices.Contains(b.o.Targets(), audience) {
		return trust.Identity{}, trust.Passport{}, fmt.Errorf("%w: %.200q", ErrTarget, audience)
	}
	issued, err := b.issue(ctx, order{
		caller: caller, visas: visas, audience: []string{audience}, until: until, transaction: transaction,
		detail: "for a question that this node forwards", remember: true,
	})
	return issued.identity, issued.passport, err
}

// order is a passport that somebody is to have.
type order struct {
	caller      trust.Caller
	visas       []trust.Passport
	audience    []string
	until       time.Time     // of the token it is got with
	life        time.Duration // asked for; 0: as long as may be
	actor       string
	transaction string
	detail      string // for the record
	remember    bool
}

// kept is a passport that was given.
type kept struct {
	identity trust.Identity
	passport trust.Passport
	expires  time.Time // its exp
	from     time.Time // remembered from
	until    time.Time // remembered until
}

// issue signs a passport and records it.
func (b *Broker) issue(ctx context.Context, o order) (kept, error) {
	if o.caller.Anonymous() {
		return kept{}, ErrNobody
	}
	now := b.o.Now()
	limit := o.until
	if !o.caller.Until.IsZero() && o.caller.Until.Before(limit) {
		limit = o.caller.Until
	}
	if o.until.IsZero() || limit.Unix() <= now.Unix() {
		return kept{}, ErrExpired
	}
	visas, err := carried(o.visas)
	if err != nil {
		return kept{}, err
	}
	identity, link := trust.Identity{Issuer: b.o.Issuer, Subject: b.subjectOf(o.caller.Identity)}, []trust.Passport(nil)
	if b.linked(o) {
		if identity, link, err = b.name(ctx, o.caller.Identity, o.transaction); err != nil {
			return kept{}, err
		}
	}
	visas = append(link, visas...)
	memory := digestOf(o, visas)
	if held, ok := b.recall(memory, now, limit); ok && o.remember {
		return held, nil
	}
	expires := now.Add(b.o.PassportTTL)
	if o.life > 0 && now.Add(o.life).Before(expires) {
		expires = now.Add(o.life)
	}
	if limit.Before(expires) {
		expires = limit
	}
	passport, err := b.signer.Passport(mint.Passport{
		Identity: identity, Audience: o.audience, IssuedAt: now, Expires: expires, Actor: o.actor, Visas: visas,
	})
	if err != nil {
		return kept{}, fmt.Errorf("passport: %w", err)
	}
	if len(passport.Compact()) > maxPassportBytes {
		return kept{}, ErrTooMany
	}
	issued := kept{identity, passport, time.Unix(expires.Unix(), 0).UTC(), now, now.Add(min(keep, b.o.PassportTTL/2))}
	if err := b.record(ctx, o, passport, visas, now); err != nil {
		return kept{}, err
	}
	if o.remember {
		issued = b.keepFor(memory, issued, now, limit)
	}
	return issued, nil
}

// name gives the name that a person has here, and the visa that links it with who
// the person is elsewhere. Somebody who came with this issuer's own passport has a
// name already.
func (b *Broker) name(ctx context.Context, of trust.Identity, transaction string) (trust.Identity, []trust.Passport, error) {
	if of.Issuer == b.o.Issuer {
		return of, nil, nil
	}
	subject := b.subjectOf(of)
	link, _, err := b.o.Links.Link(ctx, subject, of, transaction)
	if err != nil {
		return trust.Identity{}, nil, fmt.Errorf("link: %w", err)
	}
	return trust.Identity{Issuer: b.o.Issuer, Subject: subject}, []trust.Passport{link}, nil
}

// linked tells whether a passport says who the person is elsewhere: not to a target of
// this node's own questions that has no use for it.
func (b *Broker) linked(o order) bool {
	return !o.remember || b.o.MayLink == nil || b.o.MayLink(o.audience[0], o.caller.Issuer)
}

// subjectOf is the name that a person has in what this node signs, without a visa that
// says who that is elsewhere.
func (b *Broker) subjectOf(of trust.Identity) string {
	if of.Issuer == b.o.Issuer {
		return of.Subject
	}
	return b.o.Subject(of)
}

// carried are the visas that may travel, each once, in their order. Visas that are
// access tokens stay (passports.md, row 70).
func carried(visas []trust.Passport) ([]trust.Passport, error) {
	seen := make(map[trust.Digest]bool, len(visas))
	kept := make([]trust.Passport, 0, len(visas))
	for _, visa := range visas {
		if seen[visa.Digest()] || !mint.DocumentToken(visa) {
			continue
		}
		seen[visa.Digest()] = true
		kept = append(kept, visa)
	}
	if len(kept) > maxVisas {
		return nil, fmt.Errorf("%w: %d, at most %d", ErrTooMany, len(kept), maxVisas)
	}
	return kept, nil
}

// record makes the passport's record durable. What was begun is recorded whether
// somebody waits for it or not.
func (b *Broker) record(ctx context.Context, o order, passport trust.Passport, visas []trust.Passport, now time.Time) error {
	record := audit.Record{
		Time: now, Event: audit.EventVisa, Transaction: o.transaction, Caller: o.caller.Identity,
		Passports: []trust.Digest{passport.Digest()}, Outcome: outcomeSigned,
		Detail: fmt.Sprintf("passport %s; audience %s", o.detail, strings.Join(quoteAll(o.audience), " ")),
	}
	for _, visa := range visas {
		record.Visas = append(record.Visas, visa.Digest())
	}
	recordCtx, done := context.WithTimeout(context.WithoutCancel(ctx), recording)
	defer done()
	if err := b.o.Recorder.Record(recordCtx, record); err != nil {
		b.o.Log.ErrorContext(ctx, "a passport could not be recorded", "transaction", o.transaction, "error", err)
		return fmt.Errorf("%w: %w", ErrNotRecorded, err)
	}
	return ctx.Err()
}

const outcomeSigned = "signed"

// quoteAll makes names fit for a record; each was found among known ones, which are
// short.
func quoteAll(names []string) []string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = fmt.Sprintf("%.200q", name)
	}
	return quoted
}

// digestOf names exactly what a remembered passport says.
func digestOf(o order, visas []trust.Passport) trust.Digest {
	h := sha256.New()
	add := func(s string) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(s))))
		h.Write([]byte(s))
	}
	add(o.caller.Issuer)
	add(o.caller.Subject)
	add(o.actor)
	add(fmt.Sprint(len(o.audience)))
	for _, audience := range o.audience {
		add(audience)
	}
	for _, visa := range visas {
		d := visa.Digest()
		h.Write(d[:])
	}
	return trust.Digest(h.Sum(nil))
}

// good tells whether the passport may be given again to somebody whose own token ends at
// limit. A clock that was set back ends it: iat would lie in the future.
func (k kept) good(now, limit time.Time) bool {
	return !now.Before(k.from) && now.Before(k.until) && now.Before(k.expires) && !k.expires.After(limit)
}

func (b *Broker) recall(key trust.Digest, now, limit time.Time) (kept, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k, ok := b.memory[key]
	return k, ok && k.good(now, limit)
}

// keepFor remembers issued, unless somebody was faster: then theirs is given.
func (b *Broker) keepFor(key trust.Digest, issued kept, now, limit time.Time) kept {
	b.mu.Lock()
	defer b.mu.Unlock()
	if held, ok := b.memory[key]; ok && held.good(now, limit) {
		return held
	}
	if len(b.memory) >= maxRemembered {
		for old, k := range b.memory {
			if !k.good(now, k.expires) {
				delete(b.memory, old)
			}
		}
	}
	for old := range b.memory {
		if len(b.memory) < maxRemembered {
			break
		}
		delete(b.memory, old)
	}
	b.memory[key] = issued
	return issued
}
