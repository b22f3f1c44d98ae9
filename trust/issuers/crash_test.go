package issuers

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/candignode/candignode/trust"
)

var errDisk = errors.New("no space left on device")

// CrashSafe: whichever write fails, and for good, memory and disk agree on what
// was accepted: a node that starts from the disk holds what the running one held,
// and no author's place is shown that was not written.
func TestCrashAtEveryWrite(t *testing.T) {
	for failing := 1; failing <= 12; failing++ {
		t.Run(fmt.Sprint("write ", failing), func(t *testing.T) {
			simulate(t, func(t *testing.T) {
				n := newNetwork(t, "a", "b", "c")
				n.world.publish(testIssuer, "k")
				store := newMemory()
				store.setFail(func(map[string][]byte) error {
					if store.writes >= failing+1 { // the first is New's own
						return errDisk
					}
					return nil
				})
				a := n.start("a", store, n.witnessed("a", 2))
				n.start("b", newMemory(), n.witnessed("b", 2))
				n.start("c", newMemory(), n.witnessed("c", 2))
				time.Sleep(30 * time.Second)
				synctest.Wait()
				running := a.state.Load()
				a.halt(t)
				store.setFail(nil)
				again := n.start("a", store, n.witnessed("a", 2))
				restored := again.state.Load()
				for site, p := range running.have() {
					if got := restored.have()[site]; got != p {
						t.Errorf("%s: disk %+v, memory %+v", site, got, p)
					}
				}
				if believed(running.beliefs[testIssuer]) != believed(restored.beliefs[testIssuer]) || restored.revision < running.revision {
					t.Errorf("disk believes %q at %d, memory %q at %d", believed(restored.beliefs[testIssuer]), restored.revision, believed(running.beliefs[testIssuer]), running.revision)
				}
				n.everybody(time.Minute, "k") // and it gets over it
				for name, s := range n.sites {
					if p := s.state.Load().author("a"); name != "a" && (p.forked() || p.epoch() != 1) {
						t.Errorf("%s holds %+v of a", name, p.place())
					}
				}
			})
		})
	}
}

// A withdrawal that cannot be written takes effect all the same; a new key that
// cannot be written does not. Neither is lost to the audit log.
func TestDiskFull(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t, "a")
		n.world.publish(testIssuer, "k", "l")
		other := trust.IssuerPolicy{Issuer: "https://other.example.org", Mode: trust.ModeDirect}
		n.world.publish(other.Issuer, "o")
		a := n.start("a", newMemory(), trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeDirect}, other)
		n.everybody(time.Second, "k l")
		revision := a.View().Revision
		a.store.setFail(func(entries map[string][]byte) error {
			if _, ok := entries[keyFetch+other.Issuer]; ok && len(entries) == 1 {
				return nil // this issuer changes nothing, and can be written
			}
			return errDisk
		})
		n.world.publish(testIssuer, "k", "m")
		n.everybody(DefaultPoll+time.Second, "k")
		if !a.alarmed(AlarmWithheld) || a.View().Revision <= revision {
			t.Errorf("revision %d, alarms %+v", a.View().Revision, a.Alarms())
		}
		if a.store.outcomes()[outcomeWithdrawn] != 0 {
			t.Error("the test's disk is not full")
		}
		n.everybody(2*DefaultPoll, "k")
		a.store.setFail(nil)
		n.everybody(DefaultPoll+time.Second, "k m")
		if got := a.store.outcomes(); got[outcomeWithdrawn] != 1 || got[outcomeBelieved] != 4 || a.alarmed(AlarmWithheld) {
			t.Errorf("audit %v, alarms %+v", got, a.Alarms())
		}
	})
}

// What the store holds must be this node's; evidence of others that is broken is
// left out and comes back by gossip.
func TestBrokenStore(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t, "a", "b", "c")
		n.world.publish(testIssuer, "k")
		for _, name := range []trust.SiteName{"a", "b", "c"} {
			n.start(name, newMemory(), n.witnessed(name, 2))
		}
		n.everybody(time.Minute, "k")
		a := n.sites["a"]
		a.halt(t)
		open := func(store *memory) error {
			_, err := New(Options{Site: "a", Node: a.signer.node, Key: a.private, Network: testNetwork, Store: store, Fetcher: window{n.world, "a"}})
			return err
		}
		for key, value := range map[string]string{
			keyOwn: strings.Replace(string(n.sites["a"].store.backup().entries[keyOwn]), `"head":"ey`, `"head":"ex`, 1), keyFloor: `"x"`, keyRevision: `-`, keySaid: `[]`, keyFetch + testIssuer: `{"at":"x"}`,
		} {
			store := a.store.backup()
			store.entries[key] = []byte(value)
			if err := open(store); err == nil || !strings.Contains(err.Error(), "backup") {
				t.Errorf("%s: error %v", key, err)
			}
		}
		store := a.store.backup()
		store.entries[keyAuthor+"b"] = []byte(strings.Replace(string(store.entries[keyAuthor+"b"]), `"head":"ey`, `"head":"ex`, 1))
		again := n.start("a", store, n.witnessed("a", 2))
		if !again.alarmed(AlarmLostEvidence) || again.keys(testIssuer) != "" {
			t.Errorf("it believes %q, alarms %+v", again.keys(testIssuer), again.Alarms())
		}
		n.everybody(time.Minute, "k")
		failing := newMemory()
		failing.setFail(func(map[string][]byte) error { return errDisk })
		if err := open(failing); !errors.Is(err, errDisk) {
			t.Errorf("error %v", err)
		}
	})
}
