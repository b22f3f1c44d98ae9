package trust

import "log/slog"

// AccessToken is an OAuth access token as its bearer presented it. It prints,
// logs and encodes as its digest only. It goes to the endpoints of the issuer that
// made it, and to nobody else: no access token is ever sent to a peer
// (passports.md, row 70).
type AccessToken struct {
	token *string // a pointer, for fmt never follows a nested one
	// digest is that of the token's bytes.
	digest Digest
}

// NewAccessToken takes the exact bytes. "" gives the zero AccessToken.
func NewAccessToken(token string) AccessToken {
	if token == "" {
		return AccessToken{}
	}
	return AccessToken{token: &token, digest: DigestOfString(token)}
}

// Reveal gives the secret bytes.
func (t AccessToken) Reveal() string {
	if t.token == nil {
		return ""
	}
	return *t.token
}

// IsZero tells whether there is no token.
func (t AccessToken) IsZero() bool { return t.token == nil }

// Digest names the token without giving it away.
func (t AccessToken) Digest() Digest { return t.digest }

// String gives the digest.
func (t AccessToken) String() string { return "token:" + t.digest.Short() }

// GoString keeps %#v from printing the secret.
func (t AccessToken) GoString() string { return t.String() }

// LogValue keeps slog from printing the secret.
func (t AccessToken) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText keeps encoders from writing the secret.
func (t AccessToken) MarshalText() ([]byte, error) { return []byte(t.digest.String()), nil }
