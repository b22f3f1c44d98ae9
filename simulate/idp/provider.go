package idp

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// The scopes of a passport-scoped access token (GA4GH AAI 1.2), and the claim.
const (
	scopeOpenID   = "openid"
	claimPassport = "ga4gh_passport_v1" // the scope has the claim's name
)

// Client is an application that is registered with an issuer. Without Key and
// Secret it is a public one.
type Client struct {
	ID     string
	Key    crypto.PublicKey // authenticates by private_key_jwt, its thumbprint as kid
	Secret string           // authenticates by client_secret_basic
	// RedirectURIs are compared exactly, except that the port of a loopback address
	// is the client's choice (RFC 8252, section 7.3).
	RedirectURIs []string
	// Audience of the access tokens that it gets; empty: its ID.
	Audience []string
	// Exchange lets it exchange access tokens for passports, and Resources are the
	// targets that it may ask them for: the aud of each.
	Exchange  bool
	Resources map[string]string
}

func (c Client) public() bool { return c.Key == nil && c.Secret == "" }

// Behaviour is how an issuer departs from a good one. The zero Behaviour is a
// good one that signs JWT access tokens and answers UserInfo as JSON.
type Behaviour struct {
	// Before runs before every request; true tells that it has answered. endpoint is
	// the last part of the path, as in "userinfo".
	Before func(endpoint string, w http.ResponseWriter, r *http.Request) bool
	Outage bool          // every request is answered 503
	Delay  time.Duration // every answer comes so late

	Discovery func(document map[string]any) // changes the discovery document
	NoDevice  bool                          // no device authorization endpoint
	NoRefresh bool                          // no refresh tokens

	OpaqueTokens  bool                        // access tokens are no JWTs
	TokenLife     time.Duration               // of access tokens; 0: Life
	TokenClaims   func(claims map[string]any) // changes JWT access tokens; a nil value takes a claim away
	IDTokenClaims func(claims map[string]any) // changes ID tokens
	ResponseIss   *string                     // iss of authorization responses; nil: the issuer, "": none

	SignedUserInfo bool                        // application/jwt
	UserInfoType   string                      // this content type instead of the right one
	UserInfoClaims func(claims map[string]any) // changes UserInfo: another sub, for example
	PolledVisas    []Grant                     // UserInfo gives these for an access token visa
	Introspection  func(reply map[string]any)  // changes introspection replies of tokens that are good
	ClaimsType     string                      // content type of claim sources; "": application/jwt
	SourceClaims   func(claims map[string]any) // changes what a claim source signs
	Exchange       func(reply map[string]any)  // changes replies of the token exchange

	ApproveDevices bool          // device codes are approved at once
	DeviceInterval time.Duration // between two polls; 0: a second
}

// provider is one of the server's issuers.
type provider struct {
	server *Server
	name   string

	mu          sync.Mutex
	behaviour   Behaviour
	researchers []Researcher
	clients     map[string]Client
	codes       map[string]*authorization
	devices     map[string]*device // by device code
	tokens      map[string]*token
	assertions  map[string]time.Time // jti of client assertions and proofs that were used
	requests    map[string]int       // by endpoint
}

func newProvider(s *Server, name string) *provider {
	return &provider{
		server: s, name: name, clients: map[string]Client{}, codes: map[string]*authorization{}, devices: map[string]*device{},
		tokens: map[string]*token{}, assertions: map[string]time.Time{}, requests: map[string]int{},
	}
}

func (s *Server) provider(name string) (*provider, error) {
	if p, ok := s.providers[name]; ok {
		return p, nil
	}
	return nil, fmt.Errorf("%.40q: %w; there are %v", name, ErrNoIssuer, s.names)
}

// AddClients registers applications with an issuer; one with the ID of another
// takes its place.
func (s *Server) AddClients(issuer string, clients ...Client) error {
	p, err := s.provider(issuer)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range clients {
		p.clients[c.ID] = c
	}
	return nil
}

// Behave changes how an issuer behaves from the next request on.
func (s *Server) Behave(issuer string, change func(*Behaviour)) error {
	p, err := s.provider(issuer)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.behaviour)
	return nil
}

// Requests counts the requests that came to one endpoint of an issuer, as in
// "userinfo", "token" or "jwks".
func (s *Server) Requests(issuer, endpoint string) int {
	p, err := s.provider(issuer)
	if err != nil {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests[endpoint]
}

func (p *provider) is() Behaviour {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.behaviour
}

func (p *provider) issuer() string { return p.server.Name(p.name) }

// Handler serves the issuers.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, name := range s.names {
		p := s.providers[name]
		p.handle(mux, "GET", ".well-known/openid-configuration", p.discovery)
		p.handle(mux, "GET", "jwks", p.jwks)
		p.handle(mux, "", "authorize", p.authorize)
		p.handle(mux, "POST", "token", p.token)
		p.handle(mux, "POST", "device_authorization", p.deviceAuthorization)
		p.handle(mux, "GET", "device", p.devicePage)
		p.handle(mux, "", "userinfo", p.userInfo)
		p.handle(mux, "POST", "introspect", p.introspect)
		p.handle(mux, "", "claims", p.claims)
	}
	return mux
}

