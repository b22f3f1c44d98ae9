package dac_test

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
	"github.com/candignode/candignode/trust/audit"
	"github.com/candignode/candignode/trust/dac"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/mint"
	"github.com/candignode/candignode/trust/passport"
)

// Rows 113 to 116: a grant becomes a document token that says what the committee
// decided, and nothing else.
func TestGrantBecomesVisa(t *testing.T) {
	c := found(t)
	c.grant("g1", alice, "rarivitis", start.Add(30*time.Minute))
	visas := c.visas(alice)
	if len(visas) != 2 {
		t.Fatal(len(visas))
	}
	header, got, all := c.open(visas[1])
	if !header.IsType("vnd.ga4gh.visa+jwt") || header.JKU != jku || header.KeyID != c.desk.Keys()[0].KeyID {
		t.Errorf("%+v", header)
	}
	want := map[string]any{
		"type": "ControlledAccessGrants", "value": value, "source": source, "by": "dac",
		"asserted": float64(start.Add(-24 * time.Hour).Unix()),
	}
	if !maps.Equal(got.Visa, want) {
		t.Errorf("%v", got.Visa)
	}
	if got.Issuer != issuer || got.IssuedAt != start.Unix() || got.Expires != start.Add(30*time.Minute).Unix() || got.ID == "" {
		t.Errorf("%+v", got)
	}
	if strings.Contains(" "+got.Scope+" ", " openid ") {
		t.Error("a document token with openid")
	}
	// Row 116: the payload has these members and no more, and nobody's name.
	if names := slices.Sorted(maps.Keys(all)); !slices.Equal(names, []string{"exp", "ga4gh_visa_v1", "iat", "iss", "jti", "scope", "sub"}) {
		t.Error(names)
	}
	if strings.Contains(got.Subject.Value, "alice") || got.Subject.Value == "" {
		t.Error("the name elsewhere stands in the visa")
	}

	_, link, _ := c.open(visas[0])
	if link.Subject != got.Subject || link.Visa["type"] != "LinkedIdentities" || link.Visa["value"] != mint.LinkValue(alice) || link.Visa["source"] != source {
		t.Errorf("%+v", link)
	}
}

// Row 115: exp is the grant's end or VisaTTL, whichever is first; a grant that has ended,
// is not there yet, or is somebody else's gives nothing.
func TestEndsOfVisas(t *testing.T) {
	for name, d := range map[string]struct {
		until time.Duration
		want  time.Duration // 0: no visa
	}{
		"a year": {365 * 24 * time.Hour, time.Hour}, "the TTL": {time.Hour, time.Hour}, "sooner": {time.Minute, time.Minute},
		"a fraction": {1900 * time.Millisecond, time.Second}, "this second": {900 * time.Millisecond, 0}, "now": {0, 0}, "past": {-time.Second, 0},
	} {
		c := found(t)
		c.grant("g", alice, "rarivitis", start.Add(d.until))
		visas := c.visas(alice)
		if d.want == 0 {
			if len(visas) != 0 || len(c.records) != 0 {
				t.Errorf("%s: %d visas, %d records", name, len(visas), len(c.records))
			}
			continue
		}
		if _, got, _ := c.open(visas[1]); got.Expires != start.Add(d.want).Unix() {
			t.Errorf("%s: %d", name, got.Expires-start.Unix())
		}
	}
	careless := found(t, func(o *dac.Options) {
		o.Grants = func(trust.Identity) []access.Grant {
			return []access.Grant{{ID: "g", Identity: bob, Dataset: "rarivitis", Until: start.Add(time.Hour), Created: start}}
		}
	})
	if len(careless.visas(alice)) != 0 || len(careless.visas(bob)) != 2 {
		t.Error("row 42: somebody else's grant")
	}
	c := found(t)
	c.grant("g", bob, "rarivitis", start.Add(time.Hour))
	if len(c.visas(alice)) != 0 {
		t.Error("somebody else's grant")
	}
	c.grants[0] = access.Grant{ID: "g", Identity: alice, Dataset: "rarivitis", Until: start.Add(time.Hour), Created: start.Add(time.Minute)}
	if len(c.visas(alice)) != 0 {
		t.Error("asserted after iat: every clearinghouse would ignore the visa")
	}
	if _, err := c.desk.Visas(context.Background(), trust.Identity{}, "tx"); !errors.Is(err, dac.ErrNobody) {
		t.Error(err)
	}
}

