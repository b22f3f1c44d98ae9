package claims_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/claims"
)

func distributed(at, token string) []byte {
	source := object{"endpoint": at}
	if token != "" {
		source["access_token"] = token
	}
	return pointing(object{"grants": "s"}, object{"s": source})
}

// Rows 82 and 83: a distributed claim is asked for at its listed endpoint, with the
// token that the provider handed on, or else the one agreed before, or none.
func TestDistributedClaim(t *testing.T) {
	w := newWorld(t, func(o *claims.Options) {
		o.Linked = func(a, b trust.Identity) (time.Time, bool) {
			return now.Add(time.Hour), a.Subject == "researcher" && b.Subject == "r"
		}
	})
	w.reply = func(_ context.Context, a asked) ([]byte, error) {
		answer := object{"grants": []string{"v"}}
		if a.token != "handed-on" {
			answer["sub"] = "r"
		}
		if a.issuer == otherURL {
			return []byte(signed(w.other, answer)), nil
		}
		return []byte(signed(w.dac, answer)), nil
	}
	w.want(distributed(endpoint, "handed-on"), "grants")
	w.want(distributed(endpoint, ""), "grants")
	w.want(distributed(otherURL+"/claims", ""), "grants")
	w.want(distributed(otherURL+"/claims", "handed-on"), "grants")
	want := []asked{
		{dacURL, endpoint, "handed-on"}, {dacURL, endpoint, ""},
		{otherURL, otherURL + "/claims", "agreed-before"}, {otherURL, otherURL + "/claims", "handed-on"},
	}
	if !slices.Equal(w.asked, want) {
		t.Errorf("%v", w.asked)
	}
}

// Row 85: a source that was asked with this node's own token, or with none, gives
// everybody the same. Unless it says whom it speaks of, that is nobody's claim.
func TestDistributedClaimOfNobodyInParticular(t *testing.T) {
	w := newWorld(t)
	w.reply = func(_ context.Context, a asked) ([]byte, error) {
		if a.issuer == otherURL {
			return []byte(signed(w.other, object{"grants": []string{"v"}})), nil
		}
		return []byte(signed(w.dac, object{"grants": []string{"v"}})), nil
	}
	w.wantAbsent(distributed(endpoint, ""), "grants")
	w.wantAbsent(distributed(otherURL+"/claims", ""), "grants")
	w.want(distributed(endpoint, "of-the-caller"), "grants")
}

// Row 82: what is no JWT of that very source is absent. Rows 83 and 84: so is what a
// source refuses to give.
func TestDistributedClaimThatIsNone(t *testing.T) {
	w := newWorld(t)
	for name, reply := range map[string]func() ([]byte, error){
		"JSON":           func() ([]byte, error) { return []byte(`{"grants":1}`), nil },
		"HTML":           func() ([]byte, error) { return []byte(`<html>`), nil },
		"nothing":        func() ([]byte, error) { return nil, nil },
		"too long":       func() ([]byte, error) { return []byte(strings.Repeat("a", 1<<20)), nil },
		"another source": func() ([]byte, error) { return []byte(signed(w.other, object{"grants": 1})), nil },
		"no iss":         func() ([]byte, error) { return []byte(signed(w.dac, object{"iss": nil, "grants": 1})), nil },
		"401":            func() ([]byte, error) { return nil, errors.New("401 for token secret-token") },
		"another user":   func() ([]byte, error) { return []byte(signed(w.dac, object{"sub": "x", "grants": 1})), nil },
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			w.reply = func(context.Context, asked) ([]byte, error) { return reply() }
			a := w.wantAbsent(distributed(endpoint, "secret-token"+strings.ReplaceAll(name, " ", "")), "grants")
			if a.Source != dacURL || strings.Contains(a.Why, "secret") {
				t.Errorf("%+v", a)
			}
		})
	}
}

// Row 87, V094: an endpoint that is not listed, exactly, is not asked, and no token
// leaves the node.
func TestUnlistedEndpoint(t *testing.T) {
	w := newWorld(t)
	for _, at := range []string{
		"https://attacker.example/claims", "https://127.0.0.1/claims", "https://169.254.169.254/latest/meta-data", "https://[::1]/",
		endpoint + "/", endpoint + "?x=1", "HTTPS://dac.example/claims", "https://DAC.example/claims", "https://dac.example:443/claims",
		"http://dac.example/claims", dacURL, "https://dac.example.attacker.example/claims", "https://dac.example@attacker.example/claims",
		"file:///etc/passwd", " " + endpoint,
	} {
		w.wantAbsent(distributed(at, "secret"), "grants")
	}
	// Nor is a listed one, for claims that are not taken from it, or without TLS.
	w.wantAbsent(pointing(object{"shoe_size": "s"}, object{"s": object{"endpoint": endpoint}}), "shoe_size")
	plain := w.view.Issuers[otherURL]
	plain.Policy.Claims.Endpoints = []string{"http://other-dac.example/claims"}
	w.view.Issuers[otherURL] = plain
	w.wantAbsent(distributed("http://other-dac.example/claims", "secret"), "grants")
	// An endpoint of an issuer that is not a source of claims, or of two, is nobody's.
	w.view.Issuers["https://idp.example"] = trust.IssuerView{Policy: trust.IssuerPolicy{
		Issuer: "https://idp.example", Kinds: []trust.Kind{trust.KindLogin}, Claims: trust.ClaimSource{Endpoints: []string{"https://idp.example/c"}, Names: []string{"grants"}},
	}}
	w.wantAbsent(distributed("https://idp.example/c", "secret"), "grants")
	twice := w.view.Issuers[otherURL]
	twice.Policy.Claims.Endpoints = []string{endpoint}
	w.view.Issuers[otherURL] = twice
	w.wantAbsent(distributed(endpoint, "secret"), "grants")
	if len(w.asked) != 0 {
		t.Errorf("asked %v", w.asked)
	}
}

