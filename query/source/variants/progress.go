package variants

import (
	"context"
	"io"
	"time"
)

// Progress is how far an import has come.
type Progress struct {
	File       string // being read; "" while the release is written
	FileNumber int    // 1-based
	Files      int
	BytesRead  int64 // of the input files as they are stored, compressed or not
	BytesTotal int64
	Records    int64 // lines read
	Written    int64 // variants written to the release
}

// progressInterval keeps a terminal readable: ten reports a second.
const progressInterval = 100 * time.Millisecond

// meter counts and reports. Its clock decides only when to report, never what
// is imported.
type meter struct {
	now      Progress
	report   func(Progress)
	reported time.Time
}

// tick reports if the last report is old enough.
func (m *meter) tick() {
	if m.report != nil && time.Since(m.reported) >= progressInterval {
		m.flush()
	}
}

func (m *meter) flush() {
	if m.report != nil {
		m.report(m.now)
		m.reported = time.Now()
	}
}

// meteredReader counts what is read and ends when ctx does.
type meteredReader struct {
	ctx   context.Context
	src   io.Reader
	meter *meter
}

func (r *meteredReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.src.Read(p)
	r.meter.now.BytesRead += int64(n)
	r.meter.tick()
	return n, err
}
