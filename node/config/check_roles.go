package config

import (
	"crypto"
	"crypto/ecdsa"
	"slices"
	"strings"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

const passportClaim = "ga4gh_passport_v1"

// needsClient tells whether the node talks to the issuer as a client of its own.
func (i *Issuer) needsClient() bool {
	return i.SignIn || i.Tokens == trust.WayExchange || i.Tokens == trust.WayIntrospection
}

// checkTokens is about access tokens and signing in.
func (c *Config) checkTokens(n *notes, at string, i *Issuer) {
	if i.Tokens != trust.WayNone {
		oneOf(n, at+".tokens", string(i.Tokens), string(trust.WayExchange), string(trust.WayUserInfo), string(trust.WayIntrospection))
	}
	if i.Tokens == trust.WayExchange && !i.is(trust.KindPassport) {
		n.problem(at+".tokens", "add passport to kinds, or write userinfo", "a passport is exchanged for a token with an issuer of kind passport only")
	}
	if (i.Tokens != trust.WayNone || i.SignIn) && !i.is(trust.KindLogin) && !i.is(trust.KindPassport) {
		n.problem(at+".kinds", "add login or passport", "an issuer whose access tokens are taken must be trusted for login or passport")
	}
	if i.SignIn && c.API.ExternalURL == "" {
		n.problem(at+".sign_in", "write api.external_url", "a browser must be sent back to this site, and it has no address")
	}
	if i.SignIn && !i.is(trust.KindLogin) {
		n.problem(at+".sign_in", "add login to kinds", "people sign in with issuers of kind login only")
	}
	for j, s := range i.Scopes {
		if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
			n.problem(item(at+".scopes", j), "write one scope, as in ga4gh_passport_v1", "%.80q is not a scope (RFC 6749, section 3.3)", s)
		}
	}
	if len(i.Scopes) > 0 && !slices.Contains(i.Scopes, "openid") {
		n.problem(at+".scopes", "add openid", "without openid nobody is signed in")
	}
	if i.needsClient() && i.Client.ID == "" {
		n.problem(at+".client.id", "write the client id that this node is registered under", "is missing; the issuer must know who asks")
	}
	if i.Client.Key != "" && i.Client.SecretFile != "" {
		n.problem(at+".client.secret_file", "remove it: private_key_jwt is stronger", "stands beside client.key, and one is used")
	}
	if i.needsClient() && i.Client.Key == "" && i.Client.SecretFile == "" {
		n.warn(at+".client.key", "make one with 'candignode keys create FILE' and register its public key", "this node cannot prove to the issuer who it is")
	}
	for _, e := range []struct{ name, value string }{
		{"authorization", i.Endpoints.Authorization}, {"token", i.Endpoints.Token}, {"userinfo", i.Endpoints.UserInfo},
		{"introspection", i.Endpoints.Introspection}, {"device_authorization", i.Endpoints.DeviceAuthorization},
	} {
		if e.value != "" {
			httpsURL(n, at+".endpoints."+e.name, "copy the endpoint's address", e.value, "#")
		}
	}
	i.readClient(n, at)
}

func (i *Issuer) readClient(n *notes, at string) {
	var err error
	if i.Client.Key != "" {
		if i.clientKey, err = LoadSigningKey(i.Client.Key); err != nil {
			n.problem(at+".client.key", "make one with 'candignode keys create FILE'", "%v", err)
		}
	}
	if i.Client.SecretFile != "" {
		if i.secret, err = readToken(i.Client.SecretFile); err != nil {
			n.problem(at+".client.secret_file", "put the client secret alone in a file of mode 0600", "%v", err)
		}
	}
	if i.Claims.TokenFile != "" {
		if i.claimToken, err = readToken(i.Claims.TokenFile); err != nil {
			n.problem(at+".claims.token_file", "put the access token alone in a file of mode 0600", "%v", err)
		}
	}
}

