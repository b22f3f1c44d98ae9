package broker_test

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/audit"
	"github.com/candignode/candignode/trust/broker"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/mint"
)

func (o *office) forward(audience string, visas ...trust.Passport) trust.Passport {
	o.t.Helper()
	_, p, err := o.broker.Passport(context.Background(), o.caller, visas, audience, o.until, "tx")
	if err != nil {
		o.t.Fatal(err)
	}
	return p
}

// Rows 8, 21 and 77, ladder L3: the passport that travels with a forwarded question names its
// one target and carries the visas unchanged.
func TestPassportForOneTarget(t *testing.T) {
	o := open(t)
	identity, p, err := o.broker.Passport(context.Background(), o.caller, o.held, siteB, o.until, "tx")
	if err != nil {
		t.Fatal(err)
	}
	_, c := o.read(p.Compact())
	if (identity != trust.Identity{Issuer: issuer, Subject: c.Subject}) || !slices.Equal(c.Audience, []string{siteB}) || c.Visas[1] != o.held[0].Compact() {
		t.Errorf("%v %+v", identity, c)
	}
	verdict, err := o.verify(p.Compact(), siteB)
	if err != nil || verdict.Caller.Identity != identity {
		t.Fatal(err, verdict.Caller.Identity)
	}
	for i, visa := range verdict.Visas {
		if !visa.Accepted {
			t.Error(i, visa.Reason, visa.Detail)
		}
	}
	// V069: another site does not take it.
	if _, err := o.verify(p.Compact(), siteC); err == nil {
		t.Error("a passport for B is good at C")
	}
	for _, audience := range []string{"", unknown, "*", siteC + "/"} {
		if _, p, err := o.broker.Passport(context.Background(), o.caller, nil, audience, o.until, "tx"); !errors.Is(err, broker.ErrTarget) || p.Compact() != "" {
			t.Errorf("%q: %v", audience, err)
		}
	}
	if _, _, err := o.broker.Passport(context.Background(), trust.Caller{}, nil, siteB, o.until, "tx"); !errors.Is(err, broker.ErrNobody) {
		t.Error(err)
	}
	for _, until := range []time.Time{{}, start, start.Add(-time.Second)} {
		if _, _, err := o.broker.Passport(context.Background(), o.caller, nil, siteB, until, "tx"); !errors.Is(err, broker.ErrExpired) {
			t.Error(until, err)
		}
	}
}

// Row 42: the name in passports is stable, the same at every target, and of no use for
// anybody else.
func TestNamesAreStable(t *testing.T) {
	o := open(t)
	subject := func(of trust.Identity, audience string) string {
		_, p, err := o.broker.Passport(context.Background(), trust.Caller{Identity: of}, nil, audience, o.until, "tx")
		if err != nil {
			t.Fatal(err)
		}
		_, c := o.read(p.Compact())
		return c.Subject
	}
	bob := trust.Identity{Issuer: alice.Issuer, Subject: "bob"}
	elsewhere := trust.Identity{Issuer: "https://idp.b.example", Subject: "alice"}
	if subject(alice, siteB) != subject(alice, siteC) || subject(alice, siteB) == subject(bob, siteB) || subject(alice, siteB) == subject(elsewhere, siteB) {
		t.Error("names are mixed up")
	}
	// Somebody who shows this issuer's own passport has a name here already.
	own := trust.Identity{Issuer: issuer, Subject: subject(alice, siteB)}
	if subject(own, siteB) != own.Subject {
		t.Error("a name of a name")
	}
	_, p, err := o.broker.Passport(context.Background(), trust.Caller{Identity: own}, nil, siteB, o.until, "tx")
	if _, c := o.read(p.Compact()); err != nil || len(c.Visas) != 0 {
		t.Error("a link of a name with itself", err)
	}
	second := trust.Identity{Issuer: issuer, Subject: subject(bob, siteB)}
	if subject(second, siteB) != second.Subject {
		t.Error("the remembered passport of somebody else")
	}
}

