// Package config reads candignode.yaml: it knows every key, refuses what it does
// not know, and names every problem of a file at once, each with its line and
// what to write instead.
//
// A Config is what the operator wrote, with defaults filled in, paths made
// absolute and the files it names read and checked; it is never changed
// afterwards. configs/candignode.yaml is the manual of all keys, and the file
// that `candignode init` writes is made from it.
//
// Secrets stand in files of their own and are named by path, so a configuration
// may be shown to a colleague.
package config

import (
	"crypto/ecdsa"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
)

// Config is one whole configuration. The names in the tags are the keys of the
// file; operators' scripts depend on them.
type Config struct {
	Site       Site       `yaml:"site"`
	DataDir    string     `yaml:"data_dir"`
	Federation Federation `yaml:"federation"`
	API        API        `yaml:"api"`
	Admin      Admin      `yaml:"admin"`
	Issuers    []Issuer   `yaml:"issuers"`
	// DatasetList is as written; Datasets gives them as the policy wants them.
	DatasetList []Dataset `yaml:"datasets"`
	Policy      Policy    `yaml:"policy"`
	Privacy     Privacy   `yaml:"privacy"`
	Limits      Limits    `yaml:"limits"`
	Log         Log       `yaml:"log"`
	Metrics     Metrics   `yaml:"metrics"`
	Sessions    Sessions  `yaml:"sessions"`
	Claims      Claims    `yaml:"claims"`
	Signing     Signing   `yaml:"signing"`
	DAC         DAC       `yaml:"dac"`
	Broker      Broker    `yaml:"broker"`

	path     string
	warnings []Problem
}

// Site is who this site is.
type Site struct {
	Name        trust.SiteName `yaml:"name"`
	DisplayName string         `yaml:"display_name"` // default: the name
}

// Federation is the one UDP port and who may be at its other end.
type Federation struct {
	Listen    string `yaml:"listen"`    // UDP address
	Advertise string `yaml:"advertise"` // host:port that peers reach us at; "" if none do
	Network   string `yaml:"network"`   // the same word at every site of one federation
	NodeKey   string `yaml:"node_key"`  // file
	PeerList  []Peer `yaml:"peers"`
}

// Peer is another site, pinned by its node's key, and by its SiteID if that is given.
type Peer struct {
	Name  trust.SiteName `yaml:"name"`
	Node  trust.NodeID   `yaml:"node"`
	Addr  string         `yaml:"addr"`  // host:port
	Query bool           `yaml:"query"` // may ask us; default false
	// Disclose is what the peer may be told of this site's researchers: whole, announced,
	// nothing; default whole.
	Disclose string       `yaml:"disclose"`
	Site     trust.SiteID `yaml:"site"` // "": the first site record that has the node binds the name to its site
}

// API is the HTTPS listener for researchers and Beacon clients.
type API struct {
	Listen      string `yaml:"listen"`
	ExternalURL string `yaml:"external_url"` // how clients name us; no trailing slash; "" if not known
	TLS         TLS    `yaml:"tls"`
}

// TLS names a certificate chain and its key, both PEM files. Both are "" where
// something in front of the node ends TLS.
type TLS struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
	// ClientCertificates asks clients for a certificate, so that tokens may be
	// bound to it (RFC 8705). Who has none is served all the same.
	ClientCertificates bool `yaml:"client_certificates"`
}

// Enabled tells whether the listener speaks TLS itself.
func (t TLS) Enabled() bool { return t.Cert != "" }

// Admin is the operator's door, a unix socket of mode 0660.
type Admin struct {
	Socket string `yaml:"socket"`
}

