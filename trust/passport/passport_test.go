package passport

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/passport/passporttest"
)

func TestPassportWithGrantMakesACaller(t *testing.T) {
	w := newWorld(t)
	verdict, err := w.verify(w.passport(w.grant()))
	if err != nil {
		t.Fatal(err)
	}
	caller := verdict.Caller
	if caller.Identity != (trust.Identity{Issuer: brokerURL, Subject: "researcher"}) || caller.Origin != "" || !caller.Unbound ||
		caller.TrustRevision != 1 || !caller.Until.Equal(now.Add(2*time.Hour)) || len(caller.Passports) != 1 {
		t.Errorf("%+v", caller)
	}
	if !verdict.Until.Equal(now.Add(time.Hour)) {
		t.Errorf("the verdict stands until %v", verdict.Until)
	}
	if len(caller.Visas) != 1 {
		t.Fatalf("%+v", verdict.Visas)
	}
	visa := caller.Visas[0]
	want := trust.Visa{
		Identity: trust.Identity{Issuer: dacURL, Subject: "researcher@dac"}, // row 10: another sub is legal, and stays its own
		Type:     trust.VisaControlledAccessGrants, Value: dataset, Source: dacURL, By: "dac",
		Asserted: now.Add(-24 * time.Hour), Expires: now.Add(time.Hour), Digest: visa.Digest, KeyID: w.dac.Keys()[0].Thumbprint,
		Person: trust.Identity{Issuer: dacURL, Subject: "researcher@dac"},
	}
	if visa != want || visa.Digest.IsZero() {
		t.Errorf("%+v, want %+v", visa, want)
	}
	if len(w.refreshed) != 0 {
		t.Errorf("keys were asked for without need: %v", w.refreshed)
	}
}

func TestNoPassportIsAnonymous(t *testing.T) {
	w := newWorld(t)
	verdict, err := w.verify()
	if err != nil || !verdict.Caller.Anonymous() || !verdict.Until.IsZero() {
		t.Errorf("%+v %v", verdict, err)
	}
	if _, err := New(Options{}).Verify(context.Background(), Request{Passports: []string{w.passport()}, Now: now}); reasonOf(t, err) != trust.ReasonUntrustedIssuer {
		t.Errorf("a verifier that is told nothing believes nothing: %v", err)
	}
}

