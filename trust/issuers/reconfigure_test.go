package issuers

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/candignode/candignode/trust"
)

// Removing an issuer or a peer acts at once; adding them back starts from what
// was held, not from an older head.
func TestReconfigure(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t, "a", "b", "c")
		n.world.publish(testIssuer, "k")
		for _, name := range []trust.SiteName{"a", "b", "c"} {
			n.start(name, newMemory(), n.witnessed(name, 2))
		}
		n.everybody(time.Minute, "k")
		a, policy := n.sites["a"], n.witnessed("a", 2)
		place := a.state.Load().author("c").place()
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Error(err)
			}
		}
		must(a.Reconfigure([]trust.IssuerPolicy{policy}, pinned(map[trust.SiteName]trust.NodeID{"b": n.peers["b"]})))
		if got := a.keys(testIssuer); got != "" {
			t.Errorf("without c a believes %q", got)
		}
		must(a.Reconfigure([]trust.IssuerPolicy{policy}, pinned(n.peersOf("a"))))
		if got := a.keys(testIssuer); got != "k" || a.state.Load().author("c").place().Version < place.Version {
			t.Errorf("with c again a believes %q", got)
		}
		wrongKey := n.peersOf("a")
		wrongKey["c"] = newSigner("somebody else").node
		must(a.Reconfigure([]trust.IssuerPolicy{policy}, pinned(wrongKey)))
		if got := a.keys(testIssuer); got != "" {
			t.Errorf("with another node pinned for c a believes %q", got)
		}
		revision := a.View().Revision
		must(a.Reconfigure(nil, pinned(n.peersOf("a"))))
		if _, ok := a.View().Lookup(testIssuer); ok || a.View().Revision <= revision {
			t.Error("a removed issuer is still in the View")
		}
		if _, err := a.Explain(testIssuer); !errors.Is(err, ErrNotConfigured) {
			t.Errorf("error %v", err)
		}
		if _, ok := a.store.backup().entries[keyFetch+testIssuer]; ok {
			t.Error("a removed issuer's keys are still stored")
		}
		// A configuration that is refused changes nothing.
		must(a.Reconfigure([]trust.IssuerPolicy{policy}, pinned(n.peersOf("a"))))
		time.Sleep(time.Minute)
		for name, refused := range map[string]func() error{
			"twice":    func() error { return a.Reconfigure([]trust.IssuerPolicy{policy, policy}, pinned(n.peersOf("a"))) },
			"no name":  func() error { return a.Reconfigure([]trust.IssuerPolicy{{}}, pinned(n.peersOf("a"))) },
			"itself":   func() error { return a.Reconfigure(nil, pinned(n.peers)) },
			"one node": func() error { return a.Reconfigure(nil, pinned(map[trust.SiteName]trust.NodeID{"b": "x", "c": "x"})) },
			"manual": func() error {
				return a.Reconfigure([]trust.IssuerPolicy{{Issuer: "x", Mode: trust.ModeManual, ManualJWKS: []byte("{}")}}, nil)
			},
			"client ids": func() error {
				p := policy
				p.ClientIDs = []string{""}
				return a.Reconfigure([]trust.IssuerPolicy{p}, nil)
			},
		} {
			if err := refused(); err == nil || a.keys(testIssuer) != "k" {
				t.Errorf("%s: error %v, keys %q", name, err, a.keys(testIssuer))
			}
		}
	})
}

// A fetch that was begun under one configuration is not taken in under another.
func TestFetchOutlivesItsPolicy(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t, "a")
		n.world.publish(testIssuer, "k")
		a := n.start("a", newMemory(), trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeDirect})
		time.Sleep(10 * time.Millisecond) // the fetch takes 50
		if err := a.Reconfigure(nil, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(a.state.Load().fetches) != 0 || a.store.backup().entries[keyFetch+testIssuer] != nil {
			t.Error("keys of an issuer that was removed meanwhile are held")
		}
	})
}

// A policy that changes while its issuer is being asked is asked under at once, not
// at the next poll: the answer to the old one is thrown away.
func TestPolicyChangesDuringAFetch(t *testing.T) {
	for name, ask := range map[string]func(*site){
		"poll":    func(*site) {},
		"refresh": func(a *site) { time.Sleep(time.Minute); go a.Refresh(context.Background(), testIssuer) },
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T) {
				n := newNetwork(t, "a")
				n.world.publish(testIssuer, "k")
				p := trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeDirect, NoContinuity: true}
				a := n.start("a", newMemory(), p)
				ask(a)
				time.Sleep(10 * time.Millisecond) // the fetch takes 50
				n.world.publish(testIssuer, "l")
				p.MaxStale = time.Hour
				if err := a.Reconfigure([]trust.IssuerPolicy{p}, nil); err != nil {
					t.Fatal(err)
				}
				n.everybody(time.Second, "l")
				// And the other way about: an issuer that fails under the old policy.
				n.world.publish(testIssuer)
				p.MaxStale = 2 * time.Hour
				if err := a.Reconfigure([]trust.IssuerPolicy{p}, nil); err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Millisecond)
				p.MaxStale = 3 * time.Hour
				if err := a.Reconfigure([]trust.IssuerPolicy{p}, nil); err != nil {
					t.Fatal(err)
				}
				time.Sleep(45 * time.Millisecond)
				n.world.publish(testIssuer, "l", "m")
				n.everybody(time.Second, "l m")
			})
		})
	}
}

