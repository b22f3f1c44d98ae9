package passport

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/passport/passporttest"
)

func encoded(s string) string {
	return strings.NewReplacer("+", "%20").Replace(url.QueryEscape(s))
}

// Row 44: split first, decode once.
func TestLinkValues(t *testing.T) {
	id := func(issuer, subject string) trust.Identity { return trust.Identity{Issuer: issuer, Subject: subject} }
	for value, want := range map[string][]trust.Identity{
		"10001,https:%2F%2Fidp.example":                      {id("https://idp.example", "10001")},
		"10001,https%3A%2F%2Fidp.example":                    {id("https://idp.example", "10001")},
		"10001,https%3a%2f%2fidp.example":                    {id("https://idp.example", "10001")},
		"10001,https://idp.example":                          {id("https://idp.example", "10001")},
		"a%2Cb%3Bc,https:%2F%2Fidp.example":                  {id("https://idp.example", "a,b;c")},
		"a%252Cb,https:%2F%2Fidp.example":                    {id("https://idp.example", "a%2Cb")}, // once, and no more
		"a+b,https:%2F%2Fidp.example":                        {id("https://idp.example", "a+b")},
		"1,https:%2F%2Fa.example;2,https:%2F%2Fb.example%2F": {id("https://a.example", "1"), id("https://b.example/", "2")},
		"1,https:%2F%2Fa.example;1,https:%2F%2Fa.example":    {id("https://a.example", "1")},
		"1,urn:example:issuer":                               {id("urn:example:issuer", "1")},
		"":                                                   nil,
		";":                                                  nil,
		"1":                                                  nil,
		"1,":                                                 nil,
		",https:%2F%2Fa.example":                             nil,
		"1,https:%2F%2Fa.example;":                           nil,
		";1,https:%2F%2Fa.example":                           nil,
		"1,https:%2F%2Fa.example;;2,https:%2F%2Fa.example":         nil,
		"1,2,https:%2F%2Fa.example":                                nil,
		"1,https:%252F%252Fa.example":                              nil,
		"1,https%253A%252F%252Fa.example":                          nil,
		"1,https%25253A%25252F%25252Fa.example%2F":                 nil,
		"1%,https:%2F%2Fa.example":                                 nil,
		"%zz,https:%2F%2Fa.example":                                nil,
		"%ff,https:%2F%2Fa.example":                                nil,
		"%00,https:%2F%2Fa.example":                                nil,
		"%E2%80%AE,https:%2F%2Fa.example":                          nil,
		strings.Repeat("s", 256) + ",https:%2F%2Fa.example":        nil,
		strings.Repeat("1,https:%2F%2Fa.example;", 32) + "1,u:1":   nil,
		strings.Repeat("1,https:%2F%2Fa.example;", 31) + "1,urn:1": {id("https://a.example", "1"), id("urn:1", "1")},
	} {
		got, refusal := parseLinks(value)
		if refusal != nil && (refusal.Reason != trust.ReasonLinkValue || refusal.Detail == "") || (refusal == nil) != (want != nil) || !slices.Equal(got, want) && want != nil {
			t.Errorf("%.60q: %v %v", value, got, refusal)
		}
	}
}

