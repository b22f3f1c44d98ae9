package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	stdjson "encoding/json"
	"strings"
	"testing"

	"github.com/candignode/candignode/trust"
)

// jwkOf is a public key as a header carries it.
func jwkOf(public crypto.PublicKey) string {
	return string(must(stdjson.Marshal(must(publicMembers(public)))))
}

func proofHeader(jwk string) string { return `{"typ":"dpop+jwt","alg":"ES256","jwk":` + jwk + `}` }

// Row 109: what SignEmbedded makes is what OpenEmbedded takes, for both kinds of
// key, whatever the case of the type.
func TestTokensThatCarryTheirKey(t *testing.T) {
	for _, key := range []crypto.Signer{rsaKey(), ecKey()} {
		token, err := SignEmbedded("dpop+jwt", []byte(goodPayload), key)
		if err != nil {
			t.Fatal(err)
		}
		opened, err := OpenEmbedded(token, "dpop+jwt", 4096)
		if err != nil || string(opened.Payload) != goodPayload || opened.Key.KeyID != "" ||
			opened.Key.Thumbprint != must(Thumbprint(key.Public())) || opened.Header.Algorithm != algorithmOf(key.Public()) {
			t.Errorf("%T: %v %+v", key, err, opened)
		}
	}
	for _, header := range []string{
		`{"typ":"application/DPoP+JWT","alg":"ES256","kid":"any","jwk":` + jwkOf(ecKey().Public()) + `}`,
		strings.Replace(proofHeader(jwkOf(ecKey().Public())), `{"crv"`, `{"kid":"other","alg":"ES256","use":"sig","crv"`, 1),
	} {
		if opened, err := OpenEmbedded(rawES256(ecKey(), header, goodPayload), "dpop+jwt", 4096); err != nil || opened.Key.KeyID != "" {
			t.Errorf("%s: %v", header, err)
		}
	}
}

// The example of RFC 9449, section 4.1: a foreign program's proof.
func TestProofOfTheStandard(t *testing.T) {
	const proof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19" +
		".eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ" +
		".2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
	opened, err := OpenEmbedded(proof, "dpop+jwt", 4096)
	if err != nil || opened.Key.Thumbprint != "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" {
		t.Fatal(err, opened.Key.Thumbprint) // the thumbprint is the cnf.jkt of section 6.1
	}
}

// Rows 100 to 104 and 109; V017, V098: no private key, no other kind of token, no
// other algorithm, and no signature of another key.
func TestTokensThatDoNotCarryAUsableKey(t *testing.T) {
	public := jwkOf(ecKey().Public())
	other := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	edPublic, edPrivate, _ := ed25519.GenerateKey(rand.Reader)
	edInput := b64(`{"typ":"dpop+jwt","alg":"EdDSA","jwk":`+jwkOf(edPublic)+`}`) + "." + b64(goodPayload)
	private := func(member string) string {
		return proofHeader(strings.TrimSuffix(public, "}") + "," + member + "}")
	}
	type refusal struct {
		token string
		want  trust.Reason
	}
	cases := map[string]refusal{
		"signed by another key": {rawES256(other, proofHeader(public), goodPayload), trust.ReasonSignature},
		"EdDSA":                 {edInput + "." + b64(string(ed25519.Sign(edPrivate, []byte(edInput)))), trust.ReasonAlgorithm},
		"too large":             {rawES256(ecKey(), proofHeader(public), `{"a":"`+strings.Repeat("x", 4096)+`"}`), trust.ReasonTooLarge},
		"two parts":             {"a.b", trust.ReasonMalformed},
		"RSA key":               {rawES256(ecKey(), proofHeader(jwkOf(rsaKey().Public())), goodPayload), trust.ReasonAlgorithm},
	}
	for name, each := range map[string]struct {
		header string
		want   trust.Reason
	}{
		"no jwk":          {`{"typ":"dpop+jwt","alg":"ES256"}`, trust.ReasonHeader},
		"jwk null":        {proofHeader("null"), trust.ReasonHeader},
		"jwk text":        {proofHeader(`"{}"`), trust.ReasonHeader},
		"jwk empty":       {proofHeader("{}"), trust.ReasonHeader},
		"jwk twice":       {`{"typ":"dpop+jwt","alg":"ES256","jwk":` + public + `,"jwk":` + public + `}`, trust.ReasonMalformed},
		"private d":       {private(`"d":"AAAA"`), trust.ReasonHeader},
		"private d, null": {private(`"d":null`), trust.ReasonHeader},
		"private p":       {private(`"p":"AAAA"`), trust.ReasonHeader},
		"symmetric k":     {private(`"k":"AAAA"`), trust.ReasonHeader},
		"oct":             {proofHeader(`{"kty":"oct","k":"AAAA"}`), trust.ReasonHeader},
		"off the curve":   {proofHeader(`{"kty":"EC","crv":"P-256","x":"` + b64(strings.Repeat("x", 32)) + `","y":"` + b64(strings.Repeat("y", 32)) + `"}`), trust.ReasonHeader},
		"for encryption":  {private(`"use":"enc"`), trust.ReasonHeader},
		"another alg":     {private(`"alg":"ES384"`), trust.ReasonHeader},
		"no type":         {`{"alg":"ES256","jwk":` + public + `}`, trust.ReasonWrongType},
		"type JWT":        {`{"typ":"JWT","alg":"ES256","jwk":` + public + `}`, trust.ReasonWrongType},
		"none":            {`{"typ":"dpop+jwt","alg":"none","jwk":` + public + `}`, trust.ReasonAlgorithm},
		"HS256":           {`{"typ":"dpop+jwt","alg":"HS256","jwk":` + public + `}`, trust.ReasonAlgorithm},
		"RS256 label":     {`{"typ":"dpop+jwt","alg":"RS256","jwk":` + public + `}`, trust.ReasonAlgorithm},
		"crit":            {`{"typ":"dpop+jwt","alg":"ES256","crit":["jwk"],"jwk":` + public + `}`, trust.ReasonHeader},
	} {
		cases[name] = refusal{rawES256(ecKey(), each.header, goodPayload), each.want}
	}
	for name, each := range cases {
		if _, err := OpenEmbedded(each.token, "dpop+jwt", 4096); reasonOf(t, err) != each.want {
			t.Errorf("%s: %v, want %s", name, err, each.want)
		}
	}
}

