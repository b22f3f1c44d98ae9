package jose

import (
	"fmt"

	"github.com/candignode/candignode/trust"
)

// Error is a refusal: a stable reason for scripts and a sentence for people.
// Its text is safe to show and to log: it never holds token bytes, and what it
// quotes from outside is short and escaped.
type Error struct {
	Reason trust.Reason
	Detail string
}

// Error gives "reason: detail".
func (e *Error) Error() string { return string(e.Reason) + ": " + e.Detail }

// refuse makes an Error; untrusted text goes in as %.80q only.
func refuse(reason trust.Reason, format string, args ...any) *Error {
	return &Error{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}
