package beacon

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/trust/jose"
)

// object is a JSON object whose members are looked at one by one. The whole body
// was checked strictly before, so no name occurs twice in it.
type object map[string]json.RawMessage

// names gives the members in order, so that the same bad body always gets the
// same error.
func (o object) names() []string { return slices.Sorted(maps.Keys(o)) }

// post is one body being read.
type post struct {
	given     given
	passports Passports
	schemas   []SchemaRef
}

// DecodePost reads a question from the body of a POST, in any of the dialects in
// use (query.md, section 1). The body is strict JSON: one object, no name twice,
// nothing after it. Passports stand in the member of that name, as DRS does, and
// are not looked at here. Errors wrap query.ErrRequest.
func DecodePost(entity query.Entity, body []byte) (Decoded, error) {
	if len(body) > MaxBody {
		return Decoded{}, query.Bad("body", "has %d bytes, at most %d are read", len(body), MaxBody)
	}
	var top object
	if err := strict(body, &top); err != nil {
		return Decoded{}, err
	}
	if top == nil {
		return Decoded{}, query.Bad("body", "must be a JSON object")
	}
	p := post{given: given{}}
	for _, name := range top.names() {
		if err := p.member(name, top[name]); err != nil {
			return Decoded{}, err
		}
	}
	d, err := p.given.decode(entity, p.schemas)
	d.Passports = p.passports
	return d, err
}

// DecodePassports reads the body of a request that holds nothing but passports.
func DecodePassports(body []byte) (Passports, error) {
	var top object
	if err := strict(body, &top); err != nil {
		return nil, err
	}
	for _, name := range top.names() {
		if name == "passports" {
			continue
		}
		if namesToken(name) {
			return nil, tokenMisplaced(name)
		}
		return nil, query.Bad(safeName(name), "is not a member of this request; it has passports only")
	}
	return passportsOf(top["passports"])
}

// member reads one member of the body itself.
func (p *post) member(name string, raw json.RawMessage) error {
	switch name {
	case "$schema":
		return nil
	case "passports":
		var err error
		p.passports, err = passportsOf(raw)
		return err
	case "meta":
		return p.each(name, raw, p.meta)
	case "query":
		return p.each(name, raw, p.query)
	}
	return p.beside(name, raw)
}

// beside reads what may stand in query or outside of it.
func (p *post) beside(name string, raw json.RawMessage) error {
	switch {
	case namesToken(name):
		return tokenMisplaced(name)
	case name == "pagination":
		return p.each(name, raw, p.pagination)
	case canonical(name) == datasets:
		return p.datasets(name, raw)
	case ofQuery(name):
		return p.add(name, raw)
	}
	return unknown(name)
}

func (p *post) meta(name string, raw json.RawMessage) error {
	switch name {
	case "$schema":
		return nil
	case apiVersion:
		return p.add(name, raw)
	case "requestedSchemas":
		if p.schemas != nil {
			return query.Bad(name, "is given twice")
		}
		if err := strict(raw, &p.schemas); err != nil {
			return query.Bad(name, "must be an array of {entityType, schema}")
		}
		return nil
	}
	return p.beside(name, raw)
}

func (p *post) query(name string, raw json.RawMessage) error {
	switch name {
	case "$schema":
		return nil
	case "requestParameters":
		return p.each(name, raw, p.parameters)
	}
	return p.beside(name, raw)
}

// parameters reads requestParameters, where the variant stands flat or inside
// g_variant.
func (p *post) parameters(name string, raw json.RawMessage) error {
	switch {
	case name == "$schema":
		return nil
	case name == "g_variant":
		return p.each(name, raw, p.variant)
	case canonical(name) == datasets:
		return p.datasets(name, raw)
	}
	return p.variant(name, raw)
}

func (p *post) variant(name string, raw json.RawMessage) error {
	switch {
	case namesToken(name):
		return tokenMisplaced(name)
	case ofVariant(name):
		return p.add(name, raw)
	}
	return unknown(name)
}

