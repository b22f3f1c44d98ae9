package mint_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/mint"
	"github.com/candignode/candignode/trust/passport"
)

var now = time.Unix(1_800_000_000, 0).UTC()

func p256(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func signer(t testing.TB) *mint.Signer {
	t.Helper()
	s, err := mint.NewSigner(p256(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Keys for visas and passports are RSA of 2048 bits and P-256, as the profile wants them.
func TestKeysThatSign(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024) //nolint:gosec // too short on purpose
	if err != nil {
		t.Skip("no short keys here")
	}
	large, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		key crypto.Signer
		alg string
	}{
		"P-256": {p256(t), jose.ES256}, "RSA 2048": {large, jose.RS256},
		"RSA 1024": {small, ""}, "P-384": {p384, ""}, "Ed25519": {ed25519.NewKeyFromSeed(make([]byte, 32)), ""}, "none": {nil, ""},
	} {
		s, err := mint.NewSigner(c.key, nil)
		if (err == nil) != (c.alg != "") || err != nil && !errors.Is(err, mint.ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && (s.Public().Algorithm != c.alg || s.Public().KeyID != s.Public().Thumbprint) {
			t.Errorf("%s: %+v", name, s.Public())
		}
	}
}

// Row 117: a key that has another use is refused, and the refusal says which.
func TestOneKeyOneUse(t *testing.T) {
	visas, passports, node := p256(t), p256(t), ed25519.NewKeyFromSeed(make([]byte, 32))
	others := map[string]crypto.PublicKey{"dac.key": visas.Public(), "node.key": node.Public()}
	if _, err := mint.NewSigner(passports, others); err != nil {
		t.Error(err)
	}
	if _, err := mint.NewSigner(visas, others); !errors.Is(err, mint.ErrKeyReused) || !strings.Contains(err.Error(), "dac.key") {
		t.Error(err)
	}
}

// verify reads a passport as another site does that trusts one issuer for everything.
func verify(t testing.TB, s *mint.Signer, compact string) (passport.Verdict, error) {
	t.Helper()
	view := &trust.View{Revision: 1, Issuers: map[string]trust.IssuerView{"https://a.example": {
		Policy: trust.IssuerPolicy{
			Issuer: "https://a.example", Kinds: []trust.Kind{trust.KindPassport, trust.KindVisa},
			JKU: []string{"https://a.example/jwks"}, VisaTypes: []string{trust.VisaControlledAccessGrants}, Sources: []string{"https://dac.example"},
		},
		Keys: []trust.BelievedKey{{Key: s.Public(), Until: now.Add(100 * time.Hour)}},
	}}}
	v := passport.New(passport.Options{View: func() *trust.View { return view }, OwnNames: []string{"b"}})
	return v.Verify(context.Background(), passport.Request{Passports: []string{compact}, Now: now})
}

// Rows 1 to 4, 13, 14 and 113: what is written here is what the verifier reads.
func TestWhatIsWrittenIsRead(t *testing.T) {
	s := signer(t)
	visa := mint.Visa{
		Identity: trust.Identity{Issuer: "https://a.example", Subject: "s"}, Type: trust.VisaControlledAccessGrants,
		Value: "https://dac.example/d?a=1&b=2", Source: "https://dac.example", By: mint.ByDAC,
		Asserted: now.Add(-time.Hour), IssuedAt: now, Expires: now.Add(time.Hour + 900*time.Millisecond), JKU: "https://a.example/jwks",
	}
	signed, err := s.Visa(visa)
	if err != nil || !mint.DocumentToken(signed) {
		t.Fatal(err)
	}
	pass := mint.Passport{
		Identity: trust.Identity{Issuer: "https://a.example", Subject: "s"}, Audience: []string{"b"},
		IssuedAt: now, Expires: now.Add(time.Minute), Visas: []trust.Passport{signed}, Actor: "node",
	}
	compact, err := s.Passport(pass)
	if err != nil {
		t.Fatal(err)
	}
	verdict, err := verify(t, s, compact.Compact())
	if err != nil || len(verdict.Caller.Visas) != 1 {
		t.Fatal(err, verdict.Visas)
	}
	got := verdict.Caller.Visas[0]
	if got.Value != visa.Value || got.By != "dac" || !got.Asserted.Equal(visa.Asserted) || !got.Expires.Equal(now.Add(time.Hour)) || got.Digest != signed.Digest() {
		t.Errorf("%+v", got)
	}
	again, err := s.Visa(visa)
	if err != nil || again.Digest() == signed.Digest() {
		t.Error("two visas with one jti", err)
	}
}

// Row 77: a passport for nobody would hold everywhere, so there is none. Nor is there a token
// that ends before it begins, or one that says it was made before what it asserts.
func TestTokensThatAreNotWritten(t *testing.T) {
	s := signer(t)
	good := mint.Passport{Audience: []string{"b"}, IssuedAt: now, Expires: now.Add(time.Second)}
	if _, err := s.Passport(good); err != nil {
		t.Error(err)
	}
	for _, audience := range [][]string{nil, {}, {""}, {"b", ""}} {
		bad := good
		bad.Audience = audience
		if _, err := s.Passport(bad); !errors.Is(err, mint.ErrAudience) {
			t.Errorf("%q: %v", audience, err)
		}
	}
	bad := good
	bad.Expires = now.Add(900 * time.Millisecond)
	if _, err := s.Passport(bad); !errors.Is(err, mint.ErrTimes) {
		t.Error(err)
	}
	if _, err := s.Visa(mint.Visa{IssuedAt: now, Expires: now.Add(time.Minute), Asserted: now.Add(time.Second)}); !errors.Is(err, mint.ErrTimes) {
		t.Error(err)
	}
	if _, err := s.Visa(mint.Visa{Expires: now.Add(time.Minute)}); !errors.Is(err, mint.ErrTimes) {
		t.Error(err)
	}
}

// Row 14, V077: what is passed on is a document token, and openid is a whole word of its scope.
func TestDocumentTokens(t *testing.T) {
	s := signer(t)
	object := map[string]any{"type": "x"}
	for name, c := range map[string]struct {
		header jose.Header
		claims map[string]any
		want   bool
	}{
		"document":            {jose.Header{Type: mint.TypeVisa, JKU: "https://a.example/jwks"}, map[string]any{"ga4gh_visa_v1": object}, true},
		"without typ":         {jose.Header{JKU: "https://a.example/jwks"}, map[string]any{"ga4gh_visa_v1": object}, true},
		"scope openidx":       {jose.Header{JKU: "https://a.example/jwks"}, map[string]any{"ga4gh_visa_v1": object, "scope": "openidx"}, true},
		"scope openid":        {jose.Header{JKU: "https://a.example/jwks"}, map[string]any{"ga4gh_visa_v1": object, "scope": "a openid"}, false},
		"access token":        {jose.Header{Type: "at+jwt"}, map[string]any{"ga4gh_visa_v1": object, "scope": "openid"}, false},
		"access token, jku":   {jose.Header{Type: "at+jwt", JKU: "x"}, map[string]any{"ga4gh_visa_v1": object}, false},
		"passport":            {jose.Header{Type: mint.TypePassport, JKU: "x"}, map[string]any{"ga4gh_visa_v1": object}, false},
		"no visa":             {jose.Header{Type: mint.TypeVisa, JKU: "x"}, map[string]any{}, false},
		"visa is a string":    {jose.Header{Type: mint.TypeVisa, JKU: "x"}, map[string]any{"ga4gh_visa_v1": "x"}, false},
		"scope is an array":   {jose.Header{JKU: "x"}, map[string]any{"ga4gh_visa_v1": object, "scope": []string{"openid"}}, false},
		"too large to be one": {jose.Header{JKU: "x"}, map[string]any{"ga4gh_visa_v1": object, "x": strings.Repeat("x", 16<<10)}, false},
	} {
		compact, err := s.Sign(c.header, c.claims)
		if err != nil {
			t.Fatal(err)
		}
		if got := mint.DocumentToken(trust.NewPassport(compact)); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if mint.DocumentToken(trust.NewPassport("a.b.c")) || mint.DocumentToken(trust.Passport{}) {
		t.Error("no token at all")
	}
}

func FuzzDocumentToken(f *testing.F) {
	f.Add("a.b.c")
	f.Add("eyJhbGciOiJFUzI1NiIsImprdSI6IngifQ.eyJnYTRnaF92aXNhX3YxIjp7fX0.AA")
	f.Fuzz(func(t *testing.T, compact string) {
		visa := trust.NewPassport(compact)
		if mint.DocumentToken(visa) && strings.Count(compact, ".") != 2 {
			t.Error("not compact")
		}
		if visa.Compact() != compact {
			t.Error("changed")
		}
	})
}

// Row 42: names are stable, say nothing, and differ for different identities.
func TestSubjects(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.SliceOfN(rapid.Byte(), 32, 64).Draw(t, "secret")
		s, err := mint.NewSubjects(secret)
		if err != nil {
			t.Fatal(err)
		}
		a := trust.Identity{Issuer: rapid.String().Draw(t, "iss"), Subject: rapid.StringN(1, -1, -1).Draw(t, "sub")}
		cut := rapid.IntRange(0, len(a.Subject)).Draw(t, "cut")
		b := trust.Identity{Issuer: a.Issuer + a.Subject[:cut], Subject: a.Subject[cut:]} // the same letters, another seam
		if (s.Of(a) == s.Of(b)) != (a == b) || len(s.Of(a)) != 43 {
			t.Error(a, b)
		}
		before := s.Of(a)
		secret[0] ^= 1 // the caller's copy
		if s.Of(a) != before {
			t.Error("the name changed")
		}
		other, _ := mint.NewSubjects(secret)
		if other.Of(a) == before {
			t.Error("the secret does not matter")
		}
	})
	if _, err := mint.NewSubjects(make([]byte, 31)); !errors.Is(err, mint.ErrSecret) {
		t.Error(err)
	}
}

// Row 44: split first, decode once, and every identity comes back as it was.
func TestLinkValuesComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		identities := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) trust.Identity {
			return trust.Identity{Issuer: rapid.String().Draw(t, "iss"), Subject: rapid.String().Draw(t, "sub")}
		}), 1, 4).Draw(t, "identities")
		pairs := strings.Split(mint.LinkValue(identities...), ";")
		if len(pairs) != len(identities) {
			t.Fatal(pairs)
		}
		for i, pair := range pairs {
			fields := strings.Split(pair, ",")
			if len(fields) != 2 {
				t.Fatal(pair)
			}
			sub, err1 := url.PathUnescape(fields[0])
			iss, err2 := url.PathUnescape(fields[1])
			if err1 != nil || err2 != nil || (trust.Identity{Issuer: iss, Subject: sub}) != identities[i] {
				t.Error(pair, identities[i])
			}
		}
	})
}

