package variants

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/candignode/candignode/query"
)

// ImportOptions says what to import and where to.
type ImportOptions struct {
	Dataset  string         // query.ValidDatasetID
	Assembly query.Assembly // the one the files were called on
	Files    []string       // VCF: plain, gzip or bgzf, by content and not by name
	Dir      string         // where release files are kept; made if absent
	// IndividualsFile is optional: lines of sample<TAB>individual for exactly the
	// samples of Files. Without it every sample is an individual of its own.
	IndividualsFile string
	Now             time.Time      // noted as time of import
	Progress        func(Progress) // optional; at most ten times a second, and at the end
}

// Imported is what became of an import.
type Imported struct {
	Release  string
	File     string // path of the release file
	Holdings query.Holdings
	Records  int64            // lines read
	Skipped  map[string]int64 // by reason (SkippedContig and the others); never nil
}

// Import makes one release file from all of Files: the samples of all files
// together, and one variant for all rows that name it. It returns an *InputError
// for input that it refuses. Whatever ends it, cancellation and death of the
// process included, no part of a release remains under a release's name; temporary
// files go at once or, after a kill, with the next import into Dir.
func Import(ctx context.Context, o ImportOptions) (Imported, error) {
	return newImporter(o).run(ctx)
}

// importer is one import under way. Its sizes and step stand apart from the
// options so that tests can make them small and stop at each step.
type importer struct {
	ImportOptions
	runBytes int
	maxRuns  int
	step     func(string) // called after each step that touches the disk
	meter    meter
	skipped  map[string]int64
	headers  [][]string // samples of each file
	table    sampleTable
}

func newImporter(o ImportOptions) *importer {
	im := &importer{ImportOptions: o, runBytes: runBytes, maxRuns: maxRuns, step: func(string) {}, skipped: make(map[string]int64)}
	im.meter.report = o.Progress
	im.meter.now.Files = len(o.Files)
	return im
}

func (im *importer) run(ctx context.Context) (done Imported, err error) {
	if err := im.check(); err != nil {
		return done, err
	}
	if err := im.readHeaders(ctx); err != nil {
		return done, err
	}
	work, err := newWorkdir(im.Dir)
	if err != nil {
		return done, err
	}
	defer func() {
		if removed := work.remove(); removed != nil && err == nil {
			err = fmt.Errorf("the release is complete, but temporary files remain: %w", removed)
		}
	}()
	im.step("begun")
	sorted := &sorter{dir: work.path, bound: im.runBytes, most: im.maxRuns, unite: newMerger(len(im.table.Samples)), step: im.step}
	for i := range im.Files {
		if err := im.readFile(ctx, i, sorted); err != nil {
			return done, err
		}
	}
	im.meter.now.File = ""
	path := filepath.Join(work.path, "release")
	about, err := im.write(ctx, path, sorted)
	if err != nil {
		return done, err
	}
	if err := proofread(ctx, path, about); err != nil {
		return done, err
	}
	im.step("verified")
	if err := ctx.Err(); err != nil {
		return done, fmt.Errorf("import stopped: %w", err)
	}
	done = Imported{
		Release: about.Release, File: filepath.Join(im.Dir, about.Dataset+"-"+about.Release+".variants"),
		Holdings: about.holdings(), Records: im.meter.now.Records, Skipped: im.skipped,
	}
	// The same content has the same name: a file that stands there is replaced by
	// its equal, and whoever has it open keeps the old one.
	if err := os.Rename(path, done.File); err != nil {
		return Imported{}, fmt.Errorf("release file: %w", err)
	}
	im.step("renamed")
	if err := syncDir(im.Dir); err != nil {
		return Imported{}, fmt.Errorf("release file: %w", err)
	}
	im.meter.flush()
	return done, nil
}

