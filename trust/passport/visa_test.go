package passport

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/passport/passporttest"
)

// Rows 12 to 18; V001 to V034 as far as visas go.
func TestVisaTokens(t *testing.T) {
	w := newWorld(t)
	good := visaClaimsOf()
	const jku = `"jku":"https://dac.example/jwks"`
	header := func(members string) string { return raw(dacKey(), `{`+members+`}`, good.text()) }
	payload := func(text string) string { return raw(dacKey(), visaHeader, text) }
	insert := func(members string) string { return payload(strings.Replace(good.text(), "{", "{"+members+",", 1)) }
	segments := strings.Split(rawVisa(good), ".")
	ed := w.institute.Sign(jose.Header{Type: "JWT", JKU: instituteURL + "/jwks"}, []byte(good.with("iss", instituteURL).text()))
	cases := map[string]struct {
		visa string
		want trust.Reason
	}{
		"row 13 minimal":             {rawVisa(good), ""},
		"row 17 no typ":              {header(`"alg":"RS256","kid":"rsa1",` + jku), ""},
		"row 17 JWT":                 {header(`"alg":"RS256","kid":"rsa1","typ":"jwt",` + jku), ""},
		"V025 typ with prefix":       {header(`"alg":"RS256","kid":"rsa1","typ":"application/vnd.ga4gh.VISA+jwt",` + jku), ""},
		"V024 entity statement":      {header(`"alg":"RS256","kid":"rsa1","typ":"entity-statement+jwt",` + jku), trust.ReasonWrongType},
		"V024 dpop":                  {header(`"alg":"RS256","kid":"rsa1","typ":"dpop+jwt",` + jku), trust.ReasonWrongType},
		"V024 at+jwt":                {header(`"alg":"RS256","kid":"rsa1","typ":"at+jwt",` + jku), trust.ReasonWrongType},
		"V062 typ of a passport":     {header(`"alg":"RS256","kid":"rsa1","typ":"vnd.ga4gh.passport+jwt",` + jku), trust.ReasonWrongType},
		"V062 passport in passport":  {w.passport(w.grant()), trust.ReasonWrongType},
		"row 12 broken signature":    {segments[0] + "." + segments[1] + "." + strings.Repeat("A", 342), trust.ReasonSignature},
		"row 12 signed by broker":    {raw(brokerKey(), visaHeader, good.text()), trust.ReasonSignature},
		"V001 flattened JSON":        {`{"payload":"` + segments[1] + `","protected":"` + segments[0] + `","signature":"` + segments[2] + `"}`, trust.ReasonMalformed},
		"V004 none over RS256":       {header(`"alg":"none","kid":"rsa1",` + jku), trust.ReasonAlgorithm},
		"V008 RS512 label":           {header(`"alg":"RS512","kid":"rsa1",` + jku), trust.ReasonAlgorithm},
		"V014 attacker's jku":        {header(`"alg":"RS256","kid":"rsa1","jku":"https://evil.example/jwks"`), trust.ReasonUnlistedJKU},
		"V014 metadata address":      {header(`"alg":"RS256","kid":"rsa1","jku":"http://169.254.169.254/"`), trust.ReasonUnlistedJKU},
		"V015 jku of another issuer": {header(`"alg":"RS256","kid":"rsa1","jku":"https://institute.example/jwks"`), trust.ReasonUnlistedJKU},
		"row 15 jku in other case":   {header(`"alg":"RS256","kid":"rsa1","jku":"https://DAC.example/jwks"`), trust.ReasonUnlistedJKU},
		"row 15 jku from policy":     {header(`"alg":"RS256","kid":"rsa1","jku":"https://dac.example/other-jwks"`), ""},
		"V018 kid of 10 kB":          {header(`"alg":"RS256","kid":"` + strings.Repeat("k", 7000) + `",` + jku), trust.ReasonHeader},
		"V018 kid with SQL":          {header(`"alg":"RS256","kid":"' OR 1=1",` + jku), trust.ReasonUnknownKey},
		"V019 no kid":                {header(`"alg":"RS256",` + jku), trust.ReasonHeader},
		"V020 rsa1 of another":       {raw(brokerKey(), visaHeader, good.text()), trust.ReasonSignature},
		"V022 crit":                  {header(`"alg":"RS256","kid":"rsa1","crit":[],` + jku), trust.ReasonHeader},
		"V023 b64":                   {header(`"alg":"RS256","kid":"rsa1","b64":false,` + jku), trust.ReasonHeader},
		"V027 exp twice":             {insert(`"exp":1`), trust.ReasonMalformed},
		"V027 visa object twice":     {insert(`"ga4gh_visa_v1":{}`), trust.ReasonMalformed},
		"V027 value twice in object": {payload(strings.Replace(good.text(), `"value":`, `"value":"x","value":`, 1)), trust.ReasonMalformed},
		"V029 second value":          {payload(good.text() + `{}`), trust.ReasonMalformed},
		"V030 NUL in sub":            {rawVisa(good.with("sub", "a\x00")), trust.ReasonBadClaim},
		"V032 null":                  {payload(`null`), trust.ReasonMalformed},
		"V034 four segments":         {rawVisa(good) + ".AA", trust.ReasonMalformed},
		"empty":                      {"", trust.ReasonMalformed},
		"spaces":                     {" " + rawVisa(good), trust.ReasonMalformed},
		"row 13 no iss":              {rawVisa(good.without("iss")), trust.ReasonMissingClaim},
		"row 13 no sub":              {rawVisa(good.without("sub")), trust.ReasonMissingClaim},
		"row 13 no iat":              {rawVisa(good.without("iat")), trust.ReasonMissingClaim},
		"row 13 no exp":              {rawVisa(good.without("exp")), trust.ReasonMissingClaim},
		"row 13 no visa object":      {rawVisa(good.without("ga4gh_visa_v1")), trust.ReasonMissingClaim},
		"row 13 object is array":     {rawVisa(good.with("ga4gh_visa_v1", []any{visaObjectOf()})), trust.ReasonBadClaim},
		"row 13 object is string":    {rawVisa(good.with("ga4gh_visa_v1", "x")), trust.ReasonBadClaim},
		"row 13 object is null":      {rawVisa(good.with("ga4gh_visa_v1", nil)), trust.ReasonMissingClaim},
		"aud":                        {rawVisa(good.with("aud", "uhn-node")), trust.ReasonAudience},
		"cnf":                        {rawVisa(good.with("cnf", 1)), trust.ReasonUnsupportedToken},
		"unknown members":            {rawVisa(good.with("x", 1).with("jti", "1")), ""},
		"V052 stranger":              {raw(strangerKey(), visaHeader, good.with("iss", "https://stranger.example").text()), trust.ReasonUntrustedIssuer},
		"V071 broker is no DAC":      {raw(brokerKey(), visaHeader, good.with("iss", brokerURL).text()), trust.ReasonUntrustedIssuer},
		"V051 iss with slash":        {rawVisa(good.with("iss", dacURL+"/")), trust.ReasonUntrustedIssuer},
		"V072 scope of another":      {ed, trust.ReasonTypeOutOfScope},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { w.wantVisa(t, c.visa, c.want) })
	}
	for _, issuer := range w.refreshed {
		if issuer != dacURL {
			t.Errorf("keys were asked for of %s", issuer)
		}
	}
}

