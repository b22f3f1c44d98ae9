package passport

import (
	"strings"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// tokenClaims are the claims of tokens that are neither passports nor visas, as far
// as any kind reads them.
type tokenClaims struct {
	Issuer       jose.Text        `json:"iss"`
	Subject      jose.Text        `json:"sub"`
	IssuedAt     jose.NumericDate `json:"iat"`
	Expires      jose.NumericDate `json:"exp"`
	NotBefore    jose.NumericDate `json:"nbf"`
	ID           jose.Text        `json:"jti"`
	Audience     audience         `json:"aud"`
	Scope        scopeWords       `json:"scope"`
	Client       jose.Text        `json:"client_id"`
	Party        jose.Text        `json:"azp"`
	Nonce        jose.Text        `json:"nonce"`
	AccessHash   jose.Text        `json:"at_hash"`
	Confirmation boundTo          `json:"cnf"`
}

// scopeWords is scope: one string of words with spaces between them (RFC 6749,
// section 3.3). Some issuers write an array, whose elements are taken whole.
type scopeWords struct {
	present, array bool
	words          []string
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *scopeWords) UnmarshalJSON(data []byte) error {
	*s = scopeWords{present: true, array: data[0] == '['}
	if s.array {
		var words []jose.Text
		if err := jose.Unmarshal(data, &words); err != nil {
			return err
		}
		for _, word := range words {
			s.words = append(s.words, word.Value)
		}
		return nil
	}
	var line jose.Text
	if err := jose.Unmarshal(data, &line); err != nil {
		return refuse(trust.ReasonBadClaim, "scope is not a string")
	}
	s.words = strings.FieldsFunc(line.Value, func(r rune) bool { return r == ' ' })
	return nil
}

// readToken decodes verified bytes, and keeps to the claims that the kind must have
// and must not have.
func readToken(payload []byte, rules *rulesOfToken) (*tokenClaims, *jose.Error) {
	var members map[string]present
	if err := jose.Unmarshal(payload, &members); err != nil {
		return nil, asRefusal(err)
	}
	for _, name := range rules.foreign {
		if _, there := members[name]; there {
			return nil, refuse(trust.ReasonWrongType, "the token has the claim %s, so it is no %s", name, rules.name)
		}
	}
	for _, name := range rules.needs {
		if _, there := members[name]; !there {
			return nil, refuse(trust.ReasonMissingClaim, "%s is missing: every %s must have it", name, rules.name)
		}
	}
	claims := new(tokenClaims)
	if err := jose.Unmarshal(payload, claims); err != nil {
		return nil, asRefusal(err)
	}
	for _, each := range []struct {
		name string
		jose.Text
	}{{"iss", claims.Issuer}, {"sub", claims.Subject}, {"jti", claims.ID}, {"client_id", claims.Client}, {"azp", claims.Party}} {
		if each.Present && !identifier(each.Value, maxURLClaim) {
			return nil, refuse(trust.ReasonBadClaim, "%s is empty, longer than %d characters, or has characters that do not print", each.name, maxURLClaim)
		}
	}
	return claims, nil
}

// result gives what was found to whoever asked.
func (c *tokenClaims) result(trusted trust.IssuerView, key trust.BelievedKey, req TokenRequest, payload []byte) TokenClaims {
	client := c.Client.Value
	if client == "" {
		client = c.Party.Value
	}
	return TokenClaims{
		Identity: trust.Identity{Issuer: trusted.Policy.Issuer, Subject: c.Subject.Value},
		IssuedAt: c.IssuedAt.Time, ID: c.ID.Value,
		Audience: c.Audience.names, Scope: c.Scope.words, ClientID: client,
		Confirmation: c.Confirmation.Confirmation,
		Key:          key.Thumbprint, Digest: trust.DigestOfString(req.Compact), Payload: payload,
	}
}