// Row 104; V017: for every other kind of token the key that it carries stays what it
// was, read over, and nobody may ask for another kind by OpenEmbedded.
func TestOtherTokensNeverBringTheirKey(t *testing.T) {
	header := `{"alg":"ES256","kid":"k1","typ":"JWT","jwk":` + jwkOf(ecKey().Public()) + `}`
	token := rawES256(ecKey(), header, goodPayload)
	for _, typ := range []string{"JWT", "", "at+jwt", "vnd.ga4gh.passport+jwt", "entity-statement+jwt"} {
		if _, err := OpenEmbedded(token, typ, 4096); reasonOf(t, err) != trust.ReasonWrongType {
			t.Errorf("%q was opened with the key that it carries: %v", typ, err)
		}
		if _, err := SignEmbedded(typ, []byte(goodPayload), ecKey()); reasonOf(t, err) != trust.ReasonWrongType {
			t.Errorf("%q was signed with its key inside: %v", typ, err)
		}
	}
	other := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	if err := verify(token, trust.Key{KeyID: "k1", Public: other.Public()}); reasonOf(t, err) != trust.ReasonSignature {
		t.Errorf("a token brought its own key: %v", err)
	}
	_, edPrivate, _ := ed25519.GenerateKey(rand.Reader)
	for _, key := range []crypto.Signer{nil, edPrivate} {
		if _, err := SignEmbedded("dpop+jwt", nil, key); reasonOf(t, err) != trust.ReasonAlgorithm {
			t.Errorf("%T: %v", key, err)
		}
	}
}

// FuzzOpenEmbedded: whatever a header and payload say, what passes names its type,
// ES256 and no private member, and comes back byte for byte.
func FuzzOpenEmbedded(f *testing.F) {
	public := jwkOf(ecKey().Public())
	for _, header := range []string{
		`{"typ":"dpop+jwt","alg":"ES256","jwk":KEY}`, `{"typ":"dpop+jwt","alg":"ES256","jwk":KEY,"jwk":1}`, `{"typ":"JWT","alg":"ES256","jwk":KEY}`,
		`{"typ":"dpop+jwt","alg":"ES256","jwk":{"d":"AA"}}`, `{"typ":"dpop+jwt","alg":"none","jwk":KEY}`, `{"typ":"dpop+jwt","alg":"ES256","kid":"k","jwk":KEY,"x5c":[]}`,
	} {
		f.Add(header, goodPayload, "")
	}
	f.Add("", "", "a.b.c")
	f.Fuzz(func(t *testing.T, header, payload, unsigned string) {
		if _, err := OpenEmbedded(unsigned, "dpop+jwt", 1<<16); err != nil {
			reasonOf(t, err)
		}
		header = strings.ReplaceAll(header, "KEY", public) // of this run
		opened, err := OpenEmbedded(rawES256(ecKey(), header, payload), "dpop+jwt", 1<<16)
		if err != nil {
			reasonOf(t, err)
			return
		}
		var seen struct {
			Alg string
			JWK map[string]any
		}
		if err := stdjson.Unmarshal([]byte(header), &seen); err != nil || seen.Alg != "ES256" {
			t.Errorf("%q passed: %v", header, err)
		}
		if _, there := seen.JWK["d"]; there || string(opened.Payload) != payload || opened.Key.Thumbprint != must(Thumbprint(ecKey().Public())) {
			t.Errorf("%q passed: %+v", header, opened)
		}
	})
}