// Row 14, V077: a visa is of one form, and openid is a word.
func TestVisaForms(t *testing.T) {
	w := newWorld(t)
	visa := func(scope, jku string, aud bool) string {
		c := visaClaimsOf()
		if scope != "" {
			c = c.with("scope", scope)
		}
		if aud {
			c = c.with("aud", []string{"x"})
		}
		header := strings.Replace(visaHeader, `,"jku":"https://dac.example/jwks"`, jku, 1)
		return raw(dacKey(), header, c.text())
	}
	const jku = `,"jku":"https://dac.example/jwks"`
	for name, c := range map[string]struct {
		visa string
		want trust.Reason
	}{
		"document":                  {visa("", jku, false), ""},
		"document, other scope":     {visa("ga4gh_passport_v1 email", jku, false), ""},
		"document, openidx":         {visa("openidx", jku, false), ""},
		"document, OpenID":          {visa("OpenID xopenid", jku, false), ""},
		"both":                      {visa("openid", jku, false), trust.ReasonVisaForm},
		"both, among others":        {visa("email openid profile", jku, false), trust.ReasonVisaForm},
		"both, by a tab":            {visa("email\topenid", jku, false), trust.ReasonVisaForm},
		"neither":                   {visa("", "", false), trust.ReasonVisaForm},
		"neither, openidx":          {visa("openidx", "", false), trust.ReasonVisaForm},
		"access token":              {visa("openid ga4gh_passport_v1", "", false), trust.ReasonAccessTokenVisa},
		"access token with aud":     {visa("openid", "", true), trust.ReasonVisaForm},
		"document, scope not text":  {rawVisa(visaClaimsOf().with("scope", []string{"openid"})), trust.ReasonBadClaim},
		"document, jku in payload":  {raw(dacKey(), `{"alg":"RS256","kid":"rsa1"}`, visaClaimsOf().with("jku", dacURL+"/jwks").text()), trust.ReasonVisaForm},
		"expired access token form": {rawVisa(visaClaimsOf().with("scope", "openid").with("exp", now.Unix())), trust.ReasonVisaForm},
	} {
		t.Run(name, func(t *testing.T) { w.wantVisa(t, c.visa, c.want) })
	}
}

