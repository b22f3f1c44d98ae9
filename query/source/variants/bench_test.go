package variants

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/candignode/candignode/query"
)

// benchVCF writes variants of 2,500 samples with a frequency spectrum of 1/x, as
// phased 1000 Genomes files have it, and gives its path and size as text.
func benchVCF(b *testing.B, variants int, packed bool) (path string, size int64) {
	const samples = 2_500
	path = filepath.Join(b.TempDir(), "bench.vcf")
	file, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	var to io.WriteCloser = file
	if packed {
		to = gzip.NewWriter(file)
	}
	random := rand.New(rand.NewPCG(1, 2))
	names := make([]string, samples)
	for i := range names {
		names[i] = fmt.Sprintf("HG%05d", i)
	}
	text := vcf(strings.Join(names, " "))
	_, _ = io.WriteString(to, text)
	size = int64(len(text))
	row := make([]byte, 0, 20_000)
	for v := range variants {
		row = fmt.Appendf(row[:0], "22\t%d\trs%d\tA\tG\t100\tPASS\tAC=1;AN=5000\tGT", 16_000_000+17*v, v)
		// Frequencies between 1/5000 and 1/2, each magnitude as often as the next.
		frequency := math.Exp(-random.Float64()*math.Log(2500)) / 2
		for range samples {
			gt := []byte("\t0|0")
			if random.Float64() < frequency {
				gt[1] = '1'
			}
			if random.Float64() < frequency {
				gt[3] = '1'
			}
			row = append(row, gt...)
		}
		row = append(row, '\n')
		if _, err := to.Write(row); err != nil {
			b.Fatal(err)
		}
		size += int64(len(row))
	}
	if packed {
		_ = to.Close()
	}
	if err := file.Close(); packed == false && err != nil {
		b.Fatal(err)
	}
	return path, size
}

// BenchmarkImport gives MB of text per second, beside what it costs only to
// unpack and split the same file.
func BenchmarkImport(b *testing.B) {
	for _, packed := range []bool{false, true} {
		path, size := benchVCF(b, 20_000, packed)
		name := map[bool]string{false: "plain", true: "gzip"}[packed]
		b.Run(name+"/lines alone", func(b *testing.B) {
			b.SetBytes(size)
			for b.Loop() {
				in, err := openInput(context.Background(), path, &meter{})
				for err == nil {
					_, err = in.next()
				}
				in.close()
			}
		})
		b.Run(name+"/import", func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			var done Imported
			for b.Loop() {
				var err error
				if done, err = Import(context.Background(), options(b, path)); err != nil {
					b.Fatal(err)
				}
			}
			info, err := os.Stat(done.File)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(info.Size())/float64(done.Holdings.Variants), "B/variant")
		})
	}
}

// BenchmarkResolve asks known variants, and ranges, beside a bare bbolt Get of
// the same bytes.
func BenchmarkResolve(b *testing.B) {
	const variants = 100_000
	path, _ := benchVCF(b, variants, false)
	done, err := Import(context.Background(), options(b, path))
	if err != nil {
		b.Fatal(err)
	}
	r := open(b, done.File)
	random := rand.New(rand.NewPCG(5, 6))
	at := func() int64 { return 16_000_000 + 17*random.Int64N(variants) }
	b.Run("bare get", func(b *testing.B) {
		var key []byte
		for b.Loop() {
			key = appendKey(key[:0], 22, at()-1, "A", "G")
			_ = r.db.View(func(tx *bbolt.Tx) error {
				_ = tx.Bucket([]byte(bucketVariants)).Get(key)
				return nil
			})
		}
	})
	b.Run("point", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := r.Resolve(context.Background(), allele("22", at(), "A", "G")); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, width := range []int64{1_000, 100_000, query.MaxRange} {
		b.Run(fmt.Sprintf("range of %d bases", width), func(b *testing.B) {
			for b.Loop() {
				start := at()
				if _, err := r.Resolve(context.Background(), within("22", start, start+width)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("verify", func(b *testing.B) {
		for b.Loop() {
			if err := r.Verify(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
