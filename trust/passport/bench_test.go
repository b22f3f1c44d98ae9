package passport

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"math/big"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/passport/passporttest"
)

// manyCallers take turns, each with tokens of their own, so that neither the
// processor's caches nor the lists of this package see the same ones again soon.
const manyCallers = 1000

// BenchmarkVerifyPassport measures goals 3, 4, 5 and 13 of the performance page. The
// ways are run in turn, round by round, and the medians of the computing time compared,
// because absolute times drift on a shared machine:
//
//	full/raw        whole verification over the bare signature checks     at most 2.0
//	cached/sha256   a remembered passport over the SHA-256 of it          at most 1.5
//	same/sha256     the same passport again and again                     no goal
//	verdicts/sha256 with a verdict on each visa, as whoami asks           no goal
//	full/cached     at least 50
//	issuer/full     refusing an unknown issuer over accepting             at most 0.1
//	kid/full        refusing an unknown kid over accepting                at most 0.1
//	B/visa          memory of a remembered visa, with its share in its passport
//	                (its verdict alone: TestMemoryOfARememberedVisa)
//
// Signing for 50 visas takes a minute or more beforehand.
func BenchmarkVerifyPassport(b *testing.B) {
	for _, algorithm := range []string{jose.RS256, jose.ES256} {
		for _, visas := range []int{1, 10, 50} {
			b.Run(fmt.Sprintf("%s/%d", algorithm, visas), func(b *testing.B) {
				contestants(newContest(b, algorithm, func(c *contest, n int) []made { return c.grants(n, visas) }))(b)
			})
		}
	}
}

// BenchmarkTogether measures the same of visas that matter to one another, which is
// decided anew at every request: a grant on condition of an affiliation, once of one
// name and once of two that a visa links.
func BenchmarkTogether(b *testing.B) {
	for _, algorithm := range []string{jose.RS256, jose.ES256} {
		b.Run(algorithm+"/conditional", func(b *testing.B) {
			contestants(newContest(b, algorithm, (*contest).conditional))(b)
		})
		b.Run(algorithm+"/linked", func(b *testing.B) {
			contestants(newContest(b, algorithm, (*contest).linked))(b)
		})
	}
}

func contestants(c *contest) func(*testing.B) {
	return func(b *testing.B) {
		for _, way := range c.ways() {
			b.Run(way.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					way.run()
				}
			})
		}
		b.Run("ratios", func(b *testing.B) {
			defer stay()()
			ways := c.ways()
			for b.Loop() {
				c.round(ways)
			}
			c.report(b)
		})
	}
}

// contest is many callers' passports and all that is measured with them.
type contest struct {
	b       *testing.B
	w       *world
	callers []bencher
	warm    *Verifier
	memory  float64 // bytes that warm took for each visa
	took    map[string][]time.Duration
}

// bencher is one caller.
type bencher struct {
	token         string
	stranger, kid string // the same passport of an unknown issuer, and with an unknown key
	checks        []signed
}

// made is a visa and who made it.
type made struct {
	token string
	by    *passporttest.Issuer
}

type way struct {
	name string
	run  func()
}

func newContest(b *testing.B, algorithm string, visasOf func(*contest, int) []made) *contest {
	broker, dac, institute := crypto.Signer(brokerKey()), crypto.Signer(dacKey()), crypto.Signer(strangerKey())
	if algorithm == jose.ES256 {
		broker, dac, institute = newEC(), newEC(), newEC()
	}
	c := &contest{b: b, w: newWorldOf(b, broker, dac, institute, broker), took: map[string][]time.Duration{}}
	c.w.policy(brokerURL, func(p *trust.IssuerPolicy) {
		p.Kinds = []trust.Kind{trust.KindPassport, trust.KindVisa}
		p.VisaTypes, p.Sources = []string{trust.VisaLinkedIdentities}, []string{brokerURL}
		p.LinksFor = []string{dacURL, instituteURL}
	})
	c.w.policy(dacURL, func(p *trust.IssuerPolicy) {
		p.VisaTypes = []string{trust.VisaControlledAccessGrants, trust.VisaAffiliationAndRole}
	})
	rotated, err := passporttest.FromKey(brokerURL, "unknown", broker)
	if err != nil {
		b.Fatal(err)
	}
	c.callers = make([]bencher, manyCallers)
	var group sync.WaitGroup
	for part := range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for n := part; n < manyCallers; n += runtime.GOMAXPROCS(0) {
				c.callers[n] = c.caller(n, visasOf(c, n), rotated)
			}
		})
	}
	group.Wait()
	c.remember()
	return c
}

