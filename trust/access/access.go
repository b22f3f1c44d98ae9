// Package access holds the nouns of one decision: all that it is handed, and
// what it says. A decision is a pure function of its Input, so it can be replayed
// from the audit record, and the policy engine keeps no second copy of the state.
package access

import (
	"time"

	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/trust"
)

// Level is how a dataset is protected (Beacon v2, securityLevels).
type Level string

// The levels.
const (
	Public     Level = "public"     // anybody
	Registered Level = "registered" // a known researcher
	Controlled Level = "controlled" // somebody who was granted this dataset
)

// RegisteredBy says what makes a caller registered for a dataset. Beacon does
// not say, so each site maps it (passports.md, row 133).
type RegisteredBy string

// The mappings.
const (
	ByVisas RegisteredBy = "visas" // AcceptedTermsAndPolicies and ResearcherStatus with the same value, of one identity
	ByLogin RegisteredBy = "login" // any accepted passport
)

// Dataset is what the operator says about one dataset.
type Dataset struct {
	ID    string `json:"id"`
	Level Level  `json:"access"`
	// Value is what a ControlledAccessGrants visa must have as its value,
	// exactly; for registered datasets, the value the two visas must share ("" is
	// any shared value).
	Value string `json:"value"`
	// Issuers, Sources and By narrow which visas count for the dataset: the
	// visa's issuer, source and by must each be listed. Empty Issuers or Sources
	// mean all that the site trusts for such visas; By is never empty for
	// controlled datasets.
	Issuers      []string     `json:"issuers,omitempty"`
	Sources      []string     `json:"sources,omitempty"`
	By           []string     `json:"by,omitempty"`
	RegisteredBy RegisteredBy `json:"registered_by,omitempty"`
}

// Grant is this site's own word that an identity may use a dataset until a time,
// beside what visas say.
type Grant struct {
	ID string `json:"id"`
	trust.Identity
	Dataset string    `json:"dataset"`
	Until   time.Time `json:"until"`
	Created time.Time `json:"created"`
}

// Input is all that one decision about one dataset may depend on.
type Input struct {
	Now         time.Time
	Site        trust.SiteName
	Caller      trust.Caller
	Dataset     Dataset
	Grants      []Grant // the caller's own, for this dataset
	Entity      query.Entity
	Granularity query.Granularity // asked for
}

// Decision is the policy's answer. The zero Decision denies.
type Decision struct {
	Allow       bool
	Granularity query.Granularity // ceiling, already lowered to what was asked
	// ExactCounts lifts the privacy threshold: the caller holds a controlled
	// grant for the dataset.
	ExactCounts bool
	// Rule names the rule that allowed or, when denied, what was missing.
	Rule           string
	Visas          []trust.Digest // the visas that the rule relied on
	Grants         []string       // the grants that it relied on
	Until          time.Time      // the least expiry of what it relied on; zero: no expiry
	PolicyRevision string
}
