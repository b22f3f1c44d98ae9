package node

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/candignode/candignode/federation"
	"github.com/candignode/candignode/federation/wire"
	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/jose"
)

// ownNeeds is what this site says to peers that it needs to know of callers, out of
// what it serves, by which rules, and whom it trusts for what.
func (n *Node) ownNeeds() federation.Needs {
	s := n.current()
	needs := trusting(n.issuers.View())
	if s.config.Policy.Dir != "" {
		return byOwnRules(needs, s.policy.VisaTypes())
	}
	return byBuiltInRules(needs, s.local.Datasets)
}

// trusting says whom a site trusts for passports, visas and links.
func trusting(view *trust.View) federation.Needs {
	needs := federation.Needs{Open: []string{}, Passports: []string{}, VisaIssuers: []string{}}
	for _, i := range view.Issuers {
		p := i.Policy
		if p.Is(trust.KindPassport) {
			needs.Passports = append(needs.Passports, p.Issuer)
		}
		if p.Is(trust.KindVisa) {
			needs.VisaIssuers = append(needs.VisaIssuers, p.Issuer)
			if slices.Contains(p.VisaTypes, trust.VisaLinkedIdentities) {
				needs.Links = append(needs.Links, federation.LinkNeed{Issuer: p.Issuer, For: p.LinksFor})
			}
		}
	}
	slices.Sort(needs.Passports)
	slices.Sort(needs.VisaIssuers)
	slices.SortFunc(needs.Links, func(a, b federation.LinkNeed) int { return cmp.Compare(a.Issuer, b.Issuer) })
	return needs
}

// byOwnRules adds what rules that the operator wrote read: they say which types of visas, and nothing of
// which datasets need none.
func byOwnRules(needs federation.Needs, kinds []string) federation.Needs {
	needs.Closed = true
	for _, kind := range kinds {
		needs.Visas = append(needs.Visas, federation.VisaNeed{Type: kind})
	}
	return needs
}

// byBuiltInRules adds what the built-in rules read for the datasets.
func byBuiltInRules(needs federation.Needs, datasets []access.Dataset) federation.Needs {
	for _, d := range datasets {
		needs.Visas = append(needs.Visas, neededFor(d)...)
		if d.Level == access.Public && d.Value == "" && len(needs.Open) < query.MaxDatasets {
			needs.Open = append(needs.Open, d.ID)
		} else {
			needs.Closed = true
		}
	}
	return needs
}

// neededFor says which visas the built-in rules read for a dataset (configs/policy).
func neededFor(d access.Dataset) []federation.VisaNeed {
	var value trust.Digest
	if d.Value != "" {
		value = trust.DigestOfString(d.Value)
	}
	var needed []federation.VisaNeed
	if d.Value != "" { // the rule for controlled datasets looks at the value only
		needed = append(needed, federation.VisaNeed{Type: trust.VisaControlledAccessGrants, Value: value, Issuers: d.Issuers})
	}
	if d.Level == access.Registered && d.RegisteredBy != access.ByLogin {
		for _, kind := range []string{trust.VisaAcceptedTermsAndPolicies, trust.VisaResearcherStatus} {
			needed = append(needed, federation.VisaNeed{Type: kind, Value: value, Issuers: d.Issuers})
		}
	}
	return needed
}

// needsOf gives what a peer says that it needs.
func (n *Node) needsOf(p federation.Peer) (*federation.Needs, bool) {
	return n.needs.Of(p.Node, n.now())
}

// learnNeeds asks connected peers what they need, each once in a while, until ctx ends.
func (n *Node) learnNeeds(ctx context.Context) {
	ticker := time.NewTicker(needsTick)
	defer ticker.Stop()
	for {
		var asked sync.WaitGroup
		n.needs.Keep(n.memberIDs())
		for _, p := range n.mesh.Peers() {
			if p.Connected && n.needs.Due(p.Node, p.Since, n.now()) {
				asked.Go(func() { n.learnFrom(ctx, p.Node) })
			}
		}
		asked.Wait()
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// learnFrom asks one peer. One of an older version refuses the call, and is then
// treated as having said nothing.
func (n *Node) learnFrom(ctx context.Context, id trust.NodeID) {
	ctx, done := context.WithTimeout(ctx, needsTime)
	defer done()
	b, err := n.callPeer(ctx, id, kindNeeds, []byte("{}"))
	if err == nil {
		err = n.needs.Learn(id, b, n.now())
	} else if errors.Is(err, wire.ErrRefused) {
		n.needs.Unsaid(id)
	}
	if err != nil && ctx.Err() == nil {
		n.log.Debug("a peer does not say what it needs to know of callers", "node", id.Short(), "error", err)
	}
}

// neededOf leaves out of the visas that could travel to a peer those that it has no use
// for. What it says of the caller's own visas is known of them as they were verified;
// those of this site's own committee say themselves what they are.
func (n *Node) neededOf(visas []trust.Passport, caller trust.Caller, to trust.NodeID) []trust.Passport {
	needs, told := n.needs.Of(to, n.now())
	if !told {
		return visas
	}
	chosen := map[trust.Digest]bool{}
	for _, v := range needs.Choose(caller) {
		chosen[v.Digest] = true
	}
	return slices.DeleteFunc(slices.Clone(visas), func(visa trust.Passport) bool {
		return !chosen[visa.Digest()] && !needs.Wants(ownVisa(visa))
	})
}

// ownVisa reads a visa that was signed here, as far as a need is about it.
func ownVisa(visa trust.Passport) trust.Visa {
	token, err := jose.Parse(visa.Compact(), maxTravelling)
	if err != nil {
		return trust.Visa{}
	}
	var claims struct {
		Issuer  jose.Text `json:"iss"`
		Subject jose.Text `json:"sub"`
		Visa    struct {
			Type  jose.Text `json:"type"`
			Value jose.Text `json:"value"`
		} `json:"ga4gh_visa_v1"`
	}
	if err := token.UnverifiedClaims(&claims); err != nil {
		return trust.Visa{}
	}
	return trust.Visa{
		Identity: trust.Identity{Issuer: claims.Issuer.Value, Subject: claims.Subject.Value},
		Type:     claims.Visa.Type.Value, Value: claims.Visa.Value.Value,
	}
}

// mayLink tells whether the node that a passport is for has said that it has no use for
// the link in it.
func (n *Node) mayLink(audience, issuer string) bool {
	for _, p := range n.queryPeers() {
		if audience == resourceOf(p.Node) {
			needs, told := n.needsOf(p)
			return !told || needs.Joins(n.current().config.API.ExternalURL, issuer)
		}
	}
	return true
}
