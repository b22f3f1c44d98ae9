// Package jose is the one place where signed tokens are taken apart, verified
// and made, and the one owner of the JOSE library.
//
// The library is kept to one call, jws.Verify with a key and algorithm chosen
// here: its JWT parser believes unsigned members, and its readers accept
// duplicate names, padding, unknown crit and more (passports.md, "One verifier,
// in this order"). Everything before and after the signature check is done here.
// Nothing in this package fetches, stores or decides whom to trust.
package jose

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"slices"
	"strings"
	"unsafe"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/candignode/candignode/trust"
)

// Header is what a token's protected header says, as sent.
type Header struct {
	Algorithm string // alg
	Type      string // typ, "" if absent
	KeyID     string // kid, "" if absent
	JKU       string // jku, "" if absent: an address to compare, never to fetch
}

// IsType compares typ as a media type: without regard to case, the prefix
// application/ optional (RFC 7515, section 4.1.9). Parameters never match.
func (h Header) IsType(want string) bool {
	const prefix = "application/"
	bare := h.Type
	if len(bare) > len(prefix) && strings.EqualFold(bare[:len(prefix)], prefix) {
		bare = bare[len(prefix):]
	}
	return isASCII(bare) && strings.EqualFold(bare, want)
}

// isASCII keeps Unicode look-alikes that fold to ASCII letters (the Kelvin
// sign, the long s) from matching.
func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// Token is a compact JWS taken apart. Nothing in it is believed; Verify is the
// only way to bytes that are.
type Token struct {
	header Header
	raw    []byte // the bytes of a string: they must not be changed
	parts  compact
}

// Parse takes a token apart: steps 1 to 3 of "One verifier, in this order"
// (passports.md). It checks the size, the compact form, the encoding and the
// header's own rules, and looks at no key. The error is always an *Error.
func Parse(token string, maxBytes int) (*Token, error) { return ParseAfter(nil, token, maxBytes) }

// ParseAfter is Parse for one of several tokens: when its header is byte for byte that
// of the one before, which was read, it is not read again. The visas of a passport
// mostly have the same. before may be nil.
func ParseAfter(before *Token, token string, maxBytes int) (*Token, error) {
	if len(token) > maxBytes {
		return nil, refuse(trust.ReasonTooLarge, "the token has %d bytes, at most %d are read", len(token), maxBytes)
	}
	raw := unsafe.Slice(unsafe.StringData(token), len(token)) // only read, never handed on
	parts, err := decodeCompact(raw)
	if err != nil {
		return nil, err
	}
	if before != nil && bytes.Equal(parts.header, before.parts.header) {
		return &Token{header: before.header, raw: raw, parts: parts}, nil
	}
	header, err := decodeHeader(parts.header)
	if err != nil {
		return nil, err
	}
	return &Token{header: header, raw: raw, parts: parts}, nil
}

// Header gives what the token says of itself.
func (t *Token) Header() Header { return t.header }

// UnverifiedIssuer gives the payload's iss. It serves only to choose which
// issuer's configuration and keys to try; nothing else may follow from it.
func (t *Token) UnverifiedIssuer() (string, error) {
	issuer, _, err := t.Peek("")
	return issuer, err
}

// Peek reads the payload's iss and the number of elements of one top-level array
// (0 if it is absent or no array), so that a token of a stranger or with too
// many visas is refused before any signature is checked. Both are unverified. It
// stops when both are known; the strict reading comes after Verify.
func (t *Token) Peek(array string) (issuer string, elements int, err error) {
	if !depthWithin(t.parts.payload, maxDepth) {
		return "", 0, refuse(trust.ReasonMalformed, "the payload is nested more than %d deep", maxDepth)
	}
	var dec jsontext.Decoder
	dec.Reset(bytes.NewBuffer(t.parts.payload)) // a Buffer is read in place
	if token, err := dec.ReadToken(); err != nil || token.Kind() != '{' {
		return "", 0, refuse(trust.ReasonMalformed, "the payload is not a JSON object")
	}
	haveIssuer, haveArray := false, array == ""
	for dec.PeekKind() == '"' && !(haveIssuer && haveArray) {
		token, err := dec.ReadToken()
		if err != nil {
			return "", 0, decodeError(err)
		}
		name := token.String()
		switch {
		case name == "iss":
			haveIssuer = true
			if issuer, err = readIssuer(&dec); err != nil {
				return "", 0, err
			}
		case name == array && dec.PeekKind() == '[':
			haveArray = true
			if elements, err = countElements(&dec); err != nil {
				return "", 0, err
			}
		default:
			if err := dec.SkipValue(); err != nil {
				return "", 0, decodeError(err)
			}
		}
	}
	if haveIssuer {
		return issuer, elements, nil
	}
	if _, err := dec.ReadToken(); err != nil {
		return "", 0, decodeError(err)
	}
	return "", 0, refuse(trust.ReasonMissingClaim, "the payload has no iss")
}

