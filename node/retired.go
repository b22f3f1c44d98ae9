package node

import (
	"log/slog"
	"sync"
	"time"

	"github.com/candignode/candignode/query/source/variants"
)

// retired are releases that were replaced while questions may still hold the
// settings that name them. A question that began before the swap is answered from
// the release it began with, so each is closed only when no such question can be
// left; its file may be removed before, the open one stays readable.
type retired struct {
	log   *slog.Logger
	mu    sync.Mutex // guards what follows; never held while a release is closed
	open  map[*variants.Release]*time.Timer
	ended bool
}

// add takes over a release that no new question will use.
func (r *retired) add(source *variants.Release, after time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil {
		r.open = map[*variants.Release]*time.Timer{}
	}
	if r.ended {
		after = 0
	}
	r.open[source] = time.AfterFunc(after, func() {
		r.mu.Lock()
		delete(r.open, source)
		r.mu.Unlock()
		r.close(source)
	})
}

// end closes all of them; nobody asks any more. One that is closed by its timer
// at this moment is closed twice, which does nothing.
func (r *retired) end() {
	r.mu.Lock()
	rest := r.open
	r.open, r.ended = nil, true
	r.mu.Unlock()
	for source, timer := range rest {
		timer.Stop()
		r.close(source)
	}
}

func (r *retired) close(source *variants.Release) {
	if err := source.Close(); err != nil {
		r.log.Error("closing a replaced release", "release", source.Holdings().Release, "error", err)
	}
}
