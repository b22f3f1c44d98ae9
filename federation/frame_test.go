package federation

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/candignode/candignode/trust"
)

// build writes a message whatever its bounds.
func build(assertion, question string, passports ...string) []byte {
	b := appendField([]byte{frameVersion}, []byte(assertion))
	b = appendField(b, []byte(question))
	b = binary.BigEndian.AppendUint16(b, uint16(len(passports)))
	for _, p := range passports {
		b = appendField(b, []byte(p))
	}
	return b
}

// Passports arrive byte-identical (passports.md, row 21).
func TestMessageArrivesAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.SliceOfN(rapid.Byte(), 1, 300)
		a, q := part.Draw(t, "assertion"), part.Draw(t, "question")
		var passports []trust.Passport
		for _, p := range rapid.SliceOfN(part, 0, maxPassports).Draw(t, "passports") {
			passports = append(passports, trust.NewPassport(string(p)))
		}
		tail, err := appendTail(nil, q, passports)
		if err != nil {
			t.Fatal(err)
		}
		b, err := frame(a, tail)
		if err != nil {
			t.Fatal(err)
		}
		m, err := parseMessage(b)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(m.assertion, a) || !bytes.Equal(m.question, q) || len(m.passports) != len(passports) {
			t.Fatalf("got %q", m)
		}
		for i, p := range m.passports {
			if string(p) != passports[i].Compact() {
				t.Fatalf("passport %d is %q", i, p)
			}
		}
		cut := rapid.IntRange(0, len(b)-1).Draw(t, "cut")
		if _, err := parseMessage(b[:cut]); !errors.Is(err, errFrame) {
			t.Fatalf("cut at %d of %d: %v", cut, len(b), err)
		}
	})
}

func TestMessageBounds(t *testing.T) {
	big := strings.Repeat("x", maxPassportBytes)
	for name, b := range map[string][]byte{
		"assertion":            build(big[:maxAssertion+1], "q"),
		"question":             build("a", big[:maxQuestion+1]),
		"one passport":         build("a", "q", big+"x"),
		"passports together":   build("a", "q", big[1:], "xx"),
		"number of passports":  build("a", "q", strings.Split(strings.Repeat("x", maxPassports+1), "")...),
		"empty assertion":      build("", "q"),
		"empty question":       build("a", ""),
		"empty passport":       build("a", "q", ""),
		"length without bytes": {frameVersion, 0xff, 0xff, 0xff, 0xff},
	} {
		if _, err := parseMessage(b); !errors.Is(err, errFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
	most := build(big[:maxAssertion], big[:maxQuestion], append(strings.Split(strings.Repeat("x", maxPassports-1), ""), big[:maxPassportBytes-maxPassports+1])...)
	if _, err := parseMessage(most); err != nil || len(most) != MaxMessage {
		t.Errorf("the largest message, %d bytes of %d: %v", len(most), MaxMessage, err)
	}
	for name, write := range map[string]func() error{
		"assertion": func() error { _, err := frame(make([]byte, maxAssertion+1), nil); return err },
		"question":  func() error { _, err := appendTail(nil, make([]byte, maxQuestion+1), nil); return err },
		"passports": func() error {
			_, err := appendTail(nil, []byte("q"), []trust.Passport{trust.NewPassport(big), trust.NewPassport("x")})
			return err
		},
	} {
		if write() == nil {
			t.Errorf("%s out of bounds is written", name)
		}
	}
}
