package session

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/candignode/candignode/trust"
)

// Material is what a session rests on. It is kept sealed.
type Material struct {
	Identity trust.Identity
	// Access is of Identity.Issuer, and goes nowhere else; zero for a session that
	// rests on passports. Refresh renews it.
	Access        trust.AccessToken
	AccessExpires time.Time // zero: not known
	Refresh       trust.AccessToken
	Nonce         string // of the sign-in; a renewed ID Token may repeat it
	Passports     []trust.Passport
	// Bound is the key that whoever uses the session must prove to hold, because it
	// was begun with a proof of it: a session is not a way around a bound token
	// (RFC 9449, section 7.2).
	Bound trust.Confirmation
	// Granted and Session, the token of the person's own, make a client's token.
	Granted Grant
	Session trust.AccessToken
	// Until ends the session early; zero: its life does.
	Until time.Time
}

// kept is the form that is sealed.
type kept struct {
	Identity      trust.Identity     `json:"identity"`
	Access        string             `json:"access,omitempty"`
	AccessExpires time.Time          `json:"access_expires,omitzero"`
	Refresh       string             `json:"refresh,omitempty"`
	Nonce         string             `json:"nonce,omitempty"`
	Passports     []string           `json:"passports,omitempty"`
	Bound         trust.Confirmation `json:"bound,omitzero"`
	Client        string             `json:"client,omitempty"`
	MayPassport   bool               `json:"may_passport,omitempty"`
	Session       string             `json:"session,omitempty"`
	Until         time.Time          `json:"until,omitzero"`
}

// errSealed says that a session's material does not open: another token's, or
// changed in the file.
var errSealed = errors.New("what the session keeps cannot be opened")

// sealing is the cipher of one session. The key comes from the token, which is not
// kept; id keeps what one session holds from being put in another's place.
func sealing(token trust.AccessToken, id string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, []byte(token.Reveal()), []byte(id), "candignode session material 1", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// seal gives nonce and ciphertext.
func (d *Desk) seal(token trust.AccessToken, id string, m Material) ([]byte, error) {
	plain := kept{
		Identity: m.Identity, Access: m.Access.Reveal(), AccessExpires: m.AccessExpires, Refresh: m.Refresh.Reveal(),
		Nonce: m.Nonce,
		Bound: m.Bound, Until: m.Until,
		Client: m.Granted.Client, MayPassport: m.Granted.Passport, Session: m.Session.Reveal(),
	}
	for _, p := range m.Passports {
		plain.Passports = append(plain.Passports, p.Compact())
	}
	encoded, err := json.Marshal(plain)
	if err != nil {
		return nil, err
	}
	if len(encoded) > maxMaterial {
		return nil, ErrTooLarge
	}
	aead, err := sealing(token, id)
	if err != nil {
		return nil, err
	}
	// Random: one key seals as often as an access token is renewed, a few hundred
	// times at most.
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(encoded)+aead.Overhead())
	if _, err := io.ReadFull(d.o.Random, nonce); err != nil {
		return nil, err
	}
	return aead.Seal(nonce, nonce, encoded, []byte(id)), nil
}

// unseal is the inverse of seal.
func unseal(token trust.AccessToken, id string, sealed []byte) (Material, error) {
	aead, err := sealing(token, id)
	if err != nil {
		return Material{}, err
	}
	if len(sealed) < aead.NonceSize() {
		return Material{}, errSealed
	}
	encoded, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], []byte(id))
	if err != nil {
		return Material{}, errSealed
	}
	var plain kept
	if json.Unmarshal(encoded, &plain) != nil { // its error could quote a token
		return Material{}, errSealed
	}
	m := Material{
		Identity: plain.Identity, Access: trust.NewAccessToken(plain.Access), AccessExpires: plain.AccessExpires,
		Refresh: trust.NewAccessToken(plain.Refresh), Nonce: plain.Nonce, Bound: plain.Bound, Until: plain.Until,
		Granted: Grant{plain.Client, plain.MayPassport}, Session: trust.NewAccessToken(plain.Session),
	}
	for _, p := range plain.Passports {
		m.Passports = append(m.Passports, trust.NewPassport(p))
	}
	return m, nil
}
