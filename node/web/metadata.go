package web

import (
	"net/http"
	"slices"

	"github.com/candignode/candignode/api"
	"github.com/candignode/candignode/query/beacon"
	"github.com/candignode/candignode/trust"
)

// proofAlgorithms are those that proofs may be signed with.
var proofAlgorithms = []string{"ES256", "RS256"}

// issuers gives the names of the configured issuers that fit, sorted.
func (e *exchange) issuers(fits func(trust.IssuerPolicy) bool) []string {
	names := []string{}
	for _, p := range e.o.Issuers() {
		if fits(p) {
			names = append(names, p.Issuer)
		}
	}
	slices.Sort(names)
	return names
}

func givesTokens(p trust.IssuerPolicy) bool    { return p.Tokens != trust.WayNone }
func givesPassports(p trust.IssuerPolicy) bool { return p.Is(trust.KindPassport) }

// resourceMetadata says whose tokens are taken here (RFC 9728, section 2;
// passports.md, row 111). A client compares resource with the address that it asked,
// so without one of its own the node says nothing.
func resourceMetadata(e *exchange) error {
	if err := beacon.CheckInfo(e.parameters); err != nil {
		return err
	}
	if e.o.ExternalURL == "" {
		return errNoSuchPath
	}
	m := api.ProtectedResource{
		Resource: e.o.ExternalURL, AuthorizationServers: e.issuers(givesTokens),
		ScopesSupported: []string{"openid", "ga4gh_passport_v1"}, BearerMethodsSupported: []string{"header"},
		CertificateBound: e.o.Certificates, SignIn: []api.SignIn{},
	}
	if e.o.KeySet != nil {
		m.JWKSURI = e.o.ExternalURL + "/jwks"
	}
	if e.o.Proofs != nil {
		m.ProofAlgorithms = proofAlgorithms
	}
	for _, p := range e.o.Issuers() {
		if p.SignIn && p.Client.CommandLineID != "" {
			m.SignIn = append(m.SignIn, api.SignIn{Issuer: p.Issuer, ClientID: p.Client.CommandLineID})
		}
	}
	slices.SortFunc(m.SignIn, func(a, b api.SignIn) int {
		if a.Issuer < b.Issuer {
			return -1
		}
		return 1
	})
	return e.answer(http.StatusOK, jsonType, m)
}

// homePath is where an issuer says which site is its home (trust-protocol.md, section 7, Home
// authority); a node that is an issuer says it of itself.
const homePath = "/.well-known/candignode-site"

func homeSite(e *exchange) error {
	if err := beacon.CheckInfo(e.parameters); err != nil {
		return err
	}
	return e.answer(http.StatusOK, jsonType, map[string]trust.SiteID{"site": e.o.SiteID})
}

// authorizations answers OPTIONS: how to show who one is, and whose passports are
// taken, before anybody sends one (DRS 1.3, Authorizations; passports.md, row 139).
func authorizations(e *exchange) error {
	types := []string{"BearerAuth", "PassportAuth"}
	if e.anonymous {
		types = append([]string{"None"}, types...)
	}
	return e.answer(http.StatusOK, jsonType, api.Authorizations{
		SupportedTypes: types, PassportAuthIssuers: e.issuers(givesPassports), BearerAuthIssuers: e.issuers(givesTokens),
	})
}
