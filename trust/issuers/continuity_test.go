package issuers

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
)

// careful is the policy of a site that watches whether key sets continue each other.
func careful(n *network, name trust.SiteName) trust.IssuerPolicy {
	p := n.witnessed(name, 2)
	p.NoContinuity = false
	return p
}

// Threat: total key replacement. A set that shares no key with the one before is believed by nobody until
// most witnesses have seen it for a day; a key that merely joins the others is believed at once.
func TestTotalKeyReplacementIsHeldBackForADay(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t, "a", "b", "c", "d")
		n.world.publish(testIssuer, "k")
		for _, name := range []trust.SiteName{"a", "b", "c", "d"} {
			n.start(name, newMemory(), careful(n, name))
		}
		n.everybody(time.Minute, "k")
		n.world.publish(testIssuer, "k", "l")
		n.everybody(2*DefaultPoll, "k l")
		n.world.publish(testIssuer, "l", "m")
		n.everybody(2*DefaultPoll, "l m")
		n.world.publish(testIssuer, "forged")
		n.everybody(2*DefaultPoll, "")
		a := n.sites["a"]
		if !a.alarmed(AlarmContinuity) {
			t.Errorf("alarms %+v", a.Alarms())
		}
		e, err := a.Explain(testIssuer)
		if err != nil || !strings.Contains(e.Keys[0].Why, "none of the keys that were believed before") {
			t.Errorf("%+v, %v", e.Keys, err)
		}
		// A restart does not forget what waits, and since when.
		a.halt(t)
		n.start("a", a.store, careful(n, "a"))
		n.everybody(22*time.Hour, "")
		n.everybody(3*time.Hour, "forged")
		if n.sites["a"].alarmed(AlarmContinuity) {
			t.Error("the alarm outlives its cause")
		}
	})
}

// The operator's word ends the wait at once, for the very set that he looked at and no other.
func TestTheOperatorConfirmsAKeySet(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t, "a")
		n.world.publish(testIssuer, "k")
		p := trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeDirect}
		a := n.start("a", newMemory(), p)
		n.everybody(time.Minute, "k")
		if err := a.ConfirmKeys(t.Context(), testIssuer); !errors.Is(err, ErrNothingHeld) {
			t.Errorf("%v", err)
		}
		n.world.publish(testIssuer, "l")
		n.everybody(2*DefaultPoll, "")
		if err := a.ConfirmKeys(t.Context(), testIssuer); err != nil {
			t.Fatal(err)
		}
		n.everybody(time.Second, "l")
		if a.store.outcomes()[outcomeConfirmed] != 1 {
			t.Errorf("audit: %v", a.store.outcomes())
		}
		n.world.publish(testIssuer, "m")
		n.everybody(2*DefaultPoll, "")
		// Without witnesses nobody but the operator confirms: a day alone is not enough.
		n.everybody(30*time.Hour, "")
		// And back to what was believed: nothing is held any more.
		n.world.publish(testIssuer, "l")
		n.everybody(2*DefaultPoll, "l")
		if a.alarmed(AlarmContinuity) {
			t.Error("the alarm outlives its cause")
		}
	})
}

// Threat: one hijacked vantage. Witnesses of one group have one vote, however many they are.
func TestAGroupOfWitnessesHasOneVote(t *testing.T) {
	p := quorumPolicy(2, "b", "c", "d")
	p.Groups = map[trust.SiteName]string{"b": "canarie", "c": "canarie"}
	ev := Evidence{Self: "a", Own: ownFetch(noon, "k"), Sites: []Witness{
		sees("b", noon, p.Issuer, "k"), sees("c", noon, p.Issuer, "k"),
	}}
	if got := believed(Believe(p, ev, noon)); got != "" {
		t.Errorf("one vantage was enough for %q", got)
	}
	ev.Sites = append(ev.Sites, sees("d", noon, p.Issuer, "k"))
	if got := believed(Believe(p, ev, noon)); got != "k" {
		t.Errorf("two vantages: %q", got)
	}
	// A group cannot pass for a witness outside of it.
	p.Groups = map[trust.SiteName]string{"b": "d", "c": "d"}
	if got := needed(trust.IssuerPolicy{Witnesses: p.Witnesses, Groups: p.Groups}, "a"); got != 2 {
		t.Errorf("%d votes are needed of two vantages", got)
	}
	if got := believed(Believe(p, ev, noon)); got != "k" {
		t.Errorf("a group of another witness' name: %q", got)
	}
}
