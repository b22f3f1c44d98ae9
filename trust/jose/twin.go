package jose

import (
	"crypto/elliptic"
	"crypto/sha256"
	"math/big"
	"strings"

	"github.com/candignode/candignode/trust"
)

// coordinate is the width of r and of s in an ES256 signature (RFC 7518, section 3.4).
const coordinate = 32

// Twin gives the digest of the other token that says the same, and verifies as well:
// whoever holds a token signed with ES256 can write its s as n-s without the key (SEC 1,
// section 4.1), and so has the same token with other bytes. Whoever forbids a token by its
// digest forbids its twin too (passports.md, row 62). false: the signature has not the form
// of ES256, and there is no such token. Nothing is verified here.
func Twin(compact string) (trust.Digest, bool) {
	begin := strings.LastIndexByte(compact, '.') + 1
	if len(compact)-begin != strict64.EncodedLen(2*coordinate) {
		return trust.Digest{}, false
	}
	signature, err := strict64.DecodeString(compact[begin:])
	order, s := elliptic.P256().Params().N, new(big.Int)
	if err != nil || len(signature) != 2*coordinate || s.SetBytes(signature[coordinate:]).Sign() == 0 || s.Cmp(order) >= 0 {
		return trust.Digest{}, false
	}
	s.Sub(order, s).FillBytes(signature[coordinate:])
	h := sha256.New()
	h.Write([]byte(compact[:begin]))
	h.Write(strict64.AppendEncode(nil, signature))
	return trust.Digest(h.Sum(nil)), true
}

// Twin is Twin of the token's own bytes.
func (t *Token) Twin() (trust.Digest, bool) { return Twin(string(t.raw)) }
