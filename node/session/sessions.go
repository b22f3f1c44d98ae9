package session

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/audit"
	"github.com/candignode/candignode/trust/passport"
)

// What a session was begun with, for its owner's list.
const (
	FromBrowser   = "browser"   // a sign-in
	FromToken     = "token"     // an access token
	FromPassports = "passports" // passports
)

// Opened is a session that holds, with what it rests on.
type Opened struct {
	access.Session
	Material Material
}

// Begin makes a session that rests on m, which the caller of Begin has verified just
// now. It ends after its life, or with m.Until. One session too many ends the
// person's that was used longest ago. The token is given this once.
func (d *Desk) Begin(ctx context.Context, m Material, label, transaction string) (trust.AccessToken, access.Session, error) {
	now := d.o.Now()
	switch {
	case m.Identity.IsZero():
		return trust.AccessToken{}, access.Session{}, errors.New("session: a session is somebody's")
	case d.o.Revoked().Identity(m.Identity):
		return trust.AccessToken{}, access.Session{}, refuse(trust.ReasonRevoked, "this site's operator has shut this person out")
	}
	until := d.end(now, m)
	if !now.Before(until) {
		return trust.AccessToken{}, access.Session{}, refuse(trust.ReasonExpired, "what the session would rest on has ended")
	}
	secret, err := d.secret()
	if err != nil {
		return trust.AccessToken{}, access.Session{}, err
	}
	var id [16]byte
	if _, err := io.ReadFull(d.o.Random, id[:]); err != nil {
		return trust.AccessToken{}, access.Session{}, err
	}
	token := trust.NewAccessToken(Prefix + secret)
	s := access.Session{
		ID: base64.RawURLEncoding.EncodeToString(id[:]), TokenDigest: token.Digest(), Identity: m.Identity,
		Created: now.UTC(), Used: now.UTC(), Until: until.UTC(), Label: label,
	}
	if s.Sealed, err = d.seal(token, s.ID, m); err != nil {
		return trust.AccessToken{}, access.Session{}, err
	}
	if err := d.makeRoom(ctx, m.Identity, transaction); err != nil {
		return trust.AccessToken{}, access.Session{}, err
	}
	record := d.record(s, "begun", transaction)
	for _, p := range m.Passports {
		record.Passports = append(record.Passports, p.Digest())
	}
	if !m.Access.IsZero() {
		record.Passports = append(record.Passports, m.Access.Digest())
	}
	if err := d.o.Store.AddSession(ctx, s, record); err != nil {
		return trust.AccessToken{}, access.Session{}, fmt.Errorf("session: %w", err)
	}
	return token, s, nil
}

// end is the least of the session's life and what it rests on. An access token that
// nothing renews is the end of a session, too.
func (d *Desk) end(now time.Time, m Material) time.Time {
	until := now.Add(d.o.Life)
	if !m.Until.IsZero() && m.Until.Before(until) {
		until = m.Until
	}
	if m.Refresh.IsZero() && !m.AccessExpires.IsZero() && m.AccessExpires.Before(until) {
		until = m.AccessExpires
	}
	return until
}

// makeRoom ends the person's sessions that are over, and those used longest ago
// until there is room for one more.
func (d *Desk) makeRoom(ctx context.Context, owner trust.Identity, transaction string) error {
	var alive []access.Session
	for _, s := range d.o.Store.SessionsOf(owner) {
		if d.over(s) {
			if err := d.o.Store.EndSession(ctx, s.ID, d.record(s, "expired", transaction)); err != nil {
				return fmt.Errorf("session: %w", err)
			}
			continue
		}
		alive = append(alive, s)
	}
	slices.SortFunc(alive, func(a, b access.Session) int { return a.Used.Compare(b.Used) })
	for len(alive) >= d.o.MaxPerPerson {
		if err := d.o.Store.EndSession(ctx, alive[0].ID, d.record(alive[0], "displaced", transaction)); err != nil {
			return fmt.Errorf("session: %w", err)
		}
		alive = alive[1:]
	}
	return nil
}

// over tells whether the session has ended by time. The end itself is over.
func (d *Desk) over(s access.Session) bool {
	now := d.o.Now()
	return !now.Before(s.Until) || !now.Before(s.Used.Add(d.o.Idle)) || !now.Before(s.Created.Add(d.o.Life))
}

