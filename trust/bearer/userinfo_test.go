package bearer_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/bearer"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/passport"
	"github.com/candignode/candignode/trust/passport/passporttest"
)

// signed lets UserInfo answer with a JWT of some issuer.
func (w *world) signed(issuer string, c passporttest.DocumentClaims) {
	w.userInfo = func(context.Context, string, string) (bearer.Document, error) {
		return bearer.Document{MediaType: "application/jwt", Body: []byte(w.issuers[issuer].UserInfo(c))}, nil
	}
}

// Row 68: UserInfo gives the visas, as JSON and as a signed response.
func TestUserInfo(t *testing.T) {
	check := func(w *world, c bearer.Credentials, end time.Time) {
		t.Helper()
		if got := visasOf(c, trust.KindPassport); !slices.Equal(got, []string{"v1", "v2"}) || len(c.Sets) != 1 || len(c.Passports) != 0 {
			t.Fatalf("%+v %v", c, got)
		}
		set := c.Sets[0]
		if set.Identity != (trust.Identity{Issuer: providerURL, Subject: "researcher"}) || c.Identity != set.Identity || !set.Until.Equal(end) || !c.Until.Equal(end) {
			t.Errorf("%+v", c)
		}
	}
	w := newWorld(t)
	w.says(object{"sub": "researcher", "iss": providerURL, "ga4gh_passport_v1": []string{"v1", "v2"}, "email": "x"})
	check(w, w.want(w.token(providerURL)), now.Add(time.Hour))

	w.signed(providerURL, passporttest.DocumentClaims{
		Subject: "researcher", Audience: []string{"this-node"}, IssuedAt: now, Expires: now.Add(20 * time.Minute), Visas: []string{"v1", "v2"},
	})
	check(w, w.want(w.token(providerURL)), now.Add(20*time.Minute))

	w.userInfo = func(context.Context, string, string) (bearer.Document, error) {
		return bearer.Document{MediaType: "Application/JSON", Body: []byte(`{"sub":"researcher","ga4gh_passport_v1":["v1","v2"]}`)}, nil
	}
	check(w, w.want(w.token(providerURL)), now.Add(time.Hour))
}

// Row 68: what is of another person, of another kind, unsigned, or not signed by the
// issuer is discarded as a whole.
func TestUserInfoIsDiscarded(t *testing.T) {
	w := newWorld(t)
	good := passporttest.DocumentClaims{Subject: "researcher", IssuedAt: now, Visas: []string{"v1"}}
	jwt := func(issuer string, change func(*passporttest.DocumentClaims)) string {
		c := good
		change(&c)
		return w.issuers[issuer].UserInfo(c)
	}
	same := func(*passporttest.DocumentClaims) {}
	parts := strings.Split(jwt(providerURL, same), ".")
	for name, d := range map[string]bearer.Document{
		"sub of another":        {MediaType: "application/json", Body: []byte(`{"sub":"another","ga4gh_passport_v1":["v1"]}`)},
		"sub in another case":   {MediaType: "application/json", Body: []byte(`{"sub":"Researcher"}`)},
		"no sub":                {MediaType: "application/json", Body: []byte(`{"ga4gh_passport_v1":["v1"]}`)},
		"iss of another":        {MediaType: "application/json", Body: []byte(`{"sub":"researcher","iss":"https://broker.example"}`)},
		"HTML":                  {MediaType: "text/html", Body: []byte(`{"sub":"researcher"}`)},
		"no type":               {Body: []byte(`{"sub":"researcher"}`)},
		"a type like JSON":      {MediaType: "application/problem+json", Body: []byte(`{"sub":"researcher"}`)},
		"JSON as JWT":           {MediaType: "application/jwt", Body: []byte(`{"sub":"researcher"}`)},
		"JWT as JSON":           {MediaType: "application/json", Body: []byte(jwt(providerURL, same))},
		"unsigned":              {MediaType: "application/jwt", Body: []byte("eyJhbGciOiJub25lIn0." + parts[1] + ".")},
		"signed by another":     {MediaType: "application/jwt", Body: []byte(jwt(brokerURL, same))},
		"signed by a stranger":  {MediaType: "application/jwt", Body: []byte(jwt(strangerURL, func(c *passporttest.DocumentClaims) { c.More = passporttest.Claims{"iss": providerURL} }))},
		"signed, of another":    {MediaType: "application/jwt", Body: []byte(jwt(providerURL, func(c *passporttest.DocumentClaims) { c.Subject = "another" }))},
		"signed, for another":   {MediaType: "application/jwt", Body: []byte(jwt(providerURL, func(c *passporttest.DocumentClaims) { c.Audience = []string{"portal"} }))},
		"signed, expired":       {MediaType: "application/jwt", Body: []byte(jwt(providerURL, func(c *passporttest.DocumentClaims) { c.Expires = now }))},
		"expired":               {MediaType: "application/json", Body: []byte(`{"sub":"researcher","exp":1799999999}`)},
		"visas are a string":    {MediaType: "application/json", Body: []byte(`{"sub":"researcher","ga4gh_passport_v1":"v1"}`)},
		"visas are null":        {MediaType: "application/json", Body: []byte(`{"sub":"researcher","ga4gh_passport_v1":null}`)},
		"a visa is a number":    {MediaType: "application/json", Body: []byte(`{"sub":"researcher","ga4gh_passport_v1":["v1",2]}`)},
		"a visa is null":        {MediaType: "application/json", Body: []byte(`{"sub":"researcher","ga4gh_passport_v1":[null]}`)},
		"said twice":            {MediaType: "application/json", Body: []byte(`{"sub":"another","sub":"researcher"}`)},
		"an array":              {MediaType: "application/json", Body: []byte(`[]`)},
		"null":                  {MediaType: "application/json", Body: []byte(`null`)},
		"nothing":               {MediaType: "application/json"},
		"more than can be read": {MediaType: "application/json", Body: []byte(`{"sub":"researcher"` + strings.Repeat(" ", 1<<20) + `}`)},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			w.userInfo = func(context.Context, string, string) (bearer.Document, error) { return d, nil }
			w.wantRefusal(trust.ReasonProvider, w.token(providerURL))
		})
	}
	w.t = t
	w.says(object{"sub": "researcher", "ga4gh_passport_v1": make([]string, 201)})
	w.wantRefusal(trust.ReasonTooMany, w.token(providerURL))
	w.says(object{"sub": "researcher", "ga4gh_passport_v1": []string{"v1"}})
	w.want(w.token(providerURL))
}

