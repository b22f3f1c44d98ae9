package node

import (
	"context"
	"crypto"
	"errors"
	"strings"
	"time"

	"github.com/candignode/candignode/node/config"
	"github.com/candignode/candignode/node/session"
	"github.com/candignode/candignode/node/web"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/broker"
	"github.com/candignode/candignode/trust/dac"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/mint"
	"github.com/candignode/candignode/trust/passport"
)

// roles makes what this site signs itself: the committee's visas, and passports.
// Each kind has a key of its own, and New of each desk refuses one that has another
// use (passports.md, row 117).
func (n *Node) roles(c *config.Config) error {
	if !c.DAC.Enabled() && !c.Broker.Enabled {
		return nil
	}
	secret, err := config.LoadSubjectsKey(c.Signing.SubjectsKey)
	if err != nil {
		return err
	}
	subjects, err := mint.NewSubjects(secret)
	if err != nil {
		return err
	}
	if c.DAC.Enabled() {
		if n.dac, err = dac.New(n.committee(c, subjects)); err != nil {
			return err
		}
		for _, warning := range n.dac.Warnings() {
			n.log.Warn("the committee's visas", "warning", warning)
		}
	}
	if c.Broker.Enabled {
		return n.issuePassports(c, subjects)
	}
	return nil
}

func (n *Node) committee(c *config.Config, subjects mint.Subjects) dac.Options {
	others := n.otherKeys(c)
	delete(others, "dac.key")
	name := c.DAC.ClaimName
	if name == mint.ClaimPassport {
		name = "" // that one carries the visas anyway
	}
	return dac.Options{
		Issuer: c.API.ExternalURL, Source: c.DAC.Source, Key: c.DAC.SigningKey(), Others: others,
		JKU: c.API.ExternalURL + keysPath, VisaTTL: c.DAC.VisaTTL, ClaimName: name,
		Subject: subjects.Of, Grants: n.store.Grants, Linked: n.linkedTo,
		Datasets: func() []access.Dataset { return n.current().local.Datasets },
		Revoked:  n.store.Revocations, Recorder: n.store, Now: n.now, Log: n.log.With("part", "dac"),
	}
}

func (n *Node) issuePassports(c *config.Config, subjects mint.Subjects) error {
	others := n.otherKeys(c)
	delete(others, "broker.link_key")
	links, err := dac.New(dac.Options{
		Issuer: c.API.ExternalURL, Source: c.API.ExternalURL, Key: c.Broker.LinkSigningKey(), Others: others,
		JKU: c.API.ExternalURL + keysPath, Subject: subjects.Of, Revoked: n.store.Revocations,
		Recorder: n.store, Now: n.now, Log: n.log.With("part", "links"),
	})
	if err != nil {
		return err
	}
	others = n.otherKeys(c)
	delete(others, "broker.key")
	var clients []broker.Client
	for _, one := range c.Broker.Clients {
		clients = append(clients, broker.Client{ID: one.ID, Keys: one.Keys(), Targets: one.Targets, RedirectURIs: one.RedirectURIs})
	}
	o := broker.Options{
		Issuer: c.API.ExternalURL, Key: c.Broker.SigningKey(), Others: others, JWKSURI: c.API.ExternalURL + keysPath,
		Endpoints: trust.Endpoints{
			Authorization: c.API.ExternalURL + "/oauth/authorize", Token: c.API.ExternalURL + "/oauth/token", UserInfo: c.API.ExternalURL + "/oauth/userinfo",
		},
		PassportTTL: c.Broker.PassportTTL, Aggregated: true, Distributed: true, ArrayClaims: c.Broker.ArrayClaims,
		Clients: clients, Targets: n.targets, Authenticate: n.subjectOf, Subject: subjects.Of, Links: links, MayLink: n.mayLink,
		Recorder: n.store, Now: n.now, Log: n.log.With("part", "broker"),
	}
	if n.sessions != nil {
		o.Tokens = clientTokens{n.sessions, n.shutOut}
	}
	if n.dac != nil {
		o.Published = n.dac.Keys()
	}
	n.broker, err = broker.New(o)
	return err
}

// keysPath is where the public keys of all that this site signs stand.
const keysPath = "/jwks"

// otherKeys are the public keys of all that the site signs, by the names that the
// operator knows them by.
func (n *Node) otherKeys(c *config.Config) map[string]crypto.PublicKey {
	keys := map[string]crypto.PublicKey{"federation.node_key": n.key.Public()}
	if key := c.DAC.SigningKey(); key != nil {
		keys["dac.key"] = key.Public()
	}
	if key := c.Broker.SigningKey(); key != nil {
		keys["broker.key"] = key.Public()
	}
	if key := c.Broker.LinkSigningKey(); key != nil {
		keys["broker.link_key"] = key.Public()
	}
	return keys
}

// targets are the names of the federation's nodes, as passports may be made for them.
func (n *Node) targets() []string {
	names := []string{resourceOf(n.id), string(n.id)}
	for _, p := range n.queryPeers() {
		names = append(names, resourceOf(p.Node), string(p.Node))
	}
	return names
}

