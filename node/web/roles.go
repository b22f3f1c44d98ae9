package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/candignode/candignode/query/beacon"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/proof"
)

// Broker is the node as an issuer of passports.
type Broker interface {
	// Discovery is its OpenID Provider metadata.
	Discovery() any
	// Token answers at the token endpoint, with what becomes the JSON of the answer or
	// with an *OAuthError.
	Token(ctx context.Context, call TokenCall) (any, error)
	// UserInfo answers about a caller who was authenticated.
	UserInfo(ctx context.Context, caller trust.Caller, transaction string) (Reply, error)
}

// Claims is the node as a source of distributed claims: a JWT about a caller who
// was authenticated (OpenID Connect Core 1.0, section 5.6.2).
type Claims interface {
	Claims(ctx context.Context, caller trust.Caller, transaction string) (trust.Passport, error)
}

// TokenCall is a request to the token endpoint. Who the client is, the Broker finds
// out.
type TokenCall struct {
	// Form has each parameter once, and none that is empty.
	Form          url.Values
	Authorization []string // the headers, unread
	Proven        trust.Proven
	Transaction   string
}

// Reply is an answer that is not made of JSON here.
type Reply struct {
	MediaType string
	Body      []byte
}

// OAuthError is an error answer of the token endpoint (RFC 6749, section 5.2).
type OAuthError struct {
	Status int // 400 or 401
	Code   string
	Detail string // may be shown
}

// Error gives "code: detail".
func (e *OAuthError) Error() string { return e.Code + ": " + e.Detail }

func discovery(e *exchange) error {
	return e.answer(http.StatusOK, jsonType, e.o.Broker.Discovery())
}

// jwkSetType is RFC 7517, section 8.5.2.
const jwkSetType = "application/jwk-set+json"

func keySet(e *exchange) error {
	e.send(http.StatusOK, jwkSetType, e.o.KeySet())
	return nil
}

// token hands a form to the broker. No cookie counts here: the client is not a
// browser.
func token(e *exchange) error {
	if !e.private() {
		return e.oauthFailure(&OAuthError{Status: http.StatusBadRequest, Code: "invalid_request", Detail: errPlain.Error()})
	}
	form, err := e.form()
	if err != nil {
		f := failureOf(err)
		return e.oauthFailure(&OAuthError{Status: f.status, Code: "invalid_request", Detail: f.detail})
	}
	leave, err := e.enter()
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := e.begin()
	defer cancel()
	call := TokenCall{Form: form, Authorization: e.r.Header.Values("Authorization"), Transaction: e.transaction}
	call.Proven.X5T = e.certificate()
	if proofs := e.r.Header.Values("DPoP"); len(proofs) > 0 {
		if call.Proven.JKT, err = e.proofOfClient(proofs); err != nil {
			return err
		}
	}
	granted, err := e.o.Broker.Token(ctx, call)
	if err != nil {
		var own *OAuthError
		if errors.As(err, &own) {
			return e.oauthFailure(own)
		}
		return err
	}
	return e.answer(http.StatusOK, jsonType, granted)
}

// proofOfClient checks a proof where there is no token yet (RFC 9449, section 5).
func (e *exchange) proofOfClient(proofs []string) (string, error) {
	if e.o.Proofs == nil || e.o.ExternalURL == "" {
		return "", e.refuse(trust.ReasonUnsupportedToken, proofs, errNoProofs)
	}
	held, err := e.o.Proofs.Examine(proof.Proof{
		Headers: proofs, Method: e.r.Method, URL: e.o.ExternalURL + e.r.URL.Path, Now: e.o.Now(),
	})
	if err == nil {
		err = e.o.Proofs.Use(held, e.o.Now())
	}
	if err != nil {
		return "", e.refuse(trust.ReasonProof, proofs, err)
	}
	return held.JKT, nil
}

// oauthFailure answers as RFC 6749, section 5.2, says.
func (e *exchange) oauthFailure(o *OAuthError) error {
	if o.Status == http.StatusUnauthorized {
		e.w.Header().Set("WWW-Authenticate", "Basic")
	}
	if o.Status == http.StatusRequestTimeout || o.Status == http.StatusRequestEntityTooLarge {
		e.w.Header().Set("Connection", "close")
	}
	return e.answer(o.Status, jsonType, map[string]string{"error": o.Code, "error_description": o.Detail})
}

func userInfo(e *exchange) error {
	return e.asCaller(func(ctx context.Context, caller trust.Caller) error {
		reply, err := e.o.Broker.UserInfo(ctx, caller, e.transaction)
		if err == nil {
			e.send(http.StatusOK, reply.MediaType, reply.Body)
		}
		return err
	})
}

func claims(e *exchange) error {
	return e.asCaller(func(ctx context.Context, caller trust.Caller) error {
		jwt, err := e.o.Claims.Claims(ctx, caller, e.transaction)
		if err == nil {
			e.send(http.StatusOK, "application/jwt", []byte(jwt.Compact()))
		}
		return err
	})
}

// asCaller answers for whoever shows a token in the header. A cookie is not enough:
// what is given out is a credential itself, and no page's business.
func (e *exchange) asCaller(answer func(context.Context, trust.Caller) error) error {
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
