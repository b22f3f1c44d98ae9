package simulate_test

import (
	"errors"
	"testing"
	"time"

	"github.com/candignode/candignode/api"
	"github.com/candignode/candignode/simulate"
	"github.com/candignode/candignode/trust"
)

// until asks again until done says so: other parts of the process bring it about.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(30 * time.Second); ; {
		if done() {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%s did not happen within 30 s", what)
		case <-tick.C:
		}
	}
}

// A rotated key works everywhere within one poll; a withdrawn key stops
// everywhere, cached tokens included.
func TestARotatedKeyWorksAndAWithdrawnOneStopsEverywhere(t *testing.T) {
	f, q := startDemo(t)
	answers := func(at trust.SiteName, token string) (map[string]api.Site, error) {
		q := q
		q.Passports = []string{token}
		answer, err := f.Client(at).Query(t.Context(), q, nil)
		parts := map[string]api.Site{}
		for _, s := range answer.Sites {
			parts[s.Site] = s
		}
		return parts, err
	}
	everywhere := func(parts map[string]api.Site) bool {
		return parts["uhn"].Status == "ok" && parts["bcgsc"].Status == "ok" && parts["chus"].Status == "ok"
	}
	all := []trust.SiteName{"uhn", "bcgsc", "chus"}
	old := passportFor(t, f, "uhn", all...)
	if parts, err := answers("uhn", old); err != nil || !everywhere(parts) {
		t.Fatal(parts, err)
	}

	// RS256 gives way to ES256 (row 96: picked up within one question, by asking
	// the issuer and the witnesses at once).
	if err := f.Issuers.Rotate(simulate.Broker); err != nil {
		t.Fatal(err)
	}
	rotated := passportFor(t, f, "uhn", all...)
	until(t, "the rotated key working at every site", func() bool {
		parts, err := answers("uhn", rotated)
		return err == nil && everywhere(parts)
	})
	if parts, err := answers("uhn", old); err != nil || !everywhere(parts) {
		t.Error("the older key is still published, so it still counts:", parts, err)
	}

	// Both passports are remembered everywhere now. The newer key is withdrawn.
	if err := f.Issuers.Withdraw(simulate.Broker); err != nil {
		t.Fatal(err)
	}
	until(t, "the withdrawn key stopping at uhn", func() bool {
		_, err := answers("uhn", rotated)
		var refused *api.Problem
		return errors.As(err, &refused) && refused.Reason == string(trust.ReasonUnknownKey)
	})
	if parts, err := answers("uhn", old); err != nil || !everywhere(parts) {
		t.Error("the key that was not withdrawn stopped too:", parts, err)
	}

	// The committee's key: the visas die, the passport lives.
	if err := f.Issuers.Withdraw(simulate.DAC); err != nil {
		t.Fatal(err)
	}
	// An empty key set is a fetch that failed: the last good set counts until it is
	// stale. With a new key beside it the old one is gone.
	if err := f.Issuers.Rotate(simulate.DAC); err != nil {
		t.Fatal(err)
	}
	until(t, "the committee's withdrawn key stopping at every site", func() bool {
		parts, err := answers("uhn", old)
		return err == nil && parts["uhn"].Status == "denied" && parts["bcgsc"].Status == "denied" && parts["chus"].Status == "denied"
	})
}
