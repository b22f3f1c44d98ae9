package passporttest

import (
	"encoding/json"
	"time"

	"github.com/candignode/candignode/trust/jose"
)

// PassportClaims are the claims of a passport. Zero ones are left out of the
// token, except Visas: a passport without any has an empty list.
type PassportClaims struct {
	Subject   string
	Audience  []string
	ID        string // jti
	IssuedAt  time.Time
	NotBefore time.Time
	Expires   time.Time
	Visas     []string // compact tokens
}

// VisaClaims are the claims of a visa. Zero ones are left out of the token.
type VisaClaims struct {
	Subject    string
	ID         string // jti
	IssuedAt   time.Time
	NotBefore  time.Time
	Expires    time.Time
	Scope      string
	Type       string
	Value      string
	Source     string
	By         string
	Asserted   time.Time
	Conditions [][]map[string]string
	JKU        string // "": the issuer's own; "-": none
}

type registered struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub,omitempty"`
	Audience  []string `json:"aud,omitempty"`
	ID        string   `json:"jti,omitempty"`
	IssuedAt  int64    `json:"iat,omitempty"`
	NotBefore int64    `json:"nbf,omitempty"`
	Expires   int64    `json:"exp,omitempty"`
	Scope     string   `json:"scope,omitempty"`
}

// Passport signs a passport.
func (i *Issuer) Passport(c PassportClaims) string {
	visas := c.Visas
	if visas == nil {
		visas = []string{}
	}
	return i.token(jose.Header{Type: "vnd.ga4gh.passport+jwt"}, struct {
		registered
		Visas []string `json:"ga4gh_passport_v1"`
	}{
		registered{
			Issuer: i.URL, Subject: c.Subject, Audience: c.Audience, ID: c.ID,
			IssuedAt: seconds(c.IssuedAt), NotBefore: seconds(c.NotBefore), Expires: seconds(c.Expires),
		}, visas,
	})
}

// Visa signs a visa, a document token unless JKU and Scope make it another.
func (i *Issuer) Visa(c VisaClaims) string {
	jku := c.JKU
	switch jku {
	case "":
		jku = i.JKU
	case "-":
		jku = ""
	}
	type object struct {
		Type       string                `json:"type,omitempty"`
		Value      string                `json:"value,omitempty"`
		Source     string                `json:"source,omitempty"`
		By         string                `json:"by,omitempty"`
		Asserted   int64                 `json:"asserted,omitempty"`
		Conditions [][]map[string]string `json:"conditions,omitempty"`
	}
	return i.token(jose.Header{Type: "vnd.ga4gh.visa+jwt", JKU: jku}, struct {
		registered
		Visa object `json:"ga4gh_visa_v1"`
	}{
		registered{
			Issuer: i.URL, Subject: c.Subject, ID: c.ID, Scope: c.Scope,
			IssuedAt: seconds(c.IssuedAt), NotBefore: seconds(c.NotBefore), Expires: seconds(c.Expires),
		},
		object{c.Type, c.Value, c.Source, c.By, seconds(c.Asserted), c.Conditions},
	})
}

func (i *Issuer) token(h jose.Header, claims any) string {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "" // strings and numbers always encode
	}
	return i.Sign(h, payload)
}

func seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}
