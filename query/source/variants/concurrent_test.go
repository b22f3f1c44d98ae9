package variants

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

// TestManyAskWhileTheReleaseIsReplaced asks from several sides, closes in the
// middle, and accepts only right counts and ErrClosed.
func TestManyAskWhileTheReleaseIsReplaced(t *testing.T) {
	defer goleak.VerifyNone(t)
	text := manyRecords(300)
	counted := naive{}
	counted.read(t, text, func(s string) string { return s })
	o := options(t, writeFile(t, "in.vcf", text))
	done, err := Import(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(done.File)
	if err != nil {
		t.Fatal(err)
	}
	var answered, refused atomic.Int64
	var askers sync.WaitGroup
	enough := make(chan struct{})
	for range 8 {
		askers.Go(func() {
			for range 20 {
				for q, carriers := range counted {
					raw, err := r.Resolve(context.Background(), q)
					switch {
					case errors.Is(err, ErrClosed):
						refused.Add(1)
						return
					case err != nil || raw.Individuals != len(carriers):
						t.Errorf("%s: %+v, %v", q, raw, err)
					}
					wide := within("22", q.Start, q.Start+300)
					if raw, err := r.Resolve(context.Background(), wide); err == nil && raw.Variants == 0 {
						t.Errorf("%s: nothing", wide)
					}
					if answered.Add(1) == 2000 {
						close(enough)
					}
				}
			}
		})
	}
	<-enough
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	askers.Wait()
	if refused.Load() != 8 {
		t.Errorf("%d of 8 askers heard that the release is closed", refused.Load())
	}
}

// TestImportsSideBySide run into one directory and do not meet.
func TestImportsSideBySide(t *testing.T) {
	o := options(t, writeFile(t, "in.vcf", manyRecords(100)))
	var imports sync.WaitGroup
	for _, dataset := range []string{"a", "b", "c", "d"} {
		imports.Go(func() {
			o := o
			o.Dataset = dataset
			im := newImporter(o)
			im.runBytes, im.maxRuns = 1000, 2
			if _, err := im.run(context.Background()); err != nil {
				t.Errorf("%s: %v", dataset, err)
			}
		})
	}
	imports.Wait()
	onlyReleases(t, o.Dir, 4)
}
