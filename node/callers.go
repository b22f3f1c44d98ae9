package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/candignode/candignode/node/config"
	"github.com/candignode/candignode/node/session"
	"github.com/candignode/candignode/node/web"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/audit"
	"github.com/candignode/candignode/trust/bearer"
	"github.com/candignode/candignode/trust/oidc"
	"github.com/candignode/candignode/trust/passport"
	"github.com/candignode/candignode/trust/polling"
	"github.com/candignode/candignode/trust/proof"
)

// verify turns what a caller of this site's own showed into a verdict: a session
// into what it rests on, an access token into passports or visas, and all of it
// through the one verifier. Nothing is believed because it was believed before.
func (n *Node) verify(ctx context.Context, shown web.Shown, callerOnly bool) (passport.Verdict, error) {
	request := passport.Request{Passports: shown.Passports, Proven: shown.Proven, Now: n.now(), CallerOnly: callerOnly}
	token := shown.Token
	var owner trust.Identity // of the session, if there is one
	var notes []string
	var until time.Time // its end
	if !shown.Session.IsZero() {
		opened, err := n.openSession(ctx, shown)
		if err != nil {
			return passport.Verdict{}, err
		}
		token, owner, until = opened.Access, opened.Identity, opened.Until
		for _, p := range opened.Passports {
			request.Passports = append(request.Passports, p.Compact())
		}
		if token.IsZero() && len(opened.Passports) == 0 {
			request.Sets = []trust.VisaSet{{Identity: opened.Identity, Via: trust.KindLogin, Until: opened.Until}}
		}
	}
	if !token.IsZero() {
		credentials, err := n.bearer.Credentials(ctx, bearer.Presented{Token: token, Proven: shown.Proven}, request.Now)
		if err != nil {
			return passport.Verdict{}, err
		}
		request.Passports, request.Sets, request.Token = credentials.Passports, credentials.Sets, token
		for _, a := range credentials.Absent {
			notes = append(notes, fmt.Sprintf("%.80q, which your provider points to elsewhere, could not be had: %s", a.Name, a.Why))
		}
		if credentials.Identity == owner {
			owner = trust.Identity{} // it is the owner's token, whatever name its passport has
		}
	}
	verdict, err := n.judge(ctx, request)
	if err == nil && !owner.IsZero() && verdict.Caller.Identity != owner {
		// A provider that renewed a session with somebody else's token has not made its
		// owner somebody else.
		return passport.Verdict{}, &passport.Refusal{
			Reason: trust.ReasonSession, Detail: "the session's token is not its owner's; sign in again", Index: tokenRefused,
		}
	}
	if !until.IsZero() && (verdict.Caller.Until.IsZero() || until.Before(verdict.Caller.Until)) {
		verdict.Caller.Until = until // nothing that is made for a session outlasts it
	}
	verdict.Notes = notes
	return verdict, err
}

// tokenRefused is the index of a refusal that is about no passport.
const tokenRefused = -1

// openSession gives what a session rests on. Where the issuer's access tokens are
// not taken here, a session that was begun with a browser rests on the sign-in alone:
// its own token is then of no use to this node, and what the person was granted here
// still is. One that was begun with nothing but a token ends with the taking of tokens.
func (n *Node) openSession(ctx context.Context, shown web.Shown) (session.Material, error) {
	if n.sessions == nil {
		return session.Material{}, &passport.Refusal{Reason: trust.ReasonSession, Detail: "this site keeps no sessions", Index: tokenRefused}
	}
	open := n.sessions.Open
	if shown.Granted {
		open = n.sessions.OpenAny
	}
	opened, err := open(ctx, shown.Session, shown.Proven)
	if err != nil {
		return session.Material{}, err
	}
	material := opened.Material
	material.Identity, material.Until = opened.Identity, opened.Until
	issuer, _ := n.issuers.View().Lookup(material.Identity.Issuer)
	if issuer.Policy.Tokens == trust.WayNone && opened.Label == session.FromBrowser {
		material.Access = trust.AccessToken{}
	}
	return material, nil
}

