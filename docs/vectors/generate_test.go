package vectors_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the corpus anew")

// now is the time of every vector.
const now = 1_800_000_000

// The cast. rsa1 is the kid of several issuers, as in the field.
const (
	brokerURL   = "https://broker.example"
	strictURL   = "https://strict.example"
	dacURL      = "https://dac.example"
	instURL     = "https://institute.example"
	otherURL    = "https://other-institute.example"
	linkerURL   = "https://linker.example"
	grantsURL   = "https://grants.example"
	oldURL      = "https://old.example"
	agedURL     = "https://aged.example"
	waivedURL   = "https://waived.example"
	nokidURL    = "https://nokid.example"
	twokeysURL  = "https://twokeys.example"
	badkeysURL  = "https://badkeys.example"
	opURL       = "https://op.example"
	sourceAURL  = "https://source-a.example"
	sourceBURL  = "https://source-b.example"
	strangerURL = "https://stranger.example"
	urnIssuer   = "urn:example:dac"
	dataset     = "https://dac.example/datasets/rarivitis"
	rasType     = "https://ras.nih.gov/visas/v1.1"
	// attackerHost answers on this machine, so that a test can see who comes.
	attackerHost = "https://127.77.0.1:18443"
	nodeURL      = "https://node.example"
)

// book is the corpus being written.
type book struct {
	keys   secretKeys
	names  []string
	files  map[string]*file
	ids    map[string]bool
	open   *file
	series string
	number int
}

func (b *book) section(name, title, about string) {
	b.open = &file{Section: title, About: about, Now: now}
	b.names = append(b.names, name)
	b.files[name] = b.open
}

// at begins a series: V003 gives V003.1, V003.2 and so on, W200 gives W200, W201.
// Vectors are added at the end of a series only, so that ids stay what they are.
func (b *book) at(series string) { b.series, b.number = series, 0 }

func (b *book) id() string {
	b.number++
	if strings.HasPrefix(b.series, "V") {
		return b.series + "." + strconv.Itoa(b.number)
	}
	first, err := strconv.Atoi(b.series[1:])
	if err != nil {
		panic(err)
	}
	return "W" + strconv.Itoa(first+b.number-1)
}

func (b *book) add(v vector) {
	v.ID = b.id()
	if b.ids[v.ID] || v.Title == "" {
		panic(fmt.Sprintf("%s %q", v.ID, v.Title))
	}
	b.ids[v.ID] = true
	if v.Configuration == "" && v.Kind != kindBehaviour && v.Kind != kindKeySet && v.Kind != kindProof {
		v.Configuration = "pinned"
	}
	b.open.Vectors = append(b.open.Vectors, v)
}

func rows(n ...int) []int { return n }

// passport adds a passport that is refused for reason, or accepted if it is "".
func (b *book) passport(title string, rows []int, reason, compact string, note ...string) {
	b.texts(title, rows, reason, plains(compact), note...)
}

func (b *book) texts(title string, rows []int, reason string, passports []text, note ...string) {
	v := vector{Title: title, Rows: rows, Kind: kindPassports, Request: request{Passports: passports}, Note: strings.Join(note, " ")}
	v.Expect = outcomeOf(reason)
	b.add(v)
}

func outcomeOf(reason string) expect {
	e := expect{Outcome: accept, Status: 200}
	if reason != "" {
		e = expect{Outcome: refuse, Reason: reason, Status: 401}
	}
	if reason == "too_large" || reason == "too_many" {
		e.Status = 413
	}
	return e
}

// visa adds a good passport around one visa, which is ignored for reason, or
// accepted if it is "".
func (b *book) visa(title string, rows []int, reason, compact string, note ...string) {
	b.visas(title, rows, []string{compact}, []string{reason}, note...)
}

func (b *book) visas(title string, rows []int, compacts, reasons []string, note ...string) {
	b.add(b.visasOf(title, rows, compacts, reasons, note...))
}

func (b *book) visasOf(title string, rows []int, compacts, reasons []string, note ...string) vector {
	v := vector{
		Title: title, Rows: rows, Kind: kindPassports, Note: strings.Join(note, " "),
		Request: request{Passports: plains(b.pass(passportOf(compacts...)))},
		Expect:  expect{Outcome: accept, Status: 200},
	}
	for _, reason := range reasons {
		v.Expect.Visas = append(v.Expect.Visas, visaExpect{Accepted: reason == "", Reason: reason})
	}
	return v
}

// obj is a payload or header that vectors change member by member.
type obj map[string]any

func (o obj) with(pairs ...any) obj {
	o = maps.Clone(o)
	for i := 0; i < len(pairs); i += 2 {
		o[pairs[i].(string)] = pairs[i+1]
	}
	return o
}

func (o obj) without(names ...string) obj {
	o = maps.Clone(o)
	for _, name := range names {
		delete(o, name)
	}
	return o
}

