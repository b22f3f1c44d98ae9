package discovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/issuers"
	"github.com/candignode/candignode/trust/jose"
)

// Client gives the HTTP client for requests to the issuer's own endpoints, which
// carry tokens and codes: addresses are refused at the moment of dialling, as for
// documents, the issuer's private CA counts, no proxy is asked, no redirect is ever
// followed, and 10 s end every request with its body (passports.md, row 87). An
// error is about the issuer's CA file.
func (f *Fetcher) Client(p trust.IssuerPolicy) (*http.Client, error) {
	c, err := f.client(p)
	if err != nil {
		return nil, fmt.Errorf("issuer %.200q: %w", p.Issuer, err)
	}
	return &http.Client{Transport: c.Transport, CheckRedirect: neverRedirect, Timeout: maxRequest}, nil
}

// neverRedirect keeps a token from following whoever answered, on its own origin
// too: another path there may be another party's, or a log.
func neverRedirect(*http.Request, []*http.Request) error {
	return fmt.Errorf("%w: a request that carries a token is never sent on", errRedirect)
}

// endpointsKey names what one discovery document was fetched for. The CA and the
// addresses that may be dialled belong to it: a document that was got under a looser
// policy is no answer under a stricter one.
type endpointsKey struct {
	issuer string
	client clientKey
}

// held is the last good document's endpoints, and when it was last asked for.
type held struct {
	endpoints trust.Endpoints
	good      time.Time // zero: there never was a good one
	tried     time.Time
	err       error // of the last try, if it failed
}

// Endpoints gives the issuer's endpoints: the operator's own word member by member,
// and for the rest the issuer's discovery document, whose issuer must be identical
// (passports.md, rows 91 to 93). Every one is https. "" is absent.
//
// Documents are kept for 10 minutes and fetched once for all who wait. If a fetch
// fails the last good document counts for an hour more; after a failure nothing is
// asked for 30 s. An issuer without a discovery document (visas only, or a source of
// claims only) has the operator's endpoints alone. Canceling ctx ends the wait and
// not the fetch, because others may wait for it.
func (f *Fetcher) Endpoints(ctx context.Context, p trust.IssuerPolicy) (trust.Endpoints, error) {
	var found trust.Endpoints
	own := p.Endpoints
	if hasDocument(p) {
		var err error
		if found, err = f.discovered(ctx, p); err != nil {
			// The operator's own word holds without the document, except for sign-in: only
			// the document tells whether responses carry iss (RFC 9207).
			if own.Authorization = ""; own == (trust.Endpoints{}) || ctx.Err() != nil {
				return trust.Endpoints{}, fmt.Errorf("issuer %.200q: %w", p.Issuer, err)
			}
		}
	}
	merged := trust.Endpoints{
		Authorization:       cmp.Or(own.Authorization, found.Authorization),
		Token:               cmp.Or(own.Token, found.Token),
		UserInfo:            cmp.Or(own.UserInfo, found.UserInfo),
		Introspection:       cmp.Or(own.Introspection, found.Introspection),
		DeviceAuthorization: cmp.Or(own.DeviceAuthorization, found.DeviceAuthorization),
		// Either word makes the check of iss stricter, so neither can take it away.
		ResponseIss: own.ResponseIss || found.ResponseIss,
	}
	if err := checkEndpoints(merged); err != nil {
		return trust.Endpoints{}, fmt.Errorf("issuer %.200q: %w", p.Issuer, err)
	}
	return merged, nil
}

// hasDocument tells whether an issuer's endpoints are looked for in a discovery
// document. Sources of claims need not be OpenID providers, and are asked at the
// addresses that their policy lists.
func hasDocument(p trust.IssuerPolicy) bool {
	return issuers.UsesDiscovery(p) && (p.Is(trust.KindLogin) || p.Is(trust.KindPassport) || p.Is(trust.KindVisa))
}

// checkEndpoints refuses the lot for one address that is not plain https: a document
// that sends one of its requests in the clear is no guide for the others.
func checkEndpoints(e trust.Endpoints) error {
	for _, one := range []struct{ name, address string }{
		{"authorization_endpoint", e.Authorization}, {"token_endpoint", e.Token}, {"userinfo_endpoint", e.UserInfo},
		{"introspection_endpoint", e.Introspection}, {"device_authorization_endpoint", e.DeviceAuthorization},
	} {
		if one.address == "" {
			continue
		}
		if err := checkURL(one.address); err != nil {
			return fmt.Errorf("its %s: %w", one.name, err)
		}
	}
	return nil
}

