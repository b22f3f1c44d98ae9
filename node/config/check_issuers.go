package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/candignode/candignode/trust"
)

func (i *Issuer) fillDefaults(n *notes, at string) {
	orDefault(n, at+".mode", &i.Mode, trust.ModeDirectQuorum)
	orDefault(n, at+".max_stale", &i.MaxStale, defaultMaxStale)
	if i.SignIn || i.Client.CommandLineID != "" {
		orDefault(n, at+".scopes", &i.Scopes, []string{"openid", passportClaim})
	}
	if i.is(trust.KindClaims) {
		orDefault(n, at+".claims.names", &i.Claims.Names, []string{passportClaim})
	}
	orDefault(n, at+".continuity", &i.Continuity, "on")
	if i.usesWitnesses() {
		orDefault(n, at+".k", &i.K, max(2, i.vantages()/2+1))
	}
}

// vantages is how many votes its witnesses have.
func (i *Issuer) vantages() int {
	grouped, groups := map[trust.SiteName]bool{}, 0
	for _, g := range i.Groups {
		groups++
		for _, w := range g.Witnesses {
			grouped[w] = true
		}
	}
	for _, w := range i.Witnesses {
		if !grouped[w] {
			groups++
		}
	}
	return groups
}

// checkGroups is about vantages and continuity.
func (c *Config) checkGroups(n *notes, at string, i *Issuer) {
	seen := map[trust.SiteName]int{}
	for j, g := range i.Groups {
		key := item(at+".groups", j)
		if _, err := trust.ParseSiteName(string(g.Name)); err != nil {
			n.problem(key+".name", "write a short word for the vantage, such as canarie", "%v", err)
		}
		for k, w := range g.Witnesses {
			if !slices.Contains(i.Witnesses, w) {
				n.problem(item(key+".witnesses", k), "name it among the issuer's witnesses, too", "%.80q is no witness of this issuer", string(w))
			}
			once(n, seen, at+".groups", item(key+".witnesses", k), w, j)
		}
	}
	oneOf(n, at+".continuity", i.Continuity, "on", "off")
	if i.Continuity == "off" {
		n.warn(at+".continuity", "remove it once the issuer rotates its keys one after the other", "a key set that replaces all keys at once is believed at once, also a thief's")
	}
	if i.Home != "" && i.Home != c.Site.Name && !c.hasPeer(i.Home) {
		n.warn(at+".home", c.peerHint(i.Home), "%.80q is not one of federation.peers; it counts if 'candignode sites list' shows a member of that name", string(i.Home))
	}
}

// usesWitnesses tells whether the mode cannot do without witnesses. In mode home they may say what the issuer's origin
// names as its home, to a node that cannot ask it.
func (i *Issuer) usesWitnesses() bool {
	return i.Mode == trust.ModeDirectQuorum || i.Mode == trust.ModeQuorum || i.Mode == trust.ModeHome && len(i.Witnesses) > 0
}

func (i *Issuer) is(k trust.Kind) bool { return slices.Contains(i.Kinds, k) }

func (c *Config) checkIssuers(n *notes) {
	if len(c.Issuers) == 0 && !n.bad("issuers") { // passports.md, row 48
		n.warn("issuers", "list the identity providers and committees that this site trusts",
			"no issuer is trusted: only public datasets can be asked for, by anybody")
	}
	seen := map[string]int{}
	for i := range c.Issuers {
		one, at := &c.Issuers[i], item("issuers", i)
		one.checkName(n, at)
		if one.Issuer != "" {
			once(n, seen, "issuers", at+".issuer", one.Issuer, i)
			twin, slash := strings.CutSuffix(one.Issuer, "/")
			if !slash {
				twin += "/"
			}
			if first, ok := seen[twin]; ok {
				n.warn(at+".issuer", "keep the one that the issuer's discovery document names",
					"differs from %s only in the slash at the end; they are two issuers", item("issuers", first))
			}
		}
		one.checkKinds(n, at)
		c.checkMode(n, at, one)
		c.checkBinding(n, at, one)
		one.checkScope(n, at)
		c.checkTokens(n, at, one)
		c.checkLinks(n, at, one)
		one.checkFiles(n, at)
		one.warnLoose(n, at)
		within(n, at+".max_stale", one.MaxStale, minIssuerPoll, maxStaleCap)
	}
	c.checkOpaque(n)
}

// checkName: an issuer is an https URL without query and fragment (OpenID
// Connect Discovery 1.0, section 2), compared exactly. Visa issuers with pinned
// keys may be URNs.
func (i *Issuer) checkName(n *notes, at string) {
	key := at + ".issuer"
	const hint = "copy the issuer from its discovery document, as in https://idp.example.org/"
	switch {
	case i.Issuer == "":
		n.problem(key, hint, "is missing")
	case strings.HasPrefix(i.Issuer, "urn:"):
		if i.Mode != trust.ModeManual || len(i.Kinds) != 1 || !i.is(trust.KindVisa) {
			n.problem(key, "write mode: manual and kinds: [visa]", "a URN has no discovery document, so its keys must be pinned")
		}
	default:
		httpsURL(n, key, hint, i.Issuer, "?#")
	}
}