// linkedTo gives the further identities of a person, by stored links that this site
// still believes: the verifier judges each again.
func (n *Node) linkedTo(of trust.Identity) []trust.LinkedIdentity {
	return n.passport.Linked(of, n.now())
}

// subjectOf says who came with an access token to be exchanged: one of an issuer, or
// one that the very client was given here. No session of a person's own is one, and
// none is ever shown to an issuer.
func (n *Node) subjectOf(ctx context.Context, token trust.AccessToken, client string) (trust.Caller, []trust.Passport, time.Time, error) {
	shown := web.Shown{Token: token}
	if strings.HasPrefix(token.Reveal(), session.Prefix) {
		if n.sessions == nil {
			return trust.Caller{}, nil, time.Time{}, &passport.Refusal{Reason: trust.ReasonSession, Detail: "this site keeps no sessions", Index: -1}
		}
		grant, err := n.sessions.GrantOf(token, trust.Proven{})
		if err != nil {
			return trust.Caller{}, nil, time.Time{}, err
		}
		if grant.Client != client || !grant.Passport {
			return trust.Caller{}, nil, time.Time{}, &passport.Refusal{Reason: trust.ReasonScope, Detail: "the token is a person's own session, or was given to another client, or without ga4gh_passport_v1", Index: -1}
		}
		shown = web.Shown{Session: token, Granted: true}
	}
	verdict, err := n.verify(ctx, shown, true)
	if err != nil {
		return trust.Caller{}, nil, time.Time{}, err
	}
	visas, err := n.visasFor(ctx, verdict.Caller, "")
	return verdict.Caller, visas, verdict.Caller.Until, err
}

// visasFor gives all visas of the caller that may travel: those that were shown, and
// those of this site's own committee.
func (n *Node) visasFor(ctx context.Context, caller trust.Caller, transaction string) ([]trust.Passport, error) {
	visas, err := visasOf(caller)
	if err != nil || n.dac == nil {
		return visas, err
	}
	own, err := n.dac.Visas(ctx, caller.Identity, transaction)
	return append(visas, own...), err
}

// published gives the key set of all that this site signs; nil if it signs nothing.
func (n *Node) published() func() ([]byte, error) {
	switch {
	case n.broker != nil:
		return n.broker.KeySet
	case n.dac != nil:
		return func() ([]byte, error) { return jose.MarshalKeySet(n.dac.Keys()) }
	}
	return nil
}

// passportDoor is the passport issuer, as the researchers' door knows it.
type passportDoor struct {
	*broker.Broker
	n *Node
}

// UserInfo speaks of the visas of all committees, this site's own among them; to a
// client that did not ask for them it names the person, and no more.
func (d passportDoor) UserInfo(ctx context.Context, caller trust.Caller, shown web.Shown, transaction string) (broker.Document, error) {
	if !shown.Session.IsZero() {
		grant, err := d.n.sessions.GrantOf(shown.Session, shown.Proven)
		if err != nil {
			return broker.Document{}, err
		}
		if grant.Client != "" && !grant.Passport {
			return d.Broker.UserInfo(ctx, broker.UserInfoRequest{Caller: caller, SubjectOnly: true, Until: caller.Until})
		}
	}
	visas, err := d.n.visasFor(ctx, caller, transaction)
	if err != nil {
		return broker.Document{}, err
	}
	return d.Broker.UserInfo(ctx, broker.UserInfoRequest{
		Caller: caller, Visas: visas, Until: caller.Until, Transaction: transaction,
	})
}

// clientTokens makes the access tokens of the broker's clients.
type clientTokens struct {
	sessions *session.Desk
	shutOut  func(trust.Identity) bool
}

// Give implements broker.Tokens. A client is told who somebody is out of the session
// alone, so whoever is revoked under another name is found out here.
func (t clientTokens) Give(ctx context.Context, client string, r broker.GiveRequest) (broker.Given, error) {
	own, err := t.sessions.Identify(ctx, r.Session, trust.Proven{})
	if err != nil {
		return broker.Given{}, err
	}
	if t.shutOut(own.Identity) {
		return broker.Given{}, &passport.Refusal{Reason: trust.ReasonRevoked, Detail: "this site's operator has shut this person out, under another name", Index: tokenRefused}
	}
	token, kept, err := t.sessions.Give(ctx, r.Session, session.Grant{Client: client, Passport: r.Passport}, r.Life, r.Transaction)
	return broker.Given{Token: token, ID: kept.ID, Until: kept.Until}, err
}

// Take implements broker.Tokens.
func (t clientTokens) Take(ctx context.Context, owner trust.Identity, id, transaction string) error {
	if err := t.sessions.End(ctx, owner, id, transaction); !errors.Is(err, session.ErrNoSession) {
		return err
	}
	return nil
}

// claimsDoor is the committee as a source of claims.
type claimsDoor struct{ n *Node }

func (d claimsDoor) Claims(ctx context.Context, caller trust.Caller, transaction string) (trust.Passport, error) {
	jwt, _, err := d.n.dac.Claims(ctx, caller.Identity, transaction)
	return jwt, err
}
