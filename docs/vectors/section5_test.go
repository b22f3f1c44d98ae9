package vectors_test

import (
	"strconv"
	"strings"
)

func (b *book) keysAndIssuers() {
	b.section("5-keys.json", "5. Keys and issuers", "Which published keys may verify anything, and whose name a token may carry.")
	good := b.keys.members("spare-ec", "good")
	b.at("V045")
	b.keySet("RSA of 1024 bits", rows(98), keySetOf(b.keys.members("weak-rsa", "weak"), good), false, "good")
	b.keySet("RSA of 1024 bits with the waiver for encryption keys", rows(98), keySetOf(b.keys.members("weak-rsa", "weak").with("use", "enc")), true)
	b.badKey("RSA of 1024 bits", "RS256", "weak-rsa", "weak", "unknown_key", 98)

	b.at("V046")
	rsaKey := b.keys.members("dac-rsa", "k")
	for _, e := range [][2]string{{"1", "AQ"}, {"2", "Ag"}, {"0", "AA"}, {"2^31+1", "gAAAAQ"}, {"2^64+1", "AQAAAAAAAAAB"}} {
		b.keySet("RSA exponent "+e[0], rows(98), keySetOf(rsaKey.with("e", e[1]), good), false, "good")
	}
	b.keySet("RSA exponent 3", rows(98), keySetOf(rsaKey.with("e", "Aw")), false, "k")
	b.keySet("an even RSA modulus", rows(98), keySetOf(rsaKey.with("n", b64(append(unb64(rsaKey["n"].(string))[:255], 2))), good), false, "good")
	b.keySet("a modulus of one byte", rows(98), keySetOf(rsaKey.with("n", "AQ"), good), false, "good")
	b.keySet("a modulus of 16,384 bits", rows(98, 106), shortened(obj{"keys": []obj{rsaKey.with("n", strings.Repeat("_", 2730)), good}}.text(), "____"), false, "good")
	b.keySet("no modulus", rows(98), keySetOf(rsaKey.without("n"), good), false, "good")
	b.keySet("a modulus in padded base64", rows(98, 107), keySetOf(rsaKey.with("n", rsaKey["n"].(string)+"=="), good), false, "good")
	b.keySet("a point off the curve", rows(98), keySetOf(good.with("kid", "off", "y", good["x"]), good), false, "good")
	b.keySet("the point at infinity", rows(98), keySetOf(good.with("kid", "inf", "x", b64(make([]byte, 32)), "y", b64(make([]byte, 32))), good), false, "good")
	b.keySet("a coordinate of 31 bytes", rows(98), keySetOf(good.with("kid", "short", "x", b64(unb64(good["x"].(string))[:31])), good), false, "good")
	b.keySet("a coordinate beyond the field", rows(98), keySetOf(good.with("kid", "long", "x", b64([]byte(strings.Repeat("\xff", 32)))), good), false, "good")
	b.badKey("RSA with exponent 1", "RS256", "broker-rsa", "e1", "unknown_key", 98)
	b.badKey("a key off the curve", "ES256", "attacker-ec", "off-curve", "unknown_key", 98)

	b.at("V047")
	private := b.keys.members("attacker-rsa", "private").with("d", b64(b.keys.rsaExponent("attacker-rsa")))
	b.keySet("a private RSA key", rows(97), keySetOf(private, good), false, "good")
	b.keySet("a private RSA key with the waiver", rows(97), keySetOf(private.with("use", "enc")), true)
	for _, name := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
		b.keySet("a key with the private member "+name+", null", rows(97), keySetOf(b.keys.members("attacker-ec", "x").with(name, nil), good), false, "good")
	}
	b.badKey("a private key was published", "RS256", "attacker-rsa", "private", "unknown_key", 97)

	b.at("V048")
	for _, ops := range []any{[]string{"encrypt"}, []string{}, []string{"sign"}, "verify", nil, []any{1}} {
		b.keySet("key_ops "+string(must(marshal(ops))), rows(97), keySetOf(good.with("kid", "k", "key_ops", ops), good), false, "good")
	}
	b.keySet("key_ops with verify", rows(97), keySetOf(good.with("key_ops", []string{"sign", "verify"})), false, "good")
	b.badKey("key_ops=[encrypt]", "ES256", "holder-ec", "ops", "unknown_key", 97)

	b.at("V049")
	b.keySet("an unknown kty beside a good key", rows(98), keySetOf(obj{"kty": "AKP", "kid": "a", "pub": "AAAA"}, good), false, "good")
	b.keySet("OKP beside a good key", rows(98), keySetOf(b.keys.members("dac-ed25519", "ed"), good), false, "good")
	b.keySet("what is no key beside a good key", rows(98), plain(`{"keys":[null,1,"x",[],{},{"kty":1},{"kty":"EC","kty":"RSA"},`+good.text()+`]}`), false, "good")
	b.badKey("the good key among the bad ones", "ES256", "spare-ec", "good", "", 98)

	b.at("V051")
	for _, iss := range []string{dacURL + "/", "https://dac.example:443", "https://DAC.example", "HTTPS://dac.example", "http://dac.example", "https://dac.example.", "https://dac.example/.", "https://dac.exаmple", "https://xn--dac-example", "https://dac%2Eexample", "dac.example", "//dac.example", " " + dacURL, dacURL + " ", dacURL + "#x", dacURL + "?", "https://x@dac.example", "https://dac.example\u200b", "ｈttps://dac.example"} {
		b.visa("iss is "+strconv.QuoteToASCII(iss), rows(91), "untrusted_issuer", b.dac(visaOf(objectOf()).with("iss", iss)))
	}
	for _, iss := range []string{brokerURL + "/", "https://broker.example:443", "https://BROKER.example", "http://broker.example"} {
		b.passport("a passport's iss is "+iss, rows(91), "untrusted_issuer", b.pass(passportOf().with("iss", iss)))
	}
	b.passport("escapes in iss are the same issuer", rows(91), "", b.passText(strings.Replace(passportOf().text(), "https://broker", `https:\/\/\u0062roker`, 1)))

	b.at("V052")
	stranger := func(iss string) string {
		return b.keys.sign("ES256", "attacker-ec", headOfVisa().with("jku", attackerHost+"/jwks").text(), visaOf(objectOf()).with("iss", iss).text())
	}
	b.visa("a stranger's visa, its keys within reach", rows(50, 52), "untrusted_issuer", stranger(attackerHost))
	b.visa("a stranger's visa with somebody else's jku", rows(50), "untrusted_issuer", stranger(strangerURL))
	b.passport("a stranger's passport, its keys within reach", rows(50), "untrusted_issuer", b.keys.sign("ES256", "attacker-ec", headOfPassport().with("jku", attackerHost+"/jwks").text(), passportOf().with("iss", attackerHost).text()))
	b.passport("an issuer of visas signs a passport", rows(49), "untrusted_issuer", b.keys.sign("ES256", "dac-ec", headOfPassport().text(), passportOf().with("iss", dacURL).text()))
	b.visa("an issuer of passports signs a visa", rows(49), "untrusted_issuer", b.by(brokerURL, "broker-ec", "ec1", "researcher", objectOf()))
	b.visa("an OpenID provider signs a visa", rows(49), "untrusted_issuer", b.by(opURL, "op-ec", "ec1", "researcher", objectOf()))
	b.visa("a source of claims signs a visa", rows(49), "untrusted_issuer", b.by(sourceAURL, "source-a-ec", "ec1", "researcher", objectOf()))

	b.at("V053")
	b.behaviour("the discovery document names another issuer than the one that was asked: nothing of it is used", rows(93), "trust/discovery.TestIssuerMustBeIdentical")
	b.at("V054")
	b.behaviour("a key set behind a redirect to http, of 50 MB, with 10,000 keys, from a slow server, as HTML, without keys: the old set is kept until its hard age", rows(94, 99), "trust/discovery.TestBadAnswers", "trust/discovery.TestSlowBody", "trust/issuers.TestLastGoodSetUntilStale")
	b.badKeySet("a key set of 10,000 keys", rows(94, 106), "too_large", text{[]part{{`{"keys":[` + good.text(), 1}, {"," + good.text(), 9999}, {"]}", 1}}})
	b.badKeySet("a key set of 33 keys", rows(94, 106), "too_many", text{[]part{{`{"keys":[{"kty":"x"}`, 1}, {`,{"kty":"x"}`, 32}, {"]}", 1}}})
	b.badKeySet("a key set of 50 MB", rows(94, 106), "too_large", text{[]part{{`{"keys":[],"x":"`, 1}, {"xxxxxxxxxx", 5_000_000}, {`"}`, 1}}})
	for _, set := range []string{"<!DOCTYPE html>", "", "[]", "null", "{}", `{"keys":null}`, `{"keys":{}}`, `{"keys":[]} x`, `{"keys":[],"keys":[]}`, `{"keys":[`, `{"Keys":[]}`, "\xef\xbb\xbf{}"} {
		b.badKeySet("a key set that is "+strconv.QuoteToASCII(set), rows(94, 107), "malformed", plain(set))
	}
	b.keySet("a key set without keys", rows(94), plain(`{"keys":[]}`), false)
	b.at("V055")
	b.behaviour("1,000 tokens with random kids cause at most one fetch per cool-down", rows(96), "trust/issuers.TestRefreshStorm", "trust/passport.TestUnknownKeysAreAskedForOnce")
	b.at("V056")
	b.behaviour("a peer gossips an older key set with a key that was withdrawn: it is not resurrected", rows(99), "trust/issuers.TestRollback")
	b.at("V057")
	b.behaviour("two peers gossip different keys for one issuer: neither is adopted, and there is an alarm", rows(51, 99), "trust/issuers.TestFaultyWitnesses")

	b.at("W1801")
	b.keySet("two keys under one kid", rows(97), keySetOf(good, b.keys.members("linker-ec", "twin"), b.keys.members("grants-ec", "twin")), false, "good")
	b.keySet("one key twice under one kid", rows(97), keySetOf(good, good), false, "good")
	b.keySet("alg of another curve", rows(97), keySetOf(good.with("alg", "ES384")), false)
	b.keySet("alg ES256 on an RSA key", rows(97), keySetOf(rsaKey.with("alg", "ES256")), false)
	b.keySet("alg none", rows(97, 101), keySetOf(good.with("alg", "none")), false)
	b.keySet("use is something else", rows(97), keySetOf(good.with("use", "SIG")), false)
	b.keySet("use is null", rows(97), keySetOf(good.with("use", nil)), false)
	b.keySet("a kid of 256 bytes", rows(97, 106), keySetOf(good.with("kid", strings.Repeat("k", 256))), false)
	b.keySet("a kid that is empty", rows(97), keySetOf(good.with("kid", "")), false)
	b.keySet("leading zeros in the modulus, as live issuers write it", rows(98), keySetOf(rsaKey.with("n", b64(append([]byte{0}, unb64(rsaKey["n"].(string))...)))), false, "k")
	b.keySet("a symmetric key in the guise of RSA", rows(97), keySetOf(rsaKey.with("k", "AAAA"), good), false, "good")
	b.badKey("one of two keys under one kid", "ES256", "linker-ec", "twin", "unknown_key", 95)
	b.badKey("one of two keys under one kid, the other one", "ES256", "grants-ec", "twin", "unknown_key", 95)
	b.visa("an issuer that is a URN", rows(91), "", b.keys.sign("ES256", "spare-ec", headOfVisa().with("jku", "https://urn.example/jwks").text(), visaOf(objectOf()).with("iss", urnIssuer).text()))
	for _, c := range [][2]string{{"null", "bad_claim"}, {"1", "bad_claim"}, {`["https://broker.example"]`, "bad_claim"}, {`""`, "bad_claim"}, {`{"x":1}`, "bad_claim"}, {`"` + strings.Repeat("x", 256) + `"`, "bad_claim"}} {
		b.passport("iss is "+c[0][:min(len(c[0]), 40)], rows(4, 91), c[1], b.passText(strings.Replace(passportOf().text(), `"`+brokerURL+`"`, c[0], 1)))
	}
	b.passport("no iss", rows(4), "missing_claim", b.pass(passportOf().without("iss")))
	b.visa("a visa without iss", rows(13), "missing_claim", b.dac(visaOf(objectOf()).without("iss")))
}