// httpsURL checks value without changing it: URLs of issuers and key sets are
// compared code point by code point.
func httpsURL(n *notes, key, hint, value, without string) {
	u, err := url.Parse(value)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "":
		n.problem(key, hint, "%.80q is not a URL", value)
	case !strings.HasPrefix(value, "https://"):
		n.problem(key, "write https://", "%.80q is not an https URL", value)
	case len(value) > maxURLClaim:
		n.problem(key, hint, "is longer than %d bytes", maxURLClaim)
	case strings.ContainsAny(value, without) || u.User != nil:
		n.problem(key, hint, "%.80q has a user, query or fragment", value)
	case strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }):
		n.problem(key, "write the host in its xn-- form and the path percent-encoded", "%.80q has characters outside ASCII or spaces", value)
	}
}

func (i *Issuer) checkKinds(n *notes, at string) {
	if len(i.Kinds) == 0 {
		n.problem(at+".kinds", "write what it may sign, of [login, passport, visa, claims]", "is missing; the issuer is trusted for nothing")
	}
	for j, k := range i.Kinds {
		oneOf(n, item(at+".kinds", j), string(k), string(trust.KindLogin), string(trust.KindPassport), string(trust.KindVisa), string(trust.KindClaims))
	}
}

func (c *Config) checkMode(n *notes, at string, i *Issuer) {
	key := at + ".mode"
	switch i.Mode {
	case trust.ModeHome:
		if i.Home == "" || i.Home == c.Site.Name {
			n.problem(at+".home", "name the peer that is the issuer's home, or write another mode", "mode home believes the keys that the issuer's home names, and no other site is named as that")
		}
	default:
		oneOf(n, key, string(i.Mode), string(trust.ModeManual), string(trust.ModeDirect), string(trust.ModeQuorum), string(trust.ModeDirectQuorum), string(trust.ModeHome))
	}
	for j, alg := range i.Algorithms {
		oneOf(n, item(at+".algs", j), alg, "RS256", "ES256")
	}
	c.checkWitnesses(n, at, i)
	c.checkGroups(n, at, i)
	key = at + ".jwks_file"
	if i.Mode == trust.ModeManual && i.JWKSFile == "" {
		n.problem(key, "name the file with the issuer's JSON Web Key Set", "is missing; mode manual believes only the keys in it")
	}
	if i.Mode != trust.ModeManual && i.JWKSFile != "" {
		n.problem(key, "remove it, or write mode: manual", "pinned keys are read in mode manual only, not in %.20q", string(i.Mode))
	}
}

func (c *Config) checkWitnesses(n *notes, at string, i *Issuer) {
	seen := map[trust.SiteName]int{}
	for j, w := range i.Witnesses {
		key := item(at+".witnesses", j)
		switch {
		case w == c.Site.Name:
			n.problem(key, "remove it; what this node fetches itself is counted anyway", "this site cannot witness for itself")
		case !c.hasPeer(w):
			// It may have joined by an invite, and then stands in no file.
			n.warn(key, c.peerHint(w), "%.80q is not one of federation.peers; it counts if 'candignode sites list' shows a member of that name", string(w))
			once(n, seen, at+".witnesses", key, w, j)
		default:
			once(n, seen, at+".witnesses", key, w, j)
		}
	}
	if !i.usesWitnesses() {
		if len(i.Witnesses) > 0 || n.written(at+".k") {
			n.warn(at+".mode", "write mode: direct+quorum or quorum to count them", "witnesses and k have no effect in mode %.20q", string(i.Mode))
		}
		return
	}
	switch {
	case len(i.Witnesses) < 2:
		n.problem(at+".witnesses", "name at least two peers that watch this issuer, or write mode: direct (or manual) in a network of two",
			"%d named; mode %s needs at least 2", len(i.Witnesses), i.Mode)
	case i.vantages() < 2:
		n.problem(at+".k", "name witnesses of another vantage", "all witnesses are of one group, and have one vote; at least 2 are needed")
	case i.K < 2 || i.K > i.vantages():
		n.problem(at+".k", fmt.Sprintf("write a number from 2 to %d", i.vantages()), "%d of %d witnesses cannot be asked for", i.K, i.vantages())
	}
}