func (c *contest) caller(n int, visas []made, rotated *passporttest.Issuer) bencher {
	claims := passporttest.PassportClaims{Subject: fmt.Sprintf("researcher-%06d", n), IssuedAt: now.Add(-time.Minute), Expires: now.Add(2 * time.Hour)}
	one := bencher{}
	for _, visa := range visas {
		claims.Visas = append(claims.Visas, visa.token)
		one.checks = append(one.checks, bare(visa.token, visa.by))
	}
	one.token, one.stranger, one.kid = c.w.broker.Passport(claims), c.w.stranger.Passport(claims), rotated.Passport(claims)
	one.checks = append(one.checks, bare(one.token, c.w.broker))
	return one
}

// remember fills the memory of a verifier of the size that a node has.
func (c *contest) remember() {
	heap := func() float64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	before, visas := heap(), 0
	c.warm = New(Options{View: func() *trust.View { return c.w.view }, CacheEntries: 10_000, CacheBytes: 64 << 20})
	for i := range c.callers {
		c.verify(c.warm, c.callers[i].token, "")
		visas += len(c.callers[i].checks) - 1
	}
	c.memory = (heap() - before) / float64(visas)
	if n := len(c.warm.passports.entries); n != manyCallers {
		c.b.Fatalf("%d passports are remembered", n)
	}
}

func subject(n int, at string) string { return fmt.Sprintf("researcher-%06d@%s", n, at) }

func (c *contest) grants(n, visas int) []made {
	all := make([]made, visas)
	for i := range all {
		all[i] = made{c.w.grant(func(v *passporttest.VisaClaims) {
			v.Subject, v.Value, v.ID = subject(n, "dac"), fmt.Sprint(dataset, i), fmt.Sprintf("a0d1c5f2-7a53-4f0a-%04d-%012d", n, i)
		}), c.w.dac}
	}
	return all
}

// conditional is a grant that wants an affiliation of the same person, whom the
// committee and the institute know by the same name.
func (c *contest) conditional(n int) []made {
	sub := func(v *passporttest.VisaClaims) { v.Subject = subject(n, "dac") }
	return []made{
		{c.w.conditional(clauses{{faculty}}, sub), c.w.dac},
		{c.w.grant(sub, func(v *passporttest.VisaClaims) {
			v.Type, v.Value, v.By = trust.VisaAffiliationAndRole, "faculty@institute.example", "so"
		}), c.w.dac},
	}
}

// linked is the same, but the institute has a name of its own for the person, and the
// broker says that the caller is both.
func (c *contest) linked(n int) []made {
	return []made{
		{c.w.conditional(clauses{{faculty}}, func(v *passporttest.VisaClaims) { v.Subject = subject(n, "dac") }), c.w.dac},
		{c.w.affiliation(func(v *passporttest.VisaClaims) { v.Subject = subject(n, "institute") }), c.w.institute},
		{c.w.link(nil, fmt.Sprintf("researcher-%06d", n),
			trust.Identity{Issuer: dacURL, Subject: subject(n, "dac")}, trust.Identity{Issuer: instituteURL, Subject: subject(n, "institute")}), c.w.broker},
	}
}

// verify wants every visa to be accepted, or the passport to be refused for reason.
func (c *contest) verify(v *Verifier, token string, reason trust.Reason) {
	verdict, err := v.Verify(context.Background(), Request{Passports: []string{token}, Now: now, CallerOnly: true})
	if reason == "" && (err != nil || len(verdict.Caller.Visas) != len(c.callers[0].checks)-1) {
		c.b.Fatal(err, len(verdict.Caller.Visas))
	}
	if reason != "" && reasonOf(c.b, err) != reason {
		c.b.Fatal(err)
	}
}

