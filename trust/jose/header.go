package jose

import (
	"unicode"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/candignode/candignode/trust"
)

// wireHeader has the members that are judged; all others are read over. A token
// may carry jwk, x5c or x5u: they are no source of keys and no reason to refuse.
type wireHeader struct {
	Alg  Text     `json:"alg"`
	Typ  Text     `json:"typ"`
	Kid  Text     `json:"kid"`
	JKU  Text     `json:"jku"`
	Crit presence `json:"crit"`
	B64  presence `json:"b64"`
	Zip  presence `json:"zip"`
	Enc  presence `json:"enc"`
}

// presence is true when a member is there at all, whatever its value.
type presence bool

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (p *presence) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*p = true
	return dec.SkipValue()
}

// decodeHeader is step 3: names once, known shapes, and nothing that would
// change what the signature covers or how the payload is read.
func decodeHeader(data []byte) (Header, error) {
	if len(data) > maxHeaderBytes {
		return Header{}, refuse(trust.ReasonTooLarge, "the header has %d bytes, at most %d are read", len(data), maxHeaderBytes)
	}
	var wire wireHeader
	if err := Unmarshal(data, &wire); err != nil {
		reason := trust.ReasonHeader
		if own, ok := err.(*Error); ok && own.Reason == trust.ReasonMalformed {
			reason = trust.ReasonMalformed
		}
		return Header{}, refuse(reason, "header: %s", detailOf(err))
	}
	switch {
	case bool(wire.Crit):
		// No extension is understood, so whatever crit names, or an empty
		// crit, is a refusal (RFC 7515, section 4.1.11).
		return Header{}, refuse(trust.ReasonHeader, "the header demands extensions (crit); none is supported")
	case bool(wire.B64):
		return Header{}, refuse(trust.ReasonHeader, "the header has b64, which JWTs must not use (RFC 7797, section 7)")
	case bool(wire.Zip) || bool(wire.Enc):
		return Header{}, refuse(trust.ReasonHeader, "the header has zip or enc: compressed or encrypted tokens are not accepted")
	case !wire.Alg.Present || wire.Alg.Value == "":
		return Header{}, refuse(trust.ReasonAlgorithm, "the header names no algorithm (alg)")
	case len(wire.Typ.Value) > maxTypeBytes:
		return Header{}, refuse(trust.ReasonHeader, "typ has more than %d bytes", maxTypeBytes)
	case wire.Kid.Present && !goodKeyID(wire.Kid.Value):
		return Header{}, refuse(trust.ReasonHeader, "kid is empty, has control characters or more than %d bytes", maxKeyIDBytes)
	case len(wire.JKU.Value) > maxJKUBytes || wire.JKU.Present && wire.JKU.Value == "":
		return Header{}, refuse(trust.ReasonHeader, "jku is empty or has more than %d bytes", maxJKUBytes)
	}
	return Header{Algorithm: wire.Alg.Value, Type: wire.Typ.Value, KeyID: wire.Kid.Value, JKU: wire.JKU.Value}, nil
}

// goodKeyID bounds a kid. It is only ever compared with the kids of the issuer's
// own keys, so its text needs no other rule.
func goodKeyID(kid string) bool {
	if kid == "" || len(kid) > maxKeyIDBytes {
		return false
	}
	for _, r := range kid {
		if unicode.IsControl(r) {
			return false
		}
	}
	return true
}

// detailOf gives the sentence without its reason, for use in another.
func detailOf(err error) string {
	if own, ok := err.(*Error); ok {
		return own.Detail
	}
	return "cannot be read"
}