// Rows 42, 43, 45, 46 and 47; V090, V091: who joins whom. The caller is the broker's
// researcher; the grant is the committee's.
func TestLinks(t *testing.T) {
	ends := func(d time.Duration) func(*passporttest.VisaClaims) {
		return func(v *passporttest.VisaClaims) { v.Expires = now.Add(d) }
	}
	for name, c := range map[string]struct {
		visas  func(*world) []string
		joined bool
		until  time.Duration
	}{
		"row 43 by the broker":   {func(w *world) []string { return []string{w.link(nil, "researcher", atDAC)} }, true, 50 * time.Minute},
		"row 45 the other way":   {func(w *world) []string { return []string{linkBy(w.institute, nil, atDAC.Subject, atBroker)} }, false, 0},
		"row 42 no link":         {func(w *world) []string { return nil }, false, 0},
		"V091 superset":          {func(w *world) []string { return []string{w.link(nil, "researcher", atInstitute, atDAC, atBroker)} }, true, 50 * time.Minute},
		"V091 expired":           {func(w *world) []string { return []string{w.link(ends(0), "researcher", atDAC)} }, false, 0},
		"V091 untrusted issuer":  {func(w *world) []string { return []string{linkBy(w.stranger, nil, "researcher", atDAC, atBroker)} }, false, 0},
		"V091 grant-only issuer": {func(w *world) []string { return []string{linkBy(w.dac, nil, atDAC.Subject, atBroker)} }, false, 0},
		"row 43 unlisted source": {func(w *world) []string {
			return []string{w.link(func(c *passporttest.VisaClaims) { c.Source = "https://other.example" }, "researcher", atDAC)}
		}, false, 0},
		"row 46 http": {func(w *world) []string {
			return []string{w.link(nil, "researcher", trust.Identity{Issuer: "http://dac.example", Subject: atDAC.Subject})}
		}, false, 0},
		"row 46 trailing slash": {func(w *world) []string {
			return []string{w.link(nil, "researcher", trust.Identity{Issuer: dacURL + "/", Subject: atDAC.Subject})}
		}, false, 0},
		"row 44 unreadable": {func(w *world) []string {
			return []string{w.link(func(c *passporttest.VisaClaims) { c.Value += ";x" }, "researcher", atDAC)}
		}, false, 0},
		"row 45 chain of two": {func(w *world) []string {
			return []string{w.link(ends(30*time.Minute), "researcher", atInstitute), w.link(nil, "second", atInstitute, atDAC)}
		}, true, 30 * time.Minute},
		"V091 chain of three": {func(w *world) []string {
			third := trust.Identity{Issuer: instituteURL, Subject: "third"}
			return []string{w.link(nil, "researcher", atInstitute), w.link(nil, "second", atInstitute, third), w.link(ends(20*time.Minute), "fourth", third, atDAC)}
		}, true, 20 * time.Minute},
		"row 45 chain broken": {func(w *world) []string {
			return []string{w.link(ends(0), "researcher", atInstitute), w.link(nil, "second", atInstitute, atDAC)}
		}, false, 0},
		"V091 cycle": {func(w *world) []string {
			return []string{w.link(nil, "researcher", atInstitute), w.link(nil, "second", atInstitute, atDAC), w.link(ends(10*time.Minute), "researcher", atDAC)}
		}, true, 50 * time.Minute}, // the way that lasts longest
	} {
		t.Run(name, func(t *testing.T) {
			w := newJoined(t)
			visas := append(c.visas(w), w.grant())
			verdict := w.everything(t, visas...)
			caller := verdict.Caller
			grant := caller.Visas[len(caller.Visas)-1]
			if grant.Type != trust.VisaControlledAccessGrants || (grant.Person == caller.Person) != c.joined {
				t.Fatalf("%+v", verdict)
			}
			i := slices.IndexFunc(caller.Linked, func(l trust.LinkedIdentity) bool { return l.Identity == atDAC })
			if (i >= 0) != c.joined || c.joined && !caller.Linked[i].Until.Equal(now.Add(c.until)) {
				t.Errorf("%+v", caller.Linked)
			}
			if c.joined && (len(caller.Supports[grant.Digest]) == 0 || len(caller.Links) == 0 || sooner(caller.PersonUntil, grant.PersonUntil).After(now.Add(c.until)) || verdict.Until.After(now.Add(c.until))) {
				t.Errorf("%+v", caller)
			}
			if grant.Identity != atDAC { // row 42: the key stays the pair
				t.Errorf("%+v", grant)
			}
		})
	}
}

// Row 47: of the pairs of one visa only those count that its issuer may link, and its
// own names are its to link.
func TestLinkAuthority(t *testing.T) {
	w := newJoined(t)
	w.policy(brokerURL, func(p *trust.IssuerPolicy) { p.LinksFor = []string{instituteURL} })
	verdict := w.everything(t, w.link(nil, "researcher", atDAC, atInstitute), w.grant())
	if len(verdict.Caller.Linked) != 1 || verdict.Caller.Linked[0].Identity != atInstitute ||
		!strings.Contains(strings.Join(verdict.Visas[0].Trace, "\n"), "1 further identities are not linked") {
		t.Errorf("%+v", verdict)
	}
	w.policy(brokerURL, func(p *trust.IssuerPolicy) { p.LinksFor = nil })
	if got := w.everything(t, w.link(nil, "researcher", atDAC, atInstitute)).Visas[0]; got.Reason != trust.ReasonLinkAuthority {
		t.Errorf("%+v", got)
	}
	own := trust.Identity{Issuer: brokerURL, Subject: "second"}
	if got := w.everything(t, w.link(nil, "researcher", own)).Caller; len(got.Linked) != 1 || got.Linked[0].Identity != own {
		t.Errorf("%+v", got)
	}
}

