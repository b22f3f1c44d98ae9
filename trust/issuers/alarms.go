package issuers

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/candignode/candignode/trust"
)

// Alarm is something that a person should look at. An alarm stands as long as its
// cause does; none is acknowledged away.
type Alarm struct {
	Code    string         `json:"code"`
	Issuer  string         `json:"issuer,omitempty"`
	Site    trust.SiteName `json:"site,omitempty"`
	Message string         `json:"message"`
	Since   time.Time      `json:"since"`
}

// The codes of alarms. Codes may be added, never renamed.
const (
	AlarmFetchFailed  = "fetch_failed"        // the newest fetch failed; the last good set counts until it is stale
	AlarmStale        = "stale"               // no usable key is left, because all evidence is too old
	AlarmBadKey       = "bad_key"             // the issuer publishes what must not be published
	AlarmQuorum       = "quorum_missing"      // a fetched key is seen by too few witnesses
	AlarmDisagree     = "witnesses_disagree"  // fresh witnesses see different keys
	AlarmSharedKey    = "shared_key"          // two issuers show the same key
	AlarmMode         = "mode_not_run"        // the policy asks for what this version does not do
	AlarmWithheld     = "not_recorded"        // a withdrawal could not be written
	AlarmFork         = "fork"                // a site signed two histories
	AlarmRestored     = "epoch_raised"        // peers held newer heads of this site than it did itself
	AlarmClientID     = "client_id_contested" // two sites claim one client id
	AlarmTooLarge     = "observation_too_large"
	AlarmClock        = "clock"          // heads arrive from the future, or this node's clock went back
	AlarmContinuity   = "keys_held_back" // a set that does not continue the one before
	AlarmDistrusted   = "distrusted"     // a tombstone takes belief from a key that is shown
	AlarmLostEvidence = "lost_evidence"  // something in the store could not be read
)

// findAlarms looks for what is wrong in the settled beliefs. Alarms are found anew at
// each step and never remembered, so none can outlive its cause; only the time from which
// one stands is carried over. Their order is that of names, so that two lists compare.
func (d *draft) findAlarms(self trust.SiteName, shared map[string][]string) []Alarm {
	var alarms []Alarm
	for _, issuer := range slices.Sorted(maps.Keys(d.policies)) {
		alarms = append(alarms, d.issuerAlarms(self, issuer)...)
	}
	for _, print := range slices.Sorted(maps.Keys(shared)) {
		for _, issuer := range shared[print] {
			alarms = append(alarms, Alarm{Code: AlarmSharedKey, Issuer: issuer, Message: bounded(fmt.Sprintf(
				"key %s is shown by %q: ask them whose it is; if they are one organisation, pin it with mode manual", print, shared[print]))})
		}
	}
	for _, site := range slices.Sorted(maps.Keys(d.peers)) {
		if a := d.author(site); a != nil && a.forked() {
			alarms = append(alarms, Alarm{Code: AlarmFork, Site: site, Message: fmt.Sprintf(
				"site %s signed two histories in epoch %d: its word counts for nothing until it raises its epoch; speak with its operator", site, a.epoch())})
		}
	}
	if d.floor.After(d.now.Add(skew)) {
		alarms = append(alarms, Alarm{Code: AlarmClock, Site: self, Message: fmt.Sprintf(
			"this node's clock stands before %s, which it has already passed: evidence is judged by that later time until the clock gets there; set the clock by NTP", d.floor.Format(time.RFC3339))})
	}
	if d.own.raised > 0 {
		alarms = append(alarms, Alarm{Code: AlarmRestored, Site: self, Message: fmt.Sprintf(
			"peers held a newer head of this site than it did itself, so it now speaks in epoch %d: was it restored from an old backup, or does a second node run with its key?", d.own.raised)})
	}
	for _, issuer := range d.own.tooLarge {
		alarms = append(alarms, Alarm{Code: AlarmTooLarge, Issuer: issuer, Message: fmt.Sprintf(
			"the issuer's keys do not fit one record of %d bytes, or %d issuers are told of already, or its key set finds no room beside the others, so peers do not hear all that this node sees of it", MaxRecordBytes, MaxRecords)})
	}
	for _, lost := range d.lostEvidence {
		alarms = append(alarms, Alarm{Code: AlarmLostEvidence, Message: lost})
	}
	return alarms
}

