package admin

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"net/http"
	"time"

	"github.com/candignode/candignode/federation/wire"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/members"
	"github.com/candignode/candignode/trust/roots"
)

// The operator decides here who the other sites are, and what this one says about itself.

func (d door) membership(route func(string, func(http.ResponseWriter, *http.Request) error)) {
	route("GET /v1/sites", d.sites)
	route("POST /v1/sites/approve", d.approveSite)
	route("POST /v1/sites/block", d.onSite(func(r *http.Request, name string) error { return d.Members.Block(r.Context(), name) }))
	route("POST /v1/sites/unblock", d.onSite(func(r *http.Request, name string) error { return d.Members.Unblock(r.Context(), name) }))
	route("POST /v1/sites/expel", d.onSite(func(r *http.Request, name string) error { return d.Members.VoteToExpel(r.Context(), name) }))
	route("POST /v1/invites", d.invite)
	route("POST /v1/join", d.join)
	route("GET /v1/site", d.site)
	route("POST /v1/site/record", d.takeRecord)
}

// SiteState is one line of `sites list`: who the site is to this one, and how the line to it stands.
type SiteState struct {
	members.Site
	Addr      string    `json:"addr,omitempty"`
	State     string    `json:"state"` // connected, unreachable, bad_version, wrong_key, not_admitted, not_running
	Connected bool      `json:"connected"`
	Direction string    `json:"direction,omitempty"`
	Since     time.Time `json:"since,omitzero"`
	RTT       float64   `json:"rtt_ms,omitempty"`
	Version   int       `json:"version,omitempty"`
	Software  string    `json:"software,omitempty"`
	LastError string    `json:"last_error,omitempty"`
	// HeadAge is how old the newest word of the site about issuers is, in seconds; 0 if none
	// is held.
	HeadAge int64 `json:"head_age_s,omitempty"`
}

func (d door) sites(w http.ResponseWriter, _ *http.Request) error {
	found := map[trust.NodeID]wire.PeerState{}
	ages := map[trust.SiteName]time.Duration{}
	if d.Live != nil {
		for _, p := range d.Live.Sites() {
			found[p.Node] = p
		}
		if d.Live.Issuers != nil {
			ages = d.Live.Issuers.HeadAges()
		}
	}
	view := d.Members.View()
	list := make([]SiteState, 0, len(view.Sites))
	for _, s := range view.Sites {
		state := SiteState{Site: s, State: "not_admitted"}
		if s.Admitted {
			state.State = "unreachable"
		}
		if p, ok := found[s.Node]; ok {
			state.Addr, state.State, state.Connected, state.Direction, state.Since = p.Addr, p.State, p.Connected, p.Direction, p.Since
			state.RTT, state.Version, state.Software, state.LastError = p.RTT, p.Version, p.Software, p.LastError
		} else if d.Live == nil {
			state.State = "not_running"
		}
		state.HeadAge = int64(ages[s.Name] / time.Second)
		list = append(list, state)
	}
	return encode(w, list)
}

// Approval is what `sites approve` sends.
type Approval struct {
	Site       string         `json:"site"` // its name here, or its SiteID
	Query      bool           `json:"query"`
	WitnessFor []string       `json:"witness_for"`
	Name       trust.SiteName `json:"name"`
}

func (d door) approveSite(w http.ResponseWriter, r *http.Request) error {
	var a Approval
	if err := decode(r, &a); err != nil {
		return err
	}
	if a.Name != "" {
		if _, err := trust.ParseSiteName(string(a.Name)); err != nil {
			return fmt.Errorf("%w: %w", ErrBadRequest, err)
		}
	}
	if err := d.Members.Approve(r.Context(), a.Site, members.Approval{Query: a.Query, WitnessFor: a.WitnessFor, Name: a.Name}); err != nil {
		return err
	}
	return encode(w, struct{}{})
}

// SiteName is what the other commands about one site send.
type SiteName struct {
	Site string `json:"site"`
}

func (d door) onSite(do func(*http.Request, string) error) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		var in SiteName
		if err := decode(r, &in); err != nil {
			return err
		}
		if err := do(r, in.Site); err != nil {
			return err
		}
		return encode(w, struct{}{})
	}
}

// Invite is what `invite create` gets.
type Invite struct {
	Invite string `json:"invite"`
}

func (d door) invite(w http.ResponseWriter, r *http.Request) error {
	var in SiteName
	if err := decode(r, &in); err != nil {
		return err
	}
	id, err := trust.ParseSiteID(in.Site)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBadRequest, err)
	}
	text, err := d.Members.Invite(r.Context(), id)
	if err != nil {
		return err
	}
	return encode(w, Invite{text})
}

// Join is what `join` sends.
type Join struct {
	Invite string `json:"invite"`
	Query  bool   `json:"query"` // may the inviter's researchers ask this site?
}

func (d door) join(w http.ResponseWriter, r *http.Request) error {
	var in Join
	if err := decode(r, &in); err != nil {
		return err
	}
	if err := d.Members.Join(r.Context(), in.Invite, in.Query); err != nil {
		return err
	}
	return encode(w, struct{}{})
}

// Self is what this site says about itself, as it was signed.
type Self struct {
	members.Site
	Network   string         `json:"network"`
	NetworkID string         `json:"network_id"`
	Joining   trust.SiteName `json:"joining,omitempty"` // the inviter, while it has not been reached
	Roots     int            `json:"roots"`
	Threshold int            `json:"threshold"`
	Next      []trust.NodeID `json:"next"`
	Records   []roots.Signed `json:"records"`
}

func (d door) site(w http.ResponseWriter, _ *http.Request) error {
	own, view := d.Members.Own(), d.Members.View()
	r := own.Record()
	return encode(w, Self{
		Site: view.Self, Network: view.Genesis.Name, NetworkID: view.Network, Joining: view.Joining,
		Roots: len(r.Roots), Threshold: r.Threshold, Next: r.Next, Records: own.Records(),
	})
}

// Record is what `site update`, `site rotate` and `site leave` send: the next record, and the
// public key of the node that goes on with it, in unpadded base64url.
type Record struct {
	Record roots.Signed `json:"record"`
	Node   string       `json:"node"`
}

func (d door) takeRecord(w http.ResponseWriter, r *http.Request) error {
	var in Record
	if err := decode(r, &in); err != nil {
		return err
	}
	node, err := base64.RawURLEncoding.DecodeString(in.Node)
	if err != nil || len(node) != ed25519.PublicKeySize {
		return fmt.Errorf("%w: node is not an Ed25519 public key", ErrBadRequest)
	}
	if err := d.Members.TakeRecord(r.Context(), in.Record, node); err != nil {
		return err
	}
	return encode(w, struct{}{})
}
