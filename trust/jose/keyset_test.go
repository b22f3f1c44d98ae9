package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/candignode/candignode/trust"
)

func u(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func rsaJWK(key *rsa.PublicKey, more string) string {
	return fmt.Sprintf(`{"kty":"RSA","n":%q,"e":%q%s}`, u(key.N.Bytes()), u(big.NewInt(int64(key.E)).Bytes()), more)
}

func ecJWK(more string) string {
	point := must(ecKey().PublicKey.Bytes())
	return fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":%q,"y":%q%s}`, u(point[1:33]), u(point[33:]), more)
}

func set(entries ...string) []byte { return []byte(`{"keys":[` + strings.Join(entries, ",") + `]}`) }

func TestKeySetRoundTrip(t *testing.T) {
	keys := []trust.Key{{KeyID: "r", Public: rsaKey().Public()}, {KeyID: "e", Algorithm: ES256, Public: ecKey().Public()}}
	text, err := MarshalKeySet(keys)
	if err != nil {
		t.Fatal(err)
	}
	got, rejected, err := ParseKeySet(text, false)
	if err != nil || len(rejected) != 0 || len(got) != 2 {
		t.Fatalf("%v %v %v", got, rejected, err)
	}
	for i, key := range got {
		thumbprint := must(Thumbprint(keys[i].Public))
		if key.KeyID != keys[i].KeyID || key.Algorithm != algorithmOf(keys[i].Public) || key.Thumbprint != thumbprint ||
			!key.Public.(interface{ Equal(crypto.PublicKey) bool }).Equal(keys[i].Public) {
			t.Errorf("%+v", key)
		}
	}
	for name, public := range map[string]crypto.PublicKey{"private": rsaKey(), "Ed25519": ed25519.PublicKey(make([]byte, 32)), "weak": weakKey().Public(), "nil": nil} {
		if _, err := MarshalKeySet([]trust.Key{{Public: public}}); err == nil {
			t.Errorf("a %s key was published", name)
		}
	}
	if text, err := MarshalKeySet(nil); err != nil || string(text) != `{"keys":[]}` {
		t.Errorf("%s %v", text, err)
	}
}

// The examples of RFC 7638, section 3.1, and RFC 8037, appendix A.3.
func TestThumbprintsOfTheStandards(t *testing.T) {
	const n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
	key := &rsa.PublicKey{N: new(big.Int).SetBytes(must(base64.RawURLEncoding.DecodeString(n))), E: 65537}
	if got := must(Thumbprint(key)); got != "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs" {
		t.Error(got)
	}
	ed := ed25519.PublicKey(must(base64.RawURLEncoding.DecodeString("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")))
	if got := must(Thumbprint(ed)); got != "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k" {
		t.Error(got)
	}
	//lint:ignore SA1019 a key off the curve can only be made so
	if _, err := Thumbprint(&ecdsa.PublicKey{Curve: elliptic.P256(), X: big.NewInt(1), Y: big.NewInt(1)}); err == nil {
		t.Error("a thumbprint of no point")
	}
}

// Rows 97 and 98, V045 to V049: a bad entry is skipped, a good one beside it works.
func TestKeyHygiene(t *testing.T) {
	pub := &rsaKey().PublicKey
	weak := &weakKey().PublicKey
	private := `,"d":"AQAB"`
	offCurve := fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":%q,"y":%q}`, u(make([]byte, 32)), u(make([]byte, 32)))
	even := &rsa.PublicKey{N: new(big.Int).Add(pub.N, big.NewInt(1)), E: pub.E}
	with := func(e int64) string {
		return fmt.Sprintf(`{"kty":"RSA","n":%q,"e":%q}`, u(pub.N.Bytes()), u(big.NewInt(e).Bytes()))
	}
	p384 := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	point := must(p384.PublicKey.Bytes())
	cases := map[string]struct {
		entry string
		alarm bool
	}{
		"V045 1024 bits":             {rsaJWK(weak, ""), false},
		"V045 1024 bits and private": {rsaJWK(weak, private), true},
		"V046 e=1":                   {with(1), false},
		"V046 e even":                {with(65536), false},
		"V046 e huge":                {with(1 << 40), false},
		"V046 e absent":              {fmt.Sprintf(`{"kty":"RSA","n":%q}`, u(pub.N.Bytes())), false},
		"V046 tiny modulus":          {`{"kty":"RSA","n":"AQAB","e":"AQAB"}`, false},
		"V046 even modulus":          {rsaJWK(even, ""), false},
		"V046 n with padding":        {`{"kty":"RSA","n":"` + base64.URLEncoding.EncodeToString(pub.N.Bytes()) + `","e":"AQAB"}`, false},
		"V046 off curve":             {offCurve, false},
		"V046 point at infinity":     {`{"kty":"EC","crv":"P-256","x":"","y":""}`, false},
		"short coordinate":           {strings.Replace(ecJWK(""), `"x":"`, `"x":"AAAA`, 1), false},
		"P-384":                      {fmt.Sprintf(`{"kty":"EC","crv":"P-384","x":%q,"y":%q}`, u(point[1:49]), u(point[49:])), false},
		"V047 private RSA":           {rsaJWK(pub, private), true},
		"V047 private by p":          {rsaJWK(pub, `,"p":"AQAB"`), true},
		"V047 private EC":            {ecJWK(private), true},
		"private member null":        {rsaJWK(pub, `,"d":null`), true},
		"V007 oct":                   {`{"kty":"oct","k":"c2VjcmV0"}`, true},
		"V007 RSA with k":            {rsaJWK(pub, `,"k":"c2VjcmV0"`), true},
		"V048 key_ops encrypt":       {rsaJWK(pub, `,"key_ops":["encrypt"]`), false},
		"key_ops empty":              {rsaJWK(pub, `,"key_ops":[]`), false},
		"key_ops text":               {rsaJWK(pub, `,"key_ops":"verify"`), false},
		"key_ops null":               {rsaJWK(pub, `,"key_ops":null`), false},
		"key_ops Verify":             {rsaJWK(pub, `,"key_ops":["Verify",""]`), false},
		"V009 use enc":               {rsaJWK(pub, `,"use":"enc"`), false},
		"V009 alg RSA-OAEP-256":      {rsaJWK(pub, `,"alg":"RSA-OAEP-256"`), false},
		"use other":                  {rsaJWK(pub, `,"use":"tls"`), false},
		"use null":                   {rsaJWK(pub, `,"use":null`), false},
		"alg RS512":                  {rsaJWK(pub, `,"alg":"RS512"`), false},
		"alg PS256":                  {rsaJWK(pub, `,"alg":"PS256"`), false},
		"alg ES256 on RSA":           {rsaJWK(pub, `,"alg":"ES256"`), false},
		"alg none":                   {rsaJWK(pub, `,"alg":"none"`), false},
		"alg empty":                  {rsaJWK(pub, `,"alg":""`), false},
		"alg number":                 {rsaJWK(pub, `,"alg":1`), false},
		"kid number":                 {rsaJWK(pub, `,"kid":1`), false},
		"kid empty":                  {rsaJWK(pub, `,"kid":""`), false},
		"kid long":                   {rsaJWK(pub, `,"kid":"`+strings.Repeat("k", 256)+`"`), false},
		"V049 unknown kty":           {`{"kty":"AKP","alg":"ML-DSA-44","pub":"AA"}`, false},
		"OKP":                        {`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`, false},
		"kty absent":                 {`{}`, false},
		"kty RSa":                    {strings.Replace(rsaJWK(pub, ""), `"RSA"`, `"RSa"`, 1), false},
		"member twice":               {rsaJWK(pub, `,"kid":"a","kid":"b"`), false},
		"entry is text":              {`"RSA"`, false},
		"entry is null":              {`null`, false},
		"entry is array":             {`[]`, false},
	}
	good := ecJWK(`,"kid":"good"`)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			keys, rejected, err := ParseKeySet(set(c.entry, good), false)
			if err != nil || len(keys) != 1 || keys[0].KeyID != "good" {
				t.Fatalf("%v %v", keys, err)
			}
			if len(rejected) != 1 || rejected[0].Alarm != c.alarm || rejected[0].Why == "" || len(rejected[0].Why) > 300 {
				t.Errorf("%+v", rejected)
			}
		})
	}
	for name, entry := range map[string]string{
		"plain": rsaJWK(pub, ""), "use sig": rsaJWK(pub, `,"use":"sig"`), "alg": rsaJWK(pub, `,"alg":"RS256"`),
		"key_ops": rsaJWK(pub, `,"key_ops":["verify","wrapKey"]`), "x5c": rsaJWK(pub, `,"x5c":["AA"],"x5t":"AA"`),
		"leading zero in n": strings.Replace(rsaJWK(pub, ""), u(pub.N.Bytes()), u(append([]byte{0}, pub.N.Bytes()...)), 1), "e=3": with(3),
	} {
		if keys, rejected, err := ParseKeySet(set(entry), false); err != nil || len(keys) != 1 || len(rejected) != 0 {
			t.Errorf("%s: %v %v %v", name, keys, rejected, err)
		}
	}
}

