package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// ProtectedResource is what a node says of itself at
// /.well-known/oauth-protected-resource (RFC 9728): the members that are read here.
type ProtectedResource struct {
	Resource             string   `json:"resource"` // the node's own address
	AuthorizationServers []string `json:"authorization_servers,omitempty"`
	ScopesSupported      []string `json:"scopes_supported,omitempty"`
	// JWKSURI is where the keys are that the node signs with, if it signs.
	JWKSURI                string   `json:"jwks_uri,omitempty"`
	BearerMethodsSupported []string `json:"bearer_methods_supported,omitempty"`
	ProofAlgorithms        []string `json:"dpop_signing_alg_values_supported,omitempty"`
	CertificateBound       bool     `json:"tls_client_certificate_bound_access_tokens,omitempty"`
	// SignIn names the client that the command line is, for each issuer that people
	// may sign in at the node with.
	SignIn []SignIn `json:"candignode_sign_in,omitempty"`
}

// SignIn is one way to sign in from the command line.
type SignIn struct {
	Issuer   string `json:"issuer"`
	ClientID string `json:"client_id"` // public client
}

// SessionRequest is the body of POST /v1/sessions. Without passports the session is
// made of the token that the request comes with.
type SessionRequest struct {
	Passports []string `json:"passports,omitempty"`
}

// Session is a caller's session at the node.
type Session struct {
	ID      string    `json:"id"`
	Issuer  string    `json:"iss,omitempty"` // whose it is
	Subject string    `json:"sub,omitempty"`
	Label   string    `json:"label,omitempty"` // what it was made of: browser, token or passports
	Created time.Time `json:"created"`
	Used    time.Time `json:"used"`
	Until   time.Time `json:"until"`
	// Current tells that the question itself came with this session.
	Current bool `json:"current,omitempty"`
	// Token is a secret, and stands in the answer to POST /v1/sessions only.
	Token string `json:"session,omitempty"`
}

// Sessions answers GET /v1/sessions: the caller's own, newest first.
type Sessions struct {
	Sessions []Session `json:"sessions"`
}

// Authorizations answers OPTIONS: how callers may show who they are (DRS 1.3,
// Authorizations).
type Authorizations struct {
	SupportedTypes      []string `json:"supported_types"`
	PassportAuthIssuers []string `json:"passport_auth_issuers"`
	BearerAuthIssuers   []string `json:"bearer_auth_issuers"`
}

// Resource asks how people sign in at the node.
func (c Client) Resource(ctx context.Context) (ProtectedResource, error) {
	response, err := c.send(ctx, http.MethodGet, "/.well-known/oauth-protected-resource", "application/json", nil)
	if err != nil {
		return ProtectedResource{}, err
	}
	return decode[ProtectedResource](response, "how to sign in", maxErrorBytes)
}

// StartSession makes a session out of what the client's token is good for. A
// refusal is a *Problem.
func (c Client) StartSession(ctx context.Context, r SessionRequest) (Session, error) {
	response, err := c.post(ctx, "/v1/sessions", "application/json", r)
	if err != nil {
		return Session{}, err
	}
	return decode[Session](response, "the session", maxErrorBytes)
}

// EndSession ends one session of the caller.
func (c Client) EndSession(ctx context.Context, id string) error {
	response, err := c.send(ctx, http.MethodDelete, "/v1/sessions/"+url.PathEscape(id), "application/json", nil)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// decode reads the one JSON value of an answer, which may grow by members.
func decode[T any](response *http.Response, what string, limit int64) (T, error) {
	defer response.Body.Close()
	var answer T
	body, err := readAll(response.Body, limit)
	if err != nil {
		return answer, err
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return answer, fmt.Errorf("%s: the answer is not what a node sends: %w", what, err)
	}
	return answer, nil
}
