package vectors_test

import (
	"crypto/sha256"
	"fmt"
	"strings"
)

// behaviour adds what cannot be written as data, with the tests of this project that
// hold it.
func (b *book) behaviour(title string, rows []int, tests ...string) {
	b.add(vector{Title: title, Rows: rows, Kind: kindBehaviour, Expect: expect{Outcome: other}, CoveredBy: tests})
}

// claim adds a UserInfo response of the provider that points to claims.
func (b *book) claim(title string, rows []int, response string, answers map[string]string, e expect, note ...string) {
	e.Outcome = accept
	b.add(vector{
		Title: title, Rows: rows, Kind: kindClaims, Expect: e, Note: strings.Join(note, " "),
		Request: request{Claims: &claimsIn{Provider: opURL, Response: plain(response), Answers: answers}},
	})
}

func (b *book) claims() {
	b.section("8-claims.json", "8. Claims sources, exchange, federation", "A UserInfo response of https://op.example about researcher, and what the sources that it points to answer. Whatever happens, the sign-in holds: claims are found or absent.")
	jwt := func(source string, claims obj) string {
		key := strings.TrimSuffix(strings.TrimPrefix(source, "https://"), ".example") + "-ec"
		if b.keys[key] == nil {
			key = "attacker-ec"
		}
		base := obj{"iss": source, "iat": now - 10, "exp": now + 600, "grants": []string{"x"}, "other_grants": []string{"y"}, "terms": true}
		all := base.with()
		for name, value := range claims {
			all[name] = value
			if value == nil {
				delete(all, name)
			}
		}
		return b.keys.sign("ES256", key, obj{"alg": "ES256", "kid": "ec1", "typ": "JWT"}.text(), all.text())
	}
	point := func(names, sources any) string {
		return obj{"sub": "researcher", "_claim_names": names, "_claim_sources": sources}.text()
	}
	names := obj{"grants": "src"}
	to := func(source obj) string { return point(names, obj{"src": source}) }
	endpoint := sourceAURL + "/claims"
	found, absent := expect{Found: []string{"grants"}}, expect{Absent: []string{"grants"}}
	fetched := expect{Absent: []string{"grants"}, Asked: []string{endpoint}}

	b.at("V094")
	for _, e := range []string{attackerHost + "/claims", "https://127.0.0.1/claims", "https://169.254.169.254/latest/meta-data/", "https://[::1]/claims", "https://[::ffff:127.0.0.1]/claims", "https://localhost/claims", "https://0x7f000001/claims", "https://attacker.example/claims",
		"http://source-a.example/claims", endpoint + "/", endpoint + "?x=1", endpoint + "#x", "https://SOURCE-A.example/claims", "https://source-a.example:443/claims", "https://source-a.example@attacker.example/claims", "https://source-a.example/../claims", "file:///etc/passwd", "", "//source-a.example/claims", endpoint + "\r\nX: y"} {
		b.claim(fmt.Sprintf("endpoint %q is not listed", e), rows(50, 87), to(obj{"endpoint": e, "access_token": "a-token"}), nil, absent)
	}
	b.claim("endpoint that is listed", rows(82, 87), to(obj{"endpoint": endpoint, "access_token": "a-token"}), map[string]string{endpoint: jwt(sourceAURL, nil)}, expect{Found: []string{"grants"}, Asked: []string{endpoint}})
	b.behaviour("an endpoint whose name leads to a private address on the second look-up", rows(87), "trust/discovery.TestRebinding")
	b.behaviour("an endpoint that redirects to another host", rows(87), "trust/oidc.TestRedirectsKeepTokensHere")

	b.at("V095")
	b.claim("a source's JWT without iss", rows(86), to(obj{"JWT": jwt(sourceAURL, obj{"iss": nil})}), nil, absent)
	b.claim("a source's JWT with the sub of another user", rows(85), to(obj{"JWT": jwt(sourceAURL, obj{"sub": "somebody"})}), nil, absent)
	b.claim("a source's JWT with the provider's sub", rows(85), to(obj{"JWT": jwt(sourceAURL, obj{"sub": "researcher"})}), nil, absent, "The sub is the source's own: equal letters say nothing.")
	b.claim("a claim that was not pointed to", rows(88), to(obj{"JWT": jwt(sourceAURL, obj{"ga4gh_passport_v1": []string{"x"}})}), nil, found)
	h, p, _ := split3(jwt(sourceAURL, nil))
	b.claim("a source's JWT with alg none", rows(81, 101), to(obj{"JWT": b64([]byte(`{"alg":"none"}`)) + "." + p + "."}), nil, absent)
	b.claim("a source's JWT without signature", rows(81), to(obj{"JWT": h + "." + p + "."}), nil, absent)

	b.at("W5001")
	b.claim("an aggregated claim", rows(81), to(obj{"JWT": jwt(sourceAURL, nil)}), nil, found)
	b.claim("an aggregated claim with members that nobody knows", rows(81), to(obj{"JWT": jwt(sourceAURL, nil), "x": obj{}}), nil, found)
	b.claim("the source signed no such claim", rows(81), to(obj{"JWT": jwt(sourceAURL, obj{"grants": nil})}), nil, absent)
	b.claim("the source's claim is null", rows(81), to(obj{"JWT": jwt(sourceAURL, obj{"Grants": 1, "grants": []any{}})}), nil, found)
	b.claim("a source that is not trusted", rows(86), to(obj{"JWT": jwt(strangerURL, nil)}), nil, absent)
	b.claim("a source that is an issuer of visas", rows(86, 108), to(obj{"JWT": jwt(dacURL, nil)}), nil, absent)
	b.claim("a source's JWT by another source's key", rows(86, 95), to(obj{"JWT": b.keys.sign("ES256", "source-b-ec", `{"alg":"ES256","kid":"ec1"}`, obj{"iss": sourceAURL, "exp": now + 9, "grants": 1}.text())}), nil, absent)
	b.claim("a claim that is not taken from this source", rows(87, 88), point(obj{"other_grants": "src"}, obj{"src": obj{"JWT": jwt(sourceAURL, nil)}}), nil, expect{Absent: []string{"other_grants"}})
	b.claim("a source's JWT that has expired", rows(53, 81), to(obj{"JWT": jwt(sourceAURL, obj{"exp": now})}), nil, absent)
	b.claim("a source's JWT without iat and exp", rows(53, 81), to(obj{"JWT": jwt(sourceAURL, obj{"exp": nil, "iat": nil})}), nil, absent)
	b.claim("a source's JWT of an hour ago without exp", rows(53, 81), to(obj{"JWT": jwt(sourceAURL, obj{"exp": nil, "iat": now - 3600})}), nil, absent)
	b.claim("a source's JWT from the future", rows(63, 81), to(obj{"JWT": jwt(sourceAURL, obj{"iat": now + 3600, "exp": now + 7200})}), nil, absent)
	b.claim("a source's JWT for another audience", rows(8, 81), to(obj{"JWT": jwt(sourceAURL, obj{"aud": "other-node"})}), nil, absent)
	b.claim("a source's JWT for this client", rows(81), to(obj{"JWT": jwt(sourceAURL, obj{"aud": "this-node-op"})}), nil, absent, "The client id is this node's at the provider, and not at the source.")
	for _, c := range []struct{ what, names, sources string }{
		{"_claim_names is a list", `["grants"]`, `{"src":{"JWT":"x"}}`}, {"_claim_names is null", `null`, `{}`}, {"_claim_names is a string", `"grants"`, `{}`},
	} {
		b.claim(c.what, rows(80), `{"sub":"researcher","_claim_names":`+c.names+`,"_claim_sources":`+c.sources+`}`, nil, expect{Absent: []string{"_claim_names"}})
	}
	good := obj{"JWT": jwt(sourceAURL, nil)}.text()
	for _, c := range []struct{ what, names, sources string }{
		{"_claim_sources is a list", `{"grants":"src"}`, `[` + good + `]`}, {"_claim_sources is missing", `{"grants":"src"}`, `null`}, {"the reference dangles", `{"grants":"other"}`, `{"src":` + good + `}`}, {"the reference is a number", `{"grants":1}`, `{"1":` + good + `}`},
		{"the reference is null", `{"grants":null}`, `{"src":` + good + `}`}, {"the reference is an object", `{"grants":{}}`, `{"src":` + good + `}`}, {"the reference is a list", `{"grants":["src"]}`, `{"src":` + good + `}`}, {"the reference is in another case", `{"grants":"SRC"}`, `{"src":` + good + `}`},
		{"the source is a string", `{"grants":"src"}`, `{"src":"x"}`}, {"the source is null", `{"grants":"src"}`, `{"src":null}`}, {"the source is empty", `{"grants":"src"}`, `{"src":{}}`}, {"JWT is null", `{"grants":"src"}`, `{"src":{"JWT":null}}`}, {"JWT is empty", `{"grants":"src"}`, `{"src":{"JWT":""}}`},
		{"jwt in small letters", `{"grants":"src"}`, `{"src":` + strings.Replace(good, "JWT", "jwt", 1) + `}`}, {"JWT and endpoint at once", `{"grants":"src"}`, `{"src":` + good[:len(good)-1] + `,"endpoint":"` + endpoint + `"}}`},
		{"endpoint is a list", `{"grants":"src"}`, `{"src":{"endpoint":["` + endpoint + `"]}}`}, {"access_token is a number", `{"grants":"src"}`, `{"src":{"endpoint":"` + endpoint + `","access_token":1}}`}, {"access_token ends the header", `{"grants":"src"}`, `{"src":{"endpoint":"` + endpoint + `","access_token":"a\r\nX: y"}}`},
		{"access_token is empty", `{"grants":"src"}`, `{"src":{"endpoint":"` + endpoint + `","access_token":""}}`}, {"JWT twice", `{"grants":"src"}`, `{"src":{"JWT":"x","JWT":"y"}}`},
	} {
		e := absent
		if c.what == "JWT twice" {
			e = expect{Absent: []string{"_claim_names"}}
		}
		b.claim(c.what, rows(80), `{"sub":"researcher","_claim_names":`+c.names+`,"_claim_sources":`+c.sources+`}`, nil, e)
	}
	b.claim("a name that is there itself besides", rows(88), strings.Replace(to(obj{"JWT": jwt(sourceAURL, nil)}), "{", `{"grants":[],`, 1), nil, absent)
	for _, name := range []string{"sub", "iss", "aud", "exp", "cnf", "scope", "_claim_names", "_claim_sources"} {
		response := obj{"_claim_names": obj{name: "src"}, "_claim_sources": obj{"src": obj{"JWT": jwt(sourceAURL, obj{"sub": "admin"})}}}.text()
		b.claim("a source is to set "+name, rows(85, 88), response, nil, expect{Absent: []string{name}})
	}
	for _, c := range [][2]string{{"JSON", `{"grants":["x"]}`}, {"HTML", "<html></html>"}, {"nothing", ""}, {"an unsigned JWT", b64([]byte(`{"alg":"none"}`)) + "." + p + "."}, {"a visa", b.grant()}, {"a passport", b.pass(passportOf())}, {"the other source's JWT", jwt(sourceBURL, nil)}} {
		b.claim("the endpoint answers with "+c[0], rows(82), to(obj{"endpoint": endpoint}), map[string]string{endpoint: c[1]}, fetched)
	}
	b.claim("the endpoint does not answer", rows(84), to(obj{"endpoint": endpoint}), nil, fetched)
	b.claim("one source is down and the other is not", rows(84), point(obj{"terms": "a", "other_grants": "b"}, obj{"a": obj{"endpoint": endpoint}, "b": obj{"JWT": jwt(sourceBURL, nil)}}), nil, expect{Found: []string{"other_grants"}, Absent: []string{"terms"}, Asked: []string{endpoint}})
	b.claim("three names of two sources", rows(88, 89), point(obj{"grants": "a", "terms": "a", "other_grants": "b"}, obj{"a": obj{"JWT": jwt(sourceAURL, nil)}, "b": obj{"JWT": jwt(sourceBURL, nil)}}), nil, expect{Found: []string{"grants", "other_grants", "terms"}})
	many := obj{}
	for i := range 65 {
		many[fmt.Sprintf("n%d", i)] = "src"
	}
	b.claim("65 names", rows(106), point(many, obj{"src": obj{"JWT": jwt(sourceAURL, nil)}}), nil, expect{Absent: []string{"_claim_names"}})
	b.add(vector{Title: "a name of two sources, where that is allowed", Rows: rows(89), Kind: kindClaims, Expect: expect{Outcome: accept, Found: []string{"grants", "grants"}}, Request: request{Claims: &claimsIn{
		Provider: opURL, Arrays: true, Response: plain(point(obj{"grants": []string{"a", "b"}}, obj{"a": obj{"JWT": jwt(sourceAURL, nil)}, "b": obj{"JWT": jwt(sourceBURL, nil)}})),
	}}})
	b.claim("the response is no JSON", rows(80), "<html>", nil, expect{Absent: []string{"_claim_names"}})
	b.claim("the response has a member twice", rows(80, 103), strings.Replace(to(obj{"JWT": jwt(sourceAURL, nil)}), "{", `{"sub":"admin",`, 1), nil, expect{Absent: []string{"_claim_names"}})
	b.claim("the response points to nothing", rows(80), `{"sub":"researcher"}`, nil, expect{})

	b.at("V097")
	b.behaviour("token exchange: a passport as subject_token, the missing scope, an unknown resource, actor_token without its type", rows(74, 75, 77, 78), "trust/broker.TestFormIsStrict", "trust/broker.TestTargets", "trust/broker.TestFaultsAreToldApart")
	b.behaviour("token exchange: the reply has another issued_token_type", rows(76), "trust/oidc.TestExchangeReplies")
	notYet := "OpenID Federation (rows 118 to 131) is not covered yet."
	for _, v := range []struct {
		series, title string
		row           int
	}{
		{"V099", "the leaf's entity configuration has expired, or lacks exp or iat, or is from the future: the chain is refused", 119}, {"V100", "an unknown crit claim in a subordinate statement: refused", 120}, {"V102", "an anchor without pinned keys: refused", 123},
		{"V103", "500 bogus authority_hints: at most the cap is fetched", 130}, {"V104", "allowed_entity_types leaves one of two types out: the type goes, the chain stays", 127}, {"V105", "trust_mark_issuers is empty: anyone may issue", 128},
	} {
		b.at(v.series)
		b.add(vector{Title: v.title, Rows: rows(v.row), Kind: kindBehaviour, Expect: expect{Outcome: other}, Note: notYet})
	}
}

