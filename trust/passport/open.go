package passport

import (
	"context"
	"slices"
	"strings"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// passport finds or makes the record of one passport. Refusals are not
// remembered: they are cheap or need a signature that anybody can send again
// with one bit changed.
func (a *attempt) passport(ctx context.Context, p trust.Passport, visasBefore int) (*passportRecord, *jose.Error) {
	if record, ok := a.v.passports.get(p.Digest(), a.revision, instantOf(a.now)); ok {
		for _, issuer := range record.wanting {
			a.want(issuer)
		}
		if visasBefore+len(record.visas) > maxVisas {
			return nil, tooManyVisas()
		}
		return record, nil
	}
	record, visas, refusal := a.open(p, visasBefore)
	if refusal != nil {
		return nil, refusal
	}
	earlier := a.wanting // of other passports: not this record's
	a.wanting = nil
	for _, compact := range visas {
		if ctx.Err() != nil {
			return nil, refuse(trust.ReasonMalformed, "given up") // the caller sees ctx's error
		}
		record.visas = append(record.visas, a.visa(compact.Value))
		record.stays = record.stays || !document(compact.Value)
	}
	record.survey()
	record.wanting, a.wanting = a.wanting, earlier
	for _, issuer := range record.wanting {
		a.want(issuer)
	}
	a.v.passports.put(p.Digest(), a.revision, record.expiry(), record, record.size())
	return record, nil
}

// tooManyVisas is found out in three places: before the signature, after it, and
// from memory, where several passports add up.
func tooManyVisas() *jose.Error {
	return refuse(trust.ReasonTooMany, "more than %d visas: ask the issuer for a passport with only those that the question needs", maxVisas)
}

// open verifies a passport itself, the cheap checks first: a stranger's token,
// or one with an unknown key or too many visas, costs no signature check.
func (a *attempt) open(p trust.Passport, visasBefore int) (*passportRecord, []jose.Text, *jose.Error) {
	token, err := jose.Parse(p.Compact(), maxPassportBytes)
	if err != nil {
		return nil, nil, asRefusal(err)
	}
	header := token.Header()
	if !header.IsType(passportType) {
		return nil, nil, refuse(trust.ReasonWrongType, "the token is a %.80q, not a passport (%s): ask for a passport, by token exchange if need be", header.Type, passportType)
	}
	if refusal := allowed(header.Algorithm); refusal != nil {
		return nil, nil, refusal
	}
	issuer, visas, err := token.Peek("ga4gh_passport_v1")
	if err != nil {
		return nil, nil, asRefusal(err)
	}
	trusted, ok := a.view.Lookup(issuer)
	if !ok || !trusted.Policy.Is(trust.KindPassport) {
		return nil, nil, refuse(trust.ReasonUntrustedIssuer, "this site does not take passports of %s: its operator decides which issuers it trusts", quoted(issuer))
	}
	if visasBefore+visas > maxVisas {
		return nil, nil, tooManyVisas()
	}
	key, refusal := chooseKey(trusted, header.KeyID, a.now)
	if refusal != nil {
		if refusal.Reason == trust.ReasonUnknownKey {
			a.want(issuer)
		}
		return nil, nil, refusal
	}
	payload, err := token.Verify(key.Key, jose.RS256, jose.ES256)
	if err != nil {
		return nil, nil, asRefusal(err)
	}
	var claims passportClaims
	if err := jose.Unmarshal(payload, &claims); err != nil {
		return nil, nil, asRefusal(err)
	}
	return a.record(claims, trusted, signedFor{trust.Identity{Issuer: trusted.Policy.Issuer, Subject: claims.Subject.Value}, claims.ID.Value, p.Digest(), key.Thumbprint, token}, key)
}

// record checks the claims of a passport whose signature is good.
func (a *attempt) record(claims passportClaims, trusted trust.IssuerView, signed signedFor, key trust.BelievedKey) (*passportRecord, []jose.Text, *jose.Error) {
	if refusal := require(claims.Issuer, claims.Subject, claims.IssuedAt, claims.Expires); refusal != nil {
		return nil, nil, refusal
	}
	switch {
	case claims.Issuer.Value != trusted.Policy.Issuer:
		return nil, nil, refuse(trust.ReasonMalformed, "iss can be read in two ways")
	case claims.Visas == nil:
		return nil, nil, refuse(trust.ReasonMissingClaim, "ga4gh_passport_v1 is missing: the token is not a passport")
	case len(*claims.Visas) > maxVisas:
		return nil, nil, tooManyVisas()
	}
	if refusal := claims.Confirmation.binding("passport"); refusal != nil {
		return nil, nil, refusal
	}
	if refusal, _ := inTime(a.now, claims.IssuedAt, claims.NotBefore, claims.Expires); refusal != nil {
		return nil, nil, refusal
	}
	if refusal := a.takenBack(signed, "passport"); refusal != nil {
		return nil, nil, refusal
	}
	return &passportRecord{
		identity:          signed.identity,
		key:               key.Thumbprint,
		until:             earliest(claims.Expires.Time, key.Until.UTC()),
		audience:          claims.Audience,
		confirmation:      claims.Confirmation.Confirmation,
		requireAud:        trusted.Policy.RequireAud,
		acceptUnboundFrom: trusted.Policy.AcceptUnboundFrom,
		visas:             make([]*visaRecord, 0, len(*claims.Visas)),
	}, *claims.Visas, nil
}

// document tells whether what stands in a passport opens nothing at its issuer: it is a
// JWT, and neither its type nor its scope is an access token's, whether its issuer is
// trusted here or not (trust-protocol.md, section 11).
func document(compact string) bool {
	token, err := jose.Parse(compact, maxVisaBytes)
	if err != nil || token.Header().IsType(accessType) {
		return false
	}
	var claims struct {
		Scope jose.Text `json:"scope"`
	}
	return token.UnverifiedClaims(&claims) == nil && !slices.Contains(strings.Fields(claims.Scope.Value), "openid")
}

// survey notes what the rest of the request matters for.
func (r *passportRecord) survey() {
	r.plain = true
	r.identities = append(r.identities, r.identity)
	for _, visa := range r.visas {
		if !visa.accepted() {
			continue
		}
		r.plain = r.plain && visa.special == nil
		if !slices.Contains(r.identities, visa.visa.Identity) {
			r.identities = append(r.identities, visa.visa.Identity)
		}
	}
}

// set judges visas that did not come in a passport. Whom they are of is the word of
// the broker that this node had them from, so that broker is trusted as one whose
// passports are taken, or who signs people in (passports.md, row 49). Visas without a
// voucher are taken from nobody.
func (a *attempt) set(ctx context.Context, set *trust.VisaSet, visasBefore int) (*passportRecord, *jose.Error) {
	trusted, ok := a.view.Lookup(set.Issuer)
	vouches := trusted.Policy.Is(trust.KindPassport)
	if set.Via == trust.KindClaims || set.Via == trust.KindLogin {
		vouches = vouches || trusted.Policy.Is(trust.KindLogin)
	} else if set.Via != trust.KindPassport {
		vouches = false
	}
	switch {
	case a.origin != "":
		return nil, refuse(trust.ReasonUnsupportedToken, "visas that did not come in a passport cannot be used by way of another site: ask for a passport")
	case !ok || !vouches || set.Via == trust.KindLogin && len(set.Visas) > 0:
		return nil, refuse(trust.ReasonUntrustedIssuer, "this site does not take visas from %s in this way: its operator decides which issuers it trusts", quoted(set.Issuer))
	case !identifier(set.Subject, maxURLClaim):
		return nil, refuse(trust.ReasonBadClaim, "sub is empty, longer than %d characters, or has characters that do not print", maxURLClaim)
	case !a.now.Before(set.Until):
		return nil, refuse(trust.ReasonExpired, "the visas were got from %s too long ago: sign in again", quoted(set.Issuer))
	case visasBefore+len(set.Visas) > maxVisas:
		return nil, tooManyVisas()
	}
	identity := trust.Identity{Issuer: trusted.Policy.Issuer, Subject: set.Subject}
	if refusal := a.takenBack(signedFor{identity: identity}, "sign-in"); refusal != nil {
		return nil, refusal
	}
	record := &passportRecord{identity: identity, until: set.Until.UTC(), visas: make([]*visaRecord, 0, len(set.Visas))}
	for _, visa := range set.Visas {
		if ctx.Err() != nil {
			return nil, refuse(trust.ReasonMalformed, "given up") // the caller sees ctx's error
		}
		record.visas = append(record.visas, a.visa(visa.Compact()))
	}
	record.survey()
	return record, nil
}
