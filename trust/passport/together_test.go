package passport

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/passport/passporttest"
)

func (w *world) ask(req Request) (Verdict, error) {
	if req.Now.IsZero() {
		req.Now = now
	}
	return w.verifier.Verify(context.Background(), req)
}

func compact(visas ...string) []trust.Passport {
	var all []trust.Passport
	for _, v := range visas {
		all = append(all, trust.NewPassport(v))
	}
	return all
}

// with makes the world's verifier anew under further options.
func (w *world) with(change func(*Options)) {
	options := w.verifier.options
	change(&options)
	w.verifier = New(options)
}

// Rows 10 and 49: visas that came in no passport are judged as any others, and their
// broker must be trusted for the way they came.
func TestSets(t *testing.T) {
	login := []trust.Kind{trust.KindLogin}
	passports := []trust.Kind{trust.KindPassport}
	for name, c := range map[string]struct {
		kinds  []trust.Kind
		change func(*trust.VisaSet)
		origin trust.SiteName
		want   trust.Reason
	}{
		"row 49 from a broker":         {passports, nil, "", ""},
		"row 49 broker for login only": {login, nil, "", trust.ReasonUntrustedIssuer},
		"row 49 claims by login":       {login, func(s *trust.VisaSet) { s.Via = trust.KindClaims }, "", ""},
		"row 49 claims by a broker":    {passports, func(s *trust.VisaSet) { s.Via = trust.KindClaims }, "", ""},
		"row 49 a visa issuer":         {[]trust.Kind{trust.KindVisa}, func(s *trust.VisaSet) { s.Via = trust.KindClaims }, "", trust.ReasonUntrustedIssuer},
		"row 49 a stranger":            {passports, func(s *trust.VisaSet) { s.Issuer = "https://stranger.example" }, "", trust.ReasonUntrustedIssuer},
		"login without visas":          {login, func(s *trust.VisaSet) { s.Via, s.Visas = trust.KindLogin, nil }, "", ""},
		"login with visas":             {login, func(s *trust.VisaSet) { s.Via = trust.KindLogin }, "", trust.ReasonUntrustedIssuer},
		"in no way":                    {passports, func(s *trust.VisaSet) { s.Via = "" }, "", trust.ReasonUntrustedIssuer},
		"row 53 at its end":            {passports, func(s *trust.VisaSet) { s.Until = now }, "", trust.ReasonExpired},
		"row 53 without an end":        {passports, func(s *trust.VisaSet) { s.Until = time.Time{} }, "", trust.ReasonExpired},
		"nobody":                       {passports, func(s *trust.VisaSet) { s.Subject = "" }, "", trust.ReasonBadClaim},
		"row 106 too many visas":       {passports, func(s *trust.VisaSet) { s.Visas = make([]trust.Passport, 201) }, "", trust.ReasonTooMany},
		"row 106 too many bytes":       {passports, func(s *trust.VisaSet) { s.Visas = compact(strings.Repeat("A", 3<<20)) }, "", trust.ReasonTooLarge},
		"by way of another site":       {passports, nil, "bcgsc", trust.ReasonUnsupportedToken},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.policy(brokerURL, func(p *trust.IssuerPolicy) { p.Kinds = c.kinds })
			set := trust.VisaSet{Identity: atBroker, Visas: compact(w.grant(), "x", w.grant(func(c *passporttest.VisaClaims) { c.Expires = now })), Via: trust.KindPassport, Until: now.Add(20 * time.Minute)}
			if c.change != nil {
				c.change(&set)
			}
			token := trust.NewAccessToken("secret")
			verdict, err := w.ask(Request{Sets: []trust.VisaSet{set}, Origin: c.origin, Token: token})
			if got := reasonOf(t, err); got != c.want {
				t.Fatalf("got %q (%v), want %q", got, err, c.want)
			}
			if err != nil {
				return
			}
			caller := verdict.Caller
			if caller.Identity != set.Identity || !caller.Until.Equal(set.Until) || caller.Token.Reveal() != "secret" || caller.Unbound || len(caller.Sets) != 1 || len(verdict.Passports) != 0 {
				t.Errorf("%+v", caller)
			}
			if len(set.Visas) > 0 && (len(caller.Visas) != 1 || len(caller.Sets[0].Visas) != 1 || caller.Sets[0].Visas[0].Digest() != caller.Visas[0].Digest || len(verdict.Visas) != 3) {
				t.Errorf("%+v", verdict.Visas)
			}
		})
	}
}

