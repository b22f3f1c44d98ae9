package vectors_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"

	"github.com/candignode/candignode/trust/jose"
)

// The private keys of the corpus are published so that others can make further
// vectors. They are worth nothing: no site trusts an issuer under .example.

// jwk is a private key as keys.json has it.
type jwk struct {
	Kty string `json:"kty"`
	Crv string `json:"crv,omitempty"`
	N   string `json:"n,omitempty"`
	E   string `json:"e,omitempty"`
	X   string `json:"x,omitempty"`
	Y   string `json:"y,omitempty"`
	D   string `json:"d,omitempty"`
	P   string `json:"p,omitempty"`
	Q   string `json:"q,omitempty"`
}

// secretKeys are the keys by name.
type secretKeys map[string]crypto.Signer

// keyNames says which keys there are, and of which kind.
var keyNames = map[string]string{
	"broker-rsa": "rsa", "dac-rsa": "rsa", "old-rsa": "rsa", "attacker-rsa": "rsa", "weak-rsa": "rsa1024",
	"broker-ec": "p256", "dac-ec": "p256", "institute-ec": "p256", "linker-ec": "p256", "grants-ec": "p256",
	"other-institute-ec": "p256", "strict-ec": "p256", "op-ec": "p256", "source-a-ec": "p256", "source-b-ec": "p256",
	"spare-ec": "p256", "attacker-ec": "p256", "holder-ec": "p256", "dac-p384": "p384", "dac-ed25519": "ed25519",
}

var b64 = base64.RawURLEncoding.EncodeToString

func unb64(s string) []byte {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		panic(err) // a literal of this package, or a committed file
	}
	return raw
}

func number(s string) *big.Int { return new(big.Int).SetBytes(unb64(s)) }

// readKeys reads the committed keys.
func readKeys() (secretKeys, error) {
	data, err := os.ReadFile(keysFile)
	if err != nil {
		return nil, err
	}
	var written struct {
		About string         `json:"about"`
		Keys  map[string]jwk `json:"test_only_private_keys"`
	}
	if err := strictly(data, &written); err != nil {
		return nil, err
	}
	keys := secretKeys{}
	for name, k := range written.Keys {
		if keys[name], err = k.signer(); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	for name := range keyNames {
		if keys[name] == nil {
			return nil, fmt.Errorf("%s has no key %s: take the file away and run with -update to make all keys anew", keysFile, name)
		}
	}
	return keys, nil
}

func (k jwk) signer() (crypto.Signer, error) {
	switch k.Kty + k.Crv {
	case "RSA":
		key := &rsa.PrivateKey{
			PublicKey: rsa.PublicKey{N: number(k.N), E: int(number(k.E).Int64())},
			D:         number(k.D), Primes: []*big.Int{number(k.P), number(k.Q)},
		}
		key.Precompute()
		return key, key.Validate()
	case "ECP-256":
		return ecdsa.ParseRawPrivateKey(elliptic.P256(), unb64(k.D))
	case "ECP-384":
		return ecdsa.ParseRawPrivateKey(elliptic.P384(), unb64(k.D))
	case "OKPEd25519":
		return ed25519.NewKeyFromSeed(unb64(k.D)), nil
	}
	return nil, errors.New("no such kind of key")
}

// makeKeys makes all keys anew, and the whole corpus with them.
func makeKeys() ([]byte, error) {
	all := map[string]jwk{}
	for name, kind := range keyNames {
		var signer crypto.Signer
		var err error
		switch kind {
		case "rsa":
			signer, err = rsa.GenerateKey(rand.Reader, 2048)
		case "rsa1024":
			signer, err = rsa.GenerateKey(rand.Reader, 1024)
		case "p256":
			signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		case "p384":
			signer, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		case "ed25519":
			_, signer, err = ed25519.GenerateKey(rand.Reader)
		}
		if err != nil {
			return nil, err
		}
		if all[name], err = privateJWK(signer); err != nil {
			return nil, err
		}
	}
	return indented(map[string]any{
		"about":                  "Private keys of issuers that exist in these vectors only. Published on purpose: never use them for anything else.",
		"test_only_private_keys": all,
	})
}

func privateJWK(signer crypto.Signer) (jwk, error) {
	switch key := signer.(type) {
	case *rsa.PrivateKey:
		k := publicJWK(key.Public())
		k.D, k.P, k.Q = b64(key.D.Bytes()), b64(key.Primes[0].Bytes()), b64(key.Primes[1].Bytes())
		return k, nil
	case *ecdsa.PrivateKey:
		raw, err := key.Bytes()
		k := publicJWK(key.Public())
		k.D = b64(raw)
		return k, err
	case ed25519.PrivateKey:
		k := publicJWK(key.Public())
		k.D = b64(key.Seed())
		return k, nil
	}
	return jwk{}, errors.New("no such kind of key")
}

func publicJWK(public crypto.PublicKey) jwk {
	switch key := public.(type) {
	case *rsa.PublicKey:
		return jwk{Kty: "RSA", N: b64(key.N.Bytes()), E: b64(big.NewInt(int64(key.E)).Bytes())}
	case *ecdsa.PublicKey:
		point, err := key.Bytes()
		if err != nil {
			panic(err) // a key of this package
		}
		half := len(point) / 2
		return jwk{Kty: "EC", Crv: key.Curve.Params().Name, X: b64(point[1 : 1+half]), Y: b64(point[1+half:])}
	case ed25519.PublicKey:
		return jwk{Kty: "OKP", Crv: "Ed25519", X: b64(key)}
	}
	return jwk{}
}

// members gives a public key as a JSON object, to be changed.
func (k secretKeys) members(name, kid string) obj {
	text, err := json.Marshal(publicJWK(k[name].Public()))
	if err != nil {
		panic(err)
	}
	var o obj
	if err := json.Unmarshal(text, &o); err != nil {
		panic(err)
	}
	o["kid"] = kid
	return o
}

func (k secretKeys) thumbprint(name string) string {
	t, err := jose.Thumbprint(k[name].Public())
	if err != nil {
		panic(err)
	}
	return t
}

// sign makes a compact JWS of exactly this header and payload, with the one
// signature that alg gives: every signature here is deterministic (RFC 8017,
// section 8.2; RFC 6979; RFC 8032; RFC 8017, section 8.1, with a salt of zeros).
func (k secretKeys) sign(alg, name, header, payload string) string {
	return k.signRaw(alg, name, b64([]byte(header)), b64([]byte(payload)))
}

func (k secretKeys) signRaw(alg, name, header, payload string) string {
	input := header + "." + payload
	return input + "." + b64(k.signature(alg, name, []byte(input)))
}

func (k secretKeys) signature(alg, name string, input []byte) []byte {
	short, long, longest := sha256.Sum256(input), sha512.Sum384(input), sha512.Sum512(input)
	var signature []byte
	var err error
	switch key := k[name].(type) {
	case *rsa.PrivateKey:
		switch alg {
		case "RS256":
			signature, err = rsa.SignPKCS1v15(nil, key, crypto.SHA256, short[:])
		case "RS384":
			signature, err = rsa.SignPKCS1v15(nil, key, crypto.SHA384, long[:])
		case "RS512":
			signature, err = rsa.SignPKCS1v15(nil, key, crypto.SHA512, longest[:])
		case "PS256":
			signature = pss(key, short[:])
		default:
			err = errors.New(alg)
		}
	case *ecdsa.PrivateKey:
		digest, hash := short[:], crypto.SHA256
		if key.Curve == elliptic.P384() {
			digest, hash = long[:], crypto.SHA384
		}
		var der []byte
		if der, err = key.Sign(nil, digest, hash); err == nil {
			signature, err = fixedWidth(der, (key.Curve.Params().BitSize+7)/8)
		}
	case ed25519.PrivateKey:
		signature = ed25519.Sign(key, input)
	default:
		err = fmt.Errorf("no key %q", name)
	}
	if err != nil {
		panic(err) // a mistake in this package
	}
	return signature
}

// fixedWidth turns an ASN.1 signature into r and s (RFC 7518, section 3.4).
func fixedWidth(der []byte, width int) ([]byte, error) {
	var rs struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &rs); err != nil {
		return nil, err
	}
	raw := make([]byte, 2*width)
	rs.R.FillBytes(raw[:width])
	rs.S.FillBytes(raw[width:])
	return raw, nil
}

