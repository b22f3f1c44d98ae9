package query

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Granularity is how much detail an answer has (Beacon v2, Granularity).
type Granularity string

// The granularities, in rising order.
const (
	Boolean Granularity = "boolean"
	Count   Granularity = "count"
	Record  Granularity = "record"
)

// Rank orders granularities; 0 for anything unknown.
func (g Granularity) Rank() int {
	switch g {
	case Boolean:
		return 1
	case Count:
		return 2
	case Record:
		return 3
	}
	return 0
}

// Least gives the lower of two granularities.
func Least(a, b Granularity) Granularity {
	if a.Rank() <= b.Rank() {
		return a
	}
	return b
}

// Entity is the kind of thing asked for.
type Entity string

// GVariants is Beacon's genomicVariant entry type.
const GVariants Entity = "g_variants"

// Include says which dataset results a Beacon answer lists (Beacon v2,
// IncludeResultsetResponses). Sites that failed are always listed.
type Include string

// The values of Include. The empty value means All: a caller sees every site.
const (
	IncludeAll  Include = "ALL"
	IncludeHit  Include = "HIT"
	IncludeMiss Include = "MISS"
	IncludeNone Include = "NONE"
)

// Request is one question, in a form that does not depend on how it arrived. It
// is also what travels to peers, as JSON.
type Request struct {
	// Transaction is shared by all sites that are asked the same question and
	// joins their audit records; 1 to 64 of A-Z a-z 0-9 - _.
	Transaction string       `json:"transaction"`
	Entity      Entity       `json:"entity"`
	Variant     VariantQuery `json:"variant"`
	Granularity Granularity  `json:"granularity"` // asked for; the answer may have less
	Datasets    []string     `json:"datasets,omitempty"`
	Include     Include      `json:"include,omitempty"`
	TestMode    bool         `json:"test_mode,omitempty"`
}

// ErrRequest is wrapped by every error about a question that cannot be asked;
// its text names the parameter and what to do, and is safe to show.
var ErrRequest = errors.New("bad question")

// Bad makes an error that wraps ErrRequest and names the parameter.
func Bad(parameter, format string, args ...any) error {
	return fmt.Errorf("%w: %s: %s", ErrRequest, parameter, fmt.Sprintf(format, args...))
}

var transactionForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// Validate checks a request from anywhere, also from a peer: forms, bounds and
// that the parts fit each other.
func (r Request) Validate() error {
	if !transactionForm.MatchString(r.Transaction) {
		return Bad("transaction", "want 1 to 64 of A-Z a-z 0-9 - _")
	}
	if r.Entity != GVariants {
		return Bad("entity", "%.40q is not served; ask for %q", r.Entity, GVariants)
	}
	if r.Granularity.Rank() == 0 {
		return Bad("requestedGranularity", "%.40q is none of boolean, count, record", r.Granularity)
	}
	switch r.Include {
	case "", IncludeAll, IncludeHit, IncludeMiss, IncludeNone:
	default:
		return Bad("includeResultsetResponses", "%.40q is none of ALL, HIT, MISS, NONE", r.Include)
	}
	if len(r.Datasets) > MaxDatasets {
		return Bad("datasets", "%d named, at most %d", len(r.Datasets), MaxDatasets)
	}
	for _, id := range r.Datasets {
		if err := ValidDatasetID(id); err != nil {
			return err
		}
	}
	return r.Variant.Validate()
}

var datasetForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// ValidDatasetID checks the form of a dataset id: it is a file name and a log
// word too.
func ValidDatasetID(id string) error {
	if !datasetForm.MatchString(id) {
		return Bad("datasets", "%.80q is not a dataset id: use 1 to 64 of A-Z a-z 0-9 . _ -, beginning with a letter or digit", id)
	}
	return nil
}

// String gives the question in one line, for audit records and logs.
func (r Request) String() string {
	return string(r.Entity) + " " + r.Variant.String() + " " + string(r.Granularity)
}

// Assembly is a reference genome, in the one spelling the project uses.
type Assembly string

// The assemblies that are known.
const (
	GRCh37 Assembly = "GRCh37"
	GRCh38 Assembly = "GRCh38"
)

// ParseAssembly accepts the spellings in use: GRCh37, hg19, GRCh37.p13 and the
// like, whatever their case.
func ParseAssembly(s string) (Assembly, error) {
	name, _, _ := strings.Cut(strings.ToLower(s), ".p")
	switch name {
	case "grch37", "hg19", "hs37d5", "b37":
		return GRCh37, nil
	case "grch38", "hg38":
		return GRCh38, nil
	}
	return "", Bad("assemblyId", "%.40q is not known; use GRCh37 or GRCh38", s)
}
