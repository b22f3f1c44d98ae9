package members

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/roots"
)

// The keys under which the store keeps what this desk knows. Other desks' keys begin
// otherwise.
const (
	keyOwn  = "members/own"
	keySite = "members/site/" // + SiteID
)

type storedOwn struct {
	Genesis Genesis                         `json:"genesis"`
	Records []roots.Signed                  `json:"records"`
	Bound   map[trust.SiteName]trust.SiteID `json:"bound,omitempty"`
	Invites map[trust.SiteID]int64          `json:"invites,omitempty"`
	Joining string                          `json:"joining,omitempty"`
}

type storedSite struct {
	Records []roots.Signed `json:"records,omitempty"`
	Other   []roots.Signed `json:"other,omitempty"` // the other half of a fork
	Name    trust.SiteName `json:"name,omitempty"`
	Local   Local          `json:"local"`
	Witness []string       `json:"witness,omitempty"`
	Words   []string       `json:"words,omitempty"`
}

// write fills in what the draft changed.
func (d *draft) write() error {
	for key := range d.save {
		id, isSite := strings.CutPrefix(key, keySite)
		var value any
		if isSite {
			value = d.sites[trust.SiteID(id)].stored()
		} else {
			value = storedOwn{d.genesis, d.own.Records(), d.bound, d.invites, d.joining}
		}
		b, err := json.Marshal(value)
		if err != nil {
			return err
		}
		d.save[key] = b
	}
	return nil
}

func (s *site) stored() storedSite {
	out := storedSite{Name: s.name, Local: s.local, Witness: s.witness}
	if c := s.standing.Chain(); c != nil {
		out.Records = c.Records()
	}
	if _, other := s.standing.Proof(); other != nil {
		out.Other = other.Records()
	}
	for _, w := range s.words {
		out.Words = append(out.Words, w.envelope)
	}
	slices.Sort(out.Words)
	return out
}

// FirstState gives the entry that a new site's state begins with: its own first record, and
// the network that it founds, or "" for none yet.
func FirstState(own *roots.Chain, genesis Genesis) (key string, value []byte, err error) {
	value, err = json.Marshal(storedOwn{Genesis: genesis, Records: own.Records()})
	return keyOwn, value, err
}

// load reads what was stored. Everything that was signed is verified again.
func (s *state) load(entries map[string][]byte) error {
	var own storedOwn
	raw, ok := entries[keyOwn]
	if !ok {
		return ErrNoSite
	}
	if err := jose.Unmarshal(raw, &own); err != nil {
		return fmt.Errorf("this site's own record: %w (restore a backup of the state file)", err)
	}
	var err error
	if s.own, err = roots.Open(own.Records); err != nil {
		return fmt.Errorf("this site's own record: %w (restore a backup of the state file)", err)
	}
	s.genesis, s.joining = own.Genesis, own.Joining
	for name, id := range own.Bound {
		s.bound[name] = id
	}
	for id, until := range own.Invites {
		s.invites[id] = until
	}
	stored := map[trust.SiteID]storedSite{}
	for key, value := range entries {
		id, ok := strings.CutPrefix(key, keySite)
		if !ok {
			continue
		}
		var one storedSite
		if err := jose.Unmarshal(value, &one); err != nil {
			return fmt.Errorf("what is kept of site %.60q: %w (restore a backup of the state file)", id, err)
		}
		known := &site{name: one.Name, local: one.Local, witness: one.Witness, words: map[trust.SiteID]word{}}
		for _, records := range [][]roots.Signed{one.Records, one.Other} {
			if len(records) == 0 {
				continue
			}
			c, err := roots.Open(records)
			if err != nil || string(c.ID()) != id {
				return fmt.Errorf("what is kept of site %.60q is another's, or broken: %w (restore a backup of the state file)", id, err)
			}
			known.standing = known.standing.Join(roots.Stand(c))
		}
		s.sites[trust.SiteID(id)], stored[trust.SiteID(id)] = known, one
	}
	return s.loadWords(stored)
}

// loadWords verifies words when all chains are known. One by a key that its site gave up is
// left out: nobody counts it.
func (s *state) loadWords(stored map[trust.SiteID]storedSite) error {
	for id, one := range stored {
		for _, envelope := range one.Words {
			w, err := openWord(envelope, s.genesis.Network(), s.nodeKey, farFuture)
			if err == nil && w.By == id {
				s.sites[id].words[w.About] = w
			}
		}
	}
	return nil
}