func (b *book) structure() {
	b.section("6-structure.json", "6. Passport structure and visas", "What a passport holds, which visas count, and for what.")
	grant := b.grant()
	b.at("V058")
	b.passport("a UserInfo response in the guise of a passport", rows(2, 108), "wrong_type", b.passHeadText(headOfPassport().with("typ", "JWT").text()))
	b.passport("a UserInfo response without typ", rows(2, 108), "wrong_type", b.passHead(headOfPassport().without("typ")))

	b.at("V059")
	for _, list := range []string{`"x"`, `{}`, `{"0":"x"}`, `null`, `[["x"]]`, `[1]`, `[null]`, `["x",{}]`, `true`, `""`} {
		reason := "bad_claim"
		if list == "null" {
			reason = "missing_claim"
		}
		b.passport("ga4gh_passport_v1 is "+list, rows(5), reason, b.passText(strings.Replace(passportOf().text(), "[]", list, 1)))
	}
	b.at("V060")
	b.passport("no visas at all", rows(5), "", b.pass(passportOf()), "The caller is known, and has no authority.")
	b.at("V061")
	b.passport("a passport signed HS256 with a shared secret, as in the DRS specification's example", rows(3, 138), "wrong_type", hs256([]byte("secret"), `{"alg":"HS256","typ":"JWT"}`, `{"sub":"1234567890","name":"John Doe","iat":1516239022}`))
	b.at("V062")
	b.passport("a visa as passport", rows(108), "wrong_type", grant)
	b.visa("a passport inside a passport", rows(108), "wrong_type", b.pass(passportOf(grant)))
	b.visa("an ID token as visa", rows(108), "missing_claim", b.dac(visaOf(objectOf()).without("ga4gh_visa_v1").with("aud", "this-node-op", "nonce", "n")))
	b.visa("an access token as visa", rows(108), "wrong_type", b.dacHead(headOfVisa().with("typ", "at+jwt")))

	b.at("V063")
	b.texts("1,000 visas", rows(106), "too_many", []text{b.many(grant, 1000)}, "Refused before any signature of a visa is checked.")
	b.texts("201 visas", rows(106), "too_many", []text{b.many(grant, 201)})
	b.texts("10,000 visas of two characters", rows(106), "too_many", []text{b.many("xx", 10_000)})
	b.texts("100 visas", rows(106), "", []text{b.many(grant, 100)})
	b.texts("200 visas that are none", rows(19, 106), "", []text{b.many("xx", 200)})
	b.texts("two passports of 101 visas each", rows(106), "too_many", []text{b.many(grant, 101), b.many(grant, 101)})

	b.at("V064")
	b.texts("one visa of 700 kB in a passport of 940 kB", rows(106), "", []text{b.many(strings.Repeat("x", 3), 1, 233_000)}, "The visa is ignored: too_large. The request's body is within limits.")
	b.texts("one visa of 1 MB", rows(106), "too_large", []text{b.many(strings.Repeat("x", 3), 1, 333_333)})
	b.texts("passports of 10 MB", rows(106), "too_large", []text{{[]part{{"AAAAAAAAAA", 1_000_000}}}})
	b.at("V065")
	expired := b.dac(visaOf(objectOf()).with("exp", now-5))
	others := []string{grant, b.dac(visaOf(objectOf()).with("jti", "2")), expired, b.dac(visaOf(objectOf()).with("jti", "3")), b.dac(visaOf(objectOf()).with("jti", "4"))}
	b.visas("one expired visa among four good ones", rows(19), others, []string{"", "", "expired", "", ""})
	b.at("V066")
	goodPass, oldPass := b.pass(passportOf(grant)), b.pass(passportOf(grant).with("exp", now-5))
	b.texts("a good passport and an expired one", rows(6), "expired", plains(goodPass, oldPass))
	b.texts("an expired passport and a good one", rows(6), "expired", plains(oldPass, goodPass))
	b.texts("a good passport and an empty string", rows(6), "malformed", plains(goodPass, ""))
	b.texts("eleven passports", rows(106), "too_many", plains(repeated(b.pass(passportOf()), 11)...))
	b.at("V068")
	b.behaviour("passports A and B in one request, then B alone: B has only B's authority", rows(61), "trust/passport.TestRequestsDoNotBleed")
	b.add(b.callerOf("two passports: the first says who the caller is", rows(42, 61), identity{brokerURL, "researcher"}, goodPass, b.keys.sign("ES256", "op-ec", headOfPassport().text(), passportOf().with("iss", opURL, "sub", "somebody").text())))
	b.add(b.callerOf("the same two the other way round", rows(42, 61), identity{opURL, "somebody"}, b.keys.sign("ES256", "op-ec", headOfPassport().text(), passportOf().with("iss", opURL, "sub", "somebody").text()), goodPass))

	b.at("V069")
	for _, c := range []struct {
		what   string
		aud    any
		reason string
	}{
		{"a string, this site's client id", "this-node", ""}, {"an array with this site's client id", []string{"x", "this-node"}, ""}, {"the node's own address", nodeURL, ""},
		{"another node", "other-node", "wrong_audience"}, {"a prefix of this one's", "this-nod", "wrong_audience"}, {"this one's and more", "this-node-2", "wrong_audience"}, {"another case", "This-Node", "wrong_audience"},
		{"an empty string", "", "wrong_audience"}, {"an empty array", []string{}, "wrong_audience"}, {"the node's address with a slash", nodeURL + "/", "wrong_audience"}, {"a client id at another issuer", "this-node-strict", "wrong_audience"},
		{"null", nil, "bad_claim"}, {"a number", 1, "bad_claim"}, {"an object", obj{"x": "this-node"}, "bad_claim"}, {"an array with a number", []any{"this-node", 1}, "bad_claim"}, {"an array in an array", []any{[]string{"this-node"}}, "bad_claim"},
		{"a list in a string", "this-node other-node", "wrong_audience"}, {"with a space behind", "this-node ", "wrong_audience"},
	} {
		b.passport("aud is "+c.what, rows(8), c.reason, b.pass(passportOf().with("aud", c.aud)))
	}
	forwarded := func(title, origin string, aud any, reason string, row int) {
		claims := passportOf()
		if aud != nil {
			claims = claims.with("aud", aud)
		}
		v := vector{Title: title, Rows: rows(row), Kind: kindPassports, Configuration: "fetched", Request: request{Passports: plains(b.pass(claims)), Origin: origin}, Expect: outcomeOf(reason)}
		v.Expect.Status = 0
		b.add(v)
	}
	forwarded("forwarded by bcgsc with this site's aud", "bcgsc", "this-node", "wrong_audience", 8)
	forwarded("forwarded by bcgsc with bcgsc's aud", "bcgsc", "bcgsc-node", "", 8)
	forwarded("forwarded by bcgsc with chus's aud", "bcgsc", "chus-node", "wrong_audience", 8)
	forwarded("forwarded by bcgsc with the node's own address as aud", "bcgsc", nodeURL, "", 8)
	forwarded("shown directly with bcgsc's aud", "", "bcgsc-node", "wrong_audience", 8)
	b.at("V070")
	forwarded("forwarded by bcgsc without aud", "bcgsc", nil, "unbound", 9)
	forwarded("forwarded by chus without aud, which the operator allows", "chus", nil, "", 9)
	strict := func(claims obj) string {
		return b.keys.sign("ES256", "strict-ec", headOfPassport().text(), claims.with("iss", strictURL).text())
	}
	b.passport("no aud where the site wants one", rows(9), "unbound", strict(passportOf()))
	b.passport("aud where the site wants one", rows(9), "", strict(passportOf().with("aud", "this-node-strict")))

	b.at("V071")
	b.visa("trusted broker, untrusted visa issuer", rows(49), "untrusted_issuer", b.by(strangerURL, "attacker-ec", "ec1", "r", objectOf()))
	b.passport("untrusted broker, trusted visa issuer", rows(49), "untrusted_issuer", b.keys.sign("ES256", "attacker-ec", headOfPassport().text(), passportOf(grant).with("iss", strangerURL).text()))
	b.visa("trusted broker and issuer, untrusted source", rows(25, 49), "untrusted_source", b.dacObject(objectOf().with("source", instURL)))
	b.at("V072")
	b.visa("an institute trusted for affiliations grants access", rows(52), "type_out_of_scope", b.by(instURL, "institute-ec", "ec1", "r", objectOf().with("source", instURL)))
	b.visa("a committee grants a dataset outside its values", rows(31, 52), "value_out_of_scope", b.by(grantsURL, "grants-ec", "ec1", "r", objectOf().with("source", grantsURL)))
	b.visa("a committee grants a dataset within its values", rows(52), "", b.by(grantsURL, "grants-ec", "ec1", "r", objectOf().with("source", grantsURL, "value", grantsURL+"/datasets/1")))
	b.visa("a committee speaks for another one", rows(31, 52), "untrusted_source", b.by(grantsURL, "grants-ec", "ec1", "r", objectOf().with("value", grantsURL+"/datasets/1")))
	b.at("V073")
	b.visas("an unknown custom type beside a good grant", rows(22), []string{b.dacObject(objectOf().with("type", "https://example.org/type")), grant}, []string{"unsupported_visa_type", ""})
	b.at("V074")
	ras := objectOf().with("type", rasType, "source", instURL, "ras_dbgap_permissions", []obj{{"phs_id": "phs000001"}}, "x_foo", nil)
	b.visa("a custom type that is enabled, with members that nobody knows", rows(22), "", b.by(instURL, "institute-ec", "ec1", "r", ras))
	b.visa("a custom type that is not enabled", rows(22), "unsupported_visa_type", b.dacObject(ras.with("source", dacURL)))
	b.at("V075")
	b.visa("a grant without by", rows(27, 28), "missing_claim", b.dacObject(objectOf().without("by")))
	b.visa("terms without by", rows(28), "missing_claim", b.dacObject(objectOf().with("type", "AcceptedTermsAndPolicies").without("by")))
	for _, by := range []any{"DAC", "dac ", "", "committee", "Self", nil, 1, []string{"dac"}} {
		b.visa("by is "+string(must(marshal(by))), rows(27), "bad_claim", b.dacObject(objectOf().with("by", by)))
	}
	b.visa("an affiliation without by", rows(27, 28), "", b.dacObject(affiliation().without("by")))

	b.at("V077")
	noJKU := headOfVisa().without("jku")
	form := func(head obj, claims obj) string { return b.keys.sign("ES256", "dac-ec", head.text(), claims.text()) }
	b.visa("jku and the scope openid", rows(14), "visa_form", form(headOfVisa(), visaOf(objectOf()).with("scope", "openid profile")))
	b.visa("neither jku nor the scope openid", rows(14), "visa_form", form(noJKU, visaOf(objectOf())))
	b.visa("an access token with aud", rows(14), "visa_form", form(noJKU, visaOf(objectOf()).with("scope", "openid", "aud", "this-node")))
	b.visa("scope openidx and jku is a document token", rows(14), "", form(headOfVisa(), visaOf(objectOf()).with("scope", "openidx xopenid OPENID")))
	b.visa("scope openid among others, no jku: a form that is not enabled", rows(14), "access_token_visa", form(noJKU, visaOf(objectOf()).with("scope", "profile openid email")))
	b.visa("scope is a list", rows(14), "bad_claim", form(noJKU, visaOf(objectOf()).with("scope", []string{"openid"})))
	b.visa("a document token with aud", rows(14), "wrong_audience", form(headOfVisa(), visaOf(objectOf()).with("aud", "this-node")))
	b.visa("a document token with aud null", rows(14), "wrong_audience", form(headOfVisa(), visaOf(objectOf()).with("aud", nil)))

	b.at("V078")
	old := func(alg, key, kid string, iat int, typ any) string {
		head := obj{"alg": alg, "kid": kid}
		if typ != nil {
			head["typ"] = typ
		}
		return b.keys.sign(alg, key, head.text(), visaOf(objectOf().with("source", oldURL)).with("iss", oldURL, "scope", "openid ga4gh", "iat", iat).text())
	}
	b.visa("an access token visa of 59 minutes", rows(14, 57), "", old("RS256", "old-rsa", "rsa1", now-59*60, "at+jwt"))
	b.until("an access token visa is good for an hour unasked", rows(57), now+60, old("RS256", "old-rsa", "rsa1", now-59*60, "JWT"))
	b.add(vector{
		Title: "an access token visa of 61 minutes, and nobody can be asked", Rows: rows(57), Kind: kindPassports, Configuration: "pinned",
		Request: request{Passports: plains(b.pass(passportOf(old("RS256", "old-rsa", "rsa1", now-61*60, "at+jwt"))))},
		Expect:  expect{Outcome: accept, Status: 200, Visas: []visaExpect{{Reason: "not_confirmed"}}},
	})
	b.visa("an access token visa signed ES256", rows(18), "algorithm", old("ES256", "spare-ec", "ec1", now-60, nil))
	b.behaviour("61 minutes old: the issuer's UserInfo says 200, 401, 500, nothing, other visas", rows(57, 59, 60), "trust/passport.TestAccessTokenVisas", "trust/passport.TestPolledVisasAreReplaced", "trust/polling.TestWhatTheIssuerSaysDecides")
	b.at("V079")
	b.behaviour("100 questions in 10 minutes with the same access token visa poll once", rows(58), "trust/polling.TestManyQueriesCostOnePoll")

	b.at("W2001")
	for _, c := range []struct {
		name   string
		value  any
		reason string
		row    int
	}{
		{"type", "", "bad_claim", 22}, {"type", 1, "bad_claim", 22}, {"type", nil, "bad_claim", 22}, {"type", "controlledaccessgrants", "unsupported_visa_type", 22}, {"type", "ControlledAccessGrants ", "unsupported_visa_type", 22}, {"type", "СontrolledAccessGrants", "unsupported_visa_type", 22},
		{"value", "", "bad_claim", 24}, {"value", 1, "bad_claim", 24}, {"value", []string{dataset}, "bad_claim", 24}, {"value", nil, "bad_claim", 24},
		{"value", dataset + strings.Repeat("x", 255-len(dataset)), "", 26}, {"value", dataset + strings.Repeat("x", 256-len(dataset)), "bad_claim", 26}, {"value", dataset + strings.Repeat("é", 255-len(dataset)), "", 26},
		{"source", "", "bad_claim", 25}, {"source", "https://no.organization", "untrusted_source", 25}, {"source", dacURL + "/", "untrusted_source", 25}, {"source", "https://DAC.example", "untrusted_source", 25}, {"source", nil, "bad_claim", 25}, {"source", []string{dacURL}, "bad_claim", 25},
		{"source", attackerHost + "/org", "untrusted_source", 26}, {"value", attackerHost + "/dataset", "", 26},
	} {
		value := string(must(marshal(c.value)))
		b.visa(c.name+" is "+value[:min(len(value), 60)], rows(c.row), c.reason, b.dacObject(objectOf().with(c.name, c.value)))
	}
	for _, name := range []string{"type", "value", "source"} {
		b.visa("no "+name, rows(22, 24, 25), "missing_claim", b.dacObject(objectOf().without(name)))
	}
	for _, v := range []string{strings.ToUpper(dataset), dataset + "/", dataset[:len(dataset)-1], strings.Replace(dataset, "rari", "%72ari", 1), "http" + dataset[5:], strings.Replace(dataset, "a", "а", 1)} {
		b.visa("the value "+strconv.QuoteToASCII(v)+" is another dataset", rows(24), "", b.dacObject(objectOf().with("value", v)), "Accepted as a visa, and no authority over "+dataset+".")
	}
	for _, object := range []string{"null", "[]", `"x"`, "1", `[{"type":"x"}]`, "true"} {
		reason := "bad_claim"
		if object == "null" {
			reason = "missing_claim"
		}
		b.visa("ga4gh_visa_v1 is "+object, rows(13), reason, b.dacText(strings.Replace(visaOf("@").text(), `"@"`, object, 1)))
	}
	b.visa("no ga4gh_visa_v1", rows(13), "missing_claim", b.dac(visaOf(nil).without("ga4gh_visa_v1")))
	b.visa("an empty visa object", rows(13, 22), "missing_claim", b.dacObject(obj{}))
	b.visa("no sub", rows(13), "missing_claim", b.dac(visaOf(objectOf()).without("sub")))
	b.visa("sub is a number", rows(13), "bad_claim", b.dac(visaOf(objectOf()).with("sub", 42)))
	b.visa("sub of 255 characters", rows(42), "", b.dac(visaOf(objectOf()).with("sub", strings.Repeat("x", 255))))
	b.visa("sub of 256 characters", rows(42), "bad_claim", b.dac(visaOf(objectOf()).with("sub", strings.Repeat("x", 256))))
	b.passport("no sub in a passport", rows(4), "missing_claim", b.pass(passportOf().without("sub")))
	b.passport("sub is null in a passport", rows(4), "bad_claim", b.pass(passportOf().with("sub", nil)))
	b.passport("no ga4gh_passport_v1", rows(4), "missing_claim", b.pass(passportOf().without("ga4gh_passport_v1")))
	for _, v := range [][2]string{{"faculty@a.org", ""}, {"faculty@a@b", ""}, {"faculty", "bad_claim"}, {"@a.org", "bad_claim"}, {"faculty@", "bad_claim"}, {"@", "bad_claim"}, {"faculty＠a.org", "bad_claim"}} {
		b.visa("an AffiliationAndRole of "+strconv.QuoteToASCII(v[0]), rows(29), v[1], b.dacObject(affiliation().with("value", v[0])))
	}
	b.visa("members that nobody knows beside a good grant", rows(22), "", b.dacObject(objectOf().with("x_foo", 1, "Type", "LinkedIdentities", "VALUE", "x", "ga4gh_visa_v1", obj{})))
	b.visas("the same visa twice", rows(19), []string{grant, grant}, []string{"", ""})
	b.passport("a jti of any form is accepted", rows(11), "", b.pass(passportOf().with("jti", "3f2b5c5e-…")))
	b.passport("a jti that is a number", rows(11), "bad_claim", b.pass(passportOf().with("jti", 1)))
	b.passport("access rights outside the visas are read over", rows(20, 22), "", b.pass(passportOf().with("scope", "admin", "roles", []string{"admin"}, "ga4gh_visa_v1", objectOf())))

	b.at("W2401")
	jkt := b.keys.thumbprint("holder-ec")
	for _, c := range []struct {
		what   string
		cnf    any
		reason string
	}{
		{"empty", obj{}, "unsupported_token"}, {"null", nil, "unsupported_token"}, {"a string", "x", "unsupported_token"}, {"a list", []any{}, "unsupported_token"}, {"jwk", obj{"jwk": b.keys.members("holder-ec", "k")}, "unsupported_token"},
		{"kid", obj{"kid": "x"}, "unsupported_token"}, {"jku", obj{"jku": attackerHost}, "unsupported_token"}, {"an empty jkt", obj{"jkt": ""}, "unsupported_token"}, {"jkt as number", obj{"jkt": 1}, "unsupported_token"},
		{"jkt and something unknown", obj{"jkt": jkt, "x": "y"}, "unsupported_token"}, {"jkt, not proven", obj{"jkt": jkt}, "not_proven"}, {"x5t#S256, not proven", obj{"x5t#S256": jkt}, "not_proven"},
		{"x5t without #S256", obj{"x5t": jkt}, "unsupported_token"}, {"JKT", obj{"JKT": jkt}, "unsupported_token"},
	} {
		b.passport("cnf of a passport: "+c.what, rows(110), c.reason, b.pass(passportOf().with("cnf", c.cnf)))
		b.visa("cnf of a visa: "+c.what, rows(110), c.reason, b.dac(visaOf(objectOf()).with("cnf", c.cnf)))
	}
	held := func(title, reason string, p proven, cnf obj) {
		b.add(vector{Title: title, Rows: rows(110), Kind: kindPassports, Request: request{Passports: plains(b.pass(passportOf().with("cnf", cnf))), Proven: &p}, Expect: outcomeOf(reason)})
	}
	held("cnf of a passport: jkt, proven", "", proven{JKT: jkt}, obj{"jkt": jkt})
	held("cnf of a passport: jkt, another key proven", "not_proven", proven{JKT: b.keys.thumbprint("attacker-ec")}, obj{"jkt": jkt})
	held("cnf of a passport: x5t#S256, proven", "", proven{X5T: jkt}, obj{"x5t#S256": jkt})
	held("cnf of a passport: jkt, the certificate proven", "not_proven", proven{X5T: jkt}, obj{"jkt": jkt})
	held("cnf of a passport: both, one proven", "not_proven", proven{JKT: jkt}, obj{"jkt": jkt, "x5t#S256": jkt})
	held("cnf of a passport: both, both proven", "", proven{JKT: jkt, X5T: jkt}, obj{"jkt": jkt, "x5t#S256": jkt})
}

