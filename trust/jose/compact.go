package jose

import (
	"bytes"

	"github.com/candignode/candignode/trust"
)

// compact is a compact JWS taken apart: nothing in it is believed.
type compact struct {
	header, payload, signature []byte
	signedLen                  int // bytes of the signing input, "header.payload"
}

// decodeCompact takes exactly three non-empty segments of canonical, unpadded
// base64url (RFC 7515, sections 2 and 3.1): steps 1 and 2 of "One verifier, in
// this order". JSON serialisations and encrypted tokens end here.
func decodeCompact(data []byte) (compact, error) {
	var parts compact
	first := bytes.IndexByte(data, '.')
	last := bytes.LastIndexByte(data, '.')
	switch {
	case first < 0:
		return parts, refuse(trust.ReasonMalformed, "not a compact JWS: three parts joined by '.' are needed")
	case bytes.IndexByte(data[first+1:max(last, first+1)], '.') >= 0:
		return parts, refuse(trust.ReasonMalformed, "not a compact JWS: more than three parts (an encrypted token is not accepted)")
	case first == 0 || last <= first+1 || last == len(data)-1:
		return parts, refuse(trust.ReasonMalformed, "not a compact JWS: one of its three parts is missing")
	case bytes.IndexByte(data, '\n') >= 0 || bytes.IndexByte(data, '\r') >= 0:
		return parts, refuse(trust.ReasonMalformed, "not a compact JWS: it holds a line break")
	}
	// One allocation holds all three; each is capped, so that none can grow
	// into its neighbour.
	room := make([]byte, 0, strict64.DecodedLen(len(data)))
	segment := func(from, to int) ([]byte, error) {
		start := len(room)
		grown, err := strict64.AppendDecode(room, data[from:to])
		if err != nil {
			return nil, refuse(trust.ReasonMalformed, "not a compact JWS: not canonical, unpadded base64url")
		}
		room = grown
		return room[start:len(room):len(room)], nil
	}
	var err error
	if parts.header, err = segment(0, first); err != nil {
		return parts, err
	}
	if parts.payload, err = segment(first+1, last); err != nil {
		return parts, err
	}
	parts.signature, err = segment(last+1, len(data))
	parts.signedLen = last
	return parts, err
}
