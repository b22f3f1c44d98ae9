package audit

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/candignode/candignode/trust"
)

// Receipt is a node's signed word about an answer, as it is kept in a record: taken apart, so
// that no token-like text stands in the log, and whole enough to be verified again years later.
type Receipt struct {
	Key       string `json:"key"`       // the node's Ed25519 public key, base64url
	Payload   string `json:"payload"`   // the exact JSON that was signed
	Signature string `json:"signature"` // base64url
}

// IsZero tells whether there is none.
func (r Receipt) IsZero() bool { return r == Receipt{} }

// NewReceipt takes an envelope apart. One that is no envelope gives the zero Receipt.
func NewReceipt(envelope string, key ed25519.PublicKey) Receipt {
	parts := strings.Split(envelope, ".")
	if len(parts) != 3 {
		return Receipt{}
	}
	payload, err := base64.RawURLEncoding.Strict().DecodeString(parts[1])
	if err != nil {
		return Receipt{}
	}
	return Receipt{Key: base64.RawURLEncoding.EncodeToString(key), Payload: string(payload), Signature: parts[2]}
}

// Envelope puts it together again: nodes write the header of an envelope in one way only.
func (r Receipt) Envelope(typ string) ([]byte, ed25519.PublicKey, error) {
	key, err := base64.RawURLEncoding.Strict().DecodeString(r.Key)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil, nil, errors.New("the key that is kept with it is none")
	}
	node, err := trust.NodeIDOf(ed25519.PublicKey(key))
	if err != nil {
		return nil, nil, err
	}
	encode := base64.RawURLEncoding.EncodeToString
	header := fmt.Sprintf(`{"alg":"EdDSA","kid":"%s","typ":"%s"}`, node, typ)
	return []byte(encode([]byte(header)) + "." + encode([]byte(r.Payload)) + "." + r.Signature), key, nil
}