// Row 16: with pinned keys the jku does not matter, and the verdict says so.
func TestPinnedKeysNeedNoJKU(t *testing.T) {
	w := newWorld(t)
	visa := w.grant(func(c *passporttest.VisaClaims) { c.JKU = "https://elsewhere.example/jwks" })
	w.wantVisa(t, visa, trust.ReasonUnlistedJKU)
	w.change(dacURL, func(iv *trust.IssuerView) { iv.Policy.Mode, iv.JWKSURI = trust.ModeManual, "" })
	if got := w.one(t, visa); !got.Accepted || got.Detail == "" {
		t.Errorf("%+v", got)
	}
	w.wantVisa(t, w.grant(func(c *passporttest.VisaClaims) { c.JKU = "-" }), trust.ReasonVisaForm)
	// An issuer without a known address lists nothing by having none.
	w.change(dacURL, func(iv *trust.IssuerView) { iv.Policy.Mode = trust.ModeDirect })
	w.wantVisa(t, w.grant(), trust.ReasonUnlistedJKU)
}

// Rows 22 to 29; V073 to V075.
func TestVisaObjects(t *testing.T) {
	w := newWorld(t)
	object := visaObjectOf()
	url := func(n int) string { return "https://" + strings.Repeat("x", n-len("https://")) }
	w.policy(dacURL, func(p *trust.IssuerPolicy) {
		p.Sources = append(p.Sources, url(255), url(256))
		p.VisaTypes = append(p.VisaTypes, url(255), url(256))
	})
	for name, c := range map[string]struct {
		object claims
		want   trust.Reason
	}{
		"plain":                     {object, ""},
		"unknown member":            {object.with("x_foo", map[string]any{"a": 1}), ""},
		"row 22 no type":            {object.without("type"), trust.ReasonMissingClaim},
		"row 22 empty type":         {object.with("type", ""), trust.ReasonBadClaim},
		"row 22 type number":        {object.with("type", 7), trust.ReasonBadClaim},
		"row 22 type in other case": {object.with("type", "controlledAccessGrants"), trust.ReasonUnsupportedVisaType},
		"V073 unknown custom type":  {object.with("type", "https://other.example/type"), trust.ReasonUnsupportedVisaType},
		"row 23 no asserted":        {object.without("asserted"), trust.ReasonMissingClaim},
		"V043 asserted string":      {object.with("asserted", fmt.Sprint(now.Unix()-1)), trust.ReasonBadTime},
		"V043 asserted > iat":       {object.with("asserted", now.Unix()-60+31), trust.ReasonBadTime},
		"V043 asserted iat+leeway":  {object.with("asserted", now.Unix()-60+30), ""},
		"V043 asserted future":      {object.with("asserted", now.Unix()+3600), trust.ReasonBadTime},
		"V043 asserted 0":           {object.with("asserted", 0), trust.ReasonBadTime},
		"V043 asserted null":        {object.with("asserted", nil), trust.ReasonBadTime},
		"row 24 no value":           {object.without("value"), trust.ReasonMissingClaim},
		"row 24 value number":       {object.with("value", 7), trust.ReasonBadClaim},
		"row 24 value array":        {object.with("value", []string{dataset}), trust.ReasonBadClaim},
		"row 25 no source":          {object.without("source"), trust.ReasonMissingClaim},
		"row 25 unlisted source":    {object.with("source", "https://other.example"), trust.ReasonUntrustedSource},
		"row 25 source with slash":  {object.with("source", dacURL+"/"), trust.ReasonUntrustedSource},
		"row 25 no organization":    {object.with("source", noOrganization), trust.ReasonUntrustedSource}, // though it is listed
		"row 26 value of 255":       {object.with("value", url(255)), ""},
		"row 26 value of 256":       {object.with("value", url(256)), trust.ReasonBadClaim},
		"row 26 source of 255":      {object.with("source", url(255)), ""},
		"row 26 source of 256":      {object.with("source", url(256)), trust.ReasonBadClaim},
		"row 26 type of 255":        {object.with("type", url(255)), ""},
		"row 26 type of 256":        {object.with("type", url(256)), trust.ReasonBadClaim},
		"V075 by missing":           {object.without("by"), trust.ReasonMissingClaim},
		"V075 by missing, terms":    {object.without("by").with("type", trust.VisaAcceptedTermsAndPolicies), trust.ReasonMissingClaim},
		"V075 by DAC":               {object.with("by", "DAC"), trust.ReasonBadClaim},
		"row 27 by unknown word":    {object.with("by", "committee"), trust.ReasonBadClaim},
		"row 27 by empty":           {object.with("by", ""), trust.ReasonBadClaim},
		"row 27 by null":            {object.with("by", nil), trust.ReasonBadClaim},
		"row 27 by missing, link":   {object.without("by").with("type", trust.VisaLinkedIdentities).with("value", "s,"+dacURL), ""},
		"row 103 Value for value":   {object.without("value").with("Value", dataset), trust.ReasonMissingClaim},
		"V030 bidi in value":        {object.with("value", "https://dac.example/\u202estitevirar"), trust.ReasonBadClaim},
		"link value of 4096":        {object.with("type", trust.VisaLinkedIdentities).with("value", longLinks(4096)), ""},
		"link value of 4097":        {object.with("type", trust.VisaLinkedIdentities).with("value", strings.Repeat("v", 4097)), trust.ReasonBadClaim},
	} {
		t.Run(name, func(t *testing.T) { w.wantVisa(t, rawObject(c.object), c.want) })
	}
	for _, by := range []string{"self", "peer", "system", "so", "dac"} {
		if got := w.one(t, rawObject(object.with("by", by))); !got.Accepted || got.By != by {
			t.Errorf("by %s: %+v", by, got)
		}
	}
}