func (o obj) text() string {
	text, err := marshal(o)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// twice gives the object with one member before and again at its end.
func (o obj) twice(name, first string) string {
	return `{"` + name + `":` + first + `,` + o.text()[1:]
}

func passportOf(visas ...string) obj {
	if visas == nil {
		visas = []string{}
	}
	return obj{"iss": brokerURL, "sub": "researcher", "iat": now - 60, "exp": now + 7200, "ga4gh_passport_v1": visas}
}

func objectOf() obj {
	return obj{"type": "ControlledAccessGrants", "value": dataset, "source": dacURL, "by": "dac", "asserted": now - 86400}
}

func visaOf(object any) obj {
	return obj{"iss": dacURL, "sub": "researcher@dac", "iat": now - 3600, "exp": now + 3600, "ga4gh_visa_v1": object}
}

// affiliation is a visa object of another kind, by the same committee.
func affiliation() obj {
	return obj{"type": "AffiliationAndRole", "value": "faculty@dac.example", "source": dacURL, "by": "system", "asserted": now - 86400}
}

func linkOf(value string) obj {
	return obj{"type": "LinkedIdentities", "value": value, "source": linkerURL, "by": "system", "asserted": now - 86400}
}

func headOfPassport() obj { return obj{"alg": "ES256", "kid": "ec1", "typ": "vnd.ga4gh.passport+jwt"} }

func headOfVisa() obj {
	return obj{"alg": "ES256", "kid": "ec1", "typ": "vnd.ga4gh.visa+jwt", "jku": dacURL + "/jwks"}
}

// pass signs a passport of the broker.
func (b *book) pass(payload obj) string { return b.passText(payload.text()) }

func (b *book) passText(payload string) string {
	return b.keys.sign("ES256", "broker-ec", headOfPassport().text(), payload)
}

func (b *book) passHead(head obj) string { return b.passHeadText(head.text()) }

func (b *book) passHeadText(head string) string {
	return b.keys.sign("ES256", "broker-ec", head, passportOf().text())
}

// dac signs a visa of the committee.
func (b *book) dac(payload obj) string { return b.dacText(payload.text()) }

func (b *book) dacText(payload string) string {
	return b.keys.sign("ES256", "dac-ec", headOfVisa().text(), payload)
}

func (b *book) dacObject(object obj) string { return b.dac(visaOf(object)) }

func (b *book) grant() string { return b.dacObject(objectOf()) }

func (b *book) dacHead(head obj) string { return b.dacHeadText(head.text()) }

func (b *book) dacHeadText(head string) string {
	return b.keys.sign("ES256", "dac-ec", head, visaOf(objectOf()).text())
}

// by signs a visa of another issuer, with its own key set as jku.
func (b *book) by(issuer, key, kid, sub string, object obj) string {
	head := headOfVisa().with("kid", kid, "jku", issuer+"/jwks")
	return b.keys.sign("ES256", key, head.text(), visaOf(object).with("iss", issuer, "sub", sub).text())
}

func (b *book) link(value string) string {
	return b.by(linkerURL, "linker-ec", "ec1", "person", linkOf(value))
}

// configurations are what the vectors assume a site trusts.
func (b *book) configurations() map[string]configuration {
	set := func(keys ...obj) json.RawMessage {
		text, err := marshal(obj{"keys": keys})
		if err != nil {
			panic(err)
		}
		return text
	}
	ec := func(name string) obj { return b.keys.members(name, "ec1").with("alg", "ES256", "use", "sig") }
	rsa := func(name string) obj { return b.keys.members(name, "rsa1").with("alg", "RS256", "use", "sig") }
	five := []string{"AffiliationAndRole", "AcceptedTermsAndPolicies", "ResearcherStatus", "ControlledAccessGrants", "LinkedIdentities"}
	visa := []string{"visa"}
	issuers := []issuer{
		{Issuer: brokerURL, Kinds: []string{"passport"}, JWKS: set(ec("broker-ec"), rsa("broker-rsa")), ClientIDs: []string{"this-node"}},
		{Issuer: strictURL, Kinds: []string{"passport"}, JWKS: set(ec("strict-ec")), ClientIDs: []string{"this-node-strict"}, RequireAud: true},
		{Issuer: dacURL, Kinds: visa, JWKS: set(ec("dac-ec"), rsa("dac-rsa")), JKU: []string{dacURL + "/jwks"}, VisaTypes: five, Sources: []string{dacURL}},
		{Issuer: instURL, Kinds: visa, JWKS: set(ec("institute-ec")), JKU: []string{instURL + "/jwks"}, VisaTypes: []string{"AffiliationAndRole", "ResearcherStatus", rasType}, Sources: []string{instURL}},
		{Issuer: otherURL, Kinds: visa, JWKS: set(ec("other-institute-ec")), JKU: []string{otherURL + "/jwks"}, VisaTypes: []string{"AffiliationAndRole"}, Sources: []string{otherURL}},
		{Issuer: linkerURL, Kinds: visa, JWKS: set(ec("linker-ec")), JKU: []string{linkerURL + "/jwks"}, VisaTypes: []string{"LinkedIdentities"}, Sources: []string{linkerURL}, LinksFor: []string{brokerURL, dacURL, instURL}},
		{Issuer: grantsURL, Kinds: visa, JWKS: set(ec("grants-ec")), JKU: []string{grantsURL + "/jwks"}, VisaTypes: []string{"ControlledAccessGrants"}, Sources: []string{grantsURL}, ValuePrefixes: []string{grantsURL + "/datasets/"}},
		{Issuer: oldURL, Kinds: visa, JWKS: set(rsa("old-rsa"), ec("spare-ec")), VisaTypes: []string{"ControlledAccessGrants"}, Sources: []string{oldURL}, AccessTokenVisas: true},
		{Issuer: agedURL, Kinds: visa, JWKS: set(ec("spare-ec")), JKU: []string{agedURL + "/jwks"}, VisaTypes: []string{"ControlledAccessGrants"}, Sources: []string{agedURL}, MaxAssertedAge: 90 * 86400},
		{Issuer: waivedURL, Kinds: visa, JWKS: set(b.keys.members("spare-ec", "ec1").with("use", "enc")), JKU: []string{waivedURL + "/jwks"}, VisaTypes: []string{"ControlledAccessGrants"}, Sources: []string{waivedURL}, WaiveKeyUse: true},
		{Issuer: nokidURL, Kinds: visa, JWKS: set(ec("spare-ec")), JKU: []string{nokidURL + "/jwks"}, VisaTypes: []string{"ControlledAccessGrants"}, Sources: []string{nokidURL}, AllowMissingKID: true},
		{Issuer: twokeysURL, Kinds: visa, JWKS: set(ec("spare-ec"), b.keys.members("other-institute-ec", "ec2")), JKU: []string{twokeysURL + "/jwks"}, VisaTypes: []string{"ControlledAccessGrants"}, Sources: []string{twokeysURL}, AllowMissingKID: true},
		{Issuer: opURL, Kinds: []string{"login", "passport"}, JWKS: set(ec("op-ec")), ClientIDs: []string{"this-node-op"}, Tokens: "userinfo", UserInfo: opURL + "/userinfo"},
		{Issuer: sourceAURL, Kinds: []string{"claims"}, JWKS: set(ec("source-a-ec")), ClaimEndpoints: []string{sourceAURL + "/claims"}, ClaimNames: []string{"grants", "terms"}},
		{Issuer: sourceBURL, Kinds: []string{"claims"}, JWKS: set(ec("source-b-ec")), ClaimEndpoints: []string{sourceBURL + "/claims"}, ClaimNames: []string{"grants", "other_grants"}},
		{Issuer: urnIssuer, Kinds: visa, JWKS: set(ec("spare-ec")), JKU: []string{"https://urn.example/jwks"}, VisaTypes: []string{"ControlledAccessGrants"}, Sources: []string{dacURL}},
	}
	pinned := configuration{About: "Keys pinned by the operator (mode manual).", OwnNames: []string{nodeURL}, Issuers: issuers}
	for i := range pinned.Issuers {
		pinned.Issuers[i].Mode = "manual"
	}
	fetched := configuration{About: "The same issuers and keys, fetched from the issuers (mode direct), and an issuer that publishes keys of every bad kind.", OwnNames: pinned.OwnNames}
	for _, i := range pinned.Issuers[:len(pinned.Issuers)-1] { // a URN cannot be fetched
		i.Mode = "direct"
		if i.Issuer == brokerURL {
			i.PeerClientIDs = []siteIDs{{"bcgsc", []string{"bcgsc-node"}}, {"chus", []string{"chus-node"}}}
			i.AcceptUnboundFrom = []string{"chus"}
		}
		fetched.Issuers = append(fetched.Issuers, i)
	}
	fetched.Issuers = append(fetched.Issuers, issuer{
		Issuer: badkeysURL, Kinds: visa, Mode: "direct", JWKS: set(b.badKeys()...), JKU: []string{badkeysURL + "/jwks"},
		VisaTypes: []string{"ControlledAccessGrants"}, Sources: []string{badkeysURL},
	})
	return map[string]configuration{"pinned": pinned, "fetched": fetched}
}

// badKeys is a key set in which every entry but good is unusable.
func (b *book) badKeys() []obj {
	offCurve := b.keys.members("attacker-ec", "off-curve")
	offCurve["y"] = offCurve["x"]
	return []obj{
		b.keys.members("spare-ec", "good"),
		{"kty": "oct", "kid": "oct", "k": b64([]byte(sharedSecret)), "alg": "HS256"},
		b.keys.members("attacker-rsa", "private").with("d", b64(b.keys.rsaExponent("attacker-rsa"))),
		b.keys.members("weak-rsa", "weak"),
		b.keys.members("dac-rsa", "encrypt").with("use", "enc"),
		b.keys.members("old-rsa", "oaep").with("alg", "RSA-OAEP-256"),
		b.keys.members("holder-ec", "ops").with("key_ops", []string{"encrypt"}),
		b.keys.members("broker-rsa", "e1").with("e", b64([]byte{1})),
		offCurve,
		b.keys.members("dac-p384", "p384"),
		b.keys.members("dac-ed25519", "ed25519"),
		b.keys.members("grants-ec", "twin"),
		b.keys.members("linker-ec", "twin"),
		{"kty": "AKP", "kid": "unknown", "pub": "AAAA"},
	}
}

const sharedSecret = "a secret that the whole world has read"

// write makes the whole corpus.
func write(keys secretKeys) (map[string][]byte, error) {
	b := &book{keys: keys, files: map[string]*file{}, ids: map[string]bool{}}
	b.serialisation()
	b.header()
	b.encoding()
	b.times()
	b.keysAndIssuers()
	b.structure()
	b.conditions()
	b.links()
	b.claims()
	b.tokens()
	b.proofs()
	b.door()
	b.behaviours()
	out := map[string][]byte{}
	for _, name := range b.names {
		data, err := lines(b.files[name])
		if err != nil {
			return nil, err
		}
		out[name] = data
	}
	var err error
	out[configurationsFile], err = indented(b.configurations())
	return out, err
}

// lines writes one vector a line, so that a change of one shows as one line.
func lines(f *file) ([]byte, error) {
	head, err := marshal(map[string]any{"section": f.Section, "about": f.About, "now": f.Now})
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.Write(head[:len(head)-1])
	out.WriteString(",\"vectors\":[\n")
	for i, v := range f.Vectors {
		line, err := marshal(v)
		if err != nil {
			return nil, err
		}
		out.Write(line)
		if i < len(f.Vectors)-1 {
			out.WriteByte(',')
		}
		out.WriteByte('\n')
	}
	out.WriteString("]}\n")
	return out.Bytes(), nil
}

// maxCorpus is what may be committed, in bytes.
const maxCorpus = 1_500_000

// The committed corpus is what the generator makes, byte for byte: every signature
// in it is deterministic.
func TestVectorsAreWhatTheGeneratorMakes(t *testing.T) {
	if _, err := os.Stat(keysFile); os.IsNotExist(err) && *update {
		text, err := makeKeys()
		if err == nil {
			err = os.WriteFile(keysFile, text, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	keys, err := readKeys()
	if err != nil {
		t.Fatal(err)
	}
	files, err := write(keys)
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for name, want := range files {
		total += len(want)
		if *update {
			if err := os.WriteFile(name, want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the generator makes: run go test ./docs/vectors -run TestVectors -update, and read the difference", name)
		}
	}
	there, err := filepath.Glob("[0-9]*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range there {
		if files[name] == nil {
			t.Errorf("%s is not made by the generator: remove it", name)
		}
	}
	if total > maxCorpus {
		t.Errorf("the corpus has %d bytes, at most %d: write large tokens as recipes", total, maxCorpus)
	}
}

// Every V number of the design stands in the corpus, and there are as many vectors
// again that go beyond it.
func TestVectorsCoverTheDesign(t *testing.T) {
	files, _, err := load()
	if err != nil {
		t.Fatal(err)
	}
	series, own := map[string]bool{}, 0
	for _, v := range all(files, kindPassports, kindToken, kindProof, kindKeySet, kindClaims, kindHTTP, kindBehaviour) {
		name, _, numbered := strings.Cut(v.ID, ".")
		series[name] = true
		if !numbered {
			own++
		}
	}
	if own < 150 {
		t.Errorf("%d vectors besides those of the design", own)
	}
	for _, id := range strings.Fields(`V001 V003 V004 V006 V007 V008 V009 V011 V012 V014 V015 V017 V018 V019 V020 V022 V023 V024 V025
		V027 V029 V030 V032 V033 V034 V035 V036 V037 V038 V040 V041 V043 V044 V045 V046 V047 V048 V049 V051 V052 V053 V054 V055 V056 V057
		V058 V059 V060 V061 V062 V063 V064 V065 V066 V068 V069 V070 V071 V072 V073 V074 V075 V077 V078 V079
		V080 V081 V082 V083 V086 V088 V089 V090 V091 V093 V094 V095 V097 V098 V099 V100 V102 V103 V104 V105 V106`) {
		if !series[id] {
			t.Errorf("no vector %s", id)
		}
	}
}
