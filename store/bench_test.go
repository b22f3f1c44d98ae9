package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/audit"
)

// The rows of docs/performance.md that concern the store are ratios of these, all
// taken in one run on one disk:
//
//	go test ./store -run '^$' -bench . -benchtime 2s -count 5
//
// CANDIGNODE_BENCH_DIR names a directory on the disk to measure; a tmpfs does not
// sync.

func benchDir(b *testing.B) string {
	b.Helper()
	dir, err := os.MkdirTemp(os.Getenv("CANDIGNODE_BENCH_DIR"), "store")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func benchStore(b *testing.B) *Store {
	b.Helper()
	s, err := Open(filepath.Join(benchDir(b), "state.db"), Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}

// decision is a record as one decision about one dataset makes it.
func decision(i int) audit.Record {
	digest := func(s string) trust.Digest { return trust.DigestOf(fmt.Appendf(nil, "%s %d", s, i)) }
	return audit.Record{
		Time: time.Unix(1_760_000_000+int64(i), 0), Event: audit.EventDecision,
		Transaction: digest("transaction").String()[:22],
		Caller:      trust.Identity{Issuer: "https://idp.uhn.example.org/", Subject: digest("subject").String()[:16]},
		Passports:   []trust.Digest{digest("passport")}, Dataset: "rarivitis-2025", Release: "2025-10-01.1",
		Question: "GRCh37 22:16050074 A>G count", Outcome: "allow", Rule: "controlled: a grant visa with this value",
		Visas: []trust.Digest{digest("visa"), digest("another visa")}, Answer: "count 71 exact",
		Policy: digest("policy").Short(), TrustRevision: uint64(i),
	}
}

// floors are what durable writes cost without this package.
type floors struct {
	db   *bbolt.DB
	file *os.File
	body []byte
	seq  uint64
}

func openFloors(b *testing.B) *floors {
	b.Helper()
	dir := benchDir(b)
	db, err := bbolt.Open(filepath.Join(dir, "floor.db"), 0o600, nil)
	if err != nil {
		b.Fatal(err)
	}
	file, err := os.Create(filepath.Join(dir, "floor.log"))
	if err != nil {
		b.Fatal(err)
	}
	body, err := audit.Encode(decision(1))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close(); file.Close() })
	return &floors{db: db, file: file, body: body}
}

// update is one durable write with the means of bbolt alone.
func (f *floors) update() error {
	f.seq++
	return f.db.Update(func(tx *bbolt.Tx) error {
		bucket, err := tx.CreateBucketIfNotExists([]byte("audit"))
		if err != nil {
			return err
		}
		return bucket.Put(seqKey(f.seq), f.body)
	})
}

// appendSync is one durable write with no database at all.
func (f *floors) appendSync() error {
	if _, err := f.file.Write(f.body); err != nil {
		return err
	}
	return syscall.Fdatasync(int(f.file.Fd()))
}