// Row 29: the value of an AffiliationAndRole splits at the first '@'.
func TestAffiliations(t *testing.T) {
	w := newWorld(t)
	for value, want := range map[string]trust.Reason{
		"faculty@a.org": "", "faculty@a@b": "", "faculty@@": "",
		"faculty": trust.ReasonBadClaim, "@a.org": trust.ReasonBadClaim, "faculty@": trust.ReasonBadClaim, "@": trust.ReasonBadClaim, "": trust.ReasonBadClaim,
	} {
		object := claims{"type": trust.VisaAffiliationAndRole, "value": value, "source": instituteURL, "asserted": now.Unix() - 86400}
		visa := w.institute.Sign(jose.Header{JKU: instituteURL + "/jwks"}, []byte(visaClaimsOf().with("iss", instituteURL).with("ga4gh_visa_v1", object).text()))
		if got := w.one(t, visa); got.Reason != want || got.Accepted && got.Value != value {
			t.Errorf("%q: %+v", value, got)
		}
	}
}

// V074: a custom type works when it is listed, whatever else it holds.
func TestListedCustomType(t *testing.T) {
	w := newWorld(t)
	object := claims{"type": "https://ras.nih.gov/visas/v1.1", "value": "https://sts.nih.gov/passport/dbgap/v1.1", "source": instituteURL,
		"asserted": now.Unix() - 86400, "ras_dbgap_permissions": []any{map[string]any{"phs_id": "phs000710"}}}
	visa := w.institute.Sign(jose.Header{JKU: instituteURL + "/jwks"}, []byte(visaClaimsOf().with("iss", instituteURL).with("ga4gh_visa_v1", object).text()))
	w.wantVisa(t, visa, "")
	w.policy(instituteURL, func(p *trust.IssuerPolicy) { p.VisaTypes = p.VisaTypes[:1] })
	w.wantVisa(t, visa, trust.ReasonUnsupportedVisaType)
}

