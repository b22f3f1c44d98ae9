package variants

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// bgzfEnd is the empty block that ends every bgzf file (SAM specification,
// section 4.1.2). Without it the file lost its tail.
const bgzfEnd = "\x1f\x8b\x08\x04\x00\x00\x00\x00\x00\xff\x06\x00BC\x02\x00\x1b\x00\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// input is one VCF file being read line by line, whatever its compression.
type input struct {
	name string
	file *os.File
	text *lineReader
}

// openInput finds out by its first bytes what a file is; its name says nothing.
func openInput(ctx context.Context, name string, m *meter) (*input, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("input: %w", err)
	}
	in := &input{name: name}
	if !info.Mode().IsRegular() {
		// A release is made from what can be read twice: headers first, then rows.
		return nil, in.whole("is not a regular file; store it first, then import it")
	}
	if in.file, err = os.Open(name); err != nil {
		return nil, fmt.Errorf("input: %w", err)
	}
	if err := in.start(ctx, info.Size(), m); err != nil {
		in.close()
		return nil, err
	}
	return in, nil
}

func (in *input) start(ctx context.Context, size int64, m *meter) error {
	head := make([]byte, 18)
	n, err := in.file.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("input: %w", err)
	}
	head = head[:n]
	raw := &meteredReader{ctx: ctx, src: in.file, meter: m}
	var text io.Reader = raw
	switch {
	case n == 0:
		return in.whole("is empty")
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		if isBGZF(head) {
			if err := in.checkEnd(size); err != nil {
				return err
			}
		}
		unpacked, err := gzip.NewReader(bufio.NewReaderSize(raw, readBytes))
		if err != nil {
			return in.unreadable(err)
		}
		text = unpacked
	case bytes.HasPrefix(head, []byte("BCF")):
		return in.whole("is BCF; convert it with: bcftools view -O z")
	}
	in.text = newLineReader(text, MaxLine)
	return nil
}

// isBGZF looks for the extra field BC that marks a gzip file as bgzf.
func isBGZF(head []byte) bool {
	return len(head) >= 18 && head[3]&4 != 0 && head[12] == 'B' && head[13] == 'C' && head[14] == 2 && head[15] == 0
}

func (in *input) checkEnd(size int64) error {
	tail := make([]byte, len(bgzfEnd))
	if size >= int64(len(tail)) {
		if _, err := in.file.ReadAt(tail, size-int64(len(tail))); err != nil {
			return fmt.Errorf("input: %w", err)
		}
	}
	if string(tail) != bgzfEnd {
		return in.whole("is cut off: the last block of the bgzf file is missing; copy it again")
	}
	return nil
}

// next gives the next line without its end; it is valid until the next call.
func (in *input) next() ([]byte, error) {
	line, err := in.text.next()
	switch {
	case err == nil && bytes.IndexByte(line, 0) >= 0:
		return nil, in.bad("holds a NUL byte; this is not text")
	case err == nil || err == io.EOF:
		return line, err
	case errors.Is(err, errLineTooLong):
		in.text.number++ // the line that could not be read
		return nil, in.bad("the line is longer than %d bytes", MaxLine)
	}
	return nil, in.unreadable(err)
}

// bad makes an error about the current line.
func (in *input) bad(format string, args ...any) error {
	return &InputError{File: in.name, Line: in.text.number, Reason: fmt.Sprintf(format, args...)}
}

// whole makes an error about the file.
func (in *input) whole(format string, args ...any) error {
	return &InputError{File: in.name, Reason: fmt.Sprintf(format, args...)}
}

// unreadable tells damaged compression from everything else that stops a read.
func (in *input) unreadable(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("import stopped: %w", err)
	}
	line := int64(0)
	if in.text != nil {
		line = in.text.number + 1
	}
	return &InputError{File: in.name, Line: line, Reason: fmt.Sprintf("cannot be read on, the file is damaged or cut off: %v", err), Err: err}
}

func (in *input) close() { _ = in.file.Close() }
