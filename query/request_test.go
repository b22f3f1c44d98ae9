package query_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/candignode/candignode/query"
)

func request() query.Request {
	return query.Request{Transaction: "T-1_a", Entity: query.GVariants, Variant: sequence(), Granularity: query.Count}
}

func TestValidateRequest(t *testing.T) {
	for name, f := range map[string]func(*query.Request){
		"plain":               func(*query.Request) {},
		"boolean":             func(r *query.Request) { r.Granularity = query.Boolean },
		"record":              func(r *query.Request) { r.Granularity = query.Record },
		"datasets":            func(r *query.Request) { r.Datasets = []string{"rarivitis-2025", "A.b_c", "9"} },
		"as many as there go": func(r *query.Request) { r.Datasets = many(query.MaxDatasets) },
		"hits only":           func(r *query.Request) { r.Include = query.IncludeHit },
		"long transaction":    func(r *query.Request) { r.Transaction = strings.Repeat("a", 64) },
	} {
		if err := change(request(), f).Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, c := range []struct {
		name, parameter string
		change          func(*query.Request)
	}{
		{"no transaction", "transaction", func(r *query.Request) { r.Transaction = "" }},
		{"transaction too long", "transaction", func(r *query.Request) { r.Transaction = strings.Repeat("a", 65) }},
		{"transaction with a line end", "transaction", func(r *query.Request) { r.Transaction = "a\n" }},
		{"no entity", "entity", func(r *query.Request) { r.Entity = "" }},
		{"entity not served", "entity", func(r *query.Request) { r.Entity = "individuals" }},
		{"no granularity", "requestedGranularity", func(r *query.Request) { r.Granularity = "" }},
		{"unknown granularity", "requestedGranularity", func(r *query.Request) { r.Granularity = "COUNT" }},
		{"unknown include", "includeResultsetResponses", func(r *query.Request) { r.Include = "hit" }},
		{"too many datasets", "datasets", func(r *query.Request) { r.Datasets = many(query.MaxDatasets + 1) }},
		{"dataset upwards", "datasets", func(r *query.Request) { r.Datasets = []string{"../x"} }},
		{"dataset hidden", "datasets", func(r *query.Request) { r.Datasets = []string{".x"} }},
		{"dataset empty", "datasets", func(r *query.Request) { r.Datasets = []string{""} }},
		{"dataset too long", "datasets", func(r *query.Request) { r.Datasets = []string{strings.Repeat("d", 65)} }},
		{"variant", "start", func(r *query.Request) { r.Variant.Start = -1 }},
	} {
		err := change(request(), c.change).Validate()
		if !errors.Is(err, query.ErrRequest) || !strings.Contains(fmt.Sprint(err), ": "+c.parameter+": ") {
			t.Errorf("%s: %v, want ErrRequest that names %s", c.name, err, c.parameter)
		}
	}
}

func many(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("d%d", i)
	}
	return ids
}

// What is shown to a caller stays short, and unprintable text is quoted.
func TestErrorsQuoteAndCut(t *testing.T) {
	r := request()
	r.Granularity = query.Granularity("\x1b[31m" + strings.Repeat("x", 10_000))
	if err := r.Validate(); len(err.Error()) > 300 || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("%.200q has %d bytes", err, len(err.Error()))
	}
}

func TestLeastGranularity(t *testing.T) {
	order := []query.Granularity{"", query.Boolean, query.Count, query.Record}
	for i, a := range order {
		for j, b := range order {
			if got := query.Least(a, b); got != order[min(i, j)] {
				t.Errorf("Least(%q, %q) = %q", a, b, got)
			}
		}
	}
	if query.Granularity("aggregated").Rank() != 0 {
		t.Error("an unknown granularity has a rank")
	}
}

func TestParseAssembly(t *testing.T) {
	for s, want := range map[string]query.Assembly{
		"GRCh37": query.GRCh37, "grch37": query.GRCh37, "hg19": query.GRCh37, "GRCh37.p13": query.GRCh37, "hs37d5": query.GRCh37, "b37": query.GRCh37,
		"GRCh38": query.GRCh38, "HG38": query.GRCh38, "GRCh38.p14": query.GRCh38,
	} {
		if got, err := query.ParseAssembly(s); err != nil || got != want {
			t.Errorf("ParseAssembly(%q) = %q, %v; want %q", s, got, err, want)
		}
	}
	for _, s := range []string{"", "37", "hg18", "GRCh36", "GRCh39", "T2T-CHM13", ".p13", "GRCh37 "} {
		if got, err := query.ParseAssembly(s); !errors.Is(err, query.ErrRequest) {
			t.Errorf("ParseAssembly(%q) = %q, %v; want ErrRequest", s, got, err)
		}
	}
}

func TestRequestInOneLine(t *testing.T) {
	if got, want := request().String(), "g_variants GRCh37 22:16050074 A>G count"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