// Rows 32 and 33, V080, V081: absent and [] are unconditional, nothing else is.
func TestConditions(t *testing.T) {
	w := newWorld(t)
	visa := func(conditions string) string {
		text := visaClaimsOf().with("ga4gh_visa_v1", visaObjectOf().with("conditions", "X")).text()
		return raw(dacKey(), visaHeader, strings.Replace(text, `"X"`, conditions, 1))
	}
	for _, text := range []string{`[]`, `[ ]`, "[\n\t]"} {
		w.wantVisa(t, visa(text), "")
	}
	for _, text := range []string{`[[]]`, `null`, `{}`, `["x"]`, `[["x"]]`, `""`, `"[]"`, `0`, `false`, `[null]`, `[[{}]]`, `[{}]`,
		`[[{"type":"AffiliationAndRole","value":"const:faculty@a.org"}]]`, `[[{"type":"AffiliationAndRole"}]]`} {
		w.wantVisa(t, visa(text), trust.ReasonConditions)
	}
}

// V035 to V043 for visas.
func TestTimesOfVisas(t *testing.T) {
	w := newWorld(t)
	at := func(name string, d time.Duration) string {
		c := visaClaimsOf().with(name, now.Add(d).Unix())
		return rawVisa(c)
	}
	for name, c := range map[string]struct {
		visa string
		want trust.Reason
	}{
		"V040 exp now":    {at("exp", 0), trust.ReasonExpired},
		"V040 exp now+1":  {at("exp", time.Second), ""},
		"V040 exp now-1":  {at("exp", -time.Second), trust.ReasonExpired},
		"row 63 iat +30":  {at("iat", 30*time.Second), ""},
		"row 63 iat +31":  {at("iat", 31*time.Second), trust.ReasonNotYetValid},
		"V041 nbf +1h":    {at("nbf", time.Hour), trust.ReasonNotYetValid},
		"V036 exp 0":      {rawVisa(visaClaimsOf().with("exp", 0)), trust.ReasonBadTime},
		"V037 exp string": {rawVisa(visaClaimsOf().with("exp", "1900000000")), trust.ReasonBadTime},
		"V038 exp null":   {rawVisa(visaClaimsOf().with("exp", nil)), trust.ReasonBadTime},
		"V038 exp 1e30":   {rawVisa(visaClaimsOf().with("exp", 1e30)), trust.ReasonBadTime},
	} {
		t.Run(name, func(t *testing.T) { w.wantVisa(t, c.visa, c.want) })
	}
}

// Row 19, V065: a visa that fails takes no other with it.
func TestOneBadVisaLeavesTheOthers(t *testing.T) {
	w := newWorld(t)
	visas := make([]string, 5)
	for i := range visas {
		visas[i] = w.grant(func(c *passporttest.VisaClaims) {
			c.Value = fmt.Sprint(dataset, i)
			if i == 2 {
				c.Expires = now
			}
		})
	}
	verdict, err := w.verify(w.passport(visas...))
	if err != nil || len(verdict.Caller.Visas) != 4 || verdict.Visas[2].Reason != trust.ReasonExpired || len(verdict.Visas) != 5 {
		t.Fatalf("%v %+v", err, verdict.Visas)
	}
}

