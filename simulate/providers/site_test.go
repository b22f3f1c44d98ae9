package providers

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/api"
	"github.com/candignode/candignode/node"
	"github.com/candignode/candignode/node/config"
	"github.com/candignode/candignode/node/session"
	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/query/source/variants"
	"github.com/candignode/candignode/simulate"
	"github.com/candignode/candignode/trust"
)

// site is a whole node, as its operator configures and starts it, with the
// researchers' door on TLS.
type site struct {
	w       *world
	dir     string
	URL     string
	door    net.Listener
	log     *logged
	carried api.Question // about a variant that somebody carries
	carrier int64        // how many
}

const dataset = "rarivitis-2025"

// newSite reserves the site's address, which its identity provider must know.
func (w *world) newSite() *site {
	w.t.Helper()
	dir, err := os.MkdirTemp("", "cn") // short: unix socket paths are
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { os.RemoveAll(dir) })
	door, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { door.Close() })
	return &site{w: w, dir: dir, door: door, URL: "https://" + door.Addr().String(), log: &logged{}}
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

// callback is what the operator registers at the issuer.
func (s *site) callback(issuer string) string {
	return s.URL + "/login/callback/" + session.KeyOf(issuer)
}

// operatorConfig is what an operator writes for such a provider: a secret, for it
// knows no private_key_jwt; introspection, for its tokens say nothing.
const operatorConfig = `site:     {name: uhn}
data_dir: .
federation: {listen: "127.0.0.1:0"}
api:
  listen: "127.0.0.1:0"
  external_url: "%[1]s"
  tls: {cert: %[2]s, key: %[3]s}
issuers:
  - issuer: %[4]s
    kinds: [login, passport]
    mode: direct
    continuity: "off" # it shows one key at a time, so no set shares a key with the one before
    client_ids: [%[5]s, %[6]s]
    tokens: introspection
    opaque_tokens: true
    sign_in: true
    client: {id: %[5]s, secret_file: client.secret}
    ca_file: ca.pem
    allow_private_addresses: true
  - issuer: %[7]s
    kinds: [visa]
    mode: direct
    jku: [%[7]s/jwks]
    visa_types: [ControlledAccessGrants]
    sources: ["%[8]s"]
    ca_file: ca.pem
    allow_private_addresses: true
datasets:
  - {id: %[9]s, access: controlled, value: "%[10]s"}
limits:  {issuer_poll: 5s}
log:     {level: debug, format: json}
`

