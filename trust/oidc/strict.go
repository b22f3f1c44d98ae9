package oidc

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/oauth2"
)

// strict gives x/oauth2 an HTTP client under which it sees only answers that passed
// the checks of this package: it reads JSON laxly, takes forms for JSON, follows
// redirects, and puts what it does not understand into its errors. It does not pass
// ctx on everywhere either.
func (e endpoint) strict(ctx context.Context, check func(body []byte) (wrong string)) context.Context {
	base := e.client.Transport
	if base == nil {
		base = http.DefaultTransport
	}
	client := withoutRedirects(e.client)
	client.Transport = &strictTransport{base: base, endpoint: e, flow: ctx, check: check}
	return context.WithValue(ctx, oauth2.HTTPClient, client)
}

type strictTransport struct {
	base     http.RoundTripper
	endpoint endpoint
	flow     context.Context // of the whole sign-in, which lasts longer than one request
	check    func([]byte) string
}

// RoundTrip gives good answers, whole, and the two errors that a device flow waits
// for. All else is an *Error.
func (t *strictTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(r.Context(), maxTime)
	defer cancel()
	defer context.AfterFunc(t.flow, cancel)()
	r = r.Clone(ctx)
	r.GetBody = nil
	r.Header.Set("Accept", mediaJSON)
	r.Header.Set("User-Agent", "candignode")
	e := t.endpoint
	response, err := t.base.RoundTrip(r)
	if err != nil {
		return nil, failed(ctx, e.op, e.issuer.Issuer, err, "it could not be reached, or its answer was not HTTP")
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(response.Body, maxSmall))
		refusal := e.answered(response, body, time.Now())
		if refusal.Code == "authorization_pending" || refusal.Code == "slow_down" {
			return answer(response, fmt.Appendf(nil, `{"error":%q}`, refusal.Code)), nil
		}
		return nil, refusal
	}
	doc, err := e.read(ctx, response, want{[]string{mediaJSON}, maxTokens})
	if err != nil {
		return nil, err
	}
	if wrong := t.check(doc.Body); wrong != "" {
		return nil, e.nonsense(wrong)
	}
	return answer(response, doc.Body), nil
}

// answer is response with a body that is known, and labelled as what it is.
func answer(response *http.Response, body []byte) *http.Response {
	known := *response
	known.Header = http.Header{"Content-Type": {mediaJSON}}
	known.Body = io.NopCloser(bytes.NewReader(body))
	known.ContentLength = int64(len(body))
	return &known
}

// checkTokens looks at a reply as strictly as the node does.
func checkTokens(body []byte) string {
	_, wrong := readTokens(body, time.Time{})
	return wrong
}
