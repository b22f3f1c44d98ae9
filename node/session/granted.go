package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
)

// Grant is what a client of this node's broker may do for a person. Its token is a
// session of its own that keeps nothing but the token of the person's session, sealed:
// it ends with that one, and is renewed where that one is. It opens UserInfo and token
// exchange, and never a question, a list of sessions or another grant: a client that
// only knows OpenID Connect was not let in to the data.
type Grant struct {
	Client   string
	Passport bool // scope ga4gh_passport_v1
}

// labelOf stands in the person's list of sessions.
func labelOf(client string) string { return fmt.Sprintf("client %.60q", client) }

// Give makes a client's token that rests on the session of token and lasts life at
// most. Only a sign-in with a browser can be shared. The oldest of a client's tokens of
// the same person give way. Errors are a *passport.Refusal or the Store's.
func (d *Desk) Give(ctx context.Context, token trust.AccessToken, g Grant, life time.Duration, transaction string) (trust.AccessToken, access.Session, error) {
	if g.Client == "" {
		return trust.AccessToken{}, access.Session{}, errors.New("session: a client has a name")
	}
	own, err := d.own(token, trust.Proven{})
	if err != nil {
		return trust.AccessToken{}, access.Session{}, err
	}
	if own.Label != FromBrowser {
		return trust.AccessToken{}, access.Session{}, refuse(trust.ReasonSession, "only somebody who signed in with a browser can let a client in")
	}
	if err := d.makeRoomFor(ctx, own.Identity, labelOf(g.Client), transaction); err != nil {
		return trust.AccessToken{}, access.Session{}, err
	}
	d.touch(ctx, own.Session) // it must not be what makes room for its own client
	until := d.o.Now().Add(life)
	if own.Until.Before(until) {
		until = own.Until
	}
	return d.Begin(ctx, Material{Identity: own.Identity, Granted: g, Session: token, Until: until}, labelOf(g.Client), transaction)
}

// makeRoomFor ends the client's oldest tokens beyond perClient.
func (d *Desk) makeRoomFor(ctx context.Context, owner trust.Identity, label, transaction string) error {
	var held []access.Session
	for _, s := range d.o.Store.SessionsOf(owner) {
		if s.Label == label {
			held = append(held, s)
		}
	}
	slices.SortFunc(held, func(a, b access.Session) int { return a.Created.Compare(b.Created) })
	for len(held) >= perClient {
		if err := d.o.Store.EndSession(ctx, held[0].ID, d.record(held[0], "displaced", transaction)); err != nil {
			return fmt.Errorf("session: %w", err)
		}
		held = held[1:]
	}
	return nil
}

// GrantOf says what a client's token was given for; zero for a session of a person's
// own. The error is a *passport.Refusal.
func (d *Desk) GrantOf(token trust.AccessToken, proven trust.Proven) (Grant, error) {
	found, err := d.find(token, proven)
	return found.Material.Granted, err
}

// OpenAny is Open for the two doors that clients' tokens open, too. What comes back
// of such a token is what the person's session rests on.
func (d *Desk) OpenAny(ctx context.Context, token trust.AccessToken, proven trust.Proven) (Opened, error) {
	found, err := d.find(token, proven)
	if err != nil {
		return Opened{}, err
	}
	if found.Material.Granted.Client == "" {
		return d.Open(ctx, token, proven)
	}
	own, err := d.own(found.Material.Session, proven)
	if err == nil {
		own, err = d.renewed(ctx, found.Material.Session, proven, own)
	}
	if err != nil {
		return Opened{}, err
	}
	if own.Identity != found.Identity {
		return Opened{}, noSession()
	}
	// The person's own session is not touched: that a client asks does not mean that
	// somebody still sits there.
	d.touch(ctx, found.Session)
	if found.Until.Before(own.Until) {
		own.Until = found.Until
	}
	return own, nil
}

// own finds a session that is not a client's.
func (d *Desk) own(token trust.AccessToken, proven trust.Proven) (Opened, error) {
	opened, err := d.find(token, proven)
	if err == nil && opened.Material.Granted.Client != "" {
		return Opened{}, refuse(trust.ReasonScope, "the token was given to a client, for UserInfo and token exchange; it opens nothing else")
	}
	return opened, err
}
