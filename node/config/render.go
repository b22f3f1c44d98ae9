package config

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/candignode/candignode/configs"
)

// InitOptions is what a new site's configuration says; what is "" keeps its
// default. Relative paths are relative to the directory of Path.
type InitOptions struct {
	Path        string // where the file will stand
	Name        string // required
	DisplayName string
	DataDir     string // required
	Listen      string
	Advertise   string
	Network     string
	NodeKey     string
	API         string
	ExternalURL string
	TLSCert     string
	TLSKey      string
	AdminSocket string
}

// Render writes the configuration of a new site: the manual of all keys with the
// site's own values in it, and the examples of peers, issuers and datasets
// commented out. Values that make no valid configuration give *Problems.
func Render(o InitOptions) ([]byte, error) {
	root, problem := document(configs.Example())
	if problem != nil {
		return nil, fmt.Errorf("the built-in example: %v", problem)
	}
	p := page{lines: strings.Split(string(configs.Example()), "\n"), spans: map[string]span{}}
	p.measure("", root)
	for _, e := range []struct{ key, value string }{
		{"site.name", o.Name},
		{"site.display_name", o.DisplayName},
		{"data_dir", o.DataDir},
		{"federation.listen", o.Listen},
		{"federation.advertise", o.Advertise},
		{"federation.network", o.Network},
		{"federation.node_key", o.NodeKey},
		{"api.listen", o.API},
		{"api.external_url", o.ExternalURL},
		{"admin.socket", o.AdminSocket},
	} {
		if e.value == "" {
			p.commentOut(e.key)
		} else {
			p.write(e.key, e.value)
		}
	}
	if o.TLSCert == "" && o.TLSKey == "" {
		p.commentOut("api.tls")
	} else {
		p.write("api.tls.cert", o.TLSCert)
		p.write("api.tls.key", o.TLSKey)
	}
	for _, examples := range []string{"federation.peers", "issuers", "datasets"} {
		p.commentOutBelow(examples)
	}
	for _, role := range []string{"signing", "dac", "broker"} {
		p.commentOut(role)
	}
	p.commentOut("privacy.round")
	p.commentOut("privacy.budget")
	text := []byte(strings.Join(p.lines, "\n"))
	if _, problems := parse(text, o.Path); problems != nil {
		return nil, problems
	}
	return text, nil
}

// page is the example, and where in it each key stands.
type page struct {
	lines []string
	spans map[string]span
}

// span is the first and last line of a key with its value, from 1, and the
// column of the key, from 0.
type span struct{ first, last, column int }

func (p *page) measure(key string, node *yaml.Node) {
	if node.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, value := node.Content[i], node.Content[i+1]
		path := join(key, name.Value)
		p.spans[path] = span{name.Line, lastLine(value), name.Column - 1}
		p.measure(path, value)
	}
}

func lastLine(node *yaml.Node) int {
	last := node.Line
	for _, below := range node.Content {
		last = max(last, lastLine(below))
	}
	return last
}

var scalarLine = regexp.MustCompile(`^(\s*[a-z_]+:\s*).*$`)

// write replaces the value of a key that stands on one line. Every value is
// quoted, so that no value can be read as anything but text.
func (p *page) write(key, value string) {
	s, ok := p.spans[key]
	if !ok {
		return
	}
	line := &p.lines[s.first-1]
	*line = scalarLine.FindStringSubmatch(*line)[1] + strconv.Quote(value)
}

func (p *page) commentOut(key string) {
	if s, ok := p.spans[key]; ok {
		p.hide(s.first, s.last, s.column)
	}
}

// commentOutBelow leaves the key itself, with nothing in it.
func (p *page) commentOutBelow(key string) {
	if s, ok := p.spans[key]; ok {
		p.hide(s.first+1, s.last, s.column)
	}
}

// hide puts "# " into the lines at the column, so that taking it out again gives
// back what stood there.
func (p *page) hide(first, last, column int) {
	for i := first - 1; i < last; i++ {
		line := p.lines[i]
		if strings.TrimSpace(line) == "" {
			continue
		}
		at := min(column, len(line)-len(strings.TrimLeft(line, " ")))
		p.lines[i] = line[:at] + "# " + line[at:]
	}
}

// ErrExists is returned where something would have to be overwritten.
var ErrExists = errors.New("exists already and is not overwritten")
