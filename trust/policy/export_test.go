package policy

import (
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/candignode/candignode/trust/access"
)

// AllowedBuiltins lets the tests see what capabilities allows.
func AllowedBuiltins() []string {
	var names []string
	for _, b := range capabilities().Builtins {
		names = append(names, b.Name)
	}
	return names
}

// JSONInput gives the policy's input as JSON, for an engine elsewhere.
func (p *Policy) JSONInput(inputs []access.Input) (any, error) { return ast.JSON(p.value(inputs)) }