// Without visas, or from an issuer that only signs people in, the caller is known and
// nothing more.
func TestUserInfoWithoutVisas(t *testing.T) {
	w := newWorld(t)
	for _, o := range []object{{"sub": "researcher"}, {"sub": "researcher", "ga4gh_passport_v1": []string{}}} {
		w.says(o)
		if c := w.want(w.token(providerURL)); !onlyLogin(c) {
			t.Errorf("%+v", c)
		}
	}
	w.says(object{"sub": "researcher", "ga4gh_passport_v1": []string{"v1"}})
	if c := w.want(w.token(universityURL, func(c *passporttest.AccessTokenClaims) { c.Scope = "openid" })); !onlyLogin(c) {
		t.Errorf("an issuer that is not trusted for passports gave %+v", c)
	}
}

// grants are claims that the committee signs.
func (w *world) grants(more passporttest.Claims) string {
	return w.issuers[dacURL].ClaimsJWT(passporttest.DocumentClaims{IssuedAt: now, Expires: now.Add(40 * time.Minute), More: more})
}

// Rows 80 to 83, 86 and 88: claims that UserInfo points to become a set of their own,
// as visas that this node got from their source; extra ones are dropped.
func TestClaimsOfUserInfo(t *testing.T) {
	w := newWorld(t)
	jwt := w.grants(passporttest.Claims{"grants": []string{"g1", "g2"}, "ga4gh_passport_v1": []string{"smuggled"}})
	w.says(object{
		"sub": "researcher", "ga4gh_passport_v1": []string{"v1"},
		"_claim_names": object{"grants": "s"}, "_claim_sources": object{"s": object{"JWT": jwt}},
	})
	c := w.want(w.token(providerURL))
	if !slices.Equal(visasOf(c, trust.KindPassport), []string{"v1"}) || !slices.Equal(visasOf(c, trust.KindClaims), []string{"g1", "g2"}) || len(c.Absent) != 0 {
		t.Errorf("%+v", c)
	}
	if set := c.Sets[1]; set.Identity != c.Identity || !set.Until.Equal(now.Add(40*time.Minute)) || !c.Until.Equal(set.Until) {
		t.Errorf("%+v", c)
	}
	// The answer is remembered no longer than the claims hold, and never shown after.
	short := w.issuers[dacURL].ClaimsJWT(passporttest.DocumentClaims{IssuedAt: now, Expires: now.Add(time.Minute), More: passporttest.Claims{"grants": []string{"g1"}}})
	w.says(object{"sub": "researcher", "_claim_names": object{"grants": "s"}, "_claim_sources": object{"s": object{"JWT": short}}})
	token := w.token(providerURL)
	if c = w.want(token); len(visasOf(c, trust.KindClaims)) != 1 || !c.Until.Equal(now.Add(time.Minute)) {
		t.Errorf("%+v", c)
	}
	later := newWorld(t)
	later.userInfo = w.userInfo
	for _, at := range []time.Duration{0, time.Minute} {
		c, err := later.at(now.Add(at), bearer.Presented{Token: trust.NewAccessToken(token)})
		if err != nil || onlyLogin(c) != (at > 0) {
			t.Errorf("after %v: %+v %v", at, c, err)
		}
	}
	// A university that only signs people in may point to the committee as well.
	w.claims = func(_ context.Context, endpoint, token string) ([]byte, error) {
		if endpoint != dacURL+"/claims" || token != "for-the-committee" {
			t.Errorf("asked %s with %s", endpoint, token)
		}
		return []byte(jwt), nil
	}
	w.says(object{
		"sub": "researcher", "_claim_names": object{"grants": "s"},
		"_claim_sources": object{"s": object{"endpoint": dacURL + "/claims", "access_token": "for-the-committee"}},
	})
	login := func(c *passporttest.AccessTokenClaims) { c.Scope = "openid" }
	c = w.want(w.token(universityURL, login))
	if !slices.Equal(visasOf(c, trust.KindClaims), []string{"g1", "g2"}) || len(c.Sets) != 1 || c.Sets[0].Issuer != universityURL {
		t.Errorf("%+v", c)
	}
	// Row 70: the researcher's own token was not handed to the committee.
	for token, who := range w.tokensSeen() {
		if len(who) != 1 || (who[0] == dacURL) != (token == "for-the-committee") {
			t.Errorf("%v saw one token", who)
		}
	}
}

