package policy

import (
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// forbidden are the built-in functions, by name or by the part before a dot,
// that no policy may call. A decision is a pure function of its input: nothing that
// reads the network, the clock, the machine or chance, and nothing that would take
// tokens or certificates apart a second time, beside the one verifier.
var forbidden = []string{
	"http", "net.lookup_ip_addr", // the network
	"json.match_schema", "json.verify_schema", "graphql", // they fetch what schemas refer to, or parse at length
	"opa", "rego", // the machine's environment; policies inside policies
	"providers",                                          // signs requests to clouds
	"io.jwt", "crypto.x509", "crypto.parse_private_keys", // a second verifier
	"crypto.hmac", "crypto.sign", // secrets have no place in a policy
	"trace",
}

func allowed(b *ast.Builtin) bool {
	if b.Nondeterministic || b.IsDeprecated() {
		return false
	}
	return !slices.ContainsFunc(forbidden, func(name string) bool {
		return b.Name == name || strings.HasPrefix(b.Name, name+".")
	})
}

// capabilities gives what a policy may use of the engine. A function outside it
// does not exist for the compiler, which then names file and line.
func capabilities() *ast.Capabilities {
	c := ast.CapabilitiesForThisVersion()
	c.Builtins = slices.DeleteFunc(slices.Clone(c.Builtins), func(b *ast.Builtin) bool { return !allowed(b) })
	c.AllowNet = []string{} // empty is none; nil would be all
	return c
}
