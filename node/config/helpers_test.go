package config

import (
	"reflect"
	"regexp"

	"go.yaml.in/yaml/v3"
)

var indexes = regexp.MustCompile(`\[\d+\]`)

func decodeExample(n *notes, root *yaml.Node) {
	n.decode("", root, reflect.ValueOf(new(Config)).Elem())
}
