package node

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
)

// checkOwnSignatures fetches the key set that this site publishes, as others do,
// and reads a sample visa and passport with it (passports.md, row 113). What the
// site signs is worthless if others cannot find its keys, and nobody here would
// notice. It tries again until it succeeds; nothing waits for it.
func (n *Node) checkOwnSignatures(ctx context.Context) {
	if n.dac == nil && n.broker == nil {
		return
	}
	for {
		err := n.checkPublished(ctx)
		if err == nil {
			n.log.Info("others can verify what this site signs")
			return
		}
		if ctx.Err() != nil {
			return
		}
		n.log.Error("others cannot verify what this site signs: check api.external_url, its certificate, and what stands in front", "error", err)
		select {
		case <-time.After(selfCheckAgain):
		case <-ctx.Done():
			return
		}
	}
}

func (n *Node) checkPublished(ctx context.Context) error {
	set, err := n.fetchOwnKeys(ctx)
	if err != nil {
		return err
	}
	if n.dac != nil {
		err = n.dac.SelfCheck(ctx, set)
	}
	if n.broker != nil {
		err = errors.Join(err, n.broker.SelfCheck(ctx, set))
	}
	return err
}

// fetchOwnKeys gets the key set from the address in this site's own visas. The
// site's own certificate is believed besides the system's: it may be a private one.
func (n *Node) fetchOwnKeys(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, selfCheckTime)
	defer cancel()
	c := n.current().config
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if c.API.TLS.Enabled() {
		own, err := os.ReadFile(c.API.TLS.Cert)
		if err != nil {
			return nil, err
		}
		roots.AppendCertsFromPEM(own)
	}
	client := &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.API.ExternalURL+keysPath, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s answers %d", c.API.ExternalURL+keysPath, response.StatusCode)
	}
	return io.ReadAll(io.LimitReader(response.Body, maxOwnKeySet))
}