// Issuers that hang do not make polls pile up, however long it lasts.
func TestHangingIssuersDoNotPileUp(t *testing.T) {
	simulate(t, func(t *testing.T) {
		var policies []trust.IssuerPolicy
		for i := range 400 {
			policies = append(policies, trust.IssuerPolicy{Issuer: fmt.Sprint("https://idp.example.org/", i), Mode: trust.ModeDirect})
		}
		key := newSigner("a")
		d, err := New(Options{Site: "a", Node: key.node, Key: key.private, Network: testNetwork, Policies: policies, Store: newMemory(), Fetcher: slowFetcher{}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- d.Run(ctx) }()
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if got := runtime.NumGoroutine(); got > len(policies)+100 {
			t.Errorf("%d goroutines for %d issuers", got, len(policies))
		}
		// Each has its turn all the same.
		for _, p := range policies {
			if e, err := d.Explain(p.Issuer); err != nil || e.OwnFetch.Error == "" {
				t.Fatalf("%s was not asked: %v", p.Issuer, err)
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// Section 7: a key that becomes usable because the operator waives a rule was first
// seen when its set was fetched. It does not pass for one that was there before all.
func TestWaivedKeyIsNoOldKey(t *testing.T) {
	const copycat = "https://aaa.example.org"
	d, _, _ := lone(t)
	body, keys := jwks("k")
	odd := []byte(strings.Replace(string(body), `"use":"sig"`, `"use":"enc"`, 1))
	if string(odd) == string(body) {
		t.Fatal("the key set has no use to bend")
	}
	policies := []trust.IssuerPolicy{{Issuer: testIssuer, Mode: trust.ModeDirect}, {Issuer: copycat, Mode: trust.ModeDirect}}
	if err := d.Reconfigure(policies, nil); err != nil {
		t.Fatal(err)
	}
	if err := d.commit(t.Context(), func(next *draft) error {
		next.fetches[testIssuer] = fetchState{at: noon, since: map[string]time.Time{keys[0].Thumbprint: noon.Add(-time.Hour)},
			Fetched: Fetched{JWKSURI: "x", Sets: []Document{{Address: "x", Body: body}}, Keys: keys}}
		next.fetches[copycat] = fetchState{at: noon, since: map[string]time.Time{},
			Fetched: Fetched{JWKSURI: "y", Sets: []Document{{Address: "y", Body: odd}}}}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	policies[1].WaiveKeyUse = true
	if err := d.Reconfigure(policies, nil); err != nil {
		t.Fatal(err)
	}
	v := d.View()
	if len(v.Issuers[testIssuer].Keys) != 1 || len(v.Issuers[copycat].Keys) != 0 {
		t.Errorf("the owner has %d keys, the copycat %d", len(v.Issuers[testIssuer].Keys), len(v.Issuers[copycat].Keys))
	}
	if _, ok := d.alarm(AlarmSharedKey, copycat, ""); !ok {
		t.Errorf("alarms %+v", d.Alarms())
	}
}

// A peer that is removed at the very moment when its word is taken in weighs nothing:
// the last look is taken in turn.
func TestPeerRemovedWhileItSpeaks(t *testing.T) {
	d, p, store := lone(t)
	b, key, err := p.bundle(1, 0, 1, trust.Digest{}, nil).verify(p.pin, nil)
	if err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	changed, err := d.merge(t.Context(), p.pin, key, b.head, func(a *author) *author {
		once.Do(func() {
			if err := d.Reconfigure(nil, nil); err != nil {
				t.Error(err)
			}
		})
		return a.withBundle(p.pin, key, b)
	})
	if changed || err != nil || len(d.state.Load().authors) != 0 || store.backup().entries[keyAuthor+"p"] != nil {
		t.Errorf("changed %v, error %v, held %v", changed, err, d.state.Load().authors)
	}
}

// Reconfigure, news, polls and questions at the same moment: nobody blocks nobody,
// and what is left is what was configured last.
func TestReconfigureAmidTraffic(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t, "a", "b", "c")
		n.world.publish(testIssuer, "k")
		for _, name := range []trust.SiteName{"a", "b", "c"} {
			n.start(name, newMemory(), n.witnessed(name, 2))
		}
		n.everybody(time.Minute, "k")
		a := n.sites["a"]
		var all sync.WaitGroup
		for i := range 40 {
			p := n.witnessed("a", 2)
			p.MaxStale = time.Duration(i+1) * time.Hour
			all.Go(func() {
				if err := a.Reconfigure([]trust.IssuerPolicy{p}, pinned(n.peersOf("a"))); err != nil {
					t.Error(err)
				}
			})
			all.Go(func() { a.Refresh(t.Context(), testIssuer) })
			all.Go(func() {
				a.ServeSync(n.peers["b"], encode(syncRequest{Have: map[trust.NodeID]place{}, Refresh: testIssuer}))
			})
			all.Go(func() {
				if e, err := a.Explain(testIssuer); err != nil || e.Mode != trust.ModeDirectQuorum {
					t.Error(e, err)
				}
				_, _ = a.List(), a.Alarms()
			})
		}
		all.Wait()
		if err := a.Reconfigure([]trust.IssuerPolicy{n.witnessed("a", 2)}, pinned(n.peersOf("a"))); err != nil {
			t.Fatal(err)
		}
		n.everybody(2*time.Minute, "k")
	})
}