// Row 115: the same grant gives the same bytes for some minutes, and none at all from
// the moment that it is gone. Row 116: and each visa is signed, and recorded, once.
func TestShortMemory(t *testing.T) {
	c := found(t)
	c.grant("g1", alice, "rarivitis", start.Add(30*24*time.Hour))
	first := c.visas(alice)
	c.pass(4 * time.Minute)
	again := c.visas(alice)
	if first[0].Compact() != again[0].Compact() || first[1].Compact() != again[1].Compact() || len(c.records) != 2 {
		t.Error("the same grant gave other bytes", len(c.records))
	}
	c.pass(time.Minute)
	if later := c.visas(alice); later[1].Compact() == first[1].Compact() {
		t.Error("remembered for too long")
	}
	c.revoke("g1")
	if gone := c.visas(alice); len(gone) != 0 {
		t.Error("a withdrawn grant gives a visa")
	}
	if n := c.desk.RememberedVisas(alice); n != 1 { // the link
		t.Error("the visa of a withdrawn grant stays in memory", n)
	}
	// Granted anew: another grant, and so another visa.
	c.grant("g2", alice, "rarivitis", start.Add(30*24*time.Hour))
	if _, got, _ := c.open(c.visas(alice)[1]); got.IssuedAt != start.Add(5*time.Minute).Unix() {
		t.Error("a visa of the old grant")
	}
	// V044: a clock that was set back gives no visa from the future.
	c.pass(-time.Hour)
	if _, got, _ := c.open(c.visas(alice)[1]); got.IssuedAt > c.now.Unix() {
		t.Error("iat lies in the future")
	}
}

// A grant that is prolonged or cut short is another fact, and the visa follows at once.
func TestChangedGrantGivesAnotherVisa(t *testing.T) {
	c := found(t)
	c.grant("g1", alice, "rarivitis", start.Add(50*time.Minute))
	before := c.visas(alice)
	c.grants[0].Until = start.Add(10 * time.Minute)
	after := c.visas(alice)
	if _, got, _ := c.open(after[1]); got.Expires != c.grants[0].Until.Unix() || before[1].Digest() == after[1].Digest() {
		t.Error("a visa that outlives its grant")
	}
}

// Row 116: every visa is tied to a grant in a record that is durable before the visa
// leaves; without the record there is no visa.
func TestRecordBeforeVisa(t *testing.T) {
	c := found(t)
	c.grant("g1", alice, "rarivitis", start.Add(time.Hour))
	c.broken = errors.New("the disk is full")
	if visas, err := c.desk.Visas(context.Background(), alice, "tx"); !errors.Is(err, dac.ErrNotRecorded) || visas != nil {
		t.Fatal(visas, err)
	}
	if jwt, _, err := c.desk.Claims(context.Background(), alice, "tx"); !errors.Is(err, dac.ErrNotRecorded) || jwt.Compact() != "" {
		t.Fatal(err)
	}
	c.broken = nil
	visas := c.visas(alice)
	if len(c.records) != 2 {
		t.Fatal(len(c.records), "the visa that was not recorded was remembered")
	}
	r := c.records[1]
	if r.Event != audit.EventVisa || !slices.Equal(r.Grants, []string{"g1"}) || !slices.Equal(r.Visas, []trust.Digest{visas[1].Digest()}) ||
		r.Caller != alice || r.Transaction != "tx" || r.Dataset != "rarivitis" || !r.Time.Equal(start) {
		t.Errorf("%+v", r)
	}
	// Row 64: no token in the record.
	if body, err := audit.Encode(r); err != nil || strings.Contains(string(body), "eyJ") {
		t.Error(string(body), err)
	}
	// Whoever goes away meanwhile leaves a record, and gets nothing.
	c.pass(time.Hour / 2)
	ctx, cancel := context.WithCancel(context.Background())
	c.during = cancel
	if visas, err := c.desk.Visas(ctx, alice, "tx"); err == nil || visas != nil || len(c.records) != 4 {
		t.Error(visas, err, len(c.records))
	}
}

// Row 115: a grant that goes while its visa is being recorded takes the visa with it.
func TestGrantGoneMeanwhile(t *testing.T) {
	c := found(t)
	c.grant("g1", alice, "rarivitis", start.Add(time.Hour))
	c.during = func() { c.revoke("g1") }
	if visas := c.visas(alice); len(visas) != 0 {
		t.Error("a visa of a grant that is gone")
	}
}

