package jose

import (
	"bytes"
	"errors"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/candignode/candignode/trust"
)

// Unmarshal decodes JSON from outside strictly, so that no two programs can
// read two meanings from the same bytes: exactly one value, no trailing bytes,
// valid UTF-8, no member name twice at any depth, names case-sensitive, nesting
// bounded. Unknown members are ignored. The error is always an *Error
// (passports.md, rows 103 and 107).
//
// A JSON null leaves the zero value, as absence does. Whoever must tell the two
// apart, or must refuse null, decodes into a type that sees the raw bytes.
func Unmarshal(data []byte, v any) error {
	if !depthWithin(data, maxDepth) {
		return refuse(trust.ReasonMalformed, "JSON is nested more than %d deep", maxDepth)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return decodeError(err)
	}
	return nil
}

// decodeError keeps what a person needs (which member, what is wrong) and drops
// what may quote the input.
func decodeError(err error) *Error {
	if own, ok := errors.AsType[*Error](err); ok {
		return own
	}
	if semantic, ok := errors.AsType[*json.SemanticError](err); ok {
		return refuse(trust.ReasonBadClaim, "member %.80q has the wrong form", string(semantic.JSONPointer))
	}
	if syntactic, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		if errors.Is(err, jsontext.ErrDuplicateName) {
			return refuse(trust.ReasonMalformed, "a member name occurs twice: %.80q", string(syntactic.JSONPointer))
		}
		return refuse(trust.ReasonMalformed, "not strict JSON: it breaks off or is wrong at byte %d", syntactic.ByteOffset)
	}
	return refuse(trust.ReasonMalformed, "not strict JSON")
}

// depthWithin tells whether the nesting of objects and arrays stays within
// limit. It runs before any decoder, takes linear time and no memory, and need
// not be right about text that is not JSON: the decoder refuses that.
func depthWithin(data []byte, limit int) bool {
	depth := 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			end := stringEnd(data, i+1)
			if end < 0 {
				return true
			}
			i = end
		case '{', '[':
			if depth++; depth > limit {
				return false
			}
		case '}', ']':
			depth--
		}
	}
	return true
}

// stringEnd gives the place of the quote that closes the string whose text
// begins at i, or -1.
func stringEnd(data []byte, i int) int {
	for {
		next := bytes.IndexByte(data[i:], '"')
		if next < 0 {
			return -1
		}
		escapes := 0
		for j := i + next - 1; j >= i && data[j] == '\\'; j-- {
			escapes++
		}
		if i += next; escapes%2 == 0 {
			return i
		}
		i++
	}
}
