package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/candignode/candignode/trust"
)

// wireKey is one JWK (RFC 7517, section 4; RFC 7518, section 6).
type wireKey struct {
	Kty    Text     `json:"kty"`
	Kid    Text     `json:"kid"`
	Use    Text     `json:"use"`
	Alg    Text     `json:"alg"`
	KeyOps wordList `json:"key_ops"`
	N      Text     `json:"n"`
	E      Text     `json:"e"`
	Crv    Text     `json:"crv"`
	X      Text     `json:"x"`
	Y      Text     `json:"y"`

	// What a public key does not have.
	D   presence `json:"d"`
	P   presence `json:"p"`
	Q   presence `json:"q"`
	DP  presence `json:"dp"`
	DQ  presence `json:"dq"`
	QI  presence `json:"qi"`
	Oth presence `json:"oth"`
	K   presence `json:"k"`
}

// wordList is an array of strings; null is not one.
type wordList struct {
	words   []Text
	present bool
}

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (w *wordList) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	value, err := dec.ReadValue()
	if err != nil {
		return err
	}
	if value.Kind() != '[' {
		return refuse(trust.ReasonBadClaim, "key_ops is not an array")
	}
	w.present = true
	return Unmarshal(value, &w.words)
}

// parseKey judges one entry of a key set. A nil RejectedKey means that the key
// is usable.
func parseKey(entry jsontext.Value, waiveKeyUse bool) (trust.Key, *RejectedKey) {
	var wire wireKey
	if err := Unmarshal(entry, &wire); err != nil {
		return trust.Key{}, &RejectedKey{Why: "not a JWK: " + detailOf(err)}
	}
	reject := func(thumbprint, why string, alarm bool) (trust.Key, *RejectedKey) {
		return trust.Key{}, &RejectedKey{KeyID: shown(wire.Kid.Value), Thumbprint: thumbprint, Why: why, Alarm: alarm}
	}
	public, why := wire.public()
	thumbprint := ""
	if public != nil {
		thumbprint, _ = Thumbprint(public) // a key that was read always has one
	}
	switch {
	case wire.Kty.Value == "oct" || bool(wire.K):
		return reject("", "a symmetric key: whoever reads it can sign with it; the issuer must withdraw it", true)
	case wire.private():
		return reject(thumbprint, "a private key was published: the issuer must withdraw it", true)
	case public == nil:
		return reject("", why, false)
	case wire.Kid.Present && !goodKeyID(wire.Kid.Value):
		return reject(thumbprint, "kid is empty, has control characters or more than "+strconv.Itoa(maxKeyIDBytes)+" bytes", false)
	case wire.KeyOps.present && !slices.Contains(wire.KeyOps.words, Text{Value: "verify", Present: true}):
		return reject(thumbprint, "key_ops does not have verify", false)
	case wire.Use.Present && wire.Use.Value != "sig" && !(waiveKeyUse && wire.Use.Value == "enc"):
		return reject(thumbprint, "use is "+shown(wire.Use.Value)+", not sig", false)
	}
	key := trust.Key{Thumbprint: thumbprint, KeyID: wire.Kid.Value, Algorithm: wire.Alg.Value, Public: public}
	if wire.Alg.Present && wire.Alg.Value != algorithmOf(public) {
		if !waiveKeyUse || !isEncryption(wire.Alg.Value) {
			return reject(thumbprint, "alg is "+shown(wire.Alg.Value)+", and "+algorithmOf(public)+" is what such a key is accepted for", false)
		}
		key.Algorithm = ""
	}
	return key, nil
}

// private tells whether any private member is there, even as null: its name
// alone says that the issuer publishes the wrong half.
func (w *wireKey) private() bool {
	return bool(w.D || w.P || w.Q || w.DP || w.DQ || w.QI || w.Oth)
}

// isEncryption tells the RSA key-encryption algorithms (RFC 7518, section 4.1),
// which the waiver forgives; another signature algorithm is never forgiven.
func isEncryption(alg string) bool {
	return strings.HasPrefix(alg, "RSA-OAEP") || alg == "RSA1_5" || strings.HasPrefix(alg, "ECDH-ES")
}

// public reads the key, or says why it cannot be used.
func (w *wireKey) public() (crypto.PublicKey, string) {
	switch w.Kty.Value {
	case "RSA":
		return w.rsa()
	case "EC":
		return w.ec()
	}
	return nil, "kty is " + shown(w.Kty.Value) + "; RSA and EC keys are used"
}

// rsa reads n and e (RFC 7518, section 6.3.1). An exponent of 1 would make every
// text its own signature; one above 2^31 costs too much to check.
func (w *wireKey) rsa() (crypto.PublicKey, string) {
	modulus, okN := bigInteger(w.N.Value)
	exponent, okE := bigInteger(w.E.Value)
	if !okN || !okE {
		return nil, "n or e is missing or not base64url"
	}
	n, e := new(big.Int).SetBytes(modulus), new(big.Int).SetBytes(exponent)
	switch {
	case n.BitLen() < minRSABits || n.BitLen() > maxRSABits:
		return nil, "an RSA key of " + strconv.Itoa(n.BitLen()) + " bits; " + strconv.Itoa(minRSABits) + " to " + strconv.Itoa(maxRSABits) + " are accepted"
	case n.Bit(0) == 0:
		return nil, "an even RSA modulus"
	case e.BitLen() > 31 || e.Int64() < 3 || e.Bit(0) == 0:
		return nil, "the RSA exponent must be odd, at least 3 and below 2^31"
	}
	return &rsa.PublicKey{N: n, E: int(e.Int64())}, ""
}

// ec reads x and y, full width (RFC 7518, section 6.2.1), and makes sure that they
// are a point of the curve before anything is computed with them.
func (w *wireKey) ec() (crypto.PublicKey, string) {
	if w.Crv.Value != "P-256" {
		return nil, "the curve is " + shown(w.Crv.Value) + "; P-256 is accepted"
	}
	x, okX := bigInteger(w.X.Value)
	y, okY := bigInteger(w.Y.Value)
	if !okX || !okY || len(x) != 32 || len(y) != 32 {
		return nil, "x or y is missing, not base64url, or not 32 bytes"
	}
	point := slices.Concat([]byte{4}, x, y)
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return nil, "x and y are not a point on P-256"
	}
	return key, ""
}

// shown makes text from outside fit for a person's screen or a log: short, and
// escaped if anything in it does not print.
func shown(s string) string {
	const most = 80
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	if quoted := strconv.QuoteToASCII(s); quoted != `"`+s+`"` {
		return quoted
	}
	return s
}