// Rows 43 and 55: grants of the same person's other identity count while the link holds, and
// their visas end with it.
func TestGrantsOfLinkedIdentities(t *testing.T) {
	c := found(t)
	c.grant("g1", other, "rarivitis", start.Add(time.Hour))
	if len(c.visas(alice)) != 0 {
		t.Error("no link, and the grant counts")
	}
	c.links = []trust.LinkedIdentity{{Identity: other, Until: start.Add(10 * time.Minute)}}
	if _, got, _ := c.open(c.visas(alice)[1]); got.Expires != start.Add(10*time.Minute).Unix() {
		t.Error(got.Expires)
	}
	c.pass(10 * time.Minute)
	if len(c.visas(alice)) != 0 {
		t.Error("the link is over")
	}
	// One's own grant lasts longer than the link: one visa, the longer one.
	c.pass(-10 * time.Minute)
	c.grant("g2", alice, "rarivitis", start.Add(30*time.Minute))
	visas := c.visas(alice)
	if _, got, _ := c.open(visas[1]); len(visas) != 2 || got.Expires != start.Add(30*time.Minute).Unix() {
		t.Error(len(visas), got.Expires)
	}
}

// Row 62: who is revoked here gets nothing signed, by any name.
func TestRevokedPeopleGetNothing(t *testing.T) {
	c := found(t)
	c.grant("g1", alice, "rarivitis", start.Add(time.Hour))
	c.grant("g2", other, "rarivitis", start.Add(2*time.Hour))
	c.links = []trust.LinkedIdentity{{Identity: other, Until: start.Add(3 * time.Hour)}}
	c.revoked = trust.NewRevocations(1, []trust.Revocation{{Kind: trust.RevokeIdentity, Issuer: other.Issuer, Subject: other.Subject}})
	c.visas(alice)
	if got := c.records[1].Grants; !slices.Equal(got, []string{"g1"}) {
		t.Error(got)
	}
	c.revoked = trust.NewRevocations(2, []trust.Revocation{{Kind: trust.RevokeIssuer, Issuer: alice.Issuer}})
	if len(c.visas(alice)) != 0 {
		t.Error("remembered visas of a revoked person")
	}
	if _, _, err := c.desk.Link(context.Background(), "s", alice, "tx"); !errors.Is(err, dac.ErrNobody) {
		t.Error(err)
	}
}

// Row 116: a dataset whose value looks like a person gives no visa, and does not keep
// the others from theirs. Public and registered datasets have no such visas at all.
func TestDatasetsWithoutVisas(t *testing.T) {
	c := found(t)
	c.datasets = []access.Dataset{
		{ID: "mail", Level: access.Controlled, Value: "https://d.example/alice@uni.example"},
		{ID: "open", Level: access.Public, Value: "https://d.example/open"},
		{ID: "doi", Level: access.Registered, Value: "https://doi.org/10.1038/s41431-018-0219-y"},
		{ID: "none", Level: access.Controlled},
		{ID: "elsewhere", Value: value},
	}
	for _, d := range c.datasets {
		c.grant("g-"+d.ID, alice, d.ID, start.Add(time.Hour))
	}
	c.grant("unknown", alice, "unknown", start.Add(time.Hour))
	if visas := c.visas(alice); len(visas) != 2 || c.records[1].Dataset != "elsewhere" {
		t.Error(len(visas), c.records)
	}
}

// A passport has room for 200 visas, so nobody gets more than half of that here.
func TestMostVisas(t *testing.T) {
	c := found(t)
	for i := range 150 {
		id := fmt.Sprint("d", i)
		c.datasets = append(c.datasets, access.Dataset{ID: id, Level: access.Controlled, Value: value + id})
		c.grant("g"+id, alice, id, start.Add(time.Hour))
	}
	if visas := c.visas(alice); len(visas) != 101 {
		t.Error(len(visas))
	}
}

// The memory is bounded; whoever falls out gets a new visa.
func TestMemoryIsBounded(t *testing.T) {
	c := found(t)
	for i := range 2100 {
		if _, _, err := c.desk.Link(context.Background(), "s", trust.Identity{Issuer: "https://i", Subject: fmt.Sprint(i)}, "tx"); err != nil {
			t.Fatal(err)
		}
	}
	if n := c.desk.Remembered(); n > 2000 || n < 1000 {
		t.Error(n)
	}
	c.pass(6 * time.Minute)
	if _, _, err := c.desk.Link(context.Background(), "s", alice, "tx"); err != nil || c.desk.Remembered() != 1 {
		t.Error(err, c.desk.Remembered())
	}
}

