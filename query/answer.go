package query

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/candignode/candignode/trust"
)

// Status says how one site's part of an answer came out; scripts read it.
type Status string

// The statuses. To a caller without rights, Denied and Nothing must not differ
// in what they tell about data.
const (
	OK          Status = "ok"
	Denied      Status = "denied"      // the site's policy gives this caller nothing
	Nothing     Status = "nothing"     // the site serves no such data
	Timeout     Status = "timeout"     // no answer within the deadline
	Unreachable Status = "unreachable" // no connection
	Refused     Status = "refused"     // the site refused the question itself
	BadVersion  Status = "bad_version" // the site speaks another version
	Failed      Status = "error"       // the site could not answer
)

// Answer is what one or many sites said to one Request.
type Answer struct {
	Transaction string      `json:"transaction"`
	Granularity Granularity `json:"granularity"` // asked for
	Parts       []Part      `json:"sites"`       // one per site, sorted by site
}

// Part is one site's answer, or why there is none.
type Part struct {
	Site     trust.SiteName  `json:"site"`
	Node     trust.NodeID    `json:"node"`
	Status   Status          `json:"status"`
	TookMS   int64           `json:"took_ms"` // milliseconds, as the asking node saw it
	Datasets []DatasetAnswer `json:"datasets,omitempty"`
	Error    *PartError      `json:"error,omitempty"`
}

// PartError says why a Part is not OK, in words that may be shown to any
// caller.
type PartError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Precision says what a count is (Beacon v2.2, countPrecision).
type Precision string

// The precisions.
const (
	Exact       Precision = "exact"
	Thresholded Precision = "thresholded" // exact at or above the threshold; 0 below it
)

// DatasetAnswer is a protected result: what may leave the site.
type DatasetAnswer struct {
	Dataset     string      `json:"dataset"`
	Granularity Granularity `json:"granularity"` // given; at most what was asked
	Exists      bool        `json:"exists"`
	Count       *int64      `json:"count,omitempty"` // distinct individuals; nil at boolean
	Precision   Precision   `json:"precision,omitempty"`
}

// FailedPart makes a Part without data.
func FailedPart(site trust.SiteName, node trust.NodeID, status Status, code, message string) Part {
	return Part{Site: site, Node: node, Status: status, Error: &PartError{Code: code, Message: message}}
}

// Took gives a copy of p with its duration set.
func (p Part) Took(d time.Duration) Part {
	p.TookMS = d.Milliseconds()
	return p
}

// Join merges two answers to the same question. It is commutative,
// associative and idempotent: when both hold a part of the same site, an
// answered one is kept before a failed one, and otherwise the one that sorts first.
func (a Answer) Join(b Answer) Answer {
	joined := Answer{
		Transaction: max(a.Transaction, b.Transaction),
		Granularity: Granularity(max(a.Granularity, b.Granularity)),
	}
	best := make(map[trust.SiteName]Part, len(a.Parts)+len(b.Parts))
	for _, p := range slices.Concat(a.Parts, b.Parts) {
		if held, ok := best[p.Site]; !ok || comparePart(p, held) < 0 {
			best[p.Site] = p
		}
	}
	for _, p := range best {
		joined.Parts = append(joined.Parts, p)
	}
	slices.SortFunc(joined.Parts, func(x, y Part) int { return cmp.Compare(x.Site, y.Site) })
	return joined
}

var statusOrder = []Status{OK, Nothing, Denied, Refused, BadVersion, Failed, Timeout, Unreachable}

// order ranks statuses; one that is not known, from a newer site, comes last.
func (s Status) order() int {
	if i := slices.Index(statusOrder, s); i >= 0 {
		return i
	}
	return len(statusOrder)
}

func comparePart(a, b Part) int {
	if c := cmp.Compare(a.Status.order(), b.Status.order()); c != 0 {
		return c
	}
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return strings.Compare(string(x), string(y))
}

// Complete tells whether every site gave its answer. A site that denied the
// caller holds data that the total leaves out, so it makes the answer incomplete
// too.
func (a Answer) Complete() bool {
	return !slices.ContainsFunc(a.Parts, func(p Part) bool {
		return p.Status != OK && p.Status != Nothing
	})
}

// Exists tells whether any site said yes.
func (a Answer) Exists() bool {
	return slices.ContainsFunc(a.Parts, func(p Part) bool {
		return slices.ContainsFunc(p.Datasets, func(d DatasetAnswer) bool { return d.Exists })
	})
}

// Total adds up the counts that were given. Sites hold different people, so the
// sum is of distinct individuals per dataset; somebody in two datasets is counted
// twice. ok is false if no dataset gave a count.
func (a Answer) Total() (total int64, ok bool) {
	for _, p := range a.Parts {
		for _, d := range p.Datasets {
			if d.Count != nil {
				total, ok = total+*d.Count, true
			}
		}
	}
	return total, ok
}
