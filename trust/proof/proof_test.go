package proof

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/passport/passporttest"
)

const (
	secret = "an-access-token"
	asked  = "https://uhn.example/network/beacon/g_variants"
)

var (
	now  = time.Unix(1_800_000_000, 0).UTC()
	boot = now.Add(-time.Hour)
)

var (
	researcher = sync.OnceValue(func() *passporttest.Prover { return newProver(jose.ES256) })
	thief      = sync.OnceValue(func() *passporttest.Prover { return newProver(jose.ES256) })
)

func newProver(algorithm string) *passporttest.Prover {
	p, err := passporttest.NewProver(algorithm)
	if err != nil {
		panic(err)
	}
	return p
}

// good are the claims of a proof that holds; tests change them.
func good(change ...func(*passporttest.ProofClaims)) passporttest.ProofClaims {
	c := passporttest.ProofClaims{Method: "POST", URL: asked, IssuedAt: now, Token: secret}
	for _, f := range change {
		f(&c)
	}
	return c
}

func shown(headers ...string) Proof {
	return Proof{Headers: headers, Method: "POST", URL: asked, Token: trust.NewAccessToken(secret), Now: now}
}

func more(name string, value any) func(*passporttest.ProofClaims) {
	return func(c *passporttest.ProofClaims) { c.More = passporttest.Claims{name: value} }
}

// want holds an error against what was expected: "" no error, "proof" a refusal,
// "nonce" one that asks for a nonce.
func want(t *testing.T, name string, err error, expected string) {
	t.Helper()
	got := ""
	if err != nil {
		refusal, ok := errors.AsType[*Error](err)
		if !ok || refusal.Reason != trust.ReasonProof || refusal.Detail == "" || len(err.Error()) > 600 || strings.Contains(err.Error(), secret) {
			t.Fatalf("%s: %v is a %T", name, err, err)
		}
		got = "proof"
		if errors.Is(err, ErrUseNonce) {
			got = "nonce"
		}
	}
	if got != expected {
		t.Errorf("%s: %v, want %q", name, err, expected)
	}
}

// Row 109: a valid proof, of both kinds of key, shows which key its sender holds.
func TestGoodProofShowsItsKey(t *testing.T) {
	for _, algorithm := range []string{jose.RS256, jose.ES256} {
		prover := newProver(algorithm)
		jkt, err := New(Options{Boot: boot}).Check(shown(prover.Proof(good())))
		if err != nil || jkt != prover.JKT() {
			t.Errorf("%s: %q, %v", algorithm, jkt, err)
		}
	}
}

// Row 109: everything that section 4.3 of RFC 9449 asks for; V098, all but the bound
// token, which trust/passport has.
func TestProofsThatDoNotHold(t *testing.T) {
	proof := func(change ...func(*passporttest.ProofClaims)) Proof {
		return shown(researcher().Proof(good(change...)))
	}
	whole := researcher().Proof(good())
	cut := whole[:len(whole)-8] + "AAAAAAAA"
	other := proof()
	other.Token = trust.NewAccessToken("another-token")
	none := proof()
	none.Token = trust.AccessToken{}
	get := proof()
	get.Method = "GET"
	lower := proof()
	lower.Method = "post"
	for name, p := range map[string]Proof{
		"no header":               shown(),
		"V098 two headers":        shown(whole, whole),
		"two headers in one":      shown(whole + ", " + whole),
		"nothing in the header":   shown(""),
		"not a token":             shown("proof"),
		"signature":               shown(cut),
		"V098 private key":        shown(privateProof(t)),
		"V098 ath of another":     other,
		"no ath":                  proof(more("ath", nil)),
		"ath is a number":         proof(more("ath", 7)),
		"ath is empty":            proof(more("ath", "")),
		"ath without a token":     none,
		"V098 htm":                get,
		"htm in another case":     lower,
		"no htm":                  proof(more("htm", nil)),
		"V098 htu":                proof(more("htu", "https://bcgsc.example/network/beacon/g_variants")),
		"no htu":                  proof(more("htu", nil)),
		"no jti":                  proof(more("jti", nil)),
		"jti empty":               proof(more("jti", "")),
		"jti is a number":         proof(more("jti", 1)),
		"jti too long":            proof(more("jti", strings.Repeat("j", maxIDBytes+1))),
		"no iat":                  proof(more("iat", nil)),
		"iat is text":             proof(more("iat", "1800000000")),
		"iat in milliseconds":     proof(more("iat", now.UnixMilli())),
		"nonce empty":             proof(more("nonce", "")),
		"nonce is null":           proof(more("nonce", []string{})),
		"expired":                 proof(more("exp", now.Unix())),
		"not valid yet":           proof(more("nbf", now.Unix()+31)),
		"larger than any is read": proof(more("x", strings.Repeat("x", maxProofBytes))),
	} {
		_, err := New(Options{Boot: boot}).Check(p)
		want(t, name, err, "proof")
	}
	bare := shown(researcher().Proof(good(func(c *passporttest.ProofClaims) { c.Token = "" })))
	bare.Token = trust.AccessToken{}
	for name, p := range map[string]Proof{
		"as it should be":        proof(),
		"at a token endpoint":    bare,
		"with an end":            proof(more("exp", now.Unix()+1)),
		"valid already":          proof(more("nbf", now.Unix()+30)),
		"with further claims":    proof(more("iss", "client")),
		"a long name of its own": proof(more("jti", strings.Repeat("j", maxIDBytes))),
	} {
		_, err := New(Options{Boot: boot}).Check(p)
		want(t, name, err, "")
	}
}

