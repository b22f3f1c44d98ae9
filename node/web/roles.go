package web

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/candignode/candignode/query/beacon"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/broker"
)

// Broker is the node as an issuer of passports; *broker.Broker is one but for
// UserInfo, which needs the committees' visas besides.
type Broker interface {
	// Discovery is its OpenID Provider metadata, as JSON.
	Discovery() ([]byte, error)
	// Token answers at the token endpoint, with JSON. The error is a *broker.OAuthError,
	// or ctx's.
	Token(ctx context.Context, r broker.Request) ([]byte, error)
	// UserInfo answers about a caller who was authenticated by what was shown.
	UserInfo(ctx context.Context, caller trust.Caller, shown Shown, transaction string) (broker.Document, error)
}

// Claims is the node as a source of distributed claims: a JWT about a caller who
// was authenticated (OpenID Connect Core 1.0, section 5.6.2).
type Claims interface {
	Claims(ctx context.Context, caller trust.Caller, transaction string) (trust.Passport, error)
}

func discovery(e *exchange) error {
	if err := beacon.CheckInfo(e.parameters); err != nil {
		return err
	}
	return e.made(jsonType, e.o.Broker.Discovery)
}

// jwkSetType is RFC 7517, section 8.5.2.
const jwkSetType = "application/jwk-set+json"

func keySet(e *exchange) error {
	if err := beacon.CheckInfo(e.parameters); err != nil {
		return err
	}
	return e.made(jwkSetType, e.o.KeySet)
}

// made sends what a desk has made.
func (e *exchange) made(mediaType string, make func() ([]byte, error)) error {
	body, err := make()
	if err == nil {
		e.send(http.StatusOK, mediaType, body)
	}
	return err
}

// token hands a form to the broker, which finds out who the client is. No cookie
// counts here: the client is not a browser.
func token(e *exchange) error {
	if !e.private() {
		return e.oauthFailure(http.StatusBadRequest, errPlain.Error())
	}
	form, err := e.form()
	if err != nil {
		f := failureOf(err)
		return e.oauthFailure(f.status, f.detail)
	}
	headers := e.r.Header.Values("Authorization")
	if len(headers) > 1 {
		return e.oauthFailure(http.StatusBadRequest, "two Authorization headers came")
	}
	leave, err := e.enter()
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := e.begin()
	defer cancel()
	request := broker.Request{
		Form: form, Authorization: strings.Join(headers, ""), Proven: trust.Proven{X5T: e.certificate()}, Transaction: e.transaction,
	}
	body, err := e.o.Broker.Token(ctx, request)
	var refusal *broker.OAuthError
	switch {
	case errors.As(err, &refusal):
		if refusal.Status == http.StatusUnauthorized {
			e.w.Header().Set("WWW-Authenticate", "Basic") // RFC 6749, section 5.2, wants one
		}
		e.send(refusal.Status, jsonType, refusal.Body())
		return nil
	case err != nil:
		return err
	}
	e.send(http.StatusOK, jsonType, body)
	return nil
}

// oauthFailure answers as RFC 6749, section 5.2, says.
func (e *exchange) oauthFailure(status int, detail string) error {
	if status == http.StatusRequestTimeout || status == http.StatusRequestEntityTooLarge {
		e.w.Header().Set("Connection", "close") // the rest of the body is not waited for
	}
	e.send(status, jsonType, (&broker.OAuthError{Code: broker.CodeInvalidRequest, Description: detail}).Body())
	return nil
}

func userInfo(e *exchange) error {
	return e.asCaller(true, func(ctx context.Context, caller trust.Caller) error {
		document, err := e.o.Broker.UserInfo(ctx, caller, e.identified.shown, e.transaction)
		if err == nil {
			e.send(http.StatusOK, document.MediaType, document.Body)
		}
		return err
	})
}

func claims(e *exchange) error {
	return e.asCaller(false, func(ctx context.Context, caller trust.Caller) error {
		jwt, err := e.o.Claims.Claims(ctx, caller, e.transaction)
		if err == nil {
			e.send(http.StatusOK, "application/jwt", []byte(jwt.Compact()))
		}
		return err
	})
}

// asCaller answers for whoever shows a token in the header. A cookie is not enough:
// what is given out is a credential itself, and no page's business. A client's token
// counts only where clients tells so.
func (e *exchange) asCaller(clients bool, answer func(context.Context, trust.Caller) error) error {
	if err := beacon.CheckNoURL(e.parameters); err != nil {
		return err
	}
	c, err := e.credentials()
	switch {
	case err != nil:
		return err
	case c.shown.Nobody():
		return errNobody
	case c.cookie:
		return errOtherPage
	}
	c.shown.Granted = clients
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
	return answer(ctx, verdict.Caller)
}
