package issuers

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/candignode/candignode/trust"
)

// bind works out which client ids of each issuer bind a passport's aud to which
// site. This site's own come from its configuration and are its own whatever
// peers claim. A peer's are what the operator wrote down, and then nobody else can
// claim them; otherwise they come from its site record, and an id that two peers
// claim, or that is this site's, binds no peer: of two claimants one is wrong, and
// nothing here can tell which.
func bind(s *state, self trust.SiteName) (map[string]map[trust.SiteName][]string, []Alarm) {
	bindings := map[string]map[trust.SiteName][]string{}
	var alarms []Alarm
	for issuer, p := range s.policies {
		claims := map[string][]trust.SiteName{}
		for _, id := range slices.Compact(slices.Sorted(slices.Values(p.ClientIDs))) {
			claims[id] = append(claims[id], self)
		}
		bound := map[trust.SiteName][]string{self: slices.Clone(p.ClientIDs)}
		written := map[string]bool{}
		for site, ids := range p.PeerClientIDs {
			if _, peer := s.peers[site]; peer {
				bound[site] = slices.Clone(ids)
			}
			for _, id := range ids {
				written[id] = true
			}
		}
		for _, site := range slices.Sorted(maps.Keys(s.peers)) {
			a := s.author(site)
			if _, known := p.PeerClientIDs[site]; known || a == nil || a.bundle == nil {
				continue // unknown, or forked: it claims nothing that counts
			}
			announced := a.bundle.site.ClientIDs[issuer]
			// A node's key lies on a machine, the root keys do not: where the site itself has
			// said which ids are its own, its node cannot claim another's.
			if recorded, ok := s.recorded[site]; ok {
				announced = recorded[issuer]
			}
			for _, id := range slices.Compact(slices.Sorted(slices.Values(announced))) {
				if written[id] {
					alarms = append(alarms, Alarm{Code: AlarmClientID, Issuer: issuer, Site: site, Message: bounded(fmt.Sprintf(
						"%q claims client id %.80q, which the configuration says is another site's; the claim is void", site, id))})
					continue
				}
				claims[id] = append(claims[id], site)
			}
		}
		for _, id := range slices.Sorted(maps.Keys(claims)) {
			sites := claims[id]
			if len(sites) > 1 {
				alarms = append(alarms, Alarm{Code: AlarmClientID, Issuer: issuer, Message: bounded(fmt.Sprintf(
					"client id %.80q is claimed by %q, so it binds none of the peers: speak with their operators", id, sites))})
				continue
			}
			// Its own are in bound already, in the order that the operator wrote them.
			if sites[0] != self {
				bound[sites[0]] = append(bound[sites[0]], id)
			}
		}
		bindings[issuer] = bound
	}
	return bindings, alarms
}

// ClientIDs gives the OIDC client ids at issuer that bind a passport's aud to a
// site; site "" is this one. It is empty for an issuer that is not configured, for
// a site that is no peer, and for a peer whose newest head is older than MaxStale
// or whose site record has expired. The caller must not change the result.
func (d *Desk) ClientIDs(issuer string, site trust.SiteName) []string {
	s := d.state.Load()
	if site == "" || site == d.site {
		return s.bindings[issuer][d.site]
	}
	if _, written := s.policies[issuer].PeerClientIDs[site]; written {
		return s.bindings[issuer][site] // the operator's word does not grow stale
	}
	a := s.author(site)
	if a == nil || a.bundle == nil {
		return nil
	}
	// Asked for at every passport and not only when evidence changes, because time alone
	// ends it and no step need come in between.
	now := s.evaluation(d.now())
	if !fresh(a.bundle.head.issued(), MaxStale, now) || !now.Before(time.Unix(a.bundle.site.Expires, 0)) {
		return nil
	}
	return s.bindings[issuer][site]
}
