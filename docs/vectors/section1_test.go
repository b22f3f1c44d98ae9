package vectors_test

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
)

func headWith(alg, kid, typ string) obj { return obj{"alg": alg, "kid": kid, "typ": typ} }

const (
	passportTyp = "vnd.ga4gh.passport+jwt"
	visaTyp     = "vnd.ga4gh.visa+jwt"
)

func split3(compact string) (header, payload, signature string) {
	parts := strings.Split(compact, ".")
	return parts[0], parts[1], parts[2]
}

func (b *book) serialisation() {
	b.section("1-serialisation.json", "1. Serialisation and algorithm", "What is a compact JWS at all, and what signs it.")
	good := b.pass(passportOf())
	h, p, s := split3(good)
	grant := b.grant()
	gh, gp, gs := split3(grant)

	b.at("V001")
	outer := obj{"iss": brokerURL, "sub": "admin", "iat": now - 60, "exp": now + 999999, "ga4gh_passport_v1": []string{}}
	b.passport("flattened JSON with outer, unsigned members", rows(1), "malformed", outer.with("payload", p, "protected", h, "signature", s).text())
	b.visa("flattened JSON as visa", rows(1, 12), "malformed", visaOf(objectOf()).with("payload", gp, "protected", gh, "signature", gs, "sub", "admin").text())
	b.passport("general JSON serialisation", rows(1), "malformed", obj{"payload": p, "signatures": []obj{{"protected": h, "signature": s}}}.text())
	b.passport("flattened JSON without outer members", rows(1), "malformed", obj{"payload": p, "protected": h, "signature": s}.text())

	b.at("V003")
	for _, alg := range []string{"none", "None", "NONE", "nOnE"} {
		unsigned := b64([]byte(headOfPassport().with("alg", alg).text())) + "." + p + "."
		b.passport("alg "+alg+" with an empty signature", rows(3, 101), "malformed", unsigned)
		b.passport("alg "+alg+" with a signature of one byte", rows(3, 101), "algorithm", unsigned+"AA")
		b.visa("visa with alg "+alg+" and a signature of one byte", rows(18, 101), "algorithm", b64([]byte(headOfVisa().with("alg", alg).text()))+"."+gp+".AA")
	}

	b.at("V004")
	rs := headWith("RS256", "rsa1", passportTyp)
	for _, alg := range []string{"none", "HS256", "foo", "ES256", "rs256", "RS256 "} {
		reason := "algorithm"
		b.passport("alg says "+alg+" over a good RS256 signature", rows(100), reason, b.keys.sign("RS256", "broker-rsa", rs.with("alg", alg).text(), passportOf().text()))
	}
	b.passport("no alg over a good signature", rows(100), "algorithm", b.passHead(headOfPassport().without("alg")))
	b.passport("alg is empty", rows(100), "algorithm", b.passHead(headOfPassport().with("alg", "")))
	b.passport("alg is a list", rows(100), "header", b.passHead(headOfPassport().with("alg", []string{"ES256"})))
	b.visa("visa: alg says none over a good signature", rows(18, 100), "algorithm", b.dacHead(headOfVisa().with("alg", "none")))
	b.passport("RS256 over the key of ES256", rows(97, 100), "algorithm", b.keys.sign("RS256", "broker-rsa", headWith("RS256", "ec1", passportTyp).text(), passportOf().text()))

	b.at("V006")
	public, ok := b.keys["broker-rsa"].Public().(*rsa.PublicKey)
	if !ok {
		panic("broker-rsa")
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		panic(err)
	}
	head := headWith("HS256", "rsa1", passportTyp).text()
	b.passport("HS256 keyed with the RSA public key as PEM", rows(101), "algorithm", hs256(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), head, passportOf().text()))
	b.passport("HS256 keyed with the RSA public key as DER", rows(101), "algorithm", hs256(der, head, passportOf().text()))
	b.passport("HS256 keyed with the RSA modulus", rows(101), "algorithm", hs256(public.N.Bytes(), head, passportOf().text()))

	b.at("V007")
	b.keySet("the issuer publishes an oct key", rows(97), keySetOf(b.badKeys()[1]), false)
	b.add(vector{
		Title: "a visa signed HS256 with the oct key that its issuer publishes", Rows: rows(97, 101), Kind: kindPassports, Configuration: "fetched",
		Request: request{Passports: plains(b.pass(passportOf(hs256([]byte(sharedSecret), headOfVisa().with("alg", "HS256", "kid", "oct", "jku", badkeysURL+"/jwks").text(), badVisa().text()))))},
		Expect:  expect{Outcome: accept, Status: 200, Visas: []visaExpect{{Reason: "algorithm"}}},
	})

	b.at("V008")
	for _, alg := range []string{"PS256", "RS384", "RS512"} {
		b.passport(alg+", mathematically good", rows(3), "algorithm", b.keys.sign(alg, "broker-rsa", headWith(alg, "rsa1", passportTyp).text(), passportOf().text()))
		b.visa("visa with "+alg+", mathematically good", rows(18), "algorithm", b.keys.sign(alg, "dac-rsa", headOfVisa().with("alg", alg, "kid", "rsa1").text(), visaOf(objectOf()).text()))
		b.passport(alg+" signature under an alg of RS256", rows(3, 100), "bad_signature", b.keys.sign(alg, "broker-rsa", rs.text(), passportOf().text()))
	}

	b.at("V009")
	b.keySet("a signing key published for encryption (use)", rows(97), keySetOf(b.keys.members("spare-ec", "k").with("use", "enc")), false)
	b.keySet("the same with the waiver", rows(97), keySetOf(b.keys.members("spare-ec", "k").with("use", "enc")), true, "k")
	b.keySet("a signing key published with alg RSA-OAEP-256", rows(97), keySetOf(b.keys.members("dac-rsa", "k").with("alg", "RSA-OAEP-256")), false)
	b.keySet("the same with the waiver", rows(97), keySetOf(b.keys.members("dac-rsa", "k").with("alg", "RSA-OAEP-256")), true, "k")
	b.keySet("the waiver forgives no other signature algorithm", rows(97), keySetOf(b.keys.members("dac-rsa", "k").with("alg", "PS256")), true)
	b.visa("visa under a waived key", rows(97), "", b.by(waivedURL, "spare-ec", "ec1", "r", objectOf().with("source", waivedURL)))
	b.badKey("use=enc without the waiver", "RS256", "dac-rsa", "encrypt", "unknown_key", 97)
	b.badKey("alg=RSA-OAEP-256 without the waiver", "RS256", "old-rsa", "oaep", "unknown_key", 97)

	b.at("V011")
	b.badKey("ES384, mathematically good", "ES384", "dac-p384", "p384", "algorithm", 18)
	b.badKey("EdDSA, mathematically good", "EdDSA", "dac-ed25519", "ed25519", "algorithm", 18)
	b.badKey("ES256 in the header over a P-384 key", "ES256", "dac-p384", "p384", "unknown_key", 97)
	b.visa("ES256K", rows(18), "algorithm", b.dacHead(headOfVisa().with("alg", "ES256K")), "The signature is one of P-256: the header alone must be enough to refuse.")
	b.passport("EdDSA passport", rows(3), "algorithm", b.keys.sign("EdDSA", "dac-ed25519", headWith("EdDSA", "ec1", passportTyp).text(), passportOf().text()))

	b.at("V012")
	b.passport("five segments", rows(1), "malformed", good+".AAAA.AAAA")
	b.passport("a JWE in five segments", rows(1), "malformed", b64([]byte(`{"alg":"RSA-OAEP-256","enc":"A256GCM"}`))+".AAAA.AAAA.AAAA.AAAA")
	b.passport("zip in the header", rows(1, 102), "header", b.passHead(headOfPassport().with("zip", "DEF")))
	b.passport("enc in the header", rows(1, 102), "header", b.passHead(headOfPassport().with("enc", "A256GCM")))
	b.visa("visa with zip", rows(102), "header", b.dacHead(headOfVisa().with("zip", "DEF")))

	b.at("W1001")
	b.passport("RS256", rows(3), "", b.keys.sign("RS256", "broker-rsa", rs.text(), passportOf().text()))
	b.passport("ES256", rows(3), "", good)
	b.visa("visa RS256", rows(18), "", b.keys.sign("RS256", "dac-rsa", headOfVisa().with("alg", "RS256", "kid", "rsa1").text(), visaOf(objectOf()).text()))
	b.visa("visa ES256", rows(18), "", grant)
	b.passport("one bit of the signature changed", rows(7), "bad_signature", h+"."+p+"."+swapped(s, 10))
	b.passport("one character of the payload changed", rows(7), "bad_signature", h+"."+b64([]byte(passportOf().with("sub", "Researcher").text()))+"."+s)
	b.visa("one bit of the visa's signature changed", rows(12), "bad_signature", gh+"."+gp+"."+swapped(gs, 10))
	b.passport("an ES256 signature in ASN.1", rows(3), "bad_signature", h+"."+p+"."+b64(asn1Of(unb64(s))))
	b.passport("an ES256 signature of zeros", rows(3), "bad_signature", h+"."+p+"."+b64(make([]byte, 64)))
	b.passport("an ES256 signature cut short", rows(3), "bad_signature", h+"."+p+"."+b64(unb64(s)[:63]))
	b.passport("an ES256 signature with a byte more", rows(3), "bad_signature", h+"."+p+"."+b64(append(unb64(s), 0)))
	b.passport("an ES256 signature whose s is its negative", rows(3), "", h+"."+p+"."+b64(malleated(b.keys["broker-ec"].Public().(*ecdsa.PublicKey), unb64(s))), "ECDSA allows both (SEC 1); whoever keys a cache must take the exact bytes.")
	b.passport("the signature of another payload", rows(7), "bad_signature", h+"."+p+"."+gs)
	b.visa("an attacker's signature under the issuer's kid", rows(12, 104), "bad_signature", b.keys.sign("ES256", "attacker-ec", headOfVisa().text(), visaOf(objectOf()).text()))
	b.passport("an empty string", rows(1), "malformed", "")
	b.passport("two dots", rows(1), "malformed", "..")
	b.passport("JSON null", rows(1), "malformed", "null")
	b.passport("the header is an array", rows(1), "header", b64([]byte(`["ES256"]`))+"."+p+"."+s)
	b.passport("the header is null", rows(1, 100), "algorithm", b64([]byte(`null`))+"."+p+"."+s)
	b.passport("Bearer in front", rows(1), "malformed", "Bearer "+good)
	b.passport("quotes around", rows(1), "malformed", `"`+good+`"`)
}

