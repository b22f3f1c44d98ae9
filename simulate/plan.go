// Package simulate makes whole federations on one machine: sites with their
// own keys, state, data and configuration files, and the pretend issuers that they
// trust. The demo runs them in one process; simulate/compose.yaml runs the same
// directories in containers.
package simulate

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"text/template"
	"time"

	"github.com/candignode/candignode/node"
	"github.com/candignode/candignode/node/config"
	"github.com/candignode/candignode/node/rootkey"
	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/query/source/variants"
	"github.com/candignode/candignode/simulate/cohort"
	"github.com/candignode/candignode/simulate/idp"
	"github.com/candignode/candignode/trust"
)

// The pretend world: who signs, and for what.
const (
	Broker  = "broker" // signs researchers in and hands out passports
	DAC     = "dac"    // the committee that signs grants
	Dataset = "rarivitis-2025"
	// DACSource is the committee, as visas name it.
	DACSource = "https://dac.example.org"
)

// Site is one site of a Plan, as the others and its own process see it.
type Site struct {
	Name        trust.SiteName
	DisplayName string
	Listen      string // UDP address that it listens on
	Addr        string // host:port under which the others reach that
	API         string // TCP address for researchers
	URL         string // how researchers name it
	VCF         string // file to import; "": generated
	Seed        uint64 // of the generated cohort
	Individuals int    // of the generated cohort
	// Newcomer is laid out as a site that is on its own: nobody knows it, and it knows
	// nobody until it joins.
	Newcomer bool
}

// Grant is the committee's grant for the site's dataset. Each site has its own:
// a researcher may hold one and not the other.
func (s Site) Grant() idp.Grant {
	return idp.Grant{Value: DACSource + "/datasets/rarivitis/" + string(s.Name), Source: DACSource}
}

// ClientID is the site's own OIDC client id at the broker.
func (s Site) ClientID() string { return string(s.Name) + "-node" }

// Plan is a federation to be laid out below Dir: a directory for each site, and
// one for the issuers.
type Plan struct {
	Dir        string
	IssuerURL  string // base address of the pretend issuers
	IssuerPoll time.Duration
	TLS        bool // researchers are served over HTTPS, with a certificate of the pretend CA
	SignIn     bool // people sign in with the pretend broker; its server must be that of Write
	Sites      []Site
}

// SiteDir is where a site lives.
func (p Plan) SiteDir(name trust.SiteName) string { return filepath.Join(p.Dir, string(name)) }

// IssuerDir is where the pretend issuers live.
func (p Plan) IssuerDir() string { return filepath.Join(p.Dir, "issuer") }

// ConfigPath is a site's configuration file.
func (p Plan) ConfigPath(name trust.SiteName) string {
	return filepath.Join(p.SiteDir(name), "candignode.yaml")
}

// IssuerName is the address of one of the pretend issuers.
func (p Plan) IssuerName(name string) string { return p.IssuerURL + "/" + name }

