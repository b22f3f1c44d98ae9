package variants

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/candignode/candignode/query"
)

// manyRecords makes enough variants for a file of several pages.
func manyRecords(n int) string {
	names, records := make([]string, 40), make([]string, n)
	for i := range names {
		names[i] = "s" + string(rune('A'+i%26)) + string(rune('a'+i/26))
	}
	random := rand.New(rand.NewPCG(7, 7))
	for i := range records {
		gts := make([]string, len(names))
		for j := range gts {
			gts[j] = []string{"0|0", "0|0", "0|1", "1|1"}[random.IntN(4)]
		}
		records[i] = "22 " + itoa(100+3*i) + " A G GT " + strings.Join(gts, " ")
	}
	return vcf(strings.Join(names, " "), records...)
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}

const (
	childDir  = "CANDIGNODE_TEST_IMPORT_DIR"
	childFile = "CANDIGNODE_TEST_IMPORT_FILE"
	childStep = "CANDIGNODE_TEST_IMPORT_DIES_AT"
)

// TestImportChild is no test of its own: it is the process that
// TestKilledImportLeavesNothing kills.
func TestImportChild(t *testing.T) {
	if os.Getenv(childStep) == "" {
		t.Skip("runs only as a child of TestKilledImportLeavesNothing")
	}
	im := newImporter(ImportOptions{Dataset: "d", Assembly: query.GRCh37, Files: []string{os.Getenv(childFile)}, Dir: os.Getenv(childDir), Now: imported})
	im.runBytes, im.maxRuns = 8<<10, 2
	im.step = func(step string) {
		if step == os.Getenv(childStep) {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	_, err := im.run(context.Background())
	t.Fatalf("was not killed: %v", err)
}

func TestKilledImportLeavesNothing(t *testing.T) {
	file := writeFile(t, "in.vcf", manyRecords(2000))
	for _, step := range []string{"begun", "run", "batch", "synced", "verified", "renamed"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "data")
			child := exec.Command(os.Args[0], "-test.run=^TestImportChild$")
			child.Env = append(os.Environ(), childDir+"="+dir, childFile+"="+file, childStep+"="+step)
			output, err := child.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Fatalf("child: %v\n%s", err, output)
			}
			releases, err := filepath.Glob(filepath.Join(dir, "*.variants"))
			if err != nil {
				t.Fatal(err)
			}
			if step != "renamed" && len(releases) != 0 {
				t.Fatalf("killed at %s, and %v stands there", step, releases)
			}
			for _, path := range releases { // what has its name is whole
				if err := open(t, path).Verify(context.Background()); err != nil {
					t.Error(err)
				}
			}
			leftovers, err := filepath.Glob(filepath.Join(dir, workPrefix+"*"))
			if err != nil || len(leftovers) != 1 {
				t.Fatalf("the kill left %v (%v); this test shows nothing", leftovers, err)
			}
			o := options(t, file)
			o.Dataset, o.Dir = "d", dir
			importFiles(t, o) // and finds only the release
		})
	}
}

func TestImportLeavesARunningOneAlone(t *testing.T) {
	file := writeFile(t, "in.vcf", manyRecords(50))
	o := options(t, file)
	im := newImporter(o)
	im.step = func(step string) {
		if step == "batch" {
			second := o
			second.Dataset = "second"
			if _, err := Import(context.Background(), second); err != nil {
				t.Errorf("beside another import: %v", err)
			}
		}
	}
	if _, err := im.run(context.Background()); err != nil {
		t.Error(err)
	}
	onlyReleases(t, o.Dir, 2)
}

// askAll asks every variant; it gives the first error, and says whether any
// count differs without one.
func askAll(r *Release) (wrong int, err error) {
	for i := range 2000 {
		raw, failed := r.Resolve(context.Background(), allele("22", int64(100+3*i), "A", "G"))
		if failed != nil {
			err = failed
		} else if raw.Variants != 1 {
			wrong++
		}
	}
	if _, failed := r.Resolve(context.Background(), within("22", 0, 10_000)); failed != nil {
		err = failed
	}
	return wrong, err
}

func TestCutOffReleaseIsRefused(t *testing.T) {
	whole := wholeRelease(t)
	for _, size := range []int{0, 1, 100, 4096, 8191, 8192, 16384, len(whole) / 2, len(whole) - 4096, len(whole) - 1} {
		path := writeFile(t, "cut.variants", string(whole[:size]))
		if r, err := Open(path); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%d of %d bytes: %v", size, len(whole), err)
			if err == nil {
				_ = r.Close()
			}
		}
	}
	if _, err := Open(t.TempDir()); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a directory: %v", err)
	}
	if _, err := Open(writeFile(t, "x", "hello")); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a text: %v", err)
	}
	if _, err := Open("/absent.variants"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing: %v", err)
	}
}

func wholeRelease(t testing.TB) []byte {
	t.Helper()
	done, err := Import(context.Background(), options(t, writeFile(t, "in.vcf", manyRecords(2000))))
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(done.File)
	if err != nil {
		t.Fatal(err)
	}
	return whole
}

// TestDamagedReleaseNeverPanics changes bytes everywhere. Whatever is hit, there
// is no panic; and whatever a question or Open does not see, Verify does.
func TestDamagedReleaseNeverPanics(t *testing.T) {
	whole := wholeRelease(t)
	random := rand.New(rand.NewPCG(3, 4))
	refused, asked, verified, unseen := 0, 0, 0, 0
	for range 400 {
		damaged := append([]byte(nil), whole...)
		at := random.IntN(len(damaged))
		if random.IntN(2) == 0 { // the head of a page, where bbolt keeps its numbers
			at = at/4096*4096 + random.IntN(64)
		}
		for i := at; i < min(at+1+random.IntN(8), len(damaged)); i++ {
			damaged[i] ^= byte(1 + random.IntN(255))
		}
		r, err := Open(writeFile(t, "d.variants", string(damaged)))
		if err != nil {
			refused++
			continue
		}
		wrong, failed := askAll(r)
		switch err := r.Verify(context.Background()); {
		case failed != nil:
			asked++
		case err != nil:
			verified++
		case wrong == 0:
			unseen++ // in room that is not in use
		default:
			t.Errorf("damage at %d changes %d counts, and nothing tells", at, wrong)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Logf("seen by Open %d, by a question %d, by Verify alone %d, of no effect %d", refused, asked, verified, unseen)
	if refused == 0 || asked == 0 {
		t.Error("the damage hits nothing; this test shows nothing")
	}
}

func TestOtherFormatVersionIsNamed(t *testing.T) {
	path := writeFile(t, "new.variants", string(wholeRelease(t)))
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucketMeta)).Put([]byte(keyFormat), []byte("2"))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), `"2"`) {
		t.Errorf("got %v", err)
	}
}

func TestReleaseIsReadOnlyAndShared(t *testing.T) {
	o := options(t, writeFile(t, "in.vcf", manyRecords(10)))
	first := importFiles(t, o)
	again := importFiles(t, o) // replaces the file by its equal while first has it open
	counted := naive{}
	counted.read(t, manyRecords(10), func(s string) string { return s })
	compareAll(t, first, counted)
	compareAll(t, again, counted)
	paths, err := filepath.Glob(filepath.Join(o.Dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o440 {
		t.Errorf("mode %s", info.Mode())
	}
}