// badVisa is a visa of the issuer whose keys are all bad but one.
func badVisa() obj { return visaOf(objectOf().with("source", badkeysURL)).with("iss", badkeysURL) }

// badKey adds a visa signed with one of the bad keys.
func (b *book) badKey(title, alg, key, kid, reason string, row int) {
	head := headOfVisa().with("alg", alg, "kid", kid, "jku", badkeysURL+"/jwks")
	v := b.visasOf("visa of an issuer that publishes keys of every bad kind: "+title, rows(row), []string{b.keys.sign(alg, key, head.text(), badVisa().text())}, []string{reason})
	v.Configuration = "fetched"
	b.add(v)
}

func keySetOf(keys ...obj) text { return plain(obj{"keys": keys}.text()) }

// keySet adds a key set; a refused one has no usable keys and a reason.
func (b *book) keySet(title string, rows []int, set text, waive bool, usable ...string) {
	b.add(vector{
		Title: title, Rows: rows, Kind: kindKeySet, Request: request{KeySet: &keySetIn{set, waive}},
		Expect: expect{Outcome: accept, Keys: usable},
	})
}

func (b *book) badKeySet(title string, rows []int, reason string, set text) {
	b.add(vector{
		Title: title, Rows: rows, Kind: kindKeySet, Request: request{KeySet: &keySetIn{Text: set}},
		Expect: expect{Outcome: refuse, Reason: reason},
	})
}

