package variants

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// sampleTable holds the samples of a release in the order of their indices, and
// to whom each belongs. Both lists are sorted, so that they do not depend on the
// order of files.
type sampleTable struct {
	Samples     []string `json:"samples"`
	Individuals []string `json:"individuals"`
	// Owner gives each sample's individual, as an index; nil if sample i is
	// individual i.
	Owner []uint32 `json:"owner,omitempty"`
}

// newSampleTable unites the samples of all files; owners may be nil.
func newSampleTable(files [][]string, owners map[string]string) (sampleTable, error) {
	var t sampleTable
	t.Samples = slices.Concat(files...)
	slices.Sort(t.Samples)
	t.Samples = slices.Compact(t.Samples)
	if len(t.Samples) > MaxSamples {
		return t, fmt.Errorf("the files have %d samples together, at most %d", len(t.Samples), MaxSamples)
	}
	if owners == nil {
		t.Individuals = t.Samples
		return t, nil
	}
	for _, sample := range t.Samples {
		owner, ok := owners[sample]
		if !ok {
			return t, fmt.Errorf("sample %.40q has no line", sample)
		}
		t.Individuals = append(t.Individuals, owner)
	}
	if len(owners) > len(t.Samples) {
		for _, sample := range slices.Sorted(mapKeys(owners)) {
			if _, ok := slices.BinarySearch(t.Samples, sample); !ok {
				return t, fmt.Errorf("sample %.40q is in none of the VCF files", sample)
			}
		}
	}
	slices.Sort(t.Individuals)
	t.Individuals = slices.Compact(t.Individuals)
	t.Owner = make([]uint32, len(t.Samples))
	for i, sample := range t.Samples {
		j, _ := slices.BinarySearch(t.Individuals, owners[sample])
		t.Owner[i] = uint32(j)
	}
	return t, nil
}

func mapKeys(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// check tells whether a table that was read from a file is one that
// newSampleTable could have made, as far as counting depends on it.
func (t sampleTable) check() error {
	if len(t.Samples) == 0 || len(t.Samples) > MaxSamples || len(t.Individuals) == 0 || len(t.Individuals) > len(t.Samples) {
		return fmt.Errorf("%w: %d samples of %d individuals", ErrCorrupt, len(t.Samples), len(t.Individuals))
	}
	if t.Owner == nil && len(t.Individuals) == len(t.Samples) {
		return nil
	}
	if len(t.Owner) != len(t.Samples) || int(slices.Max(t.Owner)) >= len(t.Individuals) {
		return fmt.Errorf("%w: samples without an individual", ErrCorrupt)
	}
	return nil
}

// columns gives the index of each column's sample, and whether they rise.
func (t sampleTable) columns(names []string) (index []uint32, rising bool) {
	index = make([]uint32, len(names))
	for i, name := range names {
		j, _ := slices.BinarySearch(t.Samples, name)
		index[i] = uint32(j)
	}
	return index, slices.IsSorted(index)
}

// countIndividuals counts the distinct owners of samples; scratch has room for
// all individuals.
func (t sampleTable) countIndividuals(samples, scratch bitset) int {
	if t.Owner == nil {
		return samples.count()
	}
	clear(scratch)
	samples.each(func(s uint32) { scratch.set(t.Owner[s]) })
	return scratch.count()
}

// readIndividuals reads "sample<TAB>individual" lines. A first line of exactly
// these two words is a heading.
func readIndividuals(ctx context.Context, name string) (map[string]string, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("individuals: %w", err)
	}
	defer func() { _ = file.Close() }()
	source := &meteredReader{ctx: ctx, src: io.LimitReader(file, MaxIndividualsFile+1), meter: &meter{}}
	in := &input{name: name, text: newLineReader(source, readBytes)}
	owners := make(map[string]string)
	for {
		line, err := in.nextRecordOrHeader()
		if err != nil {
			return nil, err
		}
		if line == nil {
			return owners, nil
		}
		if source.meter.now.BytesRead > MaxIndividualsFile {
			return nil, in.bad("the file is longer than %d bytes", MaxIndividualsFile)
		}
		sample, owner, ok := strings.Cut(string(line), "\t")
		if !ok || strings.Contains(owner, "\t") {
			return nil, in.bad("%.40q: want sample, a tab, individual", line)
		}
		if in.text.number == 1 && sample == "sample" && owner == "individual" {
			continue
		}
		for _, id := range []string{sample, owner} {
			if why := badName(id); why != "" {
				return nil, in.bad("%.40q %s", id, why)
			}
		}
		if _, ok := owners[sample]; ok {
			return nil, in.bad("sample %.40q has two lines", sample)
		}
		owners[sample] = owner
	}
}

// ignoreEOF makes the end of a file a value instead of an error.
func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
