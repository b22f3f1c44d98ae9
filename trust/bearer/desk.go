package bearer

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/claims"
	"github.com/candignode/candignode/trust/passport"
)

// Options is what a Desk works with.
type Options struct {
	// View gives the newest picture of what is believed; its issuers' policies say what
	// becomes of their tokens. nil: no token is taken.
	View func() *trust.View
	// Revoked gives what is revoked; nil: nothing is.
	Revoked func() *trust.Revocations
	// Provider asks the issuers. Needed for everything but telling who a JWT is of.
	Provider Provider
	// Tokens verifies JWTs of all kinds; nil: none is accepted.
	Tokens func(context.Context, passport.TokenRequest) (passport.TokenClaims, error)
	// Names are this node's own, as the aud of a token may give them. The client ids of
	// an issuer's policy count too, for its own tokens.
	Names []string
	// Linked tells whether two identities are one person's, and until when, for claims
	// whose source names its own subject. nil: no two are.
	Linked func(a, b trust.Identity) (until time.Time, linked bool)
	// Arrays takes several sources for one claim name (passports.md, row 89).
	Arrays bool

	// CacheEntries and CacheBytes bound the answers that are remembered. 0: defaults.
	CacheEntries int
	CacheBytes   int
	Log          *slog.Logger // nil: none
}

// Presented is an access token as somebody shows it.
type Presented struct {
	Token  trust.AccessToken
	Proven trust.Proven // the keys that this very request proves to hold
	// Login asks only who it is: no visas, and no question to the issuer if the token
	// itself says so.
	Login bool
}

// Credentials is what an access token gives. It belongs to whoever asked: nothing in
// it is shared. Nothing in it is verified further than said here: passports and visas
// are for the verifier.
type Credentials struct {
	// Identity is whose token it is. It is zero for an opaque token that was exchanged:
	// there only the passport says so.
	trust.Identity
	Issuer    string // the issuer that the token is of
	Passports []string
	Sets      []trust.VisaSet
	// Until is the least expiry of all that this rests on, as far as it is told, else
	// the time when the issuer must be asked again.
	Until  time.Time
	Absent []claims.Absent // claims that were pointed to and could not be had
}

// Desk turns access tokens into credentials. It is safe for concurrent use.
type Desk struct {
	options  Options
	resolver *claims.Resolver
	known    *cache[question, *record]
	targets  *cache[question, string]
	refused  *cache[question, *failure]
	flights  singleflight.Group
	gates    gates
	clock    clock
}

