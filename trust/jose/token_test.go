package jose

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
)

var (
	rsaKey = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	rsaTwo = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	ecKey  = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// rawRS256 signs exactly these header and payload texts, however wrong.
func rawRS256(key *rsa.PrivateKey, header, payload string) string {
	input := b64(header) + "." + b64(payload)
	sum := sha256.Sum256([]byte(input))
	return input + "." + b64(string(must(rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:]))))
}

func rsaPublic(kid string) trust.Key {
	return trust.Key{KeyID: kid, Algorithm: RS256, Public: rsaKey().Public()}
}

const goodHeader = `{"alg":"RS256","kid":"k1","typ":"JWT"}`
const goodPayload = `{"iss":"https://i.example","sub":"s"}`

func verify(token string, key trust.Key) error {
	parsed, err := Parse(token, 1<<20)
	if err != nil {
		return err
	}
	_, err = parsed.Verify(key, RS256, ES256)
	return err
}

func TestSignedTokensVerify(t *testing.T) {
	for _, signer := range []crypto.Signer{rsaKey(), ecKey()} {
		h := Header{Type: "vnd.ga4gh.visa+jwt", KeyID: "k1", JKU: "https://i.example/jwks"}
		token, err := Sign(h, []byte(goodPayload), signer)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := Parse(token, 4096)
		if err != nil {
			t.Fatal(err)
		}
		h.Algorithm = algorithmOf(signer.Public())
		if parsed.Header() != h {
			t.Errorf("header %+v", parsed.Header())
		}
		if issuer, err := parsed.UnverifiedIssuer(); err != nil || issuer != "https://i.example" {
			t.Errorf("iss %q, %v", issuer, err)
		}
		payload, err := parsed.Verify(trust.Key{KeyID: "k1", Public: signer.Public()}, RS256, ES256)
		if err != nil || string(payload) != goodPayload {
			t.Errorf("%s: %q, %v", h.Algorithm, payload, err)
		}
	}
}