// authenticate turns passports that a peer forwards into a caller, by this site's
// own trust.
func (n *Node) authenticate(ctx context.Context, passports []string, origin trust.SiteName) (trust.Caller, error) {
	verdict, err := n.judge(ctx, passport.Request{Passports: passports, Origin: origin, Now: n.now(), CallerOnly: true})
	return verdict.Caller, err
}

// judge verifies, and keeps the links that were believed: grants and budgets of one
// name are those of the others, also when the visa that says so is not shown.
func (n *Node) judge(ctx context.Context, request passport.Request) (passport.Verdict, error) {
	verdict, err := n.passport.Verify(ctx, request)
	if err != nil || len(verdict.Caller.Links) == 0 {
		return verdict, err
	}
	record := audit.Record{
		Time: n.now(), Event: audit.EventVisa, Caller: verdict.Caller.Identity, Origin: request.Origin, Outcome: "linked",
	}
	for _, link := range verdict.Caller.Links {
		record.Visas = append(record.Visas, link.Visa)
	}
	if err := n.store.KeepLinks(ctx, verdict.Caller.Links, record); err != nil {
		return passport.Verdict{}, fmt.Errorf("what joins the caller's identities could not be recorded: %w", err)
	}
	return verdict, nil
}

// clearinghouse makes what turns credentials into callers.
func (n *Node) clearinghouse(c *config.Config) (err error) {
	names := []string{string(n.id), resourceOf(n.id)}
	if c.API.ExternalURL != "" {
		names = append(names, c.API.ExternalURL)
	}
	if n.provider, err = oidc.New(oidc.Options{
		Client: n.fetcher.Client, Endpoints: n.fetcher.Endpoints, Now: n.now, Log: n.log.With("part", "oidc"),
	}); err != nil {
		return err
	}
	if n.polling, err = polling.New(polling.Options{
		View: n.issuers.View, Revoked: n.store.Revocations, Fetch: n.provider.Poll, Store: n.store, Now: n.now, Log: n.log.With("part", "polling"),
	}); err != nil {
		return err
	}
	n.passport = passport.New(passport.Options{
		View: n.issuers.View, Audiences: n.audiences, OwnNames: names, UnknownKey: n.issuers.Refresh,
		Revoked: n.store.Revocations, KnownLinks: n.store.Links, Polled: n.polling.Status,
		CacheEntries: c.Limits.CacheEntries, CacheBytes: c.Limits.CacheBytes,
	})
	n.bearer = bearer.New(bearer.Options{
		View: n.issuers.View, Revoked: n.store.Revocations, Provider: n.provider, Tokens: n.passport.Token,
		Names: names, Linked: n.onePerson, Arrays: c.Claims.Arrays, Log: n.log.With("part", "bearer"),
	})
	n.proofs = proof.New(proof.Options{Boot: n.started})
	if c.API.ExternalURL != "" {
		if n.sessions, err = session.New(session.Options{
			ExternalURL: c.API.ExternalURL, View: n.issuers.View, Provider: n.provider, Tokens: n.passport.Token,
			Store: n.store, Endpoints: n.fetcher.Endpoints, Revoked: n.store.Revocations,
			Life: c.Sessions.Life, MaxPerPerson: c.Sessions.MaxPerPerson, Now: n.now, Log: n.log.With("part", "session"),
		}); err != nil {
			return err
		}
	}
	return n.roles(c)
}

// onePerson tells whether stored links join two identities, and until when.
func (n *Node) onePerson(a, b trust.Identity) (until time.Time, linked bool) {
	for _, l := range n.passport.Linked(a, n.now()) {
		if l.Identity == b {
			return l.Until, true
		}
	}
	return time.Time{}, false
}

// shutOut tells whether the person is revoked under a name that stored links lead to.
func (n *Node) shutOut(of trust.Identity) bool {
	revoked := n.store.Revocations()
	return revoked.AnyPerson() && slices.ContainsFunc(n.linkedTo(of), func(l trust.LinkedIdentity) bool { return revoked.Person(l.Identity) })
}

// sweep takes what is over out of the state file, now and then: sessions, polls and
// links. Nothing depends on it but room.
func (n *Node) sweep(ctx context.Context) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		if err := n.store.Sweep(ctx); err != nil && ctx.Err() == nil {
			n.log.Warn("what is over could not be swept out of the state file", "error", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}
