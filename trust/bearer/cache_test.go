package bearer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/bearer"
	"github.com/candignode/candignode/trust/jose"
	"github.com/candignode/candignode/trust/passport"
	"github.com/candignode/candignode/trust/passport/passporttest"
)

// An answer is remembered for some minutes and no longer than anything in it holds;
// rows 61 and 69.
func TestHowLongAnAnswerIsRemembered(t *testing.T) {
	for name, c := range map[string]struct {
		issuer string
		token  time.Duration
		answer object // of UserInfo or introspection
		want   time.Duration
	}{
		"a short while":                 {providerURL, time.Hour, object{"sub": "researcher"}, 5 * time.Minute},
		"until the token's end":         {providerURL, 2 * time.Minute, object{"sub": "researcher"}, 2 * time.Minute},
		"until the answer's end":        {providerURL, time.Hour, object{"sub": "researcher", "exp": now.Add(time.Minute).Unix()}, time.Minute},
		"until what introspection says": {introURL, time.Hour, active(object{"exp": now.Add(3 * time.Minute).Unix()}), 3 * time.Minute},
		"opaque, with no end":           {opaqueURL, 0, object{"sub": "researcher"}, 5 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.says(c.answer)
			w.tells(c.answer)
			token := "opaque"
			if c.issuer != opaqueURL {
				token = w.token(c.issuer, func(a *passporttest.AccessTokenClaims) { a.Expires = now.Add(c.token) })
			}
			if c.issuer == introURL {
				w.userInfo = nil
			}
			p := bearer.Presented{Token: trust.NewAccessToken(token)}
			for _, at := range []time.Duration{0, time.Second, c.want - time.Second} {
				if got, err := w.at(now.Add(at), p); err != nil || got.Subject != "researcher" {
					t.Fatalf("after %v: %+v %v", at, got, err)
				}
			}
			before := len(w.asked)
			w.says(object{"sub": "researcher"})
			w.tells(active(object{"active": false}))
			_, err := w.at(now.Add(c.want), p)
			asked := len(w.asked) - before
			if expired := c.token == c.want; expired && err == nil || !expired && asked == 0 {
				t.Errorf("after %v: asked %d times, %v", c.want, asked, err)
			}
			if c.issuer == introURL && err == nil {
				t.Error("an answer outlived what introspection says")
			}
		})
	}
}

// Row 84 and the issuer's own outage: who cannot be asked is no reason to let anybody
// in, nor to forget what still holds. The web tells the two apart.
func TestOutage(t *testing.T) {
	w := newWorld(t)
	w.says(object{"sub": "researcher", "ga4gh_passport_v1": []string{"v1"}})
	known, fresh := w.token(providerURL), w.token(providerURL)
	w.want(known)
	w.userInfo = func(context.Context, string, string) (bearer.Document, error) {
		return bearer.Document{}, fmt.Errorf("no route to host: %w", bearer.ErrUnavailable)
	}
	w.want(known)
	for range 3 {
		c, err := w.show(fresh)
		if !errors.Is(err, bearer.ErrUnavailable) || c.Issuer != "" {
			t.Errorf("%+v %v", c, err)
		}
		if _, ok := errors.AsType[*passport.Refusal](err); ok {
			t.Error("an outage is told as the token's fault")
		}
		if strings.Contains(err.Error(), fresh) || strings.Contains(w.log.String(), fresh) {
			t.Error("a token was told")
		}
	}
	if n := w.count("userinfo"); n != 2 {
		t.Errorf("asked %d times", n)
	}
	// An error of no kind is an outage too.
	w.userInfo = func(context.Context, string, string) (bearer.Document, error) {
		return bearer.Document{}, errors.New("odd")
	}
	if _, err := w.show(w.token(providerURL)); !errors.Is(err, bearer.ErrUnavailable) {
		t.Error(err)
	}
	w.says(object{"sub": "researcher"})
	if _, err := w.at(now.Add(10*time.Second), bearer.Presented{Token: trust.NewAccessToken(fresh)}); err != nil {
		t.Errorf("after the outage: %v", err)
	}
	// What was remembered ends all the same.
	w.userInfo = func(context.Context, string, string) (bearer.Document, error) {
		return bearer.Document{}, bearer.ErrUnavailable
	}
	if _, err := w.at(now.Add(5*time.Minute), bearer.Presented{Token: trust.NewAccessToken(known)}); !errors.Is(err, bearer.ErrUnavailable) {
		t.Errorf("after five minutes: %v", err)
	}
}

