package beacon

import (
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/candignode/candignode/query"
)

// Decoded is one request, read and checked but for its Transaction, which is not
// the caller's to choose.
type Decoded struct {
	Request   query.Request
	Passports Passports
	// NothingAsked tells that no variant was named: the request is a probe of the
	// endpoint, to be answered by NothingAsked without asking anybody.
	NothingAsked bool

	apiVersion string
	schemas    []SchemaRef
	skip       int
	limit      int
}

// Passports are the compact tokens as the caller presented them: unchecked, and
// secret. They print and log as their number only.
type Passports []string

// String hides the tokens.
func (p Passports) String() string { return fmt.Sprintf("%d passports", len(p)) }

// GoString hides the tokens from %#v.
func (p Passports) GoString() string { return p.String() }

// LogValue hides the tokens from slog.
func (p Passports) LogValue() slog.Value { return slog.StringValue(p.String()) }

// MarshalText hides the tokens from encoders.
func (p Passports) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// SchemaRef names the schema of one entry type (Beacon v2, SchemasPerEntity).
type SchemaRef struct {
	EntityType string `json:"entityType,omitempty"`
	Schema     string `json:"schema,omitempty"`
}

// DecodeGet reads a question from URL parameters. Lists are joined by commas or
// repeated. Errors wrap query.ErrRequest. Whatever looks or is named like a
// credential is refused and not repeated: tokens never travel in a URL
// (passports.md, row 137).
func DecodeGet(entity query.Entity, v url.Values) (Decoded, error) {
	g, err := fromURL(v, known)
	if err != nil {
		return Decoded{}, err
	}
	var schemas []SchemaRef
	for _, name := range g[schema].values {
		schemas = append(schemas, SchemaRef{Schema: name})
	}
	return g.decode(entity, schemas)
}

// CheckInfo checks the URL parameters of an informational endpoint, which serves
// none: those that Beacon defines there are read over, others are named.
func CheckInfo(v url.Values) error {
	_, err := fromURL(v, func(name string) bool {
		switch canonical(name) {
		case skip, limit, schema, apiVersion:
			return true
		}
		return false
	})
	return err
}

// CheckNoURL refuses URL parameters where the question stands in the body.
func CheckNoURL(v url.Values) error {
	names := slices.Sorted(maps.Keys(v))
	if len(names) == 0 {
		return nil
	}
	for _, name := range names {
		if namesToken(name) || slices.ContainsFunc(append(v[name], name), HoldsToken) {
			return tokenMisplaced(name)
		}
	}
	return query.Bad(safeName(names[0]), "stands in the URL; put it into the body of the POST")
}

func fromURL(v url.Values, served func(name string) bool) (given, error) {
	g := given{}
	for _, name := range slices.Sorted(maps.Keys(v)) {
		switch {
		case namesToken(name), slices.ContainsFunc(append(v[name], name), HoldsToken):
			return nil, tokenMisplaced(name)
		case !served(name):
			return nil, query.Bad(safeName(name), "is not a parameter of this endpoint")
		}
		values := v[name]
		if isList(canonical(name)) {
			values = []string{strings.Join(values, ",")}
		}
		if err := g.add(name, values); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// decode makes the request from what was given.
func (g given) decode(entity query.Entity, schemas []SchemaRef) (Decoded, error) {
	d := Decoded{Request: query.Request{
		Entity:      entity,
		Granularity: query.Boolean, // Beacon's default
		Include:     query.Include(g.text(include)),
		Datasets:    g[datasets].values,
	}}
	if wanted := g.text(granularity); wanted != "" {
		d.Request.Granularity = query.Granularity(wanted)
	}
	var err error
	if d.Request.TestMode, err = g.flag(testMode); err != nil {
		return Decoded{}, err
	}
	if d.skip, err = g.page(skip, 0); err != nil {
		return Decoded{}, err
	}
	if d.limit, err = g.page(limit, 10); err != nil {
		return Decoded{}, err
	}
	if d.apiVersion, err = versionOf(g.text(apiVersion)); err != nil {
		return Decoded{}, err
	}
	if d.schemas, err = schemasOf(schemas); err != nil {
		return Decoded{}, err
	}
	d.NothingAsked = !g.has(assemblyID, referenceName, start, end, referenceBases, alternateBases, datasets)
	if !d.NothingAsked {
		if d.Request.Variant, err = g.variant(); err != nil {
			return Decoded{}, err
		}
		return d, checked(d.Request)
	}
	// The rest of the request must hold even so; any valid variant stands in.
	probe := d.Request
	probe.Variant = query.VariantQuery{Assembly: query.GRCh38, Chrom: "1", Start: 0, End: 1}
	return d, checked(probe)
}

// checked validates all but the transaction, which is given out afterwards.
func checked(r query.Request) error {
	r.Transaction = "-"
	return r.Validate()
}

// variant reads the variant. Beacon's N is a wildcard for any base, and
// sequences are compared as they are: an N is refused rather than looked up
// literally.
func (g given) variant() (query.VariantQuery, error) {
	var q query.VariantQuery
	for _, name := range []string{assemblyID, referenceName, start} {
		if !g.has(name) {
			return q, query.Bad(name, "is missing: a variant question needs assemblyId, referenceName and start")
		}
	}
	var err error
	if q.Assembly, err = query.ParseAssembly(g.text(assemblyID)); err != nil {
		return q, err
	}
	name := g.text(referenceName)
	if prefix, rest, ok := strings.Cut(name, ":"); ok && strings.EqualFold(prefix, "refseq") {
		name = rest
	}
	if q.Chrom, err = query.Chrom(name); err != nil {
		return q, err
	}
	if q.Start, _, err = g.position(start); err != nil {
		return q, err
	}
	last, ranged, err := g.position(end)
	if err != nil {
		return q, err
	}
	if ranged && last <= q.Start {
		return q, query.Bad(end, "%d must lie after start %d (0-based, half-open)", last, q.Start)
	}
	q.End = last
	q.Ref, q.Alt = strings.ToUpper(g.text(referenceBases)), strings.ToUpper(g.text(alternateBases))
	for _, allele := range []struct{ name, bases string }{{referenceBases, q.Ref}, {alternateBases, q.Alt}} {
		if strings.Contains(allele.bases, "N") {
			return q, query.Bad(allele.name, "holds N, a wildcard that is not served; name the bases, or ask for a range without it")
		}
	}
	return q, nil
}

var (
	versionForm = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)
	schemaForm  = regexp.MustCompile(`^[A-Za-z0-9:/._#-]*$`)
)

func versionOf(s string) (string, error) {
	if s == "" {
		return APIVersion, nil
	}
	if len(s) > maxVersion || !versionForm.MatchString(s) {
		return "", query.Bad(apiVersion, "%s is not a version; this node speaks %s", echo(s), APIVersion)
	}
	return s, nil
}

// schemasOf checks the schemas that a caller wishes for. They only matter to
// records; the summary echoes them.
func schemasOf(refs []SchemaRef) ([]SchemaRef, error) {
	if len(refs) > maxValues {
		return nil, query.Bad(schema, "more than %d values", maxValues)
	}
	for _, ref := range refs {
		for _, text := range []string{ref.EntityType, ref.Schema} {
			if HoldsToken(text) {
				return nil, tokenMisplaced(schema)
			}
			if len(text) > maxSchema || !schemaForm.MatchString(text) {
				return nil, query.Bad(schema, "%s is not the name of a schema", echo(text))
			}
		}
	}
	return refs, nil
}
