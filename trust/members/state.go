package members

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/audit"
	"github.com/candignode/candignode/trust/roots"
)

// Pin is a site that the configuration names.
type Pin struct {
	Name  trust.SiteName
	Node  trust.NodeID
	Site  trust.SiteID // "": the first chain that has Node binds it, for good
	Addrs []string
	Query bool
}

// site is all that is kept of one site.
type site struct {
	standing roots.Standing
	name     trust.SiteName // as this site calls it, for good
	local    Local          // without what the configuration says
	witness  []string       // issuers that the operator made it a witness for; "all"
	words    map[trust.SiteID]word
}

// state is one consistent picture. It is never changed once it is shown, nor is what its
// maps point to.
type state struct {
	genesis Genesis
	own     *roots.Chain
	pins    map[trust.SiteName]Pin
	bound   map[trust.SiteName]trust.SiteID // pins whose site is known
	sites   map[trust.SiteID]*site          // this one's own words stand under its own id
	invites map[trust.SiteID]int64          // open: until when, Unix seconds
	joining string                          // the invite that has not been taken up yet

	view     *View
	replaced chan struct{}
}

// draft is a state that is being made, with what must be written before it is shown.
type draft struct {
	*state
	save    map[string][]byte
	records []audit.Record
	now     time.Time
}

func (s *state) draft(now time.Time) *draft {
	next := *s
	next.bound, next.sites, next.invites = maps.Clone(s.bound), maps.Clone(s.sites), maps.Clone(s.invites)
	next.replaced = make(chan struct{})
	return &draft{state: &next, save: map[string][]byte{}, now: now}
}

// change gives a copy of a site to be changed, and has it written.
func (d *draft) change(id trust.SiteID) *site {
	next := &site{words: map[trust.SiteID]word{}}
	if old := d.sites[id]; old != nil {
		*next = *old
		next.words, next.witness = maps.Clone(old.words), slices.Clone(old.witness)
	}
	d.sites[id] = next
	d.save[keySite+string(id)] = nil // filled in by write
	return next
}

func (d *draft) record(outcome string, about trust.SiteName, detail string) {
	d.records = append(d.records, audit.Record{Time: d.now, Event: audit.EventSite, Outcome: outcome, Origin: about, Detail: detail})
}

// localOf gives the operator's whole word: the state's and the configuration's.
func (s *state) localOf(id trust.SiteID) Local {
	var local Local
	if known := s.sites[id]; known != nil {
		local = known.local
	}
	for name, bound := range s.bound {
		if bound == id {
			local.Pinned = true
			local.Query = local.Query || s.pins[name].Query
		}
	}
	return local
}

// evidence gathers what the roster is made of.
func (s *state) evidence() Evidence {
	ev := Evidence{Genesis: s.genesis, Self: s.own.ID(), Local: map[trust.SiteID]Local{}, Standings: map[trust.SiteID]roots.Standing{}}
	for id, known := range s.sites {
		if id != ev.Self {
			ev.Local[id] = s.localOf(id)
			ev.Standings[id] = known.standing
		}
		for _, w := range known.words {
			// A word by a key that its site has given up counts no more.
			if !s.speaks(id, w.signer) {
				continue
			}
			switch said := (Spoken{By: id, About: w.About, At: time.Unix(w.At, 0).UTC()}); w.Stance {
			case Endorses:
				ev.Endorsed = append(ev.Endorsed, said)
			case Expels:
				ev.Expelled = append(ev.Expelled, said)
			}
		}
	}
	for _, id := range s.bound {
		ev.Local[id] = s.localOf(id)
	}
	return ev
}

// chainOf gives a site's best chain, this one's included; nil if none is known.
func (s *state) chainOf(id trust.SiteID) *roots.Chain {
	if id == s.own.ID() {
		return s.own
	}
	if known := s.sites[id]; known != nil {
		return known.standing.Chain()
	}
	return nil
}

// speaks tells whether a node is one of the site's, by its newest record.
func (s *state) speaks(id trust.SiteID, node trust.NodeID) bool {
	c := s.chainOf(id)
	if c == nil {
		return false
	}
	_, ok := c.Record().NodeKey(node)
	return ok
}

// wanted tells whether anything is to be kept of a site that nothing is known of yet:
// somebody who counts must have named it.
func (s *state) wanted(id trust.SiteID) bool {
	if id == s.own.ID() {
		return false
	}
	if s.sites[id] != nil || slices.Contains(s.genesis.Founders, id) || s.invites[id] > 0 {
		return true
	}
	for _, m := range s.view.Sites {
		known := s.sites[m.ID]
		if m.Admitted && known != nil && known.words[id].Stance == Endorses {
			return true
		}
	}
	for _, p := range s.pins {
		if p.Site == id {
			return true
		}
	}
	return false
}

// pinFor gives the name of the pin that a chain belongs to, or "". A pin that is bound
// already belongs to its site alone.
func (s *state) pinFor(c *roots.Chain) trust.SiteName {
	for _, name := range slices.Sorted(maps.Keys(s.pins)) {
		p := s.pins[name]
		if bound := s.bound[name]; bound != "" {
			if bound == c.ID() {
				return name
			}
			continue
		}
		if p.Site == c.ID() || p.Site == "" && c.HasNode(p.Node) {
			return name
		}
	}
	return ""
}

// nameFor gives the name that this site calls a site by, for good: what it calls itself if that is
// free, so that nobody can take over a name that is in use here.
func (d *draft) nameFor(self trust.SiteName, c *roots.Chain) trust.SiteName {
	taken := map[trust.SiteName]bool{self: true}
	for name := range d.pins {
		taken[name] = true
	}
	for id, known := range d.sites {
		if id != c.ID() {
			taken[known.name] = true
		}
	}
	name := c.Record().Name
	for n := 6; taken[name] && n <= len(c.ID()); n += 6 {
		base := strings.TrimRight(string(c.Record().Name)[:min(len(c.Record().Name), 63-n-1)], "-")
		name = trust.SiteName(base + "-" + string(c.ID())[:n])
	}
	return name
}