// accessToken signs an access token of the provider.
func (b *book) accessToken(change ...any) string {
	return b.accessHead(obj{"alg": "ES256", "kid": "ec1", "typ": "at+jwt"}, change...)
}

func accessOf() obj {
	return obj{"iss": opURL, "sub": "researcher", "iat": now - 60, "exp": now + 600, "scope": "openid ga4gh_passport_v1", "client_id": "this-node-op", "jti": "1"}
}

func (b *book) accessHead(head obj, change ...any) string {
	return b.keys.sign("ES256", "op-ec", head.text(), accessOf().with(change...).text())
}

func (b *book) accessWithout(name string) string {
	return b.keys.sign("ES256", "op-ec", obj{"alg": "ES256", "kid": "ec1", "typ": "at+jwt"}.text(), accessOf().without(name).text())
}

// token adds a token shown as an access token.
func (b *book) token(title string, rows []int, reason, compact string, note ...string) {
	b.tokenAs(title, rows, reason, "access_token", plain(compact), note...)
}

func (b *book) tokenAs(title string, rows []int, reason, as string, compact text, note ...string) {
	in := &tokenIn{As: as, Compact: compact, Audience: []string{"this-node-op", nodeURL}}
	switch as {
	case "access_token":
		in.Scopes = []string{"openid", "ga4gh_passport_v1"}
	case "id_token":
		in.Issuer, in.Nonce = opURL, "n"
	case "claims":
		in.Issuer = sourceAURL
	default:
		in.Issuer = opURL
	}
	v := vector{Title: title, Rows: rows, Kind: kindToken, Request: request{Token: in}, Expect: outcomeOf(reason), Note: strings.Join(note, " ")}
	if as != "access_token" {
		v.Expect.Status = 0
	}
	b.add(v)
}