// Rows 1 to 5, 11; V001 to V034, V058 to V062 as far as passports go.
func TestPassportRefusals(t *testing.T) {
	w := newWorld(t)
	good := passportClaimsOf()
	header := func(members string) string { return raw(brokerKey(), `{`+members+`}`, good.text()) }
	payload := func(text string) string { return raw(brokerKey(), passportHeader, text) }
	insert := func(members string) string { return payload(strings.Replace(good.text(), "{", "{"+members+",", 1)) }
	segments := strings.Split(rawPassport(good), ".")
	const typ = `"typ":"vnd.ga4gh.passport+jwt"`
	mac := func(secret []byte) string {
		input := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","kid":"rsa1",`+typ+`}`)) + "." + segments[1]
		h := hmac.New(sha256.New, secret)
		h.Write([]byte(input))
		return input + "." + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
	}
	der, _ := x509.MarshalPKIXPublicKey(brokerKey().Public())
	deep := strings.Repeat("[", 9000) + strings.Repeat("]", 9000)
	cases := map[string]struct {
		token string
		want  trust.Reason
	}{
		"row 4 minimal":              {rawPassport(good), ""},
		"V060 empty list of visas":   {rawPassport(good), ""},
		"V001 flattened JSON":        {`{"payload":"` + segments[1] + `","protected":"` + segments[0] + `","signature":"` + segments[2] + `","sub":"admin"}`, trust.ReasonMalformed},
		"V003 none":                  {segments[0] + "." + segments[1] + ".", trust.ReasonMalformed},
		"V004 none over RS256":       {header(`"alg":"none","kid":"rsa1",` + typ), trust.ReasonAlgorithm},
		"V004 HS256 over RS256":      {header(`"alg":"HS256","kid":"rsa1",` + typ), trust.ReasonAlgorithm},
		"V006 HS256, public key":     {mac(der), trust.ReasonAlgorithm},
		"V008 PS256 label":           {header(`"alg":"PS256","kid":"rsa1",` + typ), trust.ReasonAlgorithm},
		"ES256 label, RSA key":       {header(`"alg":"ES256","kid":"rsa1",` + typ), trust.ReasonAlgorithm},
		"V012 five segments":         {strings.Join(segments, ".") + ".AA.AA", trust.ReasonMalformed},
		"V012 zip":                   {header(`"alg":"RS256","kid":"rsa1","zip":"DEF",` + typ), trust.ReasonHeader},
		"V019 no kid":                {header(`"alg":"RS256",` + typ), trust.ReasonHeader},
		"V019 empty kid":             {header(`"alg":"RS256","kid":"",` + typ), trust.ReasonHeader},
		"V018 kid traversal":         {header(`"alg":"RS256","kid":"../../dev/null",` + typ), trust.ReasonUnknownKey},
		"V020 kid of another issuer": {raw(dacKey(), passportHeader, good.text()), trust.ReasonSignature},
		"row 7 another's key":        {raw(dacKey(), passportHeader, good.with("iss", brokerURL).text()), trust.ReasonSignature},
		"V022 crit":                  {header(`"alg":"RS256","kid":"rsa1","crit":["exp"],` + typ), trust.ReasonHeader},
		"V023 b64":                   {header(`"alg":"RS256","kid":"rsa1","b64":false,` + typ), trust.ReasonHeader},
		"V058 typ JWT":               {header(`"alg":"RS256","kid":"rsa1","typ":"JWT"`), trust.ReasonWrongType},
		"V058 no typ":                {header(`"alg":"RS256","kid":"rsa1"`), trust.ReasonWrongType},
		"V024 typ at+jwt":            {header(`"alg":"RS256","kid":"rsa1","typ":"at+jwt"`), trust.ReasonWrongType},
		"V024 typ with parameter":    {header(`"alg":"RS256","kid":"rsa1","typ":"vnd.ga4gh.passport+jwt;v=1"`), trust.ReasonWrongType},
		"V025 typ with prefix, case": {header(`"alg":"RS256","kid":"rsa1","typ":"application/VND.ga4gh.Passport+jwt"`), ""},
		"V062 a visa":                {w.grant(), trust.ReasonWrongType},
		"V027 sub twice":             {insert(`"sub":"admin"`), trust.ReasonMalformed},
		"V027 exp twice":             {insert(`"exp":1`), trust.ReasonMalformed},
		"V027 iss twice":             {insert(`"iss":"` + dacURL + `"`), trust.ReasonUntrustedIssuer},
		"V027 iss twice, same":       {insert(`"iss":"` + brokerURL + `"`), trust.ReasonMalformed},
		"row 103 Exp besides exp":    {insert(`"Exp":1,"SUB":"admin"`), ""},
		"V029 second value":          {payload(good.text() + `{"sub":"x"}`), trust.ReasonMalformed},
		"V030 invalid UTF-8":         {insert("\"x\":\"\xff\""), trust.ReasonMalformed},
		"V030 NUL in sub":            {rawPassport(good.with("sub", "a\x00b")), trust.ReasonBadClaim},
		"V030 bidi in sub":           {rawPassport(good.with("sub", "a\u202eb")), trust.ReasonBadClaim},
		"V030 isolate in sub":        {rawPassport(good.with("sub", "a\u2066b")), trust.ReasonBadClaim},
		"V030 zero width in sub":     {rawPassport(good.with("sub", "a\u200bb")), trust.ReasonBadClaim},
		"V030 line separator in sub": {rawPassport(good.with("sub", "a\u2028b")), trust.ReasonBadClaim},
		"sub in other letters":       {rawPassport(good.with("sub", "chercheuse-éa-研究")), ""},
		"sub empty":                  {rawPassport(good.with("sub", "")), trust.ReasonBadClaim},
		"sub of 255":                 {rawPassport(good.with("sub", strings.Repeat("é", 255))), ""},
		"sub of 256":                 {rawPassport(good.with("sub", strings.Repeat("s", 256))), trust.ReasonBadClaim},
		"sub null":                   {rawPassport(good.with("sub", nil)), trust.ReasonBadClaim},
		"sub number":                 {rawPassport(good.with("sub", 7)), trust.ReasonBadClaim},
		"V032 null":                  {payload(`null`), trust.ReasonMalformed},
		"V032 array":                 {payload(`[]`), trust.ReasonMalformed},
		"V032 empty object":          {payload(`{}`), trust.ReasonMissingClaim},
		"V033 nesting":               {insert(`"x":` + deep), trust.ReasonMalformed},
		"row 4 no iss":               {rawPassport(good.without("iss")), trust.ReasonMissingClaim},
		"row 4 no sub":               {rawPassport(good.without("sub")), trust.ReasonMissingClaim},
		"row 4 no iat":               {rawPassport(good.without("iat")), trust.ReasonMissingClaim},
		"row 4 no exp":               {rawPassport(good.without("exp")), trust.ReasonMissingClaim}, // V035
		"row 4 no visas":             {rawPassport(good.without("ga4gh_passport_v1")), trust.ReasonMissingClaim},
		"V059 string":                {rawPassport(good.with("ga4gh_passport_v1", "a.b.c")), trust.ReasonBadClaim},
		"V059 object":                {rawPassport(good.with("ga4gh_passport_v1", map[string]any{})), trust.ReasonBadClaim},
		"V059 null":                  {rawPassport(good.with("ga4gh_passport_v1", nil)), trust.ReasonMissingClaim},
		"V059 nested":                {rawPassport(good.with("ga4gh_passport_v1", []any{[]string{"a.b.c"}})), trust.ReasonBadClaim},
		"V059 mixed":                 {rawPassport(good.with("ga4gh_passport_v1", []any{"a.b.c", 7})), trust.ReasonBadClaim},
		"V059 null member":           {rawPassport(good.with("ga4gh_passport_v1", []any{nil})), trust.ReasonBadClaim},
		"bound to a key":             {rawPassport(good.with("cnf", map[string]string{"jkt": "x"})), trust.ReasonNotProven},
		"unknown members":            {rawPassport(good.with("x_foo", []int{1}).with("jti", "7")), ""},
		"V052 stranger":              {raw(strangerKey(), passportHeader, good.with("iss", "https://stranger.example").text()), trust.ReasonUntrustedIssuer},
		"V071 a visa issuer":         {raw(dacKey(), passportHeader, good.with("iss", dacURL).text()), trust.ReasonUntrustedIssuer},
		"empty":                      {"", trust.ReasonMalformed},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { w.wantPassport(t, c.want, c.token) })
	}
	// V051: issuers are compared code point by code point.
	for _, iss := range []string{brokerURL + "/", brokerURL + ":443", "https://Broker.example", "http://broker.example", "https://brоker.example", "https://xn--brker-6qf.example", brokerURL + "\u200b"} {
		w.wantPassport(t, trust.ReasonUntrustedIssuer, rawPassport(good.with("iss", iss)))
	}
	for _, issuer := range w.refreshed {
		if issuer != brokerURL {
			t.Errorf("keys were asked for of %s, which is not configured for this", issuer)
		}
	}
}