// handle puts the issuer's behaviour before an endpoint.
func (p *provider) handle(mux *http.ServeMux, method, path string, serve http.HandlerFunc) {
	pattern := "/" + p.name + "/" + path
	if method != "" {
		pattern = method + " " + pattern
	}
	endpoint := path[strings.LastIndexByte(path, '/')+1:]
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.requests[endpoint]++
		b := p.behaviour
		p.mu.Unlock()
		if b.Delay > 0 && wait(r.Context(), b.Delay) != nil {
			return
		}
		if b.Before != nil && b.Before(endpoint, w, r) {
			return
		}
		if b.Outage {
			http.Error(w, "out of order", http.StatusServiceUnavailable)
			return
		}
		if method != "GET" { // everything that may bear a token (passports.md, row 71)
			w.Header().Set("Cache-Control", "no-store, no-cache")
			w.Header().Set("Pragma", "no-cache")
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxRequestBytes)
		serve(w, r)
	})
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func (p *provider) discovery(w http.ResponseWriter, _ *http.Request) {
	at := func(path string) string { return p.issuer() + "/" + path }
	b := p.is()
	methods := []string{"client_secret_basic", "private_key_jwt", "none"}
	algorithms := []string{"RS256", "ES256"}
	document := map[string]any{
		"issuer": p.issuer(), "jwks_uri": at("jwks"),
		"authorization_endpoint": at("authorize"), "token_endpoint": at("token"), "userinfo_endpoint": at("userinfo"),
		"introspection_endpoint": at("introspect"), "device_authorization_endpoint": at("device_authorization"),
		"response_types_supported": []string{"code"}, "response_modes_supported": []string{"query"},
		"grant_types_supported":      []string{grantCode, grantRefresh, grantDevice, grantExchange},
		"subject_types_supported":    []string{"public"},
		"scopes_supported":           []string{scopeOpenID, claimPassport, "offline_access"},
		"claims_supported":           []string{"sub", "name", claimPassport},
		"claim_types_supported":      []string{"normal", "aggregated", "distributed"},
		"claims_parameter_supported": false, "code_challenge_methods_supported": []string{"S256"},
		"id_token_signing_alg_values_supported": algorithms, "userinfo_signing_alg_values_supported": algorithms,
		"token_endpoint_auth_methods_supported": methods, "token_endpoint_auth_signing_alg_values_supported": algorithms,
		"introspection_endpoint_auth_methods_supported":  methods[:2],
		"dpop_signing_alg_values_supported":              algorithms,
		"authorization_response_iss_parameter_supported": b.ResponseIss == nil,
	}
	if b.NoDevice {
		delete(document, "device_authorization_endpoint")
		document["grant_types_supported"] = []string{grantCode, grantRefresh, grantExchange}
	}
	if b.Discovery != nil {
		b.Discovery(document)
	}
	writeJSON(w, http.StatusOK, document)
}

func (p *provider) jwks(w http.ResponseWriter, _ *http.Request) {
	body, err := p.server.keySet(p.name)
	if err != nil {
		http.Error(w, "the keys cannot be read", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(body)
}

// refusal is an OAuth error answer.
type refusal struct {
	status      int
	code, about string
}

func (r *refusal) Error() string { return r.code + ": " + r.about }

func refuse(code, format string, args ...any) *refusal {
	return &refusal{http.StatusBadRequest, code, fmt.Sprintf(format, args...)}
}

// writeRefusal answers in the form of RFC 6749, section 5.2.
func writeRefusal(w http.ResponseWriter, err error) {
	r := &refusal{http.StatusInternalServerError, "server_error", "the pretend issuer failed"}
	errors.As(err, &r)
	if r.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="pretend"`)
	}
	writeJSON(w, r.status, map[string]any{"error": r.code, "error_description": r.about})
}

func writeJSON(w http.ResponseWriter, status int, v map[string]any) {
	maps.DeleteFunc(v, func(_ string, value any) bool { return value == nil })
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

// now is the issuer's time.
func (p *provider) now() time.Time { return p.server.Now() }

// percent encodes what stands between the separators of a link's value.
func percent(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

func words(scope string) []string { return strings.Fields(scope) }

func passportScoped(scope []string) bool {
	return slices.Contains(scope, scopeOpenID) && slices.Contains(scope, claimPassport)
}