// The same question asked a thousand times needs one passport per target, and one record; other
// visas, another target, another person or a token that ends sooner need another passport.
func TestPassportsAreRememberedShortly(t *testing.T) {
	o := open(t)
	first := o.forward(siteB, o.held...)
	records := len(o.records)
	o.pass(50 * time.Second)
	if again := o.forward(siteB, o.held...); again.Digest() != first.Digest() || len(o.records) != records {
		t.Error("not remembered")
	}
	seen := map[trust.Digest]bool{first.Digest(): true}
	fresh := func(name string, p trust.Passport) {
		t.Helper()
		if seen[p.Digest()] {
			t.Error(name, "got somebody else's passport")
		}
		seen[p.Digest()] = true
	}
	fresh("other visas", o.forward(siteB, o.visa("two")))
	fresh("no visas", o.forward(siteB))
	fresh("another target", o.forward(siteC, o.held...))
	o.caller.Subject = "bob"
	fresh("another person", o.forward(siteB, o.held...))
	o.caller.Subject = "alice"
	// Row 79: a second token of the same person that ends sooner.
	o.until = start.Add(2 * time.Minute)
	short := o.forward(siteB, o.held...)
	fresh("a token that ends sooner", short)
	if _, c := o.read(short.Compact()); c.Expires != o.until.Unix() {
		t.Error("outlives its token", c.Expires)
	}
	o.until = start.Add(time.Hour)
	o.pass(time.Minute)
	fresh("a minute later", o.forward(siteB, o.held...))
	// V044: a clock that was set back gives no passport from the future.
	o.pass(-90 * time.Second)
	if _, c := o.read(o.forward(siteB, o.held...).Compact()); c.IssuedAt > o.now.Unix() {
		t.Error("iat lies in the future")
	}
}

func TestPassportMemoryIsBounded(t *testing.T) {
	o := open(t)
	for i := range 1100 {
		o.caller.Subject = fmt.Sprint(i)
		o.forward(siteB)
	}
	if n := o.broker.Remembered(); n > 1000 || n < 900 {
		t.Error(n)
	}
	o.pass(2 * time.Minute)
	o.forward(siteB)
	if n := o.broker.Remembered(); n != 1 {
		t.Error(n)
	}
}

