package vectors_test

import "strings"

// asks adds a whole HTTP request to the node's door.
func (b *book) asks(title string, rows []int, status int, reason string, in httpIn, note ...string) {
	e := expect{Outcome: refuse, Reason: reason, Status: status}
	if status < 400 {
		e.Outcome = accept
	}
	b.add(vector{Title: title, Rows: rows, Kind: kindHTTP, Request: request{HTTP: &in}, Expect: e, Note: strings.Join(note, " ")})
}

func (b *book) door() {
	b.section("11-door.json", "11. The door", "Whole requests to the HTTP edge of a node whose external address is https://node.example, over a connection that nobody else can read.")
	const whoami, variants = "/v1/whoami", "/beacon/g_variants"
	good := b.pass(passportOf(b.grant()))
	token := b.accessToken()
	post := func(path, body string, headers ...[2]string) httpIn {
		return httpIn{Method: "POST", Path: path, Headers: append([][2]string{{"Content-Type", "application/json"}}, headers...), Body: plain(body)}
	}
	auth := func(value string) [2]string { return [2]string{"Authorization", value} }
	passports := obj{"passports": []string{good}}.text()
	const question = `"query":{"requestParameters":{"assemblyId":"GRCh37","referenceName":"22","start":[99],"referenceBases":"A","alternateBases":"G"}}`

	b.at("V106")
	bad := obj{"passports": []string{b.pass(passportOf().with("exp", now-5))}}.text()
	b.asks("testMode with an expired passport: a synthetic answer", rows(135), 200, "", post(variants, strings.Replace(bad, "}", `,"query":{"testMode":true,"requestParameters":{"assemblyId":"GRCh37","referenceName":"22","start":[99],"referenceBases":"A","alternateBases":"G"}}}`, 1)))

	b.at("W9001")
	b.asks("passports in the body", rows(137), 200, "", post(whoami, passports))
	b.asks("passports beside a question", rows(137), 200, "", post(variants, passports[:len(passports)-1]+","+question+"}"))
	b.asks("nothing is shown", rows(138), 401, "", post(whoami, "{}"))
	b.asks("an empty list of passports", rows(138), 401, "", post(whoami, `{"passports":[]}`))
	for _, body := range []string{`{"passports":"x"}`, `{"passports":{}}`, `{"passports":[null]}`, `{"passports":[1]}`, `{"passports":[["x"]]}`, `{"passports":[],"passports":[]}`, `{"Passports":[]}`, `{"passport":["x"]}`, `{"passports":[]}{}`, `[]`, `null`, `"x"`, ``, `{`, `{"x":1}`, `{"passports":["\ud800"]}`, "\ufeff{}", `{"access_token":"x"}`} {
		status := 400
		if body == "null" {
			status = 401
		}
		b.asks("the body is "+body, rows(103, 107, 137), status, "", post(whoami, body))
	}
	b.asks("a passport in the URL", rows(137), 400, "unsupported_token", httpIn{Method: "GET", Path: variants + "?passport=" + good[:40]})
	b.asks("passports in the URL", rows(137), 400, "unsupported_token", httpIn{Method: "GET", Path: variants + "?passports=x"})
	b.asks("a token in the URL under another name", rows(137), 400, "unsupported_token", httpIn{Method: "GET", Path: variants + "?start=" + good[:60]})
	b.asks("access_token in the URL of a POST", rows(137), 400, "unsupported_token", post(whoami+"?access_token="+good[:40], passports))
	b.asks("GET in place of POST", rows(137), 405, "", httpIn{Method: "GET", Path: whoami})
	b.asks("a form in place of JSON", rows(137), 415, "", httpIn{Method: "POST", Path: whoami, Headers: [][2]string{{"Content-Type", "application/x-www-form-urlencoded"}}, Body: plain("passports=x")})
	b.asks("a compressed body", rows(106, 137), 415, "", post(whoami, passports, [2]string{"Content-Encoding", "gzip"}))
	b.asks("an encoded path", rows(138), 404, "", post("/v1%2Fwhoami", passports))
	b.asks("a path in capitals", rows(138), 404, "", post("/v1/Whoami", passports))

	b.at("W9201")
	for _, c := range []struct {
		value, reason string
		status        int
	}{
		{"Bearer " + token, "", 200}, {"bearer " + token, "", 200}, {"BEARER  " + token, "", 200}, {"Bearer", "unsupported_token", 401}, {"Bearer ", "unsupported_token", 401}, {token, "unsupported_token", 401}, {"Basic eDp5", "unsupported_token", 401}, {"Bearer " + token + " x", "unsupported_token", 401},
		{"Bearer " + token + ",", "unsupported_token", 401}, {"Bearer " + token + ", Bearer " + token, "unsupported_token", 401}, {`Bearer "` + token + `"`, "unsupported_token", 401}, {"Bearer\t" + token, "unsupported_token", 401}, {"Token " + token, "unsupported_token", 401}, {"Bearer token=" + token, "unsupported_token", 401},
		{"Bearer " + token + "=", "malformed", 401}, {"Bearer " + token + ".AAAA", "malformed", 401}, {"Bearer opaque-token", "unsupported_token", 401}, {"Bearer " + good[:200], "malformed", 401}, {"Bearer cgs_x", "unsupported_token", 401}, {"Bearer cgs_" + strings.Repeat("A", 43), "session", 401}, {"DPoP " + token, "bad_proof", 401}, {"PassportAuth " + good[:100], "unsupported_token", 401},
		{"Bearer eyJhbGciOiJSU0EtT0FFUC0yNTYiLCJlbmMiOiJBMjU2R0NNIn0.AAAA.AAAA.AAAA.AAAA", "unsupported_token", 401}, {"Bearer " + strings.Repeat("A", 3000), "unsupported_token", 401}, {"", "unsupported_token", 401},
	} {
		title := c.value
		if i := strings.Index(title, "eyJ"); i >= 0 && len(title) > i+9 {
			title = title[:i+9] + "..."
		}
		b.asks("Authorization: "+title[:min(len(title), 70)], rows(65, 66, 138), c.status, c.reason, post(whoami, "{}", auth(c.value)))
	}
	b.asks("two Authorization headers", rows(66), 401, "unsupported_token", post(whoami, "{}", auth("Bearer "+token), auth("Bearer "+token)))
	b.asks("an Authorization header and passports", rows(66, 137), 401, "unsupported_token", post(whoami, passports, auth("Bearer "+token)))
	b.asks("a proof without a token", rows(109), 401, "bad_proof", post(whoami, "{}", [2]string{"DPoP", "x"}))
	b.asks("a proof beside passports", rows(109), 401, "bad_proof", post(whoami, passports, [2]string{"DPoP", "x"}))
	b.asks("a proof with a Bearer token", rows(109, 110), 401, "bad_proof", post(whoami, "{}", auth("Bearer "+token), [2]string{"DPoP", "x"}))
	b.asks("a passport as access token", rows(66, 108), 401, "wrong_type", post(whoami, "{}", auth("Bearer "+b.keys.sign("ES256", "op-ec", headOfPassport().text(), passportOf().with("iss", opURL).text()))))
	b.asks("a header of 20 kB", rows(106), 431, "", httpIn{Method: "POST", Path: whoami, Headers: [][2]string{auth("Bearer " + strings.Repeat("A", 20000))}, Body: plain("{}")})
	b.asks("a session cookie of nobody", rows(138), 403, "session", post(whoami, "{}", [2]string{"Cookie", "__Host-candignode=cgs_" + strings.Repeat("A", 43)}))
	b.asks("a session cookie sent by another page", rows(138), 403, "session", post(whoami, "{}", [2]string{"Cookie", "__Host-candignode=cgs_" + strings.Repeat("A", 43)}, [2]string{"Origin", "https://attacker.example"}))
	b.asks("a session cookie and a token", rows(138), 401, "unsupported_token", post(whoami, "{}", [2]string{"Cookie", "__Host-candignode=cgs_" + strings.Repeat("A", 43)}, auth("Bearer "+token)))
	b.asks("a session cookie that is none", rows(138), 401, "session", post(whoami, "{}", [2]string{"Cookie", "__Host-candignode=x"}, [2]string{"Origin", nodeURL}))

	b.at("W9401")
	huge := func(title string, status int, parts ...part) {
		in := post(whoami, "")
		in.Body = text{parts}
		b.asks(title, rows(106), status, "", in)
	}
	huge("a body of 10 MB", 413, part{`{"passports":["`, 1}, part{"AAAAAAAAAA", 1_000_000}, part{`"]}`, 1})
	huge("a body nested 9,000 deep", 400, part{`{"passports":`, 1}, part{"[", 9000}, part{"]", 9000}, part{"}", 1})
	huge("a body nested 500,000 deep", 400, part{`{"passports":`, 1}, part{"[", 500_000}, part{"]", 500_000}, part{"}", 1})
	in := post(whoami, "")
	in.Body = text{[]part{{`{"passports":["x"`, 1}, {`,"x"`, 200_000}, {"]}", 1}}}
	b.asks("a body with 200,000 passports", rows(106), 413, "too_many", in)
	huge("a body with 100,000 members", 400, part{"{", 1}, part{`"x":1,`, 100_000}, part{`"passports":[]}`, 1})
	huge("a body of white space", 401, part{"{", 1}, part{"          ", 100_000}, part{"}", 1})
}

