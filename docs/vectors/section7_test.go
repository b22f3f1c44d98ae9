package vectors_test

import (
	"fmt"
	"strconv"
	"strings"
)

const unmet = "conditions"

// when is a grant under conditions, given as JSON.
func (b *book) when(conditions string, change ...any) string {
	claims := visaOf(objectOf().with("conditions", "@").with(change...)).text()
	return b.dacText(strings.Replace(claims, `"@"`, conditions, 1))
}

// condition adds a grant under conditions beside the affiliation faculty@dac.example of
// the same person.
func (b *book) condition(title string, rows []int, conditions, reason string, note ...string) {
	b.visas(title, rows, []string{b.when(conditions), b.dacObject(affiliation())}, []string{reason, ""}, note...)
}

func (b *book) conditions() {
	b.section("7-conditions.json", "7. Conditions", "Unless a vector says otherwise: a ControlledAccessGrants visa under conditions, and an AffiliationAndRole visa of the same person, faculty@dac.example by system.")
	const met = `[[{"type":"AffiliationAndRole","value":"const:faculty@dac.example"}]]`
	plainVisa := b.dacObject(affiliation())

	b.at("V080")
	b.condition("[]", rows(33), "[]", "")
	for _, c := range []string{"[[]]", "null", "{}", `["x"]`, `[["x"]]`, "[[[]]]", "[null]", "[[null]]", `""`, "true", "1", `[{}]`, `[[{}]]`, `{"type":"AffiliationAndRole","value":"const:faculty@dac.example"}`, `[{"type":"AffiliationAndRole","value":"const:faculty@dac.example"}]`, `[` + met[1:len(met)-1] + `,[]]`, `[[],` + met[1:len(met)-1] + `]`, `[` + met[1:len(met)-1] + `,["x"]]`, `[` + met[1:len(met)-1] + `,null]`} {
		b.condition("conditions are "+c, rows(33), c, unmet)
	}

	b.at("V081")
	b.condition("a clause that is met", rows(32, 34), met, "")
	for _, c := range [][2]string{
		{"only a type", `{"type":"AffiliationAndRole"}`}, {"no type", `{"value":"const:faculty@dac.example"}`}, {"a claim with a typing mistake", `{"type":"AffiliationAndRole","value":"const:faculty@dac.example","sourcee":"const:x"}`},
		{"asserted", `{"type":"AffiliationAndRole","value":"const:faculty@dac.example","asserted":"const:1"}`}, {"asserted as a number", `{"type":"AffiliationAndRole","value":"const:faculty@dac.example","asserted":1}`},
		{"conditions", `{"type":"AffiliationAndRole","value":"const:faculty@dac.example","conditions":[]}`}, {"exp", `{"type":"AffiliationAndRole","value":"const:faculty@dac.example","exp":"const:1"}`},
		{"sub", `{"type":"AffiliationAndRole","value":"const:faculty@dac.example","sub":"const:researcher@dac"}`}, {"iss", `{"type":"AffiliationAndRole","value":"const:faculty@dac.example","iss":"const:https://dac.example"}`},
		{"Value", `{"type":"AffiliationAndRole","Value":"const:faculty@dac.example"}`}, {"Type", `{"Type":"AffiliationAndRole","value":"const:faculty@dac.example"}`}, {"a Value beside value", `{"type":"AffiliationAndRole","value":"const:faculty@dac.example","Value":"const:x"}`},
		{"a value that is null", `{"type":"AffiliationAndRole","value":null}`}, {"a value that is a number", `{"type":"AffiliationAndRole","value":1}`}, {"a value that is a list", `{"type":"AffiliationAndRole","value":["const:faculty@dac.example"]}`},
		{"a type that is a list", `{"type":["AffiliationAndRole"],"value":"const:faculty@dac.example"}`}, {"an empty type", `{"type":"","value":"const:faculty@dac.example"}`}, {"an empty member", `{"type":"AffiliationAndRole","value":"const:faculty@dac.example","":"const:x"}`},
		{"a custom claim", `{"type":"AffiliationAndRole","x_foo":"const:x"}`},
	} {
		b.condition("a clause with "+c[0], rows(34, 38), "[["+c[1]+"]]", unmet)
	}
	b.condition("a clause that cannot be understood beside an alternative that is met", rows(33, 34), `[[{"type":"AffiliationAndRole","sourcee":"const:x"}],`+met[1:], "")
	b.condition("a clause that cannot be understood beside one that is met", rows(33, 34), `[[{"type":"AffiliationAndRole","sourcee":"const:x"},`+met[2:], unmet)

	b.at("V082")
	a := b.when(`[[{"type":"AffiliationAndRole","value":"pattern:*"}]]`)
	circle := affiliation().with("conditions", "@")
	conditional := b.dacText(strings.Replace(visaOf(circle).text(), `"@"`, `[[{"type":"ControlledAccessGrants","value":"pattern:*"}]]`, 1))
	b.visas("A wants B, and B wants A", rows(39), []string{a, conditional}, []string{unmet, unmet})
	b.visas("a visa that only it could meet itself", rows(39), []string{b.when(`[[{"type":"ControlledAccessGrants","value":"pattern:*"}]]`)}, []string{unmet})
	b.at("V083")
	metAffiliation := b.dacText(strings.Replace(visaOf(circle).text(), `"@"`, `[[{"type":"ResearcherStatus","value":"pattern:*"}]]`, 1))
	status := b.dacObject(objectOf().with("type", "ResearcherStatus", "by", "so"))
	b.visas("the visa that would meet the clause has conditions itself, which are met", rows(39), []string{b.when(met), metAffiliation, status}, []string{unmet, "", ""})
	emptyConditions := b.dacObject(affiliation().with("conditions", []any{}))
	b.visas("the visa that meets the clause has an empty list of conditions", rows(33, 39), []string{b.when(met), emptyConditions}, []string{"", ""})

	b.at("V086")
	stars := strings.Repeat("*a", 10) + "*b"
	b.visas("10 stars against 30 letters", rows(36, 106), []string{b.when(`[[{"type":"ResearcherStatus","value":"pattern:` + stars + `"}]]`), b.dacObject(objectOf().with("type", "ResearcherStatus", "by", "so", "value", strings.Repeat("a", 30)))}, []string{unmet, ""})
	long := b.dacObject(objectOf().with("type", "ResearcherStatus", "by", "so", "value", strings.Repeat("a", 255)))
	for _, pattern := range []string{"*a*a*a*a*b", strings.Repeat("*a", 120) + "b", strings.Repeat("*", 250) + "b", strings.Repeat("?*", 120) + "b", strings.Repeat("*?", 120) + "b"} {
		b.visas("pattern "+pattern[:min(24, len(pattern))]+" against 255 letters", rows(36, 106), []string{b.when(`[[{"type":"ResearcherStatus","value":"pattern:` + pattern + `"}]]`), long}, []string{unmet, ""})
	}
	var bombs []string
	for range 32 {
		bombs = append(bombs, `[{"type":"ResearcherStatus","value":"pattern:`+strings.Repeat("*a", 60)+`b"},{"type":"ResearcherStatus","value":"split_pattern:`+strings.Repeat("?*", 60)+`b"}]`)
	}
	b.visas("64 pattern bombs in 32 alternatives", rows(36, 106), []string{b.when("[" + strings.Join(bombs[:26], ",") + "]"), long}, []string{unmet, ""})
	b.condition("33 alternatives", rows(106), "["+strings.Repeat(met[1:len(met)-1]+",", 32)+met[1:], unmet)
	b.condition("65 clauses in one alternative", rows(106), "[["+strings.Repeat(met[2:len(met)-2]+",", 64)+met[2:], unmet)
	b.condition("conditions of 9 kB", rows(106), `[[{"type":"AffiliationAndRole","value":"const:`+strings.Repeat("x", 9000)+`"}]]`, unmet)

	b.at("V088")
	noBy := b.dacObject(affiliation().without("by"))
	for _, want := range []string{"pattern:*", "const:", "pattern:", "split_pattern:*", "const:system"} {
		b.visas("by wanted as "+want+", and the visa has none", rows(27, 34), []string{b.when(`[[{"type":"AffiliationAndRole","by":"` + want + `"}]]`), noBy}, []string{unmet, ""})
	}
	b.condition("by wanted as pattern:*, and the visa has one", rows(36), `[[{"type":"AffiliationAndRole","by":"pattern:*"}]]`, "")

	b.at("V089")
	inst := func(sub string, change ...any) string {
		return b.by(instURL, "institute-ec", "ec1", sub, affiliation().with("source", instURL).with(change...))
	}
	institute := `[[{"type":"AffiliationAndRole","source":"const:https://institute.example"}]]`
	b.visas("met by another person's visa, who is not linked", rows(41), []string{b.when(institute), inst("somebody")}, []string{unmet, ""})
	b.visas("met by a visa of the same sub at another issuer", rows(41, 42), []string{b.when(institute), inst("researcher@dac")}, []string{unmet, ""})
	b.visas("met by a visa of the same person, linked", rows(41), []string{b.when(institute), inst("r1"), b.link("researcher%40dac,https:%2F%2Fdac.example;r1,https:%2F%2Finstitute.example")}, []string{"", "", ""})
	b.visas("the visa that would meet it has expired", rows(41), []string{b.when(met), b.dac(visaOf(affiliation()).with("exp", now-1))}, []string{unmet, "expired"})
	b.visas("the visa that would meet it is a stranger's", rows(41), []string{b.when(`[[{"type":"AffiliationAndRole","value":"const:faculty@dac.example"}]]`), b.by(strangerURL, "attacker-ec", "ec1", "researcher@dac", affiliation())}, []string{unmet, "untrusted_issuer"})
	b.visas("the visa that would meet it has a source that is not trusted", rows(41), []string{b.when(met), b.dacObject(affiliation().with("source", instURL))}, []string{unmet, "untrusted_source"})
	b.visas("the visa that would meet it has a bad signature", rows(41), []string{b.when(met), b.keys.sign("ES256", "attacker-ec", headOfVisa().text(), visaOf(affiliation()).text())}, []string{unmet, "bad_signature"})

	b.at("V093")
	b.until("the end is that of the visa that meets the conditions", rows(55), now+100, b.when(met), b.dac(visaOf(affiliation()).with("exp", now+100)))
	b.until("the end is that of the link between them", rows(55), now+50, b.when(institute), inst("r1"), b.keys.sign("ES256", "linker-ec", headOfVisa().with("jku", linkerURL+"/jwks").text(),
		visaOf(linkOf("researcher%40dac,https:%2F%2Fdac.example;r1,https:%2F%2Finstitute.example")).with("iss", linkerURL, "sub", "person", "exp", now+50).text()))
	b.until("of two visas that meet the conditions the longer one counts, and each visa its own end", rows(55), now+100, b.when(met), b.dac(visaOf(affiliation()).with("exp", now+100)), b.dac(visaOf(affiliation()).with("exp", now+200)))

	b.at("W3001")
	type c struct{ what, want, reason string }
	for _, one := range []c{
		{"const", "const:faculty@dac.example", ""}, {"const in another case", "const:Faculty@dac.example", unmet}, {"const of a prefix", "const:faculty@dac", unmet}, {"const with a star", "const:faculty@*", unmet},
		{"an empty const", "const:", unmet}, {"const with a space", "const: faculty@dac.example", unmet}, {"Const", "Const:faculty@dac.example", unmet}, {"CONST", "CONST:faculty@dac.example", unmet},
		{"regex", "regex:.*", unmet}, {"no prefix", "faculty@dac.example", unmet}, {"an unknown prefix", "glob:*", unmet}, {"only a prefix", "const", unmet}, {"a colon first", ":const:faculty@dac.example", unmet},
		{"a prefix twice", "const:const:faculty@dac.example", unmet}, {"two prefixes", "pattern:const:faculty@dac.example", unmet}, {"const in full width", "ｃonst:faculty@dac.example", unmet}, {"a space before the prefix", " const:faculty@dac.example", unmet}, {"a percent-encoded const", "const:faculty%40dac.example", unmet},
		{"an empty text", "", unmet},
		{"a pattern for any role", "pattern:*@dac.example", ""}, {"a pattern for any organization", "pattern:faculty@*", ""}, {"a star alone", "pattern:*", ""}, {"stars alone", "pattern:***", ""}, {"an empty pattern", "pattern:", unmet},
		{"a question mark for each character", "pattern:" + strings.Repeat("?", 19), ""}, {"a question mark too many", "pattern:" + strings.Repeat("?", 20), unmet}, {"a question mark too few", "pattern:" + strings.Repeat("?", 18), unmet},
		{"a star that stands for nothing", "pattern:faculty*@dac.example", ""}, {"anchored at the front", "pattern:aculty@*", unmet}, {"anchored at the end", "pattern:faculty@dac.exampl", unmet}, {"a pattern in another case", "pattern:FACULTY@*", unmet},
		{"no escape with a backslash", `pattern:faculty\\@*`, unmet}, {"no classes", "pattern:[f]aculty@*", unmet}, {"no alternatives", "pattern:{faculty,student}@*", unmet}, {"a dot is a dot", "pattern:faculty@dac?example", ""}, {"a dot is no wildcard", "pattern:f.culty@*", unmet},
		{"a percent sign is itself", "pattern:%@dac.example", unmet}, {"an underscore is itself", "pattern:_aculty@*", unmet}, {"a star in the middle, twice", "pattern:f*y@d*e", ""}, {"overlap is not counted twice", "pattern:*faculty*culty@*", unmet},
		{"a split of what has no semicolon", "split_pattern:faculty@*", ""}, {"a split with a semicolon in the pattern", "split_pattern:faculty@*;x", unmet},
		{"split in another spelling", "split-pattern:faculty@*", unmet}, {"Pattern", "Pattern:*", unmet}, {"a pattern with a zero-width space", "pattern:faculty\u200b@*", unmet}, {"a look-alike", "const:fаculty@dac.example", unmet},
	} {
		text, err := marshal(one.want)
		if err != nil {
			panic(err)
		}
		if one.what == "no escape with a backslash" {
			text = []byte(`"pattern:faculty\\@*"`)
		}
		b.condition("value wanted as "+one.what, rows(35, 36), `[[{"type":"AffiliationAndRole","value":`+string(text)+`}]]`, one.reason)
	}
	pieces := b.dacObject(objectOf().with("type", "ResearcherStatus", "by", "so", "value", "123;https:%2F%2Fexample.org;;é*"))
	for _, one := range []c{
		{"the first piece", "split_pattern:123", ""}, {"the middle piece with a question mark", "split_pattern:https:%2F%2Fexampl?.org", ""}, {"half a piece", "split_pattern:12", unmet}, {"two pieces at once", "split_pattern:123;*", unmet},
		{"the empty piece", "split_pattern:", ""}, {"the whole as const", "const:123;https:%2F%2Fexample.org;;é*", ""}, {"the whole as pattern", "pattern:123;*", ""}, {"a piece as pattern", "pattern:123", unmet}, {"decoded", "split_pattern:https://example.org", unmet},
		{"one character that takes two bytes", "split_pattern:?\u002a", ""}, {"a question mark for a byte", "pattern:123;https:%2F%2Fexample.org;;???", unmet}, {"a literal star is met by a question mark", "split_pattern:é?", ""},
		{"the specification's example with doubled colons", "split_pattern:https:%2F%2Fexample.org::x", unmet},
	} {
		text := string(must(marshal(one.want)))
		b.visas("of 123;https:%2F%2Fexample.org;;é*: "+one.what, rows(36, 37), []string{b.when(`[[{"type":"ResearcherStatus","value":` + text + `}]]`), pieces}, []string{one.reason, ""})
	}
	for _, typ := range []string{"const:AffiliationAndRole", "pattern:*", "pattern:AffiliationAndRole", "affiliationandrole", "AffiliationAndRole ", "Affiliation*", "split_pattern:AffiliationAndRole"} {
		b.condition("type wanted as "+typ, rows(35), `[[{"type":"`+typ+`","value":"pattern:*"}]]`, unmet)
	}
	b.condition("value and by of one visa", rows(40), `[[{"type":"AffiliationAndRole","value":"const:faculty@dac.example","by":"const:system"}]]`, "")
	b.visas("value of one visa and by of another", rows(40), []string{b.when(`[[{"type":"AffiliationAndRole","value":"const:faculty@dac.example","by":"const:so"}]]`), plainVisa, b.dacObject(affiliation().with("value", "student@dac.example", "by", "so"))}, []string{unmet, "", ""})
	b.visas("two clauses met by two visas", rows(33), []string{b.when(`[[{"type":"AffiliationAndRole","value":"pattern:faculty@*"},{"type":"ResearcherStatus","by":"const:so"}]]`), plainVisa, status}, []string{"", "", ""})
	b.visas("one of two clauses is met", rows(33), []string{b.when(`[[{"type":"AffiliationAndRole","value":"pattern:faculty@*"},{"type":"ResearcherStatus","by":"const:so"}]]`), plainVisa}, []string{unmet, ""})
	b.condition("the second alternative alone is met", rows(33), `[[{"type":"ResearcherStatus","by":"const:so"}],`+met[1:], "")
	b.condition("two clauses met by one visa", rows(33, 40), `[[{"type":"AffiliationAndRole","value":"pattern:faculty@*"},{"type":"AffiliationAndRole","by":"const:system"}]]`, "")
	b.condition("a member twice in a clause", rows(103), `[[{"type":"AffiliationAndRole","value":"const:x","value":"const:faculty@dac.example"}]]`, "malformed")
	b.condition("source", rows(34), `[[{"type":"AffiliationAndRole","source":"const:https://dac.example"}]]`, "")
	b.condition("source with a slash more", rows(34), `[[{"type":"AffiliationAndRole","source":"const:https://dac.example/"}]]`, unmet)
	v := b.visasOf("the visa that meets the conditions comes in another passport of the request", rows(41, 61), []string{b.when(met)}, []string{"", ""})
	v.Request.Passports = append(v.Request.Passports, plain(b.pass(passportOf(plainVisa))))
	b.add(v)
	b.visas("nothing else is shown", rows(32), []string{b.when(met)}, []string{unmet})
}

