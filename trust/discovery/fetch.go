// Package discovery fetches what issuers publish about their keys: the OpenID
// Connect discovery document and JSON Web Key Sets, over HTTPS, under the rules of
// trust-protocol.md, section 9. It is the only part of the node that talks to
// issuers for their keys. The guarded HTTP client that others talk to issuers with
// comes from here too, and so do the endpoints to talk to.
//
// It fetches for configured issuers only, and only from addresses that the
// configuration or the issuer's own document names. A server that answers is not
// believed to be benign: size, time, redirects and the network behind a name are
// bounded, and anything unexpected refuses the whole fetch, so that what was held
// before stays. It keeps no state but HTTP clients and, for some minutes, endpoints,
// and decides nothing.
package discovery

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/issuers"
	"github.com/candignode/candignode/trust/jose"
)

// Fetcher implements issuers.Fetcher. It may be used from many goroutines.
type Fetcher struct {
	now     func() time.Time
	flights singleflight.Group // of discovery documents, for Endpoints

	mu        sync.Mutex
	clients   map[clientKey]*http.Client
	endpoints map[endpointsKey]held
}

var _ issuers.Fetcher = (*Fetcher)(nil)

// New makes a Fetcher.
func New() *Fetcher {
	return &Fetcher{now: time.Now, clients: map[clientKey]*http.Client{}, endpoints: map[endpointsKey]held{}}
}

// ErrIssuer is returned when the discovery document is of another issuer than the
// one that was asked: nothing of it is used (OpenID Connect Discovery 1.0, section
// 4.3; passports.md, row 93).
var ErrIssuer = errors.New("the discovery document is of another issuer")

// Fetch fetches the issuer's discovery document and key sets, in 5 s at most. For
// an issuer of visas only whose key sets are listed, these are fetched and nothing
// else. Keys are the union of all sets; if one of several fails, all do, because a
// set that is half there looks like withdrawn keys.
func (f *Fetcher) Fetch(ctx context.Context, p trust.IssuerPolicy, prior issuers.Validators) (issuers.Fetched, error) {
	got, err := f.fetch(ctx, p, prior)
	if err != nil {
		return issuers.Fetched{}, fmt.Errorf("issuer %.200q: %w", p.Issuer, err)
	}
	return got, nil
}

func (f *Fetcher) fetch(ctx context.Context, p trust.IssuerPolicy, prior issuers.Validators) (issuers.Fetched, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, maxTime, fmt.Errorf("it took longer than %s", maxTime))
	defer cancel()
	got := issuers.Fetched{NotModified: true}
	c, err := f.client(p)
	if err != nil {
		return got, err
	}
	sets := slices.Clone(p.JKU)
	if issuers.UsesDiscovery(p) {
		var unchanged bool
		got.Discovery, unchanged, err = f.get(ctx, c, wellKnown(p.Issuer), prior)
		if err != nil {
			return got, timeUp(ctx, err)
		}
		got.NotModified = got.NotModified && unchanged
		m, err := readMetadata(got.Discovery.Body, p.Issuer)
		if err != nil {
			return got, err
		}
		got.JWKSURI, got.Metadata = m.jwksURI, m.digest
		sets = append([]string{m.jwksURI}, sets...)
	}
	for i, address := range sets {
		// Operators list the jwks_uri as well, to be safe.
		if slices.Contains(sets[:i], address) {
			continue
		}
		doc, unchanged, err := f.get(ctx, c, address, prior)
		if err != nil {
			return got, timeUp(ctx, err)
		}
		got.NotModified = got.NotModified && unchanged
		got.Sets = append(got.Sets, doc)
	}
	if got.Keys, got.Rejected, err = issuers.KeysOf(p, got.Sets); err != nil || p.Home == "" {
		return got, err
	}
	f.homeSite(ctx, c, p, prior, &got)
	return got, nil
}

// homeSite reads the issuer's own statement whose home it is: {"site": SITEID} at
// /.well-known/candignode-site, below the issuer as its discovery document is (trust-protocol.md, section
// 7, Home authority). An issuer that makes none names nobody; that takes no key away.
func (f *Fetcher) homeSite(ctx context.Context, c *http.Client, p trust.IssuerPolicy, prior issuers.Validators, got *issuers.Fetched) {
	doc, unchanged, err := f.get(ctx, c, strings.TrimSuffix(p.Issuer, "/")+HomePath, prior)
	if err != nil {
		return // nobody is named; what else was fetched is good
	}
	got.NotModified = got.NotModified && unchanged
	var said struct {
		Site string `json:"site"`
	}
	if err := jose.Unmarshal(doc.Body, &said); err != nil {
		return
	}
	if id, err := trust.ParseSiteID(said.Site); err == nil {
		got.HomeSite = id
	}
}

// HomePath is where an issuer says which site is its home.
const HomePath = "/.well-known/candignode-site"

// wellKnown composes the discovery address: the issuer without one terminating
// slash, and the well-known part after it (OpenID Connect Discovery 1.0, section
// 4.1; passports.md, row 92). RFC 8414 inserts it before the path; OpenID issuers do
// not.
func wellKnown(issuer string) string {
	return strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration"
}

// metadata is what is used of a discovery document.
type metadata struct {
	jwksURI string
	digest  trust.Digest
}

func readMetadata(body []byte, issuer string) (metadata, error) {
	all, err := readIssuer(body, issuer)
	if err != nil {
		return metadata{}, err
	}
	address, _ := all["jwks_uri"].(string)
	if err := checkURL(address); err != nil {
		return metadata{}, fmt.Errorf("its jwks_uri: %w", err)
	}
	digest, err := digestOf(all)
	if err != nil {
		return metadata{}, err
	}
	return metadata{address, digest}, nil
}

// timeUp says so when the bound on time was the reason.
func timeUp(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}