// Rows 31, 49 and 52, V071: broker, visa issuer and source must all be trusted; remove each.
func TestTrustIsNeededThrice(t *testing.T) {
	for name, c := range map[string]struct {
		remove   func(*world)
		passport trust.Reason
		visa     trust.Reason
	}{
		"all":            {func(*world) {}, "", ""},
		"without broker": {func(w *world) { delete(w.view.Issuers, brokerURL) }, trust.ReasonUntrustedIssuer, ""},
		"broker for visa": {func(w *world) {
			w.policy(brokerURL, func(p *trust.IssuerPolicy) { p.Kinds = []trust.Kind{trust.KindVisa} })
		}, trust.ReasonUntrustedIssuer, ""},
		"without issuer": {func(w *world) { delete(w.view.Issuers, dacURL) }, "", trust.ReasonUntrustedIssuer},
		"issuer, login": {func(w *world) {
			w.policy(dacURL, func(p *trust.IssuerPolicy) { p.Kinds = []trust.Kind{trust.KindLogin} })
		}, "", trust.ReasonUntrustedIssuer},
		"without source": {func(w *world) { w.policy(dacURL, func(p *trust.IssuerPolicy) { p.Sources = nil }) }, "", trust.ReasonUntrustedSource},
		"without type":   {func(w *world) { w.policy(dacURL, func(p *trust.IssuerPolicy) { p.VisaTypes = nil }) }, "", trust.ReasonTypeOutOfScope},
		"other values": {func(w *world) {
			w.policy(dacURL, func(p *trust.IssuerPolicy) { p.ValuePrefixes = []string{"https://dac.example/other/"} })
		}, "", trust.ReasonValueOutOfScope},
		"these values": {func(w *world) {
			w.policy(dacURL, func(p *trust.IssuerPolicy) { p.ValuePrefixes = []string{"https://dac.example/datasets/"} })
		}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c.remove(w)
			if c.passport != "" {
				w.wantPassport(t, c.passport, w.passport(w.grant()))
				return
			}
			w.wantVisa(t, w.grant(), c.visa)
		})
	}
}

// Rows 10, 42, 43 and 47, V090: the same sub at two issuers is two identities, and an
// issuer without authority for it joins nobody.
func TestIdentitiesAreNotJoinedWithoutAuthority(t *testing.T) {
	w := newWorld(t)
	link := w.grant(func(c *passporttest.VisaClaims) {
		c.Type, c.Value, c.By = trust.VisaLinkedIdentities, "researcher,https:%2F%2Fbroker.example", "system"
	})
	verdict, err := w.verify(w.passport(w.grant(func(c *passporttest.VisaClaims) { c.Subject = "researcher" }), link))
	if err != nil || len(verdict.Caller.Visas) != 1 || verdict.Visas[1].Reason != trust.ReasonLinkAuthority {
		t.Fatalf("%v %+v", err, verdict)
	}
	for _, visa := range verdict.Caller.Visas {
		if visa.Issuer != dacURL || visa.Person == verdict.Caller.Person || verdict.Caller.Linked != nil {
			t.Errorf("%+v", visa)
		}
	}
}

// Row 108, V062: each kind of token in each slot; only the right one passes.
func TestSubstitutionMatrix(t *testing.T) {
	w := newWorld(t)
	passport, visa := passportClaimsOf(), visaClaimsOf()
	idToken := claims{"iss": dacURL, "sub": "s", "aud": "uhn-node", "nonce": "n", "iat": now.Unix(), "exp": now.Unix() + 600}
	accessToken := idToken.with("scope", "openid ga4gh_passport_v1").without("aud")
	proof := claims{"jti": "1", "htm": "POST", "htu": "https://uhn.example/", "iat": now.Unix()}
	statement := claims{"iss": dacURL, "sub": dacURL, "iat": now.Unix(), "exp": now.Unix() + 600, "jwks": claims{"keys": []any{}}}
	kinds := map[string]struct {
		typ    string
		claims claims
	}{
		"passport": {passportType, passport}, "visa": {visaType, visa}, "id token": {"JWT", idToken}, "access token": {"at+jwt", accessToken},
		"proof": {"dpop+jwt", proof}, "entity statement": {"entity-statement+jwt", statement}, "trust mark": {"trust-mark+jwt", idToken},
	}
	everything := visa.with("ga4gh_passport_v1", []string{}) // trusted for both kinds, to leave only the kind to refuse
	w.policy(dacURL, func(p *trust.IssuerPolicy) { p.Kinds = []trust.Kind{trust.KindVisa, trust.KindPassport} })
	for name, kind := range kinds {
		token := raw(dacKey(), fmt.Sprintf(`{"alg":"RS256","kid":"rsa1","typ":%q,"jku":"https://dac.example/jwks"}`, kind.typ), kind.claims.with("iss", dacURL).text())
		_, err := w.verify(token)
		if (err == nil) != (name == "passport") {
			t.Errorf("%s as passport: %v", name, err)
		}
		if got := w.one(t, token); got.Accepted != (name == "visa") {
			t.Errorf("%s as visa: %+v", name, got)
		}
		// With the claims of every kind at once, typ alone decides.
		token = raw(dacKey(), fmt.Sprintf(`{"alg":"RS256","kid":"rsa1","typ":%q,"jku":"https://dac.example/jwks"}`, kind.typ), everything.text())
		if _, err := w.verify(token); (err == nil) != (kind.typ == passportType) {
			t.Errorf("%s with all claims as passport: %v", kind.typ, err)
		}
		if got := w.one(t, token); got.Accepted != (kind.typ == visaType || kind.typ == "JWT") {
			t.Errorf("%s with all claims as visa: %+v", kind.typ, got)
		}
	}
}

