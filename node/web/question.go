package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/query/beacon"
	"github.com/candignode/candignode/trust"
)

func getVariants(e *exchange) error {
	c, err := e.credentials()
	if err != nil {
		return err
	}
	d, err := beacon.DecodeGet(query.GVariants, e.parameters)
	if err != nil {
		return err
	}
	return e.question(d, c)
}

func postVariants(e *exchange) error {
	c, body, err := e.body()
	if err != nil {
		return err
	}
	d, err := beacon.DecodePost(query.GVariants, body)
	if err != nil {
		return err
	}
	return e.question(d, c)
}

// question answers what was decoded. Test mode is answered before anybody looks
// at the caller or asks a desk (passports.md, row 135). A probe that asks for nothing
// looks at the caller all the same: a bad passport refuses every request that
// carries it (row 6).
func (e *exchange) question(d beacon.Decoded, c credential) error {
	d.Request.Transaction = e.transaction
	if d.Request.TestMode && !d.NothingAsked {
		answer := beacon.Synthetic(e.o.About(), d.Request)
		return e.respond(d, func(each func(query.Part)) (query.Answer, error) {
			for _, part := range answer.Parts {
				each(part)
			}
			return answer, nil
		})
	}
	if d.NothingAsked && (d.Request.TestMode || len(d.Passports) == 0 && c.shown.Nobody()) {
		return e.answer(http.StatusOK, jsonType, beacon.NothingAsked(e.about(), d, e.transaction))
	}
	leave, err := e.enter()
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := e.begin()
	defer cancel()
	if c, err = e.with(c, d.Passports); err != nil {
		return err
	}
	caller, err := e.caller(c)
	if err != nil {
		return err
	}
	if d.NothingAsked {
		return e.answer(http.StatusOK, jsonType, beacon.NothingAsked(e.about(), d, e.transaction))
	}
	return e.respond(d, func(each func(query.Part)) (query.Answer, error) {
		if e.network {
			return e.o.Network.AskEach(ctx, caller, d.Request, each)
		}
		answer, err := e.o.Local.Ask(ctx, caller, d.Request)
		if err == nil {
			for _, part := range answer.Parts {
				each(part)
			}
		}
		return answer, err
	})
}

// begin starts the question's time. It ends early when the caller hangs up.
func (e *exchange) begin() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(e.r.Context(), e.o.RequestTimeout)
	e.r = e.r.WithContext(ctx)
	return ctx, cancel
}

// caller is who asks: nobody in particular if nothing is shown.
func (e *exchange) caller(c credential) (trust.Caller, error) {
	if c.shown.Nobody() {
		return trust.Caller{}, nil
	}
	verdict, err := e.verify(c, true)
	return verdict.Caller, err
}

// respond lets ask answer, as one document or as a stream of lines.
func (e *exchange) respond(d beacon.Decoded, ask func(each func(query.Part)) (query.Answer, error)) error {
	if wantsLines(e.r.Header.Values("Accept")) {
		return e.stream(d, ask)
	}
	answer, err := ask(func(query.Part) {})
	if err != nil {
		return noAnswer(err)
	}
	return e.answer(http.StatusOK, jsonType, beacon.Results(e.about(), d, answer))
}

// noAnswer marks a desk's error. A desk fails only if the question cannot be
// asked or its answer could not be recorded (query.Asker), or because time is up.
func noAnswer(err error) error {
	if errors.Is(err, query.ErrRequest) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%w: %w", errNoAnswer, err)
}

// writeBy gives the answer until then to leave. It runs on the machine's clock,
// as all deadlines of connections do.
func (e *exchange) writeBy() {
	_ = http.NewResponseController(e.w).SetWriteDeadline(time.Now().Add(writeGrace))
}
