package issuers

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/candignode/candignode/trust"
)

// Row 96: a rotated key is believed after one Refresh, in mode direct+quorum
// too: the witnesses are asked to look, and their answer brings what they saw.
func TestRefreshPicksUpARotatedKey(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t, "a", "b", "c")
		n.world.publish(testIssuer, "k")
		for _, name := range []trust.SiteName{"a", "b", "c"} {
			n.start(name, newMemory(), n.witnessed(name, 2))
		}
		n.everybody(90*time.Second, "k")
		n.world.publish(testIssuer, "l")
		start := time.Now()
		if !n.sites["a"].Refresh(t.Context(), testIssuer) {
			t.Error("Refresh tells of no change")
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("it took %s", took)
		}
		if got := n.sites["a"].keys(testIssuer); got != "l" {
			t.Errorf("a believes %q", got)
		}
		// The question travels on: each site that gets it has the key after its own
		// Refresh, without another fetch.
		fetched := n.world.count("b")
		n.sites["b"].Refresh(t.Context(), testIssuer)
		n.sites["c"].Refresh(t.Context(), testIssuer)
		n.everybody(0, "l")
		if got := n.world.count("b"); got != fetched {
			t.Errorf("b fetched %d times more", got-fetched)
		}
	})
}

// V055: a thousand unknown kids cause one fetch a minute, at this site and at its
// witnesses, and nobody waits for nothing.
func TestRefreshStorm(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t, "a", "b", "c")
		n.world.publish(testIssuer, "k")
		for _, name := range []trust.SiteName{"a", "b", "c"} {
			n.start(name, newMemory(), n.witnessed(name, 2))
		}
		n.everybody(90*time.Second, "k")
		before := map[trust.SiteName]int{"a": n.world.count("a"), "b": n.world.count("b"), "c": n.world.count("c")}
		for range 5 {
			var all sync.WaitGroup
			for range 200 {
				all.Go(func() {
					if n.sites["a"].Refresh(t.Context(), testIssuer) {
						t.Error("Refresh tells of a change")
					}
				})
			}
			all.Wait()
			time.Sleep(time.Second)
		}
		start := time.Now()
		n.sites["a"].Refresh(t.Context(), testIssuer)
		if took := time.Since(start); took > 0 {
			t.Errorf("a spared refresh took %s", took)
		}
		for name, count := range before {
			if got := n.world.count(name) - count; got > 1 {
				t.Errorf("%s fetched %d times", name, got)
			}
		}
		if s := n.sites["a"].Stats(); s.Refreshes != 1001 || s.RefreshesSpared == 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

// Row 50: nothing is fetched for an issuer that is not configured, whoever asks.
func TestRefreshOfAStranger(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t, "a", "b")
		n.world.publish("https://stranger.example.org", "x")
		a := n.start("a", newMemory())
		n.start("b", newMemory())
		time.Sleep(10 * time.Second)
		if a.Refresh(t.Context(), "https://stranger.example.org") {
			t.Error("Refresh tells of a change")
		}
		a.ServeSync(n.peers["b"], []byte(`{"refresh":"https://stranger.example.org"}`))
		time.Sleep(time.Second)
		if n.world.count("a") != 0 {
			t.Error("a stranger was fetched")
		}
	})
}

// A caller that goes away, or an issuer that hangs, does not hold Refresh.
func TestRefreshIsBounded(t *testing.T) {
	simulate(t, func(t *testing.T) {
		slow := slowFetcher{}
		key := newSigner("a")
		d, err := New(Options{Site: "a", Node: key.node, Key: key.private, Network: testNetwork,
			Policies: []trust.IssuerPolicy{{Issuer: testIssuer, Mode: trust.ModeDirect}}, Store: newMemory(), Fetcher: slow})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- d.Run(ctx) }()
		start := time.Now()
		if d.Refresh(t.Context(), testIssuer) || time.Since(start) != refreshWait {
			t.Errorf("it took %s", time.Since(start))
		}
		gone, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		start = time.Now()
		if d.Refresh(gone, testIssuer) || time.Since(start) > time.Second {
			t.Errorf("it took %s", time.Since(start))
		}
		cancel()
		synctest.Wait()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if d.Refresh(t.Context(), testIssuer) {
			t.Error("a desk that has ended refreshes")
		}
		if err := d.Run(t.Context()); err == nil {
			t.Error("Run ran twice")
		}
	})
}

type slowFetcher struct{}

func (slowFetcher) Fetch(ctx context.Context, _ trust.IssuerPolicy, _ Validators) (Fetched, error) {
	<-ctx.Done()
	return Fetched{}, ctx.Err()
}