// checkLinks is about who may say that two identities are one person's, and what
// may come as a claim.
func (c *Config) checkLinks(n *notes, at string, i *Issuer) {
	for j, other := range i.LinksFor {
		key := item(at+".links_for", j)
		if !slices.ContainsFunc(c.Issuers, func(o Issuer) bool { return o.Issuer == other }) {
			n.warn(key, "copy the issuer exactly, slash and all", "%.80q is not one of issuers: its names serve grants and revocations only, as behind a passport issuer", other)
		}
	}
	links := slices.Contains(i.VisaTypes, trust.VisaLinkedIdentities)
	if len(i.LinksFor) > 0 && !links {
		n.problem(at+".links_for", "add LinkedIdentities to visa_types", "has no effect without visas of that type")
	}
	if links && len(i.LinksFor) == 0 {
		n.warn(at+".links_for", "list the issuers whose people it may link", "its LinkedIdentities visas join nobody beyond its own names")
	}
	if i.AccessTokenVisas && len(i.JKU) > 0 && !i.is(trust.KindLogin) && !i.is(trust.KindPassport) && i.Endpoints.UserInfo == "" {
		n.problem(at+".endpoints.userinfo", "write the address at which the issuer confirms its visas",
			"is missing: with jku listed no discovery document is read, and visas that are access tokens could never be confirmed")
	}
	if i.AccessTokenVisas {
		n.warn(at+".access_token_visas", "ask the issuer for document tokens", "visas that are access tokens are deprecated; this node will poll the issuer for each, once an hour")
	}
	if i.MaxAssertedAge < 0 {
		n.problem(at+".max_asserted_age", "write a duration, or remove it", "%v is less than nothing", i.MaxAssertedAge)
	}
	if !i.is(trust.KindClaims) {
		if len(i.Claims.Endpoints)+len(i.Claims.Names) > 0 || i.Claims.TokenFile != "" {
			n.problem(at+".kinds", "add claims", "claims has no effect without kind claims")
		}
		return
	}
	for j, e := range i.Claims.Endpoints {
		httpsURL(n, item(at+".claims.endpoints", j), "copy the claims endpoint's address", e, "#")
	}
	for j, name := range i.Claims.Names {
		if name == "" || len(name) > maxText || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
			n.problem(item(at+".claims.names", j), "write the claim's name, as in ga4gh_passport_v1", "%.80q is not the name of a claim", name)
		}
	}
}

// checkOpaque: a token that says nothing of itself can belong to one issuer only.
func (c *Config) checkOpaque(n *notes) {
	first := -1
	for i := range c.Issuers {
		if !c.Issuers[i].OpaqueTokens {
			continue
		}
		at := item("issuers", i) + ".opaque_tokens"
		if way := c.Issuers[i].Tokens; way == trust.WayNone {
			n.problem(at, "write tokens: userinfo, introspection or exchange", "there is no way from a token to who it is")
		}
		if first >= 0 {
			n.problem(at, "keep it for one issuer", "is also set for %s, and nothing in an opaque token says whose it is", item("issuers", first))
		}
		first = i
	}
}

func (c *Config) fillRoleDefaults(n *notes) {
	orDefault(n, "signing.subjects_key", &c.Signing.SubjectsKey, inDir(c.DataDir, subjectsFile))
	orDefault(n, "sessions.life", &c.Sessions.Life, defaultSession)
	orDefault(n, "sessions.max_per_person", &c.Sessions.MaxPerPerson, defaultSessions)
	if c.DAC.Enabled() {
		orDefault(n, "dac.key", &c.DAC.Key, inDir(c.DataDir, "visa.key"))
		orDefault(n, "dac.visa_ttl", &c.DAC.VisaTTL, defaultVisaTTL)
		orDefault(n, "dac.claim_name", &c.DAC.ClaimName, passportClaim)
	}
	if c.Broker.Enabled {
		orDefault(n, "broker.key", &c.Broker.Key, inDir(c.DataDir, "passport.key"))
		orDefault(n, "broker.link_key", &c.Broker.LinkKey, inDir(c.DataDir, "link.key"))
		orDefault(n, "broker.passport_ttl", &c.Broker.PassportTTL, defaultPassportTTL)
	}
}

