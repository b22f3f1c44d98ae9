package variants

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
)

// keyHead is the length of chromosome and start in a key.
const keyHead = 5

// between stands between ref and alt in a key. It sorts before every base, so
// that keys sort as (ref, alt) pairs do.
const between = '>'

// chromCode gives the byte of a canonical chromosome name (query.Chrom); 0 if it
// is none.
func chromCode(canonical string) byte {
	switch canonical {
	case "X":
		return 23
	case "Y":
		return 24
	case "MT":
		return 25
	}
	n, err := strconv.Atoi(canonical)
	if err != nil || n < 1 || n > 22 {
		return 0
	}
	return byte(n)
}

// chromName is the inverse of chromCode; "" for a byte that is none.
func chromName(code byte) string {
	switch {
	case code >= 1 && code <= 22:
		return strconv.Itoa(int(code))
	case code == 23:
		return "X"
	case code == 24:
		return "Y"
	case code == 25:
		return "MT"
	}
	return ""
}

// appendHead appends the part of a key that orders by place. A start needs
// query.MaxPosition, which fits four bytes.
func appendHead(dst []byte, chrom byte, start int64) []byte {
	return binary.BigEndian.AppendUint32(append(dst, chrom), uint32(start))
}

func appendKey(dst []byte, chrom byte, start int64, ref, alt string) []byte {
	dst = appendHead(dst, chrom, start)
	dst = append(dst, ref...)
	dst = append(dst, between)
	return append(dst, alt...)
}

// place is a key taken apart; ref and alt share memory with the key.
type place struct {
	chrom    byte
	start    int64
	ref, alt []byte
}

func parseKey(key []byte) (place, error) {
	if len(key) < keyHead+3 || chromName(key[0]) == "" {
		return place{}, fmt.Errorf("%w: a key of %d bytes", ErrCorrupt, len(key))
	}
	ref, alt, ok := bytes.Cut(key[keyHead:], []byte{between})
	if !ok || len(ref) == 0 || len(alt) == 0 {
		return place{}, fmt.Errorf("%w: a key without alleles", ErrCorrupt)
	}
	return place{key[0], int64(binary.BigEndian.Uint32(key[1:])), ref, alt}, nil
}
