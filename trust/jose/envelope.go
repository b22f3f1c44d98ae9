package jose

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/candignode/candignode/trust"
)

// algEdDSA signs envelopes between nodes and nothing else: passports and visas
// are RS256 or ES256.
const algEdDSA = "EdDSA"

// strict64 is base64url without padding that refuses non-zero trailing bits, so
// that every value has one spelling. (Line breaks, which it would read over, are
// refused before.)
var strict64 = base64.RawURLEncoding.Strict()

// Seal signs payload as an envelope between nodes (trust-protocol.md, section
// 5): JWS compact, EdDSA, protected header exactly {alg,kid,typ}, kid the
// NodeID of key. The payload is encoded with the JSON v2 rules (a nil slice is
// [], omitempty drops empty JSON values) and must be what Open accepts: an
// object of strings, integers and the like, at most 8 deep, without crit.
//
// The key may be anywhere that signs with Ed25519: a file now, a token or a vault as
// well. Envelopes of one payload by several signers are made with SealBytes.
func Seal(typ string, key crypto.Signer, payload any) ([]byte, error) {
	body, err := json.Marshal(payload)
	if err != nil {
		return nil, refuse(trust.ReasonMalformed, "the payload cannot be written as JSON: %v", err)
	}
	return SealBytes(typ, key, body)
}

// SealBytes is Seal for a payload that is written already, so that several signers
// can sign the very same bytes.
func SealBytes(typ string, key crypto.Signer, body []byte) ([]byte, error) {
	signer, err := signerOf(key)
	if err != nil {
		return nil, err
	}
	header, err := appendEnvelopeHeader(make([]byte, 0, maxEnvelopeHeaderBytes), signer, typ)
	if err != nil || typ == "" || len(header) > maxEnvelopeHeaderBytes {
		return nil, refuse(trust.ReasonHeader, "%.80q cannot be an envelope's typ", typ)
	}
	if err := checkEnvelopeRules(body); err != nil { // the encoder writes nothing but strict JSON
		return nil, err
	}
	sealed := make([]byte, 0, strict64.EncodedLen(len(header)+len(body)+ed25519.SignatureSize)+8)
	sealed = strict64.AppendEncode(sealed, header)
	sealed = append(sealed, '.')
	sealed = strict64.AppendEncode(sealed, body)
	signature, err := key.Sign(nil, sealed, crypto.Hash(0)) // Ed25519 takes the message itself
	if err != nil {
		return nil, fmt.Errorf("signing an envelope: %w", err)
	}
	if len(signature) != ed25519.SignatureSize {
		return nil, refuse(trust.ReasonAlgorithm, "the signer gave %d bytes, an Ed25519 signature has %d", len(signature), ed25519.SignatureSize)
	}
	sealed = append(sealed, '.')
	return strict64.AppendEncode(sealed, signature), nil
}

// signerOf names the key that signs. Nothing is taken for granted: a signer that is not
// there, or of another kind, must be an error and not a crash.
func signerOf(key crypto.Signer) (trust.NodeID, error) {
	if private, ok := key.(ed25519.PrivateKey); key == nil || ok && len(private) != ed25519.PrivateKeySize {
		return "", refuse(trust.ReasonAlgorithm, "an envelope needs an Ed25519 private key")
	}
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return "", refuse(trust.ReasonAlgorithm, "an envelope needs an Ed25519 private key")
	}
	return trust.NodeIDOf(public)
}

// Open is OpenInto for a payload of no particular form: what it gives is safe to
// hand to Unmarshal.
func Open(envelope []byte, typ string, maxBytes int, keyOf func(trust.NodeID) (ed25519.PublicKey, bool)) (payload []byte, signer trust.NodeID, err error) {
	var value jsontext.Value
	if signer, err = OpenInto(&value, envelope, typ, maxBytes, keyOf); err != nil {
		return nil, "", err
	}
	return value, signer, nil
}

// OpenInto checks an envelope of exactly this typ, decodes its payload into v as
// Unmarshal does, and gives who signed it. keyOf gives the public key of a node
// that the caller is ready to listen to, and false for any other: an unknown
// signer is refused before the payload is looked at, and nothing is decoded before
// the signature is verified. After an error v must not be used. The error is
// always an *Error; its Reason is ReasonBadClaim if, and only if, the envelope is
// good and its payload is not of v's form.
func OpenInto(v any, envelope []byte, typ string, maxBytes int, keyOf func(trust.NodeID) (ed25519.PublicKey, bool)) (signer trust.NodeID, err error) {
	if len(envelope) > maxBytes {
		return "", refuse(trust.ReasonTooLarge, "the envelope has %d bytes, at most %d are read", len(envelope), maxBytes)
	}
	parts, err := decodeCompact(envelope)
	if err != nil {
		return "", err
	}
	header, err := readEnvelopeHeader(parts.header, typ)
	if err != nil {
		return "", err
	}
	if header.Typ != typ {
		return "", refuse(trust.ReasonWrongType, "the envelope is a %.80q, not a %q", header.Typ, typ)
	}
	signer, err = trust.ParseNodeID(header.Kid)
	if err != nil {
		return "", refuse(trust.ReasonHeader, "kid: %v", err)
	}
	key, known := keyOf(signer)
	if !known || len(key) != ed25519.PublicKeySize {
		return "", refuse(trust.ReasonUnknownKey, "no key is held for node %s", signer)
	}
	// The kid names the key itself, so a table that was filled wrongly cannot
	// put one node's words into another's mouth.
	if id, err := trust.NodeIDOf(key); err != nil || id != signer {
		return "", refuse(trust.ReasonUnknownKey, "the key held for node %s is another node's", signer)
	}
	if !ed25519.Verify(key, envelope[:parts.signedLen], parts.signature) {
		return "", refuse(trust.ReasonSignature, "the envelope was not signed by node %s, or was changed on the way", signer)
	}
	// The rules first, then the strict decoder: what one of them reads over, the
	// other refuses.
	if err := checkEnvelopeRules(parts.payload); err != nil {
		return "", err
	}
	if err := json.Unmarshal(parts.payload, v); err != nil {
		return "", decodeError(err)
	}
	return signer, nil
}

