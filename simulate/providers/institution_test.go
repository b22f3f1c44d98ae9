package providers

import (
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// institution is a SimpleSAMLphp as the SAML identity provider of a university. Its
// people are listed in a file.
type institution struct {
	*front
	dir         string
	certificate string // DER in base64
	run         *program
}

// member is one person there.
type member struct {
	password string
	uid      string // what the institution calls the person
}

// newInstitution makes the institution's files. start runs it, once its one service
// provider is known.
func (w *world) newInstitution(people map[string]member) *institution {
	w.t.Helper()
	i := &institution{front: w.newFront(), dir: w.t.TempDir()}
	for _, dir := range []string{"config", "metadata", "cert", "log", "data", "tmp", "sessions"} {
		if err := os.MkdirAll(filepath.Join(i.dir, dir), 0o700); err != nil {
			w.t.Fatal(err)
		}
	}
	i.newCertificate(w.t)
	i.write(w.t, "config/config.php", fmt.Sprintf(`<?php
$config = [
    'baseurlpath' => '%[1]s/', 'certdir' => '%[2]s/cert/', 'loggingdir' => '%[2]s/log/', 'datadir' => '%[2]s/data/',
    'tempdir' => '%[2]s/tmp', 'metadatadir' => '%[2]s/metadata/', 'attributenamemapdir' => '/etc/simplesamlphp/attributemap/',
    'timezone' => 'UTC', 'secretsalt' => 'aSaltOfThisInstitution', 'auth.adminpassword' => 'nobodyComesInByThis1',
    'logging.level' => SimpleSAML\Logger::NOTICE, 'logging.handler' => 'errorlog', 'debug' => null,
    'enable.saml20-idp' => true, 'module.enable' => ['core' => true, 'saml' => true, 'exampleauth' => true],
    'session.cookie.secure' => true, 'store.type' => 'phpsession', 'session.phpsession.savepath' => '%[2]s/sessions',
    'metadata.sources' => [['type' => 'flatfile']],
];
`, i.URL, i.dir))
	users := ""
	for name, m := range people {
		users += fmt.Sprintf("        '%s:%s' => ['uid' => ['%s'], 'mail' => ['%s@uni.example.org'], 'displayName' => ['%s'], 'eduPersonAffiliation' => ['faculty', 'member']],\n",
			name, m.password, m.uid, name, name)
	}
	i.write(w.t, "config/authsources.php", "<?php\n$config = [\n    'people' => ['exampleauth:UserPass',\n"+users+"    ],\n];\n")
	i.write(w.t, "metadata/saml20-idp-hosted.php", fmt.Sprintf(`<?php
$metadata['%s'] = [
    'host' => '__DEFAULT__', 'privatekey' => 'idp.key', 'certificate' => 'idp.pem', 'auth' => 'people',
    'attributes.NameFormat' => 'urn:oasis:names:tc:SAML:2.0:attrname-format:basic',
    'NameIDFormat' => 'urn:oasis:names:tc:SAML:2.0:nameid-format:transient',
];
`, i.entity()))
	return i
}

// entity is the institution's SAML name.
func (i *institution) entity() string { return i.URL + "/saml2/idp/metadata.php" }

func (i *institution) newCertificate(t *testing.T) {
	t.Helper()
	key, der := selfSigned(t)
	i.certificate = base64.StdEncoding.EncodeToString(der)
	i.write(t, "cert/idp.pem", pemOf(t, "CERTIFICATE", der))
	i.write(t, "cert/idp.key", pemOf(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)))
}

func (i *institution) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(i.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// start runs the institution, which answers the portal and nobody else.
func (i *institution) start(t *testing.T, portal string) {
	t.Helper()
	i.write(t, "metadata/saml20-sp-remote.php", fmt.Sprintf(`<?php
$metadata['%[1]ssaml/metadata'] = [
    'AssertionConsumerService' => [[
        'Binding' => 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST', 'Location' => '%[1]ssaml/proxySingleSignOnPost', 'index' => 0,
    ]],
    'simplesaml.attributes' => true, 'sign.assertion' => true, 'sign.response' => true,
];
`, portal))
	i.run = newProgram(t, "simplesamlphp", func(host, port string) *exec.Cmd {
		c := exec.Command("php", "-d", "session.save_path="+filepath.Join(i.dir, "sessions"), "-S", host+":"+port, "-t", institutionCode)
		c.Dir = i.dir
		c.Env = append(os.Environ(), "SIMPLESAMLPHP_CONFIG_DIR="+filepath.Join(i.dir, "config"))
		return c
	})
	i.put(i.run.address)
}

// asAuthority is the part of the portal's configuration that sends everybody to the
// institution.
func (i *institution) asAuthority(t *testing.T) map[string]any {
	t.Helper()
	private, public := keyPair(t)
	const name, options = "university", "samlIDPMetaDataOptions"
	metadata := fmt.Sprintf(`<?xml version="1.0"?>
<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" xmlns:ds="http://www.w3.org/2000/09/xmldsig#" entityID="%s">
  <md:IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
    <md:KeyDescriptor use="signing"><ds:KeyInfo><ds:X509Data><ds:X509Certificate>%s</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>
    <md:NameIDFormat>urn:oasis:names:tc:SAML:2.0:nameid-format:transient</md:NameIDFormat>
    <md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="%s/saml2/idp/SSOService.php"/>
  </md:IDPSSODescriptor>
</md:EntityDescriptor>`, i.entity(), i.certificate, i.URL)
	return map[string]any{
		"authentication": "SAML", "userDB": "Same", "passwordDB": "Null",
		"samlServicePrivateKeySig": private, "samlServicePublicKeySig": public,
		"samlIDPMetaDataXML": map[string]any{name: map[string]any{"samlIDPMetaDataXML": metadata}},
		options: map[string]any{name: map[string]any{
			options + "NameIDFormat": "transient", options + "SSOBinding": "http-redirect",
			options + "CheckSSOMessageSignature": 1, options + "CheckSLOMessageSignature": 1,
			options + "CheckTime": 1, options + "CheckAudience": 1, options + "EncryptionMode": "none",
			options + "SignSSOMessage": 1, options + "UserAttribute": "uid", options + "StoreSAMLToken": 0,
		}},
		"samlIDPMetaDataExportedAttributes": map[string]any{name: map[string]any{
			"uid": "1;uid;;", "mail": "0;mail;;", "cn": "0;displayName;;",
		}},
	}
}
