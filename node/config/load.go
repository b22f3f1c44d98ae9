package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// Load reads and checks the configuration in the file at path and every file
// that it names. A file that is not right gives *Problems with all that is wrong,
// and no Config; a file that cannot be read gives *Problems with that alone.
// Relative paths in the file are relative to its directory.
func Load(path string) (*Config, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		absolute = path
	}
	data, err := readFile(absolute, maxFile)
	if err != nil {
		return nil, &Problems{File: path, List: []Problem{{Message: err.Error(),
			Hint: "name the configuration with --config; 'candignode init' writes one"}}}
	}
	c, problems := parse(data, absolute)
	if problems != nil {
		problems.File = path
		return nil, problems
	}
	return c, nil
}

// parse is Load for bytes that were read already.
func parse(data []byte, path string) (*Config, *Problems) {
	n := newNotes()
	c := &Config{path: path}
	root, problem := document(data)
	switch {
	case problem != nil:
		n.problems = append(n.problems, *problem)
		return nil, n.result(path)
	case root != nil:
		n.decode("", root, reflect.ValueOf(c).Elem())
	}
	c.fillDefaults(n)
	c.resolvePaths(filepath.Dir(path))
	c.check(n)
	if problems := n.result(path); problems != nil {
		return nil, problems
	}
	c.warnings = n.warnings
	return c, nil
}

var syntaxLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// document gives the root node of the one YAML document in data, nil if data
// holds nothing but comments.
func document(data []byte) (*yaml.Node, *Problem) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	switch err := decoder.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, syntaxProblem(err)
	}
	if err := decoder.Decode(&more); err == nil {
		return nil, &Problem{Line: more.Line, Message: "a second YAML document begins here",
			Hint: "remove the line '---' and what follows"}
	} else if !errors.Is(err, io.EOF) {
		return nil, syntaxProblem(err)
	}
	if len(doc.Content) != 1 {
		return nil, nil
	}
	return doc.Content[0], nil
}

func syntaxProblem(err error) *Problem {
	p := &Problem{Hint: "indent with spaces, and put text with a ':' or '#' in it between quotes"}
	text := err.Error()
	if m := syntaxLine.FindStringSubmatch(text); m != nil {
		p.Line, _ = strconv.Atoi(m[1])
		text = text[len(m[0]):]
	}
	p.Message = fmt.Sprintf("this is not YAML: %.200s", text)
	return p
}

// fillDefaults sets what the operator left out.
func (c *Config) fillDefaults(n *notes) {
	set := func(key string, target *string, value string) {
		if !n.written(key) {
			*target = value
		}
	}
	set("site.display_name", &c.Site.DisplayName, string(c.Site.Name))
	set("federation.listen", &c.Federation.Listen, defaultListen)
	set("federation.network", &c.Federation.Network, defaultNetwork)
	set("api.listen", &c.API.Listen, defaultAPI)
	set("log.level", &c.Log.Level, "info")
	set("log.format", &c.Log.Format, "json")
	if c.DataDir != "" {
		set("federation.node_key", &c.Federation.NodeKey, filepath.Join(c.DataDir, defaultNodeKey))
		set("admin.socket", &c.Admin.Socket, filepath.Join(c.DataDir, defaultSocket))
	}
	orDefault(n, "privacy.threshold", &c.Privacy.Threshold, defaultThreshold)
	orDefault(n, "limits.query_timeout", &c.Limits.QueryTimeout, defaultQuery)
	orDefault(n, "limits.peer_timeout", &c.Limits.PeerTimeout, min(defaultPeer, c.Limits.QueryTimeout))
	orDefault(n, "limits.issuer_poll", &c.Limits.IssuerPoll, defaultPoll)
	orDefault(n, "limits.concurrent_questions", &c.Limits.ConcurrentQuestions, defaultConcurrent)
	orDefault(n, "limits.cache_entries", &c.Limits.CacheEntries, defaultEntries)
	orDefault(n, "limits.cache_bytes", &c.Limits.CacheBytes, defaultBytes)
	c.fillRoleDefaults(n)
	for i := range c.Issuers {
		c.Issuers[i].fillDefaults(n, item("issuers", i))
	}
	for i := range c.DatasetList {
		c.DatasetList[i].fillDefaults(n, item("datasets", i))
	}
}

func orDefault[T any](n *notes, key string, target *T, value T) {
	if !n.written(key) {
		*target = value
	}
}

// resolvePaths makes every path absolute.
func (c *Config) resolvePaths(dir string) {
	paths := []*string{&c.DataDir, &c.Federation.NodeKey, &c.API.TLS.Cert, &c.API.TLS.Key, &c.Admin.Socket, &c.Policy.Dir,
		&c.DAC.Key, &c.Broker.Key, &c.Broker.LinkKey, &c.Signing.SubjectsKey}
	for i := range c.Broker.Clients {
		paths = append(paths, &c.Broker.Clients[i].JWKSFile)
	}
	for i := range c.Issuers {
		paths = append(paths, &c.Issuers[i].JWKSFile, &c.Issuers[i].CAFile,
			&c.Issuers[i].Client.Key, &c.Issuers[i].Client.SecretFile, &c.Issuers[i].Claims.TokenFile)
	}
	for _, p := range paths {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
}
