package variants

import (
	"bufio"
	"bytes"
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// sorter gives back in key order what was added in any order, one pair per key.
// It holds at most its bound of memory and sets sorted runs aside in files.
type sorter struct {
	dir     string
	bound   int // bytes
	most    int // runs merged at once
	unite   *merger
	step    func(string)
	arena   []byte
	entries []entry
	runs    []string // files, each sorted
	made    int
}

// entry is one pair in the arena: key, then body.
type entry struct {
	at, key, body uint32
}

// entryBytes is what an entry costs beside its pair.
const entryBytes = 12

func (s *sorter) keyOf(e entry) []byte  { return s.arena[e.at : e.at+e.key] }
func (s *sorter) bodyOf(e entry) []byte { return s.arena[e.at+e.key : e.at+e.key+e.body] }

// add copies a pair in.
func (s *sorter) add(key, body []byte) error {
	if held := len(s.arena) + len(s.entries)*entryBytes; held > 0 && held+len(key)+len(body)+entryBytes > s.bound {
		if err := s.spill(); err != nil {
			return err
		}
	}
	s.entries = append(s.entries, entry{uint32(len(s.arena)), uint32(len(key)), uint32(len(body))})
	s.arena = append(append(s.arena, key...), body...)
	return nil
}

// sortRun sorts what is in memory. Input is nearly always sorted already.
func (s *sorter) sortRun() {
	byKey := func(a, b entry) int {
		// The place in the arena keeps the order stable, so that runs do not differ
		// between two imports of the same files.
		return cmp.Or(bytes.Compare(s.keyOf(a), s.keyOf(b)), cmp.Compare(a.at, b.at))
	}
	if !slices.IsSortedFunc(s.entries, byKey) {
		slices.SortFunc(s.entries, byKey)
	}
}

// spill sets what is in memory aside as one sorted run.
func (s *sorter) spill() error {
	s.sortRun()
	err := s.writeRun(func(w *runWriter) error {
		for _, e := range s.entries {
			if err := w.add(s.keyOf(e), s.bodyOf(e)); err != nil {
				return err
			}
		}
		return nil
	})
	s.arena, s.entries = s.arena[:0], s.entries[:0]
	return err
}

func (s *sorter) writeRun(fill func(*runWriter) error) error {
	name := filepath.Join(s.dir, fmt.Sprintf("run-%06d", s.made))
	s.made++
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("temporary file: %w", err)
	}
	w := &runWriter{to: bufio.NewWriterSize(file, readBytes)}
	err = errors.Join(fill(w), w.to.Flush(), file.Close())
	if err != nil {
		return fmt.Errorf("temporary file: %w", err)
	}
	s.runs = append(s.runs, name)
	s.step("run")
	return nil
}

// each merges everything and calls f once per key, in order. The pair is valid
// until f returns. The sorter is used up.
func (s *sorter) each(ctx context.Context, f func(key, body []byte) error) error {
	if len(s.runs) > 0 && len(s.entries) > 0 {
		if err := s.spill(); err != nil {
			return err
		}
	}
	if len(s.runs) == 0 {
		s.sortRun()
		return s.merge(ctx, []cursor{&memoryCursor{s: s}}, f)
	}
	s.arena, s.entries = nil, nil // make room for the merge
	for len(s.runs) > s.most {
		if err := s.shrink(ctx); err != nil {
			return err
		}
	}
	return s.mergeFiles(ctx, s.runs, f)
}

// shrink merges the oldest runs into one.
func (s *sorter) shrink(ctx context.Context) error {
	oldest := s.runs[:s.most]
	s.runs = slices.Clone(s.runs[s.most:])
	err := s.writeRun(func(w *runWriter) error { return s.mergeFiles(ctx, oldest, w.add) })
	for _, name := range oldest {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}

func (s *sorter) mergeFiles(ctx context.Context, names []string, f func(key, body []byte) error) error {
	var cursors []cursor
	for _, name := range names {
		file, err := os.Open(name)
		if err != nil {
			return fmt.Errorf("temporary file: %w", err)
		}
		defer func() { _ = file.Close() }()
		cursors = append(cursors, &fileCursor{from: bufio.NewReaderSize(file, readBytes)})
	}
	return s.merge(ctx, cursors, f)
}

// merge walks cursors that are each sorted, and unites the bodies of one key.
func (s *sorter) merge(ctx context.Context, cursors []cursor, f func(key, body []byte) error) error {
	var queue cursorHeap
	for _, c := range cursors {
		if err := c.next(); err == nil {
			queue = append(queue, c)
		} else if !errors.Is(err, io.EOF) {
			return err
		}
	}
	heap.Init(&queue)
	var key, body, spare []byte
	have, n := false, 0
	for len(queue) > 0 {
		if n++; n%checkEvery == 0 && ctx.Err() != nil {
			return fmt.Errorf("import stopped: %w", ctx.Err())
		}
		k, b := queue[0].pair()
		if have && bytes.Equal(k, key) {
			united, err := s.unite.merge(spare[:0], body, b)
			if err != nil {
				return err
			}
			body, spare = united, body
		} else {
			if have {
				if err := f(key, body); err != nil {
					return err
				}
			}
			key, body, have = append(key[:0], k...), append(body[:0], b...), true
		}
		if err := queue.advance(); err != nil {
			return err
		}
	}
	if have {
		return f(key, body)
	}
	return nil
}