// Row 84: a source that is down, or never answers, takes away its own claims only, and
// in bounded time; its absence widens nothing.
func TestOneSourceIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.reply = func(ctx context.Context, a asked) ([]byte, error) {
			if a.issuer == dacURL {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return []byte(signed(w.other, object{"other_grants": 1})), nil
		}
		payload := pointing(object{"grants": "a", "other_grants": "b"}, object{
			"a": object{"endpoint": endpoint, "access_token": "t"}, "b": object{"endpoint": otherURL + "/claims", "access_token": "t"},
		})
		start := time.Now()
		absent := w.want(payload, "other_grants")
		if took := time.Since(start); took > 6*time.Second {
			t.Errorf("took %v", took)
		}
		if len(absent) != 1 || absent[0].Name != "grants" || !absent[0].Later {
			t.Errorf("%+v", absent)
		}
		synctest.Wait()
		start = time.Now()
		w.want(payload, "other_grants")
		if took := time.Since(start); took > 0 {
			t.Errorf("a source that just failed was waited for again: %v", took)
		}
		// A caller who goes away waits no longer.
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		asked := len(w.asked)
		if found, _ := w.resolver.Resolve(ctx, op, payload, now.Add(time.Hour)); len(found) != 0 || len(w.asked) != asked {
			t.Errorf("%+v, asked %v", found, w.asked)
		}
	})
}

// Row 83: no retry storm. A question that failed is not asked again for half a minute,
// with this token; another token is another question.
func TestNoRetryStorm(t *testing.T) {
	w := newWorld(t)
	at := now
	resolve := func(token string) {
		if found, _ := w.resolver.Resolve(context.Background(), op, distributed(endpoint, token), at); len(found) != 0 {
			t.Error("found")
		}
	}
	for range 50 {
		resolve("one")
	}
	if len(w.asked) != 1 {
		t.Errorf("asked %d times", len(w.asked))
	}
	resolve("two")
	if len(w.asked) != 2 {
		t.Errorf("asked %d times", len(w.asked))
	}
	at = now.Add(30 * time.Second)
	resolve("one")
	if len(w.asked) != 3 {
		t.Errorf("asked %d times after half a minute", len(w.asked))
	}
	// The memory for failures is bounded, and forgets the oldest.
	for i := range 5000 {
		resolve("t" + strconv.Itoa(i))
	}
	n := len(w.asked)
	resolve("one")
	if len(w.asked) != n+1 {
		t.Error("the oldest failure was not forgotten")
	}
}

// Many who wait for the same answer ask once, and one who gives up does not take it
// from the others.
func TestSameQuestionIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.reply = func(ctx context.Context, _ asked) ([]byte, error) {
			select {
			case <-time.After(time.Second):
				return []byte(signed(w.dac, object{"grants": 1})), nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		impatient, cancel := context.WithCancel(context.Background())
		var all sync.WaitGroup
		var got atomic.Int32
		all.Go(func() {
			if found, _ := w.resolver.Resolve(impatient, op, distributed(endpoint, "t"), now); len(found) != 0 {
				t.Error("found after giving up")
			}
		})
		synctest.Wait()
		for range 20 {
			all.Go(func() {
				found, _ := w.resolver.Resolve(context.Background(), op, distributed(endpoint, "t"), now)
				got.Add(int32(len(found)))
			})
		}
		synctest.Wait()
		cancel()
		all.Wait()
		if got.Load() != 20 || len(w.asked) != 1 {
			t.Errorf("%d found, %d asked", got.Load(), len(w.asked))
		}
	})
}

// The order of what is found does not depend on who answers first.
func TestOrderIsTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *claims.Options) { o.Arrays = true })
		slow := dacURL
		w.reply = func(_ context.Context, a asked) ([]byte, error) {
			if a.issuer == slow {
				time.Sleep(time.Second)
			}
			if a.issuer == dacURL {
				return []byte(signed(w.dac, object{"grants": 1, "terms": 1})), nil
			}
			return []byte(signed(w.other, object{"grants": 1, "other_grants": 1})), nil
		}
		payload := pointing(object{"grants": []string{"b", "a"}, "terms": "a", "other_grants": "b"}, object{
			"a": object{"endpoint": endpoint, "access_token": "t"}, "b": object{"endpoint": otherURL + "/claims", "access_token": "t"},
		})
		first, _ := w.resolve(payload)
		slow = otherURL
		second, _ := w.resolve(payload)
		same := slices.EqualFunc(first, second, func(a, b claims.Found) bool { return a.Name == b.Name && a.Source == b.Source })
		if !same || len(first) != 4 || first[0].Source != dacURL {
			t.Errorf("%+v\n%+v", first, second)
		}
	})
}
