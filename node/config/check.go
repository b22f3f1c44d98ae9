package config

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/candignode/candignode/trust"
)

// check notes everything that is wrong with a decoded configuration.
func (c *Config) check(n *notes) {
	if n.broken[""] {
		return
	}
	c.checkSite(n)
	c.checkFederation(n)
	c.checkPeers(n)
	c.checkAPI(n)
	c.checkIssuers(n)
	c.checkDatasets(n)
	c.checkPolicy(n)
	c.checkPrivacy(n)
	c.checkLimits(n)
	c.checkRoles(n)
	oneOf(n, "log.level", c.Log.Level, "debug", "info", "warn", "error")
	oneOf(n, "log.format", c.Log.Format, "json", "text")
}

func (c *Config) checkSite(n *notes) {
	if c.Site.Name == "" {
		n.problem("site.name", "write the short name that peers know this site by, such as uhn", "is missing")
	} else if _, err := trust.ParseSiteName(string(c.Site.Name)); err != nil {
		n.problem("site.name", "", "%v", err)
	}
	text(n, "site.display_name", c.Site.DisplayName)
	if c.DataDir == "" {
		n.problem("data_dir", "write the directory that holds this site's state, such as /var/lib/candignode", "is missing")
	}
	for key, path := range map[string]string{
		"data_dir": c.DataDir, "federation.node_key": c.Federation.NodeKey, "admin.socket": c.Admin.Socket,
	} {
		if err := notAPath(path); err != nil {
			n.problem(key, "", "%v", err)
		}
	}
	if n.written("federation.node_key") && c.Federation.NodeKey == "" {
		n.problem("federation.node_key", "write a path or remove the line", "is empty")
	}
	if n.written("admin.socket") && c.Admin.Socket == "" {
		n.problem("admin.socket", "write a path or remove the line", "is empty")
	}
	if size := len(c.Admin.Socket); size > maxSocketPath {
		n.problem("admin.socket", "name a shorter path, such as /run/candignode/admin.sock",
			"the path is %d bytes long; a unix socket's is at most %d", size, maxSocketPath)
	}
}

