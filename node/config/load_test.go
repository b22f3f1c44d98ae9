package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/candignode/candignode/configs"
	"github.com/candignode/candignode/trust"
)

const (
	start = "site: {name: uhn}\ndata_dir: /var/lib/candignode\n"
	peers = `federation:
  peers:
    - {name: bcgsc, node: bcgscaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, addr: "a.example.org:7946"}
    - {name: chus, node: chusaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, addr: "b.example.org:7946"}
    - {name: msss, node: msssaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, addr: "c.example.org:7946"}
`
	login = "{issuer: 'https://idp.example.org/', kinds: [login], mode: direct}"
	visas = "issuer: 'https://dac.example.org', kinds: [visa], mode: direct, visa_types: [ControlledAccessGrants], sources: ['https://dac.example.org']"
)

// Each text has exactly one problem, at the key, with the words in its message
// or hint.
var oneProblem = []struct{ name, text, key, words string }{
	{"no name", "data_dir: /d", "site.name", "missing"},
	{"name", "site: {name: UHN}\ndata_dir: /d", "site.name", "a-z"},
	{"no data_dir", "site: {name: uhn}", "data_dir", "missing"},
	{"display name", "site: {name: uhn, display_name: \"a\\nb\"}\ndata_dir: /d", "site.display_name", "printable"},
	{"unknown section", start + "fedration: {}", "fedration", "write federation"},
	{"unknown key", start + "api: {lisen: ''}", "api.lisen", "write listen"},
	{"unknown key, nothing near", start + "log: {colour: red}", "log.colour", "level, format"},
	{"key in other case", start + "Log: {}", "Log", "write log"},
	{"twice", start + "log: {level: info, level: warn}", "log.level", "twice"},
	{"section as text", start + "api: here", "api", "section"},
	{"list as text", start + "issuers: none", "issuers", "list"},
	{"text as list", start + "log: {level: [info]}", "log.level", "one value"},
	{"no value", start + "log: {level: }", "log.level", "no value"},
	{"empty entry", start + "issuers: [~]", "issuers[0]", "empty"},
	{"bool", start + "issuers: [{issuer: 'https://a.org', kinds: [login], mode: direct, require_aud: yes}]", "issuers[0].require_aud", "true or false"},
	{"number", start + "privacy: {threshold: ten}", "privacy.threshold", "whole number"},
	{"number in quotes", start + "privacy: {threshold: '10'}", "privacy.threshold", "whole number"},
	{"duration", start + "limits: {issuer_poll: 300}", "limits.issuer_poll", "unit"},
	{"anchor", start + "log: &a {level: info}", "log", "anchors"},
	{"merge", start + "log: {<<: {level: info}}", "log", "unknown key"},
	{"tag", start + "log: {level: !!str info}", "log.level", "tags"},
	{"listen", start + "federation: {listen: here}", "federation.listen", "address"},
	{"listen on a name", start + "federation: {listen: 'node.example.org:1'}", "federation.listen", "IP address"},
	{"listen port", start + "federation: {listen: '127.0.0.1:70000'}", "federation.listen", "port"},
	{"advertise", start + "federation: {advertise: nowhere}", "federation.advertise", "host with a port"},
	{"advertise port", start + "federation: {advertise: 'a.org:0'}", "federation.advertise", "port"},
	{"network", start + "federation: {network: 'A B'}", "federation.network", "same at every site"},
	// passports.md, row 71: tokens do not travel unencrypted.
	{"certificates without tls", start + "api: {tls: {client_certificates: true}}", "api.tls.client_certificates", "cannot be asked"},
	{"api without tls", start + "api: {listen: '0.0.0.0:8443'}", "api.listen", "unencrypted"},
	{"api without tls on all", start + "api: {listen: ':8443'}", "api.listen", "unencrypted"},
	{"cert alone", start + "api: {tls: {cert: tls/cert.pem}}", "api.tls.key", "missing"},
	{"key alone", start + "api: {tls: {key: tls/key.pem}}", "api.tls.cert", "missing"},
	{"no such cert", start + "api: {tls: {cert: tls/none.pem, key: tls/key.pem}}", "api.tls.cert", "cannot read"},
	{"not a pair", start + "api: {tls: {cert: tls/cert.pem, key: tls/cert.pem}}", "api.tls", "key"},
	{"key pasted", start + "api: {tls: {cert: tls/cert.pem, key: '-----BEGIN PRIVATE KEY-----'}}", "api.tls.key", "not a path"},
	{"one key for two", start + "federation: {node_key: tls/key.pem}\napi: {tls: {cert: tls/cert.pem, key: tls/key.pem}}", "federation.node_key", "one use"},
	{"plain external_url", start + "api: {external_url: 'http://node.example.org'}", "api.external_url", "https"},
	{"external_url with slash", start + "api: {external_url: 'https://node.example.org/'}", "api.external_url", "slash"},
	{"external_url with query", start + "api: {external_url: 'https://node.example.org?a'}", "api.external_url", "plain address"},
	{"long socket", start + "admin: {socket: /" + strings.Repeat("s", 107) + "}", "admin.socket", "107"},
	{"peer without a name", start + "federation: {peers: [{node: bcgscaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, addr: 'a:1'}]}", "federation.peers[0].name", "missing"},
	{"peer is us", start + "federation: {peers: [{name: uhn, node: bcgscaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, addr: 'a:1'}]}", "federation.peers[0].name", "itself"},
	{"peer's node", start + "federation: {peers: [{name: chus, node: BCGSC, addr: 'a:1'}]}", "federation.peers[0].node", "site show"},
	{"peer's addr", start + "federation: {peers: [{name: chus, node: bcgscaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}]}", "federation.peers[0].addr", "missing"},
	{"peer twice", start + peers + "    - {name: chus, node: chueaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, addr: 'c:1'}", "federation.peers[3].name", "federation.peers[1]"},
	{"node twice", start + peers + "    - {name: oicr, node: chusaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, addr: 'c:1'}", "federation.peers[3].node", "federation.peers[1]"},
	{"issuer missing", start + "issuers: [{kinds: [login], mode: direct}]", "issuers[0].issuer", "missing"},
	{"issuer http", start + "issuers: [{issuer: 'http://idp.example.org', kinds: [login], mode: direct}]", "issuers[0].issuer", "https"},
	{"issuer with query", start + "issuers: [{issuer: 'https://idp.example.org?a=b', kinds: [login], mode: direct}]", "issuers[0].issuer", "query"},
	{"issuer with fragment", start + "issuers: [{issuer: 'https://idp.example.org#', kinds: [login], mode: direct}]", "issuers[0].issuer", "fragment"},
	{"issuer with user", start + "issuers: [{issuer: 'https://a:b@idp.example.org', kinds: [login], mode: direct}]", "issuers[0].issuer", "user"},
	{"issuer in HTTPS", start + "issuers: [{issuer: 'HTTPS://idp.example.org', kinds: [login], mode: direct}]", "issuers[0].issuer", "https"},
	{"issuer IDN", start + "issuers: [{issuer: 'https://idp.exämple.org', kinds: [login], mode: direct}]", "issuers[0].issuer", "xn--"},
	{"issuer twice", start + "issuers: [" + login + ", " + login + "]", "issuers[1].issuer", "issuers[0]"},
	{"URN without pinned keys", start + "issuers: [{issuer: 'urn:a:b', kinds: [login], mode: direct}]", "issuers[0].issuer", "manual"},
	{"no kinds", start + "issuers: [{issuer: 'https://idp.example.org', mode: direct}]", "issuers[0].kinds", "trusted for nothing"},
	{"kind", start + "issuers: [{issuer: 'https://idp.example.org', kinds: [logon], mode: direct}]", "issuers[0].kinds[0]", "write login"},
	{"mode", start + "issuers: [{issuer: 'https://idp.example.org', kinds: [login], mode: directly}]", "issuers[0].mode", "write direct"},
	{"mode quorum", start + "issuers: [{issuer: 'https://idp.example.org', kinds: [login], mode: quorum}]", "issuers[0].witnesses", "mode quorum needs at least 2"},
	{"mode home", start + "issuers: [{issuer: 'https://idp.example.org', kinds: [login], mode: home}]", "issuers[0].home", "is the issuer's home"},
	{"mode home of our own", start + "issuers: [{issuer: 'https://idp.example.org', kinds: [login], mode: home, home: uhn}]", "issuers[0].home", "name the peer"},
	{"mode home with one witness", start + peers + "issuers: [{issuer: 'https://idp.example.org', kinds: [login], mode: home, home: chus, witnesses: [chus]}]", "issuers[0].witnesses", "mode home needs at least 2"},
	{"algorithm", start + "issuers: [{issuer: 'https://idp.example.org', kinds: [login], mode: direct, algs: [RS256, HS256]}]", "issuers[0].algs[1]", "RS256"},
	{"default mode without witnesses", start + "issuers: [{issuer: 'https://idp.example.org', kinds: [login]}]", "issuers[0].witnesses", "mode: direct"},
	{"one witness", start + peers + "issuers: [{issuer: 'https://idp.example.org', kinds: [login], witnesses: [chus]}]", "issuers[0].witnesses", "at least 2"},
	{"witness is us", start + peers + "issuers: [{issuer: 'https://idp.example.org', kinds: [login], witnesses: [chus, bcgsc, uhn]}]", "issuers[0].witnesses[2]", "itself"},
	{"witness twice", start + peers + "issuers: [{issuer: 'https://idp.example.org', kinds: [login], witnesses: [chus, chus]}]", "issuers[0].witnesses[1]", "once"},
	{"a group of strangers", start + peers + "issuers: [{issuer: 'https://idp.example.org', kinds: [login], witnesses: [chus, bcgsc, msss], groups: [{name: canarie, witnesses: [uhn]}]}]", "issuers[0].groups[0].witnesses[0]", "among the issuer's witnesses"},
	{"a witness of two groups", start + peers + "issuers: [{issuer: 'https://idp.example.org', kinds: [login], witnesses: [chus, bcgsc, msss], groups: [{name: a, witnesses: [chus]}, {name: b, witnesses: [chus]}]}]", "issuers[0].groups[1].witnesses[0]", "once"},
	{"one vantage", start + peers + "issuers: [{issuer: 'https://idp.example.org', kinds: [login], witnesses: [chus, bcgsc], groups: [{name: a, witnesses: [chus, bcgsc]}]}]", "issuers[0].k", "vantage"},
	{"no continuity", start + peers + "issuers: [{issuer: 'https://idp.example.org', kinds: [login], witnesses: [chus, bcgsc], continuity: maybe}]", "issuers[0].continuity", "on"},
	{"a peer of no SiteID", start + "federation: {peers: [{name: chus, node: chusaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, addr: 'c:1', site: x}]}", "federation.peers[0].site", "site show"},
	{"k too small", start + peers + "issuers: [{issuer: 'https://idp.example.org', kinds: [login], witnesses: [chus, bcgsc], k: 1}]", "issuers[0].k", "from 2 to 2"},
	{"k too large", start + peers + "issuers: [{issuer: 'https://idp.example.org', kinds: [login], witnesses: [chus, bcgsc], k: 3}]", "issuers[0].k", "from 2 to 2"},
	{"max_stale", start + "issuers: [{issuer: 'https://a.org', kinds: [login], mode: direct, max_stale: 73h}]", "issuers[0].max_stale", "72h"},
	{"client id twice", start + "issuers: [{issuer: 'https://a.org', kinds: [login], mode: direct, client_ids: [a, a]}]", "issuers[0].client_ids[1]", "once"},
	{"client id empty", start + "issuers: [{issuer: 'https://a.org', kinds: [login], mode: direct, client_ids: ['']}]", "issuers[0].client_ids[0]", "client id"},
	{"client ids of nobody", start + "issuers: [{issuer: 'https://a.org', kinds: [login], mode: direct, peer_client_ids: [{site: chus, client_ids: [c]}]}]", "issuers[0].peer_client_ids[0].site", "federation.peers"},
	{"no client ids of a peer", start + peers + "issuers: [{issuer: 'https://a.org', kinds: [login], mode: direct, peer_client_ids: [{site: chus}]}]", "issuers[0].peer_client_ids[0].client_ids", "is missing"},
	{"a peer's client id is ours", start + peers + "issuers: [{issuer: 'https://a.org', kinds: [login], mode: direct, client_ids: [c], peer_client_ids: [{site: chus, client_ids: [c]}]}]", "issuers[0].peer_client_ids[0].client_ids[0]", "c"},
	{"unbound from nobody", start + "issuers: [{issuer: 'https://a.org', kinds: [login], mode: direct, accept_unbound_from: [chus]}]", "issuers[0].accept_unbound_from[0]", "federation.peers"},
	{"visas without types", start + "issuers: [{issuer: 'https://a.org', kinds: [visa], mode: direct, sources: ['https://a.org']}]", "issuers[0].visa_types", "ControlledAccessGrants"},
	{"visas without sources", start + "issuers: [{issuer: 'https://a.org', kinds: [visa], mode: direct, visa_types: [ResearcherStatus]}]", "issuers[0].sources", "dac.example.org"},
	{"visa type", start + "issuers: [{issuer: 'https://a.org', kinds: [visa], mode: direct, visa_types: [ControlledAccesGrants], sources: ['https://a.org']}]", "issuers[0].visa_types[0]", "write ControlledAccessGrants"},
	// passports.md, row 25.
	{"source nobody", start + "issuers: [{issuer: 'https://a.org', kinds: [visa], mode: direct, visa_types: [ResearcherStatus], sources: ['https://no.organization']}]", "issuers[0].sources[0]", "nobody"},
	{"source word", start + "issuers: [{issuer: 'https://a.org', kinds: [visa], mode: direct, visa_types: [ResearcherStatus], sources: [dac]}]", "issuers[0].sources[0]", "URL"},
	{"prefix", start + "issuers: [{" + visas + ", value_prefixes: ['']}]", "issuers[0].value_prefixes[0]", "prefix"},
	{"jku http", start + "issuers: [{" + visas + ", jku: ['http://dac.example.org/jwks']}]", "issuers[0].jku[0]", "https"},
	{"ca_file missing", start + "issuers: [{" + visas + ", ca_file: none.pem}]", "issuers[0].ca_file", "cannot read"},
	{"ca_file holds none", start + "issuers: [{" + visas + ", ca_file: tls/key.pem}]", "issuers[0].ca_file", "no certificate"},
	{"manual without keys", start + "issuers: [{issuer: 'https://a.org', kinds: [login], mode: manual}]", "issuers[0].jwks_file", "missing"},
	{"keys without manual", start + "issuers: [{issuer: 'https://a.org', kinds: [login], mode: direct, jwks_file: issuers/registered-access.jwks.json}]", "issuers[0].jwks_file", "mode: manual"},
	{"keys in no file", start + "issuers: [{issuer: 'https://a.org', kinds: [login], mode: manual, jwks_file: none}]", "issuers[0].jwks_file", "cannot read"},
	{"keys that are none", start + "issuers: [{issuer: 'https://a.org', kinds: [login], mode: manual, jwks_file: tls/cert.pem}]", "issuers[0].jwks_file", "not a key set"},
	{"private key", start + "issuers: [{issuer: 'https://a.org', kinds: [login], mode: manual, jwks_file: private.json}]", "issuers[0].jwks_file", "may not stand there"},
	{"empty key set", start + "issuers: [{issuer: 'https://a.org', kinds: [login], mode: manual, jwks_file: empty.json}]", "issuers[0].jwks_file", "no usable key"},
	{"keys in a pipe", start + "issuers: [{issuer: 'https://a.org', kinds: [login], mode: manual, jwks_file: pipe}]", "issuers[0].jwks_file", "regular file"},
	{"dataset id", start + "datasets: [{id: ../up, access: public}]", "datasets[0].id", ""},
	{"dataset without id", start + "datasets: [{access: public}]", "datasets[0].id", "missing"},
	{"dataset twice", start + "datasets: [{id: a, access: public}, {id: a, access: public}]", "datasets[1].id", "datasets[0]"},
	{"no access", start + "datasets: [{id: a}]", "datasets[0].access", "missing"},
	{"access", start + "datasets: [{id: a, access: open}]", "datasets[0].access", "public, registered or controlled"},
	{"controlled without value", start + "datasets: [{id: a, access: controlled}]", "datasets[0].value", "nobody"},
	{"value with space", start + "datasets: [{id: a, access: controlled, value: 'v '}]", "datasets[0].value", "space"},
	{"long value", start + "datasets: [{id: a, access: controlled, value: " + strings.Repeat("v", 256) + "}]", "datasets[0].value", "255"},
	{"registered_by", start + "datasets: [{id: a, access: registered, registered_by: visa}]", "datasets[0].registered_by", "write visas"},
	{"registered_by of another", start + "datasets: [{id: a, access: public, registered_by: login}]", "datasets[0].registered_by", "only registered"},
	{"by", start + "datasets: [{id: a, access: controlled, value: v, by: [DAC]}]", "datasets[0].by[0]", "write dac"},
	{"by nobody", start + "datasets: [{id: a, access: controlled, value: v, by: []}]", "datasets[0].by", "no visa would count"},
	{"issuer of a dataset", start + "datasets: [{id: a, access: controlled, value: v, issuers: ['https://a.org']}]", "datasets[0].issuers[0]", "configured issuers"},
	{"no policy", start + "policy: {dir: none}", "policy.dir", "cannot read"},
	{"policy is a file", start + "policy: {dir: tls/cert.pem}", "policy.dir", "not a directory"},
	{"empty policy", start + "policy: {dir: tls}", "policy.dir", "no *.rego"},
	{"threshold", start + "privacy: {threshold: 0}", "privacy.threshold", "least is 1"},
	{"round", start + "privacy: {round: -1}", "privacy.round", "0 or more"},
	{"poll", start + "limits: {issuer_poll: 1s}", "limits.issuer_poll", "5s"},
	{"peer longer than query", start + "limits: {query_timeout: 5s, peer_timeout: 6s}", "limits.peer_timeout", "longer"},
	{"no questions", start + "limits: {concurrent_questions: 0}", "limits.concurrent_questions", "from 1"},
	{"level", start + "log: {level: warning}", "log.level", "debug, info, warn or error"},
	{"format", start + "log: {format: xml}", "log.format", "json or text"},
	{"metrics", start + "metrics: {listen: 9464}", "metrics.listen", "address"},
	{"second document", start + "---\nsite: {name: chus}", "", "second YAML document"},
	{"not YAML", start + "log: {level: info", "", "not YAML"},
	{"tab", start + "log:\n\tlevel: info", "", "not YAML"},
	{"no mapping", "- a", "", "section"},
}

