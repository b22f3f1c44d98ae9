package broker

import (
	"encoding/json"

	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/mint"
)

// discovery is the document at /.well-known/openid-configuration (OpenID Connect
// Discovery 1.0, section 3; RFC 8414, section 2).
type discovery struct {
	Issuer              string   `json:"issuer"`
	Authorization       string   `json:"authorization_endpoint,omitempty"`
	Token               string   `json:"token_endpoint"`
	UserInfo            string   `json:"userinfo_endpoint"`
	JWKSURI             string   `json:"jwks_uri"`
	ResponseTypes       []string `json:"response_types_supported"`
	ResponseModes       []string `json:"response_modes_supported,omitempty"`
	ResponseIss         bool     `json:"authorization_response_iss_parameter_supported,omitempty"`
	ChallengeMethods    []string `json:"code_challenge_methods_supported,omitempty"`
	Prompts             []string `json:"prompt_values_supported,omitempty"`
	SubjectTypes        []string `json:"subject_types_supported"`
	IDTokenAlgorithms   []string `json:"id_token_signing_alg_values_supported"`
	UserInfoAlgorithms  []string `json:"userinfo_signing_alg_values_supported"`
	GrantTypes          []string `json:"grant_types_supported"`
	Scopes              []string `json:"scopes_supported"`
	Claims              []string `json:"claims_supported"`
	ClaimTypes          []string `json:"claim_types_supported,omitempty"`
	AuthMethods         []string `json:"token_endpoint_auth_methods_supported"`
	AuthAlgorithms      []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	ClaimsParameter     bool     `json:"claims_parameter_supported"`
	RequestParameter    bool     `json:"request_parameter_supported"`
	RequestURIParameter bool     `json:"request_uri_parameter_supported"` // absent would say true
}

// Discovery is this node's discovery document as an issuer (passports.md, row 72).
// What is off is left out: so are authorization_endpoint and every response type where
// no client has people sign in through this issuer.
func (b *Broker) Discovery() ([]byte, error) {
	algorithm := b.signer.Public().Algorithm
	d := discovery{
		Issuer: b.o.Issuer, Token: b.o.Endpoints.Token, UserInfo: b.o.Endpoints.UserInfo, JWKSURI: b.o.JWKSURI,
		ResponseTypes: []string{}, SubjectTypes: []string{"public"},
		IDTokenAlgorithms: []string{algorithm}, UserInfoAlgorithms: []string{algorithm},
		GrantTypes: []string{GrantTokenExchange}, Scopes: []string{"openid", mint.ClaimPassport},
		Claims:      []string{"iss", "sub", "aud", "iat", "exp", mint.ClaimPassport},
		AuthMethods: []string{"private_key_jwt"}, AuthAlgorithms: []string{jose.RS256, jose.ES256},
	}
	if b.SignsIn() {
		d.Authorization, d.ResponseTypes, d.ResponseModes = b.o.Endpoints.Authorization, []string{"code"}, []string{"query"}
		d.GrantTypes, d.ChallengeMethods, d.ResponseIss = []string{GrantCode, GrantTokenExchange}, []string{"S256"}, true
		d.Prompts = []string{"none", "login", "select_account"}
		d.Claims = append(d.Claims, "auth_time", "nonce")
	}
	for _, client := range b.clients {
		if len(client.Certificates) > 0 {
			d.AuthMethods = []string{"private_key_jwt", "self_signed_tls_client_auth"}
		}
	}
	if b.o.Aggregated || b.o.Distributed {
		d.ClaimTypes = []string{"normal"}
		if b.o.Aggregated {
			d.ClaimTypes = append(d.ClaimTypes, "aggregated")
		}
		if b.o.Distributed {
			d.ClaimTypes = append(d.ClaimTypes, "distributed")
		}
	}
	return json.Marshal(d)
}
