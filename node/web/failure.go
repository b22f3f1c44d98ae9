package web

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/candignode/candignode/api"
	"github.com/candignode/candignode/node/session"
	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/query/beacon"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/bearer"
	"github.com/candignode/candignode/trust/broker"
	"github.com/candignode/candignode/trust/passport"
	"github.com/candignode/candignode/trust/proof"
)

// What can go wrong in the door itself. Their texts are for callers.
var (
	errAuthorization = errors.New("the Authorization header cannot be read, or is of a kind that is not taken: send Bearer or DPoP with one token, " +
		"or passports in the body of a POST, {\"passports\": [\"...\"]}")
	errTwoWays      = errors.New("credentials of more than one kind came, or one kind twice: show an Authorization header, a session cookie or passports, and only one of them")
	errStrayProof   = errors.New("a DPoP proof goes with Authorization: DPoP and its token, and with nothing else")
	errNoProofs     = errors.New("this node does not take DPoP proofs: its external address is not configured")
	errCookie       = errors.New("the session cookie is not one that this node made; sign in again")
	errNoVisit      = errors.New("signing in for another site is a visit of your browser's own, and no part of another page")
	errOtherPage    = errors.New("a session cookie counts for requests of this site's own pages only; others send Authorization: Bearer")
	errTokenInURL   = errors.New("credentials never travel in a URL: it holds one, or a parameter for one; treat it as exposed")
	errNobody       = errors.New("nobody was shown: send Authorization: Bearer with an access token or a session token")
	errSessionAgain = errors.New("a session does not make another one: show an access token or passports")
	errNotAForm     = errors.New("the body must be application/x-www-form-urlencoded, each parameter once")
	errNoPassport   = errors.New("no passport was shown: send {\"passports\": [\"...\"]} as the body of the POST, or Authorization: Bearer")
	errPlain        = errors.New("credentials travel over TLS only; ask https://, and treat those just sent as exposed")
	errBadURL       = errors.New("bad question: URL: its parameters are not properly encoded")
	errLongURL      = errors.New("the URL is too long: POST the question")
	errNoSuchPath   = errors.New("there is nothing at this path; /beacon/map lists the endpoints")
	errMethod       = errors.New("this method is not served here; the Allow header lists those that are")
	errNotJSON      = errors.New("the body must be application/json, without a Content-Encoding")
	errBodyTooLarge = errors.New("the body is too large")
	errSlowBody     = errors.New("the body did not arrive in time")
	errBrokenBody   = errors.New("the body broke off")
	errBusy         = errors.New("too many questions are being answered; ask again in a moment")
	errNotReady     = errors.New("the node is not ready")
	errNotRecorded  = errors.New("this could not be recorded, so it was not answered; ask again later")
	errNoAnswer     = errors.New("the question could not be answered, or its answer not recorded; ask again later")
	errPanic        = errors.New("the node failed at this request; tell its operator the transaction")
)

// failure is an error on its way out.
type failure struct {
	status int
	detail string       // a sentence that may be shown
	reason trust.Reason // if a credential was refused
	retry  string       // seconds, for Retry-After
}