// envelopeHeader is the whole header, in the order in which it is written.
type envelopeHeader struct {
	Alg string `json:"alg"`
	Kid string `json:"kid"`
	Typ string `json:"typ"`
}

// The canonical header around kid and typ, as every node of this version writes it.
const (
	headerBegin  = `{"alg":"` + algEdDSA + `","kid":"`
	headerMiddle = `","typ":`
)

func appendEnvelopeHeader(dst []byte, signer trust.NodeID, typ string) ([]byte, error) {
	dst = append(dst, headerBegin...)
	dst = append(dst, signer...)
	dst = append(dst, headerMiddle...)
	dst, err := jsontext.AppendQuote(dst, typ)
	return append(dst, '}'), err
}

// readEnvelopeHeader takes a header. One with the very bytes that this node would
// write for typ needs no decoder: a kid that is not what it seems there is no
// NodeID. Every other spelling is decoded.
func readEnvelopeHeader(data []byte, typ string) (envelopeHeader, error) {
	if rest, ok := bytes.CutPrefix(data, []byte(headerBegin)); ok && len(data) <= maxEnvelopeHeaderBytes {
		if kid, tail, ok := bytes.Cut(rest, []byte(headerMiddle)); ok {
			var room [maxEnvelopeHeaderBytes]byte
			if again, err := appendEnvelopeHeader(room[:0], "", typ); err == nil && bytes.Equal(tail, again[len(headerBegin)+len(headerMiddle):]) {
				if node, err := trust.ParseNodeID(string(kid)); err == nil {
					return envelopeHeader{algEdDSA, string(node), typ}, nil
				}
			}
		}
	}
	return decodeEnvelopeHeader(data)
}

// decodeEnvelopeHeader takes exactly {alg,kid,typ}, all text. Nodes write their
// own envelopes, so there is nothing to be lenient about.
func decodeEnvelopeHeader(data []byte) (envelopeHeader, error) {
	var header envelopeHeader
	if len(data) > maxEnvelopeHeaderBytes {
		return header, refuse(trust.ReasonTooLarge, "the header has %d bytes, at most %d are read", len(data), maxEnvelopeHeaderBytes)
	}
	var members map[string]jsontext.Value
	if err := Unmarshal(data, &members); err != nil {
		return header, refuse(trust.ReasonHeader, "the header is not an object of alg, kid and typ: %v", err)
	}
	for _, name := range []string{"alg", "kid", "typ"} {
		if value, ok := members[name]; !ok || value.Kind() != '"' {
			return header, refuse(trust.ReasonHeader, "the header has no %s, or one that is not a string", name)
		}
	}
	if len(members) != 3 {
		return header, refuse(trust.ReasonHeader, "the header has members besides alg, kid and typ")
	}
	if err := Unmarshal(data, &header); err != nil {
		return header, err
	}
	if header.Alg != algEdDSA {
		return header, refuse(trust.ReasonAlgorithm, "envelopes are signed with EdDSA, not %.80q", header.Alg)
	}
	return header, nil
}

// checkEnvelopeRules enforces what section 5 says of payloads beyond strict JSON:
// one object, integers only (within 64 bits), at most 8 deep. crit is refused
// because nothing is understood that it could name. Like depthWithin it need not be
// right about text that is not JSON, nor see names that occur twice: that is the
// decoder's.
func checkEnvelopeRules(data []byte) error {
	if !depthWithin(data, maxEnvelopeDepth) {
		return refuse(trust.ReasonMalformed, "the payload is nested more than %d deep", maxEnvelopeDepth)
	}
	if trimmed := bytes.TrimLeft(data, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return refuse(trust.ReasonMalformed, "the payload is not a JSON object")
	}
	depth := 0
	name := false // at depth 1: a string here is a member's name
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case c == '"':
			end := stringEnd(data, i+1)
			if end < 0 {
				return refuse(trust.ReasonMalformed, "not strict JSON: a string has no end")
			}
			if depth == 1 && name && isCrit(data[i:end+1]) {
				return refuse(trust.ReasonHeader, "the payload demands (crit) what this node does not understand")
			}
			i, name = end, false
		case c == '{' || c == '[':
			depth++
			name = true
		case c == '}' || c == ']':
			depth--
		case c == ',':
			name = true
		case c == '-' || '0' <= c && c <= '9':
			end := i + 1
			for end < len(data) && bytes.IndexByte([]byte("0123456789+-.eE"), data[end]) >= 0 {
				end++
			}
			if !isInteger(string(data[i:end])) {
				return refuse(trust.ReasonMalformed, "the payload holds a number that is not a 64-bit integer")
			}
			i = end - 1
		}
	}
	return nil
}

// isCrit tells whether a name, as it is written with its quotes, reads crit.
func isCrit(quoted []byte) bool {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted) == `"crit"`
	}
	name, err := jsontext.AppendUnquote(nil, quoted)
	return err == nil && string(name) == "crit" // the decoder refuses what has no meaning
}

// isInteger refuses fractions, exponents and negative zero, which programs
// print and compare differently.
func isInteger(number string) bool {
	if number == "-0" {
		return false
	}
	if _, err := strconv.ParseInt(number, 10, 64); err == nil {
		return true
	}
	_, err := strconv.ParseUint(number, 10, 64)
	return err == nil
}
