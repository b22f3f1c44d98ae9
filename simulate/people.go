package simulate

import (
	"path/filepath"

	"github.com/candignode/candignode/node/config"
	"github.com/candignode/candignode/node/session"
	"github.com/candignode/candignode/simulate/idp"
	"github.com/candignode/candignode/trust"
)

// CommandLineID is the client that people's command lines are at the broker.
func (s Site) CommandLineID() string { return string(s.Name) + "-cli" }

// Researcher is somebody whom the committee granted the dataset of every site.
func (p Plan) Researcher() idp.Researcher {
	who := idp.Researcher{Subject: "rosalind"}
	for _, s := range p.Sites {
		who.Visas = append(who.Visas, s.Grant())
	}
	return who
}

// Stranger is somebody whom nobody granted anything.
func (p Plan) Stranger() idp.Researcher { return idp.Researcher{Subject: "grace"} }

// CAFile is where a site has the certificate that the pretend issuers' verify with.
func (p Plan) CAFile(name trust.SiteName) string {
	return filepath.Join(p.SiteDir(name), "issuers-ca.pem")
}

// letPeopleIn registers with the broker who may sign in, and at which sites: each
// site is a client that signs in browsers and exchanges their tokens for passports, for
// itself and for each peer alone, and has a public client for command lines.
func (p Plan) letPeopleIn(issuers *idp.Server, ids map[trust.SiteName]trust.NodeID) error {
	if err := issuers.Register(Broker, p.Researcher(), p.Stranger()); err != nil {
		return err
	}
	for _, s := range p.Sites {
		key, err := config.CreateSigningKey(filepath.Join(p.SiteDir(s.Name), "client.key"))
		if err != nil {
			return err
		}
		resources := map[string]string{s.URL: s.URL}
		for _, id := range ids {
			resource := "urn:candignode:node:" + string(id)
			resources[resource] = resource
		}
		if err := issuers.AddClients(Broker,
			idp.Client{
				ID: s.ClientID(), Key: key.Public(), Exchange: true, Audience: []string{s.URL}, Resources: resources,
				RedirectURIs: []string{s.URL + "/login/callback/" + session.KeyOf(p.IssuerName(Broker))},
			},
			idp.Client{ID: s.CommandLineID(), RedirectURIs: []string{"http://127.0.0.1/callback"}, Audience: []string{s.CommandLineID()}},
		); err != nil {
			return err
		}
	}
	return nil
}
