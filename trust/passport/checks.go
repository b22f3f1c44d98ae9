package passport

import (
	"slices"
	"strconv"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// allowed keeps to the two algorithms of passports and visas (GA4GH AAI 1.2,
// "Signing Algorithms"). Verify checks again, against the key.
func allowed(algorithm string) *jose.Error {
	if algorithm != jose.RS256 && algorithm != jose.ES256 {
		return refuse(trust.ReasonAlgorithm, "signed with %.80q, which is not accepted here: its issuer must use RS256 or ES256", algorithm)
	}
	return nil
}

// chooseKey finds the one believed key of this issuer, and of no other, that a
// token names (passports.md, rows 11 and 95). A key at or past its Until is as
// good as unknown: a refresh may bring it back.
func chooseKey(iv trust.IssuerView, kid string, now time.Time) (trust.BelievedKey, *jose.Error) {
	found, fitting, stale := -1, 0, false
	for i := range iv.Keys {
		if kid != "" && iv.Keys[i].KeyID != kid {
			continue
		}
		if !now.Before(iv.Keys[i].Until) {
			stale = true
			continue
		}
		found = i
		fitting++
	}
	switch {
	case kid == "" && !iv.Policy.AllowMissingKeyID:
		return trust.BelievedKey{}, refuse(trust.ReasonHeader, "the token does not name its key (kid)")
	case kid == "" && fitting > 1:
		return trust.BelievedKey{}, refuse(trust.ReasonHeader, "the token does not name its key (kid), and its issuer has several")
	case fitting > 1:
		return trust.BelievedKey{}, refuse(trust.ReasonUnknownKey, "the issuer has several keys under the token's kid, so none of them is used")
	case fitting == 0 && stale:
		return trust.BelievedKey{}, refuse(trust.ReasonUnknownKey, "the token's key has not been confirmed by its issuer for too long; try again when this site reaches the issuer")
	case fitting == 0:
		return trust.BelievedKey{}, refuse(trust.ReasonUnknownKey, "the token names a key that this site does not know for its issuer: ask for a new token, its key may have been withdrawn")
	}
	return iv.Keys[found], nil
}

// inTime checks exp, iat and nbf (RFC 7519, sections 4.1.4 to 4.1.6). exp has no
// leeway: now equal to exp is expired. For a token that is not valid yet, ready
// is when to look again.
func inTime(now time.Time, iat, nbf, exp jose.NumericDate) (refusal *jose.Error, ready time.Time) {
	begins := iat.Time
	if nbf.After(begins) {
		begins = nbf.Time
	}
	begins = begins.Add(-leeway)
	switch {
	case !now.Before(exp.Time):
		return refuse(trust.ReasonExpired, "expired: ask its issuer for a new one"), time.Time{}
	case now.Before(begins):
		return refuse(trust.ReasonNotYetValid, "not valid yet (iat or nbf lies in the future): is a clock wrong?"), begins
	}
	return nil, time.Time{}
}

// bound climbs the binding ladder (trust-protocol.md, section 11; passports.md,
// rows 8 and 9). A passport with aud must name this very node (L3: it
// was exchanged for this very target), or a client id of the site that the caller
// came to: this one for a direct caller, the origin for a forwarded one (L2). This
// site's client ids count for nothing in a forwarded passport, or a peer could hand
// back a passport that it was once shown. A passport without aud is taken from a
// direct caller unless the issuer's policy wants aud, and from a forwarding site only
// if the operator listed it (L1).
func (a *attempt) bound(r *passportRecord) (unbound bool, refusal *jose.Error) {
	if refusal := a.held(r.confirmation, "passport"); refusal != nil {
		return false, refusal
	}
	if r.audience.present {
		if r.names(a.v.options.OwnNames) || r.names(a.v.options.Audiences(r.identity.Issuer, a.origin)) {
			return false, nil
		}
		return false, refuse(trust.ReasonAudience, "the passport was made for somebody else (aud): ask for one for this site")
	}
	switch {
	case r.requireAud:
		return false, refuse(trust.ReasonUnbound, "the passport names no audience (aud), and this site wants one: ask for a passport for this site")
	case a.origin != "" && !slices.Contains(r.acceptUnboundFrom, a.origin):
		return false, refuse(trust.ReasonUnbound, "the passport names no audience (aud), so this site cannot take it from another: ask for one with an audience")
	}
	return true, nil
}

// names compares exactly; an empty name names nobody.
func (r *passportRecord) names(names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		return name != "" && slices.Contains(r.audience.names, name)
	})
}

// quoted is text of a token within a sentence.
func quoted(s string) string {
	if s = shown(s); len(s) > 0 && s[0] == '"' {
		return s
	}
	return strconv.Quote(s)
}

// held tells whether whoever shows the token proved to hold the key that it is bound
// to. A token that comes by way of another site never is proven: possession is shown
// on the connection that the caller himself made.
func (a *attempt) held(c trust.Confirmation, what string) *jose.Error {
	switch {
	case c.IsZero():
		return nil
	case a.origin != "":
		return refuse(trust.ReasonUnsupportedToken, "the %s is bound to a key (cnf) and can be used by its holder only, not by way of another site: ask for one that is not bound", what)
	case !c.MetBy(a.proven):
		return refuse(trust.ReasonNotProven, "the %s is bound to a key (cnf) whose possession was not shown with this request: send a proof (DPoP) or connect with the certificate that it was made for", what)
	}
	return nil
}

// binding tells whether a cnf claim can be checked at all.
func (c boundTo) binding(what string) *jose.Error {
	if c.present && !c.known {
		return refuse(trust.ReasonUnsupportedToken, "the %s is bound to a key (cnf) in a way that cannot be checked here: ask for one that is bound by jkt or x5t#S256, or not bound", what)
	}
	return nil
}

// signedFor names one token to the list of revocations.
type signedFor struct {
	identity trust.Identity
	jti      string
	digest   trust.Digest
	key      string
	token    *jose.Token // nil: there is none
}

// twinIn tells whether the same token is revoked under its other signature: a thief
// can write it so without the key.
func (s signedFor) twinIn(r *trust.Revocations) bool {
	if s.token == nil || !r.AnyToken() {
		return false
	}
	twin, ok := s.token.Twin()
	return ok && r.Token(twin)
}

// takenBack tells what is revoked by this site's operator: the person, the token, its jti, the key
// that signed it or its whole issuer (passports.md, row 62).
func (a *attempt) takenBack(s signedFor, what string) *jose.Error {
	r := a.revoked
	if r.Identity(s.identity) || r.JTI(s.identity.Issuer, s.jti) || r.Token(s.digest) || r.Key(s.key) || s.twinIn(r) {
		return refuse(trust.ReasonRevoked, "the operator of this site has revoked the %s, its key, its issuer or the person that it names: ask the operator why", what)
	}
	return nil
}
