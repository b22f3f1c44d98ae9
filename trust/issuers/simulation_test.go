package issuers

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/candignode/candignode/trust"
)

// One network under a random sequence of faults: keys rotate, sites are cut off,
// crash, run with full disks, come back from old backups and see forged keys, as far
// as one of them does. At every step the invariants hold at every running site; when
// all is well again, all agree.
func TestSimulation(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			simulate(t, func(t *testing.T) { newSimulation(t, seed).run(30) })
		})
	}
}

type simulation struct {
	*network
	random  *rand.Rand
	names   []trust.SiteName
	genuine map[string]bool // every key the issuer ever published
	serial  int
	current []string
	places  map[trust.SiteName]map[trust.NodeID]place // held by, of
	backups map[trust.SiteName]*memory
}

func newSimulation(t *testing.T, seed uint64) *simulation {
	s := &simulation{random: rand.New(rand.NewPCG(seed, 7)), names: []trust.SiteName{"a", "b", "c", "d"}, genuine: map[string]bool{},
		places: map[trust.SiteName]map[trust.NodeID]place{}, backups: map[trust.SiteName]*memory{}}
	s.network = newNetwork(t, s.names...)
	s.rotate()
	for _, name := range s.names {
		s.start(name, newMemory(), s.witnessed(name, 2))
		s.places[name] = map[trust.NodeID]place{}
	}
	return s
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
		time.Sleep(time.Duration(s.random.IntN(900)+1) * time.Second)
		synctest.Wait()
		s.check()
	}
	for _, name := range s.names {
		s.sever(name, false)
		s.sites[name].store.setFail(nil)
		s.world.unshow(name, testIssuer)
		if s.sites[name].stop == nil {
			s.start(name, s.sites[name].store, s.witnessed(name, 2))
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
		s.start(name, at.store, s.witnessed(name, 2))
	case 4:
		s.backups[name] = at.store.backup()
	case 5:
		if backup := s.backups[name]; backup != nil {
			at.halt(s.t)
			s.start(name, backup.backup(), s.witnessed(name, 2))
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
		s.world.show("d", testIssuer, "forged")
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
	want := strings.Join(slices.Sorted(slices.Values(s.current)), " ")
	for _, name := range s.names {
		at := s.sites[name]
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
