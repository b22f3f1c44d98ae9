package wire

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/candignode/candignode/trust"
)

// The frames. Every stream begins with
//
//	1 byte   length of the kind
//	n bytes  the kind, of a-z
//
// A call goes on with
//
//	4 bytes  milliseconds that the caller will still wait; 0: not told
//	4 bytes  length of the request
//	n bytes  the request
//
// and is answered with a length of 4 bytes and the response. Numbers are
// big-endian. A gossip stream goes on with whatever gossip sends.

const callHead = 1 + maxKind + 4 + 4 // the longest head of a call

// head is what precedes the request on a stream.
type head struct {
	kind      Kind
	remaining time.Duration // 0: the caller told none
	length    int           // of the request, within the kind's bounds
}

// appendKind begins a stream.
func appendKind(b []byte, kind Kind) []byte {
	return append(append(b, byte(len(kind))), kind...)
}

// appendHead begins a call. The remaining time is rounded up to whole
// milliseconds, so that a positive time never reads as "not told".
func appendHead(b []byte, h head) []byte {
	b = appendKind(b, h.kind)
	ms := min((h.remaining+time.Millisecond-1)/time.Millisecond, 1<<32-1)
	b = binary.BigEndian.AppendUint32(b, uint32(max(ms, 0)))
	return binary.BigEndian.AppendUint32(b, uint32(h.length))
}

// parseKind takes the kind from the beginning of a stream; n is how many bytes
// it took, 0 if more are needed.
func parseKind(b []byte) (kind Kind, n int, err error) {
	if len(b) == 0 {
		return "", 0, nil
	}
	size := int(b[0])
	if size == 0 || size > maxKind {
		return "", 0, fmt.Errorf("%w: a kind of %d bytes, 1 to %d are allowed", ErrMalformed, size, maxKind)
	}
	if len(b) < 1+size {
		return "", 0, nil
	}
	for _, c := range b[1 : 1+size] {
		if c < 'a' || c > 'z' {
			return "", 0, fmt.Errorf("%w: kind %q, only a-z are allowed", ErrMalformed, b[1:1+size])
		}
	}
	return Kind(b[1 : 1+size]), 1 + size, nil
}

// parseHead takes the head of a call that follows its kind; n is 0 if more
// bytes are needed.
func parseHead(kind Kind, b []byte) (h head, n int, err error) {
	if len(b) < 8 {
		return head{}, 0, nil
	}
	length := binary.BigEndian.Uint32(b[4:])
	if limit := boundsOf(kind).request; int64(length) > int64(limit) {
		return head{}, 0, fmt.Errorf("%w: a request of %d bytes, %d are allowed", ErrTooLarge, length, limit)
	}
	ms := binary.BigEndian.Uint32(b)
	return head{kind: kind, remaining: time.Duration(ms) * time.Millisecond, length: int(length)}, 8, nil
}

// hello is the first thing both sides say after the handshake: "connected" is
// not "admitted" (trust-protocol.md, section 3).
type hello struct {
	version  uint16
	network  string // must be this node's own
	site     trust.SiteName
	software string // name and version, printable ASCII; for people only
}

// The version stands first and alone, so that any two versions understand at
// least that they differ:
//
//	2 bytes  length of all that follows
//	2 bytes  version
//	1 byte   length of the network's id, and the id
//	1 byte   length of the site's name, and the name
//	1 byte   length of the software's name, and the name

func appendHello(b []byte, h hello) []byte {
	size := 2 + 1 + len(h.network) + 1 + len(h.site) + 1 + len(h.software)
	b = binary.BigEndian.AppendUint16(b, uint16(size))
	b = binary.BigEndian.AppendUint16(b, h.version)
	b = append(append(b, byte(len(h.network))), h.network...)
	b = append(append(b, byte(len(h.site))), h.site...)
	return append(append(b, byte(len(h.software))), h.software...)
}

// helloSize reads the length that precedes a hello.
func helloSize(b [2]byte) (int, error) {
	size := int(binary.BigEndian.Uint16(b[:]))
	if size < 2 || size > maxHello {
		return 0, fmt.Errorf("%w: a hello of %d bytes, 2 to %d are allowed", ErrMalformed, size, maxHello)
	}
	return size, nil
}

// parseHello reads a hello without its length. A hello of another version than
// wanted gives ErrBadVersion and only its version, because what follows is not
// ours to read.
func parseHello(b []byte, want uint16) (hello, error) {
	if len(b) < 2 || len(b) > maxHello {
		return hello{}, fmt.Errorf("%w: a hello of %d bytes", ErrMalformed, len(b))
	}
	h := hello{version: binary.BigEndian.Uint16(b)}
	if h.version != want {
		return h, fmt.Errorf("%w: it speaks %d, this node %d", ErrBadVersion, h.version, want)
	}
	network, rest, ok := cutText(b[2:])
	if !ok || len(network) > maxNetwork || !printable(network) {
		return hello{}, fmt.Errorf("%w: a hello without a network", ErrMalformed)
	}
	site, rest, ok := cutText(rest)
	if !ok {
		return hello{}, fmt.Errorf("%w: a hello without a site", ErrMalformed)
	}
	software, rest, ok := cutText(rest)
	if !ok || len(rest) > 0 || len(software) > maxSoftware || !printable(software) {
		return hello{}, fmt.Errorf("%w: a hello whose software is not a short name", ErrMalformed)
	}
	name, err := trust.ParseSiteName(string(site))
	if err != nil {
		return hello{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	h.network, h.site, h.software = string(network), name, string(software)
	return h, nil
}

func cutText(b []byte) (text, rest []byte, ok bool) {
	if len(b) == 0 || len(b) < 1+int(b[0]) {
		return nil, nil, false
	}
	return b[1 : 1+int(b[0])], b[1+int(b[0]):], true
}

func printable(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}
