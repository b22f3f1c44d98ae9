package variants

import (
	"errors"
	"fmt"
)

var (
	// ErrAssembly is wrapped when the question, or an input file, is about
	// another assembly than the release.
	ErrAssembly = errors.New("other assembly")
	// ErrCorrupt is wrapped when a release file does not hold what was written.
	// The remedy is to import the release again.
	ErrCorrupt = errors.New("release file is damaged; import it again")
	// ErrFormat is wrapped when a release file has a format version that this
	// program does not read.
	ErrFormat = errors.New("release file has another format version")
	// ErrClosed is returned by a Release after Close.
	ErrClosed = errors.New("release is closed")
)

// InputError says what is wrong with an input file and where. Its text may be
// shown to the operator: it quotes at most 40 characters of the file.
type InputError struct {
	File   string
	Line   int64 // 1-based, of the decompressed text; 0 if it is the file as a whole
	Reason string
	Err    error // what is wrapped; may be nil
}

// Error gives file, line and reason.
func (e *InputError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.File, e.Reason)
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Reason)
}

// Unwrap gives the cause, if there is one.
func (e *InputError) Unwrap() error { return e.Err }