func repeated(s string, times int) []string {
	all := make([]string, times)
	for i := range all {
		all[i] = s
	}
	return all
}

// many is a passport with so many visas, each made of a unit so many times.
func (b *book) many(unit string, visas int, units ...int) text {
	head := headOfPassport().text()
	claims := strings.TrimSuffix(passportOf().text(), "}")
	claims = strings.Replace(claims, `"ga4gh_passport_v1":[],`, "", 1)
	if len(units) > 0 {
		const opening = `,"ga4gh_passport_v1":["` // nothing may be filled in behind it
		blank := strings.Repeat(" ", (3-(len(claims)+len(opening))%3)%3)
		return b.keys.signed("ES256", "broker-ec", head, repeating{before: blank + claims + opening, unit: unit, times: units[0], after: `"]}`})
	}
	return b.keys.signed("ES256", "broker-ec", head, repeating{before: claims + `,"ga4gh_passport_v1":["` + unit + `"`, unit: `,"` + unit + `"`, times: visas - 1, after: "]}"})
}

// callerOf adds who the caller is.
func (b *book) callerOf(title string, rows []int, who identity, passports ...string) vector {
	return vector{Title: title, Rows: rows, Kind: kindPassports, Request: request{Passports: plains(passports...)}, Expect: expect{Outcome: accept, Status: 200, Caller: &who}}
}
