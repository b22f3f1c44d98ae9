package vectors_test

import (
	"context"
	"errors"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/claims"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/passport"
	"github.com/candignode/candignode/trust/proof"
)

var at = time.Unix(now, 0).UTC()

// policy gives an issuer as the verifier wants it.
func (i issuer) policy() trust.IssuerPolicy {
	p := trust.IssuerPolicy{
		Issuer: i.Issuer, Mode: trust.Mode(i.Mode), JKU: i.JKU, VisaTypes: i.VisaTypes, Sources: i.Sources, ValuePrefixes: i.ValuePrefixes,
		ClientIDs: i.ClientIDs, RequireAud: i.RequireAud, AllowMissingKeyID: i.AllowMissingKID, WaiveKeyUse: i.WaiveKeyUse,
		LinksFor: i.LinksFor, MaxAssertedAge: time.Duration(i.MaxAssertedAge) * time.Second, AccessTokenVisas: i.AccessTokenVisas,
		Tokens: trust.TokenWay(i.Tokens), ScopeArray: i.ScopeArray, Endpoints: trust.Endpoints{UserInfo: i.UserInfo},
		Claims: trust.ClaimSource{Endpoints: i.ClaimEndpoints, Names: i.ClaimNames},
	}
	for _, k := range i.Kinds {
		p.Kinds = append(p.Kinds, trust.Kind(k))
	}
	for _, s := range i.AcceptUnboundFrom {
		p.AcceptUnboundFrom = append(p.AcceptUnboundFrom, trust.SiteName(s))
	}
	return p
}

// view is what a site believes that has just read every key set.
func (c configuration) view(t testing.TB) *trust.View {
	t.Helper()
	view := &trust.View{Revision: 1, Issuers: map[string]trust.IssuerView{}}
	for _, i := range c.Issuers {
		keys, _, err := jose.ParseKeySet(i.JWKS, i.WaiveKeyUse)
		if err != nil {
			t.Fatalf("%s: %v", i.Issuer, err)
		}
		iv := trust.IssuerView{Policy: i.policy()}
		for _, key := range keys {
			iv.Keys = append(iv.Keys, trust.BelievedKey{Key: key, Until: at.Add(30 * 24 * time.Hour)})
		}
		view.Issuers[i.Issuer] = iv
	}
	return view
}

func (c configuration) verifier(t testing.TB) *passport.Verifier {
	t.Helper()
	view := c.view(t)
	return passport.New(passport.Options{
		View: func() *trust.View { return view }, OwnNames: c.OwnNames,
		Audiences: func(name string, site trust.SiteName) []string {
			for _, i := range c.Issuers {
				if i.Issuer != name {
					continue
				}
				if site == "" {
					return i.ClientIDs
				}
				for _, peer := range i.PeerClientIDs {
					if peer.Site == string(site) {
						return peer.ClientIDs
					}
				}
			}
			return nil
		},
	})
}

func corpus(t testing.TB) (map[string]file, map[string]configuration) {
	t.Helper()
	files, configurations, err := load()
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range files {
		if f.Now != now {
			t.Fatalf("%s is of another time", name)
		}
	}
	return files, configurations
}

// holdError holds a refusal against what was expected, and tells whether the vector is done.
func (v *vector) holdError(t *testing.T, err error) (done bool) {
	t.Helper()
	got := trust.Reason("")
	var refusal *passport.Refusal
	var bad *proof.Error
	switch {
	case errors.As(err, &refusal):
		got = refusal.Reason
	case errors.As(err, &bad):
		got = bad.Reason
	case err != nil:
		t.Errorf("%s %s: %v", v.ID, v.Title, err)
		return true
	}
	if (err != nil) != (v.Expect.Outcome == refuse) || string(got) != v.Expect.Reason {
		t.Errorf("%s %s: %v, want %s %s", v.ID, v.Title, err, v.Expect.Outcome, v.Expect.Reason)
		return true
	}
	if err != nil && (len(err.Error()) > 700 || strings.Contains(err.Error(), "eyJhbGciOi")) {
		t.Errorf("%s: the refusal says %q", v.ID, err)
	}
	return err != nil
}