// V061: the sample passport of the DRS document is HS256 and of a stranger.
func TestSamplePassportOfDRSIsRefused(t *testing.T) {
	w := newWorld(t)
	b64 := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	sample := b64(`{"alg":"HS256","typ":"JWT"}`) + "." + b64(`{"sub":"1234567890","name":"John Doe","iat":1516239022}`) + ".SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"
	w.wantPassport(t, trust.ReasonWrongType, sample)
}

// Row 11: the exception for issuers that leave out kid.
func TestMissingKeyID(t *testing.T) {
	w := newWorld(t)
	token := raw(brokerKey(), `{"alg":"RS256","typ":"vnd.ga4gh.passport+jwt"}`, passportClaimsOf().text())
	w.wantPassport(t, trust.ReasonHeader, token)
	w.policy(brokerURL, func(p *trust.IssuerPolicy) { p.AllowMissingKeyID = true })
	w.wantPassport(t, "", token)
	second := newRSA()
	more, _ := passporttest.FromKey(brokerURL, "rsa2", second)
	extra := trust.BelievedKey{Key: more.Keys()[0], Until: now.Add(time.Hour)}
	w.change(brokerURL, func(iv *trust.IssuerView) { iv.Keys = append(iv.Keys, extra) })
	w.wantPassport(t, trust.ReasonHeader, token)
	w.change(brokerURL, func(iv *trust.IssuerView) { iv.Keys[1].Until = now }) // the second is not usable any more
	w.wantPassport(t, "", token)
	w.change(brokerURL, func(iv *trust.IssuerView) { iv.Keys = nil })
	w.wantPassport(t, trust.ReasonUnknownKey, token)
}