func (b *book) behaviours() {
	b.section("12-behaviours.json", "12. Behaviours", "What takes time, a network or a memory, and so cannot be written as data; with the tests of this project that hold it.")
	b.at("W9601")
	for _, v := range []struct {
		title string
		rows  []int
		tests []string
	}{
		{"a key that its issuer rotates works within one question", rows(96), []string{"trust/issuers.TestRefreshPicksUpARotatedKey", "trust/passport.TestRotationIsPickedUpInOneRequest"}},
		{"a key that its issuer withdraws stops everywhere", rows(99), []string{"simulate.TestARotatedKeyWorksAndAWithdrawnOneStopsEverywhere", "trust/issuers.TestRotationReachesAll"}},
		{"a verdict that is remembered is the verdict that would be found anew", rows(61), []string{"trust/passport.TestSecondAnswerIsTheFirst", "trust/passport.TestNewViewForgetsOldVerdicts"}},
		{"what is revoked is refused at the next question", rows(62), []string{"trust/passport.TestRevocations"}},
		{"a poll that fails is repeated ever more rarely, with random delays", rows(58), []string{"trust/polling.TestAnIssuerThatIsDownIsAskedEverMoreRarely", "trust/polling.TestDelaysGrowWithinTheirBounds"}},
		{"polling stops at exp and at a refusal", rows(59), []string{"trust/polling.TestPollingStops", "trust/polling.TestARefusalIsForGood"}},
		{"visas of a poll replace the old ones", rows(60), []string{"trust/polling.TestUpdatedVisasReplaceTheOld"}},
		{"a passport that one site was shown is useless to that site elsewhere", rows(8, 70), []string{"simulate.TestACapturedPassportIsUselessToAPeersNode", "simulate.TestACapturedPassportIsRefusedAtAnotherSitesDoor"}},
		{"introspection: active is anything but true", rows(69), []string{"trust/bearer.TestInactive"}},
		{"UserInfo: another sub, another media type, alg none", rows(68), []string{"trust/bearer.TestUserInfoIsDiscarded"}},
		{"a claim source that is down holds up nobody and is not asked again at once", rows(83, 84), []string{"trust/claims.TestOneSourceIsDown", "trust/claims.TestNoRetryStorm"}},
		{"a proof is good once, whatever the clock does", rows(109), []string{"trust/proof.TestProofIsGoodOnce", "trust/proof.TestNoProofIsGoodTwice", "trust/proof.TestClockSetBack"}},
		{"addresses that no issuer stands on are not dialled", rows(87, 94), []string{"trust/discovery.TestAddresses", "trust/discovery.TestRebinding"}},
	} {
		b.behaviour(v.title, v.rows, v.tests...)
	}
}