// Rows 80 to 86: what a claim source says has iss, a near end and the visas, under the
// standard name and the committee's own, and no sub.
func TestClaims(t *testing.T) {
	c := found(t, func(o *dac.Options) { o.ClaimName = "ga4gh_passport_v1_dac_d" })
	c.grant("g1", alice, "rarivitis", start.Add(time.Hour))
	jwt, until, err := c.desk.Claims(context.Background(), alice, "tx")
	if err != nil {
		t.Fatal(err)
	}
	header, got, all := c.open(jwt)
	if !header.IsType("JWT") || got.Issuer != issuer || got.Subject.Present || got.Expires != start.Add(5*time.Minute).Unix() || !until.Equal(time.Unix(got.Expires, 0)) {
		t.Errorf("%+v %+v", header, got)
	}
	if visas := c.visas(alice); len(got.Visas) != 2 || got.Visas[1] != visas[1].Compact() {
		t.Error("not the same visas")
	}
	if own, ok := all["ga4gh_passport_v1_dac_d"].([]any); !ok || len(own) != 2 {
		t.Error(all)
	}
	// The visas end sooner, and so does what carries them.
	c.grants[0].Until = start.Add(time.Minute)
	if jwt, _, err = c.desk.Claims(context.Background(), alice, "tx"); err != nil {
		t.Fatal(err)
	}
	if _, got, _ = c.open(jwt); got.Expires != start.Add(time.Minute).Unix() {
		t.Error(got.Expires)
	}
	// Row 84: nobody's grants are an empty list, not an error.
	jwt, _, err = c.desk.Claims(context.Background(), bob, "tx")
	if err != nil {
		t.Fatal(err)
	}
	if _, got, all := c.open(jwt); got.Visas == nil || len(got.Visas) != 0 || all["ga4gh_passport_v1_dac_d"] == nil {
		t.Error(all)
	}
	if _, _, err := c.desk.Claims(context.Background(), trust.Identity{}, "tx"); !errors.Is(err, dac.ErrNobody) {
		t.Error(err)
	}
}

// Rows 113, 114 and 117: what cannot work is said at start.
func TestOptions(t *testing.T) {
	c := found(t)
	for name, change := range map[string]func(*dac.Options){
		"no issuer":        func(o *dac.Options) { o.Issuer = "" },
		"no jku":           func(o *dac.Options) { o.JKU = "" },
		"no names":         func(o *dac.Options) { o.Subject = nil },
		"no recorder":      func(o *dac.Options) { o.Recorder = nil },
		"no clock":         func(o *dac.Options) { o.Now = nil },
		"no key":           func(o *dac.Options) { o.Key = nil },
		"source with mail": func(o *dac.Options) { o.Source = "https://dac.example/x@y.example" },
		"source not https": func(o *dac.Options) { o.Source = "dac" },
		"visas of a week":  func(o *dac.Options) { o.VisaTTL = 7 * 24 * time.Hour },
		"visas of seconds": func(o *dac.Options) { o.VisaTTL = time.Second },
		"long memory":      func(o *dac.Options) { o.Keep = time.Hour },
		"claim named sub":  func(o *dac.Options) { o.ClaimName = "sub" },
		"a key reused":     func(o *dac.Options) { o.Others = map[string]crypto.PublicKey{"node.key": c.key.Public()} },
	} {
		o := c.options()
		change(&o)
		if desk, err := dac.New(o); err == nil || desk != nil {
			t.Errorf("%s: taken", name)
		}
	}
	if w := c.desk.Warnings(); len(w) != 0 {
		t.Error(w)
	}
	o := c.options()
	o.Source = "https://dac.d.example/?committee=1"
	if desk, err := dac.New(o); err != nil || len(desk.Warnings()) != 1 {
		t.Error("a source with a query string must warn", err)
	}
	bare, err := dac.New(dac.Options{Issuer: issuer, Source: source, JKU: jku, Key: c.key, Subject: o.Subject, Recorder: c, Now: o.Now})
	if err != nil {
		t.Fatal(err)
	}
	if visas, err := bare.Visas(context.Background(), alice, ""); err != nil || visas != nil {
		t.Error(visas, err)
	}
}

