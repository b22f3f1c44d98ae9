package passport

import (
	"fmt"
	"slices"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// Verdict is what the passports of one request establish. It belongs to whoever
// asked: nothing in it is shared with another request.
type Verdict struct {
	// Caller is who asks. Caller.Until is the least over the passports and the
	// evidence for their keys; each visa has its own Expires (lowered by the
	// evidence for its key), so that a visa about to expire shortens only what
	// relies on it. Whoever decides takes the least over what it used.
	Caller    trust.Caller
	Passports []PassportVerdict
	// Visas tells about all of them, in the order shown, accepted or not.
	Visas []VisaVerdict
	// Notes say in plain words what else the caller could have had and has not: set by
	// whoever got the visas, empty here.
	Notes []string
	// Until is the least over everything accepted: until then nothing of this
	// verdict changes for the worse by the passing of time. Zero for a request
	// without passports.
	Until time.Time
}

// PassportVerdict tells about one accepted passport; one that is not accepted
// refuses the request.
type PassportVerdict struct {
	trust.Identity
	Accepted bool         `json:"accepted"`
	Key      string       `json:"key"`               // thumbprint of the verifying key
	Until    time.Time    `json:"until"`             // the least of exp and the key's evidence
	Unbound  bool         `json:"unbound,omitempty"` // it names no audience, and was taken all the same
	Digest   trust.Digest `json:"digest"`
}

// VisaVerdict tells about one visa. The texts of a visa that was not accepted
// are shortened and escaped, and unverified unless Key is set.
type VisaVerdict struct {
	trust.Identity
	Type     string       `json:"type"`
	Value    string       `json:"value"`
	Source   string       `json:"source"`
	By       string       `json:"by,omitempty"`
	Accepted bool         `json:"accepted"`
	Reason   trust.Reason `json:"reason,omitempty"` // why it is not accepted
	Detail   string       `json:"detail,omitempty"` // for a researcher: what is wrong, what to do
	Key      string       `json:"key,omitempty"`    // thumbprint of the verifying key
	Until    time.Time    `json:"until,omitzero"`   // the least of exp, the key's evidence and all that it rests on
	Digest   trust.Digest `json:"digest"`
	// Trace tells, in plain words and in order, what decided besides the visa
	// itself: conditions clause by clause, links, polling. Empty for most.
	Trace []string `json:"trace,omitempty"`
}

// Refusal refuses a request as a whole because of one of its passports or sets:
// it is never served as if the passport had not been shown (GA4GH Passport 1.2,
// section 8.1). Its text is safe to show and to log.
type Refusal struct {
	Reason trust.Reason
	Detail string
	Index  int  // of the passport in Request.Passports; those of Request.Sets count on from there
	Set    bool // it is about one of Request.Sets
}

// Error gives "passport 1: reason: detail", counting from 1, "sign-in: ..." for a
// set, or "token: ..." for what Verifier.Token refused.
func (r *Refusal) Error() string {
	if r.Index == tokenRefused {
		return fmt.Sprintf("token: %s: %s", r.Reason, r.Detail)
	}
	if r.Set {
		return fmt.Sprintf("sign-in: %s: %s", r.Reason, r.Detail)
	}
	return fmt.Sprintf("passport %d: %s: %s", r.Index+1, r.Reason, r.Detail)
}

// refuse makes a refusal of one token. Untrusted text goes in as %.80q only.
func refuse(reason trust.Reason, format string, args ...any) *jose.Error {
	return &jose.Error{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

// asRefusal takes the reason out of an error of package jose.
func asRefusal(err error) *jose.Error {
	if own, ok := err.(*jose.Error); ok {
		return own
	}
	return refuse(trust.ReasonMalformed, "cannot be read")
}

// passportRecord is what was found out about one passport, apart from who shows
// it to whom: the audience is judged anew each time, because the client ids of
// sites change without a new View. It is immutable and may be cached.
type passportRecord struct {
	identity     trust.Identity
	key          string
	until        time.Time // the least of exp and the key's evidence
	audience     audience
	confirmation trust.Confirmation
	visas        []*visaRecord
	stays        bool     // something in it may open something at its issuer
	wanting      []string // issuers of visas that name a key not known

	// plain tells that no visa needs the rest of the request to be judged, and
	// identities are all those that stored links may touch, each once.
	plain      bool
	identities []trust.Identity

	// The issuer's policy on passports without aud, as of the View.
	requireAud        bool
	acceptUnboundFrom []trust.SiteName
}

// visaRecord is what was found out about one visa. It is immutable and may be
// cached; claims of a visa that was not accepted are fit to be shown.
type visaRecord struct {
	visa trust.Visa // Expires is set only if it was accepted
	// said is why it was not accepted, or, without a reason, what there is to note
	// about it; nil for most.
	said *jose.Error
	// special is what makes it depend on the rest of the request; nil for most.
	special *special
	// until is when to look again, because by then another verdict would be
	// found: the visa ends or begins, or its key grows stale. 0: never.
	until instant
}

// special is what the rest of the request decides about a visa that is good by
// itself. Whatever follows from it is never cached.
type special struct {
	conditions   conditions
	confirmation trust.Confirmation
	pairs        []trust.Identity // of a LinkedIdentities visa: whom its issuer may link
	strangers    int              // pairs left out, for its issuer may not link them
	jti          string           // of a LinkedIdentities visa
	exp          time.Time        // of a LinkedIdentities visa, whatever the evidence for its key
	accessToken  bool             // the form of an access token
	issuedAt     time.Time        // of an access token
}

// accepted tells whether the visa is good by itself; special has more to say.
func (r *visaRecord) accepted() bool { return r.said == nil || r.said.Reason == "" }

// words are the reason why it is not accepted, "" if it is, and the sentence.
func (r *visaRecord) words() (trust.Reason, string) {
	if r.said == nil {
		return "", ""
	}
	return r.said.Reason, r.said.Detail
}

func (r *visaRecord) verdict() VisaVerdict {
	reason, detail := r.words()
	return VisaVerdict{
		Identity: r.visa.Identity, Type: r.visa.Type, Value: r.visa.Value, Source: r.visa.Source, By: r.visa.By,
		Accepted: r.accepted(), Reason: reason, Detail: detail,
		Key: r.visa.KeyID, Until: r.visa.Expires, Digest: r.visa.Digest,
	}
}

// recordBytes is what a record and its cache entry take besides their text.
const recordBytes = 450

// size counts every text but issuer and key, which are strings of the View; the
// type and source of an accepted visa are too, so it errs on the large side.
func (r *visaRecord) size() int {
	n := recordBytes + len(r.visa.Subject) + len(r.visa.Value) + len(r.visa.Source) + len(r.visa.Type)
	if r.said != nil {
		n += 48 + len(r.said.Detail)
	}
	if r.special != nil {
		n += specialBytes + len(r.special.jti) + r.special.conditions.size()
		for _, pair := range r.special.pairs {
			n += 64 + len(pair.Issuer) + len(pair.Subject)
		}
	}
	return n
}

// specialBytes is what a special takes besides its texts and lists.
const specialBytes = 256

// size counts the visas in full, although they are mostly shared with the cache
// of visas: the bound then holds whichever is forgotten first.
func (r *passportRecord) size() int {
	n := recordBytes + len(r.identity.Subject)
	for _, name := range r.audience.names {
		n += 16 + len(name)
	}
	for _, visa := range r.visas {
		n += 8 + visa.size()
	}
	return n + 32*len(r.identities)
}

// expiry is when the record as a whole must be looked at again.
func (r *passportRecord) expiry() instant {
	least := instantOf(r.until)
	for _, visa := range r.visas {
		if visa.until != 0 {
			least = min(least, visa.until)
		}
	}
	return least
}

// admit unites the caller with one more accepted passport or set. The first one
// says who the caller is.
func (v *Verdict) admit(r *passportRecord, unbound bool) (first bool) {
	if first = v.Caller.IsZero(); first {
		v.Caller.Identity, v.Caller.Person, v.Caller.Until, v.Until = r.identity, r.identity, r.until, r.until
		v.Caller.Visas = make([]trust.Visa, 0, len(r.visas))
	}
	v.Caller.Until = earliest(v.Caller.Until, r.until)
	v.Caller.Unbound = v.Caller.Unbound || unbound
	v.Until = earliest(v.Until, r.until)
	return first
}

// add is admit with the visas, where nothing but each visa itself decides. They keep
// their own (iss, sub), and nothing joins them here. Everything is copied: whoever
// gets the verdict may do with it what he likes.
func (v *Verdict) add(r *passportRecord, unbound bool) {
	first := v.admit(r, unbound)
	for _, record := range r.visas {
		if !record.accepted() {
			continue
		}
		v.Until = earliest(v.Until, record.visa.Expires)
		if first || !holds(v.Caller.Visas, record.visa.Digest) {
			v.Caller.Visas = append(v.Caller.Visas, record.visa)
		}
	}
}

// explainPassport tells about one accepted passport.
func (v *Verdict) explainPassport(g group) {
	if g.set != nil {
		return
	}
	v.Passports = append(v.Passports, PassportVerdict{
		Identity: g.record.identity, Accepted: true, Key: g.record.key, Until: g.record.until, Unbound: g.unbound, Digest: g.passport.Digest(),
	})
}

// explain tells about each visa, where nothing but each visa itself decides.
func (v *Verdict) explain(r *passportRecord) {
	v.Visas = slices.Grow(v.Visas, len(r.visas))
	for _, record := range r.visas {
		v.Visas = append(v.Visas, record.verdict())
	}
}

// holds tells whether the very same visa came in an earlier passport.
func holds(visas []trust.Visa, digest trust.Digest) bool {
	for i := range visas {
		if visas[i].Digest == digest {
			return true
		}
	}
	return false
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