// checkRoles is about what this site signs itself.
func (c *Config) checkRoles(n *notes) {
	within(n, "sessions.life", c.Sessions.Life, minSession, maxSession)
	within(n, "sessions.max_per_person", c.Sessions.MaxPerPerson, 1, maxSessions)
	used := map[string]string{}
	if node, err := LoadNodeKey(c.Federation.NodeKey); err == nil {
		noteUse(used, node.Public(), "federation.node_key")
	}
	const address = "write api.external_url: it is the issuer's name in what this site signs"
	if c.DAC.Enabled() {
		if c.API.ExternalURL == "" {
			n.problem("dac.source", address, "a committee's visas name this site")
		}
		sourceURL(n, "dac.source", c.DAC.Source)
		within(n, "dac.visa_ttl", c.DAC.VisaTTL, minTTL, maxTTL)
		c.DAC.key = c.signingKey(n, used, "dac.key", c.DAC.Key)
	} else if n.written("dac.key") || n.written("dac.visa_ttl") || n.written("dac.claim_name") {
		n.problem("dac.source", "write the committee's URL, or remove dac", "is missing")
	}
	if c.Broker.Enabled {
		if c.API.ExternalURL == "" {
			n.problem("broker.enabled", address, "passports name this site")
		}
		within(n, "broker.passport_ttl", c.Broker.PassportTTL, minTTL, maxTTL)
		if key, err := LoadPassportKey(c.Broker.Key); err != nil {
			n.problem("broker.key", "make one with 'candignode keys create FILE'", "%v", err)
		} else {
			c.oneUse(n, used, "broker.key", key.Public(), "broker.key")
			c.Broker.key = key
		}
		c.Broker.linkKey = c.signingKey(n, used, "broker.link_key", c.Broker.LinkKey)
		c.checkBrokerClients(n)
	}
	if c.DAC.Enabled() || c.Broker.Enabled {
		secret, err := LoadSubjectsKey(c.Signing.SubjectsKey)
		c.Signing.subjects = trust.DigestOfString(string(secret))
		if err != nil {
			n.problem("signing.subjects_key", "restore it from a backup, or make the first one with 'candignode keys create --subjects FILE'", "%v", err)
		}
	}
	for i := range c.Issuers {
		if key := c.Issuers[i].clientKey; key != nil {
			// Several registrations may share one key: each proves who the node is.
			c.oneUse(n, used, item("issuers", i)+".client.key", key.Public(), "client")
		}
	}
}

func (c *Config) signingKey(n *notes, used map[string]string, key, path string) *ecdsa.PrivateKey {
	signer, err := LoadSigningKey(path)
	if err != nil {
		n.problem(key, "make one with 'candignode keys create FILE'", "%v", err)
		return nil
	}
	c.oneUse(n, used, key, signer.Public(), key)
	return signer
}

// oneUse refuses a key that signs two kinds of things (passports.md, row 117).
func (c *Config) oneUse(n *notes, used map[string]string, key string, public crypto.PublicKey, use string) {
	if other, ok := noteUse(used, public, use); !ok {
		n.problem(key, "make a key of its own with 'candignode keys create FILE'", "is the same key as %s; each key has one use", other)
	}
}

func noteUse(used map[string]string, public crypto.PublicKey, use string) (string, bool) {
	thumbprint, err := jose.Thumbprint(public)
	if err != nil {
		return "", true // the key's own check says so
	}
	if other, ok := used[thumbprint]; ok && other != use {
		return other, false
	}
	used[thumbprint] = use
	return "", true
}

func (c *Config) checkBrokerClients(n *notes) {
	seen := map[string]int{}
	for i := range c.Broker.Clients {
		one, at := &c.Broker.Clients[i], item("broker.clients", i)
		if one.ID == "" || len(one.ID) > maxURLClaim {
			n.problem(at+".id", "write the client's id", "%.80q is not a client id", one.ID)
		} else {
			once(n, seen, "broker.clients", at+".id", one.ID, i)
		}
		const hint = "name the file with the client's public keys as a JSON Web Key Set"
		data, err := readFile(one.JWKSFile, maxSideFile)
		if err != nil {
			n.problem(at+".jwks_file", hint, "%v", err)
			continue
		}
		keys, _, err := jose.ParseKeySet(data, false)
		if err != nil || len(keys) == 0 {
			n.problem(at+".jwks_file", hint, "holds no usable public key")
		}
		one.keys = keys
		if len(one.RedirectURIs) > 0 && !slices.ContainsFunc(c.Issuers, func(i Issuer) bool { return i.SignIn }) {
			n.warn(at+".redirect_uris", "set sign_in for one of issuers", "nobody can sign in here, so nobody can for this client")
		}
		for j, u := range one.RedirectURIs {
			httpsURL(n, item(at+".redirect_uris", j), "write the exact address", u, "#")
		}
		if len(one.Targets) == 0 && len(one.RedirectURIs) == 0 {
			n.warn(at+".targets", "list the resources that it may ask passports for", "the client can exchange nothing")
		}
	}
}