// swapped changes one character of base64url for another.
func swapped(s string, at int) string {
	c := byte('A')
	if s[at] == c {
		c = 'B'
	}
	return s[:at] + string(c) + s[at+1:]
}

func (b *book) header() {
	b.section("2-header.json", "2. Header parameters", "What a header may say, and what follows from it: never a key, never a fetch.")
	b.at("V014")
	for _, jku := range []string{attackerHost + "/jwks", "http://127.77.0.1:18443/jwks", "https://127.0.0.1/jwks", "http://169.254.169.254/latest/meta-data/", "https://attacker.example/jwks"} {
		compact := b.dacHead(headOfVisa().with("jku", jku))
		v := b.visasOf("jku "+jku+", keys fetched", rows(15, 50, 104), []string{compact}, []string{"unlisted_jku"}, "Nothing may be asked at that address.")
		v.Configuration = "fetched"
		b.add(v)
		b.visa("jku "+jku+", keys pinned", rows(16, 104), "", compact, "Accepted under the pinned key, with a note; nothing may be asked at that address.")
	}
	b.visa("jku to an attacker's key that signed it", rows(15, 104), "bad_signature", b.keys.sign("ES256", "attacker-ec", headOfVisa().with("jku", attackerHost+"/jwks").text(), visaOf(objectOf()).text()))

	b.at("V015")
	for _, jku := range []string{instURL + "/jwks", dacURL + "/jwks/", dacURL + "/JWKS", "http://dac.example/jwks", dacURL + ":443/jwks", dacURL + "/jwks?x=1", dacURL + "/jwks#x"} {
		v := b.visasOf("jku "+jku+" is not listed for its issuer", rows(15), []string{b.dacHead(headOfVisa().with("jku", jku))}, []string{"unlisted_jku"})
		v.Configuration = "fetched"
		b.add(v)
	}

	b.at("V017")
	attacker := b.keys.members("attacker-ec", "ec1")
	{
		name, extra := "jwk", attacker
		b.passport("embedded "+name+", attacker's key and signature", rows(104), "bad_signature", b.keys.sign("ES256", "attacker-ec", headOfPassport().with(name, extra).text(), passportOf().text()))
		b.visa("visa with embedded "+name+", attacker's key and signature", rows(104), "bad_signature", b.keys.sign("ES256", "attacker-ec", headOfVisa().with(name, extra).text(), visaOf(objectOf()).text()))
		b.passport("embedded "+name+", attacker's key without kid", rows(104), "header", b.keys.sign("ES256", "attacker-ec", headOfPassport().with(name, extra).without("kid").text(), passportOf().text()))
		b.passport("embedded "+name+" beside a good signature is read over", rows(104), "", b.passHead(headOfPassport().with(name, extra)))
	}
	b.passport("x5c of an attacker", rows(104), "bad_signature", b.keys.sign("ES256", "attacker-ec", headOfPassport().with("x5c", []string{"MIIB"}).text(), passportOf().text()))
	b.passport("x5u of an attacker", rows(104), "bad_signature", b.keys.sign("ES256", "attacker-ec", headOfPassport().with("x5u", attackerHost+"/chain").text(), passportOf().text()))
	b.passport("x5u beside a good signature is not fetched", rows(104), "", b.passHead(headOfPassport().with("x5u", attackerHost+"/chain")))

	b.at("V018")
	for _, kid := range []string{"../../../../dev/null", "' OR '1'='1", "ec1; DROP TABLE keys", "$(id)", "ec1 ", "EC1", "еc1", "ec1%00", "https://127.77.0.1:18443/key"} {
		b.passport("kid "+kid, rows(11), "unknown_key", b.passHead(headOfPassport().with("kid", kid)))
	}
	b.passport("kid with NUL", rows(11), "header", b.passHead(headOfPassport().with("kid", "ec1\x00")))
	b.passport("kid with a line break", rows(11), "header", b.passHead(headOfPassport().with("kid", "ec1\n")))
	b.passport("kid is a number", rows(11), "header", b.passHead(headOfPassport().with("kid", 1)))
	b.passport("kid is an object", rows(11), "header", b.passHead(headOfPassport().with("kid", obj{"$ne": "x"})))
	b.passport("kid is null", rows(11), "header", b.passHead(headOfPassport().with("kid", nil)))
	b.passport("kid of 256 bytes", rows(11, 106), "header", b.passHead(headOfPassport().with("kid", strings.Repeat("k", 256))))
	big := headOfPassport().with("kid", strings.Repeat("k", 10_000))
	b.texts("kid of 10 kB", rows(106), "too_large", []text{shortened(b.passHead(big), b64([]byte(strings.Repeat("k", 3))))})
	b.visa("visa whose kid climbs directories", rows(11, 12), "unknown_key", b.dacHead(headOfVisa().with("kid", "../../dev/null")))

	b.at("V019")
	b.passport("no kid", rows(11), "header", b.passHead(headOfPassport().without("kid")))
	b.passport("empty kid", rows(11), "header", b.passHead(headOfPassport().with("kid", "")))
	b.visa("visa without kid", rows(11, 12), "header", b.dacHead(headOfVisa().without("kid")))
	noKid := func(issuer string) string {
		return b.keys.sign("ES256", "spare-ec", headOfVisa().without("kid").with("jku", issuer+"/jwks").text(), visaOf(objectOf().with("source", issuer)).with("iss", issuer).text())
	}
	b.visa("no kid, where the site allows it and the issuer has one key", rows(11), "", noKid(nokidURL))
	b.visa("no kid, where the site allows it and the issuer has two keys", rows(11), "header", noKid(twokeysURL))

	b.at("V020")
	b.visa("one issuer's name, another's key under the same kid", rows(7, 95), "bad_signature", b.keys.sign("ES256", "institute-ec", headOfVisa().text(), visaOf(objectOf()).text()))
	b.passport("a passport signed with a visa issuer's key", rows(7, 95), "bad_signature", b.keys.sign("ES256", "dac-ec", headOfPassport().text(), passportOf().text()))
	b.visas("the same kid at two issuers, both good", rows(95), []string{b.grant(), b.by(instURL, "institute-ec", "ec1", "r", objectOf().with("type", "ResearcherStatus", "source", instURL, "by", "so"))}, []string{"", ""})
	b.passport("kid of another key of the same issuer", rows(11), "algorithm", b.passHead(headOfPassport().with("kid", "rsa1")))

	b.at("V022")
	for _, crit := range []any{[]string{"x"}, []string{}, []string{"exp"}, []string{"alg"}, []string{"kid", "kid"}, []string{"b64"}, "exp", nil, []any{nil}} {
		head := headOfPassport().with("crit", crit, "x", 1)
		b.passport("crit "+string(must(marshal(crit))), rows(102), "header", b.passHead(head))
	}
	b.visa("visa with crit", rows(102), "header", b.dacHead(headOfVisa().with("crit", []string{"exp"}, "exp", 1)))

	b.at("V023")
	rawPayload := passportOf().text()
	for _, crit := range []bool{true, false} {
		head := headOfPassport().with("b64", false)
		if crit {
			head = head.with("crit", []string{"b64"})
		}
		encoded := b64([]byte(head.text()))
		input := encoded + "." + rawPayload
		signature := "." + b64(b.keys.signature("ES256", "broker-ec", []byte(input)))
		b.passport("b64 false with the payload as it is", rows(102), "malformed", input+signature)
		b.passport("b64 false with an encoded payload", rows(102), "header", b.passHead(head))
	}
	b.passport("b64 true", rows(102), "header", b.passHead(headOfPassport().with("b64", true)))
	b.visa("visa with b64 false", rows(102), "header", b.dacHead(headOfVisa().with("b64", false)))

	b.at("V024")
	for _, typ := range []string{"JWT", "at+jwt", visaTyp, "entity-statement+jwt", "dpop+jwt", "trust-mark+jwt", "token-introspection+jwt", "application/json", passportTyp + ";v=1", passportTyp + " ", "vnd.ga4gh.passport", "text/" + passportTyp, "application/application/" + passportTyp, "vnd.ga4gh.paſsport+jwt", "application/", "logout+jwt"} {
		b.passport("passport with typ "+typ, rows(2, 108), "wrong_type", b.passHead(headOfPassport().with("typ", typ)))
	}
	b.passport("passport without typ", rows(2), "wrong_type", b.passHead(headOfPassport().without("typ")))
	b.passport("typ is a number", rows(2), "header", b.passHead(headOfPassport().with("typ", 1)))
	b.passport("typ is a list", rows(2), "header", b.passHead(headOfPassport().with("typ", []string{passportTyp})))
	for _, typ := range []string{passportTyp, "at+jwt", "entity-statement+jwt", "dpop+jwt", "trust-mark+jwt", "token-introspection+jwt", "jwt ", visaTyp + ";v=1", "JOSE"} {
		b.visa("visa with typ "+typ, rows(17, 108), "wrong_type", b.dacHead(headOfVisa().with("typ", typ)))
	}

	b.at("V025")
	for _, typ := range []string{"application/" + passportTyp, "VND.GA4GH.Passport+JWT", "Application/vnd.ga4gh.passport+jwt"} {
		b.passport("passport with typ "+typ, rows(2), "", b.passHead(headOfPassport().with("typ", typ)))
	}
	for _, typ := range []string{"JWT", "jwt", visaTyp, "application/" + visaTyp, "VND.GA4GH.VISA+JWT"} {
		b.visa("visa with typ "+typ, rows(17), "", b.dacHead(headOfVisa().with("typ", typ)))
	}
	b.visa("visa without typ", rows(17), "", b.dacHead(headOfVisa().without("typ")))

	b.at("W1201")
	b.passport("alg twice", rows(103), "malformed", b.passHeadText(headOfPassport().twice("alg", `"none"`)))
	b.passport("typ twice", rows(103), "malformed", b.passHeadText(headOfPassport().twice("typ", `"JWT"`)))
	b.passport("kid twice", rows(103), "malformed", b.passHeadText(headOfPassport().twice("kid", `"rsa1"`)))
	b.visa("jku twice", rows(103), "malformed", b.dacHeadText(headOfVisa().twice("jku", `"`+attackerHost+`"`)))
	b.passport("Alg beside alg is another member", rows(103), "", b.passHead(headOfPassport().with("Alg", "none", "TYP", "JWT")))
	b.passport("Crit is another member than crit", rows(102, 103), "", b.passHead(headOfPassport().with("Crit", []string{"exp"})))
	b.passport("members that nobody knows", rows(104), "", b.passHead(headOfPassport().with("cty", "JWT", "x5t#S256", "AAAA", "iss", "x", "nonce", "y")))
	b.passport("two JSON values in the header", rows(107), "malformed", b.passHeadText(headOfPassport().text()+"{}"))
	b.passport("white space within the header's JSON", rows(107), "", b.passHeadText(strings.ReplaceAll(headOfPassport().text(), ",", " ,\r\n\t")))
	b.passport("white space around the header's JSON", rows(107), "bad_signature", b.passHeadText(" "+headOfPassport().text()+"\r\n"), "RFC 7515 does not forbid it, and no issuer writes it: whoever accepts it is not wrong.")
	b.passport("an escape in a member's name is that name", rows(103), "malformed", b.passHeadText(`{"\u0061lg":"none",`+headOfPassport().text()[1:]))
	b.visa("jku is empty", rows(14), "header", b.dacHead(headOfVisa().with("jku", "")))
	b.visa("jku is null", rows(14), "header", b.dacHead(headOfVisa().with("jku", nil)))
	b.visa("jku is a list", rows(14), "header", b.dacHead(headOfVisa().with("jku", []string{dacURL + "/jwks"})))
	b.visa("jku of 1025 bytes", rows(106), "header", b.dacHead(headOfVisa().with("jku", "https://dac.example/"+strings.Repeat("k", 1005))))
	b.passport("typ of 141 bytes", rows(106), "header", b.passHead(headOfPassport().with("typ", strings.Repeat("t", 141))))
}

func must(text []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return text
}
