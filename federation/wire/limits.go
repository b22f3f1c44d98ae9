package wire

import "time"

// All bounds on what comes from outside, each with its reason. A peer is
// pinned, so it is known, but it may be broken or taken over: it must be able to
// hurt nobody but itself.
const (
	// A forwarded question carries the caller's passports (1 MiB together at
	// most) inside an assertion.
	maxQueryRequest = 1<<20 + 64<<10
	// An answer holds one row per dataset of one site; the largest that were
	// thought of are a tenth of this.
	maxQueryResponse = 4 << 20
	// Evidence that was missed: heads, records and key sets (trust-protocol.md,
	// section 9).
	maxSync = 1 << 20
	// Any other kind of call a node adds.
	maxOther = 1 << 20

	// maxKind is the longest name of a kind of call.
	maxKind = 16
	// maxHello bounds the first frame of a connection; a full one has 201 bytes.
	maxHello = 256
	// maxNetwork is the longest id of a network; a digest has 43 characters.
	maxNetwork = 64
	// maxSoftware is the longest name and version a peer may give itself.
	maxSoftware = 64

	// maxStreams is how many streams a peer may have open on one connection, and
	// how many of one peer's are worked on at once, over both its connections.
	maxStreams = 32
	// maxResting is how many goroutines of one connection wait for its next
	// stream: as many questions as a site usually has from another at once.
	maxResting = 4
	// maxPending is how many connections of one peer may be between the
	// handshake and the hello.
	maxPending = 4

	// maxLobby strangers may be in the lobby at once, each for lobbyTime and maxLobbyStreams
	// streams, and lobbyPerSecond come in: a newcomer that finds it full tries again.
	maxLobby        = 4
	lobbyTime       = 10 * time.Second
	maxLobbyStreams = 64
	lobbyPerSecond  = 2

	// requestTime is how long a peer may take to send one whole request: 1 MiB
	// at 1 Mbit/s. Slower is a slowloris.
	requestTime = 10 * time.Second
	// responseTime is how long a peer may take to fetch one whole response.
	responseTime = 30 * time.Second
	// maxCallTime ends a handler whose caller gave no deadline, or a silly one.
	maxCallTime = 60 * time.Second
	// gossipStreamTime is the longest life of a gossip stream; an exchange of
	// member states takes milliseconds.
	gossipStreamTime = 30 * time.Second

	// helloTime is how long both sides may take to say who they are.
	helloTime = 5 * time.Second
	// handshakeTime ends a handshake in which nothing more arrives.
	handshakeTime = 5 * time.Second
	// dialTime ends one whole attempt: name, handshake and hello.
	dialTime = 12 * time.Second
	// idleTime ends a connection on which nothing arrives; keepAlive lets
	// several beats be lost first, and stays under the 20 s after which a
	// firewall forgets an outgoing UDP flow.
	idleTime  = 30 * time.Second
	keepAlive = 10 * time.Second
	// drainTime is how long running handlers may finish when the node stops.
	drainTime = 5 * time.Second
	// lingerTime lies between the last response and the end of its connection.
	lingerTime = 300 * time.Millisecond

	// firstBackoff and lastBackoff bound the pause between attempts to reach a
	// peer: quick after a restart, and no burden on one that is down for days.
	firstBackoff = 250 * time.Millisecond
	lastBackoff  = 15 * time.Second

	// maxQueued datagrams wait per peer while no connection is up, for at most
	// queueTime: a handshake's worth of gossip. Older gossip is stale.
	maxQueued = 64
	queueTime = 15 * time.Second
	// maxDatagram is the largest datagram sent: QUIC's smallest path carries
	// 1200 bytes, less its own headers.
	maxDatagram = 1150
	// maxInbox is how many received datagrams wait for the reader, of all peers;
	// beyond that each peer's connection keeps its own.
	maxInbox = 64

	// streamWindow and connectionWindow bound what one peer can make this node
	// buffer; a full response crosses a 40 ms line in seven windows.
	streamWindow     = 1 << 20
	connectionWindow = 8 << 20

	// handshakesPerSecond and handshakeBurst: beyond that rate a stranger must
	// first prove its address (a Retry), so that forged source addresses cost
	// this node no signatures.
	handshakesPerSecond = 50
	handshakeBurst      = 100
	// warningsPerMinute bounds log lines that strangers can cause.
	warningsPerMinute = 30
)

// bounds are the limits of one kind of call.
type bounds struct {
	request, response int // bytes
	// calls is how many calls of this kind are in flight with one peer in one
	// direction. The kinds together stay within maxStreams, so that slow
	// questions cannot hold up evidence or gossip.
	calls int
}

func boundsOf(kind Kind) bounds {
	switch kind {
	case "query":
		return bounds{maxQueryRequest, maxQueryResponse, 20}
	case "sync":
		return bounds{maxSync, maxSync, 4} // trust-protocol.md, section 9
	case kindGossip:
		return bounds{0, 0, 4}
	}
	return bounds{maxOther, maxOther, 4}
}