// A refused token is refused again without asking, for a short while.
func TestRefusedTokenIsNotAskedAgain(t *testing.T) {
	w := newWorld(t)
	w.userInfo = func(context.Context, string, string) (bearer.Document, error) {
		return bearer.Document{}, bearer.ErrRefused
	}
	token := w.token(providerURL)
	for range 5 {
		w.wantRefusal(trust.ReasonRevoked, token)
	}
	if n := w.count("userinfo"); n != 1 {
		t.Errorf("asked %d times", n)
	}
	w.says(object{"sub": "researcher"})
	p := bearer.Presented{Token: trust.NewAccessToken(token)}
	if _, err := w.at(now.Add(29*time.Second), p); err == nil {
		t.Error("forgotten too soon")
	}
	if _, err := w.at(now.Add(30*time.Second), p); err != nil {
		t.Error(err)
	}
	// Each who is told may do with the error what he likes.
	w.userInfo = func(context.Context, string, string) (bearer.Document, error) {
		return bearer.Document{}, bearer.ErrRefused
	}
	other := w.token(providerURL)
	_, first := w.show(other)
	refusal, _ := errors.AsType[*passport.Refusal](first)
	refusal.Detail, refusal.Reason = "changed", "changed"
	w.wantRefusal(trust.ReasonRevoked, other)
}

// Row 62: what this site revokes ends at once, also what is remembered.
func TestRevoked(t *testing.T) {
	researcher := trust.Identity{Issuer: brokerURL, Subject: "researcher"}
	for name, c := range map[string]func(token string, key string) (hit, miss trust.Revocation){
		"token": func(token, _ string) (trust.Revocation, trust.Revocation) {
			return trust.Revocation{Kind: trust.RevokeToken, Token: trust.DigestOfString(token)}, trust.Revocation{Kind: trust.RevokeToken, Token: trust.DigestOfString("other")}
		},
		// The token that was revoked is the same with the other signature that ES256 allows.
		"twin": func(token, _ string) (trust.Revocation, trust.Revocation) {
			twin, ok := jose.Twin(token)
			if !ok {
				t.Error("this test needs a broker that signs ES256")
			}
			return trust.Revocation{Kind: trust.RevokeToken, Token: twin}, trust.Revocation{Kind: trust.RevokeToken, Token: trust.DigestOfString("other")}
		},
		"jti": func(string, string) (trust.Revocation, trust.Revocation) {
			return trust.Revocation{Kind: trust.RevokeJTI, JTI: "token-1"}, trust.Revocation{Kind: trust.RevokeJTI, Issuer: providerURL, JTI: "token-1"}
		},
		"identity": func(string, string) (trust.Revocation, trust.Revocation) {
			return trust.Revocation{Kind: trust.RevokeIdentity, Issuer: researcher.Issuer, Subject: researcher.Subject}, trust.Revocation{Kind: trust.RevokeIdentity, Issuer: providerURL, Subject: "researcher"}
		},
		"issuer": func(string, string) (trust.Revocation, trust.Revocation) {
			return trust.Revocation{Kind: trust.RevokeIssuer, Issuer: brokerURL}, trust.Revocation{Kind: trust.RevokeIssuer, Issuer: providerURL}
		},
		"key": func(_, key string) (trust.Revocation, trust.Revocation) {
			return trust.Revocation{Kind: trust.RevokeKey, Key: key}, trust.Revocation{Kind: trust.RevokeKey, Key: "other"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.gives()
			token := w.token(brokerURL)
			hit, miss := c(token, w.issuers[brokerURL].Keys()[0].Thumbprint)
			w.want(token)
			if _, err := w.passportFor(token, peer, now); err != nil {
				t.Fatal(err)
			}
			w.revoke(miss)
			w.want(token)
			w.revoke(miss, hit)
			asked := len(w.asked)
			w.wantRefusal(trust.ReasonRevoked, token)
			if compact, err := w.passportFor(token, peer, now); err == nil {
				t.Errorf("a passport for a peer: %s", compact[:8])
			}
			if len(w.asked) != asked {
				t.Error("a revoked token was sent to its issuer")
			}
			w.revoke(miss)
			w.want(token)
		})
	}
	// An opaque token that is revoked, or whose issuer is, goes nowhere at all.
	for _, one := range []trust.Revocation{{Kind: trust.RevokeToken, Token: trust.DigestOfString("opaque")}, {Kind: trust.RevokeIssuer, Issuer: opaqueURL}} {
		w := newWorld(t)
		w.says(object{"sub": "researcher"})
		w.revoke(one)
		w.wantRefusal(trust.ReasonRevoked, "opaque")
		if len(w.asked) != 0 {
			t.Errorf("asked %v", w.asked)
		}
	}
	// By what introspection says of an opaque token, too.
	w := newWorld(t)
	w.policy(opaqueURL, func(p *trust.IssuerPolicy) { p.Tokens = trust.WayIntrospection })
	w.tells(active(object{"iss": opaqueURL, "aud": nil, "jti": "told"}))
	w.want("opaque")
	w.revoke(trust.Revocation{Kind: trust.RevokeJTI, Issuer: opaqueURL, JTI: "told"})
	w.wantRefusal(trust.ReasonRevoked, "opaque")
	w.revoke(trust.Revocation{Kind: trust.RevokeIdentity, Issuer: opaqueURL, Subject: "researcher"})
	w.wantRefusal(trust.ReasonRevoked, "opaque")
}

