package web

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/candignode/candignode/api"
	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/query/beacon"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/passport"
)

// What can go wrong in the door itself. Their texts are for callers.
var (
	errAuthorization = errors.New("this node takes passports as the POST body member passports, and no Authorization header: " +
		"send the passports themselves, {\"passports\": [\"...\"]}")
	errNoPassport   = errors.New("no passport was shown: send {\"passports\": [\"...\"]} as the body of the POST")
	errPlain        = errors.New("passports travel over TLS only; ask https://, and treat those just sent as exposed")
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
	switch {
	case errors.As(err, &refusal):
		f := failure{status: http.StatusUnauthorized, detail: refusal.Error(), reason: refusal.Reason}
		if refusal.Reason == trust.ReasonTooLarge || refusal.Reason == trust.ReasonTooMany {
			f.status = http.StatusRequestEntityTooLarge
		}
		return f
	case errors.Is(err, errAuthorization):
		return failure{status: http.StatusUnauthorized, detail: err.Error(), reason: trust.ReasonUnsupportedToken}
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
	}{
		{errNoPassport, http.StatusUnauthorized, ""},
		{errPlain, http.StatusBadRequest, ""},
		{errBadURL, http.StatusBadRequest, ""},
		{errBrokenBody, http.StatusBadRequest, ""},
		{errNoSuchPath, http.StatusNotFound, ""},
		{errMethod, http.StatusMethodNotAllowed, ""},
		{errSlowBody, http.StatusRequestTimeout, ""},
		{errBodyTooLarge, http.StatusRequestEntityTooLarge, ""},
		{errLongURL, http.StatusRequestURITooLong, ""},
		{errNotJSON, http.StatusUnsupportedMediaType, ""},
		{errBusy, http.StatusServiceUnavailable, busyRetry},
		{errNotReady, http.StatusServiceUnavailable, busyRetry},
		{errNotRecorded, http.StatusServiceUnavailable, ""},
		{errNoAnswer, http.StatusServiceUnavailable, ""},
	} {
		if errors.Is(err, own.err) {
			return failure{status: own.status, detail: own.err.Error(), retry: own.retry}
		}
	}
	return failure{status: http.StatusInternalServerError, detail: errPanic.Error()}
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
		e.w.Header().Set("WWW-Authenticate", "PassportAuth") // the name that DRS 1.3 gives it
	}
	if f.status == http.StatusRequestTimeout || f.status == http.StatusRequestEntityTooLarge {
		e.w.Header().Set("Connection", "close") // the rest of the body is not waited for
	}
	if e.beaconRoot {
		err = e.answer(f.status, jsonType, beacon.Problem(e.about(), beacon.Failure{
			Code: f.status, Message: f.detail, Reason: string(f.reason), Transaction: e.transaction,
		}))
	} else {
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
	e.writeBy()
	e.w.Header().Set("Content-Type", mediaType)
	e.w.WriteHeader(status)
	if _, err := e.w.Write(append(body, '\n')); err != nil {
		e.o.Log.Debug("an answer did not leave", "transaction", e.transaction, "error", err)
	}
	return nil
}
