package proof

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// nonces are made and recognised without remembering any: a nonce is a MAC over
// the number of a slot of time. The key lives as long as the process, so a nonce
// shows that the proof was made after the start, and memory is whole since then.
type nonces struct{ key [sha256.Size]byte }

// of gives the nonce of the slot that age, the time since the start, lies in.
func (n *nonces) of(age time.Duration) string {
	return base64.RawURLEncoding.EncodeToString(n.mac(slotOf(age)))
}

// good tells whether a nonce is of this slot or of the one before.
func (n *nonces) good(nonce string, age time.Duration) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(nonce)
	if err != nil || len(raw) != nonceBytes {
		return false
	}
	slot := slotOf(age)
	return hmac.Equal(raw, n.mac(slot)) || slot > 0 && hmac.Equal(raw, n.mac(slot-1))
}

func slotOf(age time.Duration) uint64 { return uint64(max(age, 0) / nonceSlot) }

func (n *nonces) mac(slot uint64) []byte {
	mac := hmac.New(sha256.New, n.key[:])
	mac.Write([]byte("dpop-nonce"))
	mac.Write(binary.BigEndian.AppendUint64(nil, slot))
	return mac.Sum(nil)[:nonceBytes]
}

// Nonce is what the header DPoP-Nonce of an answer says at now. It goes with every
// refusal that is ErrUseNonce, and may go with any answer.
func (c *Checker) Nonce(now time.Time) string {
	_, age := c.memory.age(now)
	return c.nonces.of(age)
}
