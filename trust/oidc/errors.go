package oidc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/candignode/candignode/trust/bearer"
)

// Error is why a provider did not do what it was asked. Its text is safe to show and
// to log: it names the issuer and the operation, and quotes nothing that the provider
// sent but an error code from a fixed list.
type Error struct {
	Op     string // "UserInfo", "token exchange", ...
	Issuer string
	Kind   error  // bearer.ErrRefused, bearer.ErrUnavailable, bearer.ErrNoWay, or a sentinel of this package
	Status int    // of the HTTP answer; 0 if there was none
	Code   string // the OAuth error code, "" if there was none that is known
	// RetryAfter is how long the provider asks to be left alone, an hour at most; 0
	// if it does not say. Nothing here asks again by itself.
	RetryAfter time.Duration
	Detail     string

	cause error // ctx's error, or that of the socket, or one of package polling
}

// Error names the issuer, what was asked and what went wrong.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s at issuer %.200q: %s", e.Op, e.Issuer, e.Kind)
	if e.Status != 0 {
		fmt.Fprintf(&b, ": it answered %d", e.Status)
	}
	if e.Code != "" {
		fmt.Fprintf(&b, ": %s", e.Code)
	}
	if e.Detail != "" {
		fmt.Fprintf(&b, ": %s", e.Detail)
	}
	return b.String()
}

// Unwrap gives the kind, and what interrupted the request.
func (e *Error) Unwrap() []error {
	if e.cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.cause}
}

// codes are the error codes that may be quoted, of RFC 6749, 6750, 8628, 8693, 8707
// and 9449 and OpenID Connect Core 1.0. Anything else that a provider writes there
// could be the token itself.
var codes = []string{
	"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope",
	"access_denied", "unsupported_response_type", "server_error", "temporarily_unavailable",
	"invalid_token", "insufficient_scope", "invalid_target",
	"authorization_pending", "slow_down", "expired_token",
	"invalid_dpop_proof", "use_dpop_nonce",
	"interaction_required", "login_required", "account_selection_required", "consent_required",
}

func knownCode(code string) string {
	if slices.Contains(codes, code) {
		return code
	}
	return ""
}

var challengeError = regexp.MustCompile(`(?:^|[ ,])error="([a-z_]{1,40})"`)

// codeOf finds the error code of an answer, in the body (RFC 6749, section 5.2) or
// the challenge (RFC 6750, section 3).
func codeOf(h http.Header, body []byte) string {
	if code := knownCode(errorMember(body)); code != "" {
		return code
	}
	for _, challenge := range h.Values("WWW-Authenticate") {
		if m := challengeError.FindStringSubmatch(challenge); len(challenge) <= maxSmall && m != nil {
			return knownCode(m[1])
		}
	}
	return ""
}

// answered judges an answer that is not 200.
func (e endpoint) answered(r *http.Response, body []byte, now time.Time) *Error {
	err := &Error{
		Op: e.op, Issuer: e.issuer.Issuer, Kind: bearer.ErrUnavailable, Status: r.StatusCode,
		Code: codeOf(r.Header, body), RetryAfter: retryAfter(r.Header.Get("Retry-After"), now),
	}
	switch r.StatusCode {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
		err.Kind = bearer.ErrRefused
	}
	switch err.Code {
	// Some providers say so with 400.
	case "server_error", "temporarily_unavailable":
		err.Kind = bearer.ErrUnavailable
	case "invalid_client", "unauthorized_client":
		// It is this node that is not taken: whoever brought the token, or has a session
		// that it would renew, is not to lose it for that.
		err.Kind = bearer.ErrUnavailable
		err.Detail = "it does not take this node's client id with its key or secret; compare them with what is registered there"
	case "invalid_target":
		err.Kind = bearer.ErrNoWay
		err.Detail = "it makes no passports for that node"
	}
	if r.StatusCode >= 300 && r.StatusCode < 400 {
		err.Detail = "redirects are never followed; configure the endpoint that it leads to"
	}
	return err
}

func (e endpoint) nonsense(detail string) *Error {
	return &Error{Op: e.op, Issuer: e.issuer.Issuer, Kind: bearer.ErrUnavailable, Status: http.StatusOK, Detail: detail}
}

// passing tells whether it may be different the next time: the network, or a provider
// that says it is busy or broken.
func (e *Error) passing() bool {
	return errors.Is(e.Kind, bearer.ErrUnavailable) && (e.Status == 0 || e.Status == http.StatusTooManyRequests || e.Status >= 500)
}

func (e endpoint) noWay(detail string) *Error {
	return &Error{Op: e.op, Issuer: e.issuer.Issuer, Kind: bearer.ErrNoWay, Detail: detail}
}

// failed makes an error of a request that got no answer. What net/http says may
// quote the server's bytes, and those may be the token, so only what is known to hold
// none is kept.
func failed(ctx context.Context, op, issuer string, err error, otherwise string) *Error {
	out := &Error{Op: op, Issuer: issuer, Kind: bearer.ErrUnavailable, Detail: otherwise}
	if ctx.Err() != nil {
		out.cause, out.Detail = ctx.Err(), "it did not answer in time"
		return out
	}
	if own, ok := errors.AsType[*Error](err); ok {
		return own
	}
	if netErr, ok := errors.AsType[net.Error](err); ok && netErr.Timeout() {
		out.Detail = "it did not answer in time"
	}
	var name x509.HostnameError
	var unknown x509.UnknownAuthorityError
	var record tls.RecordHeaderError
	switch op, isOp := errors.AsType[*net.OpError](err); {
	case errors.As(err, &name):
		out.Detail = "its certificate is for another host"
	case errors.As(err, &unknown):
		out.Detail = "its certificate is of an unknown authority; set ca_file if that is meant"
	case errors.As(err, &record):
		out.Detail = "it does not speak TLS"
	case isOp:
		// Made by this machine: what was dialled, and why it was not.
		out.cause, out.Detail = op, op.Error()
	}
	return out
}

// retryAfter reads the header of RFC 9110, section 10.2.3: seconds or a date.
func retryAfter(says string, now time.Time) time.Duration {
	says = strings.TrimSpace(says)
	var wait time.Duration
	if seconds, err := strconv.ParseUint(says, 10, 32); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if date, err := http.ParseTime(says); err == nil {
		wait = date.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}
