package query_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/trust"
)

func count(n int64) *int64 { return &n }

func part(site trust.SiteName, status query.Status, datasets ...query.DatasetAnswer) query.Part {
	return query.Part{Site: site, Status: status, Datasets: datasets}
}

func dataset(id string, n int64) query.DatasetAnswer {
	return query.DatasetAnswer{Dataset: id, Granularity: query.Count, Exists: n > 0, Count: count(n), Precision: query.Exact}
}

func text(t interface{ Fatal(...any) }, a query.Answer) string {
	b, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func drawPart(t *rapid.T) query.Part {
	p := query.Part{
		Site: trust.SiteName(rapid.SampledFrom([]string{"bcgsc", "chus", "uhn", "zzz"}).Draw(t, "site")),
		Status: rapid.SampledFrom([]query.Status{
			query.OK, query.Denied, query.Nothing, query.Timeout, query.Unreachable, query.Refused, query.BadVersion, query.Failed, "newer",
		}).Draw(t, "status"),
		TookMS: rapid.Int64Range(0, 2).Draw(t, "took"),
	}
	if p.Status == query.OK {
		p.Datasets = []query.DatasetAnswer{dataset("d", rapid.Int64Range(0, 2).Draw(t, "count"))}
	} else if rapid.Bool().Draw(t, "explained") {
		p.Error = &query.PartError{Code: "code", Message: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "message")}
	}
	return p
}

// drawAnswer makes an answer as Join gives it: one part per site, sorted.
func drawAnswer(t *rapid.T) query.Answer {
	a := query.Answer{Transaction: "t", Granularity: query.Count}
	for range rapid.IntRange(0, 5).Draw(t, "parts") {
		a = a.Join(query.Answer{Transaction: "t", Granularity: query.Count, Parts: []query.Part{drawPart(t)}})
	}
	return a
}

// Parts arrive in any order and more than once; the answer does not depend on it.
func TestJoinIsCommutativeAssociativeIdempotent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := drawAnswer(t), drawAnswer(t), drawAnswer(t)
		if x, y := text(t, a.Join(b)), text(t, b.Join(a)); x != y {
			t.Fatalf("a+b %s\nb+a %s", x, y)
		}
		if x, y := text(t, a.Join(b).Join(c)), text(t, a.Join(b.Join(c))); x != y {
			t.Fatalf("(a+b)+c %s\na+(b+c) %s", x, y)
		}
		if x, y := text(t, a.Join(a)), text(t, a); x != y {
			t.Fatalf("a+a %s\na   %s", x, y)
		}
		if x, y := text(t, a.Join(query.Answer{})), text(t, a); x != y {
			t.Fatalf("a+0 %s\na   %s", x, y)
		}
	})
}

// A site that was in either is in both: never a missing part, one per site.
func TestJoinKeepsEverySite(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawAnswer(t), drawAnswer(t)
		joined := a.Join(b)
		if !slices.IsSortedFunc(joined.Parts, func(x, y query.Part) int {
			if x.Site < y.Site {
				return -1
			}
			return 1
		}) {
			t.Fatal("parts are not sorted, or a site has two")
		}
		for _, p := range slices.Concat(a.Parts, b.Parts) {
			i := slices.IndexFunc(joined.Parts, func(q query.Part) bool { return q.Site == p.Site })
			if i < 0 {
				t.Fatalf("%s is missing", p.Site)
			}
			if p.Status == query.OK && joined.Parts[i].Status != query.OK {
				t.Fatalf("%s answered, and the joined answer says %s", p.Site, joined.Parts[i].Status)
			}
		}
	})
}

func TestJoinPrefersTheAnswer(t *testing.T) {
	ok := part("uhn", query.OK, dataset("d", 3))
	for _, other := range []query.Status{
		query.Denied, query.Nothing, query.Timeout, query.Unreachable, query.Refused, query.BadVersion, query.Failed, "of a newer version", "",
	} {
		a := query.Answer{Parts: []query.Part{part("uhn", other)}}.Join(query.Answer{Parts: []query.Part{ok}})
		if len(a.Parts) != 1 || a.Parts[0].Status != query.OK {
			t.Errorf("%q beside an answer: %+v", other, a.Parts)
		}
	}
}

func TestCompleteExistsTotal(t *testing.T) {
	yes := query.DatasetAnswer{Dataset: "b", Granularity: query.Boolean, Exists: true}
	for _, c := range []struct {
		name             string
		parts            []query.Part
		complete, exists bool
		total            int64
		counted          bool
	}{
		{"no sites", nil, true, false, 0, false},
		{"two answers", []query.Part{part("a", query.OK, dataset("d", 71)), part("b", query.OK, dataset("d", 52))}, true, true, 123, true},
		{"two datasets at a site", []query.Part{part("a", query.OK, dataset("d", 71), dataset("e", 1))}, true, true, 72, true},
		{"zero is a count", []query.Part{part("a", query.OK, dataset("d", 0))}, true, false, 0, true},
		{"yes is no count", []query.Part{part("a", query.OK, yes)}, true, true, 0, false},
		{"nothing there", []query.Part{part("a", query.OK, dataset("d", 3)), part("b", query.Nothing)}, true, true, 3, true},
		{"one denied", []query.Part{part("a", query.OK, dataset("d", 3)), part("b", query.Denied)}, false, true, 3, true},
		{"one silent", []query.Part{part("a", query.OK, dataset("d", 3)), part("b", query.Timeout)}, false, true, 3, true},
		{"one unreachable", []query.Part{part("a", query.Unreachable)}, false, false, 0, false},
		{"one failed", []query.Part{part("a", query.Failed)}, false, false, 0, false},
		{"one of a newer version", []query.Part{part("a", "newer")}, false, false, 0, false},
	} {
		a := query.Answer{Parts: c.parts}
		total, counted := a.Total()
		if a.Complete() != c.complete || a.Exists() != c.exists || total != c.total || counted != c.counted {
			t.Errorf("%s: complete %t, exists %t, total %d %t; want %t, %t, %d %t",
				c.name, a.Complete(), a.Exists(), total, counted, c.complete, c.exists, c.total, c.counted)
		}
	}
}

func TestFailedPart(t *testing.T) {
	p := query.FailedPart("uhn", "n", query.Denied, "denied", "no").Took(1500 * time.Millisecond)
	b, _ := json.Marshal(p)
	if want := `{"site":"uhn","node":"n","status":"denied","took_ms":1500,"error":{"code":"denied","message":"no"}}`; string(b) != want {
		t.Errorf("%s, want %s", b, want)
	}
}