// Row 84: claims that cannot be had take nothing else away, add nothing, and are tried
// again soon. Row 87: nobody unlisted is asked.
func TestClaimsThatDoNotArrive(t *testing.T) {
	w := newWorld(t)
	token := w.token(providerURL)
	at := now
	show := func() bearer.Credentials {
		c, err := w.at(at, bearer.Presented{Token: trust.NewAccessToken(token)})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	w.says(object{
		"sub": "researcher", "ga4gh_passport_v1": []string{"v1"}, "_claim_names": object{"grants": "s", "other": "t", "lost": "nowhere"},
		"_claim_sources": object{"s": object{"endpoint": dacURL + "/claims", "access_token": "for-the-committee"}, "t": object{"endpoint": "https://attacker.example/", "access_token": "secret"}},
	})
	c := show()
	if !slices.Equal(visasOf(c, trust.KindPassport), []string{"v1"}) || len(c.Sets) != 1 || len(c.Absent) != 3 {
		t.Errorf("%+v", c)
	}
	show()
	if w.count("userinfo") != 1 || w.count("claims") != 1 {
		t.Errorf("asked %v", w.asked)
	}
	w.claims = func(context.Context, string, string) ([]byte, error) {
		return []byte(w.grants(passporttest.Claims{"grants": []string{"g1"}})), nil
	}
	at = now.Add(31 * time.Second)
	if c = show(); len(visasOf(c, trust.KindClaims)) != 1 || len(c.Absent) != 2 {
		t.Errorf("after the source came back: %+v", c)
	}
	for _, a := range w.asked {
		if a.target == "https://attacker.example/" || a.token == "secret" {
			t.Errorf("asked %v", a)
		}
	}
	// Malformed pointers do not fail the login: row 80.
	w.says(object{"sub": "researcher", "_claim_names": []string{"grants"}, "_claim_sources": 5})
	if c := w.want(w.token(providerURL)); !onlyLogin(c) || len(c.Absent) != 1 {
		t.Errorf("%+v", c)
	}
}

// Row 88: visas that are there and pointed to as well are a conflict: neither is used.
func TestVisasSaidTwice(t *testing.T) {
	w := newWorld(t)
	sources := object{"s": object{"JWT": w.grants(passporttest.Claims{"ga4gh_passport_v1": []string{"g1"}, "grants": []string{"g2"}})}}
	w.says(object{"sub": "researcher", "ga4gh_passport_v1": []string{"v1"}, "_claim_names": object{"ga4gh_passport_v1": "s", "grants": "s"}, "_claim_sources": sources})
	c := w.want(w.token(providerURL))
	if visasOf(c, trust.KindPassport) != nil || !slices.Equal(visasOf(c, trust.KindClaims), []string{"g2"}) || len(c.Absent) != 1 || !c.Absent[0].Conflict {
		t.Errorf("%+v", c)
	}
	// Pointed to only, they are the committee's.
	w.says(object{"sub": "researcher", "_claim_names": object{"ga4gh_passport_v1": "s"}, "_claim_sources": sources})
	if c := w.want(w.token(providerURL)); !slices.Equal(visasOf(c, trust.KindClaims), []string{"g1"}) {
		t.Errorf("%+v", c)
	}
}

// Row 85, V095: claims about another user of the source are not the caller's without a
// link.
func TestClaimsAboutAnotherUser(t *testing.T) {
	says := func(w *world, sub string) {
		w.says(object{"sub": "researcher", "_claim_names": object{"grants": "s"}, "_claim_sources": object{"s": object{"JWT": w.grants(passporttest.Claims{"sub": sub, "grants": []string{"g1"}})}}})
	}
	linked := true
	w := newWorld(t, func(o *bearer.Options) {
		o.Linked = func(a, b trust.Identity) (time.Time, bool) {
			return now.Add(2 * time.Minute), linked && a == trust.Identity{Issuer: providerURL, Subject: "researcher"} && b == trust.Identity{Issuer: dacURL, Subject: "linked"}
		}
	})
	says(w, "linked")
	shown := bearer.Presented{Token: trust.NewAccessToken(w.token(providerURL))}
	if c, err := w.at(now, shown); err != nil || len(visasOf(c, trust.KindClaims)) != 1 || !c.Until.Equal(now.Add(2*time.Minute)) {
		t.Errorf("%+v, %v", c, err)
	}
	// What is remembered of it ends with the link (rows 55 and 61).
	linked = false
	if c, err := w.at(now.Add(2*time.Minute-time.Second), shown); err != nil || len(visasOf(c, trust.KindClaims)) != 1 {
		t.Errorf("while the link holds: %+v, %v", c, err)
	}
	if c, err := w.at(now.Add(2*time.Minute), shown); err != nil || !onlyLogin(c) || len(c.Absent) != 1 {
		t.Errorf("after the link: %+v, %v", c, err)
	}
	linked = true
	says(w, "researcher")
	if c := w.want(w.token(providerURL)); !onlyLogin(c) || len(c.Absent) != 1 {
		t.Errorf("%+v", c)
	}
}

// Claims that hold no list of visas, or too many, are absent, and leave the rest.
func TestClaimsThatAreNoVisas(t *testing.T) {
	w := newWorld(t, func(o *bearer.Options) { o.Arrays = true })
	for _, value := range []any{"g1", 5, nil, object{}, []any{"g1", 5}, slices.Repeat([]string{"g"}, 200)} {
		w.says(object{
			"sub": "researcher", "ga4gh_passport_v1": []string{"v1"}, "_claim_names": object{"grants": []string{"s"}},
			"_claim_sources": object{"s": object{"JWT": w.issuers[dacURL].Sign(jose.Header{Type: "JWT"}, object{"iss": dacURL, "iat": now.Unix(), "grants": value}.text())}},
		})
		if c := w.want(w.token(providerURL)); len(c.Sets) != 1 || len(visasOf(c, trust.KindPassport)) != 1 || len(c.Absent) != 1 || c.Absent[0].Source != dacURL {
			t.Errorf("%v: %+v", fmt.Sprint(value)[:1], c)
		}
	}
}

// What the desk gives, the verifier takes: visas that the issuer vouches for, visas of a
// claim source, and a caller who is known and nothing more (rows 68 and 84).
func TestVerifierTakesTheSets(t *testing.T) {
	w := newWorld(t)
	grant := w.issuers[dacURL].Visa(passporttest.VisaClaims{
		Subject: "researcher@dac", IssuedAt: now, Expires: now.Add(time.Hour), Asserted: now,
		Type: trust.VisaControlledAccessGrants, Value: "https://dac.example/datasets/rarivitis", Source: dacURL, By: "dac",
	})
	w.policy(dacURL, func(p *trust.IssuerPolicy) {
		p.Kinds = append(slices.Clone(p.Kinds), trust.KindVisa)
		p.VisaTypes, p.Sources = []string{trust.VisaControlledAccessGrants}, []string{dacURL}
	})
	sources := object{"s": object{"JWT": w.grants(passporttest.Claims{"grants": []string{grant}})}}
	for name, o := range map[string]object{
		"vouched for":    {"sub": "researcher", "ga4gh_passport_v1": []string{grant}},
		"of a source":    {"sub": "researcher", "_claim_names": object{"grants": "s"}, "_claim_sources": sources},
		"only signed in": {"sub": "researcher"},
	} {
		w.says(o)
		c := w.want(w.token(providerURL))
		verdict, err := w.verifier.Verify(context.Background(), passport.Request{Passports: c.Passports, Sets: c.Sets, Now: now})
		if err != nil || verdict.Caller.Identity != c.Identity || (len(verdict.Caller.Visas) == 1) == onlyLogin(c) {
			t.Errorf("%s: %+v %v", name, verdict.Caller, err)
		}
	}
}
