package policy

// AllowedBuiltins lets the tests see what capabilities allows.
func AllowedBuiltins() []string {
	var names []string
	for _, b := range capabilities().Builtins {
		names = append(names, b.Name)
	}
	return names
}
