package passport

import (
	"context"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// AccessTokenVisa is a visa in the form of an access token whose signature and claims
// are good, and whose issuer has to be asked whether it still stands by it.
type AccessTokenVisa struct {
	Visa     trust.Passport // its compact bytes: a secret
	Policy   trust.IssuerPolicy
	Identity trust.Identity
	IssuedAt time.Time
	Expires  time.Time // the least of exp, the key's evidence and the age of asserted
	Now      time.Time
}

// Polled is what is known of an AccessTokenVisa. The zero Polled confirms nothing.
type Polled struct {
	// Until is until when the issuer confirmed it, zero or past if it did not.
	Until time.Time
	// Replaced tells that the confirmation came with other visas: Visas, compact, stand
	// in its place, and none of them if there are none.
	Replaced bool
	Visas    []string
	Refused  bool   // the issuer took it back
	Detail   string // for a researcher; no secret
}

// confirm decides about a visa that is an access token: within an hour of its iat it
// is good by itself, and afterwards only as long as its issuer confirms it (GA4GH AAI
// 1.2, "Passport Clearinghouses", 5.2.2 and 6; passports.md, rows 57 to 60). It gives
// the visas that stand in its place.
func (j *judgement) confirm(ctx context.Context, v *judged, compact string) []*visaRecord {
	about := v.record.special
	if young := about.issuedAt.Add(confirmedFor); j.a.now.Before(young) {
		v.end(young)
		j.say(v, "an access token less than an hour old: good without asking its issuer until %s", stamp(v.visa.Expires))
		return nil
	}
	if j.a.v.options.Polled == nil {
		v.reject(trust.ReasonPolling, "the visa is an access token older than an hour, and this site does not ask issuers about those: get a new one")
		return nil
	}
	polled, ok := j.poll(ctx, v, compact)
	because := ""
	if polled.Detail != "" {
		because = " (" + shown(polled.Detail) + ")"
	}
	switch {
	case !ok:
		v.reject(trust.ReasonPolling, "the request holds more visas to be confirmed by their issuers than are asked about: show only those that the question needs")
	case polled.Refused:
		v.reject(trust.ReasonRevoked, "the visa's issuer does not stand by it any more"+because+": get a new one")
	case !j.a.now.Before(polled.Until):
		v.reject(trust.ReasonPolling, "the visa is an access token older than an hour, and its issuer has not confirmed it"+because+": try again later, or get a new one")
	case polled.Replaced:
		v.reject(trust.ReasonPolling, "the visa's issuer has put other visas in its place, which are used instead")
		return j.replacements(v, polled)
	default:
		v.end(polled.Until)
		j.say(v, "an access token that its issuer confirmed until %s", stamp(polled.Until))
	}
	return nil
}

// poll asks once per visa and request, however often the request is judged.
func (j *judgement) poll(ctx context.Context, v *judged, compact string) (Polled, bool) {
	if polled, known := j.a.polled[v.visa.Digest]; known {
		return polled, true
	}
	trusted, ok := j.a.view.Lookup(v.visa.Issuer)
	if !ok || compact == "" || len(j.a.polled) >= maxPolls {
		return Polled{}, false
	}
	polled := j.a.v.options.Polled(ctx, AccessTokenVisa{
		Visa: trust.NewPassport(compact), Policy: trusted.Policy, Identity: v.visa.Identity,
		IssuedAt: v.record.special.issuedAt, Expires: v.visa.Expires, Now: j.a.now,
	})
	if j.a.polled == nil {
		j.a.polled = make(map[trust.Digest]Polled)
	}
	j.a.polled[v.visa.Digest] = polled
	return polled, true
}

// replacements judges the visas that came in the place of one as any others. Only the
// issuer that was asked may replace its visa, and not by one to be polled again.
func (j *judgement) replacements(v *judged, polled Polled) []*visaRecord {
	compacts := polled.Visas
	if n := min(maxReplacements, maxVisas-j.total); len(compacts) > n {
		j.say(v, "%d visas stand in its place, of which the first %d are read", len(compacts), max(n, 0))
		compacts = compacts[:max(n, 0)]
	}
	j.total += len(compacts)
	records := make([]*visaRecord, len(compacts))
	for i, compact := range compacts {
		record := j.a.visa(compact)
		switch {
		case !record.accepted():
		case record.visa.Issuer != v.visa.Issuer:
			record = lateRejected(record, trust.ReasonUntrustedIssuer, "the visa came in the place of another issuer's: an issuer replaces its own visas only")
		case record.special != nil && record.special.accessToken:
			record = lateRejected(record, trust.ReasonAccessTokenVisa, "the visa came in the place of an access token and is one itself: its issuer must give a document token")
		}
		records[i] = record
	}
	return records
}

// lateRejected is a copy of what is remembered, rejected for this request.
func lateRejected(record *visaRecord, reason trust.Reason, detail string) *visaRecord {
	v := judged{record: record, visa: record.visa}
	v.reject(reason, detail)
	return &visaRecord{visa: v.visa, said: &jose.Error{Reason: v.reason, Detail: v.detail}}
}

// compacts gives the bytes of the group's visas, for a record keeps none. A
// passport's were verified before: the record was found by the digest of these bytes.
func (g *group) compacts() []string {
	var all []string
	if g.set != nil {
		for _, visa := range g.set.Visas {
			all = append(all, visa.Compact())
		}
		return all
	}
	token, err := jose.Parse(g.passport.Compact(), maxPassportBytes)
	if err != nil {
		return nil
	}
	var claims passportClaims
	if token.UnverifiedClaims(&claims) != nil || claims.Visas == nil {
		return nil
	}
	for _, visa := range *claims.Visas {
		all = append(all, visa.Value)
	}
	return all
}
