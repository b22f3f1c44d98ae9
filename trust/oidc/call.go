package oidc

import (
	"context"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/bearer"
	"github.com/candignode/candignode/trust/jose"
)

const (
	mediaJSON          = "application/json"
	mediaJWT           = "application/jwt"
	mediaIntrospection = "application/token-introspection+jwt" // RFC 9701, section 5
	mediaForm          = "application/x-www-form-urlencoded"
)

// want is what an answer may be.
type want struct {
	media []string // the first is asked for before the others
	max   int      // bytes
}

// withoutRedirects gives a copy of c that ends every request at the first answer,
// whatever c itself does: a redirect is an answer like any other that is not 200.
func withoutRedirects(c *http.Client) *http.Client {
	still := *c
	still.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	still.Jar = nil // no session at a provider outlives a request
	return &still
}

// checkAddress says what is wrong with an endpoint's address, or "". Plain http is
// for providers on the very machine of the command line.
func checkAddress(address string, loopback bool) string {
	u, err := url.Parse(address)
	switch {
	case err != nil || len(address) > maxAddress || u.Hostname() == "" || u.Opaque != "":
		return "its address is not a URL with a host"
	case u.User != nil || strings.Contains(address, "#"):
		return "its address has a user or a fragment in it"
	case u.Scheme == "https" || loopback && u.Scheme == "http" && isLoopback(u.Hostname()):
		return ""
	}
	return "its address is not https"
}

func isLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.Unmap().IsLoopback()
}

// bearerToken is RFC 6750, section 2.1. What is no such token is not sent.
var bearerToken = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`)

// get asks with the token in the Authorization header, or with none.
func (p *Provider) get(ctx context.Context, e endpoint, token trust.AccessToken, w want) (bearer.Document, error) {
	r, err := http.NewRequest(http.MethodGet, e.address, nil)
	if err != nil {
		return bearer.Document{}, e.noWay("its address is not a URL")
	}
	if !token.IsZero() {
		if !bearerToken.MatchString(token.Reveal()) {
			return bearer.Document{}, &Error{Op: e.op, Issuer: e.issuer.Issuer, Kind: bearer.ErrRefused, Detail: "the token has characters in it that no token has (RFC 6750, section 2.1)"}
		}
		r.Header.Set("Authorization", "Bearer "+token.Reveal())
	}
	return p.do(ctx, e, r, w)
}

// post sends a form, with the node's own authentication if it has any.
func (p *Provider) post(ctx context.Context, e endpoint, form url.Values, w want) (bearer.Document, error) {
	header, err := p.authenticate(e, form)
	if err != nil {
		return bearer.Document{}, err
	}
	r, err := http.NewRequest(http.MethodPost, e.address, strings.NewReader(form.Encode()))
	if err != nil {
		return bearer.Document{}, e.noWay("its address is not a URL")
	}
	// A request that can be sent again would be, by net/http, on a torn connection.
	r.GetBody = nil
	r.Header.Set("Content-Type", mediaForm)
	if header != "" {
		r.Header.Set("Authorization", header)
	}
	return p.do(ctx, e, r, w)
}

// do makes one request, and takes 200 with one of the media types that w names.
func (p *Provider) do(ctx context.Context, e endpoint, r *http.Request, w want) (bearer.Document, error) {
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	r = r.WithContext(ctx)
	r.Header.Set("Accept", strings.Join(w.media, ", "))
	r.Header.Set("User-Agent", "candignode")
	response, err := withoutRedirects(e.client).Do(r)
	if err != nil {
		return bearer.Document{}, failed(ctx, e.op, e.issuer.Issuer, err, "it could not be reached, or its answer was not HTTP")
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		// A redirect of a token is worth a look: a proxy in between, or worse.
		if response.StatusCode >= 300 && response.StatusCode < 400 {
			p.o.Log.Warn("a provider redirects a request that carries a token; it was not followed", "issuer", e.issuer.Issuer, "operation", e.op)
		}
		body, _ := io.ReadAll(io.LimitReader(response.Body, maxSmall))
		return bearer.Document{}, e.answered(response, body, p.o.Now())
	}
	return e.read(ctx, response, w)
}

// read takes the body of a good answer.
func (e endpoint) read(ctx context.Context, response *http.Response, w want) (bearer.Document, error) {
	// 16 KiB that unpack to gigabytes are not read.
	if encoding := response.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return bearer.Document{}, e.nonsense("its answer is compressed, though that was not asked for")
	}
	says := response.Header.Get("Content-Type")
	media, _, err := mime.ParseMediaType(says)
	if err != nil || !slices.Contains(w.media, media) {
		return bearer.Document{}, e.nonsense("its answer is not " + strings.Join(w.media, " or ") + "; is a login page in between?")
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, int64(w.max)+1))
	// A connection that is torn down because time is up can look like an answer
	// that has ended.
	if err != nil || ctx.Err() != nil {
		return bearer.Document{}, failed(ctx, e.op, e.issuer.Issuer, err, "its answer breaks off")
	}
	if len(body) > w.max {
		return bearer.Document{}, e.nonsense("its answer is too long")
	}
	return bearer.Document{MediaType: says, Body: body}, nil
}

// errorMember gives the member error of a JSON object, "" if there is none.
func errorMember(body []byte) string {
	var says struct {
		Error jose.Text `json:"error"`
	}
	if jose.Unmarshal(body, &says) != nil {
		return ""
	}
	return says.Error.Value
}
