package federation

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/candignode/candignode/trust"
)

// frameVersion begins every message. Another layout gets another number.
const frameVersion = 1

// message is a forwarded question as it travels, taken apart and NOT believed:
//
//	version    1 byte
//	assertion  4 bytes length, bytes: the sealed forwarding assertion
//	question   4 bytes length, bytes: the exact JSON that the assertion digests
//	passports  2 bytes number, then for each: 4 bytes length, bytes
//
// Lengths are big-endian. There is one way to write a message and nothing may
// follow it, so two readers cannot see two different ones. Passports stand
// outside of JSON because they must arrive byte-identical (GA4GH AAI 1.2, BR 7).
type message struct {
	assertion []byte
	question  []byte
	passports [][]byte
}

// errFrame is wrapped by every error about a message's layout.
var errFrame = errors.New("malformed message")

// appendTail writes what is the same for every target: question and passports.
func appendTail(dst, question []byte, passports []trust.Passport) ([]byte, error) {
	if len(question) > maxQuestion {
		return nil, fmt.Errorf("the question has %d bytes, at most %d travel", len(question), maxQuestion)
	}
	if len(passports) > maxPassports {
		return nil, fmt.Errorf("%d passports, at most %d travel", len(passports), maxPassports)
	}
	dst = appendField(dst, question)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(passports)))
	total := 0
	for _, p := range passports {
		compact := p.Compact()
		if total += len(compact); total > maxPassportBytes {
			return nil, fmt.Errorf("the passports have more than %d bytes together, the most that travels", maxPassportBytes)
		}
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(compact)))
		dst = append(dst, compact...)
	}
	return dst, nil
}

// frame puts one target's assertion before the tail.
func frame(assertion, tail []byte) ([]byte, error) {
	if len(assertion) > maxAssertion {
		return nil, fmt.Errorf("the assertion has %d bytes, at most %d travel", len(assertion), maxAssertion)
	}
	dst := make([]byte, 0, 1+4+len(assertion)+len(tail))
	dst = append(dst, frameVersion)
	dst = appendField(dst, assertion)
	return append(dst, tail...), nil
}

func appendField(dst, field []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(field)))
	return append(dst, field...)
}

// parseMessage takes a message apart. The parts share b's bytes.
func parseMessage(b []byte) (message, error) {
	var m message
	if len(b) > MaxMessage {
		return m, fmt.Errorf("%w: %d bytes, at most %d", errFrame, len(b), MaxMessage)
	}
	if len(b) == 0 || b[0] != frameVersion {
		return m, fmt.Errorf("%w: not version %d", errFrame, frameVersion)
	}
	var err error
	b = b[1:]
	if m.assertion, b, err = takeField(b, "assertion", maxAssertion); err != nil {
		return m, err
	}
	if m.question, b, err = takeField(b, "question", maxQuestion); err != nil {
		return m, err
	}
	if len(b) < 2 {
		return m, fmt.Errorf("%w: ends before the number of passports", errFrame)
	}
	number := int(binary.BigEndian.Uint16(b))
	if b = b[2:]; number > maxPassports {
		return m, fmt.Errorf("%w: %d passports, at most %d", errFrame, number, maxPassports)
	}
	if number > 0 {
		m.passports = make([][]byte, number)
	}
	left := maxPassportBytes
	for i := range m.passports {
		if m.passports[i], b, err = takeField(b, "passport", left); err != nil {
			return m, err
		}
		left -= len(m.passports[i])
	}
	if len(b) > 0 {
		return m, fmt.Errorf("%w: %d bytes follow the last passport", errFrame, len(b))
	}
	return m, nil
}

// takeField cuts one length and its bytes from b. No field is ever empty.
func takeField(b []byte, name string, most int) (field, rest []byte, err error) {
	if len(b) < 4 {
		return nil, nil, fmt.Errorf("%w: ends before the %s's length", errFrame, name)
	}
	n := uint64(binary.BigEndian.Uint32(b))
	b = b[4:]
	switch {
	case n == 0:
		return nil, nil, fmt.Errorf("%w: empty %s", errFrame, name)
	case n > uint64(most):
		return nil, nil, fmt.Errorf("%w: %s of %d bytes, at most %d", errFrame, name, n, most)
	case n > uint64(len(b)):
		return nil, nil, fmt.Errorf("%w: ends within the %s", errFrame, name)
	}
	return b[:n:n], b[n:], nil
}