// turns gives one caller after the other, beginning somewhere of its own: what one
// way has just read must not be at hand for the next.
func (c *contest) turns(begin int) func() *bencher {
	n := begin
	return func() *bencher {
		n = (n + 1) % manyCallers
		return &c.callers[n]
	}
}

func (c *contest) ways() []way {
	raw, full, cached, told, hashed := c.turns(0), c.turns(100), c.turns(200), c.turns(400), c.turns(600)
	issuer, kid := c.turns(800), c.turns(900)
	return []way{
		{"raw", func() { c.bare(raw()) }},
		{"full", func() {
			c.verify(New(Options{View: func() *trust.View { return c.w.view }}), full().token, "")
		}},
		{"cached", func() { c.verify(c.warm, cached().token, "") }},
		{"cached_with_verdicts", func() {
			if _, err := c.warm.Verify(context.Background(), Request{Passports: []string{told().token}, Now: now}); err != nil {
				c.b.Fatal(err)
			}
		}},
		{"same", func() { c.verify(c.warm, c.callers[0].token, "") }},
		{"same_sha256", func() { trust.DigestOfString(c.callers[0].token) }},
		{"sha256", func() { trust.DigestOfString(hashed().token) }},
		{"unknown_issuer", func() { c.verify(c.warm, issuer().stranger, trust.ReasonUntrustedIssuer) }},
		{"unknown_kid", func() { c.verify(c.warm, kid().kid, trust.ReasonUnknownKey) }},
	}
}

// bare is what nobody can do without: the SHA-256 and the check of each signature.
func (c *contest) bare(caller *bencher) {
	for i := range caller.checks {
		if !caller.checks[i].verify() {
			c.b.Fatal("a bad signature")
		}
	}
}

// signed is one token as bare crypto sees it.
type signed struct {
	input     string
	signature []byte
	key       crypto.PublicKey
}

func bare(token string, by *passporttest.Issuer) signed {
	dot := strings.LastIndexByte(token, '.')
	signature, _ := base64.RawURLEncoding.DecodeString(token[dot+1:])
	return signed{token[:dot], signature, by.Keys()[0].Public}
}

func (s *signed) verify() bool {
	sum := trust.DigestOfString(s.input)
	switch key := s.key.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], s.signature) == nil
	case *ecdsa.PublicKey:
		r, t := new(big.Int).SetBytes(s.signature[:32]), new(big.Int).SetBytes(s.signature[32:])
		return ecdsa.Verify(key, sum[:], r, t)
	}
	return false
}

// round runs every way in turn; the short ones many times over, because the
// clock is coarse.
func (c *contest) round(ways []way) {
	const short = 64
	for _, way := range ways {
		times := short
		if way.name == "raw" || way.name == "full" {
			times = 1
		}
		began := ownTime()
		for range times {
			way.run()
		}
		c.took[way.name] = append(c.took[way.name], (ownTime()-began)/time.Duration(times))
	}
}

func (c *contest) report(b *testing.B) {
	median := func(name string) float64 {
		all := slices.Sorted(slices.Values(c.took[name]))
		return float64(all[len(all)/2])
	}
	b.ReportMetric(median("full")/median("raw"), "full/raw")
	b.ReportMetric(median("cached")/median("sha256"), "cached/sha256")
	b.ReportMetric(median("same")/median("same_sha256"), "same/sha256")
	b.ReportMetric(median("cached_with_verdicts")/median("sha256"), "verdicts/sha256")
	b.ReportMetric(median("full")/median("cached"), "full/cached")
	b.ReportMetric(median("unknown_issuer")/median("full"), "issuer/full")
	b.ReportMetric(median("unknown_kid")/median("full"), "kid/full")
	b.ReportMetric(c.memory, "B/visa")
	b.ReportMetric(0, "ns/op")
}