// A person is named by the least of the identities, whoever asks.
func TestPersonIsTheLeastIdentity(t *testing.T) {
	w := newJoined(t)
	verdict := w.everything(t, w.link(nil, "researcher", atDAC, atInstitute), w.grant(), w.affiliation())
	for _, visa := range verdict.Caller.Visas {
		if visa.Person != atBroker {
			t.Errorf("%+v", visa)
		}
	}
	if verdict.Caller.Person != atBroker || !verdict.Caller.PersonUntil.IsZero() || len(verdict.Caller.Links) != 2 {
		t.Errorf("%+v", verdict.Caller)
	}
	// Links say whatever a stored one needs to be judged again.
	link := verdict.Caller.Links[0]
	if link.A != atBroker || link.B != atDAC || link.Source != brokerURL || link.Visa != verdict.Visas[0].Digest ||
		link.KeyID != w.broker.Keys()[0].Thumbprint || !link.Until.Equal(now.Add(50*time.Minute)) || link.Asserted.IsZero() {
		t.Errorf("%+v", link)
	}
}

// A link is kept until its visa's exp, and used no longer than its key is believed.
func TestLinksAreKeptUntilExp(t *testing.T) {
	w := newJoined(t)
	w.change(brokerURL, func(iv *trust.IssuerView) { iv.Keys[0].Until = now.Add(10 * time.Minute) })
	caller := w.everything(t, w.link(nil, "researcher", atDAC)).Caller
	if !caller.Links[0].Until.Equal(now.Add(50*time.Minute)) || !caller.Linked[0].Until.Equal(now.Add(10*time.Minute)) {
		t.Errorf("%+v", caller)
	}
	w.with(func(o *Options) { o.KnownLinks = func(trust.Identity) []trust.Link { return caller.Links } })
	if got, err := w.verify(w.passport()); err != nil || !got.Caller.Linked[0].Until.Equal(now.Add(10*time.Minute)) {
		t.Errorf("%v %+v", err, got.Caller)
	}
}