// Issuer is what this site trusts one issuer for. IssuerPolicies gives it with
// its files read.
type Issuer struct {
	Issuer                string           `yaml:"issuer"`
	Kinds                 []trust.Kind     `yaml:"kinds"`
	Mode                  trust.Mode       `yaml:"mode"`
	Witnesses             []trust.SiteName `yaml:"witnesses"`
	K                     int              `yaml:"k"`
	Home                  trust.SiteName   `yaml:"home"`
	Algorithms            []string         `yaml:"algs"` // default all that are taken: RS256 and ES256
	Groups                []Group          `yaml:"groups"`
	Continuity            string           `yaml:"continuity"` // on, off
	ClientIDs             []string         `yaml:"client_ids"`
	PeerClientIDs         []PeerClientIDs  `yaml:"peer_client_ids"`
	AcceptUnboundFrom     []trust.SiteName `yaml:"accept_unbound_from"`
	RequireAud            bool             `yaml:"require_aud"`
	JWKSFile              string           `yaml:"jwks_file"`
	JKU                   []string         `yaml:"jku"`
	VisaTypes             []string         `yaml:"visa_types"`
	Sources               []string         `yaml:"sources"`
	ValuePrefixes         []string         `yaml:"value_prefixes"`
	CAFile                string           `yaml:"ca_file"`
	AllowPrivateAddresses bool             `yaml:"allow_private_addresses"`
	AllowMissingKID       bool             `yaml:"allow_missing_kid"`
	WaiveKeyUse           bool             `yaml:"waive_key_use"`
	MaxStale              time.Duration    `yaml:"max_stale"`

	Tokens           trust.TokenWay `yaml:"tokens"`
	OpaqueTokens     bool           `yaml:"opaque_tokens"`
	ScopeArray       bool           `yaml:"scope_array"`
	SignIn           bool           `yaml:"sign_in"`
	Scopes           []string       `yaml:"scopes"`
	Client           Client         `yaml:"client"`
	Endpoints        Endpoints      `yaml:"endpoints"`
	AccessTokenVisas bool           `yaml:"access_token_visas"`
	LinksFor         []string       `yaml:"links_for"`
	MaxAssertedAge   time.Duration  `yaml:"max_asserted_age"`
	Claims           ClaimSource    `yaml:"claims"`

	// The files, as they were when the configuration was loaded.
	jwks, ca           []byte
	clientKey          *ecdsa.PrivateKey
	secret, claimToken trust.AccessToken
}

// Group is one vantage: its witnesses have one vote together.
type Group struct {
	Name      trust.SiteName   `yaml:"name"`
	Witnesses []trust.SiteName `yaml:"witnesses"`
}

// PeerClientIDs are one peer's client ids at an issuer, as its operator told us.
type PeerClientIDs struct {
	Site      trust.SiteName `yaml:"site"`
	ClientIDs []string       `yaml:"client_ids"`
}

// Dataset is one dataset and who may ask about it.
type Dataset struct {
	ID           string              `yaml:"id"`
	Access       access.Level        `yaml:"access"`
	Value        string              `yaml:"value"`
	Issuers      []string            `yaml:"issuers"`
	Sources      []string            `yaml:"sources"`
	By           []string            `yaml:"by"`            // default [dac]
	RegisteredBy access.RegisteredBy `yaml:"registered_by"` // default visas
}

// Policy says which access policy decides.
type Policy struct {
	Dir string `yaml:"dir"` // "": the built-in one
}

// Privacy bounds what an answer may tell about few individuals.
type Privacy struct {
	Threshold int    `yaml:"threshold"` // distinct individuals
	Round     int    `yaml:"round"`     // read and checked, not applied by this version
	Budget    Budget `yaml:"budget"`    // read and checked, not applied by this version
}

// Budget is how many answers one caller gets in a time.
type Budget struct {
	Answers int `yaml:"answers"`
	Days    int `yaml:"days"`
}

// Limits are the operator's own bounds on work.
type Limits struct {
	QueryTimeout        time.Duration `yaml:"query_timeout"`
	PeerTimeout         time.Duration `yaml:"peer_timeout"`
	IssuerPoll          time.Duration `yaml:"issuer_poll"`
	ConcurrentQuestions int           `yaml:"concurrent_questions"`
	CacheEntries        int           `yaml:"cache_entries"` // verified passports
	CacheBytes          int           `yaml:"cache_bytes"`   // of them together
}

// Log says how the node writes its log, always to standard error.
type Log struct {
	Level  string `yaml:"level"`  // debug, info, warn, error
	Format string `yaml:"format"` // json, text
}

// Metrics is a listener for Prometheus; "" leaves them on the admin socket only.
type Metrics struct {
	Listen string `yaml:"listen"`
}

// Path is the file that the configuration was loaded from.
func (c *Config) Path() string { return c.path }

// Warnings are what is legal but worth a second look, in the order of the file.
func (c *Config) Warnings() []Problem { return append([]Problem(nil), c.warnings...) }
