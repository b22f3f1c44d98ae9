package broker

import "time"

// Every bound, with its reason.
const (
	// defaultPassportTTL covers one question and its retries; each target gets a
	// passport of its own, so a new one costs nothing.
	defaultPassportTTL = 10 * time.Minute
	maxPassportTTL     = time.Hour
	minPassportTTL     = 30 * time.Second

	// keep makes a burst of questions one passport per target, and one record.
	keep = time.Minute

	// maxRemembered bounds the memory: a passport of ten visas takes 17 kB; one person's
	// burst needs one for each of 50 sites.
	maxRemembered = 1000

	// maxVisas with the link before them is what trust/passport reads of one request.
	maxVisas = 199

	// maxPassportBytes is what trust/passport reads of one passport.
	maxPassportBytes = 1 << 20

	// maxParameters: RFC 8693 knows nine, client authentication three more; resource
	// and audience may be there maxTargets times.
	maxParameters = 64
	maxTargets    = 16

	// maxTarget bounds a resource, as other software bounds a URL.
	maxTarget = 1024

	// maxClientID bounds a client_id; longer ones are not seen anywhere.
	maxClientID = 255

	// maxSubjectToken: access tokens are 1 to 8 kB; one full of groups a few more.
	maxSubjectToken = 64 << 10

	// maxAssertion bounds a client assertion: an RSA signature of 8192 bits takes 1.4 kB.
	maxAssertion = 8 << 10

	// maxAssertionLife is how long a client assertion may be good for, and so how long its
	// jti is remembered.
	maxAssertionLife = 5 * time.Minute

	// leeway is for clocks that differ; exp has none.
	leeway = 30 * time.Second

	// maxJTI bounds a jti.
	maxJTI = 255

	// maxReplays is per client: more than thirteen assertions a second for five minutes
	// is no client that works right.
	maxReplays = 4096

	// maxSources and maxClaimName bound what UserInfo points to: a site knows a handful of
	// committees.
	maxSources   = 32
	maxClaimName = 255

	// maxState and maxNonce bound what a client sends along to find its own again: those
	// that put a signed state there need about 1 kB.
	maxState = 2 << 10
	maxNonce = 512

	// maxWaiting bounds the requests of clients that wait for somebody to sign in, each
	// 3 kB at most. Anybody may begin one.
	maxWaiting = 2048
	// waitLife is how long signing in may take, as node/session has it.
	waitLife = 10 * time.Minute

	// maxCodes bounds the codes that are out, and those used whose tokens hold.
	maxCodes = 4096
	// codeLife: a client redeems at once; RFC 6749, section 4.1.2, has ten minutes as
	// the longest.
	codeLife = time.Minute

	// accessLife is how long a client's access token lasts, if the session does: with
	// the session it ends anyway, and a client can send the browser again.
	accessLife = time.Hour
	// idTokenTTL is how long an ID Token may be shown as news of a sign-in.
	idTokenTTL = 5 * time.Minute

	// userInfoTTL is how long a signed UserInfo response lasts.
	userInfoTTL = 5 * time.Minute

	// recording bounds the wait for a record.
	recording = 10 * time.Second
)
