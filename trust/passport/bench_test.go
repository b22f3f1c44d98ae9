package passport

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/passport/passporttest"
)

// signed is one token's signing input and signature, as bare crypto sees it.
type signed struct {
	input, signature []byte
	key              crypto.PublicKey
}

func bare(token string, key crypto.PublicKey) signed {
	dot := strings.LastIndexByte(token, '.')
	signature, _ := base64.RawURLEncoding.DecodeString(token[dot+1:])
	return signed{[]byte(token[:dot]), signature, key}
}

func (s signed) verify() bool {
	sum := sha256.Sum256(s.input)
	switch key := s.key.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], s.signature) == nil
	case *ecdsa.PublicKey:
		r, t := new(big.Int).SetBytes(s.signature[:32]), new(big.Int).SetBytes(s.signature[32:])
		return ecdsa.Verify(key, sum[:], r, t)
	}
	return false
}

// BenchmarkVerifyPassport measures goals 3, 4 and 5 of the performance page. The
// ways are run in turn, round by round, and the medians compared, because
// absolute times drift on a shared machine:
//
//	full/raw        whole verification over the bare signature checks  at most 2.0
//	cached/sha256   a remembered passport over the SHA-256 of it       at most 1.5
//	verdicts/sha256 the same with a verdict on each visa, as whoami asks  no goal
//	full/cached     at least 50
//	issuer/full     refusing an unknown issuer over accepting          at most 0.1
//	kid/full        refusing an unknown kid over accepting             at most 0.1
func BenchmarkVerifyPassport(b *testing.B) {
	for _, algorithm := range []string{"RS256", "ES256"} {
		for _, visas := range []int{1, 10, 50} {
			b.Run(fmt.Sprintf("%s/%d", algorithm, visas), func(b *testing.B) {
				c := newContest(b, algorithm, visas)
				for _, way := range c.ways() {
					b.Run(way.name, func(b *testing.B) {
						b.ReportAllocs()
						for b.Loop() {
							way.run()
						}
					})
				}
				b.Run("ratios", func(b *testing.B) {
					for b.Loop() {
						c.round()
					}
					c.report(b)
				})
			})
		}
	}
}

// contest is one passport and all that is measured with it.
type contest struct {
	b             *testing.B
	w             *world
	token         string
	stranger, kid string // the same passport of an unknown issuer, and with an unknown key
	checks        []signed
	warm          *Verifier
	took          map[string][]time.Duration
}

type way struct {
	name string
	run  func()
}

func newContest(b *testing.B, algorithm string, n int) *contest {
	w := newWorld(b)
	brokerSigner, dacSigner := crypto.Signer(brokerKey()), crypto.Signer(dacKey())
	if algorithm == "ES256" {
		brokerSigner, dacSigner = newEC(), newEC()
		w.broker, _ = passporttest.FromKey(brokerURL, "rsa1", brokerSigner)
		w.dac, _ = passporttest.FromKey(dacURL, "rsa1", dacSigner)
		w.change(brokerURL, func(iv *trust.IssuerView) { *iv = w.broker.View(iv.Policy, now.Add(time.Hour)) })
		w.change(dacURL, func(iv *trust.IssuerView) { *iv = w.dac.View(iv.Policy, now.Add(time.Hour)) })
	}
	c := &contest{b: b, w: w, took: map[string][]time.Duration{}}
	var visas []string
	for i := range n {
		visas = append(visas, w.grant(func(v *passporttest.VisaClaims) {
			v.Value, v.ID = fmt.Sprint(dataset, i), fmt.Sprintf("a0d1c5f2-7a53-4f0a-9f41-%012d", i)
		}))
		c.checks = append(c.checks, bare(visas[i], dacSigner.Public()))
	}
	c.token = w.passport(visas...)
	c.checks = append(c.checks, bare(c.token, brokerSigner.Public()))
	claims := passporttest.PassportClaims{Subject: "researcher", IssuedAt: now, Expires: now.Add(time.Hour), Visas: visas}
	unknown, _ := passporttest.FromKey("https://stranger.example", "rsa1", brokerSigner)
	c.stranger = unknown.Passport(claims)
	rotated, _ := passporttest.FromKey(brokerURL, "unknown", brokerSigner)
	c.kid = rotated.Passport(claims)
	c.warm = c.fresh()
	return c
}

func (c *contest) fresh() *Verifier {
	return New(Options{View: func() *trust.View { return c.w.view }})
}

func (c *contest) ways() []way {
	verify := func(v *Verifier, token string, good bool) {
		verdict, err := v.Verify(context.Background(), Request{Passports: []string{token}, Now: now, CallerOnly: true})
		if (err == nil) != good || good && len(verdict.Caller.Visas) != len(c.checks)-1 {
			c.b.Fatal(err)
		}
	}
	verify(c.warm, c.token, true)
	text := []byte(c.token)
	return []way{
		{"raw", func() {
			for _, check := range c.checks {
				if !check.verify() {
					c.b.Fatal("a bad signature")
				}
			}
		}},
		{"full", func() { verify(c.fresh(), c.token, true) }},
		{"cached", func() { verify(c.warm, c.token, true) }},
		{"cached_with_verdicts", func() {
			if _, err := c.warm.Verify(context.Background(), Request{Passports: []string{c.token}, Now: now}); err != nil {
				c.b.Fatal(err)
			}
		}},
		{"sha256", func() { sha256.Sum256(text) }},
		{"unknown_issuer", func() { verify(c.warm, c.stranger, false) }},
		{"unknown_kid", func() { verify(c.warm, c.kid, false) }},
	}
}

// round runs every way in turn; the short ones many times over, because the
// clock is coarse.
func (c *contest) round() {
	const short = 64
	for _, way := range c.ways() {
		times := short
		if way.name == "raw" || way.name == "full" {
			times = 1
		}
		began := time.Now()
		for range times {
			way.run()
		}
		c.took[way.name] = append(c.took[way.name], time.Since(began)/time.Duration(times))
	}
}

func (c *contest) report(b *testing.B) {
	median := func(name string) float64 {
		all := slices.Sorted(slices.Values(c.took[name]))
		return float64(all[len(all)/2])
	}
	b.ReportMetric(median("full")/median("raw"), "full/raw")
	b.ReportMetric(median("cached")/median("sha256"), "cached/sha256")
	b.ReportMetric(median("cached_with_verdicts")/median("sha256"), "verdicts/sha256")
	b.ReportMetric(median("full")/median("cached"), "full/cached")
	b.ReportMetric(median("unknown_issuer")/median("full"), "issuer/full")
	b.ReportMetric(median("unknown_kid")/median("full"), "kid/full")
	b.ReportMetric(0, "ns/op")
}
