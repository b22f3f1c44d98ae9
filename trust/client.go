package trust

import "crypto"

// TokenWay says how a passport is got for an access token of an issuer.
type TokenWay string

// The ways.
const (
	WayNone          TokenWay = ""              // its access tokens are not taken
	WayExchange      TokenWay = "exchange"      // token exchange for a passport (RFC 8693; GA4GH AAI 1.2, "Passport Issuers")
	WayUserInfo      TokenWay = "userinfo"      // ga4gh_passport_v1 of the UserInfo response (GA4GH AAI 1.2)
	WayIntrospection TokenWay = "introspection" // introspection says who it is (RFC 7662), UserInfo gives the visas if it has them
)

// Client is what this node is to an issuer: an OAuth client. The zero Client is
// none, and can do nothing that needs authentication.
type Client struct {
	ID string
	// Key authenticates the node by private_key_jwt (OpenID Connect Core 1.0, section
	// 9) under KeyID, which is its thumbprint; nil: Secret is used.
	Key   crypto.Signer
	KeyID string
	// Secret is for client_secret_basic, where an issuer knows nothing better. It
	// never prints.
	Secret AccessToken
	// CommandLineID is the public client that the command line signs in as, "" if
	// there is none.
	CommandLineID string
}

// Endpoints are an issuer's, out of its own discovery document or, where the
// operator wrote one, out of the configuration. "" is absent.
type Endpoints struct {
	Authorization       string
	Token               string
	UserInfo            string
	Introspection       string
	DeviceAuthorization string
	// ResponseIss tells that authorization responses carry iss (RFC 9207).
	ResponseIss bool
}

// ClaimSource is what an issuer of kind claims may be asked for, and where: the
// allow-list for aggregated and distributed claims (OpenID Connect Core 1.0,
// section 5.6.2; passports.md, row 87).
type ClaimSource struct {
	Endpoints []string    // compared exactly; no other address is ever asked
	Names     []string    // the claims that are taken from it
	Token     AccessToken // pre-negotiated, for sources that come without one
}
