package variants

import (
	"bytes"
	"errors"
	"io"
)

var errLineTooLong = errors.New("line too long")

// lineReader gives lines out of one buffer without copying them. bufio.Scanner
// would do, but for its silence about which line was too long.
type lineReader struct {
	src        io.Reader
	buf        []byte
	start, end int
	max        int
	number     int64 // of the line given last, 1-based
	err        error
}

func newLineReader(src io.Reader, longest int) *lineReader {
	return &lineReader{src: src, buf: make([]byte, min(longest, 4*readBytes)), max: longest}
}

// next gives a line without LF or CRLF, valid until the next call. The last line
// may lack its end. An error of the source comes after the whole lines before
// it; what stands of a line is then not given.
func (l *lineReader) next() ([]byte, error) {
	searched := 0
	for {
		if i := bytes.IndexByte(l.buf[l.start+searched:l.end], '\n'); i >= 0 {
			line := l.buf[l.start : l.start+searched+i]
			l.start += searched + i + 1
			l.number++
			return bytes.TrimSuffix(line, []byte{'\r'}), nil
		}
		searched = l.end - l.start
		if l.err == io.EOF && searched > 0 {
			line := l.buf[l.start:l.end]
			l.start = l.end
			l.number++
			return bytes.TrimSuffix(line, []byte{'\r'}), nil
		}
		if l.err != nil {
			return nil, l.err
		}
		if err := l.makeRoom(); err != nil {
			return nil, err
		}
		l.fill()
	}
}

// makeRoom moves the unfinished line to the front, and doubles the buffer if
// that line fills it.
func (l *lineReader) makeRoom() error {
	if l.end < len(l.buf) {
		return nil
	}
	if l.start > 0 {
		l.end = copy(l.buf, l.buf[l.start:l.end])
		l.start = 0
		return nil
	}
	if len(l.buf) >= l.max {
		return errLineTooLong
	}
	grown := make([]byte, min(2*len(l.buf), l.max))
	copy(grown, l.buf)
	l.buf = grown
	return nil
}

// fill reads once. A source that gives nothing a hundred times is broken
// (io.Reader discourages it, and it would hang the import).
func (l *lineReader) fill() {
	for range 100 {
		n, err := l.src.Read(l.buf[l.end:])
		l.end += n
		if l.err = err; n > 0 || err != nil {
			return
		}
	}
	l.err = io.ErrNoProgress
}