func (b *book) tokens() {
	b.section("9-tokens.json", "9. Other tokens", "Access tokens as callers bring them, other JWTs as this node fetches them, and every kind of token in the place of every other.")
	b.at("W6001")
	b.token("a passport-scoped access token", rows(66), "", b.accessToken())
	b.token("typ JWT", rows(66), "", b.accessHead(obj{"alg": "ES256", "kid": "ec1", "typ": "JWT"}))
	b.token("typ application/at+jwt", rows(66), "", b.accessHead(obj{"alg": "ES256", "kid": "ec1", "typ": "application/AT+jwt"}))
	b.token("no typ", rows(66), "wrong_type", b.accessHead(obj{"alg": "ES256", "kid": "ec1"}))
	b.token("no kid", rows(66), "header", b.accessHead(obj{"alg": "ES256", "typ": "at+jwt"}))
	b.token("alg none over a good signature", rows(66, 100), "algorithm", b.accessHead(obj{"alg": "none", "kid": "ec1", "typ": "at+jwt"}))
	b.token("alg HS256 over a good signature", rows(66, 100), "algorithm", b.accessHead(obj{"alg": "HS256", "kid": "ec1", "typ": "at+jwt"}))
	for _, name := range []string{"iss", "sub", "iat", "exp", "scope"} {
		reason := "missing_claim"
		if name == "scope" {
			reason = "scope"
		}
		b.token("no "+name, rows(66), reason, b.accessWithout(name))
	}
	for _, s := range []struct {
		scope  any
		reason string
	}{
		{"ga4gh_passport_v1 openid", ""}, {"profile openid email ga4gh_passport_v1 x", ""}, {"openid", "scope"}, {"ga4gh_passport_v1", "scope"}, {"openidx ga4gh_passport_v1", "scope"}, {"openid ga4gh_passport_v10", "scope"}, {"OpenID ga4gh_passport_v1", "scope"},
		{"openid,ga4gh_passport_v1", "scope"}, {"openid\tga4gh_passport_v1", "scope"}, {"openid\u00a0ga4gh_passport_v1", "scope"}, {"  openid   ga4gh_passport_v1  ", ""}, {"", "scope"}, {[]string{"openid", "ga4gh_passport_v1"}, "scope"}, {1, "bad_claim"}, {nil, "bad_claim"}, {"openid+ga4gh_passport_v1", "scope"},
	} {
		b.token("scope "+string(must(marshal(s.scope))), rows(66), s.reason, b.accessToken("scope", s.scope))
	}
	for _, a := range []struct {
		what   string
		aud    any
		reason string
	}{
		{"this client", "this-node-op", ""}, {"this node's address", nodeURL, ""}, {"a list with this client", []string{"x", "this-node-op"}, ""}, {"another client", "other", "wrong_audience"}, {"a prefix", "this-node-o", "wrong_audience"}, {"an empty list", []string{}, "wrong_audience"}, {"null", nil, "bad_claim"}, {"a number", 1, "bad_claim"}, {"the issuer", opURL, "wrong_audience"}, {"the node's address with a slash", nodeURL + "/", "wrong_audience"},
	} {
		b.token("aud is "+a.what, rows(8, 66), a.reason, b.accessToken("aud", a.aud))
	}
	b.token("another client_id", rows(8, 66), "wrong_audience", b.accessToken("client_id", "other"))
	b.token("azp of another client, no client_id", rows(8, 66), "wrong_audience", b.keys.sign("ES256", "op-ec", `{"alg":"ES256","kid":"ec1","typ":"at+jwt"}`, accessOf().without("client_id").with("azp", "other").text()))
	b.token("neither aud nor client", rows(9, 66), "", b.accessWithout("client_id"))
	b.token("visas inside", rows(67), "wrong_type", b.accessToken("ga4gh_passport_v1", []string{b.grant()}))
	b.token("an empty list of visas inside", rows(67), "wrong_type", b.accessToken("ga4gh_passport_v1", []string{}))
	b.token("a visa object inside", rows(67, 108), "wrong_type", b.accessToken("ga4gh_visa_v1", objectOf()))
	b.token("exp = now", rows(53, 66), "expired", b.accessToken("exp", now))
	b.token("exp is a string", rows(66, 105), "bad_time", b.accessToken("exp", "1800003600"))
	b.token("iat in an hour", rows(63, 66), "not_yet_valid", b.accessToken("iat", now+3600))
	b.token("nbf in an hour", rows(63, 66), "not_yet_valid", b.accessToken("nbf", now+3600))
	b.token("sub twice", rows(66, 103), "malformed", b.keys.sign("ES256", "op-ec", `{"alg":"ES256","kid":"ec1","typ":"at+jwt"}`, accessOf().twice("sub", `"admin"`)))
	b.token("a stranger's", rows(50, 66), "untrusted_issuer", b.keys.sign("ES256", "attacker-ec", `{"alg":"ES256","kid":"ec1","typ":"at+jwt","jku":"`+attackerHost+`/jwks"}`, accessOf().with("iss", attackerHost).text()))
	b.token("an attacker's in the provider's name", rows(66), "bad_signature", b.keys.sign("ES256", "attacker-ec", `{"alg":"ES256","kid":"ec1","typ":"at+jwt"}`, accessOf().text()))
	b.token("iss with a slash more", rows(66, 91), "untrusted_issuer", b.accessToken("iss", opURL+"/"))
	b.token("bound to a key that is not proven", rows(110), "not_proven", b.accessToken("cnf", obj{"jkt": b.keys.thumbprint("holder-ec")}))
	b.token("bound to a certificate that is not proven", rows(110), "not_proven", b.accessToken("cnf", obj{"x5t#S256": b.keys.thumbprint("holder-ec")}))
	b.token("bound in a way that nobody knows", rows(110), "unsupported_token", b.accessToken("cnf", obj{"kid": "x"}))
	b.tokenAs("20 kB", rows(106), "too_large", "access_token", shortened(b.accessToken("x", strings.Repeat("x", 20000)), b64([]byte("xxx"))), "At the door a header of this size is refused before: 431.")

	b.at("W6301")
	member := func(claims obj, pairs ...any) obj { return claims.with(pairs...) }
	id := obj{"iss": opURL, "sub": "researcher", "aud": "this-node-op", "iat": now - 60, "exp": now + 600, "nonce": "n"}
	info := obj{"iss": opURL, "sub": "researcher", "aud": "this-node-op", "iat": now - 60, "exp": now + 600, "ga4gh_passport_v1": []string{}}
	jwt := func(typ string, claims obj) string {
		head := obj{"alg": "ES256", "kid": "ec1"}
		if typ != "" {
			head["typ"] = typ
		}
		return b.keys.sign("ES256", "op-ec", head.text(), claims.text())
	}
	proofClaims := obj{"jti": "p", "htm": "POST", "htu": nodeURL + "/v1/whoami", "iat": now, "iss": opURL, "sub": "researcher", "exp": now + 60, "scope": "openid ga4gh_passport_v1"}
	statement := obj{"iss": opURL, "sub": opURL, "iat": now - 60, "exp": now + 600, "jwks": obj{"keys": []any{}}, "aud": "this-node-op", "scope": "openid ga4gh_passport_v1"}
	mark := obj{"iss": opURL, "sub": opURL, "iat": now - 60, "exp": now + 600, "trust_mark_type": "https://example.org/mark", "aud": "this-node-op", "scope": "openid ga4gh_passport_v1"}
	introspection := obj{"iss": opURL, "aud": "this-node-op", "iat": now - 60, "token_introspection": obj{"active": true, "sub": "researcher"}}
	kinds := []struct {
		what, typ string
		claims    obj
	}{
		{"passport", passportTyp, info}, {"visa", visaTyp, visaOf(objectOf()).with("iss", opURL)}, {"access_token", "at+jwt", accessOf()}, {"id_token", "JWT", id}, {"userinfo", "JWT", info},
		{"claims", "JWT", obj{"iss": sourceAURL, "iat": now - 60, "exp": now + 600, "grants": []string{}}}, {"introspection", "token-introspection+jwt", introspection}, {"DPoP proof", "dpop+jwt", proofClaims}, {"entity statement", "entity-statement+jwt", statement}, {"trust mark", "trust-mark+jwt", mark},
	}
	for _, slot := range []string{"access_token", "id_token", "userinfo", "claims", "introspection"} {
		for _, k := range kinds {
			compact := jwt(k.typ, k.claims)
			if k.what == "claims" {
				compact = b.keys.sign("ES256", "source-a-ec", obj{"alg": "ES256", "kid": "ec1", "typ": k.typ}.text(), k.claims.text())
			}
			b.tokenAs(k.what+" shown as "+slot, rows(108), b.matrix(slot, k.what), slot, plain(compact))
		}
	}
	for _, k := range kinds {
		if k.what != "passport" {
			b.passport(k.what+" of a broker shown as passport", rows(108), "wrong_type", b.keys.sign("ES256", "op-ec", obj{"alg": "ES256", "kid": "ec1", "typ": k.typ}.text(), k.claims.with("iss", opURL).text()))
		}
		if k.what != "visa" {
			reason := "wrong_type"
			if k.typ == "JWT" {
				reason = "missing_claim"
			}
			b.visa(k.what+" of a visa issuer shown as visa", rows(108), reason, b.keys.sign("ES256", "dac-ec", headOfVisa().with("typ", k.typ).text(), k.claims.with("iss", dacURL, "sub", "researcher@dac", "exp", now+600, "iat", now-60).text()))
		}
	}
	b.tokenAs("every type JWT: a visa's claims in an access token", rows(108), "wrong_type", "access_token", plain(jwt("JWT", member(accessOf(), "ga4gh_visa_v1", objectOf()))))
	b.tokenAs("a nonce in an access token", rows(108), "wrong_type", "access_token", plain(jwt("JWT", member(accessOf(), "nonce", "n"))))
	b.tokenAs("events in an access token (a security event or logout token)", rows(108), "wrong_type", "access_token", plain(jwt("JWT", member(accessOf(), "events", obj{}))))
	b.tokenAs("jwks in a UserInfo response", rows(108), "wrong_type", "userinfo", plain(jwt("JWT", member(info, "jwks", obj{}))))

	b.at("W6601")
	b.tokenAs("an ID token", rows(108, 112), "", "id_token", plain(jwt("JWT", id)))
	b.tokenAs("an ID token of another sign-in", rows(112), "bad_claim", "id_token", plain(jwt("JWT", member(id, "nonce", "other"))))
	b.tokenAs("an ID token without nonce", rows(112), "bad_claim", "id_token", plain(jwt("JWT", id.without("nonce"))))
	b.tokenAs("an ID token for another client", rows(112), "wrong_audience", "id_token", plain(jwt("JWT", member(id, "aud", "other"))))
	b.tokenAs("an ID token for two clients without azp", rows(112), "wrong_audience", "id_token", plain(jwt("JWT", member(id, "aud", []string{"this-node-op", "other"}))))
	b.tokenAs("an ID token that another client asked for", rows(112), "wrong_audience", "id_token", plain(jwt("JWT", member(id, "azp", "other"))))
	b.tokenAs("an ID token of 11 minutes ago", rows(53, 112), "expired", "id_token", plain(jwt("JWT", member(id, "iat", now-660))))
	b.tokenAs("an ID token of another issuer", rows(112), "untrusted_issuer", "id_token", plain(b.keys.sign("ES256", "broker-ec", `{"alg":"ES256","kid":"ec1","typ":"JWT"}`, member(id, "iss", brokerURL).text())))
	b.tokenAs("a signed UserInfo response", rows(68), "", "userinfo", plain(jwt("JWT", info)))
	b.tokenAs("a UserInfo response for another client", rows(68), "wrong_audience", "userinfo", plain(jwt("JWT", member(info, "aud", "other"))))
	b.tokenAs("a UserInfo response without sub", rows(68), "missing_claim", "userinfo", plain(jwt("JWT", info.without("sub"))))
	b.tokenAs("a UserInfo response with alg none", rows(68, 101), "algorithm", "userinfo", plain(b.keys.sign("ES256", "op-ec", `{"alg":"none","kid":"ec1"}`, info.text())))
	b.tokenAs("a UserInfo response of another issuer", rows(68), "untrusted_issuer", "userinfo", plain(b.keys.sign("ES256", "broker-ec", `{"alg":"ES256","kid":"ec1"}`, member(info, "iss", brokerURL).text())))
	b.tokenAs("a UserInfo response with 10,000 visas", rows(68, 106), "too_many", "userinfo", b.keys.signed("ES256", "op-ec", `{"alg":"ES256","kid":"ec1"}`, repeating{before: info.without("ga4gh_passport_v1").text()[:len(info.without("ga4gh_passport_v1").text())-1] + `,"ga4gh_passport_v1":["x"`, unit: `,"x"`, times: 9999, after: "]}"}))
	b.tokenAs("a signed introspection response", rows(69), "", "introspection", plain(jwt("token-introspection+jwt", introspection)))
	b.tokenAs("an introspection response for another client", rows(69), "wrong_audience", "introspection", plain(jwt("token-introspection+jwt", member(introspection, "aud", "other"))))
	b.tokenAs("an introspection response without aud", rows(69), "missing_claim", "introspection", plain(jwt("token-introspection+jwt", introspection.without("aud"))))
}

