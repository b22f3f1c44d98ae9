package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/passport"
)

// verify judges the passports of the request. One that is refused refuses the
// request as a whole (passports.md, row 6), and is recorded first.
func (e *exchange) verify(passports []string, callerOnly bool) (passport.Verdict, error) {
	if !e.private() {
		return passport.Verdict{}, errPlain
	}
	verdict, err := e.o.Verify(e.r.Context(), passports, callerOnly)
	if err == nil {
		return verdict, nil
	}
	var refusal *passport.Refusal
	if !errors.As(err, &refusal) {
		return passport.Verdict{}, err
	}
	bad := passports
	if refusal.Index >= 0 && refusal.Index < len(passports) {
		bad = passports[refusal.Index : refusal.Index+1]
	}
	return passport.Verdict{}, e.refuse(refusal.Reason, bad, refusal)
}

// noAuthorization refuses an Authorization header of any kind: whoever sends one
// means to be known, and must not be served as nobody.
func (e *exchange) noAuthorization() error {
	credentials, sent := e.r.Header[http.CanonicalHeaderKey("Authorization")]
	if !sent {
		return nil
	}
	leave, err := e.enter() // recording costs as much as a question does
	if err != nil {
		return err
	}
	defer leave()
	var tokens []string
	for _, credential := range credentials {
		_, token, found := strings.Cut(credential, " ")
		if !found {
			token = credential
		}
		tokens = append(tokens, strings.TrimSpace(token))
	}
	return e.refuse(trust.ReasonUnsupportedToken, tokens, errAuthorization)
}

// refuse records the refusal and gives why; without the record it gives
// errNotRecorded. Hanging up does not keep a refusal out of the log.
func (e *exchange) refuse(reason trust.Reason, credentials []string, why error) error {
	digests := make([]trust.Digest, 0, len(credentials))
	for _, c := range credentials {
		digests = append(digests, trust.DigestOf([]byte(c)))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.r.Context()), recordTimeout)
	defer cancel()
	if err := e.o.Refused(ctx, e.transaction, reason, digests); err != nil {
		// %v: the record's own error, a deadline perhaps, is not the caller's.
		return fmt.Errorf("%w: %v", errNotRecorded, err)
	}
	return why
}

// private tells whether nobody else on the way could have read the request: it
// came over TLS, or from this very machine, where something in front may end TLS
// (passports.md, row 71).
func (e *exchange) private() bool {
	if e.r.TLS != nil {
		return true
	}
	from, err := netip.ParseAddrPort(e.r.RemoteAddr)
	return err == nil && from.Addr().Unmap().IsLoopback()
}
