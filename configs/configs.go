// Package configs holds what an operator edits or installs, so that the binary
// carries it too.
package configs

import (
	"embed"
	"io/fs"
)

//go:embed policy/*.rego
var policyFiles embed.FS

// Policy gives the built-in access policy with its tests: the files that stand
// in configs/policy, at the root of the file system that is returned. An operator
// copies them to begin a policy of the site's own.
func Policy() fs.FS {
	files, _ := fs.Sub(policyFiles, "policy") // fails for a malformed path only
	return files
}
