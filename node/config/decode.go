package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// The decoder walks the parsed YAML by hand. The library's own stops a section
// at its first bad value, and knows nothing of key paths; an operator with five
// mistakes would start the node six times.

// decode fills target, a settable value, from node and notes every problem.
func (n *notes) decode(key string, node *yaml.Node, target reflect.Value) {
	if !n.plain(key, node) {
		return
	}
	n.lines[key] = node.Line
	switch {
	case target.Kind() == reflect.Struct:
		n.decodeMap(key, node, target)
	case target.Kind() == reflect.Slice:
		n.decodeList(key, node, target)
	default:
		n.decodeScalar(key, node, target)
	}
}

// plain refuses the parts of YAML that a configuration does not need and that
// make a small file large or its meaning hard to see.
func (n *notes) plain(key string, node *yaml.Node) bool {
	n.lines[key] = node.Line
	switch {
	case node.Kind == yaml.AliasNode || node.Anchor != "":
		n.problem(key, "write the value out", "YAML anchors and aliases are not read here")
	case node.Style&yaml.TaggedStyle != 0:
		n.problem(key, "remove the tag and write the plain value", "YAML tags are not read here")
	case strings.Count(key, ".")+strings.Count(key, "[") > maxDepth:
		n.problem(key, "", "nested too deep")
	default:
		return true
	}
	return false
}

func isNull(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.Tag == "!!null" }

func (n *notes) decodeMap(key string, node *yaml.Node, target reflect.Value) {
	if isNull(node) {
		return // a section whose every line is commented out
	}
	if node.Kind != yaml.MappingNode {
		n.problem(key, "write its keys below it, indented: "+strings.Join(keysOf(target.Type()), ", "),
			"a section is needed here, not %s", describe(node))
		return
	}
	if keys := len(node.Content) / 2; keys > maxKeys {
		n.problem(key, "the keys here are "+strings.Join(keysOf(target.Type()), ", "), "%d keys; at most %d", keys, maxKeys)
		return
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, value := node.Content[i], node.Content[i+1]
		path := join(key, name.Value)
		if name.Kind != yaml.ScalarNode || !known(target.Type(), name.Value) {
			n.unknown(key, name, target.Type())
			continue
		}
		if n.written(path) {
			n.problems = append(n.problems, Problem{path, name.Line,
				fmt.Sprintf("is written twice; first on line %d", n.lines[path]), "remove one"})
			continue
		}
		n.decode(path, value, fieldOf(target, name.Value))
		n.lines[path] = name.Line
	}
}

// keyForm is what may stand unquoted in a key path.
var keyForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,60}$`)

// unknown names a key that is not one, and the key that was probably meant.
func (n *notes) unknown(key string, name *yaml.Node, section reflect.Type) {
	hint := "the keys here are " + strings.Join(keysOf(section), ", ")
	if near := nearest(name.Value, keysOf(section)); near != "" {
		hint = "write " + near
	}
	if keyForm.MatchString(name.Value) {
		key = join(key, name.Value)
	}
	n.problems = append(n.problems, Problem{key, name.Line, fmt.Sprintf("unknown key %.80q", name.Value), hint})
}

func (n *notes) decodeList(key string, node *yaml.Node, target reflect.Value) {
	if isNull(node) {
		return
	}
	if node.Kind != yaml.SequenceNode {
		n.problem(key, "write [ ] around it, or one entry a line, each after a dash",
			"a list is needed here, not %s", describe(node))
		return
	}
	if limit := listLimit(key); len(node.Content) > limit {
		n.problem(key, "", "%d entries; at most %d", len(node.Content), limit)
		return
	}
	list := reflect.MakeSlice(target.Type(), len(node.Content), len(node.Content))
	for i, entry := range node.Content {
		path := item(key, i)
		if isNull(entry) {
			n.lines[path] = entry.Line
			n.problem(path, "write a value after the dash or remove the line", "is empty")
			continue
		}
		n.decode(path, entry, list.Index(i))
	}
	target.Set(list)
}

func (n *notes) decodeScalar(key string, node *yaml.Node, target reflect.Value) {
	if node.Kind != yaml.ScalarNode {
		n.problem(key, "", "one value is needed here, not %s", describe(node))
		return
	}
	if isNull(node) {
		n.problem(key, "write a value or remove the line", "has no value")
		return
	}
	text := node.Value
	if _, ok := target.Interface().(time.Duration); ok {
		d, err := time.ParseDuration(text)
		if err != nil {
			n.problem(key, "write a number with its unit, such as 30s, 5m or 24h", "%.80q is not a duration", text)
			return
		}
		target.SetInt(int64(d))
		return
	}
	switch target.Kind() {
	case reflect.String:
		target.SetString(text)
	case reflect.Bool:
		if node.Tag != "!!bool" {
			n.problem(key, "write true or false", "%.80q is neither true nor false", text)
			return
		}
		target.SetBool(strings.EqualFold(text, "true"))
	case reflect.Int:
		v, err := strconv.Atoi(text)
		if err != nil || node.Tag != "!!int" {
			n.problem(key, "write a whole number, without a unit or quotes", "%.80q is not a whole number", text)
			return
		}
		target.SetInt(int64(v))
	}
}

func describe(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "a section"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		return fmt.Sprintf("%.80q", node.Value)
	}
	return "this"
}

func listLimit(key string) int {
	switch key {
	case "federation.peers":
		return maxPeers
	case "issuers":
		return maxIssuers
	}
	return maxList
}

// keysOf lists the keys of a section in the order of the struct.
func keysOf(section reflect.Type) []string {
	var keys []string
	for i := range section.NumField() {
		if name, ok := section.Field(i).Tag.Lookup("yaml"); ok {
			keys = append(keys, name)
		}
	}
	return keys
}

func known(section reflect.Type, name string) bool { return slices.Contains(keysOf(section), name) }

func fieldOf(section reflect.Value, name string) reflect.Value {
	for i := range section.NumField() {
		if tag, ok := section.Type().Field(i).Tag.Lookup("yaml"); ok && tag == name {
			return section.Field(i)
		}
	}
	return reflect.Value{}
}

// nearest gives the known word within two typing mistakes, or "".
func nearest(word string, words []string) string {
	if len(word) > 40 {
		return ""
	}
	best, least := "", 3
	for _, w := range words {
		if d := distance(strings.ToLower(word), strings.ToLower(w)); d < least && d < len(w) {
			best, least = w, d
		}
	}
	return best
}

// distance is Levenshtein's, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
