package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/candignode/candignode/api"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/bearer"
	"github.com/candignode/candignode/trust/oidc"
)

// renewBefore the end of an access token it is renewed, so that it does not end on
// its way through the sites.
const renewBefore = time.Minute

// caPEM reads the private CA that --ca names.
func (r researcher) caPEM() (string, error) {
	if *r.ca == "" {
		return "", nil
	}
	pem, err := os.ReadFile(*r.ca)
	if err != nil {
		return "", err
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return "", usage("--ca: %s holds no PEM certificate", *r.ca)
	}
	return string(pem), nil
}

// nodeClient is a client of the node, and of its provider, that trusts a private CA
// besides the system's.
func nodeClient(node, ca string) (api.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if ca != "" {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		pool.AppendCertsFromPEM([]byte(ca))
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return api.Client{BaseURL: node, HTTP: &http.Client{Transport: transport}}, nil
}

// asker is a researcher's command at work: the node, and what the caller shows it.
type asker struct {
	api.Client
	passports []string
}

// anonymous tells whether the caller shows nothing.
func (a asker) anonymous() bool { return len(a.passports) == 0 && a.Bearer == nil }

// open finds out what to show the node: the passports that are given, else the
// sign-in that is kept, else nothing.
func (r researcher) open(ctx context.Context, stdin io.Reader) (asker, error) {
	node, err := nodeName(*r.url)
	if err != nil {
		return asker{}, err
	}
	ca, err := r.caPEM()
	if err != nil {
		return asker{}, err
	}
	passports, err := r.tokens(stdin)
	if err != nil {
		return asker{}, err
	}
	file, err := openTokenFile()
	if len(passports) > 0 || err != nil { // without a place for them there are no sign-ins
		client, err := nodeClient(node, ca)
		return asker{client, passports}, err
	}
	s, err := file.get(node)
	if err != nil && !errors.Is(err, errNoSignIn) {
		return asker{}, err
	}
	if ca == "" {
		ca = s.CAPEM
	}
	client, clientErr := nodeClient(node, ca)
	if clientErr != nil || err != nil {
		return asker{Client: client}, clientErr
	}
	if s, err = file.fresh(ctx, node, s, client.HTTP); err != nil {
		return asker{}, err
	}
	client.Bearer = s.Access.Reveal
	if !s.Session.IsZero() {
		client.Bearer = s.Session.Reveal
	}
	return asker{Client: client}, nil
}

// endsSoon tells whether the sign-in has ended or is about to.
func (s signIn) endsSoon(now time.Time, within time.Duration) bool {
	return !s.Expires.IsZero() && !now.Add(within).Before(s.Expires)
}

// fresh gives the sign-in with a token that is good for a while, renewed if need be.
func (f tokenFile) fresh(ctx context.Context, node string, s signIn, client *http.Client) (signIn, error) {
	if !s.endsSoon(time.Now(), renewBefore) {
		return s, nil
	}
	if s.Refresh.IsZero() {
		if !s.endsSoon(time.Now(), 0) {
			return s, nil
		}
		return s, signInAgain(node, "your sign-in has ended")
	}
	unlock, err := f.lock(ctx)
	if err != nil {
		return s, err
	}
	defer unlock()
	// Another command may have renewed it, or signed out, in the meantime.
	s, err = f.get(node)
	switch {
	case errors.Is(err, errNoSignIn):
		return s, signInAgain(node, "you have signed out")
	case err != nil || !s.endsSoon(time.Now(), renewBefore) || s.Refresh.IsZero():
		return s, err
	}
	public := oidc.Public{Client: client, Issuer: s.Issuer, ClientID: s.ClientID, Scopes: s.Scopes}
	tokens, err := public.Refresh(ctx, s.Refresh)
	switch {
	case errors.Is(err, bearer.ErrRefused):
		return s, signInAgain(node, "your sign-in has ended: "+err.Error())
	case err != nil && !s.endsSoon(time.Now(), 0):
		return s, nil // it is good for a moment yet
	case err != nil:
		return s, err
	}
	s.Access, s.Expires = tokens.Access, tokens.Expires
	if !tokens.Refresh.IsZero() {
		s.Refresh = tokens.Refresh
	}
	return s, f.put(node, &s)
}

func signInAgain(node, why string) error {
	return coded{exitDenied, fmt.Sprintf("%s; sign in again: candignode login --node %s", why, node)}
}

// refused says what to do about a 401.
func (a asker) refused(err error) error {
	problem, ok := errors.AsType[*api.Problem](err)
	switch {
	case !ok || problem.Status != http.StatusUnauthorized || len(a.passports) > 0:
		return err
	case a.Bearer != nil && trust.Reason(problem.Reason) == trust.ReasonRevoked:
		return coded{exitDenied, "the node does not take your sign-in: " + problem.Error()} // which says whom to ask
	case a.Bearer != nil:
		return signInAgain(a.BaseURL, "the node does not take your sign-in: "+problem.Error())
	}
	return coded{exitDenied, fmt.Sprintf("you are not signed in at %s: candignode login --node %s, or give a passport with --passport", a.BaseURL, a.BaseURL)}
}