var networkForm = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,62}$`)

func (c *Config) checkFederation(n *notes) {
	address(n, "federation.listen", c.Federation.Listen)
	if c.Federation.Advertise != "" {
		hostPort(n, "federation.advertise", c.Federation.Advertise)
	}
	if !networkForm.MatchString(c.Federation.Network) {
		n.problem("federation.network", "use 1 to 63 of a-z, 0-9, '.' and '-'; the same at every site",
			"%.80q cannot name a network", c.Federation.Network)
	}
	key := c.Federation.NodeKey
	if key != "" && key == c.API.TLS.Key {
		n.problem("federation.node_key", "give the API a key of its own", "is also the key of api.tls; each key has one use")
	}
}

// discloses are what a peer may be told of researchers here; federation.Disclosure.
var discloses = []string{"whole", "announced", "nothing"}

func (c *Config) checkPeers(n *notes) {
	names, nodes := map[trust.SiteName]int{}, map[trust.NodeID]int{}
	for i, p := range c.Federation.PeerList {
		at := item("federation.peers", i)
		switch _, err := trust.ParseSiteName(string(p.Name)); {
		case p.Name == "":
			n.problem(at+".name", "write the peer's site name", "is missing")
		case err != nil:
			n.problem(at+".name", "", "%v", err)
		case p.Name == c.Site.Name:
			n.problem(at+".name", "list only other sites", "%q is this site itself", p.Name)
		default:
			once(n, names, "federation.peers", at+".name", p.Name, i)
		}
		const ask = "ask the peer's operator for what 'candignode site show' prints"
		switch _, err := trust.ParseNodeID(string(p.Node)); {
		case p.Node == "":
			n.problem(at+".node", ask, "is missing")
		case err != nil:
			n.problem(at+".node", ask, "%v", err)
		default:
			once(n, nodes, "federation.peers", at+".node", p.Node, i)
		}
		hostPort(n, at+".addr", p.Addr)
		if p.Disclose != "" {
			oneOf(n, at+".disclose", p.Disclose, discloses...)
		}
		if p.Site != "" {
			if _, err := trust.ParseSiteID(string(p.Site)); err != nil {
				n.problem(at+".site", ask, "%v", err)
			}
		}
	}
}

func (c *Config) checkAPI(n *notes) {
	address(n, "api.listen", c.API.Listen)
	t := c.API.TLS
	switch {
	case t.Cert == "" && t.Key == "":
		if !loopback(c.API.Listen) {
			n.problem("api.listen", "name api.tls.cert and api.tls.key, or listen on 127.0.0.1 behind something that ends TLS",
				"tokens would travel unencrypted: %.80q is reachable from other machines and there is no api.tls", c.API.Listen)
		}
		if t.ClientCertificates {
			n.problem("api.tls.client_certificates", "name api.tls.cert and api.tls.key, or remove it: whatever ends TLS in front does not pass certificates on",
				"clients cannot be asked for a certificate without api.tls")
		}
	case t.Cert == "":
		n.problem("api.tls.cert", "name the certificate chain's PEM file", "is missing beside api.tls.key")
	case t.Key == "":
		n.problem("api.tls.key", "name the private key's PEM file", "is missing beside api.tls.cert")
	default:
		checkPair(n, t)
	}
	if c.API.ExternalURL != "" {
		c.checkExternalURL(n)
	}
	if c.Metrics.Listen != "" {
		address(n, "metrics.listen", c.Metrics.Listen)
		if !loopback(c.Metrics.Listen) {
			n.warn("metrics.listen", "listen on 127.0.0.1 or let a firewall admit only the Prometheus server",
				"metrics are readable without a password by every machine that reaches %.80q", c.Metrics.Listen)
		}
	}
}

// checkPair proves that certificate and key can be read and belong together.
func checkPair(n *notes, t TLS) {
	cert, err := readFile(t.Cert, maxSideFile)
	if err != nil {
		n.problem("api.tls.cert", "name a PEM file that the node's user may read", "%v", err)
	}
	key, err := readFile(t.Key, maxSideFile)
	if err != nil {
		n.problem("api.tls.key", "name a PEM file that the node's user may read", "%v", err)
	}
	if n.bad("api.tls.cert") || n.bad("api.tls.key") {
		return
	}
	if _, err := tls.X509KeyPair(cert, key); err != nil {
		n.problem("api.tls", "name a certificate chain, the server's own first, and the key it was made for", "%v", err)
	}
	if info, err := os.Stat(t.Key); err == nil && info.Mode().Perm()&0o007 != 0 {
		n.warn("api.tls.key", "chmod o= the file", "everybody on this machine can read the private key")
	}
}

func (c *Config) checkExternalURL(n *notes) {
	const key = "api.external_url"
	u, err := url.Parse(c.API.ExternalURL)
	if err != nil {
		n.problem(key, "write it as in https://node.example.org", "%.80q is not a URL", c.API.ExternalURL)
		return
	}
	switch {
	case u.Host == "" || u.User != nil || strings.ContainsAny(c.API.ExternalURL, "?# ") || len(c.API.ExternalURL) > maxURLClaim:
		n.problem(key, "write it as in https://node.example.org", "%.80q is not a plain address", c.API.ExternalURL)
	case strings.HasSuffix(c.API.ExternalURL, "/"):
		n.problem(key, "remove the slash at the end", "ends in a slash")
	case u.Scheme == "http" && loopback(u.Host), u.Scheme == "https":
	default:
		n.problem(key, "write https://", "%.80q would make clients send tokens unencrypted", c.API.ExternalURL)
	}
}

func (c *Config) checkPolicy(n *notes) {
	if c.Policy.Dir == "" {
		return
	}
	const hint = `name a directory with your *.rego files, or write "" for the built-in policy`
	if err := notAPath(c.Policy.Dir); err != nil {
		n.problem("policy.dir", hint, "%v", err)
		return
	}
	info, err := os.Stat(c.Policy.Dir)
	switch {
	case err != nil:
		n.problem("policy.dir", hint, "%v", cannotRead(c.Policy.Dir, err))
		return
	case !info.IsDir():
		n.problem("policy.dir", hint, "%.200q is not a directory", c.Policy.Dir)
		return
	}
	entries, err := os.ReadDir(c.Policy.Dir)
	if err != nil {
		n.problem("policy.dir", hint, "%v", cannotRead(c.Policy.Dir, err))
	} else if !slices.ContainsFunc(entries, func(e os.DirEntry) bool { return filepath.Ext(e.Name()) == ".rego" }) {
		n.problem("policy.dir", hint, "%.200q holds no *.rego file", c.Policy.Dir)
	}
}

func (c *Config) checkPrivacy(n *notes) {
	switch t := c.Privacy.Threshold; {
	case t < 1:
		n.problem("privacy.threshold", "write 10", "%d is not a threshold; the least is 1", t)
	case t < safeThreshold:
		n.warn("privacy.threshold", "write 10 unless your privacy officer decided otherwise",
			"answers may speak of as few as %d individuals", t)
	}
	const notYet = "nothing changes if you remove it; the threshold is applied"
	for _, k := range []struct {
		key   string
		value int
	}{{"round", c.Privacy.Round}, {"budget.answers", c.Privacy.Budget.Answers}, {"budget.days", c.Privacy.Budget.Days}} {
		key := "privacy." + k.key
		if k.value < 0 {
			n.problem(key, "write 0 or more", "%d is less than nothing", k.value)
		} else if n.written(key) {
			n.warn(key, notYet, "is read but not applied by this version")
		}
	}
}

func (c *Config) checkLimits(n *notes) {
	l := c.Limits
	within(n, "limits.query_timeout", l.QueryTimeout, minTimeout, maxTimeout)
	within(n, "limits.peer_timeout", l.PeerTimeout, minTimeout, maxTimeout)
	within(n, "limits.issuer_poll", l.IssuerPoll, minIssuerPoll, maxIssuerPoll)
	if l.PeerTimeout > l.QueryTimeout && !n.bad("limits.query_timeout") {
		n.problem("limits.peer_timeout", "write at most the query's own", "%v is longer than limits.query_timeout, %v", l.PeerTimeout, l.QueryTimeout)
	}
	within(n, "limits.concurrent_questions", l.ConcurrentQuestions, 1, maxConcurrent)
	within(n, "limits.cache_entries", l.CacheEntries, 0, maxCacheEntries)
	within(n, "limits.cache_bytes", l.CacheBytes, 0, maxCacheBytes)
}

func within[T int | time.Duration](n *notes, key string, v, least, most T) {
	if v < least || v > most {
		n.problem(key, fmt.Sprintf("write a value from %v to %v", least, most), "%v is out of bounds", v)
	}
}

func oneOf(n *notes, key, value string, words ...string) {
	if slices.Contains(words, value) {
		return
	}
	hint := "write " + strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
	if near := nearest(value, words); near != "" {
		hint = "write " + near
	}
	n.problem(key, hint, "%.80q is not one of them", value)
}

// once notes a value that an earlier entry of the list has too.
func once[T comparable](n *notes, seen map[T]int, list, key string, value T, i int) {
	if first, ok := seen[value]; ok {
		n.problem(key, "each may stand once", "is the same as that of %s", item(list, first))
		return
	}
	seen[value] = i
}

// text checks a line for people.
func text(n *notes, key, value string) {
	if len(value) > maxText || strings.ContainsFunc(value, func(r rune) bool { return !unicode.IsPrint(r) }) {
		n.problem(key, fmt.Sprintf("write at most %d bytes of printable text", maxText), "%.80q cannot be shown on one line", value)
	}
}

// address checks where a listener binds: an IP address, localhost or nothing for
// all addresses, and a port. Port 0 lets the system choose.
func address(n *notes, key, value string) {
	const hint = "write it as in 127.0.0.1:8443, [::1]:8443 or 0.0.0.0:8443"
	host, port, err := net.SplitHostPort(value)
	if err != nil {
		n.problem(key, hint, "%.80q is not an address with a port", value)
		return
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && host != "localhost" {
		n.problem(key, hint, "%.80q is not an IP address of this machine", host)
	} else if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		n.problem(key, hint, "%.80q is not a port", port)
	}
}

// hostPort checks an address that others dial.
func hostPort(n *notes, key, value string) {
	const hint = "write it as in node.example.org:7946"
	host, port, err := net.SplitHostPort(value)
	number, portErr := strconv.ParseUint(port, 10, 16)
	switch {
	case value == "":
		n.problem(key, hint, "is missing")
	case err != nil || host == "" || len(value) > maxURLClaim || strings.ContainsAny(host, " /@?#%"):
		n.problem(key, hint, "%.80q is not a host with a port", value)
	case portErr != nil || number == 0:
		n.problem(key, hint, "%.80q is not a port", port)
	}
}

// loopback tells whether only this machine reaches addr, which may lack a port.
func loopback(addr string) bool {
	host := addr
	if h, _, err := net.SplitHostPort(addr); err == nil {
		host = h
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}
