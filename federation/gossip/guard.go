package gossip

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// memberlist reads streams with trust: a header of a few bytes makes it
// allocate for a million members, and it unpacks whatever comes compressed. The
// guard reads the first bytes before memberlist does, lets through only what
// this package's own memberlist would send, and bounds the rest.
//
//	incoming: label header (244, length, label), then type and body
//	response: type and body
//
// A body that lists members begins with a msgpack map of Nodes, UserStateLen
// and Join.

// The types of messages that may begin a stream (memberlist, net.go).
const (
	typePing     = 0
	typeAck      = 2
	typePushPull = 6
	typeError    = 13
	typeLabel    = 244
)

// maxHeader bounds what is read to find the beginning of a body.
const maxHeader = 2 + maxLabel + 1 + 64

var errGuard = errors.New("a gossip stream that this network does not send")

// guarded is a stream whose beginning is checked at the first Read.
type guarded struct {
	net.Conn
	label string // expected before the type; "": none, it is a response

	once   sync.Once
	failed error
	head   []byte // read by the guard and not yet by memberlist
	budget int    // bytes that may still come
	forget func() bool
}

// guard wraps a stream and closes it when ctx ends, so that nothing waits on a
// silent peer when gossip stops.
func guard(ctx context.Context, conn net.Conn, label string) net.Conn {
	c := &guarded{Conn: conn, label: label, budget: maxStream}
	c.forget = context.AfterFunc(ctx, func() { _ = conn.Close() }) // the end of it either way
	return c
}

// Close closes the stream.
func (c *guarded) Close() error {
	c.forget()
	return c.Conn.Close()
}

// Read is called by one goroutine at a time, as memberlist does.
func (c *guarded) Read(b []byte) (int, error) {
	c.once.Do(func() { c.head, c.failed = readHead(c.Conn, c.label) })
	if c.failed != nil {
		return 0, c.failed
	}
	if len(c.head) > 0 {
		n := copy(b, c.head)
		c.head = c.head[n:]
		return n, nil
	}
	if c.budget <= 0 {
		return 0, fmt.Errorf("%w: more than %d bytes", errGuard, maxStream)
	}
	n, err := c.Conn.Read(b[:min(len(b), c.budget)])
	c.budget -= n
	return n, err
}

// readHead reads until the beginning of a stream is understood, and gives back
// all that it read.
func readHead(r io.Reader, label string) ([]byte, error) {
	head := make([]byte, 0, maxHeader)
	for {
		done, err := checkHead(head, label)
		if done || err != nil {
			return head, err
		}
		if len(head) == cap(head) {
			return nil, fmt.Errorf("%w: its header does not end", errGuard)
		}
		n, err := r.Read(head[len(head):cap(head)])
		head = head[:len(head)+n]
		if err == io.EOF {
			// The end may lie right behind a whole header.
			if done, wrong := checkHead(head, label); !done && wrong == nil {
				return nil, io.ErrUnexpectedEOF
			}
			continue
		}
		if err != nil {
			return nil, err
		}
	}
}

// checkHead tells whether b is the whole beginning of a stream; false and no
// error mean that more bytes are needed.
func checkHead(b []byte, label string) (done bool, err error) {
	if label != "" {
		want := append([]byte{typeLabel, byte(len(label))}, label...)
		for i := range min(len(b), len(want)) {
			if b[i] != want[i] {
				return false, fmt.Errorf("%w: the label of another network", errGuard)
			}
		}
		if len(b) < len(want) {
			return false, nil
		}
		b = b[len(want):]
	}
	if len(b) == 0 {
		return false, nil
	}
	switch kind, response := b[0], label == ""; {
	case kind == typePing && !response, kind == typeAck && response, kind == typeError && response:
		return true, nil
	case kind == typePushPull:
		return checkStates(b[1:])
	default:
		return false, fmt.Errorf("%w: type %d", errGuard, kind)
	}
}

// checkStates reads {Nodes: int, UserStateLen: int, Join: bool} in msgpack, in
// any order, each once.
func checkStates(b []byte) (done bool, err error) {
	if len(b) == 0 {
		return false, nil
	}
	if b[0] != 0x83 { // a map of three
		return false, fmt.Errorf("%w: a list of members without its header", errGuard)
	}
	b = b[1:]
	seen := make(map[string]bool, 3)
	for len(seen) < 3 {
		key, rest, more, err := cutKey(b)
		if more || err != nil {
			return false, err
		}
		value, rest, more, err := cutValue(rest)
		if more || err != nil {
			return false, err
		}
		if seen[key] {
			return false, fmt.Errorf("%w: %q twice", errGuard, key)
		}
		seen[key] = true
		limit := map[string]uint64{"Nodes": maxStates, "UserStateLen": 0, "Join": 1}
		most, known := limit[key]
		if !known || value > most {
			return false, fmt.Errorf("%w: %q is %d", errGuard, key, value)
		}
		b = rest
	}
	return true, nil
}

// cutKey takes a string of at most 31 bytes.
func cutKey(b []byte) (key string, rest []byte, more bool, err error) {
	if len(b) == 0 {
		return "", nil, true, nil
	}
	if b[0]&0xe0 != 0xa0 {
		return "", nil, false, fmt.Errorf("%w: a key that is no short string", errGuard)
	}
	n := int(b[0] & 0x1f)
	if len(b) < 1+n {
		return "", nil, true, nil
	}
	return string(b[1 : 1+n]), b[1+n:], false, nil
}

// cutValue takes a number that is not negative, or a boolean as 0 or 1.
func cutValue(b []byte) (value uint64, rest []byte, more bool, err error) {
	if len(b) == 0 {
		return 0, nil, true, nil
	}
	size := 0
	switch lead := b[0]; {
	case lead < 0x80:
		return uint64(lead), b[1:], false, nil
	case lead == 0xc2, lead == 0xc3: // false, true
		return uint64(lead - 0xc2), b[1:], false, nil
	case lead == 0xcc, lead == 0xd0:
		size = 1
	case lead == 0xcd, lead == 0xd1:
		size = 2
	case lead == 0xce, lead == 0xd2:
		size = 4
	case lead == 0xcf, lead == 0xd3:
		size = 8
	default:
		return 0, nil, false, fmt.Errorf("%w: a value that is no number", errGuard)
	}
	if len(b) < 1+size {
		return 0, nil, true, nil
	}
	for _, c := range b[1 : 1+size] {
		value = value<<8 | uint64(c)
	}
	if b[0] >= 0xd0 && b[1]&0x80 != 0 {
		return 0, nil, false, fmt.Errorf("%w: a negative number", errGuard)
	}
	return value, b[1+size:], false, nil
}