// V030, V018: what a verdict tells of a token that was not accepted is short and
// prints, and holds none of the token's bytes.
func TestVerdictsAreSafeToShow(t *testing.T) {
	w := newWorld(t)
	hostile := "\u202e\x00\x1b[31m" + strings.Repeat("é", 300)
	object := visaObjectOf().with("value", hostile).with("source", hostile).with("by", hostile).with("type", hostile)
	for _, c := range []claims{
		visaClaimsOf().with("sub", hostile).with("ga4gh_visa_v1", object),
		visaClaimsOf().with("iss", "https://stranger.example/\u202e").with("sub", hostile).with("ga4gh_visa_v1", object),
	} {
		visa := rawVisa(c)
		verdict, err := w.verify(w.passport(visa))
		if err != nil {
			t.Fatal(err)
		}
		text, _ := json.Marshal(verdict.Visas)
		said := fmt.Sprintf("%+v", verdict.Visas)
		if len(said) > 2500 || strings.ContainsAny(said, "\u202e\x00\x1b") || strings.Contains(said, visa[:40]) || strings.Contains(string(text), visa[:40]) {
			t.Errorf("%d bytes: %.300q", len(said), said)
		}
		if verdict.Visas[0].Subject == "" {
			t.Error("nothing tells which visa it was")
		}
	}
	_, err := w.verify(rawPassport(passportClaimsOf().with("iss", "https://\u202e.example")))
	if err == nil || strings.ContainsAny(err.Error(), "\u202e") {
		t.Errorf("%v", err)
	}
	long := base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("secret", 100)))
	if _, err := w.verify(long + "." + long + "." + long); err == nil || strings.Contains(err.Error(), long[:20]) {
		t.Errorf("%v", err)
	}
}

// The names that scripts read in POST /v1/whoami.
func TestVisaVerdictAsJSON(t *testing.T) {
	w := newWorld(t)
	verdict, err := w.verify(w.passport(w.grant(), "x"))
	if err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(verdict.Visas)
	var got []map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"iss", "sub", "type", "value", "source", "by", "accepted", "key", "until"} {
		if _, there := got[0][name]; !there {
			t.Errorf("%s is missing: %s", name, text)
		}
	}
	if _, there := got[1]["until"]; there || got[1]["reason"] != "malformed" || got[1]["detail"] == "" || got[1]["accepted"] != false {
		t.Errorf("%s", text)
	}
	text, _ = json.Marshal(verdict.Passports)
	if !strings.Contains(string(text), `"iss":"https://broker.example"`) || !strings.Contains(string(text), `"accepted":true`) {
		t.Errorf("%s", text)
	}
}

// longLinks is a value of n characters that links identities of the committee.
func longLinks(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n-400; i++ {
		fmt.Fprintf(&b, "%03d%s,%s;", i, strings.Repeat("v", 200), dacURL)
	}
	rest := n - b.Len() - len(","+dacURL)
	b.WriteString(strings.Repeat("%76", rest/3) + strings.Repeat("w", rest%3) + "," + dacURL)
	return b.String()
}
