package issuers

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/candignode/candignode/trust"
)

// One network under a random sequence of faults and lies: keys rotate, sites are cut off,
// crash, run with full disks, come back from old backups and see forged keys, as far
// as one of them does; one witness and one other peer say whatever they like, and a relay
// plays back, bends and mixes what was signed. At every step the invariants of section 13
// hold at every running site; when all is well again, all agree.
//
// simulate/protocol plays more of the protocol, by more seeds, from outside; this looks inside.
func TestSimulation(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			simulate(t, func(t *testing.T) { newSimulation(t, seed).run(40) })
		})
	}
}

type simulation struct {
	*network
	random  *rand.Rand
	names   []trust.SiteName // the honest
	genuine map[string]bool  // every key the issuer ever published
	serial  int
	current []string
	places  map[trust.SiteName]map[trust.NodeID]place // held by, of
	backups map[trust.SiteName]*memory

	// The liars: e is a witness of the test's issuer, s a peer that is none.
	witness, member *liar
	archive         []wireBundle // all that anybody ever signed: a relay has it
	kept            map[trust.Digest]bool
}

func newSimulation(t *testing.T, seed uint64) *simulation {
	s := &simulation{random: rand.New(rand.NewPCG(seed, 7)), names: []trust.SiteName{"a", "b", "c", "d"}, genuine: map[string]bool{},
		places: map[trust.SiteName]map[trust.NodeID]place{}, backups: map[trust.SiteName]*memory{}, kept: map[trust.Digest]bool{},
		witness: &liar{signer: newSigner("e"), epoch: 1}, member: &liar{signer: newSigner("s"), epoch: 1}}
	s.network = newNetwork(t, "a", "b", "c", "d", "e", "s")
	s.world.home = "site-of-a"
	s.world.publish(otherIssuer, "other-key")
	s.rotate()
	for _, name := range s.names {
		s.begin(name, newMemory())
		s.places[name] = map[trust.NodeID]place{}
	}
	return s
}

// begin starts an honest site: a is the issuer's bound home, e a witness that lies, s a peer that
// is no witness. d knows one issuer only.
func (s *simulation) begin(name trust.SiteName, store *memory) {
	s.t.Helper()
	peers := pinned(s.peersOf(name))
	if a, ok := peers["a"]; ok {
		a.Recorded, a.Site, a.Issuers = true, "site-of-a", []string{testIssuer}
		peers["a"] = a
	}
	p := s.witnessed(name, 2)
	p.Home, p.MaxStale = "a", 2*time.Hour
	p.Witnesses = slices.DeleteFunc(p.Witnesses, func(n trust.SiteName) bool { return n == "s" })
	policies := []trust.IssuerPolicy{p}
	if name != "d" {
		other := p
		other.Issuer, other.Home = otherIssuer, ""
		policies = append(policies, other)
	}
	at := s.startWith(name, store, peers, policies...)
	if name == "a" {
		if err := at.BeHome([]string{testIssuer}); err != nil {
			s.t.Fatal(err)
		}
	}
}

// rotate publishes a new key beside the newest old one.
func (s *simulation) rotate() {
	s.serial++
	kid := fmt.Sprint("key-", s.serial)
	s.genuine[kid] = true
	s.current = append(s.current, kid)
	s.current = s.current[max(0, len(s.current)-2):]
	s.world.publish(testIssuer, s.current...)
}

func (s *simulation) run(steps int) {
	for range steps {
		name := s.names[s.random.IntN(len(s.names))]
		s.step(name)
		s.move()
		pause := time.Duration(s.random.IntN(900)+1) * time.Second
		if s.random.IntN(20) == 0 {
			pause += 150 * time.Minute // whoever is cut off goes stale
		}
		time.Sleep(pause)
		synctest.Wait()
		s.check()
	}
	for _, name := range s.names {
		s.sever(name, false)
		s.sites[name].store.setFail(nil)
		s.world.unshow(name, testIssuer)
		if s.sites[name].stop == nil {
			s.begin(name, s.sites[name].store)
		}
	}
	time.Sleep(3 * DefaultPoll)
	synctest.Wait()
	s.check()
	s.agree()
}

func (s *simulation) step(name trust.SiteName) {
	at := s.sites[name]
	switch s.random.IntN(8) {
	case 0:
		s.rotate()
	case 1:
		s.sever(name, true)
	case 2:
		s.sever(name, false)
	case 3:
		at.halt(s.t)
		at.store.setFail(nil)
		s.begin(name, at.store)
	case 4:
		s.backups[name] = at.store.backup()
	case 5:
		if backup := s.backups[name]; backup != nil {
			at.halt(s.t)
			s.begin(name, backup.backup())
			clear(s.places[name]) // what it knew of others is lost with the disk
		}
	case 6:
		failing := s.random.IntN(2) == 0
		at.store.setFail(func(map[string][]byte) error {
			if failing {
				return errDisk
			}
			return nil
		})
	case 7: // one site's path to the issuer is hijacked, on and off
		s.world.show("d", testIssuer, []string{"forged", "other-key"}[s.random.IntN(2)])
		if s.random.IntN(2) == 0 {
			s.world.unshow("d", testIssuer)
		}
	}
}

func (s *simulation) check() {
	s.t.Helper()
	for _, name := range s.names {
		at := s.sites[name]
		if at.stop == nil {
			continue
		}
		state := at.state.Load()
		s.keep(state)
		s.invariants(name)
		for _, k := range state.view.Issuers[testIssuer].Keys {
			if !s.genuine[k.KeyID] {
				s.t.Errorf("NoInjection: %s believes %s", name, k.KeyID)
			}
			if !time.Now().Before(k.Until) {
				s.t.Errorf("Fresh: %s believes %s until %s", name, k.KeyID, k.Until)
			}
		}
		for of, p := range state.have() {
			if p.lacks(s.places[name][of]) && of != at.signer.node {
				s.t.Errorf("MonotoneHeads: %s held %+v of %s, now %+v", name, s.places[name][of], of, p)
			}
			s.places[name][of] = p
		}
	}
}

// agree checks Convergence: the same answer everywhere, and nobody forked.
func (s *simulation) agree() {
	s.t.Helper()
	for _, name := range s.names {
		at := s.sites[name]
		want := s.expected(name)
		if got := at.keys(testIssuer); got != want {
			s.t.Errorf("Convergence: %s believes %q, not %q; alarms %+v", name, got, want, at.Alarms())
		}
		for _, of := range s.names {
			if of == name {
				continue
			}
			held, own := at.state.Load().author(of).place(), s.sites[of].state.Load().own.place()
			if held != own {
				s.t.Errorf("Convergence: %s holds %+v of %s, which is at %+v", name, held, of, own)
			}
		}
	}
}

// unshow lets a site see what the issuer really publishes.
func (w *world) unshow(site trust.SiteName, issuer string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.shown[site], issuer)
}
