package node

import "time"

// Bounds of the daemon itself, each with its reason.
const (
	// drainTime is how long a stopping node waits for running questions. It is
	// longer than the default question deadline (10 s), so that an orderly stop
	// loses no answer, and shorter than systemd's patience (90 s).
	drainTime = 15 * time.Second
	// readyTimeout bounds how long /readyz waits for a disk that failed before.
	readyTimeout = 2 * time.Second
	// headerTimeout cuts clients that send their headers slowly.
	headerTimeout = 5 * time.Second
	// bodyTimeout cuts clients that send their body slowly; a passport of the
	// greatest size arrives within it over a 1 Mbit/s line.
	bodyTimeout = 15 * time.Second
	// idleTimeout ends keep-alive connections that nobody uses.
	idleTimeout = 2 * time.Minute
	// heardMessages is how many gossip messages may wait for the trust desk.
	// When it is full they are dropped: gossip repeats itself.
	heardMessages = 1024
	// maxDetail bounds, in bytes, the names of changed keys in an audit record.
	maxDetail = 500
	// peerQuestionTime is how long a peer's question runs at most: the longest that
	// federation/wire lets a call take. Own callers' have limits.query_timeout.
	peerQuestionTime = time.Minute
	// sweepEvery is how often what is over is taken out of the state file.
	sweepEvery = 10 * time.Minute
	// selfCheckTime bounds one fetch of the site's own key set, and selfCheckAgain is
	// how long after a failure it is tried again: a proxy in front may start later.
	selfCheckTime  = 10 * time.Second
	selfCheckAgain = 5 * time.Minute
	maxOwnKeySet   = 64 << 10
	// needsTick is how often connected peers are looked over for one that is due to say
	// what it needs, and needsTime how long it may take to: a new connection's first
	// question soon knows.
	needsTick = 2 * time.Second
	needsTime = 5 * time.Second
	// retireMargin is what a question may outlive its deadline by, while it gives up.
	retireMargin = 5 * time.Second
)