// discovered gives what the document says, from memory if that is young enough.
func (f *Fetcher) discovered(ctx context.Context, p trust.IssuerPolicy) (trust.Endpoints, error) {
	key := endpointsKey{p.Issuer, clientKeyOf(p)}
	if e, ok, err := f.remembered(key); ok || err != nil {
		return e, err
	}
	done := f.flights.DoChan(fmt.Sprintf("%q %s %t", key.issuer, key.client.ca, key.client.allowPrivate), func() (any, error) {
		// Somebody's flight may have landed between the look and the start of this one.
		if e, ok, err := f.remembered(key); ok || err != nil {
			return e, err
		}
		e, err := f.fetchEndpoints(context.WithoutCancel(ctx), p)
		f.remember(key, e, err)
		return e, err
	})
	select {
	case <-ctx.Done():
		return trust.Endpoints{}, ctx.Err()
	case result := <-done:
		if result.Err == nil {
			return result.Val.(trust.Endpoints), nil
		}
		// The refresh failed; what is held may still serve.
		if e, ok, _ := f.remembered(key); ok {
			return e, nil
		}
		return trust.Endpoints{}, result.Err
	}
}

// remembered tells what needs no fetch: a young document, or, shortly after a
// failure, the last good one or that failure.
func (f *Fetcher) remembered(key endpointsKey) (e trust.Endpoints, ok bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h, there := f.endpoints[key]
	now := f.now()
	switch {
	case !there:
		return e, false, nil
	case h.err == nil:
		return h.endpoints, now.Sub(h.good) < freshEndpoints, nil
	case now.Sub(h.tried) >= retryEndpoints:
		return e, false, nil
	case !h.good.IsZero() && now.Sub(h.good) < freshEndpoints+staleEndpoints:
		return h.endpoints, true, nil
	}
	return e, false, h.err
}

func (f *Fetcher) remember(key endpointsKey, e trust.Endpoints, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.endpoints[key]
	h.tried, h.err = f.now(), err
	if err == nil {
		h.endpoints, h.good = e, h.tried
	}
	f.endpoints[key] = h
	if len(f.endpoints) > maxEndpoints {
		f.forgetOldest()
	}
}

// forgetOldest makes room for one. Reloads of the configuration leave entries
// behind, and nobody asks for those again.
func (f *Fetcher) forgetOldest() {
	var oldest endpointsKey
	var tried time.Time
	for key, h := range f.endpoints {
		if tried.IsZero() || h.tried.Before(tried) {
			oldest, tried = key, h.tried
		}
	}
	delete(f.endpoints, oldest)
}

func (f *Fetcher) fetchEndpoints(ctx context.Context, p trust.IssuerPolicy) (trust.Endpoints, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, maxTime, fmt.Errorf("it took longer than %s", maxTime))
	defer cancel()
	c, err := f.client(p)
	if err != nil {
		return trust.Endpoints{}, err
	}
	doc, _, err := f.get(ctx, c, wellKnown(p.Issuer), issuers.Validators{})
	if err != nil {
		return trust.Endpoints{}, timeUp(ctx, err)
	}
	return readEndpoints(doc.Body, p.Issuer)
}

// readEndpoints takes the endpoints out of a discovery document (OpenID Connect
// Discovery 1.0, section 3; RFC 8414, section 2; RFC 8628, section 4; RFC 9207,
// section 3). Their addresses are checked after the operator's word is laid over them.
func readEndpoints(body []byte, issuer string) (trust.Endpoints, error) {
	all, err := readIssuer(body, issuer)
	if err != nil {
		return trust.Endpoints{}, err
	}
	var e trust.Endpoints
	for name, to := range map[string]*string{
		"authorization_endpoint": &e.Authorization, "token_endpoint": &e.Token, "userinfo_endpoint": &e.UserInfo,
		"introspection_endpoint": &e.Introspection, "device_authorization_endpoint": &e.DeviceAuthorization,
	} {
		switch address := all[name].(type) {
		case nil: // absent, or null as some providers write it
		case string:
			*to = address
		default:
			return trust.Endpoints{}, fmt.Errorf("its discovery document has a %s that is not text", name)
		}
	}
	const responseIss = "authorization_response_iss_parameter_supported"
	switch says := all[responseIss].(type) {
	case nil:
	case bool:
		e.ResponseIss = says
	default: // "true" read as false would leave out a check
		return trust.Endpoints{}, fmt.Errorf("its discovery document has a %s that is neither true nor false", responseIss)
	}
	return e, nil
}

// readIssuer decodes a discovery document and makes sure whose it is.
func readIssuer(body []byte, issuer string) (map[string]any, error) {
	var all map[string]any
	if err := jose.Unmarshal(body, &all); err != nil || all == nil {
		return nil, fmt.Errorf("its discovery document is not a JSON object: %w", cmp.Or(err, errors.New("it is null")))
	}
	// Compared byte for byte: what a token's iss must equal is never normalised.
	named, ok := all["issuer"].(string)
	if !ok || named != issuer {
		return nil, fmt.Errorf("%w: it says %.200q; write the issuer in the configuration exactly as its documents do", ErrIssuer, named)
	}
	return all, nil
}
