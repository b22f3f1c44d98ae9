package dac

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/audit"
	"github.com/candignode/candignode/trust/mint"
)

// claim is one grant that a visa may be signed for now. It is the key of the memory,
// so that a visa is remembered for exactly what it says.
type claim struct {
	grant access.Grant
	value string
	until time.Time // the end of the grant, or of the link to its holder
}

func (c claim) key() string {
	return fmt.Sprintf("%q %q %q %q %q %d %d", c.grant.ID, c.grant.Issuer, c.grant.Subject, c.grant.Dataset, c.value,
		c.grant.Created.UnixNano(), c.until.UnixNano())
}

// Visas gives the visas of this person: first a LinkedIdentities visa that says who
// the person is elsewhere, then one per live grant, in the order of their values. A
// person without live grants gets none at all. transaction stands in the records.
func (d *Desk) Visas(ctx context.Context, of trust.Identity, transaction string) ([]trust.Passport, error) {
	visas, _, err := d.visas(ctx, of, transaction)
	return visas, err
}

// visas also tells when the first of them ends.
func (d *Desk) visas(ctx context.Context, of trust.Identity, transaction string) ([]trust.Passport, time.Time, error) {
	if of.IsZero() {
		return nil, time.Time{}, ErrNobody
	}
	now := d.o.Now()
	claims := d.live(ctx, of, now)
	d.keepOnly(of, claims)
	if len(claims) == 0 {
		return nil, time.Time{}, nil
	}
	jobs := make([]job, 0, len(claims)+1)
	jobs = append(jobs, d.linkJob(of, d.o.Subject(of), now))
	for _, c := range claims {
		jobs = append(jobs, d.grantJob(of, c, now))
	}
	signed, err := d.sign(ctx, of, jobs, transaction)
	if err != nil {
		return nil, time.Time{}, err
	}
	// A grant may have gone while its visa was being recorded.
	still := map[string]bool{linkKey(d.o.Subject(of)): true}
	for _, c := range d.live(ctx, of, d.o.Now()) {
		still[grantKey(c)] = true
	}
	signed = slices.DeleteFunc(signed, func(k kept) bool { return !still[k.key] })
	if len(signed) <= 1 {
		return nil, time.Time{}, nil
	}
	visas, until := make([]trust.Passport, len(signed)), signed[0].expires
	for i, k := range signed {
		visas[i] = k.visa
		if k.expires.Before(until) {
			until = k.expires
		}
	}
	return visas, until, nil
}

// Link gives a LinkedIdentities visa: subject, at this issuer, is the same person as
// of (passports.md, row 45), and tells when it ends. A broker's passports begin with one.
func (d *Desk) Link(ctx context.Context, subject string, of trust.Identity, transaction string) (trust.Passport, time.Time, error) {
	if of.IsZero() || subject == "" {
		return trust.Passport{}, time.Time{}, ErrNobody
	}
	if d.o.Revoked().Identity(of) {
		return trust.Passport{}, time.Time{}, ErrNobody
	}
	signed, err := d.sign(ctx, of, []job{d.linkJob(of, subject, d.o.Now())}, transaction)
	if err != nil {
		return trust.Passport{}, time.Time{}, err
	}
	return signed[0].visa, signed[0].expires, nil
}

// live gives the grants that hold now, of this identity and of those linked with it,
// one per value: the one that lasts longest.
func (d *Desk) live(ctx context.Context, of trust.Identity, now time.Time) []claim {
	revoked := d.o.Revoked()
	if revoked.Identity(of) {
		return nil
	}
	values := d.values(ctx)
	best := map[string]claim{}
	consider := func(holder trust.Identity, limit time.Time) {
		for _, grant := range d.o.Grants(holder) {
			value, known := values[grant.Dataset]
			until := grant.Until
			if !limit.IsZero() && limit.Before(until) {
				until = limit
			}
			if !known || grant.Identity != holder || grant.ID == "" || !alive(grant, until, now) {
				continue
			}
			if held, ok := best[value]; !ok || until.After(held.until) || until.Equal(held.until) && grant.ID < held.grant.ID {
				best[value] = claim{grant, value, until}
			}
		}
	}
	consider(of, time.Time{})
	for _, linked := range d.o.Linked(of) {
		if linked.Identity != of && now.Before(linked.Until) && !revoked.Identity(linked.Identity) {
			consider(linked.Identity, linked.Until)
		}
	}
	claims := make([]claim, 0, len(best))
	for _, c := range best {
		claims = append(claims, c)
	}
	slices.SortFunc(claims, func(a, b claim) int { return cmp.Compare(a.value, b.value) })
	if len(claims) > maxVisas {
		d.o.Log.WarnContext(ctx, "a person has more grants than one passport can carry; the rest gives no visas", "grants", len(claims), "visas", maxVisas)
		claims = claims[:maxVisas]
	}
	return claims
}