// Rows 6 and 55: passports come first, one bad set refuses the request, and the least
// end counts.
func TestSetsBesidePassports(t *testing.T) {
	w := newWorld(t)
	second := trust.VisaSet{Identity: trust.Identity{Issuer: brokerURL, Subject: "other"}, Visas: compact(w.affiliation(), w.grant()), Via: trust.KindPassport, Until: now.Add(20 * time.Minute)}
	token := w.passport(w.grant())
	verdict, err := w.ask(Request{Passports: []string{token}, Sets: []trust.VisaSet{second}})
	if err != nil || verdict.Caller.Identity != atBroker || len(verdict.Caller.Visas) != 2 || !verdict.Caller.Until.Equal(second.Until) || len(verdict.Caller.Passports) != 1 || len(verdict.Visas) != 3 {
		t.Fatalf("%v %+v", err, verdict.Caller)
	}
	bad := second
	bad.Issuer = dacURL
	_, err = w.ask(Request{Passports: []string{token}, Sets: []trust.VisaSet{second, bad}})
	if reasonOf(t, err) != trust.ReasonUntrustedIssuer || err.(*Refusal).Index != 2 || !err.(*Refusal).Set || !strings.HasPrefix(err.Error(), "sign-in: ") {
		t.Error(err)
	}
	if _, err = w.ask(Request{Sets: make([]trust.VisaSet, maxSets+1)}); reasonOf(t, err) != trust.ReasonTooMany {
		t.Error(err)
	}
	full := second
	full.Visas = make([]trust.Passport, maxVisas)
	if _, err = w.ask(Request{Passports: []string{token}, Sets: []trust.VisaSet{full}}); reasonOf(t, err) != trust.ReasonTooMany {
		t.Error(err)
	}
}

