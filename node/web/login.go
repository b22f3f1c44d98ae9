package web

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/candignode/candignode/node/session"
	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/trust"
)

// SignIn signs people in; *session.Desk is one.
type SignIn interface {
	Issuers() []session.Issuer
	Start(ctx context.Context, issuer, back string) (session.Started, error)
	Finish(ctx context.Context, c session.Callback, transaction string) (session.Finished, error)
}

// signInCookieLife is as long as a sign-in that was begun waits, in seconds.
const signInCookieLife = 600

// loginPage lists who signs people in here. Without a script it works in any
// browser, and nothing can be put into it.
func loginPage(e *exchange) error {
	back := e.parameters.Get("return")
	if back != "" && !session.LocalPath(back) {
		back = ""
	}
	type choice struct{ Issuer, Address string }
	var choices []choice
	for _, i := range e.o.SignIn.Issuers() {
		v := url.Values{"issuer": {i.Issuer}}
		if back != "" {
			v.Set("return", back)
		}
		choices = append(choices, choice{i.Issuer, "/login/start?" + v.Encode()})
	}
	return e.showPage(http.StatusOK, "login", choices)
}

// startSignIn sends the browser to an issuer.
func startSignIn(e *exchange) error {
	given, err := e.once("issuer", "return")
	if err != nil {
		return err
	}
	leave, err := e.enter()
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := e.begin()
	defer cancel()
	started, err := e.o.SignIn.Start(ctx, given["issuer"], given["return"])
	if err != nil {
		return err
	}
	http.SetCookie(e.w, cookie(signInCookie, started.Browser.Reveal(), signInCookieLife))
	e.w.Header().Set("Location", started.URL)
	e.w.WriteHeader(http.StatusSeeOther)
	return nil
}

// once gives the parameters of a page that only a browser's own visit may open:
// each at most once, and over TLS. Others are read over, for issuers add some.
func (e *exchange) once(names ...string) (map[string]string, error) {
	if e.r.Method != http.MethodGet { // HEAD would begin or use up a sign-in
		return nil, errMethod
	}
	if !e.private() {
		return nil, errPlain
	}
	given := map[string]string{}
	for _, name := range names {
		if len(e.parameters[name]) > 1 {
			return nil, query.Bad(name, "stands in the URL twice")
		}
		given[name] = e.parameters.Get(name)
	}
	return given, nil
}

// finishSignIn takes the browser back from an issuer. The page that it shows ends
// with a link and does not go on by itself: a request that follows from another
// site's must not count as this site's own.
func finishSignIn(e *exchange) error {
	given, err := e.once("code", "state", "iss", "error")
	if err != nil {
		return err
	}
	callback := session.Callback{
		Key: e.segment, Code: given["code"], State: given["state"], Issuer: given["iss"], Error: given["error"],
	}
	if cookies := e.r.CookiesNamed(signInCookie); len(cookies) == 1 {
		callback.Browser = trust.NewAccessToken(cookies[0].Value)
	}
	leave, err := e.enter()
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := e.begin()
	defer cancel()
	http.SetCookie(e.w, cookie(signInCookie, "", -1))
	finished, err := e.o.SignIn.Finish(ctx, callback, e.transaction)
	if errors.Is(err, session.ErrSignIn) {
		return e.refuse(trust.ReasonSession, []string{callback.Code}, err)
	}
	if err != nil {
		return e.refused(credential{shown: Shown{Token: trust.NewAccessToken(callback.Code)}}, notKept(err))
	}
	life := int(finished.Session.Until.Sub(e.o.Now()) / time.Second)
	http.SetCookie(e.w, cookie(sessionCookie, finished.Token.Reveal(), max(life, 1)))
	return e.showPage(http.StatusOK, "done", finished)
}

// failurePage says to a person what went wrong.
func (e *exchange) failurePage(f failure) error {
	return e.showPage(f.status, "failed", map[string]any{"Detail": f.detail, "Transaction": e.transaction, "SignIn": e.o.SignIn != nil})
}

// showPage writes a page. Its policy allows nothing but its own text and forms to
// this site. The referrer is told to this site only; told to nobody, browsers would
// hide the Origin of the form that signs out, too (Fetch, "append a request Origin
// header").
func (e *exchange) showPage(status int, name string, data any) error {
	var page bytes.Buffer
	if err := e.pages.ExecuteTemplate(&page, name, data); err != nil {
		return err
	}
	e.w.Header().Set("Content-Security-Policy", "default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	e.w.Header().Set("Referrer-Policy", "same-origin")
	e.send(status, "text/html; charset=utf-8", page.Bytes())
	return nil
}
