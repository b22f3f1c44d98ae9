package trust

import "log/slog"

// Passport is a passport as its bearer presented it: a secret until it
// expires. It prints, logs and encodes as its digest only; Compact is the one way
// to the bytes, and only forwarding calls it.
type Passport struct {
	// A pointer, for fmt never follows a nested one. A string would come out for
	// %d, %p, %w and other verbs that do not ask String.
	compact *string
	digest  Digest
}

// NewPassport takes the exact compact serialisation. Two Passports of the same
// bytes are the same by Digest, not by ==.
func NewPassport(compact string) Passport {
	return Passport{compact: &compact, digest: DigestOfString(compact)}
}

// Compact gives the secret bytes. They travel byte-identical or not at all
// (GA4GH AAI 1.2, "Visa" and section BR 7).
func (p Passport) Compact() string {
	if p.compact == nil {
		return ""
	}
	return *p.compact
}

// Digest names the passport without giving it away.
func (p Passport) Digest() Digest { return p.digest }

// String gives the digest.
func (p Passport) String() string { return "passport:" + p.digest.Short() }

// GoString keeps %#v from printing the secret.
func (p Passport) GoString() string { return p.String() }

// LogValue keeps slog from printing the secret.
func (p Passport) LogValue() slog.Value { return slog.StringValue(p.String()) }

// MarshalText keeps encoders from writing the secret.
func (p Passport) MarshalText() ([]byte, error) { return []byte(p.digest.String()), nil }
