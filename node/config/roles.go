package config

import (
	"crypto"
	"crypto/ecdsa"
	"time"

	"github.com/candignode/candignode/trust"
)

// Client is this node as an OAuth client of an issuer.
type Client struct {
	ID            string `yaml:"id"`
	Key           string `yaml:"key"`             // file; private_key_jwt
	SecretFile    string `yaml:"secret_file"`     // client_secret_basic, where the issuer knows nothing better
	CommandLineID string `yaml:"command_line_id"` // the public client that people's command lines sign in as
}

// Endpoints are an issuer's, where its discovery document does not name them or
// the operator knows better.
type Endpoints struct {
	Authorization       string `yaml:"authorization"`
	Token               string `yaml:"token"`
	UserInfo            string `yaml:"userinfo"`
	Introspection       string `yaml:"introspection"`
	DeviceAuthorization string `yaml:"device_authorization"`
}

// ClaimSource is what an issuer of kind claims may be asked for, and where.
type ClaimSource struct {
	Endpoints []string `yaml:"endpoints"`
	Names     []string `yaml:"names"`      // default [ga4gh_passport_v1]
	TokenFile string   `yaml:"token_file"` // a pre-negotiated access token
}

// Sessions bounds the sessions of people who signed in here.
type Sessions struct {
	Life         time.Duration `yaml:"life"`
	MaxPerPerson int           `yaml:"max_per_person"`
}

// Claims is how aggregated and distributed claims are read.
type Claims struct {
	Arrays bool `yaml:"arrays"` // take several sources for one claim, which OpenID Connect Core does not know
}

// Signing is what all that this site signs has in common.
type Signing struct {
	// SubjectsKey is the file with the secret that people's names in it are made
	// with, so that nobody learns their names elsewhere from it.
	SubjectsKey string `yaml:"subjects_key"`

	subjects trust.Digest // of the secret; zero where no role needs it
}

// DAC makes this site the voice of a data access committee: its grants leave as
// visas. Source "" is no such role.
type DAC struct {
	Source    string        `yaml:"source"`     // the committee, as visas name it
	Key       string        `yaml:"key"`        // file; signs visas and nothing else
	VisaTTL   time.Duration `yaml:"visa_ttl"`   // nobody can take a visa back before it ends
	ClaimName string        `yaml:"claim_name"` // the claim that carries the visas; default ga4gh_passport_v1

	key *ecdsa.PrivateKey
}

// Enabled tells whether the site has the role.
func (d DAC) Enabled() bool { return d.Source != "" }

// SigningKey is the key in the file; nil without the role.
func (d DAC) SigningKey() *ecdsa.PrivateKey { return d.key }

// Broker makes this site an issuer of passports for the people who sign in here.
type Broker struct {
	Enabled     bool           `yaml:"enabled"`
	Key         string         `yaml:"key"`      // file; signs passports and ID Tokens, and nothing else; P-256 or RSA
	LinkKey     string         `yaml:"link_key"` // file; signs the links between the broker's names and people's own
	PassportTTL time.Duration  `yaml:"passport_ttl"`
	ArrayClaims bool           `yaml:"array_claims"` // UserInfo merges several sources under one claim name
	Clients     []BrokerClient `yaml:"clients"`

	key     crypto.Signer
	linkKey *ecdsa.PrivateKey
}

// SigningKey is the key in the file; nil without the role.
func (b Broker) SigningKey() crypto.Signer { return b.key }

// LinkSigningKey is the key in the file; nil without the role.
func (b Broker) LinkSigningKey() *ecdsa.PrivateKey { return b.linkKey }

// BrokerClient may exchange its people's access tokens for passports.
type BrokerClient struct {
	ID           string   `yaml:"id"`
	JWKSFile     string   `yaml:"jwks_file"` // its public keys, for private_key_jwt
	Targets      []string `yaml:"targets"`   // the resources that it may ask passports for
	RedirectURIs []string `yaml:"redirect_uris"`

	keys []trust.Key
}

// Keys are the client's public keys.
func (c BrokerClient) Keys() []trust.Key { return c.keys }
