package variants

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/candignode/candignode/query"
)

// FuzzVCF imports arbitrary bytes: a release that reads back, or an error that
// names the file; never a panic, and nothing left.
func FuzzVCF(f *testing.F) {
	text := vcf("a b", "1 100 A G,<DEL>,AT GT:DP 0|1:3 2/3:.", "chrX 7 ACG A GT 1 .")
	f.Add([]byte(text))
	f.Add([]byte(gzipped(f, text)))
	f.Add([]byte(bgzipped(f, text, 50)))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 64<<10 {
			return
		}
		file := filepath.Join(dir, "in")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		o := ImportOptions{Dataset: "fuzz", Assembly: query.GRCh37, Files: []string{file}, Dir: filepath.Join(dir, "data"), Now: imported}
		im := newImporter(o)
		im.runBytes, im.maxRuns = 200, 2
		done, err := im.run(context.Background())
		var bad *InputError
		switch {
		case err == nil:
			onlyReleases(t, o.Dir, 1)
			if err := os.Remove(done.File); err != nil {
				t.Error(err)
			}
		case errors.Is(err, ErrCorrupt):
			t.Errorf("what was written does not read back: %v", err)
		default:
			if !errors.As(err, &bad) && im.meter.now.Records == 0 {
				t.Errorf("%v names no file", err)
			}
			onlyReleases(t, o.Dir, 0)
		}
	})
}

// FuzzCarriers decodes arbitrary bytes: an error, or sets that encode and decode
// to themselves.
func FuzzCarriers(f *testing.F) {
	f.Add(uint16(10), appendBody(nil, 10, []uint32{0, 9}, []uint32{3}))
	f.Add(uint16(100), appendBody(nil, 100, []uint32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 99}, nil))
	f.Add(uint16(1), []byte{2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0})
	f.Add(uint16(9), []byte{3, 0, 2, 0})
	f.Fuzz(func(t *testing.T, samples uint16, body []byte) {
		n := int(samples)
		het, hom := newBitset(n), newBitset(n)
		if err := addBody(body, n, het, hom); err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("%v is not ErrCorrupt", err)
			}
			return
		}
		m := newMerger(n)
		once, err := m.merge(nil, body)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := m.merge(nil, once, body)
		if err != nil || !bytes.Equal(once, twice) {
			t.Errorf("%x encodes to %x and then to %x (%v)", body, once, twice, err)
		}
		if len(once) > len(body) {
			t.Errorf("%d bytes encode to %d", len(body), len(once))
		}
		all := newBitset(n)
		if err := addBody(once, n, all, all); err != nil {
			t.Fatal(err)
		}
		for i := range het {
			if all[i] != het[i]|hom[i] {
				t.Fatalf("carriers differ after encoding")
			}
		}
	})
}
