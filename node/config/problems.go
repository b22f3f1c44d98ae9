package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong, or worth a look, in a configuration file.
type Problem struct {
	Key     string `json:"key"`            // path of the key, as in issuers[1].witnesses[0]; "" for the whole file
	Line    int    `json:"line,omitempty"` // from 1; 0 if the file has no line for it
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"` // what to write or do
}

// String gives one line for people.
func (p Problem) String() string {
	var b strings.Builder
	if p.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", p.Line)
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString("; " + p.Hint)
	}
	return b.String()
}

// Problems is the error of Load: everything that is wrong with one file.
type Problems struct {
	File string    `json:"file"`
	List []Problem `json:"problems"` // in the order of the file
	// Omitted counts those beyond the first hundred.
	Omitted int `json:"omitted,omitempty"`
}

// Error lists all problems, one on each line.
func (p *Problems) Error() string {
	var b strings.Builder
	total := len(p.List) + p.Omitted
	noun := "problems"
	if total == 1 {
		noun = "problem"
	}
	fmt.Fprintf(&b, "%s: %d %s", p.File, total, noun)
	for _, one := range p.List {
		b.WriteString("\n  " + one.String())
	}
	if p.Omitted > 0 {
		fmt.Fprintf(&b, "\n  and %d more", p.Omitted)
	}
	return b.String()
}

// notes gathers problems and warnings while one file is read, and knows on
// which line each key stands.
type notes struct {
	lines    map[string]int
	problems []Problem
	warnings []Problem
	// broken are keys whose value could not be read; further checks of them
	// would only repeat the first problem in other words.
	broken map[string]bool
}

func newNotes() *notes {
	return &notes{lines: map[string]int{}, broken: map[string]bool{}}
}

// problem notes what is wrong at key, unless something is already known to be
// wrong there.
func (n *notes) problem(key, hint, format string, args ...any) {
	if n.bad(key) {
		return
	}
	n.broken[key] = true
	n.problems = append(n.problems, Problem{key, n.line(key), fmt.Sprintf(format, args...), hint})
}

func (n *notes) warn(key, hint, format string, args ...any) {
	if n.bad(key) {
		return
	}
	n.warnings = append(n.warnings, Problem{key, n.line(key), fmt.Sprintf(format, args...), hint})
}

// bad tells whether key, or what holds it, has a problem already.
func (n *notes) bad(key string) bool {
	for key != "" {
		if n.broken[key] {
			return true
		}
		key = parent(key)
	}
	return false
}

// written tells whether the operator wrote the key.
func (n *notes) written(key string) bool { _, ok := n.lines[key]; return ok }

// line is that of the key, or of the nearest thing around it that was written.
func (n *notes) line(key string) int {
	for key != "" {
		if line, ok := n.lines[key]; ok {
			return line
		}
		key = parent(key)
	}
	return 0
}

// result gives what was gathered in the order of the file; nil if nothing is
// wrong.
func (n *notes) result(file string) *Problems {
	byLine := func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) }
	slices.SortStableFunc(n.problems, byLine)
	slices.SortStableFunc(n.warnings, byLine)
	if len(n.problems) == 0 {
		return nil
	}
	p := &Problems{File: file, List: n.problems}
	if len(p.List) > maxProblems {
		p.Omitted = len(p.List) - maxProblems
		p.List = p.List[:maxProblems]
	}
	return p
}

// parent takes the last step off a key path.
func parent(key string) string { return key[:max(strings.LastIndexAny(key, ".["), 0)] }

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

func item(key string, i int) string { return fmt.Sprintf("%s[%d]", key, i) }