// Row 116: no passport leaves that is not on record, and it is not remembered either.
func TestRecordBeforePassport(t *testing.T) {
	o := open(t)
	o.forward(siteC) // the link is on record
	o.broken = errors.New("the disk is full")
	if _, p, err := o.broker.Passport(context.Background(), o.caller, o.held, siteB, o.until, "tx"); !errors.Is(err, broker.ErrNotRecorded) || p.Compact() != "" {
		t.Error(err)
	}
	o.broken = nil
	p := o.forward(siteB, o.held...)
	last := o.records[len(o.records)-1]
	if last.Event != audit.EventVisa || last.Passports[0] != p.Digest() || len(last.Visas) != 2 || last.Visas[1] != o.held[0].Digest() || last.Transaction != "tx" {
		t.Errorf("%+v", last)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, p, err := o.broker.Passport(ctx, o.caller, nil, siteB, o.until, "tx"); err == nil || p.Compact() != "" {
		t.Error(err)
	}
}

// A passport carries at most what a clearinghouse reads.
func TestMostVisas(t *testing.T) {
	o := open(t)
	var visas []trust.Passport
	for i := range 200 {
		visas = append(visas, o.visa(fmt.Sprint(i)))
	}
	if _, _, err := o.broker.Passport(context.Background(), o.caller, visas, siteB, o.until, "tx"); !errors.Is(err, broker.ErrTooMany) {
		t.Error(err)
	}
	if verdict, err := o.verify(o.forward(siteB, visas[:199]...).Compact(), siteB); err != nil || len(verdict.Visas) != 200 {
		t.Error(err, len(verdict.Visas))
	}
}

// Rows 21, 77 and 79 for any subject: an issued passport verifies at its target and at no other,
// never outlives what it was got with, names only what was asked for and allowed, and holds no
// visa that was not handed in.
func TestPassportNeverExceedsItsSubject(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		o := open(t)
		o.until = start.Add(time.Duration(rapid.Int64Range(-5, 4000).Draw(rt, "until")) * time.Second)
		o.caller.Until = start.Add(time.Duration(rapid.Int64Range(-5, 4000).Draw(rt, "caller")) * time.Second)
		o.held = nil
		for i := range rapid.IntRange(0, 4).Draw(rt, "visas") {
			o.held = append(o.held, o.visa(fmt.Sprint(i%3)))
		}
		form := o.form("resource", "")
		all := []string{siteB, siteC, unknown, "*"}
		form["resource"] = rapid.SliceOfN(rapid.SampledFrom(all), 0, 3).Draw(rt, "resource")
		if life := rapid.IntRange(0, 9000).Draw(rt, "expires_in"); life > 0 {
			form.Set("expires_in", fmt.Sprint(life))
		}
		allowed := !slices.ContainsFunc(form["resource"], func(r string) bool { return r != siteB && r != siteC })
		alive := o.until.After(start) && o.caller.Until.After(start)
		issued, err := o.exchange(form)
		if (err == nil) != (allowed && alive) {
			rt.Fatal(err, allowed, alive)
		}
		if err != nil {
			return
		}
		_, c := o.read(issued.Passport.Compact())
		if c.Expires > o.until.Unix() || c.Expires > o.caller.Until.Unix() || c.Expires > start.Add(10*time.Minute).Unix() || c.Expires <= c.IssuedAt {
			rt.Fatal("outlives its subject", c)
		}
		want := form["resource"]
		if len(want) == 0 {
			want = []string{"portal"}
		}
		for _, site := range []string{siteB, siteC, unknown, "portal"} {
			verdict, err := o.verify(issued.Passport.Compact(), site)
			if (err == nil) != slices.Contains(want, site) {
				rt.Fatal(site, want, err)
			}
			if err == nil && (len(verdict.Caller.Visas) == 0 || verdict.Caller.Until.After(o.until)) {
				rt.Fatal(verdict)
			}
		}
		for _, visa := range c.Visas[1:] {
			if !slices.Contains(digests(o.held), trust.DigestOfString(visa).String()) {
				rt.Fatal("a visa from nowhere, or a changed one")
			}
		}
	})
}