// A token that is bound to a key is taken from whoever proves to hold it, each time
// anew, and from nobody else (rows 61 and 63 besides).
func TestBoundPassportsAndVisas(t *testing.T) {
	const jkt, x5t = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I", "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"
	both := map[string]any{"jkt": jkt, "x5t#S256": x5t}
	for name, c := range map[string]struct {
		cnf    any
		proven trust.Proven
		origin trust.SiteName
		want   trust.Reason
	}{
		"proven":               {map[string]any{"jkt": jkt}, trust.Proven{JKT: jkt}, "", ""},
		"by certificate":       {map[string]any{"x5t#S256": x5t}, trust.Proven{X5T: x5t}, "", ""},
		"both":                 {both, trust.Proven{JKT: jkt, X5T: x5t}, "", ""},
		"one of both":          {both, trust.Proven{JKT: jkt}, "", trust.ReasonNotProven},
		"nothing proven":       {map[string]any{"jkt": jkt}, trust.Proven{}, "", trust.ReasonNotProven},
		"another key":          {map[string]any{"jkt": jkt}, trust.Proven{JKT: x5t}, "", trust.ReasonNotProven},
		"the wrong way":        {map[string]any{"jkt": jkt}, trust.Proven{X5T: jkt}, "", trust.ReasonNotProven},
		"forwarded":            {map[string]any{"jkt": jkt}, trust.Proven{JKT: jkt}, "bcgsc", trust.ReasonUnsupportedToken},
		"unknown way":          {map[string]any{"kid": "k"}, trust.Proven{JKT: jkt}, "", trust.ReasonUnsupportedToken},
		"unknown way besides":  {map[string]any{"jkt": jkt, "jwk": map[string]string{}}, trust.Proven{JKT: jkt}, "", trust.ReasonUnsupportedToken},
		"unknown word besides": {map[string]any{"jkt": jkt, "x": "y"}, trust.Proven{JKT: jkt}, "", trust.ReasonUnsupportedToken},
		"empty":                {map[string]any{}, trust.Proven{}, "", trust.ReasonUnsupportedToken},
		"empty jkt":            {map[string]any{"jkt": ""}, trust.Proven{}, "", trust.ReasonUnsupportedToken},
		"null":                 {nil, trust.Proven{}, "", trust.ReasonUnsupportedToken},
		"text":                 {"x", trust.Proven{}, "", trust.ReasonUnsupportedToken},
		"jkt is a number":      {map[string]any{"jkt": 7}, trust.Proven{}, "", trust.ReasonUnsupportedToken},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			request := Request{Passports: []string{rawPassport(passportClaimsOf(w.grant()).with("cnf", c.cnf).with("aud", []string{"nodeid-of-uhn"}))}, Proven: c.proven, Origin: c.origin}
			for range 2 {
				if _, err := w.ask(request); reasonOf(t, err) != c.want {
					t.Errorf("passport: %v, want %q", err, c.want)
				}
			}
			// What was proven once is not remembered.
			unproven := request
			unproven.Proven = trust.Proven{}
			if _, err := w.ask(unproven); err == nil {
				t.Error("taken without proof")
			}
			request.Passports = []string{rawPassport(passportClaimsOf(rawVisa(visaClaimsOf().with("cnf", c.cnf)), w.grant()).with("aud", []string{"nodeid-of-uhn"}))}
			for range 2 {
				verdict, err := w.ask(request)
				if err != nil || verdict.Visas[0].Reason != c.want || !verdict.Visas[1].Accepted {
					t.Errorf("visa: %v %+v", err, verdict.Visas)
				}
			}
		})
	}
	// A link that is bound holds for its request, and is not for keeping.
	w := newJoined(t)
	payload := claims{"iss": brokerURL, "sub": "researcher", "iat": now.Unix(), "exp": now.Unix() + 600, "cnf": claims{"jkt": jkt},
		"ga4gh_visa_v1": claims{"type": trust.VisaLinkedIdentities, "value": "researcher@dac," + dacURL, "source": brokerURL, "asserted": now.Unix() - 60}}
	link := w.broker.Sign(jose.Header{JKU: brokerURL + "/jwks"}, []byte(payload.text()))
	verdict, err := w.ask(Request{Passports: []string{w.passport(link)}, Proven: trust.Proven{JKT: jkt}})
	if err != nil || len(verdict.Caller.Linked) != 1 || verdict.Caller.Links != nil {
		t.Errorf("%v %+v", err, verdict.Caller)
	}
}

// accessVisa is a visa of the committee in the form of an access token.
func accessVisa(age time.Duration, change ...func(claims) claims) string {
	c := visaClaimsOf().with("scope", "openid ga4gh_passport_v1").with("iat", now.Add(-age).Unix())
	for _, f := range change {
		c = f(c)
	}
	return raw(dacKey(), `{"alg":"RS256","kid":"rsa1","typ":"at+jwt"}`, c.text())
}