// start lays the site out and runs its node until the test ends.
func (s *site) start(l *lemon) {
	t := s.w.t
	t.Helper()
	certFile, keyFile := s.w.certificate(s.URL)
	text := fmt.Sprintf(operatorConfig, s.URL, certFile, keyFile, l.Issuer, nodeClient, scriptClient,
		s.w.committee.Name(committee), grantSource, dataset, grantValue)
	for name, content := range map[string]string{
		"candignode.yaml": text, "ca.pem": string(s.w.committee.CAPEM()), "client.secret": clientSecret + "\n",
	} {
		if err := os.WriteFile(s.path(name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := config.CreateNodeKey(s.path("node.key")); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(s.path("candignode.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := simulate.CreateState(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	s.importCohort(c)
	s.run(c)
}

// importCohort fills the dataset, and remembers a question about it.
func (s *site) importCohort(c *config.Config) {
	t := s.w.t
	t.Helper()
	if err := os.MkdirAll(node.ReleasesDir(c), 0o750); err != nil {
		t.Fatal(err)
	}
	vcf := s.path("cohort.vcf")
	if err := simulate.WriteCohort(vcf, simulate.Site{Name: "uhn", Seed: 1, Individuals: 200}); err != nil {
		t.Fatal(err)
	}
	imported, err := variants.Import(t.Context(), variants.ImportOptions{
		Dataset: dataset, Assembly: query.GRCh37, Files: []string{vcf}, Dir: node.ReleasesDir(c), Now: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := node.RegisterOffline(t.Context(), c, filepath.Base(imported.File), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	// The first variant with carriers, counted in the file itself.
	lines, err := os.ReadFile(vcf)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(lines)) {
		columns := strings.Split(strings.TrimSpace(line), "\t")
		if strings.HasPrefix(line, "#") || strings.Contains(columns[4], ",") {
			continue
		}
		s.carrier = 0
		for _, genotype := range columns[9:] {
			if strings.Contains(strings.SplitN(genotype, ":", 2)[0], "1") {
				s.carrier++
			}
		}
		if s.carrier > 20 {
			var position int64
			fmt.Sscan(columns[1], &position)
			s.carried = api.Question{Assembly: "GRCh37", Chrom: columns[0], Start: position - 1, Ref: columns[3], Alt: columns[4], Granularity: "count", SiteOnly: true}
			return
		}
	}
	t.Fatal("nobody carries anything")
}

func (s *site) run(c *config.Config) {
	t := s.w.t
	t.Helper()
	peers, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sockets := node.Sockets{Peers: peers, API: s.door}
	if sockets.Admin, err = node.ListenAdmin(t.Context(), c.Admin.Socket); err != nil {
		t.Fatal(err)
	}
	n, err := node.New(t.Context(), node.Options{Config: c, Sockets: sockets, Log: slog.New(slog.NewJSONHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	life, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(life) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("the node stopped with %v", err)
		}
		if t.Failed() {
			t.Logf("the node's last words:\n%s", tail([]byte(s.log.String()), 6000))
		}
	})
	until(t, "the node believing its issuers' keys", 20*time.Second, func() bool { return n.Settled() == "" })
}

// client asks the site with a token, "" for none.
func (s *site) client(token string) api.Client {
	c := api.Client{BaseURL: s.URL, HTTP: &http.Client{Transport: s.w.transport(), Timeout: 30 * time.Second}}
	if token != "" {
		c.Bearer = func() string { return token }
	}
	return c
}

// signIn signs a person in at the site's own page, and gives the session's token.
func (s *site) signIn(b *browser, issuer string) string {
	t := s.w.t
	t.Helper()
	p := b.visit(s.URL + "/login/start?" + url.Values{"issuer": {issuer}}.Encode())
	token := s.cookieOf(b)
	if p.status != http.StatusOK || !strings.HasPrefix(token, session.Prefix) {
		t.Fatalf("sign-in ended at %s%s with %d, by way of %v:\n%.1500s", p.url.Host, p.url.Path, p.status, b.seen, p.text)
	}
	return token
}

func (s *site) cookieOf(b *browser) string {
	at, _ := url.Parse(s.URL)
	for _, cookie := range b.client.Jar.Cookies(at) {
		if cookie.Name == "__Host-candignode" {
			return cookie.Value
		}
	}
	return ""
}

// whoamiAsPage asks as a page of the site itself does, with the cookie.
func (s *site) whoamiAsPage(b *browser, origin string) (int, api.Whoami) {
	t := s.w.t
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/v1/whoami", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Origin", origin)
	response, err := b.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var who api.Whoami
	if response.StatusCode == http.StatusOK {
		if err := json.Unmarshal(body, &who); err != nil {
			t.Fatal(err)
		}
	}
	return response.StatusCode, who
}

// counted is the site's count for the question, with what it said of itself.
func (s *site) counted(t *testing.T, token string) (count int64, status string, err error) {
	t.Helper()
	answer, err := s.client(token).Query(t.Context(), s.carried, nil)
	if err != nil {
		return 0, "", err
	}
	if len(answer.Sites) != 1 {
		t.Fatalf("%d sites answered", len(answer.Sites))
	}
	if answer.Count != nil {
		count = *answer.Count
	}
	return count, answer.Sites[0].Status, nil
}

// issuerOf is what the site knows a provider's people by.
func issuerOf(l *lemon, subject string) trust.Identity {
	return trust.Identity{Issuer: l.Issuer, Subject: subject}
}
