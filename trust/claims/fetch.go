package claims

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"github.com/candignode/candignode/trust"
)

// fetch gives the source's JWT: the aggregated one, or what its endpoint answers. The
// same question is asked once, however many wait for it, and not again for a while
// after it failed.
func (q *request) fetch(ctx context.Context, s source, policy trust.IssuerPolicy) (compact, problem string) {
	if s.compact != "" {
		return s.compact, ""
	}
	if q.r.options.Fetch == nil {
		return "", "this site asks no sources"
	}
	if ctx.Err() != nil {
		return "", "the source did not answer in time"
	}
	token := s.token
	if token.IsZero() {
		token = policy.Claims.Token
	}
	key := question(policy.Issuer, s.endpoint, token)
	if q.r.failures.holds(key, q.now) {
		return "", "the source could not be asked a moment ago"
	}
	// The flight outlives whoever started it: others wait for the same answer.
	flight := q.r.flights.DoChan(string(key[:]), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), resolveTimeout)
		defer cancel()
		body, err := q.r.options.Fetch(ctx, policy, s.endpoint, token)
		if err == nil && len(body) > 0 && len(body) <= maxJWTBytes {
			return string(body), nil
		}
		q.r.failures.add(key, q.now)
		return "", nil
	})
	select {
	case result := <-flight:
		if compact, ok := result.Val.(string); ok && compact != "" {
			return compact, ""
		}
		return "", "the source could not be asked, or did not answer with a JWT"
	case <-ctx.Done():
		return "", "the source did not answer in time"
	}
}

// question names one request: nobody gets an answer that was fetched with another
// token, or for another source.
func question(issuer, endpoint string, token trust.AccessToken) trust.Digest {
	h := sha256.New()
	for _, text := range []string{issuer, endpoint} {
		digest := trust.DigestOfString(text)
		h.Write(digest[:])
	}
	digest := token.Digest()
	h.Write(digest[:])
	return trust.Digest(h.Sum(nil))
}

// failures remembers for a while which questions failed. All last equally long, so the
// oldest ends first.
type failures struct {
	mu    sync.Mutex
	until map[trust.Digest]time.Time
	order []trust.Digest
}

func (f *failures) holds(key trust.Digest, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return now.Before(f.until[key])
}

func (f *failures) add(key trust.Digest, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.order) > 0 && (len(f.order) >= maxFailures || !now.Before(f.until[f.order[0]])) {
		delete(f.until, f.order[0])
		f.order = f.order[1:]
	}
	if _, again := f.until[key]; !again {
		f.order = append(f.order, key)
		f.until[key] = now.Add(failureLife)
	}
}