// Stored links join as those of the request do, as long as the site would take their
// visas today (rows 45, 47 and 62).
func TestStoredLinks(t *testing.T) {
	base := newJoined(t)
	kept := base.everything(t, base.link(func(c *passporttest.VisaClaims) { c.ID = "link-1" }, "researcher", atDAC)).Caller.Links
	if len(kept) != 1 {
		t.Fatal(kept)
	}
	revoke := func(r trust.Revocation) func(*world, *Options) {
		return func(_ *world, o *Options) {
			o.Revoked = func() *trust.Revocations { return trust.NewRevocations(1, []trust.Revocation{r}) }
		}
	}
	policy := func(change func(*trust.IssuerPolicy)) func(*world, *Options) {
		return func(w *world, _ *Options) { w.policy(brokerURL, change) }
	}
	for name, c := range map[string]struct {
		change func(*world, *Options)
		joined bool
	}{
		"as it was":        {func(*world, *Options) {}, true},
		"no store":         {func(_ *world, o *Options) { o.KnownLinks = nil }, false},
		"no visas":         {policy(func(p *trust.IssuerPolicy) { p.Kinds = []trust.Kind{trust.KindPassport} }), false},
		"no links":         {policy(func(p *trust.IssuerPolicy) { p.VisaTypes = []string{trust.VisaAffiliationAndRole} }), false},
		"no source":        {policy(func(p *trust.IssuerPolicy) { p.Sources = []string{dacURL} }), false},
		"no authority":     {policy(func(p *trust.IssuerPolicy) { p.LinksFor = []string{instituteURL} }), false},
		"values limited":   {policy(func(p *trust.IssuerPolicy) { p.ValuePrefixes = []string{"x"} }), false},
		"asserted too old": {policy(func(p *trust.IssuerPolicy) { p.MaxAssertedAge = 24 * time.Hour }), false},
		"asserted lately":  {policy(func(p *trust.IssuerPolicy) { p.MaxAssertedAge = 25 * time.Hour }), true},
		"key gone": {func(w *world, _ *Options) {
			w.broker, _ = passporttest.FromKey(brokerURL, "rsa1", newEC())
			w.change(brokerURL, func(iv *trust.IssuerView) { *iv = w.broker.View(iv.Policy, now.Add(time.Hour)) })
		}, false},
		"issuer revoked":  {revoke(trust.Revocation{Kind: trust.RevokeIssuer, Issuer: dacURL}), false},
		"visa revoked":    {revoke(trust.Revocation{Kind: trust.RevokeToken, Token: kept[0].Visa}), false},
		"jti revoked":     {revoke(trust.Revocation{Kind: trust.RevokeJTI, JTI: "link-1"}), false},
		"another revoked": {revoke(trust.Revocation{Kind: trust.RevokeJTI, JTI: "link-2"}), true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newJoined(t)
			options := w.verifier.options
			options.KnownLinks = func(id trust.Identity) []trust.Link {
				if id == kept[0].A || id == kept[0].B {
					return kept
				}
				return nil
			}
			c.change(w, &options)
			w.verifier = New(options)
			verdict, err := w.verify(w.passport(w.grant()))
			if err != nil {
				t.Fatal(err)
			}
			if joined := len(verdict.Caller.Linked) == 1; joined != c.joined {
				t.Errorf("%+v", verdict.Caller)
			}
			if verdict.Caller.Links != nil {
				t.Error("a stored link is told as new")
			}
		})
	}
	// At its end it is over.
	w := newJoined(t)
	options := w.verifier.options
	options.KnownLinks = func(trust.Identity) []trust.Link { return kept }
	w.verifier = New(options)
	for at, want := range map[time.Duration]int{50*time.Minute - time.Second: 1, 50 * time.Minute: 0} {
		w.verifier = New(options)
		if verdict, err := w.verifyAt(now.Add(at), w.passport()); err != nil || len(verdict.Caller.Linked) != want {
			t.Errorf("after %v: %v %+v", at, err, verdict.Caller)
		}
	}
	// A chain of a stored link and one of the request.
	options.KnownLinks = func(id trust.Identity) []trust.Link {
		if id == atDAC || id == atBroker {
			return kept
		}
		return nil
	}
	w.verifier = New(options)
	verdict, err := w.verify(w.passport(w.affiliation(), w.link(nil, "other", atDAC, atInstitute)))
	if err != nil || verdict.Caller.Visas[0].Person != verdict.Caller.Person || len(verdict.Caller.Linked) != 3 {
		t.Errorf("%v %+v", err, verdict.Caller)
	}
}

// The end of every way is that of the widest one, as by trying all of them, and
// persons are the connected identities.
func TestWaysAreTheWidest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const n = 7
		id := func(i int) trust.Identity { return trust.Identity{Issuer: "https://i", Subject: string(rune('a' + i))} }
		var p people
		var widest [n][n]int // minutes
		for range rapid.IntRange(0, 14).Draw(t, "links") {
			a, b, m := rapid.IntRange(0, n-1).Draw(t, "a"), rapid.IntRange(0, n-1).Draw(t, "b"), rapid.IntRange(1, 9).Draw(t, "minutes")
			p.add(trust.Link{A: id(a), B: id(b), Until: now.Add(time.Duration(m) * time.Minute)})
			widest[a][b], widest[b][a] = max(widest[a][b], m), max(widest[b][a], m)
		}
		p.join()
		for k := range n {
			for i := range n {
				for j := range n {
					widest[i][j] = max(widest[i][j], min(widest[i][k], widest[k][j]))
				}
			}
		}
		for i := range n {
			ways := p.ways(id(i))
			least := i
			for j := range n {
				if i == j {
					continue
				}
				w, _ := p.to(ways, id(j))
				if w.reached != (widest[i][j] > 0) || w.reached && !w.until.Equal(now.Add(time.Duration(widest[i][j])*time.Minute)) {
					t.Fatalf("%d to %d: %+v, want %d minutes", i, j, w, widest[i][j])
				}
				if w.reached && j < least {
					least = j
				}
			}
			if got := p.person(id(i)); got != id(least) {
				t.Fatalf("%d is %v", i, got)
			}
		}
	})
}