// Row 116: no e-mail address and no name in a visa.
func TestLintOfValues(t *testing.T) {
	for value, good := range map[string]bool{
		"https://dac.example/datasets/rarivitis": true, "https://dac.example/d@v2": true, "https://dac.example/d?a=1&b=%2F": true,
		"urn:x:y": true, "100%": true,
		"": false, "alice@uni.example": false, "https://dac.example/alice@uni.example": false, "https://dac.example/?who=alice%40uni.example": false,
		"mailto:alice": false, "MAILTO:alice": false, "Alice Example": false, "https://dac.example/Alice%20Example": false,
		"tab\there": false, "nul\x00": false, "bidi\u202e": false, "\xff": false, strings.Repeat("x", 255): true, strings.Repeat("x", 256): false,
	} {
		if err := mint.LintValue(value); (err == nil) != good || err != nil && !errors.Is(err, mint.ErrLint) {
			t.Errorf("%q: %v", value, err)
		}
	}
}

// Row 114: the source is the body's URL, stable; with a query string it warns.
func TestLintOfSources(t *testing.T) {
	for source, want := range map[string]string{
		"https://dac.example": "", "https://dac.example/dac": "", "https://dac.example/?dac=1": "warns",
		"http://dac.example": "refused", "dac.example": "refused", "https://": "refused", "https://no.organization": "refused", "https://no.organization/": "refused",
		"https://alice@uni.example": "refused", "https://a:b@dac": "refused", "https://dac.example/#x": "refused", "": "refused", "https://dac.example/a b": "refused",
	} {
		warning, err := mint.LintSource(source)
		got := ""
		if warning != "" {
			got = "warns"
		}
		if err != nil {
			got = "refused"
		}
		if got != want || err != nil && !errors.Is(err, mint.ErrLint) {
			t.Errorf("%q: %q, want %q: %v", source, got, want, err)
		}
	}
}
