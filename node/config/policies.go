package config

import (
	"slices"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/jose"
)

// IssuerPolicies gives what the trust desk needs to know of each issuer, in the
// order of the file. The files it names were read by Load, so later changes to
// them count at the next reload only.
func (c *Config) IssuerPolicies() []trust.IssuerPolicy {
	policies := make([]trust.IssuerPolicy, 0, len(c.Issuers))
	for _, i := range c.Issuers {
		p := trust.IssuerPolicy{
			Issuer:              i.Issuer,
			Kinds:               slices.Clone(i.Kinds),
			Mode:                i.Mode,
			Algorithms:          slices.Clone(i.Algorithms),
			ClientIDs:           slices.Clone(i.ClientIDs),
			AcceptUnboundFrom:   slices.Clone(i.AcceptUnboundFrom),
			RequireAud:          i.RequireAud,
			JKU:                 slices.Clone(i.JKU),
			VisaTypes:           slices.Clone(i.VisaTypes),
			Sources:             slices.Clone(i.Sources),
			ValuePrefixes:       slices.Clone(i.ValuePrefixes),
			ManualJWKS:          slices.Clone(i.jwks),
			CAPEM:               slices.Clone(i.ca),
			AllowPrivateAddress: i.AllowPrivateAddresses,
			AllowMissingKeyID:   i.AllowMissingKID,
			WaiveKeyUse:         i.WaiveKeyUse,
			MaxStale:            i.MaxStale,
			LinksFor:            slices.Clone(i.LinksFor),
			MaxAssertedAge:      i.MaxAssertedAge,
			AccessTokenVisas:    i.AccessTokenVisas,
			Tokens:              i.Tokens,
			OpaqueTokens:        i.OpaqueTokens,
			ScopeArray:          i.ScopeArray,
			SignIn:              i.SignIn,
			Scopes:              slices.Clone(i.Scopes),
			Client:              i.client(),
			Endpoints: trust.Endpoints{
				Authorization: i.Endpoints.Authorization, Token: i.Endpoints.Token, UserInfo: i.Endpoints.UserInfo,
				Introspection: i.Endpoints.Introspection, DeviceAuthorization: i.Endpoints.DeviceAuthorization,
			},
			Claims: trust.ClaimSource{
				Endpoints: slices.Clone(i.Claims.Endpoints), Names: slices.Clone(i.Claims.Names), Token: i.claimToken,
			},
		}
		for _, peer := range i.PeerClientIDs {
			if p.PeerClientIDs == nil {
				p.PeerClientIDs = map[trust.SiteName][]string{}
			}
			p.PeerClientIDs[peer.Site] = slices.Clone(peer.ClientIDs)
		}
		p.Home, p.NoContinuity = i.Home, i.Continuity == "off"
		for _, g := range i.Groups {
			for _, w := range g.Witnesses {
				if p.Groups == nil {
					p.Groups = map[trust.SiteName]string{}
				}
				p.Groups[w] = string(g.Name)
			}
		}
		if i.usesWitnesses() {
			p.Witnesses, p.K = slices.Clone(i.Witnesses), i.K
		}
		policies = append(policies, p)
	}
	return policies
}

// Datasets gives the datasets as a decision sees them, in the order of the file.
func (c *Config) Datasets() []access.Dataset {
	datasets := make([]access.Dataset, 0, len(c.DatasetList))
	for _, d := range c.DatasetList {
		datasets = append(datasets, access.Dataset{
			ID:           d.ID,
			Level:        d.Access,
			Value:        d.Value,
			Issuers:      slices.Clone(d.Issuers),
			Sources:      slices.Clone(d.Sources),
			By:           slices.Clone(d.By),
			RegisteredBy: d.RegisteredBy,
		})
	}
	return datasets
}

// Peers gives the pinned peers, in the order of the file.
func (c *Config) Peers() []Peer { return slices.Clone(c.Federation.PeerList) }

// client is this node to the issuer.
func (i Issuer) client() trust.Client {
	client := trust.Client{ID: i.Client.ID, Secret: i.secret, CommandLineID: i.Client.CommandLineID}
	if i.clientKey != nil {
		client.Key = i.clientKey
		client.KeyID, _ = jose.Thumbprint(i.clientKey.Public()) // a P-256 key always has one
	}
	return client
}