// matrix is why a token of one kind is not taken for another: "" on the diagonal.
func (b *book) matrix(slot, what string) string {
	if slot == what {
		return ""
	}
	switch {
	case slot == "claims" && what != "claims":
		switch what {
		case "id_token", "userinfo":
			return "untrusted_issuer" // told apart by who signed
		}
		return "wrong_type"
	case what == "claims" && slot == "access_token":
		return "untrusted_issuer"
	case what == "claims" && (slot == "id_token" || slot == "userinfo"):
		return "untrusted_issuer"
	case slot == "access_token" && what == "id_token":
		return "wrong_type"
	case slot == "access_token" && what == "userinfo":
		return "wrong_type"
	case slot == "id_token" && what == "userinfo":
		return "bad_claim" // no nonce
	case slot == "userinfo" && what == "id_token":
		return "wrong_type"
	}
	return "wrong_type"
}

// prove signs a DPoP proof of the holder for the access token.
func (b *book) prove(head, claims obj) string {
	return b.keys.sign("ES256", "holder-ec", head.text(), claims.text())
}

func ath(token string) string {
	sum := sha256.Sum256([]byte(token))
	return b64(sum[:])
}

func (b *book) proofs() {
	b.section("10-proofs.json", "10. DPoP proofs", "Each proof is the first one that a node sees that has run for an hour. Where the section's vectors come with an access token, it is bound to the proof's key.")
	const method, url = "POST", nodeURL + "/v1/whoami"
	token := b.accessToken("cnf", obj{"jkt": b.keys.thumbprint("holder-ec")})
	public := b.keys.members("holder-ec", "").without("kid")
	head := obj{"alg": "ES256", "typ": "dpop+jwt", "jwk": public}
	claims := obj{"jti": "one", "htm": method, "htu": url, "iat": now, "ath": ath(token)}
	n := 0
	add := func(title string, rows []int, good bool, headers ...string) *vector {
		v := vector{Title: title, Rows: rows, Kind: kindProof, Configuration: "pinned", Request: request{Proof: &proofIn{DPoP: headers, Method: method, URL: url, AccessToken: token}}, Expect: expect{Outcome: accept, Status: 200}}
		if !good {
			v.Expect = expect{Outcome: refuse, Reason: "bad_proof", Status: 401}
		}
		b.add(v)
		return &b.open.Vectors[len(b.open.Vectors)-1]
	}
	with := func(pairs ...any) obj { n++; return claims.with("jti", fmt.Sprintf("jti-%d", n)).with(pairs...) }

	b.at("V098")
	add("a good proof", rows(109), true, b.prove(head, with()))
	add("a jti that was used before", rows(109), false, b.prove(head, with())).Request.Proof.Again = true
	add("ath of another token", rows(109), false, b.prove(head, with("ath", ath("another"))))
	add("htu of another address", rows(109), false, b.prove(head, with("htu", nodeURL+"/beacon/g_variants")))
	add("htm of another method", rows(109), false, b.prove(head, with("htm", "GET")))
	private := public.with("d", "AAAA")
	add("a private jwk", rows(97, 109), false, b.prove(head.with("jwk", private), with()))
	add("two headers", rows(109), false, b.prove(head, with()), b.prove(head, with()))
	b.add(vector{Title: "a bound token as Bearer", Rows: rows(110), Kind: kindToken, Request: request{Token: &tokenIn{As: "access_token", Compact: plain(token), Audience: []string{"this-node-op", nodeURL}, Scopes: []string{"openid"}}}, Expect: outcomeOf("not_proven")})

	b.at("W8001")
	add("no proof", rows(109), false)
	add("an empty header", rows(109), false, "")
	for _, c := range []struct {
		what  string
		name  string
		value any
	}{
		{"htm in small letters", "htm", "post"}, {"htm as list", "htm", []string{"POST"}}, {"htu of http", "htu", "http://node.example/v1/whoami"}, {"htu of another host", "htu", "https://other.example/v1/whoami"}, {"htu with a slash more", "htu", url + "/"}, {"htu with an encoded letter", "htu", nodeURL + "/v1/%77hoami"},
		{"htu with dots", "htu", nodeURL + "/v1/../v1/whoami"}, {"htu with a user", "htu", "https://x@node.example/v1/whoami"}, {"htu of another port", "htu", "https://node.example:8443/v1/whoami"}, {"an empty htu", "htu", ""}, {"a htu without scheme", "htu", "node.example/v1/whoami"}, {"htu with a space", "htu", url + " "}, {"htu in another script", "htu", "https://nоde.example/v1/whoami"},
		{"an empty jti", "jti", ""}, {"a jti that is a number", "jti", 1}, {"a jti of 257 bytes", "jti", strings.Repeat("j", 257)}, {"iat as a string", "iat", "1800000000"}, {"iat null", "iat", nil}, {"ath in padded base64", "ath", ath(token) + "="}, {"an empty ath", "ath", ""}, {"ath in capitals", "ath", strings.ToUpper(ath(token))}, {"exp past", "exp", now}, {"an empty nonce", "nonce", ""},
	} {
		add(c.what, rows(109), false, b.prove(head, with(c.name, c.value)))
	}
	for _, name := range []string{"jti", "htm", "htu", "iat", "ath"} {
		add("no "+name, rows(109), false, b.prove(head, with().without(name)))
	}
	nonce := func(title string, pairs ...any) {
		add(title, rows(109), false, b.prove(head, with(pairs...))).Expect.Nonce = true
	}
	nonce("iat 61 s ago", "iat", now-61)
	nonce("iat in 31 s", "iat", now+31)
	nonce("a nonce of another node", "nonce", "AAAAAAAAAAAAAAAAAAAAAA")
	add("iat 60 s ago", rows(109), true, b.prove(head, with("iat", now-60)))
	add("iat in 30 s", rows(109), true, b.prove(head, with("iat", now+30)))
	add("htu with query and fragment", rows(109), true, b.prove(head, with("htu", url+"?x=1#y")))
	add("htu with a host in capitals and the default port", rows(109), true, b.prove(head, with("htu", "HTTPS://Node.example:443/v1/whoami")))
	for _, typ := range []any{"JWT", "at+jwt", passportTyp, "dpop+jwt;x=y", ""} {
		add("typ "+fmt.Sprint(typ), rows(108, 109), false, b.prove(head.with("typ", typ), with()))
	}
	add("no typ", rows(108, 109), false, b.prove(head.without("typ"), with()))
	add("typ application/dpop+jwt", rows(109), true, b.prove(head.with("typ", "application/DPoP+jwt"), with()))
	for _, alg := range []string{"none", "HS256", "RS256", "EdDSA", "ES384", ""} {
		add("alg "+alg, rows(100, 109), false, b.prove(head.with("alg", alg), with()))
	}
	secret := []byte(sharedSecret)
	add("HS256 with an oct jwk", rows(101, 109), false, hs256(secret, head.with("alg", "HS256", "jwk", obj{"kty": "oct", "k": b64(secret)}).text(), with().text()))
	add("no jwk", rows(104, 109), false, b.prove(head.without("jwk"), with()))
	add("jwk null", rows(104, 109), false, b.prove(head.with("jwk", nil), with()))
	add("jwk as text", rows(104, 109), false, b.prove(head.with("jwk", public.text()), with()))
	add("another jwk than the one that signed", rows(104, 109), false, b.prove(head.with("jwk", b.keys.members("attacker-ec", "").without("kid")), with()))
	add("jku in place of jwk", rows(104, 109), false, b.prove(head.without("jwk").with("jku", attackerHost+"/jwks"), with()))
	add("a 1024-bit RSA key", rows(98, 109), false, b.keys.sign("RS256", "weak-rsa", head.with("alg", "RS256", "jwk", b.keys.members("weak-rsa", "").without("kid")).text(), with().text()))
	add("crit", rows(102, 109), false, b.prove(head.with("crit", []string{"jwk"}), with()))
	add("htm twice", rows(103, 109), false, b.keys.sign("ES256", "holder-ec", head.text(), with().twice("htm", `"GET"`)))
	add("jwk twice", rows(103, 109), false, b.keys.sign("ES256", "holder-ec", head.twice("jwk", "{}"), with().text()))
	add("a passport in place of a proof", rows(108, 109), false, b.pass(passportOf()))
	good := b.prove(head, with())
	add("a list of two proofs in one header", rows(109), false, good+", "+good)
	add("a proof with padding", rows(107, 109), false, good+"==")
	v := add("a good proof of another key than the token's", rows(109, 110), true, b.keys.sign("ES256", "attacker-ec", head.with("jwk", b.keys.members("attacker-ec", "").without("kid")).text(), with().text()))
	v.Expect.Status, v.Note = 401, "The proof holds; the token is not bound to its key, so the request is refused: not_proven."
}