// checkBinding is about whom a passport was made for (binding ladder,
// trust-protocol.md, section 11).
func (c *Config) checkBinding(n *notes, at string, i *Issuer) {
	seen := map[string]int{} // one id belongs to one site
	checkClientIDs(n, seen, at+".client_ids", i.ClientIDs)
	sites := map[trust.SiteName]int{}
	for j, peer := range i.PeerClientIDs {
		key := item(at+".peer_client_ids", j)
		if !c.hasPeer(peer.Site) {
			n.problem(key+".site", c.peerHint(peer.Site), "%.80q is not one of federation.peers", string(peer.Site))
			continue
		}
		once(n, sites, at+".peer_client_ids", key+".site", peer.Site, j)
		if len(peer.ClientIDs) == 0 {
			n.problem(key+".client_ids", "write the ids that the peer's operator told you, or remove the entry", "is missing")
		}
		checkClientIDs(n, seen, key+".client_ids", peer.ClientIDs)
	}
	for j, site := range i.AcceptUnboundFrom {
		key := item(at+".accept_unbound_from", j)
		if !c.hasPeer(site) {
			n.problem(key, c.peerHint(site), "%.80q is not one of federation.peers", string(site))
			continue
		}
		n.warn(key, "ask the issuer to set aud to the client id, then remove the line",
			"passports without aud are taken from %s: whoever receives one, there or here, could show it again as the researcher until it expires", site)
	}
	if i.RequireAud && len(i.ClientIDs) == 0 && c.API.ExternalURL == "" {
		n.warn(at+".require_aud", "name this site's client_ids at the issuer, or api.external_url",
			"every passport that is shown here directly will be refused: there is no name that its aud could hold")
	}
}

func checkClientIDs(n *notes, seen map[string]int, at string, ids []string) {
	for j, id := range ids {
		key := item(at, j)
		if id == "" || len(id) > maxURLClaim {
			n.problem(key, "copy the client id from the registration at the issuer", "%.80q is not a client id", id)
			continue
		}
		once(n, seen, at, key, id, j)
	}
}

func (c *Config) hasPeer(name trust.SiteName) bool {
	return slices.ContainsFunc(c.Federation.PeerList, func(p Peer) bool { return p.Name == name })
}

func (c *Config) peerHint(name trust.SiteName) string {
	var names []string
	for _, p := range c.Federation.PeerList {
		names = append(names, string(p.Name))
	}
	if near := nearest(string(name), names); near != "" {
		return "write " + near
	}
	return "name a peer, or add it to federation.peers"
}

// checkScope is about what the issuer's visas may say (passports.md, rows 25,
// 26, 31 and 49). An empty scope is no scope: without types and sources no visa
// would ever be used.
func (i *Issuer) checkScope(n *notes, at string) {
	if i.is(trust.KindVisa) {
		if len(i.VisaTypes) == 0 {
			n.problem(at+".visa_types", "write the types that it may sign, such as [ControlledAccessGrants]", "is missing for an issuer of visas")
		}
		if len(i.Sources) == 0 {
			n.problem(at+".sources", "write whose word its visas may carry, such as [https://dac.example.org]", "is missing for an issuer of visas")
		}
	} else if len(i.VisaTypes)+len(i.Sources)+len(i.ValuePrefixes)+len(i.JKU) > 0 {
		n.warn(at+".kinds", "add visa to kinds, or remove them", "visa_types, sources, value_prefixes and jku have no effect without kind visa")
	}
	for j, t := range i.VisaTypes {
		if key := item(at+".visa_types", j); !strings.HasPrefix(t, "https://") {
			oneOf(n, key, t, trust.VisaAffiliationAndRole, trust.VisaAcceptedTermsAndPolicies,
				trust.VisaResearcherStatus, trust.VisaControlledAccessGrants, trust.VisaLinkedIdentities)
		}
	}
	for j, s := range i.Sources {
		sourceURL(n, item(at+".sources", j), s)
	}
	for j, p := range i.ValuePrefixes {
		if p == "" || len(p) > maxURLClaim {
			n.problem(item(at+".value_prefixes", j), "write the beginning of the values, or remove value_prefixes to allow any", "%.80q is not a prefix", p)
		}
	}
	for j, u := range i.JKU {
		httpsURL(n, item(at+".jku", j), "copy the key set's address, as in https://idp.example.org/jwks", u, "#")
	}
}

// sourceURL checks the name of an asserting body (passports.md, rows 25 and 114).
func sourceURL(n *notes, key, s string) {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme == "" || len(s) > maxURLClaim:
		n.problem(key, "write the URL that stands in the visas' source, as in https://dac.example.org", "%.80q is not a URL of at most %d bytes", s, maxURLClaim)
	case s == "https://no.organization":
		n.problem(key, "name an organisation", "means nobody (GA4GH Passport 1.2), so it cannot be trusted")
	case strings.Contains(s, "?"):
		n.warn(key, "name the committee by one stable URL", "%.80q has a query string; a source must match exactly, character by character", s)
	}
}

// warnLoose names every guard that the operator took down.
func (i *Issuer) warnLoose(n *notes, at string) {
	if i.AllowPrivateAddresses {
		n.warn(at+".allow_private_addresses", "remove it unless the issuer stands inside your network",
			"the node will fetch from private and loopback addresses for this issuer")
	}
	if i.AllowMissingKID {
		n.warn(at+".allow_missing_kid", "ask the issuer to name its key", "tokens that do not name their key are tried with the only usable one")
	}
	if i.WaiveKeyUse {
		n.warn(at+".waive_key_use", "ask the issuer to publish its signing keys as such", "keys that are published for encryption are believed for signatures")
	}
}