// BenchmarkAgainstFloors interleaves the floors with what stands on them, a few
// writes of each in turn, as one disk is seldom as fast twice; the ratios are of
// medians. Goal 2: record/update at most 1.5. Goal 12: 64writers/fdatasync, in
// records a second, at least 15.
func BenchmarkAgainstFloors(b *testing.B) {
	const writers, turns = 64, 4
	f, s := openFloors(b), benchStore(b)
	number := 0
	records := make([]audit.Record, writers*turns)
	for i := range records {
		records[i] = decision(i)
	}
	var update, lone, appended, together []float64
	timed := func(into *[]float64, n int, do func() error) {
		start := time.Now()
		for range n {
			if err := do(); err != nil {
				b.Fatal(err)
			}
		}
		*into = append(*into, time.Since(start).Seconds()/float64(n))
	}
	one := func() error { number++; return s.Record(b.Context(), records[number%len(records)]) }
	for b.Loop() {
		timed(&appended, turns, f.appendSync)
		timed(&update, turns, f.update)
		timed(&lone, turns, one)
		timed(&together, 1, func() error {
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() {
					for i := range turns {
						if err := s.Record(b.Context(), records[i*writers+w]); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			return nil
		})
	}
	b.ReportMetric(median(lone)/median(update), "record/update")
	b.ReportMetric(median(appended)/(median(together)/(writers*turns)), "64writers/fdatasync")
	b.ReportMetric(1e6*median(appended), "µs/fdatasync")
	b.ReportMetric(1e6*median(update), "µs/update")
	b.ReportMetric(1e6*median(lone), "µs/record")
	b.ReportMetric(1e6*median(together)/turns, "µs/64records")
	reportSize(b, s)
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

func BenchmarkFloorLoneUpdate(b *testing.B) {
	f := openFloors(b)
	for b.Loop() {
		if err := f.update(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFloorAppendSync(b *testing.B) {
	f := openFloors(b)
	for b.Loop() {
		if err := f.appendSync(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRecord(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) { benchRecord(b, writers) })
	}
}

func benchRecord(b *testing.B, writers int) {
	s := benchStore(b)
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range writers {
		wg.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(b.N) {
					return
				}
				if err := s.Record(b.Context(), decision(int(i))); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	reportSize(b, s)
}

// reportSize gives the file's size over that of the records in it, for logs that
// are long enough to say something.
func reportSize(b *testing.B, s *Store) {
	payload := 0
	if err := s.AuditEntries(context.Background(), 1, func(e audit.Entry) error { payload += len(e.Body); return nil }); err != nil {
		b.Fatal(err)
	}
	info, err := os.Stat(s.db.Path())
	if err != nil {
		b.Fatal(err)
	}
	if payload > 10<<20 {
		b.ReportMetric(float64(info.Size())/float64(payload), "file/payload")
	}
}

func grant(i int) access.Grant {
	return access.Grant{
		ID: trust.DigestOf(fmt.Appendf(nil, "grant %d", i)).String()[:22], Dataset: "rarivitis-2025",
		Identity: trust.Identity{Issuer: "https://idp.uhn.example.org/", Subject: fmt.Sprintf("researcher-%d", i)},
		Created:  time.Unix(1_760_000_000, 0).UTC(), Until: time.Unix(1_790_000_000, 0).UTC(),
	}
}

// fill puts n grants into a store at once.
func fill(b testing.TB, s *Store, n int) {
	b.Helper()
	var wg sync.WaitGroup
	for w := range 64 {
		wg.Go(func() {
			for i := w; i < n; i += 64 {
				if err := s.AddGrant(b.Context(), grant(i), audit.Record{Event: audit.EventGrant, Outcome: "added"}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkGrants(b *testing.B) {
	for _, n := range []int{1_000, 100_000} {
		s := benchStore(b)
		fill(b, s, n)
		b.Run(fmt.Sprintf("read/%d", n), func(b *testing.B) {
			var callers []trust.Identity
			for i := range 1_000 {
				callers = append(callers, grant(i*n/1_000).Identity)
			}
			i := 0
			for b.Loop() {
				if len(s.Grants(callers[i%len(callers)])) != 1 {
					b.Fatal("a grant is missing")
				}
				i++
			}
		})
		i := n
		b.Run(fmt.Sprintf("add/%d", n), func(b *testing.B) {
			for b.Loop() {
				if err := s.AddGrant(b.Context(), grant(i), audit.Record{Event: audit.EventGrant, Outcome: "added"}); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}

// BenchmarkLoneRecordOverUpdate interleaves one durable record with one lone
// Update of the same bytes, without the crowd of BenchmarkAgainstFloors before it.
// Goal 2: record/update at most 1.5.
func BenchmarkLoneRecordOverUpdate(b *testing.B) {
	f, s := openFloors(b), benchStore(b)
	var update, lone []float64
	for number := 0; b.Loop(); number++ {
		start := time.Now()
		if err := f.update(); err != nil {
			b.Fatal(err)
		}
		update = append(update, time.Since(start).Seconds())
		start = time.Now()
		if err := s.Record(b.Context(), decision(number)); err != nil {
			b.Fatal(err)
		}
		lone = append(lone, time.Since(start).Seconds())
	}
	u := median(update)
	b.ReportMetric(median(lone)/u, "record/update")
	b.ReportMetric(1e6*u, "µs/update")
}
