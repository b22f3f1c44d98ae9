package providers

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The clients of the provider: what each is registered for. Its secrets are of
// letters and digits only, for LemonLDAP::NG 2.16 does not decode the form that
// client_secret_basic wants for others (RFC 6749, section 2.3.1).
const (
	nodeClient     = "candignode-node"     // opaque access tokens, refresh tokens, PKCE required
	scriptClient   = "candignode-scripts"  // access tokens that are JWTs
	signedClient   = "candignode-signed"   // UserInfo that is a JWT
	unsignedClient = "candignode-unsigned" // ID tokens with alg none
	macClient      = "candignode-mac"      // ID tokens with HS256
	clientSecret   = "aSecretOfLettersAnd64Digits"
)

// lemon is a LemonLDAP::NG portal as OpenID provider.
type lemon struct {
	*front
	Issuer string // ends in a slash, as its software makes it
	t      *testing.T
	dir    string
	config map[string]any
	run    *program
}

// conferred says which visas the provider holds for a person, by uid.
type conferred map[string][]string

// newLemon starts a portal with its own accounts (dwho and rtyler, whose passwords
// are their names), behind TLS. redirect is where it sends browsers back to.
func (w *world) newLemon(redirect string, visas conferred, more map[string]any) *lemon {
	w.t.Helper()
	return w.newLemonAt(w.newFront(), []string{redirect}, visas, more)
}

// newLemonAt is newLemon behind a front whose address is known already.
func (w *world) newLemonAt(at *front, redirects []string, visas conferred, more map[string]any) *lemon {
	w.t.Helper()
	l := &lemon{front: at, t: w.t, dir: w.t.TempDir()}
	l.Issuer = l.URL + "/"
	for _, dir := range []string{"conf", "sessions/lock", "psessions/lock", "oidc/lock", "saml/lock", "captcha", "notifications"} {
		if err := os.MkdirAll(filepath.Join(l.dir, dir), 0o700); err != nil {
			w.t.Fatal(err)
		}
	}
	l.config = l.basics()
	maps.Copy(l.config, l.clients(strings.Join(redirects, " "), visas))
	l.newKey("key-1")
	maps.Copy(l.config, more)
	l.write("lemonldap-ng.ini", fmt.Sprintf(`[all]
logLevel = notice
[configuration]
type=File
dirName=%s/conf
localStorage=Cache::NullCache
[portal]
staticPrefix=/static
templateDir=%s
languages=en
`, l.dir, portalTemplates))
	l.write("portal.psgi", "use Lemonldap::NG::Portal::Main;\nLemonldap::NG::Portal::Main->run( {} );\n")
	l.save()
	l.run = newProgram(w.t, "lemonldap", func(host, port string) *exec.Cmd {
		c := exec.Command("plackup", "-E", "deployment", "-s", "HTTP::Server::PSGI", "--host", host, "--port", port, "portal.psgi")
		c.Dir = l.dir
		c.Env = append(os.Environ(), "LLNG_DEFAULTCONFFILE="+filepath.Join(l.dir, "lemonldap-ng.ini"))
		return c
	})
	l.put(l.run.address)
	return l
}

func (l *lemon) write(name, text string) {
	l.t.Helper()
	if err := os.WriteFile(filepath.Join(l.dir, name), []byte(text), 0o600); err != nil {
		l.t.Fatal(err)
	}
}

// save writes the portal's configuration, which it reads when it starts.
func (l *lemon) save() {
	l.t.Helper()
	text, err := json.Marshal(l.config)
	if err != nil {
		l.t.Fatal(err)
	}
	l.write("conf/lmConf-1.json", string(text))
}

// restart makes the portal read its configuration; its sessions and tokens stay.
func (l *lemon) restart() {
	l.t.Helper()
	l.run.stop()
	l.save()
	l.run.start()
}

func (l *lemon) files(name string) (string, map[string]any) {
	dir := filepath.Join(l.dir, name)
	return "Apache::Session::File", map[string]any{
		"Directory": dir, "LockDirectory": filepath.Join(dir, "lock"),
		"generateModule": "Lemonldap::NG::Common::Apache::Session::Generate::SHA256",
	}
}

