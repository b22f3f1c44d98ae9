package session

import "time"

// Every bound on what comes from outside, and on what is kept for it, with its
// reason.
const (
	// maxPending bounds the sign-ins under way. Anybody may begin one, so the oldest
	// give way: refusing new ones would let a stranger keep everybody out for as long
	// as an entry lives. An entry takes about 500 bytes.
	maxPending = 4096
	// pendingLife is how long somebody may take at the issuer's own page: long enough
	// for a forgotten password, short enough that a stolen state is of no use.
	pendingLife = 10 * time.Minute

	// defaultLife of a session is a working day, after which people sign in again.
	defaultLife = 12 * time.Hour
	// defaultIdle ends a session that was left open on somebody's screen.
	defaultIdle = 4 * time.Hour
	// defaultPerPerson is a handful of computers and of scripts; one more ends the
	// one that was used longest ago.
	defaultPerPerson = 20
	// perClient is how many tokens one client may hold of one person: a few browsers.
	// One more ends its oldest, so that a client's sign-ins never use up the places of
	// the person's own.
	perClient = 3
	// touchEvery bounds how often the use of a session is written down: idleness is
	// known that exactly, and a question costs no write of its own.
	touchEvery = 5 * time.Minute

	// refreshAhead renews an access token before it runs out, so that it holds for
	// the question that it is about to be used for.
	refreshAhead = 30 * time.Second
	// refreshTimeout bounds a renewal, which goes on when the caller hangs up: the
	// issuer may have replaced the refresh token already.
	refreshTimeout = 15 * time.Second
	// assumedLife is taken for an access token whose issuer does not say how long it
	// lasts (RFC 6749, section 5.1, only recommends it).
	assumedLife = 5 * time.Minute

	// maxMaterial bounds what one session keeps: passports of two hundred visas
	// (about 250 kB), and tokens beside them.
	maxMaterial = 500 << 10
	// maxCode and maxIssuer bound what an issuer's redirect brings. The longest codes
	// seen are about 1.5 kB; URL claims end at 255 (GA4GH Passport 1.2).
	maxCode   = 4 << 10
	maxIssuer = 255
	// maxReturn bounds the path to come back to.
	maxReturn = 200
)