// V035 to V041, rows 53, 63 and 105: boundaries to the second.
func TestTimesOfPassports(t *testing.T) {
	w := newWorld(t)
	at := func(name string, d time.Duration) string {
		return rawPassport(passportClaimsOf().with(name, float64(now.Add(d).UnixMicro())/1e6))
	}
	for name, c := range map[string]struct {
		token string
		want  trust.Reason
	}{
		"V040 exp now":         {at("exp", 0), trust.ReasonExpired},
		"V040 exp now+1s":      {at("exp", time.Second), ""},
		"V040 exp now-1s":      {at("exp", -time.Second), trust.ReasonExpired},
		"V040 exp now-leeway":  {at("exp", -leeway), trust.ReasonExpired},
		"exp now+fraction":     {at("exp", 500*time.Millisecond), ""},
		"row 63 iat +30s":      {at("iat", 30*time.Second), ""},
		"row 63 iat +31s":      {at("iat", 31*time.Second), trust.ReasonNotYetValid},
		"V041 iat +1h":         {at("iat", time.Hour), trust.ReasonNotYetValid},
		"V041 nbf +1h":         {at("nbf", time.Hour), trust.ReasonNotYetValid},
		"nbf +30s":             {at("nbf", 30*time.Second), ""},
		"nbf past":             {at("nbf", -time.Hour), ""},
		"iat long ago":         {at("iat", -10*365*24*time.Hour), ""},
		"nbf is text":          {rawPassport(passportClaimsOf().with("nbf", "0")), trust.ReasonBadTime},
		"iat is text":          {rawPassport(passportClaimsOf().with("iat", "1700000000")), trust.ReasonBadTime},
		"iat in milliseconds":  {rawPassport(passportClaimsOf().with("iat", now.UnixMilli())), trust.ReasonBadTime},
		"exp expired and text": {rawPassport(passportClaimsOf().with("exp", fmt.Sprint(now.Unix()+60))), trust.ReasonBadTime},
	} {
		t.Run(name, func(t *testing.T) { w.wantPassport(t, c.want, c.token) })
	}
	for _, exp := range []string{`0`, `"0"`, `0.5`, `-1`, `null`, `true`, `[1900000000]`, `1e30`, `9223372036854775808`, `"2030-01-01T00:00:00Z"`, `1e999`} {
		token := raw(brokerKey(), passportHeader, strings.Replace(passportClaimsOf().with("exp", "X").text(), `"X"`, exp, 1))
		w.wantPassport(t, trust.ReasonBadTime, token)
	}
}