// Rows 1 to 63 and 91 to 110 on the passport verifier, vector by vector, each twice:
// what is remembered must not differ from what was found.
func TestVectorsOnTheVerifier(t *testing.T) {
	files, configurations := corpus(t)
	verifiers := map[string]*passport.Verifier{}
	for name, c := range configurations {
		verifiers[name] = c.verifier(t)
	}
	for _, v := range all(files, kindPassports) {
		for range 2 {
			v.onVerifier(t, verifiers[v.Configuration])
		}
	}
	for _, v := range all(files, kindToken) {
		v.onTokens(t, verifiers[v.Configuration])
	}
}

func (v *vector) onVerifier(t *testing.T, verifier *passport.Verifier) {
	t.Helper()
	req := passport.Request{Now: at, Origin: trust.SiteName(v.Request.Origin), Proven: v.Request.Proven.trusted()}
	for _, p := range v.Request.Passports {
		req.Passports = append(req.Passports, p.expand())
	}
	verdict, err := verifier.Verify(context.Background(), req)
	if v.holdError(t, err) {
		return
	}
	if v.Expect.Caller != nil && verdict.Caller.Identity != trust.Identity(v.Expect.Caller.trusted()) {
		t.Errorf("%s %s: the caller is %v", v.ID, v.Title, verdict.Caller.Identity)
	}
	if v.Expect.Caller != nil {
		v.holdLinked(t, verdict.Caller)
	}
	if v.Expect.Until != 0 && verdict.Until.Unix() != v.Expect.Until {
		t.Errorf("%s %s: until %d, want %d", v.ID, v.Title, verdict.Until.Unix(), v.Expect.Until)
	}
	if v.Expect.Visas == nil {
		return
	}
	if len(verdict.Visas) != len(v.Expect.Visas) {
		t.Errorf("%s %s: %d visas, want %d", v.ID, v.Title, len(verdict.Visas), len(v.Expect.Visas))
		return
	}
	for i, want := range v.Expect.Visas {
		if got := verdict.Visas[i]; got.Accepted != want.Accepted || string(got.Reason) != want.Reason {
			t.Errorf("%s %s: visa %d is %v %q (%s), want %q", v.ID, v.Title, i, got.Accepted, got.Reason, got.Detail, want.Reason)
		}
	}
}

func (v *vector) holdLinked(t *testing.T, caller trust.Caller) {
	t.Helper()
	var got []identity
	for _, l := range caller.Linked {
		got = append(got, identity{l.Issuer, l.Subject})
	}
	want := slices.SortedFunc(slices.Values(v.Expect.Linked), func(a, b identity) int {
		return strings.Compare(a.Issuer+" "+a.Subject, b.Issuer+" "+b.Subject)
	})
	if !slices.Equal(got, want) {
		t.Errorf("%s %s: linked with %v, want %v", v.ID, v.Title, got, want)
	}
}

func (i *identity) trusted() trust.Identity {
	return trust.Identity{Issuer: i.Issuer, Subject: i.Subject}
}

func (p *proven) trusted() trust.Proven {
	if p == nil {
		return trust.Proven{}
	}
	return trust.Proven{JKT: p.JKT, X5T: p.X5T}
}

func (v *vector) onTokens(t *testing.T, verifier *passport.Verifier) {
	t.Helper()
	in := v.Request.Token
	_, err := verifier.Token(context.Background(), passport.TokenRequest{
		Kind: passport.TokenKind(in.As), Compact: in.Compact.expand(), Issuer: in.Issuer, Audience: in.Audience,
		Nonce: in.Nonce, Scopes: in.Scopes, Proven: v.Request.Proven.trusted(), Now: at,
	})
	v.holdError(t, err)
}

// Row 109 and V098 on the checker of proofs.
func TestVectorsOnProofs(t *testing.T) {
	files, _ := corpus(t)
	for _, v := range all(files, kindProof) {
		in := v.Request.Proof
		checker := proof.New(proof.Options{Boot: at.Add(-time.Hour)})
		shown := proof.Proof{Headers: in.DPoP, Method: in.Method, URL: in.URL, Token: trust.NewAccessToken(in.AccessToken), Now: at}
		if in.Again {
			if _, err := checker.Check(shown); err != nil {
				t.Errorf("%s %s: the first use: %v", v.ID, v.Title, err)
			}
		}
		_, err := checker.Check(shown)
		v.holdError(t, err)
		if errors.Is(err, proof.ErrUseNonce) != v.Expect.Nonce {
			t.Errorf("%s %s: %v, wants a nonce: %v", v.ID, v.Title, err, v.Expect.Nonce)
		}
	}
}