// vectors.md section 1, and rows 3, 100 and 101.
func TestAlgorithmRefusals(t *testing.T) {
	pub := rsaKey().Public()
	der := must(x509.MarshalPKIXPublicKey(pub))
	mac := func(header string, secret []byte) string {
		input := b64(header) + "." + b64(goodPayload)
		h := hmac.New(sha256.New, secret)
		h.Write([]byte(input))
		return input + "." + b64(string(h.Sum(nil)))
	}
	input := func(alg string) string { return b64(`{"alg":"`+alg+`","kid":"k1"}`) + "." + b64(goodPayload) }
	wide := sha512.Sum512([]byte(input("RS512")))
	pss := sha256.Sum256([]byte(input("PS256")))
	edPublic, edPrivate, _ := ed25519.GenerateKey(rand.Reader)
	p384 := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	esWide := sha512.Sum384([]byte(input("ES384")))
	r, s, _ := ecdsa.Sign(rand.Reader, p384, esWide[:])
	cases := map[string]struct {
		token string
		key   trust.Key
		want  trust.Reason
	}{
		"V003 none, empty signature":    {b64(`{"alg":"none"}`) + "." + b64(goodPayload) + ".", rsaPublic("k1"), trust.ReasonMalformed},
		"V006 HS256 with DER":           {mac(`{"alg":"HS256","kid":"k1"}`, der), rsaPublic("k1"), trust.ReasonAlgorithm},
		"V006 HS256 with modulus":       {mac(`{"alg":"HS256","kid":"k1"}`, rsaKey().N.Bytes()), rsaPublic("k1"), trust.ReasonAlgorithm},
		"V007 HS256 and a secret key":   {mac(`{"alg":"HS256","kid":"k1"}`, []byte("s")), trust.Key{KeyID: "k1", Public: []byte("s")}, trust.ReasonAlgorithm},
		"V008 RS512":                    {input("RS512") + "." + b64(string(must(rsa.SignPKCS1v15(nil, rsaKey(), crypto.SHA512, wide[:])))), trust.Key{KeyID: "k1", Public: pub}, trust.ReasonAlgorithm},
		"V008 PS256":                    {input("PS256") + "." + b64(string(must(rsa.SignPSS(rand.Reader, rsaKey(), crypto.SHA256, pss[:], nil)))), trust.Key{KeyID: "k1", Public: pub}, trust.ReasonAlgorithm},
		"V011 EdDSA":                    {input("EdDSA") + "." + b64(string(ed25519.Sign(edPrivate, []byte(input("EdDSA"))))), trust.Key{KeyID: "k1", Public: edPublic}, trust.ReasonAlgorithm},
		"V011 ES384":                    {input("ES384") + "." + b64(string(r.Bytes())+string(s.Bytes())), trust.Key{KeyID: "k1", Public: p384.Public()}, trust.ReasonAlgorithm},
		"V011 ES256K":                   {input("ES256K") + "." + b64("signature"), trust.Key{KeyID: "k1", Public: pub}, trust.ReasonAlgorithm},
		"ES256 label, RSA key":          {rawRS256(rsaKey(), `{"alg":"ES256","kid":"k1"}`, goodPayload), trust.Key{KeyID: "k1", Public: pub}, trust.ReasonAlgorithm},
		"RS256 label, EC key":           {rawRS256(rsaKey(), goodHeader, goodPayload), trust.Key{KeyID: "k1", Public: ecKey().Public()}, trust.ReasonAlgorithm},
		"key for another algorithm":     {rawRS256(rsaKey(), goodHeader, goodPayload), trust.Key{KeyID: "k1", Algorithm: "PS256", Public: pub}, trust.ReasonAlgorithm},
		"private key as verifying key":  {rawRS256(rsaKey(), goodHeader, goodPayload), trust.Key{KeyID: "k1", Public: rsaKey()}, trust.ReasonAlgorithm},
		"no key":                        {rawRS256(rsaKey(), goodHeader, goodPayload), trust.Key{KeyID: "k1"}, trust.ReasonAlgorithm},
		"key of another kid":            {rawRS256(rsaKey(), goodHeader, goodPayload), rsaPublic("k2"), trust.ReasonUnknownKey},
		"another key":                   {rawRS256(rsaTwo(), goodHeader, goodPayload), rsaPublic("k1"), trust.ReasonSignature},
		"V045 1024 bit verifying key":   {rawRS256(weakKey(), goodHeader, goodPayload), trust.Key{KeyID: "k1", Public: weakKey().Public()}, trust.ReasonAlgorithm},
		"signature of another encoding": {strings.TrimRight(rawRS256(rsaKey(), goodHeader, goodPayload), "A") + "AA", rsaPublic("k1"), trust.ReasonSignature},
	}
	// V004: a label over a good RS256 signature, in every spelling.
	for _, alg := range []string{"none", "None", "NONE", "nOnE", "HS256", "foo", "rs256", "RS256 ", "RS384", ""} {
		cases[fmt.Sprintf("V004 alg %q over RS256", alg)] = struct {
			token string
			key   trust.Key
			want  trust.Reason
		}{rawRS256(rsaKey(), `{"alg":"`+alg+`","kid":"k1"}`, goodPayload), rsaPublic("k1"), trust.ReasonAlgorithm}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if err := verify(c.token, c.key); reasonOf(t, err) != c.want {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	t.Run("no algorithm allowed means none is", func(t *testing.T) {
		parsed := must(Parse(rawRS256(rsaKey(), goodHeader, goodPayload), 4096))
		if _, err := parsed.Verify(rsaPublic("k1")); reasonOf(t, err) != trust.ReasonAlgorithm {
			t.Error(err)
		}
	})
}

// weakKey is a fixed 1024-bit key, made for this test alone: the library no
// longer makes such keys.
func weakKey() *rsa.PrivateKey {
	const pkcs1 = "MIICXAIBAAKBgQCw5MTcfG7mL7z1aERFoPjza3qfasvXwraCxM2XRMpT589+7iI4qkN7oPuzZKRuxW6EGjVW3PQKQlNneTJ2zSMy/hUEiBUVNZNYRAsdrbGE7eEzt7Sbu9ZmoITkVt13WTmGZnKO66u11B2GUbS8+An43+MJ0b4gJGJy6hf3L2MgbwIDAQABAoGAamZwcx71pcd5JTO+PROCKwivDUyzp+ga17WA5EggWy/IA1VBiEwBo09FlrYmoepne1Y4VzM4JyOV/1tLG2JwlK4gtQRuQrDd4JXOciFuMD656/ac76CZO9yP3z9mHeygUhEwG5z/eaN2cTCatZW5MnCYDhLEud80NmhYxlFtJyECQQDrtifKHu5eEpfE+ygjm7L5tKVakT0uFsP/B1yPrTC2hf+DK2gZu7IFoDzbIkpzN4Y+Xw+eTeX1F6+7ylF2wJ5LAkEAwB6TWb+N8ueViHI6sKiTz8rrGNb1Gr6KkJTOhGtxMYhIxI80qJAKOs/CNXmmwU27YUJRJweC3i3q+TZa3kCf7QJBAIlbwj4v3jql3RmmPtLZVefcFIv9nUhxbc/9SzxS8dM7rRWUQvrT/T74DN6qUfZogetw3BolTP+RyQ/HK8fnIZcCQDyQZvs/+8u7XdRpzj6qpg43de2atiH8N0pk3sW36TMoN2hfjMYmwlLP8/VPqFX/3zZF5bdcEtFfwFdX30V5MfECQAfLnbHDob2dH7BFBkTctN18/6Z2jRDLTxDA8XvXZvZh2c6/PNFAorYjqSFu7gBJ9fhgfMHBSIZP5GogdXluxSM="
	return must(x509.ParsePKCS1PrivateKey(must(base64.StdEncoding.DecodeString(pkcs1))))
}

// vectors.md section 2, and rows 102 to 104.
func TestHeaderRules(t *testing.T) {
	attacker := rsaTwo()
	modulus := base64.RawURLEncoding.EncodeToString(attacker.N.Bytes())
	cases := map[string]struct {
		header string
		want   trust.Reason
	}{
		"plain":                     {goodHeader, ""},
		"V022 crit unknown":         {`{"alg":"RS256","kid":"k1","crit":["x"],"x":1}`, trust.ReasonHeader},
		"V022 crit absent header":   {`{"alg":"RS256","kid":"k1","crit":["x"]}`, trust.ReasonHeader},
		"V022 crit empty":           {`{"alg":"RS256","kid":"k1","crit":[]}`, trust.ReasonHeader},
		"V022 crit names a claim":   {`{"alg":"RS256","kid":"k1","crit":["exp"]}`, trust.ReasonHeader},
		"crit names alg":            {`{"alg":"RS256","kid":"k1","crit":["alg"]}`, trust.ReasonHeader},
		"crit null":                 {`{"alg":"RS256","kid":"k1","crit":null}`, trust.ReasonHeader},
		"crit escaped":              {`{"alg":"RS256","kid":"k1","\u0063rit":["x"]}`, trust.ReasonHeader},
		"V023 b64 false":            {`{"alg":"RS256","kid":"k1","b64":false}`, trust.ReasonHeader},
		"V023 b64 with crit":        {`{"alg":"RS256","kid":"k1","b64":false,"crit":["b64"]}`, trust.ReasonHeader},
		"b64 true":                  {`{"alg":"RS256","kid":"k1","b64":true}`, trust.ReasonHeader},
		"V012 zip":                  {`{"alg":"RS256","kid":"k1","zip":"DEF"}`, trust.ReasonHeader},
		"enc":                       {`{"alg":"RS256","kid":"k1","enc":"A128GCM"}`, trust.ReasonHeader},
		"alg twice":                 {`{"alg":"RS256","kid":"k1","alg":"RS256"}`, trust.ReasonMalformed},
		"unknown member twice":      {`{"alg":"RS256","kid":"k1","x":1,"x":2}`, trust.ReasonMalformed},
		"member twice further down": {`{"alg":"RS256","kid":"k1","x":{"y":1,"y":2}}`, trust.ReasonMalformed},
		"Alg is not alg":            {`{"Alg":"RS256","kid":"k1"}`, trust.ReasonAlgorithm},
		"alg number":                {`{"alg":1,"kid":"k1"}`, trust.ReasonHeader},
		"alg null":                  {`{"alg":null,"kid":"k1"}`, trust.ReasonHeader},
		"V018 kid number":           {`{"alg":"RS256","kid":7}`, trust.ReasonHeader},
		"V018 kid null":             {`{"alg":"RS256","kid":null}`, trust.ReasonHeader},
		"V018 kid with NUL":         {`{"alg":"RS256","kid":"k1\u0000"}`, trust.ReasonHeader},
		"V018 kid of 10 kB":         {`{"alg":"RS256","kid":"` + strings.Repeat("k", 10_000) + `"}`, trust.ReasonTooLarge},
		"V018 kid of 300 bytes":     {`{"alg":"RS256","kid":"` + strings.Repeat("k", 300) + `"}`, trust.ReasonHeader},
		"V018 kid as path":          {`{"alg":"RS256","kid":"../../dev/null"}`, trust.ReasonUnknownKey},
		"V018 kid as SQL":           {`{"alg":"RS256","kid":"' OR 1=1"}`, trust.ReasonUnknownKey},
		"V019 kid empty":            {`{"alg":"RS256","kid":""}`, trust.ReasonHeader},
		"typ number":                {`{"alg":"RS256","kid":"k1","typ":1}`, trust.ReasonHeader},
		"typ null":                  {`{"alg":"RS256","kid":"k1","typ":null}`, trust.ReasonHeader},
		"jku number":                {`{"alg":"RS256","kid":"k1","jku":1}`, trust.ReasonHeader},
		"array":                     {`["RS256"]`, trust.ReasonHeader},
		"null":                      {`null`, trust.ReasonAlgorithm},
		"two values":                {goodHeader + `{}`, trust.ReasonMalformed},
		"nesting":                   {`{"alg":"RS256","kid":"k1","x":` + strings.Repeat("[", 3000) + strings.Repeat("]", 3000) + `}`, trust.ReasonMalformed},
		"not UTF-8":                 {"{\"alg\":\"RS256\",\"kid\":\"k1\",\"x\":\"\xff\"}", trust.ReasonMalformed},
		"V017 well-formed jwk":      {`{"alg":"RS256","kid":"k1","jwk":{"kty":"RSA","e":"AQAB","n":"` + modulus + `"}}`, ""},
		"V017 x5u":                  {`{"alg":"RS256","kid":"k1","x5u":"http://169.254.169.254/"}`, ""},
		"V014 jku is not fetched":   {`{"alg":"RS256","kid":"k1","jku":"http://127.0.0.1:1/"}`, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if err := verify(rawRS256(rsaKey(), c.header, goodPayload), rsaPublic("k1")); reasonOf(t, err) != c.want {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	t.Run("V017 embedded key with its matching signature", func(t *testing.T) {
		header := `{"alg":"RS256","kid":"k1","jwk":{"kty":"RSA","kid":"k1","e":"AQAB","n":"` + modulus + `"}}`
		if err := verify(rawRS256(attacker, header, goodPayload), rsaPublic("k1")); reasonOf(t, err) != trust.ReasonSignature {
			t.Error(err)
		}
	})
}

// V001, V012, V034, row 1 and row 107: one serialisation, one spelling.
func TestCompactFormOnly(t *testing.T) {
	good := rawRS256(rsaKey(), goodHeader, goodPayload)
	segments := strings.Split(good, ".")
	// A final character whose unused bits are not zero names the same bytes.
	trailing := func(s string) string {
		last := strings.IndexByte(alphabet, s[len(s)-1])
		return s[:len(s)-1] + string(alphabet[last|1])
	}
	odd := b64(`{"alg":"RS256","kid":"k123"}`) // its length leaves unused bits
	cases := map[string]string{
		"V001 flattened JSON":     `{"payload":"` + segments[1] + `","protected":"` + segments[0] + `","signature":"` + segments[2] + `","iss":"https://i.example","sub":"admin","exp":99999999999}`,
		"V001 general JSON":       `{"payload":"` + segments[1] + `","signatures":[{"protected":"` + segments[0] + `","signature":"` + segments[2] + `"}]}`,
		"V012 five segments":      good + ".AA.AA",
		"V034 four segments":      good + ".AA",
		"V034 two segments":       segments[0] + "." + segments[1],
		"one segment":             segments[0],
		"empty":                   "",
		"dots":                    "..",
		"four dots":               "....",
		"detached payload":        segments[0] + ".." + segments[2],
		"no header":               "." + segments[1] + "." + segments[2],
		"padding":                 good + "==",
		"padding within":          segments[0] + "=." + segments[1] + "." + segments[2],
		"standard alphabet":       segments[0] + "." + segments[1] + ".+//" + segments[2],
		"space before":            " " + good,
		"line break after":        good + "\n",
		"CRLF within":             good[:20] + "\r\n" + good[20:],
		"NUL":                     good + "\x00",
		"not ASCII":               good + "é",
		"trailing bits":           trailing(odd) + "." + segments[1] + "." + segments[2],
		"length 1 mod 4":          good + "." + "A",
		"a signature of one char": segments[0] + "." + segments[1] + ".A",
	}
	if trailing(odd) == odd {
		t.Fatal("the case of trailing bits tests nothing")
	}
	for name, token := range cases {
		if _, err := Parse(token, 1<<20); reasonOf(t, err) != trust.ReasonMalformed {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Parse(good, len(good)); err != nil {
		t.Error("at the limit:", err)
	}
	if _, err := Parse(good, len(good)-1); reasonOf(t, err) != trust.ReasonTooLarge {
		t.Error("over the limit:", err)
	}
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

func TestIsTypeComparesMediaTypes(t *testing.T) {
	for typ, want := range map[string]bool{
		"vnd.ga4gh.passport+jwt": true, "application/vnd.ga4gh.passport+jwt": true, "APPLICATION/VND.GA4GH.Passport+JWT": true, // V025
		"": false, "JWT": false, "at+jwt": false, "vnd.ga4gh.visa+jwt": false, "vnd.ga4gh.passport+jwt; v=1": false, // V024
		"text/vnd.ga4gh.passport+jwt": false, "application/": false, "vnd.ga4gh.paſſport+jwt": false, " vnd.ga4gh.passport+jwt": false,
		"application/application/vnd.ga4gh.passport+jwt": false,
	} {
		if got := (Header{Type: typ}).IsType("vnd.ga4gh.passport+jwt"); got != want {
			t.Errorf("%q: %v", typ, got)
		}
	}
}

func TestPeekReadsIssuerAndCount(t *testing.T) {
	for payload, want := range map[string]struct {
		issuer string
		count  int
		reason trust.Reason
	}{
		`{"iss":"i","v":[1,[2,3],"4"]}`:       {"i", 3, ""},
		`{"v":[],"x":{"iss":"no"},"iss":"i"}`: {"i", 0, ""},
		`{"iss":"i"}`:                         {"i", 0, ""},
		`{"iss":"i","v":"text"}`:              {"i", 0, ""},
		`{}`:                                  {"", 0, trust.ReasonMissingClaim},
		`{"Iss":"i"}`:                         {"", 0, trust.ReasonMissingClaim},
		`{"iss":null}`:                        {"", 0, trust.ReasonBadClaim},
		`{"iss":""}`:                          {"", 0, trust.ReasonBadClaim},
		`{"iss":["i"]}`:                       {"", 0, trust.ReasonBadClaim},
		`{"iss":"` + strings.Repeat("i", 256) + `"}`: {"", 0, trust.ReasonBadClaim},
		`null`:               {"", 0, trust.ReasonMalformed}, // V032
		`[]`:                 {"", 0, trust.ReasonMalformed},
		`{"v":[1,`:           {"", 0, trust.ReasonMalformed},
		`{"v":[1 2]}`:        {"", 0, trust.ReasonMalformed},
		`{"x":1`:             {"", 0, trust.ReasonMalformed},
		`{"x":1,"x":2}`:      {"", 0, trust.ReasonMalformed},
		`{1:2}`:              {"", 0, trust.ReasonMalformed},
		"{\"iss\":\"\xff\"}": {"", 0, trust.ReasonMalformed},
	} {
		parsed := must(Parse(b64(goodHeader)+"."+b64(payload)+".AA", 1<<20))
		issuer, count, err := parsed.Peek("v")
		if issuer != want.issuer || count != want.count || reasonOf(t, err) != want.reason {
			t.Errorf("%.60s: %q %d %v", payload, issuer, count, err)
		}
	}
}

// V033 and row 106: nesting costs neither stack nor time, whatever it is in.
func TestDepthBombsAreRefusedAtOnce(t *testing.T) {
	for _, depth := range []int{33, 9_000, 20_000, 200_000} {
		for _, pair := range []string{"[]", "{}"} {
			open, end := pair[:1], pair[1:]
			if open == "{" {
				open = `{"a":`
			}
			bomb := strings.Repeat(open, depth) + "1" + strings.Repeat(end, depth)
			began := time.Now()
			var into any
			if err := Unmarshal([]byte(bomb), &into); reasonOf(t, err) != trust.ReasonMalformed || into != nil {
				t.Errorf("%d %s: %v", depth, pair, err)
			}
			parsed := must(Parse(b64(goodHeader)+"."+b64(`{"x":`+bomb+`,"iss":"i"}`)+".AA", 4<<20))
			if _, err := parsed.UnverifiedIssuer(); reasonOf(t, err) != trust.ReasonMalformed {
				t.Errorf("%d %s: %v", depth, pair, err)
			}
			if took := time.Since(began); took > 500*time.Millisecond {
				t.Errorf("%d %s took %v", depth, pair, took)
			}
		}
	}
	var into any
	if err := Unmarshal([]byte(strings.Repeat("[", 32)+strings.Repeat("]", 32)), &into); err != nil {
		t.Error("32 deep:", err)
	}
	if err := Unmarshal([]byte(`["\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\"]`), &into); err != nil {
		t.Error("brackets in a string are text:", err)
	}
}

func TestErrorsNeverEchoTheToken(t *testing.T) {
	secret := b64("a very secret payload")
	for _, token := range []string{secret, secret + "." + secret + "." + secret, b64(goodHeader) + "." + secret + "." + secret,
		b64(`{"alg":"`+secret+secret+secret+`"}`) + "." + b64(goodPayload) + "." + secret} {
		err := verify(token, rsaPublic("k1"))
		if err == nil || len(err.Error()) > 400 || bytes.Contains([]byte(err.Error()), []byte(secret+secret+secret)) {
			t.Errorf("%v", err)
		}
	}
}
