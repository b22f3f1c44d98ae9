package claims_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/claims"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/passport/passporttest"
)

// The cast: an OpenID provider signs a researcher in and points to the grants that two
// committees made. A stranger signs just as well, and is trusted by nobody.
const (
	op       = "https://op.example"
	dacURL   = "https://dac.example"
	otherURL = "https://other-dac.example"
	endpoint = "https://dac.example/claims"
)

var now = time.Unix(1_800_000_000, 0).UTC()

type asked struct {
	issuer, endpoint, token string
}

type world struct {
	t                    testing.TB
	dac, other, stranger *passporttest.Issuer
	options              claims.Options
	view                 *trust.View
	revoked              *trust.Revocations
	resolver             *claims.Resolver

	mu    sync.Mutex
	asked []asked
	reply func(ctx context.Context, a asked) ([]byte, error)
}

func issuer(t testing.TB, url string) *passporttest.Issuer {
	t.Helper()
	i, err := passporttest.NewIssuer(url, jose.ES256, "k")
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func newWorld(t testing.TB, change ...func(*claims.Options)) *world {
	t.Helper()
	w := &world{t: t, dac: issuer(t, dacURL), other: issuer(t, otherURL), stranger: issuer(t, "https://stranger.example")}
	until := now.Add(24 * time.Hour)
	w.view = &trust.View{Revision: 1, Issuers: map[string]trust.IssuerView{
		op: {Policy: trust.IssuerPolicy{Issuer: op, Kinds: []trust.Kind{trust.KindLogin}}},
		dacURL: w.dac.View(trust.IssuerPolicy{
			Kinds:  []trust.Kind{trust.KindClaims},
			Claims: trust.ClaimSource{Endpoints: []string{endpoint}, Names: []string{"grants", "terms"}},
		}, until),
		otherURL: w.other.View(trust.IssuerPolicy{
			Kinds: []trust.Kind{trust.KindClaims},
			Claims: trust.ClaimSource{
				Endpoints: []string{otherURL + "/claims"}, Names: []string{"other_grants", "grants"}, Token: trust.NewAccessToken("agreed-before"),
			},
		}, until),
	}}
	w.options = claims.Options{
		View:    func() *trust.View { return w.view },
		Revoked: func() *trust.Revocations { return w.revoked },
		Verify:  w.verify,
		Fetch:   w.fetch,
	}
	for _, f := range change {
		f(&w.options)
	}
	w.resolver = claims.New(w.options)
	return w
}

// verify is what the one verifier does, as far as it matters here: signature, iss, exp.
func (w *world) verify(_ context.Context, compact, issuer string, at time.Time) ([]byte, time.Time, error) {
	token, err := jose.Parse(compact, 1<<20)
	if err != nil {
		return nil, time.Time{}, err
	}
	keys := w.view.Issuers[issuer].Keys
	if len(keys) == 1 {
		payload, err := token.Verify(keys[0].Key, jose.ES256)
		if err != nil {
			return nil, time.Time{}, err
		}
		var c struct {
			Expires jose.NumericDate `json:"exp"`
		}
		if err := jose.Unmarshal(payload, &c); err != nil {
			return nil, time.Time{}, err
		}
		return payload, c.Expires.Time, nil
	}
	return nil, time.Time{}, errors.New("no key; with a secret: eyJhbGciOi")
}

func (w *world) fetch(ctx context.Context, source trust.IssuerPolicy, endpoint string, token trust.AccessToken) ([]byte, error) {
	a := asked{source.Issuer, endpoint, token.Reveal()}
	w.mu.Lock()
	w.asked = append(w.asked, a)
	reply := w.reply
	w.mu.Unlock()
	if reply == nil {
		return nil, errors.New("connection refused")
	}
	return reply(ctx, a)
}

type object map[string]any

func (o object) text() []byte {
	text, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	return text
}

// signed is what a source signs.
func signed(i *passporttest.Issuer, members object) string {
	all := object{"iss": i.URL, "exp": now.Add(time.Hour).Unix()}
	for name, value := range members {
		if value == nil {
			delete(all, name)
			continue
		}
		all[name] = value
	}
	return i.Sign(jose.Header{Type: "JWT"}, all.text())
}

// pointing is a response of the provider about the researcher.
func pointing(names any, sources any) []byte {
	return object{"sub": "researcher", "_claim_names": names, "_claim_sources": sources}.text()
}

func (w *world) resolve(payload []byte) ([]claims.Found, []claims.Absent) {
	w.t.Helper()
	return w.resolver.Resolve(context.Background(), op, payload, now)
}

// want resolves and compares the names found; every absence must have its sentence.
func (w *world) want(payload []byte, found ...string) []claims.Absent {
	w.t.Helper()
	got, absent := w.resolve(payload)
	var names []string
	for _, f := range got {
		names = append(names, f.Name)
	}
	if !slices.Equal(names, found) {
		w.t.Errorf("found %v, want %v; absent: %+v", names, found, absent)
	}
	for _, a := range absent {
		if a.Why == "" || a.Name == "" || len(a.Why) > 400 {
			w.t.Errorf("an absence says %+v", a)
		}
	}
	return absent
}

// wantAbsent resolves and wants nothing but this one absence.
func (w *world) wantAbsent(payload []byte, name string) claims.Absent {
	w.t.Helper()
	absent := w.want(payload)
	if len(absent) != 1 || absent[0].Name != name {
		w.t.Errorf("absent: %+v, want %q alone", absent, name)
		return claims.Absent{}
	}
	return absent[0]
}
