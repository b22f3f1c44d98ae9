package beacon

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/candignode/candignode/query"
)

// given is what one request said, under Beacon's own names, wherever in the
// request it stood and in whichever dialect. Values are text: a URL has nothing
// else.
type given map[string]parameter

type parameter struct {
	as     string // the name that the caller used
	values []string
}

// The parameters. Everything else is unknown, and refused by name.
const (
	assemblyID     = "assemblyId"
	referenceName  = "referenceName"
	start          = "start"
	end            = "end"
	referenceBases = "referenceBases"
	alternateBases = "alternateBases"
	datasets       = "datasets"
	granularity    = "requestedGranularity"
	include        = "includeResultsetResponses"
	testMode       = "testMode"
	skip           = "skip"
	limit          = "limit"
	apiVersion     = "apiVersion"
	schema         = "requestedSchema"
)

// canonical gives the one name of a parameter for its spellings in the wild.
func canonical(name string) string {
	switch name {
	case "datasetIds":
		return datasets
	case "requestedSchemas":
		return schema
	case "geneid":
		return "geneId"
	case "allele":
		return "genomicAlleleShortForm"
	}
	return name
}

// ofVariant tells the parameters that stand in requestParameters.
func ofVariant(name string) bool {
	switch canonical(name) {
	case assemblyID, referenceName, start, end, referenceBases, alternateBases:
		return true
	}
	return unserved(canonical(name)) != "" && name != "filters"
}

// ofQuery tells the parameters that stand in query, or beside it.
func ofQuery(name string) bool {
	switch canonical(name) {
	case datasets, granularity, include, testMode, "filters":
		return true
	}
	return false
}

// unserved says why a parameter that Beacon knows is refused here, or "".
func unserved(name string) string {
	switch name {
	case "filters":
		return "no filtering terms are loaded, see /filtering_terms; ask without filters"
	case "geneId", "aminoacidChange", "genomicAlleleShortForm":
		return "variants are asked by position here: give assemblyId, referenceName, start and either end or referenceBases and alternateBases"
	case "variantType", "variantMinLength", "variantMaxLength", "mateName":
		return "structural variants are not served; ask by position and sequence"
	case "currentPage", "nextPage", "previousPage":
		return "answers have no pages at boolean and count granularity"
	}
	return ""
}

// known tells whether a URL parameter is one of Beacon's.
func known(name string) bool {
	switch canonical(name) {
	case skip, limit, apiVersion, schema:
		return true
	}
	return ofVariant(name) || ofQuery(name) || unserved(name) != ""
}

// isList tells the parameters whose values may be joined by commas.
func isList(name string) bool {
	switch name {
	case start, end, datasets, "filters", schema:
		return true
	}
	return false
}

// add takes a known parameter's values. Empty ones constrain nothing and count
// as absent, except an allele's: Beacon gives the empty allele a meaning.
func (g given) add(as string, values []string) error {
	name := canonical(as)
	for _, value := range values {
		if HoldsToken(value) {
			return tokenMisplaced(as)
		}
	}
	if isList(name) && len(values) == 1 {
		values = strings.SplitN(values[0], ",", maxValues+2)
	}
	empty := len(values) == 0 || (len(values) == 1 && values[0] == "")
	switch {
	case len(values) > maxValues:
		return query.Bad(safeName(as), "more than %d values", maxValues)
	case empty && (name == referenceBases || name == alternateBases) && len(values) == 1:
		return query.Bad(safeName(as), "is empty; write insertions and deletions with their anchor base, as VCF does")
	case empty:
		return nil
	}
	if why := unserved(name); why != "" {
		return query.Bad(safeName(as), "%s", why)
	}
	if earlier, twice := g[name]; twice {
		return query.Bad(safeName(as), "is given twice (as %s and as %s)", earlier.as, safeName(as))
	}
	if !isList(name) && len(values) > 1 {
		return query.Bad(safeName(as), "takes one value, got %d", len(values))
	}
	g[name] = parameter{as: as, values: values}
	return nil
}

// text gives a parameter with one value, "" if absent.
func (g given) text(name string) string {
	if p, ok := g[name]; ok {
		return p.values[0]
	}
	return ""
}

func (g given) has(names ...string) bool {
	for _, name := range names {
		if _, ok := g[name]; ok {
			return true
		}
	}
	return false
}

// position gives a coordinate; ok tells whether it was given.
func (g given) position(name string) (at int64, ok bool, err error) {
	p, ok := g[name]
	if !ok {
		return 0, false, nil
	}
	if len(p.values) != 1 {
		return 0, true, query.Bad(name, "has %d values; bracket queries are not served, give one", len(p.values))
	}
	at, err = strconv.ParseInt(strings.TrimSpace(p.values[0]), 10, 64)
	if err != nil || at < 0 || at > query.MaxPosition {
		return 0, true, query.Bad(name, "%s is not a position: a whole number from 0 to %d", echo(p.values[0]), query.MaxPosition)
	}
	return at, true, nil
}

func (g given) page(name string, fallback int) (int, error) {
	if !g.has(name) {
		return fallback, nil
	}
	n, err := strconv.Atoi(g.text(name))
	if err != nil || n < 0 || n > maxPage {
		return 0, query.Bad(name, "%s is not a whole number from 0 to %d", echo(g.text(name)), maxPage)
	}
	return n, nil
}

func (g given) flag(name string) (bool, error) {
	switch value := g.text(name); value {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, query.Bad(name, "%s is neither true nor false", echo(value))
	}
}

// echo repeats a little of a caller's own word, escaped.
func echo(value string) string { return fmt.Sprintf("%.*q", maxEcho, value) }