// failureOf is the one table from errors to statuses. What it does not know is
// an internal error, and its text stays inside.
func failureOf(err error) failure {
	var refusal *passport.Refusal
	var bad *proof.Error
	var asked *broker.AuthorizeError
	switch {
	case errors.As(err, &refusal):
		return failureOfRefusal(refusal)
	case errors.As(err, &bad):
		return failure{status: http.StatusUnauthorized, detail: bad.Detail, reason: bad.Reason}
	case errors.Is(err, bearer.ErrUnavailable), errors.Is(err, bearer.ErrNoWay):
		return failure{status: http.StatusServiceUnavailable, detail: "the issuer cannot be asked now; ask again in a moment", reason: trust.ReasonProvider, retry: providerRetry}
	case errors.Is(err, bearer.ErrRefused):
		return failure{status: http.StatusUnauthorized, detail: bearer.ErrRefused.Error(), reason: trust.ReasonProvider}
	case errors.As(err, &asked):
		return failure{status: http.StatusBadRequest, detail: asked.Description}
	case errors.Is(err, session.ErrSignIn):
		return failure{status: http.StatusBadRequest, detail: err.Error()}
	case errors.Is(err, query.ErrRequest):
		return failure{status: http.StatusBadRequest, detail: err.Error()}
	case errors.Is(err, context.DeadlineExceeded):
		return failure{status: http.StatusGatewayTimeout, detail: "the question was not answered in time"}
	case errors.Is(err, context.Canceled):
		return failure{status: http.StatusServiceUnavailable, detail: "the question was abandoned"}
	}
	for _, own := range []struct {
		err    error
		status int
		retry  string
		reason trust.Reason
	}{
		{errAuthorization, http.StatusUnauthorized, "", trust.ReasonUnsupportedToken},
		{errTwoWays, http.StatusUnauthorized, "", trust.ReasonUnsupportedToken},
		{errNoProofs, http.StatusUnauthorized, "", trust.ReasonUnsupportedToken},
		{errStrayProof, http.StatusUnauthorized, "", trust.ReasonProof},
		{errCookie, http.StatusUnauthorized, "", trust.ReasonSession},
		{errNobody, http.StatusUnauthorized, "", ""},
		{errOtherPage, http.StatusForbidden, "", trust.ReasonSession},
		{errNoVisit, http.StatusForbidden, "", trust.ReasonSession},
		{broker.ErrNobody, http.StatusUnauthorized, "", ""},
		{broker.ErrExpired, http.StatusUnauthorized, "", trust.ReasonExpired},
		{broker.ErrTooMany, http.StatusRequestEntityTooLarge, "", trust.ReasonTooMany},
		{broker.ErrNotRecorded, http.StatusServiceUnavailable, "", ""},
		{broker.ErrWaited, http.StatusBadRequest, "", ""},
		{errSessionAgain, http.StatusForbidden, "", ""},
		{session.ErrNoSession, http.StatusNotFound, "", ""},
		{session.ErrTooLarge, http.StatusRequestEntityTooLarge, "", trust.ReasonTooLarge},
		{errTokenInURL, http.StatusBadRequest, "", trust.ReasonUnsupportedToken},
		{errNotAForm, http.StatusBadRequest, "", ""},
		{errNoPassport, http.StatusUnauthorized, "", ""},
		{errPlain, http.StatusBadRequest, "", ""},
		{errBadURL, http.StatusBadRequest, "", ""},
		{errBrokenBody, http.StatusBadRequest, "", ""},
		{errNoSuchPath, http.StatusNotFound, "", ""},
		{errMethod, http.StatusMethodNotAllowed, "", ""},
		{errSlowBody, http.StatusRequestTimeout, "", ""},
		{errBodyTooLarge, http.StatusRequestEntityTooLarge, "", ""},
		{errLongURL, http.StatusRequestURITooLong, "", ""},
		{errNotJSON, http.StatusUnsupportedMediaType, "", ""},
		{errBusy, http.StatusServiceUnavailable, busyRetry, ""},
		{errNotReady, http.StatusServiceUnavailable, busyRetry, ""},
		{errNotRecorded, http.StatusServiceUnavailable, "", ""},
		{errNoAnswer, http.StatusServiceUnavailable, "", ""},
	} {
		if errors.Is(err, own.err) {
			return failure{status: own.status, detail: own.err.Error(), retry: own.retry, reason: own.reason}
		}
	}
	return failure{status: http.StatusInternalServerError, detail: errPanic.Error()}
}

// failureOfRefusal gives the status of a refused credential.
func failureOfRefusal(r *passport.Refusal) failure {
	f := failure{status: http.StatusUnauthorized, detail: r.Error(), reason: r.Reason}
	switch r.Reason {
	case trust.ReasonTooLarge, trust.ReasonTooMany:
		f.status = http.StatusRequestEntityTooLarge
	case trust.ReasonProvider:
		f.status, f.retry = http.StatusServiceUnavailable, providerRetry
	}
	return f
}

const (
	jsonType    = "application/json"
	problemType = "application/problem+json"
)

// fail answers with an error, unless an answer is already on its way.
func (e *exchange) fail(err error) {
	f := failureOf(err)
	hungUp := errors.Is(err, context.Canceled)
	if f.status >= http.StatusInternalServerError && !errors.Is(err, errNotReady) && !hungUp {
		e.o.Log.Error("no answer", "transaction", e.transaction, "status", f.status, "error", err)
	}
	if e.w.status != 0 {
		return
	}
	if f.retry != "" {
		e.w.Header().Set("Retry-After", f.retry)
	}
	if f.status == http.StatusUnauthorized {
		e.challenge(f, err)
	}
	if f.status == http.StatusRequestTimeout || f.status == http.StatusRequestEntityTooLarge {
		e.w.Header().Set("Connection", "close") // the rest of the body is not waited for
	}
	switch {
	case e.page:
		err = e.failurePage(f)
	case e.beaconRoot:
		err = e.answer(f.status, jsonType, beacon.Problem(e.about(), beacon.Failure{
			Code: f.status, Message: f.detail, Reason: string(f.reason), Transaction: e.transaction,
		}))
	default:
		err = e.answer(f.status, problemType, e.problem(f))
	}
	if err != nil {
		e.o.Log.Debug("an error answer did not leave", "transaction", e.transaction, "error", err)
	}
}

func (e *exchange) problem(f failure) *api.Problem {
	return &api.Problem{
		Type: "about:blank", Title: http.StatusText(f.status), Status: f.status,
		Detail: f.detail, Reason: string(f.reason), Transaction: e.transaction,
	}
}

// answer encodes first and writes then, so that nothing half-made leaves. A
// caller who reads too slowly is left behind.
func (e *exchange) answer(status int, mediaType string, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return err
	}
	e.send(status, mediaType, append(body, '\n'))
	return nil
}

// send writes what is whole already.
func (e *exchange) send(status int, mediaType string, body []byte) {
	e.writeBy()
	e.w.Header().Set("Content-Type", mediaType)
	e.w.WriteHeader(status)
	if _, err := e.w.Write(body); err != nil {
		e.o.Log.Debug("an answer did not leave", "transaction", e.transaction, "error", err)
	}
}
