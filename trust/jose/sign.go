package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/candignode/candignode/trust"
)

// The algorithms of passports and visas (GA4GH AAI 1.2, "Signing Algorithms").
const (
	RS256 = "RS256"
	ES256 = "ES256"
)

// Sign gives the compact JWS of payload. The key's type decides the algorithm
// (RSA: RS256, P-256: ES256, Ed25519: EdDSA); h.Algorithm is "" or must agree.
// Empty members of h are left out of the header. The payload is signed as it
// is.
func Sign(h Header, payload []byte, key crypto.Signer) (string, error) {
	if key == nil {
		return "", refuse(trust.ReasonAlgorithm, "no key to sign with")
	}
	algorithm := algorithmOf(key.Public())
	if algorithm == "" {
		return "", refuse(trust.ReasonAlgorithm, "a key of type %T signs nothing here: use RSA of %d bits or more, P-256 or Ed25519", key.Public(), minRSABits)
	}
	if h.Algorithm != "" && h.Algorithm != algorithm {
		return "", refuse(trust.ReasonAlgorithm, "the key signs %s, not %.80q", algorithm, h.Algorithm)
	}
	headers := jws.NewHeaders()
	for name, value := range map[string]string{jws.TypeKey: h.Type, jws.KeyIDKey: h.KeyID, jws.JWKSetURLKey: h.JKU} {
		if value == "" {
			continue
		}
		if err := headers.Set(name, value); err != nil {
			return "", refuse(trust.ReasonHeader, "%s cannot stand in a header", name)
		}
	}
	signed, err := jws.Sign(payload, jws.WithCompact(),
		jws.WithKey(jwa.SignatureAlgorithm(algorithm), key, jws.WithProtectedHeaders(headers)))
	if err != nil {
		return "", refuse(trust.ReasonSignature, "the key did not sign: %v", err)
	}
	return string(signed), nil
}

// AlgorithmOf gives the one algorithm that keys of this kind are used with here (RS256, ES256 or EdDSA), or "" for
// a key that is used with none.
func AlgorithmOf(public crypto.PublicKey) string { return algorithmOf(public) }

// algorithmOf gives the one algorithm that a public key is used with, or "".
func algorithmOf(public crypto.PublicKey) string {
	switch key := public.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() >= minRSABits {
			return RS256
		}
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() {
			return ES256
		}
	case ed25519.PublicKey:
		return algEdDSA
	}
	return ""
}