// V009 and row 97: the waiver forgives encryption marks, nothing else.
func TestWaiverOfKeyUse(t *testing.T) {
	pub := &rsaKey().PublicKey
	for more, want := range map[string]int{
		`,"use":"enc"`: 1, `,"alg":"RSA-OAEP-256"`: 1, `,"alg":"RSA-OAEP-256","use":"enc"`: 1, `,"alg":"RSA1_5"`: 1,
		`,"alg":"RS512"`: 0, `,"alg":"PS256"`: 0, `,"alg":"none"`: 0, `,"use":"tls"`: 0, `,"d":"AQAB"`: 0, `,"key_ops":["encrypt"]`: 0,
	} {
		keys, _, err := ParseKeySet(set(rsaJWK(pub, more)), true)
		if err != nil || len(keys) != want {
			t.Errorf("%s: %v %v", more, keys, err)
		}
		if len(keys) == 1 && keys[0].Algorithm != "" {
			t.Errorf("%s: algorithm %q", more, keys[0].Algorithm)
		}
	}
}

func TestOneKidForTwoKeysLeavesNeither(t *testing.T) {
	one, two := rsaJWK(&rsaKey().PublicKey, `,"kid":"k"`), ecJWK(`,"kid":"k"`)
	keys, rejected, err := ParseKeySet(set(one, two, ecJWK(`,"kid":"other"`)), false)
	if err != nil || len(keys) != 1 || keys[0].KeyID != "other" || len(rejected) != 2 || !rejected[0].Alarm {
		t.Errorf("%v %v %v", keys, rejected, err)
	}
	if keys, rejected, _ := ParseKeySet(set(one, one), false); len(keys) != 1 || len(rejected) != 0 {
		t.Errorf("the same key twice: %v %v", keys, rejected)
	}
	if keys, _, _ := ParseKeySet(set(rsaJWK(&rsaKey().PublicKey, ""), ecJWK("")), false); len(keys) != 2 {
		t.Errorf("keys without kid: %v", keys)
	}
}

