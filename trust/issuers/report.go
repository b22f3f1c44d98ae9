package issuers

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/audit"
)

// Outcomes of audit.EventIssuer records.
const (
	outcomeBelieved   = "believed"
	outcomeWithdrawn  = "withdrawn"
	outcomeForked     = "forked"
	outcomeDistrusted = "distrusted"
	outcomeTrusted    = "distrust taken back"
	outcomeConfirmed  = "keys confirmed"
	outcomeRestored   = "epoch raised"
)

// report notes what changed in the beliefs since the audit log last heard: one
// record for each key, with the reason.
func (d *draft) report() {
	now := map[string][]string{}
	why := map[string]KeyBelief{}
	for issuer, b := range d.beliefs {
		for _, k := range b.Keys {
			why[issuer+"\x00"+k.Thumbprint] = k
			if k.Believed {
				now[issuer] = append(now[issuer], k.Thumbprint)
			}
		}
	}
	for issuer := range now {
		now[issuer] = slices.Compact(now[issuer]) // one key may have two kids
	}
	// Both sides are gone through: what is believed now, and what was said to be and no
	// longer is, also of issuers that are not configured any more.
	issuers := slices.AppendSeq(slices.Collect(maps.Keys(now)), maps.Keys(d.said))
	slices.Sort(issuers)
	changed := false
	for _, issuer := range slices.Compact(issuers) {
		for _, print := range now[issuer] {
			if !slices.Contains(d.said[issuer], print) {
				k := why[issuer+"\x00"+print]
				d.record(outcomeBelieved, "", fmt.Sprintf("issuer %.300q key %s (kid %.80q): %s", issuer, print, k.KeyID, k.Why))
				changed = true
			}
		}
		for _, print := range d.said[issuer] {
			if !slices.Contains(now[issuer], print) {
				reason := "nobody shows the key any more"
				if _, ok := d.policies[issuer]; !ok {
					reason = "the issuer is not configured any more"
				} else if k, ok := why[issuer+"\x00"+print]; ok {
					reason = k.Why
				}
				d.record(outcomeWithdrawn, "", fmt.Sprintf("issuer %.300q key %s: %s", issuer, print, reason))
				changed = true
			}
		}
	}
	// Saved in the transaction of the records: said twice or never, it would be a lie.
	if changed {
		d.said = now
		d.save[keySaid] = encode(now)
	}
}

// record adds one audit record to what the step must commit.
func (d *draft) record(outcome string, origin trust.SiteName, detail string) {
	d.records = append(d.records, audit.Record{
		Time: d.now, Event: audit.EventIssuer, Outcome: outcome, Origin: origin, Detail: bounded(detail),
	})
}

// bounded cuts text that holds words from outside, on a rune boundary.
func bounded(s string) string {
	if len(s) > maxDetail {
		s = strings.ToValidUTF8(s[:maxDetail], "")
	}
	return s
}

// samePolicy compares all there is: a member that is added to the policy must not be
// forgotten here, and this runs rarely.
func samePolicy(a, b trust.IssuerPolicy) bool { return reflect.DeepEqual(a, b) }