// Write lays the federation out: keys, configuration, data. Dir must be empty or
// not exist. Paths in the configuration are relative to it, so that the directory may
// be moved into a container.
func (p Plan) Write(ctx context.Context) (*idp.Server, error) {
	if entries, err := os.ReadDir(p.Dir); err == nil && len(entries) > 0 {
		return nil, fmt.Errorf("%s is not empty; give an empty or a new directory", p.Dir)
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	issuers, err := idp.Open(p.IssuerDir(), p.IssuerURL, Broker, DAC)
	if err != nil {
		return nil, err
	}
	ids := map[trust.SiteName]trust.NodeID{}
	for _, s := range p.Sites {
		if err := os.MkdirAll(node.ReleasesDir(&config.Config{DataDir: p.SiteDir(s.Name)}), 0o750); err != nil {
			return nil, err
		}
		key, err := config.CreateNodeKey(filepath.Join(p.SiteDir(s.Name), "node.key"))
		if err != nil {
			return nil, err
		}
		if ids[s.Name], err = trust.NodeIDOf(key.Public()); err != nil {
			return nil, err
		}
	}
	if p.SignIn {
		if err := p.letPeopleIn(issuers, ids); err != nil {
			return nil, err
		}
	}
	for _, s := range p.Sites {
		if err := p.writeConfig(s, ids, issuers.CAPEM()); err != nil {
			return nil, fmt.Errorf("site %s: %w", s.Name, err)
		}
		if err := p.importData(ctx, s); err != nil {
			return nil, fmt.Errorf("site %s: %w", s.Name, err)
		}
	}
	return issuers, nil
}

// siteConfig is what an operator of such a site would write.
const siteConfig = `# {{.Site.DisplayName}}, one site of a simulated federation.
site:     {name: {{.Site.Name}}, display_name: {{printf "%q" .Site.DisplayName}}}
data_dir: .
federation:
  listen: "{{.Site.Listen}}"
  advertise: "{{.Site.Addr}}"
  peers:
{{- range .Peers}}
    - {name: {{.Name}}, node: {{.Node}}, addr: "{{.Addr}}", query: true}
{{- end}}
api:
  listen: "{{.Site.API}}"
  external_url: "{{.Site.URL}}"
{{- if .TLS}}
  tls: {cert: tls.pem, key: tls.key}
{{- end}}
issuers:
  - issuer: {{.Broker}}
    kinds: [login, passport]
    mode: {{.Mode}}
{{- if .Witnesses}}
    witnesses: [{{range $i, $w := .Witnesses}}{{if $i}}, {{end}}{{$w}}{{end}}]
{{- end}}
    client_ids: [{{.Site.ClientID}}]
{{- if .SignIn}}
    tokens: exchange
    sign_in: true
    client: {id: {{.Site.ClientID}}, key: client.key, command_line_id: {{.Site.CommandLineID}}}
{{- end}}
    ca_file: issuers-ca.pem
    allow_private_addresses: true
  - issuer: {{.DAC}}
    kinds: [visa]
    mode: direct
    jku: [{{.DAC}}/jwks]
    visa_types: [ControlledAccessGrants]
    sources: ["{{.Source}}"]
    ca_file: issuers-ca.pem
    allow_private_addresses: true
datasets:
  - {id: {{.Dataset}}, access: controlled, value: "{{.Value}}"}
privacy: {threshold: 10}
limits:  {issuer_poll: {{.Poll}}}
log:     {level: info, format: json}
`

type peerLine struct {
	Name trust.SiteName
	Node trust.NodeID
	Addr string
}

func (p Plan) writeConfig(s Site, ids map[trust.SiteName]trust.NodeID, ca []byte) error {
	data := struct {
		Site                      Site
		Peers                     []peerLine
		Witnesses                 []trust.SiteName
		Broker, DAC, Source, Mode string
		Dataset, Value            string
		Poll                      time.Duration
		TLS, SignIn               bool
	}{
		Site: s, Broker: p.IssuerName(Broker), DAC: p.IssuerName(DAC), Source: DACSource, Mode: "direct",
		Dataset: Dataset, Value: s.Grant().Value, Poll: p.IssuerPoll, TLS: p.TLS, SignIn: p.SignIn,
	}
	for _, other := range p.Sites {
		if other.Name != s.Name && !other.Newcomer && !s.Newcomer {
			data.Peers = append(data.Peers, peerLine{other.Name, ids[other.Name], other.Addr})
			data.Witnesses = append(data.Witnesses, other.Name)
		}
	}
	if len(data.Witnesses) >= 2 {
		data.Mode = "direct+quorum"
	} else {
		data.Witnesses = nil
	}
	var text bytes.Buffer
	if err := template.Must(template.New("site").Parse(siteConfig)).Execute(&text, data); err != nil {
		return err
	}
	dir := p.SiteDir(s.Name)
	if err := os.WriteFile(filepath.Join(dir, "issuers-ca.pem"), ca, 0o640); err != nil {
		return err
	}
	if data.TLS {
		if err := idp.WriteCertificate(p.IssuerDir(), filepath.Join(dir, "tls.pem"), filepath.Join(dir, "tls.key"), s.URL); err != nil {
			return err
		}
	}
	return os.WriteFile(p.ConfigPath(s.Name), text.Bytes(), 0o640)
}

// importData fills the site's dataset as its operator would, with no daemon
// running.
func (p Plan) importData(ctx context.Context, s Site) error {
	c, err := config.Load(p.ConfigPath(s.Name))
	if err != nil {
		return err
	}
	if err := CreateState(ctx, c); err != nil {
		return err
	}
	file := s.VCF
	if file == "" {
		file = filepath.Join(p.SiteDir(s.Name), "cohort.vcf")
		if err := WriteCohort(file, s); err != nil {
			return err
		}
		defer os.Remove(file)
	}
	imported, err := variants.Import(ctx, variants.ImportOptions{
		Dataset: Dataset, Assembly: query.GRCh37, Files: []string{file}, Dir: node.ReleasesDir(c), Now: time.Now(),
	})
	if err != nil {
		return err
	}
	return node.RegisterOffline(ctx, c, filepath.Base(imported.File), slog.New(slog.DiscardHandler))
}

// CreateState makes the state of a pretend site, with root keys of its own: they lie
// unencrypted in its data directory.
func CreateState(ctx context.Context, c *config.Config) error {
	dir := filepath.Join(c.DataDir, "root-keys")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	today, err := rootkey.Create(rootkey.FileName(dir, 1, 1), "")
	if err != nil {
		return err
	}
	next, err := rootkey.Create(rootkey.FileName(dir, 2, 1), "")
	if err != nil {
		return err
	}
	public, _ := next.Public().(ed25519.PublicKey)
	_, err = node.CreateState(ctx, c, node.Identity{Today: []crypto.Signer{today}, Next: []ed25519.PublicKey{public}})
	return err
}

// WriteCohort writes the VCF of a site's generated cohort to a new file.
func WriteCohort(path string, s Site) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	err = cohort.Write(f, cohort.Options{Site: string(s.Name), Seed: s.Seed, Individuals: s.Individuals})
	return errors.Join(err, f.Close())
}
