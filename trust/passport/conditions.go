package passport

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// conditions are those of a visa: alternatives, of which one must be met, of
// clauses, all of which must be met (GA4GH Passport 1.2, "conditions"; passports.md,
// rows 32 to 41).
type conditions struct {
	present      bool       // absent and [] are unconditional
	fault        string     // why they cannot be understood as a whole; "" if they can
	alternatives [][]clause // none of them empty
}

// clause wants one visa: of exactly this type, and with every one of these claims.
type clause struct {
	visaType string
	wants    []want
	// fault is why the clause cannot be understood, so that nothing meets it. It
	// is judged before anything is compared.
	fault string
}

// want is one claim of a clause, with the way to compare it.
type want struct {
	claim string // value, source or by
	how   string // one of the prefixes
	text  string
}

// The ways to compare.
const (
	howConst   = "const"
	howPattern = "pattern"
	howSplit   = "split_pattern"
)

// member is the raw JSON of one member.
type member []byte

// UnmarshalJSON implements json.Unmarshaler.
func (m *member) UnmarshalJSON(data []byte) error {
	*m = append((*m)[:0], data...)
	return nil
}

// UnmarshalJSON implements json.Unmarshaler. It refuses nothing by itself, so that
// the verdict on the visa can say what is wrong; whatever is not understood is never
// met. Absent and [] are unconditional. Everything else is conditional whatever it
// holds: null, an object and [[]] too (V080).
func (c *conditions) UnmarshalJSON(data []byte) error {
	*c = conditions{present: true}
	var alternatives []member
	switch {
	case len(data) > maxConditionBytes:
		c.fault = fmt.Sprintf("conditions are longer than the %d bytes that are read", maxConditionBytes)
	case !list(data, &alternatives):
		c.fault = "conditions are not a list"
	case len(alternatives) == 0:
		c.present = false
	case len(alternatives) > maxAlternatives:
		c.fault = fmt.Sprintf("conditions have more than the %d alternatives that are read", maxAlternatives)
	}
	for clauses := 0; c.fault == "" && len(c.alternatives) < len(alternatives); {
		all, fault := parseAlternative(alternatives[len(c.alternatives)])
		if clauses += len(all); fault == "" && clauses > maxClauses {
			fault = fmt.Sprintf("conditions have more than the %d clauses that are read", maxClauses)
		}
		c.fault = fault
		c.alternatives = append(c.alternatives, all)
	}
	if c.fault != "" {
		c.alternatives = nil
	}
	return nil
}

func list(data []byte, into *[]member) bool {
	return bytes.HasPrefix(data, []byte("[")) && jose.Unmarshal(data, into) == nil
}

// parseAlternative reads one list of clauses. An empty one would be met by nothing
// at all, so it is a fault.
func parseAlternative(data []byte) (clauses []clause, fault string) {
	var all []member
	switch {
	case !list(data, &all):
		return nil, "an alternative of the conditions is not a list of clauses"
	case len(all) == 0:
		return nil, "an alternative of the conditions has no clauses"
	case len(all) > maxClauses:
		return nil, fmt.Sprintf("conditions have more than the %d clauses that are read", maxClauses)
	}
	clauses = make([]clause, len(all))
	for i, one := range all {
		if !clauses[i].parse(one) {
			return nil, "a clause of the conditions is not an object"
		}
	}
	return clauses, ""
}

// parse reads a clause, and false if it is no object. Every member must be
// understood: one that is dropped would widen whom the visa is for (V081).
func (c *clause) parse(data []byte) bool {
	var members map[string]member
	if !bytes.HasPrefix(data, []byte("{")) || jose.Unmarshal(data, &members) != nil {
		return false
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if fault := c.take(name, members[name]); fault != "" {
			c.fault = fault
			return true
		}
	}
	switch {
	case c.visaType == "":
		c.fault = "it names no type"
	case hasPrefix(c.visaType):
		c.fault = "type is compared as it is and takes no prefix"
	case len(c.wants) == 0:
		c.fault = "it wants nothing besides a type"
	}
	return true
}

// take reads one member of a clause, or says why it cannot.
func (c *clause) take(name string, data []byte) (fault string) {
	switch name {
	case "type", "value", "source", "by":
	case "conditions", "asserted":
		return name + " must not stand in a clause"
	default:
		return fmt.Sprintf("it names %s, which is not a claim that clauses may name", quoted(name))
	}
	var text jose.Text
	if jose.Unmarshal(data, &text) != nil {
		return name + " is not a string"
	}
	if name == "type" {
		c.visaType = text.Value
		return ""
	}
	how, rest, found := strings.Cut(text.Value, ":")
	if how = knownHow(how); !found || how == "" {
		return name + " has none of the prefixes const:, pattern: and split_pattern:"
	}
	claim := internAmong(name, []string{"value", "source", "by"})
	c.wants = append(c.wants, want{claim: claim, how: how, text: strings.Clone(rest)})
	return ""
}

func knownHow(s string) string { return internAmong(s, []string{howConst, howPattern, howSplit}) }

func hasPrefix(s string) bool {
	how, _, found := strings.Cut(s, ":")
	return found && knownHow(how) != ""
}

// meets tells whether one visa has everything that the clause wants. A claim that
// the visa does not have matches nothing, not even pattern:* (V088).
func (c *clause) meets(visa *trust.Visa, steps *int) bool {
	return c.fault == "" && visa.Type == c.visaType && !slices.ContainsFunc(c.wants, func(w want) bool {
		return !w.in(visa, steps)
	})
}

func (w want) in(visa *trust.Visa, steps *int) bool {
	text := visa.Value
	switch w.claim {
	case "source":
		text = visa.Source
	case "by":
		text = visa.By
	}
	switch {
	case text == "":
		return false
	case w.how == howConst:
		return text == w.text
	case w.how == howPattern:
		return matches(w.text, text, steps)
	}
	// The visa's claim is split, and the pattern is not (passports.md, row 37).
	for piece := range strings.SplitSeq(text, ";") {
		if matches(w.text, piece, steps) {
			return true
		}
	}
	return false
}

// String tells a person what the clause wants.
func (c *clause) String() string {
	if c.fault != "" {
		return "not a clause"
	}
	var b strings.Builder
	b.WriteString(shown(c.visaType))
	for i, w := range c.wants {
		b.WriteString([]string{" with ", ", "}[min(i, 1)] + w.claim + " " + w.how + ":" + shown(w.text))
	}
	return b.String()
}

// size is the memory that the conditions take.
func (c *conditions) size() int {
	n := len(c.fault)
	for _, clauses := range c.alternatives {
		n += 24
		for _, one := range clauses {
			n += 64 + len(one.visaType) + len(one.fault)
			for _, w := range one.wants {
				n += 48 + len(w.text)
			}
		}
	}
	return n
}
