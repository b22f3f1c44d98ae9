package broker

import "time"

// Replays is the memory of assertions, for tests of its bounds.
type Replays struct{ r replays }

// NewReplays makes an empty one.
func NewReplays() Replays { return Replays{replays{}} }

// Use gives the verdict in a word.
func (r Replays) Use(client, jti string, expires, now time.Time) string {
	return map[replayVerdict]string{fresh: "fresh", replayed: "replayed", replayFull: "full"}[r.r.use(client, jti, expires, now)]
}

// Len is how many are remembered.
func (r Replays) Len(client string) int { return len(r.r[client].used) }

// Remembered is how many passports are.
func (b *Broker) Remembered() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.memory)
}

// The bounds of the tables.
const (
	MaxWaiting = maxWaiting
	MaxCodes   = maxCodes
)

// Waiting is how many requests wait for a sign-in, Codes how many codes are out.
func (b *Broker) Waiting() int { return b.waiting.size() }

// Codes is how many codes are out.
func (b *Broker) Codes() int { return b.codes.size() }
