package members

import (
	"cmp"
	"slices"
	"time"

	"github.com/candignode/candignode/trust"
)

// Site is one site as this one sees it. Its JSON is read by scripts: members may be added,
// never renamed.
type Site struct {
	ID      trust.SiteID   `json:"site_id,omitempty"` // "": its record is not known yet
	Name    trust.SiteName `json:"site"`              // as this site calls it
	Calls   trust.SiteName `json:"calls_itself,omitempty"`
	Display string         `json:"display_name,omitempty"`
	Node    trust.NodeID   `json:"node,omitempty"`
	Addrs   []string       `json:"addrs,omitempty"`

	Admitted bool   `json:"admitted"` // to gossip
	Why      string `json:"why"`
	Pending  bool   `json:"pending,omitempty"` // it waits for endorsements, or for this operator
	Query    bool   `json:"query"`             // it may ask this site's questions
	// WitnessFor are the issuers that the operator made it a witness for; "all" is every one.
	WitnessFor []string `json:"witness_for,omitempty"`
	Pinned     bool     `json:"pinned,omitempty"`
	Approved   bool     `json:"approved,omitempty"`
	Blocked    bool     `json:"blocked,omitempty"`
	Left       bool     `json:"left,omitempty"`
	Forked     bool     `json:"forked,omitempty"`

	Endorsers []trust.SiteName `json:"endorsed_by,omitempty"`
	Needed    int              `json:"endorsements_needed,omitempty"`
	Expellers []trust.SiteName `json:"expel_votes,omitempty"`

	Epoch   int64     `json:"e,omitempty"`
	Update  int64     `json:"u,omitempty"`
	Expires time.Time `json:"record_expires,omitzero"`

	// ClientIDs and Issuers are what its record says: its own client ids by issuer, and the
	// issuers that it claims to be the home of.
	ClientIDs map[string][]string `json:"-"`
	Issuers   []string            `json:"-"`
}

// View is the roster at one time. It is immutable.
type View struct {
	Genesis Genesis
	Network string
	Self    Site
	Sites   []Site // by name; this one is not among them
	// Joining names the inviter while an invite waits to be taken up; "" otherwise.
	Joining trust.SiteName
}

// Site gives the site of a name.
func (v *View) Site(name trust.SiteName) (Site, bool) {
	i := slices.IndexFunc(v.Sites, func(s Site) bool { return s.Name == name })
	if i < 0 {
		return Site{}, false
	}
	return v.Sites[i], true
}

// settle works the roster out anew.
func (d *draft) settle(self trust.SiteName) {
	ev := d.evidence()
	roster := Roster(ev, d.now)
	v := &View{Genesis: d.genesis, Network: d.genesis.Network(), Self: d.self(self)}
	for id, m := range roster {
		if known := d.sites[id]; known != nil {
			v.Sites = append(v.Sites, d.describe(id, known, m))
		}
	}
	// A pin that no chain has been seen of: the operator's word is enough to speak with it.
	for name, p := range d.pins {
		if d.bound[name] == "" || d.sites[d.bound[name]] == nil {
			v.Sites = append(v.Sites, Site{
				Name: name, Node: p.Node, ID: p.Site, Addrs: p.Addrs, Admitted: true, Pinned: true, Query: p.Query,
				Why: "named in this site's configuration; its site record is not known yet",
			})
		}
	}
	slices.SortFunc(v.Sites, func(a, b Site) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	if d.joining != "" {
		if claim, err := claimOfInvite(d.joining); err == nil {
			v.Joining = claim.Name
		}
	}
	d.view = v
}

func (d *draft) self(name trust.SiteName) Site {
	r := d.own.Record()
	s := Site{ID: d.own.ID(), Name: name, Calls: r.Name, Display: r.Display, Admitted: !r.Left, Why: "this site", Left: r.Left,
		Epoch: r.Epoch, Update: r.Update, Expires: time.Unix(r.Expires, 0).UTC(), ClientIDs: r.ClientIDs, Issuers: r.Issuers}
	if len(r.Nodes) > 0 {
		s.Node, s.Addrs = r.Nodes[0].ID, r.Nodes[0].Addrs
	}
	return s
}

func (d *draft) describe(id trust.SiteID, known *site, m Membership) Site {
	local := d.localOf(id)
	s := Site{
		ID: id, Name: known.name, Admitted: m.Admitted, Why: m.Why, Query: m.Admitted && local.Query, WitnessFor: known.witness,
		Pinned: local.Pinned, Approved: local.Approved, Blocked: local.Blocked, Forked: known.standing.Forked(),
		Endorsers: d.namesOf(m.Endorsers), Needed: m.Needed, Expellers: d.namesOf(m.Expellers),
	}
	if s.Name == "" { // approved by its SiteID, and not heard of yet
		s.Name = trust.SiteName("site-" + string(id)[:12])
	}
	if c := known.standing.Chain(); c != nil {
		r := c.Record()
		s.Calls, s.Display, s.Left = r.Name, r.Display, r.Left
		s.Epoch, s.Update, s.Expires = r.Epoch, r.Update, time.Unix(r.Expires, 0).UTC()
		s.ClientIDs, s.Issuers = r.ClientIDs, r.Issuers
		if len(r.Nodes) > 0 {
			s.Node, s.Addrs = r.Nodes[0].ID, r.Nodes[0].Addrs
		}
	}
	// Where to find a pinned site, its operator told this one's.
	for name, bound := range d.bound {
		if p := d.pins[name]; bound == id && len(p.Addrs) > 0 {
			s.Addrs = p.Addrs
		}
	}
	s.Pending = !s.Admitted && !s.Blocked && !s.Left && !s.Forked
	return s
}

func (d *draft) namesOf(ids []trust.SiteID) []trust.SiteName {
	var names []trust.SiteName
	for _, id := range ids {
		switch {
		case id == d.own.ID():
			names = append(names, d.own.Record().Name)
		case d.sites[id] != nil:
			names = append(names, d.sites[id].name)
		}
	}
	return names
}