// alive tells whether a visa of at least a second fits between now and the grant's
// end. A grant from the future was written under another clock: asserted would lie
// after iat.
func alive(grant access.Grant, until, now time.Time) bool {
	return !grant.Created.IsZero() && grant.Created.Unix() <= now.Unix() && until.Unix() > now.Unix()
}

// values gives the visas' values of the datasets that the committee decides about. A
// value that must not stand in a visa gives none.
func (d *Desk) values(ctx context.Context) map[string]string {
	values := map[string]string{}
	for _, dataset := range d.o.Datasets() {
		if dataset.Value == "" || dataset.Level != access.Controlled && dataset.Level != "" {
			continue
		}
		if _, twice := values[dataset.ID]; twice {
			continue
		}
		if err := mint.LintValue(dataset.Value); err != nil {
			d.o.Log.ErrorContext(ctx, "no visas are signed for a dataset", "dataset", dataset.ID, "error", err)
			continue
		}
		values[dataset.ID] = dataset.Value
	}
	return values
}

// job is one visa that somebody is to have: from the memory if it is there, or signed
// now.
type job struct {
	key     string
	content mint.Visa
	record  audit.Record
}

func grantKey(c claim) string       { return "grant " + c.key() }
func linkKey(subject string) string { return "link " + subject }
func earlier(a, b time.Time) time.Time { // of two ends
	if b.Before(a) {
		return b
	}
	return a
}

func (d *Desk) grantJob(of trust.Identity, c claim, now time.Time) job {
	return job{
		key: grantKey(c),
		content: mint.Visa{
			Identity: trust.Identity{Issuer: d.o.Issuer, Subject: d.o.Subject(of)},
			Type:     trust.VisaControlledAccessGrants, Value: c.value, Source: d.o.Source, By: mint.ByDAC,
			Asserted: c.grant.Created, IssuedAt: now, Expires: earlier(c.until, now.Add(d.o.VisaTTL)), JKU: d.o.JKU,
		},
		record: audit.Record{Dataset: c.grant.Dataset, Grants: []string{c.grant.ID}},
	}
}

func (d *Desk) linkJob(of trust.Identity, subject string, now time.Time) job {
	return job{
		key: linkKey(subject),
		content: mint.Visa{
			Identity: trust.Identity{Issuer: d.o.Issuer, Subject: subject},
			Type:     trust.VisaLinkedIdentities, Value: mint.LinkValue(of), Source: d.o.Source, By: mint.BySystem,
			Asserted: now, IssuedAt: now, Expires: now.Add(d.o.VisaTTL), JKU: d.o.JKU,
		},
		record: audit.Record{Detail: "link"},
	}
}

// sign gives the visas of jobs in their order. What is new is on record, durably,
// before anybody has it or the memory knows it.
func (d *Desk) sign(ctx context.Context, of trust.Identity, jobs []job, transaction string) ([]kept, error) {
	now := d.o.Now()
	signed := make([]kept, len(jobs))
	var records []audit.Record
	var fresh []int
	for i, j := range jobs {
		if held, ok := d.recall(of, j.key, now); ok {
			signed[i] = held
			continue
		}
		visa, err := d.signer.Visa(j.content)
		if err != nil {
			return nil, fmt.Errorf("visa: %w", err)
		}
		signed[i] = kept{
			key: j.key, visa: visa, from: now, until: now.Add(d.o.Keep),
			expires: time.Unix(j.content.Expires.Unix(), 0).UTC(),
		}
		record := j.record
		record.Time, record.Event, record.Transaction = now, audit.EventVisa, transaction
		record.Caller, record.Visas, record.Outcome = of, []trust.Digest{visa.Digest()}, outcomeSigned
		records, fresh = append(records, record), append(fresh, i)
	}
	if len(records) == 0 {
		return signed, nil
	}
	// What was begun is recorded whether somebody waits for it or not.
	recordCtx, done := context.WithTimeout(context.WithoutCancel(ctx), recording)
	defer done()
	if err := d.o.Recorder.Record(recordCtx, records...); err != nil {
		d.o.Log.ErrorContext(ctx, "visas could not be recorded", "transaction", transaction, "error", err)
		return nil, fmt.Errorf("%w: %w", ErrNotRecorded, err)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for _, i := range fresh {
		signed[i] = d.remember(of, signed[i], now)
	}
	return signed, nil
}

const outcomeSigned = "signed"