// privateProof is well signed, and gives its key away.
func privateProof(t *testing.T) string {
	t.Helper()
	whole := researcher().Proof(good())
	header, rest, _ := strings.Cut(whole, ".")
	text, err := base64.RawURLEncoding.DecodeString(header)
	if err != nil {
		t.Fatal(err)
	}
	private := strings.Replace(string(text), `"jwk":{`, `"jwk":{"d":"AAAA",`, 1)
	if private == string(text) {
		t.Fatal("no jwk in the header")
	}
	return base64.RawURLEncoding.EncodeToString([]byte(private)) + "." + rest
}

// Row 109: the address is compared without query and fragment, and no further.
func TestAddressOfProof(t *testing.T) {
	for htu, same := range map[string]bool{
		asked:                          true,
		asked + "?granularity=count#x": true,
		"HTTPS://UHN.Example:443/network/beacon/g_variants":  true,
		"https://uhn.example:/network/beacon/g_variants":     true,
		"http://uhn.example/network/beacon/g_variants":       false,
		"https://uhn.example:8443/network/beacon/g_variants": false,
		"https://uhn.example/network/beacon/g_variants/":     false,
		"https://uhn.example/Network/beacon/g_variants":      false,
		"https://uhn.example/network/beacon/%67_variants":    false,
		"https://uhn.example/network/./beacon/g_variants":    false,
		"https://uhn.example//network/beacon/g_variants":     false,
		"https://uhn.example.evil.example/network":           false,
		"https://me@uhn.example/network/beacon/g_variants":   false,
		"https://uhn.example./network/beacon/g_variants":     false,
		"//uhn.example/network/beacon/g_variants":            false,
		"/network/beacon/g_variants":                         false,
		"https:uhn.example/network/beacon/g_variants":        false,
		"ftp://uhn.example/network/beacon/g_variants":        false,
		" " + asked: false,
		"https://uhn.example::443/network/beacon/g_variants":    false,
		asked + "?" + strings.Repeat("q", maxURLBytes):          false,
		"https://uhn.example/network/beacon/g_variants\u200b":   false,
		"https://uhn.example\\@evil.example/network/g_variants": false,
		"https://\u212aelvin.example/network/beacon/g_variants": false,
		"https://uhn.example:0443/network/beacon/g_variants":    false,
		"https://uhn.example/network/beacon/g_variants;x=1":     false,
		"https://uhn.example/network/beacon/g_variants%3Fx":     false,
		"https://[::1]:443/network/beacon/g_variants":           false,
		"javascript://uhn.example/network/beacon/g_variants":    false,
		"": false,
	} {
		_, err := New(Options{Boot: boot}).Check(shown(researcher().Proof(good(func(c *passporttest.ProofClaims) { c.More = passporttest.Claims{"htu": htu} }))))
		if (err == nil) != same {
			t.Errorf("%q: %v", htu, err)
		}
	}
	for own, htu := range map[string]string{"https://uhn.example": "https://uhn.example/", "http://[::1]:80/x": "http://[::1]/x"} {
		if err := sameAddress(htu, own); err != nil {
			t.Errorf("%s and %s: %v", own, htu, err)
		}
	}
	if sameAddress("nonsense", "nonsense") == nil {
		t.Error("what is no address names this node")
	}
}

// Row 109: iat lies in a short window on both sides; outside of it a nonce is wanted.
func TestWindowOfProof(t *testing.T) {
	for name, each := range map[string]struct {
		at   time.Time
		want string
	}{
		"just now":          {now, ""},
		"a minute old":      {now.Add(-maxAge), ""},
		"older":             {now.Add(-maxAge - time.Second), "nonce"},
		"a little ahead":    {now.Add(maxAhead), ""},
		"further ahead":     {now.Add(maxAhead + time.Second), "nonce"},
		"an hour ahead":     {now.Add(time.Hour), "nonce"},
		"years ago":         {now.Add(-20_000 * time.Hour), "nonce"},
		"from before start": {boot, "nonce"},
	} {
		_, err := New(Options{Boot: boot}).Check(shown(researcher().Proof(good(func(c *passporttest.ProofClaims) { c.IssuedAt = each.at }))))
		want(t, name, err, each.want)
	}
}