// Rows 94, 97 and 98 on key sets.
func TestVectorsOnKeySets(t *testing.T) {
	files, _ := corpus(t)
	for _, v := range all(files, kindKeySet) {
		text := []byte(v.Request.KeySet.Text.expand())
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		keys, rejected, err := jose.ParseKeySet(text, v.Request.KeySet.Waive)
		runtime.ReadMemStats(&after)
		// A set that is too large is refused unread.
		if alloc := after.TotalAlloc - before.TotalAlloc; alloc > maxAllocated {
			t.Errorf("%s %s allocated %d bytes, at most %d", v.ID, v.Title, alloc, maxAllocated)
		}
		if v.Expect.Outcome == refuse {
			own, ok := errors.AsType[*jose.Error](err)
			if !ok || string(own.Reason) != v.Expect.Reason || len(keys) > 0 {
				t.Errorf("%s %s: %v, want %s", v.ID, v.Title, err, v.Expect.Reason)
			}
			continue
		}
		var usable []string
		for _, key := range keys {
			usable = append(usable, key.KeyID)
		}
		if err != nil || !slices.Equal(usable, v.Expect.Keys) {
			t.Errorf("%s %s: usable %q (%v, %+v), want %q", v.ID, v.Title, usable, err, rejected, v.Expect.Keys)
		}
	}
}

// Rows 80 to 89 on the resolver of claims, with the real verifier behind it.
func TestVectorsOnClaims(t *testing.T) {
	files, configurations := corpus(t)
	for _, v := range all(files, kindClaims) {
		c := configurations[v.Configuration]
		view, verifier := c.view(t), c.verifier(t)
		in := v.Request.Claims
		var asked []string
		resolver := claims.New(claims.Options{
			View: func() *trust.View { return view }, Arrays: in.Arrays,
			Verify: func(ctx context.Context, compact, issuer string, now time.Time) ([]byte, time.Time, error) {
				claims, err := verifier.Token(ctx, passport.TokenRequest{Kind: passport.ClaimsJWT, Compact: compact, Issuer: issuer, Now: now})
				return claims.Payload, claims.Expires, err
			},
			Fetch: func(_ context.Context, _ trust.IssuerPolicy, endpoint string, _ trust.AccessToken) ([]byte, error) {
				asked = append(asked, endpoint)
				answer, ok := in.Answers[endpoint]
				if !ok {
					return nil, errors.New("connection refused")
				}
				return []byte(answer), nil
			},
		})
		var got, missing []string
		found, absent := resolver.Resolve(context.Background(), in.Provider, []byte(in.Response.expand()), at)
		for _, f := range found {
			got = append(got, f.Name)
		}
		for _, a := range absent {
			missing = append(missing, a.Name)
			if a.Why == "" || strings.Contains(a.Why, "eyJ") {
				t.Errorf("%s: absent because %q", v.ID, a.Why)
			}
		}
		if !slices.Equal(got, v.Expect.Found) || !slices.Equal(missing, v.Expect.Absent) || !slices.Equal(asked, v.Expect.Asked) {
			t.Errorf("%s %s: found %q, absent %+v, asked %q; want %q, %q, %q", v.ID, v.Title, got, absent, asked, v.Expect.Found, v.Expect.Absent, v.Expect.Asked)
		}
	}
}

// Every vector is of one kind, has what its kind needs, and an id of its own.
func TestVectorsAreWhole(t *testing.T) {
	files, configurations := corpus(t)
	seen := map[string]bool{}
	for _, f := range files {
		for _, v := range f.Vectors {
			r := v.Request
			has := map[kind]bool{
				kindPassports: r.Passports != nil, kindToken: r.Token != nil, kindProof: r.Proof != nil,
				kindKeySet: r.KeySet != nil, kindClaims: r.Claims != nil, kindHTTP: r.HTTP != nil,
			}
			maps.DeleteFunc(has, func(_ kind, there bool) bool { return !there })
			if v.Kind == kindBehaviour {
				has[kindBehaviour] = true
			}
			if len(has) != 1 || !has[v.Kind] || seen[v.ID] || v.Title == "" || len(v.Rows) == 0 {
				t.Errorf("%s %q: %v", v.ID, v.Title, has)
			}
			if _, known := configurations[v.Configuration]; !known && v.Configuration != "" {
				t.Errorf("%s: no configuration %q", v.ID, v.Configuration)
			}
			seen[v.ID] = true
		}
	}
}
