package members

import "time"

// Bounds, each with its reason.
const (
	// Endorsements are how many members must speak for a site, or all if there are fewer
	// (trust-protocol.md, section 4): one member alone cannot fill the network.
	Endorsements = 2
	// InviteLife is how long an invite is good: long enough for two administrators to find
	// each other, and bound to one SiteID, so that it harms nobody who leaks it.
	InviteLife = 72 * time.Hour
	// MaxInviteBytes of one invite: it travels in a mail.
	MaxInviteBytes = 4 << 10
	// MaxWordBytes of what one member says about one site; a real one takes about 450.
	MaxWordBytes = 1 << 10
	// maxWords of one member: nobody knows more sites than the network has room for
	// (trust-protocol.md, section 10).
	maxWords = 512
	// maxSites that anything is kept of.
	maxSites = 1024
	// maxInvites that are open at one time.
	maxInvites = 64
	// MaxSyncBytes of one answer, and MaxSyncRequestBytes of one request: a place of each
	// site takes about 130 bytes.
	MaxSyncBytes        = 1 << 20
	MaxSyncRequestBytes = 256 << 10
	// MaxJoinBytes of what a newcomer brings: its chain and its invite.
	MaxJoinBytes = 640 << 10
	// callTime of one call to a peer.
	callTime = 10 * time.Second
	// compareEvery is how often one random peer is compared with.
	compareEvery = 20 * time.Second
	// connectedEvery is how often new connections are looked for.
	connectedEvery = time.Second
	// pushTo peers at once what is new: rare news, and comparing brings it to the rest.
	pushTo = 8
	// maxRounds bounds how often one comparison asks for more.
	maxRounds = 16
	// skew that another site's clock is forgiven.
	skew = 120 * time.Second
	// maxFounders of a network.
	maxFounders = 64
	// maxNetworkName in bytes.
	maxNetworkName = 64
	// maxAddrs in an invite.
	maxAddrs = 4
)