// readIssuer bounds iss before it is used to look anything up.
func readIssuer(dec *jsontext.Decoder) (string, error) {
	value, err := dec.ReadToken()
	if err != nil {
		return "", decodeError(err)
	}
	if value.Kind() != '"' {
		return "", refuse(trust.ReasonBadClaim, "iss is not a string")
	}
	issuer := value.String()
	if issuer == "" || len(issuer) > maxIssuerBytes {
		return "", refuse(trust.ReasonBadClaim, "iss is empty or longer than %d bytes", maxIssuerBytes)
	}
	return issuer, nil
}

// countElements reads over the array that begins next, whatever is in it.
func countElements(dec *jsontext.Decoder) (int, error) {
	if _, err := dec.ReadToken(); err != nil {
		return 0, decodeError(err)
	}
	count := 0
	for kind := dec.PeekKind(); kind != ']'; kind = dec.PeekKind() {
		if err := dec.SkipValue(); err != nil {
			return 0, decodeError(err)
		}
		count++
	}
	_, err := dec.ReadToken()
	if err != nil {
		return 0, decodeError(err)
	}
	return count, nil
}

// UnverifiedClaims decodes the payload without any signature check, strictly as
// Unmarshal does. It serves only to tell a person what was not accepted.
func (t *Token) UnverifiedClaims(v any) error { return Unmarshal(t.parts.payload, v) }

// Verify checks the signature with this key alone and gives the signed bytes:
// steps 4 and 5. The header's alg must be one of algorithms, must be the key's
// own, and must fit its type; a token never brings its key with it (jwk, x5c
// and x5u are read over). Decode the bytes with Unmarshal afterwards. The error
// is always an *Error.
func (t *Token) Verify(key trust.Key, algorithms ...string) ([]byte, error) {
	if err := t.fits(key, algorithms); err != nil {
		return nil, err
	}
	// The library is given header and signature, and the payload as it was read here.
	// It encodes that again, and the signature covers what comes out: so it is made
	// over this very payload, and there is no second reader of it that could see
	// another. Reading it twice took longer than RSA does.
	bare := slices.Concat(t.raw[:bytes.IndexByte(t.raw, '.')+1], t.raw[t.parts.signedLen:])
	payload, err := jws.Verify(bare, jws.WithCompact(), jws.WithDetachedPayload(t.parts.payload),
		jws.WithKey(jwa.SignatureAlgorithm(t.header.Algorithm), key.Public))
	if err != nil && !jws.IsVerificationError(err) {
		return nil, refuse(trust.ReasonHeader, "the header has a registered member of the wrong form")
	}
	if err != nil {
		return nil, refuse(trust.ReasonSignature, "the signature does not verify under key %.80q of its issuer", key.KeyID)
	}
	// What the library says that it verified must be what is relied on.
	if !bytes.Equal(payload, t.parts.payload) {
		return nil, refuse(trust.ReasonMalformed, "the payload can be read in two ways")
	}
	return payload, nil
}

// fits compares header, allow-list and key before anything is computed. The
// library would take the key's word for the algorithm and not look at the
// header's (passports.md, rows 97, 98 and 100).
func (t *Token) fits(key trust.Key, algorithms []string) error {
	algorithm := t.header.Algorithm
	if !slices.Contains(algorithms, algorithm) {
		return refuse(trust.ReasonAlgorithm, "signed with %.80q, which is not accepted here: use RS256 or ES256", algorithm)
	}
	if key.Algorithm != "" && key.Algorithm != algorithm {
		return refuse(trust.ReasonAlgorithm, "signed with %.80q, but its issuer's key is for %.80q", algorithm, key.Algorithm)
	}
	if t.header.KeyID != "" && key.KeyID != t.header.KeyID {
		return refuse(trust.ReasonUnknownKey, "the token names another key (kid)")
	}
	fit := false
	switch public := key.Public.(type) {
	case *rsa.PublicKey:
		bits := public.N.BitLen()
		fit = algorithm == RS256 && bits >= minRSABits && bits <= maxRSABits
	case *ecdsa.PublicKey:
		fit = algorithm == ES256 && public.Curve == elliptic.P256()
	}
	if !fit {
		return refuse(trust.ReasonAlgorithm, "signed with %.80q, which does not fit the issuer's key", algorithm)
	}
	return nil
}