// More links than are joined are left out, and nobody is joined by that.
func TestManyLinks(t *testing.T) {
	w := newJoined(t)
	var visas []string
	for i := range 12 {
		var pairs []trust.Identity
		for k := range maxPairs {
			pairs = append(pairs, trust.Identity{Issuer: dacURL, Subject: fmt.Sprint(i, "-", k)})
		}
		visas = append(visas, w.link(nil, "researcher", pairs...))
	}
	verdict := w.everything(t, visas...)
	if len(verdict.Caller.Linked) != maxLinks || len(verdict.Caller.Links) != maxLinks {
		t.Errorf("%d linked", len(verdict.Caller.Linked))
	}
}

func FuzzLinkValue(f *testing.F) {
	f.Add("10001,https:%2F%2Fidp.example;a%2Cb,https%3A%2F%2Fother.example")
	f.Add("a%252C,https:%252F%252Fa")
	f.Add(";,%")
	f.Fuzz(func(t *testing.T, value string) {
		pairs, refusal := parseLinks(value)
		if refusal != nil {
			if refusal.Reason != trust.ReasonLinkValue || pairs != nil {
				t.Errorf("%v %v", pairs, refusal)
			}
			return
		}
		var items []string
		for _, p := range pairs {
			if !identifier(p.Issuer, maxURLClaim) || !identifier(p.Subject, maxURLClaim) {
				t.Errorf("%q", p)
			}
			items = append(items, encoded(p.Subject)+","+encoded(p.Issuer))
		}
		again, refusal := parseLinks(strings.Join(items, ";"))
		if refusal != nil || !slices.Equal(again, pairs) {
			t.Errorf("%q: %v, again %v %v", value, pairs, again, refusal)
		}
	})
}

// Row 62: whoever is revoked under one name is nobody under the others, whether the
// link comes with the request or was stored before; other people are not.
func TestAPersonIsRevokedUnderEveryName(t *testing.T) {
	w := newJoined(t)
	verdict, err := w.verify(w.passport(w.grant(), w.link(nil, "researcher", atDAC)))
	if err != nil || len(verdict.Caller.Links) != 1 {
		t.Fatal(err, verdict.Caller.Links)
	}
	kept := verdict.Caller.Links
	revoked := trust.NewRevocations(1, []trust.Revocation{{Kind: trust.RevokeIdentity, Issuer: dacURL, Subject: atDAC.Subject}})
	for name, c := range map[string]struct {
		stored  bool
		visas   []string
		refused bool
	}{
		"the link is shown":          {false, []string{w.grant(), w.link(nil, "researcher", atDAC)}, true},
		"the link was shown before":  {true, nil, true},
		"no link, no grant":          {false, nil, false},
		"another person's link":      {false, []string{w.link(nil, "somebody", atDAC)}, false},
		"only the visa of the name":  {false, []string{w.grant()}, false},
		"a link to somebody else":    {false, []string{w.link(nil, "researcher", trust.Identity{Issuer: dacURL, Subject: "another"})}, false},
		"by way of a third identity": {true, []string{w.link(nil, "researcher", trust.Identity{Issuer: dacURL, Subject: "another"})}, true},
	} {
		t.Run(name, func(t *testing.T) {
			options := w.verifier.options
			options.Revoked = func() *trust.Revocations { return revoked }
			if c.stored {
				options.KnownLinks = func(id trust.Identity) []trust.Link {
					if id == kept[0].A || id == kept[0].B {
						return kept
					}
					return nil
				}
			}
			verdict, err := New(options).Verify(t.Context(), Request{Passports: []string{w.passport(c.visas...)}, Now: now})
			if refused := reasonOf(t, err) == trust.ReasonRevoked; refused != c.refused || err != nil && !refused {
				t.Fatalf("refused %t, %v", refused, err)
			}
			for _, v := range verdict.Caller.Visas {
				if v.Identity == atDAC {
					t.Errorf("a visa of the revoked name counts: %+v", v)
				}
			}
		})
	}
}