// What is withdrawn while an issuer is being asked does not get through with the answer.
func TestWithdrawnMeanwhile(t *testing.T) {
	for name, withdraw := range map[string]func(w *world, token string){
		"token": func(w *world, token string) {
			w.revoke(trust.Revocation{Kind: trust.RevokeToken, Token: trust.DigestOfString(token)})
		},
		"issuer": func(w *world, _ string) {
			w.policy(brokerURL, func(p *trust.IssuerPolicy) { p.Tokens = trust.WayNone })
		},
		"key": func(w *world, _ string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			view := *w.view
			iv := view.Issuers[brokerURL]
			iv.Keys = nil
			view.Issuers = map[string]trust.IssuerView{brokerURL: iv}
			view.Revision++
			w.view = &view
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.gives()
			token := w.token(brokerURL)
			gives := w.exchange
			w.exchange = func(ctx context.Context, issuer, text, resource string) (bearer.Exchanged, error) {
				withdraw(w, token)
				return gives(ctx, issuer, text, resource)
			}
			if c, err := w.show(token); err == nil {
				t.Errorf("%+v", c)
			}
		})
	}
}

// Row 61: an answer belongs to one configuration. What an issuer may no longer give is
// asked anew.
func TestNewViewIsANewQuestion(t *testing.T) {
	w := newWorld(t)
	w.says(object{"sub": "researcher", "ga4gh_passport_v1": []string{"v1"}})
	token := w.token(providerURL)
	if c := w.want(token); len(visasOf(c, trust.KindPassport)) != 1 {
		t.Errorf("%+v", c)
	}
	w.policy(providerURL, func(p *trust.IssuerPolicy) { p.Kinds = []trust.Kind{trust.KindLogin} })
	if c := w.want(token); !onlyLogin(c) {
		t.Errorf("%+v", c)
	}
	w.policy(providerURL, func(p *trust.IssuerPolicy) { p.Kinds = []trust.Kind{trust.KindClaims} })
	w.wantRefusal(trust.ReasonUntrustedIssuer, token)
}

// What one caller does with his credentials changes nobody else's.
func TestNothingIsShared(t *testing.T) {
	w := newWorld(t)
	w.says(object{"sub": "researcher", "ga4gh_passport_v1": []string{"v1"}, "_claim_names": object{"x": "s"}})
	token := w.token(providerURL)
	c := w.want(token)
	c.Sets[0].Visas[0] = trust.NewPassport("forged")
	c.Sets[0].Subject, c.Absent[0].Name = "forged", "forged"
	again := w.want(token)
	if again.Sets[0].Visas[0].Compact() != "v1" || again.Sets[0].Subject != "researcher" || again.Absent[0].Name != "x" {
		t.Errorf("%+v", again)
	}
	w.gives()
	token = w.token(brokerURL)
	w.want(token).Passports[0] = "forged"
	if w.want(token).Passports[0] == "forged" {
		t.Error("a passport was changed from outside")
	}
}

// Many who show the same token at once ask its issuer once; one who gives up does not
// take the answer from the others.
func TestSameTokenIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.userInfo = func(ctx context.Context, _, _ string) (bearer.Document, error) {
			select {
			case <-time.After(time.Second):
				return answer(object{"sub": "researcher"})
			case <-ctx.Done():
				return bearer.Document{}, bearer.ErrUnavailable
			}
		}
		p := bearer.Presented{Token: trust.NewAccessToken(w.token(providerURL))}
		impatient, cancel := context.WithCancel(context.Background())
		var all sync.WaitGroup
		var got atomic.Int32
		all.Go(func() {
			if _, err := w.desk.Credentials(impatient, p, now); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
		synctest.Wait()
		for range 30 {
			all.Go(func() {
				if c, err := w.desk.Credentials(context.Background(), p, now); err == nil && c.Subject == "researcher" {
					got.Add(1)
				}
			})
		}
		synctest.Wait()
		cancel()
		all.Wait()
		if got.Load() != 30 || w.count("userinfo") != 1 {
			t.Errorf("%d were answered, %d questions", got.Load(), w.count("userinfo"))
		}
		if _, err := w.desk.Credentials(impatient, bearer.Presented{Token: trust.NewAccessToken("opaque")}, now); !errors.Is(err, context.Canceled) {
			t.Errorf("somebody who has gone away got %v", err)
		}
	})
}