// Rows 8 and 9, V069, V070: the binding ladder.
func TestAudience(t *testing.T) {
	everyone := func(*trust.IssuerPolicy) {}
	require := func(p *trust.IssuerPolicy) { p.RequireAud = true }
	listed := func(p *trust.IssuerPolicy) { p.AcceptUnboundFrom = []trust.SiteName{"bcgsc"} }
	both := func(p *trust.IssuerPolicy) { require(p); listed(p) }
	cases := []struct {
		name   string
		policy func(*trust.IssuerPolicy)
		aud    any // nil: absent
		origin trust.SiteName
		want   trust.Reason
	}{
		{"direct, none", everyone, nil, "", ""},
		{"direct, none, required", require, nil, "", trust.ReasonUnbound},
		{"direct, mine", everyone, "uhn-node", "", ""},
		{"direct, mine, required", require, "uhn-node", "", ""},
		{"direct, my address", everyone, []string{"x", "https://uhn.example"}, "", ""},
		{"direct, another's", everyone, "bcgsc-node", "", trust.ReasonAudience},
		{"direct, prefix", everyone, "uhn", "", trust.ReasonAudience},
		{"direct, longer", everyone, "uhn-node2", "", trust.ReasonAudience},
		{"direct, other case", everyone, "UHN-node", "", trust.ReasonAudience},
		{"direct, empty array", everyone, []string{}, "", trust.ReasonAudience},
		{"direct, empty text", everyone, "", "", trust.ReasonAudience},
		{"direct, null", everyone, jsonNull{}, "", trust.ReasonBadClaim},
		{"direct, number", everyone, 7, "", trust.ReasonBadClaim},
		{"direct, array with null", everyone, []any{"uhn-node", nil}, "", trust.ReasonBadClaim},
		{"direct, my NodeID", everyone, "nodeid-of-uhn", "", ""},
		{"L3 forwarded, my NodeID", everyone, []string{"x", "nodeid-of-uhn"}, "bcgsc", ""},
		{"L3 forwarded, my address", everyone, "https://uhn.example", "bcgsc", ""},
		{"forwarded, my client id: a peer hands back what it was shown", everyone, "uhn-node", "bcgsc", trust.ReasonAudience},
		{"L2 forwarded, the origin's", everyone, "bcgsc-node", "bcgsc", ""},
		{"V069 forwarded, a third site's", everyone, "chus-node", "bcgsc", trust.ReasonAudience},
		{"V069 listed for L1, a third site's", listed, "chus-node", "bcgsc", trust.ReasonAudience},
		{"V070 forwarded, none", everyone, nil, "bcgsc", trust.ReasonUnbound},
		{"L1 forwarded, none, listed", listed, nil, "bcgsc", ""},
		{"L1 forwarded, none, another listed", listed, nil, "chus", trust.ReasonUnbound},
		{"V070 forwarded, none, listed, required", both, nil, "bcgsc", trust.ReasonUnbound},
		{"forwarded, empty text", everyone, "", "bcgsc", trust.ReasonAudience},
		{"forwarded by a site without client ids", everyone, "bcgsc-node", "unknown", trust.ReasonAudience},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.audiences["bcgsc"] = append(w.audiences["bcgsc"], "") // an empty client id names nobody
			w.policy(brokerURL, c.policy)
			payload := passportClaimsOf()
			switch c.aud.(type) {
			case nil:
			case jsonNull:
				payload = payload.with("aud", nil)
			default:
				payload = payload.with("aud", c.aud)
			}
			request := Request{Passports: []string{rawPassport(payload)}, Origin: c.origin, Now: now}
			for range 2 { // the second time from memory
				verdict, err := w.verifier.Verify(context.Background(), request)
				if got := reasonOf(t, err); got != c.want {
					t.Errorf("got %q (%v), want %q", got, err, c.want)
				}
				if err == nil && (verdict.Caller.Unbound != (c.aud == nil) || verdict.Caller.Origin != c.origin) {
					t.Errorf("%+v", verdict.Caller)
				}
			}
		})
	}
}

type jsonNull struct{}