// Rows 72 and 117: what cannot work is said at start.
func TestOptions(t *testing.T) {
	o := open(t)
	for name, change := range map[string]func(*broker.Options){
		"no issuer":           func(o *broker.Options) { o.Issuer = "" },
		"plain issuer":        func(o *broker.Options) { o.Issuer = "http://a.example" },
		"issuer with a query": func(o *broker.Options) { o.Issuer = "https://a.example/?x" },
		"no key set":          func(o *broker.Options) { o.JWKSURI = "" },
		"no token endpoint":   func(o *broker.Options) { o.Endpoints.Token = "" },
		"row 72: no userinfo": func(o *broker.Options) { o.Endpoints.UserInfo = "" },
		"no key":              func(o *broker.Options) { o.Key = nil },
		"no clock":            func(o *broker.Options) { o.Now = nil },
		"no links":            func(o *broker.Options) { o.Links = nil },
		"passports of a day":  func(o *broker.Options) { o.PassportTTL = 24 * time.Hour },
		"passports of none":   func(o *broker.Options) { o.PassportTTL = time.Second },
		"client without id":   func(o *broker.Options) { o.Clients = []broker.Client{{}} },
		"client twice":        func(o *broker.Options) { o.Clients = append(o.Clients, o.Clients[0]) },
		"empty target":        func(o *broker.Options) { o.Clients[0].Targets = []string{""} },
		"empty certificate":   func(o *broker.Options) { o.Clients[0].Certificates = []string{""} },
		"private client key":  func(b *broker.Options) { b.Clients[0].Keys = []trust.Key{{KeyID: "c", Public: o.client}} },
		"the node's key":      func(b *broker.Options) { b.Others = map[string]crypto.PublicKey{"node.key": b.Key.Public()} },
		"the committee's key": func(b *broker.Options) { b.Published = []trust.Key{{KeyID: "dac", Public: b.Key.Public()}} },
		"the key of links":    func(b *broker.Options) { b.Links = sameKey{b.Links, b.Key.Public()} },
	} {
		var options broker.Options
		open(t, func(b *broker.Options) { options = *b })
		options.Clients = slices.Clone(options.Clients)
		change(&options)
		desk, err := broker.New(options)
		if err == nil || desk != nil {
			t.Errorf("%s: taken", name)
		}
		if !errors.Is(err, broker.ErrOptions) && !errors.Is(err, mint.ErrKey) && !errors.Is(err, mint.ErrKeyReused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	local := open(t, func(b *broker.Options) { b.Endpoints.Token = "http://127.0.0.1:8443/oauth/token" })
	if local.broker == nil {
		t.Error("trying things out on one machine")
	}
}

type sameKey struct {
	broker.Links
	key crypto.PublicKey
}

func (s sameKey) Keys() []trust.Key { return []trust.Key{{KeyID: "x", Public: s.key}} }

// Row 117: the key set has the keys for passports, links and visas, all different, and no
// private one.
func TestKeySet(t *testing.T) {
	committee := trust.Key{KeyID: "dac1", Thumbprint: "d", Public: key(t).Public()}
	o := open(t, func(b *broker.Options) { b.Published = []trust.Key{committee} })
	set, err := o.broker.KeySet()
	if err != nil {
		t.Fatal(err)
	}
	keys, rejected, err := jose.ParseKeySet(set, false)
	if err != nil || len(keys) != 3 || len(rejected) != 0 {
		t.Fatal(len(keys), rejected, err)
	}
	seen := map[string]bool{}
	for _, k := range keys {
		seen[k.Thumbprint] = true
	}
	if len(seen) != 3 {
		t.Error("one key for two things")
	}
}

// Rows 72 and 113: the sample verifies with the published key set as at another site, and not
// when a key is missing from it.
func TestSelfCheck(t *testing.T) {
	o := open(t)
	set, err := o.broker.KeySet()
	if err != nil {
		t.Fatal(err)
	}
	for _, good := range [][]byte{nil, set} {
		if err := o.broker.SelfCheck(context.Background(), good); err != nil {
			t.Error(err)
		}
	}
	without := func(keys []trust.Key) []byte {
		text, err := jose.MarshalKeySet(keys)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for name, bad := range map[string][]byte{
		"without the passports' key": without(o.broker.Keys()[1:]), "without the links' key": without(o.broker.Keys()[:1]),
		"empty": []byte(`{"keys":[]}`), "a web page": []byte("<html>"), "nothing": {},
	} {
		if err := o.broker.SelfCheck(context.Background(), bad); !errors.Is(err, broker.ErrSelfCheck) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if slices.ContainsFunc(o.records, func(r audit.Record) bool { return len(r.Passports) > 0 }) {
		t.Error("the sample left")
	}
	elsewhere := open(t, func(b *broker.Options) { b.JWKSURI = "https://a.example/other" })
	if err := elsewhere.broker.SelfCheck(context.Background(), nil); !errors.Is(err, broker.ErrSelfCheck) {
		t.Error("links name another key set", err)
	}
	o.broken = errors.New("the disk is full")
	o.pass(2 * time.Hour)
	if err := o.broker.SelfCheck(context.Background(), nil); !errors.Is(err, broker.ErrSelfCheck) {
		t.Error(err)
	}
}
