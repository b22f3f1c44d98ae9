package jose

import (
	"crypto"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/candignode/candignode/trust"
)

// Embedded is a token that brought its own key, and was signed with it. The key
// says nothing about who signed: whoever uses it compares its thumbprint with one
// that it was told by somebody it trusts.
type Embedded struct {
	Header  Header
	Key     trust.Key // KeyID is ""
	Payload []byte    // verified; decode it with Unmarshal
}

// OpenEmbedded opens a compact JWS whose header carries the public half of the key
// that signed it, as a DPoP proof does (RFC 9449, section 4.2). It is the one way to a
// key out of a token, and only for the media types in embeddedTypes, none of which
// a passport, visa or any other token can have (passports.md, row 104). want is one
// of them. The error is always an *Error.
func OpenEmbedded(token, want string, maxBytes int) (Embedded, error) {
	parsed, err := Parse(token, maxBytes)
	if err != nil {
		return Embedded{}, err
	}
	header := parsed.Header()
	switch {
	case !slices.Contains(embeddedTypes, want) || !header.IsType(want):
		return Embedded{}, refuse(trust.ReasonWrongType, "the token is a %.80q, not a %.80q", header.Type, want)
	case header.Algorithm != RS256 && header.Algorithm != ES256:
		return Embedded{}, refuse(trust.ReasonAlgorithm, "signed with %.80q, which is not accepted here: use RS256 or ES256", header.Algorithm)
	}
	key, err := embeddedKey(parsed.parts.header)
	if err != nil {
		return Embedded{}, err
	}
	// A kid beside the key names nothing that is known here.
	key.KeyID = header.KeyID
	payload, err := parsed.Verify(key, RS256, ES256)
	if err != nil {
		if own, ok := err.(*Error); ok && own.Reason == trust.ReasonSignature {
			return Embedded{}, refuse(trust.ReasonSignature, "the signature does not verify under the key that the token carries")
		}
		return Embedded{}, err
	}
	key.KeyID = ""
	return Embedded{Header: header, Key: key, Payload: payload}, nil
}

// embeddedKey reads jwk, by the rules of a key set: a public RSA or P-256 key,
// and not a trace of a private one.
func embeddedKey(header []byte) (trust.Key, error) {
	var wire struct {
		JWK jsontext.Value `json:"jwk"`
	}
	if err := Unmarshal(header, &wire); err != nil {
		return trust.Key{}, err
	}
	if wire.JWK.Kind() != '{' {
		return trust.Key{}, refuse(trust.ReasonHeader, "the header carries no key (jwk)")
	}
	key, refusal := parseKey(wire.JWK, false)
	switch {
	case refusal == nil:
		return key, nil
	case refusal.Alarm:
		return trust.Key{}, refuse(trust.ReasonHeader, "jwk holds a private or symmetric key: only the public half may be sent, and this key must not be used any more")
	}
	return trust.Key{}, refuse(trust.ReasonHeader, "jwk cannot be used: %s", refusal.Why)
}

// SignEmbedded is Sign with the key's public half in the header (jwk), for the
// media types that OpenEmbedded takes. The header has no kid.
func SignEmbedded(typ string, payload []byte, key crypto.Signer) (string, error) {
	if key == nil {
		return "", refuse(trust.ReasonAlgorithm, "no key to sign with")
	}
	algorithm := algorithmOf(key.Public())
	if algorithm != RS256 && algorithm != ES256 {
		return "", refuse(trust.ReasonAlgorithm, "a key of type %T signs no such token: use RSA of %d bits or more, or P-256", key.Public(), minRSABits)
	}
	if !slices.Contains(embeddedTypes, typ) {
		return "", refuse(trust.ReasonWrongType, "a %.80q does not carry its key", typ)
	}
	public, err := jwk.FromRaw(key.Public())
	if err != nil {
		return "", refuse(trust.ReasonAlgorithm, "the public key cannot be written")
	}
	headers := jws.NewHeaders()
	for name, value := range map[string]any{jws.TypeKey: typ, jws.JWKKey: public} {
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