// Identify says whose session token is, without what the session rests on: for its
// owner to list and end sessions, also while an issuer is down. The error is a
// *passport.Refusal.
func (d *Desk) Identify(ctx context.Context, token trust.AccessToken, proven trust.Proven) (access.Session, error) {
	opened, err := d.own(token, proven)
	if err != nil {
		return access.Session{}, err
	}
	d.touch(ctx, opened.Session)
	return opened.Session, nil
}

// Open gives a session that holds, and what it rests on, with an access token that
// was renewed if it ran out. What it rests on must be verified at every use: an
// open session is no more than its token, kept. Errors are a *passport.Refusal
// (trust.ReasonProvider while the issuer cannot be asked), or ctx's.
func (d *Desk) Open(ctx context.Context, token trust.AccessToken, proven trust.Proven) (Opened, error) {
	opened, err := d.own(token, proven)
	if err != nil {
		return Opened{}, err
	}
	if opened, err = d.renewed(ctx, token, proven, opened); err != nil {
		return Opened{}, err
	}
	d.touch(ctx, opened.Session)
	return opened, nil
}

// find looks a session up and opens it. Whatever does not fit, the answer is the
// same: who has no session learns nothing about others'.
func (d *Desk) find(token trust.AccessToken, proven trust.Proven) (Opened, error) {
	if !strings.HasPrefix(token.Reveal(), Prefix) {
		return Opened{}, noSession()
	}
	s, ok := d.o.Store.SessionByToken(token.Digest())
	if !ok || d.over(s) {
		return Opened{}, noSession()
	}
	if d.o.Revoked().Identity(s.Identity) || d.o.Revoked().Token(token.Digest()) {
		return Opened{}, refuse(trust.ReasonRevoked, "this site has revoked the session, or whom it is of: ask its operator")
	}
	m, err := unseal(token, s.ID, s.Sealed)
	if err != nil || m.Identity != s.Identity {
		d.o.Log.Error("a session does not open; was the state file changed?", "session", s.ID)
		return Opened{}, noSession()
	}
	if !m.Bound.MetBy(proven) {
		return Opened{}, refuse(trust.ReasonNotProven, "the session was begun with a key; prove that you hold it")
	}
	return Opened{Session: s, Material: m}, nil
}

// touch notes the use of a session now and then. Failing that the session ends
// sooner, which is the safe side.
func (d *Desk) touch(ctx context.Context, s access.Session) {
	now := d.o.Now()
	if now.Sub(s.Used) < touchEvery {
		return
	}
	if err := d.o.Store.TouchSession(ctx, s.ID, now.UTC()); err != nil {
		d.o.Log.Warn("the use of a session could not be noted", "session", s.ID, "error", err)
	}
}

// Of gives the person's sessions that hold, newest first, without what they keep.
func (d *Desk) Of(owner trust.Identity) []access.Session {
	var all []access.Session
	for _, s := range d.o.Store.SessionsOf(owner) {
		if !d.over(s) {
			s.Sealed = nil
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b access.Session) int { return b.Created.Compare(a.Created) })
	return all
}

// End ends a session of owner's. It wraps ErrNoSession for anybody else's as for
// one that does not exist.
func (d *Desk) End(ctx context.Context, owner trust.Identity, id, transaction string) error {
	for _, s := range d.o.Store.SessionsOf(owner) {
		if s.ID != id {
			continue
		}
		if err := d.o.Store.EndSession(ctx, id, d.record(s, "ended", transaction)); err != nil {
			return fmt.Errorf("session: %w", err)
		}
		return nil
	}
	return ErrNoSession
}

// Sweep ends those of all that are over by time. Whoever runs the node calls it now
// and then; nothing depends on it but room in the state file.
func (d *Desk) Sweep(ctx context.Context, all []access.Session) error {
	for _, s := range all {
		if !d.over(s) {
			continue
		}
		if err := d.o.Store.EndSession(ctx, s.ID, d.record(s, "expired", "")); err != nil {
			return fmt.Errorf("session: %w", err)
		}
	}
	return nil
}

func (d *Desk) record(s access.Session, outcome, transaction string) audit.Record {
	return audit.Record{
		Time: d.o.Now(), Event: audit.EventSession, Transaction: transaction, Caller: s.Identity,
		Outcome: outcome, Detail: "session " + s.ID + ", begun with: " + s.Label,
	}
}

func noSession() error {
	return refuse(trust.ReasonSession, "there is no such session, or it has ended; sign in again")
}

// refuse makes a refusal of the session, which is no passport of the request.
func refuse(reason trust.Reason, detail string) error {
	return &passport.Refusal{Reason: reason, Detail: detail, Index: -1}
}
