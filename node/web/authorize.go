package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/candignode/candignode/node/session"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/broker"
	"github.com/candignode/candignode/trust/passport"
)

// Provider signs people in for registered clients, by the code flow of OpenID Connect;
// *broker.Broker is one.
type Provider interface {
	// Authorize reads what a client asks; the error is a *broker.AuthorizeError.
	Authorize(values url.Values) (broker.Authorization, error)
	// Answer says where the browser goes on.
	Answer(a broker.Authorization, p broker.Person) (broker.Step, error)
	// Resume gives what waited for the person to sign in; the error is broker.ErrWaited.
	Resume(id string) (broker.Authorization, error)
}

// authorizePath is where clients send browsers; one segment more names a request that
// waits.
const authorizePath = "/oauth/authorize"

// authorize takes a browser that a client sent.
func authorize(e *exchange) error {
	if _, err := e.once(); err != nil {
		return err
	}
	a, err := e.o.Provider.Authorize(e.parameters)
	var refusal *broker.AuthorizeError
	if errors.As(err, &refusal) && refusal.Redirect != "" {
		e.redirect(refusal.Redirect)
		return nil
	}
	if err != nil {
		return err
	}
	return e.goOn(a)
}

// resume takes the browser back from signing in.
func resume(e *exchange) error {
	if _, err := e.once(); err != nil {
		return err
	}
	a, err := e.o.Provider.Resume(e.segment)
	if err != nil {
		return err
	}
	return e.goOn(a)
}

// goOn sends the browser back to the client, or to sign in first.
func (e *exchange) goOn(a broker.Authorization) error {
	leave, err := e.enter()
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := e.begin()
	defer cancel()
	person, err := e.atBrowser(ctx)
	if err != nil {
		return err
	}
	step, err := e.o.Provider.Answer(a, person)
	if err != nil {
		return err
	}
	if step.Wait != "" {
		step.Redirect = "/login?" + url.Values{"return": {authorizePath + "/" + step.Wait}}.Encode()
	}
	e.redirect(step.Redirect)
	return nil
}

func (e *exchange) redirect(to string) {
	e.w.Header().Set("Location", to)
	e.w.WriteHeader(http.StatusSeeOther)
}

// atBrowser is who sits at the browser, by the session cookie and by nothing else;
// nobody if there is none that holds. A client's page sends the browser here, so the
// request need not be this site's own; but it must be the browser's own visit, which
// people see, and no part of somebody's page.
func (e *exchange) atBrowser(ctx context.Context) (broker.Person, error) {
	cookies := e.r.CookiesNamed(sessionCookie)
	var all []string
	for _, cookie := range cookies {
		all = append(all, cookie.Value)
	}
	switch {
	case len(e.r.Header.Values("Authorization"))+len(e.r.Header.Values("DPoP")) > 0 || len(cookies) > 1:
		return broker.Person{}, e.refuse(trust.ReasonUnsupportedToken, all, errTwoWays)
	case !e.visited():
		return broker.Person{}, e.refuse(trust.ReasonSession, all, errNoVisit)
	case len(cookies) == 0:
		return broker.Person{}, nil
	}
	c := credential{cookie: true, shown: Shown{Session: trust.NewAccessToken(all[0]), Proven: trust.Proven{X5T: e.certificate()}}}
	e.identified = c
	s, err := access.Session{}, error(&passport.Refusal{Reason: trust.ReasonSession, Detail: errCookie.Error(), Index: -1})
	if sessionToken.MatchString(all[0]) {
		s, err = e.o.Sessions.Identify(ctx, c.shown.Session, c.shown.Proven)
	}
	var refusal *passport.Refusal
	switch {
	case errors.As(err, &refusal) && refusal.Reason == trust.ReasonSession:
		if err := e.refused(c, err); errors.Is(err, errNotRecorded) {
			return broker.Person{}, err
		}
		http.SetCookie(e.w, cookie(sessionCookie, "", -1))
		return broker.Person{}, nil // whose session has ended signs in again
	case err != nil:
		return broker.Person{}, e.refused(c, err)
	case s.Label != session.FromBrowser:
		return broker.Person{}, nil // a script's session is nobody at a browser
	}
	return broker.Person{Identity: s.Identity, Session: c.shown.Session, Since: s.Created}, nil
}

// visited tells whether the browser went to this page as a whole. Browsers say so in
// headers that no page can set (Fetch Metadata); those that are too old for them do not
// send the cookie from within others' pages, for it is SameSite=Lax.
func (e *exchange) visited() bool {
	modes, destinations := e.r.Header.Values("Sec-Fetch-Mode"), e.r.Header.Values("Sec-Fetch-Dest")
	if len(modes) > 1 || len(destinations) > 1 {
		return false
	}
	return (len(modes) == 0 || modes[0] == "navigate") && (len(destinations) == 0 || destinations[0] == "document")
}
