package claims

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// The members that point to claims (OpenID Connect Core 1.0, section 5.6.2).
const (
	namesMember   = "_claim_names"
	sourcesMember = "_claim_sources"
)

// protocolClaims say what a token is, and never what a person holds: no source may
// set them, whatever the configuration lists.
var protocolClaims = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "cnf", "nonce", "azp", "scope", namesMember, sourcesMember}

// plan is what a response points to.
type plan struct {
	subject string // the response's own sub
	sources []source
	absent  []Absent
}

// source is one member of _claim_sources, and the names that point to it, sorted.
type source struct {
	names    []string
	compact  string // aggregated
	endpoint string // distributed
	token    trust.AccessToken
}

// read finds the pointers. What is malformed makes its claim absent and nothing else
// (passports.md, row 80).
func read(payload []byte, arrays bool) plan {
	var plan plan
	var top map[string]json.RawMessage
	if err := jose.Unmarshal(payload, &top); err != nil {
		plan.lose(namesMember, "the response is not strict JSON")
		return plan
	}
	var subject jose.Text
	if jose.Unmarshal(top["sub"], &subject) == nil {
		plan.subject = subject.Value
	}
	raw, ok := top[namesMember]
	if !ok {
		return plan
	}
	names, ok := object(raw)
	switch {
	case !ok:
		plan.lose(namesMember, "it is not an object")
		return plan
	case len(names) > maxNames:
		plan.lose(namesMember, "more than %d claims are pointed to", maxNames)
		// Names that are there themselves besides must not pass for unquestioned.
		for _, name := range slices.Sorted(maps.Keys(names)) {
			if _, plain := top[name]; plain {
				plan.conflict(name)
			}
		}
		return plan
	}
	sources, _ := object(top[sourcesMember]) // without: every reference dangles
	plan.group(top, names, sources, arrays)
	return plan
}

// group collects the names of each source.
func (p *plan) group(top, names, sources map[string]json.RawMessage, arrays bool) {
	pointing := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if _, plain := top[name]; plain {
			p.conflict(name)
			continue
		}
		if slices.Contains(protocolClaims, name) {
			p.lose(name, "no source may set this claim")
			continue
		}
		references, ok := references(names[name], arrays)
		if !ok {
			p.lose(name, "it does not name one source")
			continue
		}
		for _, reference := range references {
			pointing[reference] = append(pointing[reference], name)
		}
	}
	for _, reference := range slices.Sorted(maps.Keys(pointing)) {
		source, problem := readSource(sources, reference)
		if problem == "" && len(p.sources) >= maxSources {
			problem = fmt.Sprintf("more than %d sources are pointed to", maxSources)
		}
		if problem != "" {
			for _, name := range pointing[reference] {
				p.lose(name, "%s", problem)
			}
			continue
		}
		source.names = pointing[reference]
		p.sources = append(p.sources, source)
	}
}

func (p *plan) lose(name, format string, args ...any) {
	p.absent = append(p.absent, Absent{Name: shown(name), Why: fmt.Sprintf(format, args...)})
}

func (p *plan) conflict(name string) {
	p.absent = append(p.absent, Absent{
		Name: shown(name), Conflict: true, Why: "the response has the claim itself and points elsewhere for it too: neither is used",
	})
}

// readSource reads one member of _claim_sources. Members that are not known are read
// over (passports.md, row 81); one that is aggregated and distributed at once can be
// read in two ways and is neither.
func readSource(sources map[string]json.RawMessage, reference string) (source, string) {
	raw, ok := sources[reference]
	if !ok {
		return source{}, "it points to a source that is not there"
	}
	var members struct {
		JWT      jose.Text `json:"JWT"`
		Endpoint jose.Text `json:"endpoint"`
		Token    jose.Text `json:"access_token"`
	}
	if _, ok := object(raw); !ok || jose.Unmarshal(raw, &members) != nil {
		return source{}, "its source is malformed"
	}
	switch {
	case members.JWT.Present == members.Endpoint.Present:
		return source{}, "its source must have either a JWT or an endpoint"
	case members.JWT.Present && members.JWT.Value == "", members.Endpoint.Present && members.Endpoint.Value == "":
		return source{}, "its source is empty"
	case members.Endpoint.Present && !strings.HasPrefix(members.Endpoint.Value, "https://"):
		return source{}, "its endpoint is not https; nothing was asked"
	case members.Token.Present && !sendable(members.Token.Value):
		return source{}, "its access_token cannot be sent"
	}
	return source{compact: members.JWT.Value, endpoint: members.Endpoint.Value, token: trust.NewAccessToken(members.Token.Value)}, ""
}

// references reads the value of one name: a source, or several if arrays are taken.
func references(raw json.RawMessage, arrays bool) ([]string, bool) {
	var one jose.Text
	if jose.Unmarshal(raw, &one) == nil && one.Present {
		return []string{one.Value}, true
	}
	var several []jose.Text
	if !arrays || jose.Unmarshal(raw, &several) != nil || len(several) == 0 || len(several) > maxSources {
		return nil, false
	}
	var references []string
	for _, reference := range several {
		if !slices.Contains(references, reference.Value) {
			references = append(references, reference.Value)
		}
	}
	return references, true
}

// object tells objects from everything else, null included.
func object(raw json.RawMessage) (map[string]json.RawMessage, bool) {
	var members map[string]json.RawMessage
	if len(raw) == 0 || raw[0] != '{' || jose.Unmarshal(raw, &members) != nil {
		return nil, false
	}
	return members, true
}

// sendable tells whether a token is one of the Authorization header (RFC 6750,
// section 2.1): nothing in it can end the header or begin another.
func sendable(token string) bool {
	if token == "" || len(token) > maxTokenBytes {
		return false
	}
	for i := range len(token) {
		if c := token[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == ',' {
			return false
		}
	}
	return true
}

// shown makes a text from outside fit to be told.
func shown(s string) string {
	if len(s) > maxShown {
		s = strings.ToValidUTF8(s[:maxShown], "") + "..."
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return strconv.QuoteToASCII(s)
		}
	}
	return strings.Clone(s)
}

// told is the sentence of an error for people; errors of other kinds may say more
// than may be shown.
func told(err error) string {
	if own, ok := errors.AsType[*jose.Error](err); ok {
		return own.Detail
	}
	return "it does not verify"
}

func refuse(reason trust.Reason, detail string) *jose.Error {
	return &jose.Error{Reason: reason, Detail: detail}
}
