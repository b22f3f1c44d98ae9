package variants

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
	"pgregory.net/rapid"
)

func TestSetsTakeTheSmallerForm(t *testing.T) {
	for _, c := range []struct {
		samples int
		members []uint32
		bytes   int // with the size in front
	}{
		{2500, nil, 1},
		{2500, []uint32{0}, 2},
		{2500, []uint32{2499}, 3},
		{2500, []uint32{1, 2, 3}, 4},
		{16, []uint32{1, 2}, 3},
		{16, []uint32{1, 2, 3}, 3},
		{16, []uint32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, 3},
	} {
		if got := appendSet(nil, c.samples, c.members); len(got) != c.bytes {
			t.Errorf("%v of %d: %x, want %d bytes", c.members, c.samples, got, c.bytes)
		}
	}
}

func TestCarriersComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		samples := rapid.IntRange(1, 3000).Draw(t, "samples")
		draw := func(name string) []uint32 {
			s := rapid.SliceOfN(rapid.Uint32Range(0, uint32(samples-1)), 0, 400).Draw(t, name)
			slices.Sort(s)
			return slices.Compact(s)
		}
		het, hom := draw("het"), draw("hom")
		gotHet, gotHom := newBitset(samples), newBitset(samples)
		if err := addBody(appendBody(nil, samples, het, hom), samples, gotHet, gotHom); err != nil {
			t.Fatal(err)
		}
		for want, got := range map[*[]uint32]bitset{&het: gotHet, &hom: gotHom} {
			var members []uint32
			got.each(func(i uint32) { members = append(members, i) })
			if !slices.Equal(members, *want) || got.count() != len(*want) {
				t.Fatalf("got %v, want %v", members, *want)
			}
		}
	})
}

func TestHomozygousInOneRowIsHomozygous(t *testing.T) {
	const samples = 100
	m := newMerger(samples)
	got, err := m.merge(nil, appendBody(nil, samples, []uint32{1, 2, 99}, nil), appendBody(nil, samples, []uint32{3}, []uint32{2}))
	if want := appendBody(nil, samples, []uint32{1, 3, 99}, []uint32{2}); err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %x (%v), want %x", got, err, want)
	}
}

// TestColumnsInAnyOrder has so many samples that carriers are lists, which need
// rising indices.
func TestColumnsInAnyOrder(t *testing.T) {
	const samples = 1000
	names, gts := make([]string, samples), make([]string, samples)
	for i := range names {
		names[i], gts[i] = fmt.Sprintf("s%04d", samples-i), "0|0"
	}
	gts[5], gts[500], gts[501], gts[999] = "0|1", "1|1", "1|1", "1|0"
	r := importTexts(t, vcf(strings.Join(names, " "), "1 100 A G GT "+strings.Join(gts, " ")))
	expect(t, r, allele("1", 100, "A", "G"), 4, 1)
}

// TestEveryChangedByteOfAValueIsSeen by the question that reads it.
func TestEveryChangedByteOfAValueIsSeen(t *testing.T) {
	whole := wholeRelease(t)
	q := allele("22", 100+3*1000, "A", "G")
	var value []byte
	path := writeFile(t, "whole.variants", string(whole))
	err := open(t, path).view(func(tx *bbolt.Tx) error {
		value = bytes.Clone(tx.Bucket([]byte(bucketVariants)).Get(appendKey(nil, 22, q.Start, q.Ref, q.Alt)))
		return nil
	})
	if err != nil || bytes.Count(whole, value) != 1 {
		t.Fatalf("%d copies of the value (%v)", bytes.Count(whole, value), err)
	}
	at := bytes.Index(whole, value)
	for i := range value {
		damaged := bytes.Clone(whole)
		damaged[at+i] ^= 0x21
		if err := os.WriteFile(path+".damaged", damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := Open(path + ".damaged")
		if err != nil {
			t.Fatal(err)
		}
		if raw, err := r.Resolve(context.Background(), q); !errors.Is(err, ErrCorrupt) {
			t.Errorf("byte %d of %d: %+v, %v", i, len(value), raw, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}