func (p *post) pagination(name string, raw json.RawMessage) error {
	switch name {
	case skip, limit, "currentPage", "nextPage", "previousPage":
		return p.add(name, raw)
	}
	return unknown(name)
}

// datasets are a list of ids, or an object that holds one.
func (p *post) datasets(name string, raw json.RawMessage) error {
	if len(raw) == 0 || raw[0] != '{' {
		return p.add(name, raw)
	}
	return p.each(name, raw, func(inner string, raw json.RawMessage) error {
		if inner != "datasetIds" {
			return unknown(inner)
		}
		return p.add(inner, raw)
	})
}

func (p *post) add(name string, raw json.RawMessage) error {
	values, err := texts(name, raw)
	if err != nil {
		return err
	}
	return p.given.add(name, values)
}

// each reads the members of an object; null counts as absent.
func (p *post) each(name string, raw json.RawMessage, read func(string, json.RawMessage) error) error {
	var o object
	if err := strict(raw, &o); err != nil {
		return query.Bad(name, "must be a JSON object")
	}
	for _, inner := range o.names() {
		if err := read(inner, o[inner]); err != nil {
			return err
		}
	}
	return nil
}

// texts gives the text of a string, number or truth value, or of an array of
// them; null gives none.
func texts(name string, raw json.RawMessage) ([]string, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	if raw[0] != '[' {
		text, err := scalar(name, raw)
		return []string{text}, err
	}
	var items []json.RawMessage
	if err := strict(raw, &items); err != nil {
		return nil, err
	}
	if len(items) > maxValues {
		return nil, query.Bad(safeName(name), "more than %d values", maxValues)
	}
	if len(items) > 0 && unserved(canonical(name)) != "" {
		return []string{"an array"}, nil // refused by name; its items may be objects
	}
	values := make([]string, 0, len(items))
	for _, item := range items {
		text, err := scalar(name, item)
		if err != nil {
			return nil, err
		}
		values = append(values, text)
	}
	return values, nil
}

func scalar(name string, raw json.RawMessage) (string, error) {
	switch {
	case len(raw) > 0 && raw[0] == '"':
		var text string
		err := strict(raw, &text)
		return text, err
	case len(raw) == 0, raw[0] == '{', raw[0] == '[', string(raw) == "null":
		return "", query.Bad(safeName(name), "must be a string, a number, true or false, or an array of these")
	}
	return string(raw), nil
}

func passportsOf(raw json.RawMessage) (Passports, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	var list []*string
	if err := strict(firstStrings(raw, maxListed), &list); err != nil {
		return nil, query.Bad("passports", "must be an array of strings")
	}
	passports := make(Passports, 0, len(list))
	for _, compact := range list {
		if compact == nil {
			return nil, query.Bad("passports", "must be an array of strings, without null")
		}
		passports = append(passports, *compact)
	}
	return passports, nil
}

// firstStrings cuts a list of strings after the first few. Whoever shows more is
// refused for their number, and reading on would only cost time (passports.md, row 106).
func firstStrings(list json.RawMessage, most int) json.RawMessage {
	if bytes.Count(list, []byte{'"'}) <= 2*most {
		return list
	}
	quotes := 0
	for i, b := range list {
		if b == '"' {
			if quotes++; quotes == 2*most {
				return append(bytes.Clone(list[:i+1]), ']')
			}
		}
	}
	return list
}

func unknown(name string) error {
	if namesToken(name) {
		return tokenMisplaced(name)
	}
	return query.Bad(safeName(name), "is not a parameter that is known in this place")
}

// strict decodes and turns what the decoder says into an error about the
// request. A name that is quoted could be a secret, so it is looked at first.
func strict(raw []byte, v any) error {
	err := jose.Unmarshal(raw, v)
	if err == nil {
		return nil
	}
	detail := "is not strict JSON"
	if own, ok := errors.AsType[*jose.Error](err); ok && !HoldsToken(own.Detail) {
		detail = own.Detail
	}
	return query.Bad("body", "%s", detail)
}
