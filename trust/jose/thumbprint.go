package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"math/big"

	"github.com/go-json-experiment/json"

	"github.com/candignode/candignode/trust"
)

// publicJWK is a public key's members. The order is the one RFC 7638, section
// 3.1, hashes them in, so that the required members alone give the thumbprint.
type publicJWK struct {
	Crv string `json:"crv,omitzero"`
	E   string `json:"e,omitzero"`
	Kty string `json:"kty"`
	N   string `json:"n,omitzero"`
	X   string `json:"x,omitzero"`
	Y   string `json:"y,omitzero"`

	Kid string `json:"kid,omitzero"`
	Alg string `json:"alg,omitzero"`
	Use string `json:"use,omitzero"`
}

// Thumbprint gives the key's SHA-256 thumbprint in unpadded base64url (RFC 7638,
// section 3; RFC 8037 for Ed25519). It is of the key's numbers, not of one
// issuer's spelling of them.
func Thumbprint(public crypto.PublicKey) (string, error) {
	members, err := publicMembers(public)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(members)
	if err != nil {
		return "", refuse(trust.ReasonMalformed, "thumbprint: %v", err)
	}
	sum := sha256.Sum256(text)
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}

// MarshalKeySet writes public keys as a JWKS (RFC 7517, section 5) with kid, alg
// and use=sig, in the given order. It refuses anything that is not a public key
// for RS256 or ES256, so that no private key can be published by mistake.
func MarshalKeySet(keys []trust.Key) ([]byte, error) {
	set := struct {
		Keys []publicJWK `json:"keys"`
	}{Keys: make([]publicJWK, 0, len(keys))}
	for _, key := range keys {
		algorithm := algorithmOf(key.Public)
		if algorithm != RS256 && algorithm != ES256 {
			return nil, refuse(trust.ReasonAlgorithm, "key %.80q is a %T, not a public key for RS256 or ES256", key.KeyID, key.Public)
		}
		if key.Algorithm != "" && key.Algorithm != algorithm {
			return nil, refuse(trust.ReasonAlgorithm, "key %.80q is for %s, not %.80q", key.KeyID, algorithm, key.Algorithm)
		}
		members, err := publicMembers(key.Public)
		if err != nil {
			return nil, err
		}
		members.Kid, members.Alg, members.Use = key.KeyID, algorithm, "sig"
		set.Keys = append(set.Keys, members)
	}
	text, err := json.Marshal(set)
	if err != nil {
		return nil, refuse(trust.ReasonMalformed, "key set: %v", err)
	}
	return text, nil
}

// publicMembers writes a key the one way that RFC 7518 gives for its numbers:
// RSA without leading zeros, coordinates at full width.
func publicMembers(public crypto.PublicKey) (publicJWK, error) {
	text := base64.RawURLEncoding.EncodeToString
	switch key := public.(type) {
	case *rsa.PublicKey:
		return publicJWK{Kty: "RSA", E: text(big.NewInt(int64(key.E)).Bytes()), N: text(key.N.Bytes())}, nil
	case *ecdsa.PublicKey:
		point, err := key.Bytes() // 0x04 || X || Y, fixed width; fails off the curve
		if err != nil {
			return publicJWK{}, refuse(trust.ReasonAlgorithm, "not a point on a curve in use")
		}
		half := len(point) / 2
		return publicJWK{Kty: "EC", Crv: key.Curve.Params().Name, X: text(point[1 : 1+half]), Y: text(point[1+half:])}, nil
	case ed25519.PublicKey:
		return publicJWK{Kty: "OKP", Crv: "Ed25519", X: text(key)}, nil
	}
	return publicJWK{}, refuse(trust.ReasonAlgorithm, "%T is not a public key of a kind in use", public)
}