// pss is RSASSA-PSS with SHA-256 and a salt of zeros.
func pss(key *rsa.PrivateKey, digest []byte) []byte {
	const h = sha256.Size
	bits := key.N.BitLen() - 1
	size := (bits + 7) / 8
	salt := make([]byte, h)
	inner := sha256.Sum256(append(append(make([]byte, 8), digest...), salt...))
	block := make([]byte, size)
	db := block[:size-h-1]
	db[len(db)-h-1] = 1
	copy(db[len(db)-h:], salt)
	for i, counter := 0, byte(0); i < len(db); counter++ {
		mask := sha256.Sum256(append(inner[:], 0, 0, 0, counter))
		for _, b := range mask {
			if i < len(db) {
				db[i] ^= b
				i++
			}
		}
	}
	db[0] &= 0xff >> (8*size - bits)
	copy(block[size-h-1:], inner[:])
	block[size-1] = 0xbc
	s := new(big.Int).Exp(new(big.Int).SetBytes(block), key.D, key.N)
	return s.FillBytes(make([]byte, (key.N.BitLen()+7)/8))
}

// hs256 signs with a secret.
func hs256(secret []byte, header, payload string) string {
	input := b64([]byte(header)) + "." + b64([]byte(payload))
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(input))
	return input + "." + b64(mac.Sum(nil))
}

func indented(v any) ([]byte, error) {
	text, err := marshal(v)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = json.Indent(&out, text, "", " ")
	out.WriteByte('\n')
	return out.Bytes(), err
}

// rsaExponent is the private exponent, for a key set that gives it away.
func (k secretKeys) rsaExponent(name string) []byte {
	key, ok := k[name].(*rsa.PrivateKey)
	if !ok {
		panic(name)
	}
	return key.D.Bytes()
}