// issuerAlarms looks at one issuer. Words of the issuer, of servers between and of keys
// are quoted and cut: a person reads them in a terminal.
func (d *draft) issuerAlarms(self trust.SiteName, issuer string) []Alarm {
	var alarms []Alarm
	add := func(code, format string, args ...any) {
		alarms = append(alarms, Alarm{Code: code, Issuer: issuer, Message: bounded(fmt.Sprintf(format, args...))})
	}
	p, b, f := d.policies[issuer], d.beliefs[issuer], d.fetches[issuer]
	// Nothing is believed, so what is wrong with the evidence would only hide why.
	if b.Problem != "" {
		add(AlarmMode, "%s", b.Problem)
		return alarms
	}
	// The operator's own keys: what an issuer or a peer shows has no bearing on them.
	if p.Mode == trust.ModeManual {
		return alarms
	}
	// A site in mode home that can never ask the issuer lives by what others say, and its operator knows.
	if f.err != "" && !(p.Mode == trust.ModeHome && f.at.IsZero()) {
		add(AlarmFetchFailed, "%s", f.err)
	}
	if fetches(p) && p.Mode != trust.ModeHome && !f.at.IsZero() && !fresh(f.at, staleAfter(p), d.evaluation(d.now)) {
		add(AlarmStale, "the newest good fetch is of %s; its keys are not used any more", f.at.Format(time.RFC3339))
	}
	for _, r := range f.Rejected {
		if r.Alarm {
			add(AlarmBadKey, "key %.80q: %.300s", r.KeyID, r.Why)
		}
	}
	if b.Held {
		add(AlarmContinuity, "the issuer's key set does not continue the one that was believed before: ask the issuer, and confirm with 'candignode issuers approve --keys'")
	}
	for _, k := range b.Keys {
		if k.Buried {
			add(AlarmDistrusted, "key %s (kid %.80q) is still shown: %s", k.Thumbprint, k.KeyID, k.Why)
		}
	}
	// A key that only witnesses see is no alarm: they polled first, or it is theirs to
	// worry about. A key that this node itself was shown and they were not may be forged.
	votes := map[string]int{}
	for _, k := range b.Keys {
		for _, s := range k.SeenBy {
			if s.Site != self {
				votes[k.Thumbprint]++
			}
		}
		if b.Needed > 0 && !k.Believed && !k.Buried && votes[k.Thumbprint] < b.Needed && slices.ContainsFunc(f.Keys, func(o trust.Key) bool { return o.Thumbprint == k.Thumbprint }) {
			add(AlarmQuorum, "key %s (kid %.80q) was fetched by this node, but only %d of the %d witnesses needed see it", k.Thumbprint, k.KeyID, votes[k.Thumbprint], b.Needed)
		}
	}
	if fromElsewhere(p) && !slices.ContainsFunc(b.Keys, func(k KeyBelief) bool { return k.Believed || k.Buried }) {
		why := "nobody whose word counts for it has been heard lately"
		if len(b.Keys) > 0 {
			why = b.Keys[0].Why
		}
		add(AlarmQuorum, "no key is believed: %s", why)
	}
	if sets := d.witnessSets(self, p); len(sets) > 1 {
		add(AlarmDisagree, "the witnesses do not see the same keys: %s", strings.Join(sets, "; "))
	}
	if len(d.withheld[issuer]) > 0 {
		add(AlarmWithheld, "a key was withdrawn, and the store could not record it: look at the disk")
	}
	return alarms
}

// witnessSets names the different key sets that the policy's fresh witnesses
// see: more than one for longer than a poll means that somebody is shown
// something else.
func (d *draft) witnessSets(self trust.SiteName, p trust.IssuerPolicy) []string {
	if p.Mode != trust.ModeDirectQuorum && p.Mode != trust.ModeQuorum {
		return nil
	}
	now, stale := d.evaluation(d.now), staleAfter(p)
	seen := map[string][]string{}
	for _, w := range d.evidence(self, p.Issuer).Sites {
		if w.Forked || !slices.Contains(p.Witnesses, w.Site) || !fresh(w.Issued, stale, now) {
			continue
		}
		for _, o := range w.Observations {
			if o.Issuer == p.Issuer && fresh(o.At, stale, now) {
				set := strings.Join(o.Thumbprints, " ")
				seen[set] = append(seen[set], string(w.Site))
			}
		}
	}
	var sets []string
	for _, set := range slices.Sorted(maps.Keys(seen)) {
		sets = append(sets, strings.Join(seen[set], ", ")+" sees "+set)
	}
	return sets
}

// since keeps the time from which an alarm stands.
func since(old, found []Alarm, now time.Time) []Alarm {
	// Several alarms of one code and issuer, for several keys, are taken for one cause:
	// the time is then that of the first, which is when somebody should have looked.
	for i, a := range found {
		found[i].Since = now.UTC().Truncate(time.Second)
		for _, o := range old {
			if o.Code == a.Code && o.Issuer == a.Issuer && o.Site == a.Site && o.Since.Before(found[i].Since) {
				found[i].Since = o.Since
			}
		}
	}
	return found
}
