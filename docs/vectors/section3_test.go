package vectors_test

import (
	"strings"
)

func (b *book) encoding() {
	b.section("3-encoding.json", "3. Encoding and JSON", "Bytes that two programs could read in two ways, and too many of them.")
	good := passportOf().text()

	b.at("V027")
	for _, d := range [][2]string{{"sub", `"admin"`}, {"exp", "9999999999"}, {"iat", "1"}, {"ga4gh_passport_v1", "[]"}, {"aud", `"x"`}, {"jti", `"x"`}, {"cnf", `{"jkt":"x"}`}} {
		claims := passportOf()
		if claims[d[0]] == nil {
			claims = claims.with(d[0], "y")
		}
		b.passport(d[0]+" twice in a passport", rows(103), "malformed", b.passText(claims.twice(d[0], d[1])))
	}
	b.passport("iss twice in a passport", rows(103), "malformed", b.passText(`{"iss":"`+brokerURL+`",`+good[1:]))
	b.passport("iss twice, the first of another trusted issuer", rows(103), "unknown_key", b.keys.sign("ES256", "broker-ec", headOfPassport().with("kid", "rsa1").text(), `{"iss":"`+strictURL+`",`+good[1:]), "The key is looked for at the first iss; whichever is taken, the token is refused.")
	for _, d := range [][2]string{{"sub", `"admin"`}, {"exp", "9999999999"}, {"ga4gh_visa_v1", "{}"}, {"scope", `"openid"`}} {
		claims := visaOf(objectOf())
		if claims[d[0]] == nil {
			claims = claims.with(d[0], "x")
		}
		b.visa(d[0]+" twice in a visa", rows(103), "malformed", b.dacText(claims.twice(d[0], d[1])))
	}
	for _, d := range [][2]string{{"type", `"LinkedIdentities"`}, {"value", `"x"`}, {"source", `"x"`}, {"by", `"so"`}, {"asserted", "1"}, {"conditions", "[]"}, {"x_custom", "1"}} {
		object := objectOf()
		if object[d[0]] == nil {
			object = object.with(d[0], []any{})
		}
		visa := strings.Replace(visaOf("@").text(), `"@"`, object.twice(d[0], d[1]), 1)
		b.visa(d[0]+" twice in a visa object", rows(103), "malformed", b.dacText(visa))
	}

	b.at("V029")
	b.passport("a second JSON value after the payload", rows(107), "malformed", b.passText(good+`{"sub":"x"}`))
	b.passport("text after the payload", rows(107), "malformed", b.passText(good+"x"))
	b.passport("a NUL after the payload", rows(107), "malformed", b.passText(good+"\x00"))
	b.passport("a comma after the last member", rows(107), "malformed", b.passText(good[:len(good)-1]+",}"))
	b.passport("a byte order mark before the payload", rows(107), "malformed", b.passText("\ufeff"+good))
	b.passport("white space around the payload", rows(107), "", b.passText(" \n"+good+"\t "))
	b.visa("a second JSON value after a visa's payload", rows(107), "malformed", b.dacText(visaOf(objectOf()).text()+"{}"))

	b.at("V030")
	raw := func(sub string) string { return strings.Replace(good, `"sub":"researcher"`, `"sub":"`+sub+`"`, 1) }
	for _, c := range [][3]string{
		{"an invalid byte", "r\xff", "malformed"}, {"an overlong encoding", "r\xc0\xaf", "malformed"}, {"half a surrogate pair as bytes", "r\xed\xa0\x80", "malformed"},
		{"half a surrogate pair as escape", `r\ud800`, "malformed"}, {"a raw NUL", "r\x00", "malformed"}, {"an escaped NUL", `r\u0000`, "bad_claim"},
		{"a right-to-left override", `r\u202e`, "bad_claim"}, {"a right-to-left isolate", `r\u2067`, "bad_claim"}, {"a zero-width space", `r\u200b`, "bad_claim"},
		{"a zero-width joiner", `r\u200d`, "bad_claim"}, {"a soft hyphen", `r\u00ad`, "bad_claim"}, {"a line separator", `r\u2028`, "bad_claim"},
		{"a line break", `r\n`, "bad_claim"}, {"DEL", `r\u007f`, "bad_claim"}, {"a C1 control", `r\u0085`, "bad_claim"}, {"the replacement character", `r\ufffd`, "bad_claim"},
		{"a noncharacter", `r\uffff`, "bad_claim"}, {"a tag character", "r\U000e0041", "bad_claim"}, {"a private-use character", `r\ue000`, "bad_claim"},
		{"a byte order mark", `r\ufeff`, "bad_claim"}, {"nothing at all", "", "bad_claim"}, {"letters of another script", "исследователь", ""}, {"a combining accent", `re\u0301`, ""},
	} {
		b.passport("sub holds "+c[0], rows(42, 107), c[2], b.passText(raw(c[1])))
	}
	b.visa("a visa's sub holds a right-to-left override", rows(42, 107), "bad_claim", b.dac(visaOf(objectOf()).with("sub", "r\u202e")))
	b.visa("a visa's value holds an invalid byte", rows(24, 107), "malformed", b.dacText(strings.Replace(visaOf(objectOf()).text(), "rarivitis", "rari\xffvitis", 1)))

	b.at("V032")
	for _, payload := range []string{"null", "[]", "{}", `"x"`, "1", "true", " ", "{", `{"iss"`, `{"iss":`} {
		reason := "malformed"
		if payload == "{}" {
			reason = "missing_claim"
		}
		b.passport("the payload is "+payload, rows(4), reason, b.passText(payload))
	}
	b.visa("a visa's payload is null", rows(13), "malformed", b.dacText("null"))
	b.visa("a visa's payload is {}", rows(13), "missing_claim", b.dacText("{}"))

	b.at("V033")
	deep := func(title, unit, close string, times int, reason string) {
		after := strings.Repeat(close, times) + "}"
		r := repeating{before: good[:len(good)-1] + `,"x":`, unit: unit, times: times, after: after}
		t := b.keys.signed("ES256", "broker-ec", headOfPassport().text(), r)
		t = squeezed(t)
		b.texts(title, rows(106), reason, []text{t})
	}
	deep("arrays nested 9,000 deep", "[", "]", 9000, "malformed")
	deep("arrays nested 20,000 deep", "[", "]", 20000, "malformed")
	deep("arrays nested 33 deep", "[", "]", 33, "malformed")
	deep("arrays nested 30 deep", "[", "]", 30, "")
	b.texts("objects nested 9,000 deep, never closed", rows(106), "malformed", []text{b.keys.signed("ES256", "broker-ec", headOfPassport().text(), repeating{good[:len(good)-1] + `,"x":`, `{"x":`, "", 9000})})
	b.texts("a header nested 1,300 deep", rows(106), "malformed", []text{shortened(b.passHeadText(headOfPassport().text()[:len(headOfPassport().text())-1]+`,"x":`+strings.Repeat("[", 1300)+strings.Repeat("]", 1300)+"}"), b64([]byte("[[[")))})
	b.visa("a visa nested 9,000 deep", rows(106), "malformed", b.dacText(strings.Replace(visaOf("@").text(), `"@"`, strings.Repeat("[", 60)+strings.Repeat("]", 60), 1)), "60 deep here: a visa of 9,000 levels would be too large.")

	b.at("V034")
	h, p, s := split3(b.passText(good))
	for _, c := range [][2]string{
		{"two segments", h + "." + p}, {"one segment", h}, {"four segments", h + "." + p + "." + s + "." + s}, {"an empty header", "." + p + "." + s},
		{"an empty payload", h + ".." + s}, {"no signature", h + "." + p + "."}, {"padding after the header", h + "=." + p + "." + s},
		{"padding after the signature", h + "." + p + "." + s + "=="}, {"base64 in place of base64url", h + "." + p + "." + "+//" + s[3:]},
		{"a space in front", " " + h + "." + p + "." + s}, {"a line break behind", h + "." + p + "." + s + "\n"}, {"a line break in the payload", h + "." + p[:8] + "\n" + p[8:] + "." + s},
		{"a tab between", h + ".\t" + p + "." + s}, {"a look-alike dot", h + "\u2024" + p + "." + s}, {"full-width letters", h + "." + p + ".\uff21" + s[1:]},
		{"a percent-encoded dot", h + "%2E" + p + "." + s}, {"a signature of one character", h + "." + p + ".A"},
	} {
		b.passport(c[0], rows(1, 107), "malformed", c[1])
	}
	vh, vp, vs := split3(b.grant())
	b.visa("a visa of two segments", rows(12), "malformed", vh+"."+vp)
	b.visa("a visa with padding", rows(12, 107), "malformed", vh+"."+vp+"."+vs+"==")
	b.visa("an empty visa", rows(12, 19), "malformed", "")

	b.at("W1401")
	b.passport("non-zero trailing bits in the signature", rows(107), "malformed", h+"."+p+"."+s[:len(s)-1]+nextChar(s[len(s)-1]))
	for n := 0; n < 3; n++ {
		claims := good + strings.Repeat(" ", n)
		hh, pp, ss := split3(b.passText(claims))
		if len(claims)%3 == 0 {
			continue
		}
		b.passport("non-zero trailing bits in a payload of "+string(rune('0'+len(claims)%3))+" bytes over", rows(107), "malformed", hh+"."+pp[:len(pp)-1]+nextChar(pp[len(pp)-1])+"."+ss)
	}
	b.passport("Exp beside exp is another member", rows(103), "", b.pass(passportOf().with("Exp", 1, "ISS", "x", "Sub", "admin")))
	b.passport("Exp in place of exp", rows(53, 103), "missing_claim", b.pass(passportOf().without("exp").with("Exp", now+99)))
	b.passport("a look-alike of sub beside sub", rows(42, 103), "", b.pass(passportOf().with("ѕub", "admin")))
	b.passport("a long s in ga4gh_paſſport_v1", rows(4, 103), "missing_claim", b.pass(passportOf().without("ga4gh_passport_v1").with("ga4gh_paſſport_v1", []string{})))
	b.passport("escaped letters in a member's name", rows(103), "", b.passText(strings.Replace(good, `"sub"`, `"\u0073ub"`, 1)))
	b.passport("a member twice, once with an escape", rows(103), "malformed", b.passText(`{"\u0073ub":"admin",`+good[1:]))
	b.passport("a member twice in an object that nobody reads", rows(103), "malformed", b.passText(good[:len(good)-1]+`,"x":{"a":1,"a":2}}`))
	b.passport("a member twice, five levels down", rows(103), "malformed", b.passText(good[:len(good)-1]+`,"x":[[[{"y":{"a":1,"a":1}}]]]}`))
	b.passport("a comment in the JSON", rows(107), "malformed", b.passText("/* */"+good))
	b.passport("single quotes", rows(107), "malformed", b.passText(strings.ReplaceAll(good, `"`, "'")))
	b.passport("NaN", rows(105, 107), "malformed", b.passText(strings.Replace(good, "1799999940", "NaN", 1)))
	b.passport("a number with a leading zero", rows(105, 107), "malformed", b.passText(strings.Replace(good, "1799999940", "01799999940", 1)))
	b.passport("a hexadecimal number", rows(105, 107), "malformed", b.passText(strings.Replace(good, "1799999940", "0x6B49D1C4", 1)))
	b.passport("UTF-16 payload", rows(107), "malformed", b.passText("\xfe\xff"+strings.Join(strings.Split(good, ""), "\x00")))
	b.passport("a number of 3,000 digits in a member that nobody reads", rows(106), "", b.passText(good[:len(good)-1]+`,"x":1`+strings.Repeat("0", 300)+`}`), "300 digits here.")
	huge := repeating{before: good[:len(good)-1] + `,"x":"`, unit: "xxx", after: `"}`}
	huge.times = 330_000
	b.texts("a passport of more than 1 MiB", rows(106), "too_large", []text{b.keys.signed("ES256", "broker-ec", headOfPassport().text(), huge)})
	huge.times = 30_000
	b.texts("a passport of 120 kB for a member that nobody reads", rows(106), "", []text{b.keys.signed("ES256", "broker-ec", headOfPassport().text(), huge)})
	b.texts("10,000 members", rows(106), "", []text{b.keys.signed("ES256", "broker-ec", headOfPassport().text(), manyMembers(good))}, "Members that nobody reads, all different.")
	b.texts("a megabyte of dots", rows(106), "malformed", []text{{[]part{{".", 900_000}}}})
	b.texts("a megabyte of letters", rows(106), "malformed", []text{{[]part{{"A", 900_000}}}})
	b.texts("a megabyte of quotes in the payload", rows(106), "malformed", []text{{[]part{{b64([]byte(headOfPassport().text())) + ".", 1}, {b64([]byte(`"""`)), 200_000}, {".AAAA", 1}}}})
	b.texts("a megabyte of backslashes in an open string", rows(106), "malformed", []text{{[]part{{b64([]byte(headOfPassport().text())) + "." + b64([]byte(filled(`{  "`)[:3]+`   `)), 1}, {b64([]byte(`"\\`)), 1}, {b64([]byte(`\\\`)), 200_000}, {".AAAA", 1}}}})
}

// manyMembers cannot be a recipe of one unit, so the names differ in arrays.
func manyMembers(good string) repeating {
	return repeating{before: good[:len(good)-1] + `,"x":[0`, unit: `,{"a":1,"b":2}`, times: 5000, after: "]}"}
}

// squeezed writes the long run at the end of a recipe as a run too.
func squeezed(t text) text {
	last := t.parts[len(t.parts)-1].Text
	tail := shortened(last, b64([]byte("]]]")))
	return text{append(t.parts[:len(t.parts)-1], tail.parts...)}
}

// nextChar is a base64url character with the same leading bits and one more at the end.
func nextChar(c byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, c)|1])
}

func (b *book) times() {
	b.section("4-times.json", "4. Times", "now is in the file. There is no leeway at the end, and 30 seconds at the beginning.")
	type c struct {
		what   string
		value  any
		reason string
	}
	b.at("V035")
	b.passport("exp missing", rows(53), "missing_claim", b.pass(passportOf().without("exp")))
	b.visa("a visa without exp", rows(13, 53), "missing_claim", b.dac(visaOf(objectOf()).without("exp")))
	b.at("V036")
	for _, v := range []c{{"0", 0, ""}, {`"0"`, "0", ""}, {"0.5", 0.5, ""}} {
		b.passport("exp is "+v.what, rows(53, 105), "bad_time", b.pass(passportOf().with("exp", v.value)))
		b.visa("a visa's exp is "+v.what, rows(53, 105), "bad_time", b.dac(visaOf(objectOf()).with("exp", v.value)))
	}
	b.at("V037")
	for _, text := range []string{"1800003600", "2027-01-15T09:00:00Z", "never", ""} {
		b.passport(`exp is "`+text+`"`, rows(53, 105), "bad_time", b.pass(passportOf().with("exp", text)))
	}
	b.at("V038")
	for _, number := range []string{"null", "true", "[1800003600]", "-1", "1e30", "9223372036854775808", "8589934592", "1800003600000", "1e400", "-0", `{"$date":1}`, "18446744073709551615"} {
		payload := strings.Replace(passportOf().text(), "1800007200", number, 1)
		b.passport("exp is "+number, rows(53, 105), "bad_time", b.passText(payload))
	}
	b.passport("iat is a string", rows(105), "bad_time", b.pass(passportOf().with("iat", "1799999940")))
	b.passport("nbf is null", rows(105), "bad_time", b.pass(passportOf().with("nbf", nil)))

	b.at("V040")
	for _, v := range []struct {
		offset float64
		reason string
	}{{0, "expired"}, {-1, "expired"}, {-0.5, "expired"}, {0.5, ""}, {1, ""}, {-29, "expired"}, {-31, "expired"}, {-3600, "expired"}} {
		title := "exp = now " + signed(v.offset) + " s"
		b.passport(title, rows(53, 63), v.reason, b.pass(passportOf().with("exp", now+v.offset)))
		b.visa("a visa with "+title, rows(53, 63), v.reason, b.dac(visaOf(objectOf()).with("exp", now+v.offset)))
	}
	b.passport("exp as 1.8000036e9", rows(105), "", b.passText(strings.Replace(passportOf().text(), "1800007200", "1.8000036e9", 1)))
	b.passport("exp one second below 2^33", rows(105), "", b.pass(passportOf().with("exp", 8589934591)))

	b.at("V041")
	for _, name := range []string{"iat", "nbf"} {
		for _, v := range []struct {
			offset int
			reason string
		}{{29, ""}, {30, ""}, {31, "not_yet_valid"}, {3600, "not_yet_valid"}} {
			title := name + " = now " + signed(float64(v.offset)) + " s"
			b.passport(title, rows(63), v.reason, b.pass(passportOf().with(name, now+v.offset)))
			b.visa("a visa with "+title, rows(63), v.reason, b.dac(visaOf(objectOf()).with(name, now+v.offset)))
		}
	}

	b.at("V043")
	for _, v := range []c{
		{"missing", nil, "missing_claim"}, {"a string", "1799999940", "bad_time"}, {"0", 0, "bad_time"}, {"negative", -5, "bad_time"}, {"in milliseconds", 1799999940000, "bad_time"},
		{"in the future", now + 3600, "bad_time"}, {"31 s after iat", now - 3600 + 31, "bad_time"}, {"30 s after iat", now - 3600 + 30, ""}, {"a fraction", 1799000000.25, ""},
	} {
		object := objectOf().with("asserted", v.value)
		if v.value == nil {
			object = object.without("asserted")
		}
		b.visa("asserted is "+v.what, rows(23, 105), v.reason, b.dacObject(object))
	}
	b.visa("asserted is null", rows(23, 105), "bad_time", b.dacObject(objectOf().with("asserted", nil)))

	b.at("V044")
	b.behaviour("the clock goes back an hour between two requests: what had expired stays expired", rows(53, 56, 61), "trust/passport.TestMemoryEndsWithWhatItReliesOn")

	b.at("W1601")
	aged := func(asserted int) string {
		return b.by(agedURL, "spare-ec", "ec1", "r", objectOf().with("source", agedURL, "asserted", asserted))
	}
	const age = 90 * 86400
	b.visa("asserted a second less than max_asserted_age ago", rows(54), "", aged(now-age+1))
	b.visa("asserted exactly max_asserted_age ago", rows(54), "expired", aged(now-age))
	b.visa("asserted a second more than max_asserted_age ago", rows(54), "expired", aged(now-age-1))
	b.until("the end is asserted plus max_asserted_age, for exp is later", rows(54, 55), now+60, aged(now-age+60))
	b.until("the end is the least of passport and visas", rows(55), now+10, b.grant(), b.dac(visaOf(objectOf()).with("exp", now+10)))
	b.until("an expired visa does not lower the end", rows(19, 55), now+3600, b.grant(), b.dac(visaOf(objectOf()).with("exp", now-10)))
	b.passport("iat missing", rows(4), "missing_claim", b.pass(passportOf().without("iat")))
	b.passport("iat after exp, both past", rows(53), "expired", b.pass(passportOf().with("iat", now-10, "exp", now-20)))
	b.passport("iat of 1970", rows(105), "", b.pass(passportOf().with("iat", 1)))
	b.passport("iat is 0", rows(105), "bad_time", b.pass(passportOf().with("iat", 0)))
	b.visa("a visa without iat", rows(13), "missing_claim", b.dac(visaOf(objectOf()).without("iat")))
	b.visa("nbf past and iat past", rows(63), "", b.dac(visaOf(objectOf()).with("nbf", now-5)))
	b.visa("nbf after exp", rows(63), "not_yet_valid", b.dac(visaOf(objectOf()).with("nbf", now+7200)))
}

// until adds a request whose end is known.
func (b *book) until(title string, rows []int, at int64, visas ...string) {
	v := b.visasOf(title, rows, visas, nil)
	v.Expect.Until = at
	b.add(v)
}

func signed(offset float64) string {
	text := strings.TrimSuffix(strings.TrimSuffix(string(must(marshal(offset))), ".0"), "\n")
	if offset >= 0 {
		return "+" + text
	}
	return text
}
