package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/query/beacon"
	"github.com/candignode/candignode/trust"
)

func getVariants(e *exchange) error {
	if err := e.noAuthorization(); err != nil {
		return err
	}
	d, err := beacon.DecodeGet(query.GVariants, e.parameters)
	if err != nil {
		return err
	}
	return e.question(d)
}

func postVariants(e *exchange) error {
	body, err := e.body()
	if err != nil {
		return err
	}
	d, err := beacon.DecodePost(query.GVariants, body)
	if err != nil {
		return err
	}
	return e.question(d)
}

// question answers what was decoded. Test mode is answered before anybody looks
// at the caller or asks a desk (passports.md, row 135). A probe that asks for nothing
// looks at the caller all the same: a bad passport refuses every request that
// carries it (row 6).
func (e *exchange) question(d beacon.Decoded) error {
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
	if d.NothingAsked && (d.Request.TestMode || len(d.Passports) == 0) {
		return e.answer(http.StatusOK, jsonType, beacon.NothingAsked(e.about(), d, e.transaction))
	}
	leave, err := e.enter()
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := e.begin()
	defer cancel()
	caller, err := e.caller(d.Passports)
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

// caller is who asks: nobody in particular without passports.
func (e *exchange) caller(passports []string) (trust.Caller, error) {
	if len(passports) == 0 {
		return trust.Caller{}, nil
	}
	verdict, err := e.verify(passports, true)
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

// body reads the body of a POST whose parameters all stand in it. It takes no
// place among the questions while it waits.
func (e *exchange) body() ([]byte, error) {
	if err := e.noAuthorization(); err != nil {
		return nil, err
	}
	if err := beacon.CheckNoURL(e.parameters); err != nil {
		return nil, err
	}
	if kind := e.r.Header.Get("Content-Type"); kind != "" {
		if parsed, _, err := mime.ParseMediaType(kind); err != nil || parsed != jsonType {
			return nil, errNotJSON
		}
	}
	if coding := e.r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return nil, errNotJSON
	}
	if e.r.ContentLength > beacon.MaxBody {
		return nil, errBodyTooLarge
	}
	control := http.NewResponseController(e.w)
	_ = control.SetReadDeadline(time.Now().Add(bodyTimeout)) // not every writer has one
	body, err := io.ReadAll(http.MaxBytesReader(e.w, e.r.Body, beacon.MaxBody))
	var large *http.MaxBytesError
	switch {
	case err == nil:
		return body, nil
	case errors.As(err, &large):
		return nil, errBodyTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, errSlowBody
	}
	return nil, errBrokenBody
}

// writeBy gives the answer until then to leave. It runs on the machine's clock,
// as all deadlines of connections do.
func (e *exchange) writeBy() {
	_ = http.NewResponseController(e.w).SetWriteDeadline(time.Now().Add(writeGrace))
}
