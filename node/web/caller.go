package web

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/passport"
	"github.com/candignode/candignode/trust/proof"
)

// verify judges what the request shows. One bad passport refuses the request as a
// whole (passports.md, row 6), and is recorded first. The caller of verify has
// entered.
func (e *exchange) verify(c credential, callerOnly bool) (passport.Verdict, error) {
	if !e.private() {
		return passport.Verdict{}, e.refuse(trust.ReasonUnsupportedToken, c.secrets(), errPlain)
	}
	held, err := e.prove(&c)
	e.identified = c // with what was proven
	if err != nil {
		return passport.Verdict{}, err
	}
	verdict, err := e.o.Verify(e.r.Context(), c.shown, callerOnly)
	if err != nil {
		return passport.Verdict{}, e.refused(c, err)
	}
	return verdict, e.useUp(c, held)
}

// prove examines the DPoP proof, if the scheme is DPoP.
func (e *exchange) prove(c *credential) (proof.Held, error) {
	if c.dpop == nil {
		return proof.Held{}, nil
	}
	if e.o.Proofs == nil || e.o.ExternalURL == "" {
		return proof.Held{}, e.refuse(trust.ReasonUnsupportedToken, c.secrets(), errNoProofs)
	}
	token := c.shown.Token
	if token.IsZero() {
		token = c.shown.Session
	}
	held, err := e.o.Proofs.Examine(proof.Proof{
		Headers: c.dpop, Method: e.r.Method, URL: e.o.ExternalURL + e.r.URL.Path, Token: token, Now: e.o.Now(),
	})
	if err != nil {
		return proof.Held{}, e.refuse(trust.ReasonProof, c.secrets(), err)
	}
	c.shown.Proven.JKT = held.JKT
	return held, nil
}

// useUp remembers the proof, once what came with it is good.
func (e *exchange) useUp(c credential, held proof.Held) error {
	if c.dpop == nil {
		return nil
	}
	if err := e.o.Proofs.Use(held, e.o.Now()); err != nil {
		return e.refuse(trust.ReasonProof, c.secrets(), err)
	}
	return nil
}

// refused records why a desk did not take what was shown. Other errors pass.
func (e *exchange) refused(c credential, err error) error {
	var refusal *passport.Refusal
	if !errors.As(err, &refusal) {
		return err
	}
	bad := c.secrets()
	if i := refusal.Index; len(c.shown.Passports) > 0 && i >= 0 && i < len(c.shown.Passports) {
		bad = c.shown.Passports[i : i+1]
	}
	return e.refuse(refusal.Reason, bad, refusal)
}

// turnAway is refuse for those who have not entered: recording costs as much as a
// question does.
func (e *exchange) turnAway(reason trust.Reason, credentials []string, why error) error {
	leave, err := e.enter()
	if err != nil {
		return err
	}
	defer leave()
	return e.refuse(reason, credentials, why)
}

// refuse records the refusal and gives why; without the record it gives
// errNotRecorded. Hanging up does not keep a refusal out of the log.
func (e *exchange) refuse(reason trust.Reason, credentials []string, why error) error {
	digests := make([]trust.Digest, 0, len(credentials))
	for _, c := range credentials[:min(len(credentials), maxRecorded)] {
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