// Rows 14, 17, 18, 57, 59 and 60; V078: visas that are access tokens.
func TestAccessTokenVisas(t *testing.T) {
	const young, old = 59 * time.Minute, 61 * time.Minute
	confirmed := Polled{Until: now.Add(45 * time.Minute)}
	for name, c := range map[string]struct {
		age    time.Duration
		polled *Polled
		want   trust.Reason
		until  time.Duration
		polls  int
	}{
		"row 57 59 minutes, no poll":    {young, nil, "", time.Minute, 0},
		"row 57 59 minutes, not asked":  {young, &confirmed, "", time.Minute, 0},
		"row 57 60 minutes":             {time.Hour, nil, trust.ReasonPolling, 0, 0},
		"row 57 61 minutes, no poll":    {old, nil, trust.ReasonPolling, 0, 0},
		"V078 200":                      {old, &confirmed, "", 45 * time.Minute, 1},
		"row 57 3 hours and 200":        {3 * time.Hour, &confirmed, "", 45 * time.Minute, 1},
		"V078 500, timeout":             {old, &Polled{Detail: "the issuer answered 500"}, trust.ReasonPolling, 0, 1},
		"confirmed until now":           {old, &Polled{Until: now}, trust.ReasonPolling, 0, 1},
		"row 59, V078 401":              {old, &Polled{Until: now.Add(time.Hour), Refused: true, Detail: "401"}, trust.ReasonRevoked, 0, 1},
		"row 60 replaced by nothing":    {old, &Polled{Until: now.Add(time.Hour), Replaced: true}, trust.ReasonPolling, 0, 1},
		"confirmed for longer than exp": {old, &Polled{Until: now.Add(24 * time.Hour)}, "", time.Hour, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.policy(dacURL, func(p *trust.IssuerPolicy) { p.AccessTokenVisas = true })
			visa, polls := accessVisa(c.age), 0
			w.with(func(o *Options) {
				if c.polled != nil {
					o.Polled = func(_ context.Context, v AccessTokenVisa) Polled {
						polls++
						if v.Visa.Compact() != visa || v.Identity != atDAC || v.Policy.Issuer != dacURL || !v.IssuedAt.Equal(now.Add(-c.age)) || !v.Now.Equal(now) || !v.Expires.Equal(now.Add(time.Hour)) {
							t.Errorf("asked about %+v", v)
						}
						return *c.polled
					}
				}
			})
			for n := 1; n <= 2; n++ { // the second time from memory
				got := w.one(t, visa)
				if got.Reason != c.want || c.want == "" && !got.Until.Equal(now.Add(c.until)) || polls != n*c.polls {
					t.Errorf("%d polls, %+v", polls, got)
				}
			}
			w.policy(dacURL, func(p *trust.IssuerPolicy) { p.AccessTokenVisas = false })
			if got := w.one(t, visa); got.Reason != trust.ReasonWrongType {
				t.Errorf("%+v", got)
			}
		})
	}
	// The form: RS256 only, at+jwt for this form only.
	w := newWorld(t)
	for _, issuer := range []string{dacURL, instituteURL} {
		w.policy(issuer, func(p *trust.IssuerPolicy) { p.AccessTokenVisas = true })
	}
	object := claims{"type": trust.VisaAffiliationAndRole, "value": "faculty@a", "source": instituteURL, "asserted": now.Unix() - 86400}
	es := visaClaimsOf().with("iss", instituteURL).with("ga4gh_visa_v1", object).with("scope", "openid")
	for name, c := range map[string]struct {
		visa string
		want trust.Reason
	}{
		"row 14 enabled":           {accessVisa(0), ""},
		"row 17 at+jwt, document":  {raw(dacKey(), `{"alg":"RS256","kid":"rsa1","typ":"at+jwt","jku":"https://dac.example/jwks"}`, visaClaimsOf().text()), trust.ReasonWrongType},
		"row 17 JWT":               {raw(dacKey(), `{"alg":"RS256","kid":"rsa1","typ":"JWT"}`, visaClaimsOf().with("scope", "openid").text()), ""},
		"row 17 none":              {raw(dacKey(), `{"alg":"RS256","kid":"rsa1"}`, visaClaimsOf().with("scope", "openid").text()), ""},
		"row 14 with aud":          {accessVisa(0, func(c claims) claims { return c.with("aud", "x") }), trust.ReasonVisaForm},
		"row 14 openidx":           {accessVisa(0, func(c claims) claims { return c.with("scope", "openidx") }), trust.ReasonVisaForm},
		"row 18 ES256":             {w.institute.Sign(jose.Header{Type: "at+jwt"}, []byte(es.text())), trust.ReasonAlgorithm},
		"row 53 expired":           {accessVisa(0, func(c claims) claims { return c.with("exp", now.Unix()) }), trust.ReasonExpired},
		"row 63 iat in the future": {accessVisa(-31 * time.Second), trust.ReasonNotYetValid},
	} {
		t.Run(name, func(t *testing.T) { w.wantVisa(t, c.visa, c.want) })
	}
}