// Row 113: the sample verifies with the published key set as another site would verify it,
// and not with one that lacks the key. No record and no grant stand behind it.
func TestSelfCheck(t *testing.T) {
	c := found(t)
	published, err := jose.MarshalKeySet(c.desk.Keys())
	if err != nil {
		t.Fatal(err)
	}
	for _, good := range [][]byte{nil, published} {
		if err := c.desk.SelfCheck(context.Background(), good); err != nil {
			t.Error(err)
		}
	}
	foreign, err := jose.MarshalKeySet([]trust.Key{{KeyID: "x", Public: key(t).Public()}})
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][]byte{foreign, {}, []byte(`{"keys":[]}`), []byte("<html>")} {
		if err := c.desk.SelfCheck(context.Background(), bad); !errors.Is(err, dac.ErrSelfCheck) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if len(c.records) != 0 {
		t.Error("the sample left")
	}
}

// Row 115 for any course of events: no visa outlives its grant or VisaTTL, and every visa that
// is out is on record with a grant that was live.
func TestNoVisaOutlivesItsGrant(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := found(t)
		for step := range rapid.IntRange(1, 12).Draw(rt, "steps") {
			switch rapid.IntRange(0, 3).Draw(rt, "what") {
			case 0:
				c.grant(fmt.Sprint("g", step), alice, "rarivitis", c.now.Add(time.Duration(rapid.Int64Range(-1e10, 1e13).Draw(rt, "until"))))
			case 1:
				if len(c.grants) > 0 {
					c.revoke(c.grants[rapid.IntRange(0, len(c.grants)-1).Draw(rt, "which")].ID)
				}
			case 2:
				c.pass(time.Duration(rapid.Int64Range(0, 2e12).Draw(rt, "pass")))
			}
			last := time.Time{}
			for _, g := range c.grants {
				if g.Until.After(last) {
					last = g.Until
				}
			}
			visas := c.visas(alice)
			if len(visas) > 0 != (last.Unix() > c.now.Unix()) {
				rt.Fatal(len(visas), last, c.now)
			}
			if len(visas) == 0 {
				continue
			}
			_, got, _ := c.open(visas[1])
			if got.Expires > last.Unix() || got.Expires > c.now.Add(time.Hour).Unix() || got.Expires <= c.now.Unix() || got.IssuedAt > c.now.Unix() {
				rt.Fatal(got, last, c.now)
			}
			if !slices.ContainsFunc(c.records, func(r audit.Record) bool { return slices.Contains(r.Visas, visas[1].Digest()) && len(r.Grants) == 1 }) {
				rt.Fatal("not on record")
			}
		}
	})
}

// A burst of one person's questions gives everybody the same bytes, whoever was first.
func TestBurstGivesOneVisa(t *testing.T) {
	c := found(t)
	c.grant("g1", alice, "rarivitis", start.Add(time.Hour))
	var wait sync.WaitGroup
	got := make([][]trust.Passport, 16)
	for i := range got {
		wait.Go(func() {
			got[i], _ = c.desk.Visas(context.Background(), alice, "tx")
		})
	}
	wait.Wait()
	for _, visas := range got {
		if len(visas) != 2 || visas[1].Digest() != got[0][1].Digest() {
			t.Fatal("one grant, several visas")
		}
	}
}

// Row 86: another site, which trusts the committee as a source of claims, reads what Claims gave;
// one that trusts it for visas only does not.
func TestClaimsAreReadElsewhere(t *testing.T) {
	c := found(t)
	c.grant("g1", alice, "rarivitis", start.Add(time.Hour))
	jwt, until, err := c.desk.Claims(context.Background(), alice, "tx")
	if err != nil {
		t.Fatal(err)
	}
	for kind, good := range map[trust.Kind]bool{trust.KindClaims: true, trust.KindVisa: false} {
		view := &trust.View{Revision: 1, Issuers: map[string]trust.IssuerView{issuer: {
			Policy: trust.IssuerPolicy{Issuer: issuer, Kinds: []trust.Kind{kind}},
			Keys:   []trust.BelievedKey{{Key: c.desk.Keys()[0], Until: start.Add(time.Hour)}},
		}}}
		verifier := passport.New(passport.Options{View: func() *trust.View { return view }})
		read, err := verifier.Token(context.Background(), passport.TokenRequest{
			Kind: passport.ClaimsJWT, Compact: jwt.Compact(), Issuer: issuer, Now: start,
		})
		if (err == nil) != good || good && (!read.Expires.Equal(until) || read.Subject != "") {
			t.Error(kind, err, read.Expires, read.Subject)
		}
	}
}