// An issuer that never answers is given up on, and takes no place from another, however
// many tokens of its own wait.
func TestSlowIssuerHoldsUpNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.gives()
		w.userInfo = func(ctx context.Context, _, _ string) (bearer.Document, error) {
			<-ctx.Done()
			return bearer.Document{}, ctx.Err()
		}
		var all sync.WaitGroup
		start := time.Now()
		for i := range 200 {
			all.Go(func() {
				if _, err := w.show(fmt.Sprint("opaque-", i)); !errors.Is(err, bearer.ErrUnavailable) {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if n := w.count("userinfo"); n != 64 {
			t.Errorf("%d questions at once", n)
		}
		w.want(w.token(brokerURL))
		if took := time.Since(start); took != 0 {
			t.Errorf("another issuer's token took %v", took)
		}
		all.Wait()
		if took := time.Since(start); took > 21*time.Second {
			t.Errorf("gave up after %v", took)
		}
	})
}

// The memory is bounded: in entries, and in bytes whatever the issuers send.
func TestMemoryIsBounded(t *testing.T) {
	w := newWorld(t, func(o *bearer.Options) { o.CacheEntries = 3 })
	w.says(object{"sub": "researcher"})
	show := func(from, to int) (asked int) {
		before := len(w.asked)
		for i := from; i < to; i++ {
			w.want(fmt.Sprint("opaque-", i))
		}
		return len(w.asked) - before
	}
	if n := show(0, 3); n != 3 {
		t.Errorf("asked %d", n)
	}
	if n := show(0, 3); n != 0 {
		t.Errorf("asked %d for what is remembered", n)
	}
	if n := show(3, 4) + show(1, 4) + show(0, 1); n != 2 {
		t.Errorf("asked %d: what was used longest ago is forgotten first", n)
	}
	w.want("opaque-2") // used just now, so the next two leave it
	if n := show(10, 11) + show(2, 3) + show(11, 12) + show(2, 3); n != 2 {
		t.Errorf("asked %d: what is used stays", n)
	}
	show(0, 1)
	// Refused ones do not push out good ones.
	for i := range 10 {
		w.wantRefusal(trust.ReasonSession, fmt.Sprint("cgs_", i))
	}
	w.userInfo = func(context.Context, string, string) (bearer.Document, error) {
		return bearer.Document{}, bearer.ErrRefused
	}
	for i := range 10 {
		w.wantRefusal(trust.ReasonRevoked, fmt.Sprint("rubbish-", i))
	}
	if n := show(0, 1); n != 0 {
		t.Error("rubbish pushed out a good answer")
	}

	w = newWorld(t, func(o *bearer.Options) { o.CacheBytes = 100_000 })
	w.says(object{"sub": "researcher", "ga4gh_passport_v1": []string{strings.Repeat("v", 30_000)}})
	if n := show(0, 2); n != 2 {
		t.Errorf("asked %d", n)
	}
	if n := show(1, 2); n != 0 {
		t.Errorf("asked %d for what is remembered", n)
	}
	if n := show(0, 1); n != 1 {
		t.Error("more bytes are remembered than allowed")
	}
	w.says(object{"sub": "researcher", "ga4gh_passport_v1": []string{strings.Repeat("v", 90_000)}})
	if n := show(5, 6) + show(5, 6); n != 2 {
		t.Error("what is larger than the memory is remembered")
	}
}

// A clock that is set back revives nothing (V044).
func TestClockIsSetBack(t *testing.T) {
	w := newWorld(t)
	w.says(object{"sub": "researcher"})
	p := bearer.Presented{Token: trust.NewAccessToken(w.token(providerURL))}
	if _, err := w.at(now, p); err != nil {
		t.Fatal(err)
	}
	if _, err := w.at(now.Add(2*time.Hour), p); err == nil {
		t.Error("an expired token was taken")
	}
	if _, err := w.at(now, p); err == nil {
		t.Error("an expired token is good again")
	}
	w = newWorld(t)
	w.policy(opaqueURL, func(p *trust.IssuerPolicy) { p.Tokens = trust.WayIntrospection })
	w.tells(active(object{"iss": opaqueURL, "aud": nil}))
	p = bearer.Presented{Token: trust.NewAccessToken("opaque")}
	if _, err := w.at(now.Add(10*time.Minute), bearer.Presented{Token: trust.NewAccessToken("another")}); err == nil {
		t.Error("an expired token was taken")
	}
	if _, err := w.at(now, p); err == nil {
		t.Error("an expired token is good again")
	}
}
