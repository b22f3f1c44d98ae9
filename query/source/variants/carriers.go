package variants

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/bits"
	"slices"
)

// bitset has one bit for each sample or individual of a release.
type bitset []uint64

func newBitset(n int) bitset { return make(bitset, (n+63)/64) }

func (b bitset) set(i uint32) { b[i>>6] |= 1 << (i & 63) }

func (b bitset) count() (n int) {
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return n
}

// each calls f for every member in rising order.
func (b bitset) each(f func(i uint32)) {
	for k, w := range b {
		for ; w != 0; w &= w - 1 {
			f(uint32(k)<<6 | uint32(bits.TrailingZeros64(w)))
		}
	}
}

// appendBody encodes the carriers of one variant: two sets, each sorted and
// without repeats, over so many samples.
func appendBody(dst []byte, samples int, het, hom []uint32) []byte {
	return appendSet(appendSet(dst, samples, het), samples, hom)
}

func appendSet(dst []byte, samples int, members []uint32) []byte {
	dense := denseBytes(samples)
	mark := len(dst)
	dst = binary.AppendUvarint(dst, uint64(len(members))<<1)
	data, next := len(dst), uint32(0)
	for _, m := range members {
		dst = binary.AppendUvarint(dst, uint64(m-next))
		next = m + 1
		if len(dst)-data > dense {
			return appendDense(dst[:mark], dense, members)
		}
	}
	return dst
}

func appendDense(dst []byte, size int, members []uint32) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(members))<<1|1)
	from := len(dst)
	dst = append(dst, make([]byte, size)...)
	for _, m := range members {
		dst[from+int(m>>3)] |= 1 << (m & 7)
	}
	return dst
}

func denseBytes(samples int) int { return (samples + 7) / 8 }

// addBody marks the carriers of a body: heterozygous ones in het, homozygous
// ones in hom; both may be the same bitset. Any bytes may be handed in: what
// appendBody would not write is an error.
func addBody(body []byte, samples int, het, hom bitset) error {
	rest, err := addSet(body, samples, het)
	if err == nil {
		rest, err = addSet(rest, samples, hom)
	}
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%w: %d bytes after the carriers", ErrCorrupt, len(rest))
	}
	return err
}

func addSet(b []byte, samples int, marks bitset) (rest []byte, err error) {
	head, n := binary.Uvarint(b)
	if n <= 0 || head>>1 > uint64(samples) {
		return nil, fmt.Errorf("%w: size of a set of carriers", ErrCorrupt)
	}
	b = b[n:]
	if head&1 == 1 {
		return addDense(b, int(head>>1), samples, marks)
	}
	next := uint64(0)
	for range head >> 1 {
		var gap uint64
		if len(b) > 0 && b[0] < 0x80 { // nearly all gaps have one byte
			gap, b = uint64(b[0]), b[1:]
		} else if gap, n = binary.Uvarint(b); n > 0 {
			b = b[n:]
		} else {
			return nil, fmt.Errorf("%w: a list of carriers is cut off", ErrCorrupt)
		}
		// gap is compared before it is added, so that nothing can overflow.
		if gap >= uint64(samples) || next+gap >= uint64(samples) {
			return nil, fmt.Errorf("%w: a carrier beyond the last sample", ErrCorrupt)
		}
		marks.set(uint32(next + gap))
		next += gap + 1
	}
	return b, nil
}

func addDense(b []byte, size, samples int, marks bitset) (rest []byte, err error) {
	length := denseBytes(samples)
	if len(b) < length {
		return nil, fmt.Errorf("%w: a bitset of carriers is cut off", ErrCorrupt)
	}
	b, rest = b[:length], b[length:]
	if spare := samples & 7; spare != 0 && b[length-1]>>spare != 0 {
		return nil, fmt.Errorf("%w: a carrier beyond the last sample", ErrCorrupt)
	}
	for k := 0; len(b) > 0; k++ {
		var word uint64
		if len(b) >= 8 {
			word, b = binary.LittleEndian.Uint64(b), b[8:]
		} else {
			var last [8]byte
			copy(last[:], b)
			word, b = binary.LittleEndian.Uint64(last[:]), nil
		}
		marks[k] |= word
		size -= bits.OnesCount64(word)
	}
	if size != 0 {
		return nil, fmt.Errorf("%w: a bitset of carriers has another size than it says", ErrCorrupt)
	}
	return rest, nil
}

// merger unites the carriers of one variant that stands in several rows.
type merger struct {
	samples int
	het     bitset
	hom     bitset
	lists   [2][]uint32
}

func newMerger(samples int) *merger {
	return &merger{samples: samples, het: newBitset(samples), hom: newBitset(samples)}
}

// merge encodes the union of bodies. A sample that one row calls homozygous is
// so, whatever the others say.
func (m *merger) merge(dst []byte, bodies ...[]byte) ([]byte, error) {
	clear(m.het)
	clear(m.hom)
	for _, body := range bodies {
		if err := addBody(body, m.samples, m.het, m.hom); err != nil {
			return nil, err
		}
	}
	for i := range m.het {
		m.het[i] &^= m.hom[i]
	}
	for i, set := range []bitset{m.het, m.hom} {
		m.lists[i] = slices.Grow(m.lists[i][:0], set.count())
		set.each(func(s uint32) { m.lists[i] = append(m.lists[i], s) })
	}
	return appendBody(dst, m.samples, m.lists[0], m.lists[1]), nil
}

const checksumBytes = 4

func checksum(key, body []byte) uint32 {
	// MakeTable gives the one shared Castagnoli table, whose code is in hardware.
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Update(0, table, key), table, body)
}

func appendValue(dst, key, body []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(dst, checksum(key, body)), body...)
}

// bodyOf takes the checksum off a value and compares it.
func bodyOf(key, value []byte) ([]byte, error) {
	if len(value) < checksumBytes {
		return nil, fmt.Errorf("%w: a value of %d bytes", ErrCorrupt, len(value))
	}
	body := value[checksumBytes:]
	if binary.LittleEndian.Uint32(value) != checksum(key, body) {
		return nil, fmt.Errorf("%w: a checksum differs", ErrCorrupt)
	}
	return body, nil
}