// Row 60: what the issuer put in its place counts instead, as far as it holds by
// itself.
func TestPolledVisasAreReplaced(t *testing.T) {
	w := newJoined(t)
	w.policy(dacURL, func(p *trust.IssuerPolicy) { p.AccessTokenVisas = true })
	newer := w.grant(func(c *passporttest.VisaClaims) { c.Value = dataset + "/newer" })
	w.with(func(o *Options) {
		o.Polled = func(context.Context, AccessTokenVisa) Polled {
			return Polled{Until: now.Add(30 * time.Minute), Replaced: true, Visas: []string{
				newer, w.affiliation(), accessVisa(0), "x", w.grant(func(c *passporttest.VisaClaims) { c.Expires = now }),
				w.conditional(clauses{{{"type": trust.VisaControlledAccessGrants, "value": "pattern:*/newer"}}}),
			}}
		}
	})
	verdict, err := w.verify(w.passport(accessVisa(2*time.Hour), w.grant(func(c *passporttest.VisaClaims) { c.Value = "other" })))
	if err != nil {
		t.Fatal(err)
	}
	want := []trust.Reason{trust.ReasonPolling, "", trust.ReasonUntrustedIssuer, trust.ReasonAccessTokenVisa, trust.ReasonMalformed, trust.ReasonExpired, "", ""}
	for i, v := range verdict.Visas {
		if i >= len(want) || v.Reason != want[i] || !v.Accepted && v.Detail == "" {
			t.Errorf("visa %d: %+v", i, v)
		}
	}
	if len(verdict.Visas) != len(want) || len(verdict.Caller.Visas) != 3 || !verdict.Visas[1].Until.Equal(now.Add(30*time.Minute)) || !verdict.Until.Equal(now.Add(30*time.Minute)) {
		t.Errorf("%+v", verdict)
	}
	// A long list is read as far as the bound goes.
	w.with(func(o *Options) {
		o.Polled = func(context.Context, AccessTokenVisa) Polled {
			return Polled{Until: now.Add(time.Hour), Replaced: true, Visas: make([]string, 1000)}
		}
	})
	if verdict, err = w.verify(w.passport(accessVisa(2 * time.Hour))); err != nil || len(verdict.Visas) != 1+maxReplacements {
		t.Errorf("%v, %d verdicts", err, len(verdict.Visas))
	}
}

// Row 58: one request asks about a bounded number of visas, once each, though it be
// judged again for a new key.
func TestPollsOfARequestAreBounded(t *testing.T) {
	w := newWorld(t)
	w.policy(dacURL, func(p *trust.IssuerPolicy) { p.AccessTokenVisas = true })
	polls := 0
	w.refresh = func(string) bool { return true }
	w.with(func(o *Options) {
		o.Polled = func(context.Context, AccessTokenVisa) Polled { polls++; return Polled{Until: now.Add(time.Minute)} }
	})
	visas := []string{raw(dacKey(), `{"alg":"RS256","kid":"unknown","jku":"https://dac.example/jwks"}`, visaClaimsOf().text())}
	for i := range maxPolls + 5 {
		visas = append(visas, accessVisa(2*time.Hour, func(c claims) claims { return c.with("jti", strings.Repeat("x", i+1)) }))
	}
	verdict, err := w.verify(w.passport(visas...))
	if err != nil || polls != maxPolls || len(verdict.Caller.Visas) != maxPolls || len(w.refreshed) != 1 {
		t.Errorf("%v, %d polls, %d visas", err, polls, len(verdict.Caller.Visas))
	}
}

