package web

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/candignode/candignode/query/beacon"
)

// body reads what a POST shows in its header, and its JSON body, in which all its
// parameters stand. It takes no place among the questions while it waits.
func (e *exchange) body() (credential, []byte, error) {
	c, err := e.credentials()
	if err != nil {
		return c, nil, err
	}
	if err := beacon.CheckNoURL(e.parameters); err != nil {
		return c, nil, err
	}
	if kind := e.r.Header.Get("Content-Type"); kind != "" && !isType(kind, jsonType) {
		return c, nil, errNotJSON
	}
	body, err := e.read(beacon.MaxBody)
	return c, body, err
}

// form reads a POSTed form. A parameter that comes twice could mean two things to
// two programs (RFC 6749, section 3.2).
func (e *exchange) form() (url.Values, error) {
	if len(e.parameters) > 0 || !isType(e.r.Header.Get("Content-Type"), formType) {
		return nil, errNotAForm
	}
	body, err := e.read(maxForm)
	if err != nil {
		return nil, err
	}
	return parseForm(string(body))
}

const formType = "application/x-www-form-urlencoded"

// parseForm reads a form strictly. A parameter without a value counts as absent
// (RFC 6749, section 3.2).
func parseForm(body string) (url.Values, error) {
	form, err := url.ParseQuery(body)
	if err != nil {
		return nil, errNotAForm // its own text quotes the body
	}
	for name, values := range form {
		switch {
		case len(values) != 1:
			return nil, errNotAForm
		case values[0] == "":
			delete(form, name)
		}
	}
	return form, nil
}

func isType(header, want string) bool {
	parsed, _, err := mime.ParseMediaType(header)
	return err == nil && parsed == want
}

// read reads at most limit bytes of body, in the time that it has.
func (e *exchange) read(limit int64) ([]byte, error) {
	if coding := e.r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return nil, errNotJSON
	}
	if e.r.ContentLength > limit {
		return nil, errBodyTooLarge
	}
	control := http.NewResponseController(e.w)
	_ = control.SetReadDeadline(time.Now().Add(bodyTimeout)) // not every writer has one
	body, err := io.ReadAll(http.MaxBytesReader(e.w, e.r.Body, limit))
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
