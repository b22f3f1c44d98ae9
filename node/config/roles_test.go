package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/candignode/candignode/trust"
)

const roles = "api: {external_url: 'https://node.example.org'}\nsigning: {subjects_key: keys/subjects.key}\n"

// One use for each key: the thief of one can do one thing, and no verifier takes
// one kind of token for another (row 117).
func TestEachKeyHasOneUse(t *testing.T) {
	dir := site(t)
	good := start + roles + "dac: {source: 'https://dac.example.org', key: keys/visa.key}\n" +
		"broker: {enabled: true, key: keys/passport.key, link_key: keys/link.key}\n"
	c := mustLoad(t, dir, good)
	if c.DAC.SigningKey() == nil || c.Broker.SigningKey() == nil || c.Broker.LinkSigningKey() == nil {
		t.Fatal("a key was not read")
	}
	for name, text := range map[string]string{
		"visas and passports": strings.Replace(good, "keys/passport.key", "keys/visa.key", 1),
		"visas and links":     strings.Replace(good, "keys/link.key", "keys/visa.key", 1),
		"passports and client": good + "issuers: [{issuer: 'https://idp.example.org', kinds: [login], mode: direct, tokens: introspection, " +
			"client: {id: n, key: keys/passport.key}}]\n",
	} {
		if _, err := load(t, dir, text); err == nil || !strings.Contains(err.Error(), "one use") {
			t.Errorf("%s: %v", name, err)
		}
	}
	two := good + "issuers: [{issuer: 'https://a.example.org', kinds: [login], mode: direct, tokens: introspection, client: {id: n, key: keys/client.key}}," +
		"{issuer: 'https://b.example.org', kinds: [login], mode: direct, tokens: introspection, client: {id: n, key: keys/client.key}}]\n"
	if _, err := load(t, dir, two); err != nil {
		t.Errorf("one client key at two issuers: %v", err)
	}
}

// What cannot work is said before the node starts, with what to write.
func TestRolesThatCannotWork(t *testing.T) {
	dir := site(t)
	idp := "issuers: [{issuer: 'https://idp.example.org', kinds: [%s], mode: direct, %s}]\n"
	issuer := func(kinds, rest string) string {
		return strings.NewReplacer("%s]", kinds+"]", "%s}", rest+"}").Replace(idp)
	}
	for name, one := range map[string]struct{ text, key string }{
		"sign-in without an address":     {issuer("login", "sign_in: true, client: {id: n}"), "issuers[0].sign_in"},
		"sign-in with a broker only":     {roles + issuer("passport", "sign_in: true, client: {id: n}"), "issuers[0].sign_in"},
		"sign-in without a client":       {roles + issuer("login", "sign_in: true"), "issuers[0].client.id"},
		"exchange with no broker":        {issuer("login", "tokens: exchange, client: {id: n}"), "issuers[0].tokens"},
		"an unknown way":                 {issuer("login", "tokens: magic"), "issuers[0].tokens"},
		"tokens of a committee":          {issuer("visa", "visa_types: [ControlledAccessGrants], sources: ['https://d.example.org'], tokens: userinfo"), "issuers[0].kinds"},
		"opaque without a way":           {issuer("login", "opaque_tokens: true"), "issuers[0].opaque_tokens"}, // row 65
		"scopes without openid":          {issuer("login", "tokens: userinfo, scopes: [ga4gh_passport_v1]"), "issuers[0].scopes"},
		"a scope with a space":           {issuer("login", "tokens: userinfo, scopes: [openid, 'a b']"), "issuers[0].scopes[1]"},
		"an endpoint over http":          {issuer("login", "tokens: userinfo, endpoints: {userinfo: 'http://idp.example.org/u'}"), "issuers[0].endpoints.userinfo"},
		"links without the type":         {issuer("visa", "visa_types: [ControlledAccessGrants], sources: ['https://d.example.org'], links_for: ['https://x']"), "issuers[0].links_for"},                                                 // row 47
		"visas nobody can confirm":       {issuer("visa", "visa_types: [ControlledAccessGrants], sources: ['https://d.example.org'], jku: ['https://idp.example.org/jwks'], access_token_visas: true"), "issuers[0].endpoints.userinfo"}, // row 57
		"claims without the kind":        {issuer("login", "claims: {endpoints: ['https://d.example.org/c']}"), "issuers[0].kinds"},
		"a claims endpoint over http":    {issuer("claims", "claims: {endpoints: ['http://d.example.org/c']}"), "issuers[0].claims.endpoints[0]"}, // row 87
		"a committee without an address": {"signing: {subjects_key: keys/subjects.key}\ndac: {source: 'https://d.example.org', key: keys/visa.key}\n", "dac.source"},
		"a committee without its source": {roles + "dac: {key: keys/visa.key}\n", "dac.source"},
		"a committee without a key":      {roles + "dac: {source: 'https://d.example.org', key: keys/none.key}\n", "dac.key"},
		"names without a secret":         {"api: {external_url: 'https://n.example.org'}\ndac: {source: 'https://d.example.org', key: keys/visa.key}\n", "signing.subjects_key"},
		"visas for a year":               {roles + "dac: {source: 'https://d.example.org', key: keys/visa.key, visa_ttl: 8760h}\n", "dac.visa_ttl"}, // row 115
		"a session for ever":             {"sessions: {life: 100000h}\n", "sessions.life"},
		"a client without keys":          {roles + "broker: {enabled: true, key: keys/passport.key, link_key: keys/link.key, clients: [{id: p}]}\n", "broker.clients[0].jwks_file"}, // row 73
		"two clients of one id": {roles + "broker: {enabled: true, key: keys/passport.key, link_key: keys/link.key, clients: [" +
			"{id: p, jwks_file: keys/portal.jwks.json, targets: [x]}, {id: p, jwks_file: keys/portal.jwks.json, targets: [x]}]}\n", "broker.clients[1].id"},
	} {
		_, err := load(t, dir, start+one.text)
		var p *Problems
		if !errors.As(err, &p) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !slices.ContainsFunc(p.List, func(p Problem) bool { return p.Key == one.key && p.Hint != "" }) {
			t.Errorf("%s: no problem of %s with a hint: %v", name, one.key, p.List)
		}
	}
	twice := start + "issuers: [{issuer: 'https://a.example.org', kinds: [login], mode: direct, tokens: userinfo, opaque_tokens: true}," +
		"{issuer: 'https://b.example.org', kinds: [login], mode: direct, tokens: userinfo, opaque_tokens: true}]\n"
	if _, err := load(t, dir, twice); err == nil || !strings.Contains(err.Error(), "opaque") {
		t.Errorf("two issuers of opaque tokens (row 65): %v", err)
	}
}

