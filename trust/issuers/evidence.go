package issuers

import (
	"time"

	"github.com/candignode/candignode/trust"
)

// Evidence is all that one decision about one issuer is handed. It names no
// policy: what counts is for Believe and the operator's word to say.
type Evidence struct {
	Self   trust.SiteName // this site: never its own witness
	Pinned []trust.Key    // the operator's key set, for mode manual
	Own    Fetch          // what this node fetched itself
	Sites  []Witness      // every other site's word, whoever it is
	Floor  time.Time      // the time that evaluation never falls below
	// Buried are this operator's own tombstones, whose word needs nobody.
	Buried []Tombstone
	// Home is the issuer's bound home, or "": its tombstones count, and nobody else's.
	Home trust.SiteName
	// Bodies are the key sets that records name, as far as they are held and this policy reads them: modes quorum
	// and home. What is in a key set counts only for whoever names it.
	Bodies map[trust.Digest][]trust.Key
	// Former are keys as key sets had them that were named before. They count for nothing by themselves: a key that is
	// named now is in one of them while the key set of now was not had yet.
	Former []trust.Key
}

// Fetch is this node's own newest successful fetch of an issuer. The zero Fetch
// is none.
type Fetch struct {
	At   time.Time
	Keys []trust.Key
}

// Witness is what one site said in its newest head.
type Witness struct {
	Site         trust.SiteName
	Forked       bool      // it signed two histories: it weighs nothing
	Issued       time.Time // when it signed its newest head
	Observations []Observation
	Words        []IssuerWord
	Tombs        []Tombstone
}

// Observation is what a site fetched itself from an issuer over HTTPS.
type Observation struct {
	Issuer      string
	JWKSURI     string
	Metadata    trust.Digest
	Thumbprints []string // sorted
	At          time.Time
	// KeySet names the keys themselves, and HomeSite the site that the issuer's own origin names as its
	// home; both zero if the observer does not say.
	KeySet   trust.Digest
	HomeSite trust.SiteID
}

// IssuerWord is what an issuer's home says of it: the issuer record of section 6.
type IssuerWord struct {
	Issuer      string
	JWKSURI     string
	Metadata    trust.Digest
	KeySet      trust.Digest
	Thumbprints []string // sorted
	Algorithms  []string // sorted
	Kinds       []trust.Kind
	At          time.Time
	// Refresh is how often the home itself fetches: a hint for those who fetch, too. 0 is none.
	Refresh time.Duration
}

// Belief is what the evidence comes to.
type Belief struct {
	Issuer string
	Needed int // how many witnesses the policy asks for; 0 if none
	Keys   []KeyBelief
	// Held tells that keys are held back because they do not continue the set before.
	Held bool
	// Problem says why nothing can be believed at all, or is "".
	Problem string
	// JWKSURI is where the keys are said to come from, in modes in which this node does not ask itself.
	JWKSURI string
}

// KeyBelief is one key that somebody named for the issuer.
type KeyBelief struct {
	trust.Key // Public is nil if only witnesses know the key
	Believed  bool
	Buried    bool      // a tombstone takes belief from it
	Until     time.Time // when the evidence grows stale; zero unless believed
	Why       string    // for people
	SeenBy    []Sighting
}

// Sighting tells who saw a key, and when.
type Sighting struct {
	Site trust.SiteName `json:"site"`
	At   time.Time      `json:"at"`
}

// Believed gives the keys that are believed.
func (b Belief) Believed() []trust.BelievedKey {
	var keys []trust.BelievedKey
	for _, k := range b.Keys {
		if k.Believed {
			keys = append(keys, trust.BelievedKey{Key: k.Key, Until: k.Until})
		}
	}
	return keys
}

// Next is when the first believed key grows stale; zero if none does.
func (b Belief) Next() time.Time {
	var next time.Time
	for _, k := range b.Keys {
		if k.Believed && (next.IsZero() || k.Until.Before(next)) {
			next = k.Until
		}
	}
	return next
}