// basics is a portal that keeps everything in files and signs its own people in.
func (l *lemon) basics() map[string]any {
	c := map[string]any{
		"cfgNum": 1, "cfgAuthor": "test", "cfgDate": "1", "cfgVersion": "2.16.1",
		"domain": "127.0.0.1", "portal": l.Issuer, "cookieName": "lemonldap", "securedCookie": 1,
		"authentication": "Demo", "userDB": "Same", "passwordDB": "Demo", "registerDB": "Null",
		"demoExportedVars":    map[string]any{"cn": "cn", "mail": "mail", "uid": "uid"},
		"localSessionStorage": "Cache::NullCache", "localSessionStorageOptions": map[string]any{},
		"locationRules": map[string]any{}, "exportedHeaders": map[string]any{}, "exportedVars": map[string]any{},
		"tokenUseGlobalStorage": 1, // tokens of its forms; the default is a cache that is not there
		"groups":                map[string]any{}, "macros": map[string]any{}, "whatToTrace": "uid", "timeout": 72000, "key": "aKeyForItsCookies1",
		"issuerDBOpenIDConnectActivation": 1, "issuerDBOpenIDConnectPath": "^/oauth2/", "issuerDBOpenIDConnectRule": 1,
		"oidcServiceMetaDataIssuer": l.Issuer, "oidcServiceAllowAuthorizationCodeFlow": 1,
	}
	for option, name := range map[string]string{"globalStorage": "sessions", "persistentStorage": "psessions", "oidcStorage": "oidc", "samlStorage": "saml"} {
		c[option], c[option+"Options"] = l.files(name)
	}
	return c
}

// clients registers them all. A passport's claim comes from an expression of the
// provider's own language, split at "; " into a JSON array ("always").
func (l *lemon) clients(redirect string, visas conferred) map[string]any {
	expression := "''"
	for uid, all := range visas {
		expression = fmt.Sprintf("$uid eq '%s' ? '%s' : %s", uid, strings.Join(all, "; "), expression)
	}
	exported, claims, macros, options := map[string]any{}, map[string]any{}, map[string]any{}, map[string]any{}
	const rp = "oidcRPMetaDataOptions"
	for id, more := range map[string]map[string]any{
		nodeClient:     {rp + "RefreshToken": 1, rp + "RequirePKCE": 1},
		scriptClient:   {rp + "AccessTokenJWT": 1, rp + "RequirePKCE": 1},
		signedClient:   {rp + "UserInfoSignAlg": "RS256"},
		unsignedClient: {rp + "IDTokenSignAlg": "none"},
		macClient:      {rp + "IDTokenSignAlg": "HS256"},
	} {
		exported[id] = map[string]any{"email": "mail", "name": "cn", "ga4gh_passport_v1": "visas;string;always"}
		claims[id] = map[string]any{"ga4gh_passport_v1": "ga4gh_passport_v1"}
		macros[id] = map[string]any{"visas": expression}
		one := map[string]any{
			rp + "ClientID": id, rp + "ClientSecret": clientSecret, rp + "RedirectUris": redirect,
			rp + "IDTokenSignAlg": "RS256", rp + "BypassConsent": 1, rp + "UserIDAttr": "uid", rp + "Public": 0,
		}
		maps.Copy(one, more)
		options[id] = one
	}
	return map[string]any{
		"oidcRPMetaDataExportedVars": exported, "oidcRPMetaDataOptionsExtraClaims": claims,
		"oidcRPMetaDataMacros": macros, rp: options,
	}
}

// client is what one client is registered as; save or restart makes changes count.
func (l *lemon) client(id string) map[string]any {
	return l.config["oidcRPMetaDataOptions"].(map[string]any)[id].(map[string]any)
}

// newKey puts a new signing key in the place of the old one, which is how this
// provider rotates: it publishes one. "" names it not at all.
func (l *lemon) newKey(kid string) {
	l.t.Helper()
	private, public := keyPair(l.t)
	l.config["oidcServicePrivateKeySig"], l.config["oidcServicePublicKeySig"], l.config["oidcServiceKeyIdSig"] = private, public, kid
}

// newCertifiedKey is newKey with a certificate, which the provider shows beside the
// key (x5c and x5t).
func (l *lemon) newCertifiedKey(kid string) {
	l.t.Helper()
	key, certificate := selfSigned(l.t)
	l.config["oidcServicePrivateKeySig"] = pemOf(l.t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))
	l.config["oidcServicePublicKeySig"] = pemOf(l.t, "CERTIFICATE", certificate)
	l.config["oidcServiceKeyIdSig"] = kid
}

// keyPair is one of RSA, in PEM.
func keyPair(t *testing.T) (private, public string) {
	t.Helper()
	key, _ := selfSigned(t)
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pemOf(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)), pemOf(t, "PUBLIC KEY", der)
}

// selfSigned is a key with a certificate of its own, in DER.
func selfSigned(t *testing.T) (*rsa.PrivateKey, []byte) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "a provider"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return key, der
}

func pemOf(t *testing.T, kind string, der []byte) string {
	t.Helper()
	var text bytes.Buffer
	if err := pem.Encode(&text, &pem.Block{Type: kind, Bytes: der}); err != nil {
		t.Fatal(err)
	}
	return text.String()
}
