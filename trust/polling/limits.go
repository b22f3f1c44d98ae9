package polling

import "time"

// Bounds, each with its reason.
const (
	// pollEvery: an issuer is asked about one visa at most once in it (GA4GH AAI 1.2,
	// Passport Clearinghouses, 6).
	pollEvery = time.Hour
	// confirmFor is how long a confirmation lasts. It is longer than pollEvery, so
	// that polling every hour leaves no gap: the next poll starts up to spread and tick
	// late and takes up to pollTime, and a first retry still fits.
	confirmFor = pollEvery + 6*time.Minute
	// spread is by how much polls in the background start later at random: visas
	// that were confirmed together are not asked about together for ever.
	spread = 2 * time.Minute
	// tick is how often it is looked whether a poll is due.
	tick = 15 * time.Second
	// pollTime for one poll; the fetcher's own bound is 5 s.
	pollTime = 10 * time.Second
	// firstRetry after a poll without an answer; it doubles up to lastRetry, and up to
	// half of it is added at random, so that each delay is longer than the one before.
	firstRetry = time.Minute
	lastRetry  = time.Hour
	// idleFor without a use, nobody needs a visa to be confirmed any more: somebody
	// who comes back waits for one poll.
	idleFor = 2 * time.Hour
	// keepRefused is how long it is at least remembered that an issuer took a visa
	// back. Few visas last so long, and the issuer is asked once more about those.
	keepRefused = 400 * 24 * time.Hour

	// defaultVisas and defaultBytes that are kept in memory at one time; a visa is
	// about 1 kB. What does not fit is forgotten, but for what the store knows of it.
	defaultVisas = 2000
	defaultBytes = 16 << 20
	// entryBytes besides the tokens themselves.
	entryBytes = 1 << 10
	// maxFlights polls are under way at one time, and maxFlightsOf one issuer: an
	// issuer that answers slowly must not keep the others from being asked, and a flood
	// of visas must not become one at their issuer.
	maxFlights   = 64
	maxFlightsOf = 8
	// maxReplacements and maxReplacedBytes of one answer: what a passport may hold.
	maxReplacements  = 100
	maxReplacedBytes = 256 << 10
)