// A source that changes with its query string cannot be listed by anybody, so the
// committee is warned (row 114).
func TestASourceWithAQueryIsWarnedAbout(t *testing.T) {
	dir := site(t)
	c := mustLoad(t, dir, start+roles+"dac: {source: 'https://d.example.org/?id=1', key: keys/visa.key}\n")
	if !slices.ContainsFunc(c.Warnings(), func(p Problem) bool { return p.Key == "dac.source" }) {
		t.Errorf("warnings: %v", c.Warnings())
	}
	c = mustLoad(t, dir, start+roles+"dac: {source: 'https://d.example.org', key: keys/visa.key}\n")
	if len(c.Warnings()) != 1 || c.Warnings()[0].Key != "issuers" {
		t.Errorf("warnings about a plain source: %v", c.Warnings())
	}
}

func TestTheClientOfAnIssuer(t *testing.T) {
	dir := site(t)
	c := mustLoad(t, dir, start+"issuers: [{issuer: 'https://idp.example.org', kinds: [login], mode: direct, tokens: introspection, "+
		"client: {id: n, key: keys/client.key}}]\n")
	client := c.IssuerPolicies()[0].Client
	if client.Key == nil || client.KeyID == "" || client.ID != "n" || !client.Secret.IsZero() {
		t.Errorf("client %+v", client)
	}
	again := mustLoad(t, dir, string(mustRead(t, filepath.Join(dir, "candignode.yaml"))))
	if keys := Changes(c, again); keys != nil {
		t.Errorf("nothing changed, but %v", keys)
	}
	if err := os.Remove(filepath.Join(dir, "keys/client.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := CreateSigningKey(filepath.Join(dir, "keys/client.key")); err != nil {
		t.Fatal(err)
	}
	again = mustLoad(t, dir, string(mustRead(t, filepath.Join(dir, "candignode.yaml"))))
	if keys := Changes(c, again); !slices.Equal(keys, []string{"issuers[0].client.key"}) {
		t.Errorf("another key under the same name: %v", keys)
	}
}

func mustRead(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestSigningKeyFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "visa.key")
	made, err := CreateSigningKey(path)
	if err != nil {
		t.Fatal(err)
	}
	read, err := LoadSigningKey(path)
	if err != nil || !read.Equal(made) {
		t.Fatalf("read %v", err)
	}
	if _, err := CreateSigningKey(path); !errors.Is(err, ErrExists) {
		t.Errorf("overwritten: %v", err)
	}
	if _, err := CreateNodeKey(filepath.Join(dir, "node.key")); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "text.key", []byte("secret-text"))
	twice := slices.Concat(mustRead(t, path), mustRead(t, path))
	put(t, dir, "twice.key", twice)
	for _, name := range []string{"node.key", "text.key", "twice.key"} {
		if _, err := LoadSigningKey(filepath.Join(dir, name)); !errors.Is(err, ErrSigningKey) || strings.Contains(err.Error(), "secret-text") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := LoadSigningKey(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadSigningKey(path); !errors.Is(err, ErrSigningKey) {
		t.Errorf("others can read it: %v", err)
	}
	secret := filepath.Join(dir, "subjects.key")
	if err := CreateSubjectsKey(secret); err != nil {
		t.Fatal(err)
	}
	if got, err := LoadSubjectsKey(secret); err != nil || len(got) != subjectsBytes {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if err := CreateSubjectsKey(secret); !errors.Is(err, ErrExists) {
		t.Errorf("overwritten: %v", err)
	}
	put(t, dir, "short.key", []byte("abcd\n"))
	if _, err := LoadSubjectsKey(filepath.Join(dir, "short.key")); !errors.Is(err, ErrSigningKey) {
		t.Errorf("short: %v", err)
	}
}

// A secret in a configuration's policy never prints.
func TestSecretsOfClientsDoNotPrint(t *testing.T) {
	dir := site(t)
	put(t, dir, "keys/secret", []byte("hush-hush\n"))
	c := mustLoad(t, dir, start+"issuers: [{issuer: 'https://idp.example.org', kinds: [login], mode: direct, tokens: introspection, "+
		"client: {id: n, secret_file: keys/secret}}]\n")
	p := c.IssuerPolicies()[0]
	if p.Client.Secret != (trust.AccessToken{}) && p.Client.Secret.Reveal() != "hush-hush" {
		t.Error("the secret was not read")
	}
	for _, text := range []string{c.String(), sprint(p), sprint(c), sprint(*c)} {
		if strings.Contains(text, "hush-hush") {
			t.Error("a secret prints")
		}
	}
}

func sprint(v any) string { return fmt.Sprintf("%v %+v %#v", v, v, v) }