func (im *importer) check() error {
	if err := query.ValidDatasetID(im.Dataset); err != nil {
		return err
	}
	if im.Assembly != query.GRCh37 && im.Assembly != query.GRCh38 {
		return fmt.Errorf("assembly %.40q is not known; use GRCh37 or GRCh38", im.Assembly)
	}
	if len(im.Files) == 0 || len(im.Files) > MaxFiles {
		return fmt.Errorf("%d files to import; name 1 to %d", len(im.Files), MaxFiles)
	}
	if im.Dir == "" {
		return errors.New("no directory for release files is given")
	}
	return nil
}

// readHeaders reads the headers of all files before any record, so that sample
// indices do not depend on the order of files, and a wrong file is named at once.
func (im *importer) readHeaders(ctx context.Context) error {
	var owners map[string]string
	if im.IndividualsFile != "" {
		var err error
		if owners, err = readIndividuals(ctx, im.IndividualsFile); err != nil {
			return err
		}
	}
	for _, name := range im.Files {
		in, err := openInput(ctx, name, &meter{})
		if err != nil {
			return err
		}
		samples, err := in.readHeader(im.Assembly)
		in.close()
		if err != nil {
			return err
		}
		info, err := os.Stat(name)
		if err != nil {
			return fmt.Errorf("input: %w", err)
		}
		im.meter.now.BytesTotal += info.Size()
		im.headers = append(im.headers, samples)
	}
	table, err := newSampleTable(im.headers, owners)
	if err != nil {
		if im.IndividualsFile != "" {
			return &InputError{File: im.IndividualsFile, Reason: err.Error(), Err: err}
		}
		return err
	}
	im.table = table
	return nil
}

func (im *importer) readFile(ctx context.Context, i int, to sink) error {
	im.meter.now.File, im.meter.now.FileNumber = im.Files[i], i+1
	in, err := openInput(ctx, im.Files[i], &im.meter)
	if err != nil {
		return err
	}
	defer in.close()
	names, err := in.readHeader(im.Assembly)
	if err != nil {
		return err
	}
	if !slices.Equal(names, im.headers[i]) {
		return in.bad("the file was changed while it was imported")
	}
	p := &recordParser{in: in, names: names, samples: len(im.table.Samples), to: to, skipped: im.skipped, chroms: make(map[string]byte)}
	p.calls.samples, p.calls.rising = im.table.columns(names)
	before := im.meter.now.Records
	for {
		line, err := in.nextRecordOrHeader()
		if err != nil {
			return err
		}
		if line == nil {
			break
		}
		if err := p.parse(line); err != nil {
			return err
		}
		im.meter.now.Records++
	}
	if im.meter.now.Records == before {
		return in.bad("the file has a header and no records; is it cut off?")
	}
	return nil
}

func (im *importer) write(ctx context.Context, path string, sorted *sorter) (description, error) {
	about := description{Dataset: im.Dataset, Assembly: im.Assembly, Created: im.Now.UTC(), sampleTable: im.table}
	w, err := newFileWriter(path, about)
	if err != nil {
		return about, err
	}
	w.step = im.step
	w.written = func(n int64) {
		im.meter.now.Written = n
		if n%checkEvery == 0 {
			im.meter.tick()
		}
	}
	about, err = write(ctx, w, sorted)
	if err == nil && about.Variants == 0 {
		err = fmt.Errorf("%d records, but no variant that anybody carries; skipped: %v", im.meter.now.Records, im.skipped)
	}
	return about, err
}

// proofread opens what was written as the node will, and compares all of it.
func proofread(ctx context.Context, path string, about description) error {
	r, err := Open(path)
	if err != nil {
		return fmt.Errorf("the release does not read back: %w", err)
	}
	defer func() { _ = r.Close() }()
	if r.about.Content != about.Content {
		return fmt.Errorf("the release does not read back: %w", ErrCorrupt)
	}
	if err := r.Verify(ctx); err != nil {
		return fmt.Errorf("the release does not read back: %w", err)
	}
	return nil
}
