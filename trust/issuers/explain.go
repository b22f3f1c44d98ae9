package issuers

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/candignode/candignode/trust"
)

// ErrNotConfigured is returned for an issuer that the configuration does not
// name: such an issuer is not fetched, not verified, not trusted.
var ErrNotConfigured = errors.New("issuer is not configured at this site")

// Explanation says what is believed of one issuer, and why. Its JSON is read by
// scripts: members may be added, never renamed.
type Explanation struct {
	Issuer        string             `json:"issuer"`
	Mode          trust.Mode         `json:"mode"`
	Kinds         []trust.Kind       `json:"kinds"`
	Problem       string             `json:"problem,omitempty"`
	JWKSURI       string             `json:"jwks_uri,omitempty"`
	Needed        int                `json:"witnesses_needed"`
	MaxStale      string             `json:"max_stale"`
	WaiveKeyUse   bool               `json:"waive_key_use,omitempty"`
	Algorithms    []string           `json:"algs,omitempty"` // those that the operator takes, if fewer than all
	TrustRevision uint64             `json:"trust_revision"`
	Keys          []ExplainedKey     `json:"keys"`
	OwnFetch      *ExplainedFetch    `json:"own_fetch,omitempty"`
	Witnesses     []ExplainedWitness `json:"witnesses"`
	Home          trust.SiteName     `json:"home,omitempty"` // bound: its tombstones count
	Held          bool               `json:"held_back,omitempty"`
	Tombstones    []Acknowledgement  `json:"tombstones"` // this site's own
	Alarms        []Alarm            `json:"alarms"`
}

// ExplainedKey is one key that somebody named for the issuer.
type ExplainedKey struct {
	Thumbprint string     `json:"thumbprint"`
	KeyID      string     `json:"kid,omitempty"`
	Algorithm  string     `json:"alg,omitempty"`
	Believed   bool       `json:"believed"`
	Until      time.Time  `json:"until,omitzero"`
	Why        string     `json:"why"`
	Distrusted bool       `json:"distrusted,omitempty"`
	SeenBy     []Sighting `json:"seen_by"`
}

// ExplainedFetch is this node's own fetching of the issuer.
type ExplainedFetch struct {
	At       time.Time              `json:"at,omitzero"`    // of the newest that succeeded
	Tried    time.Time              `json:"tried,omitzero"` // of the newest; zero since a restart
	OK       bool                   `json:"ok"`
	Error    string                 `json:"error,omitempty"`
	Rejected []ExplainedRejectedKey `json:"rejected"`
}

// ExplainedRejectedKey is a published key that is not used.
type ExplainedRejectedKey struct {
	Thumbprint string `json:"thumbprint,omitempty"`
	KeyID      string `json:"kid,omitempty"`
	Why        string `json:"why"`
}

// ExplainedWitness is one witness of the policy, or another peer that observes
// the issuer; only a named one counts.
type ExplainedWitness struct {
	Site       trust.SiteName `json:"site"`
	Named      bool           `json:"named"` // in the issuer's policy
	Known      bool           `json:"known"` // a head of it is held
	Fresh      bool           `json:"fresh"` // its head counts
	Forked     bool           `json:"forked"`
	HeadAge    int64          `json:"head_age_s,omitempty"`
	Epoch      int64          `json:"e,omitempty"`
	Version    int64          `json:"ver,omitempty"`
	ObservedAt time.Time      `json:"observed_at,omitzero"`
	Agrees     bool           `json:"agrees"` // it sees exactly the keys that this node fetched, or believes where it does not fetch
}

// Explain tells what is believed of an issuer and why, as of the newest View.
func (d *Desk) Explain(issuer string) (Explanation, error) {
	s := d.state.Load()
	p, ok := s.policies[issuer]
	if !ok {
		return Explanation{}, fmt.Errorf("%.200q: %w", issuer, ErrNotConfigured)
	}
	b, f := s.beliefs[issuer], s.fetches[issuer]
	e := Explanation{
		Issuer: issuer, Mode: p.Mode, Kinds: slices.Clone(p.Kinds), Problem: b.Problem, JWKSURI: cmp.Or(b.JWKSURI, f.JWKSURI),
		Needed: b.Needed, MaxStale: staleAfter(p).String(), WaiveKeyUse: p.WaiveKeyUse, Algorithms: slices.Clone(p.Algorithms), TrustRevision: s.revision,
		Keys: []ExplainedKey{}, Witnesses: s.explainWitnesses(p, d.site, d.now()), Alarms: []Alarm{},
	}
	for _, k := range b.Keys {
		e.Keys = append(e.Keys, ExplainedKey{
			Thumbprint: k.Thumbprint, KeyID: k.KeyID, Algorithm: k.Algorithm, Believed: k.Believed,
			Until: k.Until, Why: k.Why, Distrusted: k.Buried, SeenBy: append([]Sighting{}, k.SeenBy...),
		})
	}
	e.Home, e.Held, e.Tombstones = s.home(issuer), b.Held, []Acknowledgement{}
	for _, a := range d.Acknowledgements() {
		if a.Issuer == issuer {
			e.Tombstones = append(e.Tombstones, a)
		}
	}
	if fetches(p) {
		// Shown even before the first fetch: "not yet" is an answer too.
		e.OwnFetch = &ExplainedFetch{At: f.at, Tried: f.tried, OK: f.err == "" && !f.at.IsZero(), Error: f.err, Rejected: []ExplainedRejectedKey{}}
		for _, r := range f.Rejected {
			e.OwnFetch.Rejected = append(e.OwnFetch.Rejected, ExplainedRejectedKey{r.Thumbprint, r.KeyID, r.Why})
		}
	}
	// Alarms that concern a site are shown for the issuers it witnesses; those of other
	// sites would send the reader the wrong way.
	for _, a := range d.Alarms() {
		if a.Issuer == issuer || a.Issuer == "" && (a.Site == "" || a.Site == d.site || slices.Contains(p.Witnesses, a.Site)) {
			e.Alarms = append(e.Alarms, a)
		}
	}
	return e, nil
}

