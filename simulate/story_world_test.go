package simulate_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/candignode/candignode/api"
	"github.com/candignode/candignode/node"
	"github.com/candignode/candignode/node/admin"
	"github.com/candignode/candignode/node/config"
	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/query/source/variants"
	"github.com/candignode/candignode/simulate"
	"github.com/candignode/candignode/simulate/idp"
	"github.com/candignode/candignode/trust"
)

// country is a few institutes whose roles differ, each a real node over TLS, and one
// server of pretend identity providers.
type country struct {
	t    *testing.T
	dir  string
	idp  *idp.Server
	http *http.Client // trusts the pretend CA, follows no redirect
	log  *slog.Logger
	by   map[trust.SiteName]*institute
}

type institute struct {
	c     *country
	name  trust.SiteName
	node  trust.NodeID
	peers net.PacketConn
	api   net.Listener
	url   string
	admin *admin.Client
}

func newCountry(t *testing.T, sites ...trust.SiteName) *country {
	t.Helper()
	c := &country{t: t, dir: shortDir(t), log: slog.New(slog.DiscardHandler), by: map[trust.SiteName]*institute{}}
	if testing.Verbose() {
		c.log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	server, closer, err := idp.Serve(t.Context(), filepath.Join(c.dir, "idp"), "op", "dac")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closer.Close() })
	c.idp, c.http = server, server.HTTPClient()
	for _, name := range sites {
		c.found(name)
	}
	return c
}

// shortDir is a directory whose path leaves room for unix sockets.
func shortDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "cn")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// found makes an institute's keys and opens its sockets.
func (c *country) found(name trust.SiteName) {
	c.t.Helper()
	i := &institute{c: c, name: name}
	must := func(err error) {
		c.t.Helper()
		if err != nil {
			c.t.Fatal(err)
		}
	}
	must(os.MkdirAll(i.path("datasets"), 0o750))
	key, err := config.CreateNodeKey(i.path("node.key"))
	must(err)
	i.node, err = trust.NodeIDOf(key.Public())
	must(err)
	for _, name := range []string{"visa", "passport", "link", "client"} {
		_, err := config.CreateSigningKey(i.path(name + ".key"))
		must(err)
	}
	must(config.CreateSubjectsKey(i.path("subjects.key")))
	i.peers, err = new(net.ListenConfig).ListenPacket(c.t.Context(), "udp", "127.0.0.1:0")
	must(err)
	i.api, err = new(net.ListenConfig).Listen(c.t.Context(), "tcp", "127.0.0.1:0")
	must(err)
	i.url = "https://" + i.api.Addr().String()
	must(os.WriteFile(i.path("ca.pem"), c.idp.CAPEM(), 0o600))
	must(idp.WriteCertificate(filepath.Join(c.dir, "idp"), i.path("tls.pem"), i.path("tls.key"), i.url))
	c.by[name] = i
}

func (i *institute) path(file string) string {
	return filepath.Join(i.c.dir, string(i.name), file)
}

// configuration is what stands in every institute's file; rest is its own.
func (i *institute) configuration(rest string) string {
	var peers strings.Builder
	for _, other := range i.c.by {
		if other != i {
			fmt.Fprintf(&peers, "    - {name: %s, node: %s, addr: %q, query: true}\n", other.name, other.node, other.peers.LocalAddr())
		}
	}
	return fmt.Sprintf(`site: {name: %s}
data_dir: .
federation:
  listen: %q
  advertise: %q
  peers:
%sapi: {listen: %q, external_url: %q, tls: {cert: tls.pem, key: tls.key, client_certificates: true}}
limits: {issuer_poll: 5s}
`, i.name, i.peers.LocalAddr(), i.peers.LocalAddr(), peers.String(), i.api.Addr(), i.url) + rest
}