func TestEachProblemIsNamed(t *testing.T) {
	dir := site(t)
	put(t, dir, "private.json", []byte(strings.Replace(publicJWKS, `"kid"`, `"d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI","kid"`, 1)))
	put(t, dir, "empty.json", []byte(`{"keys":[]}`))
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range oneProblem {
		t.Run(c.name, func(t *testing.T) {
			list := problemsOf(t, dir, c.text)
			if len(list) != 1 || list[0].Key != c.key || !strings.Contains(list[0].String(), c.words) {
				t.Fatalf("problems %v,\nwant one at %q with %q", list, c.key, c.words)
			}
			if list[0].Line == 0 && strings.Contains(c.text, "\n") && !strings.Contains(list[0].Message, "missing") {
				t.Errorf("%v has no line", list[0])
			}
			if strings.Contains(list[0].String(), "BEGIN PRIVATE") {
				t.Error("the problem shows a key")
			}
		})
	}
}

// All problems of a file come at once, in its order, each with its line.
func TestAllProblemsAtOnce(t *testing.T) {
	list := problemsOf(t, site(t), `site: {name: Uhn}
data_dir: /d
federation:
  peers:
    - name: chus
      node: short
      addr: nowhere
api:
  listen: "0.0.0.0:80"
  lisen: ""
issuers:
  - issuer: http://idp.example.org
    kinds: []
    mode: directly
    max_stale: 5
    require_aud: maybe
limits: {peer_timeout: 20s}
log: {level: loud}
`)
	var got []string
	for _, p := range list {
		got = append(got, fmt.Sprint(p.Line, " ", p.Key))
	}
	want := []string{"1 site.name", "6 federation.peers[0].node", "7 federation.peers[0].addr", "9 api.listen", "10 api.lisen",
		"12 issuers[0].issuer", "13 issuers[0].kinds", "14 issuers[0].mode", "15 issuers[0].max_stale", "16 issuers[0].require_aud",
		"17 limits.peer_timeout", "18 log.level"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	text := (&Problems{File: "f", List: list}).Error()
	if !strings.HasPrefix(text, "f: 12 problems\n  line 1: site.name: ") || strings.Count(text, "\n") != 12 {
		t.Errorf("text %s", text)
	}
}

var oneWarning = []struct{ name, text, key, words string }{
	// passports.md, row 48.
	{"no issuers", start, "issuers", "only public"},
	{"threshold", start + "privacy: {threshold: 4}\nissuers: [" + login + "]", "privacy.threshold", "as few as 4"},
	{"round", start + "privacy: {round: 5}\nissuers: [" + login + "]", "privacy.round", "not applied"},
	{"unbound", start + peers + "issuers: [{issuer: 'https://a.org', kinds: [passport], mode: direct, accept_unbound_from: [chus]}]", "issuers[0].accept_unbound_from[0]", "show it again"},
	{"private addresses", start + "issuers: [{" + visas + ", allow_private_addresses: true}]", "issuers[0].allow_private_addresses", "loopback"},
	{"missing kid", start + "issuers: [{" + visas + ", allow_missing_kid: true}]", "issuers[0].allow_missing_kid", "name"},
	{"key use", start + "issuers: [{" + visas + ", waive_key_use: true}]", "issuers[0].waive_key_use", "encryption"},
	// passports.md, row 114.
	{"source with query", start + "issuers: [{issuer: 'https://a.org', kinds: [visa], mode: direct, visa_types: [ResearcherStatus], sources: ['https://a.org?dac=1']}]", "issuers[0].sources[0]", "query string"},
	{"slash twin", start + "issuers: [" + login + ", {issuer: 'https://idp.example.org', kinds: [login], mode: direct}]", "issuers[1].issuer", "two issuers"},
	{"aud without a name", start + "issuers: [{issuer: 'https://a.org', kinds: [passport], mode: direct, require_aud: true}]", "issuers[0].require_aud", "refused"},
	{"idle witnesses", start + peers + "issuers: [{issuer: 'https://a.org', kinds: [login], mode: direct, witnesses: [chus, bcgsc]}]", "issuers[0].mode", "no effect"},
	{"witness is nobody", start + peers + "issuers: [{issuer: 'https://idp.example.org', kinds: [login], witnesses: [chus, bcgcs]}]", "issuers[0].witnesses[1]", "write bcgsc"},
	{"idle scope", start + "issuers: [{issuer: 'https://a.org', kinds: [login], mode: direct, jku: ['https://a.org/jwks']}]", "issuers[0].kinds", "no effect"},
	{"public with value", start + "issuers: [" + login + "]\ndatasets: [{id: a, access: public, value: v}]", "datasets[0].access", "no effect"},
	{"source nobody speaks for", start + "issuers: [{" + visas + "}]\ndatasets: [{id: a, access: controlled, value: v, sources: ['https://b.org']}]", "datasets[0].sources[0]", "no visa of it counts"},
	{"open metrics", start + "issuers: [" + login + "]\nmetrics: {listen: '0.0.0.0:9464'}", "metrics.listen", "without a password"},
	{"skipped key", start + "issuers: [{issuer: 'https://a.org', kinds: [login], mode: manual, jwks_file: mixed.json}]", "issuers[0].jwks_file", "skipped"},
}

func TestEachWarningIsGiven(t *testing.T) {
	dir := site(t)
	put(t, dir, "mixed.json", []byte(strings.Replace(publicJWKS, `{"keys":[`, `{"keys":[{"kty":"EC","crv":"secp256k1","kid":"odd","x":"AA","y":"AA"},`, 1)))
	for _, c := range oneWarning {
		t.Run(c.name, func(t *testing.T) {
			list := mustLoad(t, dir, c.text).Warnings()
			if len(list) != 1 || list[0].Key != c.key || !strings.Contains(list[0].String(), c.words) {
				t.Fatalf("warnings %v, want one at %q with %q", list, c.key, c.words)
			}
		})
	}
	if err := os.Chmod(filepath.Join(dir, "tls/key.pem"), 0o604); err != nil {
		t.Fatal(err)
	}
	c := mustLoad(t, dir, start+"issuers: ["+login+"]\napi: {listen: '0.0.0.0:8443', tls: {cert: tls/cert.pem, key: tls/key.pem}}")
	if w := c.Warnings(); len(w) != 1 || w[0].Key != "api.tls.key" {
		t.Errorf("a key that everybody may read: %v", w)
	}
}

func TestWhatIsAllowed(t *testing.T) {
	dir := site(t)
	for name, text := range map[string]string{
		"IPv6 loopback without tls":   start + "api: {listen: '[::1]:0'}",
		"localhost without tls":       start + "api: {listen: 'localhost:80', external_url: 'http://localhost:80'}",
		"sections without keys":       start + "issuers:\ndatasets:\nlimits:\nfederation:\n  peers:\n",
		"a URN with pinned keys":      start + "issuers: [{issuer: 'urn:x:y', kinds: [visa], mode: manual, jwks_file: issuers/registered-access.jwks.json, visa_types: ['https://x.org/T'], sources: ['https://x.org']}]",
		"a private key beside a path": start + "issuers: [{" + visas + "}]",
	} {
		if _, err := load(t, dir, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := mustLoad(t, dir, start+peers+"issuers: [{issuer: 'https://a.org', kinds: [login], witnesses: [chus, bcgsc, msss]}]")
	if p := c.IssuerPolicies()[0]; p.Mode != trust.ModeDirectQuorum || p.K != 2 || len(p.Witnesses) != 3 {
		t.Errorf("the majority of three: %+v", p)
	}
	c = mustLoad(t, dir, start+"limits: {query_timeout: 2s}")
	if c.Limits.PeerTimeout != c.Limits.QueryTimeout {
		t.Errorf("peers get %v of %v by default", c.Limits.PeerTimeout, c.Limits.QueryTimeout)
	}
}

func TestFilesThatCannotBeConfigurations(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'k'; c++ {
		bomb += fmt.Sprintf("%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n", c, c, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1)
	}
	for name, path := range map[string]string{
		"none": filepath.Join(dir, "none"), "directory": dir, "pipe": pipe,
		"too large":      put(t, dir, "large", bytes.Repeat([]byte("# text\n"), maxFile/7+1)),
		"empty":          put(t, dir, "empty", nil),
		"aliases":        put(t, dir, "bomb", []byte(bomb)),
		"deep":           put(t, dir, "deep", []byte("site: "+strings.Repeat("[", 5000))),
		"deep and whole": put(t, dir, "deep2", []byte("site: "+strings.Repeat("{a: ", 5000)+"1"+strings.Repeat("}", 5000))),
		"binary":         put(t, dir, "binary", []byte{0, 1, 2, 0xff, 0xfe}),
		"many mistakes":  put(t, dir, "many", []byte(start+strings.Repeat("a: 1\n", 500))),
	} {
		_, err := Load(path)
		var p *Problems
		if !errors.As(err, &p) || len(p.List) == 0 || len(p.List) > maxProblems {
			t.Errorf("%s: %v", name, err)
		} else if len(p.Error()) > 20_000 {
			t.Errorf("%s: the error has %d bytes", name, len(p.Error()))
		}
	}
}

func TestReloadNamesWhatNeedsARestart(t *testing.T) {
	dir := site(t)
	old := mustLoad(t, dir, string(configs.Example()))
	if keys := Changes(old, mustLoad(t, dir, string(configs.Example()))); keys != nil {
		t.Errorf("nothing changed, but %v", keys)
	}
	// Every scalar key is changed in a copy; it must be named, and be either applied on
	// reload or in need of a restart.
	restart := map[string]bool{}
	for _, key := range []string{"site.name", "site.display_name", "data_dir", "federation.listen", "federation.advertise",
		"federation.network", "federation.node_key", "api.listen", "api.external_url", "api.tls.cert", "api.tls.key", "admin.socket",
		"limits.query_timeout", "limits.peer_timeout", "limits.issuer_poll", "limits.concurrent_questions", "limits.cache_entries",
		"limits.cache_bytes", "log.format", "metrics.listen", "api.tls.client_certificates",
		"sessions.life", "sessions.max_per_person", "claims.arrays", "signing.subjects_key",
		"dac.source", "dac.key", "dac.visa_ttl", "dac.claim_name",
		"broker.enabled", "broker.key", "broker.link_key", "broker.passport_ttl", "broker.array_claims",
		"broker.clients[].id", "broker.clients[].jwks_file", "broker.clients[].targets", "broker.clients[].redirect_uris"} {
		restart[key] = true
	}
	for _, key := range Keys() {
		next := *old
		next.Issuers, next.DatasetList = slices.Clone(old.Issuers), slices.Clone(old.DatasetList)
		next.Federation.PeerList = slices.Clone(old.Federation.PeerList)
		next.Broker.Clients = slices.Clone(old.Broker.Clients)
		next.Issuers[0].PeerClientIDs = slices.Clone(old.Issuers[0].PeerClientIDs)
		next.Issuers[0].Groups = slices.Clone(old.Issuers[0].Groups)
		change(reflect.ValueOf(&next).Elem(), strings.ReplaceAll(key, "[]", ""))
		named := Changes(old, &next)
		if want := strings.ReplaceAll(key, "[]", "[0]"); !slices.Equal(named, []string{want}) {
			t.Errorf("%s changed, and %v is named", want, named)
		}
		if got := len(Restart(old, &next)) > 0; got != restart[key] {
			t.Errorf("%s: restart %t, want %t", key, got, restart[key])
		}
	}
	put(t, dir, "issuers/registered-access.jwks.json", []byte(publicJWKS+"\n"))
	if keys := Changes(old, mustLoad(t, dir, string(configs.Example()))); !slices.Equal(keys, []string{"issuers[2].jwks_file"}) {
		t.Errorf("a file changed under its name: %v", keys)
	}
	fewer := *old
	fewer.Issuers = old.Issuers[:1]
	if keys := Changes(old, &fewer); !slices.Equal(keys, []string{"issuers"}) {
		t.Errorf("issuers went away: %v", keys)
	}
}

// change gives another value to one key.
func change(v reflect.Value, key string) {
	name, rest, more := strings.Cut(key, ".")
	if v.Kind() == reflect.Slice {
		change(v.Index(0), key)
		return
	}
	field := fieldOf(v, name)
	switch {
	case more:
		change(field, rest)
	case field.Kind() == reflect.String:
		field.SetString(field.String() + "x")
	case field.Kind() == reflect.Bool:
		field.SetBool(!field.Bool())
	case field.CanInt():
		field.SetInt(field.Int() + 1)
	case field.Kind() == reflect.Slice:
		field.Set(reflect.MakeSlice(field.Type(), field.Len()+1, field.Len()+1))
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(configs.Example())
	for _, c := range oneProblem {
		f.Add([]byte(c.text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, problems := parse(data, "/nonexistent/candignode.yaml")
		if (c == nil) == (problems == nil) {
			t.Fatal("neither a configuration nor a problem, or both")
		}
		if problems != nil {
			if len(problems.List) == 0 || len(problems.Error()) > 200_000 {
				t.Errorf("%d problems in %d bytes", len(problems.List), len(problems.Error()))
			}
			return
		}
		if _, err := trust.ParseSiteName(string(c.Site.Name)); err != nil {
			t.Error(err)
		}
		for _, p := range c.IssuerPolicies() {
			if p.Is(trust.KindVisa) && (len(p.VisaTypes) == 0 || len(p.Sources) == 0) {
				t.Errorf("visas of any kind are trusted: %+v", p)
			}
		}
	})
}
