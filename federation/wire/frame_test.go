package wire

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestHelloThereAndBack(t *testing.T) {
	for _, h := range []hello{
		{version: 1, site: "uhn", software: "candignode/0.1.0"},
		{version: 1, network: strings.Repeat("n", maxNetwork), site: "a"},
		{version: 1, site: "a123456789012345678901234567890123456789012345678901234567890xy", software: strings.Repeat("x", maxSoftware)},
	} {
		b := appendHello(nil, h)
		n, err := helloSize([2]byte(b))
		if err != nil || n != len(b)-2 {
			t.Fatalf("%+v: size %d, %v", h, n, err)
		}
		got, err := parseHello(b[2:], 1)
		if err != nil || got != h {
			t.Errorf("%+v became %+v, %v", h, got, err)
		}
	}
}

// A later version may change all but the first two bytes.
func TestHelloOfAnotherVersion(t *testing.T) {
	for _, rest := range []string{"", "\xff", "anything at all"} {
		h, err := parseHello(append([]byte{0, 2}, rest...), 1)
		if !errors.Is(err, ErrBadVersion) || h.version != 2 {
			t.Errorf("%q: %+v, %v", rest, h, err)
		}
	}
}

func TestHelloThatIsNone(t *testing.T) {
	for name, b := range map[string]string{
		"empty":                    "",
		"half a version":           "\x00",
		"no site":                  "\x00\x01",
		"a network beyond the end": "\x00\x01\x09a",
		"a network of escapes":     "\x00\x01\x01\x1b\x01a\x00",
		"a long network":           "\x00\x01\x41" + strings.Repeat("x", 65) + "\x01a\x00",
		"no software":              "\x00\x01\x00\x01a",
		"a site of no length":      "\x00\x01\x00\x00\x00",
		"a site in capitals":       "\x00\x01\x00\x03UHN\x00",
		"a path as site":           "\x00\x01\x00\x04../a\x00",
		"a site beyond the end":    "\x00\x01\x00\x09a\x00",
		"bytes behind":             "\x00\x01\x00\x01a\x01xy",
		"an escape as software":    "\x00\x01\x00\x01a\x02\x1b[",
		"a long software":          "\x00\x01\x00\x01a\x41" + strings.Repeat("x", 65),
		"much too long":            "\x00\x01" + strings.Repeat("x", maxHello),
		"not UTF-8 as software":    "\x00\x01\x00\x01a\x01\xff",
		"a newline as software":    "\x00\x01\x00\x01a\x01\n",
		"a site of 64 characters":  "\x00\x01\x00\x40" + strings.Repeat("a", 64) + "\x00",
	} {
		if h, err := parseHello([]byte(b), 1); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, h, err)
		}
	}
	for _, size := range [][2]byte{{0, 0}, {0, 1}, {1, 1}, {0xff, 0xff}} {
		if _, err := helloSize(size); !errors.Is(err, ErrMalformed) {
			t.Errorf("size %v: %v", size, err)
		}
	}
}

func TestHeadThereAndBack(t *testing.T) {
	for _, h := range []head{
		{kind: "query", remaining: 1500 * time.Millisecond, length: maxQueryRequest},
		{kind: "sync", length: 0},
		{kind: "abcdefghijklmnop", remaining: time.Millisecond, length: maxOther},
	} {
		b := appendHead(nil, h)
		if len(b) > callHead {
			t.Errorf("a head of %d bytes, callHead is %d", len(b), callHead)
		}
		kind, n, err := parseKind(b)
		if err != nil {
			t.Fatal(err)
		}
		got, m, err := parseHead(kind, b[n:])
		if err != nil || got != h || n+m != len(b) {
			t.Errorf("%+v became %+v, %v", h, got, err)
		}
	}
}

// Time that is left never reads as "not told", and never overflows.
func TestRemainingTimeIsRoundedUp(t *testing.T) {
	for give, want := range map[time.Duration]time.Duration{
		1:                     time.Millisecond,
		time.Millisecond + 1:  2 * time.Millisecond,
		1000 * 24 * time.Hour: (1<<32 - 1) * time.Millisecond,
		-time.Second:          0,
	} {
		b := appendHead(nil, head{kind: "query", remaining: give})
		h, _, err := parseHead("query", b[6:])
		if err != nil || h.remaining != want {
			t.Errorf("%s became %s, %v", give, h.remaining, err)
		}
	}
}

func FuzzHello(f *testing.F) {
	f.Add(appendHello(nil, hello{version: 1, site: "uhn", software: "candignode/1"})[2:])
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHello(b, 1)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrBadVersion) {
				t.Fatalf("an error of another kind: %v", err)
			}
			return
		}
		if again := appendHello(nil, h)[2:]; !bytes.Equal(again, b) {
			t.Fatalf("%q and %q are the same hello", b, again)
		}
	})
}

// FuzzHead: the head of a call is understood in one way only, however it is
// cut, and never promises more than its kind may send.
func FuzzHead(f *testing.F) {
	f.Add(appendHead(nil, head{kind: "query", remaining: time.Second, length: 9}))
	f.Fuzz(func(t *testing.T, b []byte) {
		kind, n, err := parseKind(b)
		if err != nil || n == 0 {
			if kind != "" || n != 0 {
				t.Fatalf("half a kind: %q, %d, %v", kind, n, err)
			}
			return
		}
		for i := range n {
			if _, m, err := parseKind(b[:i]); m != 0 || err != nil {
				t.Fatalf("a beginning of %d bytes is understood: %d, %v", i, m, err)
			}
		}
		h, m, err := parseHead(kind, b[n:])
		if err != nil || m == 0 {
			return
		}
		if h.length < 0 || h.length > boundsOf(kind).request || h.kind != kind {
			t.Fatalf("%+v from %q", h, b)
		}
		if again := appendHead(nil, h); !bytes.Equal(again, b[:n+m]) {
			t.Fatalf("%q and %q are the same head", b, again)
		}
	})
}