// linking adds a request whose identities are known: a grant of researcher@dac, an
// affiliation of r1 at the institute, and the link visas that are given. linked is who the
// caller, researcher at the broker, is besides.
func (b *book) linking(title string, rows []int, visas, reasons []string, linked ...identity) {
	v := b.visasOf(title, rows, visas, reasons)
	v.Expect.Caller = &identity{brokerURL, "researcher"}
	v.Expect.Linked = linked
	b.add(v)
}

func (b *book) links() {
	b.section("7-links.json", "7. Linked identities", "The caller is researcher at https://broker.example. linked is who else that is; absent means nobody else.")
	me := "researcher,https:%2F%2Fbroker.example"
	atDAC := identity{dacURL, "researcher@dac"}
	person := identity{linkerURL, "person"}
	pair := func(sub, iss string) string { return sub + "," + iss }
	dacPair := pair("researcher%40dac", "https:%2F%2Fdac.example")

	b.at("V090")
	b.linking("the same sub at two issuers, no link", rows(42), []string{b.dac(visaOf(objectOf()).with("sub", "researcher"))}, []string{""})
	b.visas("Registered Access of two identities with the same sub", rows(30, 42), []string{
		b.by(instURL, "institute-ec", "ec1", "researcher@dac", objectOf().with("type", "ResearcherStatus", "source", instURL, "by", "so")),
		b.dacObject(objectOf().with("type", "AcceptedTermsAndPolicies", "by", "self"))}, []string{"", ""}, "Both accepted, and not of one person.")

	b.at("V091")
	b.linking("a link by an issuer that is not trusted", rows(43), []string{b.by(strangerURL, "attacker-ec", "ec1", "p", linkOf(me+";"+dacPair))}, []string{"untrusted_issuer"})
	b.linking("a link by an issuer that is trusted for grants only", rows(47), []string{b.by(grantsURL, "grants-ec", "ec1", "p", linkOf(me+";"+dacPair).with("source", grantsURL))}, []string{"type_out_of_scope"})
	b.linking("a link by an issuer without authority over others' identities", rows(47), []string{b.dacObject(linkOf(me).with("source", dacURL))}, []string{"link_authority"})
	b.linking("a link that has expired", rows(45, 55), []string{b.keys.sign("ES256", "linker-ec", headOfVisa().with("jku", linkerURL+"/jwks").text(), visaOf(linkOf(me+";"+dacPair)).with("iss", linkerURL, "sub", "person", "exp", now-1).text())}, []string{"expired"})
	chain := []string{
		b.by(linkerURL, "linker-ec", "ec1", "p1", linkOf(me+";p2,https:%2F%2Flinker.example")), b.by(linkerURL, "linker-ec", "ec1", "p2", linkOf("p3,https:%2F%2Flinker.example")), b.by(linkerURL, "linker-ec", "ec1", "p3", linkOf(dacPair)),
	}
	b.linking("a chain of three", rows(45), chain, []string{"", "", ""}, atDAC, identity{linkerURL, "p1"}, identity{linkerURL, "p2"}, identity{linkerURL, "p3"})
	b.linking("a chain whose middle is missing", rows(45), []string{chain[0], chain[2]}, []string{"", ""}, identity{linkerURL, "p1"}, identity{linkerURL, "p2"})
	b.linking("a circle", rows(45), []string{b.link(me + ";p2,https:%2F%2Flinker.example"), b.by(linkerURL, "linker-ec", "ec1", "p2", linkOf("person,https:%2F%2Flinker.example"))}, []string{"", ""}, identity{linkerURL, "p2"}, person)
	b.linking("one visa links all of them", rows(45), []string{b.link(me + ";" + dacPair + ";r1,https:%2F%2Finstitute.example")}, []string{""}, atDAC, identity{instURL, "r1"}, person)
	b.linking("a link with a source that is not trusted", rows(43), []string{b.by(linkerURL, "linker-ec", "ec1", "person", linkOf(me).with("source", dacURL))}, []string{"untrusted_source"})

	b.at("W4001")
	ok := []identity{person}
	both := []identity{atDAC, person}
	for _, c := range []struct {
		what, value, reason string
		linked              []identity
	}{
		{"https%3A%2F%2F", "researcher,https%3A%2F%2Fbroker.example", "", ok}, {"https:%2F%2F", me, "", ok}, {"in lower case, https%3a%2f%2f", "researcher,https%3a%2f%2fbroker.example", "", ok}, {"nothing encoded", "researcher,https://broker.example", "", ok},
		{"letters encoded", "%72esearcher,https:%2F%2Fbroker.example", "", ok}, {"encoded twice in iss", "researcher,https%253A%252F%252Fbroker.example", "link_value", nil}, {"encoded twice in sub", "researcher%2540dac,https:%2F%2Fdac.example", "", []identity{}},
		{"an encoded comma inside sub", "a%2Cb,https:%2F%2Fbroker.example", "", []identity{}}, {"an encoded semicolon inside sub", "a%3Bb,https:%2F%2Fbroker.example", "", []identity{}},
		{"three fields", "researcher,https:%2F%2Fbroker.example,x", "link_value", nil}, {"one field", "researcher", "link_value", nil}, {"an empty item at the end", me + ";", "link_value", nil}, {"an empty item in front", ";" + me, "link_value", nil}, {"an empty item in the middle", me + ";;" + dacPair, "link_value", nil},
		{"an empty sub", ",https:%2F%2Fbroker.example", "link_value", nil}, {"an empty iss", "researcher,", "link_value", nil}, {"a comma alone", ",", "link_value", nil}, {"one good pair and one bad", me + ";bad", "link_value", nil},
		{"a percent sign without digits", "researcher%,https:%2F%2Fbroker.example", "link_value", nil}, {"a percent sign with one digit", "researcher%4,https:%2F%2Fbroker.example", "link_value", nil}, {"a percent sign with letters", "researcher%zz,https:%2F%2Fbroker.example", "link_value", nil},
		{"an encoded NUL", "researcher%00,https:%2F%2Fbroker.example", "link_value", nil}, {"an encoded line break", "researcher%0A,https:%2F%2Fbroker.example", "link_value", nil}, {"encoded bytes that are no UTF-8", "researcher%FF,https:%2F%2Fbroker.example", "link_value", nil}, {"an encoded right-to-left override", "researcher%E2%80%AE,https:%2F%2Fbroker.example", "link_value", nil}, {"an overlong slash", "researcher,https:%C0%AF%C0%AFbroker.example", "link_value", nil},
		{"a plus sign is itself", "research+er,https:%2F%2Fbroker.example", "", []identity{}}, {"a space", "researcher, https:%2F%2Fbroker.example", "link_authority", nil}, {"a space before the sub", " researcher,https:%2F%2Fbroker.example", "", []identity{}}, {"a space after the semicolon", me + "; researcher%40dac,https:%2F%2Fdac.example", "", []identity{person, {dacURL, " researcher@dac"}}},
		{"http in place of https", "researcher,http:%2F%2Fbroker.example", "link_authority", nil}, {"a slash at the end of iss", "researcher,https:%2F%2Fbroker.example%2F", "link_authority", nil}, {"a host in capitals", "researcher,https:%2F%2FBroker.example", "link_authority", nil}, {"a port", "researcher,https:%2F%2Fbroker.example:443", "link_authority", nil}, {"a look-alike of the issuer", "researcher,https:%2F%2Fbrоker.example", "link_authority", nil},
		{"sub and iss the other way round", "https:%2F%2Fbroker.example,researcher", "link_authority", nil}, {"an issuer outside its authority", "x,https:%2F%2Fother-institute.example", "link_authority", nil}, {"one issuer inside its authority and one outside", me + ";x,https:%2F%2Fother-institute.example", "", ok}, {"one's own issuer needs no authority", "person2,https:%2F%2Flinker.example;" + me, "", []identity{person, {linkerURL, "person2"}}},
		{"the same pair twice", me + ";" + me, "", ok}, {"itself", "person,https:%2F%2Flinker.example;" + me, "", ok}, {"two pairs", me + ";" + dacPair, "", both}, {"a full-width comma", "researcher，https:%2F%2Fbroker.example", "link_value", nil}, {"JSON", `[{"sub":"researcher","iss":"https://broker.example"}]`, "link_authority", nil},
		{"sub in another case", "Researcher,https:%2F%2Fbroker.example", "", []identity{}}, {"an e-mail address for a sub", "researcher%40example.org,https:%2F%2Fbroker.example", "", []identity{}},
	} {
		b.linking("value "+c.what+": "+strconv.QuoteToASCII(c.value), rows(44, 46), []string{b.link(c.value)}, []string{c.reason}, c.linked...)
	}
	var most, tooMany []string
	for i := range 33 {
		tooMany = append(tooMany, fmt.Sprintf("s%d,https:%%2F%%2Fdac.example", i))
	}
	most = append([]string{me}, tooMany[:31]...)
	b.visas("32 pairs", rows(44, 106), []string{b.link(strings.Join(most, ";"))}, []string{""})
	b.visas("33 pairs", rows(44, 106), []string{b.link(strings.Join(tooMany, ";"))}, []string{"link_value"})
	b.visas("a value of more than 4,096 characters", rows(26, 106), []string{b.link("researcher" + strings.Repeat("x", 4096) + ",https:%2F%2Fbroker.example")}, []string{"bad_claim"})
	b.visas("an empty value", rows(44), []string{b.link("")}, []string{"bad_claim"})
	conditional := b.keys.sign("ES256", "linker-ec", headOfVisa().with("jku", linkerURL+"/jwks").text(), visaOf(linkOf(me).with("conditions", []any{[]any{obj{"type": "AffiliationAndRole", "value": "pattern:*"}}})).with("iss", linkerURL, "sub", "researcher@dac").text())
	b.linking("a link under conditions that nothing meets", rows(32, 43), []string{conditional}, []string{"conditions"})
	b.linking("a link by an attacker in the linker's name", rows(12, 43), []string{b.by(linkerURL, "attacker-ec", "ec1", "person", linkOf(me))}, []string{"bad_signature"})
	b.linking("a link without jku", rows(14, 43), []string{b.keys.sign("ES256", "linker-ec", headOfVisa().without("jku").text(), visaOf(linkOf(me)).with("iss", linkerURL, "sub", "person").text())}, []string{"visa_form"})
	b.linking("a link from one sub to another of the same issuer, by that issuer", rows(47), []string{b.dacObject(linkOf("r2,https:%2F%2Fdac.example").with("source", dacURL))}, []string{""})
	b.linking("two links that meet in one identity", rows(45), []string{b.link(me + ";" + dacPair), b.by(linkerURL, "linker-ec", "ec1", "person2", linkOf(dacPair+";r1,https:%2F%2Finstitute.example"))}, []string{"", ""}, atDAC, identity{instURL, "r1"}, person, identity{linkerURL, "person2"})
	b.linking("a committee may not link its own person to the broker's", rows(47), []string{b.dacObject(linkOf(dacPair+";"+me).with("source", dacURL))}, []string{""})
}