// Row 109: after a restart nobody knows which proofs were used, so proofs from before
// are not taken, those of a clock that is ahead included; a nonce gets everybody in.
func TestProofsFromBeforeTheRestart(t *testing.T) {
	proof := shown(researcher().Proof(good()))
	if _, err := New(Options{Boot: boot}).Check(proof); err != nil {
		t.Fatal(err)
	}
	started := now.Add(10 * time.Second)
	checker := New(Options{Boot: started})
	proof.Now = started.Add(time.Second)
	_, err := checker.Check(proof)
	want(t, "used before the restart", err, "nonce")

	ahead := shown(researcher().Proof(good(func(c *passporttest.ProofClaims) { c.IssuedAt = started.Add(maxAhead - time.Second) })))
	ahead.Now = started
	_, err = checker.Check(ahead)
	want(t, "dated after the restart by a clock that is ahead", err, "nonce")

	withNonce := shown(researcher().Proof(good(func(c *passporttest.ProofClaims) { c.Nonce = checker.Nonce(started) })))
	withNonce.Now = started
	_, err = checker.Check(withNonce)
	want(t, "with a nonce", err, "")
	_, err = checker.Check(withNonce)
	want(t, "with a nonce, again", err, "proof")

	late := shown(researcher().Proof(good(func(c *passporttest.ProofClaims) { c.IssuedAt = started.Add(time.Minute) })))
	late.Now = started.Add(time.Minute)
	_, err = checker.Check(late)
	want(t, "a minute after the restart", err, "")
	first := shown(researcher().Proof(good()))
	_, err = New(Options{}).Check(first)
	want(t, "a start that nobody told is now", err, "nonce")
}

// Row 109: a nonce is good for its slot and the next, in this process only, and stands
// for the clock of a client that is wrong by years.
func TestNonces(t *testing.T) {
	checker := New(Options{Boot: boot})
	nonce := checker.Nonce(now)
	proofAt := func(nonce string, at time.Time) Proof {
		p := shown(researcher().Proof(good(func(c *passporttest.ProofClaims) { c.Nonce, c.IssuedAt = nonce, now.Add(-20_000*time.Hour) })))
		p.Now = at
		return p
	}
	for name, each := range map[string]struct {
		nonce string
		at    time.Time
		want  string
	}{
		"at once":            {nonce, now, ""},
		"in the next slot":   {nonce, now.Add(2*nonceSlot - time.Second), ""},
		"after that":         {nonce, now.Add(2 * nonceSlot), "nonce"},
		"of another process": {New(Options{Boot: boot}).Nonce(now), now, "nonce"},
		"of a slot to come":  {New(Options{Boot: boot}).nonces.of(2 * time.Hour), now, "nonce"},
		"made up":            {"AAAAAAAAAAAAAAAAAAAAAA", now, "nonce"},
		"shortened":          {nonce[:10], now, "nonce"},
		"with more behind":   {nonce + "AA", now, "nonce"},
		"not canonical":      {nonce + "=", now, "nonce"},
	} {
		c := New(Options{Boot: boot})
		c.nonces = checker.nonces
		_, err := c.Check(proofAt(each.nonce, each.at))
		want(t, name, err, each.want)
	}
	if slot := checker.nonces.of(2 * time.Hour); checker.nonces.good(slot, time.Hour) {
		t.Error("a nonce of the future is good")
	}
	// A nonce does not make a proof good for anything else.
	p := proofAt(nonce, now)
	p.Method = "GET"
	_, err := checker.Check(p)
	want(t, "a nonce and another method", err, "proof")
	expired := shown(researcher().Proof(good(func(c *passporttest.ProofClaims) { c.Nonce, c.More = nonce, passporttest.Claims{"exp": 1} })))
	_, err = checker.Check(expired)
	want(t, "a nonce and an end", err, "proof")
}

// Row 109: two steps. Whoever cannot show a good token takes no room.
func TestExaminedProofIsUsedOnce(t *testing.T) {
	checker := New(Options{Boot: boot})
	proof := shown(researcher().Proof(good()))
	held, err := checker.Examine(proof)
	if err != nil || held.JKT != researcher().JKT() {
		t.Fatal(held, err)
	}
	if _, err := checker.Examine(proof); err != nil || checker.memory.total != 0 {
		t.Errorf("examining remembers: %v", err)
	}
	want(t, "first use", checker.Use(held, now), "")
	want(t, "second use", checker.Use(held, now), "proof")
	want(t, "nothing", checker.Use(Held{}, now), "proof")
	slow, err := checker.Examine(shown(researcher().Proof(good())))
	if err != nil {
		t.Fatal(err)
	}
	want(t, "long after", checker.Use(slow, now.Add(memorySlice+time.Second)), "nonce")
}

// Row 110: the example of RFC 8705 has no certificate with it, so the sum is made anew.
func TestCertificateThumbprint(t *testing.T) {
	sum := sha256.Sum256([]byte("certificate"))
	if got := CertificateThumbprint([]byte("certificate")); got != base64.RawURLEncoding.EncodeToString(sum[:]) || len(got) != 43 {
		t.Error(got)
	}
	if CertificateThumbprint(nil) != "" || CertificateThumbprint([]byte{}) != "" {
		t.Error("no certificate has a thumbprint")
	}
}
