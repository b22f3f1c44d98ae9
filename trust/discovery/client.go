package discovery

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/issuers"
)

// clientKey names the two things that make one issuer's client differ from
// another's.
type clientKey struct {
	ca           trust.Digest // zero: the system's roots
	allowPrivate bool
}

func clientKeyOf(p trust.IssuerPolicy) clientKey {
	key := clientKey{allowPrivate: p.AllowPrivateAddress}
	if len(p.CAPEM) > 0 {
		key.ca = trust.DigestOf(p.CAPEM)
	}
	return key
}

// client gives the HTTP client for an issuer. Clients keep no connections, so that
// an idle node holds none and each fetch resolves and checks addresses anew.
func (f *Fetcher) client(p trust.IssuerPolicy) (*http.Client, error) {
	key := clientKeyOf(p)
	f.mu.Lock()
	defer f.mu.Unlock()
	if c, ok := f.clients[key]; ok {
		return c, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(p.CAPEM) > 0 {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(p.CAPEM) {
			return nil, errors.New("its CA file holds no certificate in PEM form")
		}
	}
	dialer := &net.Dialer{Timeout: maxTime, Control: control(p.AllowPrivateAddress)}
	c := &http.Client{
		// No Proxy: the environment of a daemon is not the operator's word.
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSClientConfig: config,
			DisableKeepAlives: true, DisableCompression: true,
			MaxResponseHeaderBytes: maxHeader,
		},
		CheckRedirect: sameOrigin,
	}
	// Reloads of the configuration leave clients behind; all go at once, as they hold
	// nothing that is dear.
	if len(f.clients) >= maxClients {
		clear(f.clients)
	}
	f.clients[key] = c
	return c, nil
}

var errRedirect = errors.New("redirect is refused")

// sameOrigin lets a server move a document on its own origin only: another one was
// not approved.
func sameOrigin(to *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("%w: more than %d", errRedirect, maxRedirects)
	}
	if a, b := origin(via[0].URL), origin(to.URL); a != b {
		return fmt.Errorf("%w: from %.200q to %.200q, another origin; configure the address it leads to", errRedirect, a, b)
	}
	return nil
}

// origin is scheme, host and port with the default port written out (RFC 6454, section
// 4).
func origin(u *url.URL) string {
	port := u.Port()
	if port == "" && u.Scheme == "https" {
		port = "443"
	}
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// checkURL takes absolute https addresses only, without what could hide where
// they lead.
func checkURL(address string) error {
	u, err := url.Parse(address)
	switch {
	case len(address) > maxAddress:
		return fmt.Errorf("the address is longer than %d bytes", maxAddress)
	case err != nil:
		return fmt.Errorf("%.200q is not a URL", address)
	case u.Scheme != "https":
		return fmt.Errorf("%.200q is not https", address)
	case u.Hostname() == "" || u.Opaque != "":
		return fmt.Errorf("%.200q names no host", address)
	case u.User != nil || u.Fragment != "" || strings.Contains(address, "#"):
		return fmt.Errorf("%.200q has a user or a fragment in it", u.Redacted())
	}
	return nil
}

// get fetches one document, or confirms that the one held is still right.
func (f *Fetcher) get(ctx context.Context, c *http.Client, address string, prior issuers.Validators) (doc issuers.Document, unchanged bool, err error) {
	if err := checkURL(address); err != nil {
		return doc, false, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return doc, false, fmt.Errorf("%.200q: %w", address, err)
	}
	request.Header.Set("Accept", "application/json, application/jwk-set+json")
	request.Header.Set("User-Agent", "candignode")
	held, have := prior.Held(address)
	if have && held.ETag != "" {
		request.Header.Set("If-None-Match", held.ETag)
	}
	response, err := c.Do(request)
	if err != nil {
		return doc, false, fmt.Errorf("GET %.200q: %w", address, plain(err))
	}
	defer response.Body.Close()
	switch {
	// Only an answer to what was asked: a 304 without a tag sent is nonsense.
	case response.StatusCode == http.StatusNotModified && have && held.ETag != "":
		return held, true, nil
	case response.StatusCode != http.StatusOK:
		return doc, false, fmt.Errorf("GET %.200q: the server answered %d, not 200", address, response.StatusCode)
	}
	if err := checkContent(response.Header); err != nil {
		return doc, false, fmt.Errorf("GET %.200q: %w", address, err)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	if err != nil {
		return doc, false, fmt.Errorf("GET %.200q: reading the answer: %w", address, plain(err))
	}
	// A connection that is torn down because time is up can look like an answer
	// that has ended.
	if ctx.Err() != nil {
		return doc, false, fmt.Errorf("GET %.200q: reading the answer: %w", address, ctx.Err())
	}
	if len(body) > maxBody {
		return doc, false, fmt.Errorf("GET %.200q: the answer is longer than %d bytes", address, maxBody)
	}
	doc = issuers.Document{Address: address, Body: body}
	if tag := response.Header.Get("ETag"); len(tag) <= maxETag {
		doc.ETag = tag
	}
	return doc, false, nil
}

// checkContent refuses what is not JSON by its own label, and encodings: 64 KiB
// that unpack to gigabytes are not read. Key sets are served under many labels, so
// the body itself decides the rest.
func checkContent(h http.Header) error {
	if e := h.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return fmt.Errorf("the answer is encoded (%.40q), though that was not asked for", e)
	}
	media, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err == nil && (media == "text/html" || media == "application/xhtml+xml") {
		return errors.New("the answer is a web page, not JSON: is the address right, or a login page in between?")
	}
	return nil
}

// plain takes the method and the URL, which are told already, out of an error of
// net/http.
func plain(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}
