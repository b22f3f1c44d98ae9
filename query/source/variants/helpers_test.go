package variants

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/query"
)

var imported = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// vcf makes a small file: the columns of a record are given as
// "chrom pos ref alt format gt gt ...", between spaces.
func vcf(samples string, records ...string) string {
	var b strings.Builder
	b.WriteString("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT")
	for _, s := range strings.Fields(samples) {
		b.WriteString("\t" + s)
	}
	b.WriteByte('\n')
	for _, r := range records {
		f := strings.Fields(r)
		b.WriteString(strings.Join([]string{f[0], f[1], ".", f[2], f[3], ".", "PASS", ".", f[4]}, "\t"))
		for _, gt := range f[5:] {
			b.WriteString("\t" + gt)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func writeFile(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func options(t testing.TB, files ...string) ImportOptions {
	return ImportOptions{Dataset: "rarivitis", Assembly: query.GRCh37, Files: files, Dir: filepath.Join(t.TempDir(), "data"), Now: imported}
}

// texts are imported as one file each.
func importTexts(t testing.TB, texts ...string) *Release {
	t.Helper()
	var files []string
	for _, text := range texts {
		files = append(files, writeFile(t, "in.vcf", text))
	}
	return importFiles(t, options(t, files...))
}

func importFiles(t testing.TB, o ImportOptions) *Release {
	t.Helper()
	done, err := Import(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	onlyReleases(t, o.Dir, 1)
	return open(t, done.File)
}

func open(t testing.TB, path string) *Release {
	t.Helper()
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// onlyReleases checks that a data directory holds so many files and nothing else.
func onlyReleases(t testing.TB, dir string, want int) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".variants") {
			t.Errorf("%s was left in the data directory", e.Name())
		}
	}
	if len(entries) != want {
		t.Errorf("%d entries in the data directory, want %d", len(entries), want)
	}
}

// allele is a sequence question as a VCF writes it: 1-based.
func allele(chrom string, pos int64, ref, alt string) query.VariantQuery {
	return query.VariantQuery{Assembly: query.GRCh37, Chrom: chrom, Start: pos - 1, Ref: ref, Alt: alt}
}

// within is a range question, 0-based and half-open.
func within(chrom string, start, end int64) query.VariantQuery {
	return query.VariantQuery{Assembly: query.GRCh37, Chrom: chrom, Start: start, End: end}
}

func expect(t testing.TB, r *Release, q query.VariantQuery, individuals int, variants int64) {
	t.Helper()
	got, err := r.Resolve(context.Background(), q)
	if err != nil {
		t.Errorf("%s: %v", q, err)
	} else if want := (query.Raw{Individuals: individuals, Variants: variants}); got != want {
		t.Errorf("%s: got %+v, want %+v", q, got, want)
	}
}

func gzipped(t testing.TB, text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// bgzipped packs text as bgzip does: gzip members of at most 64 KiB that say
// their own length, and the empty one at the end.
func bgzipped(t testing.TB, text string, block int) string {
	var b bytes.Buffer
	for len(text) > 0 {
		n := min(block, len(text))
		bgzfBlock(t, &b, text[:n])
		text = text[n:]
	}
	b.WriteString(bgzfEnd)
	return b.String()
}

func bgzfBlock(t testing.TB, to *bytes.Buffer, text string) {
	var packed bytes.Buffer
	z, err := flate.NewWriter(&packed, flate.DefaultCompression)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = z.Write([]byte(text))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	to.WriteString("\x1f\x8b\x08\x04\x00\x00\x00\x00\x00\xff\x06\x00BC\x02\x00")
	var tail [8]byte
	binary.LittleEndian.PutUint16(tail[:], uint16(18+packed.Len()+8-1))
	to.Write(tail[:2])
	to.Write(packed.Bytes())
	binary.LittleEndian.PutUint32(tail[:], crc32.ChecksumIEEE([]byte(text)))
	binary.LittleEndian.PutUint32(tail[4:], uint32(len(text)))
	to.Write(tail[:])
}