func TestKeySetsThatAreRefusedWhole(t *testing.T) {
	many := make([]string, 33)
	for i := range many {
		many[i] = `{}`
	}
	for name, c := range map[string]struct {
		text string
		want trust.Reason
	}{
		"over 64 KiB":     {`{"keys":[]}` + strings.Repeat(" ", 64<<10), trust.ReasonTooLarge},
		"33 keys":         {string(set(many...)), trust.ReasonTooMany},
		"10 000 keys":     {`{"keys":[` + strings.Repeat("{},", 9999) + `{}]}`, trust.ReasonTooMany},
		"HTML":            {`<html></html>`, trust.ReasonMalformed},
		"empty":           {``, trust.ReasonMalformed},
		"null":            {`null`, trust.ReasonMalformed},
		"array":           {`[]`, trust.ReasonMalformed},
		"no keys":         {`{}`, trust.ReasonMalformed},
		"a bare JWK":      {ecJWK(""), trust.ReasonMalformed},
		"keys is null":    {`{"keys":null}`, trust.ReasonMalformed},
		"keys is object":  {`{"keys":{}}`, trust.ReasonMalformed},
		"keys twice":      {`{"keys":[],"keys":[` + ecJWK("") + `]}`, trust.ReasonMalformed},
		"keys twice, esc": {`{"keys":[],"\u006beys":[` + ecJWK("") + `]}`, trust.ReasonMalformed},
		"bytes after":     {`{"keys":[]}{}`, trust.ReasonMalformed},
		"broken off":      {`{"keys":[`, trust.ReasonMalformed},
		"broken off late": {`{"keys":[]`, trust.ReasonMalformed},
		"not UTF-8":       {"{\"keys\":[{\"kid\":\"\xff\"}]}", trust.ReasonMalformed},
		"deep":            {`{"keys":[` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `]}`, trust.ReasonMalformed},
	} {
		if keys, _, err := ParseKeySet([]byte(c.text), false); reasonOf(t, err) != c.want || keys != nil {
			t.Errorf("%s: %v %v", name, keys, err)
		}
	}
	if keys, rejected, err := ParseKeySet([]byte(`{"keys":[]}`), false); err != nil || len(keys)+len(rejected) != 0 {
		t.Errorf("an empty set says that no key is good: %v", err)
	}
	if _, rejected, err := ParseKeySet(set(many[:32]...), false); err != nil || len(rejected) != 32 {
		t.Errorf("32 keys: %v", err)
	}
}

func TestRejectedKeysAreShownSafely(t *testing.T) {
	_, rejected, err := ParseKeySet(set(`{"kty":"oct","kid":"\u202e\u0000`+strings.Repeat("k", 5000)+`"}`), false)
	if err != nil || len(rejected) != 1 || len(rejected[0].KeyID) > 200 || strings.ContainsAny(rejected[0].KeyID, "\u202e\x00") {
		t.Errorf("%+v %v", rejected, err)
	}
}