// open writes the configuration, imports a cohort for each dataset, and runs the
// node until the test ends.
func (i *institute) open(rest string, cohorts map[string]uint64) {
	t := i.c.t
	t.Helper()
	path := i.path("candignode.yaml")
	if err := os.WriteFile(path, []byte(i.configuration(rest)), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(path)
	if err != nil {
		t.Fatalf("%s: %v", i.name, err)
	}
	if err := simulate.CreateState(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for dataset, seed := range cohorts {
		i.importCohort(c, dataset, seed)
	}
	socket, err := node.ListenAdmin(t.Context(), c.Admin.Socket)
	if err != nil {
		t.Fatal(err)
	}
	n, err := node.New(t.Context(), node.Options{
		Config: c, Sockets: node.Sockets{Peers: i.peers, API: i.api, Admin: socket}, Log: i.c.log.With("site", string(i.name)), Now: time.Now,
		LoadConfig: func() (*config.Config, error) { return config.Load(path) },
	})
	if err != nil {
		t.Fatalf("%s: %v", i.name, err)
	}
	i.admin = admin.Dial(c.Admin.Socket)
	life, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(life) }()
	end := sync.OnceFunc(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("%s: %v", i.name, err)
		}
	})
	t.Cleanup(end)
}

func (i *institute) importCohort(c *config.Config, dataset string, seed uint64) {
	t := i.c.t
	t.Helper()
	file := i.path(dataset + ".vcf")
	if err := simulate.WriteCohort(file, simulate.Site{Name: i.name, Seed: seed, Individuals: 400}); err != nil {
		t.Fatal(err)
	}
	imported, err := variants.Import(t.Context(), variants.ImportOptions{
		Dataset: dataset, Assembly: query.GRCh37, Files: []string{file}, Dir: node.ReleasesDir(c), Now: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := node.RegisterOffline(t.Context(), c, filepath.Base(imported.File), i.c.log); err != nil {
		t.Fatal(err)
	}
}

// client asks the institute with a token; "" is nobody.
func (i *institute) client(token string) api.Client {
	client := api.Client{BaseURL: i.url, HTTP: i.c.http}
	if token != "" {
		client.Bearer = func() string { return token }
	}
	return client
}

// do sends one request and gives status and body.
func (i *institute) do(method, path, contentType, body string, header map[string]string) (int, string) {
	i.c.t.Helper()
	request, err := http.NewRequestWithContext(i.c.t.Context(), method, i.url+path, strings.NewReader(body))
	if err != nil {
		i.c.t.Fatal(err)
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	for name, value := range header {
		request.Header.Set(name, value)
	}
	response, err := i.c.http.Do(request)
	if err != nil {
		i.c.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		i.c.t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// tokenOf signs a researcher in at a pretend provider and gives the access token
// that the client gets: a browser's code flow, done by hand.
func (c *country) tokenOf(issuer, client, subject string) string {
	c.t.Helper()
	const verifier = "0123456789012345678901234567890123456789012345"
	const redirect = "http://127.0.0.1:1/done"
	ask := url.Values{
		"response_type": {"code"}, "client_id": {client}, "redirect_uri": {redirect}, "login_hint": {subject},
		"scope": {"openid ga4gh_passport_v1"}, "state": {"s"}, "code_challenge": {challengeOf(verifier)}, "code_challenge_method": {"S256"},
	}
	response, err := c.http.Get(c.idp.Name(issuer) + "/authorize?" + ask.Encode())
	if err != nil {
		c.t.Fatal(err)
	}
	response.Body.Close()
	to, err := response.Location()
	if err != nil || to.Query().Get("code") == "" {
		c.t.Fatalf("no code: %d, %v, %v", response.StatusCode, to, err)
	}
	response, err = c.http.PostForm(c.idp.Name(issuer)+"/token", url.Values{
		"grant_type": {"authorization_code"}, "code": {to.Query().Get("code")}, "redirect_uri": {redirect},
		"client_id": {client}, "code_verifier": {verifier},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	var got struct {
		AccessToken string `json:"access_token"`
	}
	decodeJSON(c.t, response.Body, &got)
	if got.AccessToken == "" {
		c.t.Fatalf("no access token: %d", response.StatusCode)
	}
	return got.AccessToken
}

// eventually tries until it holds; what is waited for is real: keys that are fetched
// and connections that come up.
func (c *country) eventually(what string, holds func() (string, bool)) {
	c.t.Helper()
	deadline := time.After(40 * time.Second)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		said, ok := holds()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			c.t.Fatalf("%s: %s", what, said)
		}
	}
}