// explainWitnesses shows the policy's witnesses, heard of or not, and whoever else
// observes the issuer: an operator who forgot to name a witness finds it here.
func (s *state) explainWitnesses(p trust.IssuerPolicy, self trust.SiteName, now time.Time) []ExplainedWitness {
	now = s.evaluation(now)
	sites := slices.Clone(p.Witnesses)
	for site := range s.peers {
		if a := s.author(site); a != nil && slices.ContainsFunc(a.witness().Observations, func(o Observation) bool { return o.Issuer == p.Issuer }) {
			sites = append(sites, site)
		}
	}
	slices.Sort(sites)
	witnesses := []ExplainedWitness{}
	own := s.fetches[p.Issuer].prints()
	if fromElsewhere(p) {
		own = believedPrints(s.beliefs[p.Issuer])
	}
	for _, site := range slices.Compact(sites) {
		if site == self {
			continue
		}
		w := ExplainedWitness{Site: site, Named: slices.Contains(p.Witnesses, site)}
		if a := s.author(site); a != nil {
			word, at := a.witness(), a.place()
			w.Known, w.Forked, w.Epoch, w.Version = true, word.Forked, at.Epoch, at.Version
			w.Fresh = !word.Forked && fresh(word.Issued, staleAfter(p), now)
			if !word.Issued.IsZero() {
				w.HeadAge = int64(now.Sub(word.Issued) / time.Second)
			}
			for _, o := range word.Observations {
				if o.Issuer == p.Issuer {
					w.ObservedAt, w.Agrees = o.At, slices.Equal(o.Thumbprints, own)
				}
			}
		}
		witnesses = append(witnesses, w)
	}
	return witnesses
}

// prints gives the thumbprints of a fetch, as an observation would list them.
func (f fetchState) prints() []string {
	var prints []string
	for _, k := range f.Keys {
		prints = append(prints, k.Thumbprint)
	}
	return slices.Compact(prints)
}

func believedPrints(b Belief) []string {
	var prints []string
	for _, k := range b.Keys {
		if k.Believed {
			prints = append(prints, k.Thumbprint)
		}
	}
	return slices.Compact(prints)
}

// Summary is one issuer in one line.
type Summary struct {
	Issuer         string       `json:"issuer"`
	Mode           trust.Mode   `json:"mode"`
	Kinds          []trust.Kind `json:"kinds"`
	KeysBelieved   int          `json:"keys_believed"`
	KeysSeen       int          `json:"keys_seen"`
	Until          time.Time    `json:"until,omitzero"` // when the first believed key grows stale
	FetchedAt      time.Time    `json:"fetched_at,omitzero"`
	FetchError     string       `json:"fetch_error,omitempty"`
	WitnessesFresh int          `json:"witnesses_fresh"`
	Needed         int          `json:"witnesses_needed"`
	Alarms         int          `json:"alarms"`
}

// List gives every configured issuer, by name.
func (d *Desk) List() []Summary {
	list := []Summary{}
	for _, issuer := range slices.Sorted(maps.Keys(d.state.Load().policies)) {
		e, err := d.Explain(issuer)
		if err != nil {
			continue // removed this very moment
		}
		l := Summary{Issuer: issuer, Mode: e.Mode, Kinds: e.Kinds, KeysSeen: len(e.Keys), Needed: e.Needed, Alarms: len(e.Alarms)}
		for _, k := range e.Keys {
			if k.Believed {
				l.KeysBelieved++
				// A pinned key has no end that is worth a column.
				if e.Mode != trust.ModeManual && (l.Until.IsZero() || k.Until.Before(l.Until)) {
					l.Until = k.Until
				}
			}
		}
		if e.OwnFetch != nil {
			l.FetchedAt, l.FetchError = e.OwnFetch.At, e.OwnFetch.Error
		}
		for _, w := range e.Witnesses {
			if w.Named && w.Fresh {
				l.WitnessesFresh++
			}
		}
		list = append(list, l)
	}
	return list
}
