package passport

import (
	"strings"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// passportClaims are the claims of a passport that are read; others are read
// over.
type passportClaims struct {
	Issuer       jose.Text        `json:"iss"`
	Subject      jose.Text        `json:"sub"`
	IssuedAt     jose.NumericDate `json:"iat"`
	Expires      jose.NumericDate `json:"exp"`
	NotBefore    jose.NumericDate `json:"nbf"`
	Audience     audience         `json:"aud"`
	ID           jose.Text        `json:"jti"`
	Confirmation boundTo          `json:"cnf"`
	Visas        *[]jose.Text     `json:"ga4gh_passport_v1"` // nil: absent or null
}

// visaClaims are the claims of a visa that are read.
type visaClaims struct {
	Issuer       jose.Text        `json:"iss"`
	Subject      jose.Text        `json:"sub"`
	IssuedAt     jose.NumericDate `json:"iat"`
	Expires      jose.NumericDate `json:"exp"`
	NotBefore    jose.NumericDate `json:"nbf"`
	Scope        jose.Text        `json:"scope"`
	ID           jose.Text        `json:"jti"`
	Audience     present          `json:"aud"`
	Confirmation boundTo          `json:"cnf"`
	Visa         *visaObject      `json:"ga4gh_visa_v1"` // nil: absent or null
}

// visaObject is the visa object (GA4GH Passport 1.2, "Visa Object Claims").
type visaObject struct {
	Type       jose.Text        `json:"type"`
	Value      jose.Text        `json:"value"`
	Source     jose.Text        `json:"source"`
	By         jose.Text        `json:"by"`
	Asserted   jose.NumericDate `json:"asserted"`
	Conditions conditions       `json:"conditions"`
}

// present is true when a claim is there at all, whatever its value.
type present bool

// UnmarshalJSON implements json.Unmarshaler.
func (p *present) UnmarshalJSON([]byte) error {
	*p = true
	return nil
}

// audience is aud: one string or an array of strings (RFC 7519, section 4.1.3).
// An empty array is there, and names nobody.
type audience struct {
	present bool
	names   []string
}

// UnmarshalJSON implements json.Unmarshaler.
func (a *audience) UnmarshalJSON(data []byte) error {
	a.present = true
	if data[0] == '[' {
		var names []jose.Text
		if err := jose.Unmarshal(data, &names); err != nil {
			return err
		}
		for _, name := range names {
			a.names = append(a.names, name.Value)
		}
		return nil
	}
	var name jose.Text
	if err := jose.Unmarshal(data, &name); err != nil {
		return refuse(trust.ReasonBadClaim, "aud is neither a string nor an array of strings")
	}
	a.names = []string{name.Value}
	return nil
}

// boundTo is cnf: the key that the token's bearer must prove to hold. A member that
// is not known here is a binding that nobody could check, so the token is not taken
// with it, and an empty one must not pass for none.
type boundTo struct {
	present bool
	known   bool
	trust.Confirmation
}

// UnmarshalJSON implements json.Unmarshaler.
func (c *boundTo) UnmarshalJSON(data []byte) error {
	*c = boundTo{present: true}
	var members map[string]jose.Text
	if data[0] != '{' || jose.Unmarshal(data, &members) != nil {
		return nil
	}
	c.known = len(members) > 0
	for name, text := range members {
		switch {
		case text.Value == "":
			c.known = false
		case name == "jkt":
			c.JKT = text.Value
		case name == "x5t#S256":
			c.X5T = text.Value
		default:
			c.known = false
		}
	}
	return nil
}

// require names the first of the claims that every token has and this one has
// not (GA4GH AAI 1.2, "Passport Format" and "Visa Format").
func require(iss, sub jose.Text, iat, exp jose.NumericDate) *jose.Error {
	switch {
	case !iss.Present:
		return refuse(trust.ReasonMissingClaim, "iss is missing")
	case !sub.Present:
		return refuse(trust.ReasonMissingClaim, "sub is missing")
	case iat.IsZero():
		return refuse(trust.ReasonMissingClaim, "iat is missing")
	case exp.IsZero():
		return refuse(trust.ReasonMissingClaim, "exp is missing; a token without an end is not accepted")
	case !identifier(sub.Value, maxURLClaim):
		return refuse(trust.ReasonBadClaim, "sub is empty, longer than %d characters, or has characters that do not print", maxURLClaim)
	case !identifier(iss.Value, maxURLClaim):
		return refuse(trust.ReasonBadClaim, "iss is empty, longer than %d characters, or has characters that do not print", maxURLClaim)
	}
	return nil
}

// shape checks the visa object alone, before anybody's trust is asked for
// (passports.md, rows 22 to 29).
func (v *visaObject) shape() *jose.Error {
	switch {
	case !v.Type.Present || !v.Value.Present || !v.Source.Present:
		return refuse(trust.ReasonMissingClaim, "the visa object lacks type, value or source; ask its issuer for a corrected visa")
	case v.Asserted.IsZero():
		return refuse(trust.ReasonMissingClaim, "the visa object lacks asserted; ask its issuer for a corrected visa")
	case !identifier(v.Type.Value, maxURLClaim) || !identifier(v.Source.Value, maxURLClaim):
		return refuse(trust.ReasonBadClaim, "type or source is empty, longer than %d characters, or has characters that do not print", maxURLClaim)
	case !identifier(v.Value.Value, v.longestValue()):
		return refuse(trust.ReasonBadClaim, "value is empty, too long, or has characters that do not print")
	case v.By.Present && knownBy(v.By.Value) == "":
		return refuse(trust.ReasonBadClaim, "by is none of self, peer, system, so and dac")
	case !v.By.Present && (v.Type.Value == trust.VisaControlledAccessGrants || v.Type.Value == trust.VisaAcceptedTermsAndPolicies):
		return refuse(trust.ReasonMissingClaim, "a visa of this type must say who asserts it (by)")
	case v.Type.Value == trust.VisaAffiliationAndRole && !splits(v.Value.Value):
		return refuse(trust.ReasonBadClaim, "the value of an AffiliationAndRole must be role@organization")
	}
	return nil
}

// longestValue is in characters: values are URLs except for lists of links.
func (v *visaObject) longestValue() int {
	if v.Type.Value == trust.VisaLinkedIdentities {
		return maxLinkValue
	}
	return maxURLClaim
}

// knownBy gives the constant of the vocabulary that is s exactly, or "".
func knownBy(s string) string {
	return internAmong(s, []string{"self", "peer", "system", "so", "dac"})
}

// splits tells whether there is something on both sides of the first '@': in
// faculty@a@b the organization is a@b (passports.md, row 29).
func splits(value string) bool {
	role, organization, found := strings.Cut(value, "@")
	return found && role != "" && organization != ""
}