// New makes a Desk.
func New(o Options) *Desk {
	if o.View == nil {
		o.View = func() *trust.View { return nil }
	}
	if o.Revoked == nil {
		o.Revoked = func() *trust.Revocations { return nil }
	}
	if o.Tokens == nil {
		o.Tokens = func(context.Context, passport.TokenRequest) (passport.TokenClaims, error) {
			return passport.TokenClaims{}, &passport.Refusal{Reason: trust.ReasonUnsupportedToken, Detail: "this site verifies no access tokens"}
		}
	}
	if o.Provider == nil {
		o.Provider = noProvider{}
	}
	if o.CacheEntries <= 0 {
		o.CacheEntries = defaultCacheEntries
	}
	if o.CacheBytes <= 0 {
		o.CacheBytes = defaultCacheBytes
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	d := &Desk{
		options: o,
		known:   newCache[question, *record](o.CacheEntries, o.CacheBytes/2),
		targets: newCache[question, string](o.CacheEntries, o.CacheBytes/2),
		refused: newCache[question, *failure](maxRefusals, maxRefusals*recordBytes),
		gates:   gates{of: map[string]chan struct{}{}},
	}
	d.resolver = claims.New(claims.Options{
		View: o.View, Revoked: o.Revoked, Verify: d.verifyClaims, Fetch: d.fetchClaims, Linked: o.Linked, Arrays: o.Arrays,
	})
	return d
}

// Credentials finds out what an access token gives. The error is a *passport.Refusal
// for a token that is no good (HTTP 401), wraps ErrUnavailable if its issuer cannot be
// asked now (503), or is ctx's when the caller has gone away.
func (d *Desk) Credentials(ctx context.Context, p Presented, now time.Time) (Credentials, error) {
	moment := d.moment(now)
	record, err := d.record(ctx, moment, p)
	if err != nil {
		return Credentials{}, err
	}
	// The answer may have taken its time, and a remembered one is shared: what was
	// withdrawn meanwhile, and what this request proved, is looked at every time.
	if failure := d.holds(record, p.Token.Digest(), moment.now); failure != nil {
		return Credentials{}, failure.err()
	}
	if failure := record.provenBy(p.Proven); failure != nil {
		return Credentials{}, failure.err()
	}
	return record.credentials(), nil
}

// provenBy tells whether the request proves to hold every key that the token is bound
// to. A proof that comes with a token that is bound to none proves nothing about it,
// and whoever sent it believed otherwise (RFC 9449, section 7.1).
func (r *record) provenBy(proven trust.Proven) *failure {
	bound := false
	for _, confirmation := range r.confirmations {
		if !confirmation.MetBy(proven) {
			return refuse(trust.ReasonNotProven, "the access token is bound to a key, and this request does not prove to hold it")
		}
		bound = bound || confirmation.JKT != ""
	}
	if proven.JKT != "" && !bound {
		return refuse(trust.ReasonNotProven, "a proof (DPoP) came with an access token that is not known to be bound to its key: ask for one that is, or show it as Bearer")
	}
	return nil
}

// record gives what the token gives, out of memory or from its issuer.
func (d *Desk) record(ctx context.Context, m moment, p Presented) (*record, error) {
	q := m.question(p.Token, p.Login, "")
	if failure := m.readable(p.Token); failure != nil {
		return nil, failure.err()
	}
	if record, ok := d.known.get(q, m.now); ok {
		return record, nil
	}
	// Verified for each request by itself: one that lacks the proof must not answer
	// for one that has it.
	whose, err := d.whose(ctx, m, p)
	if err != nil {
		return nil, err
	}
	if failure, ok := d.refused.get(q, m.now); ok {
		return nil, failure.err()
	}
	return fly(ctx, d, q, func(ctx context.Context) (*record, *failure) {
		record, failure := d.obtain(ctx, m, whose, p)
		if failure == nil {
			d.known.put(q, record.fresh, record, record.size())
		}
		return record, failure
	})
}

// holds looks again at what may have changed since the record was made.
func (d *Desk) holds(r *record, token trust.Digest, now time.Time) *failure {
	revoked := d.options.Revoked()
	if revoked.Token(token) || revoked.Issuer(r.issuer) || revoked.Identity(r.identity) || r.key != "" && revoked.Key(r.key) ||
		slices.ContainsFunc(r.jtis, func(jti string) bool { return revoked.JTI(r.issuer, jti) }) {
		return refuse(trust.ReasonRevoked, "this site has revoked the access token, or whom it is of: ask its operator")
	}
	iv, ok := d.options.View().Lookup(r.issuer)
	switch {
	case !ok || iv.Policy.Tokens != r.way:
		return refuse(trust.ReasonUntrustedIssuer, "this site does not take access tokens of their issuer any more")
	case r.key != "" && !slices.ContainsFunc(iv.Keys, func(k trust.BelievedKey) bool { return k.Thumbprint == r.key && now.Before(k.Until) }):
		return refuse(trust.ReasonUnknownKey, "the key of the access token is not believed any more: ask for a new token")
	case !now.Before(r.until):
		return refuse(trust.ReasonExpired, "the access token has expired: ask its issuer for a new one")
	}
	return nil
}

// record is what was found out about one token. It is immutable and may be cached.
type record struct {
	issuer        string
	way           trust.TokenWay
	identity      trust.Identity
	key           string   // thumbprint of the key that signed the token; "" for opaque ones
	jtis          []string // of the token, as it says itself and as introspection says
	confirmations []trust.Confirmation
	passports     []string
	sets          []trust.VisaSet
	absent        []claims.Absent
	until         time.Time // the least expiry
	fresh         time.Time // when to ask again
}

// credentials are copied: whoever gets them may do with them what he likes.
func (r *record) credentials() Credentials {
	c := Credentials{
		Identity: r.identity, Issuer: r.issuer, Until: r.until,
		Passports: slices.Clone(r.passports), Sets: slices.Clone(r.sets), Absent: slices.Clone(r.absent),
	}
	for i := range c.Sets {
		c.Sets[i].Visas = slices.Clone(c.Sets[i].Visas)
		c.Until = earliest(c.Until, c.Sets[i].Until)
	}
	return c
}

// size counts the bytes that the record keeps alive.
func (r *record) size() int {
	n := recordBytes + len(r.identity.Subject)
	for _, passport := range r.passports {
		n += len(passport)
	}
	for _, set := range r.sets {
		n += recordBytes
		for _, visa := range set.Visas {
			n += len(visa.Compact()) + 64
		}
	}
	return n + recordBytes*len(r.absent)
}
