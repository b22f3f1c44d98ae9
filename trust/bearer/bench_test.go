package bearer_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/bearer"
	"github.com/candignode/candignode/trust/passport/passporttest"
)

// BenchmarkRememberedToken measures what a token costs that was shown before, taken
// from the header as text, over the SHA-256 of it, which nobody can do without. A
// thousand callers take turns; the two ways run in turn, and the medians are compared.
func BenchmarkRememberedToken(b *testing.B) {
	for _, issuer := range []string{brokerURL, providerURL} {
		b.Run(map[string]string{brokerURL: "passport", providerURL: "visas"}[issuer], func(b *testing.B) {
			w, tokens := remembered(b, issuer, 1000)
			asked := len(w.asked)
			next := func(n *int) string {
				*n = (*n + 1) % len(tokens)
				return tokens[*n]
			}
			at, other := 0, len(tokens)/2
			var known, hashed []time.Duration
			for b.Loop() {
				const times = 64
				began := time.Now()
				for range times {
					if _, err := w.show(next(&at)); err != nil {
						b.Fatal(err)
					}
				}
				known = append(known, time.Since(began))
				began = time.Now()
				for range times {
					trust.DigestOfString(next(&other))
				}
				hashed = append(hashed, time.Since(began))
			}
			if len(w.asked) != asked {
				b.Fatal("an issuer was asked again")
			}
			slices.Sort(known)
			slices.Sort(hashed)
			b.ReportMetric(float64(known[len(known)/2])/float64(hashed[len(hashed)/2]), "cached/sha256")
			b.ReportMetric(float64(known[len(known)/2])/64, "ns/token")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// remembered is a desk that has taken tokens of many people: of the broker, which gives
// a passport for each, or of the provider, which gives ten visas.
func remembered(b *testing.B, issuer string, callers int) (*world, []string) {
	w := newWorld(b)
	var mu sync.Mutex
	whose := map[string]string{}
	subject := func(token string) string {
		mu.Lock()
		defer mu.Unlock()
		return whose[token]
	}
	w.exchange = func(_ context.Context, issuer, token, _ string) (bearer.Exchanged, error) {
		return bearer.Exchanged{
			Passport: w.issuers[issuer].Passport(passporttest.PassportClaims{
				Subject: subject(token), Audience: []string{node}, IssuedAt: now, Expires: now.Add(30 * time.Minute),
			}),
			IssuedTokenType: passportURN, TokenType: "Bearer", ExpiresIn: 30 * time.Minute,
		}, nil
	}
	w.userInfo = func(_ context.Context, _, token string) (bearer.Document, error) {
		var visas []string
		for n := range 10 {
			visas = append(visas, w.issuers[dacURL].Visa(passporttest.VisaClaims{
				Subject: subject(token), IssuedAt: now, Expires: now.Add(time.Hour), Asserted: now,
				Type: trust.VisaControlledAccessGrants, Value: fmt.Sprint("https://dac.example/datasets/", n), Source: dacURL, By: "dac",
			}))
		}
		return answer(object{"sub": subject(token), "ga4gh_passport_v1": visas})
	}
	tokens := make([]string, callers)
	for n := range tokens {
		name := fmt.Sprintf("researcher-%06d", n)
		tokens[n] = w.token(issuer, func(c *passporttest.AccessTokenClaims) { c.Subject, c.ID = name, "token-of-"+name })
		mu.Lock()
		whose[tokens[n]] = name
		mu.Unlock()
		if c, err := w.show(tokens[n]); err != nil || c.Subject != name {
			b.Fatal(c.Subject, err)
		}
	}
	return w, tokens
}
