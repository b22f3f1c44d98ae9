package web

import (
	"context"
	"errors"
	"net/http"

	"github.com/candignode/candignode/api"
	"github.com/candignode/candignode/node/session"
	"github.com/candignode/candignode/query/beacon"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/passport"
)

// Sessions keeps sessions; *session.Desk is one.
type Sessions interface {
	Begin(ctx context.Context, m session.Material, label, transaction string) (trust.AccessToken, access.Session, error)
	// Identify says whose session token it is; the error is a *passport.Refusal.
	Identify(ctx context.Context, token trust.AccessToken, proven trust.Proven) (access.Session, error)
	Of(owner trust.Identity) []access.Session
	// End wraps session.ErrNoSession for what is not owner's.
	End(ctx context.Context, owner trust.Identity, id, transaction string) error
}

// beginSession makes a session out of an access token or passports. It is bound to
// the keys that were proven: nobody gets rid of a bound token's binding by it.
func beginSession(e *exchange) error {
	c, body, err := e.body()
	if err != nil {
		return err
	}
	if c, err = e.withBody(c, body); err != nil {
		return err
	}
	if !c.shown.Session.IsZero() {
		return errSessionAgain
	}
	leave, err := e.enter()
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := e.begin()
	defer cancel()
	verdict, err := e.verify(c, true)
	if err != nil {
		return err
	}
	m := session.Material{
		Identity: verdict.Caller.Identity, Access: c.shown.Token,
		Bound: trust.Confirmation(e.identified.shown.Proven),
	}
	label := session.FromToken
	if len(c.shown.Passports) > 0 {
		label, m.Passports, m.Until = session.FromPassports, verdict.Caller.Passports, verdict.Caller.Until
	}
	token, s, err := e.o.Sessions.Begin(ctx, m, label, e.transaction)
	if err != nil {
		return e.refused(c, notKept(err))
	}
	answer := sessionOf(s, "")
	answer.Token = token.Reveal()
	return e.answer(http.StatusOK, jsonType, answer)
}

// withBody adds the passports of a body that has nothing else. With a token in the
// header there need not be a body.
func (e *exchange) withBody(c credential, body []byte) (credential, error) {
	if len(body) > 0 || c.shown.Nobody() {
		passports, err := beacon.DecodePassports(body)
		if err != nil {
			return c, err
		}
		if len(passports) == 0 && c.shown.Nobody() {
			return c, errNoPassport
		}
		if len(passports) > 0 && !c.shown.Nobody() {
			return c, e.turnAway(trust.ReasonUnsupportedToken, append(c.secrets(), passports...), errTwoWays)
		}
		if len(passports) > 0 {
			c.shown.Passports = passports
		}
	}
	return c, nil
}

// notKept marks an error of the desk that is not about what was shown: something
// could not be written.
func notKept(err error) error {
	var refusal *passport.Refusal
	if errors.As(err, &refusal) || errors.Is(err, session.ErrTooLarge) || errors.Is(err, session.ErrNoSession) {
		return err
	}
	return errors.Join(errNotRecorded, err)
}

// person is who asks about sessions, and the id of the session they come with. A
// session says so itself, also while an issuer is down: signing out must not depend
// on one. The caller of person has entered.
func (e *exchange) person(c credential) (trust.Identity, string, error) {
	switch {
	case c.shown.Nobody():
		return trust.Identity{}, "", errNobody
	case c.shown.Session.IsZero():
		verdict, err := e.verify(c, true)
		return verdict.Caller.Identity, "", err
	}
	s, err := e.identify(c)
	return s.Identity, s.ID, err
}

// identify finds the session that was shown.
func (e *exchange) identify(c credential) (access.Session, error) {
	held, err := e.prove(&c)
	if err != nil {
		return access.Session{}, err
	}
	e.identified = c
	s, err := e.o.Sessions.Identify(e.r.Context(), c.shown.Session, c.shown.Proven)
	if err != nil {
		return access.Session{}, e.refused(c, err)
	}
	return s, e.useUp(c, held)
}

// listSessions lists the person's own sessions, by ids that open nothing.
func listSessions(e *exchange) error {
	if err := beacon.CheckNoURL(e.parameters); err != nil {
		return err
	}
	owner, current, done, err := e.owner()
	if err != nil {
		return err
	}
	defer done()
	all := api.Sessions{Sessions: []api.Session{}}
	for _, s := range e.o.Sessions.Of(owner) {
		all.Sessions = append(all.Sessions, sessionOf(s, current))
	}
	return e.answer(http.StatusOK, jsonType, all)
}

// endSession ends one of the person's own sessions.
func endSession(e *exchange) error {
	owner, current, done, err := e.owner()
	if err != nil {
		return err
	}
	defer done()
	if err := e.o.Sessions.End(e.r.Context(), owner, e.segment, e.transaction); err != nil {
		return notKept(err)
	}
	if e.segment == current && e.identified.cookie {
		http.SetCookie(e.w, cookie(sessionCookie, "", -1))
	}
	e.w.WriteHeader(http.StatusNoContent)
	return nil
}

// owner enters, and says who asks.
func (e *exchange) owner() (owner trust.Identity, current string, done func(), err error) {
	c, err := e.credentials()
	if err != nil {
		return trust.Identity{}, "", nil, err
	}
	leave, err := e.enter()
	if err != nil {
		return trust.Identity{}, "", nil, err
	}
	_, cancel := e.begin()
	done = func() { cancel(); leave() }
	if owner, current, err = e.person(c); err != nil {
		done()
		return trust.Identity{}, "", nil, err
	}
	return owner, current, done, nil
}

// logout ends the session that is shown. One that has ended already is no failure.
func logout(e *exchange) error {
	c, err := e.credentials()
	if err != nil {
		return err
	}
	if c.shown.Nobody() && e.ownPage() != nil {
		// A browser sends no cookie with another site's form, and would still take it away
		// at this one's word.
		return errOtherPage
	}
	if !c.shown.Session.IsZero() {
		leave, err := e.enter()
		if err != nil {
			return err
		}
		defer leave()
		if err := e.signOut(c); err != nil {
			return err
		}
	}
	if !c.cookie && !c.shown.Nobody() {
		e.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	http.SetCookie(e.w, cookie(sessionCookie, "", -1))
	e.w.Header().Set("Location", "/login")
	e.w.WriteHeader(http.StatusSeeOther)
	return nil
}

func (e *exchange) signOut(c credential) error {
	s, err := e.identify(c)
	var refusal *passport.Refusal
	if errors.As(err, &refusal) && refusal.Reason == trust.ReasonSession {
		return nil
	}
	if err == nil {
		err = e.o.Sessions.End(e.r.Context(), s.Identity, s.ID, e.transaction)
	}
	if err == nil || errors.Is(err, session.ErrNoSession) {
		return nil
	}
	return notKept(err)
}

func sessionOf(s access.Session, current string) api.Session {
	return api.Session{
		ID: s.ID, Issuer: s.Issuer, Subject: s.Subject, Label: s.Label,
		Created: s.Created.UTC(), Used: s.Used.UTC(), Until: s.Until.UTC(), Current: s.ID == current,
	}
}
