package federation

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// Needs is what a site says that it needs to know of a caller: about which of its
// datasets it needs nothing, whose passports it takes, and which visas its rules
// read (trust-protocol.md, section 11: only the visas that the target needs). It is
// a wish, and the site that asks decides: what a site asks for beyond reason, it
// gets no more than the whole passport that it would have had without a word.
//
// It names datasets that anybody may ask about, and no others: what the other
// visas are for stands in it as digests of their values, so whoever reads it learns
// a value only if he holds a visa with it.
type Needs struct {
	// Open are the ids of the datasets whose counts are for anybody, and that no visa
	// opens further.
	Open []string `json:"open"`
	// Closed tells that there are other datasets.
	Closed bool `json:"closed"`
	// Passports are the issuers whose passports are taken, VisaIssuers those whose
	// visas are.
	Passports   []string `json:"passports"`
	VisaIssuers []string `json:"visa_issuers"`
	// Visas are those that the rules read. A visa that another one's conditions rest
	// on is needed with it, and need not stand here.
	Visas []VisaNeed `json:"visas"`
	// Links say whose word joins which names.
	Links []LinkNeed `json:"links"`
}

// VisaNeed is one kind of visa that a site reads: of this type, with this value, of
// one of these issuers. A zero Value is any, and so are no Issuers.
type VisaNeed struct {
	Type    string       `json:"type"`
	Value   trust.Digest `json:"value,omitzero"` // of the value's exact bytes
	Issuers []string     `json:"issuers,omitempty"`
}

// LinkNeed is an issuer whose LinkedIdentities visas join names of its own, and of
// the issuers in For.
type LinkNeed struct {
	Issuer string   `json:"issuer"`
	For    []string `json:"for,omitempty"`
}

// ErrNeeds is wrapped by every error about what a site says it needs.
var ErrNeeds = errors.New("not what a site may say that it needs")

// Encode gives the bytes that travel. A site that needs more than fits says the
// same in fewer words: values are left out, and any value is needed.
func (n Needs) Encode() ([]byte, error) {
	if len(n.Visas) > maxNeeded {
		n.Visas = anyValue(n.Visas)
	}
	if len(n.Open) > query.MaxDatasets {
		n.Open, n.Closed = n.Open[:query.MaxDatasets], true
	}
	b, err := json.Marshal(n)
	if err != nil {
		return nil, err
	}
	if _, err := ParseNeeds(b); err != nil {
		return nil, err
	}
	return b, nil
}

func anyValue(visas []VisaNeed) []VisaNeed {
	var few []VisaNeed
	for _, v := range visas {
		if !slices.ContainsFunc(few, func(w VisaNeed) bool { return w.Type == v.Type }) {
			few = append(few, VisaNeed{Type: v.Type})
		}
	}
	return few
}

// ParseNeeds reads what a peer sent. Unknown members are ignored, so that a newer
// peer can say more.
func ParseNeeds(b []byte) (*Needs, error) {
	if len(b) > maxNeedsBytes {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrNeeds, len(b), maxNeedsBytes)
	}
	var n Needs
	if err := jose.Unmarshal(b, &n); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNeeds, err)
	}
	switch {
	case n.Passports == nil || n.VisaIssuers == nil:
		// An empty document must not mean that nothing is needed.
		return nil, fmt.Errorf("%w: passports or visa_issuers is missing", ErrNeeds)
	case len(n.Open) > query.MaxDatasets:
		return nil, fmt.Errorf("%w: %d open datasets, at most %d", ErrNeeds, len(n.Open), query.MaxDatasets)
	case max(len(n.Passports), len(n.VisaIssuers), len(n.Visas), len(n.Links)) > maxNeeded:
		return nil, fmt.Errorf("%w: more than %d of a kind", ErrNeeds, maxNeeded)
	}
	for _, id := range n.Open {
		if err := query.ValidDatasetID(id); err != nil {
			return nil, fmt.Errorf("%w: %.80q is not a dataset id", ErrNeeds, id)
		}
	}
	return &n, nil
}

// Nobody tells whether the site answers the question for anybody alike, so that it
// needs to know nothing of who asks: a count, or less, about open datasets only. What
// this site's own operator would add for a caller whom he granted an open dataset by
// name is given up: nobody is told who asks.
func (n *Needs) Nobody(r query.Request) bool {
	if r.Granularity.Rank() > query.Count.Rank() {
		return false
	}
	if len(r.Datasets) == 0 {
		return !n.Closed
	}
	return !slices.ContainsFunc(r.Datasets, func(id string) bool { return !slices.Contains(n.Open, id) })
}

// Takes tells whether passports of the issuer are taken.
func (n *Needs) Takes(issuer string) bool { return slices.Contains(n.Passports, issuer) }

// Wants tells whether the site's rules read the visa by itself.
func (n *Needs) Wants(v trust.Visa) bool {
	if v.Type == trust.VisaLinkedIdentities || !slices.Contains(n.VisaIssuers, v.Issuer) {
		return false
	}
	return slices.ContainsFunc(n.Visas, func(w VisaNeed) bool {
		return w.Type == v.Type && (w.Value.IsZero() || w.Value == trust.DigestOfString(v.Value)) &&
			(len(w.Issuers) == 0 || slices.Contains(w.Issuers, v.Issuer))
	})
}

// Joins tells whether the word of one issuer that a name of its own is one of the
// other's counts.
func (n *Needs) Joins(by, of string) bool {
	return slices.ContainsFunc(n.Links, func(l LinkNeed) bool {
		return l.Issuer == by && (by == of || slices.Contains(l.For, of))
	})
}

// Choose gives those of the caller's visas that the site needs, in their order: what
// its rules read, what the conditions of those rest on, and the links that join two
// names which travel.
func (n *Needs) Choose(c trust.Caller) []trust.Visa {
	byDigest := make(map[trust.Digest]trust.Visa, len(c.Visas))
	for _, v := range c.Visas {
		byDigest[v.Digest] = v
	}
	needed := map[trust.Digest]bool{}
	for _, v := range c.Visas {
		if !n.Wants(v) {
			continue
		}
		needed[v.Digest] = true
		for _, d := range c.Supports[v.Digest] {
			other, held := byDigest[d]
			if held && other.Type != trust.VisaLinkedIdentities && slices.Contains(n.VisaIssuers, other.Issuer) {
				needed[d] = true
			}
		}
	}
	travel := map[trust.Identity]bool{c.Identity: true}
	for d := range needed {
		travel[byDigest[d].Identity] = true
	}
	for _, l := range n.ways(c.Links, travel) {
		needed[l.Visa] = true
	}
	var chosen []trust.Visa
	for _, v := range c.Visas {
		if needed[v.Digest] {
			chosen = append(chosen, v)
		}
	}
	return chosen
}

// ways gives the links that lie between two names that travel: one whose end is a
// name that does not, and that leads no further, tells the site of a name that it
// has no use for.
func (n *Needs) ways(links []trust.Link, travel map[trust.Identity]bool) []trust.Link {
	var left []trust.Link
	for _, l := range links {
		if l.A != l.B && n.Joins(l.A.Issuer, l.B.Issuer) {
			left = append(left, l)
		}
	}
	for {
		ends := map[trust.Identity]int{}
		for _, l := range left {
			ends[l.A]++
			ends[l.B]++
		}
		dead := func(id trust.Identity) bool { return !travel[id] && ends[id] < 2 }
		before := len(left)
		left = slices.DeleteFunc(left, func(l trust.Link) bool { return dead(l.A) || dead(l.B) })
		if len(left) == before {
			return left
		}
	}
}
