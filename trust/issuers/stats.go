package issuers

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/candignode/candignode/trust"
)

// Stats are counts since the start, for metrics.
type Stats struct {
	HeadsHeard      uint64 `json:"heads_heard"`
	HeadsAccepted   uint64 `json:"heads_accepted"`
	Refused         uint64 `json:"refused"` // messages and records that were not taken
	Forks           uint64 `json:"forks"`
	OwnHeads        uint64 `json:"own_heads"`
	Syncs           uint64 `json:"syncs"`
	SyncsFailed     uint64 `json:"syncs_failed"`
	Fetches         uint64 `json:"fetches"` // of issuers, that succeeded
	FetchesFailed   uint64 `json:"fetches_failed"`
	Refreshes       uint64 `json:"refreshes"` // asked for because of an unknown kid
	RefreshesSpared uint64 `json:"refreshes_spared"`
	StoreFailed     uint64 `json:"store_failed"`
	Alarms          int    `json:"alarms"` // that stand now
}

type counters struct {
	headsHeard, headsAccepted, refused, forks, ownHeads, syncs, syncsFailed,
	fetches, fetchesFailed, refreshes, refreshesSpared, storeFailed atomic.Uint64
}

// Stats gives the counts.
func (d *Desk) Stats() Stats {
	c := &d.stats
	return Stats{
		HeadsHeard: c.headsHeard.Load(), HeadsAccepted: c.headsAccepted.Load(), Refused: c.refused.Load(),
		Forks: c.forks.Load(), OwnHeads: c.ownHeads.Load(), Syncs: c.syncs.Load(), SyncsFailed: c.syncsFailed.Load(),
		Fetches: c.fetches.Load(), FetchesFailed: c.fetchesFailed.Load(), Refreshes: c.refreshes.Load(),
		RefreshesSpared: c.refreshesSpared.Load(), StoreFailed: c.storeFailed.Load(),
		Alarms: len(d.Alarms()),
	}
}

// clockSuspects are the sites whose heads lately came from the future: one clock
// is wrong, and if several sites agree it is this node's.
type clockSuspects struct {
	mu    sync.Mutex
	sites map[trust.SiteName]suspicion
}

type suspicion struct {
	at    time.Time
	ahead time.Duration
}

// suspect notes a head that was refused for its time. A head that is merely old
// says nothing about clocks.
func (c *clockSuspects) suspect(site trust.SiteName, issued, now time.Time) {
	// An old head is what every relay brings now and then.
	ahead := issued.Sub(now)
	if ahead <= skew {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// One entry for each peer at most: only verified heads come here.
	if c.sites == nil {
		c.sites = map[trust.SiteName]suspicion{}
	}
	c.sites[site] = suspicion{now, ahead}
}

// alarms gives one alarm for each suspect of the last hour.
func (c *clockSuspects) alarms(now time.Time) []Alarm {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []Alarm
	for _, site := range slices.Sorted(maps.Keys(c.sites)) {
		if s := c.sites[site]; within(s.at, now, time.Hour) {
			found = append(found, Alarm{Code: AlarmClock, Site: site, Since: s.at.UTC().Truncate(time.Second), Message: fmt.Sprintf(
				"site %s signs heads %s ahead of this node's clock, so they are refused: set the clocks by NTP", site, s.ahead.Round(time.Second))})
		}
	}
	return found
}

// Alarms gives every alarm that stands now.
func (d *Desk) Alarms() []Alarm {
	return append(slices.Clone(d.state.Load().alarms), d.clock.alarms(d.now())...)
}

// HeadAges gives how old the newest head of each site is that any is held of.
func (d *Desk) HeadAges() map[trust.SiteName]time.Duration {
	s, now := d.state.Load(), d.now()
	ages := map[trust.SiteName]time.Duration{}
	for site := range s.peers {
		if a := s.author(site); a != nil && a.bundle != nil {
			ages[site] = max(now.Sub(a.bundle.head.issued()), 0)
		}
	}
	return ages
}
