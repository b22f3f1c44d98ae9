package jose

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
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
func Seal(typ string, key ed25519.PrivateKey, payload any) ([]byte, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, refuse(trust.ReasonAlgorithm, "an envelope needs an Ed25519 private key")
	}
	public, _ := key.Public().(ed25519.PublicKey)
	signer, err := trust.NodeIDOf(public)
	if err != nil {
		return nil, err
	}
	header, err := json.Marshal(envelopeHeader{algEdDSA, string(signer), typ})
	if err != nil || typ == "" || len(header) > maxEnvelopeHeaderBytes {
		return nil, refuse(trust.ReasonHeader, "%.80q cannot be an envelope's typ", typ)
	}
	body, err := json.Marshal(payload)
	if err != nil {
		return nil, refuse(trust.ReasonMalformed, "the payload cannot be written as JSON: %v", err)
	}
	if err := checkEnvelopePayload(body); err != nil {
		return nil, err
	}
	sealed := make([]byte, 0, strict64.EncodedLen(len(header)+len(body)+ed25519.SignatureSize)+8)
	sealed = strict64.AppendEncode(sealed, header)
	sealed = append(sealed, '.')
	sealed = strict64.AppendEncode(sealed, body)
	signature := ed25519.Sign(key, sealed)
	sealed = append(sealed, '.')
	return strict64.AppendEncode(sealed, signature), nil
}

// Open checks an envelope of exactly this typ and gives its payload and who
// signed it. keyOf gives the public key of a node that the caller is ready to
// listen to, and false for any other: an unknown signer is refused before the
// payload is looked at. The payload is safe to hand to Unmarshal. The error is
// always an *Error.
func Open(envelope []byte, typ string, maxBytes int, keyOf func(trust.NodeID) (ed25519.PublicKey, bool)) (payload []byte, signer trust.NodeID, err error) {
	if len(envelope) > maxBytes {
		return nil, "", refuse(trust.ReasonTooLarge, "the envelope has %d bytes, at most %d are read", len(envelope), maxBytes)
	}
	parts, err := decodeCompact(envelope)
	if err != nil {
		return nil, "", err
	}
	header, err := decodeEnvelopeHeader(parts.header)
	if err != nil {
		return nil, "", err
	}
	if header.Typ != typ {
		return nil, "", refuse(trust.ReasonWrongType, "the envelope is a %.80q, not a %q", header.Typ, typ)
	}
	signer, err = trust.ParseNodeID(header.Kid)
	if err != nil {
		return nil, "", refuse(trust.ReasonHeader, "kid: %v", err)
	}
	key, known := keyOf(signer)
	if !known || len(key) != ed25519.PublicKeySize {
		return nil, "", refuse(trust.ReasonUnknownKey, "no key is held for node %s", signer)
	}
	// The kid names the key itself, so a table that was filled wrongly cannot
	// put one node's words into another's mouth.
	if id, err := trust.NodeIDOf(key); err != nil || id != signer {
		return nil, "", refuse(trust.ReasonUnknownKey, "the key held for node %s is another node's", signer)
	}
	if !ed25519.Verify(key, envelope[:parts.signedLen], parts.signature) {
		return nil, "", refuse(trust.ReasonSignature, "the envelope was not signed by node %s, or was changed on the way", signer)
	}
	if err := checkEnvelopePayload(parts.payload); err != nil {
		return nil, "", err
	}
	return parts.payload, signer, nil
}

// envelopeHeader is the whole header, in the order in which it is written.
type envelopeHeader struct {
	Alg string `json:"alg"`
	Kid string `json:"kid"`
	Typ string `json:"typ"`
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

// checkEnvelopePayload enforces what section 5 says of payloads: one UTF-8 JSON
// object, integers only (within 64 bits), at most 8 deep, no name twice. crit is
// refused because nothing is understood that it could name.
func checkEnvelopePayload(data []byte) error {
	if !depthWithin(data, maxEnvelopeDepth) {
		return refuse(trust.ReasonMalformed, "the payload is nested more than %d deep", maxEnvelopeDepth)
	}
	if trimmed := bytes.TrimLeft(data, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return refuse(trust.ReasonMalformed, "the payload is not a JSON object")
	}
	dec := jsontext.NewDecoder(bytes.NewBuffer(data))
	for first := true; first || dec.StackDepth() > 0; first = false {
		token, err := dec.ReadToken()
		if err != nil {
			return decodeError(err)
		}
		switch token.Kind() {
		case '0':
			if !isInteger(token.String()) {
				return refuse(trust.ReasonMalformed, "the payload holds a number that is not a 64-bit integer")
			}
		case '"':
			// At depth 1 an odd count of tokens read means a name was read last.
			if _, read := dec.StackIndex(1); dec.StackDepth() == 1 && read%2 == 1 && token.String() == "crit" {
				return refuse(trust.ReasonHeader, "the payload demands (crit) what this node does not understand")
			}
		}
	}
	if len(bytes.TrimLeft(data[dec.InputOffset():], " \t\r\n")) > 0 {
		return refuse(trust.ReasonMalformed, "there are bytes after the payload's JSON object")
	}
	return nil
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
