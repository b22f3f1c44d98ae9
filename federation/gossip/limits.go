package gossip

import "time"

// All bounds, each with its reason.
const (
	// maxMessage keeps a head and its signature in one packet with room for
	// memberlist's own news (trust-protocol.md, section 9).
	maxMessage = 512
	// packetSize is what memberlist may put in one packet; with its label and
	// checksum it fits a QUIC datagram on the smallest path.
	packetSize = 1100
	// maxPacket is the largest packet that is looked at.
	maxPacket = 1500
	// maxLabel leaves most of a packet to what it carries.
	maxLabel = 64

	// maxQueued is how many messages wait to be passed on; beyond that those go
	// first that were sent most often already.
	maxQueued = 512

	// maxStates is how many members a peer may tell of in one exchange: the
	// network is flat up to about 500 sites (trust-protocol.md, section 10).
	// memberlist itself would allocate for a million.
	maxStates = 4096
	// maxStream bounds what one exchange may send: a member takes about 200
	// bytes.
	maxStream = 1 << 20
	// streamTime bounds one exchange and one attempt at it.
	streamTime = 5 * time.Second
	// maxLogText cuts memberlist's log lines, which quote what peers sent.
	maxLogText = 300

	// joinInterval is how often members that are missing are asked, for ever:
	// memberlist gives up on the dead.
	joinInterval = 5 * time.Second
	// aloneInterval is the same while nobody is there: at the start the
	// connections come up within moments.
	aloneInterval = 500 * time.Millisecond
	// joinsAtOnce bounds the exchanges of one round.
	joinsAtOnce = 8
	// leaveTime is how long the others may take to hear that this node stops.
	leaveTime = time.Second
)

// memberlist's pace (trust-protocol.md, section 3).
const (
	gossipInterval = 500 * time.Millisecond
	gossipNodes    = 4
	// retransmitMult: 4, the default, left 0.8 of 5 nodes unreached at a loss of
	// 20 %.
	retransmitMult = 8
	probeInterval  = 2 * time.Second
	probeTimeout   = time.Second
	// forgetDead is how long a node that was declared dead is remembered as
	// such. It is short, because anybody may declare anybody dead, and only
	// after it can a victim of the highest incarnation number come back.
	forgetDead = 15 * time.Second
)
