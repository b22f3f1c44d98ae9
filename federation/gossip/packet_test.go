package gossip

import (
	"bytes"
	"compress/lzw"
	"encoding/binary"
	"hash/crc32"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// unpacking makes memberlist's compressed message out of plain.
func unpacking(t *testing.T, plain []byte) []byte {
	t.Helper()
	var packed bytes.Buffer
	w := lzw.NewWriter(&packed, lzw.LSB, 8)
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	b := append([]byte{9, 0x82, 0xa4}, "Algo"...)
	b = append(append(b, 0, 0xa3), "Buf"...)
	b = binary.BigEndian.AppendUint16(append(b, 0xda), uint16(packed.Len()))
	return append(b, packed.Bytes()...)
}

// joined makes memberlist's compound message.
func joined(parts ...[]byte) []byte {
	b := []byte{7, byte(len(parts))}
	for _, p := range parts {
		b = binary.BigEndian.AppendUint16(b, uint16(len(p)))
	}
	return append(b, bytes.Join(parts, nil)...)
}

func labelled(b []byte) []byte { return append(append([]byte{typeLabel, 4}, "test"...), b...) }

func summed(b []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{12}, crc32.ChecksumIEEE(b)), b...)
}

// Memory exhaustion by a pinned node (trust-protocol.md, section 12): packets that
// unpack to three hundred times their size, and to further ones inside.
func TestPacketsThatUnpackAreRefused(t *testing.T) {
	inner := unpacking(t, make([]byte, 10<<10))
	for name, packet := range map[string][]byte{
		"once":  labelled(unpacking(t, make([]byte, 240<<10))),
		"twice": labelled(unpacking(t, joined(inner, inner, inner))),
	} {
		t.Run(name, func(t *testing.T) {
			const packets, most = 100, 8 << 20
			if len(packet) > packetSize {
				t.Fatalf("the packet has %d bytes", len(packet))
			}
			synctest.Test(t, func(t *testing.T) {
				good, bad := village(t)
				defer stopAll(append(good, bad))
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				for range packets {
					bad.sendAll(good[:1], packet)
				}
				time.Sleep(100 * time.Millisecond)
				runtime.ReadMemStats(&after)
				if grew := after.TotalAlloc - before.TotalAlloc; grew > most {
					t.Errorf("%d bytes on the line made the node allocate %d", packets*len(packet), grew)
				}
				if h := good[0].Health(); h.Refused < packets {
					t.Errorf("%d refusals are counted, want %d", h.Refused, packets)
				}
			})
		})
	}
}

func TestPacketsThatMemberlistSends(t *testing.T) {
	user := append([]byte{8}, "head"...)
	ping := []byte{0, 0x80}
	bomb := unpacking(t, user)
	for name, c := range map[string]struct {
		packet []byte
		good   bool
	}{
		"user":                      {labelled(user), true},
		"ping":                      {labelled(ping), true},
		"checksum":                  {labelled(summed(ping)), true},
		"compound":                  {labelled(joined(ping, user)), true},
		"compound under a checksum": {labelled(summed(joined(user, user))), true},
		"nothing":                   {nil, false},
		"label only":                {labelled(nil), false},
		"no label":                  {user, false},
		"another label":             {append([]byte{typeLabel, 4, 't', 'e', 's', 'u'}, user...), false},
		"short label":               {[]byte{typeLabel, 4, 't'}, false},
		"label twice":               {labelled(labelled(user)), false},
		"short checksum":            {labelled([]byte{12, 0, 0}), false},
		"checksum of nothing":       {labelled(summed(nil)), false},
		"checksum twice":            {labelled(summed(summed(user))), false},
		"compressed":                {labelled(bomb), false},
		"compressed under checksum": {labelled(summed(bomb)), false},
		"compressed in a compound":  {labelled(joined(user, bomb)), false},
		"compound in a compound":    {labelled(joined(joined(user))), false},
		"encrypted":                 {labelled([]byte{10, 1}), false},
		"states in a packet":        {labelled([]byte{typePushPull, 0x83}), false},
		"unknown":                   {labelled([]byte{99}), false},
		"compound without parts":    {labelled([]byte{7}), false},
		"compound cut in lengths":   {labelled([]byte{7, 2, 0, 1, 0}), false},
		"compound cut in parts":     {labelled([]byte{7, 1, 0, 9, 8}), false},
		"empty part":                {labelled([]byte{7, 1, 0, 0}), false},
	} {
		if err := checkPacket(c.packet, "test"); (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzPacket(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		if checkPacket(b, "test") != nil {
			return
		}
		if len(b) < 7 || bytes.IndexByte([]byte{9, 10, typeLabel}, b[6]) >= 0 {
			t.Errorf("%x was let in", b)
		}
	})
}
