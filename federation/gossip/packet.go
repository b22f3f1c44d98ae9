package gossip

import (
	"encoding/binary"
	"fmt"
)

// memberlist unpacks whatever comes compressed, also when it is told to compress
// nothing itself: a packet of a kilobyte becomes a third of a megabyte, which may
// hold further compressed ones. Packets are therefore looked through before
// memberlist sees them, and only what this package's own memberlist would send is
// let in:
//
//	label header (244, length, label), optional checksum (12, 4 bytes), message
//
// where a message is a plain one, or a compound (7, number of parts, 2 bytes of
// length each, parts) of plain ones.

// More types of messages (memberlist, net.go).
const (
	typeIndirectPing = 1
	typeSuspect      = 3
	typeAlive        = 4
	typeDead         = 5
	typeCompound     = 7
	typeUser         = 8
	typeNack         = 11
	typeChecksum     = 12
)

// checksumSize is the type and the checksum itself, which memberlist compares.
const checksumSize = 1 + 4

// checkPacket tells why a packet is not let in. It looks at types and lengths
// only; what a plain message says is memberlist's to read.
func checkPacket(b []byte, label string) error {
	if label != "" {
		head := 2 + len(label)
		if len(b) < head || b[0] != typeLabel || int(b[1]) != len(label) || string(b[2:head]) != label {
			return fmt.Errorf("%w: the label of another network", errGuard)
		}
		b = b[head:]
	}
	if len(b) >= checksumSize && b[0] == typeChecksum {
		b = b[checksumSize:]
	}
	if len(b) > 0 && b[0] == typeCompound {
		return checkCompound(b[1:])
	}
	return checkPlain(b)
}

func checkPlain(b []byte) error {
	if len(b) == 0 {
		return fmt.Errorf("%w: an empty message", errGuard)
	}
	switch b[0] {
	case typePing, typeIndirectPing, typeAck, typeNack, typeSuspect, typeAlive, typeDead, typeUser:
		return nil
	}
	return fmt.Errorf("%w: type %d in a packet", errGuard, b[0])
}

// checkCompound takes whole compounds only, although memberlist would make do
// with the parts that arrived: a datagram comes whole or not at all.
func checkCompound(b []byte) error {
	if len(b) == 0 || len(b) < 1+2*int(b[0]) {
		return fmt.Errorf("%w: a compound without its lengths", errGuard)
	}
	lengths, parts := b[1:1+2*int(b[0])], b[1+2*int(b[0]):]
	for ; len(lengths) > 0; lengths = lengths[2:] {
		n := int(binary.BigEndian.Uint16(lengths))
		if n > len(parts) {
			return fmt.Errorf("%w: a compound without its parts", errGuard)
		}
		if err := checkPlain(parts[:n]); err != nil {
			return err
		}
		parts = parts[n:]
	}
	return nil
}
