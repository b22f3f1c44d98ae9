package bearer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/passport"
)

// moment is one request: the pictures of what is believed and revoked, taken before
// anything is looked at, and the time.
type moment struct {
	view     *trust.View
	revision uint64
	revoked  *trust.Revocations
	now      time.Time
}

func (d *Desk) moment(now time.Time) moment {
	m := moment{view: d.options.View(), revoked: d.options.Revoked(), now: d.clock.at(now)}
	if m.view != nil {
		m.revision = m.view.Revision
	}
	return m
}

// question is what an answer is remembered under: the token's exact bytes, what was
// asked, and the pictures it was answered under. Nothing that another token or another
// configuration gave is ever found.
type question struct {
	token    trust.Digest
	resource string
	login    bool
	trust    uint64
	revoked  uint64
}

func (m moment) question(token trust.AccessToken, login bool, resource string) question {
	return question{token.Digest(), resource, login, m.revision, m.revoked.Revision()}
}

// failure is why a token gives nothing. It is remembered, so each who is told gets an
// error of his own.
type failure struct {
	reason trust.Reason // "": not the token's fault
	detail string
	cause  error // for reason "", or what a refusal to make a passport wraps
}

func (f *failure) err() error {
	if f.reason == "" {
		return f.cause
	}
	return &passport.Refusal{Reason: f.reason, Detail: f.detail, Index: -1} // about no passport of the request
}

// life is how long it is remembered.
func (f *failure) life() time.Duration {
	if errors.Is(f.cause, ErrUnavailable) {
		return outageLife
	}
	return refusalLife
}

func refuse(reason trust.Reason, format string, args ...any) *failure {
	return &failure{reason: reason, detail: fmt.Sprintf(format, args...)}
}

// unreadable is for what an issuer gave and cannot be used; nothing of it is.
func unreadable(what string, err error) *failure {
	detail := "it cannot be read"
	if own, ok := errors.AsType[*jose.Error](err); ok {
		detail = own.Detail
	} else if own, ok := errors.AsType[*passport.Refusal](err); ok {
		detail = own.Detail
	}
	return refuse(trust.ReasonProvider, "the issuer's %s is of no use, so nothing of it is used: %s", what, detail)
}

// failed translates what a Provider says.
func (d *Desk) failed(ctx context.Context, what, issuer string, err error) *failure {
	if !errors.Is(err, ErrNoWay) { // which was known before, and is no event
		d.options.Log.WarnContext(ctx, "an issuer did not answer as asked", "issuer", issuer, "question", what, "error", err)
	}
	switch {
	case errors.Is(err, ErrRefused):
		return refuse(trust.ReasonRevoked, "its issuer refuses the access token (%s): it has expired, was withdrawn, or is not meant for this site; sign in again", what)
	case errors.Is(err, ErrNoWay):
		return refuse(trust.ReasonUnsupportedToken, "this site has no way to use access tokens of this issuer (%s): show a passport, or tell its operator", what)
	}
	return &failure{cause: fmt.Errorf("%s of %s: %w", what, issuer, ErrUnavailable)}
}

// fly asks a question once, however many wait for the answer, and remembers for a
// while when it failed. The flight outlives whoever started it.
func fly[V any](ctx context.Context, d *Desk, q question, ask func(context.Context) (V, *failure)) (V, error) {
	type answer struct {
		value   V
		failure *failure
	}
	var none V
	if err := ctx.Err(); err != nil {
		return none, err
	}
	name := fmt.Sprintf("%s %t %d %d %q", q.token, q.login, q.trust, q.revoked, q.resource)
	flight := d.flights.DoChan(name, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flightTimeout)
		defer cancel()
		started := d.clock.last()
		value, failure := ask(ctx)
		if failure != nil {
			d.refused.put(q, started.Add(failure.life()), failure, recordBytes)
		}
		return answer{value, failure}, nil
	})
	select {
	case result := <-flight:
		a, ok := result.Val.(answer)
		if !ok {
			return none, ErrUnavailable
		}
		if a.failure != nil {
			return none, a.failure.err()
		}
		return a.value, nil
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// gates bound how much one issuer is asked at the same time, so that one that is slow
// takes nothing away from the others.
type gates struct {
	mu sync.Mutex
	of map[string]chan struct{}
}

// enter waits for a place. Only configured issuers get here, so the map stays small.
func (g *gates) enter(ctx context.Context, issuer string) (leave func(), err error) {
	g.mu.Lock()
	gate, ok := g.of[issuer]
	if !ok {
		gate = make(chan struct{}, maxAsking)
		g.of[issuer] = gate
	}
	g.mu.Unlock()
	select {
	case gate <- struct{}{}:
		return func() { <-gate }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("too many questions to %s at once: %w", issuer, ErrUnavailable)
	}
}

// noProvider is for a desk that asks nobody.
type noProvider struct{}

func (noProvider) UserInfo(context.Context, trust.IssuerPolicy, trust.AccessToken) (Document, error) {
	return Document{}, ErrNoWay
}

func (noProvider) Introspect(context.Context, trust.IssuerPolicy, trust.AccessToken) (Document, error) {
	return Document{}, ErrNoWay
}

func (noProvider) Exchange(context.Context, trust.IssuerPolicy, trust.AccessToken, string) (Exchanged, error) {
	return Exchanged{}, ErrNoWay
}

func (noProvider) Claims(context.Context, trust.IssuerPolicy, string, trust.AccessToken) ([]byte, error) {
	return nil, ErrNoWay
}
