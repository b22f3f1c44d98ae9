package variants

import (
	"bufio"
	"bytes"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// cursor walks sorted pairs. pair is valid until next, and only after next
// returned nil; next returns io.EOF at the end.
type cursor interface {
	next() error
	pair() (key, body []byte)
}

// cursorHeap has the cursor with the least key first.
type cursorHeap []cursor

func (h cursorHeap) Len() int { return len(h) }
func (h cursorHeap) Less(i, j int) bool {
	a, _ := h[i].pair()
	b, _ := h[j].pair()
	return bytes.Compare(a, b) < 0
}
func (h cursorHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push is for heap.Interface; cursors are never added to a heap in use.
func (h *cursorHeap) Push(x any) { *h = append(*h, x.(cursor)) }

// Pop takes the last cursor away.
func (h *cursorHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// advance moves the first cursor on, and takes it away at its end.
func (h *cursorHeap) advance() error {
	err := (*h)[0].next()
	switch {
	case err == nil:
		heap.Fix(h, 0)
	case errors.Is(err, io.EOF):
		heap.Pop(h)
	default:
		return err
	}
	return nil
}

// memoryCursor walks what a sorter holds in memory, after sortRun.
type memoryCursor struct {
	s  *sorter
	at int // of the next entry
}

func (c *memoryCursor) next() error {
	if c.at == len(c.s.entries) {
		return io.EOF
	}
	c.at++
	return nil
}

func (c *memoryCursor) pair() (key, body []byte) {
	e := c.s.entries[c.at-1]
	return c.s.keyOf(e), c.s.bodyOf(e)
}

// runWriter writes pairs to a run: lengths as uvarints, key, body.
type runWriter struct {
	to   *bufio.Writer
	head []byte
}

func (w *runWriter) add(key, body []byte) error {
	w.head = binary.AppendUvarint(w.head[:0], uint64(len(key)))
	w.head = binary.AppendUvarint(w.head, uint64(len(body)))
	for _, part := range [][]byte{w.head, key, body} {
		if _, err := w.to.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// fileCursor reads what runWriter wrote.
type fileCursor struct {
	from *bufio.Reader
	key  []byte
	body []byte
}

func (c *fileCursor) next() error {
	keyLen, err := binary.ReadUvarint(c.from)
	if err != nil {
		if errors.Is(err, io.EOF) {
			return io.EOF
		}
		return fmt.Errorf("temporary file: %w", err)
	}
	bodyLen, err := binary.ReadUvarint(c.from)
	if err == nil && (keyLen > MaxAlleleBytes+keyHead+1 || bodyLen > MaxSamples) {
		err = errors.New("a length is impossible")
	}
	if err == nil {
		c.key = grown(c.key, int(keyLen))
		c.body = grown(c.body, int(bodyLen))
		_, err = io.ReadFull(c.from, c.key)
	}
	if err == nil {
		_, err = io.ReadFull(c.from, c.body)
	}
	if err != nil {
		// A run is written by the same process; the disk lost it. An io.EOF here
		// must not pass for the end.
		return fmt.Errorf("temporary file was changed or cut off: %v", err)
	}
	return nil
}

func (c *fileCursor) pair() (key, body []byte) { return c.key, c.body }

func grown(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n)
	}
	return b[:n]
}
