package mint

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/candignode/candignode/trust"
)

// ErrSecret is returned for a secret that is too short to hide anybody.
var ErrSecret = errors.New("the secret of people's names is too short")

// Subjects gives people the names that they have at this node as an issuer: stable,
// and saying nothing about who they are elsewhere (passports.md, row 116).
type Subjects struct{ secret []byte }

// NewSubjects takes a secret of at least 32 bytes. With another secret, everybody has
// another name.
func NewSubjects(secret []byte) (Subjects, error) {
	if len(secret) < minSecretBytes {
		return Subjects{}, fmt.Errorf("%w: it has %d bytes, at least %d are needed", ErrSecret, len(secret), minSecretBytes)
	}
	return Subjects{secret: append([]byte(nil), secret...)}, nil
}

// Of gives the name, 43 characters of base64url. Different identities have different
// names: the same sub at two issuers is two people (passports.md, row 42).
func (s Subjects) Of(identity trust.Identity) string {
	mac := hmac.New(sha256.New, s.secret)
	mac.Write([]byte(subjectDomain))
	// The length first, so that no issuer's end can pass for a subject's beginning.
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(identity.Issuer))))
	mac.Write([]byte(identity.Issuer))
	mac.Write([]byte(identity.Subject))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// subjectDomain keeps names apart from whatever else the secret might ever be used for.
const subjectDomain = "candignode subject 1\x00"

// LinkValue is the value of a LinkedIdentities visa that links its own (iss, sub) with
// these: enc(sub),enc(iss) joined by ';' (GA4GH Passport 1.2, "LinkedIdentities").
func LinkValue(identities ...trust.Identity) string {
	pairs := make([]string, len(identities))
	for i, identity := range identities {
		pairs[i] = escape(identity.Subject) + "," + escape(identity.Issuer)
	}
	return strings.Join(pairs, ";")
}

// escape is percent-encoding; a plus sign would be read as itself.
func escape(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}