// Row 62: what the operator revokes ends at the next request, though it was
// remembered; what he gives back counts again.
func TestRevocations(t *testing.T) {
	w := newJoined(t)
	grant := w.grant(func(c *passporttest.VisaClaims) { c.ID = "visa-1" })
	link := w.link(func(c *passporttest.VisaClaims) { c.ID = "link-1" }, "researcher", atDAC)
	token := w.passportWith(func(c *passporttest.PassportClaims) { c.ID, c.Visas = "passport-1", []string{grant, link} })
	digest := trust.DigestOfString
	const all, none, noGrant, noLink, unlinked = "both joined", "refused", "without grant", "without link", "both unjoined"
	revision := uint64(0)
	var revoked *trust.Revocations
	w.with(func(o *Options) { o.Revoked = func() *trust.Revocations { return revoked } })
	for name, c := range map[string]struct {
		revoke trust.Revocation
		want   string
	}{
		"nothing":                    {trust.Revocation{}, all},
		"the caller":                 {trust.Revocation{Kind: trust.RevokeIdentity, Issuer: brokerURL, Subject: "researcher"}, none},
		"somebody else":              {trust.Revocation{Kind: trust.RevokeIdentity, Issuer: brokerURL, Subject: "other"}, all},
		"the same sub elsewhere":     {trust.Revocation{Kind: trust.RevokeIdentity, Issuer: dacURL, Subject: "researcher"}, all},
		"who is named in the visa":   {trust.Revocation{Kind: trust.RevokeIdentity, Issuer: dacURL, Subject: "researcher@dac"}, none},
		"the passport by jti":        {trust.Revocation{Kind: trust.RevokeJTI, JTI: "passport-1"}, none},
		"the passport by issuer too": {trust.Revocation{Kind: trust.RevokeJTI, Issuer: brokerURL, JTI: "passport-1"}, none},
		"jti of another issuer":      {trust.Revocation{Kind: trust.RevokeJTI, Issuer: dacURL, JTI: "passport-1"}, all},
		"the visa by jti":            {trust.Revocation{Kind: trust.RevokeJTI, Issuer: dacURL, JTI: "visa-1"}, noGrant},
		"the link by jti":            {trust.Revocation{Kind: trust.RevokeJTI, JTI: "link-1"}, noLink},
		"the passport":               {trust.Revocation{Kind: trust.RevokeToken, Token: digest(token)}, none},
		"the visa":                   {trust.Revocation{Kind: trust.RevokeToken, Token: digest(grant)}, noGrant},
		"the link":                   {trust.Revocation{Kind: trust.RevokeToken, Token: digest(link)}, noLink},
		"the passport's key":         {trust.Revocation{Kind: trust.RevokeKey, Key: w.broker.Keys()[0].Thumbprint}, none},
		"the visa's key":             {trust.Revocation{Kind: trust.RevokeKey, Key: w.dac.Keys()[0].Thumbprint}, noGrant},
		"the broker":                 {trust.Revocation{Kind: trust.RevokeIssuer, Issuer: brokerURL}, none},
		"the visa's issuer":          {trust.Revocation{Kind: trust.RevokeIssuer, Issuer: dacURL}, noGrant},
	} {
		t.Run(name, func(t *testing.T) {
			for _, list := range [][]trust.Revocation{nil, {c.revoke}, nil} { // as it was, revoked, given back
				revision++
				revoked = trust.NewRevocations(revision, list)
				want := c.want
				if list == nil {
					want = all
				}
				got := none
				verdict, err := w.verify(token)
				switch reason := reasonOf(t, err); {
				case reason != "" && reason != trust.ReasonRevoked:
					t.Fatal(err)
				case reason != "":
				case !verdict.Visas[0].Accepted && verdict.Visas[0].Reason == trust.ReasonRevoked && verdict.Visas[1].Accepted:
					got = noGrant
					person := c.revoke.Kind == trust.RevokeIssuer
					if (verdict.Caller.Linked == nil) != person {
						t.Errorf("linked with whom is revoked: %+v", verdict.Caller.Linked)
					}
				case verdict.Visas[0].Accepted && verdict.Visas[1].Reason == trust.ReasonRevoked && verdict.Caller.Linked == nil:
					got = noLink
				case len(verdict.Caller.Linked) == 1:
					got = all
				default:
					got = unlinked
				}
				if got != want {
					t.Errorf("%s, want %s: %+v", got, want, verdict.Visas)
				}
			}
		})
	}
	// The person who signed in, and a revision that the two pictures add up to.
	revoked = trust.NewRevocations(1000, []trust.Revocation{{Kind: trust.RevokeIdentity, Issuer: brokerURL, Subject: "researcher"}})
	set := trust.VisaSet{Identity: atBroker, Via: trust.KindLogin, Until: now.Add(time.Hour)}
	if _, err := w.ask(Request{Sets: []trust.VisaSet{set}}); reasonOf(t, err) != trust.ReasonRevoked {
		t.Error(err)
	}
	revoked = nil
	w.wantPassport(t, "", token)
	next := *w.view
	w.view = &next
	w.view.Revision--
	revoked = trust.NewRevocations(1, []trust.Revocation{{Kind: trust.RevokeToken, Token: digest(token)}})
	w.wantPassport(t, trust.ReasonRevoked, token)
}

