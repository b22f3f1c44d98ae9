package passport

import (
	"slices"
	"strings"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// visa judges one visa alone: under its own issuer's keys and scope, whatever
// passport it came in (passports.md, rows 12 and 19).
func (a *attempt) visa(compact string) *visaRecord {
	if len(compact) > maxVisaBytes {
		return rejected(trust.Digest{}, refuse(trust.ReasonTooLarge, "the visa is larger than any that is read"))
	}
	digest := trust.DigestOfString(compact)
	// The digest of the bytes, and both pictures that the verdict rests on: nothing
	// else decides about a visa by itself.
	if record, ok := a.v.visas.get(digest, a.revision, instantOf(a.now)); ok {
		return record
	}
	token, err := jose.ParseAfter(a.before, compact, maxVisaBytes)
	if err != nil {
		return rejected(digest, asRefusal(err))
	}
	a.before = token
	issuer, trusted, key, refusal := a.visaKey(token)
	if refusal != nil {
		record := rejected(digest, refusal)
		record.show(token)
		return record
	}
	record := a.verified(token, digest, issuer, trusted, key)
	a.v.visas.put(digest, a.revision, record.until, record, record.size())
	return record
}

// visaKey makes every check that needs no signature.
func (a *attempt) visaKey(token *jose.Token) (string, trust.IssuerView, trust.BelievedKey, *jose.Error) {
	var none trust.BelievedKey
	header := token.Header()
	if header.Type != "" && !header.IsType(plainType) && !header.IsType(visaType) && !header.IsType(accessType) {
		return "", trust.IssuerView{}, none, wrongVisaType()
	}
	if refusal := allowed(header.Algorithm); refusal != nil {
		return "", trust.IssuerView{}, none, refusal
	}
	issuer, _, err := token.Peek("")
	if err != nil {
		return "", trust.IssuerView{}, none, asRefusal(err)
	}
	trusted, ok := a.view.Lookup(issuer)
	if !ok || !trusted.Policy.Is(trust.KindVisa) {
		return issuer, trusted, none, refuse(trust.ReasonUntrustedIssuer, "this site does not take visas of this issuer: its operator decides which issuers it trusts")
	}
	if header.IsType(accessType) && !trusted.Policy.AccessTokenVisas {
		return issuer, trusted, none, wrongVisaType()
	}
	if header.JKU != "" && !listed(trusted, header.JKU) && trusted.Policy.Mode != trust.ModeManual {
		return issuer, trusted, none, refuse(trust.ReasonUnlistedJKU, "the visa points to keys (jku) that are not listed for its issuer: tell the operator of this site if they should be")
	}
	key, refusal := chooseKey(trusted, header.KeyID, a.now)
	if refusal != nil && refusal.Reason == trust.ReasonUnknownKey {
		a.want(issuer)
	}
	return issuer, trusted, key, refusal
}

func wrongVisaType() *jose.Error {
	return refuse(trust.ReasonWrongType, "a token of another kind stands where a visa should: its issuer must correct it")
}

// listed tells whether a jku belongs to this very issuer. It is compared and
// never fetched (GA4GH AAI 1.2, "Passport Clearinghouses", 5.3.2).
func listed(iv trust.IssuerView, jku string) bool {
	return slices.Contains(iv.Policy.JKU, jku) || iv.JWKSURI != "" && iv.JWKSURI == jku
}

// verified checks the signature and what it covers. Every verdict that needs the
// key ends with the key's evidence, and every one that needs the claims with exp,
// so that what is remembered never differs from what would be found anew.
func (a *attempt) verified(token *jose.Token, digest trust.Digest, issuer string, trusted trust.IssuerView, key trust.BelievedKey) *visaRecord {
	payload, err := token.Verify(key.Key, jose.RS256, jose.ES256)
	if err != nil {
		record := rejected(digest, asRefusal(err))
		record.until = instantOf(key.Until)
		record.show(token)
		return record
	}
	var claims visaClaims
	if err := jose.Unmarshal(payload, &claims); err != nil {
		record := rejected(digest, asRefusal(err))
		record.until = instantOf(key.Until)
		record.visa.Issuer, record.visa.KeyID = trusted.Policy.Issuer, key.Thumbprint
		return record
	}
	until := key.Until.UTC()
	if claims.Expires.After(a.now) {
		until = earliest(until, claims.Expires.Time)
	}
	if claims.Issuer.Value != issuer {
		return rejected(digest, refuse(trust.ReasonMalformed, "iss can be read in two ways"))
	}
	signed := signedFor{trust.Identity{Issuer: trusted.Policy.Issuer, Subject: claims.Subject.Value}, claims.ID.Value, digest, key.Thumbprint, token}
	refusal, ready := a.claims(claims, token.Header(), trusted)
	if revoked := a.takenBack(signed, "visa"); revoked != nil {
		refusal, ready = revoked, time.Time{}
	}
	var about *special
	if refusal == nil {
		about, refusal = specialOf(claims, trusted.Policy)
	}
	if refusal != nil {
		record := rejected(digest, refusal)
		record.fill(claims)
		record.visa.Issuer, record.visa.KeyID = trusted.Policy.Issuer, key.Thumbprint
		if !ready.IsZero() {
			until = earliest(until, ready)
		}
		record.until = instantOf(until)
		return record
	}
	object := claims.Visa
	if age := trusted.Policy.MaxAssertedAge; age > 0 {
		until = earliest(until, object.Asserted.Add(age))
	}
	record := &visaRecord{
		visa: trust.Visa{
			Identity: signed.identity,
			Person:   signed.identity,
			Type:     internAmong(object.Type.Value, trusted.Policy.VisaTypes),
			Value:    object.Value.Value,
			Source:   internAmong(object.Source.Value, trusted.Policy.Sources),
			By:       knownBy(object.By.Value),
			Asserted: object.Asserted.Time,
			Expires:  until,
			Digest:   digest,
			KeyID:    key.Thumbprint,
		},
		until:   instantOf(until),
		special: about,
	}
	if jku := token.Header().JKU; jku != "" && !listed(trusted, jku) {
		record.said = &jose.Error{Detail: "accepted with pinned keys; the visa's jku is not listed and was not used"}
	}
	return record
}

// claims is what must hold of a visa besides its signature. For one that is not
// valid yet, ready is when to look again.
func (a *attempt) claims(c visaClaims, header jose.Header, trusted trust.IssuerView) (refusal *jose.Error, ready time.Time) {
	if refusal := require(c.Issuer, c.Subject, c.IssuedAt, c.Expires); refusal != nil {
		return refusal, time.Time{}
	}
	if c.Visa == nil {
		return refuse(trust.ReasonMissingClaim, "ga4gh_visa_v1 is missing: the token is not a visa"), time.Time{}
	}
	if refusal := form(c, header, trusted.Policy); refusal != nil {
		return refusal, time.Time{}
	}
	if refusal, ready := inTime(a.now, c.IssuedAt, c.NotBefore, c.Expires); refusal != nil {
		return refusal, ready
	}
	if refusal := c.Visa.shape(); refusal != nil {
		return refusal, time.Time{}
	}
	if c.Visa.Asserted.After(c.IssuedAt.Add(leeway)) {
		return refuse(trust.ReasonBadTime, "asserted lies after iat: the visa says that it was made before what it asserts"), time.Time{}
	}
	if age := trusted.Policy.MaxAssertedAge; age > 0 && !a.now.Before(c.Visa.Asserted.Add(age)) {
		return refuse(trust.ReasonExpired, "what the visa says was asserted longer ago than this site relies on it: ask its issuer for a visa that was asserted anew"), time.Time{}
	}
	if fault := c.Visa.Conditions.fault; fault != "" {
		return refuse(trust.ReasonConditions, "the visa holds only under conditions that cannot be understood (%s): its issuer must correct it", fault), time.Time{}
	}
	return scope(c.Visa, trusted.Policy), time.Time{}
}

// specialOf gathers what the rest of the request will decide about a visa that is
// good by itself, and refuses links that nobody can read or that its issuer may not
// make.
func specialOf(c visaClaims, policy trust.IssuerPolicy) (*special, *jose.Error) {
	linking, accessToken := c.Visa.Type.Value == trust.VisaLinkedIdentities, isAccessToken(c)
	if !linking && !accessToken && !c.Visa.Conditions.present && !c.Confirmation.present {
		return nil, nil
	}
	s := &special{conditions: c.Visa.Conditions, confirmation: c.Confirmation.Confirmation, accessToken: accessToken}
	if linking {
		var refusal *jose.Error
		if s.pairs, s.strangers, refusal = linkable(c.Visa.Value.Value, policy); refusal != nil {
			return nil, refusal
		}
		s.jti, s.exp = c.ID.Value, c.Expires.Time
	}
	if accessToken {
		s.issuedAt = c.IssuedAt.Time
	}
	return s, nil
}

// isAccessToken tells by the scope whether the visa has the form of an access token.
// openid is a whole word.
func isAccessToken(c visaClaims) bool {
	return slices.Contains(strings.Fields(c.Scope.Value), "openid")
}

// form tells the two kinds of visa apart (GA4GH AAI 1.2, "Visa Issuers", 1.1;
// passports.md, row 14): a document token has jku and a scope without openid; an
// access token has openid, and neither jku nor aud. Issuers of the latter sign with
// RS256 only (GA4GH AAI 1.0; passports.md, row 18).
func form(c visaClaims, header jose.Header, policy trust.IssuerPolicy) *jose.Error {
	openid, hasJKU := isAccessToken(c), header.JKU != ""
	switch {
	case hasJKU && openid:
		return refuse(trust.ReasonVisaForm, "the visa has both jku and the scope openid, so it is of neither form: its issuer must correct it")
	case !hasJKU && !openid:
		return refuse(trust.ReasonVisaForm, "the visa has neither jku nor the scope openid, so it is of neither form: its issuer must correct it")
	case openid && bool(c.Audience):
		return refuse(trust.ReasonVisaForm, "a visa that is an access token must not have aud: its issuer must correct it")
	case openid && !policy.AccessTokenVisas:
		return refuse(trust.ReasonAccessTokenVisa, "the visa is an access token, a form that is deprecated and not taken here: ask its issuer for a document token")
	case bool(c.Audience):
		// The profile defines no aud for visas. One that has it limits who may
		// use it (RFC 7519, section 4.1.3), and nothing says by which name.
		return refuse(trust.ReasonAudience, "the visa is limited to an audience (aud), and this site has no name among visa issuers: ask for one without")
	case openid && header.Algorithm != jose.RS256:
		return refuse(trust.ReasonAlgorithm, "a visa that is an access token must be signed with RS256: its issuer must correct it")
	case !openid && header.IsType(accessType):
		return wrongVisaType()
	}
	return c.Confirmation.binding("visa")
}

// scope keeps trust in an issuer to what the operator listed (passports.md, row
// 52). A custom type that is not listed is no error; it only gives nothing.
func scope(object *visaObject, policy trust.IssuerPolicy) *jose.Error {
	if object.Source.Value == noOrganization {
		return refuse(trust.ReasonUntrustedSource, "no organization stands behind the visa (source)")
	}
	switch policy.ScopeOf(object.Type.Value, object.Source.Value, object.Value.Value) {
	case "":
		return nil
	case trust.ReasonTypeOutOfScope:
		if standardType(object.Type.Value) == "" {
			return refuse(trust.ReasonUnsupportedVisaType, "visas of this type are not used here")
		}
		return refuse(trust.ReasonTypeOutOfScope, "this site does not trust the issuer for visas of this type")
	case trust.ReasonUntrustedSource:
		return refuse(trust.ReasonUntrustedSource, "this site does not trust the issuer to speak for this source")
	default:
		return refuse(trust.ReasonValueOutOfScope, "this site does not trust the issuer for this value")
	}
}

// standardType gives the constant of the standard visa type that s is exactly,
// or "".
func standardType(s string) string {
	return internAmong(s, []string{
		trust.VisaAffiliationAndRole, trust.VisaAcceptedTermsAndPolicies, trust.VisaResearcherStatus,
		trust.VisaControlledAccessGrants, trust.VisaLinkedIdentities,
	})
}

// rejected is a verdict that says nothing yet about which visa it was.
func rejected(digest trust.Digest, refusal *jose.Error) *visaRecord {
	return &visaRecord{visa: trust.Visa{Digest: digest}, said: refusal}
}

// show fills in what a visa says of itself, unverified, so that its owner can
// tell which one was not accepted.
func (r *visaRecord) show(token *jose.Token) {
	var claims visaClaims
	if token.UnverifiedClaims(&claims) == nil {
		r.fill(claims)
	}
}

// fill copies the claims shortened and escaped, because a visa that is refused
// may have been written to be read by somebody.
func (r *visaRecord) fill(c visaClaims) {
	r.visa.Issuer, r.visa.Subject = shown(c.Issuer.Value), shown(c.Subject.Value)
	if c.Visa == nil {
		return
	}
	r.visa.Type = standardType(c.Visa.Type.Value)
	if r.visa.Type == "" {
		r.visa.Type = shown(c.Visa.Type.Value)
	}
	r.visa.Value, r.visa.Source, r.visa.By = shown(c.Visa.Value.Value), shown(c.Visa.Source.Value), shown(c.Visa.By.Value)
}
