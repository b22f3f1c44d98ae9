package config

import (
	"crypto/x509"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// checkFiles reads the files that the issuer's policy is made of.
func (i *Issuer) checkFiles(n *notes, at string) {
	var err error
	if i.CAFile != "" {
		const hint = "name a PEM file with the certificates of the CA"
		if i.ca, err = readFile(i.CAFile, maxSideFile); err != nil {
			n.problem(at+".ca_file", hint, "%v", err)
		} else if !x509.NewCertPool().AppendCertsFromPEM(i.ca) {
			n.problem(at+".ca_file", hint, "holds no certificate")
		}
	}
	if i.Mode == trust.ModeManual && i.JWKSFile != "" {
		i.checkKeySet(n, at)
	}
}

// checkKeySet reads pinned keys as the trust desk will. Keys that do not fit are
// skipped there, so each is named here; a private or symmetric key in the file is a
// problem, because somebody gave away what the issuer signs with.
func (i *Issuer) checkKeySet(n *notes, at string) {
	key := at + ".jwks_file"
	var err error
	if i.jwks, err = readFile(i.JWKSFile, maxSideFile); err != nil {
		n.problem(key, "name the file with the issuer's JSON Web Key Set", "%v", err)
		return
	}
	keys, rejected, err := jose.ParseKeySet(i.jwks, i.WaiveKeyUse)
	if err != nil {
		n.problem(key, `write {"keys": [...]} with the issuer's public keys`, "is not a key set: %.200v", err)
		return
	}
	for _, r := range rejected {
		if r.Alarm {
			n.problem(key, "put only public keys with a kid of their own there, and tell the issuer if its private key got out",
				"key %.80q may not stand there: %.200s", r.KeyID, r.Why)
			continue
		}
		n.warn(key, "remove the key from the file", "key %.80q is skipped: %.200s", r.KeyID, r.Why)
	}
	if len(keys) == 0 {
		n.problem(key, "put the issuer's public keys there", "holds no usable key; nothing the issuer signed would be believed")
	}
}