// Row 54: what was asserted too long ago allows nothing, however late exp is.
func TestAgeOfAsserted(t *testing.T) {
	for name, c := range map[string]struct {
		age   time.Duration
		want  trust.Reason
		until time.Duration
	}{
		"no limit":        {0, "", time.Hour},
		"far inside":      {365 * 24 * time.Hour, "", time.Hour},
		"before exp":      {24*time.Hour + 10*time.Minute, "", 10 * time.Minute},
		"a second before": {24*time.Hour + time.Second, "", time.Second},
		"the boundary":    {24 * time.Hour, trust.ReasonExpired, 0},
		"long ago":        {time.Hour, trust.ReasonExpired, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.policy(dacURL, func(p *trust.IssuerPolicy) { p.MaxAssertedAge = c.age })
			got := w.one(t, w.grant())
			if got.Reason != c.want || c.want == "" && !got.Until.Equal(now.Add(c.until)) {
				t.Errorf("%+v", got)
			}
			if c.want == "" { // the same from memory, and over at its end
				verdict, err := w.verifyAt(now.Add(c.until), w.passport(w.grant()))
				if err != nil || verdict.Visas[0].Reason != trust.ReasonExpired {
					t.Errorf("%v %+v", err, verdict.Visas)
				}
			}
		})
	}
}

// Whoever only decides gets the same caller without traces.
func TestCallerOnlyIsTheSameCaller(t *testing.T) {
	w := newJoined(t)
	token := w.passport(w.conditional(clauses{{faculty}}), w.affiliation(), w.link(nil, "researcher", atDAC, atInstitute), w.grant())
	whole, err := w.verify(token)
	if err != nil {
		t.Fatal(err)
	}
	only, err := w.ask(Request{Passports: []string{token}, CallerOnly: true})
	if err != nil || len(only.Visas) != 0 || !sameCaller(only.Caller, whole.Caller) || !only.Until.Equal(whole.Until) {
		t.Errorf("%v\n%+v\n%+v", err, only.Caller, whole.Caller)
	}
}

// sameCaller compares but for the passports, which hold pointers.
func sameCaller(a, b trust.Caller) bool {
	a.Passports, b.Passports = nil, nil
	return reflect.DeepEqual(a, b)
}