// Row 6, V066: one bad passport among good ones refuses the request.
func TestOneBadPassportRefusesTheRequest(t *testing.T) {
	w := newWorld(t)
	good := w.passport(w.grant())
	expired := w.passportWith(func(c *passporttest.PassportClaims) { c.Expires = now })
	for _, order := range [][]string{{good, expired}, {expired, good}} {
		_, err := w.verify(order...)
		if reasonOf(t, err) != trust.ReasonExpired {
			t.Fatal(err)
		}
		if refusal := err.(*Refusal); order[refusal.Index] != expired {
			t.Errorf("the refusal names passport %d", refusal.Index)
		}
	}
}

func TestSeveralPassportsAreUnited(t *testing.T) {
	w := newWorld(t)
	one := w.passport(w.grant())
	two := w.passportWith(func(c *passporttest.PassportClaims) {
		c.Subject, c.Expires, c.Audience = "other", now.Add(30*time.Minute), []string{"uhn-node"}
		c.Visas = []string{w.grant(), w.grant(func(v *passporttest.VisaClaims) { v.Value = "https://dac.example/datasets/second" })}
	})
	verdict, err := w.verify(one, two)
	if err != nil {
		t.Fatal(err)
	}
	caller := verdict.Caller
	if caller.Subject != "researcher" || len(caller.Visas) != 2 || len(verdict.Visas) != 3 || len(caller.Passports) != 2 ||
		!caller.Until.Equal(now.Add(30*time.Minute)) || !caller.Unbound || verdict.Passports[1].Unbound || !verdict.Passports[0].Unbound {
		t.Errorf("%+v", verdict)
	}
}

// Rows 50 and 106, V063, V064: what is too much is refused before any crypto.
func TestLimits(t *testing.T) {
	w := newWorld(t)
	many := func(n int, visa string) string {
		visas := make([]string, n)
		for i := range visas {
			visas[i] = visa
		}
		return rawPassport(passportClaimsOf(visas...))
	}
	grant := w.grant()
	split := strings.SplitAfterN(many(200, grant), ".", 3)
	unsigned := split[0] + split[1] + "AA"
	cases := map[string]struct {
		passports []string
		want      trust.Reason
	}{
		"V063 200 visas":           {[]string{many(200, grant)}, ""},
		"V063 201 visas":           {[]string{many(201, grant)}, trust.ReasonTooMany},
		"V063 1000 visas":          {[]string{many(1000, grant)}, trust.ReasonTooLarge},
		"10 000 tiny visas":        {[]string{many(10_000, "a.b.c")}, trust.ReasonTooMany},
		"201 over two passports":   {[]string{many(200, grant), many(1, grant)}, trust.ReasonTooMany},
		"V064 10 MB":               {[]string{strings.Repeat("A", 10<<20)}, trust.ReasonTooLarge},
		"V064 visa of 500 kB":      {[]string{many(1, strings.Repeat("A", 500<<10))}, ""},
		"11 passports":             {make([]string, 11), trust.ReasonTooMany},
		"3 passports of 900 kB":    {[]string{strings.Repeat("A", 900<<10), strings.Repeat("A", 900<<10), strings.Repeat("A", 900<<10)}, trust.ReasonTooLarge},
		"200 visas, bad signature": {[]string{unsigned}, trust.ReasonSignature},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			w.wantPassport(t, c.want, c.passports...)
			if took := time.Since(began); (c.want == trust.ReasonTooMany || c.want == trust.ReasonTooLarge) && took > 100*time.Millisecond {
				t.Errorf("refused only after %v", took)
			}
		})
	}
	w.wantVisa(t, strings.Repeat("A", maxVisaBytes+1), trust.ReasonTooLarge)
	// From memory the bound over all passports holds as well.
	w.wantPassport(t, "", many(1, grant))
	w.wantPassport(t, trust.ReasonTooMany, many(200, grant), many(1, grant))
}

func TestGivingUpIsNoRefusal(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if verdict, err := w.verifier.Verify(ctx, Request{Passports: []string{w.passport(w.grant())}, Now: now}); err != context.Canceled || len(verdict.Visas) != 0 {
		t.Errorf("%v", err)
	}
	if _, err := w.verify(w.passport(w.grant())); err != nil {
		t.Errorf("what was given up was remembered: %v", err)
	}
}
